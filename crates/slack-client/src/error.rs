//! What can go wrong with a Slack call, and what the caller should do about it.
//!
//! `SlackError` answers three questions: how to go on (`retry`), whether a write may have happened all the same
//! (`is_ambiguous`), and what a person can do (`remedy`). What each of Slack's codes means is in `error_codes`. The program
//! that uses the client knows what it calls its settings (`SettingNames`).

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use client_base::broken::causes;
use client_base::forward_proxy::TunnelError;
use client_base::tls::NoTrustedRoots;
use http::StatusCode;

use super::broken;
pub use super::error_codes::Affects;
use super::error_codes::{Class, CodeInfo};
use super::method::Method;
use super::remedy::{self, UNKNOWN_AUTHORITY, proxy_remedy};
pub use super::remedy::{Remedy, Setting, SettingNames, invitation, no_names};
use access_core::domain::error_chain::chain;
use access_core::domain::recipients::is_slack_id;

/// How long to leave a workspace alone that is moving into an Enterprise organization. Slack advises to slow
/// down to a minute or more; such a move takes hours.
const MIGRATION_RETRY_AFTER: Duration = Duration::from_secs(300);

/// What to do when Slack refuses the app-level token.
const APP_TOKEN_REMEDY: Remedy = Remedy::setting(
    Setting::AppToken,
    "create an app-level token (xapp-...) with the scope connections:write under Basic Information of the Slack app, and \
     configure it as the app-level token",
);

/// What to do when the answer is not Slack's.
pub(super) const CHECK_ADDRESS: Remedy =
    Remedy::setting(Setting::ApiUrl, "check what answers at Slack's API address");

/// How to go on after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// Try again, with back-off.
    Backoff,
    /// Try this method again after exactly this time.
    After(Duration),
    /// This call will never succeed as it is.
    Never,
    /// No call will succeed until an operator fixes the token or the app's permissions.
    NeedsOperator,
}

/// A failed Web API call. Cheap to clone; holds no secret.
#[derive(Clone, Debug)]
pub struct SlackError {
    method: Method,
    kind: ErrorKind,
    /// The rest of the wait that Slack asked for, if an earlier call met it and this one was not sent.
    remaining: Option<Duration>,
    /// The name by which people invite the bot, if it is known.
    bot: Option<Arc<str>>,
    /// Whether it is about a direct message, into which no user can invite the bot.
    is_direct: bool,
}

impl SlackError {
    pub(super) fn new(method: Method, failure: ErrorKind) -> Self {
        Self { method, kind: failure, remaining: None, bot: None, is_direct: false }
    }

    /// The same error for a call that was not made because Slack asked to wait.
    pub(super) fn with_remaining(&self, left: Duration) -> Self {
        Self { remaining: Some(left), ..self.clone() }
    }

    /// The same error of a bot that people invite by this name.
    pub(super) fn of_bot(self, bot: Option<Arc<str>>) -> Self {
        Self { bot, ..self }
    }

    /// The same error about this conversation: a channel by id or name, a direct message by its id or the person's.
    pub fn about(&self, conversation: &str) -> Self {
        Self { is_direct: is_slack_id(conversation, &['D', 'U', 'W']), ..self.clone() }
    }

    /// Whether the call was sent. It is not while the `Retry-After` of an earlier call lasts.
    pub fn was_sent(&self) -> bool {
        self.remaining.is_none()
    }

