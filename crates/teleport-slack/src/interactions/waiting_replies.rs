//! The replies that wait for Slack: of each user and request the last one, and when to try it next. `late_replies` tries them.
//!
//! They are forgotten with the process, and after [`InteractionTimings::late_reply_until`]; the log then names the users.

use std::time::Duration;

use access_core::render::late::Answer;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::replies::{Reply, ReplyResult};
use super::timings::InteractionTimings;
use crate::config::slack_setting;
use crate::observe::health::WaitingReply;
use crate::observe::metrics::Metrics;
use slack_client::error::{Retry, SlackError};

/// Replies that wait at a time; the users of further ones get none, and the log says so.
const MAX_WAITING: usize = 100;
/// Replies that one line of the log names.
const MAX_NAMED: usize = 20;
const BEFORE_STOP: &str = " before the stop";

/// The replies that wait.
#[derive(Debug)]
pub(crate) struct WaitingReplies {
    slack: slack_client::Client,
    metrics: Metrics,
    timings: InteractionTimings,
    table: Mutex<Table>,
    /// Notified of each new one.
    pub(super) added: Notify,
}

#[derive(Debug, Default)]
struct Table {
    /// The oldest click first; at most one of each user and request.
    entries: Vec<Entry>,
    /// Those for which there was no room, and that the log has not named yet.
    rejected: Vec<Reply>,
    rejected_logged: Option<Instant>,
    /// The daemon stops: no more replies are taken.
    is_closed: bool,
}

#[derive(Debug)]
struct Entry {
    reply: Reply,
    error: SlackError,
    failures: u32,
    next_try: Instant,
    is_being_tried: bool,
    /// Whether it failed because Slack as a whole was away. Else its own failures say when it is tried next.
    waits_for_slack: bool,
}

/// The end of a try.
pub(super) struct Tried {
    pub(super) reply: Reply,
    /// `None` if another had taken its place before the call.
    pub(super) result: Option<ReplyResult>,
    /// Whether Slack was away when it began.
    pub(super) was_away: bool,
}

impl Entry {
    fn due(&self) -> Instant {
        self.reply.in_doubt.map_or(self.next_try, |settled| settled.max(self.next_try))
    }
}

impl Table {
    /// Takes the reply in the place of the one that it replaces, if there is room.
    fn add(&mut self, reply: Reply, error: SlackError, next_try: Instant) {
        if self.is_outlasted(&reply) {
            return;
        }
        self.entries.retain(|entry| !entry.reply.is_beside(&reply));
        if self.entries.len() >= MAX_WAITING {
            return self.rejected.push(reply);
        }
        self.entries.push(Entry {
            reply,
            error,
            failures: 1,
            next_try,
            is_being_tried: false,
            waits_for_slack: true,
        });
    }

    /// Whether one that waits says what this one does not, and the user needs it.
    fn is_outlasted(&self, reply: &Reply) -> bool {
        let mut beside = self.entries.iter().filter(|entry| entry.reply.is_beside(reply));
        beside.any(|entry| entry.reply.answer.outlasts(&reply.answer))
    }

    fn next_due(&self) -> Option<Instant> {
        self.entries.iter().filter(|entry| !entry.is_being_tried).map(Entry::due).min()
    }

    fn start_ready(&mut self, now: Instant) -> Option<Reply> {
        let waiting = self.entries.iter_mut().filter(|entry| !entry.is_being_tried && entry.due() <= now);
        let entry = waiting.min_by_key(|entry| entry.due())?;
        entry.is_being_tried = true;
        Some(entry.reply.clone())
    }

    fn find(&self, reply: &Reply) -> Option<usize> {
        self.entries.iter().position(|entry| entry.reply.click == reply.click)
    }
}

impl WaitingReplies {
    pub(crate) fn new(slack: slack_client::Client, metrics: Metrics, timings: InteractionTimings) -> Self {
        Self { slack, metrics, timings, table: Mutex::default(), added: Notify::new() }
    }

