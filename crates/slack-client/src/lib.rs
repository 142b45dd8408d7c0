//! Slack's Web API and Socket Mode, as far as the daemon needs them. The only crate that knows Slack's wire format.
//!
//! Every method is one call with a deadline and no retries: the caller asks the error how to go on. The caller also
//! decides on order and repetition; `access-core` decides what a message says. See `client` for the methods, `error` for
//! what can go wrong, `directory` for look-ups with a memory, `history` for finding messages again, `replies` for what
//! only the person sees who pressed a button, `socket_mode` for interactions that arrive over a WebSocket.

mod broken;
pub mod error;
mod replies;
mod error_codes;
mod redact;
mod remedy;
pub mod socket_mode;
mod rate_limit;
pub mod method;
pub mod observer;
mod names;
pub mod objects;
pub mod directory;
pub mod history;
pub mod lookup;
pub mod manifest;
pub mod usergroups;
pub mod validation;
mod cache;
pub mod callback_probe;
mod client;
mod api_url;
mod response_url;
mod transport;
mod timings;
mod token;
mod wire;

pub use client::{Client, ClientOptions, DEFAULT_API_URL, Metadata, PostMessage};
pub use timings::CallTimings;
pub use token::TokenStatus;
