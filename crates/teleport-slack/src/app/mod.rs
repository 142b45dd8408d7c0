//! The daemon as a value: what it is built from, in which order it starts, and how it ends.
//!
//! Order of start: identity readable and current → Teleport answers → Slack answers → watch → list → ready.
//! The configuration was validated before any of it (`config`); the tasks are drawn in `controller`.

mod review;
pub(crate) mod token_reloader;
mod preflight;
mod startup;
pub mod timings;
pub mod identity_reloader;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::info;

use crate::app::identity_reloader::Reloader;
use crate::app::timings::Timings;
use crate::causes::Cause;
use crate::config::{Config, slack_setting};
use crate::controller::{Context, Controller};
use crate::exit::ExitError;
use crate::http::diagnostics::Diagnostics;
use crate::observe::health::Stage;
use crate::observe::metrics::Metrics;
use crate::supervise::clock::Clock;
use crate::supervise::tasks::Tasks;
use slack_client::directory::Directory;
use slack_client::history::Author;
use slack_client::{self, ClientOptions};
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
    /// `insecure_no_tls`: callbacks may be listened for without TLS, behind a proxy that does it.
    pub async fn start(
        config: &Config,
        timings: Timings,
        insecure_no_tls: bool,
        stop: CancellationToken,
    ) -> Result<Option<Self>, ExitError> {
        tokio::select! {
            () = stop.cancelled() => Ok(None),
            app = Self::connect(config, timings, insecure_no_tls, &stop) => app.map(Some),
        }
    }

    async fn connect(
        config: &Config,
        timings: Timings,
        insecure_no_tls: bool,
        stop: &CancellationToken,
    ) -> Result<Self, ExitError> {
        if let Some(review) = &config.review {
            review::check_tls(review, insecure_no_tls).await?;
        }
        let metrics = Metrics::with_scope(config.review.as_ref().into());
        let mut tasks = Tasks::new(stop.clone());
        if let Some(address) = config.diagnostics {
            // From the beginning, to show what the start waits for.
            let bound = Diagnostics::bind(address)
                .await
                .map_err(|error| ExitError::from_cause(error.cause(), error))?;
            tasks.start("diagnostics", bound.run(metrics.clone(), stop.clone(), timings.shutdown.listeners));
        }
        let identity = startup::wait_for_identity(&config.teleport.credentials, timings.startup).await?;
        info!(user = identity.user(), certificate_until = %identity.not_after(), "Identity loaded");
        let teleport =
            teleport_client::Client::new(&config.teleport.addr, &identity, Arc::new(metrics.clone()));
        // From the beginning, because the certificate may be renewed while Teleport or Slack is waited for.
        let credentials = config.teleport.credentials.clone();
        let reloader =
            Reloader::new(teleport.clone(), credentials, identity, metrics.clone(), timings.identity_files);
        tasks.start("identity", reloader.run(stop.clone()));
        let pong = startup::wait_for_teleport(&teleport, timings.startup).await?;
        metrics.stage_reached(Stage::Slack);
        info!(cluster = %pong.cluster_name, version = %pong.server_version, enterprise = pong.enterprise, "Teleport answers");

        let slack = slack_client::Client::new(ClientOptions {
            api_url: config.slack.api_url.as_str().to_owned(),
            message_timeout: timings.controller.claim.call,
            observer: Arc::new(metrics.clone()),
            setting_names: slack_setting,
            ..ClientOptions::new(config.slack.token.clone())
        })
        .map_err(|error| ExitError::from_cause(Cause::Environment, error))?;
        // From the beginning, because a new token may be what the start waits for.
        let (known_tx, known) = watch::channel(None);
        tasks.start("bot token", {
            let (stop, token) = (stop.clone(), config.slack.token.clone());
            let renewing =
                token_reloader::keep_bot_token_current(slack.clone(), token, known, metrics.clone(), timings);
            async move { stop.run_until_cancelled(renewing).await.unwrap_or_default() }
        });
        let rules = config.rules();
        let auth = startup::wait_for_slack(&slack, &rules, timings.startup).await?;
        known_tx.send_replace(Some(auth.clone()));
        info!(team = %auth.team, bot = %auth.user_id, "Slack answers");

        let review = match &config.review {
            Some(review) => {
                let slack = (&slack, &auth);
                let teleport = (&teleport, pong.cluster_name.as_str());
                Some(review::start(review, &timings, slack, teleport, &metrics, &mut tasks, stop).await?)
            }
            None => None,
        };
        metrics.stage_reached(Stage::List);
        let directory = Directory::new(slack.clone());
        let (ready_tx, ready) = watch::channel(false);
        let (updates_tx, updates) = mpsc::channel(UPDATES_CAPACITY);
        let watcher = Watcher::new(teleport.clone(), timings.watcher);
        tasks.start("watcher", watcher.run(updates_tx, stop.clone()));
        tasks.start("recipient check", {
            let (slack, directory, auth) = (slack.clone(), directory.clone(), auth.clone());
            let (rules, stop) = (rules.clone(), stop.clone());
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = preflight::check_recipients(&slack, &directory, &auth, &rules) => stop.cancelled().await,
                }
            }
        });
        let controller = Controller::new(
            Context {
                teleport,
                slack,
                author: Author::from(&auth),
                directory,
                rules,
                is_enterprise: pong.enterprise,
                web_proxy: pong.web_proxy,
                cluster: pong.cluster_name,
                review,
                metrics,
                clock: Clock::system(),
                timings: timings.controller,
            },
            ready_tx,
        );
        tasks.start("controller", controller.run(updates, stop.clone()));
        Ok(Self { tasks, ready })
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