    /// The method that was called.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Slack's error code, if Slack gave one: foreign text, made printable and cut.
    pub fn code(&self) -> Option<&str> {
        match &self.kind {
            ErrorKind::Api(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// What the error is about. What has no code of Slack's is about this call alone.
    pub fn affects(&self) -> Affects {
        match &self.kind {
            ErrorKind::Api(refusal) => refusal.info.affects,
            _ => Affects::Call,
        }
    }

    /// Whether Slack says that this is not there: deleted, or not to be seen by the app.
    pub fn is_missing(&self, what: Affects) -> bool {
        let is_missing =
            matches!(&self.kind, ErrorKind::Api(refusal) if refusal.info.class == Class::NotFound);
        is_missing && self.affects() == what
    }

    /// How to go on.
    pub fn retry(&self) -> Retry {
        match &self.kind {
            ErrorKind::RateLimited { retry_after: wait, .. } => Retry::After(self.remaining.unwrap_or(*wait)),
            ErrorKind::Status { status } if is_permanent(*status) => Retry::Never,
            ErrorKind::Serialize { .. } | ErrorKind::UntrustedUrl { .. } => Retry::Never,
            ErrorKind::InvalidToken => Retry::NeedsOperator,
            ErrorKind::Status { .. }
            | ErrorKind::Proxy(_)
            | ErrorKind::Connect { .. }
            | ErrorKind::ConnectionLost { .. }
            | ErrorKind::TimedOut { .. }
            | ErrorKind::ResponseTooLarge { .. }
            | ErrorKind::MissingField { .. }
            | ErrorKind::InvalidResponse { .. } => Retry::Backoff,
            ErrorKind::Api(refusal) => match refusal.info.class {
                Class::RateLimited => Retry::After(self.remaining.unwrap_or(refusal.retry_after)),
                Class::WorkspaceMigrating => Retry::After(self.remaining.unwrap_or(MIGRATION_RETRY_AFTER)),
                Class::PartialFailure | Class::Transient => Retry::Backoff,
                Class::Unauthorized => Retry::NeedsOperator,
                Class::NotFound | Class::Rejected => Retry::Never,
            },
        }
    }

    /// Whether a write may have taken effect although it failed. Always false for calls that only read.
    pub fn is_ambiguous(&self) -> bool {
        self.method.writes()
            && match &self.kind {
                ErrorKind::RateLimited { .. }
                | ErrorKind::Proxy(_)
                | ErrorKind::Connect { .. }
                | ErrorKind::Serialize { .. }
                | ErrorKind::UntrustedUrl { .. }
                | ErrorKind::InvalidToken => false,
                ErrorKind::Status { .. } => self.retry() == Retry::Backoff,
                ErrorKind::ConnectionLost { begun, .. } | ErrorKind::TimedOut { begun, .. } => *begun,
                ErrorKind::ResponseTooLarge { .. }
                | ErrorKind::MissingField { .. }
                | ErrorKind::InvalidResponse { .. } => true,
                ErrorKind::Api(refusal) => refusal.info.class == Class::PartialFailure,
            }
    }

    /// Whether Slack itself answered, so that the call has ended there too. A gateway that gave up waiting has not.
    pub fn has_response(&self) -> bool {
        match &self.kind {
            ErrorKind::Api(_)
            | ErrorKind::ResponseTooLarge { .. }
            | ErrorKind::MissingField { .. }
            | ErrorKind::InvalidResponse { .. } => true,
            ErrorKind::Status { status } => {
                !matches!(*status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
            }
            _ => false,
        }
    }

    /// Whether no answer of Slack came: Slack, or the way there, is away. A later call may succeed as it is.
    pub fn is_unavailable(&self) -> bool {
        use ErrorKind::{Connect, ConnectionLost, Proxy, Status, TimedOut};
        match &self.kind {
            Proxy(_) | Connect { .. } | ConnectionLost { .. } | TimedOut { .. } => true,
            Status { status } => status.is_server_error(),
            _ => false,
        }
    }

    /// Whether what came, if anything, is not Slack's answer: Slack, or the way there, is away, or something else answers there.
    pub fn is_unanswered(&self) -> bool {
        self.is_unavailable() || matches!(self.kind, ErrorKind::InvalidResponse { .. })
    }

    /// Whether no full answer came in the time that the call has.
    pub fn is_timeout(&self) -> bool {
        matches!(self.kind, ErrorKind::TimedOut { .. })
    }

    /// What distinguishes its cause from others. The words about a connection that broke change from try to try.
    pub fn class(&self) -> String {
        match &self.kind {
            ErrorKind::Connect { source } if is_of_unknown_authority(source.as_ref()) => {
                "unknown authority".to_owned()
            }
            ErrorKind::Connect { .. } => "no connection".to_owned(),
            ErrorKind::ConnectionLost { .. } => "connection lost".to_owned(),
            _ => self.to_string(),
        }
    }

    /// Whether Slack refuses such a call to the app, whatever it names, until a person acts. If it is the token that is
    /// refused, [`Self::refuses_token`] says so.
    pub fn refuses_app(&self) -> bool {
        self.retry() == Retry::NeedsOperator && !self.refuses_token()
    }

    /// Whether Slack said that it made the change, and left out or garbled what else it had to say.
    pub fn is_accepted(&self) -> bool {
        matches!(self.kind, ErrorKind::MissingField { .. })
    }

    /// The scopes of which one is missing: those that Slack names, else those of the method. Empty if no scope is missing.
    pub fn needed_scopes(&self) -> Vec<String> {
        let ErrorKind::Api(refusal) = &self.kind else { return Vec::new() };
        if refusal.info.affects != Affects::Scope {
            return Vec::new();
        }
        let named = refusal.needed.iter().flat_map(|list| list.split(',')).map(str::trim);
        let named: Vec<_> = named.filter(|scope| !scope.is_empty()).map(str::to_owned).collect();
        match named.is_empty() {
            true => self.method.scopes().iter().map(|scope| (*scope).to_owned()).collect(),
            false => named,
        }
    }

    /// Whether what answered has no such method, or not for this kind of token. A stand-in for Slack may say so by its
    /// HTTP status.
    pub fn says_no_such_method(&self) -> bool {
        match &self.kind {
            ErrorKind::Api(refusal) => refusal.info.affects == Affects::Method,
            ErrorKind::Status { status } => {
                matches!(
                    *status,
                    StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED | StatusCode::NOT_IMPLEMENTED
                )
            }
            _ => false,
        }
    }

    /// Whether it is the token that is refused, so that no call will succeed with it, and not this call.
    pub fn refuses_token(&self) -> bool {
        matches!(&self.kind, ErrorKind::Api(refusal) if refusal.info.class == Class::Unauthorized)
            && self.affects() == Affects::App
    }

    /// What a person can do about it. `None` if only time can help.
    pub fn remedy(&self) -> Option<Remedy> {
        match &self.kind {
            // The table's remedies speak of the bot token.
            ErrorKind::Api(refusal)
                if self.method == Method::AppsConnectionsOpen
                    && refusal.info.class == Class::Unauthorized =>
            {
                Some(APP_TOKEN_REMEDY)
            }
            ErrorKind::InvalidToken if self.method == Method::AppsConnectionsOpen => Some(APP_TOKEN_REMEDY),
            ErrorKind::InvalidToken => {
                Some(Remedy::setting(Setting::BotToken, "configure the app's bot token (xoxb-...)"))
            }
            ErrorKind::Api(refusal) => {
                let remedy = refusal.info.remedy_after(self.method == Method::ChatPostMessage);
                remedy.map(|remedy| remedy.for_bot(self.bot.as_deref(), self.is_direct))
            }
            ErrorKind::Proxy(error) => Some(proxy_remedy(error)),
            ErrorKind::Connect { source } if is_of_unknown_authority(source.as_ref()) => {
                Some(UNKNOWN_AUTHORITY)
            }
            ErrorKind::Connect { source } if remedy::is_authority(source.as_ref()) => Some(remedy::AUTHORITY),
            ErrorKind::Connect { source } if remedy::is_of_name(source.as_ref()) => Some(remedy::UNRESOLVED),
            ErrorKind::Connect { .. } | ErrorKind::TimedOut { begun: false, .. } => Some(Remedy::setting(
                Setting::Connection,
                "check name resolution, the firewall, Slack's API address, and whether only a proxy leads out",
            )),
            ErrorKind::Status { status } if is_permanent(*status) && self.method != Method::Respond => {
                Some(Remedy::setting(
                    Setting::ApiUrl,
                    "check that the API address is Slack's and that no proxy stands in between",
                ))
            }
            ErrorKind::MissingField { .. }
            | ErrorKind::InvalidResponse { .. }
            | ErrorKind::ResponseTooLarge { .. } => Some(CHECK_ADDRESS),
            ErrorKind::RateLimited { .. }
            | ErrorKind::Status { .. }
            | ErrorKind::ConnectionLost { .. }
            | ErrorKind::TimedOut { .. }
            | ErrorKind::Serialize { .. }
            | ErrorKind::UntrustedUrl { .. } => None,
        }
    }

    /// The error with its remedy, for logs.
    pub fn with_remedy(&self, names: SettingNames) -> WithRemedy<'_> {
        WithRemedy(self, names)
    }
}

/// Whether a status speaks against the request itself. 408 does not: the request came too slowly.
fn is_permanent(status: StatusCode) -> bool {
    (status.is_redirection() || status.is_client_error()) && status != StatusCode::REQUEST_TIMEOUT
}

impl fmt::Display for SlackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slack's {} failed: {}", self.method, self.kind)?;
        if self.is_ambiguous() {
            f.write_str("; Slack may have carried it out all the same")?;
        }
        Ok(())
    }
}

impl Error for SlackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.kind {
            // The text has it in our words.
            ErrorKind::Connect { .. } | ErrorKind::ConnectionLost { .. } => None,
            kind => kind.source(),
        }
    }
}

