//! The client of one auth server: its connection, which all clones share, and the calls that every other file needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{RwLock, RwLockWriteGuard};
use teleport_proto::auth::PingRequest;
use teleport_proto::auth::auth_service_client::AuthServiceClient;
use tokio::sync::watch as latest;
use tonic::transport::Channel;
use tonic::{Response, Status};

use super::address::Destination;
use super::call::Call;
use super::connect::{Dialer, Reach};
use super::denied::AccessDenied;
use super::error::{CallResult, MAX_MESSAGE_BYTES, TeleportError};
use super::identity::Identity;
use super::observer::Observer;
use super::signer::Signer;
use super::timings::CallTimings;

/// The first release whose API is complete enough: major, minor.
const MIN_SERVER_VERSION: (u32, u32) = (6, 1);

/// A client of one auth server. Clones share the connection, which is made on the first call and made
/// again when it is lost.
#[derive(Clone, Debug)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

#[derive(Debug)]
pub(super) struct Shared {
    connection: RwLock<Connection>,
    /// Which of the listing methods the server had, as an index into `requests::LISTINGS`.
    pub(super) list_method: AtomicU8,
    /// Whether the server has only the newer of its services for users.
    pub(super) uses_users_service: AtomicBool,
    /// How often the identity or the address was replaced.
    connection_renewals: latest::Sender<u64>,
    /// The server rejects our identity on every call.
    is_access_denied: AtomicBool,
    /// How often it let us in again.
    readmissions: latest::Sender<u64>,
    timings: CallTimings,
    observer: Arc<dyn Observer>,
}

/// The connection, and what the next one needs.
#[derive(Debug)]
struct Connection {
    dialer: Dialer,
    /// The roles on our certificate.
    roles: Arc<[String]>,
    /// Who had it signed.
    signer: Signer,
    channel: Channel,
}

impl Connection {
    fn open(dialer: Dialer, identity: &Identity) -> Self {
        let channel = dialer.open();
        Self { dialer, roles: identity.roles(), signer: identity.signer().clone(), channel }
    }
}

impl Client {
    /// A client for the server at `destination`, known to it as `identity`. Must be called within a Tokio runtime;
    /// connects on the first call. Reports each call, and what the watcher sees, to `observer`.
    pub fn new(
        destination: impl Into<Destination>,
        identity: &Identity,
        observer: Arc<dyn Observer>,
    ) -> Self {
        Self::with_timings(destination, identity, observer, CallTimings::default())
    }

    /// The same with other limits for calls.
    pub fn with_timings(
        destination: impl Into<Destination>,
        identity: &Identity,
        observer: Arc<dyn Observer>,
        timings: CallTimings,
    ) -> Self {
        Self::with_dialer(Dialer::new(destination, identity, timings), identity, observer)
    }

