//! An access request as the simulated server stores it, and the arithmetic of reviews and thresholds.
//!
//! Also what callers hand in: [`NewRequest`], `StateChange`, `Submission`. `wire` reads them from messages.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::{Serialize, Serializer};

use super::fixture::{Labels, Threshold};

/// State of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RequestState {
    /// Waiting for reviews.
    Pending,
    /// Granted.
    Approved,
    /// Refused.
    Denied,
    /// Turned into membership of an access list.
    Promoted,
}

impl RequestState {
    /// Teleport's word, as filters and messages spell it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "PENDING",
            Self::Approved => "APPROVED",
            Self::Denied => "DENIED",
            Self::Promoted => "PROMOTED",
        }
    }
}

/// What a reviewer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum Decision {
    /// Yes.
    Approve,
    /// No.
    Deny,
}

impl From<Decision> for RequestState {
    fn from(decision: Decision) -> Self {
        match decision {
            Decision::Approve => Self::Approved,
            Decision::Deny => Self::Denied,
        }
    }
}

/// A stored request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AccessRequest {
    /// Opaque id.
    pub id: String,
    /// The name of the requester.
    pub user: String,
    /// Roles asked for; after a partial approval, those granted.
    pub roles: Vec<String>,
    /// Where it stands.
    pub state: RequestState,
    /// When it was made.
    pub created: Timestamp,
    /// When the access would end.
    pub access_expiry: Timestamp,
    /// When the request itself goes away; equals `access_expiry` once approved.
    pub expiry: Timestamp,
    /// Why it was asked for. Bytes, because Teleport's API does not promise UTF-8.
    #[serde(serialize_with = "lossy")]
    pub request_reason: Vec<u8>,
    /// Why it was decided so.
    #[serde(serialize_with = "lossy")]
    pub resolve_reason: Vec<u8>,
    /// Annotations of the caller that set the state.
    pub resolve_annotations: Labels,
    /// Annotations from the requester's roles.
    pub system_annotations: Labels,
    /// All thresholds that any of the roles brings.
    pub thresholds: Vec<Threshold>,
    /// For each role, sets of indexes into `thresholds`; each set needs one that is reached.
    pub role_thresholds: BTreeMap<String, Vec<Vec<u32>>>,
    /// In the order in which they came.
    pub reviews: Vec<Review>,
    /// User names.
    pub suggested_reviewers: Vec<String>,
    /// Single resources asked for, if any.
    pub resources: Vec<Resource>,
    /// The access list that it was promoted to; from 15.1.9 on a nameless one once reviews decided.
    pub promoted_to: Option<PromotedTo>,
    /// From when on the access may be used.
    pub assume_start: Option<Timestamp>,
    /// Longest access that reviewers may grant, as the instant of its end.
    pub max_duration: Option<Timestamp>,
    /// End of a session that uses the access.
    pub session_ttl: Option<Timestamp>,
    /// Asks for lasting membership, not for a few hours.
    pub long_term: bool,
    /// The numbers that a release of later days would send for the state and the kind (assumed; none is known).
    pub raw: Raw,
    /// Grows with every change in the cluster; Teleport 6 shows it as the metadata's id.
    pub revision: i64,
}

/// Numbers that are sent in place of those that today's releases know. Nothing else follows from them: whatever is decided
/// on such a request is taken, so that a client that should have known better is found out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Raw {
    /// The request's state.
    pub state: Option<i32>,
    /// The request's kind.
    pub kind: Option<i32>,
    /// What all of its reviews propose.
    pub proposed: Option<i32>,
}

/// A review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Review {
    /// The name of the reviewer.
    pub author: String,
    /// What was proposed.
    pub proposed: RequestState,
    /// The reason, as the bytes that came.
    #[serde(serialize_with = "lossy")]
    pub reason: Vec<u8>,
    /// When the server got it.
    pub created: Timestamp,
    /// From when on the access may be used, if the reviewer says so.
    pub assume_start: Option<Timestamp>,
    /// The request's roles, if the reviewer named them.
    pub roles: Vec<String>,
    /// Thresholds that it counts for.
    pub threshold_indexes: Vec<u32>,
    /// The plugin that sent it for its author, on servers that know the notion.
    pub submitted_by: Option<String>,
}

