//! The parts of a running daemon that a configuration decides, and how a reload replaces them.

use std::net::SocketAddr;
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing::warn;

use super::changed_parts::changed_parts;
use super::connections;
use super::preflight::{self, During};
use super::reading::Reading;
use super::reload::{self, ReloadCause, ReloadRequests};
use super::review::{self, Review, ReviewBuilder};
use super::token_reloader;
use crate::check;
use crate::check::report::Item;
use crate::config::{Config, ConfiguredIdentityError, Diagnostic, Loaded, ReviewTransport};
use crate::controller::{ReviewHandles, Settings};
use crate::exit::ExitError;
use crate::http::diagnostics::Diagnostics;
use crate::http::{ANOTHER_PROGRAM, HttpTimings};
use crate::observe::metrics::Metrics;
use crate::observe::{CurrentLog, OpenedLog};
use crate::status::Status;
use crate::supervise::tasks::{Task, TaskStarter};
use access_core::domain::error_chain::chain;
use access_core::domain::recipients::Rules;
use access_core::domain::secret::Secret;
use slack_client::directory::Directory;
use teleport_client::Credentials;
use teleport_client::identity::{Identity, IdentityError};

/// What a reload reads, judges and replaces.
pub(super) struct Running {
    pub(super) insecure_no_tls: bool,
    pub(super) requests: ReloadRequests,
    pub(super) log: CurrentLog,
    pub(super) status: Status,
    /// In use.
    pub(super) config: Config,
    pub(super) warnings: Vec<Diagnostic>,
    pub(super) starter: TaskStarter,
    pub(super) builder: ReviewBuilder,
    pub(super) directory: Directory,
    pub(super) credentials: watch::Sender<Credentials>,
    pub(super) bot_token: watch::Sender<Secret>,
    pub(super) settings: watch::Sender<Settings>,
    pub(super) review: Option<Review>,
    /// Ends the listener for diagnostics; where it listens.
    pub(super) diagnostics: Option<(DropGuard, SocketAddr)>,
    /// Ends the check of the recipients.
    pub(super) checking: Option<DropGuard>,
}

/// Listens for diagnostics at an address, as a task that was not started.
pub(super) struct DiagnosticsTask {
    pub(super) task: Task,
    pub(super) guard: DropGuard,
    /// With the real port if port 0 was asked for.
    pub(super) address: SocketAddr,
}

/// Everything of a new configuration that can fail, done; nothing of it is in use.
struct Judged {
    config: Config,
    warnings: Vec<Diagnostic>,
    /// About the certificate of the callback listener.
    notes: Vec<Item>,
    /// `None` if it stays as it is.
    log: Option<OpenedLog>,
    /// Calls another address of Slack, or by another way; `None` if both stay.
    slack: Option<slack_client::Client>,
    review: Option<Reviewed>,
    /// `None` if the listener stays as it is.
    diagnostics: Option<Option<DiagnosticsTask>>,
}

/// Deciding in Slack by the new configuration.
enum Reviewed {
    /// It was on before.
    Changed(review::Version),
    /// It was off since the start.
    Begun(Review, ReviewHandles, Vec<Task>),
}

