//! `teleport-slack render`: what Slack would show of a request, in every phase and for every audience, without posting it.
//!
//! `subject.rs` reads the request, from Teleport or as `tctl` printed it; `items.rs` asks `access_core` for the messages, modals
//! and answers, by the code by which the daemon plans and answers. `drawing.rs` draws their JSON for a terminal, `judge.rs` asks
//! Slack whether it would show them, `output.rs` prints.

pub(crate) mod canvas;
mod drawing;
pub mod items;
pub(crate) mod judge;
mod limits;
pub(crate) mod mrkdwn;
pub(crate) mod output;
pub(crate) mod subject;
