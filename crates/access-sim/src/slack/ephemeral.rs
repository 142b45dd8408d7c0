//! Ephemeral messages: each in one user's client only, not part of any channel, not to be edited by its ts.

use std::collections::VecDeque;

use super::message::Message;
use super::message_view::MessageView;
use super::ts::Ts;

/// Older ones are forgotten, as at a reload.
const MAX_EPHEMERALS: usize = 10_000;

/// One of them.
#[derive(Debug, Clone)]
pub(super) struct Ephemeral {
    /// Counts up from 1 over the whole life of the workspace.
    pub(super) number: u64,
    /// Who sees it.
    pub(super) user: String,
    /// Where they see it.
    pub(super) channel: String,
    pub(super) message: Message,
}

impl Ephemeral {
    pub(super) fn view(&self, bot: &str) -> MessageView {
        MessageView::of(&self.channel, bot, &self.message)
    }
}

/// All of them, oldest first.
#[derive(Default)]
pub(super) struct Ephemerals {
    messages: VecDeque<Ephemeral>,
    created: u64,
}

impl Ephemerals {
    /// How many were ever shown.
    pub(super) fn created(&self) -> u64 {
        self.created
    }

    pub(super) fn show(&mut self, to: &str, channel: &str, message: Message) {
        self.created += 1;
        let (to, channel) = (to.to_owned(), channel.to_owned());
        self.messages.push_back(Ephemeral { number: self.created, user: to, channel, message });
        if self.messages.len() > MAX_EPHEMERALS {
            self.messages.pop_front();
        }
    }

    pub(super) fn of(&self, user: &str) -> impl Iterator<Item = &Ephemeral> {
        self.messages.iter().filter(move |ephemeral| ephemeral.user == user)
    }

    pub(super) fn find_mut(&mut self, user: &str, channel: &str, ts: Ts) -> Option<&mut Message> {
        let mut shown = self.messages.iter_mut();
        shown
            .find(|one| one.user == user && one.channel == channel && one.message.ts == ts)
            .map(|one| &mut one.message)
    }

    /// Takes one away. Says whether it was there.
    pub(super) fn remove(&mut self, user: &str, channel: &str, ts: Ts) -> bool {
        let before = self.messages.len();
        self.messages.retain(|one| one.user != user || one.channel != channel || one.message.ts != ts);
        self.messages.len() < before
    }

    pub(super) fn clear(&mut self, user: &str) {
        self.messages.retain(|one| one.user != user);
    }
}
