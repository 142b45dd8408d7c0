//! What a modal view adds to its blocks: the title and the buttons around them, and what the app hides in it.

use serde_json::Value;

use super::blocks::{self, Surface};
use super::elements::{self, Markup};
use super::shape::{LayoutErrors, Object};

const MAX_VIEW_BLOCKS: usize = 100;
/// Title, submit and close.
const MAX_LABEL: usize = 24;
const MAX_PRIVATE_METADATA: usize = 3_000;
const MAX_ID: usize = 255;

/// Checks a whole view. Home tabs are refused: the simulator draws none.
pub(super) fn check(view: &Value, findings: &mut LayoutErrors) {
    let Some(view) = Object::of(view, String::new(), findings) else { return };
    let known = [
        "type",
        "title",
        "blocks",
        "close",
        "submit",
        "private_metadata",
        "callback_id",
        "clear_on_close",
        "notify_on_close",
        "external_id",
        "submit_disabled",
    ];
    view.allow_only(&known, findings);
    view.one_of("type", &["modal"], true, findings);
    elements::text(&view, "title", Markup::Refused, MAX_LABEL, findings);
    for label in ["submit", "close"] {
        if view.has(label) {
            elements::text(&view, label, Markup::Refused, MAX_LABEL, findings);
        }
    }
    view.string("private_metadata", 0..=MAX_PRIVATE_METADATA, false, findings);
    view.string("callback_id", 0..=MAX_ID, false, findings);
    view.string("external_id", 0..=MAX_ID, false, findings);
    for flag in ["clear_on_close", "notify_on_close", "submit_disabled"] {
        view.boolean(flag, findings);
    }
    let blocks = view.array("blocks", 1..=MAX_VIEW_BLOCKS, findings);
    let has_input = blocks.iter().any(|block| block.get("type").and_then(Value::as_str) == Some("input"));
    if has_input && !view.has("submit") {
        findings.add(&view.pointer, "a view with inputs needs submit");
    }
    blocks::check_all(blocks, Surface::View, findings);
}
