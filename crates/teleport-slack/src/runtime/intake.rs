//! From bytes that claim to be Slack's to interactions that are worked on once: signature, replay, reading,
//! repetition. The acknowledgement leaves at once; the work is `clicks`'.
//!
//! Both transports end here. What an interaction is and whether a signature is right is `access_core`'s.

use std::collections::{HashSet, VecDeque};
use std::sync::{Mutex, PoisonError};

use access_core::interaction::{Interaction, Occasion};
use access_core::signature::{SeenSignatures, Verified, verify};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tracing::{debug, warn};

use super::outbox::Complaints;
use crate::http::callback::{Answer, SignatureHeaders};
use crate::observe::metrics::{Click, Metrics};
use crate::secret::Secret;
use crate::slack::socket::Envelope;

/// Signatures remembered: all that can be used within their five minutes at 60 clicks a second.
const SIGNATURES: usize = 20_000;
/// Interactions remembered, so that one that is delivered again is not worked on again.
const OCCASIONS: usize = 20_000;

/// Takes what the transports bring.
#[derive(Debug)]
pub struct Intake {
    clicks: mpsc::Sender<Interaction>,
    signatures: Mutex<SeenSignatures>,
    occasions: Mutex<Recent>,
    complaints: Complaints,
    metrics: Metrics,
}

/// The last so many occasions.
#[derive(Debug, Default)]
struct Recent {
    order: VecDeque<Occasion>,
    known: HashSet<Occasion>,
}

impl Recent {
    /// `false` if it is known already.
    fn remember(&mut self, occasion: Occasion) -> bool {
        if !self.known.insert(occasion.clone()) {
            return false;
        }
        self.order.push_back(occasion);
        if self.order.len() > OCCASIONS
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
        true
    }

    fn forget(&mut self, occasion: &Occasion) {
        self.known.remove(occasion);
    }
}

impl Intake {
    /// Hands interactions on to `clicks`; counts those that are not handed on.
    pub fn new(clicks: mpsc::Sender<Interaction>, metrics: Metrics) -> Self {
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
                if self.complaints.open("callback", &rejection.to_string()) {
                    warn!("A callback was refused: {rejection}");
                } else {
                    debug!("A callback was refused: {rejection}");
                }
                return Answer::Unauthorised;
            }
        };
        self.complaints.settle("callback");
        if let Some(seal) = verified.seal()
            && !self.signatures.lock().unwrap_or_else(PoisonError::into_inner).remember(seal, now)
        {
            self.metrics.click(Click::Forged);
            warn!("A callback was refused: its signature was used before");
            return Answer::Unauthorised;
        }
        self.take(&verified)
    }

    /// An envelope over Socket Mode; it was acknowledged already.
    pub fn envelope(&self, envelope: &Envelope) {
        let payload = envelope.payload.to_string();
        self.take(&Verified::from_socket(payload.as_bytes()));
    }

    fn take(&self, verified: &Verified<'_>) -> Answer {
        let interaction = match Interaction::read(verified) {
            Ok(interaction) => interaction,
            Err(malformed) => {
                self.metrics.click(Click::Malformed);
                warn!("{malformed}");
                return Answer::Bad;
            }
        };
        let Some(occasion) = interaction.occasion() else { return Answer::Ack };
        let mut occasions = self.occasions.lock().unwrap_or_else(PoisonError::into_inner);
        if !occasions.remember(occasion.clone()) {
            self.metrics.click(Click::Repeated);
            debug!("An interaction was delivered again");
            return Answer::Ack;
        }
        if self.clicks.try_send(interaction).is_err() {
            occasions.forget(&occasion);
            self.metrics.click(Click::TurnedAway);
            warn!("Too many clicks at once; this one was turned away, and Slack tells the person so");
            return Answer::Busy;
        }
        Answer::Ack
    }
}
