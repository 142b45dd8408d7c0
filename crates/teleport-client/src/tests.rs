//! The client's calls against a scripted server behind mutual TLS.

#[cfg(test)]
mod golden;
#[cfg(test)]
pub(crate) mod scripted_server;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use bytes::Bytes;
use parking_lot::Mutex;
use prost::Message;
use teleport_proto::auth as wire;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::client::parse_version;
use super::error::{ErrorKind, TeleportError};
use super::events::Event;
use super::observer::{NoObserver, Observer};
use super::plugin_data::{Fields, Modified, modify_record};
use super::{Client, Pong};
use crate::tests::scripted_server::{
    Reply, Reports, Responder, ScriptedServer, TestCa, full_visibility_role,
};

const NOT_FOUND: u32 = 5;
const PERMISSION_DENIED: u32 = 7;
const FAILED_PRECONDITION: u32 = 9;
const UNIMPLEMENTED: u32 = 12;

/// Notes the methods that were called.
type Calls = Arc<Mutex<Vec<String>>>;

async fn serve(
    answer: impl Fn(&str, Bytes) -> Reply + Send + Sync + 'static,
) -> (ScriptedServer, Client, Calls) {
    serve_observed(answer, Arc::new(NoObserver)).await
}

async fn serve_observed(
    answer: impl Fn(&str, Bytes) -> Reply + Send + Sync + 'static,
    observer: Arc<dyn Observer>,
) -> (ScriptedServer, Client, Calls) {
    let calls = Calls::default();
    let noted = Arc::clone(&calls);
    let script: Responder = Arc::new(move |method, message| {
        noted.lock().push(method.to_owned());
        answer(method, message)
    });
    let authority = TestCa::new("local-site");
    let server = ScriptedServer::start(&authority, script).await;
    let client = server.observed_client(&authority.identity("access-plugin"), observer);
    (server, client, calls)
}

fn request(id: &str) -> wire::AccessRequestV3 {
    wire::AccessRequestV3 {
        metadata: Some(wire::Metadata { name: Bytes::copy_from_slice(id.as_bytes()), ..Default::default() }),
        spec: Some(wire::AccessRequestSpecV3 { state: 1, ..Default::default() }),
        ..Default::default()
    }
}

