//! `teleport-slack start`: reads the configuration, opens the log, runs the daemon.

use std::env;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::app::reload::{ReloadCause, ReloadRequests};
use crate::app::timings::Timings;
use crate::app::{App, AppOptions};
use crate::causes::Cause;
use crate::check;
use crate::config::{self, Config, Loaded, LogConfig, LogFormat, LogOutput};
use crate::exit::ExitError;
use crate::observe::metrics::Metrics;
use crate::observe::service_status::ServiceStatus;
use crate::observe::{self, ANSWER, CurrentLog, Log};
use crate::supervise::notify::{Notifier, NotifyError, watchdog_limit};
use crate::supervise::pid_file::{PidFile, PidFileError};
use crate::supervise::signals::{SignalAction, Signals};
use access_core::domain::error_chain::chain;

/// Threads that work on tasks. The daemon mostly waits; with two, a slow task does not hold up the others.
const WORKER_THREADS: usize = 2;

/// The arguments of `start`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "PATH", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Log each step (severity DEBUG), whatever the configuration says.
    #[arg(short, long)]
    pub debug: bool,
    /// Listen for Slack's callbacks without TLS: only behind a proxy on this machine that does it.
    #[arg(long)]
    pub insecure_no_tls: bool,
    /// Keep the process's number in this file while the daemon runs; its folder must be writable. No systemd unit needs it.
    #[arg(long, value_name = "PATH")]
    pub pid_file: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), ExitError> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKER_THREADS).enable_all().build();
    let runtime = runtime.map_err(|error| ExitError::from_cause(Cause::Environment, error))?;
    let done = runtime.block_on(serve(args));
    // What is still running had its time to stop.
    runtime.shutdown_background();
    done
}

async fn serve(args: Args) -> Result<(), ExitError> {
    // Before anything is read: as process 1 a signal that is not caught is lost, elsewhere it ends the process.
    let signals = Signals::install().map_err(|error| ExitError::from_cause(Cause::Environment, error))?;
    let (notifier, unusable) = match Notifier::new(env::var_os("NOTIFY_SOCKET").as_deref()) {
        Ok(notifier) => (notifier, None),
        Err(error) => (Notifier::default(), Some(error)),
    };
    let done = serve_notified(args, signals, notifier.clone(), unusable).await;
    if let Err(failure) = &done {
        notifier.stopping(&format!("ended: {failure}"));
    }
    done
}

async fn serve_notified(
    args: Args,
    mut signals: Signals,
    notifier: Notifier,
    unusable: Option<NotifyError>,
) -> Result<(), ExitError> {
    let (mut reload_requested, mut debug_requested) = (false, false);
    let (loaded, log) = {
        let args = args.clone();
        // A file may lie on a drive that hangs, or be a pipe without a writer.
        let mut reading = tokio::task::spawn_blocking(move || load(&args));
        loop {
            tokio::select! {
                read = &mut reading => break read.map_err(|error| ExitError::from_cause(Cause::Environment, error))??,
                request = signals.next() => match request {
                    // The log is opened in a moment; the configuration may have been read already.
                    SignalAction::ReopenLog(_) => {}
                    SignalAction::ToggleDebug(_) => debug_requested = !debug_requested,
                    SignalAction::Reload(_) => reload_requested = true,
                    SignalAction::Stop(_) | SignalAction::StopNow(_) => return Ok(()),
                },
            }
        }
    };
    observe::log_panics(&log);
    if debug_requested {
        log.current().level().toggle_debug("SIGUSR1");
    }
    if let Some(error) = unusable {
        warn!("No notifications: {}", chain(&error));
    }
    let options = app_options(&args, Timings::default(), &loaded.config, &log);
    if reload_requested {
        options.reloads.request(ReloadCause::Signal);
    }
    let done = run_with_signals(&args, loaded, options, &log, &mut signals, notifier).await;
    done.map_err(|failure| ended(failure, log.current()))
}

/// All that is read before anything is begun. Blocks.
///
/// # Errors
/// What ends the daemon; it is in the log already if the file says what log that is, and if the log can be opened.
fn load(args: &Args) -> Result<(Loaded, Log), ExitError> {
    let open = |config: &LogConfig| observe::init(config, args.debug, Timings::default().shutdown.log);
    let examined = config::examine(&args.config)?;
    let (log, format) = (examined.parts.log.clone(), examined.parts.log_format);
    match examined.into_loaded(&args.config).map_err(ExitError::from) {
        Ok(loaded) => match open(&loaded.config.log) {
            Ok(log) => Ok((loaded, log)),
            Err(error) => Err(on_stderr(error.into(), format)),
        },
        Err(mistakes) => Err(match log.map(|log| open(&log)) {
            Some(Ok(log)) => ended(mistakes, log.current()),
            Some(Err(_)) | None => on_stderr(mistakes, format),
        }),
    }
}

/// Logs what ends the daemon. If the log is not standard error it is said there, too: the log may be out of reach.
fn ended(failure: ExitError, log: &CurrentLog) -> ExitError {
    let is_stderr = log.is_stderr();
    let failure = failure.logged(is_stderr);
    if is_stderr { failure } else { on_stderr(failure, Some(log.format())) }
}

