//! Replays the conversations that real 15.1.9 and 15.3.1 servers had: the captured bytes are sent, with ids and
//! times moved to what the simulator has, and the answers must be the captured ones.

use std::collections::BTreeMap;
use std::path::PathBuf;

use bytes::Bytes;
use http::uri::PathAndQuery;
use jiff::{SignedDuration, Timestamp};
use prost::Message;
use prost_types::Timestamp as PbTimestamp;
use serde::Deserialize;
use teleport_proto::{auth as pb, users};
use tonic::codec::Streaming;
use tonic::metadata::MetadataMap;
use tonic::{Code, Request, Status};

use super::raw::Raw;
use super::*;
use crate::teleport::ServerVersion;

#[derive(Deserialize)]
struct Step {
    name: String,
    caller: String,
    #[serde(default = "auth_service")]
    service: String,
    method: String,
    request_file: Option<String>,
    response_file: Option<String>,
    #[serde(default)]
    response_files: Vec<String>,
    grpc_code: String,
    grpc_message: Option<String>,
    #[serde(default)]
    headers: BTreeMap<String, Vec<String>>,
}

fn auth_service() -> String {
    "proto.AuthService".to_owned()
}

fn replace(bytes: &[u8], pairs: impl Iterator<Item = (String, String)>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    // A page's key holds an id, so the longer first.
    let mut pairs: Vec<_> = pairs.collect();
    pairs.sort_by_key(|(from, _)| std::cmp::Reverse(from.len()));
    for (from, to) in pairs {
        assert_eq!(from.len(), to.len(), "lengths are part of the encoding");
        let (from, to) = (from.as_bytes(), to.as_bytes());
        let mut at = 0;
        while let Some(found) = bytes[at..].windows(from.len()).position(|window| window == from) {
            bytes[at + found..at + found + to.len()].copy_from_slice(to);
            at += found + to.len();
        }
    }
    bytes
}

