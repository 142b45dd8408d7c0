//! Mistakes in the configuration and hostile text: each is logged with its remedy or made harmless, and the other
//! requests and recipients are served as usual.

use std::collections::BTreeMap;

use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::{Channel, SlackUser, SlackUserKind};
use access_sim::teleport::fixture::{Conditions, Fixture, RequestConditions, Role, User};
use access_sim::teleport::request::{Decision, NewRequest, Resource};
use access_sim::teleport::{Options, ServerVersion};

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;
/// The log line of refused posts.
const REFUSED: &str = "Slack's chat.postMessage failed";

/// Asserts that the start ends with `status` and logs all of these words, and that nothing was posted.
async fn assert_rejected(bed: &TestBed, config: &str, status: i32, words: &[&str]) {
    let (code, log) = bed.run_to_exit(config).await;
    assert_eq!(code, Some(status), "{log}");
    for words in words {
        assert!(log.contains(words), "{words:?} is not in\n{log}");
    }
    assert_eq!(bed.slack.all_messages().len(), 0);
}

/// Whether the line names this subject and cause. Recipients are logged twice: at start, and then for a request.
fn line_matches(line: &str, subject: &str, words: &[&str]) -> bool {
    let is_of_a_request = !subject.starts_with("recipient=") || line.contains(" request=");
    is_of_a_request && line.contains(subject) && words.iter().all(|words| line.contains(words))
}

/// The level of the only error or warning that names this subject and cause.
async fn log_level_of(bed: &TestBed, daemon: &Daemon, subject: &str, words: &[&str]) -> String {
    until_logged_once(bed, daemon, subject, words).await;
    let log = daemon.log();
    let line = log.lines().find(|line| line_matches(line, subject, words)).unwrap();
    line.split_whitespace().nth(1).unwrap().to_owned()
}

/// Waits for the error or warning about this subject and cause; it must come once.
async fn until_logged_once(bed: &TestBed, daemon: &Daemon, subject: &str, words: &[&str]) {
    let is_warning = |line: &&str| line.contains("ERROR") || line.contains("WARN");
    let count = || {
        let log = daemon.log();
        log.lines().filter(is_warning).filter(|line| line_matches(line, subject, words)).count()
    };
    bed.until(daemon, &format!("{subject} logged with {words:?}"), || (count() > 0).then_some(())).await;
    assert_eq!(count(), 1, "{}", daemon.log());
}

#[test]
fn callbacks_without_tls_end_the_start_before_any_call() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let review = "[review]\nenabled = true\nallow_email_username_match = true\nsigning_secret = \"0123456789abcdef\"";
        let words = ["https_key_file and https_cert_file under [http]", "--insecure-no-tls"];
        assert_rejected(&bed, &bed.config(&format!("{TEAM}\n{review}")), 78, &words).await;
        assert_eq!(bed.slack.calls().len(), 0, "nothing was begun");
    });
}

#[test]
fn the_daemon_waits_only_for_scopes_that_everything_needs() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.slack.remove_scope("chat:write");
        let daemon = bed.launch(&bed.config(TEAM));
        let line = bed.until_warned(&daemon, "lacks the scope chat:write").await;
        let remedy = "add it under OAuth & Permissions of the Slack app and install the app again";
        assert!(line.contains(" ERROR ") && line.contains(remedy), "{line}");
        bed.slack.add_scope("chat:write");
        bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;

        bed.slack.remove_scope("users:read.email");
        let daemon = bed.start(r#"recipients = ["bob@example.com", "C0TEAM"]"#).await;
        let remedy = "add it under OAuth & Permissions of the Slack app and install the app again";
        until_logged_once(&bed, &daemon, "scope=users:read.email", &["lacks a scope", remedy]).await;
        for _ in 0..2 {
            let id = bed.create_request();
            bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        }
        let words = ["missing_scope", "needed: users:read.email", "add the missing scope"];
        until_logged_once(&bed, &daemon, "refuses this to the app, for any recipient", &words).await;
        daemon.stop().await;
    });
}

