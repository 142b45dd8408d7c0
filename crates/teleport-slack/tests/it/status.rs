//! `/status`: each part of it true in its scenario, and nothing in it that should not be there.

use ::http::{Request, StatusCode};
use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::request::NewRequest;
use http_body_util::Full;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::harness::deciding::*;
use crate::harness::*;

const TEAM_AND_BOB: &str = "recipients = [\"C0TEAM\", \"bob@example.com\"]\n";
const TOKEN: &str = "k9MarkerQ7-0123456789";

/// The state, as a program of this machine sees it.
async fn status(daemon: &Daemon) -> Value {
    let (code, text) = daemon.get("/status.json").await;
    assert_eq!(code, StatusCode::OK, "{text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Waits until the state satisfies `wanted`, and returns it.
async fn until_status(daemon: &Daemon, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    let look = async || Some(status(daemon).await).filter(|state| wanted(state));
    let found =
        poll_within(std::time::Duration::from_secs(30), LOOK_INTERVAL, vec![daemon.log_changes()], look)
            .await;
    match found {
        Some(found) => found,
        None => panic!("waited in vain for {what}: {:#}\n{}", status(daemon).await, daemon.log_tail()),
    }
}

/// The page, as a browser of this machine sees it.
async fn page(daemon: &Daemon) -> String {
    let (code, text) = ask(daemon, &[("accept", "text/html,*/*;q=0.8")]).await;
    assert_eq!(code, StatusCode::OK, "{text}");
    text
}

/// `/status` with these headers.
async fn ask(daemon: &Daemon, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let line = daemon.find_logged("Serving health and metrics on ").unwrap();
    let address = line.split_once("metrics on ").unwrap().1.split_whitespace().next().unwrap();
    let request = headers.iter().fold(Request::get(format!("{address}/status")), |request, (name, value)| {
        request.header(*name, *value)
    });
    http::send(request.body(Full::default()).unwrap()).await
}

fn texts<'a>(values: &'a Value, name: &str) -> Vec<&'a str> {
    values.as_array().unwrap().iter().map(|value| value[name].as_str().unwrap_or("-")).collect()
}

fn problems(state: &Value) -> String {
    texts(&state["problems"], "what").join("\n")
}

fn is_recent(time: &Value) -> bool {
    let time: Timestamp = time.as_str().unwrap().parse().unwrap();
    Timestamp::now().duration_since(time).abs() < SignedDuration::from_secs(60)
}

/// A daemon that decides by Socket Mode and serves its state.
fn launch_deciding(bed: &TestBed) -> Daemon {
    bed.slack.set_socket_mode(true);
    let review = bed.review_config(Transport::Socket, ANY_OF_THREE);
    bed.launch_with_review(&review.replace("[log]", "[diagnostics]\nlisten_addr = \"127.0.0.1:0\"\n[log]"))
}

