//! What happens between the moment at which a click was judged and its last step: decisions made elsewhere, rights
//! taken away, answers lost. Nothing is overturned, and nobody is told other than what is true.

use std::time::Duration;

use access_sim::slack::snapshot::MessageView;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::presets::{PLUGIN_USER, TCTL};
use access_sim::teleport::refusal::RpcError;
use access_sim::teleport::request::{Decision, NewRequest, RequestState};
use access_sim::teleport::world::Rule;
use tonic::Code;

use crate::deciding::v18_options;
use crate::harness::deciding::*;
use crate::harness::*;

/// Long enough for the other side to act in between, on a busy machine too.
const RACE_WINDOW: Duration = Duration::from_secs(4);

/// Bob approves, and while Teleport takes its time for `method` somebody sets the request's state there. Returns
/// what bob is told.
async fn approve_while_state_is_set(
    bed: &TestBed,
    daemon: &Daemon,
    card: &MessageView,
    (id, method): (&str, Method),
    state: RequestState,
) -> String {
    let calls = bed.teleport.call_log().count(method);
    bed.teleport.faults().inject(method, Fault::Delay(RACE_WINDOW), Repeat::Next(1));
    let seen = bed.press("U0BOB", card, "approve").await;
    let begun = || (bed.teleport.call_log().count(method) > calls).then_some(());
    bed.until(daemon, &format!("{method:?}"), begun).await;
    bed.teleport.set_state(TCTL, id, state, "by hand", "").unwrap();
    reply_text(daemon, &seen).await
}

#[test]
fn what_teleport_decides_while_a_vote_is_recorded_is_not_overturned() {
    let denied = "This request was already denied (by hand); nothing was changed.";
    for (state, expected) in
        [(RequestState::Denied, denied), (RequestState::Approved, "The request is approved.")]
    {
        run_test(async move {
            let (bed, daemon, id, card) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
            bed.until_clickable(&daemon, "U0BOB", &id).await;
            let method = Method::UpdatePluginData;
            assert_eq!(
                approve_while_state_is_set(&bed, &daemon, &card, (&id, method), state).await,
                expected
            );
            // This server would have let it be turned, and says who asked for it.
            assert_eq!(bed.teleport.call_log().count(Method::SetAccessRequestState), 0);
            assert_eq!(bed.teleport.request(&id).unwrap().state, state);
            assert_eq!(bed.decision_events(&id).len(), 1);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn what_teleport_decides_while_a_review_is_on_its_way_is_said() {
    run_test(async {
        let bed = TestBed::with_options(v18_options(), full_workspace()).await;
        let daemon =
            bed.start_with_review(Transport::Http, &ANY_OF_THREE.replace("resolver", "reviewer")).await;
        let id = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let method = Method::SubmitAccessReview;
        let text =
            approve_while_state_is_set(&bed, &daemon, &card, (&id, method), RequestState::Denied).await;
        assert_eq!(text, "This request was already denied (by hand); nothing was changed.");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Denied);
        assert!(bed.teleport.request(&id).unwrap().reviews.is_empty());
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn what_teleport_decides_while_its_state_is_being_set_is_said() {
    run_test(async {
        let mut options = v18_options();
        options.fixture.role_mut(PLUGIN_USER).unwrap().allow.rules.push(may_update());
        let bed = TestBed::with_options(options, full_workspace()).await;
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        let id = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        // Newer servers refuse to turn what is decided.
        let method = Method::SetAccessRequestState;
        let text =
            approve_while_state_is_set(&bed, &daemon, &card, (&id, method), RequestState::Denied).await;
        assert_eq!(text, "This request was already denied (by hand); nothing was changed.");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Denied);
        bed.stop_and_check_secrets(daemon).await;
    });
}

fn may_update() -> Rule {
    Rule { resources: vec!["access_request".to_owned()], verbs: vec!["update".to_owned()] }
}

#[test]
fn a_vote_that_may_be_in_is_never_told_as_not_counted() {
    run_test(async {
        let (bed, daemon, id, card) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        // After the first nobody knows whether the vote was written; the second forbids to write it again.
        let denied = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
        for fault in [Fault::unavailable(), denied] {
            bed.teleport.faults().inject(Method::UpdatePluginData, fault, Repeat::Next(1));
        }
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await,
            "Teleport did not confirm your approval in time; watch the message, it shows what counted.",
            "{}",
            daemon.log()
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_vote_that_teleport_does_not_let_be_recorded_is_told_so() {
    run_test(async {
        let (bed, daemon, id, card) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        let denied = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
        bed.teleport.faults().inject(Method::UpdatePluginData, denied, Repeat::Next(1));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await,
            "Teleport does not let me do what this needs, so nothing was decided; an administrator must look at my Teleport user, its role and its certificate."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_decision_that_the_daemon_may_not_carry_out_is_told_so() {
    run_test(async {
        let bed = TestBed::with_review().await;
        // Who set this up forgot that the role needs one right more.
        bed.sign_as(PLUGIN_USER);
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        let id = bed.create_request();
        let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await,
            "Your approval is recorded, but Teleport does not let me carry it out; an administrator must allow it, or decide the request in Teleport."
        );
        let line = bed.until_logged(&daemon, "could not be carried out").await;
        assert!(line.contains("{resources: ['access_request'], verbs: ['update']}"), "{line}");
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Pending);
        // As soon as it is allowed, a vote of somebody who may decide has it carried out, or a visit does.
        bed.teleport.edit_fixture(|world| {
            world.role_mut(PLUGIN_USER).unwrap().allow.rules.push(may_update());
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
fn while_a_decision_cannot_be_carried_out_its_messages_are_kept_true() {
    let denied = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
    let odd = Fault::Error(RpcError::new(Code::Internal, "the backend is odd"));
    for fault in [Fault::unavailable(), odd, denied] {
        run_test(async move {
            let bed = TestBed::with_review().await;
            let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
            let id =
                bed.teleport.request_access("carol@example.com", NewRequest::roles(&["admin"], "")).unwrap();
            let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let method = Method::SetAccessRequestState;
            bed.teleport.faults().inject(method, fault, Repeat::UntilCleared);
            bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await;
            let recorded = bed.press_for_reply(&daemon, "U0ALICE", &card, "approve").await;
            assert!(recorded.starts_with("Your approval is recorded, but"), "{recorded}");
            bed.until_replies(&daemon, &card, 2).await;
            // Whoever took it had its time, so a visit carries it out, and this one makes a visit.
            bed.edit_votes(&id, |votes| votes["l"][1]["t"] = "2020-01-01T00:00:00Z".into());
            bed.teleport.review(DAVE, &id, Decision::Approve, "").unwrap();
            let replies = bed.until_replies(&daemon, &card, 3).await;
            assert!(replies[2].text.starts_with("dave@example.com reviewed the request"), "{replies:?}");
            let tries = || bed.teleport.call_log().count(method);
            assert!(tries() >= 2, "the click, and the visit");
            bed.until_logged(&daemon, "cannot be carried out").await;
            let before = tries();
            bed.until_within(Duration::from_secs(30), &daemon, "another try", || {
                (tries() > before).then_some(())
            })
            .await;
            assert_eq!(daemon.times_logged("cannot be carried out"), 1, "{}", daemon.log());
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
