//! From bytes that claim to be from Slack to interactions that are handled once: signature, replay, parsing, deduplication.
//! The acknowledgement leaves at once; `handler` does the work.
//!
//! Both transports end here. `access_core` parses interactions and verifies signatures.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};

use access_core::interaction::signature::{ReplayCache, Verified, verify};
use access_core::interaction::{
    AppInstallation, Ignored, Interaction, InteractionKey, InvalidPayload, Sender, check_origin,
};
use access_core::policy::refusal::Refusal;
use access_core::render::late::Answer;
use access_core::render::modal::{keep_open, notice, reason_missing};
use jiff::Timestamp;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::command::decision_command;
use super::respond::Responder;
use super::timings::InteractionTimings;
use crate::http::interactivity::{CallbackResponse, SignatureHeaders};
use crate::observe::log_once::SharedLogOnce;
use crate::observe::metrics::{InteractionResult, Metrics};
use access_core::domain::secret::Secret;
use slack_client::socket_mode::Envelope;

/// Signatures remembered: all that are valid within their five minutes at 60 interactions a second.
const REPLAY_CACHE_CAPACITY: usize = 20_000;
/// Interactions remembered, so that one that is delivered again, over either transport, is not handled again: Slack repeats
/// within minutes.
const DEDUP_CAPACITY: usize = 20_000;

/// What is to be handled.
#[derive(Debug)]
pub enum Received {
    /// A user's interaction.
    Interaction(Box<Interaction>),
    /// An interaction of this user that cannot be read or is not ours, but was acknowledged: only this daemon can say that
    /// it failed.
    Unrecognized(Sender),
}

impl Received {
    /// The user who waits for a reply.
    pub(crate) fn sender(&self) -> Option<Sender> {
        match self {
            Self::Interaction(interaction) => interaction.sender(),
            Self::Unrecognized(sender) => Some(sender.clone()),
        }
    }
}

/// How to treat an interaction, decided by its bytes alone.
enum Classified {
    /// Answer it with this.
    Answered(CallbackResponse),
    /// Handle it; `None` if it may repeat without limit.
    Handle(Received, Option<InteractionKey>),
}

/// Receives interactions from the transports.
#[derive(Debug)]
pub struct InteractionReceiver {
    interactions: mpsc::Sender<Received>,
    installation: AppInstallation,
    responder: Responder,
    stop: CancellationToken,
    replay_cache: Mutex<ReplayCache>,
    dedup: Mutex<DedupCache>,
    log_once: SharedLogOnce,
    metrics: Metrics,
    timings: InteractionTimings,
}

/// The keys of the last interactions that were handed to a worker: the one table of them (decision 17). Only a keyed hash of each is kept, so that a busy day costs half a megabyte. A collision
/// happens once in 10^15 interactions, and that interaction does nothing.
#[derive(Debug, Default)]
struct DedupCache {
    hasher: RandomState,
    order: VecDeque<u64>,
    seen: HashSet<u64>,
}

impl DedupCache {
    fn contains(&self, key: &InteractionKey) -> bool {
        self.seen.contains(&self.hasher.hash_one(key))
    }

    /// `false` if the key is known already.
    fn insert(&mut self, key: &InteractionKey) -> bool {
        let hash = self.hasher.hash_one(key);
        if !self.seen.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > DEDUP_CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.seen.remove(&oldest);
        }
        true
    }
}

impl InteractionReceiver {
    /// Passes interactions on to `handler`. Counts those that it rejects, and replies to their users.
    pub fn new(
        interactions: mpsc::Sender<Received>,
        installation: AppInstallation,
        responder: Responder,
        metrics: Metrics,
        timings: InteractionTimings,
        stop: CancellationToken,
    ) -> Self {
        Self {
            interactions,
            installation,
            responder,
            stop,
            replay_cache: Mutex::new(ReplayCache::new(REPLAY_CACHE_CAPACITY)),
            dedup: Mutex::default(),
            log_once: SharedLogOnce::default(),
            metrics,
            timings,
        }
    }

