//! Block Kit's documented limits, checked more strictly than Slack does: an unknown block, a misspelt field or an
//! empty text is refused, never ignored.
//!
//! Lengths count characters (Unicode scalar values). Kinds of blocks that no access request needs (tables, video
//! and so on) are refused as unknown. `views.rs` checks what a modal adds to blocks.

mod shape;
mod blocks;
mod elements;
mod views;
mod rich_text;

use serde_json::Value;

use blocks::Surface;
use shape::LayoutErrors;

/// Blocks in one message.
pub const MAX_BLOCKS: usize = 50;

/// A view as JSON: 250 kB.
pub const MAX_VIEW_BYTES: usize = 250_000;

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
    let mut findings = LayoutErrors::of("blocks");
    blocks::check_all(blocks, Surface::Message, &mut findings);
    let messages = findings.into_messages();
    if messages.is_empty() { Ok(()) } else { Err(BlocksRefused::Invalid(messages)) }
}

/// Why Slack would not take a view.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ViewRefused {
    /// More than [`MAX_VIEW_BYTES`] as JSON.
    #[error("a view of {0} bytes, Slack takes {MAX_VIEW_BYTES}")]
    TooLarge(usize),
    /// It breaks a rule; each line names the place by its JSON pointer.
    #[error("the view breaks Slack's rules: {}", .0.join("; "))]
    Invalid(Vec<String>),
}

impl ViewRefused {
    /// Slack's short error code.
    pub fn code(&self) -> &'static str {
        match self {
            ViewRefused::TooLarge(_) => "view_too_large",
            ViewRefused::Invalid(_) => "invalid_arguments",
        }
    }
}

/// Checks a modal view.
pub fn check_view(view: &Value) -> Result<(), ViewRefused> {
    let bytes = view.to_string().len();
    if bytes > MAX_VIEW_BYTES {
        return Err(ViewRefused::TooLarge(bytes));
    }
    let mut findings = LayoutErrors::of("view");
    views::check(view, &mut findings);
    let messages = findings.into_messages();
    if messages.is_empty() { Ok(()) } else { Err(ViewRefused::Invalid(messages)) }
}

#[cfg(test)]
mod tests;