fn put(id: &str) -> wire::Event {
    wire::Event { r#type: 1, resource: Some(wire::event::Resource::AccessRequest(request(id))) }
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[tokio::test]
async fn ping_shows_who_the_server_is() {
    let (_server, client, _) = serve(|_, _| {
        Reply::one(&wire::PingResponse {
            cluster_name: "local-site".into(),
            server_version: "6.2.1".into(),
            server_features: Some(wire::Features { advanced_access_workflows: true, ..Default::default() }),
            proxy_public_addr: String::new(),
        })
    })
    .await;
    let pong = client.ping().await.unwrap();
    let expected = Pong {
        cluster_name: "local-site".into(),
        server_version: "6.2.1".into(),
        enterprise: true,
        web_proxy: None,
    };
    assert_eq!(pong, expected);
    pong.check_version().unwrap();
}

#[test]
fn versions_are_compared_by_major_and_minor() {
    let checked = |version: &str| {
        let pong = Pong {
            cluster_name: String::new(),
            server_version: version.into(),
            enterprise: false,
            web_proxy: None,
        };
        pong.check_version()
    };
    for good in
        ["6.1.0", "6.2.1", "6.2.1-beta.1", "7.0.0", "18.0.0-dev", "v17.1.2", "6.1-rc.1", "19.0.0+build.7"]
    {
        assert!(checked(good).is_ok(), "{good}");
    }
    for bad in ["6.0.9", "5.9.1", "", "garbage", "6", "6.", ".2.1", "99999999999.1", "６.２"] {
        let error = checked(bad).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permanent);
        assert!(error.to_string().contains("6.1 or later"), "{error}");
    }
    assert!(checked(&"9".repeat(100_000)).unwrap_err().to_string().len() < 1000, "a hostile version is cut");
    assert_eq!(parse_version("6.2.1-beta.1"), Some((6, 2)));
}

#[tokio::test]
async fn pages_are_followed_to_the_end() {
    let (_server, client, _) = serve(|_, message| {
        let page = wire::ListAccessRequestsRequest::decode(message).unwrap();
        let (id, next) = match page.start_key.as_str() {
            "" => ("one", "k1"),
            "k1" => ("two", "k2"),
            "k2" => ("three", ""),
            other => panic!("unexpected start key {other}"),
        };
        Reply::one(&wire::ListAccessRequestsResponse {
            access_requests: vec![request(id)],
            next_key: next.into(),
        })
    })
    .await;
    let ids: Vec<_> =
        client.list_requests().await.unwrap().requests.into_iter().map(|request| request.id).collect();
    assert_eq!(ids, ["one", "two", "three"].map(RequestId::new));
}

#[tokio::test]
async fn a_list_that_goes_in_circles_is_an_error() {
    let (_server, client, _) = serve(|_, _| {
        Reply::one(&wire::ListAccessRequestsResponse { access_requests: vec![], next_key: "again".into() })
    })
    .await;
    let error = client.list_requests().await.unwrap_err();
    assert!(error.to_string().contains("in circles"), "{error}");
}

#[tokio::test]
async fn the_listing_method_that_worked_is_remembered() {
    for (has, expected) in [
        ("ListAccessRequests", vec!["ListAccessRequests"; 2]),
        ("GetAccessRequestsV2", vec!["ListAccessRequests", "GetAccessRequestsV2", "GetAccessRequestsV2"]),
        (
            "GetAccessRequests",
            vec!["ListAccessRequests", "GetAccessRequestsV2", "GetAccessRequests", "GetAccessRequests"],
        ),
    ] {
        let (_server, client, calls) = serve(move |method, _| match method {
            _ if method != has => Reply::Status(UNIMPLEMENTED, "unknown method"),
            "ListAccessRequests" => Reply::one(&wire::ListAccessRequestsResponse {
                access_requests: vec![request("one"), request("two")],
                next_key: String::new(),
            }),
            "GetAccessRequestsV2" => Reply::Messages(vec![
                request("one").encode_to_vec().into(),
                request("two").encode_to_vec().into(),
            ]),
            _ => Reply::one(&wire::AccessRequests { access_requests: vec![request("one"), request("two")] }),
        })
        .await;
        assert_eq!(client.list_requests().await.unwrap().requests.len(), 2);
        let found = client.clone().get_request(&RequestId::new("two")).await.unwrap();
        assert_eq!(found.unwrap().id, RequestId::new("two"), "the clone knows, and picks the right one");
        assert_eq!(*calls.lock(), expected);
    }
}

#[tokio::test]
async fn an_upgraded_server_is_listed_by_its_new_method() {
    let upgraded = Arc::new(Mutex::new(false));
    let is_upgraded = Arc::clone(&upgraded);
    let (_server, client, _) = serve(move |method, _| match (method, *is_upgraded.lock()) {
        ("GetAccessRequests", false) => Reply::one(&wire::AccessRequests::default()),
        ("ListAccessRequests", true) => Reply::one(&wire::ListAccessRequestsResponse::default()),
        _ => Reply::Status(UNIMPLEMENTED, "unknown method"),
    })
    .await;
    client.list_requests().await.unwrap();
    *upgraded.lock() = true;
    client.list_requests().await.unwrap();
}

#[tokio::test]
async fn a_missing_request_is_none() {
    let answer = |method: &str, found: Reply| match method {
        "GetCurrentUserRoles" => Reply::one(&full_visibility_role()),
        _ => found,
    };
    let empty = || Reply::one(&wire::ListAccessRequestsResponse::default());
    let (_server, client, _) = serve(move |method, _| answer(method, empty())).await;
    assert_eq!(client.get_request(&RequestId::new("x")).await.unwrap(), None);
    let (_server, client, _) =
        serve(move |method, _| answer(method, Reply::Status(NOT_FOUND, "not found"))).await;
    assert_eq!(client.get_request(&RequestId::new("x")).await.unwrap(), None);
}

#[tokio::test]
async fn a_missing_permission_is_reported_with_its_rule() {
    const WORDS: &str = "access denied to perform action 'read' on 'access_request'";
    let (_server, client, calls) = serve(|_, _| Reply::Status(PERMISSION_DENIED, WORDS)).await;
    let error = client.list_requests().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    insta::assert_snapshot!(error, @"Teleport call ListAccessRequests failed with PERMISSION_DENIED: access denied to perform action 'read' on 'access_request'; the plugin's Teleport user needs a role whose allow.rules contain {resources: ['access_request'], verbs: ['list', 'read']}, and a certificate that the cluster still accepts");
    assert_eq!(*calls.lock(), ["ListAccessRequests"], "a refusal is no reason to try another method");
}

#[tokio::test]
async fn a_watch_reports_changes_and_skips_the_rest() {
    let (events, stream) = mpsc::channel(16);
    let stream = Mutex::new(Some(stream));
    let (_server, client, _) = serve(move |_, message| {
        let watch = wire::Watch::decode(message).unwrap();
        assert_eq!(watch.kinds.len(), 1);
        assert_eq!(watch.kinds[0].kind, "access_request");
        assert!(watch.kinds[0].filter.is_empty(), "a filter would hide resolutions");
        Reply::Stream(stream.lock().take().unwrap())
    })
    .await;
    let deleted = |kind: &str, id: &'static str| wire::Event {
        r#type: 2,
        resource: Some(wire::event::Resource::ResourceHeader(wire::ResourceHeader {
            kind: kind.into(),
            metadata: Some(wire::Metadata { name: Bytes::from_static(id.as_bytes()), ..Default::default() }),
            ..Default::default()
        })),
    };
    // Empty: INIT as a 6.2.1 server sends it. Then a resource and an operation that we do not know.
    let unknown_resource = Bytes::from_static(&[0x08, 1, 0x42, 0]);
    let unknown_operation = wire::Event { r#type: 9, ..put("x") }.encode_to_vec().into();
    for message in [
        Bytes::new(),
        unknown_resource,
        unknown_operation,
        deleted("role", "r").encode_to_vec().into(),
        put("one").encode_to_vec().into(),
        deleted("access_request", "one").encode_to_vec().into(),
    ] {
        events.send(message).await.unwrap();
    }
    let mut watch = client.watch().await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), Some(Event::Put(put)) if put.id.as_str() == "one"));
    assert_eq!(watch.next().await.unwrap(), Some(Event::Delete(RequestId::new("one"))));

    events.send(put("").encode_to_vec().into()).await.unwrap();
    let error = watch.next().await.unwrap_err();
    assert!(matches!(error, TeleportError::InvalidResponse { .. }), "not skipped: {error:?}");

    drop(events);
    assert_eq!(watch.next().await.unwrap(), None);
}

