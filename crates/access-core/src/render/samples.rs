//! One of each kind of message and modal that has a layout, about a request that no user made: for a check of whether Slack
//! would show them. Thread replies and replies to clicks are plain text, which Slack shows always.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::Message;
use super::modal::{notice, reason_modal};
use super::request_message::{
    Controls, Edition, MessageInput, NoButtons, ReviewSection, request_message_with_review, shown_cluster,
};
use crate::domain::decision::Decision;
use crate::domain::ids::{ChannelId, MessageTs, RequestId};
use crate::domain::lifecycle::Phase;
use crate::domain::request::{AccessRequest, RequestKind, RequestState, Resource, Review, Threshold};
use crate::interaction::controls::ModalState;
use crate::policy::Tally;
use crate::policy::refusal::Refusal;

/// What is shown, and where.
#[derive(Clone, Debug)]
pub enum Sample {
    /// A message, in a channel or for one user.
    Message(Message),
    /// A modal, as `views.open` takes it.
    Modal(Value),
}

/// One of each kind, with its name.
pub fn samples() -> Vec<(&'static str, Sample)> {
    let request = request();
    let tally = Tally { approvals: 1, approvals_needed: 2, denials: 0, denials_needed: 1 };
    let mut all = Vec::new();
    for (name, phase, controls) in [
        ("request with buttons", Phase::Pending, Controls::Buttons { confirm: true }),
        ("request with a link", Phase::Pending, Controls::Link(NoButtons::TeleportOnly)),
        ("request without anything to press", Phase::Pending, Controls::None),
        ("approved request", Phase::Approved, Controls::None),
        ("denied request", Phase::Denied, Controls::None),
        ("promoted request", Phase::Promoted, Controls::None),
        ("expired request", Phase::Expired, Controls::None),
        ("deleted request", Phase::Deleted, Controls::None),
    ] {
        let edition = Edition::Enterprise { web_proxy: Some("teleport.example.com:443") };
        let input = MessageInput { request: &request, phase, cluster: "example", edition };
        let review = ReviewSection { controls, tally: Some(tally), votes: None, unnotified: None };
        all.push((name, Sample::Message(request_message_with_review(&input, &review))));
    }
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
    use super::*;

    #[test]
    fn there_is_a_sample_of_each_kind() {
        let all = samples();
        let names: Vec<_> = all.iter().map(|(name, _)| *name).collect();
        assert_eq!(names.len(), 11, "{names:?}");
        for (name, sample) in &all {
            match sample {
                Sample::Message(message) => assert!(!message.blocks().is_empty(), "{name}"),
                Sample::Modal(view) => assert_eq!(view["type"], "modal", "{name}"),
            }
        }
    }
}
