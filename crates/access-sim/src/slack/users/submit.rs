//! Filling in a modal, submitting it, and what its app answers; closing it.

use std::collections::BTreeMap;
use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde_json::{Map, Value, json};

use super::super::SlackSim;
use super::super::interactive::dispatch::{self, Delivery};
use super::super::interactive::forgery::Forgery;
use super::super::interactive::{Warning, payload};
use super::super::limits;
use super::super::state::{Moment, State};
use super::super::views::{MAX_STACK, OpenView, View};
use super::{ActionError, ActionOutcome, Baseline, ClientFeedback, elements, find_user};

/// By block.
type FieldErrors = BTreeMap<String, String>;

/// A submission, not sent before it is awaited.
#[must_use = "a submission does nothing until it is awaited"]
#[derive(Clone)]
pub struct Submission {
    sim: SlackSim,
    user: String,
    view_id: String,
    values: Vec<(String, String)>,
    unchecked: bool,
    forgery: Forgery,
}

/// What the user sees after submitting.
#[derive(Debug, Clone)]
pub enum SubmitResult {
    /// The client found it incomplete and sent nothing; errors by block.
    Incomplete(FieldErrors),
    /// The modal is closed; if one lay below it, that shows now.
    Closed,
    /// All modals are closed.
    Cleared,
    /// The app returned errors, by block. The modal stays.
    Errors(FieldErrors),
    /// The modal shows something else.
    Updated(Box<OpenView>),
    /// Another modal is above it.
    Pushed(Box<OpenView>),
    /// The client shows that something went wrong. The modal stays.
    Warned(Warning),
}

/// What a submission comes to once it is filled in.
enum FilledForm {
    Incomplete(FieldErrors),
    Complete(Value),
}

/// A submission and what came of it.
#[derive(Debug, Clone)]
pub struct Submitted {
    /// What the user sees at once.
    pub result: SubmitResult,
    /// What they see besides and later.
    pub outcome: ActionOutcome,
}

impl Submission {
    pub(super) fn new(sim: SlackSim, user: &str, view_id: &str, values: &[(&str, &str)]) -> Self {
        Submission {
            sim,
            user: user.to_owned(),
            view_id: view_id.to_owned(),
            values: values.iter().map(|(id, value)| ((*id).to_owned(), (*value).to_owned())).collect(),
            unchecked: false,
            forgery: Forgery::default(),
        }
    }

    /// Sends it though the client would not: inputs empty, too short or too long.
    pub fn unchecked(self) -> Self {
        Submission { unchecked: true, ..self }
    }

    /// Sends something else than what was done.
    pub fn forged(self, forgery: Forgery) -> Self {
        Submission { forgery, ..self }
    }

    async fn execute(self) -> Result<Submitted, ActionError> {
        let (before, filled) = self.fill_in()?;
        let Submission { sim, user, view_id, forgery, .. } = self;
        let payload = match filled {
            FilledForm::Complete(payload) => payload,
            FilledForm::Incomplete(found) => {
                let seen = ActionOutcome::new(&sim, &user, before, ClientFeedback::Nothing);
                return Ok(Submitted { result: SubmitResult::Incomplete(found), outcome: seen });
            }
        };
        let parcel = Delivery {
            kind: "view_submission",
            user: user.clone(),
            payload,
            accepts_response: true,
            forgery,
        };
        let delivered = dispatch::deliver(&sim, parcel).await;
        let answer = match &delivered.result {
            Ok(answer) => sim
                .modify(|state| apply_response(state, &user, &view_id, answer))
                .unwrap_or_else(SubmitResult::Warned),
            Err(warning) => SubmitResult::Warned(warning.clone()),
        };
        let mut seen = ActionOutcome::delivered(&sim, &user, before, delivered);
        if let SubmitResult::Warned(warning) = &answer {
            seen.feedback = ClientFeedback::Warned(warning.clone());
        }
        Ok(Submitted { result: answer, outcome: seen })
    }

