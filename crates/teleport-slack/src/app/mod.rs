//! The daemon as a value: what it is built from, in which order it starts, and how it ends.
//!
//! Order of start: identity readable and current → Teleport answers → Slack answers → watch → list → ready.
//! The configuration was validated before any of it (`config`); the tasks are drawn in `controller`.

pub mod identity_reloader;
mod installation;
mod preflight;
mod review;
mod startup;
pub mod timings;
pub(crate) mod token_reloader;

use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::app::identity_reloader::Reloader;
use crate::app::review::ReviewBuilder;
use crate::app::timings::Timings;
use crate::causes::Cause;
use crate::config::{Config, slack_setting};
use crate::controller::{Context, Controller, ReviewHandles};
use crate::exit::ExitError;
use crate::http::diagnostics::Diagnostics;
use crate::observe::health::Stage;
use crate::observe::metrics::Metrics;
use crate::supervise::clock::Clock;
use crate::supervise::tasks::Tasks;
use slack_client::directory::Directory;
use slack_client::history::Author;
use slack_client::objects::AuthTest;
use slack_client::{self, ClientOptions};
use teleport_client::Pong;
use teleport_client::watcher::Watcher;

/// Updates that wait for the controller; the watcher coalesces what does not fit.
const UPDATES_CAPACITY: usize = 256;

/// A daemon whose both sides have answered.
#[derive(Debug)]
pub struct App {
    tasks: Tasks,
    ready: watch::Receiver<bool>,
}

impl App {
    /// Connects both sides and starts the tasks. A side that is merely away is waited for.
    ///
    /// Returns `None` if stopped meanwhile.
    ///
    /// # Errors
    /// What no waiting fixes (`causes`): files that cannot be used, a server that is too old, a wrong address. The
    /// failure's text names the thing and the remedy.
    ///
    /// `insecure_no_tls`: callbacks may be listened for without TLS, behind a proxy that does it. `metrics` count what this
    /// configuration can have ([`Metrics::of`]).
    pub async fn start(
        config: &Config,
        timings: Timings,
        insecure_no_tls: bool,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Option<Self>, ExitError> {
        tokio::select! {
            () = stop.cancelled() => Ok(None),
            app = Self::connect(config, timings, insecure_no_tls, metrics, &stop) => app.map(Some),
        }
    }

    async fn connect(
        config: &Config,
        timings: Timings,
        insecure_no_tls: bool,
        metrics: Metrics,
        stop: &CancellationToken,
    ) -> Result<Self, ExitError> {
        if let Some(review) = &config.review {
            review::check_tls(review, insecure_no_tls).await?;
        }
        let mut builder =
            AppBuilder { config, timings, metrics, tasks: Tasks::new(stop.clone()), stop: stop.clone() };
        builder.start_diagnostics().await?;
        let (teleport, pong) = builder.connect_teleport().await?;
        let (slack, auth) = builder.connect_slack().await?;
        let review = builder.start_review((&slack, &auth), (&teleport, &pong)).await?;
        Ok(builder.start_notifying((slack, auth), (teleport, pong), review))
    }

    /// Turns true when everything that Teleport listed at first was taken in.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Works until the stop, and then until what is in progress has ended
    /// (see `supervise::shutdown` for the limits).
    ///
    /// # Errors
    /// If a task ended or panicked, which is a bug in this program.
    pub async fn run(self) -> Result<(), ExitError> {
        self.tasks.run().await.map_err(|error| ExitError::from_cause(Cause::Bug, error))
    }
}

/// What the parts of the daemon are started with, and the tasks started so far.
struct AppBuilder<'a> {
    config: &'a Config,
    timings: Timings,
    metrics: Metrics,
    tasks: Tasks,
    stop: CancellationToken,
}

