//! Works on one interaction after the other's acknowledgement: who is this, may he, then do it, then answer.
//!
//! Everything a verdict depends on is read afresh. The verdict is `access_core::policy`'s; what is sent to Teleport
//! is confirmed by Teleport before anybody is told. Whatever happens, the person gets one answer.

use std::sync::Arc;

use access_core::control::{Decision, Dialogue};
use access_core::ids::RequestId;
use access_core::interaction::{Foreign, Interaction, OurApp, Sender, came_through};
use access_core::policy::{
    Cast, Facts, Groups, Mode, ModeSetting, Reason, Resolution, Rules, SubmitForUser, Verdict, Voter, cast,
    decide, fresh, mode,
};
use access_core::record::Record;
use access_core::refusal::{Newer, Refusal};
use access_core::render::answer::{Done, done, refused};
use access_core::render::modal::reason_dialogue;
use access_core::request::{AccessRequest, RequestState};
use access_core::votes::Vote;
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::answering::Answers;
use super::asked::{Asked, asked};
use super::intake::Incoming;
use super::reading::{BETWEEN_LOOKS, Known, LOOKS, Reader, teleport_refusal};
use super::resolution::{Finished, Resolver, Unfinished};
use super::shifts::{Shift, work_on};
use super::submitting::Submitting;
use super::voters::{READING, Read};
use crate::observe::metrics::{Click, Metrics};
use crate::slack;
use crate::teleport;
use crate::teleport::decide::{DecideError, SubmitReview};
use crate::teleport::error::Kind;
use crate::teleport::record::modify_record;
use crate::teleport::refusal::Refusal as TeleportRefusal;

/// A vote that may or may not have been recorded is written this often.
const WRITES: u32 = 2;
/// While others vote at the same time, their accounts are read so often before the person is told to try again.
const READS: u32 = 5;

/// What deciding in Slack needs.
#[derive(Debug)]
pub struct Clicks {
    /// The way to Teleport.
    pub teleport: teleport::Client,
    /// The way to Slack.
    pub slack: slack::Client,
    /// The ways to whoever clicked.
    pub answers: Answers,
    /// Reads what a verdict depends on.
    pub reader: Reader,
    /// What this app is.
    pub our: OurApp,
    /// Makes verdicts over votes and carries them out.
    pub resolver: Arc<Resolver>,
    /// Who may.
    pub rules: Arc<Rules>,
    /// Which call carries a decision.
    pub setting: ModeSetting,
    /// Whether this Teleport can take reviews at all; the cards follow it.
    pub submitting: Arc<Submitting>,
    /// Requests whose record changed.
    pub wakes: mpsc::Sender<RequestId>,
    /// Where clicks are counted.
    pub metrics: Metrics,
}

/// What became of it.
enum Outcome {
    Done(Done),
    Refused(Refusal),
    /// The dialogue is open; the answer comes with it.
    Asking,
}

impl From<Refusal> for Outcome {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl Clicks {
    /// Works until told to stop, and then until what was acknowledged is done, for at most 15 s.
    pub async fn run(self, incoming: mpsc::Receiver<Incoming>, stop: CancellationToken) {
        work_on(incoming, stop, Arc::new(self)).await;
    }

    async fn work(&self, interaction: Interaction) {
        let began = Instant::now();
        let Some(asked) = asked(interaction) else { return };
        if let Err(foreign) = came_through(&asked.origin, &self.our) {
            let refusal = Refusal::from(foreign);
            self.metrics.click(Click::Refused(&refusal));
            warn!(slack_user = %asked.user, request = %asked.request, "A click came through another app or workspace ({foreign:?}), so nothing is decided by it");
            // What came through another app is not ours to answer: the message is that app's, and so is its address.
            if foreign != Foreign::App {
                self.answers.refuse(&asked.sender(), &refusal).await;
            }
            return;
        }
        let (outcome, who) = self.decide(&asked).await;
        let (verdict, click) = match &outcome {
            Outcome::Done(done) => (done.kind(), Click::Done(done)),
            Outcome::Refused(refusal) => (refusal.kind(), Click::Refused(refusal)),
            Outcome::Asking => ("asking_for_a_reason", Click::Asking),
        };
        self.metrics.click(click);
        info!(
            slack_user = %asked.user,
            teleport_user = who.as_deref().unwrap_or(""),
            request = %asked.request,
            decision = asked.decision.action_id(),
            channel = %asked.channel,
            verdict,
            took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
            "Click"
        );
        let answer = match &outcome {
            Outcome::Done(what) => done(*what),
            Outcome::Refused(refusal) => refused(refusal),
            Outcome::Asking => return,
        };
        self.answers.tell(&asked.sender(), &answer).await;
    }

