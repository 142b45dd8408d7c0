//! When the daemon reports to the service manager.

use std::time::Duration;

/// The times of reports; `app::timings` checks them with all others.
#[derive(Clone, Copy, Debug)]
pub struct ServiceTimings {
    /// The start is over at the latest then, whatever the daemon still waits for: a manager that waits for it holds up a
    /// boot or an installation.
    pub ready_at_latest: Duration,
    /// How much longer the start may take, each time that the daemon says so.
    pub extension: Duration,
    /// How often the daemon looks whether anything is new.
    pub look: Duration,
    /// The same until the start is over, because `systemctl start` waits for it.
    pub look_at_start: Duration,
    /// The daemon warns of a watchdog that waits for less: a busy machine may take several times as long as the controller
    /// needs to go round.
    pub shortest_watchdog: Duration,
}

impl Default for ServiceTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            ready_at_latest: seconds(15),
            extension: seconds(10),
            look: seconds(1),
            look_at_start: Duration::from_millis(100),
            shortest_watchdog: seconds(10),
        }
    }
}
