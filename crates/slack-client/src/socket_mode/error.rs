//! Why a connection could not be opened or ended, what to do about it, and when to try again.
//!
//! Addresses of connections hold a ticket and are not part of any text here; hosts are.

use std::time::Duration;

use client_base::forward_proxy::TunnelError;

use crate::broken::{describe, log_libraries_words};
use crate::error::{CHECK_ADDRESS, Remedy, Retry, Setting, SlackError};
use crate::remedy::{UNKNOWN_AUTHORITY, proxy_remedy};

/// A connection that did not come about or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConnectionError {
    #[error("{0}")]
    Api(SlackError),
    #[error("the address that Slack gave for the connection {reason}")]
    InvalidUrl { reason: &'static str },
    #[error("no connection to {host}: {cause}")]
    Connect { host: String, cause: String },
    #[error("no connection to {host}: {cause}")]
    UnknownAuthority { host: String, cause: String },
    #[error("{0}")]
    Proxy(TunnelError),
    #[error("{what} was not done within {limit:?}")]
    Timeout { what: &'static str, limit: Duration },
    #[error("Slack closed the connection")]
    Closed,
    #[error("the connection broke: {cause}")]
    ConnectionLost { cause: String },
    #[error("Slack fell silent")]
    Unresponsive,
    #[error("a frame came that is not text")]
    NotText,
    #[error("Slack asks for new connections in quick succession")]
    Flapping,
    #[error("Socket Mode is switched off for the app (link_disabled)")]
    Disabled,
    #[error(
        "the bot token belongs to the Slack app {ours} and the app-level token to the app {theirs:?}, so no click would ever be taken"
    )]
    OtherApp { theirs: String, ours: String },
    #[error("the app has more connections than Slack allows (too_many_websockets)")]
    TooManyConnections,
}

/// When to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RetryDelay {
    /// After a pause that grows with each failure.
    Backoff,
    /// The same, but not before this.
    AtLeast(Duration),
    /// Rarely: nothing will change before an operator acts.
    NeedsOperator,
}

impl ConnectionError {
    /// `cause` is the text of an error that is no secret itself and has none in its text.
    pub(super) fn connection_lost(cause: &(dyn std::error::Error + 'static)) -> Self {
        log_libraries_words(cause);
        Self::ConnectionLost { cause: describe(cause) }
    }

    /// What distinguishes its cause from others. The words about a connection that broke change from try to try.
    pub(super) fn class(&self) -> String {
        match self {
            Self::Api(error) => error.class(),
            Self::Connect { host, .. } => format!("no connection to {host}"),
            Self::ConnectionLost { .. } => "connection lost".to_owned(),
            _ => self.to_string(),
        }
    }

    pub(super) fn retry_delay(&self) -> RetryDelay {
        match self {
            Self::Api(error) => match error.retry() {
                Retry::NeedsOperator => RetryDelay::NeedsOperator,
                Retry::After(wait) => RetryDelay::AtLeast(wait),
                // A refusal that we do not know may pass.
                Retry::Backoff | Retry::Never => RetryDelay::Backoff,
            },
            Self::Disabled | Self::OtherApp { .. } => RetryDelay::NeedsOperator,
            Self::InvalidUrl { .. }
            | Self::Connect { .. }
            | Self::UnknownAuthority { .. }
            | Self::Proxy(_)
            | Self::Timeout { .. }
            | Self::Closed
            | Self::ConnectionLost { .. }
            | Self::Unresponsive
            | Self::NotText
            | Self::Flapping
            | Self::TooManyConnections => RetryDelay::Backoff,
        }
    }

    /// What a person can do. `None` if only time can help.
    pub(super) fn remedy(&self) -> Option<Remedy> {
        match self {
            Self::Api(error) => error.remedy(),
            Self::InvalidUrl { .. } => Some(CHECK_ADDRESS),
            Self::UnknownAuthority { .. } => Some(UNKNOWN_AUTHORITY),
            Self::Proxy(error) => Some(proxy_remedy(error)),
            Self::Connect { .. } | Self::Timeout { .. } => Some(Remedy::new(
                "check that the firewall or the proxy lets WebSockets (wss) through to this host",
            )),
            Self::Disabled => Some(Remedy::setting(
                Setting::Interactivity,
                "switch on Socket Mode in the settings of the Slack app, or use HTTP callbacks",
            )),
            Self::OtherApp { .. } => {
                Some(Remedy::setting(Setting::BothTokens, "copy both tokens from the pages of one app"))
            }
            Self::TooManyConnections => Some(Remedy::new(
                "Slack allows ten per app: stop other programs that use this app's app-level token",
            )),
            Self::Closed
            | Self::ConnectionLost { .. }
            | Self::Unresponsive
            | Self::NotText
            | Self::Flapping => None,
        }
    }
}
