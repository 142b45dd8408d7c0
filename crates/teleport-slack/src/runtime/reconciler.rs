//! One visit to one request: facts → plan → steps → record, until the plan is empty; then when to look again.
//!
//! It is given an id and what Teleport lists under it, never an event, and chooses nothing: the choices are
//! `access_core::plan`'s. Who calls it, and when: `runtime/mod.rs`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access_core::backoff::Backoff;
use access_core::ids::RequestId;
use access_core::lifecycle::is_behind;
use access_core::plan::{Errand, Plan, ReviewLook, Situation, Step, plan};
use access_core::policy::{self, Mode, ModeSetting, SubmitForUser, mode};
use access_core::recipients::{Recipient, RecipientKey, Rules, Target};
use access_core::record::{Record, bounded};
use access_core::render::card::Edition;
use access_core::request::AccessRequest;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::{debug, error, warn};

use super::audience::Audience;
use super::carrying::{Intent, Taken};
use super::clock::Clock;
use super::complaints::Complaints;
use super::finishing::Finishing;
use super::lease::Holder;
use super::looking::{Word, ask_again, hold};
use super::lookups::Lookups;
use super::memory::{Memory, Seen, later};
use super::outbox::Outbox;
use super::pace::Caller;
use super::preparing::Preparing;
use super::resolution::Resolver;
use super::turns::Wait;
use crate::observe::metrics::{Metrics, Visit};
use crate::observe::seconds;
use crate::slack::directory::Directory;
use crate::teleport;
use crate::teleport::error::{Kind, TeleportError};

/// A visit ends after this many rounds although there is more to do, so that a request that keeps changing
/// does not starve the others; it is visited again at once.
const MAX_ROUNDS: usize = 8;
/// How long a visit stays for its turn.
const STAY: Duration = Duration::from_secs(1);
/// When to look for news of people that nobody brought.
const NEWS: Duration = Duration::from_secs(60);
/// Teleport does not answer: soon again, and at once when the watch is back.
const TELEPORT_AWAY: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(20) };
/// Teleport refuses: an operator must act.
pub(super) const TELEPORT_REFUSES: Backoff =
    Backoff { first: Duration::from_secs(10), cap: Duration::from_secs(300) };

/// Where Teleport can fail us; complaints about one do not end with a success of the other.
const READING: &str = "reading records";
pub(super) const WRITING: &str = "writing records";

/// A call to Teleport that failed, and at what.
pub(super) struct Trouble {
    place: &'static str,
    error: TeleportError,
}

impl Trouble {
    pub(super) fn reading(error: TeleportError) -> Self {
        Self { place: READING, error }
    }

    pub(super) fn writing(error: TeleportError) -> Self {
        Self { place: WRITING, error }
    }
}

/// What every visit needs.
pub(super) struct Reconciler {
    pub(super) teleport: teleport::Client,
    pub(super) holder: Holder,
    pub(super) outbox: Outbox,
    pub(super) preparing: Preparing,
    pub(super) directory: Directory,
    pub(super) lookups: Lookups,
    pub(super) rules: Rules,
    pub(super) cluster: String,
    pub(super) is_enterprise: bool,
    pub(super) web_proxy: Option<String>,
    pub(super) complaints: Complaints,
    pub(super) review: Option<Deciding>,
    pub(super) metrics: Metrics,
    pub(super) clock: Clock,
}

/// What deciding in Slack needs to be drawn and finished.
#[derive(Debug)]
pub(super) struct Deciding {
    pub(super) rules: Arc<policy::Rules>,
    pub(super) setting: ModeSetting,
    pub(super) submit: watch::Receiver<SubmitForUser>,
    pub(super) resolver: Arc<Resolver>,
}

impl Deciding {
    pub(super) fn mode(&self) -> Option<Mode> {
        mode(self.setting, *self.submit.borrow(), &self.rules)
    }
}

impl Reconciler {
    /// Brings Slack in line with Teleport for one request. Returns when to look again.
    #[tracing::instrument(level = "debug", name = "visit", skip_all, fields(request = %id))]
    pub(super) async fn visit(&self, id: &RequestId, seen: &Seen, memory: &mut Memory) -> Option<Timestamp> {
        let rounds = self.rounds(id, seen, memory).await;
        self.outbox.end_all(id);
        match rounds {
            Ok(next) => {
                self.metrics.visit(Visit::Done);
                memory.failed_visits = 0;
                if next.is_none() {
                    memory.settle();
                }
                next
            }
            Err(trouble) => {
                self.metrics.visit(Visit::Failed);
                memory.failed_visits += 1;
                Some(later(self.clock.now(), self.teleport_failed(id, &trouble, memory.failed_visits)))
            }
        }
    }

