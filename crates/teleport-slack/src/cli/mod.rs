//! The command line: what can be asked for, and who answers.
//!
//! One file per command. Exit statuses are in `causes.rs`, and `exit.rs` prints errors.

pub mod check;
pub mod configure;
#[cfg(feature = "demo")]
pub mod demo;
pub mod explain;
pub mod manifest;
pub mod render;
pub mod resources;
pub mod start;
pub mod version;

use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::causes::Cause;
use crate::exit::{Exit, ExitError};
use crate::secret_shape::secret_in;
use crate::supervise::journal;

/// Shows Teleport access requests in Slack, keeps the messages current, and says who decided.
#[derive(Debug, Parser)]
#[command(
    name = "teleport-slack",
    version = version::LINE,
    after_help = "Examples:\n  \
        teleport-slack configure > teleport-slack.toml    write a configuration to fill in\n  \
        teleport-slack manifest -c teleport-slack.toml    print the Slack app to create for it\n  \
        teleport-slack resources -c teleport-slack.toml   print the role and the user for Teleport\n  \
        teleport-slack check                              look at the configuration, Teleport and Slack\n  \
        teleport-slack check --offline                    look at the configuration and its files only\n  \
        teleport-slack explain REQUEST                    say who was notified of a request, and why others were not\n  \
        teleport-slack render REQUEST                     show what Slack would show of a request, in every phase\n  \
        teleport-slack start                              run with /etc/teleport-slack.toml\n  \
        teleport-slack start -c teleport-slack.toml -d    run with another file, and log each step\n\n\
        Exit status: 0 done, 1 failed while running, 2 wrong command line,\n\
        77 a file cannot be read or used, 78 wrong configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print a commented configuration file to start from.
    #[command(after_help = "Example:\n  teleport-slack configure > teleport-slack.toml\n  \
        sudo install -m 0640 -g teleport-slack teleport-slack.toml /etc/")]
    Configure,
    /// Look at everything that the daemon needs, and say of each thing whether it is well. Changes nothing.
    #[command(
        after_help = "Each line begins with ok (✓), worth a look (!) or failed (✗); docs/check.md explains each item.\n\n\
        Exit status: 0 nothing failed, 1 a side is away, 77 refused credentials or a file that cannot be used,\n\
        78 wrong configuration."
    )]
    Check(check::Args),
    /// Say of one request who was notified, who was not and why, and who may decide it. Changes nothing.
    #[command(after_help = explain::HELP)]
    Explain(explain::Args),
    /// Print the manifest of a Slack app with the scopes that the configuration needs.
    #[command(after_help = manifest::HELP)]
    Manifest(manifest::Args),
    /// Show the messages about a request without posting them: every phase and audience, drawn or as Block Kit JSON.
    #[command(after_help = render::HELP)]
    Render(render::Args),
    /// Print the role and the user for Teleport with the rights that the configuration needs.
    #[command(after_help = resources::HELP)]
    Resources(resources::Args),
    /// Run until stopped: watch Teleport, post to Slack.
    Start(start::Args),
    /// Print the version.
    Version,
    /// Try everything out on this machine, without Teleport and without Slack.
    #[cfg(feature = "demo")]
    Demo(demo::Args),
}

/// What `--help` shows, as data: for manual pages and completions.
pub fn command() -> clap::Command {
    Cli::command()
}

/// Runs a whole command line, the program's name first, and says how it ended.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments: Vec<_> = arguments.into_iter().collect();
    if let Err(failure) = reject_secrets(&arguments) {
        failure.print();
        return failure.exit().into();
    }
    let command = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli.command,
        Err(mistake) if mistake.use_stderr() => {
            if journal::is_stderr() {
                journal::write_error(&mistake.render().to_string());
            } else {
                let _ = mistake.print();
            }
            return Exit::Usage.into();
        }
        // Help and version are "errors" too, on stdout and with status 0. A closed pipe is the reader's choice.
        Err(answer) => {
            let _ = answer.print();
            return ExitCode::SUCCESS;
        }
    };
    let done = match command {
        Command::Check(args) => match check::run(&args) {
            Ok(status) => return status,
            Err(failure) => Err(failure),
        },
        Command::Explain(args) => match explain::run(&args) {
            Ok(status) => return status,
            Err(failure) => Err(failure),
        },
        Command::Render(args) => match render::run(&args) {
            Ok(status) => return status,
            Err(failure) => Err(failure),
        },
        Command::Configure => configure::run(),
        Command::Manifest(args) => manifest::run(args),
        Command::Resources(args) => resources::run(args),
        Command::Start(args) => start::run(args),
        Command::Version => version::run(),
        #[cfg(feature = "demo")]
        Command::Demo(args) => demo::run(args),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            failure.print();
            failure.exit().into()
        }
    }
}

