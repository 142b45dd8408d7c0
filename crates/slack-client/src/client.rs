//! The client: each of Slack's methods that the daemon needs as one call.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use access_core::domain::ids::{ChannelId, MessageTs, SlackUserId};
use access_core::domain::secret::Secret;
use access_core::domain::skew::Offset;
use access_core::policy::identity::SlackProfile;
use access_core::render::Message;
use bytes::Bytes;
use client_base::forward_proxy::Dialer;
use client_base::outbound::Outbound;
use http::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, DATE, HeaderName, HeaderValue, USER_AGENT};
use http::{HeaderMap, Request, Uri};
use jiff::Timestamp;
use parking_lot::RwLock;
use rustls::{ClientConfig, RootCertStore};
use serde::Serialize;
use tokio::sync::watch as latest;

use super::api_url::{MAX_URL_BYTES, parse_base};
use super::error::{Affects, ErrorKind, SetupError, SlackError};
use super::method::Method;
use super::names::Names;
use super::objects::{self, AuthTest, Conversation, Posted};
use super::observer::{NoObserver, Observer};
use super::rate_limit::{LimitedTransport, LookupQueue};
use super::redact::Redactor;
use super::remedy::{SettingNames, no_names};
use super::timings::CallTimings;
use super::token::{self, TokenStatus, Tokens};
use super::transport::{BodyParser, Transport};
use super::wire::{self, Fields};

/// Slack's API for every workspace but GovSlack's.
pub const DEFAULT_API_URL: &str = "https://slack.com/api/";

/// What a client needs to know.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The API's address, with or without a slash at its end. Plain `http` is accepted, for simulators: the token
    /// then travels in clear.
    pub api_url: String,
    /// The bot token, without surrounding white space.
    pub token: Secret,
    /// How long to wait for Slack, and how long answers count.
    pub timings: CallTimings,
    /// Gets a report of each call.
    pub observer: Arc<dyn Observer>,
    /// What the caller calls the settings that remedies are about.
    pub setting_names: SettingNames,
    /// Through which proxies to call, and which certificates to trust beside the machine's.
    pub outbound: Outbound,
}

impl ClientOptions {
    /// Slack itself, reached directly, with the default waits, no observer and no names of settings.
    pub fn new(token: Secret) -> Self {
        Self {
            api_url: DEFAULT_API_URL.into(),
            token,
            timings: CallTimings::default(),
            observer: Arc::new(NoObserver),
            setting_names: no_names,
            outbound: Outbound::default(),
        }
    }
}

/// A message to post.
#[derive(Clone, Debug)]
pub struct PostMessage<'a> {
    /// A conversation's id, a person's id (opens the direct message), or a public channel's name.
    pub channel: &'a str,
    /// What Slack is to show.
    pub message: &'a Message,
    /// The message to reply to.
    pub thread_ts: Option<&'a MessageTs>,
    /// A mark to recognize the message by. Every member of the workspace can read it.
    pub metadata: Option<Metadata>,
}

/// Data that Slack keeps beside a message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Metadata {
    /// Letters, digits and underscores.
    pub event_type: String,
    /// Keys in snake case.
    #[serde(rename = "event_payload")]
    pub payload: BTreeMap<String, String>,
}

/// A client for one workspace. Cheap to clone; clones share their connections.
#[derive(Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

pub(super) struct Shared {
    endpoint: RwLock<Arc<Endpoint>>,
    pub(super) token: Tokens,
    observer: Arc<dyn Observer>,
    pub(super) setting_names: SettingNames,
    pub(super) names: Names,
}

/// Where calls go.
struct Endpoint {
    transport: LimitedTransport,
    /// Ends with a slash.
    base: String,
    /// The one before this, where what began there may still be answered.
    previous: Option<String>,
}

