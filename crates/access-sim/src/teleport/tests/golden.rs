//! Replays the conversation that a real 6.2.1 server had and compares the answers.

use std::collections::BTreeMap;
use std::path::PathBuf;

use prost::Message;
use serde::Deserialize;
use teleport_proto::auth as pb;
use tonic::{Code, Status, Streaming};

use super::*;
use crate::teleport::presets::TCTL;

#[derive(Deserialize)]
struct Step {
    name: String,
    caller: String,
    method: String,
    request_file: Option<String>,
    response_file: Option<String>,
    grpc_code: String,
    grpc_message: Option<String>,
}

fn read(file: &str) -> Vec<u8> {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../vectors/teleport-6.2.1");
    std::fs::read(dir.join(file)).unwrap()
}

/// What the vectors and the simulator cannot have in common is replaced by what they can: times by their
/// distance from the request's creation, revisions by whether there is one.
#[derive(Default)]
struct Normalizer {
    created: BTreeMap<Vec<u8>, i64>,
}

impl Normalizer {
    fn request(&mut self, mut request: pb::AccessRequestV3) -> pb::AccessRequestV3 {
        let metadata = request.metadata.as_mut().unwrap();
        let spec = request.spec.as_mut().unwrap();
        let created = spec.created.take().unwrap();
        self.created.insert(metadata.name.to_vec(), created.seconds);
        for time in [&mut metadata.expires, &mut spec.expires].into_iter().flatten() {
            time.seconds -= created.seconds;
            time.nanos -= created.nanos;
        }
        metadata.id = metadata.id.signum();
        for review in &mut spec.reviews {
            assert!(review.created.take().unwrap().seconds >= created.seconds);
        }
        spec.role_threshold_mapping.sort_by(|a, b| a.key.cmp(&b.key));
        request
    }

    fn requests(&mut self, list: pb::AccessRequests) -> Vec<pb::AccessRequestV3> {
        list.access_requests.into_iter().map(|request| self.request(request)).collect()
    }

    fn plugin_data(&self, list: pb::PluginDataSeq) -> Vec<pb::PluginDataV3> {
        let item = |mut item: pb::PluginDataV3| {
            let metadata = item.metadata.as_mut().unwrap();
            let created = self.created[metadata.name.as_ref()];
            let expires = metadata.expires.as_mut().unwrap();
            expires.seconds -= created;
            expires.nanos = 0;
            metadata.id = metadata.id.signum();
            let entries = &mut item.spec.as_mut().unwrap().entries;
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            for entry in entries {
                entry.value.as_mut().unwrap().data.sort_by(|a, b| a.key.cmp(&b.key));
            }
            item
        };
        list.plugin_data.into_iter().map(item).collect()
    }

    fn event(&mut self, event: pb::Event) -> pb::Event {
        let resource = event.resource.map(|resource| match resource {
            pb::event::Resource::AccessRequest(request) => {
                pb::event::Resource::AccessRequest(self.request(request))
            }
            header => header,
        });
        pb::Event { resource, ..event }
    }
}

/// What an event is about, enough to distinguish the events of one conversation.
fn label(event: &pb::Event) -> String {
    match &event.resource {
        None | Some(pb::event::Resource::WatchStatus(_)) => "init".to_owned(),
        Some(pb::event::Resource::ResourceHeader(_)) => "delete".to_owned(),
        Some(pb::event::Resource::AccessRequest(request)) => {
            let spec = request.spec.as_ref().unwrap();
            format!("{} with {} reviews", spec.state().as_str_name(), spec.reviews.len())
        }
    }
}

struct Replay {
    sim: TeleportSim,
    clients: BTreeMap<String, Client>,
    recorded: Normalizer,
    simulated: Normalizer,
    events: Streaming<pb::Event>,
    unrecorded: Vec<String>,
}

impl Replay {
    async fn client(&mut self, caller: &str) -> Client {
        if !self.clients.contains_key(caller) {
            let user = match caller {
                "alice" => ALICE,
                "bob" => BOB,
                "carol" => CAROL,
                "dave" => DAVE,
                other => other,
            };
            self.clients.insert(caller.to_owned(), client(&self.sim, user).await);
        }
        self.clients[caller].clone()
    }

    /// Makes a request like the one that the vectors show right after its creation.
    async fn create(&mut self, wanted: &pb::AccessRequestV3) {
        let (metadata, spec) = (wanted.metadata.clone().unwrap(), wanted.spec.clone().unwrap());
        let user = String::from_utf8(spec.user.to_vec()).unwrap();
        let request = pb::AccessRequestV3 {
            metadata: Some(pb::Metadata { name: metadata.name, ..pb::Metadata::default() }),
            spec: Some(pb::AccessRequestSpecV3 {
                user: spec.user,
                roles: spec.roles,
                state: pb::RequestState::Pending.into(),
                request_reason: spec.request_reason,
                suggested_reviewers: spec.suggested_reviewers,
                ..pb::AccessRequestSpecV3::default()
            }),
            ..pb::AccessRequestV3::default()
        };
        client(&self.sim, &user).await.create_access_request(request).await.unwrap();
    }

