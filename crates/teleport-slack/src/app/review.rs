//! Sets up deciding in Slack: which app this is, how interactions arrive, and the task that handles them.
//!
//! What one configuration makes of it is a [`Version`]; a reload makes another. `interactions/handler.rs` handles an
//! interaction; the configuration's `[review]` says who may decide what; `transport.rs` receives interactions.

use std::net::SocketAddr;
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
use super::transport::{Transport, TransportContext};
use crate::causes::Cause;
use crate::check::certificates;
use crate::check::report::Item;
use crate::config::{ReviewConfig, ReviewTransport};
use crate::controller::{Handle, ReviewHandles};
use crate::exit::ExitError;
use crate::http::{self, ListenError};
use crate::interactions::current_handler::CurrentHandler;
use crate::interactions::facts::FactsLoader;
use crate::interactions::handler::InteractionHandler;
use crate::interactions::late_replies::give_late_replies;
use crate::interactions::other_cluster::Clusters;
use crate::interactions::receiver::InteractionReceiver;
use crate::interactions::respond::Responder;
use crate::interactions::waiting_replies::WaitingReplies;
use crate::observe::metrics::Metrics;
use crate::review::resolver::{InProgress, Resolver};
use crate::review::review_support::ReviewSupport;
use crate::review::users::UserLookup;
use crate::review::voters::VoterLoader;
use crate::supervise::job_queue::run_jobs;
use crate::supervise::tasks::Task;
use slack_client::history::Author;
use slack_client::objects::AuthTest;

/// Interactions that wait to be handled; beyond this Slack shows the user that it failed.
const INTERACTIONS_CAPACITY: usize = 256;

/// Whether callbacks may be listened for as the configuration and the command line say, and what the log should say of
/// the certificate. Asked before the first call, like everything that is wrong with a configuration.
///
/// # Errors
/// If nothing does TLS and the command line does not allow that, or key and certificate cannot be used.
pub(crate) async fn check_tls(config: &ReviewConfig, insecure_no_tls: bool) -> Result<Vec<Item>, ExitError> {
    let ReviewTransport::Http { listener, .. } = &config.transport else { return Ok(Vec::new()) };
    match &listener.tls {
        None if !insecure_no_tls => {
            let words = format!("{}; {}", certificates::NO_TLS, certificates::NO_TLS_REMEDY);
            Err(ExitError::from_cause(Cause::Configuration, words))
        }
        None => Ok(Vec::new()),
        Some(files) => match http::certificates::load(files).await {
            Ok(pair) => {
                let public_addr = listener.public_addr.as_deref();
                Ok(certificates::callback_items(Ok(&pair.facts), public_addr, Timestamp::now()))
            }
            Err(error) => {
                let error = ListenError::from(error);
                Err(ExitError::from_cause(error.cause(), error))
            }
        },
    }
}

/// What deciding in Slack is built from, whatever the configuration says about it.
#[derive(Clone)]
pub(crate) struct ReviewBuilder {
    pub(crate) timings: Timings,
    pub(crate) slack: slack_client::Client,
    pub(crate) auth: AuthTest,
    pub(crate) teleport: teleport_client::Client,
    /// Teleport's name.
    pub(crate) cluster: String,
    pub(crate) controller: Handle,
    pub(crate) metrics: Metrics,
    pub(crate) stop: CancellationToken,
}

/// What goes on while configurations come and go.
pub(crate) struct Review {
    installation: AppInstallation,
    responder: Responder,
    receiver: Arc<InteractionReceiver>,
    in_progress: Arc<InProgress>,
    /// Handles the next interaction.
    handler: latest::Sender<Arc<InteractionHandler>>,
    /// How interactions arrive; `None` while deciding in Slack is off.
    transport: Option<Transport>,
}

/// What one configuration makes of deciding in Slack.
pub(crate) struct Version {
    pub(crate) handles: ReviewHandles,
    handler: Arc<InteractionHandler>,
    tasks: Vec<Task>,
    /// Receives interactions in the place of the transport before; `None` if that stays.
    transport: Option<Transport>,
}

