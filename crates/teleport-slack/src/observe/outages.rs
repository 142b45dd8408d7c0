//! What the log says while Teleport or Slack is away: once that it is, now and then that it still is, and for how long it was.
//! Per side: what fails for it meanwhile is only a step (DEBUG).
//!
//! Slack is away from the first call without an answer to the next call with one; Teleport from the loss of the watch to the
//! next list of requests. `access_core::domain::outage` decides; Socket Mode has its own words in `slack_client`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::domain::outage::{Outage, OutageTimings};
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{error, info, warn};

use super::skew::Side;

/// How often to look whether a reminder is due, at most.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Both sides; clones share them.
#[derive(Clone, Debug)]
pub(crate) struct Outages(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    began: Instant,
    timings: OutageTimings,
    teleport: Mutex<Away>,
    slack: Mutex<Away>,
    is_slack_away: watch::Sender<bool>,
}

#[derive(Debug)]
struct Away {
    outage: Outage,
    cause: String,
    /// Waiting for it will not help: an operator must act.
    is_refused: bool,
    /// What waits or waited, by request: operations in Slack, or the request itself.
    waiting: HashMap<RequestId, usize>,
    /// When a call was answered last.
    answered_at: Option<Duration>,
    /// An outage was resumed that the log does not speak of yet, and no caller has asked about a call that failed for it: that
    /// may be the call alone that fails.
    is_unspoken: bool,
}

/// How a side answers, for those who only look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SideState {
    /// Since when it is away, and why; `None` if it is not.
    pub(crate) away: Option<(Instant, String)>,
    /// When a call was answered last. Of Slack only.
    pub(crate) answered_at: Option<Instant>,
}

impl Default for Outages {
    fn default() -> Self {
        Self::new(OutageTimings::default())
    }
}

impl Away {
    fn new(timings: OutageTimings) -> Self {
        let outage = Outage::new(timings);
        Self {
            outage,
            cause: String::new(),
            is_refused: false,
            waiting: HashMap::new(),
            answered_at: None,
            is_unspoken: false,
        }
    }

    fn waiting(&self) -> usize {
        self.waiting.values().sum()
    }
}

impl Outages {
    pub(crate) fn new(timings: OutageTimings) -> Self {
        let (teleport, slack) = (Mutex::new(Away::new(timings)), Mutex::new(Away::new(timings)));
        let is_slack_away = watch::Sender::new(false);
        Self(Arc::new(Shared { began: Instant::now(), timings, teleport, slack, is_slack_away }))
    }

    /// Whether Slack is away, for those who wait for it.
    pub(crate) fn slack_away(&self) -> watch::Receiver<bool> {
        self.0.is_slack_away.subscribe()
    }

    /// A call to Slack had no answer and took so long; `cause` says why, and what helps. If Slack answered another call
    /// meanwhile, it is not away.
    pub(super) fn slack_fails(&self, cause: String, took: Duration) {
        let (mut slack, now) = (self.0.slack.lock(), self.now());
        if slack.answered_at.is_some_and(|answered| answered >= now.saturating_sub(took)) {
            return;
        }
        slack.cause = cause;
        let was_away = slack.outage.is_away();
        let begins = slack.outage.fails(now);
        self.0.is_slack_away.send_if_modified(|is_away| !std::mem::replace(is_away, true));
        slack.is_unspoken |= !was_away;
        if begins {
            slack.is_unspoken = false;
            warn!(parent: None, "Slack does not answer, and what is due there waits: {}", slack.cause);
        }
    }

    /// So many operations of this request wait.
    pub(super) fn waits_for_slack(&self, id: &RequestId, count: usize) {
        let mut slack = self.0.slack.lock();
        if slack.outage.is_away() && count > 0 {
            let known = slack.waiting.entry(id.clone()).or_default();
            *known = count.max(*known);
        }
    }

    /// Slack answered a call.
    pub(super) fn slack_answers(&self) {
        let (mut slack, now) = (self.0.slack.lock(), self.now());
        slack.answered_at = Some(now);
        let Some(over) = slack.outage.works(now) else { return };
        self.0.is_slack_away.send_replace(false);
        let waited = slack.waiting();
        slack.waiting.clear();
        if over.is_logged {
            info!(
                parent: None,
                "Slack answers again: away for {} s, {}",
                over.lasted.as_secs(),
                counted(waited, "message")
            );
        }
    }

