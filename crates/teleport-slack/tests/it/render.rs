//! `teleport-slack render` as operators run it: against both simulators, and with what `tctl` printed alone.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::process::{Command, Stdio};

use access_sim::slack::faults::{Fault, FaultRule};
use access_sim::teleport::call_log::Method;
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::request::{AccessRequest, NewRequest, RequestState};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::harness::deciding::*;
use crate::harness::*;

/// The exit status, standard output and standard error; `input` is written to standard input.
fn run_with_input(arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
    let mut command = Command::new(program());
    command.arg("render").args(arguments).env_clear();
    let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments reads nothing.
    let _ = child.stdin.take().unwrap().write_all(input);
    let out = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code(), text(out.stdout), text(out.stderr))
}

fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    run_with_input(arguments, b"")
}

#[track_caller]
fn rendered(arguments: &[&str]) -> String {
    let (status, text, errors) = run(arguments);
    assert_eq!((status, errors.as_str()), (Some(0), ""), "{arguments:?}: {text}");
    text
}

/// What the record says of the bytes that a message has: the digest that the daemon notes after Slack took it.
fn digest(document: &str) -> String {
    let hash = Sha256::digest(document.trim_end().as_bytes());
    hash.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// A request as `tctl requests get --format=json` prints it.
fn tctl_json(request: &AccessRequest) -> Value {
    let state = |state| match state {
        RequestState::Pending => 1,
        RequestState::Approved => 2,
        RequestState::Denied => 3,
        RequestState::Promoted => 4,
    };
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let reviews = request.reviews.iter().map(|review| {
        json!({"author": review.author, "proposed_state": state(review.proposed), "reason": text(&review.reason),
               "created": review.created.to_string(), "i": [0]})
    });
    let thresholds = request.thresholds.iter();
    let thresholds =
        thresholds.map(|one| json!({"name": one.name, "approve": one.approve, "deny": one.deny}));
    json!({
        "kind": "access_request", "version": "v3",
        "metadata": {"name": request.id, "expires": request.expiry.to_string(), "id": request.revision},
        "spec": {
            "user": request.user, "roles": request.roles, "state": state(request.state),
            "created": request.created.to_string(), "expires": request.access_expiry.to_string(),
            "request_reason": text(&request.request_reason), "resolve_reason": text(&request.resolve_reason),
            "thresholds": thresholds.collect::<Vec<_>>(), "rtm": {"dba": {"s": [{"i": [0]}]}},
            "reviews": reviews.collect::<Vec<_>>(), "suggested_reviewers": request.suggested_reviewers,
            "max_duration": "0001-01-01T00:00:00Z"
        }
    })
}

fn write_json(bed: &TestBed, value: &Value) -> String {
    let path = bed.dir.path().join("request.json");
    std::fs::write(&path, value.to_string()).unwrap();
    path.display().to_string()
}

/// The text and the blocks of the last call that posted or changed a message there.
fn last_sent(bed: &TestBed, message: &access_sim::slack::snapshot::MessageView) -> Value {
    let calls = bed.slack.calls();
    let is_it = |call: &&access_sim::slack::call_log::Call| {
        let arguments = json!(call.arguments);
        let posted = call.answer["ts"] == message.ts.as_str();
        ["chat.postMessage", "chat.update"].contains(&call.method.as_str())
            && (posted || arguments["ts"] == message.ts.as_str())
    };
    let arguments = json!(calls.iter().rfind(is_it).unwrap().arguments);
    json!({"text": arguments["text"], "blocks": arguments["blocks"]})
}

#[test]
fn it_prints_what_the_daemon_sends_in_each_phase_and_only_reads() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let review = ANY_OF_THREE.replace("\"off\"", "\"off\"\napprovals = 2");
        let path = bed.write_config(&bed.review_config(Transport::Socket, &review));
        bed.slack.set_socket_mode(true);
        let daemon = Daemon::start_insecure(&path, &bed.slack.token());
        bed.until_logged(&daemon, "Ready").await;
        let path = path.display().to_string();
        let ids =
            [(); 6].map(|()| bed.create_request_with(NewRequest::roles(&["dba"], "to *see* <it> & more")));
        for id in &ids {
            bed.until_clickable(&daemon, "C0TEAM", id).await;
            bed.until_clickable(&daemon, "U0BOB", id).await;
        }
        let [pending, approved, denied, promoted, expired, deleted] = &ids;
        bed.approve(approved);
        bed.teleport.set_state(TCTL, denied, RequestState::Denied, "not *today*", "").unwrap();
        bed.teleport.promote(promoted, "Database team").unwrap();
        assert!(bed.teleport.expire_now(expired));
        bed.teleport.delete(TCTL, deleted).unwrap();
        let mut shown = Vec::new();
        for (id, phase, status) in [
            (pending, "pending", "⏳ PENDING"),
            (approved, "approved", "✅ APPROVED (looks fine)"),
            (denied, "denied", "❌ DENIED (not ∗today∗)"),
            (promoted, "promoted", "⏫ PROMOTED"),
            (expired, "expired", "⌛ EXPIRED"),
            (deleted, "deleted", "⌛ EXPIRED"),
        ] {
            let message = bed.until_status(&daemon, "C0TEAM", id, status).await;
            bed.until_status(&daemon, "U0BOB", id, status).await;
            bed.until_recorded(&daemon, id, |record| {
                field(record, "x_delivery").matches(phase).count() >= 2 && !record.contains_key("x_claim")
            })
            .await;
            shown.push((id, phase, message));
        }
        daemon.stop().await;
        for (id, phase, message) in shown {
            let (slack, teleport) = (bed.slack.calls().len(), bed.teleport.call_log().calls().len());
            let record = bed.record(id);
            let document = rendered(&[id, "-c", &path, "-p", "current", "-a", "channel", "--format", "json"]);
            assert_eq!(
                serde_json::from_str::<Value>(&document).unwrap(),
                last_sent(&bed, &message),
                "{phase}"
            );
            let bytes = digest(&document);
            assert_eq!(
                field(&record, "x_delivery").matches(&bytes).count(),
                2,
                "{phase} {bytes}: {record:?}"
            );
            assert_eq!(
                rendered(&[id, "-c", &path, "-p", phase, "-a", "channel", "--format", "json"]),
                document
            );

            assert_eq!(bed.record(id), record);
            assert_eq!(bed.slack.calls().len(), slack, "Slack is not asked");
            let reads = [
                Method::Ping,
                Method::GetAccessRequests,
                Method::GetAccessRequestsV2,
                Method::ListAccessRequests,
                Method::GetPluginData,
                Method::GetCurrentUserRoles,
                Method::GetRole,
            ];
            let calls = bed.teleport.call_log().calls().split_off(teleport);
            assert!(!calls.is_empty() && calls.iter().all(|call| reads.contains(&call.method)), "{calls:?}");
        }
        let text = rendered(&[approved, "-c", &path]);
        assert!(text.contains("── approved (now): every message ─"), "{text}");
        assert!(text.contains("│ Status: ✅ APPROVED (looks fine)\n"), "{text}");
        assert!(
            text.contains("── replies in the thread ─") && text.contains("│ Reason: looks fine.\n"),
            "{text}"
        );
        assert!(text.contains("│ Reason: to ∗see∗ <it> & more\n"), "{text}");
        assert!(!text.contains(&bed.slack.token()) && !text.contains(&bed.slack.app().app_token), "{text}");
    });
}

