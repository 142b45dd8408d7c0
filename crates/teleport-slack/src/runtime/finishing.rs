//! A visit's part in decisions by votes: carries out what was decided and nobody told Teleport, because whoever took
//! the deciding vote died, Teleport was away, or the last that was needed is a review in Teleport.

use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::RequestId;
use access_core::policy::{Due, Mode, due};
use access_core::record::Record;
use access_core::request::{AccessRequest, RequestState};
use jiff::Timestamp;
use tracing::{error, info, warn};

use super::memory::{Memory, later};
use super::reconciler::{Reconciler, TELEPORT_REFUSES, Trouble};
use super::resolution::{Finished, Unfinished};
use super::voters::Read;
use crate::observe::seconds;
use crate::teleport::decide::DecideError;

/// Something that a verdict depends on cannot be read, or the votes do not suffice after all.
const UNDECIDED: Backoff = Backoff { first: Duration::from_secs(5), cap: Duration::from_secs(300) };

/// What came of it.
pub(super) enum Finishing {
    /// Look again then, if at all.
    Later(Option<Timestamp>),
    /// The record is not what it was.
    Changed,
}

/// Votes over which no verdict could be had, or not one that decides.
#[derive(Debug)]
pub(super) struct Undecided {
    /// How many votes and reviews there were; with others it is tried at once.
    seen: (usize, usize),
    failures: u32,
    until: Timestamp,
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
        if let Some(last) = last.as_ref().filter(|last| last.until > now) {
            let until = last.until;
            memory.undecided = Some(Undecided { seen, failures: last.failures, until });
            return Ok(Finishing::Later(Some(until)));
        }
        let failures = last.map_or(1, |last| last.failures.saturating_add(1));
        let delay = UNDECIDED.delay(failures, fastrand::u64(..));
        let undecided = Undecided { seen, failures, until: later(now, delay) };
        match review.resolver.finish(id, Read::nothing()).await {
            Ok(Finished::Out(resolution)) => {
                info!(request = %id, decision = resolution.decision.action_id(), by = %resolution.delegator, "Carried out what votes in Slack had decided");
                Ok(Finishing::Changed)
            }
            // The news of it is on its way to us.
            Ok(Finished::Overtaken(_) | Finished::Gone) => Ok(Finishing::Later(None)),
            Ok(Finished::Open(_) | Finished::Refused(_)) => {
                memory.undecided = Some(undecided);
                Ok(Finishing::Changed)
            }
            Err(Unfinished::Unread(refusal)) => {
                if self.complaints.open(id.as_str(), refusal.kind()) {
                    warn!(request = %id, why = refusal.kind(), retry_in_s = seconds(delay), "Votes in Slack may have decided this request, and what that depends on cannot be read; nothing is decided until it can");
                }
                let until = undecided.until;
                memory.undecided = Some(undecided);
                Ok(Finishing::Later(Some(until)))
            }
            Err(Unfinished::Record(error)) => Err(Trouble::writing(error)),
            Err(Unfinished::Decide(DecideError::Failed(error))) => Err(Trouble::deciding(error)),
            Err(Unfinished::Decide(error)) => {
                if self.complaints.open(id.as_str(), &error.to_string()) {
                    error!(request = %id, "What votes in Slack decided cannot be carried out: {}", crate::error::chain(&error));
                }
                Ok(Finishing::Later(Some(later(self.clock.now(), TELEPORT_REFUSES.cap))))
            }
        }
    }
}
