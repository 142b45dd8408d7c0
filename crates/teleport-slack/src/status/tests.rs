//! The form of the JSON against its document, and the page against hostile texts. `tests/it/status.rs` has the scenarios.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use super::moment::Moment;
use super::names::names;
use super::page::page;
use super::problems::problems;
use super::view::*;
use crate::controller::OpenCircuit;
use crate::observe::health::Stage;
use crate::observe::metrics::Metrics;
use teleport_client::error::TeleportError;
use teleport_client::observer::Observer;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_795_800_000 + second).unwrap()
}

fn some(words: &str) -> Option<String> {
    Some(words.to_owned())
}

fn list<T>(items: Vec<T>) -> Listed<T> {
    Listed::of(items.len() + 3, items)
}

/// A view in which nothing is absent; texts from outside are `hostile`.
fn full(hostile: &str) -> View {
    let hostile = text(hostile);
    let h = || hostile.clone();
    let copy = |state| Copy {
        recipient: Some(h()),
        channel: some("C0TEAM"),
        ts: some("1795799000.000100"),
        shows: Some("pending"),
        state,
    };
    let fields = Map::from_iter([("channel".to_owned(), Value::String(h()))]);
    View {
        version: VERSION,
        generated_at: at(0),
        daemon: Daemon {
            program: super::PROGRAM,
            version: "1.2.3",
            started_at: at(-90),
            uptime_s: 90,
            claim_holder: some("0123456789abcdef"),
        },
        ready: false,
        problems: vec![Problem { what: h(), remedy: h() }],
        teleport: Teleport {
            addr: "auth.example.com:3025".to_owned(),
            credentials: "identity",
            state: SideState::Away,
            away_since: Some(at(-30)),
            error: Some(h()),
            last_answer_at: Some(at(-31)),
            cluster: Some(h()),
            server_version: Some(h()),
            enterprise: Some(true),
            certificate_expires_at: Some(at(600)),
            certificate_left_s: Some(600),
        },
        watch: Watch {
            state: StreamState::Lost,
            since: Some(at(-30)),
            last_event_at: Some(at(-40)),
            last_list_at: Some(at(-80)),
            list_error: Some(h()),
        },
        slack: Slack {
            api_url: "https://slack.com/api/".to_owned(),
            state: SideState::Waiting,
            away_since: Some(at(-30)),
            error: Some(h()),
            last_answer_at: Some(at(-30)),
            team: Some(h()),
            bot_user: Some(h()),
            rate_limits: vec![RateLimit { method: "chat.postMessage", left_s: 3 }],
        },
        interactions: Interactions {
            transport: "socket_mode",
            state: Some(StreamState::Never),
            since: Some(at(-1)),
            connections: Some(2),
            listen_addr: some("0.0.0.0:8081"),
            public_addr: Some(h()),
        },
        requests: Some(list(vec![Request {
            id: h(),
            requester: h(),
            roles: list(vec![h()]),
            created_at: Some(at(-100_000)),
            age_s: Some(100_000),
            expires_at: Some(at(100_000)),
            in_progress: true,
            claimed_by: Some(h()),
            copies: list(vec![
                copy(CopyState::Current),
                copy(CopyState::UpdateWaits),
                copy(CopyState::PostWaits),
                copy(CopyState::Unreachable),
            ]),
        }])),
        waiting: Some(list(vec![Waiting {
            request: Some(h()),
            operation: "post",
            destination: Some(h()),
            since: at(-61),
            waits_s: 61,
            retry_at: Some(at(9)),
            attempts: 4,
        }])),
        circuits: Some(list(vec![Circuit {
            channel: h(),
            failures: 2,
            last_attempt_at: at(-5),
            next_attempt_at: at(55),
        }])),
        last_errors: vec![LoggedProblem { at: at(-3), level: "ERROR", message: h(), fields }],
        configuration: Configuration {
            path: h(),
            loaded_at: at(-90),
            reloading: true,
            refused_at: Some(at(-2)),
            refusal: list(vec![h()]),
        },
        rules: Rules {
            recipients: list(vec![h()]),
            role_to_recipients: list(vec![RoleRecipients { role: h(), recipients: list(vec![h()]) }]),
            review: Some(Review {
                mode: "auto",
                mode_in_effect: Some("reviewer"),
                slack_user_id_trait: Some(h()),
                allow_email_username_match: true,
                users: 2,
                rules: list(vec![Rule {
                    roles: list(vec![h()]),
                    approvers: list(vec![h()]),
                    approvals: 2,
                    denials: 1,
                    reason: "required",
                    confirm: true,
                    teleport_only: false,
                }]),
            }),
        },
        names: [("C0TEAM".to_owned(), text(format!("#{hostile}")))].into(),
    }
}

