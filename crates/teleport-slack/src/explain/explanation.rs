//! What is said of a request. The names of the fields are published (`docs/explain.md`); sentences are for people.

use jiff::Timestamp;
use serde::Serialize;

/// Everything that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub request: RequestPart,
    pub record: RecordPart,
    /// The messages that were posted.
    pub messages: Vec<MessagePart>,
    /// Who has no message, and why.
    pub not_notified: Vec<NotNotifiedPart>,
    /// What is left to do in Slack.
    pub operations: Vec<OperationPart>,
    /// Which daemon works on the request, if one does.
    pub claim: Option<ClaimPart>,
    pub deciding: DecidingPart,
    pub reached: ReachedPart,
    /// What cannot be seen from outside a running daemon, or could not be read.
    pub not_visible: Vec<String>,
}

/// The request itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RequestPart {
    pub id: String,
    pub cluster: String,
    /// Whether Teleport has it.
    pub found: bool,
    /// `None` if there is neither a request nor a record.
    pub phase: Option<&'static str>,
    pub user: String,
    pub roles: Vec<String>,
    pub created: Option<Timestamp>,
    pub expires: Option<Timestamp>,
    pub sentence: String,
}

/// How both sides were reached; each text completes "it is reached …".
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ReachedPart {
    pub teleport: String,
    /// Also where Slack gave no answer.
    pub slack: String,
}

/// What the daemon remembers of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordPart {
    pub found: bool,
    /// Whether Teleport's own plugin posted messages.
    pub from_go_plugin: bool,
    /// Keys whose values cannot be read.
    pub unreadable: Vec<String>,
    /// Keys that this version does not know.
    pub unknown: Vec<String>,
    pub sentence: String,
}

/// A message in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MessagePart {
    /// `None` if the record does not say.
    pub recipient: Option<String>,
    /// What a recipient who is named by an id is called.
    pub recipient_name: Option<String>,
    /// The e-mail address of a recipient who is named by an id.
    pub email: Option<String>,
    pub channel: String,
    pub channel_name: Option<String>,
    pub ts: String,
    pub posted_at: Option<Timestamp>,
    pub link: Option<String>,
    /// The phase that it shows.
    pub shows: Option<&'static str>,
    /// `current`, `outdated`, `duplicate`, `unreachable` or `waits`.
    pub state: &'static str,
    pub sentence: String,
}

/// A recipient without a message, or a reason that is about all of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NotNotifiedPart {
    pub recipient: Option<String>,
    /// As of a message.
    pub recipient_name: Option<String>,
    /// One word, from a closed list.
    pub reason: &'static str,
    pub sentence: String,
    /// What to do about it, if something is to be done.
    pub remedy: Option<String>,
}

/// What is to be done in Slack.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OperationPart {
    /// `post`, `update`, `reply`, `delete` or `verify`.
    pub operation: &'static str,
    /// The recipient of a post, or the channel of a message.
    pub destination: String,
    /// What that is called; a direct message as the person.
    pub destination_name: Option<String>,
    pub ts: Option<String>,
    /// It does not end before this time.
    pub not_before: Option<Timestamp>,
    pub sentence: String,
}

/// Who works on the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClaimPart {
    pub holder: String,
    pub acquired_at: Timestamp,
    pub has_expired: bool,
    pub sentence: String,
}

/// Who may decide, and who did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DecidingPart {
    /// `reviewer` or `resolver`; `None` if no user can decide in Slack.
    pub mode: Option<&'static str>,
    pub sentence: String,
    /// The rules that match a role of the request.
    pub rules: Vec<RulePart>,
    pub approvals: Option<CountPart>,
    pub denials: Option<CountPart>,
    /// Votes in Slack.
    pub votes: Vec<VotePart>,
    /// Reviews in Teleport.
    pub reviews: Vec<ReviewPart>,
    pub may_decide: Vec<CandidatePart>,
}

/// One `[[review.rule]]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RulePart {
    /// From 1, in the order of the configuration.
    pub number: usize,
    pub roles: Vec<String>,
    pub approvers: Vec<String>,
    pub approvals: u32,
    pub denials: u32,
    pub teleport_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CountPart {
    pub counted: usize,
    pub needed: usize,
    pub missing: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VotePart {
    pub teleport_user: String,
    pub slack_user: String,
    /// How Slack shows the person.
    pub slack_user_name: Option<String>,
    /// `approve` or `deny`.
    pub decision: &'static str,
    pub at: Timestamp,
    /// Where the message is on which the user voted.
    pub channel: String,
    /// What that is called; a direct message as the person.
    pub channel_name: Option<String>,
    pub counts: bool,
    /// One word, from a closed list.
    pub status: &'static str,
    pub sentence: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ReviewPart {
    pub teleport_user: String,
    /// `approve`, `deny` or `unknown`.
    pub decision: &'static str,
    pub at: Option<Timestamp>,
}

/// Who may still decide.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CandidatePart {
    /// `None`: every member of the groups.
    pub teleport_user: Option<String>,
    /// User groups of which the person must be a member.
    pub groups: Vec<String>,
}
