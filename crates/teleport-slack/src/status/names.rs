//! How Slack calls the people and channels of which the state has the ids, as far as it has said so: nothing is asked for it.

use std::collections::{BTreeMap, BTreeSet};

use access_core::domain::ids::{ChannelId, SlackUserId};
use access_core::domain::recipients::is_slack_id;

use super::Connected;
use super::view::{Copy, View, text};

/// The ids that have names: of people, of channels, and of direct messages, which are called as the person.
const INITIALS: [char; 5] = ['U', 'W', 'C', 'G', 'D'];

/// What the client remembers of this id.
pub(super) fn known(connected: &Connected, id: &str) -> Option<String> {
    let (slack, auth) = (&connected.slack, &connected.auth);
    if id == auth.user_id.as_str() && !auth.user_name.is_empty() {
        return Some(auth.user_name.clone());
    }
    slack.known_name(&SlackUserId::new(id)).or_else(|| slack.known_channel_name(&ChannelId::new(id)))
}

/// How Slack calls what a text is, or ends with, such as `edits in C0TEAM`.
pub(super) fn name_of<'a>(text: &str, names: &'a BTreeMap<String, String>) -> Option<&'a str> {
    names.get(last_word(text)).map(String::as_str)
}

pub(super) fn last_word(text: &str) -> &str {
    text.rsplit(' ').next().unwrap_or(text)
}

/// The name of each id in the view that has one. `known`: what Slack has said of an id.
pub(super) fn names(view: &View, known: impl Fn(&str) -> Option<String>) -> BTreeMap<String, String> {
    let direct = direct_messages(view);
    let name = |id: &str| {
        known(id).or_else(|| direct.get(id).map(|of| known(of).unwrap_or_else(|| (*of).to_owned())))
    };
    let found = ids(view).into_iter().filter_map(|id| Some((id.to_owned(), text(name(id)?))));
    found.collect()
}

/// The direct messages, and the recipient of each.
fn direct_messages(view: &View) -> BTreeMap<&str, &str> {
    copies(view)
        .filter_map(|copy| Some((copy.channel.as_deref()?, copy.recipient.as_deref()?)))
        .filter(|(channel, recipient)| channel.starts_with('D') && channel != recipient)
        .collect()
}

fn copies(view: &View) -> impl Iterator<Item = &Copy> {
    let requests = view.requests.iter().flat_map(|requests| &requests.items);
    requests.flat_map(|request| &request.copies.items)
}

/// Every id in the view.
fn ids(view: &View) -> BTreeSet<&str> {
    let copies = copies(view).flat_map(|copy| [&copy.recipient, &copy.channel]).flatten();
    let waiting = view.waiting.iter().flat_map(|waiting| &waiting.items);
    let waiting = waiting.filter_map(|waiting| waiting.destination.as_ref());
    let by_role = view.rules.role_to_recipients.items.iter().flat_map(|entry| &entry.recipients.items);
    let all =
        copies.chain(waiting).chain(&view.rules.recipients.items).chain(by_role).chain(&view.slack.bot_user);
    let circuits = view.circuits.iter().flat_map(|circuits| &circuits.items);
    let circuits = circuits.map(|circuit| last_word(&circuit.channel));
    let fields =
        view.last_errors.iter().flat_map(|error| error.fields.values()).filter_map(|value| value.as_str());
    let all = all.map(String::as_str).chain(circuits).chain(fields);
    all.filter(|id| is_slack_id(id, &INITIALS)).collect()
}
