//! `teleport-slack explain` as operators run it: the built program beside a daemon and without one, against both simulators.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::slack::workspace::{SlackUser, SlackUserKind, TokenState};
use access_sim::teleport::call_log::Method;
use access_sim::teleport::fixture::{Fixture, Rule};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{NewRequest, RequestState};
use access_sim::teleport::{Options, ServerVersion};
use serde_json::Value;

use crate::harness::deciding::*;
use crate::harness::*;

/// The exit status, standard output and standard error.
fn run(config: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    let out = command.arg("explain").arg("-c").arg(config).args(arguments).env_clear().output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

/// What is said of a request, as text.
fn explain(config: &Path, id: &str) -> String {
    let (status, text, errors) = run(config, &[id]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{text}");
    text
}

/// The same as JSON.
fn explained(config: &Path, id: &str) -> Value {
    let (status, text, errors) = run(config, &[id, "--format", "json"]);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{text}");
    serde_json::from_str(&text).unwrap()
}

/// Those without a message, with the reason.
fn not_notified(said: &Value) -> BTreeMap<String, String> {
    let text = |part: &Value, key: &str| part[key].as_str().unwrap_or_default().to_owned();
    let parts = said["not_notified"].as_array().unwrap();
    parts.iter().map(|part| (text(part, "recipient"), text(part, "reason"))).collect()
}

#[test]
fn it_only_reads_while_the_daemon_runs_and_when_it_does_not() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let config =
            bed.review_config(Transport::Socket, &ANY_OF_THREE.replace("\"off\"", "\"off\"\napprovals = 2"));
        let daemon = bed
            .start_with_review(Transport::Socket, &ANY_OF_THREE.replace("\"off\"", "\"off\"\napprovals = 2"))
            .await;
        let id = bed.create_request();
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        bed.until_clickable(&daemon, "U0BOB", &id).await;
        bed.press("U0BOB", &message, "approve").await;
        bed.until_recorded(&daemon, &id, |record| record.contains_key("x_votes")).await;
        bed.until_replies(&daemon, &message, 1).await;
        bed.until_recorded(&daemon, &id, |record| !record.contains_key("x_claim")).await;
        let path = bed.write_config(&config);
        let beside = explained(&path, &id);
        daemon.stop().await;

        let (record, messages) = (bed.record(&id), bed.slack.all_messages().len());
        let (slack, teleport) = (bed.slack.calls().len(), bed.teleport.call_log().calls().len());
        let sockets = bed.slack.sockets().opened();
        let alone = explained(&path, &id);
        assert_eq!(alone, beside, "with a daemon and without one the same is said");
        let reads = [
            "auth.test",
            "chat.getPermalink",
            "conversations.info",
            "conversations.list",
            "users.info",
            "users.lookupByEmail",
            "bots.info",
            "usergroups.users.list",
        ];
        let calls: BTreeSet<_> =
            bed.slack.calls().split_off(slack).into_iter().map(|call| call.method).collect();
        assert!(calls.iter().all(|method| reads.contains(&method.as_str())), "{calls:?}");
        let reads = [
            Method::Ping,
            Method::GetAccessRequests,
            Method::GetAccessRequestsV2,
            Method::ListAccessRequests,
            Method::GetPluginData,
            Method::GetUser,
            Method::GetUsers,
            Method::UsersGetUser,
            Method::ListUsers,
            Method::GetCurrentUserRoles,
            Method::GetRole,
        ];
        let calls = bed.teleport.call_log().calls().split_off(teleport);
        assert!(!calls.is_empty() && calls.iter().all(|call| reads.contains(&call.method)), "{calls:?}");
        assert_eq!((bed.record(&id), bed.slack.all_messages().len()), (record, messages));
        assert_eq!(bed.slack.sockets().opened(), sockets);

        // And what is said is so.
        let text = explain(&path, &id);
        assert!(text.contains(&format!("Request {id} in the cluster")), "{text}");
        assert!(
            text.contains("  #team in C0TEAM, posted 20") && text.contains(", shows pending: up to date\n"),
            "{text}"
        );
        assert!(text.contains(&format!("/archives/C0TEAM/p{}\n", message.ts.replace('.', ""))), "{text}");
        assert!(text.contains("Left to do in Slack:\n  nothing\n"), "{text}");
        assert!(text.contains("vote of bob@example.com (U0BOB, bob): approve at 20"), "{text}");
        assert!(text.contains(" in C0TEAM (#team), counts\n"), "{text}");
        assert!(text.contains("approvals: 1 of 2, missing: 1\n"), "{text}");
        assert!(text.contains("may still decide: dave@example.com\n"), "the requester may not: {text}");
        assert!(!text.contains(&bed.slack.token()) && !text.contains(&bed.slack.app().app_token), "{text}");
        assert!(!text.contains("nightly restore"), "the reason is not shown: {text}");
    });
}

