//! `[table]` and `[[table]]`, one in the other's place, and tables in two places.

use super::*;

/// Each remedy, followed to the letter, leads to a file that can be used.
#[test]
fn what_is_written_in_the_wrong_brackets_loses_nothing() {
    let rules = |brackets: [(&str, &str); 3]| {
        let rule = |(open, close), role: &str| {
            format!("{open}review.rule{close}\nroles = \"{role}\"\napprovers = [\"bob\"]\n")
        };
        let review = "[review]\nenabled = true\napp_token = \"xapp-1-A0-1-2\"\nmode = \"resolver\"\n[review.users]\nU0BOB = \"bob\"\n";
        let [first, second, third] = brackets;
        with(&format!("{review}{}{}{}", rule(first, "a"), rule(second, "b"), rule(third, "c")))
    };
    let (single, double) = (("[", "]"), ("[[", "]]"));
    let shown = [[double, single, double], [single, double, double], [single, single, single]].map(rules);
    insta::assert_snapshot!(shown.map(|text| mistakes(&text)).join("\n"), @r"
    the configuration is not valid:
      /etc/slack.toml:16: not valid TOML, column 9: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in line 16
      /etc/slack.toml:19: not valid TOML, column 10: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in line 16
    the configuration is not valid:
      /etc/slack.toml:16: not valid TOML, column 10: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in line 13
      /etc/slack.toml:19: not valid TOML, column 10: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in line 13
    the configuration is not valid:
      /etc/slack.toml:16: not valid TOML, column 9: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in lines 13 and 16 and 19
      /etc/slack.toml:17: not valid TOML, column 1: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in lines 13 and 16 and 19
      /etc/slack.toml:18: not valid TOML, column 1: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in lines 13 and 16 and 19
      /etc/slack.toml:19: not valid TOML, column 9: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in lines 13 and 16 and 19
      /etc/slack.toml:20: not valid TOML, column 1: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in lines 13 and 16 and 19
      /etc/slack.toml:21: not valid TOML, column 1: duplicate key
          each rule begins with [[review.rule]]: write that, with two brackets, in lines 13 and 16 and 19
    ");
    let sound = parsed(&rules([double; 3])).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(sound.config.review.unwrap().rules.0.len(), 3);

    let tables = [
        "[[network]]\nno_proxy = \"a\"\n",
        "[[network]]\nno_proxy = \"a\"\n[network]\nca_file = \"x\"\n",
        "[[review.users]]\nU0BOB = \"bob\"\n",
        "[[role_to_recipients]]\n\"*\" = \"a\"\n",
        "[review]\nusers.U0BOB = \"bob\"\n[review.users]\nU0DAVE = \"dave\"\n",
        "[[rule]]\nroles = \"a\"\napprovers = [\"bob\"]\n",
        "[rule]\nroles = \"a\"\napprovers = [\"bob\"]\n",
        "[users]\nU0BOB = \"bob\"\n",
    ];
    insta::assert_snapshot!(tables.map(|text| mistakes(&with(text))).join("\n"), @r"
    the configuration is not valid:
      /etc/slack.toml:7: network: this is a list of tables
          write all its keys below one line [network], with single brackets
    the configuration is not valid:
      /etc/slack.toml:9: not valid TOML, column 2: duplicate key
          the same table begins in line 7; write all its keys below one line [network]
    the configuration is not valid:
      /etc/slack.toml:7: review.users: this is a list of tables
          write all its keys below one line [review.users], with single brackets
    the configuration is not valid:
      /etc/slack.toml:7: role_to_recipients: this is a list of tables
          write all its keys below one line [role_to_recipients], with single brackets
    the configuration is not valid:
      /etc/slack.toml:9: not valid TOML, column 9: duplicate key
          the same table begins in line 8; write all its keys below one line [review.users]
    the configuration is not valid:
      /etc/slack.toml:7: rule: there is no such key
          write [[review.rule]]
    the configuration is not valid:
      /etc/slack.toml:7: rule: there is no such key
          write [[review.rule]]
    the configuration is not valid:
      /etc/slack.toml:7: users: there is no such key
          write [review.users]
    ");
    for followed in [
        "[network]\nno_proxy = \"a\"\n",
        "[review.users]\nU0BOB = \"bob\"\nU0DAVE = \"dave\"\n",
        "[role_to_recipients]\n\"*\" = \"a\"\n",
        "[[review.rule]]\nroles = \"a\"\napprovers = [\"bob\"]\n",
    ] {
        assert!(parsed(&with(followed)).is_ok(), "{followed}");
    }
}