#[test]
fn unreachable_channels_are_logged_and_the_others_notified() {
    run_in_process(async {
        let workspace = workspace()
            .with_channel(Channel::public("C0OUT", "out"))
            .with_channel(Channel::private("C0HIDDEN", "hidden"));
        let bed = TestBed::with_options(Options::golden(), workspace.add_channel("C0OLD", "old")).await;
        bed.slack.set_archived("C0OLD", true);
        let rules = r##"recipients = ["C0OUT", "C0HIDDEN", "C0OLD", "C0NONE", "#nowhere", "team"]"##;
        let daemon = bed.start(rules).await;
        // At start the daemon checks channels that are given by id.
        until_logged_once(
            &bed,
            &daemon,
            "channel=C0OUT",
            &["not in the channel", "type /invite @teleport in the channel"],
        )
        .await;
        for subject in ["channel=C0NONE", "channel=C0HIDDEN"] {
            until_logged_once(
                &bed,
                &daemon,
                subject,
                &["no such channel", "correct the id or invite the bot"],
            )
            .await;
        }
        until_logged_once(&bed, &daemon, "channel=C0OLD", &["is archived", "unarchive it"]).await;
        // When a request comes, one line covers all requests.
        let ids = [bed.create_request(), bed.create_request()];
        for id in &ids {
            bed.until_status(&daemon, "C0TEAM", id, "⏳ PENDING").await;
        }
        let unknown = [REFUSED, "channel_not_found", "correct the channel's name or id; invite the app"];
        until_logged_once(
            &bed,
            &daemon,
            "destination=C0OUT",
            &[REFUSED, "not_in_channel", "type /invite @teleport in the channel"],
        )
        .await;
        until_logged_once(
            &bed,
            &daemon,
            "destination=C0OLD",
            &[REFUSED, "is_archived", "restore the channel"],
        )
        .await;
        for subject in ["destination=C0NONE", "destination=C0HIDDEN", "destination=nowhere"] {
            until_logged_once(&bed, &daemon, subject, &unknown).await;
        }
        daemon.stop().await;

        // After the fix every channel gets what it missed, and none gets a message twice.
        for channel in ["C0OUT", "C0HIDDEN"] {
            bed.slack.invite_bot(channel);
        }
        bed.slack.set_archived("C0OLD", false);
        let daemon = bed.start(rules).await;
        for channel in ["C0OUT", "C0HIDDEN", "C0OLD", "C0TEAM"] {
            for id in &ids {
                bed.until_status(&daemon, channel, id, "⏳ PENDING").await;
            }
        }
        daemon.stop().await;
        assert_eq!(bed.slack.all_messages().len(), 8);
    });
}

#[test]
fn unknown_people_are_logged_once_and_not_looked_up_repeatedly() {
    run_in_process(async {
        let deactivated = |id, name| SlackUser::member(id, name).kind(SlackUserKind::Deactivated);
        let workspace =
            workspace().add_user(deactivated("U0GONE", "gone")).add_user(deactivated("U0LEFT", "left"));
        let bed = TestBed::with_options(Options::golden(), workspace).await;
        let rules = r#"recipients = ["unknown@example.com", "U0UNKNOWN", "U0GONE", "left@example.com", "bob@example.com", "team"]"#;
        let daemon = bed.start(rules).await;
        for _ in 0..5 {
            let id = bed.create_request();
            for destination in ["C0TEAM", "U0BOB"] {
                bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            }
        }
        let not_found =
            ["No user in this Slack workspace", "correct it in the configuration", "invite the person"];
        until_logged_once(&bed, &daemon, "recipient=unknown@example.com", &not_found).await;
        until_logged_once(&bed, &daemon, "recipient=U0UNKNOWN", &not_found).await;
        until_logged_once(&bed, &daemon, "recipient=left@example.com", &not_found).await;
        let no_longer_active = ["deactivated in Slack", "take it out of the configuration"];
        until_logged_once(&bed, &daemon, "recipient=U0GONE", &no_longer_active).await;
        daemon.stop().await;
        for method in ["users.lookupByEmail", "users.info"] {
            let mut asked = BTreeMap::new();
            for call in bed.slack.calls_of(method) {
                let times = asked.entry(format!("{:?}", call.arguments)).or_insert(0);
                *times += 1;
                // Once at start, which caches no user, and once for the first request.
                assert!(*times <= 2, "asked again: {call:?}");
            }
        }
        assert_eq!(bed.slack.all_messages().len(), 10);
    });
}

#[test]
fn a_missing_configured_recipient_is_an_error_and_a_suggested_one_a_warning() {
    run_in_process(async {
        let deactivated = SlackUser::member("U0GONE", "gone").kind(SlackUserKind::Deactivated);
        let bed = TestBed::with_options(Options::golden(), workspace().add_user(deactivated)).await;
        let rules = r#"recipients = ["C0NONE", "unknown@example.com", "U0GONE", "C0TEAM"]"#;
        let daemon = bed.start(rules).await;
        let suggested_reviewers = vec!["typo@example.com".to_owned()];
        let id =
            bed.create_request_with(NewRequest { suggested_reviewers, ..NewRequest::roles(&["dba"], "why") });
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        let not_found = "No user in this Slack workspace";
        for (subject, words, expected) in [
            ("destination=C0NONE", "channel_not_found", "ERROR"),
            ("recipient=unknown@example.com", not_found, "ERROR"),
            ("recipient=U0GONE", "deactivated in Slack", "ERROR"),
            ("could not be notified: typo@example.com;", "correct them in Teleport", "WARN"),
        ] {
            assert_eq!(log_level_of(&bed, &daemon, subject, &[words]).await, expected, "{}", daemon.log());
        }
        daemon.stop().await;
    });
}

