//! What a message is made of: the arguments that all ways of posting and editing have in common.

use serde_json::{Value, json};

use super::super::arguments::{Arguments, NotJson};
use super::super::effects::Formatting;
use super::super::limits::{self, BlocksRefused};
use super::super::message::Message;
use super::super::reply::ApiError;

const MAX_ATTACHMENTS: usize = 100;
const MAX_MARKDOWN: usize = 12_000;

/// The parts of a message that were sent; `None` means left out, which an update treats unlike empty.
pub(super) struct Content {
    pub(super) text: Option<String>,
    pub(super) blocks: Option<Vec<Value>>,
    pub(super) attachments: Option<Vec<Value>>,
    pub(super) formatting: Formatting,
}

impl Content {
    pub(super) fn read(arguments: &Arguments) -> Result<Self, ApiError> {
        let text = arguments.text("text")?.map(str::to_owned);
        let mut blocks = read_blocks(arguments)?;
        let attachments = read_attachments(arguments)?;
        if let Some(markdown) = arguments.text("markdown_text")? {
            if text.is_some() || blocks.is_some() {
                return Err(ApiError::new("markdown_text_conflict"));
            }
            if markdown.is_empty() {
                return Err(ApiError::new("no_text"));
            }
            if markdown.chars().count() > MAX_MARKDOWN {
                return Err(ApiError::new("msg_too_long"));
            }
            blocks = Some(vec![json!({ "type": "markdown", "text": markdown })]);
        }
        let parse = arguments.text("parse")?.map(str::to_owned);
        if parse.as_deref().is_some_and(|parse| parse != "none" && parse != "full") {
            return Err(ApiError::argument("[ERROR] must be none or full [json-pointer:/parse]".to_owned()));
        }
        let formatting = Formatting {
            parse,
            link_names: arguments.flag("link_names")?,
            mrkdwn: arguments.flag("mrkdwn")?,
        };
        Ok(Content { text, blocks, attachments, formatting })
    }

    /// Whether users would see anything.
    pub(super) fn says_something(&self) -> bool {
        self.text.as_deref().is_some_and(|text| !text.is_empty())
            || self.blocks.as_deref().is_some_and(|blocks| !blocks.is_empty())
            || self.attachments.as_deref().is_some_and(|attachments| !attachments.is_empty())
    }

    /// Puts all of it into a message, in place of whatever stands there.
    pub(super) fn fill(self, message: &mut Message) {
        message.text = self.text.unwrap_or_default();
        message.blocks = self.blocks.unwrap_or_default();
        message.attachments = self.attachments.unwrap_or_default();
        message.formatting = self.formatting;
    }
}

fn read_blocks(arguments: &Arguments) -> Result<Option<Vec<Value>>, ApiError> {
    let blocks = match arguments.structured("blocks") {
        Ok(None) => return Ok(None),
        Ok(Some(blocks)) => blocks,
        Err(NotJson) => return Err(ApiError::new("invalid_blocks_format")),
    };
    check_blocks(&blocks)?;
    Ok(blocks.as_array().cloned())
}

fn check_blocks(blocks: &Value) -> Result<(), ApiError> {
    limits::check_blocks(blocks).map_err(|refused| match &refused {
        BlocksRefused::Invalid(messages) => {
            ApiError::new(refused.code()).because(messages.clone()).with("errors", json!(messages))
        }
        BlocksRefused::Format | BlocksRefused::TooMany(_) => ApiError::new(refused.code()),
    })
}

fn read_attachments(arguments: &Arguments) -> Result<Option<Vec<Value>>, ApiError> {
    let attachments = match arguments.structured("attachments") {
        Ok(None) => return Ok(None),
        Ok(Some(Value::Array(attachments))) => attachments,
        Ok(Some(_)) | Err(NotJson) => return Err(ApiError::new("invalid_attachments")),
    };
    if attachments.len() > MAX_ATTACHMENTS {
        return Err(ApiError::new("too_many_attachments"));
    }
    for attachment in &attachments {
        let Some(attachment) = attachment.as_object() else {
            return Err(ApiError::new("invalid_attachments"));
        };
        // slack-go sends null where there are none.
        if let Some(blocks) = attachment.get("blocks").filter(|blocks| !blocks.is_null()) {
            check_blocks(blocks)?;
        }
    }
    Ok(Some(attachments))
}