#[test]
fn it_gives_the_reasons_that_the_daemon_logs() {
    run_test(async {
        let bed = TestBed::new().await;
        bed.slack.kick_bot("C0DBA");
        let recipients =
            "recipients = [\"C0TEAM\", \"C0DBA\", \"nobody@example.com\", \"alice@example.com\"]";
        let path = bed.write_config(&bed.config(recipients));
        let daemon = bed.start(recipients).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let reason = |destination: &str| {
            let is_it = |line: &&str| {
                line.contains("Left out of the plan")
                    && line.contains(&format!("request={id}"))
                    && line.contains(&format!("destination={destination} "))
            };
            let line = daemon.log().lines().find(is_it)?.to_owned();
            Some(line.split_once("reason=")?.1.to_owned())
        };
        let mut logged = BTreeMap::new();
        for destination in ["nobody@example.com", "alice@example.com", "C0DBA"] {
            logged.insert(destination, bed.until(&daemon, destination, || reason(destination)).await);
        }
        bed.until_recorded(&daemon, &id, |record| !record.contains_key("x_claim")).await;
        let said = explained(&path, &id);
        let expected = [
            ("C0DBA", "refused_by_slack"),
            ("alice@example.com", "requester"),
            ("nobody@example.com", "no_such_user"),
        ];
        assert_eq!(not_notified(&said), expected.map(|(who, why)| (who.to_owned(), why.to_owned())).into());
        for part in said["not_notified"].as_array().unwrap() {
            let (who, sentence) = (part["recipient"].as_str().unwrap(), part["sentence"].as_str().unwrap());
            if who == "C0DBA" {
                // The daemon alone knows when it tries again; what stands against it can be looked up.
                assert!(logged[who].contains("the next try is at"), "{logged:?}");
                assert_eq!(sentence, "the bot is not in the channel");
                assert!(part["remedy"].as_str().unwrap().contains("/invite @"), "{part}");
            } else {
                assert!(logged[who].contains(sentence), "{logged:?} {part}");
                assert!(
                    !sentence.contains("the next"),
                    "no time of its own is given as the daemon's: {part}"
                );
            }
        }
        let left: Vec<_> = said["operations"].as_array().unwrap().iter().collect();
        assert_eq!(
            (left.len(), left[0]["operation"].as_str(), left[0]["destination"].as_str()),
            (1, Some("post"), Some("C0DBA"))
        );
        assert!(said["not_visible"][0].as_str().unwrap().contains("HTTP 429"), "{said}");
        // What the daemon does next is what was said.
        bed.slack.invite_bot("C0DBA");
        daemon.stop().await;
        let daemon = bed.start(recipients).await;
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "messages").contains("C0DBA/") && !record.contains_key("x_claim")
        })
        .await;
        let said = explained(&path, &id);
        assert_eq!(said["operations"], Value::Array(Vec::new()), "{said}");
        daemon.stop().await;
    });
}

#[test]
fn of_a_direct_message_by_its_id_it_says_whose_it_is() {
    run_test(async {
        let bed = TestBed::new().await;
        for user in ["U0BOB", "U0CAROL"] {
            bed.post_as_bot(&serde_json::json!({ "channel": user, "text": "hello" })).await;
        }
        let refusal = FaultRule::new("chat.postMessage", Fault::Error("channel_not_found".into()));
        bed.slack.faults().add(refusal.in_channel("D0CAROL"));
        let recipients = "recipients = [\"D0BOB\", \"D0CAROL\"]";
        let path = bed.write_config(&bed.config(recipients));
        let daemon = bed.start(recipients).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").contains("D0BOB")).await;
        daemon.stop().await;
        let text = explain(&path, &id);
        assert!(text.contains("\n  D0BOB (bob, bob@example.com), posted"), "{text}");
        assert!(text.contains("\n  D0CAROL (carol): the message is still to be posted"), "{text}");
    });
}