    /// The reply could not be given, for this reason.
    pub(crate) fn add(&self, reply: Reply, error: SlackError) {
        let mut table = self.table.lock();
        if table.is_closed {
            return reply.log_given_up(&self.slack, BEFORE_STOP);
        }
        debug!(slack_user = %reply.sender.user, "The reply waits for Slack: {error}");
        let next_try = Instant::now() + self.pause(1, &error);
        table.add(reply, error, next_try);
        self.publish(&table);
        self.added.notify_one();
    }

    /// The user has this reply: an earlier one about the same request is not needed any more.
    pub(crate) fn replied(&self, later: &Reply) {
        let mut table = self.table.lock();
        let count = table.entries.len();
        let is_needed = |answer: &Answer| answer.outlasts(&later.answer);
        table.entries.retain(|entry| !entry.reply.is_beside(later) || is_needed(&entry.reply.answer));
        if table.entries.len() < count {
            let (slack_user, request) = (&later.sender.user, later.request());
            debug!(%slack_user, request, "The Slack user has a later reply, so the one that waits for Slack is left out");
            self.publish(&table);
        }
    }

    /// When the next one is due.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.table.lock().next_due()
    }

    /// The one to try now.
    pub(super) fn start_ready(&self) -> Option<Reply> {
        let mut table = self.table.lock();
        let reply = table.start_ready(Instant::now())?;
        self.publish(&table);
        Some(reply)
    }

    /// Whether the reply still waits: a later one may have taken its place.
    pub(super) fn has(&self, reply: &Reply) -> bool {
        self.table.lock().find(reply).is_some()
    }

    pub(super) fn tried(&self, tried: Tried) {
        let Tried { reply, result: Some(result), was_away } = tried else { return };
        let mut table = self.table.lock();
        let found = table.find(&reply);
        match (result, found) {
            (ReplyResult::Deferred(error), Some(at)) => {
                let entry = &mut table.entries[at];
                entry.failures += 1;
                entry.next_try = Instant::now() + self.pause(entry.failures, &error);
                (entry.reply, entry.error) = (reply, error);
                (entry.is_being_tried, entry.waits_for_slack) = (false, was_away);
            }
            (ReplyResult::Deferred(_), None) => {}
            (ReplyResult::Sent, found) => {
                reply.log_sent();
                found.map(|at| table.entries.remove(at));
            }
            (ReplyResult::Failed(error), Some(at)) => {
                reply.log_failed(&self.slack, &error);
                table.entries.remove(at);
            }
            (ReplyResult::Failed(_), None) => {}
        }
        self.publish(&table);
    }

    /// Slack is back: what waited for that is due.
    pub(super) fn slack_is_back(&self) {
        let (mut table, now) = (self.table.lock(), Instant::now());
        let waiting = table.entries.iter_mut().filter(|entry| entry.waits_for_slack);
        waiting.for_each(|entry| entry.next_try = entry.next_try.min(now));
        self.publish(&table);
    }

    /// Gives up what has waited for too long, and what there is no room for.
    pub(super) fn expire(&self) {
        let mut table = self.table.lock();
        if table.rejected_logged.is_none_or(|logged| logged.elapsed() >= self.timings.late_replies_rejected) {
            self.log_rejected(&mut table);
        }
        let is_over = |entry: &mut Entry| {
            !entry.is_being_tried && entry.reply.began.1.elapsed() >= self.timings.late_reply_until
        };
        let over: Vec<_> = table.entries.extract_if(.., is_over).collect();
        if let Some(Entry { error, .. }) = over.first() {
            let why = format!(": {}", error.with_remedy(slack_setting));
            self.log_given_up(over.iter().map(|entry| &entry.reply), &why);
            self.publish(&table);
        }
    }

    /// Gives up what waits, and what comes still.
    pub(super) fn close(&self) {
        let mut table = self.table.lock();
        table.is_closed = true;
        self.log_rejected(&mut table);
        let over = std::mem::take(&mut table.entries);
        self.log_given_up(over.iter().map(|entry| &entry.reply), BEFORE_STOP);
        self.publish(&table);
    }

    fn log_rejected(&self, table: &mut Table) {
        let rejected = std::mem::take(&mut table.rejected);
        if !rejected.is_empty() {
            table.rejected_logged = Some(Instant::now());
            let why = format!(": {MAX_WAITING} replies wait for Slack already");
            self.log_given_up(rejected.iter(), &why);
        }
    }

    /// One line about all of them: `U0BOB (Bob) on 0d9b…, U0DAVE on 1f3c…, and 3 more`.
    fn log_given_up<'a>(&self, mut replies: impl ExactSizeIterator<Item = &'a Reply>, why: &str) {
        let left = replies.len();
        if left <= 1 {
            return replies.for_each(|reply| reply.log_given_up(&self.slack, why));
        }
        let name = |reply: &Reply| {
            let user = &reply.sender.user;
            let name = self.slack.known_name(user).map(|name| format!(" ({name})")).unwrap_or_default();
            let request = Some(reply.request()).filter(|request| !request.is_empty());
            format!("{user}{name}{}", request.map(|request| format!(" on {request}")).unwrap_or_default())
        };
        let names: Vec<_> = replies.by_ref().take(MAX_NAMED).map(name).collect();
        let more = match left - names.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        warn!(left, "Cannot reply to the Slack users {}{more}{why}", names.join(", "));
    }

    fn pause(&self, failures: u32, error: &SlackError) -> Duration {
        match error.retry() {
            Retry::After(wait) => wait,
            Retry::Backoff | Retry::Never | Retry::NeedsOperator => {
                self.timings.late_reply.delay(failures, fastrand::u64(..))
            }
        }
    }

    /// Shows what waits to those who look.
    fn publish(&self, table: &Table) {
        let waiting = table.entries.iter().map(|entry| WaitingReply {
            slack_user: entry.reply.sender.user.clone(),
            request: entry.reply.sender.request.clone(),
            since: entry.reply.began.1,
            retry_at: (!entry.is_being_tried).then(|| entry.due()),
            attempts: entry.failures,
        });
        self.metrics.replies_wait(waiting.collect());
    }
}

