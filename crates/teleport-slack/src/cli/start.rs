//! `teleport-slack start`: reads the configuration, opens the log, runs the daemon.

use std::path::PathBuf;
use std::pin::pin;

use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::app::App;
use crate::app::timings::Timings;
use crate::causes::Cause;
use crate::check;
use crate::config::{self, Loaded};
use crate::exit::ExitError;
use crate::observe::{self, Log};
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
    let mut signals = Signals::install().map_err(|error| ExitError::from_cause(Cause::Environment, error))?;
    let (loaded, log) = {
        let args = args.clone();
        // A file may lie on a drive that hangs, or be a pipe without a writer.
        let mut reading = tokio::task::spawn_blocking(move || load(&args));
        loop {
            tokio::select! {
                read = &mut reading => break read.map_err(|error| ExitError::from_cause(Cause::Environment, error))??,
                request = signals.next() => match request {
                    // The log is opened in a moment.
                    SignalAction::ReopenLog(_) => {}
                    SignalAction::Stop(_) | SignalAction::StopNow(_) => return Ok(()),
                },
            }
        }
    };
    observe::log_panics(&log);
    let done = run_with_signals(&args, &loaded, &log, &mut signals).await;
    done.map_err(|failure| failure.logged(log.is_stderr()))
}

/// All that is read before anything is begun. Blocks.
fn load(args: &Args) -> Result<(Loaded, Log), ExitError> {
    let loaded = config::load(&args.config)?;
    let log = observe::init(&loaded.config.log, args.debug, Timings::default().shutdown.log)?;
    Ok((loaded, log))
}

/// Works, and does meanwhile what signals ask for.
async fn run_with_signals(
    args: &Args,
    loaded: &Loaded,
    log: &Log,
    signals: &mut Signals,
) -> Result<(), ExitError> {
    let stop = CancellationToken::new();
    let mut daemon = pin!(run_daemon(args, loaded, Timings::default(), stop.clone()));
    loop {
        tokio::select! {
            done = &mut daemon => return done,
            request = signals.next() => match request {
                SignalAction::ReopenLog(signal) => reopen_log(log, signal),
                SignalAction::Stop(signal) => {
                    info!("Stopping: {signal} received; a second signal ends at once");
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

/// Reopens the log file, and logs it: in the new file, if it can be opened.
fn reopen_log(log: &Log, signal: &'static str) {
    let reopening = log.reopener();
    // On a drive that hangs it takes its time, and a signal to stop must still be heard.
    tokio::task::spawn_blocking(move || {
        const REST: &str = "nothing else was taken up: a changed configuration needs a restart, and renewed certificates and token files are noticed without a signal";
        match reopening.reopen() {
            Ok(Some(path)) => {
                info!("{signal} received: the log file {} was reopened; {REST}", path.display())
            }
            Ok(None) => {
                info!("{signal} received: the log is no file, so there was nothing to reopen; {REST}")
            }
            Err(error) => {
                error!("{signal} received, but the log stays where it was: {}; {REST}", chain(&error))
            }
        }
    });
}

/// The daemon itself, without its process: no signals, no log, no exit status.
///
/// # Errors
/// What ends the daemon.
pub async fn run_daemon(
    args: &Args,
    loaded: &Loaded,
    timings: Timings,
    stop: CancellationToken,
) -> Result<(), ExitError> {
    info!("Starting Teleport Access Slack {}", env!("CARGO_PKG_VERSION"));
    debug!(process = std::process::id(), file = %args.config.display(), "The configuration is read");
    for warning in &loaded.warnings {
        warn!(file = %args.config.display(), "Configuration: {warning}");
    }
    check::log(&check::at_start(&loaded.config));
    if let Some(app) = App::start(&loaded.config, timings, args.insecure_no_tls, stop.clone()).await? {
        app.run().await?;
    }
    if stop.is_cancelled() {
        info!("Stopped");
    }
    Ok(())
}
