//! `teleport-slack start`: reads the configuration, opens the log, runs the daemon.

use std::path::PathBuf;
use std::pin::pin;

use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::app::App;
use crate::config::{self, Loaded};
use crate::error::{Exit, Failure};
use crate::observe;
use crate::runtime::shutdown::Signals;

/// Threads that work on tasks. The daemon mostly waits; two let a slow task hold up nobody.
const WORKERS: usize = 2;

/// What `start` can be told.
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

/// Runs the daemon.
pub fn run(args: Args) -> Result<(), Failure> {
    let loaded = config::load(&args.config)?;
    let _log = observe::init(&loaded.config.log, args.debug)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failed, error))?;
    let done = runtime.block_on(serve(&args, &loaded));
    // What is still running was told to stop and had its time.
    runtime.shutdown_background();
    done
}

async fn serve(args: &Args, loaded: &Loaded) -> Result<(), Failure> {
    let mut signals = Signals::catch().map_err(|error| Failure::new(Exit::Failed, error))?;
    let stop = CancellationToken::new();
    let mut daemon = pin!(work(args, loaded, stop.clone()));
    tokio::select! {
        done = &mut daemon => return done,
        signal = signals.next() => info!("Stopping: {signal} received; a second signal ends at once"),
    }
    stop.cancel();
    tokio::select! {
        done = &mut daemon => {
            info!("Stopped");
            done
        }
        signal = signals.next() => {
            let words = format!("{signal} received again, so what was under way is left unfinished; the next start takes it up");
            Err(Failure::new(Exit::Failed, words))
        }
    }
}

async fn work(args: &Args, loaded: &Loaded, stop: CancellationToken) -> Result<(), Failure> {
    info!("Starting Teleport Access Slack {}", env!("CARGO_PKG_VERSION"));
    for warning in &loaded.warnings {
        warn!(file = %args.config.display(), "Configuration: {warning}");
    }
    match App::start(&loaded.config, args.insecure_no_tls, stop).await? {
        Some(app) => app.run().await,
        None => Ok(()),
    }
}