    /// The watch on Teleport is lost, or its requests cannot be listed. Returns whether the client is to log it.
    pub(super) fn teleport_fails(&self, cause: String, is_refused: bool) -> bool {
        let mut teleport = self.0.teleport.lock();
        teleport.outage.fails(self.now());
        if is_refused {
            teleport.outage.speak();
        }
        (teleport.cause, teleport.is_refused) = (cause, is_refused);
        teleport.outage.is_logged()
    }

    /// This request could not be read or recorded in Teleport, or changed while Teleport was away.
    pub(crate) fn waits_for_teleport(&self, id: &RequestId) {
        let mut teleport = self.0.teleport.lock();
        if teleport.outage.is_away() {
            teleport.waiting.insert(id.clone(), 1);
        }
    }

    /// Teleport listed its requests, after the watch was opened.
    pub(crate) fn teleport_answers(&self) {
        let mut teleport = self.0.teleport.lock();
        let Some(over) = teleport.outage.works(self.now()) else { return };
        let waited = teleport.waiting();
        teleport.waiting.clear();
        if over.is_logged {
            let seconds = over.lasted.as_secs();
            info!(parent: None, "The watch on Teleport works again: away for {seconds} s, {}", counted(waited, "request"));
        }
    }

    /// How this side answers.
    pub(crate) fn state(&self, side: Side) -> SideState {
        let at = |after: Duration| self.0.began + after;
        let away = match side {
            Side::Slack => &self.0.slack,
            Side::Teleport => &self.0.teleport,
        }
        .lock();
        SideState {
            away: away.outage.away_since().map(|since| (at(since), away.cause.clone())),
            answered_at: away.answered_at.map(at),
        }
    }

    /// Whether what failed is only a step, because this side is away or just was. `failures`: how often the same had failed in a
    /// row before. If that made an outage begin again of which the log does not speak yet, it may be this call alone that
    /// fails, so the first to ask hears no.
    pub(crate) fn covers(&self, side: Side, failures: u32) -> bool {
        let now = self.now();
        let mut away = match side {
            Side::Slack => self.0.slack.lock(),
            Side::Teleport => self.0.teleport.lock(),
        };
        let is_first = std::mem::take(&mut away.is_unspoken);
        !(is_first && failures > 0) && away.outage.covers(now)
    }

    /// Logs the reminders. Does not end.
    pub(crate) async fn remind(self) {
        let [first, ..] = self.0.timings.reminders;
        let mut looks = tokio::time::interval((first / 4).clamp(Duration::from_millis(1), LOOK_INTERVAL));
        loop {
            looks.tick().await;
            self.remind_once();
        }
    }

    fn remind_once(&self) {
        let now = self.now();
        let mut slack = self.0.slack.lock();
        if let Some(lasted) = slack.outage.reminder(now) {
            let (away_for_s, waiting) = (lasted.as_secs(), slack.waiting());
            warn!(parent: None, away_for_s, waiting, "Slack still does not answer: {}", slack.cause);
        }
        drop(slack);
        let mut teleport = self.0.teleport.lock();
        if let Some(lasted) = teleport.outage.reminder(now) {
            let (away_for_s, waiting) = (lasted.as_secs(), teleport.waiting());
            if teleport.is_refused {
                error!(parent: None, away_for_s, waiting, "The watch on Teleport still does not work: {}", teleport.cause);
            } else {
                warn!(parent: None, away_for_s, waiting, "The watch on Teleport still does not work: {}", teleport.cause);
            }
        }
    }

    fn now(&self) -> Duration {
        self.0.began.elapsed()
    }
}

