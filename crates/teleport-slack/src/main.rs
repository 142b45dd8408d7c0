//! The `teleport-slack` command: parses, dispatches, ends with an exit status. Everything else is in the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    teleport_slack::cli::main(std::env::args_os())
}
