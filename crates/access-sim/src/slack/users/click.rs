//! Pressing a button or choosing from a menu, on a message or in a modal.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde_json::Value;

use super::super::interactive::dispatch::{self, Delivery};
use super::super::interactive::hooks::Origin;
use super::super::interactive::payload::{self, Container};
use super::super::message::Message;
use super::super::state::{Moment, State};
use super::super::ts::Ts;
use super::super::workspace::{Channel, SlackUser};
use super::super::{SlackSim, interactive::forgery::Forgery};
use super::elements::Confirm;
use super::{ActionError, ActionOutcome, Baseline, ClientFeedback, can_see, elements, find_user};

/// What the element is on.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Message { channel: String, ts: String },
    View(String),
}

/// A click, not sent before it is awaited.
#[must_use = "a click does nothing until it is awaited"]
#[derive(Clone)]
pub struct Click {
    sim: SlackSim,
    user: String,
    target: Target,
    block_id: Option<String>,
    action_id: String,
    choice: Option<String>,
    confirmed: bool,
    forgery: Forgery,
}

/// What a click comes to once it is looked at.
enum ClickStep {
    Confirm(Confirm),
    Send(Value),
}

impl Click {
    pub(super) fn new(sim: SlackSim, user: &str, target: Target, action_id: &str) -> Self {
        Click {
            sim,
            user: user.to_owned(),
            target,
            block_id: None,
            action_id: action_id.to_owned(),
            choice: None,
            confirmed: false,
            forgery: Forgery::default(),
        }
    }

    /// In this block, where several hold the same action id.
    pub fn in_block(self, block_id: &str) -> Self {
        Click { block_id: Some(block_id.to_owned()), ..self }
    }

    /// The option of a menu, by its value.
    pub fn choosing(self, value: &str) -> Self {
        Click { choice: Some(value.to_owned()), ..self }
    }

    /// Goes on when the client asks for confirmation. Without this, the question is all that happens.
    pub fn confirmed(self) -> Self {
        Click { confirmed: true, ..self }
    }

    /// Sends something else than what was done.
    pub fn forged(self, forgery: Forgery) -> Self {
        Click { forgery, ..self }
    }

    async fn execute(self) -> Result<ActionOutcome, ActionError> {
        let (before, step) = self.prepare()?;
        let payload = match step {
            ClickStep::Confirm(confirm) => {
                return Ok(ActionOutcome::new(
                    &self.sim,
                    &self.user,
                    before,
                    ClientFeedback::Confirming(confirm),
                ));
            }
            ClickStep::Send(payload) => payload,
        };
        let Click { sim, user, forgery, .. } = self;
        let parcel =
            Delivery { kind: "block_actions", user: user.clone(), payload, accepts_response: false, forgery };
        let delivered = dispatch::deliver(&sim, parcel).await;
        Ok(ActionOutcome::delivered(&sim, &user, before, delivered))
    }

    /// What the user does in front of the client, all at once.
    fn prepare(&self) -> Result<(Baseline, ClickStep), ActionError> {
        let now = Moment::now();
        let mut state = self.sim.shared.state();
        let person = find_user(&state, &self.user)?;
        let before = Baseline::now(&state);
        let at = state.next_ts(now);
        match &self.target {
            Target::Message { channel, ts } => {
                let (channel, message, ephemeral) = find_message(&state, &person, channel, ts)?;
                let blocks = message.blocks_with_ids();
                let found = elements::find(&blocks, self.block_id.as_deref(), &self.action_id)?;
                if let Some(confirm) = found.confirm().filter(|_| !self.confirmed) {
                    return Ok((before, ClickStep::Confirm(confirm)));
                }
                let action = found.action(self.choice.as_deref(), at)?;
                let trigger = state.triggers.create(&person.id, now.instant);
                let origin = Origin { user: person.id.clone(), channel: channel.id.clone(), ts: message.ts };
                let secret = state.response_urls.create(origin, now.instant);
                let response_url = state.response_url(&secret);
                let place =
                    Container::Message { channel: &channel, message: &message, ephemeral, response_url };
                let payload = payload::block_actions(&state, &person, &place, action, &trigger);
                Ok((before, ClickStep::Send(payload)))
            }
            Target::View(id) => {
                let view = state.views.top(&person.id).filter(|view| &view.id == id).cloned();
                let view = view.ok_or_else(|| ActionError::NoView(id.clone()))?;
                let found = elements::find(view.blocks(), self.block_id.as_deref(), &self.action_id)?;
                if let Some(confirm) = found.confirm().filter(|_| !self.confirmed) {
                    return Ok((before, ClickStep::Confirm(confirm)));
                }
                let action = found.action(self.choice.as_deref(), at)?;
                let trigger = state.triggers.create(&person.id, now.instant);
                let payload =
                    payload::block_actions(&state, &person, &Container::View(&view), action, &trigger);
                Ok((before, ClickStep::Send(payload)))
            }
        }
    }
}

impl IntoFuture for Click {
    type Output = Result<ActionOutcome, ActionError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.execute())
    }
}

/// The channel and the message, and whether it is an ephemeral one.
fn find_message(
    state: &State,
    person: &SlackUser,
    channel: &str,
    ts: &str,
) -> Result<(Channel, Message, bool), ActionError> {
    let cannot_see = || ActionError::CannotSee { user: person.id.clone(), channel: channel.to_owned() };
    let conversation = state.conversations.get(channel).ok_or_else(cannot_see)?;
    if !can_see(person, &conversation.channel) {
        return Err(cannot_see());
    }
    let wanted = Ts::parse(ts).ok_or_else(|| ActionError::NoMessage(ts.to_owned()))?;
    let real = conversation.message(wanted).filter(|message| !message.tombstone);
    let ephemeral = state
        .ephemerals
        .of(&person.id)
        .find(|ephemeral| ephemeral.channel == channel && ephemeral.message.ts == wanted)
        .map(|ephemeral| &ephemeral.message);
    let message = real.or(ephemeral).ok_or_else(|| ActionError::NoMessage(ts.to_owned()))?;
    Ok((conversation.channel.clone(), message.clone(), real.is_none()))
}
