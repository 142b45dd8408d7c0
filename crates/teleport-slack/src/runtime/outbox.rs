//! Carries out single steps towards Slack and says when a failed one may be tried again.
//!
//! It obeys `Retry-After` for the method it was said of and slows down for the place (`pace`), limits how many calls
//! are under way, and complains about each cause once. What to do is decided in `access_core::plan`.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::RequestId;
use access_core::plan::{Errand, Step};
use access_core::record::Outcome;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::pace::Pace;
use crate::observe::metrics::{Delivery, Metrics};
use crate::slack::error::{Kind, SlackError};
use crate::slack::method::Method;
use crate::slack::{self, Metadata, PostMessage};

/// Calls to Slack under way at once: well below what Slack's limits let through in a second, and enough that
/// one slow channel does not hold up the others.
const MAX_CALLS: usize = 16;
/// Passing faults: soon again, then each minute.
const PASSING: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// The outcome of a post is not known: it may be there already, so it is not hurried.
const AMBIGUOUS: Backoff = Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(300) };
/// Refused credentials: an operator must act, so look now and then.
const UNAUTHORISED: Backoff = Backoff { first: Duration::from_secs(10), cap: Duration::from_secs(600) };
/// Refused for good as long as nobody changes anything in Slack (invites the bot, unarchives the channel).
const REFUSED: Duration = Duration::from_secs(600);
/// Complaints remembered; beyond this the oldest story is forgotten and may be told again.
const MAX_COMPLAINTS: usize = 1_000;

/// The `event_type` of our messages' metadata, by which they are found again.
const EVENT_TYPE: &str = "teleport_access_request";

/// The way to Slack.
#[derive(Debug)]
pub(super) struct Outbox {
    slack: slack::Client,
    calls: Semaphore,
    gates: Mutex<HashMap<Method, Instant>>,
    pace: Mutex<Pace>,
    complaints: Complaints,
    metrics: Metrics,
}

/// A step that did not succeed.
#[derive(Debug)]
pub(super) struct NotYet {
    /// How long to wait before the errand is tried again.
    pub(super) delay: Duration,
    /// Whether it was really tried, so that the next delay is longer.
    pub(super) is_failure: bool,
}

impl Outbox {
    pub(super) fn new(slack: slack::Client, metrics: Metrics) -> Self {
        Self {
            slack,
            calls: Semaphore::new(MAX_CALLS),
            gates: Mutex::new(HashMap::new()),
            pace: Mutex::default(),
            complaints: Complaints::default(),
            metrics,
        }
    }

    /// Makes one call. `failures` counts the failures of this errand in a row.
    pub(super) async fn carry_out(
        &self,
        id: &RequestId,
        errand: &Errand,
        step: Step,
        failures: u32,
    ) -> Result<Option<Outcome>, NotYet> {
        let (method, place) = match &step {
            Step::Post { post_to, .. } => (Method::ChatPostMessage, post_to.clone()),
            Step::Update { channel, .. } => (Method::ChatUpdate, channel.to_string()),
            Step::Reply { channel, .. } => (Method::ChatPostMessage, channel.to_string()),
        };
        let _permit = self.calls.acquire().await.expect("the semaphore is never closed");
        let turn = || match method {
            Method::ChatPostMessage => self.pace().turn(&place, id, errand, Instant::now()),
            _ => None,
        };
        if let Some(delay) = self.gate(method).or_else(turn) {
            return Err(NotYet { delay, is_failure: false });
        }
        if failures > 0 {
            self.metrics.retry();
        }
        match self.call(id, errand, step).await {
            Ok(outcome) => {
                outcome.iter().for_each(|outcome| self.metrics.delivery(delivery(outcome)));
                if self.complaints.settle(&place) {
                    info!(%place, "Slack accepts messages for this place again");
                }
                Ok(outcome)
            }
            Err(error) => Err(self.refused(id, &place, &error, failures)),
        }
    }

    async fn call(&self, id: &RequestId, errand: &Errand, step: Step) -> Result<Option<Outcome>, SlackError> {
        match step {
            Step::Post { post_to, message, short, shown } => {
                let Errand::Deliver(key) = errand else { return Ok(None) };
                let payload = BTreeMap::from([
                    ("request_id".to_owned(), id.to_string()),
                    ("recipient".to_owned(), key.to_string()),
                ]);
                let metadata = Some(Metadata { event_type: EVENT_TYPE.to_owned(), payload });
                let post = |message| PostMessage {
                    channel: &post_to,
                    message,
                    thread_ts: None,
                    metadata: metadata.clone(),
                };
                let posted = match self.slack.post_message(post(&message)).await {
                    Err(error) if refuses_blocks(&error) => {
                        self.tell_short(id, &error);
                        self.slack.post_message(post(&short)).await?
                    }
                    posted => posted?,
                };
                info!(request = %id, recipient = %key, channel = %posted.channel, phase = ?shown.phase, "Posted the request");
                Ok(Some(Outcome::Posted { key: key.clone(), channel: posted.channel, ts: posted.ts, shown }))
            }
            Step::Update { channel, ts, message, short, shown } => {
                match self.slack.update_message(&channel, &ts, &message).await {
                    Err(error) if refuses_blocks(&error) => {
                        self.tell_short(id, &error);
                        self.slack.update_message(&channel, &ts, &short).await?;
                    }
                    updated => updated?,
                }
                info!(request = %id, %channel, phase = ?shown.phase, "Updated the message");
                Ok(Some(Outcome::Updated { channel, ts, shown }))
            }
            Step::Reply { channel, ts, message, replies } => {
                let post = PostMessage {
                    channel: channel.as_str(),
                    message: &message,
                    thread_ts: Some(&ts),
                    metadata: None,
                };
                self.slack.post_message(post).await?;
                info!(request = %id, %channel, review = replies.count(), "Told the review in the thread");
                Ok(Some(Outcome::Replied { channel, ts, replies }))
            }
        }
    }

