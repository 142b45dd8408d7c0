//! What can go wrong with a Slack call, and what the caller should do about it.
//!
//! `SlackError` answers three questions: how to go on (`kind`), whether a write may have happened all the same
//! (`is_ambiguous`), and what a person can do (`remedy`). What each of Slack's codes means is in `codes`.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;

use super::codes::{Class, Meaning};
use super::method::Method;
use crate::error::chain;

/// How long to leave a workspace alone that is moving into an Enterprise organisation. Slack advises to slow
/// down to a minute or more; such a move takes hours.
const MOVING_WAIT: Duration = Duration::from_secs(300);

/// What to do when Slack refuses the app-level token.
const APP_TOKEN: &str = "create an app-level token (xapp-...) with the scope connections:write under Basic \
                         Information of the Slack app, and put it into review.app_token";

/// How to go on after a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Try again, with back-off.
    Retry,
    /// Try this method again after exactly this time.
    RetryAfter(Duration),
    /// This call will never succeed as it is.
    Permanent,
    /// No call will succeed until someone mends the token or the app's permissions.
    Unauthorised,
}

/// A failed Web API call. Cheap to clone; holds no secret.
#[derive(Clone, Debug)]
pub struct SlackError {
    method: Method,
    failure: Failure,
    /// What is left of the wait that Slack asked for, if part of it has passed.
    left: Option<Duration>,
}

impl SlackError {
    pub(super) fn new(method: Method, failure: Failure) -> Self {
        Self { method, failure, left: None }
    }

    /// The same error for a call that was not made because Slack asked to wait.
    pub(super) fn still(&self, left: Duration) -> Self {
        Self { left: Some(left), ..self.clone() }
    }

    /// The method that was called.
    pub fn method(&self) -> Method {
        self.method
    }

    /// Slack's error code, if Slack gave one: foreign text, made printable and cut.
    pub fn code(&self) -> Option<&str> {
        match &self.failure {
            Failure::Refused(refusal) => Some(&refusal.code),
            _ => None,
        }
    }

    /// How to go on.
    pub fn kind(&self) -> Kind {
        match &self.failure {
            Failure::Limited { wait } => Kind::RetryAfter(self.left.unwrap_or(*wait)),
            Failure::Status { status } if is_final(*status) => Kind::Permanent,
            Failure::Unsendable { .. } | Failure::ForeignUrl { .. } => Kind::Permanent,
            Failure::UnfitToken => Kind::Unauthorised,
            Failure::Status { .. }
            | Failure::Unconnected { .. }
            | Failure::Broken { .. }
            | Failure::TimedOut { .. }
            | Failure::TooLarge { .. }
            | Failure::Incomplete { .. }
            | Failure::Unreadable { .. } => Kind::Retry,
            Failure::Refused(refusal) => match refusal.meaning.class {
                Class::Limited => Kind::RetryAfter(self.left.unwrap_or(refusal.wait)),
                Class::Moving => Kind::RetryAfter(self.left.unwrap_or(MOVING_WAIT)),
                Class::Unsure | Class::Later => Kind::Retry,
                Class::Unauthorised => Kind::Unauthorised,
                Class::Refused => Kind::Permanent,
            },
        }
    }

    /// Whether a write may have taken effect although it failed. Always false for calls that only read.
    pub fn is_ambiguous(&self) -> bool {
        self.method.writes()
            && match &self.failure {
                Failure::Limited { .. }
                | Failure::Unconnected { .. }
                | Failure::Unsendable { .. }
                | Failure::ForeignUrl { .. }
                | Failure::UnfitToken => false,
                Failure::Status { .. } => self.kind() == Kind::Retry,
                Failure::Broken { begun, .. } | Failure::TimedOut { begun, .. } => *begun,
                Failure::TooLarge { .. } | Failure::Incomplete { .. } | Failure::Unreadable { .. } => true,
                Failure::Refused(refusal) => refusal.meaning.class == Class::Unsure,
            }
    }