#[test]
fn an_open_request_is_listed_with_each_place_where_it_is_shown() {
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let daemon = launch_deciding(&bed);
        let id = bed.create_request_with(NewRequest::roles(&["dba"], "the-reason-k9"));
        let message = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let private = bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        let state = until_status(&daemon, "both messages", |state| {
            let all = &state["requests"]["items"][0];
            all["copies"]["total"] == 2
                && all["in_progress"] == false
                && state["interactions"]["connections"] == 2
        })
        .await;
        assert_eq!(state["requests"]["total"], 1, "{state:#}");
        let request = &state["requests"]["items"][0];
        assert_eq!((request["id"].as_str(), request["requester"].as_str()), (Some(&*id), Some(ALICE)));
        assert_eq!(request["roles"], json!({ "items": ["dba"], "left_out": 0, "total": 1 }));
        assert!(is_recent(&request["created_at"]) && request["expires_at"].is_string(), "{request:#}");
        let copies = request["copies"]["items"].as_array().unwrap();
        for message in [&message, &private] {
            let copy = copies.iter().find(|copy| copy["ts"] == message.ts).unwrap();
            assert_eq!(copy["channel"], message.channel);
            assert_eq!(
                (copy["shows"].as_str(), copy["state"].as_str()),
                (Some("pending"), Some("current")),
                "{copy}"
            );
        }
        let mut recipients = texts(&request["copies"]["items"], "recipient");
        recipients.sort_unstable();
        assert_eq!(recipients, ["#team", "bob@example.com"]);

        let names = &state["names"];
        assert_eq!(
            (&names["C0TEAM"], &names[&private.channel]),
            (&json!("#team"), &json!("bob@example.com"))
        );

        assert_eq!(state["problems"], json!([]), "{state:#}");
        assert_eq!((&state["version"], &state["ready"]), (&json!(1), &json!(true)));
        assert_eq!(state["daemon"]["version"], env!("CARGO_PKG_VERSION"));
        assert!(is_recent(&state["daemon"]["started_at"]) && is_recent(&state["generated_at"]));
        assert_eq!(state["daemon"]["claim_holder"].as_str().unwrap().len(), 16);
        let teleport = &state["teleport"];
        assert_eq!(teleport["addr"], bed.teleport.addr().to_string());
        assert_eq!(
            (teleport["state"].as_str(), teleport["credentials"].as_str()),
            (Some("answers"), Some("client_key"))
        );
        assert!(is_recent(&teleport["last_answer_at"]) && teleport["cluster"].is_string(), "{teleport:#}");
        assert!((80_000..87_000).contains(&teleport["certificate_left_s"].as_i64().unwrap()), "{teleport:#}");
        assert_eq!(state["watch"]["state"], "open");
        for name in ["since", "last_event_at", "last_list_at"] {
            assert!(is_recent(&state["watch"][name]), "{name}");
        }
        assert_eq!(
            (&state["slack"]["state"], &state["slack"]["rate_limits"]),
            (&json!("answers"), &json!([]))
        );
        assert!(is_recent(&state["slack"]["last_answer_at"]));
        assert_eq!(
            (&state["interactions"]["transport"], &state["interactions"]["state"]),
            (&json!("socket_mode"), &json!("open"))
        );
        assert_eq!((&state["waiting"]["total"], &state["circuits"]["total"]), (&json!(0), &json!(0)));
        assert_eq!(state["rules"]["recipients"]["items"], json!(["#team", "bob@example.com"]));
        let deciding = &state["rules"]["review"];
        assert_eq!((&deciding["users"], &deciding["mode"]), (&json!(4), &json!("resolver")), "{deciding:#}");
        assert_eq!(deciding["mode_in_effect"], "resolver");
        let rule = &deciding["rules"]["items"][0];
        assert_eq!(
            rule["approvers"]["items"],
            json!(["bob@example.com", "dave@example.com", "alice@example.com"])
        );
        assert_eq!((&rule["roles"]["items"], &rule["reason"]), (&json!(["*"]), &json!("off")));

        let drawn = page(&daemon).await;
        for words in ["Everything works", &id, &message.ts, &private.channel, "up to date", "Socket Mode"] {
            assert!(drawn.contains(words), "{words} in {drawn}");
        }
        bed.approve(&id);
        bed.until_status(&daemon, "C0TEAM", &id, "✅ APPROVED (looks fine)").await;
        let state = until_status(&daemon, "no open request", |state| state["requests"]["total"] == 0).await;
        assert_eq!(state["requests"]["items"], json!([]));
        let drawn = page(&daemon).await;
        let app = bed.slack.app();
        let all = drawn + &state.to_string();
        for hidden in ["the-reason-k9", "looks fine", &app.app_token, &app.signing_secret, &bed.slack.token()]
        {
            assert!(!all.contains(hidden), "{hidden} in {all}");
        }
        bed.stop_and_check_secrets(daemon).await;
    });
}

#[test]
fn what_waits_during_an_outage_of_slack_is_listed_until_it_is_done() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        bed.slack.stop().await;
        let id = bed.create_request();
        let state = until_status(&daemon, "a post that failed twice", |state| {
            let waiting = state["waiting"]["items"].as_array().unwrap();
            waiting.iter().any(|waiting| waiting["attempts"].as_u64() >= Some(2))
        })
        .await;
        let waiting = state["waiting"]["items"].as_array().unwrap();
        let post = waiting.iter().find(|waiting| waiting["destination"] == "C0TEAM").unwrap();
        assert_eq!(
            (post["operation"].as_str(), post["request"].as_str()),
            (Some("post"), Some(&*id)),
            "{post}"
        );
        assert!(is_recent(&post["since"]) && post["waits_s"].as_u64() < Some(30), "{post}");
        assert_eq!((&state["slack"]["state"], &state["ready"]), (&json!("away"), &json!(true)));
        assert!(is_recent(&state["slack"]["away_since"]) && state["slack"]["error"].is_string());
        assert!(problems(&state).starts_with("Slack does not answer: "), "{state:#}");
        let error = &state["last_errors"][0];
        assert!(error["message"].as_str().unwrap().starts_with("Slack "), "{error}");
        assert_eq!((&error["level"], is_recent(&error["at"])), (&json!("WARN"), true));
        let copies = &state["requests"]["items"][0]["copies"]["items"];
        assert!(texts(copies, "state").contains(&"post_waits"), "{copies:#}");
        assert!(page(&daemon).await.contains("1 thing needs you"));

        bed.slack.restart().await.unwrap();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        bed.until_status(&daemon, "U0BOB", &id, "⏳ PENDING").await;
        let state = until_status(&daemon, "nothing that waits", |state| state["waiting"]["total"] == 0).await;
        assert_eq!(
            (&state["slack"]["state"], &state["slack"]["away_since"]),
            (&json!("answers"), &Value::Null)
        );
        assert_eq!(state["problems"], json!([]));
        daemon.stop().await;
    });
}

