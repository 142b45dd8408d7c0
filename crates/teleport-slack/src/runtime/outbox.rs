//! Carries out single steps towards Slack and says when a failed one may be tried again.
//!
//! It obeys `Retry-After` for the method it was said of and slows down for the place (`pace`), limits how many calls
//! are under way, and complains about each cause once. What to do is decided in `access_core::plan`.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::claim::LATE;
use access_core::ids::{ChannelId, MessageTs, RequestId};
use access_core::plan::{Errand, Search, Step};
use access_core::recipients::RecipientKey;
use access_core::record::{Outcome, Shown, Told};
use access_core::render::Message;
use jiff::Timestamp;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::complaints::Complaints;
use super::doors::Doors;
use super::lease::Lease;
use super::pace::{Caller, Pace};
use super::places::Places;
use super::settle::{message_mark, reply_mark};
use crate::observe::metrics::{Delivery, Metrics};
use crate::observe::seconds;
use crate::slack::directory::Directory;
use crate::slack::error::{Kind, SlackError};
use crate::slack::history::Author;
use crate::slack::method::Method;
use crate::slack::{self, PostMessage};

/// Calls to Slack under way at once: well below what Slack's limits let through in a second, and enough that
/// one slow channel does not hold up the others.
const MAX_CALLS: usize = 16;
/// Passing faults: soon again, then a few times a minute.
const PASSING: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(20) };
/// The outcome of a post is not known: it may be there already, so it is not hurried.
const AMBIGUOUS: Backoff = Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(60) };
/// Refused credentials: an operator must act, so look now and then.
const UNAUTHORISED: Backoff = Backoff { first: Duration::from_secs(10), cap: Duration::from_secs(600) };
/// Refused as long as nobody changes anything in Slack (invites the bot, unarchives the channel): who does that now sees
/// it work soon, and nothing is hammered.
const REFUSED: Backoff = Backoff { first: Duration::from_secs(15), cap: Duration::from_secs(600) };

/// The way to Slack.
#[derive(Debug)]
pub(super) struct Outbox {
    pub(super) slack: slack::Client,
    pub(super) directory: Directory,
    pub(super) author: Author,
    calls: Semaphore,
    gates: Mutex<HashMap<Method, Instant>>,
    pace: Mutex<Pace>,
    doors: Mutex<Doors>,
    places: Mutex<Places>,
    complaints: Complaints,
    /// Requests whose turn it is.
    pub(super) turns: mpsc::Sender<RequestId>,
    /// Told when somebody ended.
    pub(super) ended: Notify,
    pub(super) metrics: Metrics,
}

/// A step that did not succeed.
#[derive(Debug)]
pub(super) struct NotYet {
    /// How long to wait before the errand is tried again.
    pub(super) delay: Duration,
    /// Whether it was really tried, so that the next delay is longer.
    pub(super) is_failure: bool,
    /// Whether it waits for its turn in the line alone: it is called, perhaps before the delay is over.
    pub(super) is_queued: bool,
    /// Whether it may have been done all the same.
    pub(super) fate: Fate,
}

/// What is known of a step that did not succeed.
#[derive(Debug)]
pub(super) enum Fate {
    /// It was not done.
    NotDone,
    /// It may have been done, and will not be after this time.
    Unclear {
        /// The time.
        ripe: Timestamp,
        /// Where it was posted.
        place: String,
        /// Whether Slack said that it was done, and not how.
        is_accepted: bool,
    },
}

impl NotYet {
    /// It was not its turn yet.
    pub(super) fn turn(delay: Duration) -> Self {
        Self { delay, is_failure: false, is_queued: false, fate: Fate::NotDone }
    }

    /// Others come first; it keeps its place in the line.
    pub(super) fn queued(delay: Duration) -> Self {
        Self { is_queued: true, ..Self::turn(delay) }
    }

    /// It was tried in vain and nothing was done.
    pub(super) fn failed(delay: Duration) -> Self {
        Self { delay, is_failure: true, is_queued: false, fate: Fate::NotDone }
    }
}

/// Why a call was not made, or failed.
enum Setback {
    Slack(SlackError),
    /// The claim's time is over.
    LeaseOver,
}

impl From<SlackError> for Setback {
    fn from(error: SlackError) -> Self {
        Self::Slack(error)
    }
}

