//! `teleport-slack demo`: the simulators and the daemon in one process.

use std::path::PathBuf;

use crate::error::{Exit, Failure};

/// What `demo` can be told.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    teleport-slack demo             open the page it names and play both sides\n  \
    teleport-slack demo --script    watch one request from start to end in the terminal")]
pub struct Args {
    /// The port of the demo's page on 127.0.0.1.
    #[arg(long, value_name = "N", default_value_t = 8484)]
    pub port: u16,
    /// Play one scenario in the terminal, tell what happens, and end.
    #[arg(long)]
    pub script: bool,
    /// Keep the demo's certificates and configuration in this directory.
    #[arg(long, value_name = "DIR")]
    pub sandbox: Option<PathBuf>,
}

/// Runs the demo.
pub fn run(_args: Args) -> Result<(), Failure> {
    Err(Failure::new(Exit::Failed, "the demo is not part of this build"))
}
