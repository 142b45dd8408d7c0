//! What Slack shows: messages as Block Kit data, within Slack's limits for any input.
//!
//! Start at [`request_message`](mod@request_message) for the message about a request, at [`thread_reply`] for its thread,
//! at [`modal`] for the form that asks for a reason and at [`ephemeral`] for the answer that only the person who clicked
//! sees. Nothing here decides who sees a message or when.

pub mod answers;
mod disarm;
pub mod ephemeral;
pub mod late;
pub mod request_message;
pub mod samples;
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
