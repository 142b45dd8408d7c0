//! Replies to clicks that Slack does not take: the user has them once, as soon as Slack is back.

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::users::submit::SubmitResult;

use crate::harness::deciding::*;
use crate::harness::*;

/// What the bot wrote to the user directly about clicks.
fn direct_replies(bed: &TestBed, user: &str) -> Vec<String> {
    let channel = bed.slack.dm_with(user);
    let messages = channel.map(|channel| bed.slack.messages(&channel)).unwrap_or_default();
    let texts = messages.into_iter().map(|message| message.text);
    texts
        .filter(|text| ["About your click", "You may not"].iter().any(|words| text.starts_with(words)))
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
        assert!(replies.len() == 1 && replies[0].starts_with("You may not decide"), "{replies:?}");
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