/// A single resource.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resource {
    /// The cluster it is in.
    pub cluster: String,
    /// For instance `node` or `db`.
    pub kind: String,
    /// Its name, for nodes an UUID.
    pub name: String,
    /// For instance a namespace within a Kubernetes cluster.
    pub sub_resource: String,
}

/// Where a promoted request went.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PromotedTo {
    /// The list's id.
    pub name: String,
    /// The list's title.
    pub title: String,
}

/// What a user asks for.
#[derive(Clone, Debug, Default)]
pub struct NewRequest {
    /// Roles; `*` means all that may be requested.
    pub roles: Vec<String>,
    /// Why. May be anything, also not UTF-8.
    pub reason: Vec<u8>,
    /// Who should look; the roles' suggestion if empty.
    pub suggested_reviewers: Vec<String>,
    /// Single resources; without roles the server works out which roles they take.
    pub resources: Vec<Resource>,
    /// Life of the pending request, instead of the cluster's.
    pub pending_ttl: Option<Duration>,
    /// Length of the access, instead of the cluster's.
    pub access_ttl: Option<Duration>,
    /// From when on the access may be used.
    pub assume_start: Option<Timestamp>,
    /// Longest access that reviewers may grant.
    pub max_duration: Option<Duration>,
    /// Ask for lasting membership (newest servers).
    pub long_term: bool,
}

impl NewRequest {
    /// The usual: some roles and a reason.
    pub fn roles(roles: &[&str], reason: &str) -> Self {
        let roles = roles.iter().map(|role| (*role).to_owned()).collect();
        Self { roles, reason: reason.as_bytes().to_vec(), ..Self::default() }
    }
}

/// A change of state as the API carries it.
#[derive(Clone, Debug)]
pub(super) struct StateChange {
    pub(super) state: RequestState,
    pub(super) reason: Vec<u8>,
    pub(super) delegator: String,
    pub(super) annotations: Labels,
    /// Only with an approval: the roles granted, empty for all.
    pub(super) roles: Vec<String>,
    pub(super) assume_start: Option<Timestamp>,
}

/// A review as the API carries it.
#[derive(Clone, Debug)]
pub(super) struct Submission {
    /// Empty means the caller.
    pub(super) author: String,
    pub(super) proposed: RequestState,
    pub(super) reason: Vec<u8>,
    /// All of the request's roles, or none: subsets are not implemented anywhere.
    pub(super) roles: Vec<String>,
    /// From when on the access may be used; moves the request's own wish.
    pub(super) assume_start: Option<Timestamp>,
    /// Sent by a plugin for its author; only the newest servers know.
    pub(super) by_plugin: bool,
    /// Must be empty or the caller.
    pub(super) submitted_by: String,
}

impl AccessRequest {
    /// The state that the reviews so far amount to, if they decide.
    pub(super) fn verdict(&self) -> Option<RequestState> {
        let votes = |index: u32, proposed: RequestState| {
            let counts =
                |review: &&Review| review.proposed == proposed && review.threshold_indexes.contains(&index);
            self.reviews.iter().filter(counts).count()
        };
        let reached = |index: u32, needed: u32, proposed: RequestState| {
            needed != 0 && votes(index, proposed) >= needed as usize
        };
        let thresholds = || (0u32..).zip(&self.thresholds);
        if thresholds().any(|(index, threshold)| reached(index, threshold.deny, RequestState::Denied)) {
            return Some(RequestState::Denied);
        }
        let approved = |index: &u32| {
            thresholds()
                .any(|(i, threshold)| i == *index && reached(i, threshold.approve, RequestState::Approved))
        };
        let every_role = self.roles.iter().all(|role| {
            let sets = self.role_thresholds.get(role);
            sets.is_some_and(|sets| !sets.is_empty() && sets.iter().all(|set| set.iter().any(approved)))
        });
        (every_role && !self.roles.is_empty()).then_some(RequestState::Approved)
    }
}

/// Shows bytes that users wrote as text, with U+FFFD for what is none.
fn lossy<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&String::from_utf8_lossy(bytes))
}
