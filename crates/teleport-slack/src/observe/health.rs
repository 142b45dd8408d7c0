//! The state of the daemon: how far its start got, whether the watch on Teleport is open, when its certificate expires.
//!
//! [`super::metrics::Metrics`] keeps the state here. The ages among the metrics and the answer of `/readyz` are computed
//! from it on each request. This module decides nothing and starts nothing.

use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::{RequestId, SlackUserId};
use jiff::{SignedDuration, Timestamp};
use parking_lot::{Mutex, MutexGuard};
use tokio::time::Instant;

use super::reload_state::ReloadState;
use super::skew::Skews;

/// A watch or Socket Mode that is lost for longer, or work that fails for longer, makes the daemon unready: a restart of the
/// other side takes less.
pub const DEFAULT_UNREADY_AFTER: Duration = Duration::from_secs(60);

/// How far the start got: what is waited for next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Teleport has not answered yet.
    #[default]
    Teleport,
    /// Slack has not answered yet.
    Slack,
    /// Both answered; the first list of access requests is not here yet.
    List,
    /// Everything that Teleport listed at first was taken in.
    Listed,
}

/// The state of health; clones share it.
#[derive(Clone, Debug)]
pub struct Health {
    state: Arc<Mutex<State>>,
    unready_after: Duration,
}

/// Why the daemon is not ready.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Obstacle {
    /// In a few plain words.
    pub(crate) cause: String,
    /// What a person can do.
    pub(crate) remedy: &'static str,
    /// It is that the watch or the list of requests fails: Teleport is away then, too (`outages`).
    pub(crate) is_of_watch: bool,
}

const ASK_TELEPORT: &str =
    "the log and the last errors say why; `teleport-slack check` looks at Teleport and the rights";
const ASK_SLACK: &str =
    "the log and the last errors say why; `teleport-slack check` looks at Slack and the token";
const ASK_APP_TOKEN: &str = "`teleport-slack check` looks at review.app_token and the app's Socket Mode";

/// The state at one moment.
#[derive(Clone, Debug, Default)]
pub(crate) struct State {
    pub(crate) stage: Stage,
    pub(crate) watch: StreamState,
    /// Since when the requests cannot be listed, and why not.
    pub(crate) list_failing: Option<(Instant, String)>,
    /// Why Teleport may not show us all requests.
    pub(crate) hidden: Option<String>,
    /// What the other sides' clocks were found to show.
    pub(super) skews: Skews,
    pub(crate) last_event: Option<Instant>,
    /// When all requests were listed last.
    pub(crate) last_list: Option<Instant>,
    pub(crate) last_response: Option<Instant>,
    /// From when the certificate in use holds.
    pub(crate) certificate_from: Option<Timestamp>,
    pub(crate) certificate_expires: Option<Timestamp>,
    pub(crate) next_due: Option<Instant>,
    /// When the controller last went round its loop.
    pub(crate) controller_round: Option<Instant>,
    /// Requests that wait for a decision.
    pub(crate) open_requests: usize,
    pub(crate) lagging_since: Option<Instant>,
    /// What was due has failed at every recipient of some request since then.
    pub(crate) stalled_since: Option<Instant>,
    /// Slack refuses the bot token.
    pub(crate) token_rejected: bool,
    /// `None` unless interactions are to arrive over Socket Mode.
    pub(crate) sockets: Option<Sockets>,
    /// What became of the last reload.
    pub(crate) reload: ReloadState,
    /// The replies to clicks that wait for Slack, the oldest first.
    pub(crate) waiting_replies: Arc<[WaitingReply]>,
}

/// A reply to a click that waits for Slack.
#[derive(Clone, Debug)]
pub(crate) struct WaitingReply {
    pub(crate) slack_user: SlackUserId,
    /// The request that was clicked on, if that was read.
    pub(crate) request: Option<RequestId>,
    pub(crate) since: Instant,
    /// When it is tried again; `None` while it is being tried.
    pub(crate) retry_at: Option<Instant>,
    /// How often that failed.
    pub(crate) attempts: u32,
}

/// The connections of Socket Mode.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sockets {
    /// How many are open.
    pub(crate) open: usize,
    /// Whether any is.
    pub(crate) state: StreamState,
}