#[test]
fn a_request_that_tctl_printed_is_shown_as_the_daemon_would_for_each_audience() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let config = bed.review_config(Transport::Socket, ANY_OF_THREE);
        let path = bed.write_config(&config);
        bed.slack.set_socket_mode(true);
        let daemon = Daemon::start_insecure(&path, &bed.slack.token());
        bed.until_logged(&daemon, "Ready").await;
        let id = bed.create_request();
        let team = bed.until_clickable(&daemon, "C0TEAM", &id).await;
        let cluster = block_text(&team, 1);
        let cluster = cluster.lines().find_map(|line| line.strip_prefix("*Cluster*: ")).unwrap().to_owned();
        let request = bed.teleport.request(&id).unwrap();
        let file = write_json(&bed, &json!([tctl_json(&request)]));
        let path = path.display().to_string();
        let with = |more: &[&str]| {
            let all =
                ["--file", &file, "-c", &path, "--cluster", &cluster, "--format", "json", "-p", "pending"];
            rendered(&[&all, more].concat())
        };
        let document = with(&["-a", "channel"]);
        assert_eq!(serde_json::from_str::<Value>(&document).unwrap(), last_sent(&bed, &team));
        assert!(field(&bed.record(&id), "x_delivery").contains(&digest(&document)));
        // By its id and from the file it is the same, for each.
        for audience in ["channel", "requester", "unrecorded", "plain"] {
            let by_id = rendered(&[&id, "-c", &path, "--format", "json", "-p", "pending", "-a", audience]);
            assert_eq!(with(&["-a", audience]), by_id, "{audience}");
        }
        assert!(with(&["-a", "requester"]).contains("No buttons: this is your own request"));
        // The secrets of the configuration are not needed for it.
        let bare =
            config.replace(&bed.slack.token(), "to come").replace(&bed.slack.app().app_token, "to come");
        let bare = bed.write_config(&bare).display().to_string();
        let again = [
            "--file",
            &file,
            "-c",
            &bare,
            "--cluster",
            &cluster,
            "--format",
            "json",
            "-p",
            "pending",
            "-a",
            "channel",
        ];
        assert_eq!(rendered(&again), document);
        daemon.stop().await;
    });
}

