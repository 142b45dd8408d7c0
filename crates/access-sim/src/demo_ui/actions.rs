//! What users do in Teleport, as the page posts it, and the Teleport half of the state.
//!
//! Whether an action is allowed is the simulator's decision; its refusal goes to the page in its own words.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::StatusCode;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use tonic::Code;

use super::{DemoSimulators, DemoUi, HttpError};
use crate::teleport::audit::AuditEvent;
use crate::teleport::fixture::{Fixture, User};
use crate::teleport::presets::TCTL;
use crate::teleport::refusal::RpcError;
use crate::teleport::request::{AccessRequest, Decision, NewRequest, RequestState, Resource};

/// The Teleport half of `GET /api/state`.
#[derive(Serialize)]
pub(super) struct TeleportView {
    cluster: String,
    version: String,
    /// Those who can ask or review; others have nothing to do on the page.
    users: Vec<UserView>,
    requests: Vec<AccessRequest>,
    audit: Vec<AuditEvent>,
}

#[derive(Serialize)]
struct UserView {
    name: String,
    roles: Vec<String>,
    /// Existing roles that the user may ask for by name; for a pattern such as `prod-*` the form has a field.
    requestable: Vec<String>,
    can_review: bool,
}

/// What the cluster looks like now.
pub(super) fn view(demo: &DemoSimulators) -> TeleportView {
    let fixture = demo.teleport.fixture();
    TeleportView {
        version: demo.teleport_version.clone(),
        users: fixture.users.iter().filter_map(|user| user_view(&fixture, user)).collect(),
        requests: demo.teleport.requests(),
        audit: demo.teleport.audit(),
        cluster: fixture.cluster,
    }
}

fn user_view(fixture: &Fixture, user: &User) -> Option<UserView> {
    let held = || user.roles.iter().filter_map(|name| fixture.role(name));
    let may_request = |role: &String| held().any(|held| held.allow.request.roles.contains(role));
    let requestable: Vec<_> =
        fixture.roles.iter().map(|role| role.name.clone()).filter(may_request).collect();
    let can_review = held().any(|role| !role.allow.review.is_empty());
    let has_part = can_review || !requestable.is_empty();
    has_part.then(|| UserView { name: user.name.clone(), roles: user.roles.clone(), requestable, can_review })
}

/// An action's body, or what was wrong with it.
type Body<T> = Result<Json<T>, JsonRejection>;
type Answer = Result<Json<ActionResponse>, HttpError>;

/// The request as it is after the action; none if it is gone.
#[derive(Serialize)]
pub(super) struct ActionResponse {
    request: Option<AccessRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct CreateBody {
    user: String,
    roles: Vec<String>,
    #[serde(default)]
    reason: String,
    #[serde(default)]
    reviewers: Vec<String>,
    /// As `/cluster/kind/name` or `/cluster/kind/name/sub-resource`.
    #[serde(default)]
    resources: Vec<String>,
    /// Such as `30m` or `4h`; the longest allowed if absent.
    #[serde(default)]
    duration: Option<String>,
}

pub(super) async fn request(State(page): State<DemoUi>, body: Body<CreateBody>) -> Answer {
    let asked = body?.0;
    let new = NewRequest {
        roles: asked.roles,
        reason: asked.reason.into_bytes(),
        suggested_reviewers: asked.reviewers,
        resources: asked.resources.iter().map(|text| resource(text)).collect::<Result<_, _>>()?,
        access_ttl: asked.duration.as_deref().map(duration).transpose()?,
        ..NewRequest::default()
    };
    let id = page.simulators.teleport.request_access(&asked.user, new)?;
    Ok(action_response(&page, &id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ReviewBody {
    author: String,
    id: String,
    approve: bool,
    #[serde(default)]
    reason: String,
}

pub(super) async fn review(State(page): State<DemoUi>, body: Body<ReviewBody>) -> Answer {
    let ReviewBody { author, id, approve, reason } = body?.0;
    let decision = if approve { Decision::Approve } else { Decision::Deny };
    let request = page.simulators.teleport.review(&author, &id, decision, reason)?;
    Ok(Json(ActionResponse { request: Some(request) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SetStateBody {
    id: String,
    approve: bool,
    #[serde(default)]
    reason: String,
}

pub(super) async fn set_state(State(page): State<DemoUi>, body: Body<SetStateBody>) -> Answer {
    let SetStateBody { id, approve, reason } = body?.0;
    let state = if approve { RequestState::Approved } else { RequestState::Denied };
    page.simulators.teleport.set_state(TCTL, &id, state, reason, "")?;
    Ok(action_response(&page, &id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct IdBody {
    id: String,
}

pub(super) async fn delete(State(page): State<DemoUi>, body: Body<IdBody>) -> Answer {
    page.simulators.teleport.delete(TCTL, &body?.0.id)?;
    Ok(Json(ActionResponse { request: None }))
}

pub(super) async fn expire(State(page): State<DemoUi>, body: Body<IdBody>) -> Answer {
    let id = body?.0.id;
    if !page.simulators.teleport.expire_now(&id) {
        return Err(HttpError::new(StatusCode::NOT_FOUND, "There is no such access request any more."));
    }
    Ok(Json(ActionResponse { request: None }))
}

fn action_response(page: &DemoUi, id: &str) -> Json<ActionResponse> {
    Json(ActionResponse { request: page.simulators.teleport.request(id) })
}

fn resource(text: &str) -> Result<Resource, HttpError> {
    let mut parts = text.strip_prefix('/').unwrap_or_default().splitn(4, '/').map(str::to_owned);
    let mut next = || parts.next().filter(|part| !part.is_empty());
    match (next(), next(), next()) {
        (Some(cluster), Some(kind), Some(name)) => {
            Ok(Resource { cluster, kind, name, sub_resource: next().unwrap_or_default() })
        }
        _ => Err(HttpError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A resource is written as /cluster/kind/name, for example /demo/node/web-01.",
        )),
    }
}

fn duration(text: &str) -> Result<Duration, HttpError> {
    let parsed = text.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
    parsed.and_then(|length| Duration::try_from(length).ok()).ok_or_else(|| {
        HttpError::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A duration is written as a number and a unit, for example 4h.",
        )
    })
}

impl From<RpcError> for HttpError {
    fn from(refusal: RpcError) -> Self {
        let status = match refusal.code {
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, refusal.message)
    }
}

impl From<JsonRejection> for HttpError {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}
