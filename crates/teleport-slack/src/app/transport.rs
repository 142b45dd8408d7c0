//! How interactions arrive: over Socket Mode, or as callbacks to a listener. One is open at a time, but for the moment in
//! which a reload puts one in the place of another.

use std::net::SocketAddr;
use std::sync::Arc;

use access_core::domain::secret::Secret;
use access_core::interaction::AppInstallation;
use tokio::sync::watch as latest;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::timings::Timings;
use super::token_reloader;
use crate::causes::Cause;
use crate::config::{HttpConfig, ReviewTransport, TokenKind};
use crate::exit::ExitError;
use crate::http::{Listener, ListeningSocket};
use crate::interactions::receiver::InteractionReceiver;
use crate::observe::metrics::Metrics;
use crate::supervise::tasks::Task;
use slack_client::socket_mode::SocketMode;

/// What every transport needs.
#[derive(Clone, Copy)]
pub(crate) struct TransportContext<'a> {
    pub(super) timings: &'a Timings,
    pub(super) slack: &'a slack_client::Client,
    pub(super) metrics: &'a Metrics,
    pub(super) stop: &'a CancellationToken,
}

/// What receives interactions; dropping it ends that in order.
pub(crate) struct Transport {
    config: ReviewTransport,
    /// The app-level token or the signing secret, as configured and as used.
    configured: latest::Sender<Secret>,
    in_use: latest::Sender<Secret>,
    /// Where callbacks arrive.
    socket: Option<ListeningSocket>,
    _until: DropGuard,
}

impl Transport {
    /// Opens what the configuration asks for, in the place of `before`, and returns the tasks that receive.
    ///
    /// # Errors
    /// If the address for callbacks cannot be had.
    pub(super) async fn open(
        context: TransportContext<'_>,
        config: ReviewTransport,
        installation: &AppInstallation,
        receiver: Arc<InteractionReceiver>,
        before: Option<&Self>,
    ) -> Result<(Self, Vec<Task>), ExitError> {
        let until = context.stop.child_token();
        let secret = secret(&config);
        let mut this = Self {
            config: config.clone(),
            configured: latest::Sender::new(secret.clone()),
            in_use: latest::Sender::new(secret.clone()),
            socket: None,
            _until: until.clone().drop_guard(),
        };
        let tasks = match &config {
            ReviewTransport::SocketMode { .. } => {
                this.receive_over_socket_mode(context, installation, receiver, &until)
            }
            ReviewTransport::Http { listener, .. } => {
                this.receive_callbacks(context, listener.clone(), receiver, before, &until).await?
            }
        };
        Ok((this, tasks))
    }

    /// Whether this one can go on under the configuration, perhaps with another secret.
    pub(super) fn serves(&self, config: &ReviewTransport) -> bool {
        match (&self.config, config) {
            (ReviewTransport::SocketMode { .. }, ReviewTransport::SocketMode { .. }) => true,
            (ReviewTransport::Http { listener, .. }, ReviewTransport::Http { listener: new, .. }) => {
                self.socket_at(new.listen_addr).is_some() && listener.tls == new.tls
            }
            _ => false,
        }
    }

    /// The socket, if the configuration calls its address so, or it listens there because port 0 was asked for.
    fn socket_at(&self, address: SocketAddr) -> Option<&ListeningSocket> {
        let socket = self.socket.as_ref()?;
        match &self.config {
            ReviewTransport::Http { listener, .. } => {
                [listener.listen_addr, socket.address()].contains(&address).then_some(socket)
            }
            ReviewTransport::SocketMode { .. } => None,
        }
    }

    /// Where callbacks arrive; `None` over Socket Mode.
    pub(super) fn address(&self) -> Option<SocketAddr> {
        self.socket.as_ref().map(ListeningSocket::address)
    }

    /// Uses the secret of a configuration that this one [serves](Self::serves).
    pub(super) fn adopt(&mut self, config: &ReviewTransport) {
        let secret = secret(config);
        self.in_use.send_if_modified(|current| {
            let is_new = current.expose() != secret.expose();
            if is_new {
                *current = secret.clone();
            }
            is_new
        });
        self.configured.send_replace(secret.clone());
        self.config = config.clone();
    }

    fn receive_over_socket_mode(
        &self,
        context: TransportContext<'_>,
        installation: &AppInstallation,
        receiver: Arc<InteractionReceiver>,
        until: &CancellationToken,
    ) -> Vec<Task> {
        let app_id = installation.app_id.clone();
        let socket = SocketMode::new(
            context.slack.clone(),
            self.in_use.subscribe(),
            app_id,
            context.timings.socket_mode,
        );
        let connections = socket.connections();
        let handler = move |envelope| {
            let receiver = Arc::clone(&receiver);
            async move { receiver.receive_envelope(&envelope).await }
        };
        vec![
            Task::endless("app-level token", until, self.keep_current(TokenKind::App, context)),
            Task::endless(
                "socket mode connections",
                until,
                report_connections(connections, context.metrics.clone()),
            ),
            Task::new("socket mode", until, socket.run(handler, until.clone())),
        ]
    }

    async fn receive_callbacks(
        &mut self,
        context: TransportContext<'_>,
        listener: HttpConfig,
        receiver: Arc<InteractionReceiver>,
        before: Option<&Self>,
        until: &CancellationToken,
    ) -> Result<Vec<Task>, ExitError> {
        let timings = context.timings.http;
        let bound = match before.and_then(|before| before.socket_at(listener.listen_addr)) {
            Some(socket) => Listener::take_over(socket, listener.tls, timings).await,
            None => Listener::bind(listener.listen_addr, listener.tls, timings).await,
        };
        let bound = bound.map_err(|error| ExitError::from_cause(error.cause(), error))?;
        self.socket = Some(bound.socket().map_err(|error| ExitError::from_cause(Cause::Environment, error))?);
        let secret = self.in_use.subscribe();
        let handler = move |headers, body: bytes::Bytes| {
            let (receiver, secret) = (Arc::clone(&receiver), secret.borrow().clone());
            async move { receiver.receive_callback(&secret, &headers, &body) }
        };
        let listening = bound.run(handler, until.clone());
        Ok(vec![
            Task::endless("signing secret", until, self.keep_current(TokenKind::Signing, context)),
            Task::new("callbacks", until, listening),
        ])
    }

    /// Takes up what the secret's file holds.
    fn keep_current(
        &self,
        kind: TokenKind,
        context: TransportContext<'_>,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (configured, in_use) = (self.configured.subscribe(), self.in_use.clone());
        let files = context.timings.secret_files;
        let reloads = context.metrics.health().reload();
        token_reloader::keep_secret_current(kind, configured, in_use, reloads, files)
    }
}

fn secret(config: &ReviewTransport) -> &Secret {
    match config {
        ReviewTransport::SocketMode { app_token } => app_token,
        ReviewTransport::Http { signing_secret, .. } => signing_secret,
    }
}

/// Reports how many connections are open for interactions. Does not end.
async fn report_connections(mut connections: latest::Receiver<usize>, metrics: Metrics) {
    loop {
        metrics.socket_mode_connections(*connections.borrow_and_update());
        if connections.changed().await.is_err() {
            // The connections ended for good, as they do at the stop.
            std::future::pending::<()>().await;
        }
    }
}