#[cfg(test)]
mod tests {
    use access_core::domain::ids::{RequestId, SlackUserId};
    use access_core::domain::secret::Secret;
    use access_core::interaction::Sender;
    use access_core::policy::refusal::Refusal;
    use access_sim::captured::Captured;
    use slack_client::{Client, ClientOptions};

    use super::*;

    /// A table, and the error of a Slack that is away.
    async fn table() -> (WaitingReplies, SlackError) {
        let api_url = "http://127.0.0.1:1/".to_owned();
        let slack =
            Client::new(ClientOptions { api_url, ..ClientOptions::new(Secret::new("xoxb-1")) }).unwrap();
        let error = slack.auth_test().await.unwrap_err();
        assert!(error.is_unavailable(), "{error}");
        (WaitingReplies::new(slack, Metrics::new(), InteractionTimings::default()), error)
    }

    fn reply(user: &str, request: &str) -> Reply {
        let sender = Sender {
            user: SlackUserId::new(user),
            response_url: None,
            channel: None,
            request: Some(RequestId::new(request)),
        };
        Reply::new(&sender, Answer::Refused(Refusal::SlackUnreachable), None)
    }

    fn users(waiting: &WaitingReplies) -> Vec<String> {
        let table = waiting.table.lock();
        table.entries.iter().map(|entry| entry.reply.sender.user.as_str().to_owned()).collect()
    }