impl Client {
    /// Builds a client; no call is made yet. Reads the machine's trusted certificates if the address is `https`.
    ///
    /// # Errors
    ///
    /// An unusable address or token, or trusted certificates that cannot be read.
    pub fn new(options: ClientOptions) -> Result<Self, SetupError> {
        let base = parse_base(&options.api_url)?;
        let roots = if base.starts_with("https:") {
            client_base::tls::trusted_roots(&options.outbound.extra_roots)?
        } else {
            RootCertStore::empty()
        };
        Self::with_roots(options, base, roots)
    }

    pub(super) fn with_roots(
        options: ClientOptions,
        base: String,
        roots: RootCertStore,
    ) -> Result<Self, SetupError> {
        let ClientOptions { observer, setting_names, .. } = options;
        let token = Tokens::new(&options.token, setting_names)?;
        let names = Names::new(options.timings);
        let transport = LimitedTransport::new(Transport::new(roots, options.outbound, options.timings)?);
        let endpoint = RwLock::new(Arc::new(Endpoint { transport, base, previous: None }));
        Ok(Self { shared: Arc::new(Shared { endpoint, token, observer, setting_names, names }) })
    }

    /// Makes every later call, on all clones, with another token.
    ///
    /// # Errors
    /// A token that cannot be sent.
    pub fn use_token(&self, token: &Secret) -> Result<(), SetupError> {
        self.shared.token.replace(token)
    }

    /// Makes every later call, on all clones, where `other` makes its calls, which must be the same Slack. What Slack asked to
    /// wait for still lasts.
    pub fn move_to(&self, other: &Self) {
        let theirs = other.endpoint();
        let mut current = self.shared.endpoint.write();
        *current = Arc::new(Endpoint {
            transport: current.transport.with_connections_of(&theirs.transport),
            base: theirs.base.clone(),
            previous: Some(current.base.clone()),
        });
    }

    fn endpoint(&self) -> Arc<Endpoint> {
        Arc::clone(&self.shared.endpoint.read())
    }

    /// Whose token another one is, and what it may do.
    ///
    /// # Errors
    /// As [`Client::auth_test`]; one that cannot be sent is refused.
    pub async fn try_token(&self, token: &Secret) -> Result<AuthTest, SlackError> {
        let setting_names = self.shared.setting_names;
        let Ok(tokens) = Tokens::new(token, setting_names) else {
            return Err(SlackError::new(Method::AuthTest, ErrorKind::InvalidToken));
        };
        let shared = Shared {
            endpoint: RwLock::new(self.endpoint()),
            token: tokens,
            observer: self.shared.observer.clone(),
            setting_names,
            names: self.shared.names.without_bot(),
        };
        Self { shared: Arc::new(shared) }.auth_test().await
    }

    /// Whether Slack takes the token. Receivers are notified when it changes, and when there is reason to try again
    /// what Slack refused.
    pub fn token_status(&self) -> latest::Receiver<TokenStatus> {
        self.shared.token.status()
    }

    /// How long the method's `Retry-After` lasts; `None` if it can be called.
    pub fn blocked_for(&self, method: Method) -> Option<Duration> {
        self.endpoint().transport.limits().blocked_for(method)
    }

    /// The methods that Slack wants not to be called for a while (HTTP 429), with the time left.
    pub fn rate_limits(&self) -> Vec<(Method, Duration)> {
        self.endpoint().transport.limits().in_force()
    }

    /// How long this client waits, and how long answers count.
    pub(super) fn timings(&self) -> CallTimings {
        *self.endpoint().transport.timings()
    }

    /// A queue for look-ups of this client.
    pub(super) fn lookup_queue(&self) -> LookupQueue {
        LookupQueue::new(self.endpoint().transport.limits())
    }

    /// Whose token this is, and what it may do (`auth.test`).
    pub async fn auth_test(&self) -> Result<AuthTest, SlackError> {
        let body = Body { content_type: FORM_CONTENT_TYPE, bytes: Bytes::new() };
        let (headers, fields) = self.call(Method::AuthTest, body, wire::parse_body).await?;
        let auth =
            objects::auth_test(&fields, &headers).map_err(|kind| SlackError::new(Method::AuthTest, kind))?;
        self.shared.names.note_bot(&auth.user_name, &self.shared.token.get().redactor);
        Ok(auth)
    }

