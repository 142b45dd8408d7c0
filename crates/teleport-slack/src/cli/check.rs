//! `teleport-slack check`: looks, prints the report, and ends with the status that follows from it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ValueEnum;
use jiff::Timestamp;

use crate::causes::Exit;
use crate::check::offline::Facts;
use crate::check::online;
use crate::check::output::{self, Asked, Style};
use crate::check::report::Report;
use crate::config;
use crate::exit::ExitError;

/// The arguments of `check`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "PATH", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// Look at the configuration and the files that it names, and call neither Teleport nor Slack.
    #[arg(long)]
    pub offline: bool,
    /// Post a marked message to each recipient, and remove it.
    #[arg(long, conflicts_with = "offline")]
    pub send_test: bool,
    /// Let what is worth a look (!) count as failed.
    #[arg(long)]
    pub strict: bool,
    /// How the report is printed: a line for each item with cause and remedy below, or JSON as docs/check.md describes it.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
    /// The daemon is started with --insecure-no-tls: a proxy on this machine does TLS for Slack's callbacks.
    #[arg(long)]
    pub insecure_no_tls: bool,
}

/// How a command prints what it found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: one JSON object.
    Json,
}

/// The status with which the program ends.
///
/// # Errors
/// If the report cannot be printed.
pub fn run(args: &Args) -> Result<ExitCode, ExitError> {
    let now = Timestamp::now();
    let facts = Facts::gather(&args.config, args.insecure_no_tls, now);
    let mut report = Report { items: facts.items(now) };
    if let Some(config) = facts.config().filter(|_| !args.offline) {
        let options = online::Options { send_test: args.send_test };
        report.items.extend(super::block_on(online::items(&config, &args.config, options))?);
    } else if !args.offline {
        report.items.extend(online::unasked(facts.obstacle()));
    }
    let exit = report.exit(args.strict);
    let code = exit.map_or(0, Exit::code);
    let text = match args.format {
        Format::Text => {
            let style = Style::new(io::stdout().is_terminal(), |name| std::env::var(name).ok());
            output::text(&report, style, code)
        }
        Format::Json => {
            let asked = Asked { config: &args.config, offline: args.offline, strict: args.strict };
            output::json(&report, asked, code)
        }
    };
    super::print(&text)?;
    Ok(exit.map_or(ExitCode::SUCCESS, ExitCode::from))
}