#[test]
fn of_a_reviewer_who_cannot_be_notified_it_says_who_and_what_helps() {
    run_test(async {
        let bed = TestBed::new().await;
        let path = bed.write_config(&bed.config(r#"recipients = ["C0TEAM", "nobody@example.com"]"#));
        let long = format!("\u{1}{}", "y".repeat(200));
        let suggested_reviewers = vec!["dave".to_owned(), "da\u{1}ve".to_owned()];
        let new = NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") };
        let one = bed.create_request_with(new.clone());
        let many = bed.create_request_with(NewRequest { suggested_reviewers: vec![long; 7], ..new });
        let text = explain(&path, &one);
        for words in [
            "  @dave: no user in Slack matches the recipient\n      remedy: correct the name in Teleport, or link the Teleport user to an account in Slack by a line in [review.users]\n",
            "  nobody@example.com: no user in Slack matches the recipient\n      remedy: correct the name in the configuration, or invite the person to Slack\n",
            "  all: 1 suggested reviewer has a name that no user can have: da\\u{1}ve\n      remedy: correct the suggested reviewers in Teleport\n",
        ] {
            assert!(text.contains(words), "{words} in {text}");
        }
        let text = explain(&path, &many);
        let cut = format!("\\u{{1}}{}…", "y".repeat(62));
        let words = format!("  all: 7 suggested reviewers have names that no user can have: {cut}, ");
        assert!(text.contains(&words) && text.contains(&format!("{cut} and 2 more\n")), "{text}");
    });
}

#[test]
fn a_killed_daemon_leaves_a_claim_and_a_post_in_doubt_and_both_are_shown() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let both = r#"recipients = ["C0TEAM", "C0DBA"]"#;
        let daemon = bed.start(both).await;
        bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Hang).in_channel("C0DBA").times(1));
        let id = bed.create_request();
        bed.until_recorded(&daemon, &id, |record| field(record, "messages").starts_with("C0TEAM/")).await;
        daemon.kill().await;
        let path = bed.write_config(&bed.config(both));
        let said = explained(&path, &id);
        assert_eq!(not_notified(&said), [("C0DBA".to_owned(), "in_doubt".to_owned())].into());
        let doubt = &said["operations"][0];
        assert_eq!(
            (doubt["operation"].as_str(), doubt["destination"].as_str()),
            (Some("verify"), Some("C0DBA"))
        );
        assert!(doubt["not_before"].is_string(), "{said}");
        let holder = said["claim"]["holder"].as_str().unwrap();
        assert!(field(&bed.record(&id), "x_claim").contains(holder), "{said}");
        // Another daemon does what was said: it looks, finds nothing, and posts.
        let daemon = bed.start(both).await;
        bed.until_status(&daemon, "C0DBA", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| {
            !record.contains_key("x_claim") && !record.contains_key("x_doubts")
        })
        .await;
        let said = explained(&path, &id);
        assert!(said["claim"].is_null() && not_notified(&said).is_empty(), "{said}");
        daemon.stop().await;
    });
}

#[test]
fn each_phase_is_shown_after_the_daemon_was_away() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        let ids = [(); 4].map(|()| bed.create_request());
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
            bed.until_recorded(&daemon, id, |record| {
                record.contains_key("x_delivery") && !record.contains_key("x_claim")
            })
            .await;
        }
        daemon.stop().await;
        let [pending, approved, denied, deleted] = &ids;
        bed.approve(approved);
        bed.teleport.set_state(TCTL, denied, RequestState::Denied, "no", "").unwrap();
        bed.teleport.delete(TCTL, deleted).unwrap();
        let path = bed.write_config(&bed.config(r#"recipients = ["C0TEAM"]"#));
        for (id, phase, state, left) in [
            (pending, "pending", "current", &[][..]),
            (approved, "approved", "outdated", &["update", "reply"]),
            (denied, "denied", "outdated", &["update"]),
            (deleted, "deleted", "outdated", &["update"]),
        ] {
            let said = explained(&path, id);
            assert_eq!(said["request"]["phase"], phase);
            assert_eq!(said["request"]["found"], id != deleted);
            assert_eq!(said["messages"][0]["state"], state, "{said}");
            let operations =
                said["operations"].as_array().unwrap().iter().map(|part| part["operation"].as_str().unwrap());
            assert_eq!(operations.collect::<Vec<_>>(), left, "{said}");
        }
        let text = explain(&path, approved);
        assert!(text.contains("The request was approved by bob@example.com\n"), "{text}");
        // A daemon does just that.
        let daemon = bed.start(r#"recipients = ["C0TEAM"]"#).await;
        bed.until_status(&daemon, "C0TEAM", approved, "✅ APPROVED (looks fine)").await;
        bed.until_status(&daemon, "C0TEAM", denied, "❌ DENIED (no)").await;
        bed.until_deleted(&daemon, "C0TEAM", deleted).await;
        for id in &ids {
            bed.until_recorded(&daemon, id, |record| !record.contains_key("x_claim")).await;
            let nothing = bed.holds_within(std::time::Duration::from_secs(20), Some(&daemon), || {
                let said = explained(&path, id);
                (said["operations"] == Value::Array(Vec::new())).then_some(())
            });
            nothing.await.unwrap_or_else(|| panic!("{}", explained(&path, id)));
        }
        daemon.stop().await;
    });
}