    /// Types everything into the view and makes the payload, or returns the errors that the client shows.
    fn fill_in(&self) -> Result<(Baseline, FilledForm), ActionError> {
        let now = Moment::now();
        let mut state = self.sim.shared.state();
        let person = find_user(&state, &self.user)?;
        let before = Baseline::now(&state);
        let view = state.views.top_mut(&person.id).filter(|view| view.id == self.view_id);
        let view = view.ok_or_else(|| ActionError::NoView(self.view_id.clone()))?;
        if view.to_submit().is_none() {
            return Err(ActionError::NoSubmit(self.view_id.clone()));
        }
        for (action_id, value) in &self.values {
            type_in(view, action_id, value)?;
        }
        view.errors.clear();
        let found = if self.unchecked { BTreeMap::new() } else { validate(view) };
        if !found.is_empty() {
            return Ok((before, FilledForm::Incomplete(found)));
        }
        let view = view.clone();
        let trigger = state.triggers.create(&person.id, now.instant);
        Ok((before, FilledForm::Complete(payload::view_submission(&state, &person, &view, &trigger))))
    }
}

impl IntoFuture for Submission {
    type Output = Result<Submitted, ActionError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.execute())
    }
}

fn inputs(view: &View) -> impl Iterator<Item = &Value> {
    view.blocks().iter().filter(|block| block.get("type").and_then(Value::as_str) == Some("input"))
}

/// A string somewhere below `owner`; empty if it is not there.
fn text<'a>(owner: &'a Value, pointer: &str) -> &'a str {
    owner.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn type_in(view: &mut View, action_id: &str, typed: &str) -> Result<(), ActionError> {
    let found = inputs(view).find(|block| text(block, "/element/action_id") == action_id);
    let block = found.ok_or_else(|| ActionError::NoElement(action_id.to_owned()))?;
    let block_id = text(block, "/block_id").to_owned();
    let kind = text(block, "/element/type");
    let value = if kind == "static_select" {
        let option = block.get("element").and_then(|menu| elements::option(menu, Some(typed)));
        let option = option.ok_or_else(|| ActionError::NoOption(action_id.to_owned()))?;
        json!({ "type": kind, "selected_option": option })
    } else {
        // An input that is emptied says null, not an empty text.
        json!({ "type": kind, "value": Some(typed).filter(|typed| !typed.is_empty()) })
    };
    view.values.entry(block_id).or_default().insert(action_id.to_owned(), value);
    Ok(())
}

/// The errors that the client shows before it sends anything.
fn validate(view: &View) -> FieldErrors {
    let mut found = BTreeMap::new();
    for block in inputs(view) {
        let (block_id, action_id) = (text(block, "/block_id"), text(block, "/element/action_id"));
        let value = view.values.get(block_id).and_then(|actions| actions.get(action_id));
        let typed = value.and_then(|value| value.get("value")).and_then(Value::as_str);
        let chosen = value.and_then(|value| value.get("selected_option")).is_some_and(Value::is_object);
        let bound = |field: &str| {
            let bound = block.pointer(&format!("/element/{field}")).and_then(Value::as_u64);
            bound.and_then(|bound| usize::try_from(bound).ok())
        };
        let length = typed.map(|typed| typed.chars().count());
        let error = match length {
            None if chosen || block.get("optional") == Some(&json!(true)) => continue,
            None => "Please complete this required field.".to_owned(),
            Some(length) if length > bound("max_length").unwrap_or(3_000) => "This is too long.".to_owned(),
            Some(length) if length < bound("min_length").unwrap_or(0) => "This is too short.".to_owned(),
            Some(_) => continue,
        };
        found.insert(block_id.to_owned(), error);
    }
    found
}