impl Sockets {
    /// The same, with so many open from `at` on.
    pub(super) fn with_open(self, open: usize, at: Instant) -> Self {
        let state = match self.state {
            before @ StreamState::Open(_) if open > 0 => before,
            _ if open > 0 => StreamState::Open(at),
            StreamState::Open(_) => StreamState::Lost(at),
            before => before,
        };
        Self { open, state }
    }
}

/// The state of a connection that should always be open: the watch, Socket Mode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum StreamState {
    /// It was never open.
    #[default]
    Never,
    /// It is open, since then.
    Open(Instant),
    /// It was open, until then.
    Lost(Instant),
}

impl Health {
    /// Nothing has happened yet. What is lost or fails for longer than `unready_after` makes the daemon unready.
    pub(super) fn new(unready_after: Duration) -> Self {
        Self { state: Arc::default(), unready_after }
    }

    /// Why the daemon is not ready, in a few plain words each; empty if it is.
    ///
    /// `now` and `time` are the same moment by the two clocks.
    pub fn unready_reasons(&self, now: Instant, time: Timestamp) -> Vec<String> {
        self.obstacles(now, time).into_iter().map(|obstacle| obstacle.cause).collect()
    }

    /// The same, each with its remedy.
    pub(crate) fn obstacles(&self, now: Instant, time: Timestamp) -> Vec<Obstacle> {
        self.obstacles_after(self.unready_after, now, time)
    }

    /// The same, and besides, from its beginning, what makes the daemon unready only if it lasts.
    pub(crate) fn obstacles_at_once(&self, now: Instant, time: Timestamp) -> Vec<Obstacle> {
        self.obstacles_after(Duration::ZERO, now, time)
    }

    /// `patience`: a watch or Socket Mode that is lost, and lists that fail, are said if that has lasted for longer, or is not
    /// to be waited for.
    fn obstacles_after(&self, patience: Duration, now: Instant, time: Timestamp) -> Vec<Obstacle> {
        let state = self.state();
        let lasts = |duration: Duration| patience.is_zero() || duration > patience;
        let mut found = Vec::new();
        let mut add = |cause: String, remedy| found.push(Obstacle { cause, remedy, is_of_watch: false });
        match state.stage {
            Stage::Teleport => add("Teleport has not answered yet".to_owned(), ASK_TELEPORT),
            Stage::Slack => add("Slack has not answered yet".to_owned(), ASK_SLACK),
            Stage::List => add("the access requests were not listed yet".to_owned(), ASK_TELEPORT),
            Stage::Listed => {}
        }
        if let Some((since, cause)) = &state.list_failing {
            let failing = now.saturating_duration_since(*since);
            if state.stage < Stage::Listed || lasts(failing) {
                let cause = format!("listing the access requests fails for {} s: {cause}", failing.as_secs());
                found.push(Obstacle { cause, remedy: ASK_TELEPORT, is_of_watch: true });
            }
        }
        if let StreamState::Lost(since) = state.watch {
            let lost = now.saturating_duration_since(since);
            if lasts(lost) {
                let cause = format!("the watch on Teleport is lost for {} s", lost.as_secs());
                found.push(Obstacle { cause, remedy: ASK_TELEPORT, is_of_watch: true });
            }
        }
        let mut add = |cause: String, remedy| found.push(Obstacle { cause, remedy, is_of_watch: false });
        if let Some(hidden) = state.hidden.clone() {
            add(hidden, "give the plugin's role the rules that `teleport-slack resources` prints");
        }
        // Half of the configuration does not work then, and a rollout with a wrong app token must stop. The daemon
        // goes on: it shows requests, and other replicas take the clicks.
        match state.sockets.map(|sockets| sockets.state) {
            Some(StreamState::Never) => {
                let words = "no Socket Mode connection was opened yet, so clicks do not arrive here";
                add(words.to_owned(), ASK_APP_TOKEN);
            }
            Some(StreamState::Lost(since)) => {
                let lost = now.saturating_duration_since(since);
                if lasts(lost) {
                    let words = format!(
                        "no Socket Mode connection is open for {} s, so clicks do not arrive here",
                        lost.as_secs()
                    );
                    add(words, ASK_APP_TOKEN);
                }
            }
            Some(StreamState::Open(_)) | None => {}
        }
        // An idle daemon has nothing due that could fail, so it is ready.
        if let Some(since) = state.stalled_since {
            let failing = now.saturating_duration_since(since);
            if failing > self.unready_after {
                let words = format!("what was due has failed at every recipient for {} s", failing.as_secs());
                add(
                    words,
                    "the log and the last errors say why; `teleport-slack check` looks at every recipient",
                );
            }
        }
        if state.token_rejected {
            let remedy = "put a valid bot token where slack.token says; it is taken up without a restart";
            add("Slack refuses the bot token".to_owned(), remedy);
        }
        if let Some(left) = state.certificate_left(time)
            && !left.is_positive()
        {
            let remedy = "renew the identity that [teleport] names; it is taken up without a restart";
            add("the certificate for Teleport has expired".to_owned(), remedy);
        }
        found
    }

