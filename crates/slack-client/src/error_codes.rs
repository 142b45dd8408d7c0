//! Every error code of Slack's that we know: what to do about it, what it means, who can help and how.
//!
//! One table. The class decides `SlackError::retry` and `is_ambiguous`; the sentences are for the log.

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
    /// No call will work until an operator fixes the token or the app.
    Unauthorized,
    /// This call will never work.
    Rejected,
}

/// What we know about a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeInfo {
    pub(super) class: Class,
    /// What happened, to follow the code in brackets.
    pub(super) cause: Option<&'static str>,
    /// What a person can do, as a sentence without its full stop.
    pub(super) remedy: Option<&'static str>,
}

const NEW_TOKEN: &str = "install the app again and put its bot token (xoxb-...) into slack.token";
const ASK_ADMIN: &str = "ask an administrator of the Slack workspace to permit the app";
const CHANNEL_RULES: &str = "let the app post there in the channel's settings, or name another channel";
const REPORT: &str =
    "this is a fault in teleport-slack or in what answers at slack.api_url; please report it";

/// Looks a code up. A code that is not in the table counts as refused: asking again would not change it.
pub(super) fn code_info(code: &str) -> CodeInfo {
    use Class::{PartialFailure, RateLimited, Rejected, Transient, Unauthorized, WorkspaceMigrating};
    let (class, cause, remedy) = match code {
        "ratelimited" | "rate_limited" => (RateLimited, "too many calls", None),

        "internal_error" | "fatal_error" => (PartialFailure, "Slack failed while carrying it out", None),
        "service_unavailable" => (Transient, "Slack is not available for the moment", None),
        "request_timeout" => (Transient, "the request reached Slack cut short", None),
        "team_added_to_org" | "org_login_required" => (
            WorkspaceMigrating,
            "the workspace is being moved into an Enterprise organisation",
            Some("wait for the move to end; if this goes on after it, install the app again"),
        ),

        "missing_scope" => (
            Unauthorized,
            "the token lacks a permission",
            Some("add the missing scope under OAuth & Permissions of the Slack app, then install it again"),
        ),
        "not_authed" => {
            (Unauthorized, "no token reached Slack", Some("set slack.token to the app's bot token"))
        }
        "invalid_auth" => (
            Unauthorized,
            "the token is wrong, or this machine's address is not on the app's list",
            Some("check slack.token and the app's allowed IP addresses"),
        ),
        "account_inactive" => (Unauthorized, "the app was removed or its workspace is gone", Some(NEW_TOKEN)),
        "token_revoked" => (Unauthorized, "the token was revoked", Some(NEW_TOKEN)),
        "token_expired" => (
            Unauthorized,
            "the token has expired, so the app has token rotation switched on",
            Some("create the app without token rotation; once on, Slack cannot switch it off"),
        ),
        "not_allowed_token_type" => (
            Unauthorized,
            "this kind of token is not accepted",
            Some("slack.token must be a bot token (xoxb-...), not a user or app-level token"),
        ),
        "no_permission" | "access_denied" | "team_access_not_granted" | "enterprise_is_restricted" => {
            (Unauthorized, "the app has no right to do this in the workspace", Some(ASK_ADMIN))
        }
        "accesslimited" | "ekm_access_denied" => {
            (Unauthorized, "an administrator has restricted access to the workspace", Some(ASK_ADMIN))
        }
        "two_factor_setup_required" => (
            Unauthorized,
            "the workspace demands two-factor authentication from the app's owner",
            Some("let the person who installed the app set up two-factor authentication"),
        ),

        "not_in_channel" => (
            Rejected,
            "the app is not a member of the channel",
            Some("invite it there (/invite @app), or grant chat:write.public for public channels"),
        ),
        "channel_not_found" => (
            Rejected,
            "there is no such channel, or the app cannot see it",
            Some(
                "check the name; invite the app if the channel is private; people who block the app have none",
            ),
        ),
        "is_archived" | "is_inactive" => (
            Rejected,
            "the channel is archived or frozen",
            Some("restore the channel or name another one in the configuration"),
        ),
        "restricted_action"
        | "restricted_action_read_only_channel"
        | "restricted_action_thread_only_channel"
        | "restricted_action_non_threadable_channel"
        | "restricted_action_thread_locked" => {
            (Rejected, "the rules of the workspace or channel forbid this post", Some(CHANNEL_RULES))
        }
        "channel_is_limited_access" => {
            (Rejected, "only selected people may use the channel", Some(CHANNEL_RULES))
        }
        "messages_tab_disabled" => (
            Rejected,
            "the app cannot receive direct messages, so it cannot send them either",
            Some("switch on the Messages tab under App Home of the Slack app"),
        ),
        "team_not_found" => (
            Rejected,
            "an organisation's token needs channel ids",
            Some("write recipients as channel ids (C...), not as names"),
        ),
        "edit_window_closed" => (
            Rejected,
            "the workspace forbids editing messages of this age",
            Some("allow message editing at any time in the workspace's settings, at least for apps"),
        ),
        "message_not_found" => (Rejected, "the message was deleted", None),
        "cant_update_message" => (
            Rejected,
            "the message was not posted with this token",
            Some("messages of another Slack app cannot be kept current; use the token that posted them"),
        ),
        "cannot_reply_to_message" => (Rejected, "this kind of message takes no replies", None),
        "message_limit_exceeded" => (
            Rejected,
            "the workspace has reached its limit of messages",
            Some("check the plan of the Slack workspace"),
        ),
        "external_channel_migrating" => (Transient, "the shared channel is being moved", None),
        "update_failed" => (PartialFailure, "Slack failed while changing the message", None),
        "expired_trigger_id" | "trigger_expired" => (
            Rejected,
            "Slack opens a modal only within three seconds of the click",
            Some("if this happens often, check how busy this machine and its network are"),
        ),
        "exchanged_trigger_id" | "trigger_exchanged" => {
            (Rejected, "a modal was opened for this click before", None)
        }
        "invalid_trigger_id" => (Rejected, "this click cannot open a modal", Some(REPORT)),
        "view_too_large" => (Rejected, "the modal is larger than Slack takes", Some(REPORT)),
        "expired_url" | "used_url" => {
            (Rejected, "a click can be answered five times within half an hour", None)
        }
        "user_not_in_channel" => (Rejected, "the person is not in the channel any more", None),
        "no_such_subteam" => (
            Rejected,
            "there is no such user group",
            Some("check the id of the user group (S...) in [[review.rule]]"),
        ),
        "plan_upgrade_required" => (
            Rejected,
            "the workspace's plan has no user groups",
            Some("name the approvers one by one in [[review.rule]]"),
        ),
        "forbidden_team" | "user_removed_from_team" | "team_disabled" => {
            (Unauthorized, "the app was removed or its workspace is gone", Some(NEW_TOKEN))
        }
        "user_not_visible" => (
            Rejected,
            "the app may not see this person",
            Some("check the person's membership in the workspace"),
        ),
        "user_not_found" | "users_not_found" => (Rejected, "no such person, or deactivated", None),
        "msg_too_long" | "msg_blocks_too_long" | "metadata_too_large" => {
            (Rejected, "the message is too long for Slack", Some(REPORT))
        }
        "invalid_blocks" | "invalid_blocks_format" | "block_mismatch" | "no_text" => {
            (Rejected, "Slack does not accept the message's layout", Some(REPORT))
        }
        "invalid_metadata_format" | "invalid_metadata_schema" | "metadata_must_be_sent_from_app" => {
            (Rejected, "Slack does not accept the message's metadata", Some(REPORT))
        }
        "invalid_arguments"
        | "invalid_arg_name"
        | "invalid_array_arg"
        | "invalid_charset"
        | "invalid_form_data"
        | "invalid_post_type"
        | "missing_post_type"
        | "invalid_json"
        | "json_not_object"
        | "missing_argument"
        | "deprecated_endpoint"
        | "method_deprecated"
        | "unknown_method" => (Rejected, "Slack does not accept how it was asked", Some(REPORT)),

        _ => return CodeInfo { class: Rejected, cause: None, remedy: None },
    };
    CodeInfo { class, cause: Some(cause), remedy }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_class(class: Class, codes: &[&str]) {
        for code in codes {
            let meaning = code_info(code);
            assert_eq!(meaning.class, class, "{code}");
            assert!(meaning.cause.is_some(), "{code} is not in the table");
        }
    }

    #[test]
    fn codes_common_to_every_method_have_their_class() {
        assert_class(Class::RateLimited, &["ratelimited", "rate_limited"]);
        assert_class(Class::PartialFailure, &["internal_error", "fatal_error"]);
        assert_class(Class::Transient, &["service_unavailable", "request_timeout"]);
        assert_class(Class::WorkspaceMigrating, &["team_added_to_org", "org_login_required"]);
        assert_class(
            Class::Unauthorized,
            &[
                "not_authed",
                "invalid_auth",
                "account_inactive",
                "token_revoked",
                "token_expired",
                "missing_scope",
                "not_allowed_token_type",
                "no_permission",
                "team_access_not_granted",
                "access_denied",
                "accesslimited",
                "two_factor_setup_required",
                "ekm_access_denied",
                "enterprise_is_restricted",
            ],
        );
        assert_class(
            Class::Rejected,
            &[
                "invalid_arguments",
                "invalid_arg_name",
                "invalid_array_arg",
                "invalid_charset",
                "invalid_form_data",
                "invalid_post_type",
                "missing_post_type",
                "invalid_json",
                "json_not_object",
                "missing_argument",
                "deprecated_endpoint",
                "method_deprecated",
                "unknown_method",
            ],
        );
    }

    #[test]
    fn what_an_operator_can_fix_has_a_remedy() {
        let fixable = [
            "not_in_channel",
            "channel_not_found",
            "is_archived",
            "is_inactive",
            "restricted_action",
            "restricted_action_read_only_channel",
            "messages_tab_disabled",
            "msg_too_long",
            "msg_blocks_too_long",
            "invalid_blocks",
            "edit_window_closed",
            "cant_update_message",
            "team_not_found",
        ];
        assert_class(Class::Rejected, &fixable);
        let stop = ["missing_scope", "invalid_auth", "token_revoked", "account_inactive", "not_authed"];
        for code in fixable.iter().chain(&stop) {
            assert!(code_info(code).remedy.is_some(), "{code}");
        }
    }

    #[test]
    fn an_unknown_code_is_refused() {
        assert_eq!(code_info("brand_new"), CodeInfo { class: Class::Rejected, cause: None, remedy: None });
        assert_eq!(code_info(""), CodeInfo { class: Class::Rejected, cause: None, remedy: None });
    }
}