    fn tell_short(&self, id: &RequestId, error: &SlackError) {
        warn!(request = %id, "Slack refuses the message's blocks, so it is sent as plain text; please report this: {}", error.with_remedy());
    }

    /// How long `method` may not be called, if Slack said so.
    fn gate(&self, method: Method) -> Option<Duration> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let left = gates.get(&method)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refused(&self, id: &RequestId, place: &str, error: &SlackError, failures: u32) -> NotYet {
        self.metrics.delivery(Delivery::Not(error.kind()));
        if error.is_ambiguous() && error.method() == Method::ChatPostMessage {
            self.metrics.ambiguous_post();
        }
        let seed = fastrand::u64(..);
        let delay = match error.kind() {
            Kind::Retry if error.is_ambiguous() && error.method() == Method::ChatPostMessage => {
                AMBIGUOUS.delay(failures + 1, seed)
            }
            Kind::Retry => PASSING.delay(failures + 1, seed),
            Kind::RetryAfter(delay) => {
                let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
                let now = Instant::now();
                gates.insert(error.method(), now + delay);
                self.pace().slow_down(place, now + delay, now);
                delay
            }
            Kind::Unauthorised => UNAUTHORISED.delay(failures + 1, seed),
            // Not Slack's word but that of something in between, which may be out of the way soon.
            Kind::Permanent if error.code().is_none() => PASSING.delay(failures + 1, seed),
            Kind::Permanent => REFUSED,
        };
        let again = delay.as_secs_f32();
        if !self.complaints.open(place, &error.to_string()) {
            debug!(request = %id, %place, retry_in_s = again, "{}", error.with_remedy());
        } else if matches!(error.kind(), Kind::Permanent | Kind::Unauthorised) {
            error!(request = %id, %place, retry_in_s = again, "{}", error.with_remedy());
        } else {
            warn!(request = %id, %place, retry_in_s = again, "{}", error.with_remedy());
        }
        NotYet { delay, is_failure: !matches!(error.kind(), Kind::RetryAfter(_)) }
    }
}

/// What an outcome counts as.
fn delivery(outcome: &Outcome) -> Delivery {
    match outcome {
        Outcome::Posted { .. } => Delivery::Posted,
        Outcome::Updated { .. } => Delivery::Updated,
        Outcome::Replied { .. } => Delivery::Replied,
    }
}

/// Whether it is the layout that Slack does not like, not the message.
fn refuses_blocks(error: &SlackError) -> bool {
    matches!(
        error.code(),
        Some("invalid_blocks" | "invalid_blocks_format" | "msg_blocks_too_long" | "block_mismatch")
    )
}

/// What was already complained about, by place; each cause is told once until the place works again.
#[derive(Debug, Default)]
pub(super) struct Complaints(Mutex<HashMap<String, Vec<String>>>);

impl Complaints {
    /// Whether this is news.
    pub(super) fn open(&self, place: &str, cause: &str) -> bool {
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MAX_COMPLAINTS && !open.contains_key(place) {
            open.clear();
        }
        let causes = open.entry(place.to_owned()).or_default();
        let is_news = !causes.iter().any(|known| known == cause) && causes.len() < 20;
        if is_news {
            causes.push(cause.to_owned());
        }
        is_news
    }

    /// The place works; whether there were complaints about it.
    pub(super) fn settle(&self, place: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(place).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_until_the_place_works() {
        let complaints = Complaints::default();
        assert!(complaints.open("#team", "not_in_channel"));
        assert!(!complaints.open("#team", "not_in_channel"));
        assert!(complaints.open("#team", "is_archived"));
        assert!(complaints.open("#ops", "not_in_channel"));
        assert!(complaints.settle("#team"));
        assert!(!complaints.settle("#team"));
        assert!(complaints.open("#team", "not_in_channel"));
        for n in 0..3 * MAX_COMPLAINTS {
            complaints.open(&format!("#c{n}"), "is_archived");
        }
        assert!(complaints.0.lock().unwrap().len() <= MAX_COMPLAINTS);
    }
}
