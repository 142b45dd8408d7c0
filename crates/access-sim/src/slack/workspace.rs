//! The users, channels and app that a simulated workspace starts with, as plain data.
//!
//! Nothing here answers calls: `state.rs` takes this apart when the simulator starts. Start with
//! [`Workspace::demo`] for a furnished team, or [`Workspace::empty`] and add what a test needs.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

/// The scopes the bot has unless a test says otherwise: all that the simulated methods ask for, except
/// `chat:write.public`, `chat:write.customize` and `mpim:write`, which most installations do not grant.
pub const DEFAULT_SCOPES: [&str; 13] = [
    "chat:write",
    "channels:history",
    "channels:join",
    "channels:read",
    "groups:history",
    "groups:read",
    "im:history",
    "im:read",
    "im:write",
    "mpim:read",
    "usergroups:read",
    "users:read",
    "users:read.email",
];

/// The user id of Slack's own helper, the same in every workspace.
pub const SLACKBOT: &str = "USLACKBOT";

/// The team itself.
#[derive(Debug, Clone, Serialize)]
pub struct Team {
    /// Such as `T0DEMO`.
    pub id: String,
    /// The name users read.
    pub name: String,
    /// The part before `.slack.com`.
    pub domain: String,
}

/// The Enterprise organization that the team is one of.
#[derive(Debug, Clone, Serialize)]
pub struct Enterprise {
    /// `E…`.
    pub id: String,
    /// The name users read.
    pub name: String,
    /// Whether the organization installed the app for all its teams, or this team for itself.
    pub installed: bool,
}

/// The app whose token calls the Web API. It has no `Debug`, because it holds the token.
#[derive(Clone)]
pub struct Bot {
    /// The bot token, starting with `xoxb-`.
    pub token: String,
    /// The bot's own user, such as `U0BOT`.
    pub user_id: String,
    /// The bot's `B…` id, the author of its messages.
    pub bot_id: String,
    /// The app's `A…` id.
    pub app_id: String,
    /// The name users read.
    pub name: String,
    /// What the token may do.
    pub scopes: BTreeSet<String>,
    /// Whether the app's Messages tab is on. When off, direct messages are refused.
    pub messages_tab: bool,
}

/// How the app is set up to hear of what users do. It has no `Debug`, because it holds secrets.
#[derive(Clone)]
pub struct App {
    /// What signs the requests that Slack sends.
    pub signing_secret: String,
    /// The deprecated `token` field of payloads.
    pub verification_token: String,
    /// The app-level token that opens sockets, starting with `xapp-`.
    pub app_token: String,
    /// Where interactions are posted, `http:` or `https:`; `None` leaves them undeliverable over HTTP.
    pub request_url: Option<String>,
    /// PEM certificates that an `https:` request URL is checked against; without them such a URL fails.
    pub request_ca: Option<String>,
    /// When on, interactions go over sockets only.
    pub socket_mode: bool,
}

/// A user group, which users mention as `@handle`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UserGroup {
    /// `S…`.
    pub id: String,
    /// Without `@`.
    pub handle: String,
    /// User ids, in Slack's order.
    pub users: Vec<String>,
    /// Disabled groups are listed only on request.
    pub disabled: bool,
}

/// Whether Slack takes the bot's token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenState {
    /// It does.
    Valid,
    /// `token_revoked`.
    Revoked,
    /// `token_expired`.
    Expired,
    /// `account_inactive`: the app was removed.
    AccountInactive,
}

/// What sort of account a user has. A client must distinguish these before it trusts a click.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum SlackUserKind {
    /// A full member of the team.
    Member,
    /// A multi-channel guest (`is_restricted`).
    Guest,
    /// A single-channel guest (`is_restricted` and `is_ultra_restricted`).
    SingleChannelGuest,
    /// A user of another team.
    External {
        /// The team they belong to.
        team_id: String,
        /// True when no channel is shared with them (`is_stranger`).
        stranger: bool,
    },
    /// A full member of another team of the same organization.
    Sister {
        /// The team they belong to.
        team_id: String,
    },
    /// A deactivated account (`deleted`).
    Deactivated,
    /// Invited, never signed in.
    Invited,
    /// Another app's bot user.
    Bot,
    /// The user behind a workflow step.
    WorkflowBot,
    /// Slack's own helper, which does not call itself a bot.
    Slackbot,
}

/// A user in, or seen from, the workspace.
#[derive(Debug, Clone, Serialize)]
pub struct SlackUser {
    /// A `U…` or `W…` id.
    pub id: String,
    /// The handle, not an identifier.
    pub name: String,
    /// The full name.
    pub real_name: String,
    /// Absent for bots, and whenever a test wants it so.
    pub email: Option<String>,
    /// Slack's `is_email_confirmed`.
    pub email_confirmed: bool,
    /// What sort of account.
    pub kind: SlackUserKind,
    /// The id in the whole organization, for an account that has another one in the team; else it is `id`.
    pub enterprise_user_id: Option<String>,
}

