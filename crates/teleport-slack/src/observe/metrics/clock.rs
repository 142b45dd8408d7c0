//! Logs, once, that this machine's clock differs from Slack's or Teleport's, and when it no longer does.

use access_core::domain::skew::Offset;
use jiff::SignedDuration;
use tracing::{info, warn};

use super::Metrics;
use crate::observe::skew::{Side, describe};

impl Metrics {
    /// An answer of the other side showed what its clock shows.
    pub fn observe_clock(&self, side: Side, offset: Offset) {
        let skew = offset.least();
        let mut before = None;
        self.health().update(|state| before = state.skews.set(side, skew));
        let was_logged = before.is_some_and(|before| describe(side, before).is_some());
        match describe(side, skew) {
            Some(words) if !was_logged => {
                warn!("{}{}", words[..1].to_uppercase(), &words[1..]);
            }
            None if was_logged => info!("This machine's clock agrees with {}'s again", side.name()),
            _ => {}
        }
    }

    /// This machine's clock was set forward by this much.
    pub fn on_clock_jump(&self, by: SignedDuration) {
        self.health().update(|state| state.skews.shift(by));
    }
}
