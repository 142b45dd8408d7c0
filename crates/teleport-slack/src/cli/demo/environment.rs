//! The demo's environment: a simulated cluster and workspace, and the files with which the daemon joins them.

use std::io;
use std::path::{Path, PathBuf};

use access_sim::demo_ui::DemoSimulators;
use access_sim::slack::workspace::Workspace;
use access_sim::slack::{self, SlackSim};
use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::{self, TeleportSim};
use jiff::Timestamp;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::sandbox;
use crate::app::reload::ReloadRequests;
use crate::app::timings::Timings;
use crate::app::{App, AppOptions};
use crate::config;
use crate::exit::{Exit, ExitError};
use crate::observe::CurrentLog;
use crate::observe::metrics::Metrics;
use crate::supervise::pid_file::PidFile;

/// Both simulators, running, and their files.
pub(super) struct Environment {
    pub(super) teleport: TeleportSim,
    pub(super) slack: SlackSim,
    teleport_version: String,
    dir: PathBuf,
    /// Keeps a folder that was asked for from other demos.
    _in_use: Option<PidFile>,
    /// Removes the files in the end, unless they were asked for.
    _temporary: Option<tempfile::TempDir>,
}

impl Environment {
    /// Starts both and writes the files into `dir`, or into a directory that lasts as long as the environment.
    pub(super) async fn new(dir: Option<PathBuf>) -> Result<Self, ExitError> {
        let failed = |what: &'static str| {
            move |error: io::Error| ExitError::new(Exit::Failed, anyhow::Error::new(error).context(what))
        };
        let (dir, in_use, temporary) = match dir {
            Some(dir) => {
                let in_use = sandbox::prepare(&dir)?;
                (std::path::absolute(&dir).unwrap_or(dir), Some(in_use), None)
            }
            None => {
                let temporary = tempfile::tempdir().map_err(failed("cannot make a temporary directory"))?;
                (temporary.path().to_owned(), None, Some(temporary))
            }
        };
        let options = teleport::Options::demo();
        let teleport_version = options.reported_version.clone();
        let teleport =
            TeleportSim::start(options).await.map_err(failed("cannot start the simulated Teleport"))?;
        let slack = SlackSim::start(slack::Options::new(Workspace::demo().with_socket_mode()))
            .await
            .map_err(failed("cannot start the simulated Slack"))?;
        let environment =
            Self { teleport, slack, teleport_version, dir, _in_use: in_use, _temporary: temporary };
        environment
            .write_files()
            .map_err(failed("cannot write the demo's certificates and configuration"))?;
        Ok(environment)
    }

    fn write_files(&self) -> io::Result<()> {
        let credentials = self.teleport.credentials(PLUGIN_USER, CertOptions::default());
        credentials.write_tls_files(&self.dir, "auth")?;
        write_private(&self.dir.join("auth_id"), &credentials.identity_file())?;
        write_private(&self.dir.join("token"), &self.slack.token())?;
        write_private(&self.dir.join("app_token"), &self.slack.app().app_token)?;
        write_private(&self.config_path(), &self.config_text())
    }

    /// Where the configuration is.
    pub(super) fn config_path(&self) -> PathBuf {
        self.dir.join("teleport-slack.toml")
    }

    fn config_text(&self) -> String {
        format!(
            "# Written by `teleport-slack demo`: joins the simulated Teleport and Slack that it started.\n\
             \n\
             [teleport]\n\
             addr = \"{teleport}\"\n\
             client_key = \"auth.key\"\n\
             client_crt = \"auth.crt\"\n\
             root_cas = \"auth.cas\"\n\
             # The same in one file:\n\
             # identity = \"auth_id\"\n\
             \n\
             [slack]\n\
             token = \"{token}\"\n\
             api_url = \"{slack}\"\n\
             recipients = [\"access-requests\"]\n\
             \n\
             [role_to_recipients]\n\
             dba = [\"dba-approvers\", \"bob@example.com\"]\n\
             \"*\" = [\"dba-approvers\"]\n\
             \n\
             # Who may decide in Slack, and how clicks arrive (here: Socket Mode).\n\
             [review]\n\
             enabled = true\n\
             app_token = \"{app_token}\"\n\
             mode = \"resolver\"\n\
             \n\
             [review.users]\n\
             U0ALICE = \"alice@example.com\"\n\
             U0BOB = \"bob@example.com\"\n\
             U0CAROL = \"carol@example.com\"\n\
             \n\
             [[review.rule]]\n\
             roles = \"dba\"\n\
             approvers = [\"bob@example.com\", \"carol@example.com\"]\n\
             approvals = 1\n\
             reason = \"optional\"\n\
             \n\
             [[review.rule]]\n\
             roles = [\"admin\", \"prod-db\"]\n\
             approvers = [\"bob@example.com\", \"carol@example.com\"]\n\
             approvals = 2\n\
             denials = 1\n\
             reason = \"required\"\n\
             confirm = true\n\
             \n\
             # Health, metrics and the state of the daemon; the log says on which port.\n\
             [diagnostics]\n\
             listen_addr = \"127.0.0.1:0\"\n\
             \n\
             [log]\n\
             output = \"stderr\"\n\
             severity = \"INFO\"\n",
            teleport = self.teleport.addr(),
            token = self.slack.token(),
            slack = self.slack.api_url(),
            app_token = self.slack.app().app_token,
        )
    }

    /// What the page shows.
    pub(super) fn demo_world(&self) -> DemoSimulators {
        DemoSimulators {
            teleport: self.teleport.clone(),
            teleport_version: self.teleport_version.clone(),
            slack: self.slack.clone(),
        }
    }

    /// The daemon, as `start` would run it with the files of this environment.
    pub(super) async fn run_daemon(&self, log: CurrentLog, stop: CancellationToken) -> Result<(), ExitError> {
        let path = self.config_path();
        let loaded = config::load(&path)?;
        let timings = Timings::default();
        let metrics = Metrics::of(&loaded.config, timings.unready_after, timings.outage);
        let reloads = ReloadRequests::new(&path, timings.configuration, metrics.health().reload());
        let started = (Instant::now(), Timestamp::now());
        let options = AppOptions { path, timings, insecure_no_tls: true, started, metrics, reloads, log };
        match App::start(loaded, options, stop).await? {
            Some(app) => app.run().await,
            None => Ok(()),
        }
    }
}

/// Writes a file that only its owner can read.
fn write_private(path: &Path, text: &str) -> io::Result<()> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut file =
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())
}
