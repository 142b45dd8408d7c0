//! One of each kind of message and modal that has a layout, about a request that no user made: for a check of whether Slack
//! would show them. Thread replies and replies to clicks are plain text, which Slack shows always.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Message;
use super::modal::{notice, reason_modal};
use super::request_message::{
    Controls, Edition, MessageInput, ReviewSection, request_message, request_message_with_review,
    shown_cluster,
};
use crate::domain::decision::Decision;
use crate::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::UnnotifiedReviewers;
use crate::domain::request::{AccessRequest, RequestKind, RequestState, Resource, Review, Threshold};
use crate::interaction::controls::ModalState;
use crate::policy::Tally;
use crate::policy::refusal::Refusal;
use crate::record::votes::{Vote, Votes};

/// What is shown, and where.
#[derive(Clone, Debug)]
pub enum Sample {
    /// A message, in a channel or for one user.
    Message(Message),
    /// A modal, as `views.open` takes it.
    Modal(Value),
}

/// One of each kind, with its name. A message about a request that waits has all that it can have: votes, and reviewers who
/// could not be notified.
pub fn samples() -> Vec<(&'static str, Sample)> {
    let request = request();
    let tally = Tally { approvals: 1, approvals_needed: 2, denials: 0, denials_needed: 1 };
    let (votes, unnotified) = (votes(), unnotified());
    let edition = Edition::Enterprise { web_proxy: Some("teleport.example.com:443") };
    let input = |phase| MessageInput { request: &request, phase, cluster: "example", edition };
    let mut all = Vec::new();
    for phase in Phase::ALL {
        let shown = Controls::ALL_KINDS.into_iter().filter(|controls| match controls {
            Controls::Buttons { .. } | Controls::Link(_) => phase == Phase::Pending,
            Controls::None => phase != Phase::Pending,
        });
        for controls in shown {
            let (votes, unnotified) = (Some(&votes), Some(&unnotified));
            let review = ReviewSection { controls, tally: Some(tally), votes, unnotified };
            let message = request_message_with_review(&input(phase), &review);
            all.push((name(phase, controls), Sample::Message(message)));
        }
    }
    // Where users do not decide in Slack.
    let message = request_message(&input(Phase::Pending));
    all.push((name(Phase::Pending, Controls::None), Sample::Message(message)));
    for (name, decision, required) in
        [("modal to approve", Decision::Approve, false), ("modal to deny", Decision::Deny, true)]
    {
        let modal = reason_modal(&request, &modal_state(&request, decision, required));
        all.extend(modal.map(|modal| (name, Sample::Modal(json!(modal)))));
    }
    all.extend(
        notice(&Refusal::Expired)
            .get("view")
            .map(|view| ("modal with a notice", Sample::Modal(view.clone()))),
    );
    all
}

