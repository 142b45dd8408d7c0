//! What Slack sends of its own accord when users act: signed requests or envelopes, and what goes with them.
//!
//! `payload.rs` says what is sent, `signature.rs` and `forgery.rs` how it is signed or corrupted, `dispatch.rs` which
//! way it goes and for how long, `log.rs` what became of it. `triggers.rs` and `hooks.rs` hold what an app may do
//! with a payload afterwards. Who acts, and what they see, is in `users/`; sockets are in `socket/`.

pub mod signature;
pub mod forgery;
pub mod log;
pub(super) mod payload;
pub(super) mod triggers;
pub(super) mod hooks;
pub(super) mod dispatch;
mod request;

use std::time::Duration;

use serde::Serialize;

/// Slack's time limits. Tests shorten them.
#[derive(Debug, Clone, Copy)]
pub struct Timings {
    /// How long the app has to acknowledge before the user sees a warning.
    pub ack: Duration,
    /// How long a `trigger_id` opens a view.
    pub trigger: Duration,
    /// How long a `response_url` takes messages.
    pub response_url: Duration,
    /// Between the pings that a socket's server sends; not zero. A client that answers none of three is dropped.
    pub ping: Duration,
    /// How long a socket lives before the app is asked to open another; at most a year.
    pub connection: Duration,
    /// How long the server keeps the TCP connection of a socket after the closing handshake.
    pub linger: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Timings {
            ack: Duration::from_secs(3),
            trigger: Duration::from_secs(3),
            response_url: Duration::from_secs(30 * 60),
            ping: Duration::from_secs(10),
            connection: Duration::from_secs(3_600),
            linger: Duration::from_secs(5),
        }
    }
}

/// Why a user's client shows a warning sign beside what they did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "snake_case")]
pub enum Warning {
    /// There is neither Socket Mode nor a request URL.
    #[error("the app is not set up to hear of this")]
    NotConfigured,
    /// The app did not acknowledge in time. It may still do what was asked.
    #[error("the app did not answer in time")]
    TimedOut,
    /// No connection, or it broke.
    #[error("the app cannot be reached: {0}")]
    Unreachable(String),
    /// An HTTP status other than 200.
    #[error("the app answered HTTP {0}")]
    Status(u16),
    /// An acknowledgement that Slack cannot use.
    #[error("the app's answer is of no use: {0}")]
    BadAnswer(String),
}

/// Sixteen random bytes in hexadecimal digits, for names that must not be guessed.
pub(super) fn random_token() -> String {
    let mut bytes = [0; 16];
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    if provider.secure_random.fill(&mut bytes).is_err() {
        // Without the system's randomness a simulator may still go on; no real user is behind these names.
        bytes = fastrand::u128(..).to_be_bytes();
    }
    signature::hex(&bytes)
}
