//! From a seed to a schedule of user actions and faults. Nothing here reads a clock or earlier results, so one seed
//! always gives the same schedule.

use std::time::Duration;

use access_sim::slack::faults::Fault as SlackFault;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::Fault as TeleportFault;
use access_sim::teleport::refusal::{Code, RpcError};
use fastrand::Rng;

use crate::chaos::settings::Settings;

/// Users act on this many of the last requests.
const RECENT: usize = 12;
/// The users who press buttons: two approvers, the requester of most requests, and three who never may decide.
pub(crate) const CLICKERS: [&str; 6] = ["U0BOB", "U0DAVE", "U0ALICE", "U0CAROL", "U0GIL", "U0EVE"];
/// With more than one request a second, each goes to one of these channels: Slack takes one message a second in each.
pub(crate) const CHANNELS: usize = 50;

/// An action and its time since the beginning.
#[derive(Clone, Debug)]
pub(crate) struct TimedAction {
    pub(crate) at: Duration,
    pub(crate) action: Action,
}

/// A user action or a fault. Requests are numbered in the order of their creation.
#[derive(Clone, Debug)]
pub(crate) enum Action {
    Create {
        by: &'static str,
        role: String,
        expires: Option<Duration>,
    },
    Review {
        request: usize,
        by: &'static str,
        approve: bool,
    },
    Resolve {
        request: usize,
        approve: bool,
    },
    Delete {
        request: usize,
    },
    /// On the first message about the request, or on the second.
    Click {
        request: usize,
        by: &'static str,
        copy: usize,
        approve: bool,
    },
    Slack {
        method: &'static str,
        fault: SlackFault,
        after_work: bool,
        calls: u32,
    },
    Teleport {
        method: Method,
        fault: TeleportFault,
        calls: u32,
    },
    Conflicts {
        calls: u32,
    },
    /// Every watch ends; before that, for a while, the next events are dropped.
    EndWatches {
        losing: u32,
        after: Duration,
    },
    /// A replica's connection to Teleport, or that of all replicas to Slack, is cut or frozen, and restored.
    Proxy {
        replica: usize,
        side: Side,
        freeze: bool,
        lasts: Duration,
    },
    /// SIGKILL or SIGTERM, and a new start.
    Restart {
        replica: usize,
        signal: &'static str,
        downtime: Duration,
    },
    /// SIGSTOP, and SIGCONT.
    Pause {
        replica: usize,
        lasts: Duration,
    },
}

/// The remote end of a daemon's connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    Teleport,
    Slack,
}

impl Action {
    /// Its name in `CHAOS_WITHOUT`; requests are always created.
    fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "requests",
            Self::Review { .. } => "reviews",
            Self::Resolve { .. } => "resolutions",
            Self::Delete { .. } => "deletions",
            Self::Click { .. } => "clicks",
            Self::Slack { .. } => "slack",
            Self::Teleport { .. } => "teleport",
            Self::Conflicts { .. } => "conflicts",
            Self::EndWatches { .. } => "watches",
            Self::Proxy { .. } => "lines",
            Self::Restart { signal: "KILL", .. } => "kills",
            Self::Restart { .. } => "stops",
            Self::Pause { .. } => "pauses",
        }
    }

    /// The request it is about.
    pub(crate) fn request(&self) -> Option<usize> {
        match self {
            Self::Review { request, .. }
            | Self::Resolve { request, .. }
            | Self::Delete { request }
            | Self::Click { request, .. } => Some(*request),
            _ => None,
        }
    }
}

/// The whole schedule of a run.
pub(crate) fn schedule(settings: &Settings) -> Vec<TimedAction> {
    let mut rng = Rng::with_seed(settings.seed);
    let (mut actions, mut created, mut at) = (Vec::new(), 0, Duration::ZERO);
    loop {
        // One action in four creates a request.
        at += Duration::from_micros(rng.u64(50_000..450_000)) / settings.rate;
        if at > settings.duration {
            break;
        }
        let action = random_action(&mut rng, created, settings);
        created += usize::from(matches!(action, Action::Create { .. }));
        actions.push(TimedAction { at, action });
    }
    actions.retain(|timed| !settings.without.iter().any(|kind| kind == timed.action.kind()));
    actions
}

