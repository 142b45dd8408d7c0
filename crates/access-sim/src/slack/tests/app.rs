//! An app that listens for interactions: it keeps what it gets and answers as the test says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Bytes as Body;
use axum::extract::{DefaultBodyLimit, State};
use axum::response::IntoResponse;
use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;

use super::super::interactive::signature::sign;
use crate::tasks::Tasks;

#[derive(Debug, Clone)]
pub(super) struct ReceivedRequest {
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
}

impl ReceivedRequest {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    pub(super) fn payload(&self) -> Value {
        let mut fields = form_urlencoded::parse(&self.body);
        let (name, payload) = fields.next().unwrap();
        assert_eq!((name.as_ref(), fields.next()), ("payload", None));
        serde_json::from_str(&payload).unwrap()
    }

    /// Whether the signature is the one that `secret` makes.
    pub(super) fn is_signed_by(&self, secret: &str) -> bool {
        let timestamp = self.header("x-slack-request-timestamp").unwrap_or_default();
        self.header("x-slack-signature") == Some(&sign(secret, timestamp, &self.body))
    }
}

#[derive(Clone)]
struct Answer {
    status: u16,
    body: String,
    pause: Duration,
}

#[derive(Clone)]
struct Inner {
    received: Arc<Mutex<Vec<ReceivedRequest>>>,
    answer: Arc<Mutex<Answer>>,
}

pub(super) struct App {
    inner: Inner,
    pub(super) addr: SocketAddr,
    _stop: DropGuard,
}

impl App {
    pub(super) async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (app, tasks, router) = App::unserved(addr);
        tasks.spawn(async move { axum::serve(listener, router).await.unwrap() });
        app
    }

    /// An app whose router the caller serves.
    pub(super) fn unserved(addr: SocketAddr) -> (Self, Tasks, Router) {
        let answer = Answer { status: 200, body: String::new(), pause: Duration::ZERO };
        let inner = Inner { received: Arc::default(), answer: Arc::new(Mutex::new(answer)) };
        let router = Router::new().fallback(receive).with_state(inner.clone());
        let router = router.layer(DefaultBodyLimit::disable());
        let tasks = Tasks::default();
        (App { inner, addr, _stop: tasks.cancel_on_drop() }, tasks, router)
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/slack/interactions", self.addr)
    }

    pub(super) fn respond_with(&self, status: u16, body: &str) {
        let answer = Answer { status, body: body.to_owned(), pause: Duration::ZERO };
        *self.inner.answer.lock() = answer;
    }

    pub(super) fn respond_after(&self, pause: Duration) {
        self.inner.answer.lock().pause = pause;
    }

    pub(super) fn received(&self) -> Vec<ReceivedRequest> {
        self.inner.received.lock().clone()
    }

    pub(super) fn last(&self) -> ReceivedRequest {
        self.received().pop().expect("something was heard")
    }
}

async fn receive(State(inner): State<Inner>, headers: HeaderMap, body: Body) -> impl IntoResponse {
    inner.received.lock().push(ReceivedRequest { headers, body });
    let answer = inner.answer.lock().clone();
    tokio::time::sleep(answer.pause).await;
    (StatusCode::from_u16(answer.status).unwrap(), answer.body)
}