impl AppBuilder<'_> {
    /// From the beginning, to show what the start waits for.
    async fn start_diagnostics(&mut self) -> Result<(), ExitError> {
        let Some(address) = self.config.diagnostics else { return Ok(()) };
        let bound =
            Diagnostics::bind(address).await.map_err(|error| ExitError::from_cause(error.cause(), error))?;
        let serving = bound.run(self.metrics.clone(), self.stop.clone(), self.timings.shutdown.listeners);
        self.tasks.start("diagnostics", serving);
        Ok(())
    }

    /// Waits until Teleport answers, and keeps the identity current.
    async fn connect_teleport(&mut self) -> Result<(teleport_client::Client, Pong), ExitError> {
        let settings = &self.config.teleport;
        let identity = startup::wait_for_identity(&settings.credentials, self.timings.startup).await?;
        info!(user = identity.user(), certificate_until = %identity.not_after(), "Identity loaded");
        let teleport = teleport_client::Client::with_timings(
            &settings.addr,
            &identity,
            Arc::new(self.metrics.clone()),
            self.timings.teleport,
        );
        // From the beginning, because the certificate may be renewed while Teleport or Slack is waited for.
        let (credentials, files) = (settings.credentials.clone(), self.timings.identity_files);
        let reloader = Reloader::new(teleport.clone(), credentials, identity, self.metrics.clone(), files);
        self.tasks.start("identity", reloader.run(self.stop.clone()));
        let pong = startup::wait_for_teleport(&teleport, self.timings.startup).await?;
        self.metrics.stage_reached(Stage::Slack);
        info!(cluster = %pong.cluster_name, version = %pong.server_version, enterprise = pong.enterprise, "Teleport answers");
        Ok((teleport, pong))
    }

    /// Waits until Slack answers, and keeps the bot token current.
    async fn connect_slack(&mut self) -> Result<(slack_client::Client, AuthTest), ExitError> {
        let settings = &self.config.slack;
        let slack = slack_client::Client::new(ClientOptions {
            api_url: settings.api_url.as_str().to_owned(),
            message_timeout: self.timings.controller.claim.call,
            observer: Arc::new(self.metrics.clone()),
            setting_names: slack_setting,
            ..ClientOptions::new(settings.token.clone())
        })
        .map_err(|error| ExitError::from_cause(Cause::Environment, error))?;
        // From the beginning, because a new token may be what the start waits for.
        let (known_tx, known) = watch::channel(None);
        let renewing = token_reloader::keep_bot_token_current(
            slack.clone(),
            settings.token.clone(),
            known,
            self.metrics.clone(),
            self.timings,
        );
        let stop = self.stop.clone();
        self.tasks.start("bot token", async move {
            stop.run_until_cancelled(renewing).await.unwrap_or_default();
        });
        let auth = startup::wait_for_slack(&slack, &self.config.rules(), self.timings.startup).await?;
        known_tx.send_replace(Some(auth.clone()));
        info!(team = %auth.team, bot = %auth.user_id, "Slack answers");
        Ok((slack, auth))
    }

    /// Starts deciding in Slack, if the configuration has it.
    async fn start_review(
        &mut self,
        (slack, auth): (&slack_client::Client, &AuthTest),
        (teleport, pong): (&teleport_client::Client, &Pong),
    ) -> Result<Option<ReviewHandles>, ExitError> {
        let Some(config) = &self.config.review else { return Ok(None) };
        let builder = ReviewBuilder {
            config,
            timings: &self.timings,
            slack,
            auth,
            teleport,
            cluster: &pong.cluster_name,
            metrics: &self.metrics,
            stop: &self.stop,
        };
        builder.start(&mut self.tasks).await.map(Some)
    }

    /// Starts the watch on Teleport, and the controller that notifies of what it brings.
    fn start_notifying(
        mut self,
        (slack, auth): (slack_client::Client, AuthTest),
        (teleport, pong): (teleport_client::Client, Pong),
        review: Option<ReviewHandles>,
    ) -> App {
        self.metrics.stage_reached(Stage::List);
        let (ready_tx, ready) = watch::channel(false);
        let (updates_tx, updates) = mpsc::channel(UPDATES_CAPACITY);
        let watcher = Watcher::new(teleport.clone(), self.timings.watcher);
        self.tasks.start("watcher", watcher.run(updates_tx, self.stop.clone()));
        let (directory, rules) = (Directory::new(slack.clone()), self.config.rules());
        let context = Context {
            teleport,
            slack: slack.clone(),
            author: Author::from(&auth),
            directory: directory.clone(),
            rules: rules.clone(),
            is_enterprise: pong.enterprise,
            web_proxy: pong.web_proxy,
            cluster: pong.cluster_name,
            review,
            metrics: self.metrics,
            clock: Clock::system(),
            timings: self.timings.controller,
        };
        let stop = self.stop.clone();
        self.tasks.start("recipient check", async move {
            let checking = preflight::check_recipients(&slack, &directory, &auth, &rules);
            if stop.run_until_cancelled(checking).await.is_some() {
                stop.cancelled().await;
            }
        });
        self.tasks.start("controller", Controller::new(context, ready_tx).run(updates, self.stop.clone()));
        App { tasks: self.tasks, ready }
    }
}