/// The requests in an answer or event.
fn requests(method: &str, message: &[u8]) -> Vec<pb::AccessRequestV3> {
    let one = |bytes| vec![pb::AccessRequestV3::decode(bytes).unwrap()];
    match method {
        "GetAccessRequestsV2" | "CreateAccessRequestV2" | "SubmitAccessReview" => one(message),
        "ListAccessRequests" => pb::ListAccessRequestsResponse::decode(message).unwrap().access_requests,
        "WatchEvents" => match pb::Event::decode(message).unwrap().resource {
            Some(pb::event::Resource::AccessRequest(request)) => vec![request],
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn id(request: &pb::AccessRequestV3) -> String {
    String::from_utf8(request.metadata.as_ref().unwrap().name.to_vec()).unwrap()
}

fn instant(time: &PbTimestamp) -> Timestamp {
    Timestamp::new(time.seconds, time.nanos).unwrap()
}

fn shift(time: &mut Option<PbTimestamp>, by: SignedDuration) {
    if let Some(time) = time {
        let moved = instant(time) + by;
        *time = PbTimestamp { seconds: moved.as_second(), nanos: moved.subsec_nanosecond() };
    }
}

/// Distance from the request's creation in whole seconds: a real server reads its clock several times.
fn since(created: Timestamp, time: &mut Option<PbTimestamp>) {
    if let Some(time) = time {
        let distance = instant(time).duration_since(created).as_secs_f64().round();
        *time = PbTimestamp { seconds: distance as i64, nanos: 0 };
    }
}

/// A request without what two servers cannot have in common.
fn normalized(mut request: pb::AccessRequestV3) -> pb::AccessRequestV3 {
    let metadata = request.metadata.as_mut().unwrap();
    let spec = request.spec.as_mut().unwrap();
    let created = instant(&spec.created.take().unwrap());
    since(created, &mut metadata.expires);
    for time in
        [&mut spec.expires, &mut spec.max_duration, &mut spec.session_ttl, &mut spec.assume_start_time]
    {
        since(created, time);
    }
    metadata.id = metadata.id.signum();
    if metadata.revision.len() == 36 {
        metadata.revision = Bytes::from_static(b"a UUID");
    }
    for review in &mut spec.reviews {
        assert!(instant(&review.created.take().unwrap()) >= created);
        since(created, &mut review.assume_start_time);
    }
    spec.role_threshold_mapping.sort_by(|a, b| a.key.cmp(&b.key));
    request
}

fn normalized_user(mut user: pb::UserV2) -> pb::UserV2 {
    // No caller asks for a user's revision, so the simulator has none.
    user.metadata.as_mut().unwrap().revision.clear();
    user.metadata.as_mut().unwrap().id = 0;
    if let Some(traits) = user.spec.as_mut().and_then(|spec| spec.traits.as_mut()) {
        traits.values.sort_by(|a, b| a.key.cmp(&b.key));
    }
    user
}

/// A status message with instants and fractions of seconds taken out.
fn normalized_message(message: &str) -> String {
    let plain = |word: &str| match word {
        word if word.ends_with('s') && word.contains('.') && word.contains('h') => "<duration>".to_owned(),
        word if word.parse::<Timestamp>().is_ok() => "<instant>".to_owned(),
        word => word.to_owned(),
    };
    message.split(' ').map(plain).collect::<Vec<_>>().join(" ")
}

struct Replay {
    folder: PathBuf,
    sim: TeleportSim,
    channels: BTreeMap<String, Channel>,
    /// Ids and page keys, theirs to ours.
    names: BTreeMap<String, String>,
    /// When requests were made there and here, both by the id that they have there.
    recorded_times: BTreeMap<String, Timestamp>,
    simulated_times: BTreeMap<String, Timestamp>,
    /// Requests that were made by other means than a step.
    missing: BTreeMap<String, pb::AccessRequestV3>,
    events: Option<Streaming<Bytes>>,
}

type Answer = (MetadataMap, Vec<Bytes>, Result<(), Status>);

impl Replay {
    fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(file)).unwrap()
    }

    fn answers(&self, step: &Step) -> Vec<Vec<u8>> {
        step.response_file.iter().chain(&step.response_files).map(|file| self.read(file)).collect()
    }

    fn to_ours(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, self.names.iter().map(|(theirs, ours)| (theirs.clone(), ours.clone())))
    }

    fn to_theirs(&self, bytes: &[u8]) -> Vec<u8> {
        replace(bytes, self.names.iter().map(|(theirs, ours)| (ours.clone(), theirs.clone())))
    }

    async fn open(
        &mut self,
        step: &Step,
        request: Vec<u8>,
    ) -> Result<(MetadataMap, Streaming<Bytes>), Status> {
        let sim = self.sim.clone();
        if !self.channels.contains_key(&step.caller) {
            let made = match step.caller.as_str() {
                "(no certificate)" => {
                    channel(sim.addr(), client_tls(&sim.authorities().host_ca_pem(), None)).await
                }
                user => {
                    let credentials = sim.credentials(user, CertOptions::default());
                    channel(sim.addr(), client_tls(&credentials.cas_pem, Some(&credentials))).await
                }
            };
            self.channels.insert(step.caller.clone(), made.unwrap());
        }
        let mut grpc = tonic::client::Grpc::new(self.channels[&step.caller].clone());
        grpc.ready().await.unwrap();
        let path = PathAndQuery::try_from(format!("/{}/{}", step.service, step.method)).unwrap();
        let answer = grpc.server_streaming(Request::new(Bytes::from(request)), path, Raw).await?;
        let (headers, stream, _) = answer.into_parts();
        Ok((headers, stream))
    }

    /// All messages of the answer; of a watch the first.
    async fn call_raw(&mut self, step: &Step, request: Vec<u8>) -> Answer {
        let (headers, mut stream) = match self.open(step, request).await {
            Ok(open) => open,
            Err(status) => return (MetadataMap::new(), Vec::new(), Err(status)),
        };
        let mut messages = Vec::new();
        loop {
            match stream.message().await {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => return (headers, messages, Ok(())),
                Err(status) => return (headers, messages, Err(status)),
            }
            if step.method == "WatchEvents" {
                return (headers, messages, Ok(()));
            }
        }
    }

    /// The request's bytes, with ids and times moved.
    fn request(&self, step: &Step) -> Vec<u8> {
        let bytes = self.to_ours(&self.read(step.request_file.as_ref().unwrap()));
        let moved = match step.method.as_str() {
            "CreateAccessRequestV2" => {
                let mut request = pb::AccessRequestV3::decode(bytes.as_slice()).unwrap();
                let made = self.answers(step).first().map(|answer| requests(&step.method, answer).remove(0));
                let then = made.map(|made| instant(&made.spec.unwrap().created.unwrap()));
                // A refused one was made right after the last that was not.
                let then = then.or(self.recorded_times.values().max().copied()).unwrap();
                let by = Timestamp::now().duration_since(then);
                shift(&mut request.metadata.as_mut().unwrap().expires, by);
                let spec = request.spec.as_mut().unwrap();
                shift(&mut spec.max_duration, by);
                shift(&mut spec.assume_start_time, by);
                request.encode_to_vec()
            }
            "SubmitAccessReview" => {
                let mut submission = pb::AccessReviewSubmission::decode(bytes.as_slice()).unwrap();
                let theirs = String::from_utf8(self.to_theirs(submission.request_id.as_bytes())).unwrap();
                if let (Some(then), Some(now)) =
                    (self.recorded_times.get(&theirs), self.simulated_times.get(&theirs))
                {
                    let by = now.duration_since(*then);
                    shift(&mut submission.review.as_mut().unwrap().assume_start_time, by);
                }
                submission.encode_to_vec()
            }
            _ => return bytes,
        };
        // Our definitions leave out nothing that these messages hold: only times were moved, and nanoseconds added.
        assert!((bytes.len()..=bytes.len() + 15).contains(&moved.len()), "{}", step.name);
        moved
    }

    /// Makes what the step speaks of and no step made.
    async fn make_missing(&mut self, step: &Step) {
        let Some(file) = &step.request_file else { return };
        let bytes = self.read(file);
        let speaks_of = |id: &&String| bytes.windows(id.len()).any(|window| window == id.as_bytes());
        let Some(theirs) = self.missing.keys().find(speaks_of).cloned() else { return };
        let wanted = self.missing.remove(&theirs).unwrap();
        let spec = wanted.spec.unwrap();
        let user = String::from_utf8(spec.user.to_vec()).unwrap();
        self.recorded_times.insert(theirs.clone(), instant(&spec.created.unwrap()));
        let request = pb::AccessRequestV3 {
            spec: Some(pb::AccessRequestSpecV3 {
                user: spec.user,
                roles: spec.roles,
                state: pb::RequestState::Pending.into(),
                request_reason: spec.request_reason,
                ..Default::default()
            }),
            ..Default::default()
        };
        let made = client(&self.sim, &user).await.create_access_request_v2(request).await.unwrap();
        let made = made.into_inner();
        self.simulated_times.insert(theirs.clone(), instant(&made.spec.as_ref().unwrap().created.unwrap()));
        self.names.insert(theirs, id(&made));
    }

    /// Learns which id of ours stands for which of theirs.
    fn record_names(&mut self, step: &Step, ours: &[u8], theirs: &[u8]) {
        if step.method == "ListAccessRequests" {
            let key = |bytes| pb::ListAccessRequestsResponse::decode(bytes).unwrap().next_key;
            let (theirs, ours) = (key(theirs), key(ours));
            if theirs.contains('/') {
                self.names.insert(theirs, ours);
            }
        }
        if step.method != "CreateAccessRequestV2" {
            return;
        }
        for (ours, theirs) in requests(&step.method, ours).iter().zip(requests(&step.method, theirs)) {
            self.names.insert(id(&theirs), id(ours));
            self.recorded_times.insert(id(&theirs), instant(&theirs.spec.as_ref().unwrap().created.unwrap()));
            self.simulated_times.insert(id(&theirs), instant(&ours.spec.as_ref().unwrap().created.unwrap()));
        }
    }

    /// The meaning of messages, which name requests as they did, in a form that compares.
    fn meaning(step: &Step, messages: &[Vec<u8>], made: &BTreeMap<String, Timestamp>) -> Vec<String> {
        let mut meaning = Vec::new();
        for message in messages {
            let bytes = message.as_slice();
            let mut found = requests(&step.method, bytes).into_iter().map(normalized).peekable();
            let no_request = found.peek().is_none();
            meaning.extend(found.map(|request| format!("{request:#?}")));
            match step.method.as_str() {
                "Ping" => meaning.push(format!("{:#?}", pb::PingResponse::decode(bytes).unwrap())),
                "ListAccessRequests" => {
                    meaning.push(pb::ListAccessRequestsResponse::decode(bytes).unwrap().next_key);
                }
                "GetPluginData" => {
                    for item in pb::PluginDataSeq::decode(bytes).unwrap().plugin_data {
                        meaning.push(format!("{:#?}", normalized_item(item, made)));
                    }
                }
                "GetUser" if step.service == "proto.AuthService" => {
                    meaning.push(format!("{:#?}", normalized_user(pb::UserV2::decode(bytes).unwrap())));
                }
                "GetUser" => {
                    let user = users::GetUserResponse::decode(bytes).unwrap().user.unwrap();
                    meaning.push(format!("{:#?}", normalized_user(user)));
                }
                "ListUsers" => {
                    let page = users::ListUsersResponse::decode(bytes).unwrap();
                    meaning
                        .extend(page.users.into_iter().map(|user| format!("{:#?}", normalized_user(user))));
                    meaning.push(page.next_page_token);
                }
                // What else there is holds nothing in which two servers differ.
                _ if no_request => meaning.push(format!("{bytes:?}")),
                _ => {}
            }
        }
        if step.method == "GetAccessRequestsV2" {
            // In no promised order.
            meaning.sort();
        }
        meaning
    }

    fn compare(&self, step: &Step, ours: &[Vec<u8>]) {
        let theirs = self.answers(step);
        for (ours, theirs) in ours.iter().zip(&theirs).filter(|(_, theirs)| theirs.is_empty()) {
            assert_eq!(ours, theirs, "{}: an answer of no bytes", step.name);
        }
        let ours = Self::meaning(step, ours, &self.simulated_times).join("\n");
        let theirs = Self::meaning(step, &theirs, &self.recorded_times).join("\n");
        assert!(ours == theirs, "{}\nours: {ours}\ntheirs: {theirs}", step.name);
    }

    async fn event(&mut self, step: &Step) {
        let theirs = self.read(step.response_file.as_ref().unwrap());
        let wanted = label(&theirs);
        loop {
            let events = self.events.as_mut().unwrap();
            let event = tokio::time::timeout(LIMIT, events.message()).await.expect("an event in time");
            let event = self.to_theirs(&event.unwrap().unwrap());
            if label(&event) == wanted {
                return self.compare(step, &[event]);
            }
        }
    }

    async fn call(&mut self, step: &Step) {
        let request = self.request(step);
        let (headers, messages, status) = self.call_raw(step, request).await;
        if status.is_ok() {
            for (name, values) in &step.headers {
                let found: Vec<_> =
                    headers.get_all(name.as_str()).iter().map(|value| value.to_str().unwrap()).collect();
                assert_eq!(&found, values, "{}: header {name}", step.name);
            }
            for (ours, theirs) in messages.iter().zip(self.answers(step)) {
                self.record_names(step, ours, &theirs);
            }
            let messages: Vec<_> = messages.iter().map(|message| self.to_theirs(message)).collect();
            self.compare(step, &messages);
        }
        let (code, message) = match status {
            Ok(()) => (Code::Ok, None),
            Err(status) => (status.code(), Some(self.to_theirs(status.message().as_bytes()))),
        };
        let message = message.map(|message| normalized_message(std::str::from_utf8(&message).unwrap()));
        assert_eq!(
            (format!("{code:?}").as_str(), message),
            (
                step.grpc_code.replace("OK", "Ok").as_str(),
                step.grpc_message.as_deref().map(normalized_message)
            ),
            "{}",
            step.name
        );
    }

    /// What happened between the steps by other means.
    fn between(&self, step: &Step) {
        match step.name.as_str() {
            "ping-locked" => self.sim.edit_fixture(|fixture| fixture.locked.push(PLUGIN.to_owned())),
            "ping-user-deleted" => self.sim.edit_fixture(|fixture| {
                fixture.locked.clear();
                fixture.users.retain(|user| user.name != PLUGIN);
            }),
            _ => {}
        }
    }
}

