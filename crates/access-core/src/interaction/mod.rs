//! From verified bytes to a user's interaction: a press of Approve or Deny, or the modal sent with a reason.
//!
//! Only the fields that are needed are read; the others may be missing, null or of any type, because Slack
//! changes them between workspaces and over time. Whether the person may do it is [`crate::policy::identity`]'s and
//! [`crate::policy`]'s question; whether the message is ours, [`check_message`]'s.

use std::fmt;

use serde_json::Value;

use crate::domain::decision::{Decision, MAX_REASON};
use crate::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId, is_id_charset};
use crate::domain::secret::Secret;
use crate::domain::text::{is_seen, truncate};
use crate::interaction::controls::ModalState;
use crate::interaction::shown_cluster::ShownCluster;
use crate::interaction::signature::Verified;
use crate::record::Record;

/// Longer bodies are not read. Slack's carry the message (some 100 kB at worst) or a view (250 kB at most).
pub const MAX_BODY: usize = 1 << 20;
/// Longer one-time addresses and tickets are taken as absent.
const MAX_ONE_TIME_VALUE_LEN: usize = 1_000;

/// An interaction of a Slack user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Interaction {
    /// Pressed Approve or Deny.
    ButtonPress(ButtonPress),
    /// Sent the modal that asks for a reason.
    Submission(Submission),
    /// Something that asks for nothing but an acknowledgement.
    Ignored(Ignored),
}

/// Why there is nothing to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// The button that opens Teleport; the browser does the rest.
    Link,
    /// A button or a shortcut that is none of ours; the user who pressed it expects an answer.
    OtherAction(Option<Sender>),
    /// A modal that is none of ours.
    OtherModal,
    /// Another type of interaction, such as a closed modal; the user expects no answer.
    OtherType,
}

/// Who did something, and where that person can be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The id of the Slack user: `U…` or `W…`.
    pub user: SlackUserId,
    /// The address that takes answers for this person, from every caller that has it.
    pub response_url: Option<Secret>,
    /// Where the message is, if it is known.
    pub channel: Option<ChannelId>,
    /// The request that they decided on, if it can be read; not yet believed.
    pub request: Option<RequestId>,
}

/// A button pressed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ButtonPress {
    /// Through which app and workspace it came.
    pub origin: Origin,
    /// Who pressed it. Everything else about the person is read again.
    pub user: SlackUserId,
    /// The decision that the button stands for.
    pub decision: Decision,
    /// The request that the button names.
    pub request: RequestId,
    /// Where the message is.
    pub channel: ChannelId,
    /// The message's `ts`, its id within the conversation.
    pub ts: MessageTs,
    /// When, in Slack's notation; with the rest it names this one press.
    pub action_ts: String,
    /// The Teleport cluster that the message names, if it does; see [`ShownCluster`].
    pub cluster: Option<ShownCluster>,
    /// Opens a modal, once and within three seconds.
    pub trigger_id: Option<String>,
    /// The address that takes answers for this person, from every caller that has it.
    pub response_url: Option<Secret>,
}

/// A modal sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    /// Through which app and workspace it came.
    pub origin: Origin,
    /// The id of the Slack user who sent it: `U…` or `W…`.
    pub user: SlackUserId,
    /// What the modal was opened for.
    pub modal: ModalState,
    /// The reason, trimmed, at most [`MAX_REASON`] characters; empty if a reader would see nothing of it.
    pub reason: String,
    /// The modal's id in Slack.
    pub view_id: String,
}

impl Submission {
    /// Whether it can be sent back at once, because the reason that the modal demanded is missing.
    pub fn lacks_reason(&self) -> bool {
        self.modal.required && self.reason.is_empty()
    }
}

/// Through which app, workspace and organization an interaction came, as far as Slack said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// The app whose button it is.
    pub app_id: Option<String>,
    /// The workspace: that of the message, or of the person who sent the modal. Absent for apps that a whole
    /// organization installed.
    pub team_id: Option<String>,
    /// Of a modal, the workspace whose installation opened it (`view.app_installed_team_id`). A user of a sister
    /// workspace who uses a shared channel sends it under another `team_id`.
    pub installed_team_id: Option<String>,
    /// The id of the Enterprise organization, `E…`.
    pub enterprise_id: Option<String>,
}

/// A payload that cannot be understood. Nothing of it is in here but who sent it: it holds addresses and tickets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidPayload {
    /// The first part that is missing or invalid.
    pub part: &'static str,
    /// Who did it, if that can be read.
    pub sender: Option<Box<Sender>>,
    /// Whether it is a modal, which can be answered in its acknowledgement.
    pub is_modal: bool,
}

impl fmt::Display for InvalidPayload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slack's interaction cannot be understood: {} is missing or invalid", self.part)
    }
}

impl std::error::Error for InvalidPayload {}

