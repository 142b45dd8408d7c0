//! A Slack workspace behind a real socket: the Web API as raw JSON, stricter than Slack's own, and users who press
//! buttons.
//!
//! It shares no type with the client under test. Start with [`SlackSim`]; furnish it in `workspace.rs`; order
//! failures in `faults.rs`; assert on `snapshot.rs`, `effects.rs` and `call_log.rs`. Calls travel `server.rs`,
//! `web.rs`, `arguments.rs`, `methods/`, `state.rs`, `delivery.rs`. What users do is in `users/`, what Slack sends
//! of it in `interactive/` and `socket/`.

pub mod workspace;
pub mod call_log;
pub mod snapshot;
pub mod effects;
pub mod faults;
pub mod limits;
pub mod rate;
pub mod arguments;
pub mod users;
pub mod interactive;
pub mod socket;
pub mod views;
mod ephemeral;
mod message;
mod message_view;
mod state;
mod mrkdwn;
mod metadata;
mod ts;
mod reply;
mod methods;
mod web;
mod delivery;
mod server;
mod handles;

use std::collections::BTreeSet;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use parking_lot::{Mutex, MutexGuard};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::call_sequence::CallSequence;
use crate::reserved_addr::ReservedAddr;
use crate::tasks::Tasks;
use call_log::{Call, CallLog};
use faults::Faults;
use interactive::Timings;
use interactive::log::InteractionLog;
use rate::{RateLimiter, RateLimits};
use snapshot::{MessageView, Snapshot};
use socket::Sockets;
use state::{Conversation, Moment, State};
use ts::Ts;
use workspace::{App, Channel, SlackUser, TokenState, UserGroup, Workspace};

/// How to start a simulator.
#[derive(Clone)]
pub struct Options {
    /// Who and what is there.
    pub workspace: Workspace,
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// `None` switches rate limits off.
    pub rate_limits: Option<RateLimits>,
    /// Added to every call.
    pub latency: Duration,
    /// By how much the `Date` of answers is ahead of this machine's clock; negative: behind.
    pub date_offset: SignedDuration,
    /// Slack's time limits for clicks and sockets.
    pub timings: Timings,
    /// Numbers the calls, together with another simulator that has a clone.
    pub call_sequence: CallSequence,
}

impl Options {
    /// This workspace on a free port, with rate limits and without latency.
    pub fn new(workspace: Workspace) -> Self {
        Options {
            workspace,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            rate_limits: Some(RateLimits::default()),
            latency: Duration::ZERO,
            date_offset: SignedDuration::ZERO,
            timings: Timings::default(),
            call_sequence: CallSequence::default(),
        }
    }
}

/// What connections and handles have in common.
struct Shared {
    state: Mutex<State>,
    faults: Faults,
    calls: CallLog,
    interactions: InteractionLog,
    sockets: Sockets,
    changes: watch::Sender<u64>,
    latency: Duration,
    date_offset: SignedDuration,
    timings: Timings,
    call_sequence: CallSequence,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        // A panic in one call must not take the others down with it.
        self.state.lock()
    }

    fn changed(&self) {
        self.changes.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// The id of the channel that a `channel` argument stands for, if there is one by now.
    fn resolve_channel(&self, argument: &str) -> Option<String> {
        let state = self.state();
        let found = match state.users.contains_key(argument) {
            true => state.direct_with(&BTreeSet::from([argument.to_owned()])),
            false => state.conversations.get(argument).or_else(|| state.public_by_name(argument)),
        };
        found.map(|found| found.channel.id.clone())
    }
}

/// The server while it runs.
struct Running {
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// A running workspace; a handle that is cheap to clone. The server ends with the last handle.
#[derive(Clone)]
pub struct SlackSim {
    shared: Arc<Shared>,
    addr: Arc<ReservedAddr>,
    running: Arc<tokio::sync::Mutex<Option<Running>>>,
    shutdown: CancellationToken,
    /// Payloads on their way to the app. They go on while the server is stopped.
    deliveries: Tasks,
    _end: Arc<(DropGuard, DropGuard)>,
}

impl SlackSim {
    /// Binds its address and serves. Fails if the port is taken.
    pub async fn start(options: Options) -> io::Result<SlackSim> {
        let reserved = ReservedAddr::new(options.listen)?;
        let (addr, listener) = (reserved.addr(), reserved.listen()?);
        let shared = Arc::new(Shared {
            state: Mutex::new(State::new(options.workspace, options.rate_limits, options.timings, addr)),
            faults: Faults::default(),
            calls: CallLog::default(),
            interactions: InteractionLog::default(),
            sockets: Sockets::new(),
            changes: watch::Sender::new(0),
            latency: options.latency,
            date_offset: options.date_offset,
            timings: options.timings,
            call_sequence: options.call_sequence,
        });
        let shutdown = CancellationToken::new();
        let running = run(listener, Arc::clone(&shared), shutdown.child_token());
        let deliveries = Tasks::default();
        Ok(SlackSim {
            shared,
            addr: Arc::new(reserved),
            running: Arc::new(tokio::sync::Mutex::new(Some(running))),
            _end: Arc::new((shutdown.clone().drop_guard(), deliveries.cancel_on_drop())),
            shutdown,
            deliveries,
        })
    }

