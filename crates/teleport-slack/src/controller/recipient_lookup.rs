//! Looks up recipients in the background. A reconcile that needs a user who is not known yet goes on without them and ends,
//! and the request is woken when there are results.
//!
//! A requester's look-ups may take minutes. A recipient of the configuration whose look-up failed does not wait for them:
//! they are looked up again beside the others.
//!
//! `access_core::domain::recipients` decides which recipients to notify. The directory decides the order: recipients of the
//! configuration first, then the requesters in priority.

use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::ids::{ChannelId, RequestId};
use access_core::domain::recipients::{Recipient, Requester, ResolvedTo, SlackUser};
use access_core::domain::request::AccessRequest;
use access_core::plan::Unresolved;
use futures_util::future::{BoxFuture, Shared};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, Stream, StreamExt, poll};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::{debug, error, info, warn};

use super::lookup_order::LookupOrder;
use super::timings::ControllerTimings;
use crate::config::slack_setting;
use crate::observe::log_once::SharedLogOnce;
use crate::observe::outages::Outages;
use crate::observe::skew::Side;
use crate::review::users::UserLookup;
use access_core::policy::identity::SlackProfile;
use slack_client::directory::{Directory, Priority};
use slack_client::error::{Retry, SlackError};
use teleport_client::error::{ErrorKind, TeleportError};

/// A recipient and their destination.
pub(super) type ResolvedRecipient = (Recipient, ResolvedTo);

/// A recipient who was not found.
#[derive(Debug)]
pub(super) struct LookupError {
    pub(super) recipient: Recipient,
    pub(super) kind: LookupErrorKind,
}

/// Why not.
#[derive(Debug)]
pub(super) enum LookupErrorKind {
    NoSuchUser,
    Deactivated,
    Slack(SlackError),
    /// Teleport did not return the requester or the reviewer.
    Teleport(TeleportError),
}

/// Looks up recipients.
#[derive(Clone)]
pub(super) struct RecipientLookup {
    directory: Directory,
    /// Maps users, where reviews in Slack are on.
    users: Option<Arc<UserLookup>>,
    /// Which requests wait for which look-up.
    pub(super) order: LookupOrder,
    /// Requests whose look-ups have results.
    updates: mpsc::Sender<RequestId>,
    /// Whether the log says already that a side is away.
    outages: Outages,
    /// The directory does not answer.
    backoff: Backoff,
    /// There is no such user.
    unresolved: Duration,
}

type LookupResult = Result<ResolvedRecipient, LookupError>;

/// Look-ups in progress for one request, of those that began together.
#[derive(Debug)]
pub(super) struct PendingLookups {
    /// Who is still looked up.
    recipients: Vec<Recipient>,
    results: mpsc::UnboundedReceiver<LookupResult>,
    /// Dropping it stops the look-ups.
    _task: JoinSet<()>,
}

/// The results so far.
#[derive(Debug, Default)]
pub(super) struct LookupProgress {
    /// Results since the last call.
    pub(super) results: Vec<LookupResult>,
    /// The look-ups that are still in progress.
    pub(super) pending: Option<PendingLookups>,
}

impl PendingLookups {
    /// Whether this recipient's result is to come.
    pub(super) fn is_pending(&self, recipient: &Recipient) -> bool {
        self.recipients.contains(recipient)
    }

    /// The results so far.
    pub(super) fn take_results(mut self) -> LookupProgress {
        let mut outcomes = Vec::new();
        loop {
            match self.results.try_recv() {
                Ok(outcome) => {
                    self.recipients.retain(|pending| pending != recipient_of(&outcome));
                    outcomes.push(outcome);
                }
                Err(mpsc::error::TryRecvError::Empty) => {
                    return LookupProgress { results: outcomes, pending: Some(self) };
                }
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    return LookupProgress { results: outcomes, pending: None };
                }
            }
        }
    }
}

type RequesterFuture = Shared<BoxFuture<'static, Result<Arc<Requester>, TeleportError>>>;

impl RecipientLookup {
    pub(super) fn new(
        directory: Directory,
        users: Option<Arc<UserLookup>>,
        news: mpsc::Sender<RequestId>,
        outages: Outages,
        timings: &ControllerTimings,
    ) -> Self {
        let ControllerTimings { lookup: backoff, unresolved, .. } = *timings;
        Self { directory, users, order: LookupOrder::default(), updates: news, outages, backoff, unresolved }
    }

