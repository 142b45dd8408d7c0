//! Every message in `vectors/teleport-6.2.1` decodes to what the reference client saw in it.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use access_core::domain::request::{AccessRequest, RequestState};
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use teleport_proto::auth as wire;

use super::scripted_server::base64;
use crate::convert::access_request;

#[derive(Deserialize)]
struct Step {
    name: String,
    method: String,
    request_file: Option<String>,
    response_file: Option<String>,
    decoded: Option<Value>,
}

fn dir() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/teleport-6.2.1"))
}

fn steps() -> Vec<Step> {
    serde_json::from_slice(&fs::read(dir().join("manifest.json")).unwrap()).unwrap()
}

fn file(name: &str) -> Bytes {
    fs::read(dir().join(name)).unwrap().into()
}

#[test]
fn every_response_decodes_to_what_the_reference_client_saw() {
    let mut compared = 0;
    for step in steps() {
        let Some(response) = &step.response_file else { continue };
        let ours = prune(decode_response(&step.method, file(response)));
        let theirs = prune(step.decoded.clone().unwrap());
        assert_eq!(ours, theirs, "{}", step.name);
        compared += 1;
    }
    assert_eq!(compared, 34);
}

#[test]
fn no_field_of_any_request_is_unknown_to_us() {
    let mut compared = 0;
    for (method, name) in requests() {
        let bytes = file(&name);
        let (ours, left_out) = reencode_request(&method, bytes.clone());
        assert_eq!(ours.len() + left_out, bytes.len(), "{name}");
        compared += 1;
    }
    assert_eq!(compared, 35);
}

/// Method and file of every request. The watch's own is not a step of the manifest: its events are.
fn requests() -> Vec<(String, String)> {
    let steps = steps().into_iter().filter_map(|step| Some((step.method, step.request_file?)));
    steps.chain([("WatchEvents".to_owned(), "watch.request.bin".to_owned())]).collect()
}

#[test]
fn no_file_is_left_out() {
    let requests = requests().into_iter().map(|(_, name)| name);
    let named: BTreeSet<String> =
        steps().into_iter().filter_map(|step| step.response_file).chain(requests).collect();
    let there: BTreeSet<String> = fs::read_dir(dir())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".bin"))
        .collect();
    assert_eq!(named, there);
}

#[test]
fn every_access_request_converts_to_the_same_facts() {
    let mut converted = 0;
    for step in steps() {
        let Some(response) = &step.response_file else { continue };
        for message in access_requests_in(&step.method, file(response)) {
            let request = access_request(message.clone()).expect("real requests have names");
            assert_eq!(
                summary_of(&request),
                summary_in(&prune(access_request_json(&message))),
                "{}",
                step.name
            );
            converted += 1;
        }
    }
    assert!(converted >= 20, "only {converted}");
}

/// The converted request in the manifest's words.
fn summary_of(request: &AccessRequest) -> Value {
    let number = |state| match state {
        RequestState::Pending => 1,
        RequestState::Approved => 2,
        RequestState::Denied => 3,
        RequestState::Promoted => 4,
        RequestState::Unknown(number) => number,
    };
    let reviews: Vec<Value> = request
        .reviews
        .iter()
        .map(|review| {
            json!({
                "author": review.author,
                "proposed_state": number(review.proposed),
                "reason": review.reason,
                "created": review.created,
            })
        })
        .collect();
    let thresholds: Vec<Value> =
        request.thresholds.iter().map(|t| json!({"approve": t.approve, "deny": t.deny})).collect();
    prune(json!({
        "name": request.id,
        "user": request.user,
        "roles": request.roles,
        "state": number(request.state),
        "created": request.created,
        "access_until": request.access_until,
        "expires": request.expires,
        "reason": request.reason,
        "resolve_reason": request.resolve_reason,
        "suggested_reviewers": request.suggested_reviewers,
        "reviews": reviews,
        "thresholds": thresholds,
    }))
}

/// The same, taken from the manifest's form.
fn summary_in(request: &Value) -> Value {
    let (metadata, spec) = (&request["metadata"], &request["spec"]);
    let mut reviews = spec["reviews"].clone();
    for review in reviews.as_array_mut().into_iter().flatten() {
        review.as_object_mut().unwrap().remove("i");
    }
    prune(json!({
        "name": metadata["name"],
        "user": spec["user"],
        "roles": spec["roles"],
        "state": spec["state"],
        "created": spec["created"],
        "access_until": spec["expires"],
        "expires": metadata["expires"],
        "reason": spec["request_reason"],
        "resolve_reason": spec["resolve_reason"],
        "suggested_reviewers": spec["suggested_reviewers"],
        "reviews": reviews,
        "thresholds": spec["thresholds"],
    }))
}

