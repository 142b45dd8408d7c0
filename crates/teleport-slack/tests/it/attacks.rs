//! Attacks that must decide nothing: forged and repeated clicks, users without the right, late clicks, and input made
//! to break the daemon. Clicks at the same time and during outages are in `concurrency`. Each test checks that
//! Teleport's state, reviews, audit log and votes do not change, and that the daemon goes on.

use std::collections::BTreeSet;
use std::time::Duration;

use access_sim::slack::faults as slack;
use access_sim::slack::interactive::Warning;
use access_sim::slack::interactive::forgery::{Alteration, Forgery, Signature, Stamp};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::ActionOutcome;
use access_sim::slack::workspace::{SlackUser, SlackUserKind, UserGroup};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, RequestState};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::deciding::*;
use crate::harness::*;

impl TestBed {
    /// Bob presses Approve, and the simulator sends the forged interaction instead.
    async fn forge(&self, message: &MessageView, forgery: Forgery) -> ActionOutcome {
        let click = self.slack.click("U0BOB", &message.channel, &message.ts, "approve");
        click.confirmed().forged(forgery).await.unwrap()
    }

    /// The same; returns the reply that bob sees.
    async fn forge_for_reply(
        &self,
        daemon: &Daemon,
        message: &MessageView,
        alteration: Alteration,
    ) -> String {
        reply_text(daemon, &self.forge(message, Forgery::altered(alteration)).await).await
    }
}

const NOT_AN_APPROVER_REPLY: &str = "You may not decide on role “dba” in Slack";