    /// Receives a callback over HTTP. It is neither trusted nor parsed before its signature is verified.
    pub fn receive_callback(
        &self,
        secret: &Secret,
        headers: &SignatureHeaders,
        body: &[u8],
    ) -> CallbackResponse {
        let now = Timestamp::now();
        let (sent, signature) = (headers.timestamp.as_bytes(), headers.signature.as_bytes());
        let verified = match verify(secret.expose().as_bytes(), Some(sent), Some(signature), body, now) {
            Ok(verified) => verified,
            Err(rejection) => {
                self.metrics.interaction_ended(InteractionResult::InvalidSignature);
                let cause = rejection.to_string();
                self.log_rejection("callback", &cause, &format!("A callback was refused: {cause}"));
                return CallbackResponse::Unauthorized;
            }
        };
        self.log_once.clear("callback");
        if let Some(signature) = verified.signature()
            && !self.replay_cache.lock().insert(signature, now)
        {
            self.metrics.interaction_ended(InteractionResult::InvalidSignature);
            self.log_rejection("replay", "", "A callback was refused: its signature was used before");
            return CallbackResponse::Unauthorized;
        }
        let Ok(interaction) = self.parse(&verified) else { return CallbackResponse::BadRequest };
        match self.classify(interaction) {
            Classified::Answered(answer) => answer,
            Classified::Handle(incoming, key) => {
                let Ok(worker) = self.interactions.try_reserve() else {
                    self.reject_overload("Slack shows an error to the user");
                    return CallbackResponse::Unavailable;
                };
                self.hand_over(worker, incoming, key.as_ref());
                CallbackResponse::Ack
            }
        }
    }

    /// Receives an envelope over Socket Mode. A button press is acknowledged already, so it waits for its turn. A modal
    /// submission is not; the returned value goes into its acknowledgement.
    pub async fn receive_envelope(&self, envelope: &Envelope) -> Option<Value> {
        let payload = envelope.payload.to_string();
        let classified = match self.parse(&Verified::from_socket(payload.as_bytes())) {
            Ok(interaction) => self.classify(interaction),
            Err(malformed) if malformed.is_modal => return Some(notice(&Refusal::UnknownOrigin)),
            // Without a readable sender no reply is possible.
            Err(malformed) => Classified::Handle(Received::Unrecognized(*malformed.sender?), None),
        };
        let (incoming, key) = match classified {
            Classified::Answered(CallbackResponse::AckWith(answer)) => return Some(answer),
            Classified::Answered(_) => return None,
            Classified::Handle(incoming, key) => (incoming, key),
        };
        let InteractionTimings { enqueue, enqueue_at_stop, ack_margin, .. } = self.timings;
        let due = envelope.respond_by.map(|due| due.checked_sub(ack_margin).unwrap_or(due));
        let deadline = async {
            let until = due.unwrap_or_else(|| Instant::now() + enqueue);
            let _stopped = self.stop.run_until_cancelled(sleep_until(until)).await;
            sleep_until(until.min(Instant::now() + enqueue_at_stop)).await;
        };
        tokio::select! {
            biased;
            worker = self.interactions.reserve() => if let Ok(worker) = worker {
                self.hand_over(worker, incoming, key.as_ref());
                return None;
            },
            () = deadline => {}
        }
        self.reject_overload("nothing was decided, and the reply asks the user to try again");
        if due.is_some() {
            return Some(keep_open(&Refusal::TooBusy));
        }
        if let Some(sender) = incoming.sender() {
            let command = match incoming {
                Received::Interaction(interaction) => decision_command(*interaction),
                Received::Unrecognized(_) => None,
            };
            self.responder.respond(&sender, Answer::Refused(Refusal::TooBusy), command).await;
        }
        None
    }

