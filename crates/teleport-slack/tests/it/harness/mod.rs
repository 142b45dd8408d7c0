//! The test bed: both simulators, the daemon, short names for what users do, and waits for conditions.
//!
//! Every wait has a limit and reports its condition, Slack's messages and the daemon's log. At the end of a test the
//! daemon must stop in order, and must not have panicked or logged its token.

pub(crate) mod daemon;
pub(crate) mod deciding;
mod in_process;
pub(crate) mod http;

use std::collections::BTreeMap;
use std::future::Future;
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::LazyLock;
use std::time::Duration;

use access_sim::slack::snapshot::MessageView;
use access_sim::slack::workspace::{SlackUser, Workspace};
use access_sim::slack::{self, SlackSim};
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::request::{Decision, NewRequest};
use access_sim::teleport::{self, TeleportSim};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

pub(crate) use daemon::Daemon;
pub(crate) use in_process::run_in_process;

/// No condition of a test takes longer, unless the test says so.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a condition is looked at that announces no change. Looking costs little at that rate.
pub(crate) const LOOK_INTERVAL: Duration = Duration::from_millis(100);

/// The users of the tests, as Teleport and Slack know them.
pub(crate) const ALICE: &str = "alice@example.com";
pub(crate) const BOB: &str = "bob@example.com";
pub(crate) const DAVE: &str = "dave@example.com";

/// Both simulators and a directory for files.
pub(crate) struct TestBed {
    pub(crate) teleport: TeleportSim,
    pub(crate) slack: SlackSim,
    pub(crate) dir: TempDir,
}

/// The workspace of most tests: two channels with the bot, and the users of the golden cluster.
pub(crate) fn workspace() -> Workspace {
    Workspace::empty()
        .add_channel("C0TEAM", "team")
        .add_channel("C0DBA", "dba-approvers")
        .add_user(SlackUser::member("U0ALICE", "alice"))
        .add_user(SlackUser::member("U0BOB", "bob"))
        .add_user(SlackUser::member("U0DAVE", "dave"))
        .add_user(SlackUser::member("U0CAROL", "carol"))
}

impl TestBed {
    /// The golden cluster and the usual workspace, without Slack's rate limits.
    pub(crate) async fn new() -> Self {
        Self::with_options(teleport::Options::golden(), workspace()).await
    }

    pub(crate) async fn with_options(cluster: teleport::Options, workspace: Workspace) -> Self {
        // One sequence for the calls of both, if the test looks at it.
        let order = cluster.call_sequence.clone();
        let slack =
            slack::Options { rate_limits: None, call_sequence: order, ..slack::Options::new(workspace) };
        let bed = Self {
            teleport: TeleportSim::start(cluster).await.unwrap(),
            slack: SlackSim::start(slack).await.unwrap(),
            dir: tempfile::tempdir().unwrap(),
        };
        bed.sign(CertOptions::default());
        bed
    }

    /// `tctl auth sign --user=access-plugin --out=auth`.
    pub(crate) fn sign(&self, options: CertOptions) {
        let credentials = self.teleport.credentials(PLUGIN_USER, options);
        credentials.write_tls_files(self.dir.path(), "auth").unwrap();
    }

    /// The guide's configuration with this bed's addresses; `more` follows `[slack]`'s own keys.
    pub(crate) fn config(&self, more: &str) -> String {
        self.config_at(self.teleport.addr(), more)
    }

    /// The same with another address for Teleport, such as a proxy's.
    pub(crate) fn config_at(&self, teleport: SocketAddr, more: &str) -> String {
        format!(
            r#"
            [teleport]
            auth_server = "{teleport}"
            client_key = "auth.key"
            client_crt = "auth.crt"
            root_cas = "auth.cas"

            [slack]
            token = "{token}"
            api_url = "{slack}"
            {more}

            [log]
            severity = "DEBUG"
            "#,
            token = self.slack.token(),
            slack = self.slack.api_url(),
        )
    }

    /// The same with a port for diagnostics; `more` must not end in a table of its own.
    pub(crate) fn config_with_diagnostics(&self, more: &str) -> String {
        self.config(&format!("{more}\n[diagnostics]\nlisten_addr = \"127.0.0.1:0\""))
    }

