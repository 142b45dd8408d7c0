//! The decisions of `teleport-slack`: which phase a request is in, who is notified, who may decide, what each
//! message says, and which steps bring Slack in line with Teleport.
//!
//! Nothing here is async, does I/O, reads a clock or uses randomness: facts, `now` and seeds are arguments.
//! Modules from the lowest layer up; imports go down only.

pub mod domain;
pub mod record;
pub mod interaction;
pub mod policy;
pub mod render;
pub mod plan;
