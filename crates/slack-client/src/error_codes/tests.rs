//! What the table says of each code, by Slack's documents.

use super::*;
use crate::method::Method;

/// What Slack's pages list for each method beside [`COMMON`].
const DOCUMENTED: [(Method, &str); Method::ALL.len()] = [
    (Method::AuthTest, ""),
    (Method::ChatGetPermalink, "channel_not_found message_not_found"),
    (Method::BlocksValidate, "invalid_blocks invalid_message invalid_view"),
    (
        Method::ChatPostMessage,
        "channel_not_found not_in_channel is_archived restricted_action restricted_action_read_only_channel \
         restricted_action_thread_only_channel restricted_action_non_threadable_channel \
         restricted_action_thread_locked messages_tab_disabled cannot_reply_to_message message_limit_exceeded no_text \
         invalid_blocks invalid_blocks_format msg_blocks_too_long msg_too_long too_many_attachments \
         attachment_payload_limit_exceeded markdown_text_conflict invalid_metadata_format invalid_metadata_schema \
         metadata_too_large metadata_must_be_sent_from_app duplicate_channel_not_found duplicate_message_not_found \
         team_not_found rate_limited",
    ),
    (
        Method::ChatUpdate,
        "message_not_found cant_update_message edit_window_closed is_inactive block_mismatch channel_not_found \
         external_channel_migrating streaming_state_conflict update_failed msg_too_long invalid_blocks \
         invalid_blocks_format invalid_attachments no_text metadata_too_large metadata_must_be_sent_from_app \
         team_not_found message_limit_exceeded",
    ),
    (Method::ChatDelete, "message_not_found cant_delete_message channel_not_found"),
    (
        Method::ConversationsHistory,
        "channel_not_found not_in_channel invalid_cursor invalid_ts_latest invalid_ts_oldest \
         invalid_metadata_filter_keys channel_is_limited_access",
    ),
    (
        Method::ConversationsReplies,
        "channel_not_found thread_not_found not_in_channel invalid_cursor invalid_ts_latest invalid_ts_oldest",
    ),
    (
        Method::ConversationsOpen,
        "user_not_found user_not_visible user_disabled users_list_not_supplied not_enough_users too_many_users \
         invalid_user_combination channel_not_found method_not_supported_for_channel_type",
    ),
    (
        Method::ConversationsList,
        "invalid_cursor invalid_limit invalid_types missing_argument method_not_supported_for_channel_type",
    ),
    (Method::UsersLookupByEmail, "users_not_found"),
    (Method::UsersInfo, "user_not_found user_not_visible"),
    (Method::ConversationsInfo, "channel_not_found channel_is_limited_access"),
    (
        Method::ViewsOpen,
        "expired_trigger_id exchanged_trigger_id invalid_trigger_id trigger_expired trigger_exchanged \
         duplicate_external_id view_too_large invalid_arguments",
    ),
    (
        Method::ChatPostEphemeral,
        "user_not_in_channel not_in_channel channel_not_found is_archived messages_tab_disabled msg_too_long no_text \
         restricted_action invalid_blocks invalid_blocks_format",
    ),
    (Method::Respond, "expired_url used_url"),
    (Method::UsergroupsUsersList, "invalid_cursor no_such_subteam plan_upgrade_required"),
    (Method::BotsInfo, "bot_not_found missing_argument team_not_found"),
    (
        Method::AppsConnectionsOpen,
        "invalid_auth missing_args insecure_request forbidden_team not_authed account_inactive \
         user_removed_from_team team_disabled",
    ),
];

/// What every method may answer, by class.
const COMMON: [(Class, &str); 6] = [
    (Class::RateLimited, "ratelimited rate_limited"),
    (Class::PartialFailure, "internal_error fatal_error"),
    (Class::Transient, "service_unavailable request_timeout"),
    (Class::WorkspaceMigrating, "team_added_to_org org_login_required"),
    (
        Class::Unauthorized,
        "not_authed invalid_auth account_inactive token_revoked token_expired missing_scope not_allowed_token_type \
         no_permission team_access_not_granted access_denied accesslimited two_factor_setup_required \
         ekm_access_denied enterprise_is_restricted",
    ),
    (
        Class::Rejected,
        "invalid_arguments invalid_arg_name invalid_array_arg invalid_charset invalid_form_data invalid_post_type \
         missing_post_type invalid_json json_not_object missing_argument deprecated_endpoint method_deprecated \
         unknown_method",
    ),
];