#[test]
fn a_channel_that_refuses_is_an_open_circuit_and_a_rate_limit_is_said() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let daemon = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        bed.slack.set_archived("C0TEAM", true);
        let first = bed.create_request();
        let state = until_status(&daemon, "an open circuit", |state| state["circuits"]["total"] == 1).await;
        let circuit = &state["circuits"]["items"][0];
        assert_eq!((&circuit["channel"], is_recent(&circuit["last_attempt_at"])), (&json!("C0TEAM"), true));
        assert!(
            circuit["failures"].as_u64() >= Some(1) && circuit["next_attempt_at"].is_string(),
            "{circuit}"
        );
        assert!(problems(&state).contains("Slack refuses messages for C0TEAM"), "{state:#}");
        bed.slack.set_archived("C0TEAM", false);
        bed.until_status(&daemon, "C0TEAM", &first, "⏳ PENDING").await;
        until_status(&daemon, "no open circuit", |state| state["circuits"]["total"] == 0).await;

        let limited = Fault::RateLimited { retry_after: 20 };
        bed.slack.faults().add(FaultRule::new("chat.postMessage", limited).times(1));
        bed.create_request();
        let state =
            until_status(&daemon, "a rate limit", |state| state["slack"]["rate_limits"] != json!([])).await;
        let limit = &state["slack"]["rate_limits"][0];
        assert_eq!(limit["method"], "chat.postMessage");
        assert!((1..=20).contains(&limit["left_s"].as_u64().unwrap()), "{limit}");
        daemon.stop().await;
    });
}

#[test]
fn a_lost_watch_and_a_certificate_that_ends_need_a_person() {
    run_in_process(async {
        let bed = TestBed::new().await;
        // A bot's certificate has an hour, others a year: each is said to end when the log says so.
        let (now, minutes) = (Timestamp::now(), SignedDuration::from_mins);
        let sign = |age: SignedDuration, left: SignedDuration| {
            let (from, until) = (Some(now - age), Some(now + left));
            bed.sign(CertOptions { not_before: from, not_after: until, ..CertOptions::default() });
        };
        sign(minutes(50), minutes(10));
        let daemon = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        let line = bed.until_warned(&daemon, "The certificate of the Teleport user").await;
        assert!(line.contains("ends in 9 minutes"), "{line}");
        let state = status(&daemon).await;
        assert_eq!(problems(&state), "the certificate for Teleport expires in 9 minutes", "{state:#}");
        assert!((300..=600).contains(&state["teleport"]["certificate_left_s"].as_i64().unwrap()));
        let day = minutes(24 * 60);
        sign(day * 360, day * 5);
        let line = bed.until_warned(&daemon, "ends in 4 days").await;
        assert!(line.contains("The certificate of the Teleport user"), "{line}");
        assert_eq!(problems(&status(&daemon).await), "the certificate for Teleport expires in 4 days");
        sign(minutes(1), minutes(20));
        until_status(&daemon, "a certificate that is young", |state| state["problems"] == json!([])).await;
        bed.teleport.stop().await;
        let state = until_status(&daemon, "a lost watch", |state| state["watch"]["state"] == "lost").await;
        assert!(is_recent(&state["watch"]["since"]) && problems(&state).contains("Teleport"), "{state:#}");
        let state =
            until_status(&daemon, "Teleport away", |state| state["teleport"]["state"] != "answers").await;
        assert_eq!(
            (&state["teleport"]["state"], is_recent(&state["teleport"]["away_since"])),
            (&json!("away"), true)
        );
        assert!(state["teleport"]["error"].is_string());
        bed.teleport.restart().await.unwrap();
        bed.sign(CertOptions::default());
        until_status(&daemon, "the watch and another certificate", |state| {
            state["watch"]["state"] == "open"
                && state["teleport"]["state"] == "answers"
                && state["problems"] == json!([])
        })
        .await;
        daemon.stop().await;
    });
}

