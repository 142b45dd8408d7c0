//! People in their Slack clients: they press buttons, fill in modals and see what comes of it.
//!
//! A user can do only what the client lets them do; `interactive/forgery.rs` is for everything beyond that. What is sent to the
//! app is in `interactive/`.

pub mod elements;
pub mod click;
pub mod submit;

use std::time::Duration;

use super::SlackSim;
use super::interactive::Warning;
use super::interactive::dispatch::{self, DeliveryResult};
use super::interactive::log::Interaction;
use super::snapshot::MessageView;
use super::state::State;
use super::views::OpenView;
use super::workspace::{Channel, ChannelKind, SlackUser, SlackUserKind};
use click::{Click, Target};
use elements::Confirm;
use submit::Submission;

/// Why a user cannot do what a test asks of them.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ActionError {
    /// No such user, or one without a client: a bot, or a deactivated account.
    #[error("{0} is no user that can use a client")]
    NoClient(String),
    /// The channel does not exist, or not for them.
    #[error("{user} cannot see {channel}")]
    CannotSee {
        /// The id of the user who tried.
        user: String,
        /// The channel's id.
        channel: String,
    },
    /// No such message, or an ephemeral one for another user.
    #[error("there is no message {0} to be seen")]
    NoMessage(String),
    /// No such view in their client, or not the uppermost.
    #[error("the view {0} is not in front of them")]
    NoView(String),
    /// Nothing with this action id.
    #[error("there is nothing with the action id {0}")]
    NoElement(String),
    /// Several elements with this action id; say which block.
    #[error("{0} is the action id of several elements")]
    Ambiguous(String),
    /// A menu was used without a choice, or a choice it does not offer.
    #[error("the menu {0} does not offer that")]
    NoOption(String),
    /// The view has no button to submit it.
    #[error("the view {0} cannot be submitted")]
    NoSubmit(String),
}

impl SlackSim {
    /// `user` presses the button or uses the menu with this action id on a message. Await it.
    pub fn click(&self, user: &str, channel: &str, ts: &str, action_id: &str) -> Click {
        let target = Target::Message { channel: channel.to_owned(), ts: ts.to_owned() };
        Click::new(self.clone(), user, target, action_id)
    }

    /// `user` presses the button with this action id in the modal before them. Await it.
    pub fn click_in_view(&self, user: &str, view_id: &str, action_id: &str) -> Click {
        Click::new(self.clone(), user, Target::View(view_id.to_owned()), action_id)
    }

    /// `user` submits the modal before them with these texts and choices, by action id. Await it.
    pub fn submit_view(&self, user: &str, view_id: &str, values: &[(&str, &str)]) -> Submission {
        Submission::new(self.clone(), user, view_id, values)
    }

    /// `user` closes the modal before them. The app learns of it only if it asked to.
    pub async fn close_view(&self, user: &str, view_id: &str) -> Result<ActionOutcome, ActionError> {
        submit::close(self, user, view_id).await
    }

    /// An attacker sends the bytes of an earlier HTTP request again, with its old timestamp and signature. `None` if
    /// that interaction is not known or did not go over HTTP.
    pub async fn replay(&self, seq: u64) -> Option<ActionOutcome> {
        let user = self.interaction(seq)?.user;
        let before = Baseline::now(&self.shared.state());
        let delivered = dispatch::replay(self, seq).await?;
        Some(ActionOutcome::delivered(self, &user, before, delivered))
    }

    /// Everything that Slack sent to the app so far, oldest first.
    pub fn interactions(&self) -> Vec<Interaction> {
        self.shared.interactions.all()
    }

    /// One of them.
    pub fn interaction(&self, seq: u64) -> Option<Interaction> {
        self.interactions().into_iter().find(|interaction| interaction.seq == seq)
    }

    /// The ephemeral messages that a user sees, oldest first.
    pub fn ephemerals(&self, user: &str) -> Vec<MessageView> {
        let state = self.shared.state();
        state.ephemerals.of(user).map(|ephemeral| ephemeral.view(&state.bot.user_id)).collect()
    }

    /// The modals in a user's client, the lowest first.
    pub fn views_of(&self, user: &str) -> Vec<OpenView> {
        self.shared.state().views.stack(user).iter().map(|view| OpenView::of(user, view)).collect()
    }

    /// The uppermost modal in a user's client.
    pub fn modal(&self, user: &str) -> Option<OpenView> {
        self.views_of(user).pop()
    }

    /// A user reloads their client: ephemeral messages and modals are gone. The app does not learn of it.
    pub fn reload_client(&self, user: &str) {
        self.modify(|state| {
            state.ephemerals.clear(user);
            state.views.clear(user);
        });
    }
}

