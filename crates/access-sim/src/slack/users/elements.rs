//! What can be pressed or chosen in blocks, as a user finds it.

use serde::Serialize;
use serde_json::{Value, json};

use super::super::ts::Ts;
use super::ActionError;

/// The question that a client asks before it sends a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Confirm {
    /// The title above the question.
    pub title: String,
    /// The question.
    pub text: String,
    /// The label of the button that goes on.
    pub confirm: String,
    /// The label of the button that does not.
    pub deny: String,
}

/// A button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Button {
    /// The block it is in.
    pub block_id: String,
    /// Empty if the app chose none; then no user can press it here.
    pub action_id: String,
    /// Its label.
    pub text: String,
    /// What the app gets back.
    pub value: Option<String>,
    /// `primary` or `danger`.
    pub style: Option<String>,
    /// The page that opens.
    pub url: Option<String>,
    /// The question that comes first.
    pub confirm: Option<Confirm>,
}

/// An element and the block it is in.
pub(in crate::slack) struct Found<'a> {
    block_id: &'a str,
    element: &'a Value,
}

/// The buttons in blocks, in reading order.
pub(in crate::slack) fn buttons(blocks: &[Value]) -> Vec<Button> {
    elements(blocks)
        .filter(|found| text(found.element, "type") == "button")
        .map(|found| found.button())
        .collect()
}

/// The one element with this action id, in this block if one is named.
pub(super) fn find<'a>(
    blocks: &'a [Value],
    block_id: Option<&str>,
    action_id: &str,
) -> Result<Found<'a>, ActionError> {
    let mut matching = elements(blocks)
        .filter(|found| text(found.element, "action_id") == action_id && !action_id.is_empty())
        .filter(|found| block_id.is_none_or(|block_id| block_id == found.block_id));
    match (matching.next(), matching.next()) {
        (Some(found), None) => Ok(found),
        (Some(_), Some(_)) => Err(ActionError::Ambiguous(action_id.to_owned())),
        (None, _) => Err(ActionError::NoElement(action_id.to_owned())),
    }
}

fn elements(blocks: &[Value]) -> impl Iterator<Item = Found<'_>> {
    blocks.iter().flat_map(|block| {
        let within = block.get("elements").filter(|_| text(block, "type") == "actions");
        let within = within.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let elements = within.iter().chain(block.get("accessory"));
        elements.map(|element| Found { block_id: text(block, "block_id"), element })
    })
}

impl Found<'_> {
    fn button(&self) -> Button {
        let optional = |field: &str| self.element.get(field).and_then(Value::as_str).map(str::to_owned);
        Button {
            block_id: self.block_id.to_owned(),
            action_id: text(self.element, "action_id").to_owned(),
            text: label(self.element, "text"),
            value: optional("value"),
            style: optional("style"),
            url: optional("url"),
            confirm: self.confirm(),
        }
    }

    pub(super) fn confirm(&self) -> Option<Confirm> {
        let confirm = self.element.get("confirm")?;
        Some(Confirm {
            title: label(confirm, "title"),
            text: label(confirm, "text"),
            confirm: label(confirm, "confirm"),
            deny: label(confirm, "deny"),
        })
    }

    /// The entry of `actions` in the payload.
    pub(super) fn action(&self, choice: Option<&str>, at: Ts) -> Result<Value, ActionError> {
        let mut action = self.element.clone();
        if text(self.element, "type") != "button" {
            let none = || ActionError::NoOption(text(self.element, "action_id").to_owned());
            action["selected_option"] = option(self.element, choice).ok_or_else(none)?;
            if let Some(fields) = action.as_object_mut() {
                fields.remove("options");
                fields.remove("option_groups");
            }
        }
        action["block_id"] = json!(self.block_id);
        action["action_ts"] = json!(at);
        Ok(action)
    }
}

/// The option of a menu with this value.
pub(super) fn option(menu: &Value, value: Option<&str>) -> Option<Value> {
    let listed = |owner: &Value| owner.get("options").and_then(Value::as_array).cloned().unwrap_or_default();
    let groups = menu.get("option_groups").and_then(Value::as_array).cloned().unwrap_or_default();
    let mut options = listed(menu).into_iter().chain(groups.iter().flat_map(listed));
    options.find(|option| option.get("value").and_then(Value::as_str) == value && value.is_some())
}

fn text<'a>(owner: &'a Value, field: &str) -> &'a str {
    owner.get(field).and_then(Value::as_str).unwrap_or_default()
}

fn label(owner: &Value, field: &str) -> String {
    owner.get(field).map(|label| text(label, "text")).unwrap_or_default().to_owned()
}
