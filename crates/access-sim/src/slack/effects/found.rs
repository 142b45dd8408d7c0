//! What is found in a message.

use serde::Serialize;

/// Everything found in one message, in reading order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Effects {
    /// `channel`, `here` or `everyone`.
    pub broadcasts: Vec<String>,
    /// User ids.
    pub users: Vec<String>,
    /// User group ids.
    pub usergroups: Vec<String>,
    /// Channel ids, or `#name` where Slack would find the name by itself.
    pub channels: Vec<String>,
    /// Links, images and buttons that open a page.
    pub links: Vec<Link>,
    /// Dates shown in the reader's zone.
    pub dates: Vec<Date>,
    /// Angle brackets that mean nothing to Slack: text that should have been escaped.
    pub unrecognized: Vec<String>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The address that the link leads to.
    pub url: String,
    /// What users read instead, if anything; it can lie.
    pub label: Option<String>,
    /// How it came to be one.
    pub kind: LinkKind,
}

impl Link {
    pub(in crate::slack) fn new(url: &str, label: Option<&str>, kind: LinkKind) -> Self {
        Link { url: url.to_owned(), label: label.map(str::to_owned), kind }
    }
}

/// How a link came to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LinkKind {
    /// The sender wrote it as a link.
    Written,
    /// Slack found it in the text by itself.
    Automatic,
    /// A button or menu entry.
    Button,
    /// An image that is fetched.
    Image,
}

/// A date that each reader sees in their own zone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Date {
    /// Seconds since 1970.
    pub timestamp: i64,
    /// Slack's token string.
    pub format: String,
    /// What old clients show.
    pub fallback: Option<String>,
}
