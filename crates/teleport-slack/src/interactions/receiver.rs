//! From bytes that claim to be Slack's to interactions that are worked on once: signature, replay, reading,
//! repetition. The acknowledgement leaves at once; the work is `clicks`'.
//!
//! Both transports end here. What an interaction is and whether a signature is right is `access_core`'s.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use access_core::interaction::signature::{ReplayCache, Verified, verify};
use access_core::interaction::{
    AppInstallation, Ignored, Interaction, InteractionKey, InvalidPayload, Sender, check_origin,
};
use access_core::policy::refusal::Refusal;
use access_core::render::modal::{keep_open, notice, reason_missing};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::respond::Responder;
use crate::http::interactivity::{CallbackResponse, SignatureHeaders};
use crate::observe::log_once::LogOnce;
use crate::observe::metrics::{InteractionResult, Metrics};
use crate::slack::socket_mode::Envelope;
use access_core::domain::secret::Secret;

/// Signatures remembered: all that can be used within their five minutes at 60 clicks a second.
const REPLAY_CACHE_CAPACITY: usize = 20_000;
/// Interactions remembered, so that one that is delivered again is not worked on again: Slack repeats within minutes.
const DEDUP_CAPACITY: usize = 20_000;

/// How long a click that Slack has no use for an answer to waits for a place among those that are worked on.
const ENQUEUE_TIMEOUT: Duration = Duration::from_secs(30);
/// The same once the daemon was told to stop: whoever clicked must still be told.
const SHUTDOWN_ENQUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// How long before its answer is due a dialogue is answered that found no place.
const ACK_MARGIN: Duration = Duration::from_millis(500);

/// What is to be worked on.
#[derive(Debug)]
pub enum Received {
    /// Something that a person did.
    Interaction(Box<Interaction>),
    /// Something that this person did and that cannot be read, or is none of ours, but was acknowledged: nobody else
    /// says that it failed.
    Unrecognized(Sender),
}

impl Received {
    /// Who waits for an answer.
    pub(crate) fn sender(&self) -> Option<Sender> {
        match self {
            Self::Interaction(interaction) => interaction.sender(),
            Self::Unrecognized(sender) => Some(sender.clone()),
        }
    }
}

/// What is to be done with an interaction, decided from its bytes alone.
enum Classified {
    /// This is the answer to it.
    Answered(CallbackResponse),
    /// To be worked on; `None` for what may come as often as it likes.
    Handle(Received, Option<InteractionKey>),
}

/// Takes what the transports bring.
#[derive(Debug)]
pub struct InteractionReceiver {
    interactions: mpsc::Sender<Received>,
    installation: AppInstallation,
    responder: Responder,
    stop: CancellationToken,
    replay_cache: Mutex<ReplayCache>,
    dedup: Mutex<DedupCache>,
    log_once: LogOnce,
    metrics: Metrics,
}

/// The last so many occasions. Of each only a keyed hash is kept, so that a busy day costs half a megabyte: that two
/// are taken for one happens once in 10^15 clicks, and such a click does nothing.
#[derive(Debug, Default)]
struct DedupCache {
    key: RandomState,
    order: VecDeque<u64>,
    seen: HashSet<u64>,
}

impl DedupCache {
    /// `false` if it is known already.
    fn insert(&mut self, occasion: &InteractionKey) -> bool {
        let hash = self.key.hash_one(occasion);
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

    fn remove(&mut self, occasion: &InteractionKey) {
        let hash = self.key.hash_one(occasion);
        self.seen.remove(&hash);
        self.order.retain(|known| *known != hash);
    }
}

impl InteractionReceiver {
    /// Hands interactions on to `clicks`; counts those that are not handed on, and tells those who clicked.
    pub fn new(
        clicks: mpsc::Sender<Received>,
        our: AppInstallation,
        answers: Responder,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Self {
        Self {
            interactions: clicks,
            installation: our,
            responder: answers,
            stop,
            replay_cache: Mutex::new(ReplayCache::new(REPLAY_CACHE_CAPACITY)),
            dedup: Mutex::default(),
            log_once: LogOnce::default(),
            metrics,
        }
    }

    /// A callback over HTTP: nothing of it is believed, nor parsed, before its signature is right.
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
        if let Some(seal) = verified.signature()
            && !self.replay_cache.lock().unwrap_or_else(PoisonError::into_inner).insert(seal, now)
        {
            self.metrics.interaction_ended(InteractionResult::InvalidSignature);
            self.log_rejection("replay", "", "A callback was refused: its signature was used before");
            return CallbackResponse::Unauthorized;
        }
        let Ok(interaction) = self.parse(&verified) else { return CallbackResponse::BadRequest };
        match self.classify(interaction) {
            Classified::Answered(answer) => answer,
            Classified::Handle(incoming, occasion) => {
                if self.interactions.try_send(incoming).is_err() {
                    self.reject_overload(occasion.as_ref(), "Slack tells the person so");
                    return CallbackResponse::Unavailable;
                }
                CallbackResponse::Ack
            }
        }
    }

