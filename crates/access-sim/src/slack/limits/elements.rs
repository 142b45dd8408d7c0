//! Text objects and the elements that stand inside blocks.

use serde_json::Value;

use super::shape::{LayoutErrors, Object};

const MAX_ACTION_ID: usize = 255;
const MAX_BUTTON_TEXT: usize = 75;
const MAX_BUTTON_VALUE: usize = 2_000;
const MAX_URL: usize = 3_000;
const MAX_ALT_TEXT: usize = 2_000;
const MAX_PLACEHOLDER: usize = 150;
/// Slack's own sources disagree on the value (75 or 150); the smaller one is safe with both.
const MAX_OPTION_TEXT: usize = 75;
const MAX_SELECT_OPTIONS: usize = 100;
const MAX_OVERFLOW_OPTIONS: usize = 5;
/// Of a text input, in characters; also the default of `max_length`.
const MAX_INPUT: i64 = 3_000;

/// Whether a text object may be `mrkdwn`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Markup {
    Allowed,
    Refused,
}

/// The required text object in `field`.
pub(super) fn text(owner: &Object<'_>, field: &str, markup: Markup, max: usize, findings: &mut LayoutErrors) {
    match owner.get(field) {
        Some(value) => text_object(value, owner.at(field), markup, max, findings),
        None => findings.add(&owner.pointer, &format!("missing required field: {field}")),
    }
}

pub(super) fn text_object(
    value: &Value,
    pointer: String,
    markup: Markup,
    max: usize,
    findings: &mut LayoutErrors,
) {
    let Some(text) = Object::of(value, pointer, findings) else { return };
    match text.kind(findings) {
        "plain_text" => {
            text.allow_only(&["type", "text", "emoji"], findings);
            text.boolean("emoji", findings);
        }
        "mrkdwn" if markup == Markup::Allowed => {
            text.allow_only(&["type", "text", "verbatim"], findings);
            text.boolean("verbatim", findings);
        }
        "mrkdwn" => findings.add(&text.at("type"), "must be plain_text"),
        _ => findings.add(&text.at("type"), "must be plain_text or mrkdwn"),
    }
    text.string("text", 1..=max, true, findings);
}

/// What may stand beside a section.
pub(super) fn accessory(value: &Value, pointer: String, findings: &mut LayoutErrors) {
    if value.get("type").and_then(Value::as_str) == Some("image") {
        image(value, pointer, findings);
    } else {
        interactive(value, pointer, findings);
    }
}

/// An image element.
pub(super) fn image(value: &Value, pointer: String, findings: &mut LayoutErrors) {
    let Some(image) = Object::of(value, pointer, findings) else { return };
    image.allow_only(&["type", "image_url", "alt_text"], findings);
    image_fields(&image, findings);
}

/// What image elements and image blocks have in common.
pub(super) fn image_fields(image: &Object<'_>, findings: &mut LayoutErrors) {
    image.url("image_url", MAX_URL, true, findings);
    image.string("alt_text", 1..=MAX_ALT_TEXT, true, findings);
}

/// An element that a user can operate.
pub(super) fn interactive(value: &Value, pointer: String, findings: &mut LayoutErrors) {
    let Some(element) = Object::of(value, pointer, findings) else { return };
    element.string("action_id", 1..=MAX_ACTION_ID, false, findings);
    match element.kind(findings) {
        "button" => button(&element, findings),
        "static_select" => static_select(&element, findings),
        "overflow" => {
            element.allow_only(&["type", "action_id", "options", "confirm"], findings);
            options(&element, 1, MAX_OVERFLOW_OPTIONS, Links::Allowed, findings);
        }
        _ => findings.add(&element.at("type"), "unsupported element type"),
    }
    if let Some(question) = element.get("confirm") {
        confirm(question, element.at("confirm"), findings);
    }
}

/// An element that takes what users type or choose.
pub(super) fn input(value: &Value, pointer: String, findings: &mut LayoutErrors) {
    let Some(element) = Object::of(value, pointer, findings) else { return };
    element.string("action_id", 1..=MAX_ACTION_ID, false, findings);
    match element.kind(findings) {
        "plain_text_input" => plain_text_input(&element, findings),
        "static_select" => static_select(&element, findings),
        _ => findings.add(&element.at("type"), "unsupported element type"),
    }
    if element.has("confirm") {
        findings.add(&element.at("confirm"), "inputs take no confirmation");
    }
}

