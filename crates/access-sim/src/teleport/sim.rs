//! The handle to a running simulator: what users and tests do to the cluster, and what they see of it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;

use super::audit::AuditEvent;
use super::call_log::CallLog;
use super::caller::Caller;
use super::certs::{Authorities, CertOptions, Credentials, Signer, Subject};
use super::cluster::Cluster;
use super::creation::new_id;
use super::faults::Faults;
use super::fixture::Fixture;
use super::impersonate::subject;
use super::options::{Options, ServerVersion};
use super::refusal::RpcError;
use super::request::{AccessRequest, Decision, NewRequest, Raw, RequestState, StateChange, Submission};
use super::server;
use super::text::text;
use crate::reserved_addr::ReservedAddr;
use crate::tasks::Tasks;

/// A simulated cluster. Clones share it; when the last one is dropped everything ends.
///
/// What users do works whether or not the server is running, as if through another auth server of the cluster.
#[derive(Clone)]
pub struct TeleportSim(Arc<Inner>);

struct Inner {
    cluster: Arc<Cluster>,
    addr: ReservedAddr,
    version: ServerVersion,
    tls: TlsAcceptor,
    tasks: Tasks,
    listener: Mutex<Option<Tasks>>,
    _stop: DropGuard,
}

impl std::fmt::Debug for TeleportSim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TeleportSim").field("addr", &self.addr()).finish_non_exhaustive()
    }
}

impl TeleportSim {
    /// Starts a cluster and its auth server.
    ///
    /// # Errors
    /// When the port cannot be had or no keys can be made.
    pub async fn start(options: Options) -> io::Result<Self> {
        let addr = ReservedAddr::new(options.listen)?;
        let listener = addr.listen()?;
        let version = options.version;
        let cluster = Arc::new(Cluster::new(options)?);
        let tls = server::tls(&cluster.authorities)?;
        let tasks = Tasks::default();
        tasks.spawn(run_expiry(Arc::clone(&cluster)));
        let _stop = tasks.cancel_on_drop();
        let sim =
            Self(Arc::new(Inner { cluster, addr, version, tls, tasks, listener: Mutex::new(None), _stop }));
        sim.serve(listener);
        Ok(sim)
    }

    /// Where the auth server listens; stays the same over restarts.
    pub fn addr(&self) -> SocketAddr {
        self.0.addr.addr()
    }

    /// Closes every connection and the port. The cluster lives on.
    pub async fn stop(&self) {
        let line = self.listener().take();
        if let Some(line) = line {
            line.stop().await;
            self.0.cluster.changes.bump();
        }
    }