    /// An envelope over Socket Mode. A click was acknowledged already, so it waits for its turn; a dialogue was
    /// not, and what this returns goes into its acknowledgement.
    pub async fn receive_envelope(&self, envelope: &Envelope) -> Option<Value> {
        let payload = envelope.payload.to_string();
        let sorted = match self.parse(&Verified::from_socket(payload.as_bytes())) {
            Ok(interaction) => self.classify(interaction),
            Err(malformed) if malformed.is_modal => return Some(notice(&Refusal::UnknownOrigin)),
            // If not even its sender can be read, nobody can be answered.
            Err(malformed) => Classified::Handle(Received::Unrecognized(malformed.sender?), None),
        };
        let (incoming, occasion) = match sorted {
            Classified::Answered(CallbackResponse::AckWith(answer)) => return Some(answer),
            Classified::Answered(_) => return None,
            Classified::Handle(incoming, occasion) => (incoming, occasion),
        };
        let sender = incoming.sender();
        let due = envelope.respond_by.map(|due| due.checked_sub(ACK_MARGIN).unwrap_or(due));
        let patience = async {
            let until = due.unwrap_or_else(|| Instant::now() + ENQUEUE_TIMEOUT);
            let _told_to_stop = self.stop.run_until_cancelled(sleep_until(until)).await;
            sleep_until(until.min(Instant::now() + SHUTDOWN_ENQUEUE_TIMEOUT)).await;
        };
        tokio::select! {
            biased;
            taken = self.interactions.send(incoming) => if taken.is_ok() { return None },
            () = patience => {}
        }
        self.reject_overload(occasion.as_ref(), "nothing was decided, and the person is told to try again");
        if due.is_some() {
            return Some(keep_open(&Refusal::TooBusy));
        }
        if let Some(sender) = sender {
            self.responder.refuse(&sender, &Refusal::TooBusy).await;
        }
        None
    }

    fn parse(&self, verified: &Verified<'_>) -> Result<Interaction, InvalidPayload> {
        let read = Interaction::parse(verified);
        if let Err(malformed) = &read {
            self.metrics.interaction_ended(InteractionResult::InvalidPayload);
            let user = malformed.sender.as_ref().map_or("unknown", |sender| sender.user.as_str());
            let text = format!(
                "{malformed} (Slack user {user}), so nothing was done; if clicks of people fail, please report it"
            );
            self.log_rejection("interaction", malformed.part, &text);
        }
        read
    }

    /// What is new and to be worked on; else the answer to it.
    fn classify(&self, interaction: Interaction) -> Classified {
        match &interaction {
            Interaction::Submission(submission) => {
                if let Err(foreign) = check_origin(&submission.origin, &self.installation) {
                    let refusal = Refusal::from(foreign);
                    self.metrics.interaction_ended(InteractionResult::Refused(&refusal));
                    warn!(slack_user = %submission.user, request = %submission.modal.request, "A dialogue came through another app or workspace ({foreign:?}), so nothing is decided by it");
                    return Classified::Answered(CallbackResponse::AckWith(notice(&refusal)));
                }
                if submission.lacks_reason() {
                    // Not an occasion yet: the same dialogue will be sent again.
                    debug!(slack_user = %submission.user, request = %submission.modal.request, "A dialogue came without its reason and stays open");
                    return Classified::Answered(CallbackResponse::AckWith(reason_missing()));
                }
            }
            Interaction::Ignored(Ignored::OtherAction(Some(sender))) => {
                debug!(slack_user = %sender.user, "Somebody pressed what is none of our buttons");
                return Classified::Handle(Received::Unrecognized(sender.clone()), None);
            }
            Interaction::Ignored(Ignored::OtherModal) => {
                return Classified::Answered(CallbackResponse::AckWith(notice(&Refusal::UnknownOrigin)));
            }
            // The browser answers the link; nobody waits for an answer to the others.
            Interaction::Ignored(Ignored::Link | Ignored::OtherAction(None) | Ignored::OtherType)
            | Interaction::ButtonPress(_) => {}
        }
        let Some(occasion) = interaction.key() else { return Classified::Answered(CallbackResponse::Ack) };
        let mut occasions = self.dedup.lock().unwrap_or_else(PoisonError::into_inner);
        if !occasions.insert(&occasion) {
            self.metrics.interaction_ended(InteractionResult::Duplicate);
            debug!("An interaction was delivered again");
            return Classified::Answered(CallbackResponse::Ack);
        }
        Classified::Handle(Received::Interaction(Box::new(interaction)), Some(occasion))
    }

