//! From which severity on lines are logged: as configured, or more while an operator looks for something.
//!
//! The daemon's own lines from that severity on; those of its libraries only from warnings on, because their chatter is
//! not the operator's concern.

use std::sync::Arc;

use parking_lot::Mutex;
use tracing::info;
use tracing_subscriber::Registry;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::reload;

use crate::config::Severity;

#[cfg(test)]
mod tests;

/// The crates whose lines follow the configured severity.
const OWN_CRATES: [&str; 6] =
    ["teleport_slack", "slack_client", "teleport_client", "client_base", "access_core", "access_sim"];

/// The target of lines that answer an operator's signal, and of the last line in a place that the log leaves: they are logged
/// whatever the severity.
pub(crate) const ANSWER: &str = "teleport_slack::answer";

/// What a layer asks whether a line is logged.
pub(super) type LevelFilterLayer = reload::Layer<Targets, Registry>;

/// Changes which lines are logged while the daemon runs.
#[derive(Clone, Debug)]
pub struct LogLevel(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    filter: reload::Handle<Targets, Registry>,
    /// The command line asks for each step (`--debug`), whatever the configuration says.
    is_forced: bool,
    level: Mutex<Level>,
}

#[derive(Clone, Copy, Debug)]
struct Level {
    configured: Severity,
    /// An operator asked for each step.
    is_raised: bool,
}

impl LogLevel {
    /// `is_forced`: each step is logged, whatever is configured.
    pub(super) fn new(configured: Severity, is_forced: bool) -> (LevelFilterLayer, Self) {
        let level = Level { configured, is_raised: false };
        let (layer, filter) = reload::Layer::new(targets(level.in_force(is_forced)));
        (layer, Self(Arc::new(Shared { filter, is_forced, level: Mutex::new(level) })))
    }

    /// The configuration has another severity now. If an operator raised the level, that lasts until they restore it, and what
    /// is restored is this severity.
    pub fn configure(&self, severity: Severity) {
        self.change(|level| level.configured = severity);
    }

    /// Logs each step from now on, or again what is configured; and says which in the log. `signal` is what asked for it.
    pub fn toggle_debug(&self, signal: &str) {
        let before = *self.0.level.lock();
        if before.is_raised {
            let configured = before.restored().in_force(self.0.is_forced).name();
            info!(target: ANSWER, "{signal} received: the log level is {configured} again, as configured");
            self.change(|level| level.is_raised = false);
            return;
        }
        if before.in_force(self.0.is_forced) == Severity::Debug {
            info!(target: ANSWER, "{signal} received: the log level is DEBUG already");
            return;
        }
        self.change(|level| level.is_raised = true);
        info!(target: ANSWER, "{signal} received: the log level is DEBUG until another {signal}");
    }

    fn change(&self, change: impl FnOnce(&mut Level)) {
        let mut level = self.0.level.lock();
        change(&mut level);
        // It fails only when the subscriber has gone, and then nothing is logged.
        let _ = self.0.filter.reload(targets(level.in_force(self.0.is_forced)));
    }
}

impl Level {
    fn in_force(self, is_forced: bool) -> Severity {
        if is_forced || self.is_raised { Severity::Debug } else { self.configured }
    }

    fn restored(self) -> Self {
        Self { is_raised: false, ..self }
    }
}

/// Which lines are logged from this severity on.
fn targets(severity: Severity) -> Targets {
    let ours = match severity {
        Severity::Debug => LevelFilter::DEBUG,
        Severity::Info => LevelFilter::INFO,
        Severity::Warn => LevelFilter::WARN,
        Severity::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_targets(OWN_CRATES.map(|target| (target, ours)))
        .with_target(ANSWER, ours.max(LevelFilter::INFO))
        .with_default(ours.min(LevelFilter::WARN))
}