    async fn rounds(
        &self,
        id: &RequestId,
        seen: &Seen,
        memory: &mut Memory,
    ) -> Result<Option<Timestamp>, Trouble> {
        let listed = match seen {
            Seen::Listed(sighting) => Some(&sighting.request),
            Seen::Deleted(_) | Seen::Missing(_) => None,
        };
        let made = listed.and_then(|request| request.created);
        let mut ahead = listed.map(|_| self.preparing.begin(made, id));
        for _ in 0..MAX_ROUNDS {
            let data = self.teleport.get_record(id).await.map_err(Trouble::reading)?;
            self.complaints.settle(READING);
            let (mut record, rubbish) = Record::decode(id, &data);
            if !rubbish.is_empty() && self.complaints.open(id.as_str(), "rubbish") {
                warn!(request = %id, keys = ?rubbish, "The record in Teleport's plugin data holds values that cannot be read; they are ignored and will be replaced");
            }
            memory.forget_settled(&record);
            memory.unsaved.iter().for_each(|outcome| record.apply(outcome));
            let word = self.look(id, seen, &record).await?;
            let listed = word.listed();
            // What was last seen of a vanished request may be newer than what was remembered, or older.
            let last = word.last().map(bounded).filter(|_| !record.deliveries.is_empty());
            let last = last.filter(|last| record.known.as_ref() != Some(last));
            let last = last.filter(|last| !is_behind(last, record.known.as_ref()));
            if last.is_some() {
                record.known.clone_from(&last);
            }

            let resolve_at = match self.finish_decision(id, listed, &record, memory).await? {
                Finishing::Later(at) => at,
                Finishing::Changed => continue,
            };
            let audience = Audience::of(listed, &record, &self.rules);
            if !std::mem::replace(&mut memory.told_oddities, true) {
                audience.tell_oddities(id);
            }
            let is_all_known = self.find_people(listed, &audience, memory).await;
            let targets = audience.targets(&self.directory, &memory.located);
            if is_all_known && listed.is_some() && !(record.deliveries.is_empty() && targets.is_empty()) {
                self.note_untold(&mut record, &audience, memory);
            }
            let requester: Vec<_> = memory.requester.iter().cloned().collect();

            let kept = record.deliveries.iter().filter(|delivery| !delivery.is_lost);
            memory.messages = kept.map(|delivery| (delivery.channel.clone(), delivery.ts.clone())).collect();
            let replan = |memory: &Memory| {
                let waits = memory.waits(self.clock.now());
                let mut plan = plan(&self.situation(listed, &record, &targets, &requester, &waits));
                if let Word::Unproven = word {
                    hold(&mut plan, record.known.as_ref(), self.clock.now());
                }
                plan.look_again = plan.look_again.into_iter().chain(ask_again(&word, self.clock.now())).min();
                plan
            };
            let mut plan = replan(memory);
            if let Some(ahead) = &ahead {
                ahead.wait().await;
            }
            self.line_up(id, made, &mut plan, memory).await;
            ahead = None;
            if plan.waits_for_names && plan.errands.is_empty() && memory.has_waits() {
                // The name must wait longer than was thought, so the others need not.
                plan = replan(memory);
                self.hold_back(id, made, &mut plan, memory);
            }
            let known = plan.remember.as_ref().or(last.as_ref());
            if plan.errands.is_empty() {
                // A claim of ours that could not be given up.
                let done = record.claim.as_ref().filter(|claim| claim.holder == self.holder.name());
                if !self.save(id, known.map(|known| (known, &record)), done, memory).await? {
                    return Ok(None);
                }
                // The request is woken when there is news of its people; until then its place is for others.
                let news = (!is_all_known).then(|| later(self.clock.now(), NEWS));
                let wanted = audience.people(&self.rules, memory, |_| true);
                let next = next_visit(plan.look_again, &wanted, &memory.waits(self.clock.now()));
                return Ok(next.into_iter().chain(resolve_at).chain(news).min());
            }
            self.outbox.room().await;
            let posts = plan.posts().collect();
            let intent = Intent { read: &data, known, errands: plan.errands, posts, made };
            let lease = match self.take(id, &intent, &record, memory).await? {
                Taken::Ours(lease) => lease,
                Taken::Theirs(until) => return Ok(Some(until)),
                Taken::Changed => continue,
                // A message now could never be kept true. If the request is still listed, its end is on the way.
                Taken::NoRecord => return Ok(None),
            };
            self.run(id, intent, record, &lease, memory).await?;
        }
        debug!(request = %id, "There is more to do; others first");
        Ok(Some(self.clock.now()))
    }