/// Mentions, links, control and reordering characters, lines, quotes, fences and markup of every sort.
const HOSTILE: &str = "<!channel> <!here|x> <@U0BOB> <#C0TEAM> <!subteam^S0ALL> @here @bob #team \
    <https://evil.example/|click> https://evil.example/x evil.example a@evil.example <mailto:a@evil.example> \
    \u{202e}gnp.exe\u{202c}\u{2066}\u{200b}\u{feff}\u{0}\u{7}\u{1b}[31m\u{9b}0m\r\n\n*Status:* ✅ APPROVED\u{2028}\u{85}\u{b}\
    \n*ID*: forged\n>>> quote\n```\nrm -rf /\n``` `tick` *b* _i_ ~s~ &lt;!channel&gt; :boom: <!date^0^{date}|now>";

/// A cluster in which a user with a hostile name may request a hostile role, and a reviewer with one may review it.
fn hostile_fixture() -> Fixture {
    let mut fixture = Fixture::golden();
    let everything = || vec!["*".to_owned()];
    let requester = Role {
        name: "requests all".into(),
        allow: Conditions {
            request: RequestConditions { roles: everything(), ..RequestConditions::default() },
            review: everything(),
            ..Conditions::default()
        },
        ..Role::default()
    };
    for name in [HOSTILE.to_owned(), format!("reviewer {HOSTILE}")] {
        fixture.users.push(User { name, roles: vec![requester.name.clone()], ..User::default() });
    }
    fixture.roles.extend([requester, Role { name: HOSTILE.into(), ..Role::default() }]);
    fixture.cluster = format!("cluster {HOSTILE}");
    fixture
}

/// Asserts that no user is mentioned, nothing is linked, emphasized or left unescaped, and dates are the daemon's.
fn assert_harmless(message: &MessageView) {
    let effects = message.effects();
    assert!(effects.mentions_no_user(), "{effects:?}");
    assert_eq!((&effects.channels, &effects.links, &effects.unrecognized), (&vec![], &vec![], &vec![]));
    assert!(effects.dates.iter().all(|date| date.timestamp > 1_000_000_000), "{effects:?}");
    let whole = format!("{}{}", message.text, serde_json::to_string(&message.blocks).unwrap());
    let unfit = |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!whole.contains(unfit), "{whole:?}");
    let marked = mrkdwn_texts(message);
    for styled in ["*b*", "_i_", "~s~", ":boom:", " *Status", " Status:*", " *ID*", "↵ ✅"] {
        assert!(!marked.contains(styled), "{styled} in {marked}");
    }
}

/// All texts in which Slack reads markup.
fn mrkdwn_texts(message: &MessageView) -> String {
    let texts = message.blocks.iter().flat_map(|block| {
        let elements = block["elements"].as_array().into_iter().flatten();
        elements.chain([&block["text"]]).filter(|text| text["type"] == "mrkdwn")
    });
    let texts = texts.filter_map(|text| text["text"].as_str());
    texts.chain([message.text.as_str()]).collect::<Vec<_>>().join("\n")
}

/// Asserts that the second block of a pending request has these lines in this order.
fn assert_usual_lines(message: &MessageView, with_reason: bool) {
    let text = block_text(message, 1);
    let mut names =
        vec!["*ID*: ", "*Cluster*: ", "*User*: ", "*Role(s)*: ", "*Reason*: ", "*Approve*: ", "*Deny*: "];
    names.retain(|name| with_reason || *name != "*Reason*: ");
    assert_eq!(text.lines().count(), names.len(), "{text}");
    for (line, name) in text.lines().zip(names) {
        assert!(line.starts_with(name), "{line:?} does not begin with {name:?}");
    }
    for block in &message.blocks {
        assert!(["section", "context"].contains(&block["type"].as_str().unwrap()), "{block}");
    }
}

