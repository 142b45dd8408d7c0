//! Modals: one stack of views for each user, what stands in them and what was typed into them.
//!
//! Opening them over the Web API is in `methods/views.rs`, using them as a user in `users/submit.rs`.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value, json};

use super::interactive::random_token;
use super::users::elements::{self, Button};
use super::workspace::{Bot, Team};

/// Views above one another.
pub(super) const MAX_STACK: usize = 3;

/// A view in a user's client.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) id: String,
    pub(super) hash: String,
    root: String,
    previous: Option<String>,
    /// As the app sent it, with a `block_id` in every block.
    content: Map<String, Value>,
    /// What is typed and chosen, by block and action, as it stands in `state.values`.
    pub(super) values: BTreeMap<String, BTreeMap<String, Value>>,
    /// The errors that the app returned, by block.
    pub(super) errors: BTreeMap<String, String>,
    /// Which opening or pushing of the workspace put it there.
    pub(super) number: u64,
}

impl View {
    /// What the app put into a field, if it did.
    pub(super) fn text(&self, field: &str) -> Option<&str> {
        self.content.get(field).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// The button that submits, if there is one that can be pressed.
    pub(super) fn to_submit(&self) -> Option<&Value> {
        self.content.get("submit").filter(|_| !self.flag("submit_disabled"))
    }

    pub(super) fn flag(&self, field: &str) -> bool {
        self.content.get(field).and_then(Value::as_bool).unwrap_or(false)
    }

    pub(super) fn blocks(&self) -> &[Value] {
        self.content.get("blocks").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
    }

    /// Replaces what stands in it. What was typed stays where the input stayed.
    pub(super) fn replace(&mut self, content: Map<String, Value>) {
        let (content, mut values) = with_ids(content);
        for (block, actions) in &mut values {
            for (action, value) in actions {
                let typed = self.values.get(block).and_then(|actions| actions.get(action));
                if let Some(typed) = typed.filter(|typed| typed.get("type") == value.get("type")) {
                    *value = typed.clone();
                }
            }
        }
        self.content = content;
        self.values = values;
        self.errors.clear();
        self.hash = new_hash();
    }

    /// The view as the Web API and payloads show it.
    pub(super) fn to_api(&self, team: &Team, bot: &Bot) -> Map<String, Value> {
        let mut fields = Map::new();
        let defaults = [
            ("private_metadata", json!("")),
            ("callback_id", json!("")),
            ("external_id", json!("")),
            ("close", Value::Null),
            ("submit", Value::Null),
            ("clear_on_close", json!(false)),
            ("notify_on_close", json!(false)),
        ];
        fields.extend(defaults.map(|(name, value)| (name.to_owned(), value)));
        fields.extend(self.content.clone());
        let own = [
            ("id", json!(self.id)),
            ("team_id", json!(team.id)),
            ("hash", json!(self.hash)),
            ("state", json!({ "values": self.values })),
            ("root_view_id", json!(self.root)),
            ("previous_view_id", json!(self.previous)),
            ("app_id", json!(bot.app_id)),
            ("app_installed_team_id", json!(team.id)),
            ("bot_id", json!(bot.bot_id)),
        ];
        fields.extend(own.map(|(name, value)| (name.to_owned(), value)));
        fields
    }
}

/// The stacks of all users, the lowest view first. Their number is bounded by that of users.
#[derive(Default)]
pub(super) struct Views {
    stacks: BTreeMap<String, Vec<View>>,
    opened: u64,
}

impl Views {
    /// How many views were ever opened or pushed.
    pub(super) fn count(&self) -> u64 {
        self.opened
    }

    pub(super) fn stack(&self, user: &str) -> &[View] {
        self.stacks.get(user).map(Vec::as_slice).unwrap_or_default()
    }

    pub(super) fn top(&self, user: &str) -> Option<&View> {
        self.stack(user).last()
    }

    pub(super) fn top_mut(&mut self, user: &str) -> Option<&mut View> {
        self.stacks.get_mut(user)?.last_mut()
    }

    /// A view by its id, in whosever client it is.
    pub(super) fn by_id(&mut self, id: &str) -> Option<&mut View> {
        self.stacks.values_mut().flatten().find(|view| view.id == id)
    }

    pub(super) fn by_external_id(&mut self, id: &str) -> Option<&mut View> {
        self.stacks.values_mut().flatten().find(|view| view.text("external_id") == Some(id))
    }

