//! The daemon as a value: what it is built from, in which order it starts, and how it ends.
//!
//! Order of start: identity readable and current → Teleport answers → Slack answers → watch → list → ready.
//! The configuration was validated before any of it (`config`); the tasks are drawn in `runtime`.

use std::time::Duration;

use access_core::backoff::Backoff;
use jiff::Timestamp;
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::Config;
use crate::deciding;
use crate::error::{Exit, Failure, chain};
use crate::http::diagnostics::Diagnostics;
use crate::observe::health::Stage;
use crate::observe::metrics::Metrics;
use crate::observe::seconds;
use crate::runtime::tasks::Tasks;
use crate::runtime::{Dispatcher, Surroundings};
use crate::slack::directory::Directory;
use crate::slack::error::{Kind, SlackError};
use crate::slack::history::Author;
use crate::slack::objects::AuthTest;
use crate::slack::{self, ClientOptions};
use crate::slack_checks;
use crate::teleport::error::{Kind as TeleportKind, TeleportError};
use crate::teleport::identity::Identity;
use crate::teleport::reload::{self, Reloader};
use crate::teleport::watch::{Delays, Watcher};
use crate::teleport::{self, Pong};

/// Updates that wait for the dispatcher; the watcher coalesces what does not fit.
const UPDATES: usize = 256;
/// A side that is away at start is asked again: soon, then each half minute.
const AWAY: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// A daemon whose both sides have answered.
#[derive(Debug)]
pub struct App {
    tasks: Tasks,
    ready: watch::Receiver<bool>,
}

impl App {
    /// Connects both sides and starts the tasks. A side that is merely away is waited for.
    ///
    /// Returns `None` if told to stop meanwhile.
    ///
    /// # Errors
    /// What no waiting mends: certificates that cannot be used, a server that is too old, a token that is
    /// refused, a missing scope. The failure's text names the thing and the remedy.
    ///
    /// `insecure_no_tls`: callbacks may be listened for without TLS, behind a proxy that does it.
    pub async fn start(
        config: &Config,
        insecure_no_tls: bool,
        stop: CancellationToken,
    ) -> Result<Option<Self>, Failure> {
        tokio::select! {
            () = stop.cancelled() => Ok(None),
            app = Self::connect(config, insecure_no_tls, &stop) => app.map(Some),
        }
    }

    async fn connect(
        config: &Config,
        insecure_no_tls: bool,
        stop: &CancellationToken,
    ) -> Result<Self, Failure> {
        if let Some(review) = &config.review {
            deciding::check_tls(review, insecure_no_tls)?;
        }
        let metrics = Metrics::new();
        let mut tasks = Tasks::new(stop.clone());
        if let Some(address) = config.diagnostics {
            // From the beginning, to tell what is waited for.
            let bound =
                Diagnostics::bind(address).await.map_err(|error| Failure::new(Exit::Failed, error))?;
            tasks.start("diagnostics", bound.run(metrics.clone(), stop.clone()));
        }
        let identity = Identity::load(&config.teleport.credentials, Timestamp::now())
            .map_err(|error| Failure::new(Exit::Credentials, error))?;
        info!(user = identity.user(), certificate_until = %identity.not_after(), "Identity loaded");
        let teleport = teleport::Client::new(&config.teleport.addr, &identity, metrics.clone());
        // From the beginning, because the certificate may be renewed while Teleport or Slack is waited for.
        let reloader = Reloader::new(teleport.clone(), config.teleport.credentials.clone(), identity);
        tasks.start("identity", reloader.run(reload::INTERVAL, stop.clone()));
        let pong = ping(&teleport).await?;
        metrics.reached(Stage::Slack);
        info!(cluster = %pong.cluster_name, version = %pong.server_version, enterprise = pong.enterprise, "Teleport answers");

        let slack = slack::Client::new(ClientOptions {
            api_url: config.slack.api_url.as_str().to_owned(),
            metrics: metrics.clone(),
            ..ClientOptions::new(config.slack.token.clone())
        })
        .map_err(|error| Failure::new(Exit::Failed, error))?;
        let auth = auth_test(&slack).await?;
        metrics.reached(Stage::List);
        info!(team = %auth.team, bot = %auth.user_id, "Slack answers");
        let rules = config.rules();
        slack_checks::scopes(&auth, &rules)?;

        let review = match &config.review {
            Some(review) => {
                let slack = (&slack, &auth);
                Some(deciding::start(review, slack, &teleport, &metrics, &mut tasks, stop).await?)
            }
            None => None,
        };
        let directory = Directory::new(slack.clone());
        let (ready_tx, ready) = watch::channel(false);
        let (updates_tx, updates) = mpsc::channel(UPDATES);
        let watcher = Watcher::new(teleport.clone(), Delays::default());
        tasks.start("watcher", watcher.run(updates_tx, stop.clone()));
        tasks.start("channel check", {
            let (directory, rules, stop) = (directory.clone(), rules.clone(), stop.clone());
            async move {
                tokio::select! {
                    () = stop.cancelled() => {}
                    () = slack_checks::channels(&directory, &rules) => stop.cancelled().await,
                }
            }
        });
        let dispatcher = Dispatcher::new(
            Surroundings {
                teleport,
                slack,
                author: Author::from(&auth),
                directory,
                rules,
                web_proxy: pong.web_proxy.filter(|_| pong.enterprise),
                cluster: pong.cluster_name,
                review,
                metrics,
            },
            ready_tx,
        );
        tasks.start("dispatcher", dispatcher.run(updates, stop.clone()));
        Ok(Self { tasks, ready })
    }

