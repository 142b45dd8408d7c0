//! Says, once, that this machine's clock differs from Slack's or Teleport's, and when it does no more.
//!
//! What an answer tells of the other side's clock is worked out in `access_core::domain::skew`.

use access_core::domain::skew::{Offset, TOLERANCE};
use jiff::SignedDuration;
use tracing::{info, warn};

use super::metrics::Metrics;

/// Whose clock ours is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// By the `Date` of each answer.
    Slack,
    /// By the creation of requests that the open watch tells first; shows only that ours is behind.
    Teleport,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Slack, Self::Teleport];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "Slack",
            Self::Teleport => "Teleport",
        }
    }
}

/// The other clocks, less ours: what each side's last answer told, at the least.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Skews([Option<SignedDuration>; 2]);

impl Skews {
    pub(super) fn of(self, side: Side) -> Option<SignedDuration> {
        self.0[side as usize]
    }

    /// What is wrong, in a sentence for each side.
    pub(super) fn warnings(self) -> impl Iterator<Item = String> {
        Side::ALL.into_iter().filter_map(move |side| describe(side, self.of(side)?))
    }

    fn set(&mut self, side: Side, skew: SignedDuration) -> Option<SignedDuration> {
        self.0[side as usize].replace(skew)
    }

    /// Our clock was set by so much.
    pub(super) fn shift(&mut self, by: SignedDuration) {
        for skew in self.0.iter_mut().flatten() {
            *skew = skew.saturating_sub(by);
        }
    }
}

/// The sentence, if there is something to say.
fn describe(side: Side, skew: SignedDuration) -> Option<String> {
    if skew.abs() <= TOLERANCE {
        return None;
    }
    let (seconds, way) =
        (skew.as_secs().unsigned_abs(), if skew.is_negative() { "ahead of" } else { "behind" });
    Some(format!(
        "this machine's clock is {seconds} s {way} {}'s; set it, and keep it set by NTP (times in messages, signatures and certificates depend on it)",
        side.name()
    ))
}

impl Metrics {
    /// What an answer of the other side told of its clock.
    pub fn observe_clock(&self, side: Side, offset: Offset) {
        let skew = offset.least();
        let mut before = None;
        self.health().update(|state| before = state.skews.set(side, skew));
        let was_told = before.is_some_and(|before| describe(side, before).is_some());
        match describe(side, skew) {
            Some(words) if !was_told => {
                warn!("{}{}", words[..1].to_uppercase(), &words[1..]);
            }
            None if was_told => info!("This machine's clock agrees with {}'s again", side.name()),
            _ => {}
        }
    }

    /// This machine's clock was set, forward by so much.
    pub fn on_clock_jump(&self, by: SignedDuration) {
        self.health().update(|state| state.skews.shift(by));
    }
}