#[test]
fn each_side_that_is_away_is_named_at_once_and_by_itself() {
    const NO_SOCKET: &str = "no Socket Mode connection is open for ";
    run_in_process(async {
        let bed = TestBed::with_review().await;
        let daemon = launch_deciding(&bed);
        bed.until_logged(&daemon, "Ready").await;
        let works = |state: &Value| state["problems"] == json!([]);
        until_status(&daemon, "that everything works", works).await;
        // Teleport, twice: the log does not speak of the second outage at once, the page does.
        for _ in 0..2 {
            bed.teleport.stop().await;
            let state =
                until_status(&daemon, "Teleport away", |state| state["watch"]["state"] == "lost").await;
            assert_eq!(state["teleport"]["state"], "away", "{state:#}");
            let cause = state["teleport"]["error"].as_str().unwrap();
            let said = problems(&state);
            assert!(said.starts_with("Teleport is away for ") && said.ends_with(cause), "{state:#}");
            assert!(
                !said.contains('\n') && texts(&state["problems"], "remedy")[0].contains("check"),
                "{state:#}"
            );
            assert!(!page(&daemon).await.contains("Everything works"));
            bed.teleport.restart().await.unwrap();
            until_status(&daemon, "Teleport back", works).await;
        }
        // Slack, twice, while nothing is to be posted: its connections are lost and cannot be opened again.
        for _ in 0..2 {
            bed.slack.stop().await;
            let state = until_status(&daemon, "no Socket Mode connection", |state| {
                problems(state).contains(NO_SOCKET)
            })
            .await;
            assert_eq!(state["interactions"]["state"], "lost", "{state:#}");
            assert!(!problems(&state).contains("Teleport"), "{state:#}");
            bed.slack.restart().await.unwrap();
            until_status(&daemon, "Slack back", works).await;
        }
        // Slack while a message is due, then both.
        bed.slack.stop().await;
        let id = bed.create_request();
        until_status(&daemon, "Slack away", |state| {
            problems(state).contains("Slack does not answer: ") && problems(state).contains(NO_SOCKET)
        })
        .await;
        bed.teleport.stop().await;
        let state = until_status(&daemon, "both away", |state| state["watch"]["state"] == "lost").await;
        for words in ["Teleport is away for ", "Slack does not answer: ", NO_SOCKET] {
            assert_eq!(problems(&state).matches(words).count(), 1, "{words}: {state:#}");
        }
        assert!(page(&daemon).await.contains("3 things need you"));
        bed.slack.restart().await.unwrap();
        bed.teleport.restart().await.unwrap();
        bed.until_clickable(&daemon, "C0TEAM", &id).await;
        until_status(&daemon, "that all works again", works).await;
        daemon.stop().await;
    });
}

#[test]
fn a_start_that_waits_says_for_what() {
    run_in_process(async {
        let bed = TestBed::new().await;
        bed.teleport.stop().await;
        let daemon = bed.launch(&bed.config_with_diagnostics(TEAM_AND_BOB));
        bed.until_logged(&daemon, "Serving health and metrics on ").await;
        let state = status(&daemon).await;
        assert_eq!(
            (&state["teleport"]["state"], &state["watch"]["state"]),
            (&json!("waiting"), &json!("never"))
        );
        assert_eq!(
            (&state["requests"], &state["waiting"], &state["ready"]),
            (&Value::Null, &Value::Null, &json!(false))
        );
        assert_eq!(problems(&state), "Teleport has not answered yet");
        assert!(page(&daemon).await.contains("Not known: the controller"));
        bed.teleport.restart().await.unwrap();
        until_status(&daemon, "the end of the start", |state| state["problems"] == json!([])).await;
        daemon.stop().await;
    });
}

