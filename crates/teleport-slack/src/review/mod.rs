//! Which Teleport user a Slack user is, whether Teleport takes reviews for users, and the decision that votes reach.
//!
//! Both the interactions and the controller need it: an interaction applies a decision, and a reconcile applies one that is
//! still pending. `access_core::policy` holds the rules.

pub mod users;
pub mod resolver;
pub mod review_support;
mod timings;
pub mod voters;

pub use timings::ReviewTimings;