    /// The same with other links between users, or none.
    pub(super) fn with_users(&self, users: Option<Arc<UserLookup>>) -> Self {
        Self { users, ..self.clone() }
    }

    /// Starts look-ups of these recipients; the flag says whether the configuration names them. Cached results are
    /// returned at once.
    pub(super) async fn start(
        &self,
        request: &AccessRequest,
        wanted: Vec<(Recipient, bool)>,
    ) -> LookupProgress {
        let (this, user) = (self.clone(), request.user.clone());
        let requester: RequesterFuture =
            async move { this.fetch_requester(&user).await.map(Arc::new) }.boxed().shared();
        let own: Arc<str> = request.user.as_str().into();
        let mut recipients: Vec<_> = wanted.iter().map(|(recipient, _)| recipient.clone()).collect();
        let mut running: FuturesUnordered<_> = wanted
            .into_iter()
            .map(|(recipient, is_configured)| {
                let priority =
                    if is_configured { Priority::Operator } else { Priority::Requester(Arc::clone(&own)) };
                let looked_up = self.clone().resolve(recipient, priority, requester.clone());
                looked_up.map(move |outcome| (outcome, is_configured))
            })
            .collect();
        let mut outcomes = Vec::new();
        loop {
            match poll!(running.next()) {
                Poll::Ready(Some((outcome, _))) => outcomes.push(outcome),
                Poll::Ready(None) => return LookupProgress { results: outcomes, pending: None },
                Poll::Pending => break,
            }
        }
        recipients.retain(|recipient| outcomes.iter().all(|outcome| recipient_of(outcome) != recipient));
        let (sender, results) = mpsc::unbounded_channel();
        let mut task = JoinSet::new();
        task.spawn(report(running, sender, self.updates.clone(), request.id.clone()));
        let pending = PendingLookups { recipients, results, _task: task };
        LookupProgress { results: outcomes, pending: Some(pending) }
    }

    async fn fetch_requester(&self, user: &str) -> Result<Requester, TeleportError> {
        let accounts = match &self.users {
            Some(users) => users.slack_accounts(user, true).await?,
            None => Vec::new(),
        };
        Ok(Requester::new(user, accounts))
    }

    async fn resolve(
        self,
        recipient: Recipient,
        priority: Priority,
        requester: RequesterFuture,
    ) -> LookupResult {
        let user = match &recipient {
            Recipient::Email(email) => {
                self.directory.by_email(email, priority).await.map_err(LookupErrorKind::Slack)
            }
            Recipient::User(id) => self.directory.by_id(id, priority).await.map_err(LookupErrorKind::Slack),
            Recipient::Reviewer(name) => self.resolve_reviewer(name, &priority).await,
            Recipient::DirectMessage(id) => match self.person_behind(&ChannelId::new(id), &priority).await {
                Ok(None) => {
                    let channel = ResolvedTo::Channel(id.clone());
                    return Ok((recipient, channel));
                }
                Ok(found) => Ok(found),
                Err(error) => Err(LookupErrorKind::Slack(error)),
            },
            Recipient::ChannelId(channel) | Recipient::ChannelName(channel) => {
                let channel = channel.clone();
                return match self.learn_names(&recipient).await {
                    Err(error) if matches!(error.retry(), Retry::After(_) | Retry::Backoff) => {
                        Err(LookupError { recipient, kind: LookupErrorKind::Slack(error) })
                    }
                    // Posting needs no other name.
                    Ok(()) | Err(_) => Ok((recipient, ResolvedTo::Channel(channel))),
                };
            }
        };
        let user = match user {
            Ok(Some(user)) if user.deleted => Err(LookupErrorKind::Deactivated),
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(LookupErrorKind::NoSuchUser),
            Err(why) => Err(why),
        };
        let found = match user {
            Ok(user) => requester.await.map_err(LookupErrorKind::Teleport).map(|requester| {
                let ids = user.ids().cloned().collect();
                let is_requester = requester.matches(&SlackUser { ids, email: user.email.clone() });
                if is_requester { ResolvedTo::Requester } else { ResolvedTo::User(user.id.clone()) }
            }),
            Err(why) => Err(why),
        };
        match found {
            Ok(found) => Ok((recipient, found)),
            Err(why) => Err(LookupError { recipient, kind: why }),
        }
    }

