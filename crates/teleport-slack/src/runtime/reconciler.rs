//! One visit to one request: facts → plan → steps → record, until the plan is empty; then when to look again.
//!
//! It is given an id and what Teleport lists under it, never an event, and chooses nothing: the choices are
//! `access_core::plan`'s. Who calls it, and when: `runtime/mod.rs`.

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::RequestId;
use access_core::plan::{Errand, ReviewLook, Situation, Step, plan};
use access_core::policy::{self, Mode, ModeSetting, SubmitForUser, mode, unfinished};
use access_core::recipients::{Rules, Target};
use access_core::record::{Outcome, Record, bounded};
use access_core::request::{AccessRequest, RequestState};
use futures_util::stream::FuturesUnordered;
use futures_util::{StreamExt, future, poll};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tracing::{debug, error, info, warn};

use super::audience::{Audience, Located, NotFound};
use super::outbox::{Complaints, NotYet, Outbox};
use super::resolution::carry_out;
use crate::slack::directory::Directory;
use crate::teleport;
use crate::teleport::decide::DecideError;
use crate::teleport::error::{Kind, TeleportError};
use crate::teleport::record::modify_record;

/// A visit ends after this many rounds although there is more to do, so that a request that keeps changing
/// does not starve the others; it is visited again at once.
const MAX_ROUNDS: usize = 8;
/// Teleport does not answer: soon again, then each minute.
const TELEPORT_AWAY: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };
/// Teleport refuses: an operator must act.
const TELEPORT_REFUSES: Backoff = Backoff { first: Duration::from_secs(10), cap: Duration::from_secs(300) };

/// Where Teleport can fail us; complaints about one do not end with a success of the other.
const READING: &str = "reading records";
const WRITING: &str = "writing records";
const DECIDING: &str = "deciding";

/// A call to Teleport that failed, and at what.
struct Trouble {
    place: &'static str,
    error: TeleportError,
}

impl Trouble {
    fn reading(error: TeleportError) -> Self {
        Self { place: READING, error }
    }

    fn writing(error: TeleportError) -> Self {
        Self { place: WRITING, error }
    }

    fn deciding(error: TeleportError) -> Self {
        Self { place: DECIDING, error }
    }
}

/// What every visit needs.
pub(super) struct Reconciler {
    pub(super) teleport: teleport::Client,
    pub(super) outbox: Outbox,
    pub(super) directory: Directory,
    pub(super) rules: Rules,
    pub(super) cluster: String,
    pub(super) web_proxy: Option<String>,
    pub(super) complaints: Complaints,
    pub(super) review: Option<Deciding>,
}

/// What deciding in Slack needs to be drawn and finished.
#[derive(Debug)]
pub(super) struct Deciding {
    pub(super) rules: Arc<policy::Rules>,
    pub(super) setting: ModeSetting,
    pub(super) submit: watch::Receiver<SubmitForUser>,
}

impl Deciding {
    fn mode(&self) -> Option<Mode> {
        mode(self.setting, *self.submit.borrow(), &self.rules)
    }
}

/// What Teleport said of a request.
#[derive(Clone, Debug, Default)]
pub(super) enum Seen {
    /// It lists it, like this.
    Listed(Arc<AccessRequest>),
    /// It listed it like this, and lists it no more.
    Vanished(Arc<AccessRequest>),
    /// It does not list it, and we never saw it.
    #[default]
    Unknown,
}

impl Seen {
    fn listed(&self) -> Option<&AccessRequest> {
        match self {
            Self::Listed(request) => Some(request),
            Self::Vanished(_) | Self::Unknown => None,
        }
    }

    fn vanished(&self) -> Option<&AccessRequest> {
        match self {
            Self::Vanished(request) => Some(request),
            Self::Listed(_) | Self::Unknown => None,
        }
    }
}

/// What is remembered of one request between visits, and lost with the process: the record in Teleport holds
/// everything that matters.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Errands that failed, and when they may be tried again.
    waits: BTreeMap<Errand, Timestamp>,
    /// How often they failed in a row.
    failures: BTreeMap<Errand, u32>,
    /// What Slack confirmed and Teleport has not yet recorded.
    unsaved: Vec<Outcome>,
    /// Failed visits in a row.
    failed_visits: u32,
    /// Whether the audience's oddities were told.
    told_oddities: bool,
}

