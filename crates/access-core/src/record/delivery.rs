//! One message in Slack as the record knows it, and the operations upon it.

use serde::{Deserialize, Serialize};

use crate::domain::ids::{ChannelId, MessageTs, SlackUserId};
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::{RecipientKey, is_slack_id};

/// One message's share of the work; its name while it waits to be tried again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operation {
    /// Post a message for a recipient who has none.
    Post(RecipientKey),
    /// Keep a delivered message up to date.
    Update(ChannelId, MessageTs),
    /// Post reviews and votes in a delivered message's thread.
    Reply(ChannelId, MessageTs),
}

/// What a thread shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepliesPosted {
    /// So many of the request's reviews.
    Reviews(u32),
    /// So many of the votes in Slack.
    Votes(u32),
}

impl RepliesPosted {
    /// How many.
    pub fn count(self) -> u32 {
        match self {
            Self::Reviews(count) | Self::Votes(count) => count,
        }
    }
}

/// One posted message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The recipient; `None` for a message of the Go plugin, which does not record it.
    pub key: Option<RecipientKey>,
    /// The conversation's id: `C…`, `G…` or `D…`.
    pub channel: ChannelId,
    /// The message's `ts`, its id within the conversation.
    pub ts: MessageTs,
    /// What Slack confirmed that it shows; `None` if that is unknown.
    pub displayed: Option<DisplayedState>,
    /// How many reviews its thread shows.
    pub review_replies: u32,
    /// How many votes its thread shows.
    pub vote_replies: u32,
    /// Whether it cannot be updated any more: it was deleted, or Slack refuses to edit it for good.
    pub is_unreachable: bool,
    /// The account behind a direct message, if the recipient is named otherwise: so that no user gets a second one by the id.
    pub user: Option<SlackUserId>,
}

/// What a message shows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DisplayedState {
    /// The phase it shows.
    #[serde(rename = "p")]
    pub phase: Phase,
    /// The digest of the whole message.
    #[serde(rename = "d")]
    pub digest: String,
}

/// A delivery as JSON; short names, as the server's space is shared with other plugins.
#[derive(Serialize, Deserialize)]
pub(super) struct DeliveryJson {
    #[serde(rename = "k", default, skip_serializing_if = "Option::is_none")]
    pub(super) key: Option<RecipientKey>,
    #[serde(rename = "c")]
    pub(super) channel: ChannelId,
    #[serde(rename = "t")]
    pub(super) ts: MessageTs,
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    pub(super) displayed: Option<DisplayedState>,
    #[serde(rename = "r", default)]
    pub(super) review_replies: u32,
    #[serde(rename = "v", default, skip_serializing_if = "is_zero")]
    pub(super) vote_replies: u32,
    #[serde(rename = "x", default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_unreachable: bool,
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    pub(super) user: Option<SlackUserId>,
}

impl Delivery {
    pub(crate) fn is_at(&self, channel: &ChannelId, ts: &MessageTs) -> bool {
        self.channel == *channel && self.ts == *ts
    }

    /// Whether both are for one channel, which was named by its id or by a name. A message that Slack placed there for a
    /// recipient elsewhere is not.
    pub(crate) fn is_in_channel_of(&self, other: &Self) -> bool {
        let is_for_it = |delivery: &Self| {
            let key = delivery.key.as_ref();
            key.is_some_and(|key| key.is_channel_name() || key.as_str() == delivery.channel.as_str())
        };
        let is_channel = is_slack_id(self.channel.as_str(), &['C', 'G']);
        is_channel && self.channel == other.channel && is_for_it(self) && is_for_it(other)
    }
}

impl From<&Delivery> for DeliveryJson {
    fn from(delivery: &Delivery) -> Self {
        let Delivery { key, channel, ts, displayed, review_replies, vote_replies, is_unreachable, user } =
            delivery.clone();
        Self { key, channel, ts, displayed, review_replies, vote_replies, is_unreachable, user }
    }
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}
