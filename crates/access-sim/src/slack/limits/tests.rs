use serde_json::json;

use super::*;

fn assert_accepted(block: Value) {
    assert_eq!(check_blocks(&json!([block])), Ok(()), "{block}");
}

/// Asserts that the block is refused at exactly this place, below `/blocks/0`.
fn assert_rejected(block: Value, place: &str) {
    match check_blocks(&json!([block])) {
        Err(BlocksRefused::Invalid(messages)) => {
            let pointer = format!("[json-pointer:/blocks/0{place}]");
            assert!(messages.iter().any(|message| message.ends_with(&pointer)), "{pointer} in {messages:?}");
        }
        other => panic!("{other:?} for {block}"),
    }
}

fn text(length: usize) -> String {
    // Two bytes each, so that a check which counts bytes fails here.
    "é".repeat(length)
}

fn plain(length: usize) -> Value {
    json!({ "type": "plain_text", "text": text(length) })
}

fn mrkdwn(length: usize) -> Value {
    json!({ "type": "mrkdwn", "text": text(length) })
}

fn actions(element: Value) -> Value {
    json!({ "type": "actions", "elements": [element] })
}

fn button(field: &str, value: Value) -> Value {
    let mut button = json!({ "type": "button", "text": plain(4), "action_id": "a", "value": "v" });
    button[field] = value;
    button
}

fn option(value: &str) -> Value {
    json!({ "text": plain(4), "value": value })
}

fn options(count: usize) -> Vec<Value> {
    (0..count).map(|n| option(&n.to_string())).collect()
}

fn rich(container: Value) -> Value {
    json!({ "type": "rich_text", "elements": [container] })
}

fn rich_section(element: Value) -> Value {
    rich(json!({ "type": "rich_text_section", "elements": [element] }))
}

#[test]
fn the_list_of_blocks_follows_slacks_limits() {
    let divider = json!({ "type": "divider" });
    assert_eq!(check_blocks(&json!(vec![divider.clone(); 50])), Ok(()));
    assert_eq!(check_blocks(&json!(vec![divider.clone(); 51])), Err(BlocksRefused::TooMany(51)));
    assert_eq!(check_blocks(&json!([])), Ok(()));
    for wrong in [json!({}), json!("x"), json!([1]), json!(null)] {
        assert_eq!(check_blocks(&wrong), Err(BlocksRefused::Format), "{wrong}");
    }
    let twice = json!([{ "type": "divider", "block_id": "a" }, { "type": "divider", "block_id": "a" }]);
    let Err(BlocksRefused::Invalid(messages)) = check_blocks(&twice) else { panic!("taken") };
    assert!(messages[0].contains("/blocks/1/block_id"), "{messages:?}");
    assert_rejected(json!({ "type": "divider", "block_id": text(256) }), "/block_id");
    assert_accepted(json!({ "type": "divider", "block_id": text(255) }));
    assert_rejected(json!({ "type": "divider", "block_id": "" }), "/block_id");
}

#[test]
fn unknown_and_misspelt_things_are_refused() {
    assert_rejected(json!({ "type": "fancy" }), "/type");
    assert_rejected(json!({ "type": "table" }), "/type");
    assert_rejected(json!({ "text": plain(1) }), "");
    assert_rejected(json!({ "type": 7 }), "/type");
    assert_rejected(json!({ "type": "divider", "blockid": "x" }), "/blockid");
    assert_rejected(
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x", "verbatm": true } }),
        "/text/verbatm",
    );
    assert_rejected(
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x", "emoji": true } }),
        "/text/emoji",
    );
    assert_rejected(json!({ "type": "section", "text": { "type": "markdown", "text": "x" } }), "/text/type");
    assert_rejected(json!({ "type": "section", "text": "x" }), "/text");
    assert_rejected(
        json!({ "type": "input", "label": plain(1), "element": { "type": "plain_text_input" } }),
        "",
    );
    assert_rejected(actions(json!({ "type": "datepicker" })), "/elements/0/type");
    assert_rejected(actions(button("tint", json!("red"))), "/elements/0/tint");
    assert_rejected(json!({ "type": "divider", "a/b~c": 1 }), "/a~1b~0c");
}

