//! A client of Teleport's auth server: all calls to it, and the watch on its access requests.
//!
//! The only crate that knows tonic, prost and Teleport's certificates; what leaves it is in `access_core`'s words. It
//! decides nothing, knows neither configuration nor metrics, and reports what it does to an [`observer::Observer`]. Reading order:
//! `client.rs`, then the calls that it makes (`requests.rs`, `plugin_data.rs`, `decisions.rs`, `users.rs`, `rights.rs`, `right_probes.rs`),
//! then `watcher.rs`.

pub mod address;
mod broken;
mod call;
mod client;
mod connect;
pub mod convert;
pub mod credentials;
pub mod decisions;
pub mod denied;
pub mod error;
pub mod events;
pub mod identity;
mod kind;
pub mod listing;
pub mod observer;
mod pem;
pub mod plugin_data;
pub mod refusal;
pub mod request_json;
mod requests;
pub mod resources;
pub mod review_support;
pub mod right_probes;
pub mod rights;
mod route;
pub mod second_factor;
pub mod signer;
mod text;
mod timings;
pub mod users;
pub mod visibility;
pub mod watcher;

#[cfg(test)]
mod tests;

pub use self::address::{Destination, TeleportAddr};
pub use self::client::{Client, Pong};
pub use self::connect::Reach;
pub use self::credentials::Credentials;
pub use self::timings::{CallTimings, WatcherTimings};