fn access_requests_in(method: &str, bytes: Bytes) -> Vec<wire::AccessRequestV3> {
    match method {
        "WatchEvents" => match wire::Event::decode(bytes).unwrap().resource {
            Some(wire::event::Resource::AccessRequest(request)) => vec![request],
            _ => vec![],
        },
        "GetAccessRequests" => wire::AccessRequests::decode(bytes).unwrap().access_requests,
        "SubmitAccessReview" => vec![wire::AccessRequestV3::decode(bytes).unwrap()],
        _ => vec![],
    }
}

fn decode_response(method: &str, bytes: Bytes) -> Value {
    match method {
        "Ping" => ping_json(&wire::PingResponse::decode(bytes).unwrap()),
        "WatchEvents" => event_json(&wire::Event::decode(bytes).unwrap()),
        "GetAccessRequests" => {
            let all = wire::AccessRequests::decode(bytes).unwrap().access_requests;
            json!({"access_requests": all.iter().map(access_request_json).collect::<Vec<_>>()})
        }
        "SubmitAccessReview" => access_request_json(&wire::AccessRequestV3::decode(bytes).unwrap()),
        "GetPluginData" => {
            let items = wire::PluginDataSeq::decode(bytes).unwrap().plugin_data;
            json!({"plugin_data": items.iter().map(plugin_data_json).collect::<Vec<_>>()})
        }
        "UpdatePluginData" | "SetAccessRequestState" => {
            assert!(bytes.is_empty());
            json!({})
        }
        "GenerateUserCerts" => {
            let certs = wire::Certs::decode(bytes).unwrap();
            json!({"ssh": base64(&certs.ssh), "tls": base64(&certs.tls)})
        }
        other => panic!("no decoder for {other}"),
    }
}

/// The request as we encode it, and how many bytes of the original say nothing: Go writes the empty values of
/// maps and the parts of a certificate request that are not asked for, two bytes each.
fn reencode_request(method: &str, bytes: Bytes) -> (Vec<u8>, usize) {
    fn again<M: Message + Default>(bytes: Bytes) -> (Vec<u8>, usize) {
        (M::decode(bytes).unwrap().encode_to_vec(), 0)
    }
    match method {
        "Ping" => again::<wire::PingRequest>(bytes),
        "WatchEvents" => again::<wire::Watch>(bytes),
        "GetAccessRequests" => again::<wire::AccessRequestFilter>(bytes),
        "CreateAccessRequest" => again::<wire::AccessRequestV3>(bytes),
        "SubmitAccessReview" => again::<wire::AccessReviewSubmission>(bytes),
        "GetPluginData" => again::<wire::PluginDataFilter>(bytes),
        "UpdatePluginData" => {
            let update = wire::PluginDataUpdateParams::decode(bytes).unwrap();
            let empty = update.set.iter().chain(&update.expect).filter(|entry| entry.value.is_empty());
            (update.encode_to_vec(), 2 * empty.count())
        }
        "SetAccessRequestState" => again::<wire::RequestStateSetter>(bytes),
        "GenerateUserCerts" => {
            // It ends with the routes to a database and to an application, both empty messages.
            assert!(bytes.ends_with(&[0x42, 0, 0x5a, 0]));
            (again::<wire::UserCertsRequest>(bytes).0, 4)
        }
        other => panic!("no decoder for {other}"),
    }
}

// The generated types in the manifest's form.

fn ping_json(pong: &wire::PingResponse) -> Value {
    let features = pong.server_features.as_ref().map(|f| {
        json!({
            "kubernetes": f.kubernetes, "app": f.app, "db": f.db, "oidc": f.oidc, "saml": f.saml,
            "access_controls": f.access_controls, "advanced_access_workflows": f.advanced_access_workflows,
            "cloud": f.cloud,
        })
    });
    json!({
        "cluster_name": pong.cluster_name, "server_version": pong.server_version,
        "server_features": features, "proxy_public_addr": pong.proxy_public_addr,
    })
}

