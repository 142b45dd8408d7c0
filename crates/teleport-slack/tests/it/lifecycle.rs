//! The whole path: a request reaches Slack, and its message stays current until the request is decided or deleted.

use std::time::Duration;

use access_sim::slack::workspace::SlackUser;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{Decision, NewRequest, RequestState, Resource};
use access_sim::teleport::{Options, ServerVersion, fixture::Fixture};

use crate::harness::*;

const TEAM_AND_BOB: &str = r#"recipients = ["team", "bob@example.com"]"#;

#[test]
fn a_request_is_shown_to_a_channel_and_a_person_and_resolved_by_a_review() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(TEAM_AND_BOB).await;
        let id = bed.create_request();
        for destination in ["C0TEAM", "U0BOB"] {
            let message = bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            assert_eq!(block_text(&message, 0), "You have a new Role Request:");
            assert_eq!(
                block_text(&message, 1),
                format!(
                    "*ID*: {id}\n*Cluster*: local-site\n*User*: alice@example.com\n*Role(s)*: dba\n*Reason*: nightly restore\n\
                     *Approve*: `tctl request approve {id}`\n*Deny*: `tctl request deny {id}`\n"
                )
            );
            assert!(
                message.text.contains("alice@example.com") && message.text.contains("dba"),
                "{}",
                message.text
            );
            let metadata = message.metadata.unwrap();
            assert_eq!(metadata["event_payload"]["request_id"], id.as_str());
        }
        bed.approve(&id);
        for destination in ["C0TEAM", "U0BOB"] {
            let message = bed.until_status(&daemon, destination, &id, "✅ APPROVED (looks fine)").await;
            assert!(!block_text(&message, 1).contains("tctl request"));
            let replies = bed.until_replies(&daemon, &message, 1).await;
            let reply = &replies[0].text;
            assert!(reply.starts_with("bob@example.com reviewed the request at "), "{reply}");
            assert!(reply.ends_with(".\nResolution: ✅ APPROVED.\nReason: looks fine."), "{reply}");
        }
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "resolution") == "APPROVED" && field(record, "reviews_count") == "1"
        })
        .await;
        daemon.stop().await;
    });
}

#[test]
fn denial_by_tctl_deletion_and_expiry_are_shown() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let [denied, deleted, expired] = [bed.create_request(), bed.create_request(), bed.create_request()];
        for id in [&denied, &deleted, &expired] {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        bed.teleport.set_state(TCTL, &denied, RequestState::Denied, "not today", "").unwrap();
        bed.until_status(&daemon, "C0TEAM", &denied, "❌ DENIED (not today)").await;
        bed.teleport.delete(TCTL, &deleted).unwrap();
        bed.until_deleted(&daemon, "C0TEAM", &deleted).await;
        assert!(bed.teleport.expire_now(&expired));
        bed.until_status(&daemon, "C0TEAM", &expired, "⌛ EXPIRED").await;
        daemon.stop().await;
    });
}

#[test]
fn an_outcome_is_shown_even_if_the_request_is_deleted_at_once() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.approve(&id);
        bed.teleport.delete(TCTL, &id).unwrap();
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        daemon.stop().await;
    });
}

#[test]
fn a_late_deletion_by_the_server_does_not_keep_the_message_pending() {
    run_in_process(async {
        let options = Options {
            pending_ttl: Duration::from_secs(2),
            delete_delay: Duration::from_secs(3_600),
            ..Options::golden()
        };
        let bed = TestBed::with_options(options, workspace()).await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_status(&daemon, "C0TEAM", &id, "⌛ EXPIRED").await;
        daemon.stop().await;
    });
}

#[test]
fn two_approvals_are_counted_on_the_message() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let id = bed
            .teleport
            .request_access("carol@example.com", NewRequest::roles(&["admin"], "two needed"))
            .unwrap();
        let progress = |message: &access_sim::slack::snapshot::MessageView| block_text(message, 3);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_eq!(progress(&message), "0 of 2 approvals");
        bed.approve(&id);
        bed.until(&daemon, "the count", || {
            bed.message_about("C0TEAM", &id).filter(|message| progress(message) == "1 of 2 approvals")
        })
        .await;
        bed.teleport.review(DAVE, &id, Decision::Approve, "").unwrap();
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED").await;
        assert_eq!(progress(&message), "Decided by bob@example.com, dave@example.com");
        let replies = bed.until_replies(&daemon, &message, 2).await;
        assert!(replies[0].text.starts_with(BOB) && replies[1].text.starts_with(DAVE));
        daemon.stop().await;
    });
}