/// What an event is about, enough to distinguish the events of one conversation.
fn label(event: &[u8]) -> String {
    match pb::Event::decode(event).unwrap().resource {
        None | Some(pb::event::Resource::WatchStatus(_)) => "init".to_owned(),
        Some(pb::event::Resource::ResourceHeader(header)) => format!("delete {:?}", header.metadata),
        Some(pb::event::Resource::AccessRequest(request)) => {
            let spec = request.spec.as_ref().unwrap();
            format!("{} {} {}", id(&request), spec.state().as_str_name(), spec.reviews.len())
        }
    }
}

fn normalized_item(mut item: pb::PluginDataV3, made: &BTreeMap<String, Timestamp>) -> pb::PluginDataV3 {
    let metadata = item.metadata.as_mut().unwrap();
    metadata.id = metadata.id.signum();
    if metadata.revision.len() == 36 {
        metadata.revision = Bytes::from_static(b"a UUID");
    }
    since(made[std::str::from_utf8(&metadata.name).unwrap()], &mut metadata.expires);
    let entries = &mut item.spec.as_mut().unwrap().entries;
    entries.sort_by(|a, b| a.key.cmp(&b.key));
    for entry in entries {
        entry.value.as_mut().unwrap().data.sort_by(|a, b| a.key.cmp(&b.key));
    }
    item
}