    fn parse(&self, verified: &Verified<'_>) -> Result<Interaction, InvalidPayload> {
        let read = Interaction::parse(verified);
        if let Err(malformed) = &read {
            self.metrics.interaction_ended(InteractionResult::InvalidPayload);
            let user = malformed.sender.as_ref().map_or("unknown", |sender| sender.user.as_str());
            let text = format!(
                "{malformed} (Slack user {user}), so nothing was done; if interactions of users fail, please report it"
            );
            self.log_rejection("interaction", malformed.part, &text);
        }
        read
    }

    /// Classifies an interaction: new ones are to be handled, others are answered.
    fn classify(&self, interaction: Interaction) -> Classified {
        match &interaction {
            Interaction::Submission(submission) => {
                if let Err(mismatch) = check_origin(&submission.origin, &self.installation) {
                    let refusal = Refusal::from(mismatch);
                    self.metrics.interaction_ended(InteractionResult::Refused(&refusal));
                    warn!(slack_user = %submission.user, request = %submission.modal.request, "A modal submission came through another app or workspace ({mismatch:?}), so it decides nothing");
                    return Classified::Answered(CallbackResponse::AckWith(notice(&refusal)));
                }
                if submission.lacks_reason() {
                    // Not remembered yet: the same modal will be submitted again.
                    debug!(slack_user = %submission.user, request = %submission.modal.request, "A modal submission lacks its reason; the modal stays open");
                    return Classified::Answered(CallbackResponse::AckWith(reason_missing()));
                }
            }
            Interaction::Ignored(Ignored::OtherAction(Some(sender))) => {
                debug!(slack_user = %sender.user, "A user pressed a button that is not ours");
                return Classified::Handle(Received::Unrecognized(sender.clone()), None);
            }
            Interaction::Ignored(Ignored::OtherModal) => {
                return Classified::Answered(CallbackResponse::AckWith(notice(&Refusal::UnknownOrigin)));
            }
            // The browser answers the link; the others need no answer.
            Interaction::Ignored(Ignored::Link | Ignored::OtherAction(None) | Ignored::OtherType)
            | Interaction::ButtonPress(_) => {}
        }
        let Some(key) = interaction.key() else { return Classified::Answered(CallbackResponse::Ack) };
        if self.dedup.lock().contains(&key) {
            self.on_duplicate();
            return Classified::Answered(CallbackResponse::Ack);
        }
        Classified::Handle(Received::Interaction(Box::new(interaction)), Some(key))
    }

    /// Hands an interaction to a free worker, unless another delivery of it was handed over meanwhile. It counts as known only
    /// from here on, so the user of a rejected one may try again.
    fn hand_over(
        &self,
        worker: mpsc::Permit<'_, Received>,
        received: Received,
        key: Option<&InteractionKey>,
    ) {
        if key.is_none_or(|key| self.dedup.lock().insert(key)) {
            worker.send(received);
        } else {
            self.on_duplicate();
        }
    }

    fn on_duplicate(&self) {
        self.metrics.interaction_ended(InteractionResult::Duplicate);
        debug!("An interaction was delivered again");
    }

    fn reject_overload(&self, consequence: &str) {
        self.metrics.interaction_ended(InteractionResult::Overloaded);
        if let Some(suppressed) = self.log_once.once_a_minute("overload", consequence) {
            warn!(suppressed, "Too many interactions in progress; rejected this one: {consequence}");
        }
    }