    async fn event(&mut self, step: &Step) {
        let wanted = pb::Event::decode(read(step.response_file.as_ref().unwrap()).as_slice()).unwrap();
        if step.name.starts_with("event-put-pending")
            && let Some(pb::event::Resource::AccessRequest(request)) = &wanted.resource
            && request.spec.as_ref().unwrap().reviews.is_empty()
        {
            self.create(request).await;
        }
        let wanted = self.recorded.event(wanted);
        loop {
            let event = tokio::time::timeout(LIMIT, self.events.message()).await.expect("an event in time");
            let event = self.simulated.event(event.unwrap().unwrap());
            if label(&event) == label(&wanted) {
                assert_eq!(event, wanted, "{}", step.name);
                return;
            }
            self.unrecorded.push(label(&event));
        }
    }

    async fn call(&mut self, step: &Step) {
        let request = read(step.request_file.as_ref().unwrap());
        let request = request.as_slice();
        let response = step.response_file.as_ref().map(|file| read(file)).unwrap_or_default();
        let response = response.as_slice();
        let mut client = self.client(&step.caller).await;
        let (theirs, ours) = (&mut self.recorded, &mut self.simulated);
        let status = match step.method.as_str() {
            "Ping" => client.ping(pb::PingRequest {}).await.map(|answer| {
                assert_eq!(answer.into_inner(), pb::PingResponse::decode(response).unwrap());
            }),
            "GetAccessRequests" => {
                let filter = pb::AccessRequestFilter::decode(request).unwrap();
                client.get_access_requests(filter).await.map(|answer| {
                    let wanted = theirs.requests(pb::AccessRequests::decode(response).unwrap());
                    assert_eq!(ours.requests(answer.into_inner()), wanted, "{}", step.name);
                })
            }
            "GetPluginData" => {
                let filter = pb::PluginDataFilter::decode(request).unwrap();
                client.get_plugin_data(filter).await.map(|answer| {
                    let wanted = theirs.plugin_data(pb::PluginDataSeq::decode(response).unwrap());
                    assert_eq!(ours.plugin_data(answer.into_inner()), wanted, "{}", step.name);
                })
            }
            "UpdatePluginData" => {
                let update = pb::PluginDataUpdateParams::decode(request).unwrap();
                client.update_plugin_data(update).await.map(|_| ())
            }
            "SetAccessRequestState" => {
                let setter = pb::RequestStateSetter::decode(request).unwrap();
                client.set_access_request_state(setter).await.map(|_| ())
            }
            "SubmitAccessReview" => {
                let submission = pb::AccessReviewSubmission::decode(request).unwrap();
                client.submit_access_review(submission).await.map(|answer| {
                    let wanted = theirs.request(pb::AccessRequestV3::decode(response).unwrap());
                    assert_eq!(ours.request(answer.into_inner()), wanted, "{}", step.name);
                })
            }
            "CreateAccessRequest" => {
                let request = pb::AccessRequestV3::decode(request).unwrap();
                client.create_access_request(request).await.map(|_| ())
            }
            "GenerateUserCerts" => {
                let mut wanted = pb::UserCertsRequest::decode(request).unwrap();
                // The vectors' expiry is long past.
                wanted.expires = None;
                client.generate_user_certs(wanted).await.map(|answer| {
                    let (ours, theirs) = (answer.into_inner(), pb::Certs::decode(response).unwrap());
                    for (ours, theirs, start) in [
                        (&ours.ssh, &theirs.ssh, b"ssh-rsa-cert-v01@openssh.com ".as_slice()),
                        (&ours.tls, &theirs.tls, b"-----BEGIN CERTIFICATE-----\n".as_slice()),
                    ] {
                        assert!(ours.starts_with(start) && theirs.starts_with(start));
                    }
                })
            }
            other => panic!("no replay of {other}"),
        };
        assert_status(step, status);
    }
}

fn assert_status(step: &Step, status: Result<(), Status>) {
    let (code, message) = match status {
        Ok(()) => (Code::Ok, None),
        Err(status) => (status.code(), Some(status.message().to_owned())),
    };
    assert_eq!(
        (format!("{code:?}"), message),
        (step.grpc_code.replace("OK", "Ok"), step.grpc_message.clone()),
        "{}",
        step.name
    );
}

#[tokio::test]
async fn answers_as_the_real_server_did() {
    let sim = golden().await;
    let watch = pb::Watch::decode(read("watch.request.bin").as_slice()).unwrap();
    let events = client(&sim, PLUGIN).await.watch_events(watch).await.unwrap().into_inner();
    let mut replay = Replay {
        sim,
        clients: BTreeMap::new(),
        recorded: Normalizer::default(),
        simulated: Normalizer::default(),
        events,
        unrecorded: Vec::new(),
    };
    let steps: Vec<Step> = serde_json::from_slice(&read("manifest.json")).unwrap();
    assert_eq!(steps.len(), 44);
    for step in &steps {
        if step.name == "plugin-data-read-after-delete" {
            // The deletion was made by other means than gRPC, so it is not among the steps.
            let request = replay.sim.requests().pop().unwrap();
            assert_eq!(request.roles, ["prod-a"]);
            replay.sim.delete(TCTL, &request.id).unwrap();
        }
        match step.method.as_str() {
            "WatchEvents" => replay.event(step).await,
            _ => replay.call(step).await,
        }
    }
    // Between the recorded events lie the two changes of a request that was resolved already.
    assert_eq!(replay.unrecorded, ["DENIED with 1 reviews", "DENIED with 2 reviews"]);
}
