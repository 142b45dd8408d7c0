//! Rendering judged from outside: against what the Go plugin sent, and against Slack's limits with hostile input.

mod golden;
pub(crate) mod hostile;
pub(in crate::render) mod oracle;
