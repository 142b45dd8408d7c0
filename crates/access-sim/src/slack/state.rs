//! The workspace as it stands: users, conversations with their messages, modals, tokens and rate limits.
//!
//! One lock guards it; nothing here waits. What may be done to it over the Web API is in `methods/`, what tests
//! may do behind Slack's back is in `mod.rs`.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use jiff::Timestamp;
use tokio::time::Instant;

use super::effects::Formatting;
use super::ephemeral::Ephemerals;
use super::interactive::Timings;
use super::interactive::hooks::ResponseUrls;
use super::interactive::triggers::Triggers;
use super::message::{Message, ThreadSummary};
use super::rate::{RateLimiter, RateLimits};
use super::reply::{ApiError, joined};
use super::socket::tickets::Tickets;
use super::ts::Ts;
use super::views::Views;
use super::workspace::{
    App, Bot, Channel, ChannelKind, Enterprise, SLACKBOT, SlackUser, SlackUserKind, Team, TokenState,
    UserGroup, Workspace,
};

/// More messages than any test or demo posts; beyond it Slack's own `message_limit_exceeded` answers.
pub(super) const MAX_MESSAGES: usize = 100_000;

/// The two clocks of one call.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) instant: Instant,
    pub(super) wall: Timestamp,
}

impl Moment {
    pub(super) fn now() -> Self {
        Moment { instant: Instant::now(), wall: Timestamp::now() }
    }
}

/// A channel and what was said in it.
#[derive(Debug, Clone)]
pub(super) struct Conversation {
    pub(super) channel: Channel,
    /// Oldest first.
    pub(super) messages: Vec<Message>,
}

impl Conversation {
    pub(super) fn message(&self, ts: Ts) -> Option<&Message> {
        self.position(ts).and_then(|at| self.messages.get(at))
    }

    pub(super) fn message_mut(&mut self, ts: Ts) -> Option<&mut Message> {
        self.position(ts).and_then(|at| self.messages.get_mut(at))
    }

    fn position(&self, ts: Ts) -> Option<usize> {
        self.messages.binary_search_by_key(&ts, |message| message.ts).ok()
    }

    /// Removes a message; the head of a thread stays as a tombstone.
    pub(super) fn delete(&mut self, ts: Ts) -> bool {
        let has_replies = self.messages.iter().any(|message| message.thread_ts == Some(ts));
        match self.position(ts) {
            Some(at) if has_replies => {
                if let Some(message) = self.messages.get_mut(at) {
                    message.tombstone = true;
                }
                true
            }
            Some(at) => {
                self.messages.remove(at);
                true
            }
            None => false,
        }
    }

    pub(super) fn thread_summary(&self, parent: Ts) -> Option<ThreadSummary> {
        let mut summary = ThreadSummary { replies: 0, repliers: Vec::new(), latest: None };
        for reply in self.messages.iter().filter(|message| message.thread_ts == Some(parent)) {
            summary.replies += 1;
            summary.latest = Some(reply.ts);
            if !summary.repliers.contains(&reply.user) {
                summary.repliers.push(reply.user.clone());
            }
        }
        (summary.replies > 0).then_some(summary)
    }
}

/// Everything that calls can see and change.
pub(super) struct State {
    pub(super) team: Team,
    pub(super) enterprise: Option<Enterprise>,
    pub(super) bot: Bot,
    pub(super) app: App,
    pub(super) token: TokenState,
    pub(super) users: BTreeMap<String, SlackUser>,
    pub(super) groups: BTreeMap<String, UserGroup>,
    pub(super) conversations: BTreeMap<String, Conversation>,
    pub(super) ephemerals: Ephemerals,
    pub(super) views: Views,
    pub(super) triggers: Triggers,
    pub(super) response_urls: ResponseUrls,
    pub(super) tickets: Tickets,
    pub(super) edit_window: Option<Duration>,
    pub(super) timings: Timings,
    /// Where clients find the simulator, for the addresses that it hands out.
    /// `http://…` or `https://…` without a slash at the end.
    pub(super) public_url: String,
    pub(super) limiter: RateLimiter,
    last_ts: Option<Ts>,
}

impl State {
    pub(super) fn new(
        workspace: Workspace,
        limits: Option<RateLimits>,
        times: Timings,
        public_addr: SocketAddr,
    ) -> Self {
        let Workspace { team, enterprise, bot, app, users, channels, groups, edit_window } = workspace;
        let mut known = BTreeMap::new();
        let own = SlackUser::member(&bot.user_id, &bot.name).without_email().kind(SlackUserKind::Bot);
        let slackbot = SlackUser::member(SLACKBOT, "slackbot").without_email().kind(SlackUserKind::Slackbot);
        for person in [own, slackbot].into_iter().chain(users) {
            known.insert(person.id.clone(), person);
        }
        let conversations = channels
            .into_iter()
            .map(|channel| (channel.id.clone(), Conversation { channel, messages: Vec::new() }))
            .collect();
        State {
            team,
            enterprise,
            bot,
            app,
            token: TokenState::Valid,
            users: known,
            groups: groups.into_iter().map(|group| (group.id.clone(), group)).collect(),
            conversations,
            ephemerals: Ephemerals::default(),
            views: Views::default(),
            triggers: Triggers::default(),
            response_urls: ResponseUrls::default(),
            tickets: Tickets::default(),
            edit_window,
            timings: times,
            public_url: format!("http://{public_addr}"),
            limiter: RateLimiter::new(limits),
            last_ts: None,
        }
    }