/// Shows an error, what caused it and what to do about it, on one line.
#[derive(Clone, Copy, Debug)]
pub struct WithRemedy<'a>(&'a SlackError, SettingNames);

impl fmt::Display for WithRemedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self.0))?;
        match self.0.remedy() {
            Some(remedy) => write!(f, "; remedy: {}", remedy.with_name(self.1)),
            None => Ok(()),
        }
    }
}

/// How a call failed. `begun` says whether the request's body was on its way.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum ErrorKind {
    #[error("{0}")]
    Api(Box<ApiError>),
    #[error("{}", too_many_calls(*retry_after, *is_asked))]
    RateLimited {
        retry_after: Duration,
        /// Slack named the wait. Without that it is the client's own.
        is_asked: bool,
    },
    #[error("HTTP status {status}{}", if status.is_redirection() { " (redirects are not followed)" } else { "" })]
    Status { status: StatusCode },
    #[error("{0}")]
    Proxy(Box<TunnelError>),
    #[error("no connection: {}", broken::describe(source.as_ref()))]
    Connect { source: Arc<dyn Error + Send + Sync> },
    #[error("the connection broke: {}", broken::describe(source.as_ref()))]
    ConnectionLost { begun: bool, source: Arc<dyn Error + Send + Sync> },
    #[error("no full answer within {limit:?}")]
    TimedOut { begun: bool, limit: Duration },
    #[error("the answer is larger than {limit} bytes")]
    ResponseTooLarge { limit: usize },
    #[error("the answer is not Slack's: {what}")]
    InvalidResponse { what: String },
    #[error("the answer is not Slack's: `ok` without a usable `{field}`")]
    MissingField { field: String },
    #[error("the message could not be written as JSON")]
    Serialize { source: Arc<serde_json::Error> },
    #[error("nothing was sent: the address to answer at {reason}")]
    UntrustedUrl { reason: &'static str },
    #[error("the token holds characters that tokens do not have")]
    InvalidToken,
}

