//! The modals: a form that asks for a reason, and a notice.

use super::blocks::Block;
use super::elements::{Plain, decision_label};
use crate::interaction::controls::{ModalState, NOTICE, REASON};

const MAX_VIEW_TITLE: usize = 24;
const MAX_VIEW_BLOCKS: usize = 100;

/// A modal, as the `view` argument of `views.open`.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(tag = "type", rename = "modal")]
pub struct View {
    callback_id: &'static str,
    #[serde(skip_serializing_if = "String::is_empty")]
    private_metadata: String,
    title: Plain,
    #[serde(skip_serializing_if = "Option::is_none")]
    submit: Option<Plain>,
    close: Plain,
    blocks: Vec<Block>,
}

impl View {
    /// The modal for a reason with its first 100 blocks; `None` if `state` holds an invalid id.
    pub fn reason(state: &ModalState, title: Plain, mut blocks: Vec<Block>) -> Option<Self> {
        blocks.truncate(MAX_VIEW_BLOCKS);
        Some(Self {
            callback_id: REASON,
            private_metadata: state.encode()?,
            title: title.truncated(MAX_VIEW_TITLE),
            submit: Some(Plain::of(decision_label(state.decision)).truncated(MAX_VIEW_TITLE)),
            close: Plain::of("Cancel").truncated(MAX_VIEW_TITLE),
            blocks,
        })
    }

    /// A modal that only shows a notice.
    pub fn notice(title: Plain, blocks: Vec<Block>) -> Self {
        Self {
            callback_id: NOTICE,
            private_metadata: String::new(),
            title: title.truncated(MAX_VIEW_TITLE),
            submit: None,
            close: Plain::of("Close").truncated(MAX_VIEW_TITLE),
            blocks,
        }
    }
}