    /// Forgets it, so that the person may try again.
    fn reject_overload(&self, occasion: Option<&InteractionKey>, consequence: &str) {
        if let Some(occasion) = occasion {
            self.dedup.lock().unwrap_or_else(PoisonError::into_inner).remove(occasion);
        }
        self.metrics.interaction_ended(InteractionResult::Overloaded);
        warn!("Too many clicks at once; this one was turned away: {consequence}");
    }

    /// Tells each cause once, so that nobody who can send something can fill the log; the rest is for DEBUG.
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
    use access_core::domain::decision::Decision;
    use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
    use access_core::interaction::controls::ModalState;
    use access_core::interaction::shown_cluster::ShownCluster;
    use access_sim::slack::workspace::{SlackUser, Workspace};
    use access_sim::slack::{Options, SlackSim};
    use serde_json::json;

    use super::*;
    use crate::slack::{Client, ClientOptions};

    fn occasion(view: usize) -> InteractionKey {
        InteractionKey::Submission { user: SlackUserId::new("U1"), view_id: format!("V{view}") }
    }

    #[test]
    fn the_last_interactions_are_known_and_older_ones_forgotten() {
        let mut recent = DedupCache::default();
        let last = DEDUP_CAPACITY + 10;
        for view in 0..=last {
            assert!(recent.insert(&occasion(view)));
            assert!(!recent.insert(&occasion(view)), "delivered again");
        }
        assert!(!recent.insert(&occasion(last - DEDUP_CAPACITY + 1)), "the oldest that is kept");
        assert_eq!((recent.order.len(), recent.seen.len()), (DEDUP_CAPACITY, DEDUP_CAPACITY));
        assert!(recent.insert(&occasion(0)), "forgotten");
    }

    #[test]
    fn an_interaction_that_was_turned_away_may_come_again() {
        let mut recent = DedupCache::default();
        assert!(recent.insert(&occasion(1)));
        recent.remove(&occasion(1));
        assert_eq!((recent.order.len(), recent.seen.len()), (0, 0));
        assert!(recent.insert(&occasion(1)));
    }

    /// An intake whose clicks nobody works on, with room for `room`.
    async fn intake(
        room: usize,
        stop: &CancellationToken,
    ) -> (InteractionReceiver, mpsc::Receiver<Received>, SlackSim) {
        let workspace =
            Workspace::empty().add_channel("C0TEAM", "team").add_user(SlackUser::member("U0BOB", "bob"));
        let sim = SlackSim::start(Options::new(workspace)).await.unwrap();
        let options =
            ClientOptions { api_url: sim.api_url(), ..ClientOptions::new(Secret::new(sim.token())) };
        let our = AppInstallation {
            app_id: "A0OURS".to_owned(),
            team_id: "T0US".to_owned(),
            enterprise_id: None,
            is_org_install: false,
        };
        let (clicks, incoming) = mpsc::channel(room);
        let answers = Responder::new(Client::new(options).unwrap());
        (InteractionReceiver::new(clicks, our, answers, Metrics::new(), stop.clone()), incoming, sim)
    }

    fn envelope(kind: &str, answer_by: Option<Instant>) -> Envelope {
        let dialogue = ModalState {
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
            "actions": [{"action_id": "approve", "value": dialogue.request, "action_ts": "1.1"}],
            "view": {"id": "V1", "callback_id": "reason", "private_metadata": dialogue.encode()},
        });
        Envelope { payload, respond_by: answer_by }
    }

    #[tokio::test]
    async fn a_dialogue_that_finds_no_place_stays_open() {
        let (intake, mut incoming, _sim) = intake(1, &CancellationToken::new()).await;
        assert_eq!(intake.receive_envelope(&envelope("block_actions", None)).await, None);
        let due = Instant::now() + Duration::from_secs(2);
        let answer = intake.receive_envelope(&envelope("view_submission", Some(due))).await;
        assert_eq!(answer, Some(keep_open(&Refusal::TooBusy)));
        assert!(Instant::now() < due, "in time for its acknowledgement");
        // And can be sent again.
        assert!(incoming.recv().await.is_some());
        assert_eq!(intake.receive_envelope(&envelope("view_submission", Some(due))).await, None);
        assert!(matches!(incoming.recv().await, Some(Received::Interaction(_))));
    }

    #[tokio::test]
    async fn a_click_that_finds_no_place_before_the_end_is_answered() {
        let stop = CancellationToken::new();
        let (intake, _incoming, sim) = intake(1, &stop).await;
        assert_eq!(intake.receive_envelope(&envelope("shortcut", None)).await, None);
        stop.cancel();
        assert_eq!(intake.receive_envelope(&envelope("block_actions", None)).await, None);
        // Not in the channel, so in a direct message.
        let told = sim.messages(&sim.dm_with("U0BOB").unwrap());
        let told: Vec<_> = told.into_iter().map(|message| message.text).collect();
        assert_eq!(
            told,
            ["Too many people decide at this moment, so nothing was decided; try again in a minute."]
        );
    }
}
