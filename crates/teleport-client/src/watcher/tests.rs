use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use parking_lot::Mutex;
use prost::Message;
use teleport_proto::auth as wire;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio_stream::wrappers::ReceiverStream;

use super::super::denied::AccessDenied;
use super::*;
use crate::error::Call;
use crate::tests::scripted_server::{Reply, Responder, ScriptedServer, TestCa, full_visibility_role};
use access_sim::captured::Captured;

/// A request whose reason distinguishes its versions.
fn request(id: &str, reason: &str) -> AccessRequest {
    AccessRequest { reason: reason.into(), ..AccessRequest::pending(RequestId::new(id), "alice") }
}

fn put(id: &str, reason: &str) -> Event {
    Event::Put(Box::new(request(id, reason)))
}

fn call_error(kind: ErrorKind) -> TeleportError {
    TeleportError::Call {
        call: Call::WatchEvents,
        code: "TEST",
        kind,
        denied: (kind == ErrorKind::Unauthorized).then_some(AccessDenied::MissingPermission),
        message: "scripted".into(),
    }
}

/// An update in one line.
fn summary(update: WatchUpdate) -> String {
    match update {
        WatchUpdate::Snapshot { requests, completeness, already_reported } => {
            let ids: Vec<_> = requests.iter().map(|request| request.id.as_str()).collect();
            let mut left_out: Vec<_> = already_reported.iter().map(RequestId::as_str).collect();
            left_out.sort();
            let extent = match completeness {
                Completeness::Complete => String::new(),
                partial => format!(" {partial:?}"),
            };
            let but =
                if left_out.is_empty() { String::new() } else { format!(" but {}", left_out.join(" ")) };
            format!("snapshot [{}]{extent}{but}", ids.join(" "))
        }
        WatchUpdate::Records(records) => format!("{} records", records.len()),
        WatchUpdate::Changed(request) => format!("changed {} {}", request.id, request.reason),
        WatchUpdate::Removed { id, last_change: None } => format!("gone {id}"),
        WatchUpdate::Removed { id, last_change: Some(last) } => format!("gone {id}, last {}", last.reason),
        WatchUpdate::Disconnected { error } => format!("lost {:?}", error.kind()),
    }
}

async fn next_summary(updates: &mut mpsc::Receiver<WatchUpdate>) -> String {
    summary(updates.recv().await.expect("the watcher still runs"))
}

type Scripted =
    Result<(BoxStream<'static, Result<Event, TeleportError>>, BoxStream<'static, ListStep>), TeleportError>;

/// What the test keeps of a scripted watch: dropping `events` ends it.
struct ScriptedWatch {
    events: mpsc::Sender<Result<Event, TeleportError>>,
    parts: mpsc::Sender<ListStep>,
}

impl ScriptedWatch {
    fn list(self, ids: &[&str]) -> mpsc::Sender<Result<Event, TeleportError>> {
        self.start_listing();
        let requests = ids.iter().map(|id| request(id, "listed")).collect();
        self.send_step(ListStep::Requests(requests, Completeness::Complete));
        self.events
    }

    fn start_listing(&self) {
        self.send_step(ListStep::Started);
    }

    fn send_step(&self, part: ListStep) {
        self.parts.try_send(part).expect("the watcher takes the lists in");
    }
}

fn watch() -> (ScriptedWatch, Scripted) {
    let (events, stream) = mpsc::channel(1);
    let (parts, listed) = mpsc::channel(8);
    (
        ScriptedWatch { events, parts },
        Ok((ReceiverStream::new(stream).boxed(), ReceiverStream::new(listed).boxed())),
    )
}

/// Runs the loop over scripted watches next to the test; when the script is used up, opening hangs.
async fn with_script(
    script: Vec<Scripted>,
    timings: WatcherTimings,
    capacity: usize,
    test: impl AsyncFnOnce(mpsc::Receiver<WatchUpdate>),
) {
    with_renewals(script, timings, capacity, async |updates, _| test(updates).await).await;
}