fn random_action(rng: &mut Rng, created: usize, settings: &Settings) -> Action {
    let millis = |rng: &mut Rng, range: std::ops::Range<u64>| Duration::from_millis(rng.u64(range));
    let first = created.saturating_sub(RECENT);
    let request = if created == 0 { 0 } else { rng.usize(first..created) };
    // Users press new buttons, mostly before another user decides.
    let newest = if created == 0 { 0 } else { rng.usize(created.saturating_sub(4)..created) };
    let replica = rng.usize(..settings.replicas);
    // More requests do not mean more faults, and a single daemon must run most of the time.
    let fails = rng.u32(..settings.rate) == 0;
    let crashes = fails && (settings.replicas > 1 || rng.bool());
    let approve = rng.f32() < 0.7;
    let by = if rng.bool() { "bob@example.com" } else { "dave@example.com" };
    let chance = rng.u32(if created == 0 { 0..1 } else { 0..100 });
    match chance {
        0..25 => {
            let role = rng.usize(..CHANNELS);
            let (by, role) = match rng.u32(..3) {
                _ if settings.rate > 1 => ("alice@example.com", format!("prod-{role}")),
                0 => ("carol@example.com", "admin".to_owned()),
                1 => ("alice@example.com", "dba".to_owned()),
                _ => ("alice@example.com", "admin".to_owned()),
            };
            let expires = (rng.u32(..5) == 0).then(|| millis(rng, 2_000..20_000));
            Action::Create { by, role, expires }
        }
        25..38 => Action::Review { request, by, approve },
        38..42 => Action::Resolve { request, approve },
        42..45 => Action::Delete { request },
        45..57 if fails => slack_fault(rng),
        57..65 if fails => teleport_fault(rng),
        65..67 if fails => Action::Conflicts { calls: rng.u32(1..6) },
        67..69 if fails => {
            let losing = if rng.bool() { 0 } else { rng.u32(1..5) };
            Action::EndWatches { losing, after: millis(rng, 200..3_000) }
        }
        90..93 if crashes => {
            let side = if rng.bool() { Side::Teleport } else { Side::Slack };
            let freeze = rng.bool();
            Action::Proxy { replica, side, freeze, lasts: millis(rng, 100..6_000) }
        }
        93..95 if crashes => Action::Restart { replica, signal: "KILL", downtime: millis(rng, 0..3_000) },
        95 if crashes => Action::Restart { replica, signal: "TERM", downtime: millis(rng, 0..3_000) },
        97..100 if crashes => {
            let longest = if settings.replicas > 1 { 20_000 } else { 4_000 };
            Action::Pause { replica, lasts: millis(rng, 500..longest) }
        }
        _ => {
            // The approvers click more often.
            let by = CLICKERS[if rng.bool() { rng.usize(..2) } else { rng.usize(..CLICKERS.len()) }];
            // The second is in bob's direct messages.
            let copy = if by == "U0BOB" { rng.usize(..2) } else { 0 };
            Action::Click { request: newest, by, copy, approve }
        }
    }
}

fn slack_fault(rng: &mut Rng) -> Action {
    const METHODS: [&str; 9] = [
        "chat.postMessage",
        "chat.postMessage",
        "chat.postMessage",
        "chat.update",
        "users.lookupByEmail",
        "users.info",
        "conversations.history",
        "response_url",
        "*",
    ];
    let method = METHODS[rng.usize(..METHODS.len())];
    let pause = Duration::from_millis(rng.u64(100..3_000));
    let faults = [
        (SlackFault::RateLimited { retry_after: rng.u64(1..4) }, false),
        (SlackFault::Status { status: [500, 502, 503][rng.usize(..3)], body: "<html>".into() }, false),
        (SlackFault::Status { status: 500, body: String::new() }, true),
        (SlackFault::Error(["fatal_error", "internal_error"][rng.usize(..2)].into()), false),
        (SlackFault::Error("service_unavailable".into()), false),
        (SlackFault::Hang, false),
        (SlackFault::Hang, true),
        (SlackFault::Reset, false),
        (SlackFault::Reset, true),
        (SlackFault::NotJson, rng.bool()),
        (SlackFault::NoOk, rng.bool()),
        (SlackFault::WrongContentType, false),
        (SlackFault::HalfBody, false),
        (SlackFault::Delay(pause), rng.bool()),
        (SlackFault::Slow(pause / 10), false),
    ];
    let (fault, after_work) = faults[rng.usize(..faults.len())].clone();
    let calls = if fault == SlackFault::Hang { 1 } else { rng.u32(1..4) };
    Action::Slack { method, fault, after_work, calls }
}

fn teleport_fault(rng: &mut Rng) -> Action {
    const METHODS: [Method; 8] = [
        Method::UpdatePluginData,
        Method::UpdatePluginData,
        Method::UpdatePluginData,
        Method::GetPluginData,
        Method::GetAccessRequests,
        Method::SetAccessRequestState,
        Method::GetUser,
        Method::WatchEvents,
    ];
    let method = METHODS[rng.usize(..METHODS.len())];
    // The daemon gives up a list after a minute, which is longer than a run has.
    let may_hang = !matches!(method, Method::GetAccessRequests | Method::WatchEvents);
    let fault = match rng.u32(..8) {
        0..3 => TeleportFault::unavailable(),
        3 => TeleportFault::Error(RpcError::new(Code::Unknown, "the backend is confused")),
        4 => TeleportFault::Error(RpcError::new(Code::ResourceExhausted, "rate limit exceeded")),
        5 if may_hang => TeleportFault::Hang,
        6 if may_hang => TeleportFault::LoseResponse,
        _ => TeleportFault::Delay(Duration::from_millis(rng.u64(100..3_000))),
    };
    let calls = if matches!(fault, TeleportFault::Hang) { 1 } else { rng.u32(1..4) };
    Action::Teleport { method, fault, calls }
}

#[test]
fn a_seed_gives_one_schedule_and_a_shorter_run_is_a_part_of_it() {
    let settings = |seconds, without: &[&str]| Settings {
        seed: 7,
        duration: Duration::from_secs(seconds),
        replicas: 2,
        rate: 1,
        without: without.iter().map(|kind| (*kind).to_owned()).collect(),
    };
    let actions = |settings: &Settings| -> Vec<String> {
        schedule(settings).iter().map(|timed| format!("{timed:?}")).collect()
    };
    let whole = actions(&settings(60, &[]));
    assert!(whole.len() > 100, "{whole:#?}");
    assert_eq!(actions(&settings(60, &[])), whole);
    assert!(whole.starts_with(&actions(&settings(20, &[]))));
    let without_two_kinds = actions(&settings(60, &["kills", "slack"]));
    assert!(
        without_two_kinds.len() < whole.len()
            && without_two_kinds.iter().all(|action| whole.contains(action))
    );
}