impl Memory {
    /// Whether nothing would be lost by forgetting it.
    pub(super) fn is_empty(&self) -> bool {
        self.waits.is_empty() && self.unsaved.is_empty() && self.failed_visits == 0
    }

    fn postpone(&mut self, errand: Errand, not_yet: &NotYet, now: Timestamp) {
        if not_yet.is_failure {
            *self.failures.entry(errand.clone()).or_default() += 1;
        }
        self.waits.insert(errand, later(now, not_yet.delay));
    }

    /// Nothing is left to be done, so nothing waits.
    fn settle(&mut self) {
        self.waits.clear();
        self.failures.clear();
    }

    fn succeeded(&mut self, errand: &Errand) {
        self.waits.remove(errand);
        self.failures.remove(errand);
    }
}

impl Reconciler {
    /// Brings Slack in line with Teleport for one request. Returns when to look again.
    #[tracing::instrument(level = "debug", name = "visit", skip_all, fields(request = %id))]
    pub(super) async fn visit(&self, id: &RequestId, seen: &Seen, memory: &mut Memory) -> Option<Timestamp> {
        match self.rounds(id, seen, memory).await {
            Ok(next) => {
                memory.failed_visits = 0;
                if next.is_none() {
                    memory.settle();
                }
                next
            }
            Err(trouble) => {
                memory.failed_visits += 1;
                Some(later(Timestamp::now(), self.teleport_failed(id, &trouble, memory.failed_visits)))
            }
        }
    }

    async fn rounds(
        &self,
        id: &RequestId,
        seen: &Seen,
        memory: &mut Memory,
    ) -> Result<Option<Timestamp>, Trouble> {
        let listed = seen.listed();
        for _ in 0..MAX_ROUNDS {
            let data = self.teleport.get_record(id).await.map_err(Trouble::reading)?;
            self.complaints.settle(READING);
            let (mut record, rubbish) = Record::decode(id, &data);
            if !rubbish.is_empty() && self.complaints.open(id.as_str(), "rubbish") {
                warn!(request = %id, keys = ?rubbish, "The record in Teleport's plugin data holds values that cannot be read; they are ignored and will be replaced");
            }
            memory.unsaved.iter().for_each(|outcome| record.apply(outcome));
            // What was last seen of a vanished request may be newer than what was remembered.
            let last = seen.vanished().map(bounded).filter(|_| !record.deliveries.is_empty());
            let last = last.filter(|last| record.known.as_ref() != Some(last));
            if last.is_some() {
                record.known.clone_from(&last);
            }

            let resolve_at = self.finish_decision(id, listed, &record).await?;
            let audience = Audience::of(listed, &record, &self.rules);
            if !std::mem::replace(&mut memory.told_oddities, true) {
                audience.tell_oddities(id);
            }
            let wanted =
                audience.people(|errand| memory.waits.get(errand).is_none_or(|at| *at <= Timestamp::now()));
            let mut lookups = pin!(future::join_all(wanted.into_iter().map(|r| self.look_up(r))));
            let people = match poll!(&mut lookups) {
                Poll::Ready(people) => Some(people),
                Poll::Pending => None,
            };
            let found = people.iter().flatten().filter_map(|person| person.as_ref().ok());
            let targets =
                listed.map_or_else(Vec::new, |listed| audience.targets(listed, &self.directory, found));
            if let Some(people) = &people {
                self.note_missing(people, &audience, memory);
            }

            let plan = plan(&self.situation(listed, &record, &targets, &memory.waits));
            let known = plan.remember.as_ref().or(last.as_ref());
            if !self.save(id, known, &mut memory.unsaved).await? {
                // A message now could never be kept true. If the request is still listed, its end is on the way.
                return Ok(None);
            }
            let is_idle = plan.errands.is_empty();
            if people.is_none() {
                let (outcome, people) = future::join(self.run(id, plan.errands, memory), lookups).await;
                self.note_missing(&people, &audience, memory);
                outcome?;
            } else if is_idle {
                return Ok(next_visit(plan.look_again, &audience, memory)
                    .into_iter()
                    .chain(resolve_at)
                    .min());
            } else {
                self.run(id, plan.errands, memory).await?;
            }
        }
        debug!(request = %id, "There is more to do; others first");
        Ok(Some(Timestamp::now()))
    }

