//! Pretends to be the world around the daemon: a Teleport auth server and a Slack workspace behind real
//! sockets, stricter than the real ones, for tests and for the demo.
//!
//! It knows nothing of the daemon's types. Modules in reading order.

pub mod breaker;
pub mod order;
pub mod teleport;
pub mod slack;
pub mod page;
mod tasks;
