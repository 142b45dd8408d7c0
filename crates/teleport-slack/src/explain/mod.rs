//! `teleport-slack explain`: says of one request who was notified, who was not and why, what is left to do, and who may still
//! decide. It changes nothing.
//!
//! `gather.rs` reads; `request.rs`, `messages.rs` and `deciding.rs` turn the facts into an [`Explanation`] without I/O;
//! `output.rs` prints it. What is missing in Slack the controller itself says (`controller::view`), so that
//! this command and the daemon cannot disagree.

pub mod explanation;
mod deciding;
mod gather;
mod messages;
pub mod output;
mod request;

use std::collections::BTreeMap;

use access_core::domain::ids::{ChannelId, MessageTs, RequestId};
use access_core::domain::lifecycle::phase;
use access_core::domain::recipients::RecipientKey;
use access_core::policy::{Mode, Rules, Voters};
use jiff::Timestamp;
use slack_client::lookup::Lookup;

use crate::controller::view::View;
use explanation::{Explanation, ReachedPart};
pub(crate) use gather::gather;

/// All that an explanation is made of.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) id: RequestId,
    /// The cluster's name.
    pub(crate) cluster: String,
    pub(crate) reached: ReachedPart,
    pub(crate) now: Timestamp,
    pub(crate) view: View,
    /// Deciding in Slack; `None` if it is off.
    pub(crate) review: Option<ReviewFacts>,
    pub(crate) slack: SlackFacts,
}

/// What the configuration and Teleport say of deciding in Slack, and what was read of those who voted.
#[derive(Debug)]
pub(crate) struct ReviewFacts {
    /// The mode in effect.
    pub(crate) mode: Option<Mode>,
    pub(crate) rules: Rules,
    pub(crate) voters: Voters,
    /// Why those who voted could not be read.
    pub(crate) unread: Option<String>,
}

/// What Slack said: names, addresses of messages, and what stands against posts.
#[derive(Debug, Default)]
pub(crate) struct SlackFacts {
    /// Why Slack could not be asked.
    pub(crate) failure: Option<String>,
    /// What people and channels are called, by id: how Slack shows a person, a channel's name with `#`.
    pub(crate) names: BTreeMap<String, String>,
    /// E-mail addresses of people who are named by their ids.
    pub(crate) emails: BTreeMap<RecipientKey, String>,
    /// How many ids were not asked for, because there are too many.
    pub(crate) unasked: usize,
    /// Where people see the messages.
    pub(crate) links: BTreeMap<(ChannelId, MessageTs), Lookup<String>>,
    /// Cause and remedy of what stands against a post.
    pub(crate) obstacles: BTreeMap<RecipientKey, (String, String)>,
}

impl Facts {
    /// What a person or a channel of this id is called. A direct message is called as the person.
    fn name_of(&self, id: &str) -> Option<String> {
        let names = &self.slack.names;
        if let Some(name) = names.get(id) {
            return Some(name.clone());
        }
        let deliveries = &self.view.record.deliveries;
        let delivery = deliveries.iter().find(|delivery| delivery.channel.as_str() == id)?;
        let recipient = delivery.key.as_ref().filter(|_| id.starts_with('D'))?.as_str();
        Some(names.get(recipient).cloned().unwrap_or_else(|| recipient.to_owned()))
    }
}

/// What the facts come to.
pub(crate) fn explain(facts: &Facts) -> Explanation {
    let current = phase(facts.view.listed.as_ref(), facts.view.record.known.as_ref(), facts.now);
    Explanation {
        request: request::request_part(facts, current),
        record: request::record_part(facts),
        messages: messages::messages(facts),
        not_notified: messages::not_notified(facts),
        operations: messages::operations(facts),
        claim: messages::claim(facts),
        deciding: deciding::deciding(facts, current),
        reached: facts.reached.clone(),
        not_visible: request::not_visible(facts),
    }
}

#[cfg(test)]
mod tests;
