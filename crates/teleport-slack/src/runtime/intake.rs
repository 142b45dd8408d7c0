//! From bytes that claim to be Slack's to interactions that are worked on once: signature, replay, reading,
//! repetition. The acknowledgement leaves at once; the work is `clicks`'.
//!
//! Both transports end here. What an interaction is and whether a signature is right is `access_core`'s.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use access_core::interaction::{Ignored, Interaction, Malformed, Occasion, OurApp, Sender, came_through};
use access_core::refusal::Refusal;
use access_core::render::modal::{notice, reason_missing, send_again};
use access_core::signature::{SeenSignatures, Verified, verify};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use super::answering::Answers;
use super::complaints::Complaints;
use crate::http::callback::{Answer, SignatureHeaders};
use crate::observe::metrics::{Click, Metrics};
use crate::secret::Secret;
use crate::slack::socket::Envelope;

/// Signatures remembered: all that can be used within their five minutes at 60 clicks a second.
const SIGNATURES: usize = 20_000;
/// Interactions remembered, so that one that is delivered again is not worked on again: Slack repeats within minutes.
const OCCASIONS: usize = 20_000;

/// How long a click that Slack has no use for an answer to waits for a place among those that are worked on.
const PATIENCE: Duration = Duration::from_secs(30);
/// The same once the daemon was told to stop: whoever clicked must still be told.
const LAST_PATIENCE: Duration = Duration::from_secs(1);
/// How long before its answer is due a dialogue is answered that found no place.
const MARGIN: Duration = Duration::from_millis(500);

/// What is to be worked on.
#[derive(Debug)]
pub enum Incoming {
    /// Something that a person did.
    Interaction(Box<Interaction>),
    /// Something that this person did and that cannot be read, or is none of ours, but was acknowledged: nobody else
    /// says that it failed.
    Stray(Sender),
}

impl Incoming {
    /// Who waits for an answer.
    pub(super) fn sender(&self) -> Option<Sender> {
        match self {
            Self::Interaction(interaction) => interaction.sender(),
            Self::Stray(sender) => Some(sender.clone()),
        }
    }
}

/// What is to be done with an interaction, decided from its bytes alone.
enum Sorted {
    /// This is the answer to it.
    Answered(Answer),
    /// To be worked on; `None` for what may come as often as it likes.
    Work(Incoming, Option<Occasion>),
}

/// Takes what the transports bring.
#[derive(Debug)]
pub struct Intake {
    clicks: mpsc::Sender<Incoming>,
    our: OurApp,
    answers: Answers,
    stop: CancellationToken,
    signatures: Mutex<SeenSignatures>,
    occasions: Mutex<Recent>,
    complaints: Complaints,
    metrics: Metrics,
}

/// The last so many occasions. Of each only a keyed hash is kept, so that a busy day costs half a megabyte: that two
/// are taken for one happens once in 10^15 clicks, and such a click does nothing.
#[derive(Debug, Default)]
struct Recent {
    key: RandomState,
    order: VecDeque<u64>,
    known: HashSet<u64>,
}

