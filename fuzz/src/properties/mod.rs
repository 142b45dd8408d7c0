//! One file per target, and the validator of what Slack accepts.

pub(crate) mod callback;
pub(crate) mod frame;
pub(crate) mod identity;
pub(crate) mod record;

#[path = "../../../crates/access-core/src/render/tests/oracle.rs"]
mod oracle;
