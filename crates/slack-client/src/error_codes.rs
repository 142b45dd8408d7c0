//! The one table of Slack's error codes: how to go on, what is affected, what it means, and what a person can do.
//!
//! No other file spells a code; callers ask `SlackError` for `retry`, `affects`, `is_missing` and `remedy`. The table has
//! every code that Slack documents for the methods of `method`, except two families about what this client never sends:
//! `slack_connect_*_blocked` (files) and `draft_*`.

use super::remedy::{Remedy, Setting};

/// How to go on after a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// Too many calls: wait as long as Slack says.
    RateLimited,
    /// Slack failed half way: retry, but the call may have taken effect.
    PartialFailure,
    /// Slack did nothing this time: retry.
    Transient,
    /// The workspace is moving into an Enterprise organization: retry rarely.
    WorkspaceMigrating,
    /// No such call will work until an operator fixes the token or the app.
    Unauthorized,
    /// What the call names is not there, or the app may not see it.
    NotFound,
    /// This call will never work as it is.
    Rejected,
}

/// What an error is about, and so which other calls meet it too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Affects {
    /// This call alone. Also every failure that has no code, and every code that is not known.
    Call,
    /// The blocks of a message or modal: the same message as plain text may be accepted.
    Layout,
    /// One message that was posted, or its thread.
    Message,
    /// Every message to the channel or direct message.
    Channel,
    /// One user: no active one, or none that the app may see.
    User,
    /// One user group.
    UserGroup,
    /// Every call that needs a scope which the token lacks.
    Scope,
    /// Every call of the method with this token.
    Method,
    /// Every call with this token.
    App,
}

/// What is known of a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CodeInfo {
    pub(super) class: Class,
    pub(super) affects: Affects,
    /// What happened, to follow the code in brackets.
    pub(super) cause: Option<&'static str>,
    /// What a person can do.
    pub(super) remedy: Option<Remedy>,
}

impl CodeInfo {
    /// What a person can do after a post, or after another call.
    pub(super) fn remedy_after(&self, is_post: bool) -> Option<Remedy> {
        match &self.remedy {
            Some(remedy) if *remedy == INVITE_OR_GRANT && !is_post => Some(INVITE),
            remedy => remedy.clone(),
        }
    }
}

/// A code that is not in the table. Slack refused the call, and a repetition would not change that; nothing is assumed about
/// other calls. A caller that must not lose what it has to say tries again, less and less often.
const UNKNOWN: CodeInfo =
    CodeInfo { class: Class::Rejected, affects: Affects::Call, cause: None, remedy: Some(LOOK_UP) };

const LOOK_UP: Remedy = Remedy::new(
    "look the code up at the method's page on docs.slack.dev; ask Slack's support if it is not there",
);
const NEW_TOKEN: Remedy =
    Remedy::setting(Setting::BotToken, "install the app again and configure its new bot token (xoxb-...)");
/// For a bot that is not a member of a channel.
const INVITE: Remedy = Remedy::new("invite it there ({invitation})");
/// The same where posting is enough: a public channel is read by members only, and posted to with a scope.
const INVITE_OR_GRANT: Remedy =
    Remedy::new("invite it there ({invitation}), or grant chat:write.public for public channels");
const ASK_ADMIN: Remedy = Remedy::new("ask an administrator of the Slack workspace to permit the app");
const CHANNEL_RULES: Remedy =
    Remedy::new("let the app post there in the channel's settings, or name another channel");
const REPORT: Remedy =
    Remedy::new("this is a bug in the program or in what answers at Slack's API address; please report it");

/// A remedy that needs no setting's name.
fn general(text: &'static str) -> Option<Remedy> {
    Some(Remedy::new(text))
}

/// A remedy that is clear once the setting is named.
fn in_setting(setting: Setting, text: &'static str) -> Option<Remedy> {
    Some(Remedy::setting(setting, text))
}

