//! The open requests, where each is shown, and what waits.

use access_core::record::{Delivery, Operation};

use super::moment::{Moment, rounded};
use super::view::{Copy, CopyState, Listed, Request, Waiting, text};
use crate::controller::status::{self, ControllerStatus, MAX_LISTED, OpenRequest, WaitingOperation};
use crate::observe::health::WaitingReply;

/// Roles that are listed of each request.
const MAX_ROLES: usize = 20;
/// Messages that are listed of each request.
const MAX_COPIES: usize = 50;

pub(super) fn open(controller: &ControllerStatus, moment: Moment) -> Listed<Request> {
    let items = controller.open.iter().map(|open| request(open, moment)).collect();
    Listed::of(controller.open_total, items)
}

fn request(open: &OpenRequest, moment: Moment) -> Request {
    let OpenRequest { request, copies, waiting, is_in_progress, claimed_by } = open;
    // A duration before the request was made is that of a clock that is wrong.
    let age = request.created.map(|created| moment.time.duration_since(created).as_secs());
    let posted = copies.iter().map(|delivery| copy(delivery, waiting));
    let missing = waiting.iter().filter_map(|operation| match operation {
        Operation::Post(key) => Some(Copy {
            recipient: Some(text(key.as_str())),
            channel: None,
            ts: None,
            shows: None,
            state: CopyState::PostWaits,
        }),
        Operation::Update(..) | Operation::Reply(..) => None,
    });
    let all: Vec<_> = posted.chain(missing).collect();
    Request {
        id: text(request.id.as_str()),
        requester: text(&request.user),
        roles: Listed::first(request.roles.iter().map(text), MAX_ROLES),
        created_at: request.created.map(rounded),
        age_s: age.map(|age| u64::try_from(age).unwrap_or(0)),
        expires_at: request.expires.map(rounded),
        in_progress: *is_in_progress,
        claimed_by: claimed_by.as_ref().map(text),
        copies: Listed::first(all.into_iter(), MAX_COPIES),
    }
}

fn copy(delivery: &Delivery, waiting: &[Operation]) -> Copy {
    let Delivery { key, channel, ts, displayed, is_unreachable, .. } = delivery;
    let is_own = |operation: &Operation| match operation {
        Operation::Update(at, message) | Operation::Reply(at, message) => at == channel && message == ts,
        Operation::Post(_) => false,
    };
    Copy {
        recipient: key.as_ref().map(|key| text(key.as_str())),
        channel: Some(text(channel.as_str())),
        ts: Some(text(ts.as_str())),
        shows: displayed.as_ref().map(|displayed| displayed.phase.as_str()),
        state: if *is_unreachable {
            CopyState::Unreachable
        } else if waiting.iter().any(is_own) {
            CopyState::UpdateWaits
        } else {
            CopyState::Current
        },
    }
}

/// What waits: the controller's operations, and replies to clicks.
pub(super) fn waiting(
    controller: &ControllerStatus,
    replies: &[WaitingReply],
    moment: Moment,
) -> Listed<Waiting> {
    let operations = controller.waiting.iter().map(|waiting| operation(waiting, moment));
    let mut items: Vec<_> = operations.chain(replies.iter().map(|waiting| reply(waiting, moment))).collect();
    items.sort_by_key(|waiting| waiting.since);
    items.truncate(MAX_LISTED);
    Listed::of(controller.waiting_total + replies.len(), items)
}

fn reply(waiting: &WaitingReply, moment: Moment) -> Waiting {
    let WaitingReply { slack_user, request, since, retry_at, attempts } = waiting;
    Waiting {
        request: request.as_ref().map(|id| text(id.as_str())),
        operation: "answer",
        destination: Some(text(slack_user.as_str())),
        since: moment.at(*since),
        waits_s: moment.seconds_since(*since),
        retry_at: retry_at.filter(|at| *at > moment.now).map(|at| moment.at(at)),
        attempts: *attempts,
    }
}

fn operation(waiting: &WaitingOperation, moment: Moment) -> Waiting {
    let WaitingOperation { id, what, since, until, attempts } = waiting;
    let (operation, destination) = match what {
        status::Waiting::Slack(Operation::Post(key)) => ("post", Some(key.as_str())),
        status::Waiting::Slack(Operation::Update(channel, _)) => ("update", Some(channel.as_str())),
        status::Waiting::Slack(Operation::Reply(channel, _)) => ("reply", Some(channel.as_str())),
        status::Waiting::Decision => ("decision", None),
        status::Waiting::Record => ("record", None),
    };
    Waiting {
        request: Some(text(id.as_str())),
        operation,
        destination: destination.map(text),
        since: moment.at(*since),
        waits_s: moment.seconds_since(*since),
        retry_at: until.map(|until| moment.at(until)),
        attempts: *attempts,
    }
}