/// What the message about a request is called.
fn name(phase: Phase, controls: Controls<'_>) -> &'static str {
    match (phase, controls) {
        (_, Controls::Buttons { confirm: true }) => "request with buttons that ask",
        (_, Controls::Buttons { confirm: false }) => "request with buttons",
        (_, Controls::Link(_)) => "request with a link",
        (Phase::Pending, Controls::None) => "request without anything to press",
        (Phase::Approved, Controls::None) => "approved request",
        (Phase::Denied, Controls::None) => "denied request",
        (Phase::Promoted, Controls::None) => "promoted request",
        (Phase::Expired, Controls::None) => "expired request",
        (Phase::Deleted, Controls::None) => "deleted request",
        (Phase::Unknown, Controls::None) => "request in an unknown state",
    }
}

fn votes() -> Votes {
    let mut votes = Votes::default();
    votes.push(&Vote {
        user: "bob".to_owned(),
        slack_user: SlackUserId::new("U012AB3CD"),
        team: None,
        channel: ChannelId::new("C012AB3CD"),
        ts: MessageTs::new("1795363190.000001"),
        decision: Decision::Approve,
        reason: "fine".to_owned(),
        at: at(60).unwrap_or_default(),
        groups: Vec::new(),
        aliases: Vec::new(),
        ineligible: false,
    });
    votes
}

fn unnotified() -> UnnotifiedReviewers {
    let mut unnotified = UnnotifiedReviewers::default();
    unnotified.push("carol");
    unnotified
}

fn at(second: i64) -> Option<Timestamp> {
    Timestamp::from_second(1_800_000_000 + second).ok()
}

fn request() -> AccessRequest {
    AccessRequest {
        id: RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807"),
        user: "alice".to_owned(),
        roles: vec!["dba".to_owned()],
        state: RequestState::Pending,
        reason: "to see whether Slack would show this".to_owned(),
        resolve_reason: "because".to_owned(),
        created: at(0),
        access_until: at(28_800),
        expires: at(3_600),
        assume_start: None,
        thresholds: vec![Threshold {
            name: "default".to_owned(),
            filter: String::new(),
            approve: 2,
            deny: 1,
        }],
        reviews: vec![Review {
            author: "bob".to_owned(),
            proposed: RequestState::Approved,
            reason: "fine".to_owned(),
            created: at(60),
        }],
        suggested_reviewers: vec!["bob".to_owned()],
        resources: vec![Resource {
            cluster: "example".to_owned(),
            kind: "node".to_owned(),
            name: "db-1".to_owned(),
            sub_resource: String::new(),
        }],
        kind: RequestKind::ShortTerm,
        promoted_to: None,
        version: None,
    }
}

fn modal_state(request: &AccessRequest, decision: Decision, required: bool) -> ModalState {
    ModalState {
        request: request.id.clone(),
        decision,
        channel: ChannelId::new("C012AB3CD"),
        ts: MessageTs::new("1795363190.000001"),
        opened_at: at(100).unwrap_or_default(),
        required,
        cluster: shown_cluster("example"),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;
    use crate::policy::CurrentState;
    use crate::render::answers::{Names, all_accepted, all_refusals, answers};
    use crate::render::late::{Answer, Click};
    use crate::render::modal::{keep_open, reason_missing};
    use crate::render::request_message::fallback_message;
    use crate::render::thread_reply::{review_reply, vote_reply};

    /// Those whose result has no layout, so that there is nothing to judge: [`texts`] and [`reason_missing`] below.
    const WITHOUT_LAYOUT: [&str; 10] = [
        "accepted",
        "answers",
        "fallback_message",
        "keep_open",
        "message",
        "message_later",
        "reason_missing",
        "refused",
        "review_reply",
        "vote_reply",
    ];

    /// The functions that make what Slack shows, and the source of this file without its tests.
    #[expect(clippy::disallowed_methods, reason = "the test reads the sources; the crate reads no file")]
    fn makers() -> (BTreeSet<String>, String) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/render");
        let (mut names, mut own) = (BTreeSet::new(), String::new());
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "rs") {
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            let source = source.split("#[cfg(test)]\nmod tests").next().unwrap();
            if path.ends_with("samples.rs") {
                own = source.to_owned();
                continue;
            }
            for function in source.split("pub fn ").skip(1) {
                let head = function.split('{').next().unwrap();
                let (name, rest) = head.split_once(['(', '<']).unwrap();
                let made = rest.rsplit_once("-> ").map_or("", |(_, made)| made);
                if ["Message", "View", "Value"].iter().any(|shown| made.contains(shown)) {
                    names.insert(name.to_owned());
                }
            }
        }
        (names, own)
    }

    #[test]
    fn whatever_makes_a_message_or_modal_has_a_sample_or_no_layout() {
        let (makers, own) = makers();
        let without: BTreeSet<_> = WITHOUT_LAYOUT.map(str::to_owned).into();
        assert_eq!(makers.intersection(&without).count(), without.len(), "{makers:?}");
        let forgotten: Vec<_> =
            makers.difference(&without).filter(|name| !own.contains(&format!("{name}("))).collect();
        assert!(
            forgotten.is_empty(),
            "give {forgotten:?} a sample, or, if they have no layout, a text below"
        );
    }

    #[test]
    fn replies_and_answers_are_texts_without_a_layout() {
        let request = request();
        let deciders = ["bob".to_owned()];
        let names = Names {
            user: "bob",
            other_case: "BOB",
            role: "dba",
            deciders: &deciders,
            reason: "fine",
            cluster: "example",
            other_cluster: "other",
        };
        let tally = Tally { approvals: 1, approvals_needed: 2, denials: 1, denials_needed: 2 };
        let mut texts: Vec<_> = answers(&names, tally).into_iter().map(|(_, message)| message).collect();
        texts.extend(request.reviews.iter().map(review_reply));
        texts.extend(votes().list().iter().map(vote_reply));
        for phase in Phase::ALL {
            let edition = Edition::Enterprise { web_proxy: Some("teleport.example.com:443") };
            texts.push(fallback_message(&MessageInput {
                request: &request,
                phase,
                cluster: "example",
                edition,
            }));
        }
        let click = Click { request: Some(&request.id), at: at(0).unwrap(), may_be_answered: true };
        let accepted = all_accepted(tally).into_iter().map(Answer::Accepted);
        for answer in accepted.chain(all_refusals(&names).into_iter().map(Answer::Refused)) {
            texts.push(answer.message());
            let closed = CurrentState::Closed(Refusal::Expired);
            for state in [CurrentState::Open, closed, CurrentState::Unknown] {
                texts.push(answer.message_later(click, &state));
            }
        }
        for message in texts {
            assert!(message.blocks().is_empty(), "{}", message.text());
        }
        for answer in [reason_missing(), keep_open(&Refusal::Expired)] {
            assert_eq!(answer["response_action"], "errors");
        }
    }

    #[test]
    fn each_sample_has_a_layout_and_a_name_of_its_own() {
        let all = samples();
        let names: BTreeSet<_> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), all.len(), "{names:?}");
        for phase in Phase::ALL {
            let is_shown = Controls::ALL_KINDS.iter().any(|controls| names.contains(name(phase, *controls)));
            assert!(is_shown, "{phase:?}");
        }
        for (name, sample) in &all {
            match sample {
                Sample::Message(message) => assert!(!message.blocks().is_empty(), "{name}"),
                Sample::Modal(view) => assert_eq!(view["type"], "modal", "{name}"),
            }
        }
        let Sample::Message(longest) = &all[0].1 else { panic!("{}", all[0].0) };
        let shown = json!(longest).to_string();
        assert!(shown.contains("carol"), "{shown}");
    }
}
