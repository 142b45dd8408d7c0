//! The daemon: configuration, clients for Teleport and Slack, the runtime that joins them, the command line.
//!
//! It carries out what `access-core` decides. Modules in reading order.

pub mod app;
pub mod cli;
pub mod config;
pub mod error;
pub mod observe;
pub mod runtime;
pub mod slack;
pub mod teleport;
