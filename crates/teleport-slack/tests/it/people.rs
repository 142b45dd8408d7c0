//! Which users are notified, under whatever names Teleport and Slack know them, and how long others wait.

use std::time::{Duration, Instant};

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::SlackUser;
use access_sim::teleport::Options;
use access_sim::teleport::fixture::{Rule, User};
use access_sim::teleport::request::NewRequest;

use crate::harness::deciding::*;
use crate::harness::*;

/// Alice, carol, bob and dave have Teleport user names that are no addresses. The table maps alice and bob, the trait
/// maps carol.
const NAMES: &str = r#"
    mode = "resolver"
    slack_user_id_trait = "slack_id"
    [review.users]
    U0BOB = "bob"
    U0SMITH = "smith"
    [[review.rule]]
    roles = ["*"]
    approvers = ["bob"]
    reason = "off"
"#;

/// A cluster and a workspace in which no user name is an address.
async fn bed_with_plain_names() -> TestBed {
    let slack = workspace()
        .add_user(SlackUser::member("U0SMITH", "smith").email("a.smith@example.com"))
        .add_user(SlackUser::member("U0JONES", "jones").email("b.jones@example.com"));
    let bed = TestBed::with_options(Options::golden(), slack).await;
    bed.sign_as(PLUGIN_RW);
    bed.teleport.edit_fixture(|fixture| {
        let alice = fixture.user_mut(ALICE).unwrap().clone();
        let trait_of = |id: &str| [("slack_id".to_owned(), vec![id.to_owned()])].into();
        let user = |name: &str, id: Option<&str>| User {
            name: name.to_owned(),
            traits: id.map(trait_of).unwrap_or_default(),
            ..alice.clone()
        };
        let users = [
            user("smith", None),
            user("jones", Some("U0JONES")),
            user("bob", None),
            user("carol", Some("U0CAROL")),
        ];
        fixture.users.extend(users);
        let plugin = fixture.role_mut(PLUGIN_RW).unwrap();
        plugin.allow.rules.push(Rule {
            resources: vec!["user".to_owned()],
            verbs: vec!["list".to_owned(), "read".to_owned()],
        });
    });
    bed
}

