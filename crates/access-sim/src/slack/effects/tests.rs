use serde_json::json;

use super::*;

fn of_text(text: &str) -> Effects {
    Effects::of(text, &Formatting::default(), &[], &[])
}

fn of_block(block: Value) -> Effects {
    Effects::of("", &Formatting::default(), &[block], &[])
}

fn mrkdwn_section(text: &str, verbatim: bool) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text, "verbatim": verbatim } })
}

fn urls(effects: &Effects) -> Vec<&str> {
    effects.links.iter().map(|link| link.url.as_str()).collect()
}

#[test]
fn finds_every_mention_in_angle_brackets() {
    let effects = of_text("<!channel> <!here|here> <!everyone> <@U1> <@W2|bob> <#C3|x> <!subteam^S4|@dbas>");
    assert_eq!(effects.broadcasts, ["channel", "here", "everyone"]);
    assert_eq!(effects.users, ["U1", "W2"]);
    assert_eq!(effects.channels, ["C3"]);
    assert_eq!(effects.usergroups, ["S4"]);
    assert!(!effects.mentions_no_user());
}

#[test]
fn escaped_text_does_nothing() {
    let text = "&lt;!channel&gt; &lt;@U1&gt; &amp;lt;!here&amp;gt; 1 &lt; 2 `<` *bold* _it_";
    assert_eq!(of_text(text), Effects::default());
    assert_eq!(of_block(mrkdwn_section(text, true)), Effects::default());
}

#[test]
fn links_keep_a_label_that_may_be_false() {
    let effects = of_text("<https://evil.example/x|https://bank.example> <mailto:a@b.example|a>");
    assert_eq!(effects.links[0].url, "https://evil.example/x");
    assert_eq!(effects.links[0].label.as_deref(), Some("https://bank.example"));
    assert_eq!(effects.links[0].kind, LinkKind::Written);
    assert_eq!(effects.links.len(), 2);
}

#[test]
fn bare_links_are_found_unless_switched_off() {
    let text = "see https://a.example/x?y=1, *http://b.example*; (bob@example.com) README.md e.g. 1.5 x.";
    let expected =
        ["https://a.example/x?y=1", "http://b.example", "mailto:bob@example.com", "http://README.md"];
    assert_eq!(urls(&of_text(text)), expected);
    assert_eq!(urls(&of_block(mrkdwn_section(text, false))), expected);
    assert_eq!(of_block(mrkdwn_section(text, true)), Effects::default());
    let off = Formatting { parse: Some("none".to_owned()), ..Formatting::default() };
    assert_eq!(Effects::of(text, &off, &[], &[]), Effects::default());
}

#[test]
fn names_are_found_in_blocks_and_in_text_only_on_request() {
    let text = "@channel: look at #general, #42 and @bob";
    assert_eq!(of_text(text), Effects::default());
    let in_block = of_block(mrkdwn_section(text, false));
    assert_eq!(
        (in_block.broadcasts, in_block.channels),
        (vec!["channel".to_owned()], vec!["#general".to_owned()])
    );
    assert_eq!(of_block(mrkdwn_section(text, true)), Effects::default());
    let full = Formatting { parse: Some("full".to_owned()), ..Formatting::default() };
    assert_eq!(Effects::of(text, &full, &[], &[]).broadcasts, ["channel"]);
}

#[test]
fn dates_need_a_format_and_a_fallback() {
    let effects = of_text("<!date^1795363190^{date} at {time}^https://a.example|22 Nov>");
    let date = &effects.dates[0];
    assert_eq!((date.timestamp, date.format.as_str()), (1_795_363_190, "{date} at {time}"));
    assert_eq!(date.fallback.as_deref(), Some("22 Nov"));
    assert_eq!(urls(&effects), ["https://a.example"]);
    for broken in ["<!date^1795363190^{date}>", "<!date^soon^{date}|x>", "<!date^1|x>"] {
        assert_eq!((of_text(broken).dates.len(), of_text(broken).unrecognized.len()), (0, 1), "{broken}");
    }
}

#[test]
fn stray_brackets_are_noted_or_literal() {
    assert_eq!(of_text("because <prod> & more").unrecognized, ["prod"]);
    assert_eq!(of_text("1 < 2 and <> and < \n>"), Effects::default());
    let effects = of_text("a < b <!here>");
    assert_eq!(effects.broadcasts, ["here"]);
    assert_eq!(of_text("<<!here>").broadcasts, ["here"]);
}

#[test]
fn plain_text_and_rich_text_runs_do_nothing() {
    let text = "<!channel> <@U1> https://a.example @here";
    let plain = json!({ "type": "header", "text": { "type": "plain_text", "text": text } });
    assert_eq!(of_block(plain), Effects::default());
    let rich = json!({ "type": "rich_text", "elements": [
        { "type": "rich_text_section", "elements": [{ "type": "text", "text": text }] }
    ] });
    assert_eq!(of_block(rich), Effects::default());
}

#[test]
fn rich_text_elements_images_and_buttons_count() {
    let rich =
        of_block(json!({ "type": "rich_text", "elements": [{ "type": "rich_text_section", "elements": [
        { "type": "user", "user_id": "U1" },
        { "type": "usergroup", "usergroup_id": "S1" },
        { "type": "channel", "channel_id": "C1" },
        { "type": "broadcast", "range": "here" },
        { "type": "link", "url": "https://a.example", "text": "a" },
        { "type": "date", "timestamp": 1, "format": "{date}", "fallback": "then" },
    ] }] }));
    assert_eq!(
        (rich.users, rich.usergroups, rich.channels),
        (vec!["U1".into()], vec!["S1".into()], vec!["C1".into()])
    );
    assert_eq!((rich.broadcasts, rich.links.len(), rich.dates.len()), (vec!["here".into()], 1, 1));
    let actions = of_block(json!({ "type": "actions", "elements": [
        { "type": "button", "text": { "type": "plain_text", "text": "Open" }, "url": "https://t.example" },
        { "type": "overflow", "options": [
            { "text": { "type": "plain_text", "text": "Docs" }, "value": "d", "url": "https://d.example" } ] },
    ] }));
    let found: Vec<_> = actions.links.iter().map(|link| (link.url.as_str(), link.kind)).collect();
    assert_eq!(found, [("https://t.example", LinkKind::Button), ("https://d.example", LinkKind::Button)]);
    assert_eq!(actions.links[0].label.as_deref(), Some("Open"));
    let image = of_block(json!({ "type": "image", "image_url": "https://i.example/x.png", "alt_text": "x" }));
    assert_eq!(image.links[0].kind, LinkKind::Image);
}

#[test]
fn attachments_are_read_through() {
    let attachment = json!({ "title": "t", "title_link": "https://t.example", "text": "<@U1>",
        "fields": [{ "value": "<!here>" }], "blocks": [mrkdwn_section("<@U2>", true)] });
    let effects = Effects::of("", &Formatting::default(), &[], &[attachment]);
    assert_eq!((effects.broadcasts.len(), effects.links.len()), (1, 1));
    assert!(effects.users.contains(&"U1".to_owned()) && effects.users.contains(&"U2".to_owned()));
}