#[test]
fn slack_judges_what_would_be_shown_and_shows_it_to_no_user() {
    run_test(async {
        let bed = TestBed::with_review().await;
        let review = ANY_OF_THREE.replace("\"off\"", "\"required\"");
        let path = bed.write_config(&bed.review_config(Transport::Socket, &review)).display().to_string();
        let id = bed.create_request();
        let (calls, messages) = (bed.slack.calls().len(), bed.slack.all_messages().len());
        let text = rendered(&[&id, "-c", &path, "--validate", "-w", "200"]);
        let asked = bed.slack.calls().split_off(calls);
        let methods: BTreeSet<_> = asked.iter().map(|call| call.method.as_str()).collect();
        assert_eq!(methods, ["blocks.validate"].into());
        assert_eq!(bed.slack.all_messages().len(), messages);
        // Nine different messages and eight modals: while it is pending each audience sees another one.
        assert_eq!(text.matches("  ✓ Slack would show it\n").count(), asked.len(), "{text}");
        assert_eq!(asked.len(), 9 + 8, "{text}");
        assert!(text.contains("  ✓ a text without a layout, which Slack shows always"), "{text}");

        let one = [
            id.as_str(),
            "-c",
            &path,
            "-p",
            "denied",
            "-a",
            "channel",
            "-w",
            "200",
            "--validate",
            "--format",
            "json",
        ];
        let said = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        let json = said(&rendered(&one));
        assert_eq!((&json["exit_status"], &json["items"][0]["verdict"]), (&0.into(), &"valid".into()));
        let refusal = Fault::Altered(vec![
            ("ok".to_owned(), Some(false.into())),
            ("error".to_owned(), Some("invalid_message".into())),
            (
                "errors".to_owned(),
                Some(
                    json!([{"pointer": "/blocks/0", "code": "failed_constraint", "message": "no\u{1b}[2J"}]),
                ),
            ),
        ]);
        bed.slack.faults().add(FaultRule::new("blocks.validate", refusal));
        let (status, text, errors) = run(&one);
        let json = said(&text);
        assert_eq!((status, &json["exit_status"], errors.as_str()), (Some(1), &1.into(), ""), "{text}");
        assert_eq!(json["items"][0]["verdict"], "invalid");
        let (status, text, _) = run(&one[..10]);
        assert_eq!(status, Some(1));
        assert!(
            text.contains("  ✗ Slack would not show it: /blocks/0 failed_constraint no")
                && !text.contains('\u{1b}'),
            "{text}"
        );

        bed.slack.faults().clear();
        bed.slack.faults().add(FaultRule::new("blocks.validate", Fault::Error("unknown_method".to_owned())));
        let text = rendered(&one[..10]);
        assert!(
            text.contains(
                "  ✓ within Slack's limits; this workspace, or what stands in for Slack, does not know"
            ),
            "{text}"
        );
        for (code, status) in [("invalid_auth", 77), ("internal_error", 1)] {
            bed.slack.faults().clear();
            bed.slack.faults().add(FaultRule::new("blocks.validate", Fault::Error(code.to_owned())));
            let (found, text, errors) = run(&one);
            assert_eq!((found, text.as_str()), (Some(status), ""), "{errors}");
            assert!(
                errors.contains("Slack did not say whether it would show it: ") && errors.contains(code),
                "{errors}"
            );
        }
        // Without Slack only the limits are checked, and no configuration is needed.
        let calls = bed.slack.calls().len();
        let file = write_json(&bed, &tctl_json(&bed.teleport.request(&id).unwrap()));
        let text = rendered(&[
            "-f",
            &file,
            "--validate",
            "--offline",
            "-p",
            "pending",
            "-a",
            "channel",
            "-w",
            "200",
        ]);
        assert!(text.contains("  ✓ within Slack's limits; Slack was not asked\n"), "{text}");
        assert_eq!(bed.slack.calls().len(), calls);
    });
}