/// How much a user had seen before they acted.
#[derive(Clone, Copy)]
struct Baseline {
    ephemerals: u64,
    views: u64,
}

impl Baseline {
    fn now(state: &State) -> Self {
        Baseline { ephemerals: state.ephemerals.created(), views: state.views.count() }
    }
}

/// What the client shows for the act itself.
#[derive(Debug, Clone, PartialEq, Eq)]
enum ClientFeedback {
    Confirming(Confirm),
    Acknowledged,
    Warned(Warning),
    /// Nothing was sent and nothing had to be.
    Nothing,
}

/// What a user sees after they acted, now and later. It keeps the simulator running.
#[derive(Clone)]
pub struct ActionOutcome {
    sim: SlackSim,
    user: String,
    baseline: Baseline,
    feedback: ClientFeedback,
    seq: Option<u64>,
}

impl std::fmt::Debug for ActionOutcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seen")
            .field("user", &self.user)
            .field("shown", &self.feedback)
            .finish_non_exhaustive()
    }
}

impl ActionOutcome {
    fn new(sim: &SlackSim, user: &str, before: Baseline, shown: ClientFeedback) -> Self {
        ActionOutcome {
            sim: sim.clone(),
            user: user.to_owned(),
            baseline: before,
            feedback: shown,
            seq: None,
        }
    }

    fn delivered(sim: &SlackSim, user: &str, before: Baseline, delivered: DeliveryResult) -> Self {
        let shown = match delivered.result {
            Ok(_) => ClientFeedback::Acknowledged,
            Err(warning) => ClientFeedback::Warned(warning),
        };
        ActionOutcome { seq: Some(delivered.seq), ..ActionOutcome::new(sim, user, before, shown) }
    }

    /// Whether the app acknowledged in time, so that the client shows nothing unusual.
    pub fn acknowledged(&self) -> bool {
        self.feedback == ClientFeedback::Acknowledged
    }

    /// The warning beside the element.
    pub fn warning(&self) -> Option<&Warning> {
        match &self.feedback {
            ClientFeedback::Warned(warning) => Some(warning),
            _ => None,
        }
    }

    /// The question that the client asks before it sends anything.
    pub fn confirm(&self) -> Option<&Confirm> {
        match &self.feedback {
            ClientFeedback::Confirming(confirm) => Some(confirm),
            _ => None,
        }
    }

    /// The number of what was sent, in [`SlackSim::interactions`].
    pub fn seq(&self) -> Option<u64> {
        self.seq
    }

    /// The ephemeral messages for this user since they acted.
    pub fn ephemerals(&self) -> Vec<MessageView> {
        let state = self.sim.shared.state();
        let since = state.ephemerals.of(&self.user).filter(|one| one.number > self.baseline.ephemerals);
        since.map(|ephemeral| ephemeral.view(&state.bot.user_id)).collect()
    }

    /// The modal before this user, if it was opened since they acted.
    pub fn modal(&self) -> Option<OpenView> {
        let state = self.sim.shared.state();
        let view = state.views.top(&self.user).filter(|view| view.number > self.baseline.views)?;
        Some(OpenView::of(&self.user, view))
    }

    /// The first ephemeral message, waiting for it up to `limit`.
    pub async fn ephemeral_within(&self, limit: Duration) -> Option<MessageView> {
        self.wait_for(limit, || self.ephemerals().into_iter().next()).await
    }

    /// The modal, waiting for it up to `limit`.
    pub async fn modal_within(&self, limit: Duration) -> Option<OpenView> {
        self.wait_for(limit, || self.modal()).await
    }

    async fn wait_for<T>(&self, limit: Duration, look: impl Fn() -> Option<T>) -> Option<T> {
        let mut changes = self.sim.changes();
        let waiting = async {
            loop {
                changes.mark_unchanged();
                if let Some(found) = look() {
                    return Some(found);
                }
                changes.changed().await.ok()?;
            }
        };
        tokio::time::timeout(limit, waiting).await.ok().flatten()
    }
}

/// The user with this id, if they have a client.
fn find_user(state: &State, user: &str) -> Result<SlackUser, ActionError> {
    let person = state.users.get(user).filter(|person| person.has_client());
    person.cloned().ok_or_else(|| ActionError::NoClient(user.to_owned()))
}

/// Full members see public channels without joining them; every user sees the channels they are in.
fn can_see(person: &SlackUser, channel: &Channel) -> bool {
    channel.members.contains(&person.id)
        || (channel.kind == ChannelKind::Public && person.kind == SlackUserKind::Member)
}
