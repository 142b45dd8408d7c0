//! A daemon within the test's own process, on a runtime of its own and with shorter waits. It costs no start of a program,
//! and what takes production 13 s takes it 4.
//!
//! Its calls, records and messages are those of the program, and so is its log. It has no signals, no exit status of its
//! own and no standard output: tests of those, and those that freeze a daemon, start the program.

use std::cell::{Cell, RefCell};
use std::io::{self, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::outage::OutageTimings;
use access_core::record::claim::ClaimTimings;
use parking_lot::Mutex;
use slack_client::CallTimings;
use teleport_client::WatcherTimings;
use teleport_slack::app::reload::{ReloadCause, ReloadRequests};
use teleport_slack::app::timings::{TimingValues, Timings};
use teleport_slack::cli::start::{self, Args};
use teleport_slack::controller::{ControllerTimings, TurnTimings};
use teleport_slack::http::HttpTimings;
use teleport_slack::observe::file_watch::FileTimings;
use teleport_slack::review::ReviewTimings;
use teleport_slack::supervise::shutdown::ShutdownTimings;
use teleport_slack::{config, observe};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tracing::dispatcher::DefaultGuard;

use super::daemon::Daemon;
use super::run_test;

thread_local! {
    /// Whether the test of this thread starts its daemons in process.
    static IS_IN_PROCESS: Cell<bool> = const { Cell::new(false) };
    /// Where this thread of a daemon logs.
    static LOG: RefCell<Option<DefaultGuard>> = const { RefCell::new(None) };
}

/// [`run_test`] with daemons in this process.
pub(crate) fn run_in_process<F: Future<Output = ()>>(test: F) {
    IS_IN_PROCESS.set(true);
    run_test(test);
    IS_IN_PROCESS.set(false);
}

pub(super) fn is_in_process() -> bool {
    IS_IN_PROCESS.get()
}

/// Production's, divided by ten; those that a machine with much to do must keep up with, by three.
fn timings() -> Timings {
    let ms = Duration::from_millis;
    let tenth = |backoff: Backoff| Backoff { first: backoff.first / 10, cap: backoff.cap / 10 };
    let files = |files: FileTimings| FileTimings { poll: files.poll / 10, retry: files.retry / 10 };
    let production = TimingValues::default();
    let TimingValues { controller, watcher, startup, token_probe, .. } = production;
    let claim = ClaimTimings {
        timeout: ms(4_300),
        budget: ms(2_000),
        call: ms(2_000),
        in_doubt_after_claim: ms(5_000),
        in_doubt_after_timeout: ms(2_000),
        ..controller.claim
    };
    let controller = ControllerTimings {
        claim,
        transient: tenth(controller.transient),
        ambiguous: tenth(controller.ambiguous),
        unauthorized: tenth(controller.unauthorized),
        refused: tenth(controller.refused),
        refused_probe_interval: controller.refused_probe_interval / 10,
        refused_stagger: controller.refused_stagger / 10,
        no_access: tenth(controller.no_access),
        no_access_probe_interval: controller.no_access_probe_interval / 10,
        lookup: tenth(controller.lookup),
        teleport_unavailable: tenth(controller.teleport_unavailable),
        teleport_denied: tenth(controller.teleport_denied),
        undecided: tenth(controller.undecided),
        drain: ms(5_000),
        // An operation loses its turn because another is not needed any more, not because the machine is busy.
        turns: TurnTimings { turn_timeout: ms(8_000), ..controller.turns },
        ..controller
    };
    let values = TimingValues {
        controller,
        watcher: WatcherTimings {
            backoff: tenth(watcher.backoff),
            stable_after: watcher.stable_after / 3,
            probe_after: watcher.probe_after / 3,
            ..watcher
        },
        startup: tenth(startup),
        identity_files: files(production.identity_files),
        secret_files: files(production.secret_files),
        configuration: files(production.configuration),
        http: HttpTimings { files: files(production.http.files), ..production.http },
        slack: CallTimings { message: claim.call, ..production.slack },
        token_probe: tenth(token_probe),
        review: ReviewTimings { permission_poll: ms(1_500), ..production.review },
        outage: OutageTimings { reminders: [ms(600), ms(1_500), ms(60_000)], ..production.outage },
        shutdown: ShutdownTimings { clicks: ms(5_000), ..production.shutdown },
        ..production
    };
    Timings::new(values).unwrap()
}

/// How to end a daemon.
pub(super) struct InProcess {
    stop: CancellationToken,
    kill: CancellationToken,
    reloads: ReloadRequests,
}

impl InProcess {
    /// HUP: it reads its configuration again. TERM: it ends in order. KILL: everything that it does is dropped where it stands.
    pub(super) fn signal(&self, name: &str) {
        match name {
            "TERM" => self.stop.cancel(),
            "KILL" => self.kill.cancel(),
            "HUP" => self.reloads.request(ReloadCause::Signal),
            _ => panic!("SIG{name} needs a process: use run_test"),
        }
    }
}

/// `teleport-slack start -c CONFIG` in this process.
pub(super) fn start(config: PathBuf, insecure_no_tls: bool, secret: &str) -> Daemon {
    let args = Args { config, debug: false, insecure_no_tls, pid_file: None };
    let loaded =
        config::load(&args.config).expect("a configuration that is refused needs a process: use run_test");
    let log = Arc::new(Mutex::new(String::new()));
    let (lines, changes) = watch::channel(0);
    let writer = LogWriter { log: Arc::clone(&log), lines };
    let (dispatch, log_guard) =
        observe::dispatcher(&loaded.config.log, Box::new(writer), timings().shutdown.log).unwrap();
    // Everything that the daemon does runs on threads of this runtime, blocking work included.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .on_thread_start({
            let dispatch = dispatch.clone();
            move || LOG.set(Some(tracing::dispatcher::set_default(&dispatch)))
        })
        .on_thread_stop(|| LOG.set(None))
        .build()
        .unwrap();
    let options = start::app_options(&args, timings(), &loaded.config, &log_guard);
    let (stop, kill, reloads) = (CancellationToken::new(), CancellationToken::new(), options.reloads.clone());
    let in_process = InProcess { stop, kill, reloads };
    let (stop, kill) = (in_process.stop.clone(), in_process.kill.clone());
    let (ended, status) = watch::channel(None);
    std::thread::spawn(move || {
        let _log = tracing::dispatcher::set_default(&dispatch);
        let done = runtime.block_on(async {
            tokio::select! {
                biased;
                () = kill.cancelled() => None,
                done = start::run_daemon(loaded, options, stop) => Some(done),
            }
        });
        let status = match done {
            None => ExitStatus::from_raw(9),
            Some(Ok(())) => ExitStatus::from_raw(0),
            Some(Err(error)) => {
                error.logged(false);
                ExitStatus::from_raw(1 << 8)
            }
        };
        runtime.shutdown_background();
        // The last lines are written first.
        drop(log_guard);
        ended.send_replace(Some(status));
    });
    Daemon::new(in_process, status, log, changes, secret)
}

/// Takes the log's lines.
struct LogWriter {
    log: Arc<Mutex<String>>,
    lines: watch::Sender<u64>,
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.log.lock().push_str(&String::from_utf8_lossy(bytes));
        self.lines.send_modify(|count| *count += 1);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