#[tokio::test]
async fn an_event_that_does_not_decode_is_an_error() {
    let answer = Reply::Messages;
    let (_server, client, _) =
        serve(move |_, _| answer(vec![Bytes::new(), Bytes::from_static(&[0x72, 0xff])])).await;
    let mut watch = client.watch().await.unwrap();
    assert_eq!(watch.next().await.unwrap_err().kind(), ErrorKind::Retry);
}

#[tokio::test]
async fn a_watch_that_does_not_begin_with_init_is_an_error() {
    let (_server, client, _) = serve(|_, _| Reply::one(&put("one"))).await;
    assert!(matches!(client.watch().await.unwrap_err(), TeleportError::InvalidResponse { .. }));
    let (_server, client, _) = serve(|_, _| Reply::Messages(vec![])).await;
    assert!(matches!(client.watch().await.unwrap_err(), TeleportError::WatchEnded));
}

#[tokio::test]
async fn a_new_identity_leaves_an_open_watch_alone() {
    let (events, stream) = mpsc::channel(16);
    let stream = Mutex::new(Some(stream));
    let authority = TestCa::new("local-site");
    let script: Responder = Arc::new(move |method, _| match method {
        "WatchEvents" => Reply::Stream(stream.lock().take().unwrap()),
        _ => Reply::one(&wire::PingResponse::default()),
    });
    let server = ScriptedServer::start(&authority, script).await;
    let client = server.client(&authority.identity("access-plugin"));
    events.send(Bytes::new()).await.unwrap();
    let mut watch = client.watch().await.unwrap();

    client.use_identity(&TestCa::new("other-site").identity("access-plugin"));
    let error = client.ping().await.unwrap_err();
    assert!(matches!(error, TeleportError::Connect(_)), "the new identity is used: {error}");
    client.use_identity(&authority.identity("access-plugin"));
    client.ping().await.unwrap();

    events.send(put("one").encode_to_vec().into()).await.unwrap();
    assert!(matches!(watch.next().await.unwrap(), Some(Event::Put(_))));
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let (_never, stream) = mpsc::channel(1);
    let stream = Mutex::new(Some(stream));
    let (_server, client, _) = serve(move |method, _| match method {
        "Ping" => Reply::one(&wire::PingResponse::default()),
        _ => Reply::Stream(stream.lock().take().unwrap()),
    })
    .await;
    client.ping().await.unwrap();
    // The connection is there; from now on time runs while the call waits.
    tokio::time::pause();
    let error = client.get_record(&RequestId::new("x")).await.unwrap_err();
    insta::assert_snapshot!(error, @"Teleport call GetPluginData had no answer within 15 s; the auth server or the network is overloaded or hangs");
    assert_eq!(error.kind(), ErrorKind::Retry);
}