impl Running {
    /// Reloads on request until the stop.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        let reloading = async {
            loop {
                let cause = self.requests.next().await;
                self.reload(cause).await;
            }
        };
        stop.run_until_cancelled(reloading).await;
    }

    /// Looks up each configured recipient, and logs which cannot be notified.
    pub(super) fn check_recipients(&mut self, rules: Rules, during: During) -> Task {
        let until = self.builder.stop.child_token();
        self.checking = Some(until.clone().drop_guard());
        let (slack, auth) = (self.builder.slack.clone(), self.builder.auth.clone());
        let directory = self.directory.clone();
        Task::endless("recipient check", &until, async move {
            preflight::check_recipients(&slack, &directory, &auth, &rules, during).await;
            std::future::pending().await
        })
    }

    async fn reload(&mut self, cause: ReloadCause) {
        let reading = Reading::take(self.requests.path()).await;
        // An operator who asks gets an answer about all of it.
        let is_known = cause != ReloadCause::Signal && reading.says(&self.config);
        if is_known && !self.requests.are_refused() {
            return self.requests.succeeded(reading);
        }
        let judged = match reading.configuration.clone() {
            Ok(loaded) => self.judge(loaded).await,
            Err(causes) => Err(causes),
        };
        match judged {
            Ok(_) if is_known => self.requests.unchanged(reading),
            Ok(judged) => {
                let changed = self.adopt(judged).await;
                let answers = cause == ReloadCause::Signal || self.requests.are_refused();
                reload::log_adopted(&changed, answers);
                self.requests.succeeded(reading);
            }
            Err(causes) => self.requests.refused(reading, causes, cause),
        }
    }

    /// Tries everything of the new configuration that can fail.
    ///
    /// # Errors
    /// Why it is refused, each cause on one line.
    async fn judge(&self, loaded: Loaded) -> Result<Judged, Vec<String>> {
        let Loaded { config, warnings } = loaded;
        let (mut causes, mut notes) = (Vec::new(), Vec::new());
        if let Some(review) = &config.review {
            match review::check_tls(review, self.insecure_no_tls).await {
                Ok(found) => notes = found,
                Err(error) => causes.push(error.line()),
            }
        }
        let log = reload::open_log(&self.log, &config.log).await.unwrap_or_else(|cause| {
            causes.push(cause);
            None
        });
        match check_identity(config.teleport.credentials.clone()).await {
            Ok(identity) if config.teleport_destination() != self.config.teleport_destination() => {
                let is_moved = config.teleport.addr != self.config.teleport.addr;
                let tried = connections::try_teleport(&self.builder, &config, is_moved, identity.as_ref());
                causes.extend(tried.await.err());
            }
            Ok(_) => {}
            Err(cause) => causes.push(cause),
        }
        let mut slack = None;
        let is_moved = config.slack.api_url != self.config.slack.api_url;
        if is_moved || config.network.outbound != self.config.network.outbound {
            match connections::try_slack(&self.builder, &config, is_moved).await {
                Ok(client) => slack = Some(client),
                Err(cause) => causes.push(cause),
            }
        } else if config.slack.token.expose() != self.config.slack.token.expose() {
            let (slack, known) = (&self.builder.slack, &self.builder.auth);
            let judged = token_reloader::judge_bot_token(slack, Some(known), &config.slack.token).await;
            let place = config.slack.token.file().map(|file| format!(" in {}", file.display()));
            let place = place.unwrap_or_default();
            causes.extend(judged.err().map(|why| format!("the bot token{place} is not used: {why}")));
        }
        if !causes.is_empty() {
            return Err(causes);
        }
        let own = self.own_addresses();
        let one = |error: ExitError| vec![with_own_port(error.line(), &own, &config)];
        let listens_already =
            |at: SocketAddr| self.diagnostics.as_ref().is_some_and(|(_, address)| *address == at);
        let address_of =
            |config: &Config| config.diagnostics.as_ref().map(|diagnostics| diagnostics.listen_addr);
        let address = address_of(&config);
        let diagnostics = if address == address_of(&self.config) || address.is_some_and(listens_already) {
            None
        } else {
            Some(match address {
                Some(address) => Some({
                    let ReviewBuilder { metrics, timings, stop, .. } = &self.builder;
                    let status = &self.status;
                    DiagnosticsTask::bind(address, metrics, status, timings.http, stop).await.map_err(one)?
                }),
                None => None,
            })
        };
        let review = match (&config.review, &self.review) {
            (None, _) => None,
            (Some(new), Some(review)) if self.config.review.as_ref() != Some(new) || slack.is_some() => {
                let prepared = review.prepare(&self.builder, new, slack.is_some()).await;
                Some(Reviewed::Changed(prepared.map_err(one)?))
            }
            (Some(_), Some(_)) => None,
            (Some(new), None) => {
                let (review, handles, tasks) = self.builder.start(new).await.map_err(one)?;
                Some(Reviewed::Begun(review, handles, tasks))
            }
        };
        Ok(Judged { config, warnings, notes, log, slack, review, diagnostics })
    }

    /// Where the daemon listens.
    fn own_addresses(&self) -> Vec<SocketAddr> {
        let diagnostics = self.diagnostics.as_ref().map(|(_, address)| *address);
        let callbacks = self.review.as_ref().and_then(Review::listens_at);
        diagnostics.into_iter().chain(callbacks).collect()
    }

    /// Puts the new whole in the place of the old one. Returns which parts changed.
    async fn adopt(&mut self, judged: Judged) -> Vec<&'static str> {
        let Judged { config, warnings, notes, log, slack, review, diagnostics } = judged;
        if let Some(opened) = log {
            self.log.adopt(opened);
        }
        reload::log_warnings(self.requests.path(), &warnings, &self.warnings);
        check::log(&notes);
        let changed = changed_parts(&self.config, &config);
        let known = check::at_start(&self.config);
        let mut found = check::at_start(&config);
        found.retain(|item| !known.contains(item));
        check::log(&found);
        let rules = config.rules();
        let mut tasks = Vec::new();
        self.builder.metrics.apply_scope(config.review.as_ref().into());
        let destination = config.teleport_destination();
        if destination != self.config.teleport_destination() {
            self.builder.teleport.use_destination(&destination);
        }
        if let Some(client) = slack {
            self.builder.slack.move_to(&client);
        }
        self.credentials.send_replace(config.teleport.credentials.clone());
        if config.slack.token.expose() != self.config.slack.token.expose()
            && let Err(error) = self.builder.slack.use_token(&config.slack.token)
        {
            warn!("The bot token is not used: {error}");
        }
        self.bot_token.send_replace(config.slack.token.clone());
        let handles = match (&config.review, review, &mut self.review) {
            (Some(new), Some(Reviewed::Changed(version)), Some(current)) => {
                let (handles, more) = current.adopt(new, version);
                review::log_review_mode(new, &new.rules);
                tasks.extend(more);
                Some(handles)
            }
            (Some(_), Some(Reviewed::Begun(review, handles, more)), _) => {
                self.review = Some(review);
                tasks.extend(more);
                Some(handles)
            }
            (None, _, current) => {
                current.iter_mut().for_each(Review::switch_off);
                None
            }
            (Some(_), ..) => self.settings.borrow().review.clone(),
        };
        if let Some(listening) = diagnostics {
            let (task, listening) = listening.map(|new| (new.task, (new.guard, new.address))).unzip();
            self.diagnostics = listening;
            tasks.extend(task);
        }
        if rules != self.config.rules() {
            tasks.push(self.check_recipients(rules.clone(), During::Reload));
        }
        if !changed.is_empty() {
            self.settings.send_replace(Settings { rules, review: handles });
        }
        for task in tasks {
            self.starter.start(task).await;
        }
        self.status.configured(&config);
        (self.config, self.warnings) = (config, warnings);
        changed
    }
}

