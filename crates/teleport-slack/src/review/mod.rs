//! Who a person is at this moment, what Teleport can do for them, and the decision that their votes come to.
//!
//! Both the interactions and the controller need it: a click applies a decision, and a reconcile applies one that nobody
//! applied. What counts, `access_core::policy` says.

pub mod users;
pub mod resolver;
pub mod review_support;
pub mod voters;