/// What makes an interaction this one and no other; equal for every delivery of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum InteractionKey {
    /// A button press.
    ButtonPress {
        /// The id of the Slack user: `U…` or `W…`.
        user: SlackUserId,
        /// The conversation's id: `C…`, `G…` or `D…`.
        channel: ChannelId,
        /// The message's `ts`, its id within the conversation.
        ts: MessageTs,
        /// The time of the press as Slack writes it: seconds, a dot, and six digits.
        action_ts: String,
        /// The decision that the button stands for.
        decision: Decision,
    },
    /// A modal, which can be sent once.
    Submission {
        /// The id of the Slack user: `U…` or `W…`.
        user: SlackUserId,
        /// The modal's id in Slack: `V…`.
        view_id: String,
    },
}

impl Interaction {
    /// Reads a callback's form or a Socket Mode payload.
    ///
    /// # Errors
    /// [`InvalidPayload`] if it is too large or none, or if something that is needed is missing.
    pub fn parse(verified: &Verified<'_>) -> Result<Self, InvalidPayload> {
        match verified.signature() {
            Some(_) => parse_form(verified.bytes()),
            None => parse_json(verified.bytes()),
        }
    }

    /// What names this interaction; `None` for what is ignored.
    pub fn key(&self) -> Option<InteractionKey> {
        match self {
            Self::ButtonPress(ButtonPress { user, channel, ts, action_ts, decision, .. }) => {
                Some(InteractionKey::ButtonPress {
                    user: user.clone(),
                    channel: channel.clone(),
                    ts: ts.clone(),
                    action_ts: action_ts.clone(),
                    decision: *decision,
                })
            }
            Self::Submission(Submission { user, view_id, .. }) => {
                Some(InteractionKey::Submission { user: user.clone(), view_id: view_id.clone() })
            }
            Self::Ignored(_) => None,
        }
    }

    /// Who did it, and where to answer.
    pub fn sender(&self) -> Option<Sender> {
        match self {
            Self::ButtonPress(ButtonPress { user, response_url, channel, request, .. }) => Some(Sender {
                user: user.clone(),
                response_url: response_url.clone(),
                channel: Some(channel.clone()),
                request: Some(request.clone()),
            }),
            Self::Submission(Submission { user, modal, .. }) => Some(Sender {
                user: user.clone(),
                response_url: None,
                channel: Some(modal.channel.clone()),
                request: Some(modal.request.clone()),
            }),
            Self::Ignored(Ignored::OtherAction(sender)) => sender.clone(),
            Self::Ignored(_) => None,
        }
    }

    /// The request that it names, not yet believed.
    pub fn request(&self) -> Option<&RequestId> {
        match self {
            Self::ButtonPress(press) => Some(&press.request),
            Self::Submission(submission) => Some(&submission.modal.request),
            Self::Ignored(_) => None,
        }
    }
}

fn parse_form(body: &[u8]) -> Result<Interaction, InvalidPayload> {
    if body.len() > MAX_BODY {
        return Err(without_user("the size"));
    }
    let mut payloads = form_urlencoded::parse(body).filter(|(key, _)| key == "payload");
    match (payloads.next(), payloads.next()) {
        (Some((_, payload)), None) => parse_json(payload.as_bytes()),
        _ => Err(without_user("payload")),
    }
}

fn parse_json(payload: &[u8]) -> Result<Interaction, InvalidPayload> {
    if payload.len() > MAX_BODY {
        return Err(without_user("the size"));
    }
    // serde_json refuses what is nested deeper than 128.
    let payload: Value = serde_json::from_slice(payload).map_err(|_| without_user("the JSON"))?;
    let read = match payload.get("type").and_then(Value::as_str) {
        Some("block_actions") => button_press(&payload),
        Some("view_submission") => submission(&payload),
        Some("interactive_message" | "message_action" | "shortcut") => {
            Ok(Interaction::Ignored(Ignored::OtherAction(sender(&payload))))
        }
        Some(_) => Ok(Interaction::Ignored(Ignored::OtherType)),
        None => Err("type"),
    };
    let is_modal = payload["type"] == "view_submission";
    read.map_err(|part| InvalidPayload { part, sender: sender(&payload).map(Box::new), is_modal })
}

fn button_press(payload: &Value) -> Result<Interaction, &'static str> {
    let action = payload["actions"].get(0).ok_or("actions")?;
    let action_id = action["action_id"].as_str().ok_or("action_id")?;
    let Some(decision) = Decision::from_action_id(action_id) else {
        let is_link = action_id == controls::OPEN;
        return Ok(Interaction::Ignored(if is_link {
            Ignored::Link
        } else {
            Ignored::OtherAction(sender(payload))
        }));
    };
    let channel = channel(payload).ok_or("channel_id")?;
    let ts = id(&payload["container"]["message_ts"])
        .or_else(|| id(&payload["message"]["ts"]))
        .ok_or("message_ts")?;
    Ok(Interaction::ButtonPress(ButtonPress {
        origin: origin(payload),
        user: id(&payload["user"]["id"]).map(SlackUserId::new).ok_or("user")?,
        decision,
        request: action["value"].as_str().and_then(request_id).ok_or("value")?,
        channel,
        ts: MessageTs::new(ts),
        action_ts: id(&action["action_ts"]).ok_or("action_ts")?.to_owned(),
        cluster: ShownCluster::read(&payload["message"]),
        trigger_id: one_time_value(&payload["trigger_id"]),
        response_url: response_url(payload),
    }))
}