fn minimal(id: &str) -> Value {
    json!({"kind": "access_request", "metadata": {"name": id}, "spec": {"user": "alice", "roles": ["dba"], "state": 1}})
}

#[test]
fn a_text_may_come_through_a_pipe_and_name_one_of_many() {
    let one = minimal("id-1").to_string();
    let channel = ["-p", "pending", "-a", "channel", "--format", "json"];
    let by = |arguments: &[&str], input: &str| {
        let (status, text, errors) = run_with_input(&[arguments, &channel].concat(), input.as_bytes());
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{text}");
        text
    };
    let document = by(&["--file", "-"], &one);
    assert!(document.starts_with("{\"text\":\"⏳ PENDING: access request by alice for dba on cluster example.com (ID id-1).\",\"blocks\":["), "{document}");
    assert_eq!(document.matches('\n').count(), 1);
    let many = json!([minimal("id-0"), minimal("id-1")]).to_string();
    for (arguments, text) in [
        (&["--file", "-"][..], format!("\u{feff}{one}\r\n")),
        (&["--file", "/dev/stdin"], format!("[{one}]")),
        (&["id-1", "--file", "-"], many),
        (&["id-1", "--file", "-"], one.clone()),
    ] {
        assert_eq!(by(arguments, &text), document, "{arguments:?}");
    }
    let with_buttons = by(&["--file", "-", "--buttons"], &one);
    assert!(
        with_buttons.contains("\"action_id\":\"approve\"") && !document.contains("approve\""),
        "{with_buttons}"
    );
    let with_link = by(&["--file", "-", "--web-proxy", "teleport.example.com:443"], &one);
    assert!(with_link.contains("<https://teleport.example.com/web/requests/id-1>"), "{with_link}");
    let by_tsh = by(&["--file", "-", "--edition", "enterprise", "--cluster", "one"], &one);
    assert!(
        by_tsh.contains("tsh request review --approve id-1") && by_tsh.contains("*Cluster*: one"),
        "{by_tsh}"
    );
}

#[test]
fn what_is_no_request_has_its_sentence_and_its_status() {
    let refused = |arguments: &[&str], input: &[u8]| {
        let (status, text, errors) = run_with_input(arguments, input);
        assert_eq!(text, "", "{errors}");
        assert!(errors.len() < 1_500 && !errors.contains(['\u{1b}', '\u{202e}']), "{errors:?}");
        (status, errors)
    };
    let many: Vec<_> = (0..200).map(|n| minimal(&format!("id-{n}"))).collect();
    let role = json!({"kind": "role", "metadata": {"name": "x"}});
    let dry = json!({"kind": "access_request", "metadata": {"name": "x"}, "spec": {"dry_run": true}});
    let huge = vec![b' '; (16 << 20) + 1];
    for (input, words) in [
        (&b""[..], "it is empty, and an access request is wanted"),
        (b"kind: access_request\n", "it is not JSON: expected value at line 1 column 1"),
        (b"{\"kind\":\"\\u001b[2J\xe2\x80\xae\"}", "kind is the text "),
        (b"\xff\xfe[\0]\0", "is not UTF-8 text (it is UTF-16); save it as UTF-8"),
        (b"[\"\xe9\"]", "is not UTF-8 text (at byte 3)"),
        (b"[]", "is an empty list"),
        (role.to_string().as_bytes(), "kind is the text \"role\", and \"access_request\" is wanted"),
        (dry.to_string().as_bytes(), "is a dry run"),
        (
            json!(many).to_string().as_bytes(),
            "has 200 requests; name one by its id before --file: id-0, id-1, ",
        ),
        (&huge, "is larger than 16 MiB"),
        (&b"[".repeat(100_000), "recursion limit exceeded"),
    ] {
        let (status, errors) = refused(&["--file", "-"], input);
        assert_eq!(status, Some(77), "{errors}");
        assert!(errors.contains(words), "{words}: {errors}");
    }
    let (status, errors) = refused(&["other", "--file", "-"], json!(many).to_string().as_bytes());
    assert!(
        status == Some(77) && errors.contains("has no request with the id other; it has: id-0, "),
        "{errors}"
    );
    assert!(errors.contains("and 190 more"), "{errors}");
    let (status, errors) = refused(&["--file", "/nowhere/request.json"], b"");
    assert!(
        status == Some(77) && errors.contains("cannot read the request from /nowhere/request.json"),
        "{errors}"
    );
    let (status, errors) = refused(&["--file", "/tmp"], b"");
    assert!(status == Some(77) && errors.contains("directory"), "{errors}");

    for wrong in [
        &[][..],
        &["a b"],
        &["../../x"],
        &["\u{1b}[2Jid"],
        &["id", "--buttons"],
        &["id", "--cluster", "x"],
        &["id", "--offline"],
        &["--file", "-", "-c", "x", "--buttons"],
        &["id", "-p", "gone"],
        &["id", "-a", "everyone"],
        &["id", "-w", "19"],
        &["id", "one", "too-many"],
    ] {
        assert_eq!(refused(wrong, b"").0, Some(2), "{wrong:?}");
    }
    assert_eq!(refused(&["--file", "-", "-c", "/nowhere/x.toml"], b"{}").0, Some(78));
    // By an id, and to ask Slack, a configuration is needed.
    let (status, errors) = refused(&["8f77d2d1", "-c", "/nowhere/x.toml"], b"");
    assert!(
        status == Some(78) && errors.contains("there is no configuration file /nowhere/x.toml"),
        "{errors}"
    );
    let (status, errors) = refused(&["--file", "-", "--validate", "-c", "/nowhere/x.toml"], b"{}");
    assert!(
        status == Some(78) && errors.contains("there is no configuration file /nowhere/x.toml"),
        "{errors}"
    );
}

