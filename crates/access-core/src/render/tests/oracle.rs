//! An independent reading of Slack's rules. It looks at the JSON only and shares nothing with the code, so that the
//! fuzz targets can include it too.

use serde::Serialize;
use serde_json::Value;

use drawn::{Line, Span, plain_of, render_lines};

// Named, because the fuzz targets include this file from elsewhere.
#[path = "drawn.rs"]
pub(crate) mod drawn;

/// What we set in bold, at the start of a line only.
pub(crate) const BOLD: [&str; 15] = [
    "ID",
    "Cluster",
    "User",
    "Role(s)",
    "Reason",
    "Link",
    "Approve",
    "Deny",
    "Status:",
    "Resources",
    "Access until",
    "Starts",
    "Request expires",
    "Could not be told",
    "Kind",
];

/// What we write without emphasis: one for each line of a reply, two in the sentence for notifications.
const PLAIN_LABELS: [&str; 3] = ["Resolution", "Reason", "Resources"];

/// The signs that a status begins with.
const SIGNS: [char; 5] = ['⏳', '✅', '❌', '⏫', '⌛'];

/// The texts of a checked message.
pub(crate) struct Validated {
    pub(crate) text: String,
    /// One list for each block: a section's one text, a context's elements, or nothing for buttons and inputs.
    pub(crate) blocks: Vec<Vec<String>>,
}

impl Validated {
    pub(crate) fn all(&self) -> impl Iterator<Item = &String> {
        self.blocks.iter().flatten().chain([&self.text])
    }
}

