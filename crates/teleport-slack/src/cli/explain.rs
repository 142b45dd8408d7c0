//! `teleport-slack explain`: says of one request who was notified, who was not and why, and who may decide it.

use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::process::ExitCode;

use access_core::domain::ids::RequestId;
use access_core::domain::text::escape_line;

use super::check::Format;
use crate::causes::Exit;
use crate::check::output::Style;
use crate::config;
use crate::exit::ExitError;
use crate::explain::{self, output};

/// What the help says below the arguments.
pub const HELP: &str = "\
It reads the request, the record of it and the configuration, and asks Slack for names. It changes nothing, and works whether
or not the daemon runs; docs/explain.md describes what it says.

Exit status: 0 explained, 1 there is no such request or Teleport is away, 2 this is no id of a request,
77 refused credentials or a file that cannot be used, 78 wrong configuration.

Example:
  teleport-slack explain 8f77d2d1-2bbf-4031-a300-58926237a807";

/// The arguments of `explain`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The request's id, in full, as `tctl requests ls` and each message show it.
    #[arg(value_name = "REQUEST")]
    pub request: String,
    /// The configuration file.
    #[arg(short, long, value_name = "PATH", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// How the explanation is printed.
    #[arg(long, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub format: Format,
}

/// The status with which the program ends.
///
/// # Errors
/// If the id is none, the configuration or the identity cannot be used, or Teleport gives no answer.
pub fn run(args: &Args) -> Result<ExitCode, ExitError> {
    let id = request_id(&args.request)?;
    let loaded = config::load(&args.config)?;
    let facts = super::block_on(explain::gather(&loaded.config, &id))??;
    let explanation = explain::explain(&facts);
    let exit = explanation.request.phase.is_none().then_some(Exit::Failed);
    let text = match args.format {
        Format::Text => {
            let style = Style::new(io::stdout().is_terminal(), |name| std::env::var(name).ok());
            output::text(&explanation, style)
        }
        Format::Json => output::json(&explanation, &args.config, exit.map_or(0, Exit::code)),
    };
    super::print(&text)?;
    Ok(exit.map_or(ExitCode::SUCCESS, ExitCode::from))
}

/// The id that an argument names.
pub(super) fn request_id(argument: &str) -> Result<RequestId, ExitError> {
    let id = RequestId::new(argument.trim());
    if id.as_token().is_none() {
        let shown: String = argument.chars().take(100).collect();
        let words = format!(
            "\"{}\" is no id of an access request; copy it from the message or from `tctl requests ls`, such as \
             8f77d2d1-2bbf-4031-a300-58926237a807",
            escape_line(&shown)
        );
        return Err(ExitError::new(Exit::Usage, words));
    }
    Ok(id)
}