#[test]
fn by_id_a_request_that_is_not_there_or_not_to_be_read_has_its_sentence() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.config(r#"recipients = ["C0TEAM"]"#);
        let path = bed.write_config(&config).display().to_string();
        let unknown = "8f77d2d1-2bbf-4031-a300-58926237a807";
        let (status, text, errors) = run(&[unknown, "-c", &path]);
        assert_eq!((status, text.as_str()), (Some(1), ""), "{errors}");
        assert!(
            errors.contains("Teleport has no access request 8f77d2d1") && errors.contains("tctl requests ls"),
            "{errors}"
        );

        let away = config.replace(&bed.teleport.addr().to_string(), "127.0.0.1:1");
        let away = bed.write_config(&away).display().to_string();
        let (status, text, errors) = run(&[unknown, "-c", &away]);
        assert_eq!((status, text.as_str()), (Some(1), ""), "{errors}");
        assert!(errors.contains("cannot connect to the Teleport auth server"), "{errors}");

        let path = bed.write_config(&config).display().to_string();
        let id = bed.create_request();
        let role = |fixture: &mut access_sim::teleport::fixture::Fixture| {
            fixture.role_mut("access-plugin").unwrap().allow.rules.clear();
        };
        bed.teleport.edit_fixture(role);
        let (status, text, errors) = run(&[&id, "-c", &path]);
        assert_eq!((status, text.as_str()), (Some(77), ""), "{errors}");
        assert!(errors.contains("access_request"), "{errors}");
        std::fs::remove_file(bed.dir.path().join("auth.crt")).unwrap();
        assert_eq!(run(&[&id, "-c", &path]).0, Some(77));
    });
}

#[test]
fn hostile_texts_reach_the_terminal_as_text() {
    let hostile =
        "\u{1b}[2J\u{9b}31m\u{202e}txt.exe\u{2066}\u{0}\r\n*Status:* ✅ APPROVED <!channel> `x` [ Approve ]";
    let mut request = minimal("id-1");
    request["metadata"]["name"] = format!("id{hostile}").into();
    for key in ["user", "request_reason", "resolve_reason"] {
        request["spec"][key] = hostile.into();
    }
    request["spec"]["roles"] = json!([hostile]);
    request["spec"]["reviews"] = json!([{"author": hostile, "proposed_state": 2, "reason": hostile}]);
    request["spec"]["resource_ids"] =
        json!([{"cluster": hostile, "kind": hostile, "name": hostile, "sub_resource": hostile}]);
    let run = |more: &[&str]| {
        let arguments = [&["--file", "-", "--buttons", "--cluster", "x\u{202e}\u{1b}[m"], more].concat();
        let (status, text, errors) = run_with_input(&arguments, request.to_string().as_bytes());
        assert_eq!((status, errors.as_str()), (Some(0), ""), "{text}");
        text
    };
    let text = run(&["-w", "70"]);
    let raw =
        |c: char| c != '\n' && c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c) || c == '\u{2066}';
    assert!(!text.contains(raw), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("│ Status: ✅ APPROVED <")), "{text}");
    let json = run(&["--format", "json"]);
    let whole: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(whole["request"]["id"], format!("id{hostile}"));
    assert!(!json.contains(raw), "{json:?}");
}