/// Panics unless Slack would take the message and show it as meant.
pub(crate) fn validate(message: &impl Serialize) -> Validated {
    let json = serde_json::to_value(message).unwrap();
    assert_eq!(keys(&json), ["blocks", "text"]);
    let text = json["text"].as_str().unwrap();
    validate_text(text, 4_000);
    let blocks = json["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 50, "{} blocks", blocks.len());
    let blocks = blocks.iter().map(validate_block).collect();
    Validated { text: text.to_owned(), blocks }
}

/// The same for a modal.
pub(crate) fn validate_view(view: &impl Serialize) {
    let json = serde_json::to_value(view).unwrap();
    assert_eq!(
        keys(&json),
        ["blocks", "callback_id", "close", "private_metadata", "submit", "title", "type"]
    );
    assert_eq!(json["type"], "modal");
    assert!((1..=255).contains(&json["callback_id"].as_str().unwrap().len()));
    assert!(json["private_metadata"].as_str().unwrap().encode_utf16().count() <= 3_000);
    for key in ["title", "submit", "close"] {
        validate_plain(&json[key], 24);
    }
    let blocks = json["blocks"].as_array().unwrap();
    assert!(blocks.len() <= 100);
    blocks.iter().for_each(|block| drop(validate_block(block)));
    assert!(serde_json::to_vec(view).unwrap().len() <= 250_000);
}

fn validate_button(button: &Value) {
    let known = ["action_id", "confirm", "style", "text", "type", "url", "value"];
    assert!(keys(button).iter().all(|key| known.contains(key)), "{button}");
    assert_eq!(button["type"], "button");
    validate_plain(&button["text"], 75);
    assert!((1..=255).contains(&button["action_id"].as_str().unwrap().len()));
    for (key, max) in [("value", 2_000), ("url", 3_000)] {
        assert!(
            button.get(key).is_none_or(|text| (1..=max).contains(&text.as_str().unwrap().len())),
            "{button}"
        );
    }
    assert!(button.get("style").is_none_or(|style| style == "primary" || style == "danger"));
    if let Some(confirm) = button.get("confirm") {
        assert_eq!(keys(confirm), ["confirm", "deny", "style", "text", "title"]);
        for (key, max) in [("title", 100), ("text", 300), ("confirm", 30), ("deny", 30)] {
            validate_plain(&confirm[key], max);
        }
        assert!(confirm["style"] == "primary" || confirm["style"] == "danger");
    }
}

fn validate_plain(object: &Value, max: usize) {
    assert_eq!(keys(object), ["emoji", "text", "type"]);
    assert_eq!((&object["type"], &object["emoji"]), (&"plain_text".into(), &false.into()));
    let text = object["text"].as_str().unwrap();
    assert!(!text.trim().is_empty() && !text.contains('\n'), "{text:?}");
    assert!(text.encode_utf16().count() <= max, "too long: {text}");
    validate_characters(text);
}

fn validate_block(block: &Value) -> Vec<String> {
    match block["type"].as_str().unwrap() {
        "section" => {
            assert_eq!(keys(block), ["text", "type"]);
            vec![validate_text_object(&block["text"])]
        }
        "context" => {
            assert_eq!(keys(block), ["elements", "type"]);
            let elements = block["elements"].as_array().unwrap();
            assert!((1..=10).contains(&elements.len()), "{} elements", elements.len());
            elements.iter().map(validate_text_object).collect()
        }
        "actions" => {
            assert_eq!(keys(block), ["elements", "type"]);
            let elements = block["elements"].as_array().unwrap();
            assert!((1..=25).contains(&elements.len()), "{} buttons", elements.len());
            elements.iter().for_each(validate_button);
            let ids: std::collections::BTreeSet<_> =
                elements.iter().map(|b| b["action_id"].as_str()).collect();
            assert_eq!(ids.len(), elements.len(), "two buttons of one name");
            vec![]
        }
        "input" => {
            assert_eq!(keys(block), ["block_id", "element", "hint", "label", "optional", "type"]);
            assert!((1..=255).contains(&block["block_id"].as_str().unwrap().len()));
            validate_plain(&block["label"], 2_000);
            validate_plain(&block["hint"], 2_000);
            let element = &block["element"];
            assert_eq!(keys(element), ["action_id", "focus_on_load", "max_length", "multiline", "type"]);
            assert_eq!(element["type"], "plain_text_input");
            assert!((1..=3_000).contains(&element["max_length"].as_u64().unwrap()));
            vec![]
        }
        other => panic!("unknown block {other}"),
    }
}

fn validate_text_object(object: &Value) -> String {
    assert_eq!(keys(object), ["text", "type", "verbatim"]);
    assert_eq!(object["type"], "mrkdwn");
    assert_eq!(object["verbatim"], true);
    let text = object["text"].as_str().unwrap();
    validate_text(text, 3_000);
    text.to_owned()
}

fn keys(value: &Value) -> Vec<&str> {
    let mut keys: Vec<_> = value.as_object().unwrap().keys().map(String::as_str).collect();
    keys.sort_unstable();
    keys
}

fn validate_text(text: &str, max: usize) {
    assert!(!text.trim().is_empty(), "empty text");
    assert!(text.encode_utf16().count() <= max, "too long: {text}");
    assert!(text.chars().count() <= max);
    validate_characters(text);
    let rest = without_our_markup(text);
    assert!(!rest.contains(['<', '>']), "unescaped markup in {text}");
    for (index, _) in rest.match_indices('&') {
        let entity = &rest[index..];
        assert!(
            ["&amp;", "&lt;", "&gt;"].iter().any(|known| entity.starts_with(known)),
            "split or unknown entity in {text}"
        );
    }
    assert!(!rest.contains('`'), "an unpaired or foreign back-tick in {text}");
    let lines = render_lines(text);
    lines.iter().for_each(|line| validate_line(line, text));
    let signs = lines.iter().map(plain_of).flat_map(|line| line.chars().collect::<Vec<_>>());
    assert!(signs.filter(|c| SIGNS.contains(c)).count() <= 1, "a second status in {text}");
}

/// Nothing but our labels is emphasized, and nothing else looks like one of them.
fn validate_line(line: &Line, text: &str) {
    assert!(!line.is_quote, "a quote in {text}");
    for (n, stretch) in line.spans.iter().enumerate() {
        match stretch {
            Span::Styled('*', label) => {
                assert!(n == 0 && BOLD.contains(&label.as_str()), "bold {label:?} in {text}");
            }
            Span::Styled(mark, words) => panic!("{mark}{words}{mark} in {text}"),
            Span::Emoji(name) => panic!(":{name}: in {text}"),
            Span::Plain(_) | Span::Code(_) | Span::Entity(_) => {}
        }
    }
    validate_labels(line, text);
}

/// Counts what could be read as a label of ours: words of ours, whatever blanks, marks and ornaments stand in them, and a colon.
fn validate_labels(line: &Line, text: &str) {
    let plain = plain_of(line);
    let has_bold = matches!(line.spans.first(), Some(Span::Styled(..)));
    // Wide forms of ASCII are read as what they stand for.
    let wide = |c: char| match u32::from(c) {
        code @ 0xFF01..=0xFF5E => char::from_u32(code - 0xFEE0).expect("it is ASCII"),
        0x589 | 0x5C3 | 0x2236 => ':',
        _ => c,
    };
    let is_noise =
        |c: char| c.is_whitespace() || "*_~∗ˍ∼ˋ".contains(c) || (0x300..=0x36F).contains(&u32::from(c));
    let folded: Vec<char> = plain.chars().map(wide).flat_map(char::to_lowercase).collect();
    let colons: Vec<_> = (0..folded.len())
        .filter(|at| folded[*at] == ':' && folded.get(at + 1).is_none_or(|c| c.is_whitespace()))
        .collect();
    for label in BOLD.iter().chain(&PLAIN_LABELS).map(|label| label.trim_end_matches(':')) {
        let may_be_ours = !has_bold && PLAIN_LABELS.contains(&label);
        let ours = usize::from(may_be_ours && plain.contains(&format!("{label}: ")));
        let letters: Vec<_> = label.to_lowercase().chars().filter(|c| *c != ' ').rev().collect();
        let is_label = |colon: &&usize| {
            let mut before = (0..**colon).rev().filter(|at| !is_noise(folded[*at])).take(letters.len());
            let mut start = **colon;
            letters.iter().all(|letter| {
                before.next().is_some_and(|at| {
                    start = at;
                    folded[at] == *letter
                })
            }) && !folded[..start].last().is_some_and(|c| c.is_alphanumeric())
        };
        let found = colons.iter().filter(is_label).count();
        assert!(found <= ours, "something looks like the label {label:?} in {text}");
    }
}

fn validate_characters(text: &str) {
    for c in text.chars() {
        let code = u32::from(c);
        let forbidden = (c.is_control() && c != '\n')
            || (0x202A..=0x202E).contains(&code)
            || (0x2066..=0x2069).contains(&code)
            || (0xFFF9..=0xFFFB).contains(&code)
            || [0x061C, 0x200B, 0x200E, 0x200F, 0x2028, 0x2029, 0x2060, 0xFEFF, 0x00AD].contains(&code)
            || [0xFFFE, 0xFFFF].contains(&(code & 0xFFFF))
            // Letters that are bold or slanted by themselves.
            || (0x1D400..=0x1D7FF).contains(&code);
        assert!(!forbidden, "U+{code:04X} is shown in {text:?}");
    }
}

/// Removes the only markup we write: links, dates and code spans with commands.
fn without_our_markup(text: &str) -> String {
    let mut rest = String::new();
    let mut left = text;
    while let Some(start) = left.find(['<', '`']) {
        rest.push_str(&left[..start]);
        let (open, close) = if left[start..].starts_with('<') { ('<', '>') } else { ('`', '`') };
        let inner = &left[start + 1..];
        let end = inner.find(close).unwrap_or_else(|| panic!("{open} is never closed in {text}"));
        validate_markup(open, &inner[..end]);
        left = &inner[end + 1..];
    }
    rest + left
}

fn validate_markup(open: char, inner: &str) {
    if open == '`' {
        let commands = [
            "tctl request approve ",
            "tctl request deny ",
            "tsh request review --approve ",
            "tsh request review --deny ",
        ];
        let id = commands
            .iter()
            .find_map(|command| inner.strip_prefix(command))
            .unwrap_or_else(|| panic!("not our command: {inner}"));
        assert!(!id.is_empty() && !id.starts_with('-'), "{inner}");
        assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-'), "{inner}");
    } else if let Some(date) = inner.strip_prefix("!date^") {
        let (token, fallback) = date.split_once('|').unwrap();
        let (seconds, format) = token.split_once('^').unwrap();
        seconds.parse::<u32>().unwrap();
        let formats = ["{date_short_pretty} {time}", "{date_short} {time}", "{date_short} {time_secs}"];
        assert!(formats.contains(&format), "{format}");
        assert!(fallback.ends_with(" UTC") && fallback.is_ascii(), "{fallback}");
    } else {
        assert!(inner.starts_with("https://") || inner.starts_with("http://"), "not our markup: {inner}");
        assert!(!inner.contains(['|', ' ', '\n', '<', '"']), "not a plain address: {inner}");
    }
}
