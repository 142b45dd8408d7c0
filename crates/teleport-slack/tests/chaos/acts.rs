//! How the acts of a schedule are carried out: what people do, and what is broken.

use std::time::Duration;

use access_sim::breaker::Breaker;
use access_sim::slack::faults::FaultRule;
use access_sim::teleport::faults::{Ending, Times};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::refusal::Refusal;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use jiff::Timestamp;
use tonic::Code;

use crate::replica::Replica;
use crate::run::{Asked, Run};
use crate::schedule::{Act, Side};
use crate::support::deciding::Way;

/// How long a person waits for an answer.
const ANSWER: Duration = Duration::from_secs(30);

impl Run {
    pub(crate) async fn carry_out(&self, act: Act) {
        let result = match &act {
            Act::Click { request, by, copy, approve } => self.click(*request, by, *copy, *approve).await,
            Act::Line { replica, side, dead, lasts } => {
                self.diary.note(None, format!("{act:?}"));
                let line = match side {
                    Side::Teleport => &self.replicas[*replica].line,
                    Side::Slack => &self.line,
                };
                disturb(line, *dead, *lasts).await;
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
                let places = match role.strip_prefix("prod-") {
                    Some(number) => vec![format!("C0N{number}")],
                    None => vec!["C0TEAM".to_owned(), "U0BOB".to_owned()],
                };
                let asked = Asked { id: id.clone(), by, places, at: Timestamp::now(), is_over: false };
                self.asked.lock().unwrap().push(asked);
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
                // One at a time: faults of a method that is seldom called must not pile up to an outage without end.
                teleport.faults().clear_method(*method);
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

    async fn click(&self, request: usize, who: &str, copy: usize, approve: bool) -> String {
        let (id, place) = {
            let asked = self.asked.lock().unwrap();
            let Asked { id, places, .. } = &asked[request];
            (id.clone(), places[copy.min(places.len() - 1)].clone())
        };
        if self.way == Way::Http {
            // As a balancer before the replicas would: any that is there.
            let Some(url) = self.replicas.iter().find_map(Replica::callback_url) else {
                return "no replica takes callbacks".to_owned();
            };
            self.bed.slack.set_request_url(Some(&url));
        }
        let Some(card) = self.bed.cards(&place, &id).pop() else { return "sees no message".to_owned() };
        let button = if approve { "approve" } else { "deny" };
        let seen = match self.bed.slack.click(who, &card.channel, &card.ts, button).confirmed().await {
            Ok(seen) => seen,
            Err(cannot) => return cannot.to_string(),
        };
        if let Some(warning) = seen.warning() {
            return warning.to_string();
        }
        match seen.ephemeral_within(ANSWER).await {
            // Perhaps the answer to another click of theirs.
            Some(message) => format!("sees {:?}", message.text),
            None => "was told nothing".to_owned(),
        }
    }
}

/// Cuts or freezes a line for a while.
async fn disturb(line: &Breaker, dead: bool, lasts: Duration) {
    if dead {
        line.freeze();
        tokio::time::sleep(lasts).await;
        line.thaw();
    } else {
        line.cut().await;
        tokio::time::sleep(lasts).await;
        line.restore().await.unwrap();
    }
}

fn done(done: bool) -> String {
    if done { "over".to_owned() } else { "not now".to_owned() }
}

fn said<T>(result: Result<T, Refusal>) -> String {
    result.map_or_else(|refusal| format!("{refusal:?}"), |_| "done".to_owned())
}
