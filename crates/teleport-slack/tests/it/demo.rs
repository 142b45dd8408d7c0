//! The demo as a new user starts it, and the guide's walk-through with each part in its own process.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::*;

/// What `configure` printed, filled in as the guide says.
fn edit(boilerplate: &str, sandbox: &str) -> String {
    let value = |key: &str| {
        let line = sandbox.lines().find(|line| line.starts_with(&format!("{key} = "))).unwrap();
        line.split_once(" = ").unwrap().1.to_owned()
    };
    let mut text = String::new();
    for line in boilerplate.lines() {
        let key = line.split('=').next().unwrap_or_default().trim();
        match key {
            "addr" => text += &format!("addr = {}\n", value("addr")),
            "client_key" | "client_crt" | "root_cas" => text += &format!("{key} = {}\n", value(key)),
            "token" => text += &format!("token = {}\napi_url = {}\n", value("token"), value("api_url")),
            "recipients" => text += "recipients = [\"access-requests\"]\n",
            _ => text += &format!("{line}\n"),
        }
    }
    text
}

/// The sandbox in another process; the test uses only its page and its files.
pub(crate) struct Sandbox {
    pub(crate) process: Daemon,
    page: String,
}

impl Sandbox {
    pub(crate) async fn start(dir: &Path) -> Self {
        let mut command = Command::new(program());
        command.args(["demo", "--port", "0", "--sandbox"]).arg(dir);
        let process = Daemon::run(&mut command, "");
        let line = process.until_logged("The page for both sides is at ").await;
        let page = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap();
        Self { page: page.trim_end_matches('/').to_owned(), process }
    }

    async fn post_action(&self, action: &str, body: Value) -> Value {
        let (status, answer) = http::post(&format!("{}/api/teleport/{action}", self.page), &body).await;
        assert!(status.is_success(), "{action}: {answer}");
        answer
    }

    pub(crate) async fn create_request(&self, reason: &str) -> String {
        let body =
            json!({"user": ALICE, "roles": ["dba"], "reason": reason, "reviewers": [], "resources": []});
        self.post_action("request", body).await["request"]["id"].as_str().unwrap().to_owned()
    }

    /// What the page shows of both sides, as JSON.
    pub(crate) async fn state(&self) -> String {
        http::get(&format!("{}/api/state", self.page)).await.1
    }

    /// Waits until the message about a request has this status line, and returns its replies.
    pub(crate) async fn until_status(&self, daemon: &Daemon, id: &str, status: &str) -> Vec<String> {
        let wanted = format!("*Status:* {status}");
        let changes = daemon.log_changes();
        poll_until(&format!("{wanted} about {id}\n{}", daemon.log()), changes, async || {
            let state: Value = serde_json::from_str(&self.state().await).unwrap();
            let channels = state["slack"]["conversations"].as_array().unwrap().clone();
            let messages = channels.iter().filter(|c| c["name"] == "access-requests");
            let mut messages = messages.flat_map(|c| c["messages"].as_array().unwrap().clone());
            let message =
                messages.find(|m| m["blocks"][1]["text"]["text"].as_str().is_some_and(|t| t.contains(id)))?;
            let replies = message["replies"].as_array().unwrap();
            let replies = replies.iter().map(|reply| reply["text"].as_str().unwrap().to_owned()).collect();
            (message["blocks"][2]["elements"][0]["text"] == wanted).then_some(replies)
        })
        .await
    }
}

#[test]
fn the_guides_walk_through_works_step_by_step() {
    run_test(async {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(dir.path()).await;

        // teleport-slack configure > teleport-slack.toml; then edit.
        let boilerplate = Command::new(program()).arg("configure").output().unwrap();
        assert!(boilerplate.status.success());
        let written = std::fs::read_to_string(dir.path().join("teleport-slack.toml")).unwrap();
        let config = dir.path().join("mine.toml");
        std::fs::write(&config, edit(&String::from_utf8(boilerplate.stdout).unwrap(), &written)).unwrap();

        // teleport-slack start: the lines that the guide shows, in its order.
        let daemon = Daemon::start(&config, "");
        daemon.until_logged("Watcher connected").await;
        let log = daemon.log();
        let at = |words: &str| log.find(words).unwrap_or_else(|| panic!("{words:?} is not in\n{log}"));
        assert!(at("INFO  Starting Teleport Access Slack ") < at("INFO  Starting a request watcher..."));
        assert!(at("INFO  Starting a request watcher...") < at("INFO  Watcher connected"));

        // Create requests; approve one, deny one, let one expire.
        let [approved, denied, expired] = [
            sandbox.create_request("one").await,
            sandbox.create_request("two").await,
            sandbox.create_request("three").await,
        ];
        for id in [&approved, &denied, &expired] {
            sandbox.until_status(&daemon, id, "⏳ PENDING").await;
        }
        let review = |id: &str, approve: bool| json!({"author": BOB, "id": id, "approve": approve, "reason": "so be it"});
        sandbox.post_action("review", review(&approved, true)).await;
        sandbox.until_status(&daemon, &approved, "✅ APPROVED (so be it)").await;
        sandbox.post_action("review", review(&denied, false)).await;
        sandbox.until_status(&daemon, &denied, "❌ DENIED (so be it)").await;
        sandbox.post_action("expire", json!({"id": expired})).await;
        sandbox.until_status(&daemon, &expired, "⌛ EXPIRED").await;
        daemon.stop().await;
        let log = sandbox.process.stop().await;
        assert!(
            !log.contains("Starting Teleport Access Slack"),
            "the sandbox has a daemon of its own\n{log}"
        );
    });
}