    /// The person of a direct message; `None` if Slack does not show who it is, and the message goes there all the same. Only a
    /// failure that ends is an error.
    async fn person_behind(
        &self,
        channel: &ChannelId,
        priority: &Priority,
    ) -> Result<Option<Arc<SlackProfile>>, SlackError> {
        let found = async {
            match self.directory.person_of_direct_message(channel, priority.clone()).await? {
                Some(person) => self.directory.by_id(&person, priority.clone()).await,
                None => Ok(None),
            }
        };
        found.await.or_else(|error| match error.retry() {
            Retry::After(_) | Retry::Backoff => Err(error),
            Retry::Never | Retry::NeedsOperator => Ok(None),
        })
    }

    /// Lets the directory learn a channel's name, or its id.
    async fn learn_names(&self, channel: &Recipient) -> Result<(), SlackError> {
        match channel {
            Recipient::ChannelId(id) => self.directory.conversation(&ChannelId::new(id)).await.map(|_| ()),
            Recipient::ChannelName(name) => self.directory.channel_by_name(name).await.map(|_| ()),
            Recipient::User(_)
            | Recipient::Email(_)
            | Recipient::DirectMessage(_)
            | Recipient::Reviewer(_) => Ok(()),
        }
    }

    /// By the user mapping of reviewers; users that neither table nor trait names, by their address.
    async fn resolve_reviewer(
        &self,
        name: &str,
        priority: &Priority,
    ) -> Result<Option<Arc<SlackProfile>>, LookupErrorKind> {
        let accounts = match &self.users {
            Some(users) => users.slack_accounts(name, false).await.map_err(LookupErrorKind::Teleport)?,
            None => Vec::new(),
        };
        if accounts.is_empty() {
            let Ok(Recipient::Email(email)) = Recipient::parse(name) else { return Ok(None) };
            return self.directory.by_email(&email, priority.clone()).await.map_err(LookupErrorKind::Slack);
        }
        let mut last = None;
        for id in accounts {
            let found: Result<_, SlackError> = self.directory.by_id(&id, priority.clone()).await;
            let found = found.map_err(LookupErrorKind::Slack)?;
            if found.as_ref().is_some_and(|user| !user.deleted) {
                return Ok(found);
            }
            last = found.or(last);
        }
        Ok(last)
    }
}

fn recipient_of(outcome: &LookupResult) -> &Recipient {
    match outcome {
        Ok((recipient, _)) => recipient,
        Err(missing) => &missing.recipient,
    }
}

/// Hands on each result, and wakes the request when there is one that cannot wait for the others: a recipient was found, or the
/// look-up of a recipient of the configuration (the flag) is to be repeated; and when all have ended.
async fn report(
    mut running: impl Stream<Item = (LookupResult, bool)> + Unpin,
    results: mpsc::UnboundedSender<LookupResult>,
    updates: mpsc::Sender<RequestId>,
    id: RequestId,
) {
    let mut is_due = false;
    loop {
        tokio::select! {
            biased;
            // The others may take minutes, so a full channel is waited for beside them.
            Ok(room) = updates.reserve(), if is_due => {
                room.send(id.clone());
                is_due = false;
            }
            next = running.next() => {
                let Some((outcome, is_configured)) = next else { break };
                is_due |= outcome.is_ok() || is_configured;
                let _ = results.send(outcome);
            }
        }
    }
    drop(results);
    let _ = updates.send(id).await;
}

impl LookupErrorKind {
    /// The same without the details, which the log has.
    pub(super) fn unresolved(&self) -> Unresolved {
        match self {
            Self::NoSuchUser => Unresolved::NoSuchUser,
            Self::Deactivated => Unresolved::Deactivated,
            Self::Slack(_) | Self::Teleport(_) => Unresolved::LookupFailed,
        }
    }
}