/// The same for a test that renews the identity.
async fn with_renewals(
    script: Vec<Scripted>,
    timings: WatcherTimings,
    capacity: usize,
    test: impl AsyncFnOnce(mpsc::Receiver<WatchUpdate>, &latest::Sender<u64>),
) {
    with_probe(probe_ok, script, timings, capacity, test).await;
}

/// A connection that lives.
async fn probe_ok() -> Result<(), TeleportError> {
    Ok(())
}

/// The same for a test that says whether the connection lives.
async fn with_probe<Probing: Future<Output = Result<(), TeleportError>>>(
    probe: impl Fn() -> Probing,
    script: Vec<Scripted>,
    timings: WatcherTimings,
    capacity: usize,
    test: impl AsyncFnOnce(mpsc::Receiver<WatchUpdate>, &latest::Sender<u64>),
) {
    let script = Mutex::new(script.into_iter());
    let open = || {
        let next = script.lock().next();
        async move {
            match next {
                Some(scripted) => scripted,
                None => std::future::pending().await,
            }
        }
    };
    let (sink, updates) = mpsc::channel(capacity);
    let renewals = latest::Sender::new(0);
    let watching = watch_forever(open, probe, |_| true, || None, renewals.subscribe(), timings, &sink);
    tokio::select! {
        () = test(updates, &renewals) => {}
        () = async { watching.await; std::future::pending().await } => {}
    }
}

