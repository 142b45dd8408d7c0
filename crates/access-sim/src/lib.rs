//! Simulates what surrounds the daemon: a Teleport auth server and a Slack workspace behind real
//! sockets, stricter than the real ones, for tests and for the demo.
//!
//! It knows nothing of the daemon's types. Modules in reading order.

pub mod teleport;
pub mod captured;
pub mod tcp_proxy;
pub mod name_table;
pub mod name_server;
pub mod forward_proxy;
pub mod tls_front;
pub mod call_sequence;
pub mod demo_ui;
pub mod slack;
mod reserved_addr;
mod tasks;