impl Recent {
    /// `false` if it is known already.
    fn remember(&mut self, occasion: &Occasion) -> bool {
        let hash = self.key.hash_one(occasion);
        if !self.known.insert(hash) {
            return false;
        }
        self.order.push_back(hash);
        if self.order.len() > OCCASIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    fn forget(&mut self, occasion: &Occasion) {
        let hash = self.key.hash_one(occasion);
        self.known.remove(&hash);
        self.order.retain(|known| *known != hash);
    }
}

impl Intake {
    /// Hands interactions on to `clicks`; counts those that are not handed on, and tells those who clicked.
    pub fn new(
        clicks: mpsc::Sender<Incoming>,
        our: OurApp,
        answers: Answers,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Self {
        Self {
            clicks,
            our,
            answers,
            stop,
            signatures: Mutex::new(SeenSignatures::new(SIGNATURES)),
            occasions: Mutex::default(),
            complaints: Complaints::default(),
            metrics,
        }
    }

    /// A callback over HTTP: nothing of it is believed, nor parsed, before its signature is right.
    pub fn callback(&self, secret: &Secret, headers: &SignatureHeaders, body: &[u8]) -> Answer {
        let now = Timestamp::now();
        let (sent, signature) = (headers.timestamp.as_bytes(), headers.signature.as_bytes());
        let verified = match verify(secret.expose().as_bytes(), Some(sent), Some(signature), body, now) {
            Ok(verified) => verified,
            Err(rejection) => {
                self.metrics.click(Click::Forged);
                let cause = rejection.to_string();
                self.complain("callback", &cause, &format!("A callback was refused: {cause}"));
                return Answer::Unauthorised;
            }
        };
        self.complaints.settle("callback");
        if let Some(seal) = verified.seal()
            && !self.signatures.lock().unwrap_or_else(PoisonError::into_inner).remember(seal, now)
        {
            self.metrics.click(Click::Forged);
            self.complain("replay", "", "A callback was refused: its signature was used before");
            return Answer::Unauthorised;
        }
        let Ok(interaction) = self.read(&verified) else { return Answer::Bad };
        match self.sort(interaction) {
            Sorted::Answered(answer) => answer,
            Sorted::Work(incoming, occasion) => {
                if self.clicks.try_send(incoming).is_err() {
                    self.turn_away(occasion.as_ref(), "Slack tells the person so");
                    return Answer::Busy;
                }
                Answer::Ack
            }
        }
    }

    /// An envelope over Socket Mode. A click was acknowledged already, so it waits for its turn; a dialogue was
    /// not, and what this returns goes into its acknowledgement.
    pub async fn envelope(&self, envelope: &Envelope) -> Option<Value> {
        let payload = envelope.payload.to_string();
        let sorted = match self.read(&Verified::from_socket(payload.as_bytes())) {
            Ok(interaction) => self.sort(interaction),
            Err(malformed) if malformed.is_dialogue => return Some(notice(&Refusal::NotOurs)),
            // If not even its sender can be read, nobody can be answered.
            Err(malformed) => Sorted::Work(Incoming::Stray(malformed.sender?), None),
        };
        let (incoming, occasion) = match sorted {
            Sorted::Answered(Answer::AckWith(answer)) => return Some(answer),
            Sorted::Answered(_) => return None,
            Sorted::Work(incoming, occasion) => (incoming, occasion),
        };
        let sender = incoming.sender();
        let due = envelope.answer_by.map(|due| due.checked_sub(MARGIN).unwrap_or(due));
        let patience = async {
            let until = due.unwrap_or_else(|| Instant::now() + PATIENCE);
            let _told_to_stop = self.stop.run_until_cancelled(sleep_until(until)).await;
            sleep_until(until.min(Instant::now() + LAST_PATIENCE)).await;
        };
        tokio::select! {
            biased;
            taken = self.clicks.send(incoming) => if taken.is_ok() { return None },
            () = patience => {}
        }
        self.turn_away(occasion.as_ref(), "nothing was decided, and the person is told to try again");
        if due.is_some() {
            return Some(send_again(&Refusal::TooBusy));
        }
        if let Some(sender) = sender {
            self.answers.refuse(&sender, &Refusal::TooBusy).await;
        }
        None
    }

    fn read(&self, verified: &Verified<'_>) -> Result<Interaction, Malformed> {
        let read = Interaction::read(verified);
        if let Err(malformed) = &read {
            self.metrics.click(Click::Malformed);
            let user = malformed.sender.as_ref().map_or("unknown", |sender| sender.user.as_str());
            let text = format!(
                "{malformed} (Slack user {user}), so nothing was done; if clicks of people fail, please report it"
            );
            self.complain("interaction", malformed.part, &text);
        }
        read
    }

    /// What is new and to be worked on; else the answer to it.
    fn sort(&self, interaction: Interaction) -> Sorted {
        match &interaction {
            Interaction::Submission(submission) => {
                if let Err(foreign) = came_through(&submission.origin, &self.our) {
                    let refusal = Refusal::from(foreign);
                    self.metrics.click(Click::Refused(&refusal));
                    warn!(slack_user = %submission.user, request = %submission.dialogue.request, "A dialogue came through another app or workspace ({foreign:?}), so nothing is decided by it");
                    return Sorted::Answered(Answer::AckWith(notice(&refusal)));
                }
                if submission.lacks_reason() {
                    // Not an occasion yet: the same dialogue will be sent again.
                    debug!(slack_user = %submission.user, request = %submission.dialogue.request, "A dialogue came without its reason and stays open");
                    return Sorted::Answered(Answer::AckWith(reason_missing()));
                }
            }
            Interaction::Ignored(Ignored::OtherAction(Some(sender))) => {
                debug!(slack_user = %sender.user, "Somebody pressed what is none of our buttons");
                return Sorted::Work(Incoming::Stray(sender.clone()), None);
            }
            Interaction::Ignored(Ignored::OtherDialogue) => {
                return Sorted::Answered(Answer::AckWith(notice(&Refusal::NotOurs)));
            }
            // The browser answers the link; nobody waits for an answer to the others.
            Interaction::Ignored(Ignored::Link | Ignored::OtherAction(None) | Ignored::OtherType)
            | Interaction::Click(_) => {}
        }
        let Some(occasion) = interaction.occasion() else { return Sorted::Answered(Answer::Ack) };
        let mut occasions = self.occasions.lock().unwrap_or_else(PoisonError::into_inner);
        if !occasions.remember(&occasion) {
            self.metrics.click(Click::Repeated);
            debug!("An interaction was delivered again");
            return Sorted::Answered(Answer::Ack);
        }
        Sorted::Work(Incoming::Interaction(Box::new(interaction)), Some(occasion))
    }

    /// Forgets it, so that the person may try again.
    fn turn_away(&self, occasion: Option<&Occasion>, consequence: &str) {
        if let Some(occasion) = occasion {
            self.occasions.lock().unwrap_or_else(PoisonError::into_inner).forget(occasion);
        }
        self.metrics.click(Click::TurnedAway);
        warn!("Too many clicks at once; this one was turned away: {consequence}");
    }

    /// Tells each cause once, so that nobody who can send something can fill the log; the rest is for DEBUG.
    fn complain(&self, about: &str, cause: &str, text: &str) {
        if self.complaints.open(about, cause) {
            warn!("{text}");
        } else {
            debug!("{text}");
        }
    }
}

#[cfg(test)]
mod tests {
    use access_core::control::{Decision, Dialogue};
    use access_core::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
    use access_core::shown_cluster::ShownCluster;
    use access_sim::slack::workspace::{Person, Workspace};
    use access_sim::slack::{Options, SlackSim};
    use serde_json::json;

