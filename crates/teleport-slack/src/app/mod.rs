//! The daemon as a value: what it is built from, in which order it starts, and how it ends.
//!
//! Order of start: identity readable and current → Teleport answers → Slack answers → watch → list → ready.
//! The configuration was validated before any of it (`config`); the tasks are drawn in `controller`.

pub mod identity_reloader;
mod changed_parts;
mod connections;
mod installation;
mod preflight;
mod reading;
pub mod reload;
mod review;
mod running;
mod slack_probe;
mod startup;
pub mod timings;
pub(crate) mod token_reloader;
mod transport;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::info;

use crate::app::identity_reloader::Reloader;
use crate::app::reading::Reading;
use crate::app::reload::{ReloadCause, ReloadRequests};
use crate::app::review::{Review, ReviewBuilder};
use crate::app::running::{DiagnosticsTask, Running};
use crate::app::timings::Timings;
use crate::causes::Cause;
use crate::check;
use crate::config::{Config, Loaded, TokenKind};
use crate::controller::status::{StatusHandle, StatusQueries};
use crate::controller::{Context, Controller, Enqueued, Handle, ReviewHandles, Settings};
use crate::exit::ExitError;
use crate::observe::health::Stage;
use crate::observe::metrics::Metrics;
use crate::observe::{ANSWER, CurrentLog, OpenedLog};
use crate::status::{self, Connected, StartedAt, Status};
use crate::supervise::clock::Clock;
use crate::supervise::tasks::{Task, Tasks};
use access_core::domain::secret::Secret;
use slack_client::directory::Directory;
use slack_client::history::Author;
use slack_client::objects::AuthTest;
use teleport_client::Credentials;
use teleport_client::Pong;
use teleport_client::watcher::Watcher;

/// Updates that wait for the controller; the watcher coalesces what does not fit.
const UPDATES_CAPACITY: usize = 256;

/// What the daemon is started with, beside its configuration.
#[derive(Clone)]
pub struct AppOptions {
    /// Where the configuration is, to read it again.
    pub path: PathBuf,
    /// How long to wait.
    pub timings: Timings,
    /// Callbacks may be listened for without TLS, behind a proxy that does it.
    pub insecure_no_tls: bool,
    /// When the daemon began.
    pub started: StartedAt,
    /// Counts what happens.
    pub metrics: Metrics,
    /// Asks to read the configuration again.
    pub reloads: ReloadRequests,
    /// What a configuration may change of the log.
    pub log: CurrentLog,
}

/// A daemon whose both sides have answered.
#[derive(Debug)]
pub struct App {
    tasks: Tasks,
    ready: watch::Receiver<bool>,
}

/// How an attempt to start ended.
enum Attempt {
    Started(App),
    /// Another configuration is to be used.
    Superseded(Box<Loaded>),
    Stopped,
}

impl App {
    /// Connects both sides and starts the tasks. A side that is merely away is waited for. If the configuration changes
    /// meanwhile, the start begins again with the new one.
    ///
    /// Returns `None` if stopped meanwhile.
    ///
    /// # Errors
    /// What no waiting fixes (`causes`): files that cannot be used, a server that is too old. The
    /// failure's text names the thing and the remedy.
    pub async fn start(
        mut loaded: Loaded,
        options: AppOptions,
        stop: CancellationToken,
    ) -> Result<Option<Self>, ExitError> {
        options.reloads.starts_with(&loaded.config).await;
        loop {
            match Self::attempt(&loaded, &options, &stop).await? {
                Attempt::Started(app) => return Ok(Some(app)),
                Attempt::Superseded(new) => loaded = *new,
                Attempt::Stopped => return Ok(None),
            }
        }
    }