    /// Whether Slack itself answered, so that the call has ended there too. A gateway that gave up waiting has not.
    pub fn is_answered(&self) -> bool {
        match &self.failure {
            Failure::Refused(_)
            | Failure::TooLarge { .. }
            | Failure::Incomplete { .. }
            | Failure::Unreadable { .. } => true,
            Failure::Status { status } => {
                !matches!(*status, StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT)
            }
            _ => false,
        }
    }

    /// Whether Slack said that it carried the call out, and left out or garbled what else it had to say.
    pub fn is_accepted(&self) -> bool {
        matches!(self.failure, Failure::Incomplete { .. })
    }

    /// Whether it is the token that is refused, so that no call will succeed with it, and not this call.
    pub fn refuses_token(&self) -> bool {
        const CODES: [&str; 10] = [
            "invalid_auth",
            "not_authed",
            "account_inactive",
            "token_revoked",
            "token_expired",
            "two_factor_setup_required",
            "accesslimited",
            "team_disabled",
            "forbidden_team",
            "user_removed_from_team",
        ];
        self.code().is_some_and(|code| CODES.contains(&code))
    }

    /// What a person can do about it, as half a sentence without a full stop. `None` if only time can help.
    pub fn remedy(&self) -> Option<&'static str> {
        match &self.failure {
            // The table's remedies speak of the bot token.
            Failure::Refused(refusal)
                if self.method == Method::AppsConnectionsOpen
                    && refusal.meaning.class == Class::Unauthorised =>
            {
                Some(APP_TOKEN)
            }
            Failure::UnfitToken => Some(APP_TOKEN),
            Failure::Refused(refusal) => refusal.meaning.remedy,
            Failure::Unconnected { .. } | Failure::TimedOut { begun: false, .. } => Some(
                "check name resolution, the firewall and Slack's address (slack.api_url); if a proxy opens TLS, \
                 name a file with its CA in SSL_CERT_FILE",
            ),
            Failure::Status { status } if is_final(*status) && self.method != Method::Respond => {
                Some("check that slack.api_url is Slack's API address and that no proxy stands in between")
            }
            Failure::Incomplete { .. } | Failure::Unreadable { .. } | Failure::TooLarge { .. } => {
                Some("check what answers at Slack's address (slack.api_url)")
            }
            Failure::Limited { .. }
            | Failure::Status { .. }
            | Failure::Broken { .. }
            | Failure::TimedOut { .. }
            | Failure::Unsendable { .. }
            | Failure::ForeignUrl { .. } => None,
        }
    }

    /// The error with its remedy, for logs.
    pub fn with_remedy(&self) -> WithRemedy<'_> {
        WithRemedy(self)
    }
}

/// Whether a status speaks against the request itself. 408 does not: the request came too slowly.
fn is_final(status: StatusCode) -> bool {
    (status.is_redirection() || status.is_client_error()) && status != StatusCode::REQUEST_TIMEOUT
}

impl fmt::Display for SlackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slack's {} failed: {}", self.method, self.failure)?;
        if self.is_ambiguous() {
            f.write_str("; Slack may have carried it out all the same")?;
        }
        Ok(())
    }
}

impl Error for SlackError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.failure.source()
    }
}

/// Shows an error, what caused it and what to do about it, on one line.
#[derive(Clone, Copy, Debug)]
pub struct WithRemedy<'a>(&'a SlackError);

impl fmt::Display for WithRemedy<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&chain(self.0))?;
        match self.0.remedy() {
            Some(remedy) => write!(f, "; remedy: {remedy}"),
            None => Ok(()),
        }
    }
}