    /// Takes errands out of the plan that must wait for their turn in Slack. If none is left and one is near its turn, that
    /// is waited for a moment, which is cheaper than another visit.
    async fn line_up(&self, id: &RequestId, made: Option<Timestamp>, plan: &mut Plan, memory: &mut Memory) {
        let until = Instant::now() + STAY;
        let mut held = self.hold_back(id, made, plan, memory);
        while plan.errands.is_empty()
            && Instant::now() < until
            && self.outbox.stay(id, made, &held, until).await
        {
            plan.errands = held;
            held = self.hold_back(id, made, plan, memory);
        }
    }

    /// Takes errands out of the plan that must wait, and returns them.
    fn hold_back(
        &self,
        id: &RequestId,
        made: Option<Timestamp>,
        plan: &mut Plan,
        memory: &mut Memory,
    ) -> Vec<(Errand, Vec<Step>)> {
        let now = self.clock.now();
        let mut first = plan.look_again;
        memory.queued.clear();
        let held = plan.errands.extract_if(.., |(errand, steps)| {
            let caller = Caller { made, id: id.clone(), errand: errand.clone() };
            let wait = steps.first().and_then(|step| self.outbox.reserve(&caller, step));
            if let Some(Wait { delay, is_turn }) = wait {
                let until = later(now, delay);
                if is_turn {
                    memory.queued.insert(errand.clone());
                } else {
                    memory.wait(errand.clone(), delay);
                }
                first = Some(first.map_or(until, |first| first.min(until)));
            }
            wait.is_some()
        });
        let held = held.collect();
        plan.look_again = first;
        held
    }

    fn situation<'a>(
        &'a self,
        listed: Option<&'a AccessRequest>,
        record: &'a Record,
        targets: &'a [Target],
        requester: &'a [RecipientKey],
        waits: &'a BTreeMap<Errand, Timestamp>,
    ) -> Situation<'a> {
        let cluster = self.cluster.as_str();
        let web_proxy = self.web_proxy.as_deref();
        let edition = if self.is_enterprise { Edition::Enterprise { web_proxy } } else { Edition::Community };
        let look = |review: &'a Deciding| ReviewLook { mode: review.mode(), rules: &review.rules, requester };
        let review = self.review.as_ref().map(look);
        let now = self.clock.now();
        Situation { listed, record, targets, cluster, edition, review, waits, now }
    }

    /// Whether a vanished request's messages need a visit, judged by a record that was listed in bulk.
    pub(super) fn needs_visit(&self, id: &RequestId, data: &BTreeMap<String, String>) -> bool {
        let record = Record::decode(id, data).0;
        !plan(&self.situation(None, &record, &[], &[], &BTreeMap::new())).is_empty()
    }

    fn teleport_failed(&self, id: &RequestId, trouble: &Trouble, failures: u32) -> Duration {
        let Trouble { place, error } = trouble;
        let (backoff, is_refusal) = patience(error.kind());
        let delay = backoff.delay(failures, fastrand::u64(..));
        let retry_in_s = seconds(delay);
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
}

/// When to try again what Teleport did not do, and whether it refuses, so that an operator must act.
pub(super) fn patience(kind: Kind) -> (Backoff, bool) {
    match kind {
        Kind::Retry | Kind::Conflict => (TELEPORT_AWAY, false),
        Kind::Unauthorised | Kind::NotFound | Kind::Unimplemented | Kind::Permanent => {
            (TELEPORT_REFUSES, true)
        }
    }
}

/// The earliest of the plan's own wish and the people who are to be looked up again.
fn next_visit(
    look_again: Option<Timestamp>,
    wanted: &[(Recipient, bool)],
    waits: &BTreeMap<Errand, Timestamp>,
) -> Option<Timestamp> {
    let lookups = wanted.iter().filter_map(|(r, _)| waits.get(&Errand::Deliver(r.key()))).copied();
    lookups.chain(look_again).min()
}