    /// What is wrong and does not make the daemon unready.
    pub fn warnings(&self) -> Vec<String> {
        self.state().skews.warnings().collect()
    }

    /// What became of the last reload; it changes nothing about readiness, because the old configuration goes on.
    pub fn reload(&self) -> ReloadState {
        self.lock().reload.clone()
    }

    /// How far the start got.
    pub(super) fn stage(&self) -> Stage {
        self.lock().stage
    }

    pub(crate) fn state(&self) -> State {
        self.lock().clone()
    }

    pub(super) fn update(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl State {
    pub(crate) fn certificate_left(&self, time: Timestamp) -> Option<SignedDuration> {
        self.certificate_expires.map(|until| until.duration_since(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_for_being_unready_is_named_and_no_other() {
        let (health, now, time) = (Health::new(DEFAULT_UNREADY_AFTER), Instant::now(), Timestamp::now());
        let at = |seconds| now + Duration::from_secs(seconds);
        let reasons = |at: Instant| health.unready_reasons(at, time).join("; ");
        assert_eq!(reasons(now), "Teleport has not answered yet");
        health.update(|state| state.stage = Stage::Slack);
        assert_eq!(reasons(now), "Slack has not answered yet");
        health.update(|state| state.stage = Stage::List);
        assert_eq!(reasons(now), "the access requests were not listed yet");
        health.update(|state| {
            state.stage = Stage::Listed;
            state.watch = StreamState::Open(now);
            state.certificate_expires = Some(time + SignedDuration::from_secs(1));
        });
        assert_eq!(reasons(at(1_000)), "");

        // A short loss does not make the daemon unready.
        health.update(|state| state.watch = StreamState::Lost(now));
        assert_eq!(reasons(at(60)), "");
        assert_eq!(reasons(at(61)), "the watch on Teleport is lost for 61 s");
        let at_once = |at: Instant| -> Vec<_> {
            health.obstacles_at_once(at, time).into_iter().map(|obstacle| obstacle.cause).collect()
        };
        assert_eq!(at_once(now), ["the watch on Teleport is lost for 0 s"]);
        health.update(|state| state.watch = StreamState::Open(now));
        let sockets = |open, second| {
            health.update(|s| s.sockets = Some(s.sockets.unwrap_or_default().with_open(open, at(second))));
        };
        sockets(0, 0);
        assert_eq!(reasons(now), "no Socket Mode connection was opened yet, so clicks do not arrive here");
        sockets(1, 10);
        assert_eq!(reasons(at(1_000)), "");
        sockets(2, 20);
        // The loss begins with the first of them.
        sockets(0, 30);
        sockets(0, 50);
        assert_eq!(reasons(at(90)), "");
        assert_eq!(
            at_once(at(30)),
            ["no Socket Mode connection is open for 0 s, so clicks do not arrive here"]
        );
        assert_eq!(
            reasons(at(91)),
            "no Socket Mode connection is open for 61 s, so clicks do not arrive here"
        );
        sockets(1, 100);
        assert_eq!(reasons(at(1_000)), "");
        // What fails at some request's every recipient, until it is done or gone.
        health.update(|state| state.stalled_since = Some(at(100)));
        assert_eq!(reasons(at(160)), "");
        assert_eq!(reasons(at(161)), "what was due has failed at every recipient for 61 s");
        health.update(|state| state.stalled_since = None);
        assert_eq!(reasons(at(1_000)), "");
        // A refused token does not become valid by itself, so it is reported at once.
        health.update(|state| state.token_rejected = true);
        assert_eq!(reasons(now), "Slack refuses the bot token");
        health.update(|state| state.token_rejected = false);
        health.update(|state| state.watch = StreamState::Lost(now));
        health.update(|state| state.certificate_expires = Some(time));
        assert_eq!(
            reasons(at(61)),
            "the watch on Teleport is lost for 61 s; the certificate for Teleport has expired"
        );
    }
}