impl ReviewBuilder {
    /// Builds everything for a configuration. Nothing runs before the tasks are started.
    ///
    /// # Errors
    /// If Slack does not say which app this is, or the address for callbacks cannot be had.
    pub(crate) async fn start(
        &self,
        config: &ReviewConfig,
    ) -> Result<(Review, ReviewHandles, Vec<Task>), ExitError> {
        let installation = fetch_installation(&self.slack, &self.auth, self.timings.startup_waits()).await?;
        if let ReviewTransport::SocketMode { app_token } = &config.transport {
            check_same_app(&installation, app_token)?;
        }
        log_review_mode(config, &config.rules);
        let (author, waits) = (Arc::new(Author::from(&self.auth)), self.timings.interactions);
        let waiting = Arc::new(WaitingReplies::new(self.slack.clone(), self.metrics.clone(), waits));
        let responder = Responder {
            slack: self.slack.clone(),
            author,
            settles: waits.late_reply_settles,
            waiting: Arc::clone(&waiting),
        };
        let in_progress = Arc::new(InProgress::default());
        let (handles, handler, mut tasks) = self.build(config, &installation, &responder, &in_progress).await;
        let (interactions_tx, interactions) = mpsc::channel(INTERACTIONS_CAPACITY);
        let receiver = Arc::new(InteractionReceiver::new(
            interactions_tx,
            installation.clone(),
            responder.clone(),
            self.metrics.clone(),
            self.timings.interactions,
            self.stop.clone(),
        ));
        let (transport, receiving) = Transport::open(
            self.transport(),
            config.transport.clone(),
            &installation,
            Arc::clone(&receiver),
            None,
        )
        .await?;
        tasks.extend(receiving);
        let handler = latest::Sender::new(handler);
        let current = CurrentHandler(handler.subscribe());
        let handled = CancellationToken::new();
        let away = self.metrics.outages().slack_away();
        let replying = give_late_replies(waiting, current.clone(), away, waits, handled.clone());
        let handling = run_jobs(interactions, self.stop.clone(), current, self.timings.shutdown);
        // The last clicks may add replies.
        let handled = handled.drop_guard();
        let handling = async move {
            let _handled = handled;
            handling.await;
        };
        tasks.push(Task::new("interactions", &self.stop, handling));
        tasks.push(Task::new("late replies", &self.stop, replying));
        let transport = Some(transport);
        Ok((Review { installation, responder, receiver, in_progress, handler, transport }, handles, tasks))
    }