#[test]
fn sections_follow_slacks_limits() {
    assert_accepted(json!({ "type": "section", "text": mrkdwn(3_000), "expand": true }));
    assert_rejected(json!({ "type": "section", "text": mrkdwn(3_001) }), "/text/text");
    assert_rejected(json!({ "type": "section", "text": mrkdwn(0) }), "/text/text");
    assert_rejected(json!({ "type": "section" }), "");
    assert_rejected(json!({ "type": "section", "fields": [] }), "/fields");
    assert_accepted(json!({ "type": "section", "fields": vec![mrkdwn(2_000); 10] }));
    assert_rejected(json!({ "type": "section", "fields": vec![plain(1); 11] }), "/fields");
    assert_rejected(json!({ "type": "section", "fields": [plain(2_001)] }), "/fields/0/text");
    assert_accepted(
        json!({ "type": "section", "text": plain(1), "accessory": button("style", json!("primary")) }),
    );
    let image = json!({ "type": "image", "image_url": "https://i.example/x.png", "alt_text": "x" });
    assert_accepted(json!({ "type": "section", "text": plain(1), "accessory": image }));
    assert_rejected(json!({ "type": "section", "text": plain(1), "accessory": plain(1) }), "/accessory/type");
    assert_rejected(json!({ "type": "section", "text": plain(1), "expand": "yes" }), "/expand");
}

#[test]
fn headers_contexts_images_and_markdown() {
    assert_accepted(json!({ "type": "header", "text": plain(150) }));
    assert_rejected(json!({ "type": "header", "text": plain(151) }), "/text/text");
    assert_rejected(json!({ "type": "header", "text": mrkdwn(1) }), "/text/type");
    assert_rejected(json!({ "type": "header" }), "");
    assert_accepted(json!({ "type": "context", "elements": vec![mrkdwn(1); 10] }));
    assert_rejected(json!({ "type": "context", "elements": vec![mrkdwn(1); 11] }), "/elements");
    assert_rejected(json!({ "type": "context", "elements": [] }), "/elements");
    assert_rejected(json!({ "type": "context", "elements": [mrkdwn(0)] }), "/elements/0/text");
    assert_rejected(
        json!({ "type": "context", "elements": [button("value", json!("v"))] }),
        "/elements/0/type",
    );
    let image = |url: &str, alt: usize| json!({ "type": "image", "image_url": url, "alt_text": text(alt) });
    assert_accepted(image("https://i.example/x.png", 2_000));
    assert_rejected(image("https://i.example/x.png", 2_001), "/alt_text");
    assert_rejected(image("https://i.example/x.png", 0), "/alt_text");
    assert_rejected(image("javascript:alert(1)", 1), "/image_url");
    assert_rejected(image(&format!("https://{}", "x".repeat(3_000)), 1), "/image_url");
    assert_accepted(json!({ "type": "markdown", "text": text(12_000) }));
    let half = json!({ "type": "markdown", "text": text(6_001) });
    assert!(check_blocks(&json!([half, half])).is_err(), "together they are too long");
}

#[test]
fn buttons_follow_slacks_limits() {
    let cases = [
        ("text", plain(75), plain(76), "/text/text"),
        ("text", plain(1), mrkdwn(1), "/text/type"),
        ("text", plain(1), plain(0), "/text/text"),
        ("value", json!(text(2_000)), json!(text(2_001)), "/value"),
        ("action_id", json!(text(255)), json!(text(256)), "/action_id"),
        ("url", json!("https://t.example/x"), json!("t.example"), "/url"),
        ("url", json!(format!("https://{}", "x".repeat(2_992))), json!("x".repeat(3_001)), "/url"),
        ("style", json!("danger"), json!("default"), "/style"),
        ("accessibility_label", json!(text(75)), json!(text(76)), "/accessibility_label"),
    ];
    for (field, good, bad, place) in cases {
        assert_accepted(actions(button(field, good)));
        assert_rejected(actions(button(field, bad)), &format!("/elements/0{place}"));
    }
    let many = |count: usize| {
        let elements: Vec<Value> = (0..count).map(|n| button("action_id", json!(n.to_string()))).collect();
        json!({ "type": "actions", "elements": elements })
    };
    assert_accepted(many(25));
    assert_rejected(many(26), "/elements");
    let same =
        json!({ "type": "actions", "elements": [button("value", json!("1")), button("value", json!("2"))] });
    assert_rejected(same, "/elements/1/action_id");
}

#[test]
fn confirmations_need_every_part_in_plain_text() {
    let confirm = |field: &str, value: Value| {
        let mut confirm =
            json!({ "title": plain(100), "text": plain(300), "confirm": plain(30), "deny": plain(30) });
        confirm[field] = value;
        actions(button("confirm", confirm))
    };
    assert_accepted(confirm("style", json!("danger")));
    for (field, max) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
        assert_rejected(confirm(field, plain(max + 1)), &format!("/elements/0/confirm/{field}/text"));
        assert_rejected(confirm(field, mrkdwn(1)), &format!("/elements/0/confirm/{field}/type"));
    }
    assert_rejected(confirm("style", json!("red")), "/elements/0/confirm/style");
    assert_rejected(actions(button("confirm", json!({ "title": plain(1) }))), "/elements/0/confirm");
}

