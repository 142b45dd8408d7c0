//! What people do in Teleport, as the page posts it, and the Teleport half of the state.
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

use super::{DemoWorld, Page, Problem};
use crate::teleport::audit::AuditEvent;
use crate::teleport::presets::TCTL;
use crate::teleport::refusal::Refusal;
use crate::teleport::request::{AccessRequest, Decision, NewRequest, RequestState, Resource};
use crate::teleport::world::{User, World};

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
pub(super) fn view(demo: &DemoWorld) -> TeleportView {
    let world = demo.teleport.world();
    TeleportView {
        version: demo.teleport_version.clone(),
        users: world.users.iter().filter_map(|user| user_view(&world, user)).collect(),
        requests: demo.teleport.requests(),
        audit: demo.teleport.audit(),
        cluster: world.cluster,
    }
}

fn user_view(world: &World, user: &User) -> Option<UserView> {
    let held = || user.roles.iter().filter_map(|name| world.role(name));
    let may_request = |role: &String| held().any(|held| held.allow.request.roles.contains(role));
    let requestable: Vec<_> = world.roles.iter().map(|role| role.name.clone()).filter(may_request).collect();
    let can_review = held().any(|role| !role.allow.review.is_empty());
    let has_part = can_review || !requestable.is_empty();
    has_part.then(|| UserView { name: user.name.clone(), roles: user.roles.clone(), requestable, can_review })
}

/// An action's body, or what was wrong with it.
type Body<T> = Result<Json<T>, JsonRejection>;
type Answer = Result<Json<Done>, Problem>;

/// The request as it is after the action; none if it is gone.
#[derive(Serialize)]
pub(super) struct Done {
    request: Option<AccessRequest>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Asked {
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

pub(super) async fn request(State(page): State<Page>, body: Body<Asked>) -> Answer {
    let asked = body?.0;
    let new = NewRequest {
        roles: asked.roles,
        reason: asked.reason.into_bytes(),
        suggested_reviewers: asked.reviewers,
        resources: asked.resources.iter().map(|text| resource(text)).collect::<Result<_, _>>()?,
        access_ttl: asked.duration.as_deref().map(duration).transpose()?,
        ..NewRequest::default()
    };
    let id = page.world.teleport.request_access(&asked.user, new)?;
    Ok(done(&page, &id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Reviewed {
    author: String,
    id: String,
    approve: bool,
    #[serde(default)]
    reason: String,
}

pub(super) async fn review(State(page): State<Page>, body: Body<Reviewed>) -> Answer {
    let Reviewed { author, id, approve, reason } = body?.0;
    let decision = if approve { Decision::Approve } else { Decision::Deny };
    let request = page.world.teleport.review(&author, &id, decision, reason)?;
    Ok(Json(Done { request: Some(request) }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Resolved {
    id: String,
    approve: bool,
    #[serde(default)]
    reason: String,
}

pub(super) async fn set_state(State(page): State<Page>, body: Body<Resolved>) -> Answer {
    let Resolved { id, approve, reason } = body?.0;
    let state = if approve { RequestState::Approved } else { RequestState::Denied };
    page.world.teleport.set_state(TCTL, &id, state, reason, "")?;
    Ok(done(&page, &id))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Named {
    id: String,
}

pub(super) async fn delete(State(page): State<Page>, body: Body<Named>) -> Answer {
    page.world.teleport.delete(TCTL, &body?.0.id)?;
    Ok(Json(Done { request: None }))
}

pub(super) async fn expire(State(page): State<Page>, body: Body<Named>) -> Answer {
    let id = body?.0.id;
    if !page.world.teleport.expire_now(&id) {
        return Err(Problem::new(StatusCode::NOT_FOUND, "There is no such access request any more."));
    }
    Ok(Json(Done { request: None }))
}

fn done(page: &Page, id: &str) -> Json<Done> {
    Json(Done { request: page.world.teleport.request(id) })
}

fn resource(text: &str) -> Result<Resource, Problem> {
    let mut parts = text.strip_prefix('/').unwrap_or_default().splitn(4, '/').map(str::to_owned);
    let mut next = || parts.next().filter(|part| !part.is_empty());
    match (next(), next(), next()) {
        (Some(cluster), Some(kind), Some(name)) => {
            Ok(Resource { cluster, kind, name, sub_resource: next().unwrap_or_default() })
        }
        _ => Err(Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A resource is written as /cluster/kind/name, for example /demo/node/web-01.",
        )),
    }
}

fn duration(text: &str) -> Result<Duration, Problem> {
    let parsed = text.parse::<SignedDuration>().ok().filter(SignedDuration::is_positive);
    parsed.and_then(|length| Duration::try_from(length).ok()).ok_or_else(|| {
        Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "A duration is written as a number and a unit, for example 4h.",
        )
    })
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let status = match refusal.code {
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::PermissionDenied => StatusCode::FORBIDDEN,
            Code::InvalidArgument => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::CONFLICT,
        };
        Self::new(status, refusal.message)
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(rejection.status(), rejection.body_text())
    }
}
