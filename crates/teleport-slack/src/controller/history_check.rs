//! Searches Slack for a post whose outcome was not recorded: by its metadata, or by its text if the metadata is gone.

use std::collections::BTreeMap;

use access_core::domain::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::domain::recipients::{RecipientKey, is_slack_id};
use access_core::plan::HistoryQuery;
use access_core::record::{Operation, Outcome, RepliesPosted, user_behind};
use access_core::render::Message;

use crate::config::slack_setting;
use slack_client::directory::Directory;
use slack_client::error::{Affects, Retry, SlackError};
use slack_client::history::{Author, MessageTag, OwnMessage, Window};
use slack_client::{self, Metadata};

/// The scopes with which the bot can read the history.
const HISTORY_SCOPES: &str = "channels:history, groups:history, im:history and im:write";

/// The `event_type` of our messages' metadata.
const EVENT_TYPE: &str = "teleport_access_request";
const REQUEST: &str = "request_id";
const RECIPIENT: &str = "recipient";
const REVIEW: &str = "review";
const VOTE: &str = "vote";

/// The metadata of a request message to one recipient.
pub(super) fn message_metadata(id: &RequestId, key: &RecipientKey) -> Metadata {
    build_metadata(id, RECIPIENT, key.to_string())
}

/// The metadata of a thread reply with a review or a vote.
pub(super) fn reply_metadata(id: &RequestId, replies: RepliesPosted) -> Metadata {
    let kind = match replies {
        RepliesPosted::Reviews(_) => REVIEW,
        RepliesPosted::Votes(_) => VOTE,
    };
    build_metadata(id, kind, replies.count().to_string())
}

fn build_metadata(id: &RequestId, key: &str, value: String) -> Metadata {
    let payload = BTreeMap::from([(REQUEST.to_owned(), id.to_string()), (key.to_owned(), value)]);
    Metadata { event_type: EVENT_TYPE.to_owned(), payload }
}

/// The result of the search for a post.
#[derive(Debug)]
pub(super) enum HistoryResult {
    /// The post is there.
    Found(Vec<Outcome>),
    /// The post is there more than once: these replies are the duplicates.
    Duplicates(ChannelId, Vec<MessageTs>),
    /// The post is not there.
    NotFound,
    /// The message of its thread was deleted.
    ThreadDeleted(Outcome),
    /// The bot cannot read the history, for this reason, which says what helps.
    NoAccess(String),
}

impl HistoryResult {
    fn of(found: Vec<Outcome>) -> Self {
        if found.is_empty() { Self::NotFound } else { Self::Found(found) }
    }
}

/// Searches for an in-doubt post.
///
/// # Errors
/// If Slack did not answer; then the post stays in doubt.
pub(super) async fn check_history(
    slack: &slack_client::Client,
    directory: &Directory,
    author: &Author,
    id: &RequestId,
    search: &HistoryQuery,
) -> Result<HistoryResult, SlackError> {
    let in_doubt = &search.in_doubt;
    match find_in_history(slack, directory, author, id, search).await {
        Ok(None) => Ok(HistoryResult::NoAccess(format!(
            "Slack finds no public channel that is called {}; name channels by their ids (C...), which stay",
            in_doubt.destination
        ))),
        Ok(Some(found)) => Ok(found),
        Err(error) if error.is_missing(Affects::Message) => Ok(match &in_doubt.operation {
            Operation::Reply(channel, ts) | Operation::Update(channel, ts) => {
                HistoryResult::ThreadDeleted(Outcome::Unreachable {
                    channel: channel.clone(),
                    ts: ts.clone(),
                })
            }
            Operation::Post(_) => HistoryResult::NoAccess(describe(&error)),
        }),
        Err(error) if denies_history(&error) => Ok(HistoryResult::NoAccess(describe(&error))),
        Err(error) => Err(error),
    }
}

/// Why the history cannot be read, and what helps: scopes only where one is missing.
fn describe(error: &SlackError) -> String {
    let error_with_remedy = error.with_remedy(slack_setting);
    match error.affects() {
        Affects::Scope => {
            format!("grant the scopes {HISTORY_SCOPES} to rule out duplicates: {error_with_remedy}")
        }
        _ => error_with_remedy.to_string(),
    }
}

/// Whether Slack refused the search itself: a scope is missing, or the bot is not in the channel.
fn denies_history(error: &SlackError) -> bool {
    match error.retry() {
        Retry::Never => error.code().is_some(),
        Retry::NeedsOperator => matches!(error.affects(), Affects::Scope | Affects::Method),
        Retry::Backoff | Retry::After(_) => false,
    }
}