    fn situation<'a>(
        &'a self,
        listed: Option<&'a AccessRequest>,
        record: &'a Record,
        targets: &'a [Target],
        waits: &'a BTreeMap<Errand, Timestamp>,
    ) -> Situation<'a> {
        let (cluster, web_proxy) = (self.cluster.as_str(), self.web_proxy.as_deref());
        // The requester is never told, so no copy is his.
        let look = |review: &'a Deciding| {
            Some(ReviewLook { mode: review.mode()?, rules: &review.rules, requester: &[] })
        };
        let review = self.review.as_ref().and_then(look);
        Situation { listed, record, targets, cluster, web_proxy, review, waits, now: Timestamp::now() }
    }

    /// Carries out what votes in Slack decided and nobody told Teleport: whoever took the deciding vote may have
    /// died, or Teleport was away. Returns when that is due, if it is not yet.
    async fn finish_decision(
        &self,
        id: &RequestId,
        listed: Option<&AccessRequest>,
        record: &Record,
    ) -> Result<Option<Timestamp>, Trouble> {
        // Votes decide only where the rules do; elsewhere Teleport judges, whatever is in the record.
        let may_resolve = self.review.as_ref().is_some_and(|review| review.mode() == Some(Mode::Resolver));
        let waits = listed.is_some_and(|request| request.state == RequestState::Pending);
        let Some((due, resolution)) = unfinished(&record.votes).filter(|_| may_resolve && waits) else {
            return Ok(None);
        };
        if due > Timestamp::now() {
            return Ok(Some(due));
        }
        match carry_out(&self.teleport, id, &resolution).await {
            Ok(_) => {
                info!(request = %id, decision = resolution.decision.action_id(), by = %resolution.delegator, "Carried out what votes in Slack had decided");
                Ok(None)
            }
            Err(DecideError::Failed(error)) => Err(Trouble::deciding(error)),
            Err(error) => {
                if self.complaints.open(id.as_str(), &error.to_string()) {
                    error!(request = %id, "What votes in Slack decided cannot be carried out: {}", crate::error::chain(&error));
                }
                Ok(Some(later(Timestamp::now(), TELEPORT_REFUSES.cap)))
            }
        }
    }

    /// Whether a vanished request's messages need a visit, judged by a record that was listed in bulk.
    pub(super) fn needs_visit(&self, id: &RequestId, data: &BTreeMap<String, String>) -> bool {
        let record = Record::decode(id, data).0;
        !plan(&self.situation(None, &record, &[], &BTreeMap::new())).is_empty()
    }

    /// Runs errands side by side and records each outcome as soon as it is there.
    ///
    /// If Teleport cannot record, the rest is still awaited and kept for the next visit.
    async fn run(
        &self,
        id: &RequestId,
        errands: Vec<(Errand, Vec<Step>)>,
        memory: &mut Memory,
    ) -> Result<(), Trouble> {
        let failures = &memory.failures;
        let mut running: FuturesUnordered<_> = errands
            .into_iter()
            .map(|(errand, steps)| {
                let failures = failures.get(&errand).copied().unwrap_or(0);
                self.run_errand(id, errand, steps, failures)
            })
            .collect();
        let mut result = Ok(());
        while let Some(first) = running.next().await {
            let mut ended = vec![first];
            while let Poll::Ready(Some(next)) = poll!(running.next()) {
                ended.push(next);
            }
            for (errand, outcomes, not_yet) in ended {
                outcomes.iter().for_each(|outcome| self.learn(outcome));
                memory.unsaved.extend(outcomes);
                match not_yet {
                    Some(not_yet) => memory.postpone(errand, &not_yet, Timestamp::now()),
                    None => memory.succeeded(&errand),
                }
            }
            if result.is_ok() {
                result = self.save(id, None, &mut memory.unsaved).await.map(|_| ());
            }
        }
        result
    }

    async fn run_errand(
        &self,
        id: &RequestId,
        errand: Errand,
        steps: Vec<Step>,
        failures: u32,
    ) -> (Errand, Vec<Outcome>, Option<NotYet>) {
        let mut outcomes = Vec::new();
        for step in steps {
            match self.outbox.carry_out(id, &errand, step, failures).await {
                Ok(outcome) => outcomes.extend(outcome),
                Err(not_yet) => return (errand, outcomes, Some(not_yet)),
            }
        }
        (errand, outcomes, None)
    }

    /// Writes down what Teleport said and what Slack confirmed. Returns whether there is a record to write to:
    /// none if the request vanished and never had one.
    async fn save(
        &self,
        id: &RequestId,
        remember: Option<&AccessRequest>,
        unsaved: &mut Vec<Outcome>,
    ) -> Result<bool, Trouble> {
        if remember.is_none() && unsaved.is_empty() {
            return Ok(true);
        }
        let written = modify_record(&self.teleport, id, |data| {
            let mut record = Record::decode(id, data).0;
            if let Some(known) = remember {
                record.known = Some(known.clone());
            }
            unsaved.iter().for_each(|outcome| record.apply(outcome));
            Some(record.encode())
        })
        .await;
        let exists = match written {
            Ok(_) => true,
            Err(error) if error.kind() == Kind::NotFound => {
                debug!(request = %id, "The request is gone and has no record");
                false
            }
            Err(error) => return Err(Trouble::writing(error)),
        };
        unsaved.clear();
        self.complaints.settle(WRITING);
        Ok(exists)
    }

    fn teleport_failed(&self, id: &RequestId, trouble: &Trouble, failures: u32) -> Duration {
        let Trouble { place, error } = trouble;
        let seed = fastrand::u64(..);
        let (delay, is_refusal) = match error.kind() {
            Kind::Retry | Kind::Conflict => (TELEPORT_AWAY.delay(failures, seed), false),
            Kind::Unauthorised | Kind::NotFound | Kind::Unimplemented | Kind::Permanent => {
                (TELEPORT_REFUSES.delay(failures, seed), true)
            }
        };
        let retry_in_s = delay.as_secs_f32();
        let cause = crate::error::chain(error);
        if !self.complaints.open(place, &error.to_string()) {
            debug!(request = %id, retry_in_s, "{cause}");
        } else if is_refusal {
            error!(request = %id, retry_in_s, "{cause}");
        } else {
            warn!(request = %id, retry_in_s, "{cause}");
        }
        delay
    }

    /// Remembers who was not found, and says so once a cause.
    fn note_missing(&self, people: &[Result<Located, NotFound>], audience: &Audience, memory: &mut Memory) {
        let now = Timestamp::now();
        let missing = people.iter().filter_map(|person| person.as_ref().err());
        for missing in missing.filter(|missing| audience.is_untold(&missing.recipient)) {
            let errand = Errand::Deliver(missing.recipient.key());
            let failures = memory.failures.get(&errand).copied().unwrap_or(0);
            let delay = missing.delay(failures);
            if self.complaints.open(missing.recipient.key().as_str(), &missing.cause()) {
                missing.tell(delay);
            }
            memory.postpone(errand, &NotYet { delay, is_failure: true }, now);
        }
    }
}

/// The earliest of the plan's own wish and the people who are to be looked up again.
fn next_visit(look_again: Option<Timestamp>, audience: &Audience, memory: &Memory) -> Option<Timestamp> {
    let wanted = audience.people(|_| true);
    let lookups = wanted.iter().filter_map(|r| memory.waits.get(&Errand::Deliver(r.key()))).copied();
    lookups.chain(look_again).min()
}

/// `now + delay`, or the end of time.
fn later(now: Timestamp, delay: Duration) -> Timestamp {
    let delay = SignedDuration::try_from(delay).unwrap_or(SignedDuration::MAX);
    now.checked_add(delay).unwrap_or(Timestamp::MAX)
}
