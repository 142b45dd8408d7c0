//! Looks in Slack for a post whose outcome nobody recorded, by the mark that it was posted with.

use std::collections::BTreeMap;

use access_core::claim::Doubt;
use access_core::ids::{ChannelId, MessageTs, RequestId, SlackUserId};
use access_core::plan::Errand;
use access_core::recipients::{RecipientKey, is_slack_id};
use access_core::record::{Outcome, Told};

use crate::slack::error::{Kind, SlackError};
use crate::slack::history::{Author, Marked, Window};
use crate::slack::{self, Metadata};

/// The `event_type` of our messages' marks.
const EVENT_TYPE: &str = "teleport_access_request";
const REQUEST: &str = "request_id";
const RECIPIENT: &str = "recipient";
const REVIEW: &str = "review";
const VOTE: &str = "vote";

/// The mark of a message that tells a recipient of a request.
pub(super) fn message_mark(id: &RequestId, key: &RecipientKey) -> Metadata {
    mark(id, RECIPIENT, key.to_string())
}

/// The mark of a reply that tells a review or a vote.
pub(super) fn reply_mark(id: &RequestId, told: Told) -> Metadata {
    let kind = match told {
        Told::Reviews(_) => REVIEW,
        Told::Votes(_) => VOTE,
    };
    mark(id, kind, told.count().to_string())
}

fn mark(id: &RequestId, key: &str, value: String) -> Metadata {
    let payload = BTreeMap::from([(REQUEST.to_owned(), id.to_string()), (key.to_owned(), value)]);
    Metadata { event_type: EVENT_TYPE.to_owned(), payload }
}

/// What was found of a post.
#[derive(Debug)]
pub(super) enum Finding {
    /// It is there.
    Found(Vec<Outcome>),
    /// It is there more than once: these replies are too many.
    Doubled(ChannelId, Vec<MessageTs>),
    /// It is not there.
    Absent,
    /// The message whose thread it went to was deleted.
    Gone(Outcome),
    /// We cannot look, for this reason.
    Hidden(String),
}

impl Finding {
    fn of(found: Vec<Outcome>) -> Self {
        if found.is_empty() { Self::Absent } else { Self::Found(found) }
    }
}

/// Looks for what a doubt is about.
///
/// # Errors
/// If Slack did not answer; then the doubt stays.
pub(super) async fn look(
    slack: &slack::Client,
    author: &Author,
    id: &RequestId,
    doubt: &Doubt,
) -> Result<Finding, SlackError> {
    match find(slack, author, id, doubt).await {
        Ok(None) => Ok(Finding::Hidden(format!(
            "no public channel is called {} any more; name channels by their ids (C...), which stay",
            doubt.place
        ))),
        Ok(Some(found)) => Ok(found),
        Err(error) if matches!(error.code(), Some("thread_not_found" | "message_not_found")) => {
            Ok(match &doubt.errand {
                Errand::Tell(channel, ts) | Errand::Keep(channel, ts) => {
                    Finding::Gone(Outcome::Lost { channel: channel.clone(), ts: ts.clone() })
                }
                Errand::Deliver(_) => Finding::Hidden(error.with_remedy().to_string()),
            })
        }
        Err(error) if hides(&error) => Ok(Finding::Hidden(error.with_remedy().to_string())),
        Err(error) => Err(error),
    }
}

/// Whether Slack said "no" to the look itself: a scope is missing, or the bot is not in the channel.
fn hides(error: &SlackError) -> bool {
    match error.kind() {
        Kind::Permanent => error.code().is_some(),
        Kind::Unauthorised => {
            matches!(error.code(), Some("missing_scope" | "no_permission" | "not_allowed_token_type"))
        }
        Kind::Retry | Kind::RetryAfter(_) => false,
    }
}

/// What there is of it; `None` if its conversation cannot be found.
async fn find(
    slack: &slack::Client,
    author: &Author,
    id: &RequestId,
    doubt: &Doubt,
) -> Result<Option<Finding>, SlackError> {
    let window = |channel, thread| Window { channel, thread, from: doubt.since, until: doubt.ripe };
    match &doubt.errand {
        Errand::Deliver(key) => {
            let Some(channel) = conversation(slack, &doubt.place).await? else { return Ok(None) };
            let marked = slack.marked_messages(author, EVENT_TYPE, window(&channel, None)).await?;
            Ok(Some(Finding::of(messages(id, key, &channel, &marked))))
        }
        Errand::Tell(channel, ts) | Errand::Keep(channel, ts) => {
            let marked = slack.marked_messages(author, EVENT_TYPE, window(channel, Some(ts))).await?;
            let replies = replies(id, &marked);
            let doubles = doubles(&replies);
            if !doubles.is_empty() {
                return Ok(Some(Finding::Doubled(channel.clone(), doubles)));
            }
            let replied =
                |(_, replies)| Outcome::Replied { channel: channel.clone(), ts: ts.clone(), replies };
            Ok(Some(Finding::of(replies.into_iter().map(replied).collect())))
        }
    }
}