/// The search result; `None` if the conversation cannot be found.
async fn find_in_history(
    slack: &slack_client::Client,
    directory: &Directory,
    author: &Author,
    id: &RequestId,
    search: &HistoryQuery,
) -> Result<Option<HistoryResult>, SlackError> {
    let in_doubt = &search.in_doubt;
    let window = |channel, thread| Window {
        channel,
        thread,
        from: in_doubt.first_attempted_at,
        until: in_doubt.final_at,
    };
    match &in_doubt.operation {
        Operation::Post(key) => {
            let Some(channel) = resolve_conversation(slack, directory, &in_doubt.destination).await? else {
                return Ok(None);
            };
            let own = slack.own_messages(author, EVENT_TYPE, window(&channel, None)).await?;
            let is_other =
                |ts: &MessageTs| search.known_messages.iter().any(|(c, other)| *c == channel && other == ts);
            let found = matching_messages(id, key, &own, is_other).into_iter();
            let user = user_behind(&in_doubt.destination, key);
            let posted = |ts| Outcome::Posted {
                key: key.clone(),
                channel: channel.clone(),
                ts,
                displayed: None,
                user: user.clone(),
            };
            Ok(Some(HistoryResult::of(found.map(posted).collect())))
        }
        Operation::Reply(channel, ts) | Operation::Update(channel, ts) => {
            let own = slack.own_messages(author, EVENT_TYPE, window(channel, Some(ts))).await?;
            let replies = matching_replies(id, &own, &search.missing_replies);
            let duplicated = duplicates(&replies);
            if !duplicated.is_empty() {
                return Ok(Some(HistoryResult::Duplicates(channel.clone(), duplicated)));
            }
            let replied =
                |(_, replies)| Outcome::Replied { channel: channel.clone(), ts: ts.clone(), replies };
            Ok(Some(HistoryResult::of(replies.into_iter().map(replied).collect())))
        }
    }
}

/// The conversation of this destination; `None` if there is none.
async fn resolve_conversation(
    slack: &slack_client::Client,
    directory: &Directory,
    destination: &str,
) -> Result<Option<ChannelId>, SlackError> {
    if is_slack_id(destination, &['U', 'W']) {
        slack.open_direct_message(&SlackUserId::new(destination)).await.map(Some)
    } else if is_slack_id(destination, &['C', 'G', 'D']) {
        Ok(Some(ChannelId::new(destination)))
    } else {
        directory.channel_by_name(destination).await
    }
}

/// Our messages about this request to this recipient. A message without metadata counts if no other matches and it belongs
/// to no other recipient.
fn matching_messages(
    id: &RequestId,
    key: &RecipientKey,
    own: &[OwnMessage],
    is_other: impl Fn(&MessageTs) -> bool,
) -> Vec<MessageTs> {
    let is_it = |own: &&OwnMessage| match &own.tag {
        MessageTag::Metadata(metadata) => {
            has_value(metadata, REQUEST, id.as_str()) && has_value(metadata, RECIPIENT, key.as_str())
        }
        MessageTag::Content { .. } => false,
    };
    let marked: Vec<_> = own.iter().filter(is_it).map(|own| own.ts.clone()).collect();
    if !marked.is_empty() {
        return marked;
    }
    let is_like_it = |own: &&OwnMessage| match &own.tag {
        MessageTag::Content { text, blocks } => {
            !own.is_reply && !is_other(&own.ts) && mentions_request(id, text, blocks)
        }
        MessageTag::Metadata(_) => false,
    };
    own.iter().find(is_like_it).map(|own| own.ts.clone()).into_iter().collect()
}

/// Whether a message with this text is about this request: its blocks have the line with the id, or it has no blocks and the
/// id stands below the first line. All lines may hold what the requester wrote, such as another request's id.
fn mentions_request(id: &RequestId, text: &str, blocks: &[String]) -> bool {
    let Some(id) = id.as_token() else { return false };
    if blocks.is_empty() {
        let words =
            |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == id);
        return text.lines().skip(1).any(words);
    }
    let line = format!("*ID*: {id}");
    blocks.iter().flat_map(|block| block.lines()).any(|found| found == line)
}

