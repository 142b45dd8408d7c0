//! Configured recipients: the daemon resolves them at start and notifies each once, under however many names.

use std::time::{Duration, Instant};

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::rate::RateLimits;
use access_sim::slack::workspace::{SlackUser, SlackUserKind};
use access_sim::teleport::Options;
use access_sim::teleport::request::NewRequest;
use serde_json::json;

use crate::harness::*;

const POST: &str = "chat.postMessage";
/// README's scopes.
const MINIMAL_SCOPES: [&str; 3] = ["chat:write", "users:read", "users:read.email"];

#[test]
fn every_configured_recipient_is_checked_at_start() {
    run_in_process(async {
        let workspace = workspace()
            .add_channel("C0OLD", "old-approvers")
            .add_channel("C0GONE", "gone")
            .add_channel("C0FAR", "far")
            .add_user(SlackUser::member("U0EVE", "eve").kind(SlackUserKind::Deactivated));
        let bed = TestBed::with_options(Options::golden(), workspace).await;
        for channel in ["C0OLD", "C0GONE"] {
            bed.slack.set_archived(channel, true);
        }
        bed.slack.kick_bot("C0FAR");
        let rules = "recipients = [\"team\", \"#dba-approvers\", \"old-approvers\", \"nowhere\", \"far\", \"bob@example.com\", \"nobody@example.com\", \"U0EVE\", \"U0NOBODY\", \"C0TEAM\", \"C0GONE\"]\n[role_to_recipients]\ndba = [\"C0NONE\", \"team\"]";
        let daemon = bed.start(rules).await;
        for (who, words) in [
            ("channel=#old-approvers", "The channel is archived"),
            ("channel=C0GONE", "The channel is archived"),
            ("channel=#nowhere", "Slack knows no public channel of this name"),
            ("channel=#far", "The bot is not in the channel"),
            ("channel=C0NONE", "Slack knows no such channel"),
            ("recipient=nobody@example.com", "No user in this Slack workspace matches this recipient"),
            ("recipient=U0NOBODY", "No user in this Slack workspace matches this recipient"),
            ("recipient=U0EVE", "This recipient is deactivated"),
        ] {
            let named = |line: &&str| line.contains(words) && line.contains(who);
            let line = bed.until(&daemon, who, || daemon.log().lines().find(named).map(str::to_owned)).await;
            assert!(line.contains(" WARN "), "{line}");
        }
        let log = daemon.stop().await;
        let is_warning = |line: &&str| line.contains(" WARN ") && !line.contains("Configuration:");
        assert_eq!(log.lines().filter(is_warning).count(), 8, "{log}");
        assert_eq!(bed.slack.calls_of("conversations.list").len(), 1);
        assert!(bed.slack.calls_of(POST).is_empty());
    });
}

#[test]
fn with_the_readmes_scopes_unchecked_recipients_are_logged_once() {
    run_in_process(async {
        let bed = TestBed::with_options(Options::golden(), workspace().with_scopes(&MINIMAL_SCOPES)).await;
        let rules = "recipients = [\"team\", \"C0DBA\"]\n[role_to_recipients]\ndba = [\"dba-approvers\", \"bob@example.com\", \"nobody@example.com\"]";
        let daemon = bed.start(rules).await;
        let line = bed.until_logged(&daemon, "Channels cannot be looked at when starting").await;
        assert!(line.contains("INFO") && line.contains("channels:read and groups:read"), "{line}");
        bed.until_warned(&daemon, "No user in this Slack workspace matches this recipient").await;
        let log = daemon.stop().await;
        assert_eq!(log.matches("cannot be looked at when starting").count(), 1, "{log}");
        let is_warning = |line: &&str| line.contains(" WARN ") && !line.contains("Configuration:");
        assert_eq!(log.lines().filter(is_warning).count(), 1, "{log}");
        for method in ["conversations.list", "conversations.info"] {
            assert!(bed.slack.calls_of(method).is_empty(), "{method} could only be refused");
        }
    });
}