fn too_many_calls(wait: Duration, is_asked: bool) -> String {
    let wait = wait.as_secs();
    match is_asked {
        true => format!("too many calls, Slack asks to wait {wait} s"),
        false => {
            format!("too many calls, and Slack does not say how long to wait: no such call for {wait} s")
        }
    }
}

/// Whether it is that none of the trusted authorities signed the server's certificate.
pub(super) fn is_of_unknown_authority(error: &(dyn Error + 'static)) -> bool {
    use rustls::CertificateError::UnknownIssuer;
    let tls = find_cause::<rustls::Error>(error);
    matches!(tls, Some(rustls::Error::InvalidCertificate(UnknownIssuer)))
}

/// The first error of this type among an error and its causes. What an I/O error wraps counts as its cause.
pub(super) fn find_cause<'a, E: Error + 'static>(error: &'a (dyn Error + 'static)) -> Option<&'a E> {
    causes(error).find_map(|error| error.downcast_ref::<E>())
}

/// `ok: false`, with what Slack said about it. All texts are scrubbed.
#[derive(Clone, Debug)]
pub(super) struct ApiError {
    pub(super) code: String,
    pub(super) info: CodeInfo,
    /// The wait Slack asked for, or the default: used only by the code for too many calls.
    pub(super) retry_after: Duration,
    /// Scopes, with `missing_scope`.
    pub(super) needed: Option<String>,
    pub(super) provided: Option<String>,
    /// What a validation found.
    pub(super) messages: Vec<String>,
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if let Some(cause) = self.info.cause {
            write!(f, " ({cause})")?;
        }
        if let Some(needed) = &self.needed {
            write!(f, ", needed: {needed}")?;
        }
        if let Some(provided) = &self.provided {
            write!(f, ", granted: {provided}")?;
        }
        match self.messages.as_slice() {
            [] => Ok(()),
            messages => write!(f, ", Slack says: {}", messages.join(" / ")),
        }
    }
}