impl SlackUser {
    /// A full member called `name` with the address `name@example.com`, confirmed.
    pub fn member(id: &str, name: &str) -> Self {
        SlackUser {
            id: id.to_owned(),
            name: name.to_owned(),
            real_name: capitalized(name),
            email: Some(format!("{name}@example.com")),
            email_confirmed: true,
            kind: SlackUserKind::Member,
            enterprise_user_id: None,
        }
    }

    /// The same user with another sort of account.
    pub fn kind(self, kind: SlackUserKind) -> Self {
        SlackUser { kind, ..self }
    }

    /// The same user with another address.
    pub fn email(self, email: &str) -> Self {
        SlackUser { email: Some(email.to_owned()), ..self }
    }

    /// The same user with another id in the whole organization.
    pub fn known_to_enterprise_as(self, id: &str) -> Self {
        SlackUser { enterprise_user_id: Some(id.to_owned()), ..self }
    }

    /// The same user with no address that the API would show.
    pub fn without_email(self) -> Self {
        SlackUser { email: None, email_confirmed: false, ..self }
    }

    /// The team they belong to, if it is not the workspace's own.
    pub(super) fn home(&self) -> Option<&str> {
        match &self.kind {
            SlackUserKind::External { team_id, .. } | SlackUserKind::Sister { team_id } => Some(team_id),
            _ => None,
        }
    }

    /// Whether they sit before a client in which they can press things.
    pub(super) fn has_client(&self) -> bool {
        match self.kind {
            SlackUserKind::Member
            | SlackUserKind::Guest
            | SlackUserKind::SingleChannelGuest
            | SlackUserKind::Sister { .. }
            | SlackUserKind::External { stranger: false, .. } => true,
            SlackUserKind::External { stranger: true, .. }
            | SlackUserKind::Deactivated
            | SlackUserKind::Invited
            | SlackUserKind::Bot
            | SlackUserKind::WorkflowBot
            | SlackUserKind::Slackbot => false,
        }
    }

    /// Whether the app may open a direct message with them.
    pub(super) fn can_be_messaged(&self) -> bool {
        match self.kind {
            SlackUserKind::Member
            | SlackUserKind::Guest
            | SlackUserKind::SingleChannelGuest
            | SlackUserKind::Invited
            | SlackUserKind::Sister { .. }
            | SlackUserKind::External { stranger: false, .. } => true,
            SlackUserKind::External { stranger: true, .. }
            | SlackUserKind::Deactivated
            | SlackUserKind::Bot
            | SlackUserKind::WorkflowBot
            | SlackUserKind::Slackbot => false,
        }
    }
}

/// What sort of conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChannelKind {
    /// Visible to all of the team.
    Public,
    /// Visible to its members.
    Private,
    /// The app and one user.
    Direct,
    /// The app and several users.
    GroupDirect,
}

/// Who may post, and where in the channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Posting {
    /// Members post as they like.
    Open,
    /// An announcement channel that the app may not write to.
    ReadOnly,
    /// Only replies in threads.
    ThreadsOnly,
    /// No replies in threads.
    NoThreads,
}

/// A channel or direct message.
#[derive(Debug, Clone, Serialize)]
pub struct Channel {
    /// `C…`, `G…` or `D…`.
    pub id: String,
    /// Without `#`; empty for direct messages.
    pub name: String,
    /// What sort of conversation.
    pub kind: ChannelKind,
    /// Archived channels take no messages and no edits.
    pub archived: bool,
    /// Shared with another organization: what is posted there leaves the team.
    pub ext_shared: bool,
    /// Who may post.
    pub posting: Posting,
    /// The user ids of its members, the bot's user among them if it is in.
    pub members: BTreeSet<String>,
}

impl Channel {
    /// A public channel without members.
    pub fn public(id: &str, name: &str) -> Self {
        Channel {
            id: id.to_owned(),
            name: name.to_owned(),
            kind: ChannelKind::Public,
            archived: false,
            ext_shared: false,
            posting: Posting::Open,
            members: BTreeSet::new(),
        }
    }

    /// A private channel without members.
    pub fn private(id: &str, name: &str) -> Self {
        Channel { kind: ChannelKind::Private, ..Channel::public(id, name) }
    }

    /// The same channel with these users added.
    pub fn with_members(mut self, ids: &[&str]) -> Self {
        self.members.extend(ids.iter().map(|id| (*id).to_owned()));
        self
    }
}

/// A whole workspace, before the simulator starts.
#[derive(Clone)]
pub struct Workspace {
    /// The team.
    pub team: Team,
    /// The organization it belongs to.
    pub enterprise: Option<Enterprise>,
    /// The app's bot.
    pub bot: Bot,
    /// The app's settings.
    pub app: App,
    /// All other users. The bot's user and Slackbot are added by the simulator.
    pub users: Vec<SlackUser>,
    /// Channels; direct messages come into being when a user opens them.
    pub channels: Vec<Channel>,
    /// User groups.
    pub groups: Vec<UserGroup>,
    /// How long after posting a message may be edited; `None`: without a limit.
    pub edit_window: Option<Duration>,
}