#[test]
fn a_vote_whose_account_was_deactivated_counts_no_more() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let review = ANY_OF_THREE.replace("\"off\"", "\"off\"\napprovals = 2");
        let (daemon, id, message) = bed.start_with_buttons(Transport::Socket, &review).await;
        bed.press("U0BOB", &message, "approve").await;
        bed.until_recorded(&daemon, &id, |record| record.contains_key("x_votes")).await;
        daemon.stop().await;
        bed.slack.put_user(SlackUser::member("U0BOB", "bob").kind(SlackUserKind::Deactivated));
        let path = bed.write_config(&bed.review_config(Transport::Socket, &review));
        let said = explained(&path, &id);
        let vote = &said["deciding"]["votes"][0];
        assert_eq!(
            (vote["counts"].as_bool(), vote["status"].as_str()),
            (Some(false), Some("ineligible")),
            "{said}"
        );
        assert_eq!(said["deciding"]["approvals"]["missing"], 2);
        // If the account cannot be read, what was noted is shown, and that it is so.
        let fault = Fault::Status { status: 503, body: String::new() };
        bed.slack.faults().add(FaultRule::new("users.info", fault).about_user("U0BOB"));
        let said = explained(&path, &id);
        assert_eq!(said["deciding"]["votes"][0]["status"], "counts", "{said}");
        assert!(said["not_visible"].to_string().contains("noted last is shown"), "{said}");
    });
}

#[test]
fn without_slack_it_explains_with_ids() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let recipients = r#"recipients = ["team", "bob@example.com", "carol@example.com"]"#;
        let daemon = bed.start(recipients).await;
        let id = bed.create_request();
        bed.until_status(&daemon, "U0CAROL", &id, "⏳ PENDING").await;
        bed.until_recorded(&daemon, &id, |record| {
            field(record, "messages").split(',').count() == 3 && !record.contains_key("x_claim")
        })
        .await;
        daemon.stop().await;
        let more = r#"recipients = ["team", "bob@example.com", "carol@example.com", "dave@example.com"]"#;
        let config = bed.config(more);
        let away = config.replace(&bed.slack.api_url(), "http://127.0.0.1:1/api/");
        bed.slack.set_token_state(TokenState::Revoked);
        for (config, cause) in [(away, "refused"), (config, "token_revoked")] {
            let said = explained(&bed.write_config(&config), &id);
            assert_eq!(said["messages"].as_array().unwrap().len(), 3, "{said}");
            assert_eq!(said["messages"][0]["channel"], "C0TEAM");
            assert!(said["messages"][0]["link"].is_null(), "{said}");
            let reasons = not_notified(&said);
            let why = reasons["dave@example.com"].as_str();
            assert!(["lookup_in_progress", "lookup_failed"].contains(&why), "{said}");
            assert!(said["not_visible"][0].as_str().unwrap().contains(cause), "{said}");
        }
    });
}