    fn with_dialer(dialer: Dialer, identity: &Identity, observer: Arc<dyn Observer>) -> Self {
        let shared = Shared {
            timings: dialer.timings(),
            connection: RwLock::new(Connection::open(dialer, identity)),
            list_method: AtomicU8::new(0),
            uses_users_service: AtomicBool::new(false),
            connection_renewals: latest::Sender::new(0),
            is_access_denied: AtomicBool::new(false),
            readmissions: latest::Sender::new(0),
            observer,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Makes every later call, on all clones, with a renewed identity. Calls on their way end on the
    /// connection that they began on; a [`super::watcher::Watcher`] moves to the new one.
    pub fn use_identity(&self, identity: &Identity) {
        let mut connection = self.connection_mut();
        *connection = Connection::open(connection.dialer.with_identity(identity), identity);
        drop(connection);
        self.shared.connection_renewals.send_modify(|count| *count += 1);
    }

    /// The same at another address of the same cluster, or by another way, as [`Client::try_destination`] found it.
    pub fn use_destination(&self, destination: &Destination) {
        let mut connection = self.connection_mut();
        connection.dialer = connection.dialer.with_destination(destination);
        connection.channel = connection.dialer.open();
        drop(connection);
        self.shared.connection_renewals.send_modify(|count| *count += 1);
    }

    /// Makes every later call, on all clones, on a new connection: the present one seems to be dead.
    pub fn reconnect(&self) {
        let mut connection = self.connection_mut();
        connection.channel = connection.dialer.open();
    }

    /// Asks the server whether it lets this identity in, on a connection of its own.
    pub async fn try_identity(&self, identity: &Identity) -> Result<(), TeleportError> {
        self.try_dialer(self.dialer().with_identity(identity), identity).await.map(drop)
    }

    /// Asks the server at another address, or by another way, who it is and whether it lets this identity in, on a connection of its own.
    pub async fn try_destination(
        &self,
        destination: &Destination,
        identity: &Identity,
    ) -> Result<Pong, TeleportError> {
        let dialer = self.dialer().with_destination(destination).with_identity(identity);
        self.try_dialer(dialer, identity).await
    }

    async fn try_dialer(&self, dialer: Dialer, identity: &Identity) -> Result<Pong, TeleportError> {
        Self::with_dialer(dialer, identity, Arc::clone(self.observer())).ping().await
    }

    /// How the auth server is reached, once a call has succeeded. Makes a connection of its own to find out; absent if that
    /// one fails.
    pub async fn reach(&self) -> Option<Reach> {
        self.dialer().reach().await
    }

    /// The forward proxy that carries the connections, if one does, with the setting that names it.
    pub(super) fn forward_proxy(&self) -> Option<String> {
        self.dialer().forward_proxy()
    }

    fn dialer(&self) -> Dialer {
        self.shared.connection.read().dialer.clone()
    }

    pub(super) fn timings(&self) -> &CallTimings {
        &self.shared.timings
    }

    pub(super) fn observer(&self) -> &Arc<dyn Observer> {
        &self.shared.observer
    }

    /// Changes with every [`Client::use_identity`] and [`Client::use_destination`] on any clone; never closed while a clone lives.
    pub fn connection_renewals(&self) -> latest::Receiver<u64> {
        self.shared.connection_renewals.subscribe()
    }

    /// Changes when the server lets the plugin in again after a lock, for instance; what it refused may be tried again.
    pub fn readmissions(&self) -> latest::Receiver<u64> {
        self.shared.readmissions.subscribe()
    }

    /// What the answer to a call says about whether we are let in at all.
    fn record_admission(&self, refusal: Option<&Status>) {
        let is_shut_out = &self.shared.is_access_denied;
        match refusal.map(|status| AccessDenied::classify(status.code(), status.message())) {
            None if is_shut_out.swap(false, Ordering::Relaxed) => {
                self.shared.readmissions.send_modify(|count| *count += 1);
            }
            Some(Some(AccessDenied::Locked | AccessDenied::UserDeleted | AccessDenied::NoCertificate)) => {
                is_shut_out.store(true, Ordering::Relaxed);
            }
            _ => {}
        }
    }

    /// Asks the server who it is. Needs no permission.
    pub async fn ping(&self) -> Result<Pong, TeleportError> {
        let mut rpc = self.rpc();
        let pong = self.run_call(Call::Ping, self.timings().call, rpc.ping(PingRequest {})).await?;
        Ok(Pong {
            cluster_name: pong.cluster_name,
            server_version: pong.server_version,
            enterprise: pong.server_features.is_some_and(|features| features.advanced_access_workflows),
            web_proxy: Some(pong.proxy_public_addr).filter(|addr| !addr.is_empty()),
        })
    }

    /// Fails if the server says that it is too old. It may be another one, or of another release, than when the daemon
    /// started; other errors of the connection do not count here. At most [`CallTimings::liveness`].
    pub(super) async fn check_release(&self) -> Result<(), TeleportError> {
        let mut rpc = self.rpc();
        match self.run_call_raw(Call::Ping, self.timings().liveness, rpc.ping(PingRequest {})).await {
            Ok(Ok(pong)) => check_version(&pong.server_version),
            Ok(Err(_)) | Err(_) => Ok(()),
        }
    }

    /// Fails if the server does not answer on the connection in use, so that the next call makes a new one. Any
    /// answer will do: this checks the connection, not the health of the server. At most [`CallTimings::liveness`].
    pub(super) async fn check_liveness(&self) -> Result<(), TeleportError> {
        let mut rpc = self.rpc();
        let error =
            match self.run_call_raw(Call::Ping, self.timings().liveness, rpc.ping(PingRequest {})).await {
                Ok(Err(status)) if !CallResult::from_status(&status).has_response() => {
                    TeleportError::from_status(Call::Ping, &status)
                }
                Ok(_) => return Ok(()),
                Err(error) => error,
            };
        self.reconnect();
        Err(error)
    }

    /// Runs one call to its end, at most for `limit`.
    pub(super) async fn run_call<T>(
        &self,
        call: Call,
        limit: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<T, TeleportError> {
        let answer = self.run_call_raw(call, limit, answer).await?;
        answer.map_err(|status| TeleportError::from_status(call, &status))
    }

    /// The same for a caller that reads the server's refusals.
    pub(super) async fn run_call_raw<T>(
        &self,
        call: Call,
        limit: Duration,
        answer: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Result<T, Status>, TeleportError> {
        let began = Instant::now();
        let answer = tokio::time::timeout(limit, answer).await;
        let result = answer.as_ref().map_or(CallResult::TIMEOUT, CallResult::from_result);
        self.observer().call_ended(call, result, began.elapsed());
        if let Ok(answer) = &answer {
            self.record_admission(answer.as_ref().err());
        }
        match answer {
            Ok(answer) => Ok(answer.map(Response::into_inner)),
            Err(_) => Err(TeleportError::Deadline { call, limit }),
        }
    }

    pub(super) fn rpc(&self) -> AuthServiceClient<Channel> {
        AuthServiceClient::new(self.channel()).max_decoding_message_size(MAX_MESSAGE_BYTES)
    }

    pub(super) fn roles(&self) -> Arc<[String]> {
        Arc::clone(&self.shared.connection.read().roles)
    }

    pub(super) fn signer(&self) -> Signer {
        self.shared.connection.read().signer.clone()
    }

    pub(super) fn channel(&self) -> Channel {
        self.shared.connection.read().channel.clone()
    }

    fn connection_mut(&self) -> RwLockWriteGuard<'_, Connection> {
        self.shared.connection.write()
    }
}

/// What the server said of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pong {
    /// The cluster's name, as certificates and messages have it.
    pub cluster_name: String,
    /// The server's release, such as `6.2.1` or `18.0.0-dev`.
    pub server_version: String,
    /// The server has access reviews and thresholds (Teleport Enterprise).
    pub enterprise: bool,
    /// The proxy's public address, `host:port`, if the server knows one.
    pub web_proxy: Option<String>,
}

impl Pong {
    /// Whether the server is recent enough (6.1 or later). Pre-releases count as their release.
    pub fn check_version(&self) -> Result<(), TeleportError> {
        check_version(&self.server_version)
    }
}

fn check_version(server: &str) -> Result<(), TeleportError> {
    match parse_version(server) {
        Some(found) if found >= MIN_SERVER_VERSION => Ok(()),
        _ => Err(TeleportError::server_version(server, MIN_SERVER_VERSION)),
    }
}

/// Major and minor of a Teleport version.
pub(super) fn parse_version(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.trim().trim_start_matches('v').split(['.', '-', '+']);
    let major = parts.next()?.parse().ok()?;
    let minor = parts.next()?.parse().ok()?;
    Some((major, minor))
}