#[test]
fn a_start_during_an_outage_logs_what_it_could_not_check_and_works() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let away = Fault::Status { status: 503, body: String::new() };
        for method in ["conversations.list", "conversations.info", "users.lookupByEmail"] {
            bed.slack.faults().add(FaultRule::new(method, away.clone()).times(1));
        }
        let daemon = bed.start(r#"recipients = ["team", "C0DBA", "bob@example.com"]"#).await;
        let words = "3 recipients cannot be looked at when starting: Slack's conversations.info failed: HTTP status 503";
        bed.until_warned(&daemon, words).await;
        let id = bed.create_request();
        for destination in ["C0TEAM", "C0DBA", "U0BOB"] {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
        }
        let log = daemon.stop().await;
        assert_eq!(log.matches("be looked at").count(), 1, "{log}");
    });
}

#[test]
fn a_recipient_is_checked_at_start_after_the_wait_that_slack_asks_for() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.set_archived("C0TEAM", true);
        bed.slack.set_archived("C0DBA", true);
        let limited = Fault::RateLimited { retry_after: 1 };
        for method in ["conversations.list", "conversations.info", "users.lookupByEmail"] {
            bed.slack.faults().add(FaultRule::new(method, limited.clone()).times(1));
        }
        let daemon = bed.start(r#"recipients = ["team", "C0DBA", "gone@example.com"]"#).await;
        for words in ["channel=#team", "channel=C0DBA", "recipient=gone@example.com"] {
            bed.until_warned(&daemon, words).await;
        }
        let log = daemon.stop().await;
        assert!(!log.contains("cannot be looked at when starting"), "{log}");
    });
}

#[test]
fn a_channel_given_by_id_and_by_name_gets_one_message_with_any_scopes() {
    run_in_process(async {
        let by_role = "recipients = [\"C0TEAM\"]\n[role_to_recipients]\n\"dba\" = [\"team\", \"C0DBA\"]";
        let both_ways = r##"recipients = ["C0TEAM", "#team", "dba-approvers", "C0DBA"]"##;
        for workspace in [workspace().with_scopes(&MINIMAL_SCOPES), workspace()] {
            for rules in [by_role, both_ways] {
                let bed = TestBed::with_options(Options::golden(), workspace.clone()).await;
                let mut ids = Vec::new();
                // Also after a restart: the daemon remembers no names then and reconciles the older requests again.
                for _ in 0..2 {
                    let daemon = bed.start(rules).await;
                    ids.push(bed.create_request());
                    for id in &ids {
                        for channel in ["C0TEAM", "C0DBA"] {
                            bed.until_status(&daemon, channel, id, "⏳ PENDING").await;
                        }
                        bed.until_recorded(&daemon, id, |record| {
                            field(record, "messages").split(',').count() == 2
                                && !record.contains_key("x_claim")
                        })
                        .await;
                    }
                    daemon.stop().await;
                }
                let daemon = bed.start(rules).await;
                for id in &ids {
                    bed.approve(id);
                    bed.until_status(&daemon, "C0TEAM", id, "✅ APPROVED (looks fine)").await;
                }
                daemon.stop().await;
                let messages = |channel: &str| {
                    let mut notified: Vec<_> =
                        bed.slack.messages(channel).iter().filter_map(request_id_of).collect();
                    let count = notified.len();
                    notified.sort();
                    notified.dedup();
                    (notified.len(), count)
                };
                for channel in ["C0TEAM", "C0DBA"] {
                    let (requests, messages) = messages(channel);
                    assert_eq!(requests, messages, "{channel} with {rules}");
                }
            }
        }
    });
}

