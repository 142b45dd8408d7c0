//! How long what was read for verdicts counts, and how often to look what Teleport allows.

use std::time::Duration;

/// The waits of deciding in Slack; `app::timings` checks them with all others.
#[derive(Clone, Copy, Debug)]
pub struct ReviewTimings {
    /// How often to look whether a missing right to decide was granted.
    pub permission_poll: Duration,
    /// How often to check again what this Teleport takes: a server may be upgraded, a role changed.
    pub support_check: Duration,
    /// How long one such check may take; the last result stands if it takes longer.
    pub support_timeout: Duration,
    /// How long reads for a verdict may take; after that nothing is decided.
    pub read_timeout: Duration,
    /// Before a check again for what is not there yet: a decision that Teleport did not confirm, or a message that was just
    /// posted.
    pub recheck: Duration,
    /// How long a read of a voter counts as current, from the start of the call; also for user groups.
    pub voters_max_age: Duration,
    /// A user group that was asked for within this time is not asked for again. A verdict may be made and applied until
    /// [`Self::voters_max_age`] after that, so it is less.
    pub groups_max_age: Duration,
    /// The maximum age of a listing of Teleport's users that finds a user.
    pub users_max_age: Duration,
    /// The maximum age of one that finds no user, so that external users cause at most one listing in this time.
    pub no_user_max_age: Duration,
}

impl Default for ReviewTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            permission_poll: seconds(15),
            support_check: seconds(600),
            support_timeout: seconds(10),
            read_timeout: seconds(10),
            recheck: Duration::from_millis(500),
            voters_max_age: seconds(10),
            groups_max_age: seconds(8),
            users_max_age: seconds(60),
            no_user_max_age: seconds(5),
        }
    }
}
