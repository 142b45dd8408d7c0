//! `teleport-slack demo`: both simulators and the daemon in one process, joined by real sockets.
//!
//! The page is `access_sim::demo_ui`; `environment` sets both sides up, `sandbox` prepares the folder of `--sandbox`, and
//! `script` plays the scenario of `--script`.

mod sandbox;
mod environment;
mod script;

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::pin::pin;

use access_sim::demo_ui;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::demo::environment::Environment;
use super::print;
use crate::app::timings::Timings;
use crate::config::{LogConfig, LogFormat, LogOutput, Severity};
use crate::exit::{Exit, ExitError};
use crate::observe::{self, CurrentLog};
use crate::supervise::signals::Signals;

/// The arguments of `demo`.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    teleport-slack demo                   open the page it names and play both sides\n  \
    teleport-slack demo --script          watch one request from start to end in the terminal\n  \
    teleport-slack demo --sandbox /tmp/s  only the simulated Teleport and Slack; then, in another terminal,\n                                        \
    teleport-slack start -c /tmp/s/teleport-slack.toml")]
pub struct Args {
    /// The port of the demo's page on 127.0.0.1; 0 takes a free one.
    #[arg(long, value_name = "N", default_value_t = 8484)]
    pub port: u16,
    /// Play one scenario in the terminal, say what happens, and end.
    #[arg(long, conflicts_with_all = ["port", "sandbox"])]
    pub script: bool,
    /// Run the simulators alone, and leave in DIR what `start` needs to work with them: a new or empty folder, or one of
    /// an earlier run.
    #[arg(long, value_name = "DIR")]
    pub sandbox: Option<PathBuf>,
}

pub fn run(args: Args) -> Result<(), ExitError> {
    let severity = if args.script { Severity::Error } else { Severity::Info };
    let log = LogConfig { output: LogOutput::Stderr, severity, format: LogFormat::Text };
    let log = observe::init(&log, false, Timings::default().shutdown.log)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| ExitError::new(Exit::Failed, error))?;
    let done = runtime.block_on(async {
        match (args.script, args.sandbox) {
            (true, _) => script::play(log.current().clone()).await,
            (false, Some(dir)) => run_sandbox(args.port, dir).await,
            (false, None) => run_demo(args.port, log.current().clone()).await,
        }
    });
    runtime.shutdown_background();
    done
}

/// The simulators, the daemon and the page, until a signal.
async fn run_demo(port: u16, log: CurrentLog) -> Result<(), ExitError> {
    // Before the address is printed, so that a program that reads it may end the demo at once.
    let signals = Signals::install().map_err(|error| ExitError::new(Exit::Failed, error))?;
    let (listener, addr) = listen(port).await?;
    let environment = Environment::new(None).await?;
    print(&format!(
        "The demo is at http://{addr}/\n\
         Ask for access as alice on the Teleport side, then approve as bob: there, or by button in Slack. Ctrl-C ends it.\n"
    ))?;
    let stop = CancellationToken::new();
    let daemon = environment.run_daemon(log, stop.clone());
    until_signal(signals, listener, &environment, stop, daemon).await
}

/// The simulators and the page, until a signal; the daemon is started by hand.
async fn run_sandbox(port: u16, dir: PathBuf) -> Result<(), ExitError> {
    // Before the address is printed, so that a program that reads it may end the demo at once.
    let signals = Signals::install().map_err(|error| ExitError::new(Exit::Failed, error))?;
    let (listener, addr) = listen(port).await?;
    let environment = Environment::new(Some(dir)).await?;
    let config = environment.config_path();
    print(&format!(
        "Teleport (simulated): addr = \"{teleport}\"\n\
         Slack (simulated):    api_url = \"{slack}\"\n\
         In another terminal: teleport-slack start -c {config}\n\
         The page for both sides is at http://{addr}/  Ctrl-C ends it.\n",
        teleport = environment.teleport.addr(),
        slack = environment.slack.api_url(),
        config = config.display(),
    ))?;
    until_signal(signals, listener, &environment, CancellationToken::new(), std::future::pending()).await
}

async fn until_signal(
    mut signals: Signals,
    listener: TcpListener,
    environment: &Environment,
    stop: CancellationToken,
    daemon: impl Future<Output = Result<(), ExitError>>,
) -> Result<(), ExitError> {
    let mut page = pin!(demo_ui::serve(listener, environment.demo_world(), stop.clone()));
    let mut daemon = pin!(daemon);
    tokio::select! {
        _ = signals.next() => {}
        served = &mut page => served.map_err(|error| ExitError::new(Exit::Failed, error))?,
        done = &mut daemon => return done,
    }
    stop.cancel();
    Ok(())
}

async fn listen(port: u16) -> Result<(TcpListener, SocketAddr), ExitError> {
    let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let listener = TcpListener::bind(addr).await.map_err(|error| {
        let remedy = match error.kind() {
            ErrorKind::AddrInUse => "another program (another demo?) listens there; end it, or choose another port with --port N (0 takes a free one)",
            ErrorKind::PermissionDenied => "ports below 1024 need more rights; choose another with --port N",
            _ => "choose another port with --port N",
        };
        ExitError::new(Exit::Failed, anyhow::Error::new(error).context(format!("cannot listen on {addr}: {remedy}")))
    })?;
    let addr = listener.local_addr().map_err(|error| ExitError::new(Exit::Failed, error))?;
    Ok((listener, addr))
}