fn plain_text_input(input: &Object<'_>, findings: &mut LayoutErrors) {
    let known = [
        "type",
        "action_id",
        "placeholder",
        "initial_value",
        "multiline",
        "min_length",
        "max_length",
        "focus_on_load",
    ];
    input.allow_only(&known, findings);
    if input.has("placeholder") {
        text(input, "placeholder", Markup::Refused, MAX_PLACEHOLDER, findings);
    }
    input.string("initial_value", 0..=3_000, false, findings);
    input.boolean("multiline", findings);
    input.boolean("focus_on_load", findings);
    input.number("min_length", 0..=MAX_INPUT, findings);
    input.number("max_length", 1..=MAX_INPUT, findings);
    let bound = |field: &str| input.get(field).and_then(Value::as_i64);
    if let (Some(min), Some(max)) = (bound("min_length"), bound("max_length"))
        && min > max
    {
        findings.add(&input.at("min_length"), "must not be greater than max_length");
    }
}

fn button(button: &Object<'_>, findings: &mut LayoutErrors) {
    let known = ["type", "action_id", "text", "value", "url", "style", "confirm", "accessibility_label"];
    button.allow_only(&known, findings);
    text(button, "text", Markup::Refused, MAX_BUTTON_TEXT, findings);
    button.string("value", 1..=MAX_BUTTON_VALUE, false, findings);
    button.url("url", MAX_URL, false, findings);
    button.one_of("style", &["primary", "danger"], false, findings);
    button.string("accessibility_label", 1..=MAX_BUTTON_TEXT, false, findings);
}

fn static_select(select: &Object<'_>, findings: &mut LayoutErrors) {
    let known = [
        "type",
        "action_id",
        "placeholder",
        "options",
        "option_groups",
        "initial_option",
        "confirm",
        "focus_on_load",
    ];
    select.allow_only(&known, findings);
    if select.has("placeholder") {
        text(select, "placeholder", Markup::Refused, MAX_PLACEHOLDER, findings);
    }
    select.boolean("focus_on_load", findings);
    let mut offered: Vec<&Value> = Vec::new();
    match (select.has("options"), select.has("option_groups")) {
        (true, false) => offered.extend(options(select, 1, MAX_SELECT_OPTIONS, Links::Refused, findings)),
        (false, true) => {
            let groups = select.array("option_groups", 1..=MAX_SELECT_OPTIONS, findings);
            for (index, group) in groups.iter().enumerate() {
                let pointer = format!("{}/option_groups/{index}", select.pointer);
                let Some(group) = Object::of(group, pointer, findings) else { continue };
                group.allow_only(&["label", "options"], findings);
                text(&group, "label", Markup::Refused, MAX_OPTION_TEXT, findings);
                offered.extend(options(&group, 1, MAX_SELECT_OPTIONS, Links::Refused, findings));
            }
        }
        _ => findings.add(&select.pointer, "a select needs either options or option_groups"),
    }
    if let Some(initial) = select.get("initial_option")
        && !offered.contains(&initial)
    {
        findings.add(&select.at("initial_option"), "must be one of the options");
    }
}

/// Whether an option may carry a URL.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    Allowed,
    Refused,
}

fn options<'a>(
    owner: &Object<'a>,
    min: usize,
    max: usize,
    links: Links,
    findings: &mut LayoutErrors,
) -> &'a [Value] {
    let options = owner.array("options", min..=max, findings);
    for (index, option) in options.iter().enumerate() {
        let pointer = format!("{}/options/{index}", owner.pointer);
        let Some(option) = Object::of(option, pointer, findings) else { continue };
        match links {
            Links::Allowed => option.allow_only(&["text", "value", "description", "url"], findings),
            Links::Refused => option.allow_only(&["text", "value", "description"], findings),
        }
        text(&option, "text", Markup::Refused, MAX_OPTION_TEXT, findings);
        option.string("value", 1..=MAX_OPTION_TEXT, true, findings);
        option.url("url", MAX_URL, false, findings);
        if option.has("description") {
            text(&option, "description", Markup::Refused, MAX_OPTION_TEXT, findings);
        }
    }
    options
}

fn confirm(value: &Value, pointer: String, findings: &mut LayoutErrors) {
    let Some(confirm) = Object::of(value, pointer, findings) else { return };
    confirm.allow_only(&["title", "text", "confirm", "deny", "style"], findings);
    text(&confirm, "title", Markup::Refused, 100, findings);
    text(&confirm, "text", Markup::Refused, 300, findings);
    text(&confirm, "confirm", Markup::Refused, 30, findings);
    text(&confirm, "deny", Markup::Refused, 30, findings);
    confirm.one_of("style", &["primary", "danger"], false, findings);
}