    /// Checks a token, as every method does first.
    pub(super) fn authenticate(&self, token: Option<&str>) -> Result<(), ApiError> {
        let code = match (token, self.token) {
            (None, _) => "not_authed",
            (Some(token), _) if token != self.bot.token => "invalid_auth",
            (Some(_), TokenState::Valid) => return Ok(()),
            (Some(_), TokenState::Revoked) => "token_revoked",
            (Some(_), TokenState::Expired) => "token_expired",
            (Some(_), TokenState::AccountInactive) => "account_inactive",
        };
        Err(ApiError::new(code))
    }

    /// Whether the whole organization installed the app.
    pub(super) fn is_enterprise_install(&self) -> bool {
        self.enterprise.as_ref().is_some_and(|enterprise| enterprise.installed)
    }

    pub(super) fn has_scope(&self, scope: &str) -> bool {
        self.bot.scopes.contains(scope)
    }

    pub(super) fn require_scope(&self, scope: &str) -> Result<(), ApiError> {
        if self.has_scope(scope) { Ok(()) } else { Err(ApiError::missing_scope(scope, &self.bot.scopes)) }
    }

    pub(super) fn granted(&self) -> String {
        joined(&self.bot.scopes)
    }

    pub(super) fn bot_is_in(&self, channel: &Channel) -> bool {
        channel.members.contains(&self.bot.user_id)
    }

    /// A conversation by id that the bot may know of: public, or with the bot in it.
    pub(super) fn visible(&self, id: &str) -> Result<&Conversation, ApiError> {
        self.conversations
            .get(id)
            .filter(|found| found.channel.kind == ChannelKind::Public || self.bot_is_in(&found.channel))
            .ok_or_else(|| ApiError::new("channel_not_found"))
    }

    /// A public channel by its name, with or without `#`.
    pub(super) fn public_by_name(&self, name: &str) -> Option<&Conversation> {
        let name = name.strip_prefix('#').unwrap_or(name);
        self.conversations
            .values()
            .find(|found| found.channel.kind == ChannelKind::Public && found.channel.name == name)
    }

    /// The direct conversation with exactly these users and the bot.
    pub(super) fn direct_with(&self, users: &BTreeSet<String>) -> Option<&Conversation> {
        self.conversations.values().find(|found| {
            matches!(found.channel.kind, ChannelKind::Direct | ChannelKind::GroupDirect)
                && found.channel.members.len() == users.len() + 1
                && self.bot_is_in(&found.channel)
                && users.iter().all(|user| found.channel.members.contains(user))
        })
    }

    /// The id of the direct conversation with these users, and whether it was there before.
    pub(super) fn open_direct(&mut self, users: &BTreeSet<String>) -> (String, bool) {
        if let Some(found) = self.direct_with(users) {
            return (found.channel.id.clone(), true);
        }
        let (kind, mut id) = match users.iter().next() {
            // U0BOB's is D0BOB, which reads well in a failed test.
            Some(user) if users.len() == 1 => {
                (ChannelKind::Direct, format!("D{}", user.chars().skip(1).collect::<String>()))
            }
            _ => (ChannelKind::GroupDirect, format!("G0MPDM{}", self.conversations.len())),
        };
        while self.conversations.contains_key(&id) {
            id.push('X');
        }
        let mut members = users.clone();
        members.insert(self.bot.user_id.clone());
        let channel = Channel { kind, members, ..Channel::public(&id, "") };
        self.conversations.insert(id.clone(), Conversation { channel, messages: Vec::new() });
        (id, false)
    }

    /// The next timestamp; no two are alike.
    pub(super) fn next_ts(&mut self, now: Moment) -> Ts {
        let ts = Ts::after(self.last_ts, now.wall);
        self.last_ts = Some(ts);
        ts
    }

    /// The address for answers to an interaction.
    pub(super) fn response_url(&self, secret: &str) -> String {
        format!("{}/actions/{}/{secret}", self.public_url, self.team.id)
    }

    /// A message of `user` with the next timestamp, not stored yet.
    pub(super) fn new_message(&mut self, user: &str, text: &str, now: Moment) -> Message {
        let ts = self.next_ts(now);
        Message {
            ts,
            thread_ts: None,
            user: user.to_owned(),
            text: text.to_owned(),
            truncated: false,
            blocks: Vec::new(),
            attachments: Vec::new(),
            metadata: None,
            formatting: Formatting::default(),
            unfurl_links: None,
            unfurl_media: None,
            reply_broadcast: false,
            posted_at: now.wall,
            posted: now.instant,
            edits: 0,
            edited_at: None,
            marked_edited: false,
            tombstone: false,
        }
    }
}