    /// Logs each cause once, so that no sender can fill the log; repetitions are logged at DEBUG.
    fn log_rejection(&self, about: &str, cause: &str, text: &str) {
        if self.log_once.should_log(about, cause) {
            warn!("{text}");
        } else {
            debug!("{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use access_core::domain::decision::Decision;
    use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
    use access_core::domain::log_once::LOG_INTERVAL;
    use access_core::interaction::controls::ModalState;
    use access_core::interaction::shown_cluster::ShownCluster;
    use access_sim::captured::Captured;
    use access_sim::slack::workspace::{SlackUser, Workspace};
    use access_sim::slack::{Options, SlackSim};
    use serde_json::json;

    use super::*;
    use crate::interactions::waiting_replies::WaitingReplies;
    use slack_client::history::Author;
    use slack_client::objects::AuthTest;
    use slack_client::{Client, ClientOptions};

    fn key(view: usize) -> InteractionKey {
        InteractionKey::Submission { user: SlackUserId::new("U1"), view_id: format!("V{view}") }
    }

    #[test]
    fn the_last_interactions_are_known_and_older_ones_forgotten() {
        let mut recent = DedupCache::default();
        let last = DEDUP_CAPACITY + 10;
        for view in 0..=last {
            assert!(!recent.contains(&key(view)) && recent.insert(&key(view)) && recent.contains(&key(view)));
            assert!(!recent.insert(&key(view)), "delivered again");
        }
        assert!(!recent.insert(&key(last - DEDUP_CAPACITY + 1)), "the oldest that is kept");
        assert_eq!((recent.order.len(), recent.seen.len()), (DEDUP_CAPACITY, DEDUP_CAPACITY));
        assert!(recent.insert(&key(0)), "forgotten");
    }

    /// A receiver without a handler, with a queue of `room` interactions.
    async fn receiver(
        room: usize,
        stop: &CancellationToken,
    ) -> (InteractionReceiver, mpsc::Receiver<Received>, SlackSim) {
        let workspace =
            Workspace::empty().add_channel("C0TEAM", "team").add_user(SlackUser::member("U0BOB", "bob"));
        let sim = SlackSim::start(Options::new(workspace)).await.unwrap();
        let options =
            ClientOptions { api_url: sim.api_url(), ..ClientOptions::new(Secret::new(sim.token())) };
        let installation = AppInstallation {
            app_id: "A0OURS".to_owned(),
            team_id: "T0US".to_owned(),
            enterprise_id: None,
            is_org_install: false,
        };
        let (interactions, incoming) = mpsc::channel(room);
        let (metrics, timings) = (Metrics::new(), InteractionTimings::default());
        let auth = AuthTest::bare("T0US", SlackUserId::new("U0BOT"));
        let (slack, author) = (Client::new(options).unwrap(), Arc::new(Author::from(&auth)));
        let waiting = Arc::new(WaitingReplies::new(slack.clone(), metrics.clone(), timings));
        let responder = Responder { slack, author, settles: timings.late_reply_settles, waiting };
        let receiver =
            InteractionReceiver::new(interactions, installation, responder, metrics, timings, stop.clone());
        (receiver, incoming, sim)
    }

    fn envelope(kind: &str, answer_by: Option<Instant>) -> Envelope {
        let modal = ModalState {
            request: RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807"),
            decision: Decision::Approve,
            channel: ChannelId::new("C0TEAM"),
            ts: MessageTs::new("1795363190.000001"),
            opened_at: Timestamp::now(),
            required: false,
            cluster: ShownCluster::default(),
        };
        let payload = json!({
            "type": kind, "user": {"id": "U0BOB"}, "team": {"id": "T0US"}, "api_app_id": "A0OURS",
            "container": {"channel_id": "C0TEAM", "message_ts": "1795363190.000001"},
            "actions": [{"action_id": "approve", "value": modal.request, "action_ts": "1.1"}],
            "view": {"id": "V1", "callback_id": "reason", "private_metadata": modal.encode()},
        });
        Envelope { payload, respond_by: answer_by }
    }

    #[tokio::test]
    async fn a_modal_without_a_free_worker_stays_open() {
        let (receiver, mut incoming, _sim) = receiver(1, &CancellationToken::new()).await;
        assert_eq!(receiver.receive_envelope(&envelope("block_actions", None)).await, None);
        let due = Instant::now() + Duration::from_secs(2);
        let answer = receiver.receive_envelope(&envelope("view_submission", Some(due))).await;
        assert_eq!(answer, Some(keep_open(&Refusal::TooBusy)));
        assert!(Instant::now() < due, "in time for its acknowledgement");
        // And can be sent again.
        assert!(incoming.recv().await.is_some());
        assert_eq!(receiver.receive_envelope(&envelope("view_submission", Some(due))).await, None);
        assert!(matches!(incoming.recv().await, Some(Received::Interaction(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn an_overload_is_logged_once_a_minute() {
        let (receiver, _incoming, _sim) = receiver(1, &CancellationToken::new()).await;
        assert_eq!(receiver.receive_envelope(&envelope("block_actions", None)).await, None);
        let log = Captured::start();
        let lines = || log.count("Too many interactions in progress");
        for _ in 0..3 {
            let due = Some(Instant::now());
            let answer = receiver.receive_envelope(&envelope("view_submission", due)).await;
            assert_eq!(answer, Some(keep_open(&Refusal::TooBusy)));
        }
        assert_eq!(lines(), 1, "{}", log.text());
        tokio::time::advance(LOG_INTERVAL).await;
        receiver.receive_envelope(&envelope("view_submission", Some(Instant::now()))).await;
        assert!(lines() == 2 && log.count("suppressed=2") == 1, "{}", log.text());
    }

    #[tokio::test]
    async fn an_interaction_in_two_envelopes_is_handled_once() {
        let (receiver, mut incoming, _sim) = receiver(4, &CancellationToken::new()).await;
        for kind in ["block_actions", "view_submission"] {
            for _ in 0..2 {
                let due = Some(Instant::now() + Duration::from_secs(2));
                assert_eq!(receiver.receive_envelope(&envelope(kind, due)).await, None);
            }
            assert!(matches!(incoming.recv().await, Some(Received::Interaction(_))), "{kind}");
            assert!(incoming.try_recv().is_err(), "{kind}");
        }
    }

    /// Slack repeats a modal submission in another envelope before the first was answered.
    #[tokio::test]
    async fn repetitions_of_a_modal_that_waits_for_a_worker_get_one_answer() {
        let (receiver, mut incoming, _sim) = receiver(1, &CancellationToken::new()).await;
        assert_eq!(receiver.receive_envelope(&envelope("block_actions", None)).await, None);
        let repeated = || {
            let submission = envelope("view_submission", Some(Instant::now() + Duration::from_secs(1)));
            let receiver = &receiver;
            async move { receiver.receive_envelope(&submission).await }
        };
        let answers = tokio::join!(repeated(), repeated());
        let busy = || Some(keep_open(&Refusal::TooBusy));
        assert_eq!(answers, (busy(), busy()), "none closes the modal as if it had been taken");

        let taking = async {
            let taken = [incoming.recv().await, incoming.recv().await];
            (taken.map(|one| matches!(one, Some(Received::Interaction(_)))), incoming.try_recv().is_err())
        };
        let answers = tokio::join!(repeated(), repeated(), taking);
        assert_eq!(answers, (None, None, ([true; 2], true)));
    }

    #[tokio::test]
    async fn a_button_press_without_a_free_worker_before_the_stop_gets_a_reply() {
        let stop = CancellationToken::new();
        let (receiver, _incoming, sim) = receiver(1, &stop).await;
        assert_eq!(receiver.receive_envelope(&envelope("shortcut", None)).await, None);
        stop.cancel();
        assert_eq!(receiver.receive_envelope(&envelope("block_actions", None)).await, None);
        // Not in the channel, so in a direct message.
        let replies = sim.messages(&sim.dm_with("U0BOB").unwrap());
        let replies: Vec<_> = replies.into_iter().map(|message| message.text).collect();
        assert_eq!(
            replies,
            ["Too many people decide at this moment, so nothing was decided; try again in a minute."]
        );
    }
}