impl DiagnosticsTask {
    /// Takes the address.
    ///
    /// # Errors
    /// An address that cannot be had.
    pub(super) async fn bind(
        address: SocketAddr,
        metrics: &Metrics,
        status: &Status,
        timings: HttpTimings,
        stop: &CancellationToken,
    ) -> Result<Self, ExitError> {
        let bound =
            Diagnostics::bind(address).await.map_err(|error| ExitError::from_cause(error.cause(), error))?;
        let (until, address) = (stop.child_token(), bound.address());
        let serving = bound.run(metrics.clone(), Arc::new(status.clone()), until.clone(), timings);
        let task = Task::new("diagnostics", &until, serving);
        Ok(Self { task, guard: until.drop_guard(), address })
    }
}

/// The cause, when a new address cannot be had; if the daemon itself is in its way, with that in the place of another program: a
/// new address is taken before the old one is left.
fn with_own_port(line: String, own: &[SocketAddr], config: &Config) -> String {
    let callbacks = config.review.as_ref().and_then(|review| match &review.transport {
        ReviewTransport::Http { listener, .. } => Some(listener.listen_addr),
        ReviewTransport::SocketMode { .. } => None,
    });
    let diagnostics = config.diagnostics.as_ref().map(|diagnostics| diagnostics.listen_addr);
    let wanted = [diagnostics, callbacks].into_iter().flatten().filter(|wanted| !own.contains(wanted));
    let taken: Vec<_> =
        wanted.filter_map(|wanted| own.iter().find(|own| own.port() == wanted.port())).collect();
    match taken.first() {
        Some(own) => {
            let note = format!("; this daemon itself listens at {own}: restart it, or choose another port");
            line.replace(ANOTHER_PROGRAM, &note)
        }
        None => line,
    }
}

/// The identity that the files hold. One that has expired or is not valid yet is waited for, as at the start: `None`.
async fn check_identity(source: Credentials) -> Result<Option<Identity>, String> {
    let read = tokio::task::spawn_blocking(move || Identity::load(&source, Timestamp::now())).await;
    match read {
        Ok(Ok(identity)) => Ok(Some(identity)),
        Ok(Err(IdentityError::Expired { .. } | IdentityError::NotYetValid { .. })) => Ok(None),
        Ok(Err(error)) => Err(chain(&ConfiguredIdentityError(error))),
        Err(_) => Err("the identity could not be read".to_owned()),
    }
}
