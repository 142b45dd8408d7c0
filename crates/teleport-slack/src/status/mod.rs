//! `/status`: the state of the daemon at one moment, for people and for programs.
//!
//! Nothing is kept for it: `gather` copies what the parts of the daemon hold anyway, at the moment of the question, into
//! plain data (`view`). The JSON is that, and `page` draws it. `http` says who may ask.

mod gather;
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

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use jiff::Timestamp;
use slack_client::objects::AuthTest;
use teleport_client::Pong;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::config::{Config, StatusAccess};
use crate::controller::status::{ControllerStatus, StatusHandle};
use crate::http::status::{StatusForm, StatusSource};
use crate::observe::CurrentLog;
use crate::observe::metrics::Metrics;
use view::View;

/// The controller answers within microseconds; one that does not in this time stands still.
const CONTROLLER_LIMIT: Duration = Duration::from_secs(2);

/// Gives the state of the daemon; clones are the same.
#[derive(Clone)]
pub struct Status(Arc<Shared>);

struct Shared {
    path: PathBuf,
    started: (Instant, Timestamp),
    metrics: Metrics,
    log: CurrentLog,
    controller: StatusHandle,
    config: watch::Sender<Arc<Config>>,
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

impl Status {
    /// Of a daemon that has reached no side yet.
    pub fn new(
        path: PathBuf,
        started: StartedAt,
        metrics: Metrics,
        log: CurrentLog,
        controller: StatusHandle,
        config: Config,
    ) -> Self {
        let (config, connected) = (watch::channel(Arc::new(config)).0, OnceLock::new());
        Self(Arc::new(Shared { path, started, metrics, log, controller, config, connected }))
    }

    /// Both sides have answered.
    pub fn connected(&self, connected: Connected) {
        // Once each start.
        drop(self.0.connected.set(connected));
    }

    /// This configuration is in use now.
    pub fn configured(&self, config: &Config) {
        self.0.config.send_replace(Arc::new(config.clone()));
    }

    async fn view(&self) -> View {
        // Before both sides have answered there is no controller.
        let controller = match self.0.connected.get() {
            Some(_) => Some(timeout(CONTROLLER_LIMIT, self.0.controller.ask()).await.ok().flatten()),
            None => None,
        };
        self.gather(controller, Instant::now(), Timestamp::now())
    }

    /// `controller`: what it answered, if it should have. `now` and `time` are the same moment by the two clocks.
    fn gather(&self, controller: Option<Option<ControllerStatus>>, now: Instant, time: Timestamp) -> View {
        let config = Arc::clone(&self.0.config.borrow());
        gather::gather(&self.0, &config, controller, gather::Moment { now, time })
    }
}

impl StatusSource for Status {
    fn access(&self) -> StatusAccess {
        let config = self.0.config.borrow();
        config.diagnostics.as_ref().map(|diagnostics| diagnostics.access.clone()).unwrap_or_default()
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
