//! The decisions of `teleport-slack`: which phase a request is in, who is told, who may decide, what each
//! message says, and which steps bring Slack in line with Teleport.
//!
//! Nothing here is async, does I/O, reads a clock or uses randomness: facts, `now` and seeds are arguments.
//! Modules in reading order.

pub mod ids;
pub mod request;
pub mod lifecycle;
pub mod skew;
pub mod role_pattern;
pub mod recipients;
pub mod record;
pub mod claim;
pub mod votes;
pub mod signature;
pub mod control;
pub mod interaction;
pub mod identity;
pub mod refusal;
pub mod shown_cluster;
pub mod policy;
pub mod render;
pub mod plan;
pub mod backoff;