    use super::*;
    use crate::slack::{Client, ClientOptions};

    fn occasion(view: usize) -> Occasion {
        Occasion::Submission { user: SlackUserId::new("U1"), view_id: format!("V{view}") }
    }

    #[test]
    fn the_last_interactions_are_known_and_older_ones_forgotten() {
        let mut recent = Recent::default();
        let last = OCCASIONS + 10;
        for view in 0..=last {
            assert!(recent.remember(&occasion(view)));
            assert!(!recent.remember(&occasion(view)), "delivered again");
        }
        assert!(!recent.remember(&occasion(last - OCCASIONS + 1)), "the oldest that is kept");
        assert_eq!((recent.order.len(), recent.known.len()), (OCCASIONS, OCCASIONS));
        assert!(recent.remember(&occasion(0)), "forgotten");
    }

    #[test]
    fn an_interaction_that_was_turned_away_may_come_again() {
        let mut recent = Recent::default();
        assert!(recent.remember(&occasion(1)));
        recent.forget(&occasion(1));
        assert_eq!((recent.order.len(), recent.known.len()), (0, 0));
        assert!(recent.remember(&occasion(1)));
    }

    /// An intake whose clicks nobody works on, with room for `room`.
    async fn intake(room: usize, stop: &CancellationToken) -> (Intake, mpsc::Receiver<Incoming>, SlackSim) {
        let workspace =
            Workspace::empty().add_channel("C0TEAM", "team").add_person(Person::member("U0BOB", "bob"));
        let sim = SlackSim::start(Options::new(workspace)).await.unwrap();
        let options =
            ClientOptions { api_url: sim.api_url(), ..ClientOptions::new(Secret::new(sim.token())) };
        let our = OurApp {
            app_id: "A0OURS".to_owned(),
            team_id: "T0US".to_owned(),
            enterprise_id: None,
            is_org_install: false,
        };
        let (clicks, incoming) = mpsc::channel(room);
        let answers = Answers::new(Client::new(options).unwrap());
        (Intake::new(clicks, our, answers, Metrics::new(), stop.clone()), incoming, sim)
    }

    fn envelope(kind: &str, answer_by: Option<Instant>) -> Envelope {
        let dialogue = Dialogue {
            request: RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807"),
            decision: Decision::Approve,
            channel: ChannelId::new("C0TEAM"),
            ts: MessageTs::new("1795363190.000001"),
            opened: Timestamp::now(),
            required: false,
            cluster: ShownCluster::default(),
        };
        let payload = json!({
            "type": kind, "user": {"id": "U0BOB"}, "team": {"id": "T0US"}, "api_app_id": "A0OURS",
            "container": {"channel_id": "C0TEAM", "message_ts": "1795363190.000001"},
            "actions": [{"action_id": "approve", "value": dialogue.request, "action_ts": "1.1"}],
            "view": {"id": "V1", "callback_id": "reason", "private_metadata": dialogue.encode()},
        });
        Envelope { payload, answer_by }
    }

    #[tokio::test]
    async fn a_dialogue_that_finds_no_place_stays_open() {
        let (intake, mut incoming, _sim) = intake(1, &CancellationToken::new()).await;
        assert_eq!(intake.envelope(&envelope("block_actions", None)).await, None);
        let due = Instant::now() + Duration::from_secs(2);
        let answer = intake.envelope(&envelope("view_submission", Some(due))).await;
        assert_eq!(answer, Some(send_again(&Refusal::TooBusy)));
        assert!(Instant::now() < due, "in time for its acknowledgement");
        // And can be sent again.
        assert!(incoming.recv().await.is_some());
        assert_eq!(intake.envelope(&envelope("view_submission", Some(due))).await, None);
        assert!(matches!(incoming.recv().await, Some(Incoming::Interaction(_))));
    }

    #[tokio::test]
    async fn a_click_that_finds_no_place_before_the_end_is_answered() {
        let stop = CancellationToken::new();
        let (intake, _incoming, sim) = intake(1, &stop).await;
        assert_eq!(intake.envelope(&envelope("shortcut", None)).await, None);
        stop.cancel();
        assert_eq!(intake.envelope(&envelope("block_actions", None)).await, None);
        // Not in the channel, so in a direct message.
        let told = sim.messages(&sim.dm_with("U0BOB").unwrap());
        let told: Vec<_> = told.into_iter().map(|message| message.text).collect();
        assert_eq!(
            told,
            ["Too many people decide at this moment, so nothing was decided; try again in a minute."]
        );
    }
}
