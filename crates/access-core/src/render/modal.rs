//! The modal that asks for a reason, and the correction if a required one is missing.
//!
//! When it is shown is [`crate::policy`]'s decision; what comes back is read by [`crate::interaction`].

use serde_json::{Value, json};

use super::blocks::Block;
use super::elements::{Input, Plain};
use super::ephemeral::{refused, refused_text};
use super::mrkdwn::{ListLimits, Mrkdwn};
use super::view::View;
use crate::domain::decision::Decision;
use crate::domain::request::AccessRequest;
use crate::interaction::controls::{ModalState, REASON};
use crate::policy::refusal::Refusal;

const MAX_USER: usize = 256;
const MAX_REASON: usize = 1_400;
const ROLES: ListLimits = ListLimits { separator: ", ", items: 50, each: 128, total: 900 };

/// The modal for a decision on `request`; `None` if an id is not one that Slack or Teleport gives.
pub fn reason_modal(request: &AccessRequest, state: &ModalState) -> Option<View> {
    let title = match state.decision {
        Decision::Approve => "Approve the request",
        Decision::Deny => "Deny the request",
    };
    let mut subject = Mrkdwn::default();
    subject.trusted("*User*: ").untrusted(&request.user, MAX_USER);
    subject.trusted("\n*Role(s)*: ").list(&request.roles, ROLES);
    if !request.reason.trim().is_empty() {
        subject.trusted("\n*Reason*: ").untrusted(&request.reason, MAX_REASON);
    }
    let label = match state.decision {
        Decision::Approve => "Why do you approve it?",
        Decision::Deny => "Why do you deny it?",
    };
    let hint = Plain::of("Shown in this thread and, with the decision, kept in Teleport's audit log.");
    let input = Input::reason(Plain::of(label), hint, state.required);
    View::reason(state, Plain::of(title), vec![Block::section(subject), Block::Input(input)])
}

/// The answer to a submission without the reason that it needs, as Slack wants it in the response: the modal stays
/// open and says so at its input.
pub fn reason_missing() -> Value {
    json!({"response_action": "errors", "errors": {REASON: "This role cannot be decided without a reason."}})
}

/// The answer to a submission that is not taken: the modal turns into the sentence, and holds nothing to send.
pub fn notice(refusal: &Refusal) -> Value {
    let view = View::notice(Plain::of("Nothing was decided"), vec![Block::section(refused_text(refusal))]);
    json!({"response_action": "update", "view": view})
}

/// The answer to a submission that cannot be taken now: the modal stays open with what was typed.
pub fn keep_open(refusal: &Refusal) -> Value {
    json!({"response_action": "errors", "errors": {REASON: refused(refusal).text()}})
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;
    use crate::domain::ids::{ChannelId, MessageTs, RequestId};
    use crate::domain::request::sample;
    use crate::render::request_message::shown_cluster;

    fn modal_state(decision: Decision) -> ModalState {
        ModalState {
            request: sample().id,
            decision,
            channel: ChannelId::new("C0TEAM"),
            ts: MessageTs::new("1795363190.000001"),
            opened_at: Timestamp::from_second(1_800_000_000).unwrap(),
            required: true,
            cluster: shown_cluster("one.example.com"),
        }
    }

    #[test]
    fn the_modal_serializes_as_slack_expects() {
        let view = reason_modal(&sample(), &modal_state(Decision::Deny)).unwrap();
        insta::assert_snapshot!(serde_json::to_string(&view).unwrap(), @r#"{"type":"modal","callback_id":"reason","private_metadata":"{\"r\":\"8f77d2d1-2bbf-4031-a300-58926237a807\",\"d\":\"deny\",\"c\":\"C0TEAM\",\"t\":\"1795363190.000001\",\"o\":\"2027-01-15T08:00:00Z\",\"q\":true,\"k\":\"one.example.com\"}","title":{"type":"plain_text","text":"Deny the request","emoji":false},"submit":{"type":"plain_text","text":"Deny","emoji":false},"close":{"type":"plain_text","text":"Cancel","emoji":false},"blocks":[{"type":"section","text":{"type":"mrkdwn","text":"*User*: alice@example.com\n*Role(s)*: dba\n*Reason*: nightly restore","verbatim":true}},{"type":"input","block_id":"reason","label":{"type":"plain_text","text":"Why do you deny it?","emoji":false},"hint":{"type":"plain_text","text":"Shown in this thread and, with the decision, kept in Teleport's audit log.","emoji":false},"optional":false,"element":{"type":"plain_text_input","action_id":"reason","multiline":true,"max_length":1000,"focus_on_load":true}}]}"#);
        let optional = ModalState { required: false, ..modal_state(Decision::Approve) };
        let optional = reason_modal(&sample(), &optional).unwrap();
        let json = serde_json::to_value(&optional).unwrap();
        assert_eq!(json["blocks"][1]["optional"], true);
        assert_eq!(json["submit"]["text"], "Approve");
    }

    #[test]
    fn invalid_ids_make_no_modal() {
        let invalid = ModalState { request: RequestId::new("<x>"), ..modal_state(Decision::Deny) };
        assert_eq!(reason_modal(&sample(), &invalid), None);
    }

    #[test]
    fn a_rejected_submission_is_explained_in_the_modal() {
        insta::assert_snapshot!(serde_json::to_string(&notice(&Refusal::UnknownOrigin)).unwrap(), @r#"{"response_action":"update","view":{"blocks":[{"text":{"text":"This click could not be taken; decide the request in Teleport.","type":"mrkdwn","verbatim":true},"type":"section"}],"callback_id":"notice","close":{"emoji":false,"text":"Close","type":"plain_text"},"title":{"emoji":false,"text":"Nothing was decided","type":"plain_text"},"type":"modal"}}"#);
        insta::assert_snapshot!(serde_json::to_string(&keep_open(&Refusal::TooBusy)).unwrap(), @r#"{"errors":{"reason":"Too many people decide at this moment, so nothing was decided; try again in a minute."},"response_action":"errors"}"#);
    }

    #[test]
    fn the_correction_serializes_as_slack_expects() {
        insta::assert_snapshot!(serde_json::to_string(&reason_missing()).unwrap(), @r#"{"errors":{"reason":"This role cannot be decided without a reason."},"response_action":"errors"}"#);
    }
}
