//! Who was notified, who was not, and what is left to do in Slack: the controller's plan in words.

use access_core::domain::ids::{ChannelId, MessageTs};
use access_core::domain::recipients::Recipient;
use access_core::domain::text::escape_line;
use access_core::plan::{SkipReason, Skipped, Step, Unresolved};
use access_core::record::claim::{Acquire, ClaimTimings, InDoubtPost, may_acquire};
use access_core::record::{Delivery, Operation};
use jiff::Timestamp;
use slack_client::lookup::Lookup;
use std::time::Duration;

use super::Facts;
use super::explanation::{ClaimPart, MessagePart, NotNotifiedPart, OperationPart};

/// The messages that were posted.
pub(super) fn messages(facts: &Facts) -> Vec<MessagePart> {
    facts.view.record.deliveries.iter().map(|delivery| message(facts, delivery)).collect()
}

fn message(facts: &Facts, delivery: &Delivery) -> MessagePart {
    let Delivery { key, channel, ts, displayed, is_unreachable, .. } = delivery;
    let update = Operation::Update(channel.clone(), ts.clone());
    let planned = facts.view.plan.operations.iter().find(|(operation, _)| *operation == update);
    let skipped = facts.view.plan.skipped.iter().find(|skipped| skipped.operation.as_ref() == Some(&update));
    let link = facts.slack.links.get(&(channel.clone(), ts.clone()));
    let (state, sentence) = match (planned, skipped) {
        _ if *is_unreachable => ("unreachable", SkipReason::Unreachable.to_string()),
        (Some((_, steps)), _) if steps.iter().any(|step| matches!(step, Step::Delete { .. })) => {
            ("duplicate", SkipReason::Duplicate.to_string())
        }
        (Some(_), _) => ("outdated", "it does not show the latest state; the daemon updates it".to_owned()),
        (None, Some(skipped)) => ("waits", skipped.reason.to_string()),
        (None, None) => ("current", "up to date".to_owned()),
    };
    let gone = match link {
        Some(Lookup::Absent) if !is_unreachable => "; Slack does not find it any more",
        _ => "",
    };
    MessagePart {
        recipient: key.as_ref().map(ToString::to_string),
        recipient_name: key.as_ref().and_then(|key| facts.name_of(key.as_str())),
        email: key.as_ref().and_then(|key| facts.slack.emails.get(key)).cloned(),
        channel: channel.to_string(),
        channel_name: channel_name(facts, channel),
        ts: ts.to_string(),
        posted_at: posted_at(ts),
        link: match link {
            Some(Lookup::Found(link)) => Some(link.clone()),
            _ => None,
        },
        shows: displayed.as_ref().map(|shown| shown.phase.as_str()),
        state,
        sentence: format!("{sentence}{gone}"),
    }
}

/// The name of a channel, without `#`.
fn channel_name(facts: &Facts, channel: &ChannelId) -> Option<String> {
    Some(facts.slack.names.get(channel.as_str())?.trim_start_matches('#').to_owned())
}

/// A message's `ts` begins with the second in which Slack took it.
fn posted_at(ts: &MessageTs) -> Option<Timestamp> {
    let (second, _) = ts.as_str().split_once('.')?;
    Timestamp::from_second(second.parse().ok()?).ok()
}