    #[tokio::test]
    async fn no_more_than_a_hundred_wait_and_the_log_says_once_that_more_get_none() {
        let (waiting, error) = table().await;
        let log = Captured::start();
        for number in 0..MAX_WAITING + 40 {
            waiting.add(reply(&format!("U{number}"), "one"), error.clone());
        }
        assert_eq!(users(&waiting).len(), MAX_WAITING);
        let warnings =
            || log.text().lines().filter(|line| line.contains("WARN")).map(str::to_owned).collect::<Vec<_>>();
        waiting.expire();
        let no_room = "U118 on one, U119 on one, and 20 more: 100 replies wait for Slack already left=40";
        let [first] = &warnings()[..] else { panic!("{:#?}", warnings()) };
        assert!(first.contains("Cannot reply to the Slack users U100 on one, U101 on one, "), "{first}");
        assert!(first.ends_with(no_room), "{first}");
        // The next line about that comes a minute later, or at the stop.
        waiting.add(reply("U140", "one"), error.clone());
        waiting.expire();
        assert_eq!(warnings().len(), 1);
        // There is room for what takes the place of another.
        waiting.add(reply("U0", "one"), error);
        assert_eq!((users(&waiting).len(), users(&waiting).last().unwrap().as_str()), (MAX_WAITING, "U0"));
        waiting.close();
        let [_, rejected, stopped] = &warnings()[..] else { panic!("{:#?}", warnings()) };
        let line = "Cannot reply to the Slack user: 100 replies wait for Slack already slack_user=U140";
        assert!(rejected.contains(line), "{rejected}");
        assert!(stopped.contains("Cannot reply to the Slack users U1 on one, U2 on one, "), "{stopped}");
        assert!(stopped.ends_with(", U20 on one, and 80 more before the stop left=100"), "{stopped}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_that_alone_fails_keeps_its_pause_when_slack_is_back() {
        let (waiting, error) = table().await;
        waiting.add(reply("U0CAROL", "one"), error.clone());
        tokio::time::advance(Duration::from_secs(2)).await;
        let carols = waiting.start_ready().unwrap();
        assert!(waiting.start_ready().is_none(), "it is being tried");
        // Slack answers others meanwhile.
        let result = Some(ReplyResult::Deferred(error.clone()));
        waiting.tried(Tried { reply: carols, result, was_away: false });
        waiting.add(reply("U0DAVE", "one"), error);
        assert!(waiting.start_ready().is_none(), "each pauses");
        waiting.slack_is_back();
        let due = waiting.start_ready().map(|reply| reply.sender.user);
        assert_eq!(due, Some(SlackUserId::new("U0DAVE")));
        assert!(waiting.start_ready().is_none(), "carol's pauses still");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_waited_too_long_have_one_line() {
        let (waiting, error) = table().await;
        for user in ["U0CAROL", "U0DAVE"] {
            waiting.add(reply(user, "one"), error.clone());
        }
        let log = Captured::start();
        waiting.expire();
        assert_eq!(users(&waiting).len(), 2);
        tokio::time::advance(InteractionTimings::default().late_reply_until).await;
        waiting.expire();
        assert_eq!((users(&waiting).len(), log.count("WARN")), (0, 1), "{}", log.text());
        let line =
            "Cannot reply to the Slack users U0CAROL on one, U0DAVE on one: Slack's auth.test failed: ";
        assert!(log.text().contains(line), "{}", log.text());
    }

    #[tokio::test]
    async fn a_reply_whose_place_another_took_is_forgotten_whatever_its_try_came_to() {
        let (waiting, error) = table().await;
        let first = reply("U0DAVE", "one");
        waiting.add(first.clone(), error.clone());
        waiting.add(reply("U0DAVE", "two"), error.clone());
        waiting.add(reply("U0DAVE", "one"), error.clone());
        assert!(!waiting.has(&first));
        let result = Some(ReplyResult::Failed(error.clone()));
        waiting.tried(Tried { reply: first.clone(), result, was_away: false });
        assert_eq!(users(&waiting), ["U0DAVE", "U0DAVE"], "of each request one");
        waiting.replied(&first);
        assert_eq!(users(&waiting), ["U0DAVE"], "of the other request");
    }
}
