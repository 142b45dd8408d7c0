//! What `/status` shows, as plain data: the JSON is this, field by field, and the page draws it. `docs/status.md` explains
//! each field, and a test compares.
//!
//! There is no field for a secret, and none for the reason of a request or of a decision. Absent values are `null`, so
//! that each field is always there.

use std::collections::BTreeMap;

use access_core::domain::text::truncate;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};

/// The version of this form. It changes when a field is removed or gets another meaning, not when one is added.
pub(crate) const VERSION: u32 = 1;

/// A text from outside is cut after this many characters.
const MAX_TEXT: usize = 200;
/// A sentence, with its cause, after this many.
const MAX_SENTENCE: usize = 600;

/// Everything.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct View {
    pub(crate) version: u32,
    pub(crate) generated_at: Timestamp,
    pub(crate) daemon: Daemon,
    pub(crate) ready: bool,
    pub(crate) problems: Vec<Problem>,
    pub(crate) teleport: Teleport,
    pub(crate) watch: Watch,
    pub(crate) slack: Slack,
    pub(crate) interactions: Interactions,
    /// `null` if the controller has not started or gives no answer.
    pub(crate) requests: Option<Listed<Request>>,
    pub(crate) waiting: Option<Listed<Waiting>>,
    pub(crate) circuits: Option<Listed<Circuit>>,
    pub(crate) last_errors: Vec<LoggedProblem>,
    pub(crate) configuration: Configuration,
    pub(crate) rules: Rules,
    /// How Slack calls the people and channels whose ids stand above, by id.
    pub(crate) names: BTreeMap<String, String>,
}

/// This process.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Daemon {
    pub(crate) program: &'static str,
    pub(crate) version: &'static str,
    pub(crate) started_at: Timestamp,
    pub(crate) uptime_s: u64,
    pub(crate) claim_holder: Option<String>,
}

/// What needs a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Problem {
    pub(crate) what: String,
    pub(crate) remedy: String,
}

/// Whether a side answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SideState {
    /// It has not answered since the start.
    Waiting,
    Answers,
    Away,
}

/// Whether something that should always be open is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StreamState {
    Never,
    Open,
    Lost,
}

/// The connection to Teleport.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Teleport {
    pub(crate) addr: String,
    pub(crate) credentials: &'static str,
    pub(crate) state: SideState,
    pub(crate) away_since: Option<Timestamp>,
    pub(crate) error: Option<String>,
    pub(crate) last_answer_at: Option<Timestamp>,
    pub(crate) cluster: Option<String>,
    pub(crate) server_version: Option<String>,
    pub(crate) enterprise: Option<bool>,
    pub(crate) certificate_expires_at: Option<Timestamp>,
    pub(crate) certificate_left_s: Option<i64>,
}

/// The watch on Teleport's access requests.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Watch {
    pub(crate) state: StreamState,
    pub(crate) since: Option<Timestamp>,
    pub(crate) last_event_at: Option<Timestamp>,
    pub(crate) last_list_at: Option<Timestamp>,
    pub(crate) list_error: Option<String>,
}

/// Slack's Web API.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Slack {
    pub(crate) api_url: String,
    pub(crate) state: SideState,
    pub(crate) away_since: Option<Timestamp>,
    pub(crate) error: Option<String>,
    pub(crate) last_answer_at: Option<Timestamp>,
    pub(crate) team: Option<String>,
    pub(crate) bot_user: Option<String>,
    pub(crate) rate_limits: Vec<RateLimit>,
}

/// A method that Slack wants not to be called for a while.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RateLimit {
    pub(crate) method: &'static str,
    pub(crate) left_s: u64,
}

/// How clicks arrive.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Interactions {
    pub(crate) transport: &'static str,
    pub(crate) state: Option<StreamState>,
    pub(crate) since: Option<Timestamp>,
    pub(crate) connections: Option<usize>,
    pub(crate) listen_addr: Option<String>,
    pub(crate) public_addr: Option<String>,
}

/// A list that is cut.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Listed<T> {
    pub(crate) total: usize,
    pub(crate) left_out: usize,
    pub(crate) items: Vec<T>,
}