    /// Closes the port and every connection; the workspace stays. Does nothing if stopped.
    pub async fn stop(&self) {
        let running = self.running.lock().await.take();
        if let Some(Running { stop, tasks }) = running {
            stop.cancel();
            tasks.close();
            tasks.wait().await;
        }
    }

    /// Serves again on the same port, with all that was there. Restarts if running.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        let mut running = self.running.lock().await;
        if running.is_none() {
            let listener = self.addr.listen()?;
            *running = Some(run(listener, Arc::clone(&self.shared), self.shutdown.child_token()));
        }
        Ok(())
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr.addr()
    }

    /// The base for method names, ending in a slash.
    pub fn api_url(&self) -> String {
        format!("http://{}/api/", self.addr())
    }

    /// The token that works.
    pub fn token(&self) -> String {
        self.shared.state().bot.token.clone()
    }

    /// Faults on order.
    pub fn faults(&self) -> Faults {
        self.shared.faults.clone()
    }

    /// The app's sockets.
    pub fn sockets(&self) -> Sockets {
        self.shared.sockets.clone()
    }

    /// How the app is set up, secrets included.
    pub fn app(&self) -> App {
        self.shared.state().app.clone()
    }

    /// A number that rises with every call and every change, for waiting until something holds.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// All calls so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.shared.calls.all()
    }

    /// The calls of one method.
    pub fn calls_of(&self, method: &str) -> Vec<Call> {
        self.shared.calls.of(method)
    }

    /// The messages of a channel with all replies, oldest first; none if there is no such channel.
    pub fn messages(&self, channel: &str) -> Vec<MessageView> {
        let state = self.shared.state();
        state.conversations.get(channel).map(|found| views(&state, found)).unwrap_or_default()
    }

    /// The messages of every channel, by channel.
    pub fn all_messages(&self) -> Vec<MessageView> {
        let state = self.shared.state();
        state.conversations.values().flat_map(|found| views(&state, found)).collect()
    }

    /// A message and the replies to it.
    pub fn thread(&self, channel: &str, ts: &str) -> Vec<MessageView> {
        let mut messages = self.messages(channel);
        messages.retain(|message| message.ts == ts || message.thread_ts.as_deref() == Some(ts));
        messages
    }

    /// The bot's direct conversation with a user, if it was ever opened.
    pub fn dm_with(&self, user: &str) -> Option<String> {
        let state = self.shared.state();
        state.direct_with(&BTreeSet::from([user.to_owned()])).map(|found| found.channel.id.clone())
    }

    /// The whole workspace.
    pub fn view(&self) -> Snapshot {
        Snapshot::of(&self.shared.state())
    }

    /// The whole workspace as JSON, for the page.
    pub fn snapshot(&self) -> Value {
        serde_json::to_value(self.view()).unwrap_or_default()
    }

    /// Accepts the token or refuses it from now on.
    pub fn set_token_state(&self, token: TokenState) {
        self.modify(|state| state.token = token);
    }

    /// Replaces the token, as after a reinstallation.
    pub fn set_token(&self, token: &str) {
        self.modify(|state| state.bot.token = token.to_owned());
    }

    /// Takes a scope from the token.
    pub fn remove_scope(&self, scope: &str) {
        self.modify(|state| state.bot.scopes.remove(scope));
    }

    /// Gives the token a scope.
    pub fn add_scope(&self, scope: &str) {
        self.modify(|state| state.bot.scopes.insert(scope.to_owned()));
    }

    /// Switches the app's Messages tab, without which users cannot be written to.
    pub fn set_messages_tab(&self, on: bool) {
        self.modify(|state| state.bot.messages_tab = on);
    }

    /// Resets the rate limits to these, other ones or none.
    pub fn set_rate_limits(&self, limits: Option<RateLimits>) {
        self.modify(|state| state.limiter = RateLimiter::new(limits));
    }

    /// Archives a channel, or takes it out of the archive.
    pub fn set_archived(&self, channel: &str, archived: bool) {
        self.modify_channel(channel, |_, channel| channel.archived = archived);
    }

    /// Gives a channel another name; nothing answers to the old one.
    pub fn rename_channel(&self, channel: &str, name: &str) {
        self.modify_channel(channel, |_, channel| name.clone_into(&mut channel.name));
    }

    /// Takes the bot out of a channel.
    pub fn kick_bot(&self, channel: &str) {
        self.modify_channel(channel, |bot, channel| {
            channel.members.remove(bot);
        });
    }

    /// Invites the bot into a channel.
    pub fn invite_bot(&self, channel: &str) {
        self.modify_channel(channel, |bot, channel| {
            channel.members.insert(bot.to_owned());
        });
    }

    /// Adds a channel, or replaces what is known of one; its messages stay.
    pub fn put_channel(&self, channel: Channel) {
        self.modify(|state| match state.conversations.get_mut(&channel.id) {
            Some(found) => found.channel = channel,
            None => {
                state
                    .conversations
                    .insert(channel.id.clone(), Conversation { channel, messages: Vec::new() });
            }
        });
    }

    /// Adds a user, or replaces what is known of them.
    pub fn put_user(&self, person: SlackUser) {
        self.modify(|state| state.users.insert(person.id.clone(), person));
    }

    /// Takes an account away, so that Slack does not know its id. Slack itself only deactivates; an id is unknown to it
    /// for instance after a workspace moved into an organization (assumed).
    pub fn remove_user(&self, id: &str) {
        self.modify(|state| state.users.remove(id));
    }

    /// Adds a user group, or replaces it.
    pub fn put_group(&self, group: UserGroup) {
        self.modify(|state| state.groups.insert(group.id.clone(), group));
    }

    /// Changes how the app is set up: secrets, request URL. Socket Mode is switched by
    /// [`SlackSim::set_socket_mode`], which notifies the sockets.
    pub fn set_app(&self, change: impl FnOnce(&mut App)) {
        self.modify(|state| change(&mut state.app));
    }

    /// Where interactions are posted from now on.
    pub fn set_request_url(&self, url: Option<&str>) {
        self.set_app(|app| app.request_url = url.map(str::to_owned));
    }

    /// Switches Socket Mode. Switched off, the open sockets get a message and are closed.
    pub fn set_socket_mode(&self, on: bool) {
        self.set_app(|app| app.socket_mode = on);
        if !on {
            self.shared.sockets.disable();
        }
    }

    /// What to write into the addresses that are handed out (`response_url`, sockets) in place of the simulator's
    /// own address, so that a proxy stands between there too.
    pub fn set_public_addr(&self, addr: SocketAddr) {
        self.set_public_url(&format!("http://{addr}"));
    }

    /// The same with a scheme: `https://…` without a slash at the end, for a front that speaks TLS.
    pub fn set_public_url(&self, url: &str) {
        self.modify(|state| state.public_url = url.to_owned());
    }

    /// Posts as a user, bypassing the API. Returns the new message's ts, or `None` without such a channel.
    pub fn say(&self, channel: &str, user: &str, text: &str, thread_ts: Option<&str>) -> Option<String> {
        self.modify(|state| {
            let mut message = state.new_message(user, text, Moment::now());
            message.thread_ts = thread_ts.and_then(Ts::parse);
            let ts = message.ts.to_string();
            let conversation = state.conversations.get_mut(channel)?;
            conversation.messages.push(message);
            Some(ts)
        })
    }

    /// Deletes any message, as an administrator could. Says whether there was one.
    pub fn delete_message(&self, channel: &str, ts: &str) -> bool {
        self.modify(|state| {
            let ts = Ts::parse(ts)?;
            Some(state.conversations.get_mut(channel)?.delete(ts))
        })
        .unwrap_or(false)
    }

    fn modify<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let result = change(&mut self.shared.state());
        self.shared.changed();
        result
    }

    fn modify_channel(&self, channel: &str, change: impl FnOnce(&str, &mut Channel)) {
        self.modify(|state| {
            if let Some(found) = state.conversations.get_mut(channel) {
                change(&state.bot.user_id, &mut found.channel);
            }
        });
    }
}

fn run(listener: TcpListener, shared: Arc<Shared>, stop: CancellationToken) -> Running {
    let tasks = TaskTracker::new();
    tasks.spawn(server::serve(listener, shared, stop.clone(), tasks.clone()));
    Running { stop, tasks }
}

fn views(state: &State, found: &Conversation) -> Vec<MessageView> {
    let bot = &state.bot.user_id;
    found.messages.iter().map(|message| MessageView::of(&found.channel.id, bot, message)).collect()
}

#[cfg(test)]
mod tests;