/// Why a client could not be built. The token is never part of it.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The API address cannot be used.
    #[error("Slack's API address {reason}; it looks like https://slack.com/api/")]
    ApiUrl {
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
    /// The token cannot be sent.
    #[error("the bot token {reason}; a bot token starts with xoxb-")]
    Token {
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
    /// There is nothing to check Slack's certificate against.
    #[error(transparent)]
    NoTrustedRoots(#[from] NoTrustedRoots),
    /// The TLS library refused its settings.
    #[error("TLS could not be set up")]
    Tls {
        /// The library's reason.
        #[from]
        source: rustls::Error,
    },
}

/// Errors as Slack and the network make them, for tests of the code that handles them.
impl SlackError {
    /// Slack answered with this code, and asks to wait 7 s where the code is about waiting.
    pub fn api_error(method: Method, code: &str) -> Self {
        let refusal = ApiError {
            code: code.into(),
            info: super::error_codes::code_info(code),
            retry_after: Duration::from_secs(7),
            needed: None,
            provided: None,
            messages: vec![],
        };
        Self::new(method, ErrorKind::Api(Box::new(refusal)))
    }

    /// Slack answered without `ts`.
    pub fn missing_field(method: Method) -> Self {
        Self::new(method, ErrorKind::MissingField { field: "ts".to_owned() })
    }

    /// No full answer came within 8 s; `begun` says whether the request may have been sent.
    pub fn timed_out(method: Method, begun: bool) -> Self {
        Self::new(method, ErrorKind::TimedOut { begun, limit: Duration::from_secs(8) })
    }

    /// Slack answered with this HTTP status.
    ///
    /// # Panics
    /// If it is no HTTP status.
    pub fn status(method: Method, status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status code");
        Self::new(method, ErrorKind::Status { status })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error_codes::code_info;

    fn api_error(method: Method, code: &str) -> SlackError {
        SlackError::api_error(method, code)
    }

    fn assert_retry(failure: ErrorKind, kind: Retry, ambiguous: bool) {
        let write = SlackError::new(Method::ChatPostMessage, failure.clone());
        assert_eq!((write.retry(), write.is_ambiguous()), (kind, ambiguous), "{write}");
        let read = SlackError::new(Method::UsersInfo, failure);
        assert_eq!((read.retry(), read.is_ambiguous()), (kind, false), "{read}");
        if read.is_unavailable() {
            assert_eq!(kind, Retry::Backoff, "{read}");
        }
    }

    #[test]
    fn codes_say_how_to_go_on() {
        let table = [
            ("ratelimited", Retry::After(Duration::from_secs(7)), false),
            ("internal_error", Retry::Backoff, true),
            ("fatal_error", Retry::Backoff, true),
            ("service_unavailable", Retry::Backoff, false),
            ("request_timeout", Retry::Backoff, false),
            ("org_login_required", Retry::After(MIGRATION_RETRY_AFTER), false),
            ("missing_scope", Retry::NeedsOperator, false),
            ("invalid_auth", Retry::NeedsOperator, false),
            ("not_in_channel", Retry::Never, false),
            ("brand_new", Retry::Never, false),
        ];
        for (code, kind, ambiguous) in table {
            let error = api_error(Method::ChatUpdate, code);
            assert_eq!((error.retry(), error.is_ambiguous()), (kind, ambiguous), "{code}");
            assert_eq!(error.code(), Some(code));
            assert!(!api_error(Method::UsersInfo, code).is_ambiguous(), "{code}");
        }
    }

    #[test]
    fn transport_failures_say_how_to_go_on() {
        let status = |code| ErrorKind::Status { status: StatusCode::from_u16(code).unwrap() };
        let wait = Duration::from_secs(3);
        let broke = || Arc::new(std::io::Error::other("reset"));
        assert_retry(ErrorKind::RateLimited { retry_after: wait, is_asked: true }, Retry::After(wait), false);
        assert_retry(status(500), Retry::Backoff, true);
        assert_retry(status(503), Retry::Backoff, true);
        assert_retry(status(204), Retry::Backoff, true);
        assert_retry(status(408), Retry::Backoff, true);
        assert_retry(status(302), Retry::Never, false);
        assert_retry(status(404), Retry::Never, false);
        assert_retry(ErrorKind::Connect { source: broke() }, Retry::Backoff, false);
        assert_retry(ErrorKind::ConnectionLost { begun: false, source: broke() }, Retry::Backoff, false);
        assert_retry(ErrorKind::ConnectionLost { begun: true, source: broke() }, Retry::Backoff, true);
        assert_retry(ErrorKind::TimedOut { begun: false, limit: wait }, Retry::Backoff, false);
        assert_retry(ErrorKind::TimedOut { begun: true, limit: wait }, Retry::Backoff, true);
        assert_retry(ErrorKind::ResponseTooLarge { limit: 1 }, Retry::Backoff, true);
        assert_retry(ErrorKind::InvalidResponse { what: "html".into() }, Retry::Backoff, true);
        assert_retry(ErrorKind::MissingField { field: "ts".into() }, Retry::Backoff, true);
    }

    #[test]
    fn text_names_method_code_cause_and_remedy() {
        let error = api_error(Method::ChatPostMessage, "not_in_channel");
        insta::assert_snapshot!(error, @"Slack's chat.postMessage failed: not_in_channel (the app is not a member of the channel)");
        insta::assert_snapshot!(error.with_remedy(no_names), @"Slack's chat.postMessage failed: not_in_channel (the app is not a member of the channel); remedy: invite it there (type /invite @ in the channel and choose the app from the list), or grant chat:write.public for public channels");
        let known = |method| api_error(method, "not_in_channel").of_bot(Some("access".into()));
        insta::assert_snapshot!(known(Method::ChatPostMessage).with_remedy(no_names), @"Slack's chat.postMessage failed: not_in_channel (the app is not a member of the channel); remedy: invite it there (type /invite @access in the channel), or grant chat:write.public for public channels");
        // No scope lets the bot read what it is no member of.
        insta::assert_snapshot!(known(Method::ConversationsHistory).with_remedy(no_names), @"Slack's conversations.history failed: not_in_channel (the app is not a member of the channel); remedy: invite it there (type /invite @access in the channel)");
        insta::assert_snapshot!(api_error(Method::UsersInfo, "brand_new").with_remedy(no_names), @"Slack's users.info failed: brand_new; remedy: look the code up at the method's page on docs.slack.dev; ask Slack's support if it is not there");
        insta::assert_snapshot!(api_error(Method::ChatUpdate, "internal_error").with_remedy(no_names), @"Slack's chat.update failed: internal_error (Slack failed while carrying it out); Slack may have carried it out all the same");

        let refusal = ApiError {
            code: "missing_scope".into(),
            info: code_info("missing_scope"),
            retry_after: Duration::ZERO,
            needed: Some("users:read".into()),
            provided: Some("chat:write".into()),
            messages: vec!["one".into(), "two".into()],
        };
        insta::assert_snapshot!(refusal, @"missing_scope (the token lacks a permission), needed: users:read, granted: chat:write, Slack says: one / two");
    }

    #[test]
    fn a_broken_connection_is_shown_once_and_in_our_words() {
        let source = Arc::new(std::io::Error::other("reset by peer"));
        let error = SlackError::new(Method::UsersInfo, ErrorKind::ConnectionLost { begun: true, source });
        assert!(Error::source(&error).is_none());
        insta::assert_snapshot!(error.with_remedy(no_names), @"Slack's users.info failed: the connection broke: reset by peer");
    }
}
