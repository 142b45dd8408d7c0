//! The blocks that a message or a modal may hold.

use std::collections::HashSet;

use serde_json::Value;

use super::elements;
use super::rich_text;
use super::shape::{LayoutErrors, Object};

const MAX_BLOCK_ID: usize = 255;
const MAX_TEXT: usize = 3_000;
const MAX_FIELDS: usize = 10;
const MAX_FIELD_TEXT: usize = 2_000;
const MAX_HEADER: usize = 150;
const MAX_ACTIONS: usize = 25;
const MAX_CONTEXT: usize = 10;
const MAX_IMAGE_TEXT: usize = 2_000;
/// Over all markdown blocks of a message together.
const MAX_MARKDOWN: usize = 12_000;

/// Labels and hints of inputs.
const MAX_LABEL: usize = 2_000;

/// Where blocks stand. Inputs are taken only in views.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Surface {
    Message,
    View,
}

/// Checks blocks one by one and what must hold between them.
pub(super) fn check_all(blocks: &[Value], surface: Surface, findings: &mut LayoutErrors) {
    let place = match surface {
        Surface::Message => "",
        Surface::View => "/blocks",
    };
    let mut block_ids = HashSet::new();
    let mut markdown = 0;
    for (index, block) in blocks.iter().enumerate() {
        let Some(block) = Object::of(block, format!("{place}/{index}"), findings) else { continue };
        if let Some(id) = block.string("block_id", 1..=MAX_BLOCK_ID, false, findings)
            && !block_ids.insert(id)
        {
            findings.add(&block.at("block_id"), "must be unique among the blocks");
        }
        match block.kind(findings) {
            "section" => section(&block, findings),
            "header" => header(&block, findings),
            "context" => context(&block, findings),
            "divider" => block.allow_only(&["type", "block_id"], findings),
            "actions" => actions(&block, findings),
            "image" => image(&block, findings),
            "rich_text" => rich_text::check(&block, findings),
            "markdown" => {
                block.allow_only(&["type", "block_id", "text"], findings);
                let text = block.string("text", 1..=MAX_MARKDOWN, true, findings).unwrap_or_default();
                markdown += text.chars().count();
                if markdown > MAX_MARKDOWN {
                    findings.add(&block.pointer, "markdown blocks exceed 12000 characters together");
                }
            }
            "input" if surface == Surface::View => input(&block, findings),
            "input" => findings.add(&block.pointer, "input blocks are taken only in views"),
            _ => findings.add(&block.at("type"), "unsupported block type"),
        }
    }
}

fn section(block: &Object<'_>, findings: &mut LayoutErrors) {
    block.allow_only(&["type", "block_id", "text", "fields", "accessory", "expand"], findings);
    if !block.has("text") && !block.has("fields") {
        findings.add(&block.pointer, "a section needs text or fields");
    }
    if block.has("text") {
        elements::text(block, "text", elements::Markup::Allowed, MAX_TEXT, findings);
    }
    if block.has("fields") {
        for (index, field) in block.array("fields", 1..=MAX_FIELDS, findings).iter().enumerate() {
            let pointer = format!("{}/fields/{index}", block.pointer);
            elements::text_object(field, pointer, elements::Markup::Allowed, MAX_FIELD_TEXT, findings);
        }
    }
    if let Some(accessory) = block.get("accessory") {
        elements::accessory(accessory, block.at("accessory"), findings);
    }
    block.boolean("expand", findings);
}

fn header(block: &Object<'_>, findings: &mut LayoutErrors) {
    block.allow_only(&["type", "block_id", "text"], findings);
    elements::text(block, "text", elements::Markup::Refused, MAX_HEADER, findings);
}

fn context(block: &Object<'_>, findings: &mut LayoutErrors) {
    block.allow_only(&["type", "block_id", "elements"], findings);
    for (index, element) in block.array("elements", 1..=MAX_CONTEXT, findings).iter().enumerate() {
        let pointer = format!("{}/elements/{index}", block.pointer);
        if element.get("type").and_then(Value::as_str) == Some("image") {
            elements::image(element, pointer, findings);
        } else {
            elements::text_object(element, pointer, elements::Markup::Allowed, MAX_TEXT, findings);
        }
    }
}

fn actions(block: &Object<'_>, findings: &mut LayoutErrors) {
    block.allow_only(&["type", "block_id", "elements"], findings);
    let mut action_ids = HashSet::new();
    for (index, element) in block.array("elements", 1..=MAX_ACTIONS, findings).iter().enumerate() {
        let pointer = format!("{}/elements/{index}", block.pointer);
        if let Some(id) = element.get("action_id").and_then(Value::as_str)
            && !action_ids.insert(id)
        {
            findings.add(&format!("{pointer}/action_id"), "must be unique in the block");
        }
        elements::interactive(element, pointer, findings);
    }
}

fn input(block: &Object<'_>, findings: &mut LayoutErrors) {
    block.allow_only(
        &["type", "block_id", "label", "element", "hint", "optional", "dispatch_action"],
        findings,
    );
    elements::text(block, "label", elements::Markup::Refused, MAX_LABEL, findings);
    if block.has("hint") {
        elements::text(block, "hint", elements::Markup::Refused, MAX_LABEL, findings);
    }
    block.boolean("optional", findings);
    block.boolean("dispatch_action", findings);
    match block.get("element") {
        Some(element) => elements::input(element, block.at("element"), findings),
        None => findings.add(&block.pointer, "missing required field: element"),
    }
}

fn image(block: &Object<'_>, findings: &mut LayoutErrors) {
    block.allow_only(&["type", "block_id", "image_url", "alt_text", "title"], findings);
    elements::image_fields(block, findings);
    if block.has("title") {
        elements::text(block, "title", elements::Markup::Refused, MAX_IMAGE_TEXT, findings);
    }
}