#[test]
fn every_documented_code_of_our_methods_is_in_the_table() {
    for (method, codes) in DOCUMENTED {
        for code in codes.split_whitespace() {
            assert_ne!(code_info(code), UNKNOWN, "{code} of {method}");
        }
    }
    for method in Method::ALL {
        assert!(DOCUMENTED.iter().any(|(listed, _)| *listed == method), "{method}");
    }
}

#[test]
fn codes_common_to_every_method_have_their_class() {
    for (class, codes) in COMMON {
        for code in codes.split_whitespace() {
            let info = code_info(code);
            assert_eq!(info.class, class, "{code}");
            assert!(info.cause.is_some(), "{code}");
        }
    }
}

#[test]
fn codes_say_what_is_affected() {
    for (affects, codes) in [
        (
            Affects::Layout,
            "invalid_blocks invalid_blocks_format msg_blocks_too_long block_mismatch invalid_message invalid_view",
        ),
        (Affects::Message, "message_not_found thread_not_found edit_window_closed cant_update_message"),
        (
            Affects::Channel,
            "not_in_channel channel_not_found is_archived is_inactive restricted_action \
             restricted_action_read_only_channel channel_is_limited_access messages_tab_disabled",
        ),
        (Affects::User, "users_not_found user_not_found user_not_visible"),
        (Affects::UserGroup, "no_such_subteam plan_upgrade_required"),
        (Affects::Scope, "missing_scope"),
        (Affects::Method, "no_permission not_allowed_token_type enterprise_is_restricted unknown_method"),
        (
            Affects::App,
            "invalid_auth not_authed account_inactive token_revoked token_expired two_factor_setup_required \
             accesslimited team_disabled forbidden_team user_removed_from_team",
        ),
        // Other messages to the same channel may be accepted.
        (Affects::Call, "msg_too_long no_text invalid_metadata_format restricted_action_thread_only_channel"),
    ] {
        for code in codes.split_whitespace() {
            assert_eq!(code_info(code).affects, affects, "{code}");
        }
    }
}

#[test]
fn only_what_is_not_there_counts_as_not_found() {
    let missing = "channel_not_found message_not_found thread_not_found users_not_found user_not_found \
                   user_not_visible no_such_subteam bot_not_found";
    for code in missing.split_whitespace() {
        assert_eq!(code_info(code).class, Class::NotFound, "{code}");
    }
    // Although they end alike.
    for code in ["team_not_found", "duplicate_message_not_found"] {
        assert_eq!(code_info(code).class, Class::Rejected, "{code}");
    }
}

#[test]
fn an_error_that_an_operator_can_fix_has_a_remedy() {
    let fixable = "not_in_channel channel_not_found is_archived is_inactive restricted_action \
                   restricted_action_read_only_channel messages_tab_disabled edit_window_closed cant_update_message \
                   team_not_found no_such_subteam plan_upgrade_required";
    let (_, unauthorized) = COMMON[4];
    for code in fixable.split_whitespace().chain(unauthorized.split_whitespace()) {
        assert!(code_info(code).remedy.is_some(), "{code}");
    }
    // A bug of ours asks for a report.
    let (_, ours) = COMMON[5];
    for code in ours.split_whitespace() {
        assert_eq!(code_info(code).remedy, Some(REPORT), "{code}");
    }
}

#[test]
fn an_unknown_code_is_rejected_and_affects_this_call_only() {
    for code in ["brand_new", "", "Not_In_Channel", "draft_not_found"] {
        let info = code_info(code);
        assert_eq!((info.class, info.affects), (Class::Rejected, Affects::Call), "{code}");
        assert_eq!((info.cause, info.remedy), (None, Some(LOOK_UP)), "{code}");
    }
}
