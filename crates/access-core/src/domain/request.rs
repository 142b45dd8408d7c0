//! An access request as Teleport reports it, in this project's own types.
//!
//! Built at the edge from the wire (`teleport-client/src/convert.rs`); every text in it may be
//! hostile: of any length, with any characters.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::ids::RequestId;

/// One access request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessRequest {
    /// Its id in Teleport, a UUID.
    pub id: RequestId,
    /// The Teleport user who asks.
    pub user: String,
    /// The roles asked for; for resource requests the roles that Teleport worked out.
    pub roles: Vec<String>,
    /// What the server says of it.
    pub state: RequestState,
    /// Why it was asked for.
    #[serde(default)]
    pub reason: String,
    /// Why it was decided so.
    #[serde(default)]
    pub resolve_reason: String,
    /// When it was made.
    #[serde(default)]
    pub created: Option<Timestamp>,
    /// When the granted access ends, if granted (`Spec.MaxDuration`, else `Spec.Expires`).
    #[serde(default)]
    pub access_until: Option<Timestamp>,
    /// When the request itself expires without a decision (`Spec.ResourceExpiry`, else `Metadata.Expires`, else
    /// `Spec.Expires`).
    #[serde(default)]
    pub expires: Option<Timestamp>,
    /// The access starts no earlier than this.
    #[serde(default)]
    pub assume_start: Option<Timestamp>,
    /// How many reviews decide it.
    #[serde(default)]
    pub thresholds: Vec<Threshold>,
    /// The reviews so far, oldest first.
    #[serde(default)]
    pub reviews: Vec<Review>,
    /// The reviewers that the requester or the roles suggest: Teleport user names.
    #[serde(default)]
    pub suggested_reviewers: Vec<String>,
    /// The resources asked for, if it is a resource request.
    #[serde(default)]
    pub resources: Vec<Resource>,
    /// Short-term (ends by itself) or long-term (membership of an access list).
    #[serde(default)]
    pub kind: RequestKind,
    /// The access list it was promoted to: its title, else its name.
    #[serde(default)]
    pub promoted_to: Option<String>,
    /// Which writing of it this is; `None` if the server does not say. Never in the record's copy of the request: lists and
    /// streams need not agree about it with an answer by id.
    #[serde(skip)]
    pub version: Option<Version>,
}

impl AccessRequest {
    /// A pending request of which nothing else is known.
    pub fn pending(id: RequestId, user: impl Into<String>) -> Self {
        Self {
            id,
            user: user.into(),
            roles: Vec::new(),
            state: RequestState::Pending,
            reason: String::new(),
            resolve_reason: String::new(),
            created: None,
            access_until: None,
            expires: None,
            assume_start: None,
            thresholds: Vec::new(),
            reviews: Vec::new(),
            suggested_reviewers: Vec::new(),
            resources: Vec::new(),
            kind: RequestKind::Unstated,
            promoted_to: None,
            version: None,
        }
    }
}

/// One writing of a request in Teleport.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// Another one with each write (`Metadata.Revision`): an id of [`super::ids::is_id_charset`].
    #[serde(rename = "r")]
    pub revision: String,
    /// How many reviews it has, those included that neither approve nor deny.
    #[serde(rename = "n")]
    pub reviews: usize,
}

impl Version {
    /// Whether it was written since `before` and has not one review more or less to show for it: then its state was set,
    /// and set back.
    pub fn is_rewritten_since(&self, before: &Self) -> bool {
        self.revision != before.revision && self.reviews == before.reviews
    }
}

/// The server's word on a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    /// Waits for a decision.
    Pending,
    /// Granted.
    Approved,
    /// Refused.
    Denied,
    /// Turned into membership of an access list; grants nothing by itself.
    Promoted,
    /// A state that this version does not know, by its number: perhaps a decision, so nothing is decided.
    Unknown(i32),
}

/// How long what is asked for lasts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// The server did not say (releases before mid-2026).
    #[default]
    Unstated,
    /// Ends by itself.
    ShortTerm,
    /// Lasting membership.
    LongTerm,
    /// A kind that this version does not know, by its number; nothing is decided.
    Unknown(i32),
}

/// How many reviews decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threshold {
    /// Its name, mostly empty.
    #[serde(default)]
    pub name: String,
    /// A predicate on which reviews count; empty: all.
    #[serde(default)]
    pub filter: String,
    /// How many approvals approve the request.
    pub approve: u32,
    /// How many denials deny the request; 0: no number does.
    pub deny: u32,
}

/// One person's review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Review {
    /// The Teleport user who reviewed.
    pub author: String,
    /// What the review asks for: [`RequestState::Approved`], [`RequestState::Denied`] or [`RequestState::Unknown`].
    pub proposed: RequestState,
    /// The reason that the reviewer gave; may be empty.
    #[serde(default)]
    pub reason: String,
    /// When Teleport received it, if Teleport says.
    #[serde(default)]
    pub created: Option<Timestamp>,
}

/// One requested resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// The Teleport cluster it lives in.
    pub cluster: String,
    /// `node`, `db`, `app`, `kube_cluster` and so on.
    pub kind: String,
    /// Its name (a UUID for nodes).
    pub name: String,
    /// Part of it, such as `namespace/pod`; mostly empty.
    #[serde(default)]
    pub sub_resource: String,
}

/// A plain pending request, for tests of this crate.
#[cfg(test)]
pub(crate) fn sample() -> AccessRequest {
    let at = |second: i64| Timestamp::from_second(1_800_000_000 + second).ok();
    AccessRequest {
        roles: vec!["dba".into()],
        reason: "nightly restore".into(),
        created: at(0),
        access_until: at(28_800),
        expires: at(3_600),
        thresholds: vec![Threshold { name: String::new(), filter: String::new(), approve: 1, deny: 1 }],
        ..AccessRequest::pending(RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807"), "alice@example.com")
    }
}