/// Who has no message, and why: what the plan leaves out, what it has still to post, and what may have arrived.
pub(super) fn not_notified(facts: &Facts) -> Vec<NotNotifiedPart> {
    let plan = &facts.view.plan;
    let left_out = plan.skipped.iter().filter_map(|skipped| {
        let recipient = match &skipped.operation {
            None => None,
            Some(Operation::Post(key)) => Some(key.to_string()),
            Some(Operation::Update(..) | Operation::Reply(..)) => return None,
        };
        let (sentence, remedy) = words(facts, skipped);
        let recipient_name = recipient.as_deref().and_then(|recipient| facts.name_of(recipient));
        Some(NotNotifiedPart { recipient, recipient_name, reason: skipped.reason.kind(), sentence, remedy })
    });
    let planned = plan.operations.iter().filter_map(|(operation, steps)| {
        let Operation::Post(key) = operation else { return None };
        let is_post = steps.iter().any(|step| matches!(step, Step::Post { .. }));
        let (reason, sentence, remedy) = match (is_post, facts.slack.obstacles.get(key)) {
            (false, _) => ("in_doubt", "it is not known whether the message arrived".to_owned(), None),
            (true, Some((cause, remedy))) => ("refused_by_slack", cause.clone(), Some(remedy.clone())),
            (true, None) => ("not_posted_yet", "the message is still to be posted".to_owned(), None),
        };
        let (recipient, recipient_name) = (Some(key.to_string()), facts.name_of(key.as_str()));
        Some(NotNotifiedPart { recipient, recipient_name, reason, sentence, remedy })
    });
    left_out.chain(planned).collect()
}

/// The reason as the daemon words it, and what to do about it.
fn words(facts: &Facts, skipped: &Skipped) -> (String, Option<String>) {
    let reason = skipped.reason;
    let names = &facts.view.recipients;
    let is_reviewer = names.recipients.iter().any(|recipient| {
        matches!(recipient, Recipient::Reviewer(_))
            && skipped.operation == Some(Operation::Post(recipient.key()))
    });
    let remedy = match reason {
        SkipReason::Unresolved { why: Unresolved::InProgress, .. } => {
            return (
                "it is not known where in Slack the recipient is, because the look-up did not end in time"
                    .to_owned(),
                None,
            );
        }
        SkipReason::Unresolved { why: Unresolved::NoSuchUser, .. } if is_reviewer => Some(
            "correct the name in Teleport, or link the Teleport user to an account in Slack by a line in [review.users]",
        ),
        SkipReason::Unresolved { why: Unresolved::NoSuchUser, .. } => {
            Some("correct the name in the configuration, or invite the person to Slack")
        }
        SkipReason::Unresolved { why: Unresolved::Deactivated, .. } if is_reviewer => {
            Some("name another reviewer in Teleport")
        }
        SkipReason::Unresolved { why: Unresolved::Deactivated, .. } => {
            Some("take the recipient out of the configuration, or name another one")
        }
        SkipReason::Unresolved { why: Unresolved::LookupFailed, .. } => {
            Some("`teleport-slack check` says what Slack or Teleport answers")
        }
        SkipReason::NoRecipients => {
            Some("add `recipients` under [slack], or an entry for one of the roles in [role_to_recipients]")
        }
        SkipReason::InvalidReviewers { .. } => {
            let sentence = format!("{reason}: {}", escape_line(&names.unaddressable.to_string()));
            return (sentence, Some("correct the suggested reviewers in Teleport".to_owned()));
        }
        SkipReason::TooManyRecipients { .. } => Some("name a channel instead of its members"),
        _ => None,
    };
    (reason.to_string(), remedy.map(str::to_owned))
}

/// What is left to do in Slack.
pub(super) fn operations(facts: &Facts) -> Vec<OperationPart> {
    let plan = &facts.view.plan;
    let planned = plan.operations.iter().filter_map(|(operation, steps)| planned(operation, steps));
    let left_out = plan.skipped.iter().filter_map(|skipped| {
        let operation = skipped.operation.as_ref()?;
        let (word, destination, ts) = match operation {
            Operation::Post(_) => return None,
            Operation::Update(channel, ts) => ("update", channel, ts),
            Operation::Reply(channel, ts) => ("reply", channel, ts),
        };
        let not_before = match skipped.reason {
            SkipReason::DeletionUnconfirmed(at) => at,
            _ => None,
        };
        let sentence = format!("left out: {}", skipped.reason);
        Some(of_message(word, (destination, ts), not_before, sentence))
    });
    let named =
        |part: OperationPart| OperationPart { destination_name: facts.name_of(&part.destination), ..part };
    planned.chain(left_out).map(named).collect()
}

