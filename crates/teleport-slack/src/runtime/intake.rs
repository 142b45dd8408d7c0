//! From bytes that claim to be Slack's to interactions that are worked on once: signature, replay, reading,
//! repetition. The acknowledgement leaves at once; the work is `clicks`'.
//!
//! Both transports end here. What an interaction is and whether a signature is right is `access_core`'s.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use access_core::ids::SlackUserId;
use access_core::interaction::{Interaction, Occasion};
use access_core::render::modal::reason_missing;
use access_core::signature::{SeenSignatures, Verified, verify};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tracing::{debug, warn};

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

/// What is to be worked on.
#[derive(Debug)]
pub enum Incoming {
    /// Something that a person did.
    Interaction(Box<Interaction>),
    /// Something that this person did and that cannot be read, but was acknowledged: nobody else says that it failed.
    Unreadable(SlackUserId),
}

/// Takes what the transports bring.
#[derive(Debug)]
pub struct Intake {
    clicks: mpsc::Sender<Incoming>,
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
    /// Hands interactions on to `clicks`; counts those that are not handed on.
    pub fn new(clicks: mpsc::Sender<Incoming>, metrics: Metrics) -> Self {
        Self {
            clicks,
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
            Err(answer) => answer,
            Ok((interaction, occasion)) => {
                if self.clicks.try_send(Incoming::Interaction(Box::new(interaction))).is_err() {
                    self.turn_away(&occasion, "Slack tells the person so");
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
        let interaction = match self.read(&Verified::from_socket(payload.as_bytes())) {
            Ok(interaction) => interaction,
            Err(user) => {
                // With a full queue, one answer less is the smaller harm.
                let _ = user.map(|user| self.clicks.try_send(Incoming::Unreadable(user)));
                return None;
            }
        };
        match self.sort(interaction) {
            Err(Answer::AckWith(answer)) => Some(answer),
            Err(_) => None,
            Ok((interaction, occasion)) => {
                if !matches!(
                    timeout(PATIENCE, self.clicks.send(Incoming::Interaction(Box::new(interaction)))).await,
                    Ok(Ok(()))
                ) {
                    self.turn_away(&occasion, "nothing was decided, and whoever clicked must click again");
                }
                None
            }
        }
    }

    /// What somebody did; if it cannot be read, who did it, as far as that can be.
    fn read(&self, verified: &Verified<'_>) -> Result<Interaction, Option<SlackUserId>> {
        Interaction::read(verified).map_err(|malformed| {
            self.metrics.click(Click::Malformed);
            let user = malformed.user.as_ref().map_or("unknown", SlackUserId::as_str);
            let text = format!(
                "{malformed} (Slack user {user}), so nothing was done; if clicks of people fail, please report it"
            );
            self.complain("interaction", malformed.part, &text);
            malformed.user
        })
    }

    /// What is new and to be worked on; else the answer to it. Decided from these bytes alone, at once.
    fn sort(&self, interaction: Interaction) -> Result<(Interaction, Occasion), Answer> {
        if let Interaction::Submission(submission) = &interaction
            && submission.lacks_reason()
        {
            // Not an occasion yet: the same dialogue will be sent again.
            debug!(slack_user = %submission.user, request = %submission.dialogue.request, "A dialogue came without its reason and stays open");
            return Err(Answer::AckWith(reason_missing()));
        }
        let Some(occasion) = interaction.occasion() else { return Err(Answer::Ack) };
        let mut occasions = self.occasions.lock().unwrap_or_else(PoisonError::into_inner);
        if !occasions.remember(&occasion) {
            self.metrics.click(Click::Repeated);
            debug!("An interaction was delivered again");
            return Err(Answer::Ack);
        }
        Ok((interaction, occasion))
    }

    /// Forgets it, so that the person may try again.
    fn turn_away(&self, occasion: &Occasion, consequence: &str) {
        self.occasions.lock().unwrap_or_else(PoisonError::into_inner).forget(occasion);
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
    use super::*;

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
}
