//! The structure of rich text: which containers hold which elements. Slack documents no lengths for it.

use serde_json::Value;

use super::shape::{LayoutErrors, Object};

const MAX_INDENT: i64 = 8;
/// Slack publishes no bound for a run of text; no longer than the longest text object is safe.
const MAX_RUN: usize = 3_000;

/// A rich_text block.
pub(super) fn check(block: &Object<'_>, findings: &mut LayoutErrors) {
    block.allow_only(&["type", "block_id", "elements"], findings);
    for (index, container) in block.array("elements", 1..=usize::MAX, findings).iter().enumerate() {
        let pointer = format!("{}/elements/{index}", block.pointer);
        let Some(container) = Object::of(container, pointer, findings) else { continue };
        match container.kind(findings) {
            "rich_text_section" => {
                container.allow_only(&["type", "elements"], findings);
                inline_all(&container, true, findings);
            }
            "rich_text_quote" => {
                container.allow_only(&["type", "elements", "border"], findings);
                container.number("border", 0..=1, findings);
                inline_all(&container, true, findings);
            }
            "rich_text_preformatted" => {
                container.allow_only(&["type", "elements", "border", "language"], findings);
                container.number("border", 0..=1, findings);
                container.string("language", 1..=100, false, findings);
                inline_all(&container, false, findings);
            }
            "rich_text_list" => list(&container, findings),
            _ => findings.add(&container.at("type"), "unsupported rich text container"),
        }
    }
}

fn list(list: &Object<'_>, findings: &mut LayoutErrors) {
    list.allow_only(&["type", "style", "elements", "indent", "offset", "border"], findings);
    list.one_of("style", &["bullet", "ordered"], true, findings);
    list.number("indent", 0..=MAX_INDENT, findings);
    list.number("offset", 0..=i64::MAX, findings);
    list.number("border", 0..=1, findings);
    for (index, item) in list.array("elements", 1..=usize::MAX, findings).iter().enumerate() {
        let pointer = format!("{}/elements/{index}", list.pointer);
        let Some(item) = Object::of(item, pointer, findings) else { continue };
        item.allow_only(&["type", "elements"], findings);
        if item.kind(findings) != "rich_text_section" {
            findings.add(&item.at("type"), "a list holds rich_text_section only");
        }
        inline_all(&item, true, findings);
    }
}

/// The elements of a container; preformatted text takes only `text` and `link`.
fn inline_all(container: &Object<'_>, every_kind: bool, findings: &mut LayoutErrors) {
    for (index, element) in container.array("elements", 1..=usize::MAX, findings).iter().enumerate() {
        let pointer = format!("{}/elements/{index}", container.pointer);
        inline(element, pointer, every_kind, findings);
    }
}

fn inline(value: &Value, pointer: String, every_kind: bool, findings: &mut LayoutErrors) {
    let Some(element) = Object::of(value, pointer, findings) else { return };
    let kind = element.kind(findings);
    if !every_kind && !matches!(kind, "text" | "link") {
        findings.add(&element.at("type"), "preformatted text holds text and links only");
        return;
    }
    match kind {
        "text" => {
            element.allow_only(&["type", "text", "style"], findings);
            element.string("text", 1..=MAX_RUN, true, findings);
        }
        "link" => {
            element.allow_only(&["type", "url", "text", "unsafe", "style"], findings);
            element.url("url", MAX_RUN, true, findings);
            element.string("text", 1..=MAX_RUN, false, findings);
            element.boolean("unsafe", findings);
        }
        "user" => id(&element, "user_id", findings),
        "usergroup" => id(&element, "usergroup_id", findings),
        "channel" => id(&element, "channel_id", findings),
        "team" => id(&element, "team_id", findings),
        "emoji" => {
            element.allow_only(&["type", "name", "unicode", "skin_tone", "style"], findings);
            element.string("name", 1..=100, true, findings);
        }
        "broadcast" => {
            element.allow_only(&["type", "range", "style"], findings);
            element.one_of("range", &["here", "channel", "everyone"], true, findings);
        }
        "color" => {
            element.allow_only(&["type", "value"], findings);
            element.string("value", 1..=20, true, findings);
        }
        "date" => {
            element.allow_only(&["type", "timestamp", "format", "url", "fallback", "style"], findings);
            if !element.has("timestamp") {
                findings.add(&element.pointer, "missing required field: timestamp");
            }
            element.number("timestamp", 0..=i64::MAX, findings);
            element.string("format", 1..=300, true, findings);
            element.url("url", MAX_RUN, false, findings);
            element.string("fallback", 1..=300, false, findings);
        }
        _ => findings.add(&element.at("type"), "unsupported rich text element"),
    }
    if let Some(style) = element.get("style")
        && let Some(style) = Object::of(style, element.at("style"), findings)
    {
        let known =
            ["bold", "italic", "strike", "code", "underline", "highlight", "client_highlight", "unlink"];
        style.allow_only(&known, findings);
        for flag in known {
            style.boolean(flag, findings);
        }
    }
}

fn id(element: &Object<'_>, field: &str, findings: &mut LayoutErrors) {
    element.allow_only(&["type", field, "style"], findings);
    element.string(field, 1..=50, true, findings);
}
