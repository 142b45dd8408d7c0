//! Block Kit's documented limits, checked more strictly than Slack does: an unknown block, a misspelt field or an
//! empty text is refused, never ignored.
//!
//! Lengths count characters (Unicode scalar values). Kinds of blocks that no access request needs (tables, video,
//! cards and so on) are refused as unknown. Views come with interactivity and are not checked here.

mod shape;
mod blocks;
mod elements;
mod rich_text;

use serde_json::Value;

use shape::Findings;

/// Blocks in one message.
pub const MAX_BLOCKS: usize = 50;

/// Why Slack would not take the blocks of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlocksRefused {
    /// Not an array of objects.
    #[error("blocks must be a JSON array of objects")]
    Format,
    /// More than [`MAX_BLOCKS`].
    #[error("{0} blocks, Slack takes {MAX_BLOCKS}")]
    TooMany(usize),
    /// At least one breaks a rule; each line names the place by its JSON pointer.
    #[error("blocks break Slack's rules: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl BlocksRefused {
    /// Slack's short error code.
    pub fn code(&self) -> &'static str {
        match self {
            BlocksRefused::Format => "invalid_blocks_format",
            BlocksRefused::TooMany(_) => "msg_blocks_too_long",
            BlocksRefused::Invalid(_) => "invalid_blocks",
        }
    }
}

/// Checks the `blocks` of a message.
pub fn check_blocks(blocks: &Value) -> Result<(), BlocksRefused> {
    let blocks = blocks.as_array().ok_or(BlocksRefused::Format)?;
    if blocks.iter().any(|block| !block.is_object()) {
        return Err(BlocksRefused::Format);
    }
    if blocks.len() > MAX_BLOCKS {
        return Err(BlocksRefused::TooMany(blocks.len()));
    }
    let mut findings = Findings::default();
    blocks::check_all(blocks, &mut findings);
    let messages = findings.into_messages();
    if messages.is_empty() { Ok(()) } else { Err(BlocksRefused::Invalid(messages)) }
}

#[cfg(test)]
mod tests;
