//! Gives the replies that could not be given in time, because Slack did not answer: the user gets each in a direct message as
//! soon as it does, once. `waiting_replies` holds them.

use std::sync::Arc;

use access_core::policy::CurrentState;
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::current_handler::CurrentHandler;
use super::replies::{Reply, ReplyResult};
use super::timings::InteractionTimings;
use super::waiting_replies::{Tried, WaitingReplies};

/// Replies that are tried at once, so that one whose call hangs holds up no other. Few, because they must not delay messages.
const MAX_TRIED: usize = 4;

/// Tries what waits until `end`. `is_away`: whether Slack is.
pub(crate) async fn give_late_replies(
    waiting: Arc<WaitingReplies>,
    handler: CurrentHandler,
    mut is_away: watch::Receiver<bool>,
    timings: InteractionTimings,
    end: CancellationToken,
) {
    let slack = handler.get().slack.clone();
    let mut token = slack.token_status();
    let mut tried = FuturesUnordered::new();
    let (mut was_away, mut last_try) = (false, Instant::now());
    loop {
        waiting.expire();
        let is_refused = token.borrow_and_update().rejection.is_some();
        let before = std::mem::replace(&mut was_away, *is_away.borrow_and_update() || is_refused);
        match (before, was_away) {
            (false, true) => last_try = Instant::now(),
            (true, false) => waiting.slack_is_back(),
            _ => {}
        }
        let paused = was_away.then(|| last_try + timings.late_reply_while_away);
        let room = if was_away { 1 } else { MAX_TRIED };
        while tried.len() < room
            && paused.is_none_or(|until| until <= Instant::now())
            && let Some(reply) = waiting.start_ready()
        {
            last_try = Instant::now();
            tried.push(try_to_give(reply, handler.clone(), Arc::clone(&waiting), timings, was_away));
        }
        let due = waiting.next_due().filter(|_| tried.len() < room);
        // Not later than the cap, to give up in time what waits for too long.
        let look = Instant::now() + timings.late_reply.cap;
        let due = due.map(|due| paused.map_or(due, |until| until.max(due)).min(look));
        tokio::select! {
            biased;
            () = end.cancelled() => break,
            Some(tried) = tried.next() => waiting.tried(tried),
            () = waiting.added.notified() => {}
            Ok(()) = is_away.changed() => {}
            Ok(()) = token.changed() => {}
            () = sleep_until(due.unwrap_or_else(Instant::now)), if due.is_some() => {}
        }
    }
    waiting.close();
}

async fn try_to_give(
    mut reply: Reply,
    handler: CurrentHandler,
    waiting: Arc<WaitingReplies>,
    timings: InteractionTimings,
    was_away: bool,
) -> Tried {
    let handler = handler.get();
    let state = match &reply.command {
        Some(command) if reply.answer.may_be_outdated() => handler.facts.current_state(command).await,
        Some(_) | None => CurrentState::Unread,
    };
    let (slack, author) = (&handler.slack, &handler.responder.author);
    if !waiting.has(&reply) {
        return Tried { reply, result: None, was_away };
    }
    let result = match reply.send(slack, author, timings.late_reply_settles, Some(&state)).await {
        // Not in doubt, so it is nowhere.
        ReplyResult::Failed(_)
            if reply.in_doubt.is_none() && reply.show_beside_message(slack, Some(&state)).await =>
        {
            ReplyResult::Sent
        }
        result => result,
    };
    Tried { reply, result: Some(result), was_away }
}
