//! Clicks at the same time, sent again, or while Teleport or Slack fail: each person's decision is there once or not
//! at all, and the person is told which.

use std::time::Duration;

use access_sim::slack::faults as slack;
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::socket::SocketSelector;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::request::RequestState;
use access_sim::teleport::world::Threshold;
use serde_json::json;

use crate::deciding::v18_options;
use crate::harness::deciding::*;
use crate::harness::*;

#[test]
fn a_double_click_counts_once() {
    run_test(async {
        let (bed, daemon, id, card) =
            start_with_pending(Transport::Socket, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        let (one, two) =
            tokio::join!(bed.press("U0BOB", &card, "approve"), bed.press("U0BOB", &card, "approve"));
        // Both clicks are the same person's, and either answer may be seen first.
        let told = bed
            .until(&daemon, "two answers", || {
                let mut told: Vec<_> = bed.slack.ephemerals("U0BOB").into_iter().map(|m| m.text).collect();
                told.sort();
                (told.len() == 2).then_some(told)
            })
            .await;
        assert_eq!(
            told,
            [
                "You already approved this request in Slack; that cannot be changed.",
                "Your approval counts: 1 of 2 approvals."
            ]
        );
        assert_ne!(one.seq(), two.seq());
        assert!(bed.decision_events(&id).is_empty());
        let card = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_replies(&daemon, &card, 1).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

/// Two people press at once; returns what each is told.
async fn press_at_once(
    bed: &TestBed,
    daemon: &Daemon,
    card: &MessageView,
    buttons: [&str; 2],
) -> [String; 2] {
    let (bob, dave) =
        tokio::join!(bed.press("U0BOB", card, buttons[0]), bed.press("U0DAVE", card, buttons[1]));
    [reply_text(daemon, &bob).await, reply_text(daemon, &dave).await]
}

#[test]
fn two_people_at_once_both_count_and_decide_once() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let daemon = bed.start_with_review(Transport::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        for _ in 0..8 {
            let id = bed.create_request();
            let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let mut told = press_at_once(&bed, &daemon, &card, ["approve", "approve"]).await;
            told.sort();
            assert_eq!(told, ["The request is approved.", "Your approval counts: 1 of 2 approvals."]);
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            let mut users = bed.teleport.request(&id).unwrap().resolve_annotations["teleport_users"].clone();
            users.sort();
            assert_eq!(users, [BOB, DAVE]);
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn of_an_approval_and_a_denial_at_once_one_wins_and_stays() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let daemon = bed.start_with_review(Transport::Http, ANY_OF_THREE).await;
        for _ in 0..8 {
            let id = bed.create_request();
            let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            let [bob, dave] = press_at_once(&bed, &daemon, &card, ["approve", "deny"]).await;
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            let (won, lost, words) = match bed.teleport.request(&id).unwrap().state {
                RequestState::Approved => (bob, dave, "approved"),
                RequestState::Denied => (dave, bob, "denied"),
                other => panic!("{other:?}"),
            };
            assert_eq!(won, format!("The request is {words}."));
            assert!(lost.ends_with("nothing was changed.") && lost.contains(words), "{lost}");
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn two_daemons_lose_no_vote_and_double_none() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let review = format!("{ANY_OF_THREE}\napprovals = 2");
        let first = bed.start_with_review(Transport::Http, &review).await;
        let first_url = callback_url(&bed, &first).await;
        let second = bed.start_with_review(Transport::Http, &review).await;
        let second_url = callback_url(&bed, &second).await;
        for _ in 0..8 {
            let id = bed.create_request();
            let cards = bed
                .until(&first, "a message", || {
                    Some(bed.messages_about("C0TEAM", &id)).filter(|cards| !cards.is_empty())
                })
                .await;
            let name = |card: &MessageView| format!("{}/{}", card.channel, card.ts);
            bed.until_recorded(&first, &id, |record| field(record, "messages").contains(&name(&cards[0])))
                .await;
            let card = &cards[0];
            // Each click is on its way before the other is answered.
            let press = async |url: &str, user: &str| {
                bed.slack.set_request_url(Some(url));
                bed.slack.click(user, &card.channel, &card.ts, "approve").await.unwrap()
            };
            let (one, two) = tokio::join!(press(&first_url, "U0BOB"), press(&second_url, "U0DAVE"));
            let mut answers = [reply_text(&first, &one).await, reply_text(&second, &two).await];
            answers.sort();
            assert_eq!(answers, ["The request is approved.", "Your approval counts: 1 of 2 approvals."]);
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            let mut users = bed.teleport.request(&id).unwrap().resolve_annotations["teleport_users"].clone();
            users.sort();
            assert_eq!(users, [BOB, DAVE]);
        }
        for daemon in [&first, &second] {
            bed.until_interactions(daemon, 8).await;
        }
        bed.stop_and_check_secrets(first).await;
        bed.stop_and_check_secrets(second).await;
    });
}

#[test]
fn with_teleport_away_the_click_is_answered_and_not_done() {
    const AWAY: &str = "Teleport does not answer, so nothing was decided; try again in a minute.";
    const SLOW: &str = "This took too long and was given up, so nothing was decided; try again.";
    const UNSURE: &str =
        "Teleport did not confirm your approval in time; watch the message, it shows what counted.";
    for (method, fault, sentence) in [
        (Method::GetAccessRequests, Fault::unavailable(), AWAY),
        (Method::GetAccessRequests, Fault::Hang, SLOW),
        (Method::GetPluginData, Fault::unavailable(), AWAY),
        (Method::GetPluginData, Fault::Hang, SLOW),
        // A write without an answer is below: nobody knows what became of it.
        (Method::UpdatePluginData, Fault::unavailable(), UNSURE),
    ] {
        run_test(async move {
            let (bed, daemon, id, card) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
            bed.teleport.faults().inject(method, fault, Repeat::UntilCleared);
            assert_eq!(
                bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await,
                sentence,
                "{}",
                daemon.log()
            );
            bed.assert_untouched(&daemon, &id);
            bed.teleport.faults().clear();
            bed.assert_bob_can_approve(&daemon, &card, &id).await;
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn with_teleport_gone_altogether_the_click_is_answered_and_stays_undone() {
    for way in [Transport::Http, Transport::Socket] {
        run_test(async move {
            let (bed, daemon, id, card) = start_with_pending(way, ANY_OF_THREE).await;
            bed.teleport.stop().await;
            let text = bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await;
            assert!(text.contains("so nothing was decided; try again"), "{text}");
            bed.teleport.restart().await.unwrap();
            // The daemon sees what it missed, and by then would have done what it had kept.
            let later = bed.create_request();
            bed.until_clickable(&daemon, "C0TEAM", &later).await;
            bed.assert_untouched(&daemon, &id);
            bed.assert_bob_can_approve(&daemon, &card, &id).await;
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn with_teleport_away_for_the_last_step_it_is_done_once_and_said_so() {
    for fault in [Fault::unavailable(), Fault::LoseResponse] {
        run_test(async move {
            let (bed, daemon, id, card) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
            bed.teleport.faults().inject(Method::SetAccessRequestState, fault.clone(), Repeat::Next(1));
            let text = bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await;
            let later = "Your approval is recorded, but Teleport does not answer; the request will be approved as soon as it does.";
            assert!(text == later || text == "The request is approved.", "{text}");
            bed.until_within(Duration::from_secs(90), &daemon, "the approval", || {
                (bed.teleport.request(&id)?.state == RequestState::Approved).then_some(())
            })
            .await;
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
            let decided = bed.decision_events(&id);
            assert_eq!(decided.len(), 1, "{decided:?}");
            assert_eq!(decided[0].delegator.as_deref(), Some(BOB));
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn a_vote_that_was_written_without_an_answer_is_there_once() {
    run_test(async {
        let (bed, daemon, id, card) =
            start_with_pending(Transport::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        for (user, sentence) in
            [("U0BOB", "Your approval counts: 1 of 2 approvals."), ("U0DAVE", "The request is approved.")]
        {
            bed.teleport.faults().inject(Method::UpdatePluginData, Fault::LoseResponse, Repeat::Next(1));
            assert_eq!(
                bed.press_for_reply(&daemon, user, &card, "approve").await,
                sentence,
                "{}",
                daemon.log()
            );
            bed.teleport.faults().clear();
        }
        let request = bed.teleport.request(&id).unwrap();
        assert_eq!(request.resolve_annotations["teleport_users"], [BOB, DAVE]);
        assert_eq!(bed.decision_events(&id).len(), 1);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_click_that_was_acknowledged_before_the_end_is_carried_out() {
    run_test(async {
        let (bed, daemon, id, card) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let slow = Fault::Delay(Duration::from_secs(1));
        bed.teleport.faults().inject(Method::GetAccessRequests, slow, Repeat::UntilCleared);
        let seen = bed.press("U0BOB", &card, "approve").await;
        bed.stop_and_check_secrets(daemon).await;
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
        assert_eq!(seen.ephemerals()[0].text, "The request is approved.");
    });
}

/// A pending request on a cluster that takes reviews for bob and dave from the plugin, but not for carol.
async fn pending_with_reviews(review: &str) -> (TestBed, Daemon, String, MessageView) {
    let mut options = v18_options();
    let role = options.fixture.role_mut("access-plugin").unwrap();
    role.allow.submit_for_users = vec![BOB.to_owned(), DAVE.to_owned()];
    options.fixture.role_mut("requester").unwrap().allow.request.thresholds = vec![two_approvals()];
    let bed = TestBed::with_options(options, full_workspace()).await;
    let daemon = bed.start_with_review(Transport::Http, review).await;
    let id = bed.create_request();
    let card = bed.until_clickable(&daemon, "C0TEAM", &id).await;
    (bed, daemon, id, card)
}

pub(crate) fn two_approvals() -> Threshold {
    Threshold { approve: 2, deny: 1, ..Threshold::default() }
}

const MORE_REVIEWS_REPLY: &str = "Your approval is recorded in Teleport; the request waits for more reviews.";

#[test]
fn reviews_are_submitted_once_each() {
    run_test(async {
        let (bed, daemon, id, card) =
            pending_with_reviews(&ANY_OF_THREE.replace("resolver", "reviewer")).await;
        bed.teleport.faults().inject(Method::SubmitAccessReview, Fault::LoseResponse, Repeat::Next(1));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await,
            MORE_REVIEWS_REPLY,
            "{}",
            daemon.log()
        );
        let again = "You already approved this request in Teleport; that cannot be changed.";
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &card, "deny").await, again);
        let (one, two) =
            tokio::join!(bed.press("U0DAVE", &card, "approve"), bed.press("U0DAVE", &card, "approve"));
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        reply_text(&daemon, &one).await;
        reply_text(&daemon, &two).await;
        let reviewers: Vec<_> =
            bed.decision_events(&id).into_iter().filter_map(|line| line.reviewer).collect();
        assert_eq!(reviewers, [BOB, DAVE]);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_rules_are_no_way_around_teleports_judgement() {
    run_test(async {
        let review =
            ANY_OF_THREE.replace("resolver", "auto").replace("\"bob@", "\"carol@example.com\", \"bob@");
        let review = review.replacen("U0BOB = \"carol@example.com\", ", "U0BOB = ", 1);
        let (bed, daemon, id, card) = pending_with_reviews(&review).await;
        assert_eq!(bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await, MORE_REVIEWS_REPLY);
        // A rule names carol, but Teleport takes no review for her from this plugin.
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &card, "approve").await,
            "Teleport does not let me submit a review for you (“carol@example.com”), so nothing was changed; decide it in Teleport."
        );
        assert_eq!(bed.decision_events(&id).len(), 1);
        assert_eq!(field(&bed.record(&id), "x_votes"), "");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn while_slack_does_not_say_who_it_is_nothing_is_decided() {
    run_test(async {
        let (bed, daemon, id, card) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        for trouble in [
            slack::Fault::Error("fatal_error".to_owned()),
            slack::Fault::Status { status: 503, body: String::new() },
            slack::Fault::NotJson,
            slack::Fault::Hang,
        ] {
            bed.slack.faults().add(slack::FaultRule::new("users.info", trouble.clone()));
            let text = bed.press_for_reply(&daemon, "U0BOB", &card, "approve").await;
            assert!(text.contains("nothing was decided"), "{trouble:?}: {text}");
            bed.assert_untouched(&daemon, &id);
            bed.slack.faults().clear();
        }
        // The answer finds another way if the first one is closed.
        let refused = slack::Fault::Status { status: 404, body: "no_hook".to_owned() };
        bed.slack.faults().add(slack::FaultRule::new("response_url", refused));
        bed.assert_bob_can_approve(&daemon, &card, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn an_envelope_that_is_delivered_again_is_not_acted_on_again() {
    run_test(async {
        let (bed, daemon, id, card) =
            start_with_pending(Transport::Socket, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        let seen = bed.press("U0BOB", &card, "approve").await;
        assert_eq!(reply_text(&daemon, &seen).await, "Your approval counts: 1 of 2 approvals.");
        let payload = bed.slack.interaction(seen.seq().unwrap()).unwrap().payload;
        // Once as Slack does after a lost acknowledgement, once under another envelope's name.
        for envelope_id in ["7f1c0e0e-0000-4000-8000-000000000001", "7f1c0e0e-0000-4000-8000-000000000002"] {
            let envelope = json!({
                "envelope_id": envelope_id, "type": "interactive", "accepts_response_payload": false,
                "payload": payload, "retry_attempt": 1, "retry_reason": "timeout",
            });
            bed.slack.sockets().send_text(SocketSelector::All, &envelope.to_string());
        }
        // Each over both sockets.
        let again = || daemon.times_logged("A payload came again and was only acknowledged");
        bed.until(&daemon, "four repetitions", || (again() >= 4).then_some(())).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &card, "approve").await,
            "The request is approved."
        );
        bed.until_interactions(&daemon, 2).await;
        assert_eq!(bed.slack.ephemerals("U0BOB").len(), 1);
        assert_eq!(bed.decision_events(&id).len(), 1);
        bed.stop_and_check_secrets(daemon).await;
    });
}