/// Our replies about this request, and the review or vote of each; oldest first, as they were given. Replies without
/// metadata are matched by the texts that the thread `lacks`.
fn matching_replies(
    id: &RequestId,
    own: &[OwnMessage],
    lacks: &[(Message, RepliesPosted)],
) -> Vec<(MessageTs, RepliesPosted)> {
    let mut lacks: Vec<_> = lacks.iter().collect();
    let parse = |own: &OwnMessage| match &own.tag {
        MessageTag::Metadata(metadata) => {
            let count = |kind: &str| metadata.get(kind)?.parse().ok();
            let replies =
                count(REVIEW).map(RepliesPosted::Reviews).or_else(|| count(VOTE).map(RepliesPosted::Votes));
            replies.filter(|_| has_value(metadata, REQUEST, id.as_str()))
        }
        MessageTag::Content { text, .. } if own.is_reply => {
            let n = lacks.iter().position(|(message, _)| message.text() == text)?;
            Some(lacks.remove(n).1)
        }
        MessageTag::Content { .. } => None,
    };
    own.iter()
        .map(|own| own.ts.clone())
        .zip(own.iter().map(parse))
        .filter_map(|(ts, replies)| Some((ts, replies?)))
        .collect()
}

/// The replies with the same review or vote as an earlier one.
fn duplicates(replies: &[(MessageTs, RepliesPosted)]) -> Vec<MessageTs> {
    let is_repeated = |n: usize| replies[..n].iter().any(|(_, earlier)| *earlier == replies[n].1);
    (0..replies.len()).filter(|n| is_repeated(*n)).map(|n| replies[n].0.clone()).collect()
}

