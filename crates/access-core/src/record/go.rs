//! The Go plugin's part of a record: its keys, in its meaning, and what can be read from them alone.

use crate::domain::ids::RequestId;
use crate::domain::lifecycle::Phase;
use crate::domain::request::{AccessRequest, RequestState};

pub(super) const USER: &str = "user";
pub(super) const ROLES: &str = "roles";
pub(super) const REQUEST_REASON: &str = "request_reason";
pub(super) const REVIEWS_COUNT: &str = "reviews_count";
pub(super) const RESOLUTION: &str = "resolution";
pub(super) const RESOLVE_REASON: &str = "resolve_reason";
pub(super) const MESSAGES: &str = "messages";
/// Before `messages` there was one pair in two keys.
pub(super) const CHANNEL_ID: &str = "channel_id";
pub(super) const TIMESTAMP: &str = "timestamp";
pub(super) const ALL: [&str; 9] =
    [USER, ROLES, REQUEST_REASON, REVIEWS_COUNT, RESOLUTION, RESOLVE_REASON, MESSAGES, CHANNEL_ID, TIMESTAMP];

/// `C0TEAM/1.2,D9/3.4` as pairs, and whether anything in it was no pair.
pub(super) fn message_pairs(text: &str) -> (Vec<(&str, &str)>, bool) {
    let entries = text.split(',').filter(|entry| !entry.trim().is_empty());
    let pairs = entries.map(|entry| entry.trim().split_once('/'));
    let valid = |(channel, ts): &(&str, &str)| !channel.is_empty() && !ts.is_empty() && !ts.contains('/');
    let read: Vec<_> = pairs.map(|pair| pair.filter(valid)).collect();
    let torn = read.iter().any(Option::is_none);
    (read.into_iter().flatten().collect(), torn)
}

/// What the Go plugin kept of a request.
pub(super) fn from_keys<'a>(id: &RequestId, text: &impl Fn(&str) -> &'a str) -> AccessRequest {
    AccessRequest {
        roles: text(ROLES).split(',').filter(|role| !role.is_empty()).map(str::to_owned).collect(),
        reason: text(REQUEST_REASON).to_owned(),
        ..AccessRequest::pending(id.clone(), text(USER))
    }
}

/// The Go plugin's word for a final phase; it has no word for deleted.
pub(super) fn resolution(phase: Phase) -> &'static str {
    match phase {
        Phase::Approved => "APPROVED",
        Phase::Denied => "DENIED",
        Phase::Promoted => "PROMOTED",
        Phase::Expired | Phase::Deleted => "EXPIRED",
        Phase::Pending | Phase::Unknown => "",
    }
}

/// The state that the Go plugin's word means; pending if it is none of them.
pub(super) fn state(resolution: &str) -> RequestState {
    match resolution {
        "APPROVED" => RequestState::Approved,
        "DENIED" => RequestState::Denied,
        "PROMOTED" => RequestState::Promoted,
        _ => RequestState::Pending,
    }
}