    /// Whether another view than `own` has this external id.
    pub(super) fn has_external_id(&self, external_id: &str, own: Option<&str>) -> bool {
        let mut views = self.stacks.values().flatten();
        views.any(|view| view.text("external_id") == Some(external_id) && own != Some(view.id.as_str()))
    }

    /// Shows a modal in place of whatever the user had open.
    pub(super) fn open(&mut self, user: &str, content: Map<String, Value>) -> View {
        self.clear(user);
        self.push(user, content)
    }

    /// Shows a view above the others; the caller minds [`MAX_STACK`].
    pub(super) fn push(&mut self, user: &str, content: Map<String, Value>) -> View {
        self.opened += 1;
        let number = self.opened;
        let (content, values) = with_ids(content);
        let stack = self.stacks.entry(user.to_owned()).or_default();
        let id = format!("V0{number:06}");
        let view = View {
            hash: new_hash(),
            root: stack.first().map_or_else(|| id.clone(), |view| view.id.clone()),
            previous: stack.last().map(|view| view.id.clone()),
            id,
            content,
            values,
            errors: BTreeMap::new(),
            number,
        };
        stack.push(view.clone());
        view
    }

    /// Closes the uppermost view.
    pub(super) fn pop(&mut self, user: &str) {
        if let Some(stack) = self.stacks.get_mut(user) {
            stack.pop();
        }
    }

    /// Closes all of a user's views.
    pub(super) fn clear(&mut self, user: &str) {
        self.stacks.remove(user);
    }
}

fn new_hash() -> String {
    format!("1795363190.{}", random_token())
}

type Values = BTreeMap<String, BTreeMap<String, Value>>;

/// Gives every block an id and every input its first value.
fn with_ids(mut content: Map<String, Value>) -> (Map<String, Value>, Values) {
    let mut values = Values::new();
    let Some(blocks) = content.get_mut("blocks").and_then(Value::as_array_mut) else {
        return (content, values);
    };
    for (index, block) in blocks.iter_mut().enumerate() {
        let Some(block) = block.as_object_mut() else { continue };
        let own = format!("v{index}");
        let block_id = block.entry("block_id").or_insert_with(|| json!(own));
        let block_id = block_id.as_str().unwrap_or_default().to_owned();
        if block.get("type").and_then(Value::as_str) != Some("input") {
            continue;
        }
        let Some(element) = block.get_mut("element").and_then(Value::as_object_mut) else { continue };
        let action_id = element.entry("action_id").or_insert_with(|| json!(format!("a{index}")));
        let action_id = action_id.as_str().unwrap_or_default().to_owned();
        let kind = element.get("type").and_then(Value::as_str).unwrap_or_default();
        let value = match kind {
            "static_select" => {
                json!({ "type": kind, "selected_option": element.get("initial_option") })
            }
            _ => json!({ "type": kind, "value": element.get("initial_value") }),
        };
        values.entry(block_id).or_default().insert(action_id, value);
    }
    (content, values)
}

/// A modal as a user sees it.
#[derive(Debug, Clone, Serialize)]
pub struct OpenView {
    /// `V…`.
    pub id: String,
    /// Changes with every update.
    pub hash: String,
    /// Whose client it is in.
    pub user: String,
    /// The text above.
    pub title: String,
    /// The label of the button that submits, if there is one.
    pub submit: Option<String>,
    /// The label of the button that closes, if the app chose one.
    pub close: Option<String>,
    /// The blocks, each with a `block_id`.
    pub blocks: Vec<Value>,
    /// What the app hid in it.
    pub private_metadata: String,
    /// As the app named it.
    pub callback_id: String,
    /// What is typed and chosen, by block and action.
    pub values: BTreeMap<String, BTreeMap<String, Value>>,
    /// The errors that the app returned, by block.
    pub errors: BTreeMap<String, String>,
    /// The buttons within it.
    pub buttons: Vec<Button>,
}

impl OpenView {
    pub(super) fn of(user: &str, view: &View) -> Self {
        let label = |field: &str| {
            let text = view.content.get(field).and_then(|label| label.get("text"));
            text.and_then(Value::as_str).map(str::to_owned)
        };
        let text = |field: &str| view.text(field).unwrap_or_default().to_owned();
        OpenView {
            id: view.id.clone(),
            hash: view.hash.clone(),
            user: user.to_owned(),
            title: label("title").unwrap_or_default(),
            submit: label("submit"),
            close: label("close"),
            blocks: view.blocks().to_vec(),
            private_metadata: text("private_metadata"),
            callback_id: text("callback_id"),
            values: view.values.clone(),
            errors: view.errors.clone(),
            buttons: elements::buttons(view.blocks()),
        }
    }
}