#[test]
fn menus_follow_slacks_limits() {
    let select = |options: Vec<Value>| {
        actions(
            json!({ "type": "static_select", "action_id": "s", "options": options, "placeholder": plain(150) }),
        )
    };
    assert_accepted(select(options(100)));
    assert_rejected(select(options(101)), "/elements/0/options");
    assert_rejected(select(vec![]), "/elements/0/options");
    assert_rejected(select(vec![option("")]), "/elements/0/options/0/value");
    assert_rejected(select(vec![option(&text(76))]), "/elements/0/options/0/value");
    assert_rejected(
        select(vec![json!({ "text": plain(76), "value": "v" })]),
        "/elements/0/options/0/text/text",
    );
    let described = json!({ "text": plain(1), "value": "v", "description": plain(76) });
    assert_rejected(select(vec![described]), "/elements/0/options/0/description/text");
    let mut initial = select(options(2));
    initial["elements"][0]["initial_option"] = option("1");
    assert_accepted(initial.clone());
    initial["elements"][0]["initial_option"] = option("9");
    assert_rejected(initial, "/elements/0/initial_option");
    let grouped =
        json!({ "type": "static_select", "option_groups": [{ "label": plain(75), "options": options(1) }] });
    assert_accepted(actions(grouped.clone()));
    let mut both = grouped;
    both["options"] = json!(options(1));
    assert_rejected(actions(both), "/elements/0");
    let overflow =
        |count| actions(json!({ "type": "overflow", "action_id": "o", "options": options(count) }));
    assert_accepted(overflow(5));
    assert_rejected(overflow(6), "/elements/0/options");
}

#[test]
fn rich_text_follows_slacks_limits() {
    assert_accepted(rich_section(
        json!({ "type": "text", "text": "x", "style": { "bold": true, "code": true } }),
    ));
    assert_rejected(rich_section(json!({ "type": "text", "text": "" })), "/elements/0/elements/0/text");
    assert_rejected(
        rich_section(json!({ "type": "text", "text": "x", "style": { "blink": true } })),
        "/elements/0/elements/0/style/blink",
    );
    assert_rejected(rich_section(json!({ "type": "mrkdwn", "text": "x" })), "/elements/0/elements/0/type");
    assert_accepted(rich_section(json!({ "type": "link", "url": "https://a.example", "text": "a" })));
    assert_rejected(rich_section(json!({ "type": "link", "url": "a" })), "/elements/0/elements/0/url");
    assert_accepted(rich_section(json!({ "type": "user", "user_id": "U1" })));
    assert_rejected(rich_section(json!({ "type": "user" })), "/elements/0/elements/0");
    assert_accepted(rich_section(json!({ "type": "emoji", "name": "wave" })));
    assert_rejected(
        rich_section(json!({ "type": "broadcast", "range": "all" })),
        "/elements/0/elements/0/range",
    );
    assert_accepted(rich_section(
        json!({ "type": "date", "timestamp": 1, "format": "{date}", "fallback": "x" }),
    ));
    assert_rejected(
        rich_section(json!({ "type": "date", "timestamp": "1", "format": "x" })),
        "/elements/0/elements/0/timestamp",
    );
    let run = json!([{ "type": "text", "text": "x" }]);
    assert_accepted(rich(json!({ "type": "rich_text_preformatted", "elements": run })));
    let user = json!([{ "type": "user", "user_id": "U1" }]);
    assert_rejected(
        rich(json!({ "type": "rich_text_preformatted", "elements": user })),
        "/elements/0/elements/0/type",
    );
    assert_accepted(rich(json!({ "type": "rich_text_quote", "elements": run })));
    let item = json!({ "type": "rich_text_section", "elements": run });
    let list = |indent: i64| json!({ "type": "rich_text_list", "style": "bullet", "indent": indent, "elements": [item] });
    assert_accepted(rich(list(8)));
    assert_rejected(rich(list(9)), "/elements/0/indent");
    assert_rejected(
        rich(json!({ "type": "rich_text_list", "style": "bullet", "elements": run })),
        "/elements/0/elements/0/type",
    );
    assert_rejected(rich(json!({ "type": "section" })), "/elements/0/type");
    assert_rejected(json!({ "type": "rich_text", "elements": [] }), "/elements");
}

#[test]
fn a_hostile_message_gets_a_short_answer() {
    let block = json!({ "type": "section", "text": { "type": "x".repeat(1_000), "y".repeat(100_000): 1 } });
    let Err(refused) = check_blocks(&json!(vec![block; 50])) else { panic!("taken") };
    let BlocksRefused::Invalid(messages) = &refused else { panic!("{refused:?}") };
    assert!(messages.len() <= 20 && messages.iter().all(|message| message.len() < 300));
}