/// Plugin data as Teleport keeps it: per request and plugin, compared and swapped by key.
#[derive(Default)]
struct PluginData {
    slack: BTreeMap<String, Fields>,
    /// Writes of another program, each done just before one of ours.
    others: Vec<Fields>,
}

impl PluginData {
    fn answer(&mut self, method: &str, message: Bytes) -> Reply {
        if method == "GetPluginData" {
            let filter = wire::PluginDataFilter::decode(message).unwrap();
            assert_eq!((filter.kind.as_str(), filter.plugin.as_str()), ("access_request", "slack"));
            let wanted = |id: &str| filter.resource.is_empty() || filter.resource == id;
            let items = self.slack.iter().filter(|(id, _)| wanted(id));
            return Reply::one(&wire::PluginDataSeq {
                plugin_data: items.map(|(id, data)| item(id, data)).collect(),
            });
        }
        let update = wire::PluginDataUpdateParams::decode(message).unwrap();
        assert_eq!((update.kind.as_str(), update.plugin.as_str()), ("access_request", "slack"));
        let Some(data) = self.slack.get_mut(&update.resource) else {
            return Reply::Status(NOT_FOUND, "access request not found");
        };
        if let Some(other) = self.others.pop() {
            data.extend(other);
        }
        let utf8 = |bytes: &Bytes| String::from_utf8(bytes.to_vec()).unwrap();
        for entry in &update.expect {
            if data.get(&utf8(&entry.key)).map_or("", String::as_str) != utf8(&entry.value) {
                return Reply::Status(FAILED_PRECONDITION, "expectations not met");
            }
        }
        for entry in &update.set {
            data.insert(utf8(&entry.key), utf8(&entry.value));
        }
        data.retain(|_, value| !value.is_empty());
        Reply::Messages(vec![Bytes::new()])
    }
}

/// An item with another plugin's entry first.
fn item(id: &str, data: &Fields) -> wire::PluginDataV3 {
    let entry = |plugin: &'static str, data: &Fields| wire::PluginEntry {
        key: Bytes::from_static(plugin.as_bytes()),
        value: Some(wire::PluginDataEntry {
            data: data
                .iter()
                .map(|(key, value)| wire::StringEntry {
                    key: key.clone().into(),
                    value: value.clone().into(),
                })
                .collect(),
        }),
    };
    wire::PluginDataV3 {
        metadata: Some(wire::Metadata { name: Bytes::copy_from_slice(id.as_bytes()), ..Default::default() }),
        spec: Some(wire::PluginDataSpecV3 {
            entries: vec![entry("mattermost", &fields(&[("user", "not ours")])), entry("slack", data)],
        }),
        ..Default::default()
    }
}

async fn serve_data(data: PluginData) -> (ScriptedServer, Client, Arc<Mutex<PluginData>>) {
    let data = Arc::new(Mutex::new(data));
    let served = Arc::clone(&data);
    let (server, client, _) = serve(move |method, message| served.lock().answer(method, message)).await;
    (server, client, data)
}

#[tokio::test]
async fn records_are_ours_only() {
    let data = PluginData {
        slack: [
            ("r1".to_owned(), fields(&[("user", "alice"), ("x_rev", "4")])),
            ("r2".to_owned(), Fields::new()),
        ]
        .into(),
        others: vec![],
    };
    let (_server, client, _) = serve_data(data).await;
    assert_eq!(client.get_record(&RequestId::new("r1")).await.unwrap(), fields(&[("user", "alice")]));
    assert_eq!(client.get_record(&RequestId::new("gone")).await.unwrap(), Fields::new());
    let all = client.list_records().await.unwrap();
    assert_eq!(
        all,
        [(RequestId::new("r1"), fields(&[("user", "alice")])), (RequestId::new("r2"), Fields::new())]
    );
}

