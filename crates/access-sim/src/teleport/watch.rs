//! `WatchEvents`: who may watch what. The streams themselves are in `watchers`.

use teleport_proto::auth as pb;

use super::caller::Caller;
use super::options::ServerVersion;
use super::refusal::RpcError;
use super::rules::ACCESS_REQUEST;
use super::state::State;
use super::watchers::{Filter, GrantedWatch};
use super::wire;

/// Kinds that the auth server's cache can watch (observed on 15.1.9); only those of access requests
/// have events here. Not all kinds that a real server has.
const WATCHABLE: [&str; 5] = [ACCESS_REQUEST, "user", "role", "access_list", "user_login_state"];
/// Not to be watched on 15.1.9 and 15.3.1 (`watch-rules`), and on 18 it is.
const MONITORING_RULE: &str = "access_monitoring_rule";

impl State {
    /// Judges a watch.
    ///
    /// From 15.1.9 on INIT names the kinds, and with partial success those without a right or unknown to the
    /// server are left out (`event-init`, `watch-two-kinds`, `watch-two-kinds-partial`,
    /// `watch-none-granted-partial`, `watch-rules-and-requests`).
    pub(super) fn grant_watch(&self, caller: &Caller, watch: pb::Watch) -> Result<GrantedWatch, RpcError> {
        self.user_record(caller)?;
        if watch.kinds.is_empty() {
            return Err(RpcError::denied("can't setup global watch"));
        }
        let known = self.options.version >= ServerVersion::V15;
        let partial = known && watch.allow_partial_success;
        let mut kinds = Vec::new();
        for kind in watch.kinds {
            if !known && kind.kind != ACCESS_REQUEST {
                return Err(RpcError::denied(format!("not authorized to watch {:?} events", kind.kind)));
            }
            match self.may_watch(caller, &kind) {
                Ok(()) => kinds.push(kind),
                Err(refusal) if !partial => return Err(refusal),
                Err(_) => {}
            }
        }
        if kinds.is_empty() {
            return Err(RpcError::bad_parameter("none of the requested kinds can be watched"));
        }
        let watchable = |kind: &pb::WatchKind| {
            WATCHABLE.contains(&kind.kind.as_str())
                || (kind.kind == MONITORING_RULE && self.options.version == ServerVersion::V18)
        };
        if partial {
            kinds.retain(watchable);
            if kinds.is_empty() {
                let message = "cache \"auth\" does not support any of the requested resources";
                return Err(RpcError::bad_parameter(message));
            }
        }
        if let Some(other) = kinds.iter().find(|kind| !watchable(kind)) {
            let message = format!("cache \"auth\" does not support watching resource {:?}", other.kind);
            return Err(RpcError::bad_parameter(message));
        }
        let requests = kinds.iter().filter(|kind| kind.kind == ACCESS_REQUEST);
        let filters = requests.map(Filter::parse).collect::<Result<Vec<_>, _>>()?;
        let init = if known { wire::init_event(kinds) } else { pb::Event::default() };
        Ok(GrantedWatch { filters, init })
    }

    /// One's own requests may be watched without a right.
    fn may_watch(&self, caller: &Caller, kind: &pb::WatchKind) -> Result<(), RpcError> {
        let own = |entry: &pb::StringEntry| {
            entry.key == "user" && std::str::from_utf8(&entry.value).is_ok_and(|user| caller.is(user))
        };
        if kind.kind == ACCESS_REQUEST && kind.filter.iter().any(own) {
            return Ok(());
        }
        self.require(caller, &[&kind.kind], "read")
    }
}
