//! Sets up deciding in Slack: which app this is, how interactions arrive, and the task that handles them.
//!
//! `interactions/handler.rs` handles an interaction; the configuration's `[review]` says who may decide what.

use std::sync::Arc;

use access_core::domain::backoff::Backoff;
use access_core::interaction::AppInstallation;
use access_core::policy::{ModeSetting, Rules};
use jiff::Timestamp;
use tokio::sync::{mpsc, watch as latest};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use super::preflight;
use super::startup;
use super::timings::Timings;
use super::token_reloader;
use crate::causes::Cause;
use crate::check::{self, certificates};
use crate::config::{ReviewConfig, ReviewTransport, TokenKind};
use crate::controller::{Handle, ReviewHandles};
use crate::exit::ExitError;
use crate::http::{self, ListenError, Listener};
use crate::interactions::facts::FactsLoader;
use crate::interactions::handler::InteractionHandler;
use crate::interactions::other_cluster::Clusters;
use crate::interactions::receiver::InteractionReceiver;
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

/// Starts the tasks and returns what the controller needs. `cluster` is Teleport's name.
///
/// # Errors
/// If Slack does not say which app this is, or the address for callbacks cannot be had.
pub(crate) async fn start(
    config: &ReviewConfig,
    timings: &Timings,
    (slack, auth): (&slack_client::Client, &AuthTest),
    (teleport, cluster): (&teleport_client::Client, &str),
    metrics: &Metrics,
    tasks: &mut Tasks,
    stop: &CancellationToken,
) -> Result<ReviewHandles, ExitError> {
    let installation = fetch_installation(slack, auth, timings.startup).await?;
    if let ReviewTransport::SocketMode { app_token } = &config.transport {
        check_same_app(&installation, app_token)?;
    }
    let rules = Arc::new(config.rules.clone());
    let setting = config.mode;
    log_review_mode(config, &rules);
    let (interactions_tx, interactions_rx) = mpsc::channel(INTERACTIONS_CAPACITY);
    let (handle, enqueued) = Handle::new();
    let review_support =
        Arc::new(ReviewSupport::new(teleport.clone(), setting, rules.0.len(), timings.permission_poll));
    if setting != ModeSetting::Resolver {
        // Before the first message, so that none gets buttons that lead nowhere.
        review_support.check().await;
        let (review_support, stop) = (Arc::clone(&review_support), stop.clone());
        tasks.start("review support", async move { review_support.check_periodically(&stop).await });
    }
    tasks.start("right to decide", {
        let review_support = Arc::clone(&review_support);
        run_until_stopped(stop, async move { review_support.watch_permission().await })
    });
    tasks.start("second factor", {
        let review_support = Arc::clone(&review_support);
        run_until_stopped(stop, async move { review_support.mind_second_factor().await })
    });
    preflight::log_missing_review_scopes(auth, &rules);
    let user_lookup = Arc::new(UserLookup::new(teleport.clone(), config.user_mapping()));
    {
        let (user_lookup, stop) = (Arc::clone(&user_lookup), stop.clone());
        tasks.start("users", async move { user_lookup.refresh_on_demand(&stop).await });
    }
    let resolver = Arc::new(Resolver {
        teleport: teleport.clone(),
        voters: VoterLoader::new(
            slack.clone(),
            installation.clone(),
            Arc::clone(&user_lookup),
            Arc::clone(&rules),
        ),
        rules: Arc::clone(&rules),
        in_progress: InProgress::default(),
    });
    let review = ReviewHandles {
        rules: Arc::clone(&rules),
        setting,
        can_submit: review_support.subscribe(),
        resolver: Arc::clone(&resolver),
        enqueued,
        users: user_lookup,
    };

    let responder = Responder::new(slack.clone());
    let receiver = InteractionReceiver::new(
        interactions_tx,
        installation.clone(),
        responder.clone(),
        metrics.clone(),
        stop.clone(),
    );
    let receiver = Arc::new(receiver);
    match &config.transport {
        ReviewTransport::SocketMode { app_token } => {
            let token = latest::Sender::new(app_token.clone());
            let socket = SocketMode::new(slack.clone(), token.subscribe(), installation.app_id.clone());
            tasks.start(
                "app-level token",
                run_until_stopped(
                    stop,
                    token_reloader::keep_secret_current(TokenKind::App, token, timings.secret_files),
                ),
            );
            let handler = move |envelope| {
                let receiver = Arc::clone(&receiver);
                async move { receiver.receive_envelope(&envelope).await }
            };
            tasks.start(
                "socket mode connections",
                report_connections(socket.connections(), metrics.clone(), stop.clone()),
            );
            tasks.start("socket mode", socket.run(handler, stop.clone()));
        }
        ReviewTransport::Http { signing_secret, listener } => {
            let bound =
                Listener::bind(listener.listen_addr, listener.tls.as_ref(), timings.listener_files).await;
            let bound = bound.map_err(|error| ExitError::from_cause(error.cause(), error))?;
            let renewed = latest::Sender::new(signing_secret.clone());
            let secret = renewed.subscribe();
            tasks.start(
                "signing secret",
                run_until_stopped(
                    stop,
                    token_reloader::keep_secret_current(TokenKind::Signing, renewed, timings.secret_files),
                ),
            );
            let handler = move |headers, body: bytes::Bytes| {
                let (receiver, secret) = (Arc::clone(&receiver), secret.borrow().clone());
                async move { receiver.receive_callback(&secret, &headers, &body) }
            };
            tasks.start("callbacks", bound.run(handler, stop.clone(), timings.shutdown.listeners));
        }
    }
    let handler = InteractionHandler {
        teleport: teleport.clone(),
        slack: slack.clone(),
        responder,
        facts: FactsLoader {
            teleport: teleport.clone(),
            installation: installation.clone(),
            clusters: Clusters::new(cluster),
            resolver: Arc::clone(&resolver),
        },
        installation,
        resolver,
        rules,
        setting,
        review_support,
        controller: handle,
        metrics: metrics.clone(),
    };
    let handling = run_jobs(interactions_rx, stop.clone(), Arc::new(handler), timings.shutdown);
    tasks.start("interactions", handling);
    Ok(review)
}