fn of_message(
    operation: &'static str,
    (channel, ts): (&ChannelId, &MessageTs),
    not_before: Option<Timestamp>,
    sentence: String,
) -> OperationPart {
    OperationPart {
        operation,
        destination: channel.to_string(),
        destination_name: None,
        ts: Some(ts.to_string()),
        not_before,
        sentence,
    }
}

fn planned(operation: &Operation, steps: &[Step]) -> Option<OperationPart> {
    let part = match (steps.first()?, operation) {
        (Step::Post { post_to, displayed, .. }, _) => OperationPart {
            operation: "post",
            destination: operation_destination(operation),
            destination_name: None,
            ts: None,
            not_before: None,
            sentence: format!("a message that shows {} goes to {post_to}", displayed.phase.as_str()),
        },
        (Step::VerifyPost(query), _) => in_doubt(&query.in_doubt),
        (Step::Update { channel, ts, displayed, .. }, _) => {
            let is_deleted = steps.iter().any(|step| matches!(step, Step::Delete { .. }));
            let end = if is_deleted { ", and is then deleted as a duplicate" } else { "" };
            let sentence =
                format!("it is to show the request as it is now ({}){end}", displayed.phase.as_str());
            of_message("update", (channel, ts), None, sentence)
        }
        (Step::Reply { channel, ts, .. }, _) => {
            let sentence = format!("reviews and votes that its thread lacks: {}", steps.len());
            of_message("reply", (channel, ts), None, sentence)
        }
        (Step::Delete { channel, ts }, _) => {
            of_message("delete", (channel, ts), None, "its recipient has another message".to_owned())
        }
    };
    Some(part)
}

fn operation_destination(operation: &Operation) -> String {
    match operation {
        Operation::Post(key) => key.to_string(),
        Operation::Update(channel, _) | Operation::Reply(channel, _) => channel.to_string(),
    }
}

/// A post of which no answer is recorded.
fn in_doubt(post: &InDoubtPost) -> OperationPart {
    let InDoubtPost { operation, destination, attempted_at, final_at, attempts, is_accepted, .. } = post;
    let what = match operation {
        Operation::Post(_) => "a message",
        Operation::Update(..) | Operation::Reply(..) => "replies in its thread",
    };
    let accepted = if *is_accepted { ", and Slack took it without saying where it is" } else { "" };
    let next = post.next_attempt_at().map(|at| format!("; it is posted once more at {at:.0} at the latest"));
    let sentence = format!(
        "{what} for {destination} may have been posted at {attempted_at:.0} (attempts: {attempts}){accepted}; the daemon looks for it in \
         Slack before it posts again, and until {final_at:.0} not finding it proves nothing{}",
        next.unwrap_or_default()
    );
    let ts = match operation {
        Operation::Post(_) => None,
        Operation::Update(_, ts) | Operation::Reply(_, ts) => Some(ts.to_string()),
    };
    let destination = operation_destination(operation);
    let not_before = Some(*final_at);
    OperationPart { operation: "verify", destination, destination_name: None, ts, not_before, sentence }
}

/// Who works on the request.
pub(super) fn claim(facts: &Facts) -> Option<ClaimPart> {
    let claim = facts.view.record.claim.as_ref()?;
    let timings = ClaimTimings::default();
    let has_expired = may_acquire(Some(claim), "", Duration::ZERO, facts.now, &timings) == Acquire::Expired;
    let (holder, at) = (&claim.holder, claim.acquired_at);
    let sentence = if has_expired {
        format!(
            "instance {holder} acquired it at {at:.0} and ended without releasing it; the next daemon that has something to do takes it over"
        )
    } else {
        format!(
            "instance {holder} acquired it at {at:.0} and works on the request; another daemon takes over if it sees no change for {} s",
            timings.timeout.as_secs()
        )
    };
    Some(ClaimPart { holder: holder.clone(), acquired_at: at, has_expired, sentence })
}
