//! What Slack shows: messages as Block Kit data, within Slack's limits for any input.
//!
//! Start at [`card`](mod@card) for the message about a request, at [`reply`] for its thread, at [`modal`] for the dialogue
//! and at [`answer`] for what is told to the person who clicked. Nothing here decides who sees a message or when.

mod disarm;
pub mod ephemeral;
pub mod request_message;
mod sanitize;
pub mod thread_reply;
pub mod mrkdwn;
pub mod elements;
pub mod view;
pub mod blocks;
pub mod modal;

pub use blocks::Message;

#[cfg(test)]
mod tests;