/// Looks a code up.
pub(super) fn code_info(code: &str) -> CodeInfo {
    use Affects::{App, Call, Channel, Layout, Message, Method, Scope, User, UserGroup};
    use Class::{
        NotFound, PartialFailure, RateLimited, Rejected, Transient, Unauthorized, WorkspaceMigrating,
    };
    let (class, affects, cause, remedy) = match code {
        // Slack and the network.
        "ratelimited" | "rate_limited" => (RateLimited, Call, "too many calls", None),
        "internal_error" | "fatal_error" => {
            (PartialFailure, Call, "Slack failed while carrying it out", None)
        }
        "update_failed" => (PartialFailure, Call, "Slack failed while changing the message", None),
        "service_unavailable" => (Transient, Call, "Slack is not available for the moment", None),
        "request_timeout" => (Transient, Call, "the request reached Slack cut short", None),
        "external_channel_migrating" => (Transient, Channel, "the shared channel is being moved", None),

        // The token and the app.
        "team_added_to_org" | "org_login_required" => (
            WorkspaceMigrating,
            App,
            "the workspace is being moved into an Enterprise organization",
            general("wait for the move to end; if this goes on after it, install the app again"),
        ),
        "not_authed" => (
            Unauthorized,
            App,
            "no token reached Slack",
            in_setting(Setting::BotToken, "configure the app's bot token"),
        ),
        "invalid_auth" => (
            Unauthorized,
            App,
            "the token is wrong, or this machine's address is not on the app's list",
            in_setting(Setting::BotToken, "check the bot token and the app's allowed IP addresses"),
        ),
        "token_revoked" => (Unauthorized, App, "the token was revoked", Some(NEW_TOKEN)),
        "token_expired" => (
            Unauthorized,
            App,
            "the token has expired, so the app has token rotation switched on",
            general("create the app without token rotation; once on, Slack cannot switch it off"),
        ),
        "account_inactive" | "forbidden_team" | "user_removed_from_team" | "team_disabled" => {
            (Unauthorized, App, "the app was removed or its workspace is gone", Some(NEW_TOKEN))
        }
        "two_factor_setup_required" => (
            Unauthorized,
            App,
            "the workspace demands two-factor authentication from the app's owner",
            general("let the person who installed the app set up two-factor authentication"),
        ),
        "accesslimited" => {
            (Unauthorized, App, "an administrator has restricted access to the workspace", Some(ASK_ADMIN))
        }
        "missing_scope" => (
            Unauthorized,
            Scope,
            "the token lacks a permission",
            general(
                "add the missing scope under OAuth & Permissions of the Slack app, then install it again",
            ),
        ),
        "not_allowed_token_type" => (
            Unauthorized,
            Method,
            "this kind of token is not accepted",
            in_setting(Setting::BotToken, "configure a bot token (xoxb-...), not a user or app-level token"),
        ),
        "no_permission" | "enterprise_is_restricted" => {
            (Unauthorized, Method, "the app has no right to do this in the workspace", Some(ASK_ADMIN))
        }
        "access_denied" | "team_access_not_granted" => {
            (Unauthorized, Call, "the app has no right to do this in the workspace", Some(ASK_ADMIN))
        }
        "ekm_access_denied" => {
            (Unauthorized, Call, "an administrator has restricted access to the workspace", Some(ASK_ADMIN))
        }
        "message_limit_exceeded" => (
            Rejected,
            Call,
            "the workspace has reached its limit of messages",
            general("check the plan of the Slack workspace"),
        ),

        // Channels.
        "channel_not_found" => (
            NotFound,
            Channel,
            "there is no such channel, or the app cannot see it",
            general(
                "correct the channel's name or id; invite the app if the channel is private ({invitation}); a person may have blocked it",
            ),
        ),
        "not_in_channel" => {
            (Rejected, Channel, "the app is not a member of the channel", Some(INVITE_OR_GRANT))
        }
        "is_archived" | "is_inactive" => (
            Rejected,
            Channel,
            "the channel is archived or frozen",
            general("restore the channel or name another one"),
        ),
        "restricted_action" | "restricted_action_read_only_channel" => {
            (Rejected, Channel, "the rules of the workspace or channel forbid this post", Some(CHANNEL_RULES))
        }
        // Replies may be allowed where posts are not, and the other way round.
        "restricted_action_thread_only_channel" | "restricted_action_non_threadable_channel" => {
            (Rejected, Call, "the rules of the workspace or channel forbid this post", Some(CHANNEL_RULES))
        }
        "restricted_action_thread_locked" => {
            (Rejected, Message, "the rules of the workspace or channel forbid this post", Some(CHANNEL_RULES))
        }
        "channel_is_limited_access" => {
            (Rejected, Channel, "only selected people may use the channel", Some(CHANNEL_RULES))
        }
        "messages_tab_disabled" => (
            Rejected,
            Channel,
            "the app cannot receive direct messages, so it cannot send them either",
            general("switch on the Messages tab under App Home of the Slack app"),
        ),
        "team_not_found" => (
            Rejected,
            Call,
            "an organization's token needs channel ids",
            general("write recipients as channel ids (C...), not as names"),
        ),

        // Messages.
        "message_not_found" => (NotFound, Message, "the message was deleted", None),
        "thread_not_found" => (NotFound, Message, "the message of the thread was deleted", None),
        "edit_window_closed" => (
            Rejected,
            Message,
            "the workspace forbids editing messages of this age",
            general("allow message editing at any time in the workspace's settings, at least for apps"),
        ),
        "cant_update_message" | "cant_delete_message" => (
            Rejected,
            Message,
            "the message was not posted with this token",
            general("messages of another Slack app cannot be kept current; use the token that posted them"),
        ),
        "cannot_reply_to_message" => (Rejected, Message, "this kind of message takes no replies", None),
        "streaming_state_conflict" => (Rejected, Call, "the message is still being written", Some(REPORT)),
        "invalid_blocks"
        | "invalid_blocks_format"
        | "block_mismatch"
        | "invalid_message"
        | "invalid_view" => (Rejected, Layout, "Slack does not accept the message's layout", Some(REPORT)),
        "msg_blocks_too_long" => (Rejected, Layout, "the message is too long for Slack", Some(REPORT)),
        "msg_too_long"
        | "metadata_too_large"
        | "too_many_attachments"
        | "attachment_payload_limit_exceeded" => {
            (Rejected, Call, "the message is too long for Slack", Some(REPORT))
        }
        "no_text" | "invalid_attachments" | "markdown_text_conflict" => {
            (Rejected, Call, "Slack does not accept the message's layout", Some(REPORT))
        }
        "invalid_metadata_format"
        | "invalid_metadata_schema"
        | "invalid_metadata_filter_keys"
        | "metadata_must_be_sent_from_app" => {
            (Rejected, Call, "Slack does not accept the message's metadata", Some(REPORT))
        }

        // Modals and replies to button presses.
        "expired_trigger_id" | "trigger_expired" => (
            Rejected,
            Call,
            "Slack opens a modal only within three seconds of the click",
            general("if this happens often, check how busy this machine and its network are"),
        ),
        "exchanged_trigger_id" | "trigger_exchanged" => {
            (Rejected, Call, "a modal was opened for this click before", None)
        }
        "invalid_trigger_id" => (Rejected, Call, "this click cannot open a modal", Some(REPORT)),
        "view_too_large" => (Rejected, Call, "the modal is larger than Slack takes", Some(REPORT)),
        "duplicate_external_id" => (Rejected, Call, "the modal's id is in use", Some(REPORT)),
        "expired_url" | "used_url" => {
            (Rejected, Call, "a click can be answered five times within half an hour", None)
        }

        // Users and groups.
        "user_not_found" | "users_not_found" | "user_disabled" => {
            (NotFound, User, "no such person, or deactivated", None)
        }
        "user_not_visible" => (
            NotFound,
            User,
            "the app may not see this person",
            general("check the person's membership in the workspace"),
        ),
        "user_not_in_channel" => (Rejected, Call, "the person is not in the channel any more", None),
        "no_such_subteam" => (
            NotFound,
            UserGroup,
            "there is no such user group",
            in_setting(Setting::UserGroups, "check the id of the user group (S...)"),
        ),
        "plan_upgrade_required" => (
            Rejected,
            UserGroup,
            "the workspace's plan has no user groups",
            in_setting(Setting::UserGroups, "name the users one by one instead of the group"),
        ),
        "bot_not_found" => (NotFound, Call, "there is no such bot", None),

        // Mistakes of ours.
        "invalid_arguments"
        | "invalid_arg_name"
        | "invalid_array_arg"
        | "invalid_charset"
        | "invalid_cursor"
        | "invalid_form_data"
        | "invalid_limit"
        | "invalid_post_type"
        | "invalid_ts_latest"
        | "invalid_ts_oldest"
        | "invalid_types"
        | "invalid_user_combination"
        | "missing_post_type"
        | "invalid_json"
        | "json_not_object"
        | "missing_argument"
        | "missing_args"
        | "insecure_request"
        | "users_list_not_supplied"
        | "not_enough_users"
        | "too_many_users"
        | "duplicate_channel_not_found"
        | "duplicate_message_not_found"
        | "method_not_supported_for_channel_type"
        | "deprecated_endpoint"
        | "method_deprecated" => (Rejected, Call, "Slack does not accept how it was asked", Some(REPORT)),
        "unknown_method" => (Rejected, Method, "Slack does not know this method", Some(REPORT)),

        _ => return UNKNOWN,
    };
    CodeInfo { class, affects, cause: Some(cause), remedy }
}

#[cfg(test)]
mod tests;