    /// Reads, judges, carries out. The second value is the Teleport user, if known.
    async fn decide(&self, asked: &Asked) -> (Outcome, Option<String>) {
        let now = Timestamp::now();
        if let Interaction::Submission(submission) = &asked.interaction
            && let Err(refusal) = fresh(&submission.dialogue, now)
        {
            return (refusal.into(), None);
        }
        let mut known = match within_reading(self.reader.read(asked)).await {
            Ok(known) => known,
            Err(refusal) => return (refusal.into(), None),
        };
        let who = Some(known.person.user.clone());
        let submit = self.submitting.known();
        let outcome = match self.act(asked, &mut known, mode(self.setting, submit, &self.rules)).await {
            Err(NotTaken) => self.act_otherwise(asked, &mut known).await,
            Ok(outcome) => outcome,
        };
        (outcome, who)
    }

    /// After Teleport said that we may not submit this review. If it cannot take any, the rules judge where `auto`
    /// says so. Else it takes none for this person, and the rules are no way around that.
    async fn act_otherwise(&self, asked: &Asked, known: &mut Known) -> Outcome {
        if self.submitting.look().await == SubmitForUser::Possible {
            return Refusal::NotOnBehalf { user: known.person.user.clone() }.into();
        }
        match mode(self.setting, SubmitForUser::Impossible, &self.rules) {
            Some(Mode::Resolver) => {
                let outcome = self.act(asked, known, Some(Mode::Resolver)).await;
                outcome.unwrap_or(Outcome::Refused(Refusal::NotPossible))
            }
            Some(Mode::Reviewer) | None => Refusal::NotPossible.into(),
        }
    }

    async fn act(&self, asked: &Asked, known: &mut Known, mode: Option<Mode>) -> Result<Outcome, NotTaken> {
        for _ in 0..LOOKS {
            let verdict = decide(&Facts {
                mode,
                rules: &self.rules,
                listed: known.listed.as_ref(),
                record: &known.record,
                person: &known.person,
                groups: known.groups.as_deref().map_or(Groups::Unread, Groups::Read),
                decision: asked.decision,
                reason: asked.reason.as_deref().map_or(Reason::NotAsked, Reason::Given),
                channel: &asked.channel,
                ts: &asked.ts,
                now: Timestamp::now(),
            });
            let Some(request) = known.listed.as_ref() else {
                return Ok(match verdict {
                    Verdict::Refused(refusal) => refusal.into(),
                    _ => Refusal::Deleted.into(),
                });
            };
            match verdict {
                Verdict::Refused(refusal) => return Ok(refusal.into()),
                Verdict::ReadGroups => {
                    match within_reading(self.resolver.voters.groups(&known.person, request)).await {
                        Ok((groups, since)) => {
                            known.groups = Some(groups);
                            known.since = known.since.min(since);
                        }
                        Err(refusal) => return Ok(refusal.into()),
                    }
                }
                Verdict::AskReason { required } => return Ok(self.ask(asked, request, required).await),
                Verdict::SubmitReview { author, decision, reason } => {
                    let review = SubmitReview { id: asked.request.clone(), author, decision, reason };
                    return self.review(review).await;
                }
                Verdict::Vote(vote) => {
                    let groups = known.groups.clone().unwrap_or_default();
                    let voter = Voter { person: known.person.clone(), groups };
                    return Ok(self.vote(asked, request, vote, Read::of(voter, known.since)).await);
                }
                Verdict::Finish => {
                    if let Some(outcome) = self.finish_earlier(asked).await {
                        return Ok(outcome);
                    }
                    match within_reading(self.reader.read(asked)).await {
                        Ok(again) => *known = again,
                        Err(refusal) => return Ok(refusal.into()),
                    }
                }
            }
        }
        // What was read changed each time.
        Ok(Refusal::TooSlow.into())
    }