#[tokio::test]
async fn an_edit_is_repeated_when_another_writer_was_faster() {
    let data = PluginData {
        slack: [("r1".to_owned(), fields(&[("count", "1")]))].into(),
        others: vec![fields(&[("count", "5"), ("theirs", "kept")])],
    };
    let (_server, client, data) = serve_data(data).await;
    // In a task of its own, as in the daemon.
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut seen = Vec::new();
        let id = RequestId::new("r1");
        let modified = modify_record(&client, &id, |current| {
            seen.push(current["count"].clone());
            let mut desired = current.clone();
            desired.insert("count".into(), format!("{}0", current["count"]));
            Some(desired)
        });
        let modified = modified.await.unwrap();
        (seen, modified)
    });
    let (seen, modified) = task.join_next().await.unwrap().unwrap();
    assert_eq!(seen, ["1", "5"]);
    assert_eq!(modified, Modified::Written(fields(&[("count", "50"), ("theirs", "kept")])));
    let stored = data.lock().slack["r1"].clone();
    assert_eq!(stored, fields(&[("count", "50"), ("theirs", "kept"), ("x_rev", "1")]));
}

#[tokio::test]
async fn a_record_left_as_it_is_is_not_written() {
    let data = PluginData {
        slack: [("r1".to_owned(), fields(&[("a", "1"), ("x_rev", "3")]))].into(),
        others: vec![],
    };
    let (_server, client, data) = serve_data(data).await;
    let id = RequestId::new("r1");
    let unchanged = Modified::Unchanged(fields(&[("a", "1")]));
    assert_eq!(modify_record(&client, &id, |_| None).await.unwrap(), unchanged);
    assert_eq!(modify_record(&client, &id, |current| Some(current.clone())).await.unwrap(), unchanged);
    assert_eq!(data.lock().slack["r1"]["x_rev"], "3");
}

#[tokio::test]
async fn endless_contention_ends_in_a_conflict() {
    let others = (0..20).map(|n| fields(&[("count", &format!("other {n}"))])).collect();
    let data = PluginData { slack: [("r1".to_owned(), Fields::new())].into(), others };
    let (_server, client, data) = serve_data(data).await;
    let error = modify_record(&client, &RequestId::new("r1"), |_| Some(fields(&[("count", "mine")])))
        .await
        .unwrap_err();
    assert!(matches!(&error, TeleportError::Contended { attempts: 10, .. }), "{error:?}");
    assert_eq!(error.kind(), ErrorKind::Conflict);
    assert_eq!(data.lock().others.len(), 10, "each try met another write");
}

#[tokio::test]
async fn a_record_of_a_request_that_never_was_is_not_found() {
    let (_server, client, _) = serve_data(PluginData::default()).await;
    let error =
        modify_record(&client, &RequestId::new("x"), |_| Some(fields(&[("a", "1")]))).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_connection_is_made_again_after_a_loss() {
    let authority = TestCa::new("local-site");
    let script: Responder = Arc::new(|_, _| Reply::one(&wire::PingResponse::default()));
    let server = ScriptedServer::start(&authority, Arc::clone(&script)).await;
    let client = server.client(&authority.identity("access-plugin"));
    client.ping().await.unwrap();
    let addr = server.addr;
    server.stop().await;
    let _server = ScriptedServer::start_at(addr, &authority, script).await;
    // The client may notice the loss only by the first failing call.
    let back = async {
        while client.ping().await.is_err() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), back).await.expect("the client reconnects by itself");
}

#[tokio::test]
async fn each_call_is_reported_with_its_code() {
    let answer = |method: &str, _| match method {
        "GetPluginData" => Reply::Status(PERMISSION_DENIED, "access denied"),
        _ => Reply::one(&wire::PingResponse::default()),
    };
    let reports = Arc::new(Reports::default());
    let (server, client, _) = serve_observed(answer, reports.clone()).await;
    client.ping().await.unwrap();
    client.get_record(&RequestId::new("r1")).await.unwrap_err();
    server.stop().await;
    client.ping().await.unwrap_err();
    let calls = reports.calls.lock();
    let calls: Vec<_> = calls.iter().map(|(call, result)| (call.name(), result.name())).collect();
    assert_eq!(calls, [("Ping", "OK"), ("GetPluginData", "PERMISSION_DENIED"), ("Ping", "NO_CONNECTION")]);
}
