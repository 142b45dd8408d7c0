//! How far this machine's clock is from Slack's and Teleport's, and the sentence about it.
//!
//! `access_core::domain::skew` computes from an answer what the other side's clock shows; `metrics/events.rs` logs it.

use access_core::domain::skew::TOLERANCE;
use jiff::SignedDuration;

/// Whose clock ours is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// By the `Date` of each answer.
    Slack,
    /// By the creation time of requests that the open watch sends first; shows only that ours is behind.
    Teleport,
}

impl Side {
    pub const ALL: [Self; 2] = [Self::Slack, Self::Teleport];

    pub fn name(self) -> &'static str {
        match self {
            Self::Slack => "Slack",
            Self::Teleport => "Teleport",
        }
    }

    /// Its name among the metrics.
    pub(super) fn label(self) -> &'static str {
        match self {
            Self::Slack => "slack",
            Self::Teleport => "teleport",
        }
    }
}

/// The least difference to each other clock that the side's last answer shows.
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

    pub(super) fn set(&mut self, side: Side, skew: SignedDuration) -> Option<SignedDuration> {
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
pub(crate) fn describe(side: Side, skew: SignedDuration) -> Option<String> {
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