    pub(crate) fn write_config(&self, text: &str) -> std::path::PathBuf {
        let path = self.dir.path().join("teleport-slack.toml");
        std::fs::write(&path, text).unwrap();
        path
    }

    /// Starts the daemon with these keys under `[slack]` and waits until it is ready.
    pub(crate) async fn start(&self, more: &str) -> Daemon {
        let daemon = self.launch(&self.config(more));
        self.until_logged(&daemon, "Ready").await;
        daemon
    }

    /// The same with a port for diagnostics.
    pub(crate) async fn start_with_diagnostics(&self, more: &str) -> Daemon {
        let daemon = self.launch(&self.config_with_diagnostics(more));
        self.until_logged(&daemon, "Ready").await;
        daemon
    }

    /// Starts the daemon and does not wait.
    pub(crate) fn launch(&self, config: &str) -> Daemon {
        Daemon::start(&self.write_config(config), &self.slack.token())
    }

    /// Starts the program with this configuration and expects it to end by itself. Returns its exit status and its
    /// output, in which this bed's directory is called `DIR`.
    pub(crate) async fn run_to_exit(&self, config: &str) -> (Option<i32>, String) {
        let daemon = Daemon::start_process(&self.write_config(config), &self.slack.token());
        let (status, log) = daemon.wait_for_exit().await;
        (status.code(), log.replace(self.dir.path().to_str().unwrap(), "DIR"))
    }

    /// `tsh request create --roles=dba` as alice.
    pub(crate) fn create_request(&self) -> String {
        self.create_request_with(NewRequest::roles(&["dba"], "nightly restore"))
    }

    pub(crate) fn create_request_with(&self, new: NewRequest) -> String {
        self.teleport.request_access(ALICE, new).unwrap()
    }

    /// `tsh request review` as bob.
    pub(crate) fn approve(&self, id: &str) {
        self.teleport.review(BOB, id, Decision::Approve, "looks fine").unwrap();
    }

    /// The message about request `id` in a channel (by its id), or in the direct messages of a user.
    pub(crate) fn message_about(&self, destination: &str, id: &str) -> Option<MessageView> {
        let messages = self.messages_about(destination, id);
        assert!(messages.len() <= 1, "{destination} has {} messages about {id}", messages.len());
        messages.into_iter().next()
    }

    /// All top-level messages there about request `id`.
    pub(crate) fn messages_about(&self, destination: &str, id: &str) -> Vec<MessageView> {
        let channel = if destination.starts_with('U') {
            self.slack.dm_with(destination)
        } else {
            Some(destination.to_owned())
        };
        let messages = channel.map_or_else(Vec::new, |channel| self.slack.messages(&channel));
        messages.into_iter().filter(|m| m.thread_ts.is_none() && is_about(m, id)).collect()
    }

    /// Waits until the message about `id` at a destination has this status line, and returns it.
    pub(crate) async fn until_status(
        &self,
        daemon: &Daemon,
        destination: &str,
        id: &str,
        status: &str,
    ) -> MessageView {
        self.until(daemon, &format!("{status:?} in {destination} about {id}"), || {
            self.message_about(destination, id)
                .filter(|message| status_line(message) == format!("*Status:* {status}"))
        })
        .await
    }

    /// Waits until the message about `id` at a destination says that the request was deleted. The Go plugin's readers take
    /// that as expired, so the status line says no more.
    pub(crate) async fn until_deleted(&self, daemon: &Daemon, destination: &str, id: &str) -> MessageView {
        let message = self.until_status(daemon, destination, id, "⌛ EXPIRED").await;
        assert_eq!(block_text(&message, 0), "This Role Request was deleted in Teleport:");
        assert_eq!(block_text(&message, 3), "Deleted in Teleport before it was decided.");
        message
    }

    /// Waits until the thread of a message has this many replies, and returns them.
    pub(crate) async fn until_replies(
        &self,
        daemon: &Daemon,
        message: &MessageView,
        count: usize,
    ) -> Vec<MessageView> {
        self.until(daemon, &format!("{count} replies in {}", message.channel), || {
            Some(self.replies(message)).filter(|replies| replies.len() == count)
        })
        .await
    }

