//! Replies to clicks that Slack does not take: the user has them once, as soon as Slack is back.

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::users::submit::SubmitResult;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::RequestState;

use crate::harness::deciding::*;
use crate::harness::*;

/// No call to Slack gets an answer.
fn take_slack_away(bed: &TestBed) {
    bed.slack.faults().add(FaultRule::new("*", Fault::Reset));
}

/// Slack is back, except that it takes no message to these users.
fn bring_slack_back_without(bed: &TestBed, users: &[&str]) {
    bed.slack.faults().clear();
    for user in users {
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Reset).in_channel(user));
    }
}

/// A user presses a button, and the daemon cannot reply.
async fn press_without_reply(
    bed: &TestBed,
    daemon: &Daemon,
    user: &str,
    message: &MessageView,
    button: &str,
) {
    let ours = format!("slack_user={user}");
    let waits = || {
        let log = daemon.log();
        log.lines().filter(|line| line.contains("The reply waits for Slack") && line.contains(&ours)).count()
    };
    let before = waits();
    bed.press(user, message, button).await;
    bed.until(daemon, &format!("a reply to {user} waits"), || (waits() > before).then_some(())).await;
}

/// What the bot wrote to the user directly about clicks.
fn direct_replies(bed: &TestBed, user: &str) -> Vec<String> {
    let channel = bed.slack.dm_with(user);
    let messages = channel.map(|channel| bed.slack.messages(&channel)).unwrap_or_default();
    let texts = messages.into_iter().map(|message| message.text);
    texts
        .filter(|text| {
            ["About your click", "You may not", "The request is"].iter().any(|words| text.starts_with(words))
        })
        .collect()
}

async fn until_logged_of(bed: &TestBed, daemon: &Daemon, words: &str, user: &str) {
    let ours = format!("slack_user={user}");
    let is_logged = || daemon.log().lines().any(|line| line.contains(words) && line.contains(&ours));
    bed.until(daemon, &format!("{words} {ours}"), || is_logged().then_some(())).await;
}

#[test]
fn a_reply_that_slack_did_not_take_is_given_once_when_it_is_back() {
    run_in_process(async {
        let policy = with_reason_policy("required");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &policy).await;
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        bed.slack.faults().add(FaultRule::new("*", Fault::Reset));
        let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "fine")]).await.unwrap();
        assert!(matches!(sent.result, SubmitResult::Closed), "{:?}", sent.result);
        // A button, too, and a refusal that has nothing to do with Slack.
        bed.press("U0DAVE", &message, "approve").await;
        for user in ["U0BOB", "U0DAVE"] {
            until_logged_of(&bed, &daemon, "The reply waits for Slack", user).await;
            assert_eq!(direct_replies(&bed, user), [""; 0]);
        }
        bed.slack.faults().clear();
        for user in ["U0BOB", "U0DAVE"] {
            until_logged_of(&bed, &daemon, "The Slack user has the reply", user).await;
            let replies = direct_replies(&bed, user);
            let [text] = &replies[..] else { panic!("{replies:?}") };
            assert!(text.starts_with("About your click of <!date^") && text.contains(&id), "{text}");
            let reason = ": Slack does not tell who you are, so nothing was decided; try again in a minute.";
            assert!(text.ends_with(reason), "{text}");
        }
        bed.assert_untouched(&daemon, &id);
        // What the reply says helps.
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "fine")]).await.unwrap();
        assert_eq!(reply_text(&daemon, &sent.outcome).await, "The request is approved.");
        let log = daemon.stop().await;
        assert!(!log.contains("Cannot reply"), "{log}");
        assert_eq!([direct_replies(&bed, "U0BOB").len(), direct_replies(&bed, "U0DAVE").len()], [1, 1]);
    });
}

