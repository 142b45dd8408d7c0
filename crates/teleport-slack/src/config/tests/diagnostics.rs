//! `[diagnostics]`: who may see the state of the daemon.

use super::*;

const TOKEN: &str = "0123456789abcdef0123456789";

fn table(more: &str) -> String {
    with(&format!("[diagnostics]\nlisten_addr = \"127.0.0.1:9091\"\n{more}\n"))
}

#[test]
fn networks_and_the_token_are_taken() {
    let text =
        table(&format!("allow = [\"10.0.0.0/8\", \"2001:db8::/32\", \"192.0.2.7\"]\ntoken = \"{TOKEN}\""));
    let access = config(&text).diagnostics.unwrap().access;
    let networks: Vec<_> = access.allow.iter().map(ToString::to_string).collect();
    assert_eq!(networks, ["10.0.0.0/8", "2001:db8::/32", "192.0.2.7/32"]);
    assert_eq!(access.token.unwrap().expose(), TOKEN);
    assert_eq!(config(&table("allow = \"10.0.0.0/8\"")).diagnostics.unwrap().access.allow.len(), 1);
    assert_eq!(config(&table("")).diagnostics.unwrap().access, StatusAccess::default());
    assert_eq!(
        config(&table("token = \"\"")).diagnostics.unwrap().access.token,
        None,
        "an empty text is none"
    );
}

#[test]
fn each_mistake_is_said_with_its_remedy() {
    let allow = |entry: &str| mistake(&table(&format!("allow = [\"192.0.2.0/24\", {entry:?}]")));
    insta::assert_snapshot!([
        allow("10.0.0.5/8"),
        allow("10.0.0.0/33"),
        allow("10.0.0"),
        allow("office.example.com"),
        allow("::ffff:10.0.0.0/104"),
        allow(""),
        mistake(&table("allow = 7")),
        mistake(&table("token = \"hunter2\"")),
        mistake(&table("token = \"0123456789 abcdefghijkl\"")),
        mistake(&table("token = \"$STATUS_TOKEN\"")),
        mistake(&table("token = \"xoxb-1234567890-abcdefghij\"")),
    ].join("\n"), @r#"
    9: "10.0.0.5/8" does not work: it is not the first address of its network: bits are set beyond the first 8; write "10.0.0.0/8", or "10.0.0.5" for that address alone
    9: "10.0.0.0/33" does not work: the prefix behind the slash must be a number from 0 to 32; write it as "10.0.0.0/8" or "2001:db8::/32"
    9: "10.0.0" does not work: that is no IP address; write it as "10.0.0.0/8" or "2001:db8::/32"
    9: "office.example.com" does not work: names are not looked up; it must be an IP network; write it as "10.0.0.0/8" or "2001:db8::/32"
    9: "::ffff:10.0.0.0/104" does not work: it is an IPv4 address in IPv6's form; write it as "10.0.0.0/8"
    9: "" does not work: it is empty; write it as "10.0.0.0/8" or "2001:db8::/32"
    9: this is a number without quotes; it must be a text in quotes or a list of them
    9: this is too short for a token; it needs 20 characters or more; use a long random text, such as `openssl rand -hex 32` prints
    9: this has spaces or other characters that no token has; copy it again; it is a single line of letters, digits and hyphens
    9: this is the name of a variable; variables are not filled in; use a long random text, such as `openssl rand -hex 32` prints
    9: this is a bot token (xoxb-…); use a long random text, such as `openssl rand -hex 32` prints
    "#);
    // Two at once.
    let Err(ConfigError::Invalid { findings, .. }) =
        parsed(&table("allow = [\"a\", \"b\"]\ntoken = \"short\""))
    else {
        panic!("it loaded")
    };
    assert_eq!(findings.as_slice().len(), 3);
}

#[test]
fn what_has_no_effect_or_opens_to_all_is_warned_of() {
    insta::assert_snapshot!(warnings(&with(&format!("[diagnostics]\nallow = [\"10.0.0.0/8\"]\ntoken = \"{TOKEN}\"\n"))), @r#"
    8 diagnostics.allow: this has no effect: nothing listens; add listen_addr, such as "127.0.0.1:9091", or remove it
    9 diagnostics.token: this has no effect: nothing listens; add listen_addr, such as "127.0.0.1:9091", or remove it
    "#);
    insta::assert_snapshot!(warnings(&table("allow = [\"0.0.0.0/0\", \"192.0.2.7\", \"192.0.2.7/32\"]")), @r#"
    9 diagnostics.allow: "0.0.0.0/0" lets every machine that reaches the port see the state of the daemon; name the networks of your operators, or use token
    9 diagnostics.allow: "192.0.2.7/32" is in the list already; remove one of them
    "#);
}