/// Runs the task until the stop.
fn run_until_stopped(
    stop: &CancellationToken,
    task: impl Future<Output = ()> + Send + 'static,
) -> impl Future<Output = ()> + Send + 'static {
    let stop = stop.clone();
    async move {
        stop.run_until_cancelled(task).await;
    }
}

/// Reports how many connections are open for interactions.
async fn report_connections(
    mut connections: latest::Receiver<usize>,
    metrics: Metrics,
    stop: CancellationToken,
) {
    let count = async {
        loop {
            metrics.socket_mode_connections(*connections.borrow_and_update());
            if connections.changed().await.is_err() {
                // The connections ended for good, as they do at the stop.
                std::future::pending::<()>().await;
            }
        }
    };
    stop.run_until_cancelled(count).await;
}

/// Which app and workspace we are, to refuse interactions that are meant for others.
async fn fetch_installation(
    slack: &slack_client::Client,
    auth: &AuthTest,
    retry: Backoff,
) -> Result<AppInstallation, ExitError> {
    let app_id = match (&auth.app_id, &auth.bot_id) {
        (Some(app), _) => Some(app.clone()),
        (None, Some(bot)) => startup::call_slack(slack, Cause::Scope, retry, || slack.bot_app(bot)).await?,
        (None, None) => None,
    };
    let Some(app_id) = app_id else {
        return Err(ExitError::from_cause(
            Cause::Configuration,
            "Slack does not say which app the token belongs to, so clicks cannot be distinguished from another app's; use the app's bot token (xoxb-…) with the scope users:read",
        ));
    };
    Ok(AppInstallation {
        app_id,
        team_id: auth.team_id.clone(),
        enterprise_id: auth.enterprise_id.clone(),
        is_org_install: auth.is_enterprise_install,
    })
}

/// Another app's connections would never bring an interaction with our messages.
fn check_same_app(installation: &AppInstallation, app_token: &Secret) -> Result<(), ExitError> {
    match token_reloader::app_id_of(app_token) {
        Some(app) if app != installation.app_id => Err(ExitError::from_cause(
            Cause::TwoApps,
            format!(
                "slack.token belongs to the Slack app {} and review.app_token to the app {app:?}, so no click would ever be taken; copy both tokens from the pages of one app",
                installation.app_id
            ),
        )),
        _ => Ok(()),
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
