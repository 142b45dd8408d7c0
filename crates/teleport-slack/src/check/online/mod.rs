//! What Teleport and Slack answer, by calls that change nothing.
//!
//! Each file asks about one thing, and turns each answer into an item by a function without I/O. No Socket Mode connection
//! is opened, because Slack would hand it clicks. What the daemon checks when it starts, it asks here too.

mod callback;
mod failure;
pub(crate) mod layouts;
mod listeners;
mod people;
pub(crate) mod recipients;
mod running;
pub(crate) mod scopes;
mod slack;
mod teleport;
mod test_messages;

use std::path::Path;

use super::report::{Item, ItemId, REMEDY_ABOVE};
use crate::causes::Exit;
use crate::config::Config;

pub(crate) use failure::slack_exit;
pub(crate) use teleport::{cause_of, exit_of, way_to_teleport};

/// What to do besides looking.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// Post a message to each recipient and remove it.
    pub send_test: bool,
}

/// Of a configuration that cannot be used: neither side can be asked.
pub fn unasked((exit, obstacle): (Exit, &str)) -> Vec<Item> {
    let asked = |id: &ItemId| *id >= ItemId::TeleportServer && *id != ItemId::SlackTestMessages;
    let ids = ItemId::ALL.into_iter().filter(asked);
    let cause = format!("{obstacle}, so neither side can be asked");
    Item::none_looked_at(ids, exit, &cause, REMEDY_ABOVE)
}

/// Asks both sides, side by side, and then Slack about those that only Teleport could name. In the order of the document.
pub async fn items(config: &Config, path: &Path, options: Options) -> Vec<Item> {
    let (teleport, slack, callback, listeners) = tokio::join!(
        teleport::ask(config),
        slack::ask(config, options),
        callback::item(config),
        listeners::items(config, path)
    );
    let mut items = teleport.items;
    items.extend(slack.items);
    items.extend(callback);
    items.extend(listeners);
    if let (Some(review), Some((client, our))) = (&config.review, &slack.workspace) {
        items.extend(people::items(client, review, our, &teleport.users).await);
    }
    items.sort_by_key(|item| item.id);
    items
}
