//! From bytes that claim to be Slack's to one decision and one answer.
//!
//! Order: `receiver` (signature, replay, repetition) → `command` (what is asked) → `facts` (what the verdict depends on) →
//! `handler` (verdict, call to Teleport) → `respond` (what the person reads).

pub mod respond;
pub(crate) mod command;
pub mod handler;
pub mod other_cluster;
pub mod receiver;
pub mod facts;
