//! Looks people up beside the visits: a visit that needs somebody who is not known yet goes on without, gives its place up, and
//! the request is woken when there is news.
//!
//! Whom to tell is decided in `access_core::recipients`. Who goes first is the directory's business: those whom the
//! configuration names, then the requesters in turn.

use std::sync::Arc;
use std::task::Poll;

use access_core::ids::{RequestId, SlackUserId};
use access_core::recipients::{Found, Person, Recipient, Requester};
use access_core::request::AccessRequest;
use futures_util::future::{BoxFuture, Shared};
use futures_util::stream::FuturesUnordered;
use futures_util::{FutureExt, StreamExt, poll};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::audience::{Located, NotFound, Why};
use super::people::People;
use crate::slack::directory::{Directory, Turn};
use crate::slack::error::SlackError;
use crate::slack::objects::User;
use crate::teleport::error::TeleportError;

/// Finds people.
#[derive(Clone)]
pub(super) struct Lookups {
    directory: Directory,
    /// Who is who, where deciding in Slack is on.
    people: Option<Arc<People>>,
    /// Requests about whose people there is news.
    news: mpsc::Sender<RequestId>,
}

type Outcome = Result<Located, NotFound>;

/// Look-ups under way for one request.
#[derive(Debug)]
pub(super) struct Looking {
    outcomes: mpsc::UnboundedReceiver<Outcome>,
    /// Ends with this.
    _task: JoinSet<()>,
}

/// What is known so far.
#[derive(Debug, Default)]
pub(super) struct Looked {
    /// Who was found or not, since it was last asked.
    pub(super) outcomes: Vec<Outcome>,
    /// The look-ups that are still under way.
    pub(super) looking: Option<Looking>,
}

impl Looking {
    /// What came of it by now.
    pub(super) fn look(mut self) -> Looked {
        let mut outcomes = Vec::new();
        loop {
            match self.outcomes.try_recv() {
                Ok(outcome) => outcomes.push(outcome),
                Err(mpsc::error::TryRecvError::Empty) => return Looked { outcomes, looking: Some(self) },
                Err(mpsc::error::TryRecvError::Disconnected) => return Looked { outcomes, looking: None },
            }
        }
    }
}

type Asked = Shared<BoxFuture<'static, Result<Arc<Requester>, TeleportError>>>;

impl Lookups {
    pub(super) fn new(
        directory: Directory,
        people: Option<Arc<People>>,
        news: mpsc::Sender<RequestId>,
    ) -> Self {
        Self { directory, people, news }
    }

    /// Begins to look these people up, of whom the configuration names some; what is remembered is there at once.
    pub(super) async fn begin(&self, request: &AccessRequest, wanted: Vec<(Recipient, bool)>) -> Looked {
        let (this, user) = (self.clone(), request.user.clone());
        let asked: Asked = async move { this.requester(&user).await.map(Arc::new) }.boxed().shared();
        let own: Arc<str> = request.user.as_str().into();
        let mut running: FuturesUnordered<_> = wanted
            .into_iter()
            .map(|(recipient, is_configured)| {
                let turn = if is_configured { Turn::First } else { Turn::Of(Arc::clone(&own)) };
                self.clone().look_up(recipient, turn, asked.clone())
            })
            .collect();
        let mut outcomes = Vec::new();
        loop {
            match poll!(running.next()) {
                Poll::Ready(Some(outcome)) => outcomes.push(outcome),
                Poll::Ready(None) => return Looked { outcomes, looking: None },
                Poll::Pending => break,
            }
        }
        let (tell, told) = mpsc::unbounded_channel();
        let (news, id) = (self.news.clone(), request.id.clone());
        let mut task = JoinSet::new();
        task.spawn(async move {
            while let Some(outcome) = running.next().await {
                let is_found = outcome.is_ok();
                let _ = tell.send(outcome);
                if is_found {
                    // A full channel means that there is news of others; the last word waits for its place.
                    let _ = news.try_send(id.clone());
                }
            }
            drop(tell);
            let _ = news.send(id).await;
        });
        Looked { outcomes, looking: Some(Looking { outcomes: told, _task: task }) }
    }

    async fn requester(&self, user: &str) -> Result<Requester, TeleportError> {
        let accounts = match &self.people {
            Some(people) => people.accounts(user, true).await?,
            None => Vec::new(),
        };
        Ok(Requester::new(user, accounts))
    }

    async fn look_up(self, recipient: Recipient, turn: Turn, asked: Asked) -> Outcome {
        let user = match &recipient {
            Recipient::Email(email) => self.directory.by_email(email, turn).await.map_err(Why::Slack),
            Recipient::User(id) => self.directory.by_id(id, turn).await.map_err(Why::Slack),
            Recipient::Reviewer(name) => self.reviewer(name, &turn).await,
            Recipient::ChannelId(place) | Recipient::ChannelName(place) => {
                return Ok((recipient.clone(), Found::Channel(place.clone())));
            }
        };
        let user = match user {
            Ok(Some(user)) if user.deleted => Err(Why::Deactivated),
            Ok(Some(user)) => Ok(user),
            Ok(None) => Err(Why::Nobody),
            Err(why) => Err(why),
        };
        let found = match user {
            Ok(user) => asked.await.map_err(Why::Teleport).map(|requester| {
                let ids = [Some(user.id.clone()), user.enterprise_user_id.as_deref().map(SlackUserId::new)]
                    .into_iter()
                    .flatten()
                    .collect();
                let is_requester = requester.is(&Person { ids, email: user.email.clone() });
                if is_requester { Found::Requester } else { Found::Person(user.id.clone()) }
            }),
            Err(why) => Err(why),
        };
        match found {
            Ok(found) => Ok((recipient, found)),
            Err(why) => Err(NotFound { recipient, why }),
        }
    }

    /// By the links of deciders; only whom neither table nor trait names, by the address.
    async fn reviewer(&self, name: &str, turn: &Turn) -> Result<Option<Arc<User>>, Why> {
        let accounts = match &self.people {
            Some(people) => people.accounts(name, false).await.map_err(Why::Teleport)?,
            None => Vec::new(),
        };
        if accounts.is_empty() {
            let Ok(Recipient::Email(email)) = Recipient::parse(name) else { return Ok(None) };
            return self.directory.by_email(&email, turn.clone()).await.map_err(Why::Slack);
        }
        let mut last = None;
        for id in accounts {
            let found: Result<_, SlackError> = self.directory.by_id(&id, turn.clone()).await;
            let found = found.map_err(Why::Slack)?;
            if found.as_ref().is_some_and(|user| !user.deleted) {
                return Ok(found);
            }
            last = found.or(last);
        }
        Ok(last)
    }
}