fn lines_of(message: &MessageView) -> String {
    (0..message.blocks.len()).map(|n| block_text(message, n)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_requester_is_never_notified_whatever_the_names() {
    run_in_process(async {
        let bed = bed_with_plain_names().await;
        let config = bed.review_config(Transport::Http, NAMES).replace(
            "recipients = [\"team\", \"bob@example.com\"]",
            "recipients = [\"team\", \"U0SMITH\", \"b.jones@example.com\"]\n\
             role_to_recipients = { dba = [\"a.smith@example.com\", \"U0JONES\"] }",
        );
        let (slack, roles) = config.split_once("role_to_recipients = ").unwrap();
        let (roles, rest) = roles.split_once('\n').unwrap();
        let list = roles.trim_start_matches("{ ").trim_end_matches(" }");
        let config = format!("{slack}\n{rest}\n[role_to_recipients]\n\"*\" = [\"team\"]\n{list}\n");
        let daemon = bed.launch_with_review(&config);
        bed.until_logged(&daemon, "Ready").await;
        for (user, account, other) in [("smith", "U0SMITH", "U0JONES"), ("jones", "U0JONES", "U0SMITH")] {
            let suggested_reviewers = vec![user.to_owned(), user.to_uppercase(), "bob".to_owned()];
            let new = NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") };
            let id = bed.teleport.request_access(user, new).unwrap();
            for destination in ["C0TEAM", "U0BOB", other] {
                let message = bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
                assert!(button_ids(&message).contains(&"approve"), "{destination}");
            }
            // Decided, so that every notification was sent.
            bed.approve(&id);
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
            assert!(bed.message_about(account, &id).is_none(), "{user} was asked\n{}", daemon.log());
        }
        daemon.stop().await;
    });
}

#[test]
fn suggested_reviewers_are_found_by_the_user_mapping_and_unknown_ones_are_named() {
    run_in_process(async {
        let bed = bed_with_plain_names().await;
        let daemon = bed.start_with_review(Transport::Http, NAMES).await;
        let suggested_reviewers = ["bob", "carol", "dave@example.com", "b.ruce", "nobody@example.com", "*x*"];
        let suggested_reviewers = suggested_reviewers.map(str::to_owned).into();
        let new = NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") };
        let id = bed.create_request_with(new.clone());
        for destination in ["C0TEAM", "U0BOB", "U0CAROL", "U0DAVE"] {
            bed.until(&daemon, &format!("the names in {destination}"), || {
                let message = bed.message_about(destination, &id)?;
                lines_of(&message)
                    .lines()
                    .find(|line| line.contains("Could not be told"))
                    .filter(|line| line.contains("b.ruce, nobody@example.com, ") && line.contains("x"))
                    .map(drop)
            })
            .await;
        }
        let line = bed.until_warned(&daemon, "Suggested reviewers could not be notified").await;
        assert!(
            line.contains("b.ruce, nobody@example.com, *x*;") && line.contains("[review.users]"),
            "{line}"
        );
        let (record, messages) = (bed.record(&id), bed.slack.all_messages().len());
        daemon.stop().await;

        // A later run reads it from the record. It neither edits nor posts again.
        let edits = bed.slack.calls_of("chat.update").len();
        let daemon = bed.start_with_review(Transport::Http, NAMES).await;
        let next = bed.create_request();
        for destination in ["C0TEAM", "U0BOB"] {
            bed.until_clickable(&daemon, destination, &next).await;
        }
        assert_eq!(bed.slack.calls_of("chat.update").len(), edits, "{}", daemon.log());
        assert_eq!(field(&bed.record(&id), "x_untold"), field(&record, "x_untold"));
        assert_eq!(bed.slack.all_messages().len(), messages + 2, "the next one's two");
        assert_eq!(daemon.times_logged("Suggested reviewers could not be notified"), 0, "{}", daemon.log());
        bed.approve(&id);
        let message = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        assert!(!lines_of(&message).contains("Could not be told"), "it does not matter any more");
        daemon.stop().await;
    });
}

#[test]
fn a_suggested_reviewer_who_cannot_be_notified_is_warned_of_once_whatever_the_name_is() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        // No address, none that Slack knows, no name at all; a request each, so that none hides another.
        for (name, shown) in [
            ("dave", "dave"),
            ("nobody@example.com", "nobody@example.com"),
            ("da\u{1}ve", r"da\u{1}ve"),
            ("x\n2026-01-01 ERROR forged", r"x\n2026-01-01 ERROR forged"),
            ("C0TEAM", "C0TEAM"),
        ] {
            let suggested_reviewers = vec![name.to_owned()];
            let id = bed.create_request_with(NewRequest {
                suggested_reviewers,
                ..NewRequest::roles(&["dba"], "why")
            });
            bed.until(&daemon, &format!("{name:?} in the message"), || {
                let message = bed.message_about("C0TEAM", &id)?;
                lines_of(&message).contains("Could not be told").then_some(())
            })
            .await;
            // Later reconciles have nothing new to say.
            bed.approve(&id);
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
            let log = daemon.log();
            let is_warning = |line: &&str| {
                line.contains(&id) && line.contains("Suggested reviewers could not be notified")
            };
            let lines: Vec<_> = log.lines().filter(is_warning).collect();
            assert_eq!(lines.len(), 1, "{name:?}: {log}");
            let line = lines[0];
            assert!(line.contains(" WARN ") && line.contains(&format!("notified: {shown}; ")), "{line}");
            assert!(line.contains("[review.users]"), "{line}");
        }
        daemon.stop().await;
    });
}

/// Alice creates a request with 95 invented reviewers.
fn create_request_with_unknown_reviewers(bed: &TestBed, n: usize) -> String {
    let suggested_reviewers = (0..95).map(|k| format!("nobody-{n}-{k}@example.com")).collect();
    bed.create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") })
}

/// Zoe, another requester, creates a request for the same roles.
fn create_request_as_zoe(bed: &TestBed, new: NewRequest) -> String {
    let zoe = "zoe@example.com";
    bed.teleport.edit_fixture(|fixture| {
        if fixture.user_mut(zoe).is_none() {
            let alice = fixture.user_mut(ALICE).unwrap().clone();
            fixture.users.push(User { name: zoe.to_owned(), ..alice });
        }
    });
    bed.teleport.request_access(zoe, new).unwrap()
}

