//! Answers the person who pressed a button: with a modal, or with a message that only they see.
//!
//! A person waits for each of these calls, so their deadlines are short (see `method`). `access-core` decides what the
//! answer says, the caller when to send it.

use access_core::domain::ids::{ChannelId, SlackUserId};
use access_core::render::Message;
use serde::Serialize;

use super::client::{Body, Client, request};
use super::error::{ErrorKind, SlackError};
use super::method::Method;
use super::{response_url, wire};
use access_core::domain::secret::Secret;

impl Client {
    /// Opens a modal for the person who clicked (`views.open`), within 2 s. The trigger came with the click, serves
    /// once and for 3 s; afterwards Slack's code is `expired_trigger_id` or `exchanged_trigger_id`.
    pub async fn views_open(&self, trigger_id: &str, view: &impl Serialize) -> Result<(), SlackError> {
        self.json(Method::ViewsOpen, &ViewBody { trigger_id, view }).await?;
        Ok(())
    }

    /// Shows a message to one person in a channel where both that person and the app are (`chat.postEphemeral`),
    /// within 5 s. Slack does not promise to show it, and forgets it when the person's client reloads.
    pub async fn post_ephemeral(
        &self,
        channel: &ChannelId,
        user: &SlackUserId,
        message: &Message,
    ) -> Result<(), SlackError> {
        let body = EphemeralBody {
            channel,
            user,
            text: message.text(),
            blocks: Some(message.blocks()).filter(|blocks| !blocks.is_empty()),
            parse: "none",
        };
        self.json(Method::ChatPostEphemeral, &body).await?;
        Ok(())
    }

    /// Answers a click at the address that came with it, within 5 s: only the person who clicked sees it, and the
    /// message with the button stays. Works five times within half an hour, without membership in the channel.
    ///
    /// # Errors
    ///
    /// Among others, a permanent one without any call if the address is not one of Slack's: `https` at slack.com,
    /// at hooks.slack.com, or at the API's own host (for which `http` will do if the API is `http` too).
    pub async fn respond(&self, response_url: &Secret, message: &Message) -> Result<(), SlackError> {
        let method = Method::Respond;
        let validated = |base| response_url::validate(response_url.expose(), &base);
        // One that came just before the client moved is answered as well.
        let uri = self
            .bases()
            .map(validated)
            .reduce(Result::or)
            .unwrap_or(Err("is not at one of Slack's hosts"))
            .map_err(|reason| SlackError::new(method, ErrorKind::UntrustedUrl { reason }))?;
        let redactor = self.shared.token.get().redactor.with(response_url::secret_parts(response_url));
        let body = RespondBody {
            text: message.text(),
            blocks: Some(message.blocks()).filter(|blocks| !blocks.is_empty()),
            response_type: "ephemeral",
            replace_original: false,
        };
        // Every caller that has the address may answer, so no token goes there.
        let request = request(uri, None, Body::json(method, &body)?);
        self.send(method, request, wire::parse_response_url_body, &redactor).await?;
        Ok(())
    }
}

#[derive(Serialize)]
struct ViewBody<'a, V> {
    trigger_id: &'a str,
    view: &'a V,
}

#[derive(Serialize)]
struct EphemeralBody<'a, B> {
    channel: &'a ChannelId,
    user: &'a SlackUserId,
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<B>,
    parse: &'static str,
}

#[derive(Serialize)]
struct RespondBody<'a, B> {
    text: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    blocks: Option<B>,
    response_type: &'static str,
    replace_original: bool,
}
