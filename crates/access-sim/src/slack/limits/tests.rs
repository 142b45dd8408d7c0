use serde_json::json;

use super::*;

fn taken(block: Value) {
    assert_eq!(check_blocks(&json!([block])), Ok(()), "{block}");
}

/// Asserts that the block is refused at exactly this place, below `/blocks/0`.
fn refused(block: Value, place: &str) {
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
fn the_list_itself() {
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
    refused(json!({ "type": "divider", "block_id": text(256) }), "/block_id");
    taken(json!({ "type": "divider", "block_id": text(255) }));
    refused(json!({ "type": "divider", "block_id": "" }), "/block_id");
}

#[test]
fn unknown_and_misspelt_things_are_refused() {
    refused(json!({ "type": "fancy" }), "/type");
    refused(json!({ "type": "table" }), "/type");
    refused(json!({ "text": plain(1) }), "");
    refused(json!({ "type": 7 }), "/type");
    refused(json!({ "type": "divider", "blockid": "x" }), "/blockid");
    refused(
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x", "verbatm": true } }),
        "/text/verbatm",
    );
    refused(
        json!({ "type": "section", "text": { "type": "mrkdwn", "text": "x", "emoji": true } }),
        "/text/emoji",
    );
    refused(json!({ "type": "section", "text": { "type": "markdown", "text": "x" } }), "/text/type");
    refused(json!({ "type": "section", "text": "x" }), "/text");
    refused(json!({ "type": "input", "label": plain(1), "element": { "type": "plain_text_input" } }), "");
    refused(actions(json!({ "type": "datepicker" })), "/elements/0/type");
    refused(actions(button("colour", json!("red"))), "/elements/0/colour");
    refused(json!({ "type": "divider", "a/b~c": 1 }), "/a~1b~0c");
}

#[test]
fn sections() {
    taken(json!({ "type": "section", "text": mrkdwn(3_000), "expand": true }));
    refused(json!({ "type": "section", "text": mrkdwn(3_001) }), "/text/text");
    refused(json!({ "type": "section", "text": mrkdwn(0) }), "/text/text");
    refused(json!({ "type": "section" }), "");
    refused(json!({ "type": "section", "fields": [] }), "/fields");
    taken(json!({ "type": "section", "fields": vec![mrkdwn(2_000); 10] }));
    refused(json!({ "type": "section", "fields": vec![plain(1); 11] }), "/fields");
    refused(json!({ "type": "section", "fields": [plain(2_001)] }), "/fields/0/text");
    taken(json!({ "type": "section", "text": plain(1), "accessory": button("style", json!("primary")) }));
    let image = json!({ "type": "image", "image_url": "https://i.example/x.png", "alt_text": "x" });
    taken(json!({ "type": "section", "text": plain(1), "accessory": image }));
    refused(json!({ "type": "section", "text": plain(1), "accessory": plain(1) }), "/accessory/type");
    refused(json!({ "type": "section", "text": plain(1), "expand": "yes" }), "/expand");
}

#[test]
fn headers_contexts_images_and_markdown() {
    taken(json!({ "type": "header", "text": plain(150) }));
    refused(json!({ "type": "header", "text": plain(151) }), "/text/text");
    refused(json!({ "type": "header", "text": mrkdwn(1) }), "/text/type");
    refused(json!({ "type": "header" }), "");
    taken(json!({ "type": "context", "elements": vec![mrkdwn(1); 10] }));
    refused(json!({ "type": "context", "elements": vec![mrkdwn(1); 11] }), "/elements");
    refused(json!({ "type": "context", "elements": [] }), "/elements");
    refused(json!({ "type": "context", "elements": [mrkdwn(0)] }), "/elements/0/text");
    refused(json!({ "type": "context", "elements": [button("value", json!("v"))] }), "/elements/0/type");
    let image = |url: &str, alt: usize| json!({ "type": "image", "image_url": url, "alt_text": text(alt) });
    taken(image("https://i.example/x.png", 2_000));
    refused(image("https://i.example/x.png", 2_001), "/alt_text");
    refused(image("https://i.example/x.png", 0), "/alt_text");
    refused(image("javascript:alert(1)", 1), "/image_url");
    refused(image(&format!("https://{}", "x".repeat(3_000)), 1), "/image_url");
    taken(json!({ "type": "markdown", "text": text(12_000) }));
    let half = json!({ "type": "markdown", "text": text(6_001) });
    assert!(check_blocks(&json!([half, half])).is_err(), "together they are too long");
}

#[test]
fn buttons() {
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
        taken(actions(button(field, good)));
        refused(actions(button(field, bad)), &format!("/elements/0{place}"));
    }
    let many = |count: usize| {
        let elements: Vec<Value> = (0..count).map(|n| button("action_id", json!(n.to_string()))).collect();
        json!({ "type": "actions", "elements": elements })
    };
    taken(many(25));
    refused(many(26), "/elements");
    let same =
        json!({ "type": "actions", "elements": [button("value", json!("1")), button("value", json!("2"))] });
    refused(same, "/elements/1/action_id");
}