    /// Posts a message or a reply (`chat.postMessage`). Links are not unfurled and names not linked.
    pub async fn post_message(&self, post: PostMessage<'_>) -> Result<Posted, SlackError> {
        let body = PostBody {
            channel: post.channel,
            text: post.message.text(),
            blocks: Some(post.message.blocks()).filter(|blocks| !blocks.is_empty()),
            thread_ts: post.thread_ts,
            metadata: post.metadata.as_ref(),
            unfurl_links: false,
            unfurl_media: false,
            parse: "none",
        };
        let fields = self.json(Method::ChatPostMessage, &body).await?;
        objects::posted(&fields).map_err(|failure| SlackError::new(Method::ChatPostMessage, failure))
    }

    /// Asks whether Slack gives whole answers to posts into this conversation, by a post without a text
    /// (`chat.postMessage`), which Slack refuses (`no_text`), so that nothing is ever shown. The answer is the error.
    pub async fn probe_post(&self, channel: &str) -> Option<SlackError> {
        self.json(Method::ChatPostMessage, &serde_json::json!({ "channel": channel })).await.err()
    }

    /// Replaces what a message shows (`chat.update`). Its metadata stays.
    pub async fn update_message(
        &self,
        channel: &ChannelId,
        ts: &MessageTs,
        message: &Message,
    ) -> Result<(), SlackError> {
        // `blocks` is sent even when empty: left out, its effect depends on what else is sent.
        let body = UpdateBody { channel, ts, text: message.text(), blocks: message.blocks(), parse: "none" };
        self.json(Method::ChatUpdate, &body).await?;
        Ok(())
    }

    /// A person by e-mail (`users.lookupByEmail`); `None` if there is no active one.
    pub async fn lookup_by_email(&self, email: &str) -> Result<Option<SlackProfile>, SlackError> {
        self.find_user(Method::UsersLookupByEmail, ("email", email)).await
    }

    /// A person by id (`users.info`); `None` if there is none, or none that the app may see.
    pub async fn user_info(&self, user: &SlackUserId) -> Result<Option<SlackProfile>, SlackError> {
        self.find_user(Method::UsersInfo, ("user", user.as_str())).await
    }

    /// A channel by id (`conversations.info`).
    pub async fn conversation_info(&self, channel: &ChannelId) -> Result<Conversation, SlackError> {
        let method = Method::ConversationsInfo;
        let fields = self.read(method, &[("channel", channel.as_str())]).await?;
        let found = objects::conversation(&fields).map_err(|failure| SlackError::new(method, failure))?;
        self.note_channel_name(&found.id, &found.name);
        Ok(found)
    }

    /// The app that a bot belongs to (`bots.info`); `None` if Slack does not say. Needs the scope `users:read`.
    pub async fn bot_app(&self, bot: &str) -> Result<Option<String>, SlackError> {
        let method = Method::BotsInfo;
        let fields = self.read(method, &[("bot", bot)]).await?;
        Ok(objects::bot_app(&fields))
    }

    /// The members of a user group by its id, `S…` (`usergroups.users.list`). Needs the scope `usergroups:read`.
    /// Skips what is not the id of a user in Slack's answer: it could not click either.
    pub async fn usergroup_members(&self, usergroup: &str) -> Result<Vec<SlackUserId>, SlackError> {
        let method = Method::UsergroupsUsersList;
        let fields = self.read(method, &[("usergroup", usergroup)]).await?;
        objects::members(&fields).map_err(|failure| SlackError::new(method, failure))
    }