fn event_json(event: &wire::Event) -> Value {
    use wire::event::Resource;
    let resource = match &event.resource {
        None => Value::Null,
        Some(Resource::WatchStatus(status)) => json!({"WatchStatus": status.kind}),
        Some(Resource::AccessRequest(request)) => json!({"AccessRequest": access_request_json(request)}),
        Some(Resource::ResourceHeader(header)) => json!({"ResourceHeader": {
            "kind": header.kind, "sub_kind": header.sub_kind, "version": header.version,
            "metadata": header.metadata.as_ref().map(metadata_json),
        }}),
    };
    json!({"type": event.r#type, "Resource": resource})
}

fn metadata_json(metadata: &wire::Metadata) -> Value {
    // The reference client leaves the default namespace out.
    json!({"name": utf8(&metadata.name), "expires": time(&metadata.expires), "id": metadata.id})
}

fn access_request_json(request: &wire::AccessRequestV3) -> Value {
    let spec = request.spec.as_ref().unwrap();
    let thresholds: Vec<Value> = spec
        .thresholds
        .iter()
        .map(|t| json!({"name": utf8(&t.name), "filter": utf8(&t.filter), "approve": t.approve, "deny": t.deny}))
        .collect();
    let mapping: Map<String, Value> = spec
        .role_threshold_mapping
        .iter()
        .map(|entry| {
            let sets = entry.value.iter().flat_map(|sets| &sets.sets);
            let sets: Vec<Value> = sets.map(|set| json!({"i": set.indexes})).collect();
            (utf8(&entry.key), json!({"s": sets}))
        })
        .collect();
    let reviews: Vec<Value> = spec
        .reviews
        .iter()
        .map(|review| {
            json!({
                "author": utf8(&review.author), "roles": texts(&review.roles),
                "proposed_state": review.proposed_state, "reason": utf8(&review.reason),
                "created": time(&review.created), "annotations": labels(&review.annotations),
                "i": review.threshold_indexes,
            })
        })
        .collect();
    json!({
        "kind": request.kind, "sub_kind": request.sub_kind, "version": request.version,
        "metadata": request.metadata.as_ref().map(metadata_json),
        "spec": {
            "user": utf8(&spec.user), "roles": texts(&spec.roles), "state": spec.state,
            "created": time(&spec.created), "expires": time(&spec.expires),
            "request_reason": utf8(&spec.request_reason), "resolve_reason": utf8(&spec.resolve_reason),
            "resolve_annotations": labels(&spec.resolve_annotations),
            "system_annotations": labels(&spec.system_annotations),
            "thresholds": thresholds, "rtm": mapping, "reviews": reviews,
            "suggested_reviewers": texts(&spec.suggested_reviewers),
        },
    })
}

fn plugin_data_json(item: &wire::PluginDataV3) -> Value {
    let entries: Map<String, Value> = item
        .spec
        .iter()
        .flat_map(|spec| &spec.entries)
        .map(|entry| {
            let data = entry.value.iter().flat_map(|value| &value.data);
            let data: Map<String, Value> =
                data.map(|pair| (utf8(&pair.key), json!(utf8(&pair.value)))).collect();
            (utf8(&entry.key), json!({"data": data}))
        })
        .collect();
    json!({
        "kind": item.kind, "sub_kind": item.sub_kind, "version": item.version,
        "metadata": item.metadata.as_ref().map(metadata_json), "spec": {"entries": entries},
    })
}

fn labels(labels: &Option<wire::LabelValues>) -> Map<String, Value> {
    let entries = labels.iter().flat_map(|labels| &labels.values);
    entries
        .map(|entry| {
            (utf8(&entry.key), json!(texts(entry.value.as_ref().map_or(&[], |values| &values.values))))
        })
        .collect()
}

fn utf8(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn texts(all: &[Bytes]) -> Vec<String> {
    all.iter().map(utf8).collect()
}

fn time(time: &Option<prost_types::Timestamp>) -> Option<Timestamp> {
    time.map(|time| Timestamp::new(time.seconds, time.nanos).unwrap())
}

/// Without the members that say nothing: Go leaves out some of them and writes others as zero.
fn prune(value: Value) -> Value {
    match value {
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .map(|(key, value)| (key, prune(value)))
                .filter(|(_, value)| !is_zero(value))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(prune).collect()),
        other => other,
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty() || text == "0001-01-01T00:00:00Z",
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        Value::Bool(true) => false,
    }
}
