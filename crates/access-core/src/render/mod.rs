//! What Slack shows: messages as Block Kit data, within Slack's limits for any input.
//!
//! Start at [`card`](mod@card) for the message about a request and at [`reply`] for its thread. Nothing here decides who
//! sees a message or when.

mod clean;
pub mod mrkdwn;
pub mod blocks;
pub mod card;
pub mod reply;

pub use blocks::Message;

#[cfg(test)]
mod tests;