#[test]
fn a_reply_that_slack_took_without_saying_so_is_not_given_again() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        for method in ["response_url", "chat.postEphemeral"] {
            bed.slack.faults().add(FaultRule::new(method, Fault::Reset));
        }
        let lost = FaultRule::new("chat.postMessage", Fault::HalfBody).in_channel("U0CAROL").after_work();
        bed.slack.faults().add(lost);
        bed.press("U0CAROL", &message, "deny").await;
        until_logged_of(&bed, &daemon, "The reply waits for Slack", "U0CAROL").await;
        until_logged_of(&bed, &daemon, "The Slack user has the reply", "U0CAROL").await;
        let replies = direct_replies(&bed, "U0CAROL");
        let [text] = &replies[..] else { panic!("{replies:?}") };
        let before = text.find(", to which Slack may have shown you an answer before: You may not decide");
        assert!(text.starts_with("About your click of <!date^") && before.is_some(), "{text}");
        bed.assert_untouched(&daemon, &id);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn the_log_names_the_user_who_has_no_reply_before_the_stop() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.slack.faults().add(FaultRule::new("*", Fault::Reset));
        bed.press("U0DAVE", &message, "deny").await;
        until_logged_of(&bed, &daemon, "The reply waits for Slack", "U0DAVE").await;
        let log = daemon.stop().await;
        let words = "Cannot reply to the Slack user before the stop";
        let lines: Vec<_> = log.lines().filter(|line| line.contains(words)).collect();
        let [line] = &lines[..] else { panic!("{log}") };
        assert!(line.contains("slack_user=U0DAVE") && line.contains(&id), "{line}");
    });
}

#[test]
fn a_late_reply_says_what_holds_when_it_is_given_and_none_follows_a_later_one() {
    run_in_process(async {
        let policy = with_reason_policy("required");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &policy).await;
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        take_slack_away(&bed);
        bed.slack.submit_view("U0BOB", &view.id, &[("reason", "first")]).await.unwrap();
        until_logged_of(&bed, &daemon, "The reply waits for Slack", "U0BOB").await;
        press_without_reply(&bed, &daemon, "U0DAVE", &message, "approve").await;
        bring_slack_back_without(&bed, &["U0BOB", "U0DAVE"]);
        let view = opened_modal(&daemon, &bed.press("U0BOB", &message, "approve").await).await;
        let sent = bed.slack.submit_view("U0BOB", &view.id, &[("reason", "second")]).await.unwrap();
        assert_eq!(reply_text(&daemon, &sent.outcome).await, "The request is approved.");
        bed.slack.faults().clear();
        // This one waited behind that to bob.
        until_logged_of(&bed, &daemon, "The Slack user has the reply", "U0DAVE").await;
        let replies = direct_replies(&bed, "U0DAVE");
        let [text] = &replies[..] else { panic!("{replies:?}") };
        assert!(text.starts_with("About your click of <!date^") && text.contains(&id), "{text}");
        let now = ": This request was already approved by bob@example.com (second); nothing was changed.";
        assert!(text.ends_with(now), "{text}");
        assert_eq!(direct_replies(&bed, "U0BOB"), [""; 0]);
        let log = daemon.stop().await;
        assert!(!log.contains("Cannot reply"), "{log}");
    });
}

#[test]
fn what_counted_is_said_although_a_later_click_could_not_be_looked_into() {
    run_in_process(async {
        let two = ANY_OF_THREE.replace("reason = \"off\"", "reason = \"off\"\napprovals = 2");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &two).await;
        for method in ["response_url", "chat.postEphemeral", "chat.postMessage"] {
            bed.slack.faults().add(FaultRule::new(method, Fault::RateLimited { retry_after: 1 }));
        }
        press_without_reply(&bed, &daemon, "U0BOB", &message, "approve").await;
        take_slack_away(&bed);
        bed.press("U0BOB", &message, "approve").await;
        bed.until_interactions(&daemon, 2).await;
        press_without_reply(&bed, &daemon, "U0DAVE", &message, "approve").await;
        bed.slack.faults().clear();
        for user in ["U0BOB", "U0DAVE"] {
            until_logged_of(&bed, &daemon, "The Slack user has the reply", user).await;
        }
        let replies = direct_replies(&bed, "U0BOB");
        let [text] = &replies[..] else { panic!("{replies:?}") };
        assert!(text.ends_with(": Your approval counts: 1 of 2 approvals."), "{text}");
        assert!(text.contains(&id), "{text}");
        daemon.stop().await;
    });
}