    async fn ask(&self, asked: &Asked, request: &AccessRequest, required: bool) -> Outcome {
        let dialogue = Dialogue {
            request: asked.request.clone(),
            decision: asked.decision,
            channel: asked.channel.clone(),
            ts: asked.ts.clone(),
            opened: Timestamp::now(),
            required,
            cluster: self.reader.clusters.own().clone(),
        };
        let (Some(view), Some(trigger)) = (reason_dialogue(request, &dialogue), &asked.trigger_id) else {
            return Refusal::NotOurs.into();
        };
        match self.slack.views_open(trigger, &view).await {
            Ok(()) => Outcome::Asking,
            Err(error) => {
                warn!(request = %asked.request, "The dialogue could not be opened: {}", error.with_remedy());
                Refusal::TooSlow.into()
            }
        }
    }

    async fn review(&self, review: SubmitReview) -> Result<Outcome, NotTaken> {
        let decision = review.decision;
        let reviewed = |request: &AccessRequest| {
            if request.state == decision.state() {
                Done::Resolved(decision)
            } else {
                Done::Reviewed(decision)
            }
        };
        match self.teleport.submit_review(&review, Timestamp::now()).await {
            Ok(request) => Ok(Outcome::Done(reviewed(&request))),
            Err(error) if error.is_ambiguous() => {
                let found = self.look(&review.id, |request| review.is_in(request)).await;
                Ok(Outcome::Done(found.as_ref().map_or(Done::Unsure(decision), reviewed)))
            }
            Err(error) => {
                let refusal = error.refusal();
                warn!(request = %review.id, "Teleport did not take the review: {}", crate::error::chain(&error));
                let outcome = match refusal {
                    Some(TeleportRefusal::NotSupported) => return Err(NotTaken),
                    Some(TeleportRefusal::AlreadyReviewed) => {
                        Refusal::AlreadyVoted { decision, in_slack: false }
                    }
                    Some(TeleportRefusal::AuthorUnknown) => {
                        Refusal::TeleportUserUnknown { user: review.author }
                    }
                    Some(TeleportRefusal::AuthorMayNotReview) => Refusal::MayNotReview,
                    Some(TeleportRefusal::LongTerm) => Refusal::LongTerm,
                    Some(TeleportRefusal::NotFound) => Refusal::Deleted,
                    Some(TeleportRefusal::AlreadyResolved) => self.resolved_meanwhile(&review.id).await,
                    _ => not_carried_out(&error),
                };
                Ok(outcome.into())
            }
        }
    }

    /// What became of a request that is not pending any more.
    async fn resolved_meanwhile(&self, id: &RequestId) -> Refusal {
        match self.teleport.get_request(id).await {
            Ok(Some(request)) => overtaken(request),
            Ok(None) => Refusal::Deleted,
            Err(_) => Refusal::TeleportRefused,
        }
    }

