//! Carries out a schedule against a bed with one or more daemons, lets everything calm down, and judges.

use std::fmt::Write;
use std::sync::Mutex;
use std::time::Duration;

use access_sim::slack::faults::FaultRule;
use access_sim::teleport::faults::{Ending, Times};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::refusal::Refusal;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::time::Instant;
use tonic::Code;

use crate::diary::Diary;
use crate::judge::{Wrong, judge};
use crate::replica::Replica;
use crate::schedule::{Act, Timed, schedule};
use crate::settings::Settings;
use crate::support::deciding::{PLUGIN_RW, Way, crowd};
use crate::support::*;

/// When nothing goes wrong any more, everything must be true within this time: the longest waits that the daemon
/// allows itself after a few failures in a row are below it.
const CALM: Duration = Duration::from_secs(150);
/// And stay true for this long, in which every claim of a dead daemon lapses.
const HOLD: Duration = Duration::from_secs(15);
/// How long a person waits for an answer.
const ANSWER: Duration = Duration::from_secs(30);
/// A daemon at rest may have grown by this factor.
const GROWTH: u64 = 3;
/// Of admin requests two approvals are needed by the rule; everyone named may decide.
pub(crate) const REVIEW: &str = r#"
    mode = "resolver"
    [review.users]
    U0ALICE = "alice@example.com"
    U0BOB = "bob@example.com"
    U0CAROL = "carol@example.com"
    U0DAVE = "dave@example.com"
    [[review.rule]]
    roles = ["dba"]
    approvers = ["bob@example.com", "dave@example.com", "alice@example.com"]
    reason = "off"
    [[review.rule]]
    roles = ["admin"]
    approvers = ["bob@example.com", "dave@example.com", "alice@example.com"]
    approvals = 2
    reason = "off"
"#;

/// A request that was made.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) id: String,
    pub(crate) by: &'static str,
    pub(crate) at: Timestamp,
}

/// What a person was told after a click.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    pub(crate) request: usize,
    pub(crate) who: &'static str,
    pub(crate) text: String,
}

/// A run under way.
pub(crate) struct Run {
    pub(crate) bed: Bed,
    pub(crate) diary: Diary,
    pub(crate) asked: Mutex<Vec<Asked>>,
    pub(crate) told: Mutex<Vec<Told>>,
    replicas: Vec<Replica>,
    way: Way,
}

/// Does it all; the error is the story of what went wrong.
pub(crate) async fn run(settings: &Settings) -> Result<String, String> {
    let way = if settings.seed % 2 == 0 { Way::Http } else { Way::Socket };
    let bed = Bed::with(access_sim::teleport::Options::golden(), crowd()).await;
    bed.sign_as(PLUGIN_RW);
    bed.slack.set_socket_mode(way == Way::Socket);
    let starting = (1..=settings.replicas).map(|number| Replica::start(&bed, number, way, REVIEW));
    let replicas = futures_util::future::join_all(starting).await;
    let run =
        Run { diary: Diary::new(), asked: Mutex::default(), told: Mutex::default(), replicas, way, bed };
    let idle = run.resident().await;

    run.follow(&schedule(settings)).await;
    run.bed.slack.faults().clear();
    run.bed.teleport.faults().clear();
    run.diary.note(None, "--- everything works from now on".to_owned());
    let calm = Instant::now();
    let mut wrong = run.until_right().await;
    let took = calm.elapsed();
    if wrong.is_empty() {
        tokio::time::sleep(HOLD).await;
        wrong = judge(&run);
    }
    let full = run.resident().await;
    let grown = idle.iter().zip(&full).enumerate().filter(|(_, (idle, full))| *full > &(**idle * GROWTH));
    for (n, (idle, full)) in grown {
        wrong.push(Wrong::general(format!("replica {} grew from {idle} KiB to {full} KiB", n + 1)));
    }
    let mut logs = Vec::new();
    for replica in &run.replicas {
        let (past, complaints) = replica.finish().await;
        logs.extend(past.into_iter().map(|log| (replica.number, log)));
        wrong.extend(complaints.into_iter().map(Wrong::general));
    }
    let asked = run.asked.lock().unwrap().clone();
    let summary = format!(
        "{} requests, {} messages, {} calls, {} answers to clicks, {} lives of {} replicas by {way:?}; true after {:.1} s; \
         KiB resident {idle:?} -> {full:?}",
        asked.len(),
        run.bed.slack.all_messages().len(),
        run.bed.order.count(),
        run.told.lock().unwrap().len(),
        logs.len(),
        settings.replicas,
        took.as_secs_f32(),
    );
    if wrong.is_empty() {
        return Ok(summary);
    }
    let mut story =
        format!("{} things are wrong; again with\n  {}\n{summary}\n", wrong.len(), settings.command());
    for wrong in wrong.iter().take(30) {
        writeln!(story, "- {wrong}").unwrap();
    }
    let mut told: Vec<_> = wrong.iter().filter_map(|wrong| wrong.request).collect();
    told.dedup();
    for number in told.into_iter().take(2) {
        let one = run.diary.story(&run.bed, number, &asked[number], &logs);
        writeln!(story, "\nThe story of request {number}, {}:\n{one}", asked[number].id).unwrap();
    }
    Err(story)
}

