//! Watch streams: opening, filters, overflow, expiry, ends.

use teleport_proto::auth as pb;
use tonic::{Code, Status, Streaming};

use super::*;
use crate::teleport::faults::{Repeat, WatchEnd};
use crate::teleport::presets::TCTL;
use crate::teleport::refusal::RpcError;
use crate::teleport::request::{Decision, NewRequest};

fn kind(kind: &str, filter: &[(&'static str, &'static str)]) -> pb::WatchKind {
    let filter =
        filter.iter().map(|(k, v)| pb::StringEntry { key: (*k).into(), value: (*v).into() }).collect();
    pb::WatchKind { kind: kind.to_owned(), filter, ..pb::WatchKind::default() }
}

fn everything() -> pb::Watch {
    pb::Watch { kinds: vec![kind("access_request", &[])], ..pb::Watch::default() }
}

async fn open(client: &mut Client, watch: pb::Watch) -> Result<Streaming<pb::Event>, Status> {
    Ok(client.watch_events(watch).await?.into_inner())
}

async fn next(events: &mut Streaming<pb::Event>) -> Result<Option<pb::Event>, Status> {
    tokio::time::timeout(LIMIT, events.message()).await.expect("an event in time")
}

/// Operation, request id and state.
fn describe_event(event: &pb::Event) -> (pb::Operation, String, i32) {
    let (metadata, state) = match event.resource.clone() {
        Some(pb::event::Resource::AccessRequest(request)) => (request.metadata, request.spec.unwrap().state),
        Some(pb::event::Resource::ResourceHeader(header)) => (header.metadata, 0),
        None | Some(pb::event::Resource::WatchStatus(_)) => (None, 0),
    };
    let name = metadata.unwrap_or_default().name;
    (event.r#type(), String::from_utf8(name.to_vec()).unwrap(), state)
}

fn dba() -> NewRequest {
    NewRequest::roles(&["dba"], "because")
}

#[tokio::test]
async fn init_comes_first_and_nothing_is_replayed() {
    let sim = golden().await;
    sim.request_access(ALICE, dba()).unwrap();
    let mut plugin = client(&sim, PLUGIN).await;
    let mut events = open(&mut plugin, everything()).await.unwrap();
    assert_eq!(next(&mut events).await.unwrap().unwrap(), pb::Event::default());
    let id = sim.request_access(ALICE, dba()).unwrap();
    sim.review(BOB, &id, Decision::Deny, "no").unwrap();
    sim.delete(TCTL, &id).unwrap();
    for expected in [
        (pb::Operation::Put, id.clone(), pb::RequestState::Pending.into()),
        (pb::Operation::Put, id.clone(), pb::RequestState::Denied.into()),
        (pb::Operation::Delete, id.clone(), 0),
    ] {
        assert_eq!(describe_event(&next(&mut events).await.unwrap().unwrap()), expected);
    }
    let emissions = sim.call_log().emissions();
    assert_eq!(
        emissions.iter().map(|e| (e.delete, e.watchers)).collect::<Vec<_>>(),
        [(false, 0), (false, 1), (false, 1), (true, 1)]
    );
    assert_eq!(sim.watchers(), 1);
    drop(events);
    until(&sim, "the watcher is gone", |sim| sim.watchers() == 0).await;
}

#[tokio::test]
async fn wrong_watches_are_refused() {
    let sim = golden().await;
    let mut plugin = client(&sim, PLUGIN).await;
    for (kinds, code) in [
        (vec![], Code::PermissionDenied),
        (vec![kind("node", &[])], Code::PermissionDenied),
        (vec![kind("access_request", &[("color", "red")])], Code::InvalidArgument),
        (vec![kind("access_request", &[("state", "pending")])], Code::InvalidArgument),
    ] {
        assert_eq!(
            open(&mut plugin, pb::Watch { kinds, ..pb::Watch::default() }).await.unwrap_err().code(),
            code
        );
    }
    let mut alice = client(&sim, ALICE).await;
    assert_eq!(open(&mut alice, everything()).await.unwrap_err().code(), Code::PermissionDenied);
    let own = pb::Watch { kinds: vec![kind("access_request", &[("user", ALICE)])], ..pb::Watch::default() };
    open(&mut alice, own).await.unwrap();
}

#[tokio::test]
async fn a_filter_holds_back_puts_but_not_deletes() {
    let sim = golden().await;
    let mut plugin = client(&sim, PLUGIN).await;
    let pending =
        pb::Watch { kinds: vec![kind("access_request", &[("state", "PENDING")])], ..pb::Watch::default() };
    let mut events = open(&mut plugin, pending).await.unwrap();
    next(&mut events).await.unwrap();
    let id = sim.request_access(ALICE, dba()).unwrap();
    sim.review(BOB, &id, Decision::Approve, "").unwrap();
    sim.delete(TCTL, &id).unwrap();
    assert_eq!(
        describe_event(&next(&mut events).await.unwrap().unwrap()).2,
        i32::from(pb::RequestState::Pending)
    );
    assert_eq!(describe_event(&next(&mut events).await.unwrap().unwrap()).0, pb::Operation::Delete);
}

#[tokio::test]
async fn a_slow_watcher_is_disconnected() {
    let sim = golden().await;
    let mut plugin = client(&sim, PLUGIN).await;
    let mut slow = open(&mut plugin, everything()).await.unwrap();
    let mut other = client(&sim, PLUGIN).await;
    let mut quick = open(&mut other, everything()).await.unwrap();
    next(&mut quick).await.unwrap();
    let mut made = 0;
    while sim.watchers() == 2 {
        let new = NewRequest::roles(&["dba"], &"x".repeat(4000));
        let id = sim.request_access(ALICE, new).unwrap();
        made += 1;
        assert!(made < 1000, "the watcher that does not read is still there");
        assert_eq!(describe_event(&next(&mut quick).await.unwrap().unwrap()).1, id);
    }
    assert!(made > 64, "thrown out after {made} events");
    let mut read = 0;
    let end = loop {
        match next(&mut slow).await {
            Ok(Some(_)) => read += 1,
            end => break end,
        }
    };
    let end = end.unwrap_err();
    assert_eq!((end.code(), end.message()), (Code::Unknown, "watcher closed"));
    assert!(read <= made);
}

#[tokio::test]
async fn requests_expire_on_time_or_late() {
    for delay in [Duration::ZERO, Duration::from_millis(300)] {
        let options = Options { delete_delay: delay, ..Options::golden() };
        let sim = TeleportSim::start(options).await.unwrap();
        let mut plugin = client(&sim, PLUGIN).await;
        let mut events = open(&mut plugin, everything()).await.unwrap();
        next(&mut events).await.unwrap();
        let ttl = Duration::from_millis(100);
        let id = sim.request_access(ALICE, NewRequest { pending_ttl: Some(ttl), ..dba() }).unwrap();
        let request = sim.request(&id).unwrap();
        next(&mut events).await.unwrap();
        assert_eq!(
            describe_event(&next(&mut events).await.unwrap().unwrap()),
            (pb::Operation::Delete, id.clone(), 0)
        );
        let late = jiff::Timestamp::now().duration_since(request.expiry);
        assert!(late >= jiff::SignedDuration::try_from(delay).unwrap(), "{late}");
        assert!(sim.request(&id).is_none());
    }
}

#[tokio::test]
async fn streams_end_miss_events_and_stay_mute_on_demand() {
    let sim = golden().await;
    let mut plugin = client(&sim, PLUGIN).await;
    let mut events = open(&mut plugin, everything()).await.unwrap();
    next(&mut events).await.unwrap();
    sim.faults().drop_events(Repeat::Next(1));
    sim.request_access(ALICE, dba()).unwrap();
    let seen = sim.request_access(ALICE, dba()).unwrap();
    assert_eq!(describe_event(&next(&mut events).await.unwrap().unwrap()).1, seen);

    sim.faults().end_watches(&WatchEnd::Clean);
    assert!(next(&mut events).await.unwrap().is_none());
    let mut events = open(&mut plugin, everything()).await.unwrap();
    next(&mut events).await.unwrap();
    sim.faults().end_watches(&WatchEnd::Error(RpcError::new(Code::Unavailable, "event system was reset")));
    assert_eq!(next(&mut events).await.unwrap_err().code(), Code::Unavailable);

    sim.faults().withhold_init(true);
    let mut mute = open(&mut plugin, everything()).await.unwrap();
    assert!(tokio::time::timeout(Duration::from_millis(100), mute.message()).await.is_err());
    assert_eq!(sim.watchers(), 0);
}

#[tokio::test]
async fn dropping_the_simulator_ends_its_connections() {
    let sim = golden().await;
    let mut plugin = client(&sim, PLUGIN).await;
    let mut events = open(&mut plugin, everything()).await.unwrap();
    next(&mut events).await.unwrap();
    drop(sim);
    assert!(!matches!(next(&mut events).await, Ok(Some(_))));
}