#[test]
fn a_reload_changes_who_may_ask_and_a_refused_one_is_said() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let file = bed.dir.path().join("status-token");
        std::fs::write(&file, TOKEN).unwrap();
        let config = bed
            .config(&format!("{TEAM_AND_BOB}[diagnostics]\nlisten_addr = \"127.0.0.1:0\"\ntoken = {file:?}"));
        let daemon = bed.launch(&config);
        bed.until_logged(&daemon, "Ready").await;
        // Under a name that is not this machine's, as after a rebinding, only the token opens.
        let foreign = ("host", "rebound.example.com");
        let bearer = |token: &str| format!("Bearer {token}");
        let code = async |token: &str| ask(&daemon, &[foreign, ("authorization", &bearer(token))]).await.0;
        assert_eq!(ask(&daemon, &[foreign]).await.0, StatusCode::UNAUTHORIZED);
        assert_eq!((code(TOKEN).await, code("wrong").await), (StatusCode::OK, StatusCode::UNAUTHORIZED));
        assert_eq!(ask(&daemon, &[]).await.0, StatusCode::OK);
        let new = "another-0123456789abcdef";
        std::fs::write(&file, new).unwrap();
        poll_until("the new token", daemon.log_changes(), async || {
            (code(new).await == StatusCode::OK).then_some(())
        })
        .await;
        assert_eq!(code(TOKEN).await, StatusCode::UNAUTHORIZED, "the old one is out");
        assert_eq!(daemon.times_logged("Serving health and metrics on "), 1, "the listener stays open");

        bed.write_config(&format!("{config}\ncolor = 1\n"));
        daemon.signal("HUP");
        let state =
            until_status(&daemon, "the refusal", |state| state["configuration"]["refused_at"].is_string())
                .await;
        assert!(
            is_recent(&state["configuration"]["refused_at"])
                && is_recent(&state["configuration"]["loaded_at"])
        );
        let cause = state["configuration"]["refusal"]["items"][0].as_str().unwrap();
        assert!(cause.contains("color"), "{cause}");
        assert!(problems(&state).contains(&format!("the configuration is refused: {cause}")), "{state:#}");
        let shown = state.to_string() + &page(&daemon).await;
        assert!(!shown.contains(TOKEN) && !shown.contains(new));
        let log = daemon.stop().await;
        assert!(!log.contains(TOKEN) && !log.contains(new), "{log}");
    });
}

#[test]
fn many_open_requests_are_counted_and_cut() {
    const OPEN: usize = 300;
    run_in_process(async {
        let bed = TestBed::new().await;
        for n in 0..OPEN {
            bed.create_request_with(NewRequest::roles(&["dba"], &format!("the-reason-k9 {n}")));
        }
        // Without recipients, so that nothing is posted.
        let daemon = bed.start_with_diagnostics("").await;
        // A controller with much to do may be silent for longer than the page waits for it.
        let state = poll_until("an answer of the controller", daemon.log_changes(), async || {
            Some(status(&daemon).await).filter(|state| state["requests"]["total"] == OPEN)
        })
        .await;
        let requests = &state["requests"];
        assert_eq!(requests["left_out"], OPEN - 100, "{requests:#}");
        let items = requests["items"].as_array().unwrap();
        assert_eq!(items.len(), 100);
        let made: Vec<Timestamp> =
            texts(&requests["items"], "created_at").iter().map(|text| text.parse().unwrap()).collect();
        assert!(made.is_sorted(), "the oldest first: {made:?}");
        let drawn = page(&daemon).await;
        assert!(drawn.contains(&format!("{} more of them left out.", OPEN - 100)));
        assert!(drawn.len() < 400_000 && state.to_string().len() < 200_000, "{}", drawn.len());
        assert!(!drawn.contains("the-reason-k9") && !state.to_string().contains("the-reason-k9"));
        daemon.stop().await;
    });
}

#[test]
fn other_replicas_claims_are_named() {
    run_in_process(async {
        let bed = TestBed::new().await;
        let hang = bed.slack.faults().add(FaultRule::new("chat.postMessage", Fault::Hang));
        let one = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        let two = bed.start_with_diagnostics(TEAM_AND_BOB).await;
        bed.create_request();
        let holders =
            [status(&one).await, status(&two).await].map(|state| state["daemon"]["claim_holder"].clone());
        assert_ne!(holders[0], holders[1]);
        // One of them posts, and the other waits for it.
        let claimed_by =
            async |daemon: &Daemon| status(daemon).await["requests"]["items"][0]["claimed_by"].clone();
        let seen = poll_until("a claim", two.log_changes(), async || {
            let seen = [claimed_by(&one).await, claimed_by(&two).await];
            seen.iter().any(Value::is_string).then_some(seen)
        })
        .await;
        let other = if seen[0].is_string() { &holders[1] } else { &holders[0] };
        assert!(seen.contains(other), "{seen:?} of {holders:?}");
        bed.slack.faults().remove(hang);
        one.stop().await;
        two.stop().await;
    });
}
