//! What Slack shows: messages as Block Kit data, within Slack's limits for any input.

pub mod mrkdwn;
pub mod blocks;
pub mod card;
pub mod reply;

pub use blocks::Message;