#[test]
fn confirmations_need_every_part_in_plain_text() {
    let confirm = |field: &str, value: Value| {
        let mut confirm =
            json!({ "title": plain(100), "text": plain(300), "confirm": plain(30), "deny": plain(30) });
        confirm[field] = value;
        actions(button("confirm", confirm))
    };
    taken(confirm("style", json!("danger")));
    for (field, max) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
        refused(confirm(field, plain(max + 1)), &format!("/elements/0/confirm/{field}/text"));
        refused(confirm(field, mrkdwn(1)), &format!("/elements/0/confirm/{field}/type"));
    }
    refused(confirm("style", json!("red")), "/elements/0/confirm/style");
    refused(actions(button("confirm", json!({ "title": plain(1) }))), "/elements/0/confirm");
}

#[test]
fn menus() {
    let select = |options: Vec<Value>| {
        actions(
            json!({ "type": "static_select", "action_id": "s", "options": options, "placeholder": plain(150) }),
        )
    };
    taken(select(options(100)));
    refused(select(options(101)), "/elements/0/options");
    refused(select(vec![]), "/elements/0/options");
    refused(select(vec![option("")]), "/elements/0/options/0/value");
    refused(select(vec![option(&text(76))]), "/elements/0/options/0/value");
    refused(select(vec![json!({ "text": plain(76), "value": "v" })]), "/elements/0/options/0/text/text");
    let described = json!({ "text": plain(1), "value": "v", "description": plain(76) });
    refused(select(vec![described]), "/elements/0/options/0/description/text");
    let mut initial = select(options(2));
    initial["elements"][0]["initial_option"] = option("1");
    taken(initial.clone());
    initial["elements"][0]["initial_option"] = option("9");
    refused(initial, "/elements/0/initial_option");
    let grouped =
        json!({ "type": "static_select", "option_groups": [{ "label": plain(75), "options": options(1) }] });
    taken(actions(grouped.clone()));
    let mut both = grouped;
    both["options"] = json!(options(1));
    refused(actions(both), "/elements/0");
    let overflow =
        |count| actions(json!({ "type": "overflow", "action_id": "o", "options": options(count) }));
    taken(overflow(5));
    refused(overflow(6), "/elements/0/options");
}

#[test]
fn rich_text() {
    taken(rich_section(json!({ "type": "text", "text": "x", "style": { "bold": true, "code": true } })));
    refused(rich_section(json!({ "type": "text", "text": "" })), "/elements/0/elements/0/text");
    refused(
        rich_section(json!({ "type": "text", "text": "x", "style": { "blink": true } })),
        "/elements/0/elements/0/style/blink",
    );
    refused(rich_section(json!({ "type": "mrkdwn", "text": "x" })), "/elements/0/elements/0/type");
    taken(rich_section(json!({ "type": "link", "url": "https://a.example", "text": "a" })));
    refused(rich_section(json!({ "type": "link", "url": "a" })), "/elements/0/elements/0/url");
    taken(rich_section(json!({ "type": "user", "user_id": "U1" })));
    refused(rich_section(json!({ "type": "user" })), "/elements/0/elements/0");
    taken(rich_section(json!({ "type": "emoji", "name": "wave" })));
    refused(rich_section(json!({ "type": "broadcast", "range": "all" })), "/elements/0/elements/0/range");
    taken(rich_section(json!({ "type": "date", "timestamp": 1, "format": "{date}", "fallback": "x" })));
    refused(
        rich_section(json!({ "type": "date", "timestamp": "1", "format": "x" })),
        "/elements/0/elements/0/timestamp",
    );
    let run = json!([{ "type": "text", "text": "x" }]);
    taken(rich(json!({ "type": "rich_text_preformatted", "elements": run })));
    let user = json!([{ "type": "user", "user_id": "U1" }]);
    refused(
        rich(json!({ "type": "rich_text_preformatted", "elements": user })),
        "/elements/0/elements/0/type",
    );
    taken(rich(json!({ "type": "rich_text_quote", "elements": run })));
    let item = json!({ "type": "rich_text_section", "elements": run });
    let list = |indent: i64| json!({ "type": "rich_text_list", "style": "bullet", "indent": indent, "elements": [item] });
    taken(rich(list(8)));
    refused(rich(list(9)), "/elements/0/indent");
    refused(
        rich(json!({ "type": "rich_text_list", "style": "bullet", "elements": run })),
        "/elements/0/elements/0/type",
    );
    refused(rich(json!({ "type": "section" })), "/elements/0/type");
    refused(json!({ "type": "rich_text", "elements": [] }), "/elements");
}

#[test]
fn a_hostile_message_gets_a_short_answer() {
    let block = json!({ "type": "section", "text": { "type": "x".repeat(1_000), "y".repeat(100_000): 1 } });
    let Err(refused) = check_blocks(&json!(vec![block; 50])) else { panic!("taken") };
    let BlocksRefused::Invalid(messages) = &refused else { panic!("{refused:?}") };
    assert!(messages.len() <= 20 && messages.iter().all(|message| message.len() < 300));
}
