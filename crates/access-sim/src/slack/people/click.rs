//! Pressing a button or choosing from a menu, on a message or in a modal.

use std::future::{Future, IntoFuture};
use std::pin::Pin;

use serde_json::Value;

use super::super::interactive::dispatch::{self, Parcel};
use super::super::interactive::hooks::Origin;
use super::super::interactive::payload::{self, Place};
use super::super::message::Message;
use super::super::state::{Moment, State};
use super::super::ts::Ts;
use super::super::workspace::{Channel, Person};
use super::super::{SlackSim, interactive::forgery::Forgery};
use super::elements::Confirm;
use super::{CannotAct, Mark, Seen, Shown, can_see, elements, find_person};

/// What the element is on.
#[derive(Debug, Clone)]
pub(super) enum Target {
    Message { channel: String, ts: String },
    View(String),
}

/// A click, not carried out before it is awaited.
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
enum Step {
    Ask(Confirm),
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

    async fn carry_out(self) -> Result<Seen, CannotAct> {
        let (before, step) = self.look()?;
        let payload = match step {
            Step::Ask(confirm) => {
                return Ok(Seen::new(&self.sim, &self.user, before, Shown::Confirming(confirm)));
            }
            Step::Send(payload) => payload,
        };
        let Click { sim, user, forgery, .. } = self;
        let parcel =
            Parcel { kind: "block_actions", user: user.clone(), payload, takes_answer: false, forgery };
        let delivered = dispatch::deliver(&sim, parcel).await;
        Ok(Seen::delivered(&sim, &user, before, delivered))
    }

    /// What the person does in front of the client, all at once.
    fn look(&self) -> Result<(Mark, Step), CannotAct> {
        let now = Moment::now();
        let mut state = self.sim.shared.state();
        let person = find_person(&state, &self.user)?;
        let before = Mark::now(&state);
        let at = state.tick(now);
        match &self.target {
            Target::Message { channel, ts } => {
                let (channel, message, ephemeral) = find_message(&state, &person, channel, ts)?;
                let blocks = message.blocks_with_ids();
                let found = elements::find(&blocks, self.block_id.as_deref(), &self.action_id)?;
                if let Some(confirm) = found.confirm().filter(|_| !self.confirmed) {
                    return Ok((before, Step::Ask(confirm)));
                }
                let action = found.action(self.choice.as_deref(), at)?;
                let trigger = state.triggers.make(&person.id, now.instant);
                let origin = Origin { user: person.id.clone(), channel: channel.id.clone(), ts: message.ts };
                let secret = state.hooks.make(origin, now.instant);
                let response_url = state.response_url(&secret);
                let place = Place::Message { channel: &channel, message: &message, ephemeral, response_url };
                let payload = payload::block_actions(&state, &person, &place, action, &trigger);
                Ok((before, Step::Send(payload)))
            }
            Target::View(id) => {
                let view = state.views.top(&person.id).filter(|view| &view.id == id).cloned();
                let view = view.ok_or_else(|| CannotAct::NoView(id.clone()))?;
                let found = elements::find(view.blocks(), self.block_id.as_deref(), &self.action_id)?;
                if let Some(confirm) = found.confirm().filter(|_| !self.confirmed) {
                    return Ok((before, Step::Ask(confirm)));
                }
                let action = found.action(self.choice.as_deref(), at)?;
                let trigger = state.triggers.make(&person.id, now.instant);
                let payload = payload::block_actions(&state, &person, &Place::View(&view), action, &trigger);
                Ok((before, Step::Send(payload)))
            }
        }
    }
}

impl IntoFuture for Click {
    type Output = Result<Seen, CannotAct>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.carry_out())
    }
}

/// The channel and the message, and whether it is an ephemeral one.
fn find_message(
    state: &State,
    person: &Person,
    channel: &str,
    ts: &str,
) -> Result<(Channel, Message, bool), CannotAct> {
    let cannot_see = || CannotAct::CannotSee { user: person.id.clone(), channel: channel.to_owned() };
    let conversation = state.conversations.get(channel).ok_or_else(cannot_see)?;
    if !can_see(person, &conversation.channel) {
        return Err(cannot_see());
    }
    let wanted = Ts::parse(ts).ok_or_else(|| CannotAct::NoMessage(ts.to_owned()))?;
    let real = conversation.message(wanted).filter(|message| !message.tombstone);
    let ephemeral = state
        .ephemerals
        .of(&person.id)
        .find(|ephemeral| ephemeral.channel == channel && ephemeral.message.ts == wanted)
        .map(|ephemeral| &ephemeral.message);
    let message = real.or(ephemeral).ok_or_else(|| CannotAct::NoMessage(ts.to_owned()))?;
    Ok((conversation.channel.clone(), message.clone(), real.is_none()))
}