/// Replays one folder; returns the names of the steps whose answers differ.
async fn replay(folder: &str, options: Options, steps_there: usize) {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors").join(folder);
    let mut replay = Replay {
        folder,
        sim: TeleportSim::start(options).await.unwrap(),
        channels: BTreeMap::new(),
        names: BTreeMap::new(),
        recorded_times: BTreeMap::new(),
        simulated_times: BTreeMap::new(),
        missing: BTreeMap::new(),
        events: None,
    };
    let steps: Vec<Step> = serde_json::from_slice(&replay.read("manifest.json")).unwrap();
    assert_eq!(steps.len(), steps_there);
    let mut made = Vec::new();
    for step in &steps {
        for request in replay.answers(step).iter().flat_map(|answer| requests(&step.method, answer)) {
            match step.method.as_str() {
                "CreateAccessRequestV2" => made.push(id(&request)),
                _ if made.contains(&id(&request)) => {}
                _ => drop(replay.missing.entry(id(&request)).or_insert(request)),
            }
        }
    }
    for step in &steps {
        replay.between(step);
        replay.make_missing(step).await;
        match step.method.as_str() {
            "WatchEvents" if step.name == "event-init" => {
                let request = replay.request(step);
                replay.events = Some(replay.open(step, request).await.unwrap().1);
                replay.event(step).await;
            }
            "WatchEvents" if step.name.starts_with("event-") => replay.event(step).await,
            _ => replay.call(step).await,
        }
    }
}

#[tokio::test]
async fn answers_as_15_1_9_did() {
    replay("teleport-15.1.9", Options::golden_15(ServerVersion::V15, false), 86).await;
}

#[tokio::test]
async fn answers_as_15_1_9_did_with_the_flags_of_enterprise() {
    replay("teleport-15.1.9/enterprise", Options::golden_15(ServerVersion::V15, true), 33).await;
}

/// The captured lists follow writes by more than a second, so here they need not lag; that they do is in `versions`.
fn prompt(enterprise: bool) -> Options {
    Options { list_lag: Duration::ZERO, ..Options::golden_15(ServerVersion::V15_3, enterprise) }
}

#[tokio::test]
async fn answers_as_15_3_1_did() {
    replay("teleport-15.3.1", prompt(false), 56).await;
}

#[tokio::test]
async fn answers_as_15_3_1_did_with_the_flags_of_enterprise() {
    replay("teleport-15.3.1/enterprise", prompt(true), 14).await;
}