impl<T> Listed<T> {
    /// The first `max` of all.
    pub(crate) fn first(all: impl ExactSizeIterator<Item = T>, max: usize) -> Self {
        let total = all.len();
        Self::of(total, all.take(max).collect())
    }

    /// Those that are listed, of so many.
    pub(crate) fn of(total: usize, items: Vec<T>) -> Self {
        Self { total, left_out: total.saturating_sub(items.len()), items }
    }
}

/// A request that waits for a decision.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Request {
    pub(crate) id: String,
    pub(crate) requester: String,
    pub(crate) roles: Listed<String>,
    pub(crate) created_at: Option<Timestamp>,
    pub(crate) age_s: Option<u64>,
    pub(crate) expires_at: Option<Timestamp>,
    pub(crate) in_progress: bool,
    pub(crate) claimed_by: Option<String>,
    pub(crate) copies: Listed<Copy>,
}

/// One message about a request, or one that is still to be posted.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Copy {
    pub(crate) recipient: Option<String>,
    pub(crate) channel: Option<String>,
    pub(crate) ts: Option<String>,
    pub(crate) shows: Option<&'static str>,
    pub(crate) state: CopyState,
}

/// How a message stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum CopyState {
    /// Nothing of it waits.
    Current,
    /// It was posted, and a change of it waits.
    UpdateWaits,
    /// It was not posted yet.
    PostWaits,
    /// It was deleted in Slack, or Slack does not let it be changed any more.
    Unreachable,
}

/// Something that waits to be tried again, or for its turn.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Waiting {
    /// `None` of a reply to a click that named none.
    pub(crate) request: Option<String>,
    pub(crate) operation: &'static str,
    pub(crate) destination: Option<String>,
    pub(crate) since: Timestamp,
    pub(crate) waits_s: u64,
    pub(crate) retry_at: Option<Timestamp>,
    pub(crate) attempts: u32,
}

/// A channel that refuses messages.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Circuit {
    pub(crate) channel: String,
    pub(crate) failures: u32,
    pub(crate) last_attempt_at: Timestamp,
    pub(crate) next_attempt_at: Timestamp,
}

/// A line of the log.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct LoggedProblem {
    pub(crate) at: Timestamp,
    pub(crate) level: &'static str,
    pub(crate) message: String,
    pub(crate) fields: Map<String, Value>,
}

/// The configuration file and the one in use.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Configuration {
    pub(crate) path: String,
    pub(crate) loaded_at: Timestamp,
    pub(crate) reloading: bool,
    pub(crate) refused_at: Option<Timestamp>,
    pub(crate) refusal: Listed<String>,
}

/// Who is notified and who decides.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rules {
    pub(crate) recipients: Listed<String>,
    pub(crate) role_to_recipients: Listed<RoleRecipients>,
    pub(crate) review: Option<Review>,
}

/// Who is notified of requests for a role.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct RoleRecipients {
    pub(crate) role: String,
    pub(crate) recipients: Listed<String>,
}

/// Deciding in Slack.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Review {
    pub(crate) mode: &'static str,
    pub(crate) mode_in_effect: Option<&'static str>,
    pub(crate) slack_user_id_trait: Option<String>,
    pub(crate) allow_email_username_match: bool,
    pub(crate) users: usize,
    pub(crate) rules: Listed<Rule>,
}

/// One `[[review.rule]]`.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Rule {
    pub(crate) roles: Listed<String>,
    pub(crate) approvers: Listed<String>,
    pub(crate) approvals: u32,
    pub(crate) denials: u32,
    pub(crate) reason: &'static str,
    pub(crate) confirm: bool,
    pub(crate) teleport_only: bool,
}

/// A text from outside, cut.
pub(crate) fn text(text: impl AsRef<str>) -> String {
    truncate(text.as_ref(), MAX_TEXT)
}

/// A sentence, cut.
pub(crate) fn sentence(text: impl AsRef<str>) -> String {
    truncate(text.as_ref(), MAX_SENTENCE)
}