#[test]
fn suggested_reviewers_and_role_recipients_are_notified_once_and_the_requester_never() {
    run_in_process(async {
        let bed = TestBed::new().await;
        // Alice is a recipient by Slack id. Bob is one twice, by id and by address.
        let rules = "recipients = [\"U0ALICE\", \"U0BOB\", \"bob@example.com\", \"alice@example.com\"]\n\
                     [role_to_recipients]\n\"dba\" = \"C0DBA\"\n\"*\" = [\"team\"]";
        let daemon = bed.start(rules).await;
        let suggested = vec![DAVE.to_owned(), ALICE.to_owned(), "octocat".to_owned()];
        let id = bed.create_request_with(NewRequest {
            suggested_reviewers: suggested,
            ..NewRequest::roles(&["dba"], "why")
        });
        for destination in ["C0DBA", "U0BOB", "U0DAVE"] {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
        }
        let other = bed.create_request_with(NewRequest::roles(&["admin"], "why"));
        bed.until_status(&daemon, "C0TEAM", &other, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").split(',').count() == 3).await;
        daemon.stop().await;
        assert_eq!(bed.slack.dm_with("U0ALICE"), None);
        assert!(bed.message_about("C0TEAM", &id).is_none() && bed.message_about("C0DBA", &other).is_none());
        assert_eq!(bed.slack.all_messages().len(), 5);
    });
}

#[test]
fn with_enterprise_the_message_has_the_link_and_all_fields() {
    run_in_process(async {
        let options = Options {
            advanced_access_workflows: true,
            proxy_public_addr: "teleport.example.com:443".into(),
            ..Options::new(ServerVersion::V18, Fixture::golden())
        };
        let bed =
            TestBed::with_options(options, workspace().add_user(SlackUser::member("U0ERIN", "erin"))).await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let node = |name: &str| Resource {
            cluster: "local-site".into(),
            kind: "node".into(),
            name: name.into(),
            sub_resource: String::new(),
        };
        let id = bed.create_request_with(NewRequest {
            resources: vec![node("web-1"), node("web-2")],
            assume_start: Some(jiff::Timestamp::now() + jiff::SignedDuration::from_hours(1)),
            ..NewRequest::roles(&["dba"], "with everything")
        });
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let lines = block_text(&message, 1);
        assert!(
            lines.contains(&format!("*Link*: <https://teleport.example.com/web/requests/{id}>")),
            "{lines}"
        );
        let facts = block_text(&message, 3);
        for fact in [
            "*Resources*: node web-1",
            "web-2",
            "*Access until*: <!date^",
            "*Starts*: <!date^",
            "*Request expires*: <!date^",
        ] {
            assert!(facts.contains(fact), "{fact} is missing in {facts}");
        }
        bed.teleport.promote(&id, "Database team").unwrap();
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏫ PROMOTED").await;
        assert_eq!(block_text(&message, 3), "To access list “Database team”");
        daemon.stop().await;
    });
}

#[test]
fn without_enterprise_the_message_has_commands_and_no_link() {
    run_in_process(async {
        let options = Options { proxy_public_addr: "teleport.example.com:443".into(), ..Options::golden() };
        let bed = TestBed::with_options(options, workspace()).await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let id = bed.create_request();
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let lines = block_text(&message, 1);
        assert!(lines.contains(&format!("*Approve*: `tctl request approve {id}`")), "{lines}");
        assert!(!lines.contains("*Link*") && !message.text.contains("teleport.example.com"), "{lines}");
        daemon.stop().await;
    });
}

#[test]
fn requests_of_every_server_version_are_listed() {
    run_in_process(async {
        for version in ServerVersion::ALL {
            let bed = TestBed::with_options(Options::new(version, Fixture::golden()), workspace()).await;
            let before = bed.create_request();
            let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
            bed.until_status(&daemon, "C0TEAM", &before, "⏳ PENDING").await;
            let after = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &after, "⏳ PENDING").await;
            daemon.stop().await;
        }
    });
}