/// Where the file says that lines are JSON, so are those of the error on standard error. Otherwise the error is printed in the
/// end.
fn on_stderr(failure: ExitError, format: Option<LogFormat>) -> ExitError {
    let Some(format @ LogFormat::Json) = format else { return failure };
    let config = LogConfig { output: LogOutput::Stderr, format, ..LogConfig::default() };
    let mut failure = failure;
    let grace = Timings::default().shutdown.log;
    // What cannot be logged is printed.
    let _ = observe::log_apart(&config, grace, || failure.log(true));
    failure
}

/// What the daemon runs with, by the command line.
pub fn app_options(args: &Args, timings: Timings, config: &Config, log: &Log) -> AppOptions {
    let metrics = Metrics::of(config, timings.unready_after, timings.outage);
    let reloads = ReloadRequests::new(&args.config, timings.configuration, metrics.health().reload());
    let (path, insecure_no_tls) = (args.config.clone(), args.insecure_no_tls);
    let (started, log) = ((Instant::now(), Timestamp::now()), log.current().clone());
    AppOptions { path, timings, insecure_no_tls, started, metrics, reloads, log }
}

/// Works, and does meanwhile what signals ask for.
async fn run_with_signals(
    args: &Args,
    loaded: Loaded,
    options: AppOptions,
    log: &Log,
    signals: &mut Signals,
    notifier: Notifier,
) -> Result<(), ExitError> {
    let _pid_file = args.pid_file.as_deref().map(create_pid_file).transpose()?;
    let stop = CancellationToken::new();
    let mut service =
        ServiceStatus::new(notifier, watchdog(), options.metrics.clone(), options.timings.service);
    let reloads = options.reloads.clone();
    let mut daemon = pin!(run_daemon(loaded, options, stop.clone()));
    loop {
        tokio::select! {
            done = &mut daemon => return done,
            () = service.until_tick() => service.tick(Instant::now(), Timestamp::now()),
            request = signals.next() => match request {
                SignalAction::ToggleDebug(signal) => log.current().level().toggle_debug(signal),
                SignalAction::ReopenLog(signal) => reopen_log(log, signal, NOTHING_ELSE, || {}),
                SignalAction::Reload(signal) => {
                    // Before anything else: a service manager waits for the answer from now on.
                    reloads.announce();
                    // After the log is open, so that what the reload logs is in the new file.
                    let reloads = reloads.clone();
                    let then = move || reloads.request(ReloadCause::Signal);
                    reopen_log(log, signal, "the configuration is read again", then);
                }
                SignalAction::Stop(signal) => {
                    service.stopping();
                    info!(target: ANSWER, "Stopping: {signal} received; a second signal ends at once");
                    stop.cancel();
                }
                SignalAction::StopNow(signal) => {
                    let words = format!("{signal} received again, so what was in progress is left unfinished; the next start resumes it");
                    return Err(ExitError::from_cause(Cause::SecondSignal, words));
                }
            },
        }
    }
}

/// After how long without a word the service manager restarts the daemon.
fn watchdog() -> Option<Duration> {
    let [limit, process] = ["WATCHDOG_USEC", "WATCHDOG_PID"].map(|name| env::var(name).ok());
    watchdog_limit(limit.as_deref(), process.as_deref(), std::process::id())
}

fn create_pid_file(path: &Path) -> Result<PidFile, ExitError> {
    let file = PidFile::create(path).map_err(|error| {
        let cause = match &error {
            PidFileError::InUse { .. } => Cause::Environment,
            PidFileError::NotPidFile { .. } | PidFileError::Link { .. } | PidFileError::Unwritable { .. } => {
                Cause::UnreadableFile
            }
        };
        ExitError::from_cause(cause, error)
    })?;
    for warning in config::warnings_of_folders(path, "the PID file") {
        warn!(file = %path.display(), "--pid-file: {warning}");
    }
    Ok(file)
}

/// What a signal that only reopens the log does beside that.
const NOTHING_ELSE: &str = "nothing else was done: SIGHUP also reads the configuration again";

/// Reopens the log file, and logs it: in the new file, if it can be opened. Does `then` in any case.
fn reopen_log(log: &Log, signal: &'static str, rest: &'static str, then: impl FnOnce() + Send + 'static) {
    let reopening = log.current().clone();
    // On a drive that hangs it takes its time, and a signal to stop must still be heard.
    tokio::task::spawn_blocking(move || {
        match reopening.reopen() {
            Ok(Some(path)) => {
                info!(target: ANSWER, "{signal} received: the log file {} was reopened; {rest}", path.display());
            }
            Ok(None) => {
                info!(target: ANSWER, "{signal} received: the log is no file, so there was nothing to reopen; {rest}");
            }
            Err(error) => {
                error!("{signal} received, but the log stays where it was: {}; {rest}", chain(&error));
            }
        }
        then();
    });
}

/// The daemon itself, without its process: no signals, no log, no exit status.
///
/// # Errors
/// What ends the daemon.
pub async fn run_daemon(
    loaded: Loaded,
    options: AppOptions,
    stop: CancellationToken,
) -> Result<(), ExitError> {
    info!("Starting Teleport Access Slack {}", env!("CARGO_PKG_VERSION"));
    debug!(process = std::process::id(), file = %options.path.display(), "The configuration is read");
    for warning in &loaded.warnings {
        warn!(file = %options.path.display(), "Configuration: {warning}");
    }
    check::log(&check::at_start(&loaded.config));
    if let Some(app) = App::start(loaded, options, stop.clone()).await? {
        app.run().await?;
    }
    if stop.is_cancelled() {
        info!(target: ANSWER, "Stopped");
    }
    Ok(())
}