    async fn attempt(
        loaded: &Loaded,
        options: &AppOptions,
        stop: &CancellationToken,
    ) -> Result<Attempt, ExitError> {
        if let Some(review) = &loaded.config.review {
            check::log(&review::check_tls(review, options.insecure_no_tls).await?);
        }
        options.metrics.apply_scope(loaded.config.review.as_ref().into());
        let until = stop.child_token();
        let (controller, queries) = StatusHandle::new();
        let AppOptions { path, started, metrics, log, timings, .. } = options.clone();
        let parts = status::Parts { path, started, limit: timings.http.respond, metrics, log, controller };
        let status = Status::new(parts, loaded.config.clone());
        let mut builder =
            AppBuilder { loaded, options, status, tasks: Tasks::new(until.clone()), stop: until.clone() };
        let new = {
            let mut connecting = pin!(builder.connect());
            let outcome = tokio::select! {
                () = stop.cancelled() => return Ok(Attempt::Stopped),
                parts = connecting.as_mut() => Ok(parts?),
                new = next_configuration(loaded, options) => Err(new),
            };
            match outcome {
                Ok(parts) => Err(parts),
                Err(new) => Ok(new),
            }
        };
        match new {
            Err(parts) => Ok(Attempt::Started(builder.start_notifying(parts, queries))),
            Ok((new, reading, opened)) => {
                until.cancel();
                // So that its listeners are free again.
                builder.tasks.run().await.map_err(|error| ExitError::from_cause(Cause::Bug, error))?;
                info!(target: ANSWER, "The new configuration is in use: the start begins again with it");
                if let Some(opened) = opened {
                    options.log.adopt(opened);
                }
                options.reloads.succeeded(reading);
                Ok(Attempt::Superseded(Box::new(new)))
            }
        }
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

/// Waits for another configuration that is valid while the daemon starts.
async fn next_configuration(loaded: &Loaded, options: &AppOptions) -> (Loaded, Reading, Option<OpenedLog>) {
    let reloads = &options.reloads;
    loop {
        let cause = reloads.next().await;
        let reading = Reading::take(reloads.path()).await;
        let judged = match reading.configuration.clone() {
            Ok(new) if new.config == loaded.config => {
                reloads.unchanged(reading);
                if cause == ReloadCause::Signal {
                    reload::log_adopted(&[], true);
                }
                continue;
            }
            Ok(new) => judge_at_start(&new.config, options).await.map(|opened| (new, opened)),
            Err(causes) => Err(causes),
        };
        match judged {
            Ok((new, opened)) => {
                reload::log_warnings(reloads.path(), &new.warnings, &loaded.warnings);
                return (new, reading, opened);
            }
            Err(causes) => reloads.refused(reading, causes, cause),
        }
    }
}

/// Tries what of a new configuration nothing else tries during the start, and returns the log by it if that changes.
async fn judge_at_start(config: &Config, options: &AppOptions) -> Result<Option<OpenedLog>, Vec<String>> {
    let mut causes = Vec::new();
    if let Some(review) = &config.review {
        let judged = review::check_tls(review, options.insecure_no_tls).await;
        causes.extend(judged.err().map(|error| error.line()));
    }
    match reload::open_log(&options.log, &config.log).await {
        Ok(opened) if causes.is_empty() => Ok(opened),
        Ok(_) => Err(causes),
        Err(cause) => Err(causes.into_iter().chain([cause]).collect()),
    }
}

/// What the parts of the daemon are started with, and the tasks started so far.
struct AppBuilder<'a> {
    loaded: &'a Loaded,
    options: &'a AppOptions,
    status: Status,
    tasks: Tasks,
    stop: CancellationToken,
}

/// What the start connected and built.
struct Parts {
    builder: ReviewBuilder,
    pong: Pong,
    enqueued: Enqueued,
    credentials: watch::Sender<Credentials>,
    bot_token: watch::Sender<Secret>,
    diagnostics: Option<(DropGuard, SocketAddr)>,
    review: Option<(Review, ReviewHandles)>,
}

impl AppBuilder<'_> {
    fn config(&self) -> &Config {
        &self.loaded.config
    }

    async fn connect(&mut self) -> Result<Parts, ExitError> {
        let timings = self.options.timings;
        let diagnostics = self.start_diagnostics().await?;
        let (teleport, pong, credentials) = self.connect_teleport().await?;
        let (slack, auth, bot_token) = self.connect_slack().await?;
        let (controller, enqueued) = Handle::new();
        let builder = ReviewBuilder {
            timings,
            slack,
            auth,
            teleport,
            cluster: pong.cluster_name.clone(),
            controller,
            metrics: self.options.metrics.clone(),
            stop: self.stop.clone(),
        };
        let mut review = None;
        if let Some(config) = &self.loaded.config.review {
            let (running, handles, tasks) = builder.start(config).await?;
            tasks.into_iter().for_each(|task| self.tasks.add(task));
            review = Some((running, handles));
        }
        Ok(Parts { builder, pong, enqueued, credentials, bot_token, diagnostics, review })
    }

    /// From the beginning, to show what the start waits for.
    async fn start_diagnostics(&mut self) -> Result<Option<(DropGuard, SocketAddr)>, ExitError> {
        let (reloads, files) = (self.options.metrics.health().reload(), self.options.timings.secret_files);
        let (configured, in_use) = self.status.token();
        let keeping =
            token_reloader::keep_secret_current(TokenKind::Diagnostics, configured, in_use, reloads, files);
        self.tasks.add(Task::endless("diagnostics token", &self.stop, keeping));
        let Some(diagnostics) = &self.config().diagnostics else { return Ok(None) };
        let AppOptions { metrics, timings, .. } = self.options;
        let address = diagnostics.listen_addr;
        let listening =
            DiagnosticsTask::bind(address, metrics, &self.status, timings.http, &self.stop).await?;
        self.tasks.add(listening.task);
        Ok(Some((listening.guard, listening.address)))
    }

