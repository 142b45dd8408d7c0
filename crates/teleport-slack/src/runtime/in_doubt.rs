//! Clears up what is in doubt: looks for a post whose outcome nobody recorded, and says whether it is made once more
//! where nobody can look.
//!
//! How the look is done: `settle`. When a blind repetition is right: `access_core::claim`.

use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::RequestId;
use access_core::plan::{Errand, Search};
use access_core::record::Outcome;
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, info, warn};

use super::lease::Lease;
use super::outbox::{Fate, NotYet, Outbox};
use super::pace::Caller;
use super::settle::{self, Finding};
use crate::observe::metrics::Settled;
use crate::observe::seconds;
use crate::slack::error::Kind;
use crate::slack::method::Method;

/// Nobody can look, and Slack was not seen to answer in that place since.
const HIDDEN: Backoff = Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(60) };

/// What to grant so that the bot can look.
const SCOPES: &str = "channels:history, groups:history, im:history and im:write";

impl Outbox {
    /// Looks whether a post was made whose outcome nobody recorded.
    pub(super) async fn settle(
        &self,
        caller: &Caller,
        search: &Search,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, NotYet> {
        let id = &caller.id;
        let (errand, place) = (&search.doubt.errand, &search.doubt.place);
        let settled = Outcome::Settled { errand: errand.clone(), since: search.doubt.since };
        match settle::look(&self.slack, &self.directory, &self.author, id, search).await {
            Ok(Finding::Found(mut outcomes)) => {
                self.metrics.settled(Settled::Found);
                info!(request = %id, %place, "Slack had carried out a post whose answer was lost; it is not made again");
                outcomes.push(settled);
                Ok(outcomes)
            }
            Ok(Finding::Doubled(channel, doubles)) => {
                for ts in doubles {
                    if !lease.is_good() {
                        return Err(NotYet::turn(Duration::ZERO));
                    }
                    let withdrawn = self.withdraw(id, channel.clone(), ts).await;
                    withdrawn.map_err(|error| self.refused(caller, place, &error, failures))?;
                }
                // The next look finds the rest.
                Err(NotYet::turn(Duration::ZERO))
            }
            Ok(Finding::Absent) => {
                let left = search.doubt.ripe.duration_since(Timestamp::now());
                let left = Duration::try_from(left).unwrap_or_default();
                if !left.is_zero() {
                    debug!(request = %id, %place, look_again_in_s = left.as_secs_f32(), "A post whose answer was lost is not there yet");
                    return Err(NotYet::turn(left));
                }
                self.metrics.settled(Settled::NotFound);
                info!(request = %id, %place, "A post whose answer was lost never arrived; it is made again");
                let now = Instant::now();
                self.pace().stay(place, caller, now, true, now);
                Ok(vec![settled])
            }
            Ok(Finding::Gone(lost)) => {
                self.metrics.settled(Settled::NotFound);
                info!(request = %id, %place, "Somebody deleted the message, so it is not kept current any more");
                Ok(vec![lost, settled])
            }
            Ok(Finding::Hidden(reason)) if !search.is_wanted => {
                debug!(request = %id, %place, "Nobody needs a post any more whose answer was lost: {reason}");
                Ok(vec![settled])
            }
            Ok(Finding::Hidden(reason)) => self.hidden(caller, search, &reason, failures, lease).await,
            Err(error) => {
                let NotYet { delay, is_failure, .. } = self.refused(caller, place, &error, failures);
                let now = Instant::now();
                self.pace().stay(place, caller, now + delay, false, now);
                Err(NotYet { delay, is_failure, is_queued: false, fate: Fate::NotDone })
            }
        }
    }

    /// Nobody can look: whether the post is made once more.
    async fn hidden(
        &self,
        caller: &Caller,
        search: &Search,
        reason: &str,
        failures: u32,
        lease: &Lease,
    ) -> Result<Vec<Outcome>, NotYet> {
        let (id, doubt) = (&caller.id, &search.doubt);
        let (place, attempts) = (&doubt.place, doubt.attempts);
        let is_worth_it = || doubt.is_worth_repeating(self.places().answers(place));
        // Where nothing else is posted, nothing else would ever show that Slack answers again.
        let is_open = self.gate(Method::ChatPostMessage).is_none() && lease.is_good();
        if !is_worth_it() && !doubt.is_accepted && is_open && self.places().may_ask(place) {
            self.ask(place).await;
        }
        if is_worth_it() {
            self.metrics.possible_double();
            warn!(request = %id, %place, attempts, "A message is posted once more although it may be there already, because the bot cannot look; grant the scopes {SCOPES} to rule doubles out: {reason}");
            let errand = doubt.errand.clone();
            return Ok(vec![Outcome::Repeat { errand, since: doubt.since }]);
        }
        let delay = HIDDEN.delay(failures.max(attempts) + 1, fastrand::u64(..));
        let retry_in_s = seconds(delay);
        match self.places().tell(place) {
            Some(times) => {
                warn!(request = %id, %place, attempts, times, retry_in_s, "A message may be there several times or not at all: Slack does not say what became of it, and the bot cannot look; it is posted again when Slack is seen to answer there; grant the scopes {SCOPES} so that the bot can look: {reason}");
            }
            None => {
                debug!(request = %id, %place, attempts, retry_in_s, "A message is still in doubt: {reason}");
            }
        }
        self.pace().leave(place, caller);
        Err(NotYet::failed(delay))
    }

    /// A message was posted or found whose address is another message's, or cannot be written down: it stays in doubt.
    /// `place` is where it was posted, if it was; a doubt that was looked into is left as it was.
    pub(super) fn misplaced(
        &self,
        id: &RequestId,
        errand: &Errand,
        place: Option<&str>,
        since: Timestamp,
        failures: u32,
    ) -> (Vec<Outcome>, NotYet) {
        let delay = HIDDEN.delay(failures + 1, fastrand::u64(..));
        let retry_in_s = seconds(delay);
        warn!(request = %id, place, retry_in_s, "Slack names another message's address for a message, so it cannot be kept current; please report this together with what answers at slack.api_url");
        let unclear = place.map(|place| Outcome::Unclear {
            errand: errand.clone(),
            place: place.to_owned(),
            since,
            ripe: Timestamp::now(),
            is_accepted: true,
            is_first: false,
        });
        (unclear.into_iter().collect(), NotYet::failed(delay))
    }

    /// Asks whether Slack gives whole answers to posts into a place.
    async fn ask(&self, place: &str) {
        let Some(error) = self.slack.probe_post(place).await else { return };
        debug!(%place, "Asked Slack whether it answers: {error}");
        if let Kind::RetryAfter(delay) = error.kind() {
            self.shut_gate(Method::ChatPostMessage, Instant::now() + delay);
        }
        self.note_answer(place, &error);
    }
}