/// What the app's answer does to the user's modals.
fn apply_response(
    state: &mut State,
    user: &str,
    view_id: &str,
    answer: &Value,
) -> Result<SubmitResult, Warning> {
    let bad = |reason: &str| Warning::BadAnswer(reason.to_owned());
    // It may have been closed, or another opened in its place, while the app thought about it.
    let stands = state.views.top(user).is_some_and(|view| view.id == view_id);
    let fields = match answer {
        Value::Null => Map::new(),
        Value::Object(fields) => fields.clone(),
        _ => return Err(bad("neither empty nor a JSON object")),
    };
    let action = match fields.get("response_action") {
        None if fields.is_empty() => {
            if stands {
                state.views.pop(user);
            }
            return Ok(SubmitResult::Closed);
        }
        None => return Err(bad("a JSON object without response_action")),
        Some(action) => action.as_str().unwrap_or_default(),
    };
    if action == "clear" {
        state.views.clear(user);
        return Ok(SubmitResult::Cleared);
    }
    if !stands {
        return Err(bad("the view is no longer open"));
    }
    let content = || match fields.get("view") {
        Some(view) => match limits::check_view(view) {
            Ok(()) => Ok(view.as_object().cloned().unwrap_or_default()),
            Err(refused) => Err(Warning::BadAnswer(refused.to_string())),
        },
        None => Err(bad("no view")),
    };
    match action {
        "errors" => {
            let view = state.views.top_mut(user).ok_or_else(|| bad("no view"))?;
            let errors = errors_for(view, fields.get("errors"))?;
            view.errors.clone_from(&errors);
            Ok(SubmitResult::Errors(errors))
        }
        "update" => {
            let content = content()?;
            let view = state.views.top_mut(user).ok_or_else(|| bad("no view"))?;
            view.replace(content);
            Ok(SubmitResult::Updated(Box::new(OpenView::of(user, view))))
        }
        "push" if state.views.stack(user).len() >= MAX_STACK => Err(bad("three views lie there already")),
        "push" => {
            let view = state.views.push(user, content()?);
            Ok(SubmitResult::Pushed(Box::new(OpenView::of(user, &view))))
        }
        _ => Err(bad("an unknown response_action")),
    }
}

/// The errors in an answer: at least one, each about an input of the view.
fn errors_for(view: &View, errors: Option<&Value>) -> Result<FieldErrors, Warning> {
    let bad = |reason: &str| Warning::BadAnswer(reason.to_owned());
    let errors = errors.and_then(Value::as_object).filter(|errors| !errors.is_empty());
    let mut found = BTreeMap::new();
    for (block_id, error) in errors.ok_or_else(|| bad("no errors"))? {
        if !inputs(view).any(|block| text(block, "/block_id") == block_id) {
            return Err(bad("an error for a block that is no input of the view"));
        }
        let error = error.as_str().filter(|error| !error.is_empty());
        let error = error.ok_or_else(|| bad("an error without text"))?;
        found.insert(block_id.clone(), error.to_owned());
    }
    Ok(found)
}

/// Closes the uppermost modal, or all of them if it says so.
pub(super) async fn close(sim: &SlackSim, user: &str, view_id: &str) -> Result<ActionOutcome, ActionError> {
    let (before, payload) = sim.modify(|state| {
        let person = find_user(state, user)?;
        let before = Baseline::now(state);
        let view = state.views.top(user).filter(|view| view.id == view_id).cloned();
        let view = view.ok_or_else(|| ActionError::NoView(view_id.to_owned()))?;
        let all = view.flag("clear_on_close");
        if all {
            state.views.clear(user);
        } else {
            state.views.pop(user);
        }
        let notifies = view.flag("notify_on_close");
        Ok((before, notifies.then(|| payload::view_closed(state, &person, &view, all))))
    })?;
    let Some(payload) = payload else {
        return Ok(ActionOutcome::new(sim, user, before, ClientFeedback::Nothing));
    };
    let user = user.to_owned();
    let forgery = Forgery::default();
    let parcel =
        Delivery { kind: "view_closed", user: user.clone(), payload, accepts_response: false, forgery };
    let delivered = dispatch::deliver(sim, parcel).await;
    Ok(ActionOutcome::delivered(sim, &user, before, delivered))
}