#[test]
fn a_reply_that_cannot_be_given_holds_up_no_other() {
    run_in_process(async {
        let (bed, daemon, _, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        take_slack_away(&bed);
        press_without_reply(&bed, &daemon, "U0CAROL", &message, "approve").await;
        press_without_reply(&bed, &daemon, "U0DAVE", &message, "approve").await;
        bring_slack_back_without(&bed, &["U0CAROL"]);
        until_logged_of(&bed, &daemon, "The Slack user has the reply", "U0DAVE").await;
        assert_eq!(direct_replies(&bed, "U0CAROL"), [""; 0]);
        bed.slack.faults().clear();
        until_logged_of(&bed, &daemon, "The Slack user has the reply", "U0CAROL").await;
        assert_eq!([direct_replies(&bed, "U0CAROL").len(), direct_replies(&bed, "U0DAVE").len()], [1, 1]);
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn one_late_reply_is_given_for_each_user_and_request() {
    run_in_process(async {
        let (bed, daemon, _, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        take_slack_away(&bed);
        for _ in 0..3 {
            press_without_reply(&bed, &daemon, "U0DAVE", &message, "approve").await;
        }
        press_without_reply(&bed, &daemon, "U0CAROL", &message, "approve").await;
        bed.slack.faults().clear();
        for user in ["U0DAVE", "U0CAROL"] {
            until_logged_of(&bed, &daemon, "The Slack user has the reply", user).await;
        }
        daemon.stop().await;
        assert_eq!([direct_replies(&bed, "U0DAVE").len(), direct_replies(&bed, "U0CAROL").len()], [1, 1]);
    });
}

#[test]
fn an_answer_that_slack_may_have_shown_comes_again_as_a_repetition() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        bed.slack.faults().add(FaultRule::new("response_url", Fault::HalfBody).after_work());
        let seen = bed.press("U0CAROL", &message, "deny").await;
        let shown = || seen.ephemerals().into_iter().map(|shown| shown.text).collect::<Vec<_>>();
        let shown =
            bed.until(&daemon, "two answers", || Some(shown()).filter(|shown| shown.len() == 2)).await;
        assert!(shown[0].starts_with("You may not decide"), "{shown:?}");
        let again = format!(", to which Slack may have shown you an answer before: {}", shown[0]);
        assert!(shown[1].starts_with("About your click of <!date^") && shown[1].contains(&id), "{shown:?}");
        assert!(shown[1].ends_with(&again), "{shown:?}");
        bed.slack.faults().add(FaultRule::new("chat.postEphemeral", Fault::HalfBody).after_work());
        bed.press("U0CAROL", &message, "approve").await;
        let direct = || Some(direct_replies(&bed, "U0CAROL")).filter(|direct| !direct.is_empty());
        let direct = bed.until(&daemon, "the direct message", direct).await;
        assert!(direct.len() == 1 && direct[0].ends_with(&again), "{direct:?}");
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn replies_that_are_given_up_at_the_stop_have_one_line() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Socket, ANY_OF_THREE).await;
        take_slack_away(&bed);
        for user in ["U0DAVE", "U0CAROL", "U0BOB"] {
            press_without_reply(&bed, &daemon, user, &message, "deny").await;
        }
        let log = daemon.stop().await;
        let lines: Vec<_> = log.lines().filter(|line| line.contains("Cannot reply")).collect();
        let [line] = &lines[..] else { panic!("{log}") };
        let named = format!("U0DAVE on {id}, U0CAROL on {id}, U0BOB (bob) on {id}");
        assert!(line.contains(&format!("Cannot reply to the Slack users {named} before the stop")), "{line}");
        assert!(line.contains(" WARN ") && line.contains("left=3"), "{line}");
    });
}

#[test]
fn late_replies_that_wait_are_shown_and_counted() {
    run_in_process(async {
        let review = format!("{ANY_OF_THREE}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\"");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &review).await;
        let waiting = async || {
            let (_, text) = daemon.get("/status.json").await;
            serde_json::from_str::<serde_json::Value>(&text).unwrap()["waiting"].clone()
        };
        assert_eq!(daemon.metrics().await["pending_replies"], 0.0);
        take_slack_away(&bed);
        press_without_reply(&bed, &daemon, "U0DAVE", &message, "approve").await;
        let shown = waiting().await;
        let of_dave = shown["items"].as_array().unwrap().iter().find(|item| item["operation"] == "answer");
        let of_dave = of_dave.unwrap_or_else(|| panic!("{shown:#}"));
        assert_eq!((&of_dave["destination"], &of_dave["request"]), (&"U0DAVE".into(), &id.as_str().into()));
        assert!(shown["total"].as_u64() > Some(0) && of_dave["attempts"].as_u64() > Some(0), "{shown:#}");
        assert_eq!(daemon.metrics().await["pending_replies"], 1.0);
        bed.slack.faults().clear();
        until_logged_of(&bed, &daemon, "The Slack user has the reply", "U0DAVE").await;
        assert_eq!(
            (waiting().await["total"].clone(), daemon.metrics().await["pending_replies"]),
            (0.into(), 0.0)
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_late_reply_says_that_teleport_cannot_be_asked() {
    run_in_process(async {
        let (bed, daemon, _, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        take_slack_away(&bed);
        press_without_reply(&bed, &daemon, "U0DAVE", &message, "approve").await;
        bed.teleport.stop().await;
        bed.slack.faults().clear();
        until_logged_of(&bed, &daemon, "The Slack user has the reply", "U0DAVE").await;
        let replies = direct_replies(&bed, "U0DAVE");
        let words = "try again in a minute. I cannot ask Teleport whether that still holds; the request's message shows it.";
        assert!(replies.len() == 1 && replies[0].ends_with(words), "{replies:?}");
        daemon.stop().await;
    });
}

/// Slack takes no replies and new messages, and answers everything else.
fn refuse_replies(bed: &TestBed) {
    for method in ["response_url", "chat.postEphemeral", "chat.postMessage"] {
        bed.slack.faults().add(FaultRule::new(method, Fault::RateLimited { retry_after: 1 }));
    }
}

/// An administrator opens the approved request again, and its message shows it.
async fn reopen(bed: &TestBed, daemon: &Daemon, id: &str) {
    bed.until_status(daemon, "C0TEAM", id, "✅ APPROVED").await;
    bed.teleport.set_state(TCTL, id, RequestState::Pending, "", "").unwrap();
    bed.until_status(daemon, "C0TEAM", id, "⏳ PENDING").await;
}

/// Slack takes replies again: what bob reads about the click on this request, after which click it was.
async fn late_reply_to_bob(bed: &TestBed, daemon: &Daemon, id: &str) -> String {
    bed.slack.faults().clear();
    let given = || {
        let about = |text: &String| text.starts_with("About your click") && text.contains(id);
        direct_replies(bed, "U0BOB").into_iter().find(about)
    };
    let text = bed.until(daemon, "the late reply", given).await;
    text.split_once(", which I could not answer then: ").unwrap_or_else(|| panic!("{text}")).1.to_owned()
}

#[test]
fn a_late_reply_says_that_the_request_was_opened_again() {
    run_in_process(async {
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, ANY_OF_THREE).await;
        refuse_replies(&bed);
        press_without_reply(&bed, &daemon, "U0BOB", &message, "approve").await;
        assert_eq!(bed.teleport.request(&id).unwrap().state, RequestState::Approved);
        reopen(&bed, &daemon, &id).await;
        assert_eq!(
            late_reply_to_bob(&bed, &daemon, &id).await,
            "The request was approved. Since then it was opened again, and your approval does not count any more."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn a_late_reply_says_that_the_vote_does_not_count_any_more() {
    run_in_process(async {
        let two = ANY_OF_THREE.replace("reason = \"off\"", "reason = \"off\"\napprovals = 2");
        let (bed, daemon, id, message) = start_with_pending(Transport::Http, &two).await;
        refuse_replies(&bed);
        press_without_reply(&bed, &daemon, "U0BOB", &message, "approve").await;
        bed.teleport.set_state(TCTL, &id, RequestState::Approved, "", "").unwrap();
        reopen(&bed, &daemon, &id).await;
        assert_eq!(
            late_reply_to_bob(&bed, &daemon, &id).await,
            "Your approval counted. Since then the request was decided and opened again, and your approval does not count any more."
        );
        // Nothing becomes of another request, but the rule names bob no more.
        let other = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &other).await;
        refuse_replies(&bed);
        press_without_reply(&bed, &daemon, "U0BOB", &message, "approve").await;
        let without_bob = two.replace("approvers = [\"bob@example.com\", ", "approvers = [");
        assert_ne!(without_bob, two);
        bed.write_config(&bed.review_config(Transport::Http, &without_bob));
        daemon.signal("HUP");
        bed.until_logged(&daemon, "The new configuration is in use").await;
        assert_eq!(
            late_reply_to_bob(&bed, &daemon, &other).await,
            "Your approval counted. It does not count now: the rules do not name you for this request."
        );
        bed.stop_and_check_secrets(daemon).await;
    });
}
