//! Replies that could not be given in time, because Slack did not answer: the user gets each in a direct message as soon as it
//! does, once.
//!
//! A reply is forgotten with the process, and after [`InteractionTimings::late_reply_until`]; the log then names the user.

use std::collections::VecDeque;
use std::sync::Arc;

use access_core::render::ephemeral::late;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use super::replies::{DirectReply, ReplyResult};
use super::timings::InteractionTimings;
use slack_client::error::SlackError;
use slack_client::history::Author;

/// Replies that wait at a time; the users of further ones get none, and the log says so.
pub(crate) const MAX_WAITING: usize = 100;

/// Sends replies as soon as Slack answers, until the stop.
pub(crate) async fn send_late_replies(
    mut incoming: mpsc::Receiver<(DirectReply, SlackError)>,
    slack: slack_client::Client,
    author: Arc<Author>,
    timings: InteractionTimings,
    stop: CancellationToken,
) {
    let mut waiting = VecDeque::new();
    let (mut failures, mut next) = (0, Instant::now());
    loop {
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some((mut reply, error)) = incoming.recv(), if waiting.len() < MAX_WAITING => {
                debug!(slack_user = %reply.sender.user, "The reply waits for Slack: {error}");
                reply.message = late(&reply.message, reply.sender.request.as_ref(), reply.began.0);
                if waiting.is_empty() {
                    (failures, next) = (1, Instant::now() + timings.late_reply.delay(1, fastrand::u64(..)));
                }
                waiting.push_back((reply, error));
            }
            () = sleep_until(next), if !waiting.is_empty() => {
                let sending = send_waiting(&mut waiting, &slack, &author, &timings);
                stop.run_until_cancelled(sending).await;
                failures += 1;
                next = Instant::now() + timings.late_reply.delay(failures, fastrand::u64(..));
            }
        }
    }
    incoming.close();
    waiting.extend(std::iter::from_fn(|| incoming.try_recv().ok()));
    waiting.iter().for_each(|(reply, _)| reply.log_failed(&slack, None));
}

/// Sends what waits, in order, until Slack does not answer again. What is left after its time is logged.
async fn send_waiting(
    waiting: &mut VecDeque<(DirectReply, SlackError)>,
    slack: &slack_client::Client,
    author: &Author,
    timings: &InteractionTimings,
) {
    let (mut at, mut is_away) = (0, false);
    while let Some((reply, last_error)) = waiting.get_mut(at) {
        let is_settling = reply.in_doubt.is_some_and(|settled_at| settled_at > Instant::now());
        let result = match is_away || is_settling {
            true => ReplyResult::Deferred(last_error.clone()),
            false => reply.send(slack, author, timings.late_reply_settles).await,
        };
        let is_over = match result {
            ReplyResult::Sent => {
                reply.log_sent();
                true
            }
            ReplyResult::Deferred(error) => {
                is_away |= !is_settling && error.is_unavailable();
                let is_over = reply.began.1.elapsed() >= timings.late_reply_until;
                if is_over {
                    reply.log_failed(slack, Some(&error));
                }
                *last_error = error;
                is_over
            }
            // Not in doubt, so it is nowhere.
            ReplyResult::Failed(_)
                if reply.in_doubt.is_none() && reply.is_shown_beside_message(slack).await =>
            {
                reply.log_sent();
                true
            }
            ReplyResult::Failed(error) => {
                reply.log_failed(slack, Some(&error));
                true
            }
        };
        if is_over {
            waiting.remove(at);
        } else {
            at += 1;
        }
    }
}
