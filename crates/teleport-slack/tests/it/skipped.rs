//! Why a request was not posted: at DEBUG the log says what the daemon left out and for which reason.

use access_sim::slack::faults::{Fault, FaultRule};

use crate::harness::*;

const LEFT_OUT: &str = "Left out of the plan";

/// The lines about this destination of this request.
fn lines(log: &str, id: &str, destination: &str) -> Vec<String> {
    let fields = [LEFT_OUT.to_owned(), format!("request={id}"), format!("destination={destination} ")];
    let is_one = |line: &&str| line.contains(" DEBUG ") && fields.iter().all(|field| line.contains(field));
    log.lines().filter(is_one).map(str::to_owned).collect()
}

#[test]
fn the_log_says_once_why_a_request_was_not_posted() {
    run_test(async {
        let workspace = workspace().add_channel("C0OLD", "old-approvers");
        let bed = TestBed::with_options(access_sim::teleport::Options::golden(), workspace).await;
        bed.slack.set_archived("C0OLD", true);
        let daemon = bed
            .start("recipients = [\"C0TEAM\", \"C0OLD\", \"nobody@example.com\", \"alice@example.com\"]")
            .await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let expected = [
            ("C0OLD", "Slack failed or refused it, or its rate limit holds; the next try is at 2"),
            ("nobody@example.com", "no user in Slack matches the recipient; the next look-up is at 2"),
            ("alice@example.com", "the recipient is the requester, who is never asked"),
        ];
        for (destination, reason) in expected {
            let line = bed.until(&daemon, destination, || lines(&daemon.log(), &id, destination).pop()).await;
            assert!(line.contains("operation=post") && line.contains(reason), "{line}");
        }
        // More reconciliations have nothing new to say.
        bed.approve(&id);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        bed.until_replies(&daemon, &message, 1).await;
        let log = daemon.stop().await;
        for (destination, _) in expected {
            assert_eq!(lines(&log, &id, destination).len(), 1, "{destination}: {log}");
        }
        assert!(lines(&log, &id, "C0TEAM").is_empty(), "what is up to date is not left out: {log}");
    });
}

#[test]
fn a_request_without_any_recipient_says_so() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start("[role_to_recipients]\nother = [\"C0TEAM\"]").await;
        let id = bed.create_request();
        let line = bed.until(&daemon, LEFT_OUT, || lines(&daemon.log(), &id, "\"\"").pop()).await;
        assert!(line.contains("no recipient is configured or suggested for this request"), "{line}");
        daemon.stop().await;
    });
}

#[test]
fn a_request_that_another_instance_works_on_waits_for_its_claim() {
    run_test(async {
        let bed = TestBed::new().await;
        let slow = Fault::Delay(std::time::Duration::from_secs(3));
        bed.slack.faults().add(FaultRule::new("chat.postMessage", slow).times(1));
        let daemons =
            [bed.start(r#"recipients = ["C0TEAM"]"#).await, bed.start(r#"recipients = ["C0TEAM"]"#).await];
        let id = bed.create_request();
        let line = bed
            .until(&daemons[0], "a claim that is waited for", || {
                let said = daemons.iter().flat_map(|daemon| lines(&daemon.log(), &id, "C0TEAM"));
                said.into_iter().find(|line| line.contains("another instance works on this request"))
            })
            .await;
        assert!(line.contains("the next look is at 2"), "{line}");
        bed.until_status(&daemons[0], "C0TEAM", &id, "⏳ PENDING").await;
        for daemon in daemons {
            daemon.stop().await;
        }
        assert_eq!(bed.messages_about("C0TEAM", &id).len(), 1);
    });
}
