//! Works on one interaction after the other's acknowledgement: who is this, may he, then do it, then answer.
//!
//! Everything a verdict depends on is read afresh. The verdict is `access_core::policy`'s; what is sent to Teleport
//! is confirmed by Teleport before anybody is told. Whatever happens, the person gets one answer.

use std::sync::Arc;
use std::time::Duration;

use access_core::control::{Decision, Dialogue};
use access_core::ids::RequestId;
use access_core::interaction::{Foreign, Interaction, OurApp, Sender, came_through};
use access_core::policy::{
    Cast, Facts, Mode, ModeSetting, Reason, Resolution, Rules, SubmitForUser, Verdict, cast, decide, fresh,
    mode,
};
use access_core::record::Record;
use access_core::refusal::Refusal;
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
use super::reading::{BETWEEN_LOOKS, Known, LOOKS, Reader};
use super::resolution::{Carried, carry_out};
use super::shifts::{Shift, work_on};
use super::submitting::Submitting;
use crate::observe::metrics::{Click, Metrics};
use crate::slack;
use crate::teleport;
use crate::teleport::decide::SubmitReview;
use crate::teleport::error::Kind;
use crate::teleport::record::modify_record;
use crate::teleport::refusal::Refusal as TeleportRefusal;

/// How long reading everything a verdict needs may take; after it nothing was decided.
const READING: Duration = Duration::from_secs(10);
/// A vote that may or may not have been recorded is written this often.
const WRITES: u32 = 2;

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
        let known = match timeout(READING, self.reader.read(asked)).await {
            Ok(Ok(known)) => known,
            Ok(Err(refusal)) => return (refusal.into(), None),
            Err(_) => return (Refusal::TooSlow.into(), None),
        };
        let who = Some(known.person.user.clone());
        let submit = self.submitting.known();
        let outcome = match self.act(asked, &known, mode(self.setting, submit, &self.rules)).await {
            Err(NotTaken) => self.act_otherwise(asked, &known).await,
            Ok(outcome) => outcome,
        };
        (outcome, who)
    }

    /// After Teleport said that we may not submit this review. If it cannot take any, the rules judge where `auto`
    /// says so. Else it takes none for this person, and the rules are no way around that.
    async fn act_otherwise(&self, asked: &Asked, known: &Known) -> Outcome {
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

    async fn act(&self, asked: &Asked, known: &Known, mode: Option<Mode>) -> Result<Outcome, NotTaken> {
        let verdict = decide(&Facts {
            mode,
            rules: &self.rules,
            listed: known.listed.as_ref(),
            record: &known.record,
            person: &known.person,
            groups: &known.groups,
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
        Ok(match verdict {
            Verdict::Refused(refusal) => refusal.into(),
            Verdict::AskReason { required } => self.ask(asked, request, required).await,
            Verdict::SubmitReview { author, decision, reason } => {
                self.review(SubmitReview { id: asked.request.clone(), author, decision, reason }).await?
            }
            Verdict::Vote(vote) => self.vote(asked, request, vote).await,
            Verdict::Resolve(resolution) => self.resolve(&asked.request, &resolution).await,
        })
    }

    async fn ask(&self, asked: &Asked, request: &AccessRequest, required: bool) -> Outcome {
        let dialogue = Dialogue {
            request: asked.request.clone(),
            decision: asked.decision,
            channel: asked.channel.clone(),
            ts: asked.ts.clone(),
            opened: Timestamp::now(),
            required,
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
                    Some(_) => Refusal::TeleportRefused,
                    None => Refusal::TeleportUnreachable,
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
    async fn vote(&self, asked: &Asked, request: &AccessRequest, vote: Vote) -> Outcome {
        let mut counted = None;
        let mut may_be_in = false;
        let mut tries = 0;
        let written = loop {
            let written = modify_record(&self.teleport, &asked.request, |data| {
                let mut record = Record::decode(&asked.request, data).0;
                let result = cast(&mut record, &vote, request, &self.rules);
                let changes = matches!(result, Cast::Counted(_) | Cast::Settled(_));
                counted = Some(result);
                changes.then(|| record.encode())
            })
            .await;
            tries += 1;
            may_be_in |= matches!(&written, Err(error) if error.kind() == Kind::Retry && counted.is_some());
            match &written {
                // It may be in: `cast` knows its own vote, so writing it again asks and tells.
                Err(error) if error.kind() == Kind::Retry && may_be_in && tries < WRITES => {
                    tokio::time::sleep(BETWEEN_LOOKS).await;
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
                Kind::Unauthorised | Kind::Unimplemented | Kind::Permanent => Refusal::TeleportRefused.into(),
                Kind::Retry | Kind::Conflict => Refusal::TeleportUnreachable.into(),
            };
        }
        match counted {
            Some(Cast::Counted(standing)) => Outcome::Done(Done::Counted(vote.decision, standing)),
            Some(Cast::Settled(resolution)) => self.resolve(&asked.request, &resolution).await,
            Some(Cast::AlreadyVoted(decision)) => Refusal::AlreadyVoted { decision, in_slack: true }.into(),
            Some(Cast::Overtaken(resolution)) => Refusal::AlreadyDecided {
                decision: resolution.decision,
                by: vec![resolution.delegator],
                reason: resolution.reason,
            }
            .into(),
            Some(Cast::Unusable) | None => Refusal::VotesUnusable.into(),
        }
    }

    async fn resolve(&self, id: &RequestId, resolution: &Resolution) -> Outcome {
        let error = match carry_out(&self.teleport, id, resolution).await {
            Ok(Carried::Out) => return Outcome::Done(Done::Resolved(resolution.decision)),
            Ok(Carried::Overtaken(request)) => return overtaken(*request).into(),
            Ok(Carried::Gone) => return Refusal::Deleted.into(),
            Err(error) => error,
        };
        warn!(request = %id, "The decision is recorded and could not be carried out: {}", crate::error::chain(&error));
        match error.refusal() {
            Some(TeleportRefusal::AlreadyResolved) => self.resolved_meanwhile(id).await.into(),
            Some(TeleportRefusal::NotFound) => Refusal::Deleted.into(),
            Some(_) => Outcome::Done(Done::NotCarriedOut(resolution.decision)),
            // A visit tries again.
            None => Outcome::Done(Done::ToBeResolved(resolution.decision)),
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

/// Teleport said that the daemon may not submit this review.
struct NotTaken;

/// What to tell of a request that is not pending any more.
fn overtaken(request: AccessRequest) -> Refusal {
    match Decision::of_state(request.state) {
        Some(decision) => {
            Refusal::AlreadyDecided { decision, by: Vec::new(), reason: request.resolve_reason }
        }
        None if request.state == RequestState::Promoted => Refusal::Promoted,
        None => Refusal::TeleportRefused,
    }
}