/// Refuses what looks like a secret before anything prints it.
fn reject_secrets(arguments: &[OsString]) -> Result<(), ExitError> {
    for (number, argument) in arguments.iter().enumerate().skip(1) {
        let text = argument.to_string_lossy();
        // `--config=VALUE` and `-cVALUE`.
        let long = text.split_once('=').map_or("", |(_, value)| value);
        let short = text.strip_prefix('-').and_then(|rest| rest.get(1..)).unwrap_or_default();
        if let Some(kind) = [&*text, long, short].into_iter().find_map(secret_in) {
            let words = format!(
                "argument {number} looks like {}, and no argument takes one: everybody on this machine can read command \
                 lines; write it into the configuration file, or into a file that is named there",
                kind.description()
            );
            return Err(ExitError::new(Exit::Usage, words));
        }
    }
    Ok(())
}

/// Runs what a command asks Teleport and Slack. What is still running then is not waited for: a look-up of a name, which
/// nothing can cut short, may take half a minute longer than the command wanted its answer.
fn block_on<T>(work: impl Future<Output = T>) -> Result<T, ExitError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| ExitError::from_cause(Cause::Environment, error))?;
    let done = runtime.block_on(work);
    runtime.shutdown_background();
    Ok(done)
}

/// Writes a command's answer to stdout. That the reader has gone (`| head`) is no failure.
fn print(text: &str) -> Result<(), ExitError> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(ExitError::new(
            Exit::Failed,
            anyhow::Error::new(error).context("cannot write to standard output"),
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Cli::try_parse_from(line.split_whitespace()).map(|cli| cli.command)
    }

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_guides_command_lines_are_understood() {
        let start = |line: &str| match parse(line) {
            Ok(Command::Start(args)) => (args.config.display().to_string(), args.debug),
            other => panic!("{line}: {other:?}"),
        };
        assert_eq!(start("teleport-slack start"), ("/etc/teleport-slack.toml".into(), false));
        assert_eq!(start("teleport-slack start --config=/etc/x.toml"), ("/etc/x.toml".into(), false));
        assert_eq!(start("teleport-slack start -c x.toml -d"), ("x.toml".into(), true));
        assert!(matches!(parse("teleport-slack configure"), Ok(Command::Configure)));
        assert!(matches!(parse("teleport-slack version"), Ok(Command::Version)));
        assert!(
            matches!(parse("teleport-slack check --offline --strict"), Ok(Command::Check(args)) if args.strict)
        );
        for wrong in [
            "teleport-slack",
            "teleport-slack stop",
            "teleport-slack start now",
            "teleport-slack configure -c x",
        ] {
            assert!(parse(wrong).is_err_and(|error| error.use_stderr() && error.exit_code() == 2), "{wrong}");
        }
    }

    #[cfg(feature = "demo")]
    #[test]
    fn the_demo_has_its_switches() {
        let Ok(Command::Demo(args)) = parse("teleport-slack demo --port 9 --sandbox /tmp/x") else {
            panic!("not understood")
        };
        assert_eq!((args.port, args.script, args.sandbox), (9, false, Some("/tmp/x".into())));
        assert!(matches!(parse("teleport-slack demo --script"), Ok(Command::Demo(args)) if args.script));
        // The script has neither a page nor files to keep.
        assert!(parse("teleport-slack demo --script --port 9").is_err_and(|error| error.exit_code() == 2));
    }

    #[test]
    fn the_version_begins_as_scripts_expect() {
        assert!(version::LINE.starts_with(concat!("v", env!("CARGO_PKG_VERSION"))), "{}", version::LINE);
        let asked = Cli::try_parse_from(["teleport-slack", "--version"])
            .expect_err("clap answers itself")
            .to_string();
        assert_eq!(asked, version::text(), "the switch and the command agree");
        assert!(asked.contains("(rustc 1."), "{asked}");
    }
}