#[test]
fn what_is_no_request_has_its_sentence_and_its_status() {
    run_test(async {
        let bed = TestBed::new().await;
        let path = bed.write_config(&bed.config(r#"recipients = ["C0TEAM"]"#));
        let unknown = "8f77d2d1-2bbf-4031-a300-58926237a807";
        let (status, text, errors) = run(&path, &[unknown]);
        assert_eq!((status, errors.as_str()), (Some(1), ""), "{text}");
        for words in [
            "no access request with this id",
            "expired and been removed",
            "another cluster than",
            "tctl requests ls",
        ] {
            assert!(text.contains(words), "{text}");
        }
        let (status, text, _) = run(&path, &[unknown, "--format", "json"]);
        let said: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, &said["exit_status"]), (Some(1), &Value::from(1)));
        assert!(said["request"]["phase"].is_null() && said["record"]["found"] == false, "{text}");

        let long = "a".repeat(5_000);
        let calls = bed.teleport.call_log().calls().len();
        for hostile in ["", "a b", "../../x", "\u{1b}[2Jid", "id\u{202e}", "$(reboot)", "8f77d2d1/..", &long]
        {
            let (status, text, errors) = run(&path, &[hostile]);
            assert_eq!((status, text.as_str()), (Some(2), ""), "{hostile:?}");
            assert!(errors.contains("is no id of an access request; copy it from the message"), "{errors}");
            assert!(errors.len() < 500 && !errors.contains(['\u{1b}', '\u{202e}']), "{errors:?}");
        }
        assert_eq!(bed.teleport.call_log().calls().len(), calls, "nothing was asked");

        let config = bed.config(r#"recipients = ["C0TEAM"]"#);
        let away = config.replace(&bed.teleport.addr().to_string(), "127.0.0.1:1");
        let (status, text, errors) = run(&bed.write_config(&away), &[unknown]);
        assert_eq!((status, text.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains("cannot connect to the Teleport auth server"), "{errors}");
        let (status, _, errors) = run(&bed.write_config("x = 1"), &[unknown]);
        assert_eq!(status, Some(78), "{errors}");
        std::fs::remove_file(bed.dir.path().join("auth.crt")).unwrap();
        let (status, _, errors) = run(&bed.write_config(&config), &[unknown]);
        assert_eq!(status, Some(77), "{errors}");
    });
}

#[test]
fn foreign_and_unreadable_records_are_shown_as_such() {
    run_test(async {
        let bed = TestBed::new().await;
        let path = bed.write_config(&bed.config(r#"recipients = ["C0TEAM", "bob@example.com"]"#));
        let entry = |record: &[(&str, &str)]| -> BTreeMap<Vec<u8>, Vec<u8>> {
            record.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.as_bytes().to_vec())).collect()
        };
        let [theirs, broken, fresh] = [(); 3].map(|()| bed.create_request());
        let go = entry(&[("user", ALICE), ("roles", "dba"), ("messages", "C0TEAM/1795770722.000100")]);
        bed.teleport.set_plugin_data(&theirs, "slack", go).unwrap();
        let said = explained(&path, &theirs);
        assert_eq!(said["record"]["from_go_plugin"], true);
        assert!(said["messages"][0]["recipient"].is_null(), "{said}");
        assert_eq!(not_notified(&said), [(String::new(), "notified_by_go_plugin".to_owned())].into());
        let text = explain(&path, &theirs);
        assert!(
            text.contains("Teleport's own plugin posted messages")
                && text.contains("a recipient who is not recorded in C0TEAM"),
            "{text}"
        );
        assert!(text.contains("Slack does not find it any more"), "{text}");

        let torn = entry(&[
            ("x_delivery", "{\"not\":\"a list\"}"),
            ("x_votes", "of another version"),
            ("x_new", "1"),
        ]);
        bed.teleport.set_plugin_data(&broken, "slack", torn).unwrap();
        let said = explained(&path, &broken);
        assert_eq!(said["record"]["unreadable"], serde_json::json!(["x_delivery"]));
        assert_eq!(said["record"]["unknown"], serde_json::json!(["x_new", "x_votes"]));
        assert!(
            said["record"]["sentence"]
                .as_str()
                .unwrap()
                .contains("votes in the record are of another version"),
            "{said}"
        );

        let said = explained(&path, &fresh);
        assert!(said["record"]["sentence"].as_str().unwrap().starts_with("There is no record"), "{said}");
        let both = ["C0TEAM", "bob@example.com"].map(|who| (who.to_owned(), "not_posted_yet".to_owned()));
        assert_eq!(not_notified(&said), both.into());
    });
}

#[test]
fn a_request_that_may_be_hidden_is_not_called_gone() {
    run_test(async {
        let options = Options::new(ServerVersion::V15, Fixture::golden_15("local-site", true));
        let bed = TestBed::with_options(options, workspace()).await;
        let id = bed.create_request();
        let rule = |resource: &str, verbs: &[&str]| Rule {
            resources: vec![resource.to_owned()],
            verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect(),
        };
        let rules = vec![rule("access_request", &["list"]), rule("access_plugin_data", &["read", "update"])];
        bed.teleport.edit_fixture(|fixture| fixture.role_mut("access-plugin").unwrap().allow.rules = rules);
        let path = bed.write_config(&bed.config(r#"recipients = ["C0TEAM"]"#));
        let (status, text, errors) = run(&path, &[&id]);
        assert_eq!((status, errors.as_str()), (Some(1), ""), "{text}");
        assert!(text.contains("do not prove that there is none"), "{text}");
    });
}
