//! Daemons of two Teleport clusters on one Slack app, which they should not share. Slack hands each click to either, so
//! the reply names the message's cluster and what an administrator must do.

use std::collections::BTreeSet;

use access_sim::teleport;
use serde_json::json;

use crate::harness::deciding::*;
use crate::harness::*;

const OTHER_CLUSTER: &str = "This message is of the Teleport cluster “local-site”, and I work for “two.example.com”, so nothing was decided; press again, or decide it in Teleport, and tell an administrator: both clusters use one Slack app, so Slack hands a click to either, and each cluster needs a Slack app of its own.";
const LINE: &str = "An interaction came from a message of another Teleport cluster";

/// The usual cluster, `local-site`, and `two.example.com`, on one Slack.
async fn two_clusters() -> (TestBed, TestBed) {
    let one = TestBed::with_review().await;
    let mut options = teleport::Options::golden();
    options.fixture.cluster = "two.example.com".to_owned();
    let two = TestBed { slack: one.slack.clone(), ..TestBed::with_options(options, full_workspace()).await };
    two.sign_as(PLUGIN_RW);
    (one, two)
}

/// Starts the second cluster's daemon and waits until Slack has `sockets` connections.
async fn start_second(two: &TestBed, review: &str, sockets: usize) -> Daemon {
    let config = two.review_config(Transport::Socket, review);
    let daemon = two.launch_with_review(&format!("{config}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\""));
    two.until_logged(&daemon, "Ready").await;
    let count = || (two.slack.sockets().count() == sockets).then_some(());
    two.until(&daemon, &format!("{sockets} sockets"), count).await;
    daemon
}

#[test]
fn a_click_sent_to_the_other_clusters_daemon_is_refused_with_the_clusters_name() {
    run_in_process(async {
        let (one, two) = two_clusters().await;
        let first = one.start_with_review(Transport::Socket, ANY_OF_THREE).await;
        let second = start_second(&two, ANY_OF_THREE, 4).await;
        let id = one.create_request();
        let message = one.until_clickable(&first, "C0TEAM", &id).await;

        // Slack hands each click to either; sixty in a row to one of them, once in 10^18 runs.
        let (mut answers, mut refused) = (BTreeSet::new(), 2); // two more clicks below
        for _ in 0..60 {
            let answer = one.press_for_reply(&second, "U0CAROL", &message, "approve").await;
            refused += usize::from(answer == OTHER_CLUSTER);
            answers.insert(answer);
            if answers.len() == 2 {
                break;
            }
        }
        let own = "You may not decide on role “dba” in Slack: its rule names bob@example.com, dave@example.com, alice@example.com.";
        assert_eq!(answers.iter().collect::<Vec<_>>(), [OTHER_CLUSTER, own], "{}", second.log());
        assert!(first.find_logged(LINE).is_none(), "{}", first.log());

        // Now every click reaches the wrong daemon.
        one.stop_and_check_secrets(first).await;
        for button in ["approve", "deny"] {
            assert_eq!(one.press_for_reply(&second, "U0BOB", &message, button).await, OTHER_CLUSTER);
        }
        one.assert_untouched(&second, &id);
        let line = two.until_warned(&second, LINE).await;
        for part in [
            "cluster=local-site",
            "own_cluster=two.example.com",
            "give each Teleport cluster a Slack app of its own",
        ] {
            assert!(line.contains(part), "{part}: {line}");
        }
        assert_eq!(second.times_logged(LINE), 1, "{}", second.log());
        // The daemon logs after it replied.
        let logged = || second.times_logged("result=refused reason=other_cluster");
        two.until(&second, "every refusal in the log", || (logged() >= refused).then_some(())).await;
        assert_eq!(logged(), refused, "{}", second.log());
        let counted =
            second.metrics().await["interactions_total{result=\"refused\",reason=\"other_cluster\"}"];
        assert_eq!(counted, refused as f64);

        // A message that names no cluster may be of any cluster.
        let button = json!({"type": "button", "action_id": "approve", "value": id,
            "text": {"type": "plain_text", "text": "Approve"}});
        let blocks = json!([{"type": "actions", "elements": [button]}]);
        let ts = one.post_as_bot(&json!({"channel": "C0TEAM", "text": "a copy", "blocks": blocks})).await;
        let copy = one.slack.messages("C0TEAM").into_iter().find(|message| message.ts == ts).unwrap();
        assert_eq!(
            one.press_for_reply(&second, "U0BOB", &copy, "approve").await,
            "This is not one of the request's current messages; use a newer one, or Teleport."
        );

        // The daemon recognizes its own cluster's messages.
        let id = two.create_request();
        let message = two.until_clickable(&second, "C0TEAM", &id).await;
        two.assert_bob_can_approve(&second, &message, &id).await;
        two.stop_and_check_secrets(second).await;
    });
}

#[test]
fn a_modal_sent_to_the_other_clusters_daemon_is_refused_with_the_clusters_name() {
    run_in_process(async {
        let (one, two) = two_clusters().await;
        let first = one.start_with_review(Transport::Socket, &with_reason_policy("required")).await;
        let id = one.create_request();
        let message = one.until_clickable(&first, "C0TEAM", &id).await;
        let view = opened_modal(&first, &one.press("U0BOB", &message, "approve").await).await;
        one.stop_and_check_secrets(first).await;

        let second = start_second(&two, &with_reason_policy("required"), 2).await;
        let sent = one.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]).await.unwrap();
        assert!(sent.outcome.acknowledged(), "{sent:?}");
        assert_eq!(reply_text(&second, &sent.outcome).await, OTHER_CLUSTER, "{}", second.log());
        one.assert_untouched(&second, &id);
        two.until_warned(&second, LINE).await;
        two.stop_and_check_secrets(second).await;
    });
}