    /// Takes the vote by compare-and-swap, and resolves the request if it decides.
    async fn vote(&self, asked: &Asked, request: &AccessRequest, vote: Vote, mut read: Read) -> Outcome {
        let mut counted = None;
        let mut may_be_in = false;
        let (mut failures, mut reads) = (0, 0);
        let written = loop {
            let voters = read.voters();
            let written = modify_record(&self.teleport, &asked.request, |data| {
                let mut record = Record::decode(&asked.request, data).0;
                let result = cast(&mut record, &vote, request, &self.rules, voters);
                let changes = matches!(result, Cast::Counted(_) | Cast::Settled(_));
                counted = Some(result);
                changes.then(|| record.encode())
            })
            .await;
            failures += u32::from(written.is_err());
            may_be_in |= matches!(&written, Err(error) if error.kind() == Kind::Retry && counted.is_some());
            match &written {
                // It may be in: `cast` knows its own vote, so writing it again asks and tells.
                Err(error) if error.kind() == Kind::Retry && may_be_in && failures < WRITES => {
                    tokio::time::sleep(BETWEEN_LOOKS).await;
                }
                Ok(_) if let Some(Cast::Unread(accounts)) = &counted => {
                    reads += 1;
                    let accounts = accounts.clone();
                    let found = if reads > READS {
                        Err(Refusal::TooSlow)
                    } else {
                        self.resolver.voters.read(accounts, request, &mut read).await
                    };
                    if let Err(refusal) = found {
                        if !may_be_in {
                            return refusal.into();
                        }
                        // Perhaps it is in: the messages follow what is written.
                        let _ = self.wakes.try_send(asked.request.clone());
                        return Outcome::Done(Done::Unsure(vote.decision));
                    }
                }
                _ => break written,
            }
        };
        // The card counts votes, and a vote that decided is carried out by a visit if we cannot; a full channel
        // means that the request is looked at soon anyway.
        let _ = self.wakes.try_send(asked.request.clone());
        if let Err(error) = written {
            warn!(request = %asked.request, "A vote could not be recorded: {}", crate::error::chain(&error));
            return match error.kind() {
                Kind::NotFound => Refusal::Deleted.into(),
                _ if may_be_in => Outcome::Done(Done::Unsure(vote.decision)),
                Kind::Unauthorised => Refusal::TeleportForbids.into(),
                Kind::Unimplemented | Kind::Permanent => Refusal::TeleportRefused.into(),
                Kind::Retry | Kind::Conflict => Refusal::TeleportUnreachable.into(),
            };
        }
        match counted {
            Some(Cast::Counted(standing)) => Outcome::Done(Done::Counted(vote.decision, standing)),
            Some(Cast::Settled(_)) => self.finish_own(&asked.request, vote.decision, read).await,
            Some(Cast::AlreadyVoted(decision)) => Refusal::AlreadyVoted { decision, in_slack: true }.into(),
            Some(Cast::Overtaken(resolution)) => Refusal::AlreadyDecided {
                decision: resolution.decision,
                by: vec![resolution.delegator],
                reason: resolution.reason,
            }
            .into(),
            Some(Cast::Refused(refusal)) => refusal.into(),
            Some(Cast::Unusable | Cast::Unread(_)) | None => Refusal::VotesUnusable.into(),
        }
    }

    /// Carries out what the person's own vote decided.
    async fn finish_own(&self, id: &RequestId, decision: Decision, read: Read) -> Outcome {
        match self.resolver.finish(id, read).await {
            Ok(Finished::Out(resolution)) => Outcome::Done(Done::Resolved(resolution.decision)),
            Ok(Finished::Overtaken(request)) if request.state == decision.state() => {
                Outcome::Done(Done::Resolved(decision))
            }
            Ok(Finished::Overtaken(request)) => overtaken(*request).into(),
            Ok(Finished::Gone) => Refusal::Deleted.into(),
            Ok(Finished::Open(standing)) => Outcome::Done(Done::Counted(decision, standing)),
            Ok(Finished::Refused(refusal)) => refusal.into(),
            Err(Unfinished::Unread(_)) => Outcome::Done(Done::Unsure(decision)),
            Err(unfinished) => match self.unfinished(id, unfinished).await {
                Refusal::SecondFactor => Outcome::Done(Done::LacksSecondFactor(decision)),
                Refusal::TeleportForbids | Refusal::TeleportRefused => {
                    Outcome::Done(Done::NotCarriedOut(decision))
                }
                // A visit tries again.
                Refusal::TeleportUnreachable => Outcome::Done(Done::ToBeResolved(decision)),
                refusal => refusal.into(),
            },
        }
    }