    /// Turns true when everything that Teleport listed at first was taken in.
    pub fn ready(&self) -> watch::Receiver<bool> {
        self.ready.clone()
    }

    /// Works until told to stop, and then until what is under way has ended (15 s at most).
    ///
    /// # Errors
    /// If a task died, which is a fault of this program.
    pub async fn run(self) -> Result<(), Failure> {
        self.tasks.run().await.map_err(|died| Failure::new(Exit::Failed, died))
    }
}

/// Asks Teleport until it answers; refuses a server that is too old.
async fn ping(teleport: &teleport::Client) -> Result<Pong, Failure> {
    let mut failures = 0;
    let mut told = String::new();
    loop {
        match teleport.ping().await {
            Ok(pong) => {
                pong.check_version().map_err(|error| Failure::new(Exit::Failed, error))?;
                return Ok(pong);
            }
            Err(error) if is_final(&error) => return Err(Failure::new(exit_for(&error), error)),
            Err(error) => {
                // Not on a line that may be dead.
                teleport.reconnect();
                wait(&mut failures, &mut told, "Teleport does not answer", &chain(&error)).await;
            }
        }
    }
}

fn is_final(error: &TeleportError) -> bool {
    matches!(error.kind(), TeleportKind::Unauthorised | TeleportKind::Permanent)
}

/// Whether the address is to be mended or the identity.
fn exit_for(error: &TeleportError) -> Exit {
    match error {
        TeleportError::Connect(error) if error.problem.is_wrong_address() => Exit::Configuration,
        _ => Exit::Credentials,
    }
}

/// Asks Slack until it answers; refuses a token that Slack refuses.
async fn auth_test(slack: &slack::Client) -> Result<AuthTest, Failure> {
    let mut failures = 0;
    let mut told = String::new();
    loop {
        match slack.auth_test().await {
            Ok(auth) => return Ok(auth),
            Err(error) => match error.kind() {
                Kind::Unauthorised => {
                    return Err(Failure::new(Exit::Credentials, told_with_remedy(&error)));
                }
                // Not the token is refused but the question: something else answers at slack.api_url.
                Kind::Permanent => {
                    return Err(Failure::new(Exit::Configuration, told_with_remedy(&error)));
                }
                Kind::RetryAfter(delay) => {
                    warn!(retry_in_s = delay.as_secs(), "{}", error.with_remedy());
                    tokio::time::sleep(delay).await;
                }
                Kind::Retry => {
                    wait(&mut failures, &mut told, "Slack does not answer", &told_with_remedy(&error)).await;
                }
            },
        }
    }
}

fn told_with_remedy(error: &SlackError) -> String {
    error.with_remedy().to_string()
}

/// Waits before the next try; each new cause is told at once, the same one every tenth time.
async fn wait(failures: &mut u32, told: &mut String, what: &str, cause: &str) {
    *failures += 1;
    let delay = AWAY.delay(*failures, fastrand::u64(..));
    let retry_in_s = seconds(delay);
    if told != cause || failures.is_multiple_of(10) {
        cause.clone_into(told);
        error!(retry_in_s, "{what}: {cause}");
    }
    tokio::time::sleep(delay).await;
}