    /// The replies under a message, without the message itself.
    pub(crate) fn replies(&self, message: &MessageView) -> Vec<MessageView> {
        let thread = self.slack.thread(&message.channel, &message.ts);
        thread.into_iter().filter(|reply| reply.ts != message.ts).collect()
    }

    /// Posts with the bot's token, as another program would; returns the message's `ts`.
    pub(crate) async fn post_as_bot(&self, body: &serde_json::Value) -> String {
        let answer =
            http::call_slack(&self.slack.api_url(), &self.slack.token(), "chat.postMessage", body).await;
        assert_eq!(answer["ok"], true, "{answer}");
        answer["ts"].as_str().unwrap().to_owned()
    }

    /// What the daemon recorded about a request.
    pub(crate) fn record(&self, id: &str) -> BTreeMap<String, String> {
        self.teleport.plugin_data(id, "slack")
    }

    /// Waits until the record of `id` satisfies `wanted`.
    pub(crate) async fn until_recorded(
        &self,
        daemon: &Daemon,
        id: &str,
        wanted: impl Fn(&BTreeMap<String, String>) -> bool,
    ) {
        self.until(daemon, &format!("the record of {id}"), || wanted(&self.record(id)).then_some(())).await;
    }

    pub(crate) async fn until_logged(&self, daemon: &Daemon, words: &str) -> String {
        self.until(daemon, &format!("{words:?} in the log"), || daemon.find_logged(words)).await
    }

    /// The same for a line at WARN or ERROR. Concurrent tasks may log its words at DEBUG before.
    pub(crate) async fn until_warned(&self, daemon: &Daemon, words: &str) -> String {
        let is_warning = |line: &&str| {
            line.contains(words) && [" WARN ", " ERROR "].into_iter().any(|level| line.contains(level))
        };
        let logged = || daemon.log().lines().find(is_warning).map(str::to_owned);
        self.until(daemon, &format!("{words:?} at WARN or ERROR in the log"), logged).await
    }

    /// Waits until `condition` holds. It is checked after every change of either simulator and of the log, and ten times a
    /// second for what announces no change.
    pub(crate) async fn until<T>(
        &self,
        daemon: &Daemon,
        what: &str,
        condition: impl FnMut() -> Option<T>,
    ) -> T {
        self.until_within(WAIT_TIMEOUT, daemon, what, condition).await
    }

    /// The same with a limit of its own.
    pub(crate) async fn until_within<T>(
        &self,
        limit: Duration,
        daemon: &Daemon,
        what: &str,
        condition: impl FnMut() -> Option<T>,
    ) -> T {
        let found = self.holds_within(limit, Some(daemon), condition).await;
        found.unwrap_or_else(|| self.panic_after(limit, daemon, what))
    }

    fn panic_after(&self, limit: Duration, daemon: &Daemon, what: &str) -> ! {
        panic!(
            "waited {limit:?} without success for {what}\n--- Slack\n{:#?}\n--- log\n{}",
            self.slack.all_messages().iter().map(|m| (&m.channel, &m.text)).collect::<Vec<_>>(),
            daemon.log()
        )
    }

    /// The same, and `None` if it does not hold within the limit; with or without a daemon whose log is looked at.
    pub(crate) async fn holds_within<T>(
        &self,
        limit: Duration,
        daemon: Option<&Daemon>,
        mut condition: impl FnMut() -> Option<T>,
    ) -> Option<T> {
        poll_within(limit, LOOK_INTERVAL, self.changes(daemon), async || condition()).await
    }

    fn changes(&self, daemon: Option<&Daemon>) -> Vec<watch::Receiver<u64>> {
        let changes = [self.teleport.changes(), self.slack.changes()];
        changes.into_iter().chain(daemon.map(Daemon::log_changes)).collect()
    }
}

/// Waits until `look` finds something. It looks after each change, and ten times a second for what announces no
/// change.
pub(crate) async fn poll_until<T>(
    what: &str,
    changes: watch::Receiver<u64>,
    look: impl AsyncFn() -> Option<T>,
) -> T {
    let found = poll_within(WAIT_TIMEOUT, LOOK_INTERVAL, vec![changes], look).await;
    found.unwrap_or_else(|| panic!("waited {WAIT_TIMEOUT:?} without success for {what}"))
}

