//! Who is told, by whichever names people go in Teleport and in Slack, and how long others wait for it.

use std::time::{Duration, Instant};

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::SlackUser;
use access_sim::teleport::Options;
use access_sim::teleport::request::NewRequest;
use access_sim::teleport::world::{Rule, User};

use crate::harness::deciding::*;
use crate::harness::*;

/// Alice, carol, bob and dave have Teleport users whose names are no addresses; alice's and bob's are linked by the table,
/// carol's by the trait.
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

/// A cluster and a workspace in which nobody's user name is an address.
async fn bed_with_plain_names() -> TestBed {
    let slack = workspace()
        .add_user(SlackUser::member("U0SMITH", "smith").email("a.smith@example.com"))
        .add_user(SlackUser::member("U0JONES", "jones").email("b.jones@example.com"));
    let bed = TestBed::with_options(Options::golden(), slack).await;
    bed.sign_as(PLUGIN_RW);
    bed.teleport.edit_fixture(|world| {
        let alice = world.user_mut(ALICE).unwrap().clone();
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
        world.users.extend(users);
        let plugin = world.role_mut(PLUGIN_RW).unwrap();
        plugin.allow.rules.push(Rule {
            resources: vec!["user".to_owned()],
            verbs: vec!["list".to_owned(), "read".to_owned()],
        });
    });
    bed
}

fn lines_of(card: &MessageView) -> String {
    (0..card.blocks.len()).map(|n| block_text(card, n)).collect::<Vec<_>>().join("\n")
}

#[test]
fn the_requester_is_never_asked_whatever_the_names() {
    run_test(async {
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
            for place in ["C0TEAM", "U0BOB", other] {
                let card = bed.until_status(&daemon, place, &id, "⏳ PENDING").await;
                assert!(button_ids(&card).contains(&"approve"), "{place}");
            }
            // Decided, so that all that there was to tell has been told.
            bed.approve(&id);
            bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
            assert!(bed.message_about(account, &id).is_none(), "{user} was asked\n{}", daemon.log());
        }
        daemon.stop().await;
    });
}

#[test]
fn suggested_reviewers_are_found_by_the_links_of_deciders_and_whoever_is_not_is_named() {
    run_test(async {
        let bed = bed_with_plain_names().await;
        let daemon = bed.start_with_review(Transport::Http, NAMES).await;
        let suggested_reviewers = ["bob", "carol", "dave@example.com", "b.ruce", "nobody@example.com", "*x*"];
        let suggested_reviewers = suggested_reviewers.map(str::to_owned).into();
        let new = NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") };
        let id = bed.create_request_with(new.clone());
        for place in ["C0TEAM", "U0BOB", "U0CAROL", "U0DAVE"] {
            bed.until(&daemon, &format!("the names in {place}"), || {
                let card = bed.message_about(place, &id)?;
                lines_of(&card)
                    .lines()
                    .find(|line| line.contains("Could not be told"))
                    .filter(|line| line.contains("b.ruce, nobody@example.com, ") && line.contains("x"))
                    .map(drop)
            })
            .await;
        }
        let line = bed.until_warned(&daemon, "Suggested reviewers could not be told").await;
        assert!(
            line.contains("b.ruce, nobody@example.com, *x*;") && line.contains("[review.users]"),
            "{line}"
        );
        let (record, messages) = (bed.record(&id), bed.slack.all_messages().len());
        daemon.stop().await;

        // A later run knows it from the record, and neither edits nor tells anything again.
        let edits = bed.slack.calls_of("chat.update").len();
        let daemon = bed.start_with_review(Transport::Http, NAMES).await;
        let next = bed.create_request();
        for place in ["C0TEAM", "U0BOB"] {
            bed.until_clickable(&daemon, place, &next).await;
        }
        assert_eq!(bed.slack.calls_of("chat.update").len(), edits, "{}", daemon.log());
        assert_eq!(field(&bed.record(&id), "x_untold"), field(&record, "x_untold"));
        assert_eq!(bed.slack.all_messages().len(), messages + 2, "the next one's two");
        assert_eq!(daemon.times_logged("Suggested reviewers could not be told"), 0, "{}", daemon.log());
        bed.approve(&id);
        let card = bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        assert!(!lines_of(&card).contains("Could not be told"), "it does not matter any more");
        daemon.stop().await;
    });
}

/// Alice asks with 95 reviewers whom she made up.
fn create_request_with_unknown_reviewers(bed: &TestBed, n: usize) -> String {
    let suggested_reviewers = (0..95).map(|k| format!("nobody-{n}-{k}@example.com")).collect();
    bed.create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") })
}

/// Somebody else who may ask for the same.
fn create_request_as_zoe(bed: &TestBed, new: NewRequest) -> String {
    let zoe = "zoe@example.com";
    bed.teleport.edit_fixture(|world| {
        if world.user_mut(zoe).is_none() {
            let alice = world.user_mut(ALICE).unwrap().clone();
            world.users.push(User { name: zoe.to_owned(), ..alice });
        }
    });
    bed.teleport.request_access(zoe, new).unwrap()
}

/// Everybody is told within a second, whatever alice's look-ups do.
async fn assert_others_notified_at_once(bed: &TestBed, daemon: &Daemon, roles: &[&str]) {
    let began = Instant::now();
    let id = create_request_as_zoe(bed, NewRequest::roles(roles, "why"));
    for place in ["C0TEAM", "U0BOB"] {
        bed.until_status(daemon, place, &id, "⏳ PENDING").await;
        assert!(began.elapsed() < Duration::from_secs(1), "{place} after {:?}", began.elapsed());
    }
}

#[test]
fn made_up_reviewers_hold_up_nobody_else() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        // Somebody has asked before, so that bob is known.
        let first = bed.create_request();
        bed.until_status(&daemon, "U0BOB", &first, "⏳ PENDING").await;
        bed.slack.faults().add(FaultRule::new("users.lookupByEmail", Fault::Delay(Duration::from_secs(2))));
        for requests in [3, 70] {
            let ids: Vec<_> =
                (0..requests).map(|n| create_request_with_unknown_reviewers(&bed, requests + n)).collect();
            // In one place the messages come in the order of the requests; only the look-ups are left then.
            for (id, place) in ids.iter().flat_map(|id| [(id, "C0TEAM"), (id, "U0BOB")]) {
                bed.until_status(&daemon, place, id, "⏳ PENDING").await;
            }
            assert_others_notified_at_once(&bed, &daemon, &["dba"]).await;
        }
        daemon.stop().await;
    });
}

#[test]
fn a_configured_recipient_is_looked_up_before_all_made_up_reviewers() {
    run_test(async {
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
        // His own look-up takes one.
        assert!(began.elapsed() < slow + Duration::from_secs(1), "after {:?}", began.elapsed());
        daemon.stop().await;
    });
}

#[test]
fn made_up_reviewers_leave_room_within_slacks_limits_and_are_not_asked_for_again() {
    run_test(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let ids: Vec<_> = (0..3).map(|n| create_request_with_unknown_reviewers(&bed, n)).collect();
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        let asked = || bed.slack.calls_of("users.lookupByEmail").len();
        bed.until(&daemon, "the first look-ups", || (asked() >= 15).then_some(())).await;
        let began = Instant::now();
        // Another requester's turn comes next, not after those 285.
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