/// How a call failed. `begun` says whether the request's body was on its way.
#[derive(Clone, Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error("{0}")]
    Refused(Box<Refusal>),
    #[error("too many calls, Slack asks to wait {} s", wait.as_secs())]
    Limited { wait: Duration },
    #[error("HTTP status {status}{}", if status.is_redirection() { " (redirects are not followed)" } else { "" })]
    Status { status: StatusCode },
    #[error("no connection")]
    Unconnected { source: Arc<dyn Error + Send + Sync> },
    #[error("the connection broke")]
    Broken { begun: bool, source: Arc<dyn Error + Send + Sync> },
    #[error("no full answer within {limit:?}")]
    TimedOut { begun: bool, limit: Duration },
    #[error("the answer is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the answer is not Slack's: {what}")]
    Unreadable { what: String },
    #[error("the answer is not Slack's: `ok` without a usable `{field}`")]
    Incomplete { field: String },
    #[error("the message could not be written as JSON")]
    Unsendable { source: Arc<serde_json::Error> },
    #[error("nothing was sent: the address to answer at {reason}")]
    ForeignUrl { reason: &'static str },
    #[error("the token holds characters that tokens do not have")]
    UnfitToken,
}

/// `ok: false`, with what Slack said about it. All texts are scrubbed.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    pub(super) code: String,
    pub(super) meaning: Meaning,
    /// The wait Slack asked for, or the default: used only by the code for too many calls.
    pub(super) wait: Duration,
    /// Scopes, with `missing_scope`.
    pub(super) needed: Option<String>,
    pub(super) provided: Option<String>,
    /// What a validation found.
    pub(super) messages: Vec<String>,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.code)?;
        if let Some(cause) = self.meaning.cause {
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
    #[error("Slack's API address (slack.api_url) {reason}; it looks like https://slack.com/api/")]
    ApiUrl {
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
    /// The token cannot be sent.
    #[error("the Slack token (slack.token) {reason}; a bot token starts with xoxb-")]
    Token {
        /// What is wrong with it, as the end of a sentence.
        reason: &'static str,
    },
    /// There is nothing to check Slack's certificate against.
    #[error(
        "this machine has no trusted certificates to check Slack's with; install the ca-certificates package, or \
         set SSL_CERT_FILE to a PEM file of them"
    )]
    NoTrust {
        /// What went wrong while looking, if anything did.
        source: Option<rustls_native_certs::Error>,
    },
    /// The TLS library refused its settings.
    #[error("TLS could not be set up")]
    Tls {
        /// The library's reason.
        #[from]
        source: rustls::Error,
    },
}

/// Errors for the tests of those who act on them.
#[cfg(test)]
impl SlackError {
    pub(crate) fn refused(method: Method, code: &str) -> Self {
        let refusal = Refusal {
            code: code.into(),
            meaning: super::codes::meaning(code),
            wait: Duration::from_secs(7),
            needed: None,
            provided: None,
            messages: vec![],
        };
        Self::new(method, Failure::Refused(Box::new(refusal)))
    }

    pub(crate) fn incomplete(method: Method) -> Self {
        Self::new(method, super::wire::incomplete("ts"))
    }

    pub(crate) fn timed_out(method: Method, begun: bool) -> Self {
        Self::new(method, Failure::TimedOut { begun, limit: Duration::from_secs(8) })
    }

    pub(crate) fn status(method: Method, status: u16) -> Self {
        let status = StatusCode::from_u16(status).expect("a status code");
        Self::new(method, Failure::Status { status })
    }
}

#[cfg(test)]
mod tests {
    use super::super::codes::meaning;
    use super::*;

    fn refused(method: Method, code: &str) -> SlackError {
        SlackError::refused(method, code)
    }

    fn check(failure: Failure, kind: Kind, ambiguous: bool) {
        let write = SlackError::new(Method::ChatPostMessage, failure.clone());
        assert_eq!((write.kind(), write.is_ambiguous()), (kind, ambiguous), "{write}");
        let read = SlackError::new(Method::UsersInfo, failure);
        assert_eq!((read.kind(), read.is_ambiguous()), (kind, false), "{read}");
    }