#[test]
fn the_sandbox_leaves_a_configuration_and_an_identity_file_that_work() {
    run_test(async {
        let dir = tempfile::tempdir().unwrap();
        let sandbox = Sandbox::start(dir.path()).await;
        let config = dir.path().join("teleport-slack.toml");
        for use_identity_file in [false, true] {
            if use_identity_file {
                let text = std::fs::read_to_string(&config).unwrap();
                let is_file = |line: &&str| line.starts_with("client_") || line.starts_with("root_cas");
                let text: Vec<_> = text.lines().filter(|line| !is_file(line)).collect();
                std::fs::write(&config, text.join("\n").replace("# identity", "identity")).unwrap();
            }
            let daemon = Daemon::start(&config, "");
            daemon.until_logged("Ready").await;
            let id = sandbox.create_request("for the sandbox").await;
            sandbox.until_status(&daemon, &id, "⏳ PENDING").await;
            daemon.stop().await;
        }
        sandbox.process.stop().await;
    });
}

#[test]
fn the_demo_prints_its_address_and_works() {
    run_test(async {
        let demo = Daemon::run(Command::new(program()).args(["demo", "--port", "0"]), "");
        let line = demo.until_logged("The demo is at ").await;
        let page = line.split_whitespace().last().unwrap().to_owned();
        let (status, html) = http::get(&page).await;
        assert!(status.is_success() && html.contains("<html"), "{html}");
        let sandbox = Sandbox { process: demo, page: page.trim_end_matches('/').to_owned() };
        let id = sandbox.create_request("for the demo").await;
        sandbox.until_status(&sandbox.process, &id, "⏳ PENDING").await;
        sandbox.process.stop().await;
    });
}

#[test]
fn a_taken_port_is_reported_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let output = Command::new(program()).args(["demo", "--port", &port]).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains(&format!("cannot listen on 127.0.0.1:{port}")) && said.contains("--port N"),
        "{said}"
    );
}

#[test]
fn the_scripted_demo_runs_to_its_end() {
    let output = Command::new(program()).args(["demo", "--script"]).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    for words in [
        "1 of 2 approvals",
        "This is your own request; somebody else must decide it.",
        "Your approval counts: 1 of 2 approvals.",
        "The request is approved.",
        "✅ APPROVED (go on)",
        "APPROVED by access-plugin, delegator carol@example.com, in Slack U0BOB and U0CAROL",
        "❌ DENIED (not like this)",
        "⌛ EXPIRED",
        "It is back: *Status:* ✅ APPROVED",
    ] {
        assert!(said.contains(words), "{words:?} is missing in\n{said}");
    }
}

#[test]
fn a_folder_that_a_running_demo_uses_is_left_alone_and_one_that_a_killed_one_left_is_taken() {
    run_test(async {
        let dir = tempfile::tempdir().unwrap();
        let first = Sandbox::start(dir.path()).await;
        let read = |name: &str| std::fs::read(dir.path().join(name)).unwrap();
        let before = [read("teleport-slack.toml"), read("auth.crt")];
        let mut second = Command::new(program());
        second.args(["demo", "--port", "0", "--sandbox"]).arg(dir.path());
        let (status, said) = Daemon::run(&mut second, "").wait_for_exit().await;
        assert_eq!(status.code(), Some(1), "{said}");
        let words = format!("is in use by the demo that runs as process {}", first.process.pid());
        assert!(said.contains(&words) && said.contains("name another directory"), "{said}");
        assert_eq!(before, [read("teleport-slack.toml"), read("auth.crt")]);
        first.process.kill().await;
        let third = Sandbox::start(dir.path()).await;
        assert_ne!(before[0], read("teleport-slack.toml"));
        third.process.stop().await;
    });
}
