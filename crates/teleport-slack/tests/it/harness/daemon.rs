//! A daemon: its log is read as it comes, and it never outlives its test. It is the built program, or runs in this process
//! (`in_process`).

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::in_process::{self, InProcess, is_in_process};
use super::program;

/// The daemon ends within this time, its own drain of 15 s included.
const EXIT_TIMEOUT: Duration = Duration::from_secs(60);

/// The daemon's metrics by series, without the prefix of all names.
pub(crate) type MetricValues = BTreeMap<String, f64>;

/// A running daemon.
pub(crate) struct Daemon {
    runs: Runs,
    status: watch::Receiver<Option<ExitStatus>>,
    log: Arc<Mutex<String>>,
    changes: watch::Receiver<u64>,
    secret: String,
}

/// What it runs as.
enum Runs {
    /// A process, with its id.
    Process(u32),
    InProcess(InProcess),
}

impl Daemon {
    /// `teleport-slack start -c CONFIG`, in process if the test is; `secret` must never show up in its output.
    pub(crate) fn start(config: &Path, secret: &str) -> Self {
        Self::start_with(config, false, secret)
    }

    /// The same with `--insecure-no-tls`.
    pub(crate) fn start_insecure(config: &Path, secret: &str) -> Self {
        Self::start_with(config, true, secret)
    }

    fn start_with(config: &Path, insecure_no_tls: bool, secret: &str) -> Self {
        if is_in_process() {
            return in_process::start(config.to_owned(), insecure_no_tls, secret);
        }
        let insecure = insecure_no_tls.then_some("--insecure-no-tls");
        Self::run(Command::new(program()).arg("start").arg("-c").arg(config).args(insecure), secret)
    }

    /// The built program, whatever the test runs in.
    pub(crate) fn start_process(config: &Path, secret: &str) -> Self {
        Self::run(Command::new(program()).arg("start").arg("-c").arg(config), secret)
    }

    pub(super) fn new(
        in_process: InProcess,
        status: watch::Receiver<Option<ExitStatus>>,
        log: Arc<Mutex<String>>,
        changes: watch::Receiver<u64>,
        secret: &str,
    ) -> Self {
        Self { runs: Runs::InProcess(in_process), status, log, changes, secret: secret.to_owned() }
    }

    /// Any command of the program, with both of its output streams read.
    pub(crate) fn run(command: &mut Command, secret: &str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .env("NO_COLOR", "1")
            .spawn()
            .unwrap();
        let log = Arc::new(Mutex::new(String::new()));
        let (sender, changes) = watch::channel(0);
        let sender = Arc::new(sender);
        let streams: [Box<dyn std::io::Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        for stream in streams {
            let (log, sender) = (Arc::clone(&log), Arc::clone(&sender));
            std::thread::spawn(move || {
                for line in BufReader::new(stream).split(b'\n').map_while(Result::ok) {
                    let line = String::from_utf8_lossy(&line).into_owned();
                    log.lock().push_str(&(line + "\n"));
                    sender.send_modify(|count| *count += 1);
                }
            });
        }
        let pid = child.id();
        let (ended, status) = watch::channel(None);
        std::thread::spawn(move || ended.send_replace(Some(child.wait().unwrap())));
        Self { runs: Runs::Process(pid), status, log, changes, secret: secret.to_owned() }
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().clone()
    }

    /// The last lines of the log, where all of it would be too long to read.
    pub(crate) fn log_tail(&self) -> String {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// The first line of the log that contains these words.
    pub(crate) fn find_logged(&self, words: &str) -> Option<String> {
        self.log().lines().find(|line| line.contains(words)).map(str::to_owned)
    }

    /// Waits for a line of the log that contains these words.
    pub(crate) async fn until_logged(&self, words: &str) -> String {
        super::poll_until(words, self.log_changes(), async || self.find_logged(words)).await
    }

    /// How many lines of the log contain these words.
    pub(crate) fn times_logged(&self, words: &str) -> usize {
        self.log().lines().filter(|line| line.contains(words)).count()
    }

    pub(crate) fn log_changes(&self) -> watch::Receiver<u64> {
        self.changes.clone()
    }

    /// How it ended, if it has.
    pub(crate) fn exit_status(&self) -> Option<ExitStatus> {
        *self.status.borrow()
    }

    /// A GET at the port for diagnostics.
    pub(crate) async fn get(&self, path: &str) -> (::http::StatusCode, String) {
        let line = self.find_logged("Serving health and metrics on ").unwrap();
        let address = line.split_once("metrics on ").unwrap().1.split_whitespace().next().unwrap();
        super::http::get(&format!("{address}{path}")).await
    }

    /// All current metrics.
    pub(crate) async fn metrics(&self) -> MetricValues {
        let (status, text) = self.get("/metrics").await;
        assert!(status.is_success() && text.ends_with('\n'), "{status} {text}");
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("process_"));
        let sample = |line: &str| {
            let (series, value) = line.strip_prefix("teleport_slack_").unwrap().rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        };
        lines.map(sample).collect()
    }

    /// Of a process.
    pub(crate) fn pid(&self) -> u32 {
        match self.runs {
            Runs::Process(pid) => pid,
            Runs::InProcess(_) => panic!("a daemon in process has no id: use run_test"),
        }
    }

    /// Sends a signal by its name: TERM, INT, KILL.
    pub(crate) fn signal(&self, name: &str) {
        match &self.runs {
            Runs::Process(pid) => signal(*pid, name),
            Runs::InProcess(in_process) => in_process.signal(name),
        }
    }

    /// Waits for the end; returns the exit status and all output.
    pub(crate) async fn wait_for_exit(self) -> (ExitStatus, String) {
        let secret = self.secret.clone();
        let (status, log) = self.wait_for_any_exit().await;
        assert!(!log.contains("panicked"), "{log}");
        assert!(secret.is_empty() || !log.contains(&secret), "the log shows the token\n{log}");
        (status, log)
    }

    /// The same, whatever the output says.
    pub(crate) async fn wait_for_any_exit(mut self) -> (ExitStatus, String) {
        let wait = tokio::time::timeout(EXIT_TIMEOUT, self.status.wait_for(Option::is_some)).await;
        let Ok(Ok(Some(status))) = wait.map(|status| status.map(|s| *s)) else {
            panic!("the daemon does not end\n{}", self.log())
        };
        // The readers end when the streams do.
        let mut changes = self.changes.clone();
        while changes.changed().await.is_ok() {}
        (status, self.log())
    }

    /// SIGTERM; the daemon must end in order.
    pub(crate) async fn stop(self) -> String {
        self.signal("TERM");
        let (status, log) = self.wait_for_exit().await;
        assert!(status.success(), "{status}\n{log}");
        log
    }

    /// SIGKILL: the daemon cleans nothing up.
    pub(crate) async fn kill(self) -> String {
        self.signal("KILL");
        self.wait_for_exit().await.1
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.exit_status().is_none() {
            self.signal("KILL");
        }
    }
}

/// Sends a signal by its name to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status().unwrap();
    assert!(status.success());
}