/// Everything that the stream brought was received.
async fn until_drained(events: &mpsc::Sender<Result<Event, TeleportError>>) {
    drop(events.reserve().await.unwrap());
    tokio::task::yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn events_are_reported_whatever_becomes_of_the_list_and_win_against_it() {
    let (remote, scripted) = watch();
    with_script(vec![scripted], WatcherTimings::default(), 8, async |mut updates| {
        remote.start_listing();
        for event in [put("a", "1"), put("b", "1"), Event::Delete(RequestId::new("b"))] {
            remote.events.send(Ok(event)).await.unwrap();
        }
        // No list is there, and none will be for a minute.
        let mut first_updates = vec![];
        while first_updates.len() < 2 || !first_updates.iter().any(|line: &String| line.starts_with("gone b"))
        {
            first_updates.push(next_summary(&mut updates).await);
        }
        assert_eq!(first_updates[0], "changed a 1");
        tokio::time::sleep(Duration::from_secs(60)).await;
        remote.events.send(Ok(put("c", "1"))).await.unwrap();
        assert_eq!(next_summary(&mut updates).await, "changed c 1");
        // What it says of them may be older.
        let listed = ["a", "b", "d"].map(|id| request(id, "old")).to_vec();
        remote.send_step(ListStep::Requests(listed, Completeness::Complete));
        assert_eq!(next_summary(&mut updates).await, "snapshot [d] but a b c");
        remote.send_step(ListStep::Records(vec![]));
        assert_eq!(next_summary(&mut updates).await, "0 records");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_list_that_may_lag_does_not_win_against_a_change_just_before_it() {
    let (remote, scripted) = watch();
    let staleness = WatcherTimings::default().list_staleness;
    with_script(vec![scripted], WatcherTimings::default(), 8, async |mut updates| {
        for (id, pause) in [("long_ago", staleness), ("just_before", staleness / 2)] {
            remote.events.send(Ok(put(id, "1"))).await.unwrap();
            assert_eq!(next_summary(&mut updates).await, format!("changed {id} 1"));
            tokio::time::sleep(pause).await;
        }
        remote.start_listing();
        let listed = ["long_ago", "just_before"].map(|id| request(id, "old")).to_vec();
        remote.send_step(ListStep::Requests(listed, Completeness::Partial));
        assert_eq!(next_summary(&mut updates).await, "snapshot [long_ago] Partial but just_before");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_slow_receiver_gets_the_newest_of_each_and_never_stops_the_stream() {
    let (remote, scripted) = watch();
    with_script(vec![scripted], WatcherTimings::default(), 1, async |mut updates| {
        let events = remote.list(&[]);
        assert_eq!(next_summary(&mut updates).await, "snapshot []");
        for round in 0..1000 {
            for id in ["a", "b", "c"] {
                events.send(Ok(put(id, &round.to_string()))).await.unwrap();
            }
        }
        events.send(Ok(Event::Delete(RequestId::new("c")))).await.unwrap();
        // Room for one more event in the stream's queue shows that the last one was received.
        until_drained(&events).await;
        // One was reported before the receiver was slow.
        let mut rest = vec![next_summary(&mut updates).await];
        for newest in ["changed a 999", "changed b 999", "gone c, last 999"] {
            while !rest.iter().any(|line| line == newest) {
                rest.push(next_summary(&mut updates).await);
            }
        }
        assert!(rest.len() <= 4, "{rest:?}");
        assert!(updates.try_recv().is_err(), "nothing is reported twice");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn too_many_changes_start_over() {
    let (remote, scripted) = watch();
    let (again, second) = watch();
    with_script(vec![scripted, second], WatcherTimings::default(), 1, async |mut updates| {
        // One of them waits in the listener's own queue.
        for number in 0..=MAX_PENDING + 1 {
            remote.events.send(Ok(put(&number.to_string(), ""))).await.unwrap();
        }
        // Until the last one was received, reading would make room for it.
        remote.events.closed().await;
        assert!(next_summary(&mut updates).await.starts_with("changed "));
        assert_eq!(next_summary(&mut updates).await, "lost Retry");
        let _events = again.list(&["all"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [all]");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn every_end_is_reported_and_followed_by_a_new_snapshot() {
    let (ended, first) = watch();
    let (failed, second) = watch();
    let (last, third) = watch();
    let script = vec![first, second, Err(call_error(ErrorKind::Unauthorized)), third];
    with_script(script, WatcherTimings::default(), 8, async |mut updates| {
        let events = ended.list(&["a"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [a]");
        drop(events);
        assert_eq!(next_summary(&mut updates).await, "lost Retry", "the stream ended");
        let events = failed.list(&["b"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [b]");
        events.send(Err(call_error(ErrorKind::Permanent))).await.unwrap();
        assert_eq!(next_summary(&mut updates).await, "lost Permanent", "the stream failed");
        assert_eq!(next_summary(&mut updates).await, "lost Unauthorized", "opening failed");
        let _events = last.list(&["c"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [c]");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn unreported_changes_before_a_loss_are_left_to_the_snapshot() {
    let (remote, scripted) = watch();
    let (again, second) = watch();
    with_script(vec![scripted, second], WatcherTimings::default(), 1, async |mut updates| {
        // The listener is busy with one change when the next comes and the watch is lost.
        remote.events.send(Ok(put("b", "heard"))).await.unwrap();
        while updates.is_empty() {
            tokio::task::yield_now().await;
        }
        remote.events.send(Ok(put("a", "unheard"))).await.unwrap();
        remote.events.send(Err(call_error(ErrorKind::Retry))).await.unwrap();
        remote.events.closed().await;
        assert_eq!(next_summary(&mut updates).await, "changed b heard");
        assert_eq!(next_summary(&mut updates).await, "lost Retry");
        let _events = again.list(&["a", "b"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [a b]");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn waits_grow_until_a_watch_was_healthy_for_long() {
    let timings = WatcherTimings {
        backoff: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(8) },
        stable_after: Duration::from_secs(120),
        ..WatcherTimings::default()
    };
    let (remote, healthy) = watch();
    let (short_lived, flapping) = watch();
    let failures = || (0..5).map(|_| Err(call_error(ErrorKind::Retry)));
    let script = failures().chain([flapping, healthy]).chain(failures()).collect();
    with_script(script, timings, 1, async |mut updates| {
        let mut last = Instant::now();
        let mut pause = async |updates: &mut mpsc::Receiver<WatchUpdate>| {
            assert_eq!(next_summary(updates).await, "lost Retry");
            let pause = last.elapsed().as_secs_f64();
            last = Instant::now();
            pause
        };
        assert!(pause(&mut updates).await < 0.1);
        for full in [1.0, 2.0, 4.0, 8.0] {
            let pause = pause(&mut updates).await;
            assert!((full / 2.0 - 0.01..full + 0.01).contains(&pause), "{pause} of {full}");
        }
        // A watch that dies at once does not make up for the losses before it.
        drop(short_lived);
        let flapped = pause(&mut updates).await;
        assert!((4.0..8.1).contains(&flapped), "{flapped}");
        let events = remote.list(&[]);
        assert_eq!(next_summary(&mut updates).await, "snapshot []");
        tokio::time::sleep(Duration::from_secs(121)).await;
        drop(events);
        pause(&mut updates).await;
        let first_again = pause(&mut updates).await;
        assert!((0.49..1.01).contains(&first_again), "{first_again}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_watcher_ends_when_its_receiver_is_gone() {
    let (remote, scripted) = watch();
    let script = Mutex::new(Some(scripted));
    let open = || {
        let next = script.lock().take().expect("no second watch is opened");
        async move { next }
    };
    let (sink, mut updates) = mpsc::channel(1);
    let test = async {
        let events = remote.list(&[]);
        assert_eq!(next_summary(&mut updates).await, "snapshot []");
        drop(updates);
        events
    };
    let ended = tokio::time::timeout(Duration::from_secs(5), async {
        let renewals = latest::Sender::new(0);
        tokio::join!(
            watch_forever(
                open,
                probe_ok,
                |_| true,
                || None,
                renewals.subscribe(),
                WatcherTimings::default(),
                &sink
            ),
            test
        )
    });
    ended.await.expect("the watcher ends, though its stream is open");
}

#[tokio::test(start_paused = true)]
async fn each_kind_of_error_of_an_outage_is_logged_loudly_once() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let (unlisted, first) = watch();
    let (healthy, second) = watch();
    let lost = |kind| Err(call_error(kind));
    let script = vec![
        lost(ErrorKind::Retry),
        lost(ErrorKind::Retry),
        first,
        lost(ErrorKind::Unauthorized),
        // Known in this outage, although another kind came between.
        lost(ErrorKind::Retry),
        second,
        lost(ErrorKind::Retry),
    ];
    with_script(script, WatcherTimings::default(), 1, async |mut updates| {
        next_summary(&mut updates).await;
        next_summary(&mut updates).await;
        // A connection without a list does not end the outage.
        drop(unlisted);
        next_summary(&mut updates).await;
        next_summary(&mut updates).await;
        next_summary(&mut updates).await;
        let events = healthy.list(&[]);
        assert_eq!(next_summary(&mut updates).await, "snapshot []");
        drop(events);
        next_summary(&mut updates).await;
        next_summary(&mut updates).await;
    })
    .await;

    let text = log.text();
    let lines: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap().trim()).collect();
    assert_eq!(
        lines,
        [
            "WARN Watcher lost",
            "DEBUG Watcher still lost",
            "INFO Watcher connected",
            "DEBUG Watcher still lost",
            "ERROR Watcher lost",
            "DEBUG Watcher still lost",
            "INFO Watcher connected",
            "WARN Watcher lost",
            "DEBUG Watcher still lost",
        ]
    );
    assert!(text.contains("allow.rules"), "the remedy is named: {text}");
    assert!(text.contains("trying again in"), "{text}");
}

fn renew(renewals: &latest::Sender<u64>) {
    renewals.send_modify(|count| *count += 1);
}

#[tokio::test(start_paused = true)]
async fn a_renewed_identity_moves_the_watch_without_a_loss() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let (old, first) = watch();
    let (new, second) = watch();
    with_renewals(vec![first, second], WatcherTimings::default(), 8, async |mut updates, renewals| {
        let old = old.list(&["a"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [a]");
        renew(renewals);
        // The new one is open before the old one is left.
        old.closed().await;
        new.events.send(Ok(put("b", "1"))).await.unwrap();
        assert_eq!(next_summary(&mut updates).await, "changed b 1");
        let _events = new.list(&["b", "c"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [c] but b");
    })
    .await;
    assert!(!log.text().contains("WARN"), "{}", log.text());
}

#[tokio::test(start_paused = true)]
async fn the_old_watch_goes_on_while_the_new_one_is_opened() {
    let (old, first) = watch();
    // The script is used up by the first watch: the second one never opens.
    with_renewals(vec![first], WatcherTimings::default(), 8, async |mut updates, renewals| {
        let old = old.list(&[]);
        assert_eq!(next_summary(&mut updates).await, "snapshot []");
        renew(renewals);
        old.send(Ok(put("a", "1"))).await.unwrap();
        assert_eq!(next_summary(&mut updates).await, "changed a 1");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn an_old_watch_that_ends_while_the_new_one_is_opened_is_no_loss() {
    let (old, first) = watch();
    let (new, second) = watch();
    let (gate, opened) = oneshot::channel::<()>();
    let script = Mutex::new(vec![(Some(opened), second), (None, first)]);
    let open = || {
        let next = script.lock().pop().expect("two watches are enough");
        async move {
            if let Some(opened) = next.0 {
                opened.await.unwrap();
            }
            next.1
        }
    };
    let (sink, mut updates) = mpsc::channel(8);
    let renewals = latest::Sender::new(0);
    let test = async {
        let old = old.list(&["a"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [a]");
        renew(&renewals);
        old.send(Ok(put("a", "1"))).await.unwrap();
        assert_eq!(next_summary(&mut updates).await, "changed a 1");
        drop(old);
        tokio::task::yield_now().await;
        gate.send(()).unwrap();
        let _events = new.list(&["b"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [b]");
    };
    tokio::select! {
        () = watch_forever(open, probe_ok, |_| true, || None, renewals.subscribe(), WatcherTimings::default(), &sink) => panic!("it ended"),
        () = test => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_cannot_move_is_lost_and_a_renewal_ends_the_wait() {
    let (old, first) = watch();
    let (new, last) = watch();
    let refused = || Err(call_error(ErrorKind::Unauthorized));
    let hour = Duration::from_secs(3_600);
    let timings = WatcherTimings { backoff: Backoff { first: hour, cap: hour }, ..WatcherTimings::default() };
    with_renewals(vec![first, refused(), last], timings, 8, async |mut updates, renewals| {
        let _events = old.list(&["a"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [a]");
        renew(renewals);
        assert_eq!(next_summary(&mut updates).await, "lost Unauthorized");
        let began = Instant::now();
        renew(renewals);
        let _events = new.list(&["b"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [b]");
        assert!(began.elapsed() < Duration::from_secs(1), "it did not sit out the hour");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_is_probed_and_a_dead_connection_ends_the_watch() {
    let (probes, began) = (Mutex::new(Vec::new()), Instant::now());
    let probe = || {
        let mut probes = probes.lock();
        probes.push(began.elapsed().as_secs());
        std::future::ready(if probes.len() < 3 { Ok(()) } else { Err(call_error(ErrorKind::Retry)) })
    };
    let ((remote, first), (again, second)) = (watch(), watch());
    with_probe(probe, vec![first, second], WatcherTimings::default(), 8, async |mut updates, _| {
        let events = remote.list(&["a"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [a]");
        // Each change is proof enough for the next 15 s.
        for round in 1..=6 {
            tokio::time::sleep(Duration::from_secs(10)).await;
            events.send(Ok(put("a", &round.to_string()))).await.unwrap();
            assert_eq!(next_summary(&mut updates).await, format!("changed a {round}"));
        }
        assert_eq!(next_summary(&mut updates).await, "lost Retry");
        assert_eq!(*probes.lock(), [75, 90, 105]);
        assert!(events.is_closed(), "the dead stream is given up");
        let _events = again.list(&["b"]);
        assert_eq!(next_summary(&mut updates).await, "snapshot [b]");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_during_the_list_is_noticed_too() {
    let probe = || std::future::ready(Err(call_error(ErrorKind::Retry)));
    let (remote, first) = watch();
    with_probe(probe, vec![first], WatcherTimings::default(), 8, async |mut updates, _| {
        let began = Instant::now();
        assert_eq!(next_summary(&mut updates).await, "lost Retry");
        assert_eq!(began.elapsed(), WatcherTimings::default().probe_after);
        drop(remote);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_dies_before_the_watch_is_open_is_not_waited_for() {
    let probe = || std::future::ready(Err(call_error(ErrorKind::Retry)));
    with_probe(probe, vec![], WatcherTimings::default(), 8, async |mut updates, _| {
        let began = Instant::now();
        assert_eq!(next_summary(&mut updates).await, "lost Retry");
        assert_eq!(began.elapsed(), WatcherTimings::default().probe_after);
    })
    .await;
}

/// The whole watcher, against a server that goes away and comes back.
#[tokio::test]
async fn a_watcher_follows_a_server() {
    let authority = TestCa::new("local-site");
    let open_streams = Mutex::new(Vec::new());
    let script: Responder = Arc::new(move |method, _| match method {
        "WatchEvents" => {
            let (events, stream) = mpsc::channel(8);
            // INIT, and a change of a request.
            for message in [Bytes::new(), wire_put("changed")] {
                events.try_send(message).unwrap();
            }
            open_streams.lock().push(events);
            Reply::Stream(stream)
        }
        "ListAccessRequests" => Reply::one(&wire::ListAccessRequestsResponse {
            access_requests: vec![wire_request("listed")],
            next_key: String::new(),
        }),
        "GetCurrentUserRoles" => Reply::one(&full_visibility_role()),
        "GetPluginData" => Reply::one(&wire::PluginDataSeq {
            plugin_data: vec![wire::PluginDataV3 {
                metadata: Some(wire::Metadata { name: "listed".into(), ..Default::default() }),
                spec: Some(wire::PluginDataSpecV3 {
                    entries: vec![wire::PluginEntry { key: "slack".into(), value: None }],
                }),
                ..Default::default()
            }],
        }),
        other => panic!("unexpected call of {other}"),
    });
    let server = ScriptedServer::start(&authority, Arc::clone(&script)).await;
    let addr = server.addr;
    let timings = WatcherTimings {
        backoff: Backoff { first: Duration::from_millis(10), cap: Duration::from_millis(50) },
        stable_after: Duration::from_secs(120),
        ..WatcherTimings::default()
    };
    let watcher = Watcher::new(server.client(&authority.identity("access-plugin")), timings);
    let (sink, mut updates) = mpsc::channel(8);
    let cancel = CancellationToken::new();
    let test = async {
        let mut first = vec![];
        for _ in 0..3 {
            first.push(next_summary(&mut updates).await);
        }
        first.sort();
        assert_eq!(first[..2], ["1 records", "changed changed "]);
        assert!(first[2].starts_with("snapshot [listed]"), "{first:?}");
        server.stop().await;
        assert_eq!(next_summary(&mut updates).await, "lost Retry");
        let _server = ScriptedServer::start_at(addr, &authority, script).await;
        loop {
            match next_summary(&mut updates).await.as_str() {
                "lost Retry" | "changed changed " => {}
                other => break assert!(other.starts_with("snapshot [listed]"), "{other}"),
            }
        }
        cancel.cancel();
    };
    // A task of its own, as in the daemon.
    let mut watching = JoinSet::new();
    watching.spawn(watcher.run(sink, cancel.clone()));
    let both = async { tokio::join!(watching.join_next(), test).0 };
    let ended = tokio::time::timeout(Duration::from_secs(20), both).await;
    ended.expect("the watcher returns when cancelled").unwrap().unwrap();
}

fn wire_request(id: &'static str) -> wire::AccessRequestV3 {
    wire::AccessRequestV3 {
        metadata: Some(wire::Metadata { name: id.into(), ..Default::default() }),
        ..Default::default()
    }
}

fn wire_put(id: &'static str) -> Bytes {
    let event =
        wire::Event { r#type: 1, resource: Some(wire::event::Resource::AccessRequest(wire_request(id))) };
    event.encode_to_vec().into()
}

#[tokio::test]
async fn a_watch_that_is_cut_at_the_same_age_again_and_again_names_an_idle_time_out() {
    let (cut, pause) = (call_error(ErrorKind::Retry), WatcherTimings::default().backoff.first);
    for (ages, lines) in [
        (&[10, 10, 11, 10, 9, 10][..], 1),
        (&[10, 10], 0),
        (&[10, 30, 10, 30], 0),
        // What breaks at once has another cause.
        (&[1, 1, 1, 1], 0),
        (&[600, 630, 580], 1),
    ] {
        let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
        let mut outage = Outage::default();
        for age in ages {
            outage.on_cut(&cut, Duration::from_secs(*age), pause, || None);
            outage.on_lost(&cut, true, WatcherTimings::default().backoff);
            outage.log_once.clear(WATCH);
        }
        let named = format!("3 times in a row when it was about {} s old", ages[0]);
        assert_eq!(log.count(&named), lines, "{ages:?}: {}", log.text());
        // From then on a cut is a step.
        let before = if lines == 1 { 2 } else { ages.len() };
        assert_eq!(log.count("WARN Watcher lost"), before, "{ages:?}: {}", log.text());
    }
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let mut outage = Outage::default();
    for _ in 0..3 {
        let proxy = || Some("proxy.example.com:3128 (network.proxy)".to_owned());
        outage.on_cut(&cut, Duration::from_secs(10), pause, proxy);
    }
    assert_eq!(
        log.count("the forward proxy proxy.example.com:3128 (network.proxy), or"),
        1,
        "{}",
        log.text()
    );
    let mut outage = Outage::default();
    for error in [&cut, &cut, &call_error(ErrorKind::Unauthorized), &cut] {
        outage.on_cut(error, Duration::from_secs(10), pause, || None);
    }
    assert_eq!(outage.cuts.1, 1, "another end is none of it");
}

#[tokio::test]
async fn a_loss_of_which_the_log_does_not_speak_is_a_step_unless_a_person_must_act() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let (mut outage, backoff) = (Outage::default(), WatcherTimings::default().backoff);
    outage.log_connected();
    for (kind, is_spoken) in
        [(ErrorKind::Retry, true), (ErrorKind::Retry, false), (ErrorKind::Unauthorized, false)]
    {
        outage.on_lost(&call_error(kind), is_spoken, backoff);
        outage.log_connected();
        outage.log_once.clear(WATCH);
    }
    let text = log.text();
    let lines: Vec<&str> = text.lines().map(|line| line.split(':').next().unwrap().trim()).collect();
    assert_eq!(
        lines,
        [
            "INFO Watcher connected",
            "WARN Watcher lost",
            "INFO Watcher connected",
            "DEBUG Watcher still lost",
            "DEBUG Watcher connected",
            "ERROR Watcher lost",
            "INFO Watcher connected",
        ]
    );
}