fn submission(payload: &Value) -> Result<Interaction, &'static str> {
    let view = &payload["view"];
    if view["callback_id"].as_str().ok_or("callback_id")? != controls::REASON {
        return Ok(Interaction::Ignored(Ignored::OtherModal));
    }
    let metadata = view["private_metadata"].as_str().ok_or("private_metadata")?;
    let input = &view["state"]["values"][controls::REASON][controls::REASON];
    let reason = input["value"].as_str().filter(|text| is_seen(text)).unwrap_or_default().trim();
    Ok(Interaction::Submission(Submission {
        origin: origin(payload),
        user: id(&payload["user"]["id"]).map(SlackUserId::new).ok_or("user")?,
        modal: ModalState::decode(metadata).ok_or("private_metadata")?,
        reason: truncate(reason, MAX_REASON),
        view_id: id(&view["id"]).ok_or("view id")?.to_owned(),
    }))
}

fn origin(payload: &Value) -> Origin {
    let text = |value: &Value| id(value).map(str::to_owned);
    Origin {
        app_id: text(&payload["api_app_id"]),
        team_id: text(&payload["team"]["id"]),
        installed_team_id: text(&payload["view"]["app_installed_team_id"]),
        enterprise_id: text(&payload["enterprise"]["id"]).or_else(|| text(&payload["team"]["enterprise_id"])),
    }
}

fn sender(payload: &Value) -> Option<Sender> {
    let user = id(&payload["user"]["id"]).map(SlackUserId::new)?;
    Some(Sender { user, response_url: response_url(payload), channel: channel(payload), request: None })
}

fn channel(payload: &Value) -> Option<ChannelId> {
    id(&payload["container"]["channel_id"]).or_else(|| id(&payload["channel"]["id"])).map(ChannelId::new)
}

fn id(value: &Value) -> Option<&str> {
    value.as_str().filter(|text| is_id_charset(text))
}

fn request_id(text: &str) -> Option<RequestId> {
    let id = RequestId::new(text);
    id.as_token().is_some().then_some(id)
}

fn one_time_value(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty() && text.len() <= MAX_ONE_TIME_VALUE_LEN).map(str::to_owned)
}

fn response_url(payload: &Value) -> Option<Secret> {
    one_time_value(&payload["response_url"]).map(Secret::new)
}

fn without_user(part: &'static str) -> InvalidPayload {
    InvalidPayload { part, sender: None, is_modal: false }
}

/// What this app is, as Slack answered it at the start (`auth.test`, `bots.info` or Socket Mode's hello).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppInstallation {
    /// The id of the Slack app, `A…`.
    pub app_id: String,
    /// The workspace that installed it.
    pub team_id: String,
    /// The Enterprise organization, if any.
    pub enterprise_id: Option<String>,
    /// Whether the whole organization installed it; then its id decides and the workspace may be any of its.
    pub is_org_install: bool,
}

/// Why an interaction is not about one of our messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OriginMismatch {
    /// Another app, or none named.
    App,
    /// Another workspace or organization, or none named.
    Workspace,
    /// A message that the request's record does not list.
    Message,
}

/// Whether an interaction came through our app and workspace, about a message that `record` lists, where
/// `record` is that of the request which the interaction names.
///
/// # Errors
/// [`OriginMismatch`] if not; nothing may be decided then.
pub fn check_message(
    interaction: &Interaction,
    our: &AppInstallation,
    record: &Record,
) -> Result<(), OriginMismatch> {
    let (origin, request, channel, ts) = match interaction {
        Interaction::ButtonPress(ButtonPress { origin, request, channel, ts, .. }) => {
            (origin, request, channel, ts)
        }
        Interaction::Submission(Submission { origin, modal, .. }) => {
            (origin, &modal.request, &modal.channel, &modal.ts)
        }
        Interaction::Ignored(_) => return Err(OriginMismatch::Message),
    };
    check_origin(origin, our)?;
    let is_its_record = record.known.as_ref().is_some_and(|known| known.id == *request);
    let is_listed = record.deliveries.iter().any(|delivery| delivery.is_at(channel, ts));
    if is_its_record && is_listed { Ok(()) } else { Err(OriginMismatch::Message) }
}

/// The part of [`check_message`] that needs no record, and so no call to Teleport.
///
/// # Errors
/// [`OriginMismatch::App`] or [`OriginMismatch::Workspace`].
pub fn check_origin(origin: &Origin, our: &AppInstallation) -> Result<(), OriginMismatch> {
    if origin.app_id.as_ref() != Some(&our.app_id) {
        return Err(OriginMismatch::App);
    }
    let is_ours = if our.is_org_install {
        our.enterprise_id.is_some() && origin.enterprise_id == our.enterprise_id
    } else {
        // The person's own workspace says nothing against them; who they are is read again.
        origin.installed_team_id.as_ref().or(origin.team_id.as_ref()) == Some(&our.team_id)
    };
    if is_ours { Ok(()) } else { Err(OriginMismatch::Workspace) }
}

#[cfg(test)]
mod tests;
pub mod controls;
pub mod shown_cluster;
pub mod signature;
