//! Pretends to be a Teleport auth server: gRPC over mutual TLS with a throw-away authority.
//!
//! [`TeleportSim`] is the way in. Where a real server's behaviour is known it is kept, release by release
//! ([`Era`]); where it is not, the simulator takes the stricter reading. Not simulated: second factors that
//! somebody has, login, sessions, predicates other than the ones that [`world`] can express, HTTP/2 ping limits.

pub mod world;
pub mod call_log;
pub mod presets;
pub mod request;
pub mod refusal;
pub mod audit;
pub mod faults;
pub mod certs;
mod options;
mod sim;
mod rules;
mod state;
mod creation;
mod lifecycle;
mod review;
mod listing;
mod cache;
mod plugin_data;
mod watch;
mod impersonate;
mod wire;
mod subject;
mod service;
mod users_service;
mod server;
mod ssh;
mod encoding;

pub use options::{Options, ServerVersion};
pub use sim::TeleportSim;

#[cfg(test)]
mod tests;