impl LookupError {
    /// How long to wait before asking again after so many failures in a row.
    pub(super) fn delay(&self, failures: u32, lookup: &RecipientLookup) -> Duration {
        let backoff = || lookup.backoff.delay(failures + 1, fastrand::u64(..));
        match &self.kind {
            LookupErrorKind::NoSuchUser | LookupErrorKind::Deactivated => lookup.unresolved,
            LookupErrorKind::Slack(error) => match error.retry() {
                Retry::After(delay) => delay,
                Retry::Backoff => backoff(),
                Retry::Never | Retry::NeedsOperator => lookup.unresolved,
            },
            LookupErrorKind::Teleport(_) => backoff(),
        }
    }

    /// Whether the log says of the side as a whole that it is away or refuses the token. `failures`: how often the look-up had
    /// failed in a row before. The watch on Teleport may notice a loss later than the first call.
    pub(super) fn is_of_side(&self, lookup: &RecipientLookup, failures: u32) -> bool {
        let covers = |side| lookup.outages.covers(side, failures);
        match &self.kind {
            LookupErrorKind::NoSuchUser | LookupErrorKind::Deactivated => false,
            LookupErrorKind::Slack(error) => {
                error.refuses_token() || error.is_unavailable() && covers(Side::Slack)
            }
            LookupErrorKind::Teleport(error) => {
                error.kind() == ErrorKind::Retry && (failures == 0 || covers(Side::Teleport))
            }
        }
    }

    /// Whether the cause is not in the log yet: of this recipient, or of all that are looked up so.
    pub(super) fn should_log(&self, log_once: &SharedLogOnce) -> bool {
        let key = self.recipient.key();
        match &self.kind {
            LookupErrorKind::NoSuchUser => log_once.should_log(key.as_str(), "no such user"),
            LookupErrorKind::Deactivated => log_once.should_log(key.as_str(), "deactivated"),
            LookupErrorKind::Slack(error) if error.refuses_app() => {
                log_once.should_log(error.method().as_str(), &error.class())
            }
            LookupErrorKind::Slack(error) => log_once.should_log(key.as_str(), &error.class()),
            LookupErrorKind::Teleport(error) => log_once.should_log(key.as_str(), &error.class()),
        }
    }

    /// Logs it. A missing user that the configuration names is an error, like a missing channel (`sender`): an operator must
    /// act, and until then messages are missing. A missing suggested reviewer is a warning, because an operator cannot fix a
    /// requester's typo. A wait that Slack asks for needs no user. What is no news is a step.
    pub(super) fn log(&self, delay: Duration, is_configured: bool, is_news: bool) {
        let (recipient, retry_in_s) = (&self.recipient, delay.as_secs());
        if let LookupErrorKind::Slack(error) = &self.kind
            && error.refuses_app()
            && is_news
        {
            let text = error.with_remedy(slack_setting);
            return error!(retry_in_s, "Slack refuses this to the app, for any recipient: {text}");
        }
        let (words, is_error) = match &self.kind {
            LookupErrorKind::NoSuchUser => ("No user in this Slack workspace matches this recipient; correct it in the configuration, or invite the person".to_owned(), is_configured),
            LookupErrorKind::Deactivated => {
                ("This recipient is deactivated in Slack; take it out of the configuration".to_owned(), is_configured)
            }
            LookupErrorKind::Slack(error) => (
                format!("Cannot look the recipient up: {}", error.with_remedy(slack_setting)),
                matches!(error.retry(), Retry::Never | Retry::NeedsOperator),
            ),
            LookupErrorKind::Teleport(error) => {
                (format!("Cannot determine whether the recipient is the requester: {}", access_core::domain::error_chain::chain(error)), false)
            }
        };
        let is_wait =
            matches!(&self.kind, LookupErrorKind::Slack(error) if matches!(error.retry(), Retry::After(_)));
        if !is_news {
            debug!(%recipient, retry_in_s, "{words}");
        } else if is_error {
            error!(%recipient, retry_in_s, "{words}");
        } else if is_wait && !is_configured {
            // A requester can name thousands.
            debug!(%recipient, retry_in_s, "{words}");
        } else if is_wait {
            info!(%recipient, retry_in_s, "{words}");
        } else {
            warn!(%recipient, retry_in_s, "{words}");
        }
    }
}

#[cfg(test)]
mod tests;
