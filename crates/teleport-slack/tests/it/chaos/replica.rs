//! One daemon of a run, with its own proxy to Teleport, which can be cut. It is started, killed, frozen and restarted.

use std::path::PathBuf;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use access_sim::tcp_proxy::TcpProxy;
use parking_lot::{Mutex, MutexGuard};

use crate::harness::*;

/// How long a daemon may take to become ready at the start, before any fault.
const READY_TIMEOUT: Duration = Duration::from_secs(60);

pub(crate) struct Replica {
    pub(crate) number: usize,
    config: PathBuf,
    secret: String,
    pub(crate) proxy: TcpProxy,
    /// The action in progress holds the lock, so that no two act on the daemon at once.
    daemon: tokio::sync::Mutex<Option<Daemon>>,
    /// Of the current process, or of the last one.
    pid: AtomicU32,
    /// Where this process takes callbacks, once that is known.
    callbacks: Mutex<Option<String>>,
    /// The logs of earlier processes.
    earlier_logs: Mutex<Vec<String>>,
    /// What the daemon did wrong.
    violations: Mutex<Vec<String>>,
}

impl Replica {
    /// Starts it with this configuration and waits until it is ready.
    pub(crate) async fn start(bed: &TestBed, number: usize, config: &str) -> Self {
        let line = TcpProxy::start(bed.teleport.addr()).await.unwrap();
        let config = config.replace(&bed.teleport.addr().to_string(), &line.addr().to_string());
        let path = bed.dir.path().join(format!("replica-{number}.toml"));
        std::fs::write(&path, config).unwrap();
        let replica = Self {
            number,
            config: path,
            secret: bed.slack.token(),
            proxy: line,
            daemon: tokio::sync::Mutex::default(),
            pid: AtomicU32::new(0),
            callbacks: Mutex::default(),
            earlier_logs: Mutex::default(),
            violations: Mutex::default(),
        };
        let daemon = replica.launch();
        bed.until_within(READY_TIMEOUT, &daemon, "a replica", || daemon.find_logged("Ready")).await;
        *replica.daemon.lock().await = Some(daemon);
        replica
    }

    fn launch(&self) -> Daemon {
        let mut command = Command::new(program());
        let command = command.arg("start").arg("-c").arg(&self.config).arg("--insecure-no-tls");
        let daemon = Daemon::run(command, &self.secret);
        self.pid.store(daemon.pid(), Ordering::Relaxed);
        daemon
    }

    /// SIGKILL or SIGTERM, a downtime, then a new process. Returns `false` if another action is in progress.
    pub(crate) async fn restart(&self, signal: &str, away: Duration) -> bool {
        let Ok(mut daemon) = self.daemon.try_lock() else { return false };
        *self.callbacks.lock() = None;
        self.stop_and_check(daemon.take(), signal).await;
        tokio::time::sleep(away).await;
        *daemon = Some(self.launch());
        true
    }

    /// Stops the daemon for good, in order. Returns its logs, one per process, and what it did wrong.
    pub(crate) async fn finish(&self) -> (Vec<String>, Vec<String>) {
        let daemon = self.daemon.lock().await.take();
        self.stop_and_check(daemon, "TERM").await;
        (self.earlier_logs().clone(), self.violations().clone())
    }

    async fn stop_and_check(&self, daemon: Option<Daemon>, signal: &str) {
        let Some(daemon) = daemon else { return };
        match daemon.exit_status() {
            Some(status) => {
                self.record_violation(&format!("ended by itself: {status}\n{}", daemon.log_tail()))
            }
            None => daemon.signal(signal),
        }
        let (status, log) = daemon.wait_for_any_exit().await;
        // Before its first line the daemon may not handle signals yet.
        if signal == "TERM" && !status.success() && !log.is_empty() {
            self.record_violation(&format!("got SIGTERM and ended with {status}"));
        }
        if log.contains("panicked") {
            self.record_violation("panicked");
        }
        if log.contains(&self.secret) {
            self.record_violation("showed its token in the log");
        }
        self.earlier_logs().push(log);
    }

    fn record_violation(&self, what: &str) {
        self.violations().push(format!("replica {} {what}", self.number));
    }

    /// SIGSTOP, and SIGCONT after a while.
    pub(crate) async fn pause(&self, lasts: Duration) -> bool {
        let Ok(daemon) = self.daemon.try_lock() else { return false };
        let Some(daemon) = daemon.as_ref().filter(|daemon| daemon.exit_status().is_none()) else {
            return false;
        };
        daemon.signal("STOP");
        tokio::time::sleep(lasts).await;
        daemon.signal("CONT");
        true
    }

    /// Where it takes callbacks, if it runs and takes any.
    pub(crate) fn callback_url(&self) -> Option<String> {
        let daemon = self.daemon.try_lock().ok()?;
        let mut known = self.callbacks.lock();
        if known.is_none() {
            let line = daemon.as_ref()?.find_logged("Starting insecure HTTP server on ")?;
            let address = line.split_once("server on ")?.1.split_whitespace().next()?;
            *known = Some(format!("http://{address}/slack/interactivity"));
        }
        known.clone()
    }

    /// Its current usage; zeros if it is not running.
    pub(crate) fn usage(&self) -> Usage {
        Usage::of(self.pid.load(Ordering::Relaxed))
    }

    fn earlier_logs(&self) -> MutexGuard<'_, Vec<String>> {
        self.earlier_logs.lock()
    }

    fn violations(&self) -> MutexGuard<'_, Vec<String>> {
        self.violations.lock()
    }
}

/// The resources of a process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) resident_kib: u64,
    pub(crate) files: usize,
}

impl Usage {
    fn of(pid: u32) -> Self {
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let resident_kib = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0);
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
        Self { resident_kib, files }
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.1} MiB resident, {} files", self.resident_kib as f64 / 1024.0, self.files)
    }
}
