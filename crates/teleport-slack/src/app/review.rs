//! Sets up deciding in Slack: which app this is, how interactions arrive, and the task that handles them.
//!
//! `interactions/handler.rs` handles an interaction; the configuration's `[review]` says who may decide what.

use std::sync::Arc;

use access_core::interaction::AppInstallation;
use access_core::policy::{ModeSetting, Rules};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch as latest};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::installation::{check_same_app, fetch_installation};
use super::preflight;
use super::timings::Timings;
use super::token_reloader;
use crate::causes::Cause;
use crate::check::{self, certificates};
use crate::config::{HttpConfig, ReviewConfig, ReviewTransport, TokenKind};
use crate::controller::{Handle, ReviewHandles};
use crate::exit::ExitError;
use crate::http::{self, ListenError, Listener};
use crate::interactions::facts::FactsLoader;
use crate::interactions::handler::InteractionHandler;
use crate::interactions::other_cluster::Clusters;
use crate::interactions::receiver::{InteractionReceiver, Received};
use crate::interactions::respond::Responder;
use crate::observe::metrics::Metrics;
use crate::review::resolver::{InProgress, Resolver};
use crate::review::review_support::ReviewSupport;
use crate::review::users::UserLookup;
use crate::review::voters::VoterLoader;
use crate::supervise::job_queue::run_jobs;
use crate::supervise::tasks::Tasks;
use access_core::domain::secret::Secret;
use slack_client::objects::AuthTest;
use slack_client::socket_mode::SocketMode;

/// Interactions that wait to be handled; beyond this Slack shows the user that it failed.
const INTERACTIONS_CAPACITY: usize = 256;

/// Whether callbacks may be listened for as the configuration and the command line say. Asked before the first
/// call, like everything that is wrong with a configuration.
///
/// # Errors
/// If nothing does TLS and the command line does not allow that, or key and certificate cannot be used.
pub(crate) async fn check_tls(config: &ReviewConfig, insecure_no_tls: bool) -> Result<(), ExitError> {
    let ReviewTransport::Http { listener, .. } = &config.transport else { return Ok(()) };
    match &listener.tls {
        None if !insecure_no_tls => {
            let words = format!("{}; {}", certificates::NO_TLS, certificates::NO_TLS_REMEDY);
            Err(ExitError::from_cause(Cause::Configuration, words))
        }
        None => Ok(()),
        Some(files) => match http::certificates::load(files).await {
            Ok(pair) => {
                let public_addr = listener.public_addr.as_deref();
                check::log(&certificates::callback_items(Ok(&pair.facts), public_addr, Timestamp::now()));
                Ok(())
            }
            Err(error) => {
                let error = ListenError::from(error);
                Err(ExitError::from_cause(error.cause(), error))
            }
        },
    }
}

/// What deciding in Slack is started with.
pub(crate) struct ReviewBuilder<'a> {
    pub(crate) config: &'a ReviewConfig,
    pub(crate) timings: &'a Timings,
    pub(crate) slack: &'a slack_client::Client,
    pub(crate) auth: &'a AuthTest,
    pub(crate) teleport: &'a teleport_client::Client,
    /// Teleport's name.
    pub(crate) cluster: &'a str,
    pub(crate) metrics: &'a Metrics,
    pub(crate) stop: &'a CancellationToken,
}