/// The paths of the fields as the document has them: without those of cut lists, and without the fields of log lines and
/// the ids that have names.
fn paths(value: &Value, path: &str, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) if map.contains_key("left_out") => {
            assert_eq!(map.keys().collect::<Vec<_>>(), ["items", "left_out", "total"], "{path}");
            found.insert(path.to_owned());
            map["items"]
                .as_array()
                .unwrap()
                .iter()
                .for_each(|item| paths(item, &format!("{path}.items[]"), found));
        }
        Value::Object(map) if !path.ends_with(".fields") && path != "names" => {
            for (name, value) in map {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                paths(value, &path, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| paths(item, &format!("{path}[]"), found)),
        // Of a list of texts the list is what the document explains.
        _ if path.ends_with("[]") => {}
        Value::Null => panic!("{path} is absent"),
        _ => {
            found.insert(path.to_owned());
        }
    }
}

#[test]
fn the_document_explains_exactly_the_fields_of_the_json() {
    let mut found = BTreeSet::new();
    paths(&serde_json::to_value(full("x")).unwrap(), "", &mut found);
    let document = include_str!("../../../../docs/status.md");
    let rows = document.lines().skip_while(|line| !line.starts_with("| field |")).skip(2);
    let rows = rows.map_while(|line| line.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> =
        rows.map(|(field, _)| field.to_owned()).filter(|field| field != "rules.review").collect();
    assert_eq!(found, documented);
}

#[test]
fn times_and_durations_have_one_form() {
    let view = serde_json::to_value(full("x")).unwrap();
    assert_eq!(view["generated_at"], json!("2026-11-27T17:20:00Z"));
    assert_eq!(view["waiting"]["items"][0]["waits_s"], json!(61));
    let mut paths_found = BTreeSet::new();
    paths(&view, "", &mut paths_found);
    let values = paths_found.iter().filter(|path| path.ends_with("_at") || path.ends_with("since"));
    assert!(values.count() > 15);
}

/// The tags of a page, without the texts between them and without its style.
fn tags(page: &str) -> Vec<&str> {
    let body = page.split_once("</style>").unwrap().1;
    body.split('<')
        .skip(1)
        .map(|rest| rest.split_once('>').unwrap_or_else(|| panic!("no tag: {rest}")).0)
        .collect()
}

#[test]
fn no_text_from_outside_makes_a_tag_or_leaves_its_attribute() {
    let plain = page(&full("x"), false);
    for hostile in [
        "<script>alert(1)</script>",
        "</title><script>alert(1)</script>",
        "\"><img src=x onerror=alert(1)>",
        "' onmouseover='alert(1)",
        "&lt;script&gt;&#60;script&#62;",
        "<!--",
        "]]></style><b>",
        "{{7*7}}${7*7}",
    ] {
        let page = page(&full(hostile), false);
        assert_eq!(tags(&page), tags(&plain), "{hostile}");
    }
    assert_eq!(plain.matches("<script").count(), 0);
}

#[test]
fn what_hides_or_turns_text_is_shown_by_its_number() {
    let page = page(&full("adm\u{202e}in\u{200b}\n\u{7}<\u{0}"), false);
    for hidden in ['\u{202e}', '\u{200b}', '\n', '\u{7}', '\u{0}'] {
        let body = page.split_once("</style>").unwrap().1;
        assert!(!body.contains(hidden), "{hidden:?}");
    }
    assert!(page.contains(r"adm\u{202e}in\u{200b}\n\u{7}&lt;\u{0}"));
}

#[test]
fn long_texts_are_cut() {
    let (short, long) = (full("x"), full(&"<".repeat(10_000)));
    let json = |view: &View| serde_json::to_string(view).unwrap();
    assert!(json(&long).len() - json(&short).len() < 40 * 201 && json(&long).contains('…'));
    // Four characters stand for each.
    assert!(page(&long, false).len() - page(&short, false).len() < 40 * 4 * 201);
}

#[test]
fn what_needs_a_person_comes_first() {
    let mut view = full("x");
    let page_of = |view: &View| page(view, false);
    let place = |page: &str, words: &str| page.find(words).unwrap_or_else(|| panic!("{words} in {page}"));
    let problem = |what: &str| Problem { what: what.to_owned(), remedy: "mend it".to_owned() };
    view.problems = vec![problem("the worst"), problem("the other")];
    let drawn = page_of(&view);
    let order =
        ["2 things need you", "the worst", "mend it", "the other", ">Connections<", ">Open requests (4)<"];
    let body = drawn.split_once("<body>").unwrap().1;
    assert!(order.map(|words| place(body, words)).is_sorted(), "{body}");
    view.problems.truncate(1);
    assert!(page_of(&view).contains("<title>1 thing needs you – teleport-slack</title>"));
    view.problems.clear();
    assert!(page_of(&view).contains(">Everything works<"));
}

#[test]
fn a_page_without_a_controller_says_so_and_loads_itself_again_only_if_asked() {
    let view = View { requests: None, waiting: None, circuits: None, ..full("x") };
    assert_eq!(page(&view, false).matches("Not known: the controller").count(), 3);
    assert!(!page(&view, false).contains("http-equiv"));
    assert!(page(&view, true).contains("<meta http-equiv=\"refresh\" content=\"15\">"));
}

/// The browser's tests look at it, too.
#[test]
fn everything_that_can_go_wrong() {
    let long = format!("prod-<b>db</b>, a name with a long word: {}", "x".repeat(100));
    insta::assert_snapshot!(page(&full(&long), false));
}

/// What has no effect is not shown as if it had.
#[test]
fn the_page_shows_of_a_rule_what_the_mode_makes_of_it() {
    let row = |mode, teleport_only| {
        let mut view = full("x");
        let review = view.rules.review.as_mut().unwrap();
        review.mode_in_effect = mode;
        review.rules.items[0].teleport_only = teleport_only;
        let drawn = page(&view, false);
        let row =
            drawn.split("data-label=\"Who decides\">").nth(1).unwrap().split("</table>").next().unwrap();
        let cells = row.split("</td>").map(|cell| cell.rsplit_once("\">").map_or(cell, |(_, cell)| cell));
        let cells: Vec<_> =
            cells.take(3).map(|cell| cell.replace("<bdi>", "").replace("</bdi>", "")).collect();
        cells.join(" | ")
    };
    assert_eq!(row(Some("resolver"), false), "x and 3 more | 2 to approve, 1 to deny, asks again | required");
    assert_eq!(
        row(Some("reviewer"), false),
        "users that Teleport allows | what Teleport asks for, asks again | required"
    );
    for mode in [Some("resolver"), Some("reviewer"), None] {
        assert_eq!(row(mode, true), "only Teleport: no buttons here | – | –", "{mode:?}");
    }
    let mut view = full("x");
    view.rules.review.as_mut().unwrap().rules = Listed::first(std::iter::empty(), 1);
    assert!(page(&view, false).contains("No rule: who may decide, Teleport judges."));
    view.rules.review.as_mut().unwrap().mode_in_effect = Some("resolver");
    assert!(page(&view, false).contains("No rule: the reviewers that a request suggests decide."));
}

#[test]
fn a_moment_of_another_day_has_its_date() {
    let now: Timestamp = "2026-11-27T03:04:00Z".parse().unwrap();
    for (at, shown) in [
        ("2026-11-27T23:59:59Z", ">23:59:59 UTC<"),
        ("2026-11-28T03:00:15Z", ">2026-11-28 03:00 UTC<"),
        ("2026-11-26T23:00:00Z", ">2026-11-26 23:00 UTC<"),
    ] {
        let drawn = super::page::moment(at.parse().unwrap(), now).into_string();
        assert!(drawn.contains(shown), "{at}: {drawn}");
    }
}

#[test]
fn a_circuit_names_its_channel_as_everything_else_does() {
    let now = Instant::now();
    let moment = Moment { now, time: Timestamp::now() };
    let shown = |scope: &str| {
        let open = OpenCircuit { scope: scope.to_owned(), failures: 1, last_attempt: now, next_attempt: now };
        super::gather::circuits(&[open], moment).items.remove(0).channel
    };
    let scopes = ["sec-ops", "edits in sec-ops", "C0TEAM", "edits in C0TEAM", "D0BOB"];
    assert_eq!(scopes.map(shown), ["#sec-ops", "edits in #sec-ops", "C0TEAM", "edits in C0TEAM", "D0BOB"]);
}

#[test]
fn of_a_direct_message_that_slack_refuses_no_invitation_is_advised() {
    let health = Metrics::new().health().clone();
    let moment = Moment { now: Instant::now(), time: Timestamp::now() };
    for (channel, is_direct) in
        [("U0BOB", true), ("edits in D0BOB", true), ("C0TEAM", false), ("#team", false)]
    {
        let mut view = full("x");
        view.circuits.as_mut().unwrap().items[0].channel = channel.to_owned();
        let found = problems(&view, &health, false, moment);
        let circuit = found.iter().find(|problem| problem.what.starts_with("Slack refuses")).unwrap();
        assert_eq!(circuit.remedy.contains("invite the bot"), !is_direct, "{circuit:?}");
        assert_eq!(circuit.remedy.contains("a person may have blocked the app"), is_direct, "{circuit:?}");
    }
}

#[test]
fn each_thing_that_needs_a_person_is_said_once_with_its_remedy() {
    let metrics = Metrics::new();
    let health = metrics.health().clone();
    let moment = Moment { now: Instant::now(), time: Timestamp::now() };
    let found = |view: &View, is_silent| {
        let found = problems(view, &health, is_silent, moment);
        assert!(found.iter().all(|problem| !problem.remedy.is_empty()), "{found:?}");
        let circuit = found.iter().find(|problem| problem.what.starts_with("Slack refuses")).unwrap();
        assert!(circuit.remedy.starts_with("invite the bot there, unarchive the channel, or"), "{circuit:?}");
        found.into_iter().map(|problem| problem.what).collect::<Vec<_>>()
    };
    let mut view = full("x");
    view.teleport.away_since = Some(moment.time - SignedDuration::from_secs(30));
    let certificate = |life: i64, left: i64| {
        let until = moment.time + SignedDuration::from_secs(left);
        metrics.certificate_holds(until - SignedDuration::from_secs(life), until);
    };
    certificate(3_600, 600);
    let expected = [
        "Teleport is away for 30 s: x",
        "Teleport has not answered yet",
        "the controller does not answer, so nothing is shown of requests",
        "the certificate for Teleport expires in 10 minutes",
        "Slack refuses messages for x: 2 times in a row",
        "the configuration is refused: x (and 3 more)",
        "1 of what waits has failed for more than a minute",
    ];
    assert_eq!(found(&view, true), expected);
    view.slack.state = SideState::Away;
    let away = found(&view, false);
    assert_eq!(away[..2], ["Teleport is away for 30 s: x", "Slack does not answer: x"]);
    assert!(!away.iter().any(|what| what.contains("what waits")), "the outage is why: {away:?}");
    // One remedy, and not a second one in the cause.
    view.slack.error = some("Slack's auth.test failed: no connection; remedy: check name resolution");
    let slack = problems(&view, &health, false, moment).swap_remove(1);
    assert_eq!(slack.what, "Slack does not answer: Slack's auth.test failed: no connection");
    assert_eq!(slack.remedy, "nothing is lost: what is due waits; check name resolution");
    view.slack.error = some("x");
    // As the log and `check` have it: by its life.
    let day = 86_400;
    for (life, left, words) in [
        (3_600, 0, None),
        (3_600, 901, None),
        (3_600, 900, Some("15 minutes")),
        (365 * day, 7 * day + 1, None),
        (365 * day, 7 * day, Some("7 days")),
        (7 * day, day + 1, None),
        (7 * day, day, Some("24 hours")),
    ] {
        certificate(life, left);
        let found = found(&view, false);
        let said =
            found.iter().find_map(|what| what.strip_prefix("the certificate for Teleport expires in "));
        assert_eq!(said, words, "{life} {left}");
    }
    let waiting = &mut view.waiting.as_mut().unwrap().items[0];
    (waiting.attempts, view.slack.state) = (0, SideState::Answers);
    assert!(!found(&view, false).iter().any(|what| what.contains("what waits")), "its turn has not come");

    // The watch is said at once, and by the outage of Teleport where there is one.
    view.teleport.state = SideState::Answers;
    metrics.stage_reached(Stage::Listed);
    metrics.watch_opened();
    metrics.watch_lost(&TeleportError::WatchEnded);
    let of_watch = |view: &View| found(view, false).iter().filter(|what| what.contains("Teleport")).count();
    assert!(found(&view, false).contains(&"the watch on Teleport is lost for 0 s".to_owned()));
    view.teleport.state = SideState::Away;
    assert_eq!(of_watch(&view), 2, "{:?}", found(&view, false));
}

#[test]
fn each_id_has_the_name_that_slack_has_said() {
    let known: BTreeMap<_, _> =
        [("U0BOB", "Bob <b>"), ("C0TEAM", "#team"), ("C0DBA", "#dba"), ("U0BOT", "teleport")].into();
    let known = |id: &str| known.get(id).map(|name| (*name).to_owned());
    let mut view = full("x");
    let copies = &mut view.requests.as_mut().unwrap().items[0].copies.items;
    let places =
        [("#team", "C0TEAM"), ("U0BOB", "D0BOB"), ("carol@example.com", "D0CAROL"), ("U0NEW", "D0NEW")];
    for (copy, (recipient, channel)) in copies.iter_mut().zip(places) {
        (copy.recipient, copy.channel) = (some(recipient), some(channel));
    }
    view.waiting.as_mut().unwrap().items[0].destination = some("D0BOB");
    view.circuits.as_mut().unwrap().items[0].channel = "edits in C0DBA".to_owned();
    view.slack.bot_user = some("U0BOT");
    view.rules.recipients = list(vec!["U0BOB".to_owned(), "#team".to_owned(), "U0GONE".to_owned()]);
    view.last_errors[0].fields.insert("slack_user".to_owned(), json!("U0BOB"));
    view.names = names(&view, known);
    let expected = [
        ("C0DBA", "#dba"),
        ("C0TEAM", "#team"),
        ("D0BOB", "Bob <b>"),
        ("D0CAROL", "carol@example.com"),
        ("D0NEW", "U0NEW"),
        ("U0BOB", "Bob <b>"),
        ("U0BOT", "teleport"),
    ];
    assert_eq!(view.names, expected.map(|(id, name)| (id.to_owned(), name.to_owned())).into());
    let health = Metrics::new().health().clone();
    let moment = Moment { now: Instant::now(), time: at(0) };
    view.problems = problems(&view, &health, false, moment);
    let drawn = page(&view, false).replace("<bdi>", "").replace("</bdi>", "");
    for (words, times) in [
        ("U0BOB (Bob &lt;b&gt;)", 3),
        ("post D0BOB (Bob &lt;b&gt;)", 1),
        // Its recipient says it.
        (">D0BOB<", 1),
        (">C0TEAM<", 1),
        ("edits in C0DBA (#dba)", 2),
        ("Slack refuses messages for edits in C0DBA (#dba): 2 times in a row", 1),
        ("U0BOT (teleport)", 1),
        ("U0GONE and 3 more", 1),
    ] {
        assert_eq!(drawn.matches(words).count(), times, "{words} in {drawn}");
    }
}