#[test]
fn hostile_text_mentions_no_user_links_nothing_and_forges_no_line() {
    run_in_process(async {
        let options = Options { fixture: hostile_fixture(), ..Options::golden() };
        let bed = TestBed::with_options(options, workspace()).await;
        let daemon = bed.start(TEAM).await;
        let invalid = [HOSTILE.as_bytes(), b"\xff\xfe \xc3\x28 \xed\xa0\x80 end"].concat();
        let resource = Resource {
            cluster: HOSTILE.into(),
            kind: HOSTILE.into(),
            name: HOSTILE.into(),
            sub_resource: HOSTILE.into(),
        };
        let new = NewRequest {
            reason: invalid.clone(),
            suggested_reviewers: vec![HOSTILE.to_owned(), "U0CAROL".to_owned(), "C0DBA".to_owned()],
            resources: vec![resource],
            ..NewRequest::roles(&[HOSTILE], "")
        };
        let id = bed.teleport.request_access(HOSTILE, new).unwrap();
        let message = bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        assert_usual_lines(&message, true);
        assert_harmless(&message);

        // A harmless request is shown as usual, and so is the decision on the hostile one.
        let other = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &other, "⏳ PENDING").await;
        let reviewer = format!("reviewer {HOSTILE}");
        bed.teleport.review(&reviewer, &id, Decision::Deny, invalid).unwrap();
        let message = bed
            .until(&daemon, "the denial", || {
                bed.message_about("C0TEAM", &id)
                    .filter(|message| status_line(message).starts_with("*Status:* ❌ DENIED ("))
            })
            .await;
        assert_eq!(status_line(&message).lines().count(), 1);
        let replies = bed.until_replies(&daemon, &message, 1).await;
        assert_eq!(replies[0].text.lines().count(), 3, "{}", replies[0].text);
        bed.until_recorded(&daemon, &id, |record| field(record, "resolution") == "DENIED").await;
        let log = daemon.stop().await;
        // Terminals and programs that read lines use the log.
        assert!(!log.contains(|c: char| c.is_control() && c != '\n'), "{log:?}");
        bed.slack.all_messages().iter().for_each(assert_harmless);
        assert_eq!(bed.slack.all_messages().len(), 3);
    });
}

#[test]
fn oversized_fields_are_truncated_and_counted() {
    run_in_process(async {
        let bed =
            TestBed::with_options(Options::new(ServerVersion::V6, Fixture::golden()), workspace()).await;
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let reviewers = (0..5_000).map(|n| format!("reviewer-{n}@example.com"));
        let node = |n: usize| Resource {
            cluster: "local-site".into(),
            kind: "node".into(),
            name: format!("node-{n}-{}", "x".repeat(50)),
            sub_resource: String::new(),
        };
        let id = bed.create_request_with(NewRequest {
            suggested_reviewers: reviewers.chain([DAVE.to_owned()]).collect(),
            resources: (0..60).map(node).collect(),
            ..NewRequest::roles(&["dba"], &"why? ".repeat(20_000))
        });
        for destination in ["C0TEAM", "U0BOB"] {
            let message = bed.until_status(&daemon, destination, &id, "⏳ PENDING").await;
            assert_usual_lines(&message, true);
            let reason = block_text(&message, 1);
            assert!(reason.contains("*Reason*: why? why?") && reason.contains("…"), "{reason}");
            let resources = block_text(&message, 3);
            assert!(resources.contains("node-0-") && resources.contains(" more"), "{resources}");
            assert!(!message.truncated);
        }
        // The requester chooses the suggested reviewers, so their number is bounded.
        let line = bed.until_logged(&daemon, "has more recipients than teleport-slack notifies").await;
        assert!(line.contains("left_out=4903") && line.contains("limit=100") && line.contains(&id), "{line}");
        let other = bed.create_request();
        bed.until_status(&daemon, "U0BOB", &other, "⏳ PENDING").await;

        bed.teleport.review(BOB, &id, Decision::Approve, "yes ".repeat(25_000)).unwrap();
        let message = bed
            .until(&daemon, "the approval", || {
                bed.message_about("C0TEAM", &id)
                    .filter(|message| status_line(message).starts_with("*Status:* ✅ APPROVED (yes"))
            })
            .await;
        let replies = bed.until_replies(&daemon, &message, 1).await;
        assert!(replies[0].text.contains("Reason: yes yes") && !replies[0].truncated);
        bed.until_recorded(&daemon, &id, |record| field(record, "resolution") == "APPROVED").await;
        daemon.stop().await;
        let asked = bed.slack.calls_of("users.lookupByEmail").len();
        assert!(asked <= 100, "{asked} people were looked up");
        // A restart changes nothing.
        let calls = (bed.slack.calls_of("chat.update").len(), bed.slack.all_messages().len());
        let daemon = bed.start(r#"recipients = ["C0TEAM", "bob@example.com"]"#).await;
        let marker = bed.create_request();
        bed.until_status(&daemon, "C0TEAM", &marker, "⏳ PENDING").await;
        bed.until_status(&daemon, "U0BOB", &marker, "⏳ PENDING").await;
        daemon.stop().await;
        assert_eq!((bed.slack.calls_of("chat.update").len(), bed.slack.all_messages().len() - 2), calls);
    });
}