/// All recipients of another request are notified within a second, whatever alice's look-ups do.
async fn assert_others_notified_at_once(bed: &TestBed, daemon: &Daemon, roles: &[&str]) {
    let began = Instant::now();
    let id = create_request_as_zoe(bed, NewRequest::roles(roles, "why"));
    for destination in ["C0TEAM", "U0BOB"] {
        bed.until_status(daemon, destination, &id, "⏳ PENDING").await;
        assert!(began.elapsed() < Duration::from_secs(1), "{destination} after {:?}", began.elapsed());
    }
}

#[test]
fn invented_reviewers_delay_no_other_recipient() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        // An earlier request resolved bob.
        let first = bed.create_request();
        bed.until_status(&daemon, "U0BOB", &first, "⏳ PENDING").await;
        bed.slack.faults().add(FaultRule::new("users.lookupByEmail", Fault::Delay(Duration::from_secs(2))));
        for requests in [3, 70] {
            let ids: Vec<_> =
                (0..requests).map(|n| create_request_with_unknown_reviewers(&bed, requests + n)).collect();
            // A channel gets messages in the order of the requests; only the look-ups are left then.
            for (id, destination) in ids.iter().flat_map(|id| [(id, "C0TEAM"), (id, "U0BOB")]) {
                bed.until_status(&daemon, destination, id, "⏳ PENDING").await;
            }
            assert_others_notified_at_once(&bed, &daemon, &["dba"]).await;
        }
        daemon.stop().await;
    });
}

#[test]
fn a_configured_recipient_is_looked_up_before_all_invented_reviewers() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed
            .start(
                r#"recipients = ["C0TEAM"]
            [role_to_recipients]
            "*" = ["bob@example.com"]
            dba = ["C0TEAM"]"#,
            )
            .await;
        let slow = Duration::from_secs(1);
        bed.slack.faults().add(FaultRule::new("users.lookupByEmail", Fault::Delay(slow)));
        let ids: Vec<_> = (0..3).map(|n| create_request_with_unknown_reviewers(&bed, n)).collect();
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        let began = Instant::now();
        let id = create_request_as_zoe(&bed, NewRequest::roles(&["admin"], "why"));
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        // Bob's own look-up takes one.
        assert!(began.elapsed() < slow + Duration::from_secs(1), "after {:?}", began.elapsed());
        daemon.stop().await;
    });
}

#[test]
fn a_configured_recipient_who_must_be_looked_up_again_does_not_wait_for_invented_reviewers() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let limited = Fault::RateLimited { retry_after: 2 };
        bed.slack.faults().add(FaultRule::new("users.lookupByEmail", limited));
        let id = create_request_with_unknown_reviewers(&bed, 0);
        bed.until_logged(&daemon, "Cannot look the recipient up: Slack's users.lookupByEmail failed").await;
        bed.until_logged(&daemon, "recipient=bob@example.com").await;
        bed.slack.faults().clear();
        // Those of the request's 95 reviewers take minutes.
        let began = Instant::now();
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        assert!(began.elapsed() < Duration::from_secs(6), "after {:?}", began.elapsed());
        daemon.stop().await;
    });
}

#[test]
fn invented_reviewers_stay_within_slacks_limits_and_are_not_looked_up_again() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let ids: Vec<_> = (0..3).map(|n| create_request_with_unknown_reviewers(&bed, n)).collect();
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        let asked = || bed.slack.calls_of("users.lookupByEmail").len();
        bed.until(&daemon, "the first look-ups", || (asked() >= 15).then_some(())).await;
        let began = Instant::now();
        // Another requester comes next, not after those 285.
        let suggested_reviewers = vec![BOB.to_owned()];
        let new = NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") };
        let id = create_request_as_zoe(&bed, new);
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        assert!(began.elapsed() < Duration::from_secs(6), "after {:?}", began.elapsed());
        assert!(asked() <= 15 + 5, "{} calls", asked());
        let mut names: Vec<_> = bed
            .slack
            .calls_of("users.lookupByEmail")
            .iter()
            .map(|call| format!("{:?}", call.arguments))
            .collect();
        let calls = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), calls, "asked again");
        daemon.stop().await;
    });
}