/// `12 messages waited`
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{} waited", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use access_sim::captured::Captured;

    use super::*;

    fn request(n: u32) -> RequestId {
        RequestId::new(format!("00000000-0000-4000-8000-{n:012}"))
    }

    #[tokio::test(start_paused = true)]
    async fn a_side_that_is_away_is_logged_once_reminded_of_and_counted() {
        let log = Captured::start();
        let outages = Outages::new(OutageTimings::default());
        let mut reminding = std::pin::pin!(outages.clone().remind());
        let mut pass = async |seconds| {
            tokio::select! {
                () = &mut reminding => {}
                () = tokio::time::sleep(Duration::from_secs(seconds)) => {}
            }
        };
        let at_once = Duration::ZERO;
        outages.slack_answers();
        // A call that hung while others were answered.
        outages.slack_fails("no full answer".to_owned(), Duration::from_secs(8));
        assert!(!outages.covers(Side::Slack, 0));
        pass(1).await;
        outages.waits_for_slack(&request(3), 5);
        outages.slack_fails("no connection".to_owned(), at_once);
        outages.waits_for_slack(&request(1), 10);
        outages.slack_fails("no connection".to_owned(), at_once);
        outages.waits_for_slack(&request(1), 4);
        outages.waits_for_slack(&request(2), 2);
        assert!(outages.teleport_fails("denied".to_owned(), true));
        outages.waits_for_teleport(&request(1));
        outages.waits_for_teleport(&request(1));
        assert!(outages.covers(Side::Slack, 0) && outages.covers(Side::Teleport, 0));
        pass(130).await;
        let state = outages.state(Side::Slack);
        let (since, cause) = state.away.unwrap();
        assert_eq!((since.elapsed().as_secs(), &*cause), (130, "no connection"));
        assert_eq!(state.answered_at.unwrap().elapsed().as_secs(), 131);
        outages.slack_answers();
        assert_eq!(outages.state(Side::Slack).away, None);
        outages.slack_answers();
        pass(172).await;
        outages.teleport_answers();
        assert!(!outages.covers(Side::Slack, 0) && outages.covers(Side::Teleport, 0), "it just was");
        // What waits while both sides work is none of this.
        outages.waits_for_teleport(&request(2));
        pass(10_000).await;
        let text = log.text();
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        assert_eq!(
            lines,
            [
                "WARN Slack does not answer, and what is due there waits: no connection",
                "WARN Slack still does not answer: no connection away_for_s=60 waiting=12",
                "ERROR The watch on Teleport still does not work: denied away_for_s=60 waiting=1",
                "INFO Slack answers again: away for 130 s, 12 messages waited",
                "ERROR The watch on Teleport still does not work: denied away_for_s=300 waiting=1",
                "INFO The watch on Teleport works again: away for 302 s, 1 request waited",
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn of_an_outage_that_is_resumed_a_call_that_failed_before_is_logged_and_the_rest_if_it_lasts() {
        let log = Captured::start();
        let outages = Outages::new(OutageTimings::default());
        let second = || tokio::time::sleep(Duration::from_secs(1));
        let fail = || outages.slack_fails("no connection".to_owned(), Duration::ZERO);
        let covers = || outages.covers(Side::Slack, 0);
        let covers_again = || outages.covers(Side::Slack, 1);
        fail();
        assert!(covers() && covers(), "the line of the side speaks for all");
        outages.slack_answers();
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!covers(), "Slack works, so this is about one call");
        for _ in 0..2 {
            second().await;
            fail();
            fail();
            assert!(!covers_again(), "perhaps it is one call that fails: it is named");
            assert!(covers() && covers_again() && covers(), "the others are not");
            outages.slack_answers();
            assert!(covers(), "it just was");
            second().await;
            fail();
            assert!(covers() && covers_again(), "what began the outage worked before");
            outages.slack_answers();
        }
        // A call of which the log is asked late is named, too.
        second().await;
        fail();
        outages.slack_answers();
        assert!(!covers_again() && covers());

        assert!(outages.teleport_fails("cut".to_owned(), false));
        outages.teleport_answers();
        assert!(!outages.teleport_fails("cut".to_owned(), false), "resumed");
        assert!(outages.covers(Side::Teleport, 0) && outages.covers(Side::Teleport, 1));
        outages.teleport_answers();
        assert!(!outages.teleport_fails("cut".to_owned(), false));
        assert!(outages.teleport_fails("denied".to_owned(), true), "a person must act");
        outages.teleport_answers();
        let text = log.text();
        let lines: Vec<_> = text.lines().map(str::trim_start).collect();
        assert_eq!(
            lines,
            [
                "WARN Slack does not answer, and what is due there waits: no connection",
                "INFO Slack answers again: away for 0 s, 0 messages waited",
                "INFO The watch on Teleport works again: away for 0 s, 0 requests waited",
                "INFO The watch on Teleport works again: away for 0 s, 0 requests waited",
            ]
        );
    }
}
