//! Look-ups for a report on an installation: each asked once, and what the token's scopes do not permit to look at is an
//! answer of its own.
//!
//! `directory` remembers and paces; this does not. Which scopes the token has, `Client::auth_test` says.

use access_core::domain::ids::{ChannelId, MessageTs, SlackUserId};
use access_core::domain::secret::Secret;
use serde_json::{Value, json};

use super::Client;
use super::error::{Affects, SlackError};
use super::method::Method;
use super::objects;
use super::remedy::invitation;

/// What a look-up says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lookup<T> {
    /// It is there.
    Found(T),
    /// There is none, or none that the app may see.
    Absent,
    /// It could not be looked at: the token lacks a scope. One of these helps; which one, the kind of channel decides.
    MissingScope(Vec<String>),
}

impl<T> Lookup<T> {
    /// From the result of a look-up, such as [`Client::conversation_info`] or [`Client::usergroup_members`].
    ///
    /// # Errors
    /// Every other failure.
    pub fn from_result(result: Result<T, SlackError>) -> Result<Self, SlackError> {
        Self::from_option(result.map(Some))
    }

    /// From the result of a look-up that knows absence, such as [`Client::user_info`], [`Client::lookup_by_email`] or
    /// [`Client::bot_app`].
    ///
    /// # Errors
    /// Every other failure.
    pub fn from_option(result: Result<Option<T>, SlackError>) -> Result<Self, SlackError> {
        let is_absent = |error: &SlackError| {
            [Affects::Channel, Affects::User, Affects::UserGroup].iter().any(|what| error.is_missing(*what))
        };
        match result {
            Ok(found) => Ok(found.map_or(Self::Absent, Self::Found)),
            Err(error) if error.affects() == Affects::Scope => Ok(Self::MissingScope(error.needed_scopes())),
            Err(error) if is_absent(&error) => Ok(Self::Absent),
            Err(error) => Err(error),
        }
    }
}

impl Client {
    /// How Slack shows a person, if one of the last answers said so: one printable line, for people beside the id. Makes no
    /// call.
    pub fn known_name(&self, user: &SlackUserId) -> Option<String> {
        self.shared.names.of_person(user)
    }

    /// The same of a channel, with `#`. A direct message has no name.
    pub fn known_channel_name(&self, channel: &ChannelId) -> Option<String> {
        self.shared.names.of_channel(channel)
    }

    /// Remembers the name of a channel, without `#`.
    pub(super) fn note_channel_name(&self, channel: &ChannelId, name: &str) {
        self.shared.names.note_channel(channel, name, &self.shared.token.get().redactor);
    }

    /// What brings the bot into a channel, as the end of a sentence; with its name if [`Client::auth_test`] said it. Makes no call.
    pub fn invitation(&self) -> String {
        invitation(self.shared.names.bot().as_deref())
    }

    /// The direct message with a person if there is one already; it opens none (`conversations.open` with
    /// `prevent_creation`). [`Lookup::Absent`] is a person who cannot be written to: unknown, deactivated, or not to be
    /// seen by the app. Needs `im:write`.
    ///
    /// Slack does not document how it says that there is no direct message yet; an answer without a channel and the
    /// code for an unknown channel are both taken for that.
    ///
    /// # Errors
    /// Every other failure.
    pub async fn existing_direct_message(
        &self,
        user: &SlackUserId,
    ) -> Result<Lookup<Option<ChannelId>>, SlackError> {
        let body = json!({ "users": user, "prevent_creation": true });
        let found = match self.json(Method::ConversationsOpen, &body).await {
            Ok(fields) => {
                let channel = fields.get("channel").and_then(Value::as_object);
                Ok(channel.and_then(|channel| objects::conversation_id(channel).ok()))
            }
            Err(error) if error.is_missing(Affects::Channel) => Ok(None),
            Err(error) => Err(error),
        };
        Lookup::from_result(found)
    }

    /// The person of a direct message of the app by its id, `D…` (`conversations.open` with `return_im`; it opens none); `None` if
    /// the app has no such one, or Slack does not say whose it is. Needs `im:write`.
    ///
    /// # Errors
    /// Every other failure.
    pub async fn person_of_direct_message(
        &self,
        channel: &ChannelId,
    ) -> Result<Option<SlackUserId>, SlackError> {
        let body = json!({ "channel": channel, "return_im": true, "prevent_creation": true });
        match self.json(Method::ConversationsOpen, &body).await {
            Ok(fields) => Ok(objects::person_of_direct_message(&fields)),
            Err(error) if error.is_missing(Affects::Channel) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The address at which people see a message (`chat.getPermalink`, which needs no scope); [`Lookup::Absent`] if the
    /// message or its channel is not there for the app.
    ///
    /// # Errors
    /// Every other failure.
    pub async fn permalink(&self, channel: &ChannelId, ts: &MessageTs) -> Result<Lookup<String>, SlackError> {
        let pairs = [("channel", channel.as_str()), ("message_ts", ts.as_str())];
        match self.read(Method::ChatGetPermalink, &pairs).await {
            Ok(fields) => objects::permalink(&fields)
                .map(Lookup::Found)
                .map_err(|failure| SlackError::new(Method::ChatGetPermalink, failure)),
            Err(error) if error.is_missing(Affects::Message) => Ok(Lookup::Absent),
            Err(error) => Lookup::from_result(Err(error)),
        }
    }

    /// Whether Slack takes this app-level token for Socket Mode: asks for an address (`apps.connections.open`) and forgets
    /// it, so that no connection is opened and no interaction comes here.
    ///
    /// The address is temporary. Slack counts open connections, not addresses, as far as its documents say; they name
    /// nothing that an unused address leaves behind. One call is far below the limit of the method.
    ///
    /// # Errors
    /// As of every method; [`SlackError::remedy`] speaks of the app-level token.
    pub async fn try_app_token(&self, app_token: &Secret) -> Result<(), SlackError> {
        self.apps_connections_open(app_token).await.map(drop)
    }
}

/// The app, `A…`, that an app-level token names: `xapp-1-A0123-456-…`. `None` if it has another form, which Slack does not
/// document. The `app_id` in the address of a connection is no such id.
pub fn app_of_app_token(app_token: &Secret) -> Option<&str> {
    let mut parts = app_token.expose().split('-');
    let (Some("xapp"), Some(_), Some(app), Some(_)) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return None;
    };
    let is_app =
        app.len() > 1 && app.starts_with('A') && app.bytes().all(|byte| byte.is_ascii_alphanumeric());
    is_app.then_some(app)
}
