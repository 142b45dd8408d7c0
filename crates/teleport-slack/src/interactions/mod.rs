//! From bytes that claim to be from Slack to one decision and one reply.
//!
//! Order: `receiver` (signature, replay, repetition) → `command` (the decision) → `facts` (what the verdict depends on) →
//! `handler` (verdict, call to Teleport) → `respond` (the reply to the user) → `late_replies` (if Slack is away).

pub mod respond;
pub(crate) mod command;
pub mod current_handler;
pub mod handler;
pub mod other_cluster;
pub mod receiver;
pub mod late_replies;
pub(crate) mod waiting_replies;
mod replies;
mod refusals;
mod timings;
mod voting;
pub mod facts;

pub use timings::InteractionTimings;
