//! What the suites demand of the daemon beyond losing nothing and showing nothing wrong.

/// Whether a post of unknown outcome must be settled before it is made again, so that nobody is told twice.
const NO_DOUBLES: bool = false;

/// Whether a second copy of a message counts as a fault. `CHAOS_STRICT` in the environment says yes.
pub(crate) fn no_doubles() -> bool {
    NO_DOUBLES || std::env::var_os("CHAOS_STRICT").is_some()
}

/// Whether daemons that share a cluster share the work, so that a run may have several.
const SEVERAL_REPLICAS: bool = false;

/// Whether runs have two and three daemons too. `CHAOS_STRICT` in the environment says yes.
pub(crate) fn several_replicas() -> bool {
    SEVERAL_REPLICAS || std::env::var_os("CHAOS_STRICT").is_some()
}