impl Outbox {
    /// `turns` is told whose turn it is.
    pub(super) fn new(
        slack: slack::Client,
        directory: Directory,
        author: Author,
        turns: mpsc::Sender<RequestId>,
        metrics: Metrics,
    ) -> Self {
        Self {
            slack,
            directory,
            author,
            calls: Semaphore::new(MAX_CALLS),
            gates: Mutex::new(HashMap::new()),
            pace: Mutex::default(),
            doors: Mutex::default(),
            places: Mutex::default(),
            complaints: Complaints::default(),
            turns,
            ended: Notify::new(),
            metrics,
        }
    }

    /// What was refused may be let in now.
    pub(super) fn revive(&self) {
        *self.doors() = Doors::default();
    }

    /// Waits until a call could be made at once, so that a claim's time is not spent in a queue.
    pub(super) async fn room(&self) {
        drop(self.calls.acquire().await.expect("the semaphore is never closed"));
    }

    /// Makes one call. `failures` counts the failures of this errand in a row.
    pub(super) async fn carry_out(
        &self,
        caller: &Caller,
        step: Step,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, NotYet> {
        let id = &caller.id;
        let (method, place) = whereto(&step);
        let _permit = self.calls.acquire().await.expect("the semaphore is never closed");
        if let Some(wait) = self.wait(caller, &step) {
            return Err(if wait.is_turn { NotYet::queued(wait.delay) } else { NotYet::turn(wait.delay) });
        }
        if !lease.is_good() {
            return Err(NotYet::turn(Duration::ZERO));
        }
        if method == Method::ChatPostMessage {
            let now = Instant::now();
            self.pace().begin(&place, caller, now);
            self.pace().leaves(&place, now);
        }
        if failures > 0 {
            self.metrics.retry();
        }
        let kept = kept(&step);
        let outcome = match step {
            Step::Settle(search) => return self.settle(caller, &search, failures, lease).await,
            Step::Post { key, post_to, message, short, shown } => {
                self.post(id, &key, &post_to, [&message, &short], shown, lease).await
            }
            Step::Update { channel, ts, message, short, shown, .. } => {
                self.update(id, (channel, ts), [&message, &short], shown, lease).await
            }
            Step::Reply { channel, ts, message, replies } => {
                self.reply(id, channel, ts, &message, replies).await
            }
            Step::Withdraw { channel, ts } => self.withdraw(id, channel, ts).await.map_err(Setback::from),
        };
        match outcome {
            Ok((outcome, delivery)) => {
                self.metrics.delivery(delivery);
                self.doors().open(&topic(method, &place));
                if self.complaints.settle(&topic(method, &place)) {
                    match method {
                        Method::ChatUpdate => info!(%place, "Slack accepts edits in this place again"),
                        _ => info!(%place, "Slack accepts messages for this place again"),
                    }
                }
                Ok(vec![outcome])
            }
            Err(Setback::LeaseOver) => Err(NotYet::turn(Duration::ZERO)),
            Err(Setback::Slack(error)) => {
                self.metrics.delivery(Delivery::Not(error.kind()));
                self.note_answer(&place, &error);
                if error.kind() == Kind::Permanent && !shuts(&error) {
                    // What is wrong is the message, so the place takes others.
                    self.doors().open(&topic(method, &place));
                }
                if let Some((channel, ts, _)) = kept.filter(|(.., is_last)| is_lost(&error, *is_last)) {
                    self.tell_lost(id, &place, &ts, &error);
                    return Ok(vec![Outcome::Lost { channel, ts }]);
                }
                Err(self.refused(caller, &place, &error, failures))
            }
        }
    }

    async fn post(
        &self,
        id: &RequestId,
        key: &RecipientKey,
        channel: &str,
        [message, short]: [&Message; 2],
        shown: Shown,
        lease: &Lease,
    ) -> Result<(Outcome, Delivery), Setback> {
        let metadata = Some(message_mark(id, key));
        let post = |message| PostMessage { channel, message, thread_ts: None, metadata: metadata.clone() };
        let posted = match self.slack.post_message(post(message)).await {
            Err(error) if refuses_blocks(&error) => {
                self.fall_back(id, &error, lease)?;
                self.slack.post_message(post(short)).await?
            }
            posted => posted?,
        };
        info!(request = %id, recipient = %key, channel = %posted.channel, phase = ?shown.phase, "Posted the request");
        let slack::objects::Posted { channel, ts } = posted;
        Ok((Outcome::Posted { key: key.clone(), channel, ts, shown: Some(shown) }, Delivery::Posted))
    }

    async fn update(
        &self,
        id: &RequestId,
        (channel, ts): (ChannelId, MessageTs),
        [message, short]: [&Message; 2],
        shown: Shown,
        lease: &Lease,
    ) -> Result<(Outcome, Delivery), Setback> {
        match self.slack.update_message(&channel, &ts, message).await {
            Err(error) if refuses_blocks(&error) => {
                self.fall_back(id, &error, lease)?;
                self.slack.update_message(&channel, &ts, short).await?;
            }
            updated => updated?,
        }
        info!(request = %id, %channel, phase = ?shown.phase, "Updated the message");
        Ok((Outcome::Updated { channel, ts, shown }, Delivery::Updated))
    }

    async fn reply(
        &self,
        id: &RequestId,
        channel: ChannelId,
        ts: MessageTs,
        message: &Message,
        replies: Told,
    ) -> Result<(Outcome, Delivery), Setback> {
        let metadata = Some(reply_mark(id, replies));
        let post = PostMessage { channel: channel.as_str(), message, thread_ts: Some(&ts), metadata };
        match self.slack.post_message(post).await {
            // The record keeps only how many there are, so where it is does not matter.
            Err(error) if error.is_accepted() => {
                debug!(request = %id, %channel, "Slack took the reply: {error}");
            }
            posted => drop(posted?),
        }
        info!(request = %id, %channel, review = replies.count(), "Told the review in the thread");
        Ok((Outcome::Replied { channel, ts, replies }, Delivery::Replied))
    }

    pub(super) async fn withdraw(
        &self,
        id: &RequestId,
        channel: ChannelId,
        ts: MessageTs,
    ) -> Result<(Outcome, Delivery), SlackError> {
        self.slack.delete_message(&channel, &ts).await?;
        self.metrics.withdrew_double();
        warn!(request = %id, %channel, "Two daemons had told the same recipient at the same time; the second message is taken back");
        Ok((Outcome::Withdrawn { channel, ts }, Delivery::Withdrawn))
    }

    /// Says that Slack refuses the layout; the short message follows if there is time left for it.
    fn fall_back(&self, id: &RequestId, error: &SlackError, lease: &Lease) -> Result<(), Setback> {
        warn!(request = %id, "Slack refuses the message's blocks, so it is sent as plain text; please report this: {}", error.with_remedy());
        if lease.is_good() { Ok(()) } else { Err(Setback::LeaseOver) }
    }

    /// Says that a message is given up: of a deleted one each time, of what an operator can change once a place.
    fn tell_lost(&self, id: &RequestId, place: &str, ts: &MessageTs, error: &SlackError) {
        let is_deleted = is_lost(error, false);
        if is_deleted && error.method() == Method::ChatUpdate {
            info!(request = %id, %place, %ts, "Somebody deleted the message, so it is not kept current any more");
        } else if !is_deleted && self.complaints.open(&topic(error.method(), place), &error.to_string()) {
            error!(request = %id, %place, %ts, "A message stays as it is: {}", error.with_remedy());
        } else {
            debug!(request = %id, %place, %ts, "A message stays as it is: {error}");
        }
    }

    /// How long `method` may not be called, if Slack said so.
    pub(super) fn gate(&self, method: Method) -> Option<Duration> {
        let gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        let left = gates.get(&method)?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    pub(super) fn shut_gate(&self, method: Method, until: Instant) {
        self.gates.lock().unwrap_or_else(PoisonError::into_inner).insert(method, until);
    }

    pub(super) fn pace(&self) -> MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn doors(&self) -> MutexGuard<'_, Doors> {
        self.doors.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers what is certain after a post that failed.
    pub(super) fn note_answer(&self, place: &str, error: &SlackError) {
        let is_certain = error.kind() == Kind::Permanent && error.code().is_some();
        if error.method() == Method::ChatPostMessage && is_certain {
            self.places().refused(place);
        }
    }

    pub(super) fn refused(&self, caller: &Caller, place: &str, error: &SlackError, failures: u32) -> NotYet {
        let id = &caller.id;
        let is_unclear = error.is_ambiguous() && error.method() == Method::ChatPostMessage;
        if is_unclear {
            self.metrics.ambiguous_post();
        }
        let seed = fastrand::u64(..);
        let delay = match error.kind() {
            Kind::Retry if is_unclear => AMBIGUOUS.delay(failures + 1, seed),
            Kind::Retry => PASSING.delay(failures + 1, seed),
            Kind::RetryAfter(delay) => {
                let now = Instant::now();
                self.shut_gate(error.method(), now + delay);
                let met = Some(caller).filter(|_| error.method() == Method::ChatPostMessage);
                self.pace().slow_down(place, met, now + delay, now);
                delay
            }
            Kind::Unauthorised => UNAUTHORISED.delay(failures + 1, seed),
            // Not Slack's word but that of something in between, which may be out of the way soon.
            Kind::Permanent if error.code().is_none() => PASSING.delay(failures + 1, seed),
            Kind::Permanent if shuts(error) => {
                let delay = |failures| REFUSED.delay(failures, seed);
                self.doors().refused(&topic(error.method(), place), Instant::now(), delay)
            }
            Kind::Permanent => REFUSED.delay(failures + 1, seed),
        };
        // One that may still arrive is not waited for.
        let is_over = !is_unclear || error.is_answered();
        if error.kind() == Kind::Retry && error.method() == Method::ChatPostMessage && is_over {
            let now = Instant::now();
            self.pace().failed(place, caller, now + delay, now);
        }
        let again = seconds(delay);
        if !self.complaints.open(&topic(error.method(), place), &error.to_string()) {
            debug!(request = %id, %place, retry_in_s = again, "{}", error.with_remedy());
        } else if matches!(error.kind(), Kind::Permanent | Kind::Unauthorised) {
            error!(request = %id, %place, retry_in_s = again, "{}", error.with_remedy());
        } else {
            warn!(request = %id, %place, retry_in_s = again, "{}", error.with_remedy());
        }
        let fate = if is_unclear {
            let now = Timestamp::now();
            let ripe = if error.is_answered() { now } else { now.saturating_add(LATE).unwrap_or(now) };
            Fate::Unclear { ripe, place: place.to_owned(), is_accepted: error.is_accepted() }
        } else {
            Fate::NotDone
        };
        NotYet { delay, is_failure: !matches!(error.kind(), Kind::RetryAfter(_)), is_queued: false, fate }
    }
}

/// The method that a step begins with, and the place that it is about.
pub(super) fn whereto(step: &Step) -> (Method, String) {
    match step {
        Step::Post { post_to, .. } => (Method::ChatPostMessage, post_to.clone()),
        Step::Reply { channel, .. } => (Method::ChatPostMessage, channel.to_string()),
        Step::Update { channel, .. } => (Method::ChatUpdate, channel.to_string()),
        Step::Withdraw { channel, .. } => (Method::ChatDelete, channel.to_string()),
        Step::Settle(Search { doubt, .. }) => {
            let method = match doubt.errand {
                Errand::Deliver(_) => Method::ConversationsHistory,
                Errand::Keep(..) | Errand::Tell(..) => Method::ConversationsReplies,
            };
            (method, doubt.place.clone())
        }
    }
}

/// What complaints are about: a place that takes messages may still refuse edits.
pub(super) fn topic(method: Method, place: &str) -> String {
    match method {
        Method::ChatUpdate => format!("edits in {place}"),
        _ => place.to_owned(),
    }
}

/// The message that the step keeps true, and whether this is the last that there is to show.
fn kept(step: &Step) -> Option<(ChannelId, MessageTs, bool)> {
    match step {
        Step::Update { channel, ts, is_last, .. } => Some((channel.clone(), ts.clone(), *is_last)),
        Step::Reply { channel, ts, .. } => Some((channel.clone(), ts.clone(), false)),
        Step::Post { .. } | Step::Settle(_) | Step::Withdraw { .. } => None,
    }
}

/// Whether the message is out of reach for good: it was deleted; or it may not be edited, and the request is over, so that
/// nobody need ask again and again until the rules are changed.
fn is_lost(error: &SlackError, is_last: bool) -> bool {
    match error.code() {
        Some("message_not_found" | "thread_not_found") => true,
        Some("edit_window_closed" | "cant_update_message") => is_last,
        _ => false,
    }
}

/// Whether the place takes nothing at all, whatever the message.
fn shuts(error: &SlackError) -> bool {
    matches!(
        error.code(),
        Some(
            "not_in_channel"
                | "channel_not_found"
                | "is_archived"
                | "is_inactive"
                | "restricted_action"
                | "restricted_action_read_only_channel"
                | "channel_is_limited_access"
                | "messages_tab_disabled"
        )
    )
}

/// Whether it is the layout that Slack does not like, not the message.
fn refuses_blocks(error: &SlackError) -> bool {
    matches!(
        error.code(),
        Some("invalid_blocks" | "invalid_blocks_format" | "msg_blocks_too_long" | "block_mismatch")
    )
}

#[cfg(test)]
mod tests;