#[test]
fn an_unknown_name_delays_no_other_recipient() {
    run_test(async {
        let bed = TestBed::with_options(Options::golden(), workspace().with_scopes(&MINIMAL_SCOPES)).await;
        let daemon = bed.start(r#"recipients = ["nowhere", "C0TEAM", "bob@example.com"]"#).await;
        for _ in 0..3 {
            let (id, asked) = (bed.create_request(), Instant::now());
            for destination in ["C0TEAM", "U0BOB"] {
                bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            }
            assert!(asked.elapsed() < Duration::from_secs(5), "notified after {:?}", asked.elapsed());
        }
        daemon.stop().await;
    });
}

/// How often the test kills the daemon during a post, unless the environment says otherwise.
const KILLS: usize = 5;

/// `KILLS=200 cargo test --test it recipients::posts -- --nocapture` runs the full measurement.
#[test]
fn posts_in_doubt_to_a_channel_name_are_resolved_with_one_list() {
    run_in_process(async {
        let kills = std::env::var("KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
        let bed = TestBed::new().await;
        bed.slack.set_rate_limits(Some(RateLimits::default()));
        // The daemon knows no channel names when it starts.
        let unlisted = || {
            let away = Fault::Status { status: 503, body: String::new() };
            bed.slack.faults().add(FaultRule::new("conversations.list", away).times(1))
        };
        let config = r#"recipients = ["team"]"#;
        bed.slack.faults().add(FaultRule::new(POST, Fault::Hang));
        let mut ids = Vec::new();
        for _ in 0..kills {
            unlisted();
            let daemon = bed.start(config).await;
            let before = bed.slack.calls_of(POST).len();
            ids.push(bed.create_request_with(NewRequest::roles(&["dba"], "why")));
            bed.until(&daemon, "a post", || (bed.slack.calls_of(POST).len() > before).then_some(())).await;
            daemon.kill().await;
        }
        bed.slack.faults().clear();
        unlisted();
        let listed = bed.slack.calls_of("conversations.list").len();
        let (daemon, begun) = (bed.start(config).await, Instant::now());
        let shown = || ids.iter().filter(|id| bed.message_about("C0TEAM", id).is_some()).count();
        bed.until_within(Duration::from_secs(1_800), &daemon, "all", || (shown() == kills).then_some(()))
            .await;
        let took = begun.elapsed().as_secs_f32();
        daemon.stop().await;
        let lists = bed.slack.calls_of("conversations.list").len() - listed;
        println!("{kills} kills: the last message after {took:.0} s, channels listed {lists} times");
        assert_eq!(bed.slack.all_messages().len(), kills);
        assert!(lists <= 2, "channels were listed {lists} times");
    });
}

#[test]
fn a_person_who_has_a_message_by_address_gets_no_second_one_by_id() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["bob@example.com"]"#).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "x_delivery").contains("\"u\":\"U0BOB\""))
            .await;
        daemon.stop().await;
        // The configuration has the id now; or both, and the address cannot be looked up.
        let limited = Fault::RateLimited { retry_after: 60 };
        bed.slack.faults().add(FaultRule::new("users.lookupByEmail", limited));
        for (recipients, other) in
            [(r#"["U0BOB", "C0TEAM"]"#, "C0TEAM"), (r#"["bob@example.com", "U0BOB", "C0DBA"]"#, "C0DBA")]
        {
            let daemon = bed.start(&format!("recipients = {recipients}")).await;
            bed.until_status(&daemon, other, &id, "⏳ PENDING").await;
            bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains(other)).await;
            daemon.stop().await;
            assert_eq!(bed.messages_about("U0BOB", &id).len(), 1, "{recipients}");
        }
    });
}

