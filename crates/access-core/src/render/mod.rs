//! What Slack shows: messages as Block Kit data, within Slack's limits for any input.
//!
//! Start at [`card`](mod@card) for the message about a request, at [`reply`] for its thread, at [`modal`] for the dialogue
//! and at [`answer`] for what is told to the person who clicked. Nothing here decides who sees a message or when.

mod clean;
mod disarm;
pub mod mrkdwn;
pub mod elements;
pub mod blocks;
pub mod card;
pub mod reply;
pub mod modal;
pub mod answer;

pub use blocks::Message;

#[cfg(test)]
mod tests;
