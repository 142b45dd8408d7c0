//! The stream of changes to access requests.
//!
//! It has no memory: it does not report what happened before it was opened, so a list has to follow its opening.
//! `watcher.rs` does that and opens it again when it ends.

use access_core::domain::ids::RequestId;
use access_core::domain::request::AccessRequest;
use bytes::Bytes;
use teleport_proto::auth::event::Resource;
use teleport_proto::auth::{self as wire, Operation, WatchKind};
use tonic::Streaming;

use super::client::Client;
use super::convert;
use super::error::{Call, TeleportError};

/// Teleport's name for the kind of resource that we follow.
pub(super) const ACCESS_REQUEST: &str = "access_request";

/// A change to an access request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// It was made or changed, and now is so.
    Put(Box<AccessRequest>),
    /// It was deleted or expired.
    Delete(RequestId),
}

impl Event {
    /// Which request it is about.
    pub fn id(&self) -> &RequestId {
        match self {
            Self::Put(request) => &request.id,
            Self::Delete(id) => id,
        }
    }
}

/// An open stream of changes. Dropping it closes it.
#[derive(Debug)]
pub struct EventStream {
    stream: Streaming<wire::Event>,
}

impl Client {
    /// Opens the stream; it reports every change from now on. At most 30 s.
    pub async fn watch(&self) -> Result<EventStream, TeleportError> {
        // Without a filter: one on the state would swallow the very events that resolve a request.
        let kind = WatchKind { kind: ACCESS_REQUEST.to_owned(), ..WatchKind::default() };
        let mut rpc = self.rpc();
        let opening = async {
            let mut stream = rpc
                .watch_events(wire::Watch { kinds: vec![kind], ..wire::Watch::default() })
                .await?
                .into_inner();
            let first = stream.message().await?;
            Ok(tonic::Response::new((stream, first)))
        };
        match self.run_call(Call::WatchEvents, self.timings().watch, opening).await? {
            (_, None) => Err(TeleportError::WatchEnded),
            (stream, Some(first)) if first.r#type == Operation::Init as i32 => Ok(EventStream { stream }),
            (_, Some(_)) => Err(invalid_response("a stream of events that does not begin with INIT")),
        }
    }
}

impl EventStream {
    /// The next change; `None` when the server ends the stream. Waits without limit: `watcher.rs` sees to it that
    /// the connection lives. An event that cannot be understood is an error, never
    /// skipped: open a new watch and list.
    pub async fn next(&mut self) -> Result<Option<Event>, TeleportError> {
        loop {
            let message = self.stream.message().await;
            match message.map_err(|status| TeleportError::from_status(Call::WatchEvents, &status))? {
                None => return Ok(None),
                Some(message) => {
                    if let Some(event) = event(message)? {
                        return Ok(Some(event));
                    }
                }
            }
        }
    }
}

/// What a message means to us; `None` for other kinds of resource and of operation.
fn event(message: wire::Event) -> Result<Option<Event>, TeleportError> {
    match (Operation::try_from(message.r#type), message.resource) {
        (Ok(Operation::Put), Some(Resource::AccessRequest(request))) => {
            if request.spec.as_ref().is_some_and(|spec| spec.dry_run) {
                return Ok(None);
            }
            let request = convert::access_request(request)
                .ok_or_else(|| invalid_response("a changed access request without a name"))?;
            Ok(Some(Event::Put(Box::new(request))))
        }
        (Ok(Operation::Delete), Some(Resource::ResourceHeader(header))) if header.kind == ACCESS_REQUEST => {
            deleted(header.metadata).map(Some)
        }
        (Ok(Operation::Delete), Some(Resource::AccessRequest(request))) => {
            deleted(request.metadata).map(Some)
        }
        _ => Ok(None),
    }
}

fn deleted(metadata: Option<wire::Metadata>) -> Result<Event, TeleportError> {
    let name: Bytes = metadata.unwrap_or_default().name;
    if name.is_empty() {
        return Err(invalid_response("a deleted access request without a name"));
    }
    Ok(Event::Delete(RequestId::new(convert::text(&name))))
}

fn invalid_response(what: &'static str) -> TeleportError {
    TeleportError::InvalidResponse { call: Call::WatchEvents, what }
}