#[test]
fn a_channel_that_has_a_message_by_id_gets_no_second_one_by_name() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0DBA"]"#).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains("C0DBA")).await;
        daemon.stop().await;
        let of = |bed: &TestBed, id: &str| {
            bed.messages_about("C0DBA", id).into_iter().map(|message| message.ts).collect::<Vec<_>>()
        };
        let first = of(&bed, &id);
        // The configuration has the name now, and Slack does not answer which channel that is.
        let away = Fault::Status { status: 503, body: String::new() };
        for method in ["conversations.list", "conversations.info"] {
            bed.slack.faults().add(FaultRule::new(method, away.clone()));
        }
        let daemon = bed.start(r#"recipients = ["dba-approvers", "C0TEAM"]"#).await;
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains("C0TEAM")).await;
        bed.slack.faults().clear();
        bed.until_status(&daemon, "C0DBA", &bed.create_request(), "⏳ PENDING").await;
        daemon.stop().await;
        assert_eq!(of(&bed, &id), first);
        // It may not say so: the answer to a post does, and the record keeps it.
        bed.slack.remove_scope("channels:read");
        bed.slack.remove_scope("groups:read");
        let mut posts = Vec::new();
        for user in ["U0BOB", "U0CAROL"] {
            let before = bed.slack.calls_of(POST).len();
            let daemon = bed.start(&format!(r#"recipients = ["dba-approvers", "{user}"]"#)).await;
            bed.until_status(&daemon, user, &id, "⏳ PENDING").await;
            bed.until_recorded(&daemon, &id, |record| {
                let (messages, keys) = (field(record, "messages"), field(record, "x_delivery"));
                messages.matches("C0DBA").count() == 1
                    && keys.contains("#dba-approvers")
                    && keys.contains(user)
            })
            .await;
            daemon.stop().await;
            assert_eq!(of(&bed, &id), first);
            posts.push(bed.slack.calls_of(POST).len() - before);
        }
        // For both requests to the name and to bob, then to carol alone.
        assert_eq!(posts, [3, 2]);
    });
}

#[test]
fn the_id_of_a_direct_message_stands_for_its_person() {
    run_in_process(async {
        let bed = TestBed::new().await;
        for user in ["U0ALICE", "U0BOB", "U0CAROL"] {
            bed.post_as_bot(&json!({ "channel": user, "text": "hello" })).await;
        }
        let recipients = r#"recipients = ["C0TEAM", "D0ALICE", "U0BOB", "D0BOB", "D0CAROL", "U0CAROL"]"#;
        let daemon = bed.start(recipients).await;
        let id = bed.create_request();
        for destination in ["C0TEAM", "U0BOB", "U0CAROL"] {
            bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
        }
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").split(',').count() == 3).await;
        let log = daemon.stop().await;
        let is_warning = |line: &str| line.contains(" WARN ") && !line.contains("Configuration:");
        assert!(!log.lines().any(is_warning), "{log}");
        // Named otherwise since, while Slack does not show whose it is.
        bed.slack.remove_scope("im:write");
        bed.slack.remove_scope("mpim:write");
        let daemon = bed.start(r#"recipients = ["C0DBA", "D0BOB", "carol@example.com"]"#).await;
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains("C0DBA")).await;
        daemon.stop().await;
        for user in ["U0BOB", "U0CAROL"] {
            assert_eq!(bed.messages_about(user, &id).len(), 1, "{user}");
        }
        assert!(bed.messages_about("U0ALICE", &id).is_empty(), "the requester is not asked");
    });
}

#[test]
fn a_direct_message_gets_its_message_also_where_slack_does_not_show_whose_it_is() {
    run_in_process(async {
        let bed = TestBed::with_options(Options::golden(), workspace().with_scopes(&MINIMAL_SCOPES)).await;
        bed.post_as_bot(&json!({ "channel": "U0BOB", "text": "hello" })).await;
        let refusal = FaultRule::new(POST, Fault::Error("channel_not_found".into()));
        bed.slack.faults().add(refusal.in_channel("D0BOB").times(1));
        let daemon = bed.start(r#"recipients = ["D0BOB"]"#).await;
        let words =
            "This recipient cannot be looked at when starting: the Slack token lacks a scope (im:write)";
        bed.until_warned(&daemon, words).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "D0BOB", &id, "⏳ PENDING").await;
        let log = daemon.stop().await;
        assert!(log.contains("a person may have blocked the app") && !log.contains("/invite"), "{log}");
    });
}
