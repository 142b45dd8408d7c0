//! What users do in Slack, as the page posts it: they press buttons, submit and close modals.
//!
//! What the client lets them do is the simulator's decision. What follows (a modal, an ephemeral message) is in
//! the state that the page reads anyway; the answer here holds only what the client shows for the act itself.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{DemoUi, HttpError};
use crate::slack::interactive::Warning;
use crate::slack::users::ActionError;
use crate::slack::users::elements::Confirm;
use crate::slack::users::submit::SubmitResult;

type Body<T> = Result<Json<T>, JsonRejection>;

/// What the client shows for the act itself; everything is absent if that is nothing unusual.
#[derive(Default, Serialize)]
pub(super) struct ClickResponse {
    /// The sentence beside what was pressed, if the app did not take it.
    #[serde(skip_serializing_if = "Option::is_none")]
    warning: Option<String>,
    /// The question that comes first; nothing was sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<Confirm>,
    /// Errors of a submission, by block; the modal stays.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ClickBody {
    user: String,
    channel: String,
    ts: String,
    action_id: String,
    #[serde(default)]
    block_id: Option<String>,
    #[serde(default)]
    confirmed: bool,
}

pub(super) async fn click(
    State(page): State<DemoUi>,
    body: Body<ClickBody>,
) -> Result<Json<ClickResponse>, HttpError> {
    let pressed = body?.0;
    let slack = &page.simulators.slack;
    let mut click = slack.click(&pressed.user, &pressed.channel, &pressed.ts, &pressed.action_id);
    if let Some(block_id) = &pressed.block_id {
        click = click.in_block(block_id);
    }
    if pressed.confirmed {
        click = click.confirmed();
    }
    let seen = click.await?;
    let warning = seen.warning().map(beside_a_message);
    Ok(Json(ClickResponse { warning, confirm: seen.confirm().cloned(), ..ClickResponse::default() }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SubmitBody {
    user: String,
    view_id: String,
    /// What was typed, by action id.
    values: BTreeMap<String, String>,
}

pub(super) async fn submit(
    State(page): State<DemoUi>,
    body: Body<SubmitBody>,
) -> Result<Json<ClickResponse>, HttpError> {
    let SubmitBody { user, view_id, values } = body?.0;
    let values: Vec<_> = values.iter().map(|(id, text)| (id.as_str(), text.as_str())).collect();
    let submitted = page.simulators.slack.submit_view(&user, &view_id, &values).await?;
    Ok(Json(match submitted.result {
        SubmitResult::Incomplete(errors) | SubmitResult::Errors(errors) => {
            ClickResponse { errors, ..ClickResponse::default() }
        }
        SubmitResult::Warned(warning) => {
            ClickResponse { warning: Some(in_a_modal(&warning)), ..ClickResponse::default() }
        }
        SubmitResult::Closed | SubmitResult::Cleared | SubmitResult::Updated(_) | SubmitResult::Pushed(_) => {
            ClickResponse::default()
        }
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CloseBody {
    user: String,
    view_id: String,
}

pub(super) async fn close(
    State(page): State<DemoUi>,
    body: Body<CloseBody>,
) -> Result<Json<ClickResponse>, HttpError> {
    let CloseBody { user, view_id } = body?.0;
    page.simulators.slack.close_view(&user, &view_id).await?;
    Ok(Json(ClickResponse::default()))
}

/// What Slack writes under a message whose button led to nothing.
fn beside_a_message(warning: &Warning) -> String {
    match warning {
        Warning::NotConfigured => "This app is not configured to handle interactive responses.".to_owned(),
        Warning::TimedOut => "Operation timed out. Apps need to respond within 3 seconds.".to_owned(),
        Warning::Status(status) => format!("This app responded with Status Code {status}."),
        Warning::Unreachable(_) | Warning::BadAnswer(_) => {
            "This app did not respond the way it should.".to_owned()
        }
    }
}

/// What Slack writes into a modal whose submission led to nothing.
fn in_a_modal(warning: &Warning) -> String {
    match warning {
        Warning::NotConfigured => beside_a_message(warning),
        _ => "We had some trouble connecting. Try again?".to_owned(),
    }
}

impl From<ActionError> for HttpError {
    fn from(cause: ActionError) -> Self {
        let status = match cause {
            ActionError::NoClient(_) | ActionError::CannotSee { .. } => StatusCode::FORBIDDEN,
            ActionError::NoMessage(_) | ActionError::NoView(_) | ActionError::NoElement(_) => {
                StatusCode::NOT_FOUND
            }
            ActionError::Ambiguous(_) | ActionError::NoOption(_) | ActionError::NoSubmit(_) => {
                StatusCode::CONFLICT
            }
        };
        Self::new(status, format!("Slack: {cause}."))
    }
}
