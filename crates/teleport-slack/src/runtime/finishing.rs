//! A visit's part in decisions by votes: carries out what was decided and nobody told Teleport, because whoever took
//! the deciding vote died, Teleport was away, or the last that was needed is a review in Teleport.

use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::RequestId;
use access_core::policy::{Due, Mode, due};
use access_core::record::Record;
use access_core::request::{AccessRequest, RequestState};
use jiff::Timestamp;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::memory::{Memory, later};
use super::reconciler::{Reconciler, TELEPORT_REFUSES, Trouble, patience};
use super::resolution::{Finished, Unfinished};
use super::voters::Read;
use crate::observe::seconds;
use crate::teleport::decide::DecideError;

/// Something that a verdict depends on cannot be read, or the votes do not suffice after all.
const UNDECIDED: Backoff = Backoff { first: Duration::from_secs(5), cap: Duration::from_secs(300) };

/// Where Teleport can fail us beside reading and writing records.
const DECIDING: &str = "deciding";

/// What came of it.
pub(super) enum Finishing {
    /// Look again then, if at all.
    Later(Option<Timestamp>),
    /// The record is not what it was.
    Changed,
}

/// Votes over which no verdict could be had, or not one that decides, or whose decision Teleport did not take.
#[derive(Debug)]
pub(super) struct Undecided {
    /// How many votes and reviews there were; with others it is tried at once.
    seen: (usize, usize),
    failures: u32,
    until: Instant,
    /// Whether they decided, and Teleport did not take it.
    pub(super) is_owed: bool,
}

impl Undecided {
    /// How long to wait until it is tried again; `None` if no longer.
    fn left(&self) -> Option<Duration> {
        self.until.checked_duration_since(Instant::now()).filter(|left| !left.is_zero())
    }

    /// What failed may succeed now; how often it failed still counts.
    pub(super) fn revive(&mut self) {
        self.until = Instant::now();
    }
}

impl Reconciler {
    pub(super) async fn finish_decision(
        &self,
        id: &RequestId,
        listed: Option<&AccessRequest>,
        record: &Record,
        memory: &mut Memory,
    ) -> Result<Finishing, Trouble> {
        // Votes decide only where the rules do; elsewhere Teleport judges, whatever is in the record.
        let may_resolve = self.review.as_ref().is_some_and(|review| review.mode() == Some(Mode::Resolver));
        let waiting = listed.filter(|request| request.state == RequestState::Pending);
        let (Some(review), Some(waiting)) = (self.review.as_ref().filter(|_| may_resolve), waiting) else {
            memory.undecided = None;
            return Ok(Finishing::Later(None));
        };
        let now = self.clock.now();
        match due(record, waiting, &review.rules, now) {
            Due::Never => {
                memory.undecided = None;
                return Ok(Finishing::Later(None));
            }
            Due::At(at) => return Ok(Finishing::Later(Some(at))),
            Due::Now => {}
        }
        let seen = (record.votes.count(), waiting.reviews.len());
        let last = memory.undecided.take().filter(|last| last.seen == seen);
        if let Some(left) = last.as_ref().and_then(Undecided::left) {
            memory.undecided = last;
            return Ok(Finishing::Later(Some(later(now, left))));
        }
        let failures = last.map_or(1, |last| last.failures.saturating_add(1));
        let mut again = |backoff: Backoff, is_owed| {
            let delay = backoff.delay(failures, fastrand::u64(..));
            memory.undecided = Some(Undecided { seen, failures, until: Instant::now() + delay, is_owed });
            (delay, Finishing::Later(Some(later(self.clock.now(), delay))))
        };
        match review.resolver.finish(id, Read::nothing()).await {
            Ok(Finished::Out(resolution)) => {
                self.complaints.settle(DECIDING);
                info!(request = %id, decision = resolution.decision.action_id(), by = %resolution.delegator, "Carried out what votes in Slack had decided");
                Ok(Finishing::Changed)
            }
            // The news of it is on its way to us.
            Ok(Finished::Overtaken(_) | Finished::Gone) => Ok(Finishing::Later(None)),
            Ok(Finished::Open(_) | Finished::Refused(_)) => {
                again(UNDECIDED, false);
                Ok(Finishing::Changed)
            }
            Err(Unfinished::Unread(refusal)) => {
                let (delay, next) = again(UNDECIDED, false);
                if self.complaints.open(id.as_str(), refusal.kind()) {
                    warn!(request = %id, why = refusal.kind(), retry_in_s = seconds(delay), "Votes in Slack may have decided this request, and what that depends on cannot be read; nothing is decided until it can");
                }
                Ok(next)
            }
            Err(Unfinished::Record(error)) => Err(Trouble::writing(error)),
            // Meanwhile the messages are kept true.
            Err(Unfinished::Decide(error)) => {
                let (backoff, place, is_refusal) = match &error {
                    DecideError::Failed(error) => {
                        let (backoff, is_refusal) = patience(error.kind());
                        (backoff, DECIDING, is_refusal)
                    }
                    DecideError::Refused { .. } | DecideError::NotConfirmed { .. } => {
                        (TELEPORT_REFUSES, id.as_str(), true)
                    }
                };
                let (delay, next) = again(backoff, true);
                let (retry_in_s, cause) = (seconds(delay), crate::error::chain(&error));
                if !self.complaints.open(place, &error.to_string()) {
                    debug!(request = %id, retry_in_s, "{cause}");
                } else if is_refusal {
                    error!(request = %id, retry_in_s, "What votes in Slack decided cannot be carried out: {cause}");
                } else {
                    warn!(request = %id, retry_in_s, "What votes in Slack decided cannot be carried out yet: {cause}");
                }
                Ok(next)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_not_decided_waits_by_no_wall_clock_and_is_revived() {
        let seconds = Duration::from_secs;
        let until = Instant::now() + seconds(20);
        let mut undecided = Undecided { seen: (1, 0), failures: 3, until, is_owed: true };
        assert_eq!(undecided.left(), Some(seconds(20)));
        tokio::time::advance(seconds(19)).await;
        assert_eq!(undecided.left(), Some(seconds(1)));
        tokio::time::advance(seconds(1)).await;
        assert_eq!(undecided.left(), None);
        undecided.until += seconds(300);
        let mut memory = Memory::default();
        memory.undecided = Some(undecided);
        assert!(memory.is_behind() && !memory.is_stuck(), "it is owed, and the messages are true");
        memory.revive();
        let undecided = memory.undecided.unwrap();
        assert_eq!((undecided.left(), undecided.failures), (None, 3));
    }
}
