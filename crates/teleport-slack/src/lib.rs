//! The daemon: configuration, clients for Teleport and Slack, the controller that joins them, the command line.
//!
//! It applies what `access-core` decides. Modules from the top layer down; imports go down only.

#![allow(missing_docs, reason = "a program: comments say what names do not")]

pub mod cli;
pub mod app;
pub mod explain;
pub mod render;
pub mod check;
pub mod interactions;
pub mod status;
pub mod controller;
pub mod http;
pub mod review;
pub mod observe;
pub mod exit;
pub mod causes;
pub mod config;
pub mod supervise;
mod secret_shape;