fn has_value(metadata: &BTreeMap<String, String>, key: &str, value: &str) -> bool {
    metadata.get(key).is_some_and(|found| found == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(ts: &str, metadata: Metadata) -> OwnMessage {
        OwnMessage {
            ts: MessageTs::new(ts),
            is_reply: metadata.payload.contains_key(REVIEW),
            tag: MessageTag::Metadata(metadata.payload),
        }
    }

    fn worded(ts: &str, text: &str, blocks: &[&str]) -> OwnMessage {
        let blocks = blocks.iter().map(|block| (*block).to_owned()).collect();
        OwnMessage {
            ts: MessageTs::new(ts),
            is_reply: false,
            tag: MessageTag::Content { text: text.into(), blocks },
        }
    }

    #[track_caller]
    fn assert_matching(own: &[OwnMessage], expected: &[&str]) {
        let (id, key) = (RequestId::new("r1"), RecipientKey::new("#team"));
        let found = matching_messages(&id, &key, own, |ts| ts.as_str().starts_with("9."));
        assert_eq!(found.iter().map(MessageTs::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn only_the_message_for_this_request_and_recipient_matches() {
        let (id, key) = (RequestId::new("r1"), RecipientKey::new("#team"));
        let all = [
            marked("1.1", message_metadata(&RequestId::new("r2"), &key)),
            marked("1.2", message_metadata(&id, &RecipientKey::new("#ops"))),
            marked("1.3", message_metadata(&id, &key)),
            marked("1.4", reply_metadata(&id, RepliesPosted::Reviews(1))),
            worded("1.5", "x", &["*ID*: r1"]),
        ];
        assert_matching(&all, &["1.3"]);
        assert_matching(&all[..2], &[]);
    }

    #[test]
    fn a_search_is_denied_by_what_does_not_refuse_every_call() {
        use slack_client::method::Method::ConversationsHistory;
        for (code, is_denied) in [
            ("missing_scope", true),
            ("no_permission", true),
            ("not_in_channel", true),
            ("channel_not_found", true),
            ("brand_new", true),
            ("invalid_auth", false),
            ("access_denied", false),
            ("ratelimited", false),
            ("fatal_error", false),
        ] {
            assert_eq!(
                denies_history(&SlackError::api_error(ConversationsHistory, code)),
                is_denied,
                "{code}"
            );
        }
        // Something between here and Slack refused it.
        assert!(!denies_history(&SlackError::status(ConversationsHistory, 403)));
    }

    #[test]
    fn a_message_without_metadata_is_matched_by_the_line_with_the_id() {
        let line = "*ID*: r1\n*Cluster*: demo";
        assert_matching(&[worded("1.1", "x", &["You have", line])], &["1.1"]);
        assert_matching(&[worded("1.1", "x\n*Approve*: `tsh request review --approve r1`", &[])], &["1.1"]);
        for (text, blocks) in [
            ("x", &["*ID*: r12"][..]),
            ("x", &["*ID*: r2\n*Reason*: see *ID*: r1"]),
            ("y\nr1", &["*ID*: r2"]),
            ("alice for dba: as in r1\n*Approve*: `tsh request review --approve r2`", &[]),
            ("x\nr1-a", &[]),
            ("", &[]),
        ] {
            assert_matching(&[worded("1.1", text, blocks)], &[]);
        }
        // It is the record's already, for another recipient of the same channel.
        assert_matching(&[worded("9.1", "x", &[line])], &[]);
        assert_matching(
            &[worded("9.1", "x", &[line]), worded("9.2", "x", &[line]), worded("1.3", "x", &[line])],
            &["1.3"],
        );
        // A reply that was sent to the channel as well.
        assert_matching(&[OwnMessage { is_reply: true, ..worded("1.1", "x", &[line]) }], &[]);
    }

    #[test]
    fn rendered_messages_are_matched_by_their_text() {
        use access_core::domain::request::AccessRequest;
        use access_core::render::request_message::{
            Edition, MessageInput, ReviewSection, fallback_message, request_message_with_review,
        };
        let request = AccessRequest {
            roles: vec!["dba".into()],
            reason: "as in 0193f1a2-0000-7000-8000-000000000002\n*ID*: 0193f1a2-0000-7000-8000-000000000002"
                .into(),
            ..AccessRequest::pending(RequestId::new("0193f1a2-0000-7000-8000-000000000001"), "alice")
        };
        let other = RequestId::new("0193f1a2-0000-7000-8000-000000000002");
        let phase = access_core::domain::lifecycle::Phase::Pending;
        let view = MessageInput { request: &request, phase, cluster: "demo", edition: Edition::Community };
        for message in
            [request_message_with_review(&view, &ReviewSection::default()), fallback_message(&view)]
        {
            let json = serde_json::to_value(message.blocks()).unwrap();
            let json = serde_json::json!({ "ts": "1.1", "text": message.text(), "blocks": json });
            let own =
                slack_client::history::parse_own_message(json.as_object().unwrap(), EVENT_TYPE).unwrap();
            let MessageTag::Content { text, blocks } = own.tag else { panic!("{own:?}") };
            assert!(
                mentions_request(&request.id, &text, &blocks) && !mentions_request(&other, &text, &blocks),
                "{message:?}"
            );
        }
    }

    #[test]
    fn replies_are_counted_by_kind() {
        let id = RequestId::new("r1");
        let all = [
            marked("1.1", reply_metadata(&id, RepliesPosted::Reviews(1))),
            marked("1.2", reply_metadata(&id, RepliesPosted::Votes(2))),
            marked("1.3", reply_metadata(&RequestId::new("r2"), RepliesPosted::Votes(7))),
            marked("1.4", build_metadata(&id, REVIEW, "-1".into())),
        ];
        let replies: Vec<_> =
            matching_replies(&id, &all, &[]).into_iter().map(|(_, replies)| replies).collect();
        assert_eq!(replies, [RepliesPosted::Reviews(1), RepliesPosted::Votes(2)]);
    }

    #[test]
    fn replies_without_metadata_are_matched_by_their_text() {
        use access_core::domain::request::Review;
        use access_core::render::thread_reply::review_reply;
        let vote = |name: &str| {
            let proposed = access_core::domain::request::RequestState::Approved;
            let (author, reason, created) = (name.into(), String::new(), None);
            review_reply(&Review { author, proposed, reason, created })
        };
        let lacks = [
            (vote("bob"), RepliesPosted::Reviews(1)),
            (vote("dave"), RepliesPosted::Reviews(2)),
            (vote("dave"), RepliesPosted::Reviews(3)),
        ];
        let reply =
            |ts: &str, message: &Message| OwnMessage { is_reply: true, ..worded(ts, message.text(), &[]) };
        let all = [
            worded("1.0", vote("bob").text(), &[]),
            reply("1.1", &vote("carol")),
            reply("1.2", &vote("dave")),
            reply("1.3", &vote("dave")),
        ];
        let found = matching_replies(&RequestId::new("r1"), &all, &lacks);
        let expected = [("1.2", RepliesPosted::Reviews(2)), ("1.3", RepliesPosted::Reviews(3))];
        assert_eq!(found, expected.map(|(ts, replies)| (MessageTs::new(ts), replies)));
    }

    #[test]
    fn later_replies_with_the_same_content_are_duplicates() {
        let all = [
            ("1.1", RepliesPosted::Reviews(1)),
            ("1.2", RepliesPosted::Votes(1)),
            ("1.3", RepliesPosted::Reviews(2)),
        ]
        .map(|(ts, replies)| (MessageTs::new(ts), replies));
        assert_eq!(duplicates(&all), []);
        let again = [
            ("1.4", RepliesPosted::Votes(1)),
            ("1.5", RepliesPosted::Reviews(1)),
            ("1.6", RepliesPosted::Votes(1)),
        ]
        .map(|(ts, replies)| (MessageTs::new(ts), replies));
        let found = duplicates(&[&all[..], &again].concat());
        assert_eq!(found.iter().map(MessageTs::as_str).collect::<Vec<_>>(), ["1.4", "1.5", "1.6"]);
    }
}
