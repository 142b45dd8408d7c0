//! The last certain answer of each destination to posts, and the last probe for its in-doubt messages.
//!
//! `access_core::record::claim` draws the conclusions; `in_doubt` asks.

use std::collections::HashMap;
use std::time::Duration;

use access_core::record::Outcome;
use access_core::record::claim::LastResponses;
use jiff::Timestamp;
use tokio::time::Instant;

use super::timings::ControllerTimings;

/// Destinations remembered at most.
const MAX_CHANNELS: usize = 10_000;

/// The destinations of posts.
#[derive(Debug)]
pub(super) struct ChannelStates {
    channels: HashMap<String, ChannelState>,
    probe_interval: Duration,
    /// A destination unused for this long is forgotten. Then nothing is certain about it, which delays an in-doubt message but
    /// duplicates none.
    forget_after: Duration,
}

#[derive(Debug)]
struct ChannelState {
    last_responses: LastResponses,
    last_used: Instant,
    probed_at: Option<Instant>,
}

impl ChannelStates {
    /// Nothing is known of any destination yet.
    pub(super) fn new(timings: &ControllerTimings) -> Self {
        let ControllerTimings { no_access_probe_interval, forget_channel_after, .. } = *timings;
        Self {
            channels: HashMap::new(),
            probe_interval: no_access_probe_interval,
            forget_after: forget_channel_after,
        }
    }

    /// Remembers the outcome of a post that can be recorded.
    pub(super) fn on_posted(&mut self, destination: &str, outcome: &Outcome) {
        let now = Timestamp::now();
        // A channel configured by name is also remembered by its id.
        let by_id = match outcome {
            Outcome::Posted { channel, .. } if channel.as_str() != destination => Some(channel.as_str()),
            Outcome::Posted { .. } | Outcome::Replied { .. } => None,
            _ => return,
        };
        for destination in by_id.into_iter().chain([destination]) {
            self.entry(destination).last_responses.posted_at = Some(now);
        }
    }

    /// Slack explicitly refused a message.
    pub(super) fn on_refused(&mut self, destination: &str) {
        self.entry(destination).last_responses.refused_at = Some(Timestamp::now());
    }

    /// The last certain answers of a destination.
    pub(super) fn last_responses(&self, destination: &str) -> LastResponses {
        self.channels.get(destination).map(|destination| destination.last_responses).unwrap_or_default()
    }

    /// Whether the destination may be probed now; if so, it counts as probed.
    pub(super) fn may_probe(&mut self, destination: &str) -> bool {
        let interval = self.probe_interval;
        let destination = self.entry(destination);
        let now = Instant::now();
        let may = destination.probed_at.is_none_or(|probed| probed + interval <= now);
        if may {
            destination.probed_at = Some(now);
        }
        may
    }

    fn entry(&mut self, destination: &str) -> &mut ChannelState {
        let now = Instant::now();
        if self.channels.len() >= MAX_CHANNELS && !self.channels.contains_key(destination) {
            let forget_after = self.forget_after;
            self.channels.retain(|_, destination| destination.last_used + forget_after > now);
            if self.channels.len() >= MAX_CHANNELS {
                self.channels.clear();
            }
        }
        let answers = LastResponses::default();
        let new = ChannelState { last_responses: answers, last_used: now, probed_at: None };
        let found = self.channels.entry(destination.to_owned()).or_insert(new);
        found.last_used = now;
        found
    }
}

#[cfg(test)]
mod tests {
    use access_core::domain::ids::{ChannelId, MessageTs};
    use access_core::domain::recipients::RecipientKey;

    use super::*;

    #[test]
    fn an_accepted_message_counts_for_the_channels_name_and_id() {
        let mut states = ChannelStates::new(&ControllerTimings::default());
        assert_eq!(states.last_responses("team"), LastResponses::default());
        let (key, shown) = (RecipientKey::new("#team"), None);
        let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.1"));
        states.on_posted("team", &Outcome::Posted { key, channel, ts, displayed: shown, user: None });
        let answers = ["team", "C1"].map(|destination| states.last_responses(destination));
        assert!(
            answers[0].posted_at.is_some() && answers[0] == answers[1] && answers[0].refused_at.is_none()
        );
        states.on_refused("C1");
        assert!(
            states.last_responses("C1").refused_at.is_some()
                && states.last_responses("team").refused_at.is_none()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn probes_of_a_destination_are_rate_limited() {
        let mut states = ChannelStates::new(&ControllerTimings::default());
        assert_eq!(
            (states.may_probe("C1"), states.may_probe("C1"), states.may_probe("C2")),
            (true, false, true)
        );
        tokio::time::advance(states.probe_interval).await;
        assert!(states.may_probe("C1"));
        assert!(!states.may_probe("C1"));
    }

    #[tokio::test(start_paused = true)]
    async fn destinations_are_forgotten() {
        let mut states = ChannelStates::new(&ControllerTimings::default());
        for n in 0..3 * MAX_CHANNELS {
            states.on_refused(&format!("C{n}"));
            assert!(states.channels.len() <= MAX_CHANNELS);
        }
    }
}