impl ReviewBuilder<'_> {
    /// Starts the tasks and returns what the controller needs.
    ///
    /// # Errors
    /// If Slack does not say which app this is, or the address for callbacks cannot be had.
    pub(crate) async fn start(self, tasks: &mut Tasks) -> Result<ReviewHandles, ExitError> {
        let installation = fetch_installation(self.slack, self.auth, self.timings.startup).await?;
        if let ReviewTransport::SocketMode { app_token } = &self.config.transport {
            check_same_app(&installation, app_token)?;
        }
        let rules = Arc::new(self.config.rules.clone());
        log_review_mode(self.config, &rules);
        let review_support = self.start_review_support(&rules, tasks).await;
        preflight::log_missing_review_scopes(self.auth, &rules);
        let users = self.start_user_lookup(tasks);
        let resolver = Arc::new(Resolver {
            teleport: self.teleport.clone(),
            voters: VoterLoader::new(
                self.slack.clone(),
                installation.clone(),
                Arc::clone(&users),
                Arc::clone(&rules),
                self.timings.review,
            ),
            rules: Arc::clone(&rules),
            in_progress: InProgress::default(),
        });
        let (controller, enqueued) = Handle::new();
        let handles = ReviewHandles {
            rules: Arc::clone(&rules),
            setting: self.config.mode,
            can_submit: review_support.subscribe(),
            resolver: Arc::clone(&resolver),
            enqueued,
            users,
        };
        let responder = Responder::new(self.slack.clone());
        let interactions = self.start_receiver(&installation, &responder, tasks).await?;
        let handler = InteractionHandler {
            teleport: self.teleport.clone(),
            slack: self.slack.clone(),
            responder,
            facts: FactsLoader {
                teleport: self.teleport.clone(),
                installation: installation.clone(),
                clusters: Clusters::new(self.cluster),
                resolver: Arc::clone(&resolver),
            },
            installation,
            resolver,
            rules,
            setting: self.config.mode,
            review_support,
            controller,
            metrics: self.metrics.clone(),
        };
        let handling = run_jobs(interactions, self.stop.clone(), Arc::new(handler), self.timings.shutdown);
        tasks.start("interactions", handling);
        Ok(handles)
    }

    /// Checks what this Teleport and the plugin's roles allow, now and periodically.
    async fn start_review_support(&self, rules: &Rules, tasks: &mut Tasks) -> Arc<ReviewSupport> {
        let (setting, timings) = (self.config.mode, self.timings.review);
        let review_support =
            Arc::new(ReviewSupport::new(self.teleport.clone(), setting, rules.0.len(), timings));
        if setting != ModeSetting::Resolver {
            // Before the first message, so that none gets buttons that lead nowhere.
            review_support.check().await;
            let (review_support, stop) = (Arc::clone(&review_support), self.stop.clone());
            tasks.start("review support", async move { review_support.check_periodically(&stop).await });
        }
        let support = Arc::clone(&review_support);
        let watching = self.until_stopped(async move { support.watch_permission().await });
        tasks.start("right to decide", watching);
        let support = Arc::clone(&review_support);
        let minding = self.until_stopped(async move { support.mind_second_factor().await });
        tasks.start("second factor", minding);
        review_support
    }

    /// Reads Teleport's users when they are needed.
    fn start_user_lookup(&self, tasks: &mut Tasks) -> Arc<UserLookup> {
        let users =
            Arc::new(UserLookup::new(self.teleport.clone(), self.config.user_mapping(), self.timings.review));
        let (refreshed, stop) = (Arc::clone(&users), self.stop.clone());
        tasks.start("users", async move { refreshed.refresh_on_demand(&stop).await });
        users
    }

    /// Receives interactions, over Socket Mode or as callbacks, and returns where they arrive.
    async fn start_receiver(
        &self,
        installation: &AppInstallation,
        responder: &Responder,
        tasks: &mut Tasks,
    ) -> Result<mpsc::Receiver<Received>, ExitError> {
        let (interactions_tx, interactions) = mpsc::channel(INTERACTIONS_CAPACITY);
        let receiver = Arc::new(InteractionReceiver::new(
            interactions_tx,
            installation.clone(),
            responder.clone(),
            self.metrics.clone(),
            self.stop.clone(),
        ));
        match &self.config.transport {
            ReviewTransport::SocketMode { app_token } => {
                self.start_socket_mode(app_token, installation, receiver, tasks);
            }
            ReviewTransport::Http { signing_secret, listener } => {
                self.start_listener(signing_secret, listener, receiver, tasks).await?;
            }
        }
        Ok(interactions)
    }

    fn start_socket_mode(
        &self,
        app_token: &Secret,
        installation: &AppInstallation,
        receiver: Arc<InteractionReceiver>,
        tasks: &mut Tasks,
    ) {
        let token = latest::Sender::new(app_token.clone());
        let app_id = installation.app_id.clone();
        let socket = SocketMode::new(self.slack.clone(), token.subscribe(), app_id, self.timings.socket_mode);
        let renewing = token_reloader::keep_secret_current(TokenKind::App, token, self.timings.secret_files);
        tasks.start("app-level token", self.until_stopped(renewing));
        let counting = report_connections(socket.connections(), self.metrics.clone());
        tasks.start("socket mode connections", self.until_stopped(counting));
        let handler = move |envelope| {
            let receiver = Arc::clone(&receiver);
            async move { receiver.receive_envelope(&envelope).await }
        };
        tasks.start("socket mode", socket.run(handler, self.stop.clone()));
    }

    async fn start_listener(
        &self,
        signing_secret: &Secret,
        listener: &HttpConfig,
        receiver: Arc<InteractionReceiver>,
        tasks: &mut Tasks,
    ) -> Result<(), ExitError> {
        let files = self.timings.listener_files;
        let bound = Listener::bind(listener.listen_addr, listener.tls.as_ref(), files).await;
        let bound = bound.map_err(|error| ExitError::from_cause(error.cause(), error))?;
        let renewed = latest::Sender::new(signing_secret.clone());
        let secret = renewed.subscribe();
        let renewing =
            token_reloader::keep_secret_current(TokenKind::Signing, renewed, self.timings.secret_files);
        tasks.start("signing secret", self.until_stopped(renewing));
        let handler = move |headers, body: bytes::Bytes| {
            let (receiver, secret) = (Arc::clone(&receiver), secret.borrow().clone());
            async move { receiver.receive_callback(&secret, &headers, &body) }
        };
        let listening = bound.run(handler, self.stop.clone(), self.timings.shutdown.listeners);
        tasks.start("callbacks", listening);
        Ok(())
    }

    fn until_stopped(
        &self,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let stop = self.stop.clone();
        async move {
            stop.run_until_cancelled(task).await;
        }
    }
}

/// Reports how many connections are open for interactions. Does not end.
async fn report_connections(mut connections: latest::Receiver<usize>, metrics: Metrics) {
    loop {
        metrics.socket_mode_connections(*connections.borrow_and_update());
        if connections.changed().await.is_err() {
            // The connections ended for good, as they do at the stop.
            std::future::pending::<()>().await;
        }
    }
}

fn log_review_mode(config: &ReviewConfig, rules: &Rules) {
    let rules = rules.0.len();
    if config.is_legacy {
        warn!(
            "Deciding in Slack is on (mode resolver), because this configuration has slack.secret and [http], as the 0.x releases did: only a request's suggested reviewers may decide, if their e-mail address in Slack equals their Teleport user name; to name approvers, write [review] with enabled = true and [[review.rule]]s, and to switch it off, [review] with enabled = false"
        );
        return;
    }
    match config.mode {
        ModeSetting::Reviewer => info!("Deciding in Slack: Teleport judges each review (mode reviewer)"),
        ModeSetting::Resolver if rules == 0 => warn!(
            "Deciding in Slack: without any [[review.rule]] only a request's suggested reviewers may decide; add rules that name approvers"
        ),
        ModeSetting::Resolver => info!(rules, "Deciding in Slack: the rules judge (mode resolver)"),
        ModeSetting::Auto => info!(
            rules,
            "Deciding in Slack: Teleport judges where it takes reviews for users, else the rules (mode auto)"
        ),
    }
}
