//! Changes between the evaluation of a click and its last step: decisions made elsewhere, permissions removed, answers
//! lost. The daemon overturns nothing, and every reply is true.

use std::time::Duration;

use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::Rule;
use access_sim::teleport::presets::{PLUGIN_USER, TCTL};
use access_sim::teleport::refusal::{Code, RpcError};
use access_sim::teleport::request::{Decision, NewRequest, RequestState};

use crate::deciding::v18_options;
use crate::harness::deciding::*;
use crate::harness::*;

/// Long enough for the other side to act in between, even on a busy machine.
const RACE_WINDOW: Duration = Duration::from_secs(4);

/// Bob approves, and while Teleport delays `method` an administrator sets the request's state there. Returns the reply
/// to bob.
async fn approve_while_state_is_set(
    bed: &TestBed,
    daemon: &Daemon,
    message: &MessageView,
    (id, method): (&str, Method),
    state: RequestState,
) -> String {
    let calls = bed.teleport.call_log().count(method);
    bed.teleport.faults().inject(method, Fault::Delay(RACE_WINDOW), Repeat::Next(1));
    let seen = bed.press("U0BOB", message, "approve").await;
    let begun = || (bed.teleport.call_log().count(method) > calls).then_some(());
    bed.until(daemon, &format!("{method:?}"), begun).await;
    bed.teleport.set_state(TCTL, id, state, "by hand", "").unwrap();
    reply_text(daemon, &seen).await
}

#[test]
fn a_decision_made_in_teleport_while_a_vote_is_recorded_is_not_overturned() {
    let denied = "This request was already denied (by hand); nothing was changed.";
    for (state, expected) in
        [(RequestState::Denied, denied), (RequestState::Approved, "The request is approved.")]
    {
        run_in_process(async move {
            let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
            bed.until_clickable(&daemon, "U0BOB", &id).await;
            let method = Method::UpdatePluginData;
            assert_eq!(
                approve_while_state_is_set(&bed, &daemon, &message, (&id, method), state).await,
                expected
            );
            // This server would have allowed the overturn, and says who asked for it.
            assert_eq!(bed.teleport.call_log().count(Method::SetAccessRequestState), 0);
            assert_eq!(bed.teleport.request(&id).unwrap().state, state);
            assert_eq!(bed.decision_events(&id).len(), 1);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_decision_made_in_teleport_while_a_review_is_in_flight_is_reported() {
    run_in_process(async {
        let bed = TestBed::with_options(v18_options(), full_workspace()).await;
        let daemon =
            bed.start_with_review(Transport::Http, &ANY_OF_THREE.replace("resolver", "reviewer")).await;
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let method = Method::SubmitAccessReview;
        let text =
            approve_while_state_is_set(&bed, &daemon, &message, (&id, method), RequestState::Denied).await;
        assert_eq!(text, "This request was already denied (by hand); nothing was changed.");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Denied);
        assert!(bed.teleport.request(&id).unwrap().reviews.is_empty());
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_decision_made_in_teleport_while_the_state_is_set_is_reported() {
    run_in_process(async {
        let mut options = v18_options();
        options.fixture.role_mut(PLUGIN_USER).unwrap().allow.rules.push(may_update());
        let bed = TestBed::with_options(options, full_workspace()).await;
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, ANY_OF_THREE).await;
        // Newer servers refuse to overturn a decision.
        let method = Method::SetAccessRequestState;
        let text =
            approve_while_state_is_set(&bed, &daemon, &message, (&id, method), RequestState::Denied).await;
        assert_eq!(text, "This request was already denied (by hand); nothing was changed.");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Denied);
        bed.stop_and_check_secrets(daemon).await;
    });
}

fn may_update() -> Rule {
    Rule { resources: vec!["access_request".to_owned()], verbs: vec!["update".to_owned()] }
}

#[test]
fn a_possibly_recorded_vote_is_never_reported_as_not_counted() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        // After the first it is unknown whether the vote was written; the second forbids another write.
        let denied = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
        for fault in [Fault::unavailable(), denied] {
            bed.teleport.faults().inject(Method::UpdatePluginData, fault, Repeat::Next(1));
        }
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Teleport did not confirm your approval in time; watch the message, it shows what counted.",
            "{}",
            daemon.log()
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_vote_that_teleport_refuses_to_record_is_reported() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        let denied = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
        bed.teleport.faults().inject(Method::UpdatePluginData, denied, Repeat::Next(1));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Teleport does not let me do what this needs, so nothing was decided; an administrator must look at my Teleport user, its role and its certificate."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_decision_that_the_daemon_may_not_apply_is_reported() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        // The setup lacks one permission of the role.
        bed.sign_as(PLUGIN_USER);
        let (daemon, id, message) = bed.start_with_buttons(Transport::Http, ANY_OF_THREE).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval is recorded, but Teleport does not let me carry it out; an administrator must allow it, or decide the request in Teleport."
        );
        let line = bed.until_logged(&daemon, "could not be applied").await;
        assert!(line.contains("{resources: ['access_request'], verbs: ['update']}"), "{line}");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending);
        // Once it is allowed, the vote of an approver or a reconcile applies it.
        bed.teleport.edit_fixture(|fixture| {
            fixture.role_mut(PLUGIN_USER).unwrap().allow.rules.push(may_update());
        });
        bed.until_within(Duration::from_secs(90), &daemon, "the approval", || {
            (bed.teleport.request(&id)?.state == RequestState::Approved).then_some(())
        })
        .await;
        assert_eq!(bed.decision_events(&id)[0].delegator.as_deref(), Some(BOB));
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn messages_stay_current_while_a_decision_cannot_be_applied() {
    let denied = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
    let odd = Fault::Error(RpcError::new(Code::Internal, "the backend is odd"));
    for fault in [Fault::unavailable(), odd, denied] {
        run_in_process(async move {
            let bed = TestBed::with_review().await;
            let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
            let id =
                bed.teleport.request_access("carol@example.com", NewRequest::roles(&["admin"], "")).unwrap();
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let method = Method::SetAccessRequestState;
            bed.teleport.faults().inject(method, fault, Repeat::UntilCleared);
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
            let recorded = bed.press_for_reply(&daemon, "U0ALICE", &message, "approve").await;
            assert!(recorded.starts_with("Your approval is recorded, but"), "{recorded}");
            bed.until_replies(&daemon, &message, 2).await;
            // The time of the daemon that took it is over, so a reconcile applies it, and this causes one.
            bed.edit_votes(&id, |votes| votes["l"][1]["t"] = "2020-01-01T00:00:00Z".into());
            bed.teleport.review(DAVE, &id, Decision::Approve, "").unwrap();
            let replies = bed.until_replies(&daemon, &message, 3).await;
            assert!(replies[2].text.starts_with("dave@example.com reviewed the request"), "{replies:?}");
            let tries = || bed.teleport.call_log().count(method);
            assert!(tries() >= 2, "the click, and the reconcile");
            bed.until_logged(&daemon, "Cannot apply the decision").await;
            let before = tries();
            bed.until_within(Duration::from_secs(30), &daemon, "another try", || {
                (tries() > before).then_some(())
            })
            .await;
            assert_eq!(daemon.times_logged("Cannot apply the decision"), 1, "{}", daemon.log());
            bed.teleport.faults().clear();
            bed.until_within(Duration::from_secs(60), &daemon, "the approval", || {
                (bed.teleport.request(&id)?.state == RequestState::Approved).then_some(())
            })
            .await;
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}