    /// Carries out what others decided before, if it still holds. `None` if the person may vote now.
    async fn finish_earlier(&self, asked: &Asked) -> Option<Outcome> {
        match self.resolver.finish(&asked.request, Read::nothing()).await {
            Ok(Finished::Out(resolution)) if resolution.decision == asked.decision => {
                Some(Outcome::Done(Done::Resolved(asked.decision)))
            }
            Ok(Finished::Out(resolution)) => {
                let Resolution { decision, delegator, reason, .. } = resolution;
                Some(Refusal::AlreadyDecided { decision, by: vec![delegator], reason }.into())
            }
            Ok(Finished::Overtaken(request)) => Some(overtaken(*request).into()),
            Ok(Finished::Gone) => Some(Refusal::Deleted.into()),
            Ok(Finished::Open(_)) => None,
            Ok(Finished::Refused(refusal)) => Some(refusal.into()),
            Err(Unfinished::Decide(error)) if error.is_ambiguous() => {
                warn!(request = %asked.request, "It is not known whether the decision was carried out: {}", crate::error::chain(&error));
                Some(Outcome::Done(Done::Unsure(asked.decision)))
            }
            // The person's own vote is not in yet, so nothing may be said of it.
            Err(unfinished) => Some(self.unfinished(&asked.request, unfinished).await.into()),
        }
    }

    /// Why a decision that is recorded could not be carried out.
    async fn unfinished(&self, id: &RequestId, unfinished: Unfinished) -> Refusal {
        let error = match unfinished {
            Unfinished::Unread(refusal) => return refusal,
            Unfinished::Record(error) => DecideError::Failed(error),
            Unfinished::Decide(error) => error,
        };
        warn!(request = %id, "The decision is recorded and could not be carried out: {}", crate::error::chain(&error));
        match error.refusal() {
            Some(TeleportRefusal::AlreadyResolved) => self.resolved_meanwhile(id).await,
            Some(TeleportRefusal::NotFound) => Refusal::Deleted,
            _ => not_carried_out(&error),
        }
    }

    /// Looks a few times whether Teleport has what it did not confirm.
    async fn look(&self, id: &RequestId, is_there: impl Fn(&AccessRequest) -> bool) -> Option<AccessRequest> {
        for _ in 0..LOOKS {
            if let Ok(Some(request)) = self.teleport.get_request(id).await
                && is_there(&request)
            {
                return Some(request);
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        None
    }
}

impl Shift<Incoming> for Arc<Clicks> {
    type Who = Option<Sender>;

    fn who(&self, incoming: &Incoming) -> Option<Sender> {
        incoming.sender()
    }

    async fn work(self, incoming: Incoming) {
        match incoming {
            Incoming::Interaction(interaction) => Clicks::work(&self, *interaction).await,
            Incoming::Stray(sender) => {
                self.metrics.click(Click::Refused(&Refusal::NotOurs));
                self.answers.refuse(&sender, &Refusal::NotOurs).await;
            }
        }
    }

    async fn sorry(self, who: Option<Sender>) {
        if let Some(sender) = who {
            self.answers.refuse(&sender, &Refusal::Interrupted).await;
        }
    }
}

/// What was read, unless it took too long.
async fn within_reading<T>(reading: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    timeout(READING, reading).await.unwrap_or(Err(Refusal::TooSlow))
}

/// Teleport said that the daemon may not submit this review.
struct NotTaken;

/// What to tell of a decision that Teleport did not take, where no more particular sentence fits.
fn not_carried_out(error: &DecideError) -> Refusal {
    match (error.refusal(), error) {
        (Some(TeleportRefusal::MfaRequired), _) => Refusal::SecondFactor,
        (Some(TeleportRefusal::NotAdmitted(_) | TeleportRefusal::NotPermitted), _) => {
            Refusal::TeleportForbids
        }
        (Some(_), _) => Refusal::TeleportRefused,
        (None, DecideError::Failed(error)) => teleport_refusal(error),
        (None, _) => Refusal::TeleportUnreachable,
    }
}

/// What to tell of a request that is not pending any more.
fn overtaken(request: AccessRequest) -> Refusal {
    match Decision::of_state(request.state) {
        Some(decision) => {
            Refusal::AlreadyDecided { decision, by: Vec::new(), reason: request.resolve_reason }
        }
        None => match request.state {
            RequestState::Promoted => Refusal::Promoted,
            RequestState::Unknown(number) => Refusal::Newer(Newer::State(number)),
            _ => Refusal::TeleportRefused,
        },
    }
}