impl Run {
    async fn follow(&self, schedule: &[Timed]) {
        let begun = Instant::now();
        let mut under_way = FuturesUnordered::new();
        for timed in schedule {
            let due = tokio::time::sleep_until(begun + timed.at);
            tokio::pin!(due);
            loop {
                tokio::select! {
                    () = &mut due => break,
                    Some(()) = under_way.next() => {}
                }
            }
            under_way.push(self.carry_out(timed.act.clone()));
        }
        while under_way.next().await.is_some() {}
    }

    /// Waits until nothing is wrong any more, or long enough; returns what still is.
    async fn until_right(&self) -> Vec<Wrong> {
        let deadline = Instant::now() + CALM;
        loop {
            let wrong = judge(self);
            if wrong.is_empty() || Instant::now() > deadline {
                return wrong;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    async fn resident(&self) -> Vec<u64> {
        futures_util::future::join_all(self.replicas.iter().map(Replica::resident_kib)).await
    }

    fn id(&self, request: usize) -> String {
        self.asked.lock().unwrap()[request].id.clone()
    }

    async fn carry_out(&self, act: Act) {
        let result = match &act {
            Act::Click { request, by, place, approve } => self.click(*request, by, place, *approve).await,
            Act::Line { replica, side, dead, lasts } => {
                self.diary.note(None, format!("{act:?}"));
                self.replicas[*replica].disturb(*side, *dead, *lasts).await;
                "the line is back".to_owned()
            }
            Act::End { replica, signal, away } => {
                self.diary.note(None, format!("{act:?}"));
                done(self.replicas[*replica].end(signal, *away).await)
            }
            Act::Pause { replica, lasts } => {
                self.diary.note(None, format!("{act:?}"));
                done(self.replicas[*replica].pause(*lasts).await)
            }
            Act::EndWatches { losing, after } => {
                self.bed.teleport.faults().drop_events(Times::Next(*losing));
                tokio::time::sleep(*after).await;
                self.bed.teleport.faults().drop_events(Times::Next(0));
                let refusal = Refusal::new(Code::Unavailable, "the cache is being rebuilt");
                self.bed.teleport.faults().end_watches(&Ending::Error(refusal));
                String::new()
            }
            _ => self.at_once(&act),
        };
        self.diary.note(self.about(&act), format!("{act:?} {result}"));
    }

    /// The request that a line of the diary is about.
    fn about(&self, act: &Act) -> Option<usize> {
        match act {
            Act::Ask { .. } => Some(self.asked.lock().unwrap().len() - 1),
            _ => act.request(),
        }
    }

    fn at_once(&self, act: &Act) -> String {
        let (teleport, slack) = (&self.bed.teleport, &self.bed.slack);
        match act {
            Act::Ask { by, role, expires } => {
                let new = NewRequest { pending_ttl: *expires, ..NewRequest::roles(&[role], "because") };
                let id = teleport.request_access(by, new).unwrap();
                self.asked.lock().unwrap().push(Asked { id: id.clone(), by, at: Timestamp::now() });
                id
            }
            Act::Review { request, by, approve } => {
                let decision = if *approve { Decision::Approve } else { Decision::Deny };
                said(teleport.review(by, &self.id(*request), decision, "looked at"))
            }
            Act::Resolve { request, approve } => {
                let state = if *approve { RequestState::Approved } else { RequestState::Denied };
                // Nobody changes what is decided.
                match teleport.request(&self.id(*request)) {
                    Some(now) if now.state == RequestState::Pending => {
                        said(teleport.set_state(TCTL, &self.id(*request), state, "by hand", ""))
                    }
                    _ => "too late".to_owned(),
                }
            }
            Act::Delete { request } => said(teleport.delete(TCTL, &self.id(*request))),
            Act::Slack { method, fault, after_work, calls } => {
                let rule = FaultRule::new(method, fault.clone()).times(*calls);
                slack.faults().add(if *after_work { rule.after_work() } else { rule });
                String::new()
            }
            Act::Teleport { method, fault, calls } => {
                teleport.faults().script(*method, fault.clone(), Times::Next(*calls));
                String::new()
            }
            Act::Conflicts { calls } => {
                teleport.faults().conflict_updates(*calls);
                String::new()
            }
            Act::Click { .. }
            | Act::Line { .. }
            | Act::End { .. }
            | Act::Pause { .. }
            | Act::EndWatches { .. } => String::new(),
        }
    }

    async fn click(&self, request: usize, who: &'static str, place: &str, approve: bool) -> String {
        let id = self.id(request);
        if self.way == Way::Http {
            // As a balancer before the replicas would: any that is there.
            let Some(url) = self.replicas.iter().find_map(Replica::callback_url) else {
                return "no replica takes callbacks".to_owned();
            };
            self.bed.slack.set_request_url(Some(&url));
        }
        let Some(card) = self.bed.cards(place, &id).pop() else { return "sees no message".to_owned() };
        let button = if approve { "approve" } else { "deny" };
        let seen = match self.bed.slack.click(who, &card.channel, &card.ts, button).confirmed().await {
            Ok(seen) => seen,
            Err(cannot) => return cannot.to_string(),
        };
        if let Some(warning) = seen.warning() {
            return warning.to_string();
        }
        match seen.ephemeral_within(ANSWER).await {
            Some(message) => {
                let text = message.text;
                self.told.lock().unwrap().push(Told { request, who, text: text.clone() });
                text
            }
            None => "was told nothing".to_owned(),
        }
    }
}

fn done(done: bool) -> String {
    if done { "over".to_owned() } else { "not now".to_owned() }
}

fn said<T>(result: Result<T, Refusal>) -> String {
    result.map_or_else(|refusal| format!("{refusal:?}"), |_| "done".to_owned())
}
