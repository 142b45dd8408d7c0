//! What must hold after the faults of a run: for every request, every vote and every reply to a user.

use access_sim::slack::call_log::Call;
use access_sim::teleport::audit::{AuditEvent, AuditKind};
use access_sim::teleport::request::RequestState;
use serde_json::Value;

use crate::chaos::observed::{ExpectedState, ObservedMessages};
use crate::chaos::run::{CreatedRequest, Run};
use crate::harness::*;

/// A difference from what must hold.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The number of the request, if it concerns one.
    pub(crate) request: Option<usize>,
    what: String,
}

impl Violation {
    pub(crate) fn without_request(what: String) -> Self {
        Self { request: None, what }
    }
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.request {
            Some(number) => write!(f, "request {number}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

/// All current violations.
pub(crate) fn find_violations(run: &Run) -> Vec<Violation> {
    let observed = ObservedMessages::of(&run.bed);
    let asked = run.requests.lock().clone();
    let audit = run.bed.teleport.audit();
    let answers = run.bed.slack.calls_of("response_url");
    let mut wrong = Vec::new();
    for (number, asked) in asked.iter().enumerate().filter(|(_, asked)| !asked.is_finished) {
        let decided: Vec<_> = audit
            .iter()
            .filter(|line| line.request_id == asked.id && line.kind != AuditKind::Create)
            .collect();
        let votes = votes(field(&run.bed.record(&asked.id), "x_votes"));
        let mut what = check_messages(run, asked, &decided, &votes, &observed);
        what.extend(check_decisions(run, asked, &decided, &votes));
        let here = |call: &&Call, ts: &str| {
            observed
                .for_request(&asked.id)
                .iter()
                .any(|entry| entry.message.ts == ts && call.channel.as_ref() == Some(&entry.message.channel))
        };
        for call in &answers {
            if let Some(answered) = call.answers.as_ref().filter(|answered| here(&call, &answered.ts)) {
                let text = call.arguments.get("text").and_then(Value::as_str).unwrap_or_default();
                what.extend(check_reply(asked, &answered.user, text, &decided, &votes));
            }
        }
        wrong.extend(what.into_iter().map(|what| Violation { request: Some(number), what }));
    }
    wrong
}

/// The votes in a record.
#[derive(Debug, Default)]
struct Votes {
    users: Vec<String>,
    decided: bool,
}

fn votes(text: &str) -> Votes {
    let json: Value = serde_json::from_str(text).unwrap_or_default();
    let list = json["l"].as_array().cloned().unwrap_or_default();
    let users = list.iter().filter_map(|vote| vote["u"].as_str().map(str::to_owned)).collect();
    Votes { users, decided: !json["s"].is_null() }
}

fn check_messages(
    run: &Run,
    asked: &CreatedRequest,
    decided: &[&AuditEvent],
    votes: &Votes,
    observed: &ObservedMessages,
) -> Vec<String> {
    let listed = run.bed.teleport.request(&asked.id);
    // The last state of a request that is gone; the daemon may have been down and have missed it.
    let last = decided.last().map_or(RequestState::Pending, |line| line.state);
    let statuses: &[&str] = match (listed.as_ref().map(|request| request.state), last) {
        (Some(RequestState::Pending), _) => &["⏳ PENDING"],
        (Some(RequestState::Approved), _) => &["✅ APPROVED"],
        (Some(RequestState::Denied), _) => &["❌ DENIED"],
        (Some(RequestState::Promoted), _) => &["⏫ PROMOTED"],
        (None, RequestState::Approved) => &["✅ APPROVED", "⌛ EXPIRED"],
        (None, RequestState::Denied) => &["❌ DENIED", "⌛ EXPIRED"],
        (None, RequestState::Pending | RequestState::Promoted) => &["⌛ EXPIRED"],
    };
    let reviewers = decided.iter().filter_map(|line| line.reviewer.clone());
    let reviews = reviewers.map(|author| format!("{author} reviewed the request at"));
    let voted = votes.users.iter().map(|user| format!("{user} reviewed the request in Slack"));
    let is_pending = listed.as_ref().is_some_and(|request| request.state == RequestState::Pending);
    let destinations: Vec<_> = asked.destinations.iter().map(String::as_str).collect();
    let expected = ExpectedState {
        id: &asked.id,
        destinations: &destinations,
        statuses,
        has_buttons: is_pending,
        replies: reviews.chain(voted).collect(),
        must_exist: listed.is_some(),
    };
    expected.violations(&run.bed, observed)
}

/// Whether `user` may decide in Slack on a request of `requester`.
fn may_decide(user: &str, requester: &str) -> bool {
    ["bob@example.com", "dave@example.com", "alice@example.com"].contains(&user) && user != requester
}

fn check_decisions(run: &Run, asked: &CreatedRequest, decided: &[&AuditEvent], votes: &Votes) -> Vec<String> {
    let mut wrong = Vec::new();
    let ours: Vec<_> = decided.iter().filter(|line| line.delegator.is_some()).collect();
    for line in &ours {
        let annotated = line.annotations.get("teleport_users").cloned().unwrap_or_default();
        for user in line.delegator.iter().chain(&annotated).filter(|user| !may_decide(user, asked.requester))
        {
            wrong.push(format!("{user} decided, who may not"));
        }
        for user in annotated.iter().filter(|user| !votes.users.contains(user)) {
            wrong.push(format!("{user} is named in Teleport's audit log and did not vote"));
        }
    }
    if ours.iter().any(|line| line.state != ours[0].state) {
        wrong.push("was decided in Slack both ways".to_owned());
    }
    for user in votes.users.iter().filter(|user| !may_decide(user, asked.requester)) {
        wrong.push(format!("{user} voted, who may not"));
    }
    let listed = run.bed.teleport.request(&asked.id);
    if votes.decided && listed.is_some_and(|request| request.state == RequestState::Pending) {
        wrong.push("the votes decided and Teleport does not know".to_owned());
    }
    wrong
}

/// Whether the reply to `slack_user` about their own decision is true.
fn check_reply(
    asked: &CreatedRequest,
    slack_user: &str,
    text: &str,
    decided: &[&AuditEvent],
    votes: &Votes,
) -> Vec<String> {
    let user = format!("{}@example.com", slack_user.trim_start_matches("U0").to_lowercase());
    let says = |words: &str| text.contains(words);
    if !says("counts: ") && !says(" is recorded") && !text.starts_with("The request is ") {
        return Vec::new();
    }
    let mut wrong = Vec::new();
    if !may_decide(&user, asked.requester) {
        wrong.push(format!("{user}, who may not decide, got the reply {text:?}"));
    }
    let names = |line: &&&AuditEvent| {
        line.delegator.as_ref() == Some(&user)
            || line.annotations.get("teleport_users").is_some_and(|users| users.contains(&user))
    };
    if !votes.users.contains(&user) && !decided.iter().any(|line| names(&line)) {
        wrong.push(format!("{user} got the reply {text:?} and there is no such vote"));
    }
    wrong
}