    /// Serves again, on the same port and with the same state; first stops if it runs.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub async fn restart(&self) -> io::Result<()> {
        self.stop().await;
        let listener = self.0.addr.listen()?;
        // After a restart the first list was complete (`vectors/teleport-15-observed.md`, 8).
        self.0.cluster.with(|state| state.refresh_cache());
        self.serve(listener);
        self.0.cluster.changes.bump();
        Ok(())
    }

    /// The release that the server says it is of.
    pub fn release(&self) -> String {
        self.0.cluster.with(|state| state.options.reported_version.clone())
    }

    /// The cluster's authorities, for certificates that [`TeleportSim::credentials`] does not make.
    pub fn authorities(&self) -> &Authorities {
        &self.0.cluster.authorities
    }

    /// What `tctl auth sign --user` would hand out. The user need not exist; then every call is refused.
    ///
    /// # Panics
    /// When the system gives no randomness for a key.
    pub fn credentials(&self, user: &str, options: CertOptions) -> Credentials {
        let (role, traits_json) = self.0.cluster.with(|state| match state.fixture.user(user, state.now) {
            Some(user) => subject(user),
            None => ("unknown".to_owned(), "null".to_owned()),
        });
        let host = self.0.cluster.with(|state| state.host());
        let impersonator = match options.signer {
            Signer::Unnamed => None,
            Signer::AuthHost => Some(host.as_str()),
            Signer::User(name) => Some(name),
        };
        let who = Subject { user, role: &role, traits_json: &traits_json, impersonator };
        self.authorities()
            .client(who, options)
            .expect("keys and certificates of fixed kinds can always be made")
    }

    /// Asks for access, as `tsh request create` does. Returns the request's id.
    ///
    /// # Errors
    /// As the server refuses.
    pub fn request_access(&self, user: &str, new: NewRequest) -> Result<String, RpcError> {
        self.0.cluster.with(|state| {
            let id = new_id(state.now, self.0.version);
            state.create(&Caller::user(user), user, id, new).map(|request| request.id)
        })
    }

    /// Reviews a request, as `tsh request review` does. Returns the request as it then is.
    ///
    /// # Errors
    /// As the server refuses.
    pub fn review(
        &self,
        user: &str,
        id: &str,
        decision: Decision,
        reason: impl Into<Vec<u8>>,
    ) -> Result<AccessRequest, RpcError> {
        let submission = Submission {
            author: String::new(),
            proposed: decision.into(),
            reason: reason.into(),
            roles: Vec::new(),
            assume_start: None,
            by_plugin: false,
            submitted_by: String::new(),
        };
        self.0.cluster.with(|state| state.review(&Caller::user(user), id, submission))
    }

    /// Sets the state, as `tctl request approve` and `deny` do; `tctl` itself is [`super::presets::TCTL`].
    ///
    /// # Errors
    /// As the server refuses.
    pub fn set_state(
        &self,
        user: &str,
        id: &str,
        state: RequestState,
        reason: impl Into<Vec<u8>>,
        delegator: &str,
    ) -> Result<(), RpcError> {
        let change = StateChange {
            state,
            reason: reason.into(),
            delegator: delegator.to_owned(),
            annotations: BTreeMap::new(),
            roles: Vec::new(),
            assume_start: None,
        };
        self.0.cluster.with(|state| state.set_state(&Caller::user(user), id, change))
    }

    /// Deletes a request, as `tctl request rm` does.
    ///
    /// # Errors
    /// As the server refuses.
    pub fn delete(&self, user: &str, id: &str) -> Result<(), RpcError> {
        self.0.cluster.with(|state| state.delete(&Caller::user(user), id))
    }

    /// Moves a request's expiry to now, which the watchers see, and lets it expire; false if there is none.
    pub fn expire_now(&self, id: &str) -> bool {
        self.0.cluster.with(|state| state.expire_early(id))
    }

    /// Promotes a pending request to an access list with that title.
    ///
    /// # Errors
    /// When there is no such pending request.
    pub fn promote(&self, id: &str, title: &str) -> Result<(), RpcError> {
        self.0.cluster.with(|state| state.promote(id, title))
    }

    /// Shows a request with these numbers from now on, which the watchers see; false if there is none.
    pub fn set_raw(&self, id: &str, raw: Raw) -> bool {
        self.0.cluster.with(|state| {
            let Some(request) = state.requests.get(id) else { return false };
            let request = AccessRequest { raw, ..request.clone() };
            state.put(request);
            true
        })
    }

    /// One request as it is stored.
    pub fn request(&self, id: &str) -> Option<AccessRequest> {
        self.0.cluster.with(|state| state.requests.get(id).cloned())
    }

    /// All requests, oldest first.
    pub fn requests(&self) -> Vec<AccessRequest> {
        let mut all: Vec<_> = self.0.cluster.with(|state| state.requests.values().cloned().collect());
        all.sort_by_key(|request| request.created);
        all
    }

    /// What a plugin noted on a request; empty if nothing.
    pub fn plugin_data(&self, id: &str, plugin: &str) -> BTreeMap<String, String> {
        let entry = self.0.cluster.with(|state| state.plugin_data.get(id)?.entries.get(plugin).cloned());
        entry.unwrap_or_default().iter().map(|(key, value)| (text(key), text(value))).collect()
    }

    /// Replaces a plugin's notes past all checks, to plant invalid data or another program's record.
    ///
    /// # Errors
    /// When neither notes nor the request exist.
    pub fn set_plugin_data(
        &self,
        id: &str,
        plugin: &str,
        entry: BTreeMap<Vec<u8>, Vec<u8>>,
    ) -> Result<(), RpcError> {
        self.0.cluster.with(|state| state.plant_plugin_data(id, plugin, entry))
    }

    /// The audit log, oldest first.
    pub fn audit(&self) -> Vec<AuditEvent> {
        self.0.cluster.with(|state| state.audit.iter().cloned().collect())
    }

    /// Users and roles as they are.
    pub fn fixture(&self) -> Fixture {
        self.0.cluster.with(|state| state.fixture.clone())
    }

    /// Says from now on that the server is of another release; it behaves as before.
    pub fn set_server_version(&self, version: &str) {
        self.0.cluster.with(|state| state.options.reported_version = version.to_owned());
    }

    /// Changes users and roles; takes effect with the next call.
    pub fn edit_fixture(&self, edit: impl FnOnce(&mut Fixture)) {
        self.0.cluster.with(|state| {
            edit(&mut state.fixture);
            state.mark_changed();
        });
    }

    /// Changes how long lists and watches lag behind what is stored, for changes from now on.
    pub fn set_list_lag(&self, lag: Duration) {
        self.0.cluster.with(|state| state.set_list_lag(lag));
    }

    /// A counter that grows with every change of anything that this handle shows. Wait on it, then look.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.0.cluster.changes.subscribe()
    }

    /// How many watch streams are live.
    pub fn watchers(&self) -> usize {
        self.0.cluster.watchers.count()
    }

    /// The script of faults.
    pub fn faults(&self) -> &Faults {
        &self.0.cluster.faults
    }

    /// What the server was asked and what it sent.
    pub fn call_log(&self) -> &CallLog {
        &self.0.cluster.call_log
    }

    fn listener(&self) -> MutexGuard<'_, Option<Tasks>> {
        self.0.listener.lock()
    }

    fn serve(&self, listener: TcpListener) {
        let line = self.0.tasks.child();
        let cluster = Arc::clone(&self.0.cluster);
        line.spawn(server::accept(listener, cluster, self.0.tls.clone(), self.0.version, line.clone()));
        *self.listener() = Some(line);
    }
}

/// Clears away expired requests, and lets lists and watches see changes, when their time comes.
async fn run_expiry(cluster: Arc<Cluster>) {
    let mut changes = cluster.changes.subscribe();
    loop {
        changes.borrow_and_update();
        let next = cluster.with(|state| state.next_due());
        let wait = next.map(|next| {
            Duration::try_from(next.duration_since(Timestamp::now() + cluster.clock_offset))
                .unwrap_or_default()
        });
        let sleep = async {
            match wait {
                Some(wait) => tokio::time::sleep(wait).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = sleep => {}
            changed = changes.changed() => if changed.is_err() { return },
        }
    }
}
