//! Simulates a Teleport auth server: gRPC over mutual TLS with a throw-away authority; and a proxy before it ([`proxy`]).
//!
//! [`TeleportSim`] is the way in. Where the behavior of a real server is known, the simulator keeps it, release by release
//! ([`ServerVersion`]); where it is not, the simulator takes the stricter reading. Not simulated: second factors of
//! users, login, sessions, predicates other than the ones that [`fixture`] can express, HTTP/2 ping limits.

pub mod fixture;
pub mod call_log;
pub mod presets;
pub mod request;
pub mod refusal;
pub mod audit;
pub mod faults;
pub mod certs;
mod options;
mod sim;
mod text;
mod caller;
mod plugin_item;
mod watchers;
mod cache;
mod wire;
mod state;
mod rules;
mod creation;
mod lifecycle;
mod review;
mod listing;
mod plugin_data;
mod watch;
mod impersonate;
mod cluster;
mod subject;
mod service;
mod users_service;
mod server;
mod web_certs;
pub mod proxy;
pub mod relay;
mod ssh;
mod encoding;

pub use options::{Options, ServerVersion};
pub use sim::TeleportSim;

#[cfg(test)]
mod tests;