    fn transport(&self) -> TransportContext<'_> {
        let Self { timings, slack, metrics, stop, .. } = self;
        TransportContext { timings, slack, metrics, stop }
    }

    /// What judges and handles by this configuration, and the tasks that it needs. They end with it.
    async fn build(
        &self,
        config: &ReviewConfig,
        installation: &AppInstallation,
        responder: &Responder,
        in_progress: &Arc<InProgress>,
    ) -> (ReviewHandles, Arc<InteractionHandler>, Vec<Task>) {
        let until = self.stop.child_token();
        let mut tasks = Vec::new();
        let rules = Arc::new(config.rules.clone());
        let review_support = self.review_support(config.mode, &rules, &until, &mut tasks).await;
        preflight::log_missing_review_scopes(&self.auth, &rules);
        let users =
            Arc::new(UserLookup::new(self.teleport.clone(), config.user_mapping(), self.timings.review));
        let (refreshed, ends) = (Arc::clone(&users), until.clone());
        let refreshing = async move { refreshed.refresh_on_demand(&ends).await };
        tasks.push(Task::new("users", &until, refreshing));
        let voters = VoterLoader::new(
            self.slack.clone(),
            installation.clone(),
            Arc::clone(&users),
            Arc::clone(&rules),
            self.timings.review,
        );
        let resolver = Arc::new(Resolver {
            teleport: self.teleport.clone(),
            voters,
            rules: Arc::clone(&rules),
            in_progress: Arc::clone(in_progress),
            tasks: until.drop_guard(),
        });
        let handles = ReviewHandles {
            rules: Arc::clone(&rules),
            setting: config.mode,
            can_submit: review_support.subscribe(),
            resolver: Arc::clone(&resolver),
            users,
        };
        let handler = InteractionHandler {
            teleport: self.teleport.clone(),
            slack: self.slack.clone(),
            responder: responder.clone(),
            facts: FactsLoader {
                teleport: self.teleport.clone(),
                installation: installation.clone(),
                clusters: Clusters::new(&self.cluster),
                resolver: Arc::clone(&resolver),
            },
            installation: installation.clone(),
            resolver,
            rules,
            setting: config.mode,
            review_support,
            controller: self.controller.clone(),
            metrics: self.metrics.clone(),
        };
        (handles, Arc::new(handler), tasks)
    }

    /// Checks what this Teleport and the plugin's roles allow, now and periodically.
    async fn review_support(
        &self,
        setting: ModeSetting,
        rules: &Rules,
        until: &CancellationToken,
        tasks: &mut Vec<Task>,
    ) -> Arc<ReviewSupport> {
        let timings = self.timings.review;
        let review_support =
            Arc::new(ReviewSupport::new(self.teleport.clone(), setting, rules.0.len(), timings));
        if setting != ModeSetting::Resolver {
            // Before the first message, so that none gets buttons that lead nowhere.
            review_support.check().await;
            let (review_support, ends) = (Arc::clone(&review_support), until.clone());
            let checking = async move { review_support.check_periodically(&ends).await };
            tasks.push(Task::new("review support", until, checking));
        }
        let support = Arc::clone(&review_support);
        tasks.push(Task::endless("right to decide", until, async move { support.watch_permission().await }));
        let support = Arc::clone(&review_support);
        tasks.push(Task::endless("second factor", until, async move { support.mind_second_factor().await }));
        review_support
    }
}

impl Review {
    /// Builds what another configuration makes of deciding in Slack. Nothing of it is in use yet. `reconnects`: Slack is to be
    /// called at another address, so what the daemon opened there is opened again.
    ///
    /// # Errors
    /// If the app-level token is another app's, or the address for callbacks cannot be had.
    pub(crate) async fn prepare(
        &self,
        builder: &ReviewBuilder,
        config: &ReviewConfig,
        reconnects: bool,
    ) -> Result<Version, ExitError> {
        if let ReviewTransport::SocketMode { app_token } = &config.transport {
            check_same_app(&self.installation, app_token)?;
        }
        let mut receiving = Vec::new();
        let mut transport = None;
        let reconnects = reconnects && matches!(config.transport, ReviewTransport::SocketMode { .. });
        let serves = self.transport.as_ref().is_some_and(|current| current.serves(&config.transport));
        if reconnects || !serves {
            let receiver = Arc::clone(&self.receiver);
            let opened = Transport::open(
                builder.transport(),
                config.transport.clone(),
                &self.installation,
                receiver,
                self.transport.as_ref(),
            )
            .await?;
            (transport, receiving) = (Some(opened.0), opened.1);
        }
        let (handles, handler, mut tasks) =
            builder.build(config, &self.installation, &self.responder, &self.in_progress).await;
        tasks.extend(receiving);
        Ok(Version { handles, handler, tasks, transport })
    }

    /// Lets the next interaction go by `version`. Returns the tasks to start.
    pub(crate) fn adopt(&mut self, config: &ReviewConfig, version: Version) -> (ReviewHandles, Vec<Task>) {
        if let Some(opened) = version.transport {
            // What the one before has accepted it finishes.
            self.transport = Some(opened);
        } else if let Some(transport) = &mut self.transport {
            transport.adopt(&config.transport);
        }
        self.handler.send_replace(version.handler);
        (version.handles, version.tasks)
    }

    /// Where the daemon listens for callbacks, if it does.
    pub(crate) fn listens_at(&self) -> Option<SocketAddr> {
        self.transport.as_ref().and_then(Transport::address)
    }

    /// Deciding in Slack is off from now on: no interaction arrives any more.
    pub(crate) fn switch_off(&mut self) {
        self.transport = None;
    }
}

pub(super) fn log_review_mode(config: &ReviewConfig, rules: &Rules) {
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
