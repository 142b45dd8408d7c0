//! `teleport-slack start`: reads the configuration, opens the log, runs the daemon.

use std::path::PathBuf;

use tracing::{info, warn};

use crate::config;
use crate::error::Failure;
use crate::observe;

/// What `start` can be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "PATH", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Log each step (severity DEBUG), whatever the configuration says.
    #[arg(short, long)]
    pub debug: bool,
}

/// Runs the daemon.
pub fn run(args: Args) -> Result<(), Failure> {
    let loaded = config::load(&args.config)?;
    let _log = observe::init(&loaded.config.log, args.debug)?;
    info!("Starting Teleport Access Slack {}", env!("CARGO_PKG_VERSION"));
    for warning in &loaded.warnings {
        warn!(file = %args.config.display(), "Configuration: {warning}");
    }
    Ok(())
}