#[test]
fn forged_signatures_are_rejected() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let text = |text: &str| Forgery::signed(Signature::Text(text.to_owned()));
        let forgeries = [
            Forgery::signed(Signature::WrongSecret),
            Forgery::signed(Signature::Secret(String::new())),
            Forgery::signed(Signature::Truncated),
            Forgery::signed(Signature::Missing),
            text(""),
            text("v0="),
            text(&format!("v0={}", "0".repeat(64))),
            text(&format!("v1={}", "a".repeat(64))),
            text(&"v0=".repeat(1_000)),
            Forgery::stamped(Stamp::Missing),
            Forgery::stamped(Stamp::Text(String::new())),
            Forgery::stamped(Stamp::Text("now".to_owned())),
            Forgery::stamped(Stamp::Text("9".repeat(400))),
            // A minute beyond the window: the clocks of the test do not matter.
            Forgery::stamped(Stamp::Shifted(-360)),
            Forgery::stamped(Stamp::Shifted(360)),
        ];
        for forgery in forgeries {
            let seen = bed.forge(&message, forgery.clone()).await;
            assert_eq!(seen.warning(), Some(&Warning::Status(401)), "{forgery:?}");
            bed.assert_untouched(&daemon, &id);
        }
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.until_interactions(&daemon, 1).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn signatures_are_accepted_within_five_minutes_of_the_clock() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        assert!(bed.forge(&message, Forgery::stamped(Stamp::Shifted(-240))).await.acknowledged());
        bed.until_recorded(&daemon, &id, |record| field(record, "x_votes").contains("bob@")).await;
        let click = bed.slack.click("U0DAVE", &message.channel, &message.ts, "approve");
        let seen = click.forged(Forgery::stamped(Stamp::Shifted(240))).await.unwrap();
        assert_eq!(reply_text(&daemon, &seen).await, "The request is approved.");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_replayed_click_is_rejected() {
    run_in_process(async {
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &format!("{ANY_OF_THREE}\napprovals = 2")).await;
        let seen = bed.press("U0BOB", &message, "approve").await;
        assert_eq!(reply_text(&daemon, &seen).await, "Your approval counts: 1 of 2 approvals.");
        let before = bed.record(&id);
        for _ in 0..3 {
            let again = bed.slack.replay(seen.seq().unwrap()).await.unwrap();
            assert_eq!(again.warning(), Some(&Warning::Status(401)));
        }
        // This click's log line comes after any that the replays would have caused.
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await.split(':').next(),
            Some(NOT_AN_APPROVER_REPLY)
        );
        bed.until_interactions(&daemon, 2).await;
        assert_eq!(field(&bed.record(&id), "x_votes"), field(&before, "x_votes"));
        assert_eq!(seen.ephemerals().len(), 1);
        assert!(bed.decision_events(&id).is_empty());
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn clicks_for_another_app_workspace_or_message_decide_nothing() {
    for transport in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            let (bed, daemon, id, message) = start_with_pending(transport, ANY_OF_THREE).await;
            let other = bed.create_request();
            let other_message = bed.until_clickable(&daemon, "C0TEAM", &other).await;
            bed.assert_ignored(&daemon, "U0BOB", &message, Alteration::app("A0OTHER")).await;
            for foreign in [Alteration::team("T0OTHER"), Alteration::no_team()] {
                bed.assert_rejected_with_reply(&daemon, "U0BOB", &message, foreign).await;
            }
            let stale = "This is not one of the request's current messages; use a newer one, or Teleport.";
            for altered in [
                // Another request's value, and another message and channel.
                Alteration::value(&other),
                Alteration::message_ts(&other_message.ts),
                Alteration::channel("C0DBA"),
            ] {
                assert_eq!(bed.forge_for_reply(&daemon, &message, altered).await, stale, "{}", daemon.log());
            }
            let unknown = Alteration::value("00000000-0000-4000-8000-000000000000");
            assert_eq!(bed.forge_for_reply(&daemon, &message, unknown).await, stale);
            bed.assert_untouched(&daemon, &id);
            bed.assert_untouched(&daemon, &other);
            bed.assert_bob_can_approve(&daemon, &message, &id).await;
            bed.assert_untouched(&daemon, &other);
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn requesters_cannot_decide_their_own_request() {
    run_in_process(async {
        let review = ANY_OF_THREE.replace(
            "U0ALICE = \"alice@example.com\"",
            "U0ALICE = \"alice@example.com\"\nU0ALICE2 = \"alice@example.com\"",
        );
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &review).await;
        let own = "This is your own request; somebody else must decide it.";
        for account in ["U0ALICE", "U0ALICE2"] {
            for button in ["approve", "deny"] {
                assert_eq!(bed.press_for_reply(&daemon, account, &message, button).await, own, "{account}");
            }
        }
        bed.assert_untouched(&daemon, &id);
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_requesters_second_account_linked_to_another_user_cannot_decide() {
    run_in_process(async {
        // The requester's second account has the same e-mail address, and is linked to bob.
        let review = ANY_OF_THREE.replace("U0BOB =", "U0ALICE2 = \"bob@example.com\"\nU0BOB =");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0ALICE2", &message, "approve").await,
            "This is your own request; somebody else must decide it."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn one_person_with_two_accounts_has_one_vote() {
    run_in_process(async {
        let review = ANY_OF_THREE.replace("U0BOB =", "U0CAROL = \"bob@example.com\"\nU0BOB =");
        let review = review.replacen("U0CAROL = \"carol@example.com\"", "", 1);
        let (bed, daemon, id, message) =
            start_with_pending(Transport::Http, &format!("{review}\napprovals = 2")).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval counts: 1 of 2 approvals."
        );
        let again = "You already approved this request in Slack; that cannot be changed.";
        assert_eq!(bed.press_for_reply(&daemon, "U0CAROL", &message, "approve").await, again);
        assert!(bed.decision_events(&id).is_empty());
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn guests_bots_and_external_users_cannot_decide() {
    run_in_process(async {
        // All of them are linked to bob, who may decide.
        let untrusted = ["U0GIL", "U0SID", "U0EVE", "U0DAN", "U0ROBOT", "U0FLOW", "USLACKBOT", "U0UNKNOWN"];
        let links: String = untrusted.map(|id| format!("{id} = \"bob@example.com\"\n")).concat();
        let review = ANY_OF_THREE.replace("U0BOB =", &format!("{links}U0BOB ="));
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &review).await;
        for (user, sentence) in [
            ("U0GIL", "Guests cannot decide on access."),
            ("U0SID", "Single-channel guests cannot decide on access."),
            ("U0EVE", "Your Slack account belongs to another workspace; it cannot decide on access here."),
        ] {
            assert_eq!(bed.press_for_reply(&daemon, user, &message, "approve").await, sentence);
        }
        // These have no client: a caller with the signing secret sends clicks in their name.
        for (user, sentence) in [
            ("U0DAN", "Your Slack account is deactivated; it cannot decide on access."),
            ("U0ROBOT", "A bot cannot decide on access."),
            ("U0FLOW", "A workflow cannot decide on access."),
            ("USLACKBOT", "Slackbot cannot decide on access."),
            ("U0UNKNOWN", "People from outside this Slack workspace cannot decide on access."),
        ] {
            assert_eq!(bed.forge_for_reply(&daemon, &message, Alteration::user(user)).await, sentence);
        }
        let external = SlackUserKind::External { team_id: "T0OTHER".to_owned(), stranger: true };
        bed.slack.put_user(SlackUser::member("U0EVE", "eve").kind(external));
        assert_eq!(
            bed.forge_for_reply(&daemon, &message, Alteration::user("U0EVE")).await,
            "People from outside this Slack workspace cannot decide on access."
        );
        bed.assert_untouched(&daemon, &id);
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn users_without_a_link_or_a_rule_cannot_decide() {
    run_in_process(async {
        // A rule may not name a user without a link, so the rule does not name dave.
        let review =
            ANY_OF_THREE.replace("U0DAVE = \"dave@example.com\"", "").replace("\"dave@example.com\", ", "");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
            "Your Slack account is linked to no Teleport user, so nothing was changed; an administrator can link it."
        );
        assert_eq!(
            bed.press_for_reply(&daemon, "U0CAROL", &message, "deny").await,
            "You may not decide on role “dba” in Slack: its rule names bob@example.com, alice@example.com."
        );
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn demoted_approvers_lose_their_vote() {
    run_in_process(async {
        let review = r#"
            mode = "resolver"
            [review.users]
            U0BOB = "bob@example.com"
            U0DAVE = "dave@example.com"
            [[review.rule]]
            roles = ["*"]
            approvers = ["S0DBA"]
            approvals = 3
            reason = "off"
        "#;
        let bed = TestBed::with_review().await;
        let group = |users: &[&str]| UserGroup {
            id: "S0DBA".to_owned(),
            handle: "dba".to_owned(),
            users: users.iter().map(|user| (*user).to_owned()).collect(),
            disabled: false,
        };
        bed.slack.put_group(group(&["U0BOB", "U0DAVE"]));
        let daemon = bed.start_with_review(Transport::Http, review).await;
        let [first, second] = [bed.create_request(), bed.create_request()];
        let message = bed.until_clickable(&daemon, "C0TEAM", &first).await;
        let later = bed.until_clickable(&daemon, "C0TEAM", &second).await;
        // The daemon has read profile and group once by now.
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await,
            "Your approval counts: 1 of 3 approvals."
        );
        bed.slack.put_group(group(&["U0DAVE"]));
        // The daemon caches a group for ten seconds. A new daemon has no cache.
        daemon.kill().await;
        let daemon = bed.start_with_review(Transport::Http, review).await;
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &later, "approve").await,
            "You may not decide on role “dba” in Slack: its rule names user group S0DBA."
        );
        bed.slack.put_group(group(&["U0BOB", "U0DAVE"]));
        bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Guest));
        assert_eq!(
            bed.press_for_reply(&daemon, "U0BOB", &later, "approve").await,
            "Guests cannot decide on access."
        );
        bed.slack.put_user(SlackUser::member("U0BOB", "bob"));
        bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Deactivated));
        let click = bed.slack.click("U0DAVE", &later.channel, &later.ts, "approve");
        let seen = click.forged(Forgery::altered(Alteration::user("U0BOB"))).await.unwrap();
        assert_eq!(
            reply_text(&daemon, &seen).await,
            "Your Slack account is deactivated; it cannot decide on access."
        );
        bed.assert_untouched(&daemon, &second);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_click_on_an_outdated_message_decides_nothing() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        // The message cannot be changed, so its buttons stay.
        let outage = slack::Fault::Status { status: 503, body: String::new() };
        bed.slack.faults().add(slack::FaultRule::new("chat.update", outage));
        bed.teleport.review(DAVE, &id, Decision::Deny, "not now").unwrap();
        let audit = bed.decision_events(&id).len();
        let pressed = bed.press_for_reply(&daemon, "U0BOB", &message, "approve").await;
        let expected = "This request was already denied by dave@example.com (not now); nothing was changed.";
        assert_eq!(pressed, expected);
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Denied);
        assert_eq!(bed.decision_events(&id).len(), audit);
        bed.slack.faults().clear();

        // The same for the decided request through a button that is still there.
        let other = bed.create_request();
        let other_message = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        let forgery = Forgery::altered(Alteration::value(&id)).and(Alteration::message_ts(&message.ts));
        let seen = bed.forge(&other_message, forgery).await;
        assert_eq!(reply_text(&daemon, &seen).await, expected);
        assert_eq!(bed.decision_events(&id).len(), audit);

        for (decide, sentence) in [
            (0, "This request was already approved (by hand); nothing was changed."),
            (1, "This request no longer exists in Teleport; nothing was changed."),
            (2, "This request has expired; nothing was changed."),
        ] {
            let id = bed.create_request();
            let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
            match decide {
                0 => bed.teleport.set_state(TCTL, &id, RequestState::Approved, "by hand", "").unwrap(),
                1 => bed.teleport.delete(TCTL, &id).unwrap(),
                _ => {
                    assert!(bed.teleport.expire_now(&id));
                    // The daemon knows that the request expired only after it saw the new end.
                    bed.until_status(&daemon, "C0TEAM", &id, "⌛ EXPIRED").await;
                }
            }
            let audit = bed.decision_events(&id).len();
            let forgery = Forgery::altered(Alteration::value(&id)).and(Alteration::message_ts(&message.ts));
            let seen = bed.forge(&other_message, forgery).await;
            assert_eq!(reply_text(&daemon, &seen).await, sentence);
            assert_eq!(bed.decision_events(&id).len(), audit);
        }
        bed.assert_untouched(&daemon, &other);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn expired_or_altered_modals_decide_nothing() {
    run_in_process(async {
        let required = with_reason_policy("required");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &required).await;
        let other = bed.create_request();
        let other_message = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        let metadata: serde_json::Value = serde_json::from_str(&view.private_metadata).unwrap();
        let with = |key: &str, value: &str| {
            let mut changed = metadata.clone();
            changed[key] = json!(value);
            Alteration::set("/view/private_metadata", json!(changed.to_string()))
        };
        let ago =
            |minutes: i64| (jiff::Timestamp::now() - jiff::SignedDuration::from_mins(minutes)).to_string();
        let stale = "The form was open for too long, so nothing was decided; press the button again.";
        let elsewhere = "This is not one of the request's current messages; use a newer one, or Teleport.";
        let cases = [
            (with("o", &ago(31)), stale),
            (with("o", &ago(60)), stale),
            (with("o", &ago(-31)), stale),
            (with("r", &other), elsewhere),
            (with("t", &other_message.ts), elsewhere),
        ];
        for (number, (alteration, sentence)) in cases.into_iter().enumerate() {
            let replies_before = bed.slack.ephemerals("U0BOB").len();
            // Each has a view id of its own: the daemon handles one modal once.
            let own = Alteration::set("/view/id", json!(format!("V0FORGED{number}")));
            let seen = bed.press("U0BOB", &message, "approve").await;
            let view = opened_modal(&daemon, &seen).await;
            let submission = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]);
            let sent = submission.forged(Forgery::altered(alteration).and(own)).await.unwrap();
            assert_eq!(reply_text(&daemon, &sent.outcome).await, sentence, "{number}");
            assert_eq!(bed.slack.ephemerals("U0BOB").len(), replies_before + 1);
            bed.assert_untouched(&daemon, &id);
            bed.assert_untouched(&daemon, &other);
        }
        // Bob is not in that channel, so the daemon cannot reply there.
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        let submission = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]);
        submission.forged(Forgery::altered(with("c", "C0DBA"))).await.unwrap();
        bed.until(&daemon, "a direct message", || {
            let direct = bed.slack.messages(&bed.slack.dm_with("U0BOB")?);
            direct.into_iter().find(|message| message.text == elsewhere)
        })
        .await;
        // The user who submits the modal counts, not the user who opened it.
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        let submission = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "because")]);
        submission.forged(Forgery::altered(Alteration::user("U0ALICE"))).await.unwrap();
        let alice = bed
            .until(&daemon, "a reply to alice", || bed.slack.ephemerals("U0ALICE").pop().map(|m| m.text))
            .await;
        assert_eq!(alice, "This is your own request; somebody else must decide it.");
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn hostile_payloads_change_nothing_and_stop_nothing() {
    for transport in [Transport::Http, Transport::Socket] {
        run_in_process(async move {
            // Three approvals are needed, so a harmless payload that counts does not decide.
            let (bed, daemon, id, message) =
                start_with_pending(transport, &format!("{ANY_OF_THREE}\napprovals = 3")).await;
            let mut hostile = Alteration::hostile();
            // Payloads without a readable user come first: no reply in flight can then be mistaken for theirs.
            hostile.sort_by_key(|(name, _)| !name.contains("user"));
            for (name, alteration) in hostile {
                let alters_user = name.contains("user");
                let seen = bed.forge(&message, Forgery::altered(alteration)).await;
                if transport == Transport::Http && (name == "20 MB" || name == "a long user id") {
                    assert!(!seen.acknowledged(), "{name}");
                }
                let request = bed.teleport.request(&id).unwrap();
                assert_eq!(request.state, RequestState::Pending, "{name}");
                assert!(!alters_user || !seen.acknowledged() || seen.ephemerals().is_empty(), "{name}");
            }
            if transport == Transport::Socket {
                let sockets = bed.slack.sockets();
                bed.until(&daemon, "two sockets again", || (sockets.count() >= 2).then_some(())).await;
            }
            assert!(bed.decision_events(&id).is_empty());
            // The log names each cause once, and nothing that could be used to reply.
            let log = daemon.log();
            let warnings: Vec<_> =
                log.lines().filter(|l| l.contains("WARN") && l.contains("cannot be understood")).collect();
            let part = |line: &str| {
                line.split("understood: ").nth(1).unwrap().split(" is missing").next().unwrap().to_owned()
            };
            let parts: BTreeSet<_> = warnings.iter().map(|line| part(line)).collect();
            assert_eq!(parts.len(), warnings.len(), "{warnings:#?}");
            for wanted in ["type", "user", "actions", "action_id", "value"] {
                assert!(parts.contains(wanted), "{wanted} is not among {parts:?}");
            }
            for sent in bed.slack.interactions() {
                for secret in ["/trigger_id", "/response_url"] {
                    let secret = sent.payload.pointer(secret).and_then(|value| value.as_str());
                    assert!(secret.is_none_or(|secret| secret.len() < 20 || !log.contains(secret)));
                }
            }
            let votes = bed.record(&id);
            assert!(!field(&votes, "x_votes").contains("alice"), "{votes:?}");
            let fresh = bed.create_request();
            let message = bed.until_clickable(&daemon, "C0TEAM", &fresh).await;
            assert_eq!(
                bed.press_for_reply(&daemon, "U0DAVE", &message, "approve").await,
                "Your approval counts: 1 of 3 approvals."
            );
            bed.stop_and_check_secrets(daemon).await;
        });
    }
}

#[test]
fn slow_and_huge_connections_do_not_block_others() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        let url = callback_url(&bed, &daemon).await;
        let address = url.trim_start_matches("http://").split('/').next().unwrap().to_owned();
        let mut slow = Vec::new();
        for number in 0..100 {
            let mut stream = TcpStream::connect(&address).await.unwrap();
            let head = match number % 3 {
                0 => "POST / HT".to_owned(),
                1 => format!("POST / HTTP/1.1\r\nHost: x\r\nX-Slack-Request-Timestamp: {number}\r\n"),
                _ => "POST / HTTP/1.1\r\nHost: x\r\nX-Slack-Request-Timestamp: 1\r\nX-Slack-Signature: v0=0\r\nContent-Length: 20971520\r\n\r\npayload=".to_owned(),
            };
            stream.write_all(head.as_bytes()).await.unwrap();
            slow.push(stream);
        }
        bed.assert_bob_can_approve(&daemon, &message, &id).await;
        // The daemon ends each of them.
        for mut stream in slow {
            let ended = tokio::time::timeout(Duration::from_secs(20), async {
                let mut rest = Vec::new();
                // A reset and an orderly close both count as an end.
                let _ = stream.read_to_end(&mut rest).await;
                rest
            });
            let rest = ended.await.expect("a slow connection was kept");
            assert!(!rest.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&rest));
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}