    /// An address to open a Socket Mode connection at (`apps.connections.open`). It lets every caller in that has it, and
    /// only for a short time.
    pub async fn apps_connections_open(&self, app_token: &Secret) -> Result<Secret, SlackError> {
        let method = Method::AppsConnectionsOpen;
        let fail = |failure| SlackError::new(method, failure);
        let authorization =
            token::parse_token(app_token.expose()).map_err(|_| fail(ErrorKind::InvalidToken))?;
        let redactor = self.shared.token.get().redactor.with([app_token.clone()]);
        let form = Body { content_type: FORM_CONTENT_TYPE, bytes: Bytes::new() };
        let request = request(self.uri(method.as_str()), Some(authorization), form);
        let (_, fields) = self.send(method, request, wire::parse_body, &redactor).await?;
        match fields.get("url").and_then(|url| url.as_str()) {
            Some(url) if !url.is_empty() && url.len() <= MAX_URL_BYTES => Ok(Secret::new(url)),
            _ => Err(fail(wire::missing_field("url"))),
        }
    }

    async fn find_user(&self, method: Method, key: (&str, &str)) -> Result<Option<SlackProfile>, SlackError> {
        let found = self.read(method, &[key]).await;
        match found.and_then(|fields| objects::user(&fields).map_err(|kind| SlackError::new(method, kind))) {
            Ok(profile) => Ok(Some(self.shared.names.note(profile, &self.shared.token.get().redactor))),
            Err(error) if error.is_missing(Affects::User) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A read: a GET, as Slack's pages call these methods and as the Go plugin sends them. What is too long for a URL
    /// goes as a form, which Slack takes as well.
    pub(super) async fn read(&self, method: Method, pairs: &[(&str, &str)]) -> Result<Fields, SlackError> {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let (_, fields) = if query.len() > MAX_URL_BYTES {
            let form = Body { content_type: FORM_CONTENT_TYPE, bytes: query.into() };
            self.call(method, form, wire::parse_body).await?
        } else {
            let uri = self.uri(&format!("{method}?{query}"));
            self.authorized(method, |token| get(uri, token), wire::parse_body).await?
        };
        Ok(fields)
    }

    /// A write.
    pub(super) async fn json(&self, method: Method, body: &impl Serialize) -> Result<Fields, SlackError> {
        let (_, fields) = self.call(method, Body::json(method, body)?, wire::parse_body).await?;
        Ok(fields)
    }

    pub(super) async fn call(
        &self,
        method: Method,
        body: Body,
        read: BodyParser,
    ) -> Result<(HeaderMap, Fields), SlackError> {
        self.authorized(method, |token| request(self.uri(method.as_str()), Some(token), body), read).await
    }

    /// A call with the bot token in use. The result shows whether Slack accepts the token.
    async fn authorized(
        &self,
        method: Method,
        make: impl FnOnce(HeaderValue) -> Request<Bytes>,
        read: BodyParser,
    ) -> Result<(HeaderMap, Fields), SlackError> {
        let token = self.shared.token.get();
        let request = make(token.authorization.clone());
        let outcome = self.send(method, request, read, &token.redactor).await;
        let outcome = outcome.map_err(|error| error.of_bot(self.shared.names.bot()));
        self.shared.token.record_result(&token, outcome.as_ref().err());
        outcome
    }

    pub(super) async fn send(
        &self,
        method: Method,
        request: Request<Bytes>,
        read: BodyParser,
        redactor: &Redactor,
    ) -> Result<(HeaderMap, Fields), SlackError> {
        let (sent, began) = (Timestamp::now(), Instant::now());
        let outcome = self.endpoint().transport.call(method, request, read, redactor).await;
        match &outcome {
            Ok((headers, _)) => self.record_clock(headers, sent),
            Err(error) if !error.was_sent() => return outcome,
            Err(_) => {}
        }
        self.shared.observer.call_ended(method, outcome.as_ref().map(drop), began.elapsed());
        outcome
    }

    /// Slack's clock, by the answer's `Date`.
    fn record_clock(&self, headers: &HeaderMap, sent: Timestamp) {
        let date = headers.get(DATE).and_then(|date| date.to_str().ok());
        if let Some(offset) = date.and_then(|date| Offset::from_date(date, sent, Timestamp::now())) {
            self.shared.observer.clock_observed(offset);
        }
    }

    /// `end`: a method's name, and perhaps an encoded query of at most [`MAX_URL_BYTES`].
    fn uri(&self, end: &str) -> Uri {
        format!("{}{end}", self.endpoint().base)
            .parse()
            .expect("the base was parsed as a URL without query, and the rest is plain ASCII")
    }

    /// How Slack's servers are checked.
    pub(super) fn tls(&self) -> Arc<ClientConfig> {
        self.endpoint().transport.tls()
    }

    /// How Slack's servers are reached.
    pub(super) fn dialer(&self) -> Dialer {
        self.endpoint().transport.dialer()
    }

    /// The API's address.
    pub(super) fn base(&self) -> Uri {
        parsed(&self.endpoint().base)
    }

    /// The same, and the one before it if there was one.
    pub(super) fn bases(&self) -> impl Iterator<Item = Uri> {
        let endpoint = self.endpoint();
        [Some(parsed(&endpoint.base)), endpoint.previous.as_deref().map(parsed)].into_iter().flatten()
    }
}

fn parsed(base: &str) -> Uri {
    base.parse().expect("it was parsed as a URL before")
}

/// What we call ourselves.
const USER_AGENT_VALUE: HeaderValue =
    HeaderValue::from_static(concat!("teleport-slack/", env!("CARGO_PKG_VERSION")));

/// Forms, as `Content-Type` calls them.
const FORM_CONTENT_TYPE: &str = "application/x-www-form-urlencoded";

/// What a request carries.
pub(super) struct Body {
    content_type: &'static str,
    bytes: Bytes,
}

impl Body {
    pub(super) fn json(method: Method, body: &impl Serialize) -> Result<Self, SlackError> {
        let bytes = serde_json::to_vec(body)
            .map_err(|error| SlackError::new(method, ErrorKind::Serialize { source: Arc::new(error) }))?;
        // Without a charset Slack adds a warning to each answer.
        Ok(Self { content_type: "application/json; charset=utf-8", bytes: bytes.into() })
    }
}

fn get(uri: Uri, authorization: HeaderValue) -> Request<Bytes> {
    let mut request =
        Request::get(uri).body(Bytes::new()).expect("nothing that can fail was given to the builder");
    request.headers_mut().extend([(AUTHORIZATION, authorization), (USER_AGENT, USER_AGENT_VALUE)]);
    request
}

pub(super) fn request(uri: Uri, authorization: Option<HeaderValue>, body: Body) -> Request<Bytes> {
    let length = HeaderValue::from(body.bytes.len());
    let mut request =
        Request::post(uri).body(body.bytes).expect("nothing that can fail was given to the builder");
    let fixed: [(HeaderName, HeaderValue); 3] = [
        // Left to itself, hyper does not say that an empty body is empty, which some servers insist on.
        (CONTENT_LENGTH, length),
        (CONTENT_TYPE, HeaderValue::from_static(body.content_type)),
        (USER_AGENT, USER_AGENT_VALUE),
    ];
    request.headers_mut().extend(fixed);
    request.headers_mut().extend(authorization.map(|token| (AUTHORIZATION, token)));
    request
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("api_url", &self.endpoint().base).finish_non_exhaustive()
    }
}

#[derive(Serialize)]
struct PostBody<'a, B> {
    channel: &'a str,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<B>,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread_ts: Option<&'a MessageTs>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<&'a Metadata>,
    unfurl_links: bool,
    unfurl_media: bool,
    parse: &'static str,
}

#[derive(Serialize)]
struct UpdateBody<'a, B> {
    channel: &'a ChannelId,
    ts: &'a MessageTs,
    text: &'a str,
    blocks: B,
    parse: &'static str,
}

#[cfg(test)]
pub(crate) mod tests;