impl Workspace {
    /// A team with the bot and no user.
    pub fn empty() -> Self {
        Workspace {
            team: Team { id: "T0DEMO".to_owned(), name: "Demo".to_owned(), domain: "demo".to_owned() },
            enterprise: None,
            bot: Bot {
                token: "xoxb-simulated-0000000000".to_owned(),
                user_id: "U0BOT".to_owned(),
                bot_id: "B0BOT".to_owned(),
                app_id: "A0BOT".to_owned(),
                name: "teleport".to_owned(),
                scopes: DEFAULT_SCOPES.iter().map(|scope| (*scope).to_owned()).collect(),
                messages_tab: true,
            },
            app: App {
                signing_secret: "5imu1at0r51gn1ng5ecret0123456789".to_owned(),
                verification_token: "simulated-verification".to_owned(),
                app_token: "xapp-1-A0BOT-simulated".to_owned(),
                request_url: None,
                request_ca: None,
                socket_mode: false,
            },
            users: Vec::new(),
            channels: Vec::new(),
            groups: Vec::new(),
            edit_window: None,
        }
    }

    /// A furnished team: two channels with the bot, two without, and one user of each kind that matters.
    pub fn demo() -> Self {
        let everyone = ["U0ALICE", "U0BOB", "U0CAROL", "U0ERIN"];
        let external = SlackUserKind::External { team_id: "T0OTHER".to_owned(), stranger: false };
        let bot = "U0BOT";
        Workspace::empty()
            .add_user(SlackUser::member("U0ALICE", "alice"))
            .add_user(SlackUser::member("U0BOB", "bob"))
            .add_user(SlackUser::member("U0CAROL", "carol"))
            .add_user(SlackUser::member("U0ERIN", "erin"))
            .add_user(SlackUser::member("U0GIL", "gil").kind(SlackUserKind::Guest))
            .add_user(SlackUser::member("U0EVE", "eve").email("eve@elsewhere.example").kind(external))
            .add_user(SlackUser::member("U0DAN", "dan").kind(SlackUserKind::Deactivated))
            .with_channel(
                Channel::public("C0REQUESTS", "access-requests")
                    .with_members(&everyone)
                    .with_members(&[bot, "U0GIL", "U0EVE"]),
            )
            .with_channel(Channel::public("C0DBA", "dba-approvers").with_members(&["U0BOB", "U0CAROL", bot]))
            .with_channel(Channel::public("C0RANDOM", "random").with_members(&everyone))
            .with_channel(Channel::private("C0SECOPS", "sec-ops").with_members(&["U0CAROL", "U0ERIN"]))
            .add_group("S0DBA", "dba", &["U0BOB", "U0CAROL"])
    }

    /// Adds a public channel with the bot in it.
    pub fn add_channel(self, id: &str, name: &str) -> Self {
        let channel = Channel::public(id, name).with_members(&[&self.bot.user_id]);
        self.with_channel(channel)
    }

    /// Adds any other channel, exactly as given.
    pub fn with_channel(mut self, channel: Channel) -> Self {
        self.channels.push(channel);
        self
    }

    /// Adds a user.
    pub fn add_user(mut self, person: SlackUser) -> Self {
        self.users.push(person);
        self
    }

    /// Adds a user group with these members.
    pub fn add_group(mut self, id: &str, handle: &str, users: &[&str]) -> Self {
        let users = users.iter().map(|user| (*user).to_owned()).collect();
        self.groups.push(UserGroup { id: id.to_owned(), handle: handle.to_owned(), users, disabled: false });
        self
    }

    /// Makes the team one of the organization E0ORG, which installed the app for all its teams, or did not.
    pub fn in_enterprise(mut self, installed: bool) -> Self {
        self.enterprise = Some(Enterprise { id: "E0ORG".to_owned(), name: "Org".to_owned(), installed });
        self
    }

    /// Switches Socket Mode on.
    pub fn with_socket_mode(mut self) -> Self {
        self.app.socket_mode = true;
        self
    }

    /// Has interactions posted to this address.
    pub fn with_request_url(mut self, url: &str) -> Self {
        self.app.request_url = Some(url.to_owned());
        self
    }

    /// Replaces the bot's scopes.
    pub fn with_scopes(mut self, scopes: &[&str]) -> Self {
        self.bot.scopes = scopes.iter().map(|scope| (*scope).to_owned()).collect();
        self
    }

    /// Sets how long after posting a message may be edited.
    pub fn with_edit_window(mut self, window: Duration) -> Self {
        self.edit_window = Some(window);
        self
    }
}

fn capitalized(name: &str) -> String {
    let mut letters = name.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}
