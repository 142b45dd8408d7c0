//! `/status`: the state of the daemon at one moment, for people and for programs.
//!
//! Nothing is kept for it: `gather` copies what the parts of the daemon hold anyway, at the moment of the question, into
//! plain data (`view`). The JSON is that, and `page` draws it. `http` says who may ask.

mod gather;
mod moment;
mod names;
mod page;
mod problems;
mod requests;
mod rules;
mod view;
#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use access_core::domain::secret::Secret;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use slack_client::objects::AuthTest;
use teleport_client::Pong;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::config::{Config, FileId, StatusAccess};
use crate::controller::status::{ControllerStatus, StatusHandle};
use crate::http::status::{StatusForm, StatusSource};
use crate::observe::CurrentLog;
use crate::observe::metrics::Metrics;
use view::View;

/// How `/status.json` names the program, for others that look what listens at an address.
pub(crate) const PROGRAM: &str = "teleport-slack";

/// Gives the state of the daemon; clones are the same.
#[derive(Clone)]
pub struct Status(Arc<Shared>);

/// The parts that are asked.
pub struct Parts {
    /// The configuration file.
    pub path: PathBuf,
    /// When the daemon began, by both clocks.
    pub started: StartedAt,
    /// The controller answers within microseconds; one that does not in this time stands still.
    pub limit: Duration,
    /// Holds the health of the daemon.
    pub metrics: Metrics,
    /// Holds its last lines.
    pub log: CurrentLog,
    /// Asks the controller.
    pub controller: StatusHandle,
}

struct Shared {
    parts: Parts,
    config: watch::Sender<Arc<Config>>,
    /// The token as the configuration has it; empty if it has none.
    configured_token: watch::Sender<Secret>,
    /// The token that opens; its file may be newer than the configuration.
    token: watch::Sender<Secret>,
    connected: OnceLock<Connected>,
}

/// What both sides said of themselves when the daemon began.
pub struct Connected {
    /// The cluster.
    pub pong: Pong,
    /// The app in its workspace.
    pub auth: AuthTest,
    /// Makes the calls to Slack.
    pub slack: slack_client::Client,
}

/// When a daemon began, by both clocks.
pub type StartedAt = (Instant, Timestamp);

/// The token of this configuration; an empty one, which opens nothing, if it has none.
fn token_of(config: &Config) -> Secret {
    let configured = config.diagnostics.as_ref().and_then(|diagnostics| diagnostics.access.token.clone());
    configured.unwrap_or_else(|| Secret::new(""))
}

impl Status {
    /// Of a daemon that has reached no side yet.
    pub fn new(parts: Parts, config: Config) -> Self {
        let first = token_of(&config);
        let (configured_token, token) = (watch::channel(first.clone()).0, watch::channel(first).0);
        let (config, connected) = (watch::channel(Arc::new(config)).0, OnceLock::new());
        Self(Arc::new(Shared { parts, config, configured_token, token, connected }))
    }

    /// Both sides have answered.
    pub fn connected(&self, connected: Connected) {
        // Once each start.
        drop(self.0.connected.set(connected));
    }

    /// This configuration is in use now.
    pub fn configured(&self, config: &Config) {
        let token = token_of(config);
        self.0.token.send_replace(token.clone());
        self.0.configured_token.send_replace(token);
        self.0.config.send_replace(Arc::new(config.clone()));
    }

    /// The token that the configuration names, and the one in use: who watches its file replaces that.
    pub(crate) fn token(&self) -> (watch::Receiver<Secret>, watch::Sender<Secret>) {
        (self.0.configured_token.subscribe(), self.0.token.clone())
    }

    async fn view(&self) -> View {
        // Before both sides have answered there is no controller.
        let controller = match self.0.connected.get() {
            Some(_) => Some(timeout(self.0.parts.limit, self.0.parts.controller.ask()).await.ok().flatten()),
            None => None,
        };
        let file = timeout(self.0.parts.limit, tokio::fs::metadata(&self.0.parts.path)).await;
        let mut view = self.gather(controller, Instant::now(), Timestamp::now());
        let file = file.ok().and_then(Result::ok);
        view.configuration.file_id = file.map(|metadata| FileId::from(&metadata).to_string());
        view
    }

    /// `controller`: what it answered, if it should have. `now` and `time` are the same moment by the two clocks.
    fn gather(&self, controller: Option<Option<ControllerStatus>>, now: Instant, time: Timestamp) -> View {
        let config = Arc::clone(&self.0.config.borrow());
        gather::gather(&self.0, &config, controller, moment::Moment { now, time })
    }
}

impl StatusSource for Status {
    fn access(&self) -> StatusAccess {
        let config = Arc::clone(&self.0.config.borrow());
        let configured = config.diagnostics.as_ref().map(|diagnostics| &diagnostics.access);
        let StatusAccess { allow, token } = configured.cloned().unwrap_or_default();
        StatusAccess { allow, token: token.map(|_| self.0.token.borrow().clone()) }
    }

    fn text(&self, form: StatusForm) -> BoxFuture<'static, String> {
        let status = self.clone();
        async move {
            let view = status.view().await;
            match form {
                // Plain data always serializes.
                StatusForm::Json => serde_json::to_string_pretty(&view).unwrap_or_default() + "\n",
                StatusForm::Html { refreshes } => page::page(&view, refreshes),
            }
        }
        .boxed()
    }
}