/// The conversation that a post to this place goes to; `None` if there is none.
async fn conversation(slack: &slack::Client, place: &str) -> Result<Option<ChannelId>, SlackError> {
    if is_slack_id(place, &['U', 'W']) {
        slack.open_direct_message(&SlackUserId::new(place)).await.map(Some)
    } else if is_slack_id(place, &['C', 'G', 'D']) {
        Ok(Some(ChannelId::new(place)))
    } else {
        slack.channel_by_name(place.strip_prefix('#').unwrap_or(place)).await
    }
}

fn messages(id: &RequestId, key: &RecipientKey, channel: &ChannelId, marked: &[Marked]) -> Vec<Outcome> {
    let is_it = |mark: &&Marked| is(mark, REQUEST, id.as_str()) && is(mark, RECIPIENT, key.as_str());
    let found = marked.iter().filter(is_it).map(|mark| Outcome::Posted {
        key: key.clone(),
        channel: channel.clone(),
        ts: mark.ts.clone(),
        shown: None,
    });
    found.collect()
}

/// Our replies about this request, and what each tells; oldest first, as they were given.
fn replies(id: &RequestId, marked: &[Marked]) -> Vec<(MessageTs, Told)> {
    let told = |mark: &Marked| {
        let count = |kind: &str| mark.payload.get(kind)?.parse().ok();
        count(REVIEW).map(Told::Reviews).or_else(|| count(VOTE).map(Told::Votes))
    };
    let ours = marked.iter().filter(|mark| is(mark, REQUEST, id.as_str()));
    ours.filter_map(|mark| Some((mark.ts.clone(), told(mark)?))).collect()
}

/// The replies that tell what an earlier one told.
fn doubles(replies: &[(MessageTs, Told)]) -> Vec<MessageTs> {
    let is_told = |n: usize| replies[..n].iter().any(|(_, told)| *told == replies[n].1);
    (0..replies.len()).filter(|n| is_told(*n)).map(|n| replies[n].0.clone()).collect()
}

fn is(mark: &Marked, key: &str, value: &str) -> bool {
    mark.payload.get(key).is_some_and(|found| found == value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn marked(ts: &str, mark: Metadata) -> Marked {
        Marked { ts: MessageTs::new(ts), payload: mark.payload }
    }

    #[test]
    fn only_the_message_for_this_request_and_recipient_is_it() {
        let (id, key) = (RequestId::new("r1"), RecipientKey::new("#team"));
        let all = [
            marked("1.1", message_mark(&RequestId::new("r2"), &key)),
            marked("1.2", message_mark(&id, &RecipientKey::new("#ops"))),
            marked("1.3", message_mark(&id, &key)),
            marked("1.4", reply_mark(&id, Told::Reviews(1))),
        ];
        let found = messages(&id, &key, &ChannelId::new("C1"), &all);
        let [Outcome::Posted { ts, shown: None, .. }] = &found[..] else { panic!("{found:?}") };
        assert_eq!(ts.as_str(), "1.3");
    }

    #[test]
    fn replies_are_counted_by_kind() {
        let id = RequestId::new("r1");
        let all = [
            marked("1.1", reply_mark(&id, Told::Reviews(1))),
            marked("1.2", reply_mark(&id, Told::Votes(2))),
            marked("1.3", reply_mark(&RequestId::new("r2"), Told::Votes(7))),
            marked("1.4", mark(&id, REVIEW, "-1".into())),
        ];
        let told: Vec<_> = replies(&id, &all).into_iter().map(|(_, told)| told).collect();
        assert_eq!(told, [Told::Reviews(1), Told::Votes(2)]);
    }

    #[test]
    fn of_replies_that_tell_the_same_the_later_ones_are_too_many() {
        let all = [("1.1", Told::Reviews(1)), ("1.2", Told::Votes(1)), ("1.3", Told::Reviews(2))]
            .map(|(ts, told)| (MessageTs::new(ts), told));
        assert_eq!(doubles(&all), []);
        let again = [("1.4", Told::Votes(1)), ("1.5", Told::Reviews(1)), ("1.6", Told::Votes(1))]
            .map(|(ts, told)| (MessageTs::new(ts), told));
        let found = doubles(&[&all[..], &again].concat());
        assert_eq!(found.iter().map(MessageTs::as_str).collect::<Vec<_>>(), ["1.4", "1.5", "1.6"]);
    }
}