/// The wait of all tests: looks after each change of any kind and each `interval`. `None` when the limit is over and the
/// last look found nothing.
pub(crate) async fn poll_within<T>(
    limit: Duration,
    interval: Duration,
    mut changes: Vec<watch::Receiver<u64>>,
    mut look: impl AsyncFnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + limit;
    loop {
        changes.iter_mut().for_each(watch::Receiver::mark_unchanged);
        let is_over = Instant::now() >= deadline;
        if let Some(found) = look().await {
            return Some(found);
        }
        if is_over {
            return None;
        }
        next_change(&mut changes, deadline.min(Instant::now() + interval)).await;
    }
}

async fn next_change(changes: &mut Vec<watch::Receiver<u64>>, deadline: Instant) {
    // What has ended, such as the log of a daemon that has, changes no more.
    changes.retain(|changes| changes.has_changed().is_ok());
    let mut changed: FuturesUnordered<_> =
        changes.iter_mut().map(async |changes| changes.changed().await).collect();
    let change = async {
        if !matches!(changed.next().await, Some(Ok(()))) {
            std::future::pending().await
        }
    };
    timeout_at(deadline, change).await.ok();
}

/// The text of block `n`, or "" if there is none.
pub(crate) fn block_text(message: &MessageView, n: usize) -> String {
    let block = message.blocks.get(n);
    let text = block.and_then(|b| b["text"]["text"].as_str().or(b["elements"][0]["text"].as_str()));
    text.unwrap_or_default().to_owned()
}

/// `*Status:* …`
pub(crate) fn status_line(message: &MessageView) -> String {
    block_text(message, 2)
}

fn is_about(message: &MessageView, id: &str) -> bool {
    request_id_of(message).as_deref() == Some(id)
}

/// The id of the request that a message is about.
pub(crate) fn request_id_of(message: &MessageView) -> Option<String> {
    block_text(message, 1).lines().find_map(|line| line.strip_prefix("*ID*: ").map(str::to_owned))
}

/// One value of a record, or "" if it is not there.
pub(crate) fn field<'a>(record: &'a BTreeMap<String, String>, key: &str) -> &'a str {
    record.get(key).map_or("", String::as_str)
}

/// Runs a test on a runtime of its own.
pub(crate) fn run_test<F: Future<Output = ()>>(test: F) {
    let _duration = Stopwatch(Instant::now());
    // In a box, the runtime's code is compiled once and not for each test.
    run_boxed(Box::pin(test));
}

fn run_boxed(test: Pin<Box<dyn Future<Output = ()> + '_>>) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(test);
}

/// Says that the test of this thread cannot run here, and why. What it prints is not held back as the output of a test that
/// passes is, so people see it, and the gate counts it.
pub(crate) fn skip_test(why: &str) {
    // The test runner names each thread after its test.
    let thread = std::thread::current();
    skip(thread.name().unwrap_or("?"), why);
}

/// The same of a part of the test.
pub(crate) fn skip(name: &str, why: &str) {
    let line = format!("SKIPPED {name}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}

/// Appends how long the test took to the file that `TEST_TIMES` names, if it does: the gate prints the slowest.
struct Stopwatch(Instant);

impl Drop for Stopwatch {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("TEST_TIMES") else { return };
        // The test runner names each thread after its test.
        let thread = std::thread::current();
        let line = format!("{:.1} {}\n", self.0.elapsed().as_secs_f64(), thread.name().unwrap_or("?"));
        let file = std::fs::OpenOptions::new().append(true).create(true).open(path);
        // A test does not fail for it.
        let _ = file.and_then(|mut file| file.write_all(line.as_bytes()));
    }
}

/// The built program; `TELEPORT_SLACK` names another, such as the one that is released.
pub(crate) fn program() -> &'static Path {
    static PROGRAM: LazyLock<PathBuf> = LazyLock::new(|| {
        let named = std::env::var_os("TELEPORT_SLACK");
        named.unwrap_or_else(|| env!("CARGO_BIN_EXE_teleport-slack").into()).into()
    });
    &PROGRAM
}