    #[test]
    fn codes_say_how_to_go_on() {
        let table = [
            ("ratelimited", Kind::RetryAfter(Duration::from_secs(7)), false),
            ("internal_error", Kind::Retry, true),
            ("fatal_error", Kind::Retry, true),
            ("service_unavailable", Kind::Retry, false),
            ("request_timeout", Kind::Retry, false),
            ("org_login_required", Kind::RetryAfter(MOVING_WAIT), false),
            ("missing_scope", Kind::Unauthorised, false),
            ("invalid_auth", Kind::Unauthorised, false),
            ("not_in_channel", Kind::Permanent, false),
            ("brand_new", Kind::Permanent, false),
        ];
        for (code, kind, ambiguous) in table {
            let error = refused(Method::ChatUpdate, code);
            assert_eq!((error.kind(), error.is_ambiguous()), (kind, ambiguous), "{code}");
            assert_eq!(error.code(), Some(code));
            assert!(!refused(Method::UsersInfo, code).is_ambiguous(), "{code}");
        }
    }

    #[test]
    fn transport_failures_say_how_to_go_on() {
        let status = |code| Failure::Status { status: StatusCode::from_u16(code).unwrap() };
        let wait = Duration::from_secs(3);
        let broke = || Arc::new(std::io::Error::other("reset"));
        check(Failure::Limited { wait }, Kind::RetryAfter(wait), false);
        check(status(500), Kind::Retry, true);
        check(status(503), Kind::Retry, true);
        check(status(204), Kind::Retry, true);
        check(status(408), Kind::Retry, true);
        check(status(302), Kind::Permanent, false);
        check(status(404), Kind::Permanent, false);
        check(Failure::Unconnected { source: broke() }, Kind::Retry, false);
        check(Failure::Broken { begun: false, source: broke() }, Kind::Retry, false);
        check(Failure::Broken { begun: true, source: broke() }, Kind::Retry, true);
        check(Failure::TimedOut { begun: false, limit: wait }, Kind::Retry, false);
        check(Failure::TimedOut { begun: true, limit: wait }, Kind::Retry, true);
        check(Failure::TooLarge { limit: 1 }, Kind::Retry, true);
        check(Failure::Unreadable { what: "html".into() }, Kind::Retry, true);
        check(Failure::Incomplete { field: "ts".into() }, Kind::Retry, true);
    }

    #[test]
    fn text_names_method_code_cause_and_remedy() {
        let error = refused(Method::ChatPostMessage, "not_in_channel");
        insta::assert_snapshot!(error, @"Slack's chat.postMessage failed: not_in_channel (the app is not a member of the channel)");
        insta::assert_snapshot!(error.with_remedy(), @"Slack's chat.postMessage failed: not_in_channel (the app is not a member of the channel); remedy: invite it there (/invite @app), or grant chat:write.public for public channels");
        insta::assert_snapshot!(refused(Method::UsersInfo, "brand_new").with_remedy(), @"Slack's users.info failed: brand_new");
        insta::assert_snapshot!(refused(Method::ChatUpdate, "internal_error").with_remedy(), @"Slack's chat.update failed: internal_error (Slack failed while carrying it out); Slack may have carried it out all the same");

        let refusal = Refusal {
            code: "missing_scope".into(),
            meaning: meaning("missing_scope"),
            wait: Duration::ZERO,
            needed: Some("users:read".into()),
            provided: Some("chat:write".into()),
            messages: vec!["one".into(), "two".into()],
        };
        insta::assert_snapshot!(refusal, @"missing_scope (the token lacks a permission), needed: users:read, granted: chat:write, Slack says: one / two");
    }

    #[test]
    fn display_leaves_the_source_to_the_chain() {
        let source = Arc::new(std::io::Error::other("reset by peer"));
        let error = SlackError::new(Method::UsersInfo, Failure::Broken { begun: true, source });
        assert_eq!(error.to_string(), "Slack's users.info failed: the connection broke");
        assert_eq!(Error::source(&error).unwrap().to_string(), "reset by peer");
        insta::assert_snapshot!(error.with_remedy(), @"Slack's users.info failed: the connection broke: reset by peer");
    }
}
