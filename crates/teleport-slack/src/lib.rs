//! The daemon: configuration, clients for Teleport and Slack, the runtime that joins them, the command line.
//!
//! It carries out what `access-core` decides. Modules in reading order.

pub mod cli;
pub mod secret;
mod secret_shape;
mod files;
pub mod config;
pub mod observe;
pub mod teleport;
pub mod slack;
pub mod http;
pub mod runtime;
mod slack_checks;
mod deciding;
mod startup;
pub mod causes;
pub mod app;
mod visible;
pub mod error;
#[cfg(test)]
mod captured;