    /// Waits until Teleport answers, and keeps the identity current.
    async fn connect_teleport(
        &mut self,
    ) -> Result<(teleport_client::Client, Pong, watch::Sender<Credentials>), ExitError> {
        let (config, timings) = (&self.loaded.config, self.options.timings);
        let settings = &config.teleport;
        let metrics = &self.options.metrics;
        let identity = startup::wait_for_identity(&settings.credentials, timings.startup_waits()).await?;
        info!(teleport_user = identity.user(), certificate_until = %identity.not_after(), "Identity loaded");
        let observer = Arc::new(metrics.clone());
        let destination = config.teleport_destination();
        let teleport =
            teleport_client::Client::with_timings(destination, &identity, observer, timings.teleport);
        // From the beginning, because the certificate may be renewed while Teleport or Slack is waited for.
        let (credentials, configured) = watch::channel(settings.credentials.clone());
        let source = settings.credentials.clone();
        let reloader =
            Reloader::new(teleport.clone(), source, identity, metrics.clone(), timings.identity_files);
        self.tasks.start("identity", reloader.run(configured, self.stop.clone()));
        let pong = startup::wait_for_teleport(&teleport, timings.startup_waits()).await?;
        metrics.stage_reached(Stage::Slack);
        let (version, reached) = (&pong.server_version, config.way_to_teleport());
        info!(cluster = %pong.cluster_name, %version, enterprise = pong.enterprise, reached, "Teleport answers");
        Ok((teleport, pong, credentials))
    }

    /// Waits until Slack answers, and keeps the bot token current.
    async fn connect_slack(
        &mut self,
    ) -> Result<(slack_client::Client, AuthTest, watch::Sender<Secret>), ExitError> {
        let (config, timings) = (&self.loaded.config, self.options.timings);
        let metrics = &self.options.metrics;
        let slack = connections::slack_client(config, &timings, metrics)
            .map_err(|error| ExitError::from_cause(Cause::Environment, error))?;
        // From the beginning, because a new token may be what the start waits for.
        let (known_tx, known) = watch::channel(None);
        let (bot_token, configured) = watch::channel(config.slack.token.clone());
        let renewing = token_reloader::keep_bot_token_current(
            slack.clone(),
            configured,
            known,
            metrics.clone(),
            timings,
        );
        self.tasks.add(Task::endless("bot token", &self.stop, renewing));
        let auth = startup::wait_for_slack(&slack, &config.rules(), timings.startup_waits()).await?;
        known_tx.send_replace(Some(auth.clone()));
        info!(team = %auth.team, bot = %auth.user_id, reached = config.way_to_slack(), "Slack answers");
        Ok((slack, auth, bot_token))
    }

    /// Starts the watch on Teleport, the controller that notifies of what it brings, and the reloads.
    fn start_notifying(mut self, parts: Parts, status_queries: StatusQueries) -> App {
        let Parts { builder, pong, enqueued, credentials, bot_token, diagnostics, review } = parts;
        let AppOptions { timings, insecure_no_tls, metrics, reloads, log, .. } = self.options.clone();
        let (auth, slack) = (builder.auth.clone(), builder.slack.clone());
        self.status.connected(Connected { pong: pong.clone(), auth, slack });
        metrics.stage_reached(Stage::List);
        let (ready_tx, ready) = watch::channel(false);
        let (updates_tx, updates) = mpsc::channel(UPDATES_CAPACITY);
        let watcher = Watcher::new(builder.teleport.clone(), timings.watcher);
        self.tasks.add(Task::endless("outages", &self.stop, metrics.outages().clone().remind()));
        let (away, limit) = (metrics.outages().slack_away(), timings.slack_probe_limit);
        let asking = slack_probe::ask_while_away(builder.slack.clone(), away, timings.slack_probe, limit);
        self.tasks.add(Task::endless("slack probe", &self.stop, asking));
        self.tasks.start("watcher", watcher.run(updates_tx, self.stop.clone()));
        let (directory, rules) = (Directory::new(builder.slack.clone()), self.config().rules());
        let (review, handles) = review.unzip();
        let (settings, current) = watch::channel(Settings { rules: rules.clone(), review: handles });
        let context = Context {
            teleport: builder.teleport.clone(),
            slack: builder.slack.clone(),
            author: Author::from(&builder.auth),
            directory: directory.clone(),
            settings: current,
            enqueued,
            status: status_queries,
            is_enterprise: pong.enterprise,
            web_proxy: pong.web_proxy,
            cluster: pong.cluster_name,
            metrics,
            clock: Clock::system(),
            timings: timings.controller,
        };
        self.tasks.start("controller", Controller::new(context, ready_tx).run(updates, self.stop.clone()));
        let mut running = Running {
            insecure_no_tls,
            requests: reloads,
            log,
            status: self.status.clone(),
            config: self.loaded.config.clone(),
            warnings: self.loaded.warnings.clone(),
            starter: self.tasks.starter(),
            builder,
            directory,
            credentials,
            bot_token,
            settings,
            review,
            diagnostics,
            checking: None,
        };
        self.tasks.add(running.check_recipients(rules, preflight::During::Start));
        self.tasks.start("reload", running.run(self.stop.clone()));
        App { tasks: self.tasks, ready }
    }
}
