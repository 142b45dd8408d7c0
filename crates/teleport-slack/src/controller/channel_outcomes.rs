//! What each place last answered to posts, as far as it is certain, and what was told and tried there for messages in
//! doubt. What follows from it is `access_core::record::claim`'s; who asks is `in_doubt`.

use std::collections::HashMap;
use std::time::Duration;

use access_core::record::Outcome;
use access_core::record::claim::LastResponses;
use jiff::Timestamp;
use tokio::time::Instant;

/// Between two questions whether a place answers, whoever asks.
const PROBE_INTERVAL: Duration = Duration::from_secs(5);
/// Between two lines about messages in doubt in one place.
const LOG_INTERVAL: Duration = Duration::from_secs(60);
/// A place of which nothing was heard for so long is forgotten: then nothing is certain of it, which delays a message in
/// doubt and doubles none.
const FORGET_AFTER: Duration = Duration::from_secs(3_600);
/// Places remembered at most.
const MAX_CHANNELS: usize = 10_000;

/// The places that were posted to.
#[derive(Debug, Default)]
pub(super) struct ChannelStates(HashMap<String, ChannelState>);

#[derive(Debug)]
struct ChannelState {
    last_responses: LastResponses,
    last_used: Instant,
    probed_at: Option<Instant>,
    logged_at: Option<Instant>,
    /// Messages found in doubt there since the last line, each time that one was.
    unlogged: u32,
}

impl ChannelStates {
    /// What came of a post there that can be written down.
    pub(super) fn on_posted(&mut self, place: &str, outcome: &Outcome) {
        let now = Timestamp::now();
        // A channel given by its name is known by its id from now on.
        let by_id = match outcome {
            Outcome::Posted { channel, .. } if channel.as_str() != place => Some(channel.as_str()),
            Outcome::Posted { .. } | Outcome::Replied { .. } => None,
            _ => return,
        };
        for place in by_id.into_iter().chain([place]) {
            self.entry(place).last_responses.posted_at = Some(now);
        }
    }

    /// A message was refused in so many words.
    pub(super) fn on_refused(&mut self, place: &str) {
        self.entry(place).last_responses.refused_at = Some(Timestamp::now());
    }

    /// What is certain of a place.
    pub(super) fn last_responses(&self, place: &str) -> LastResponses {
        self.0.get(place).map(|place| place.last_responses).unwrap_or_default()
    }

    /// Whether the place may be asked now; then it counts as asked.
    pub(super) fn may_probe(&mut self, place: &str) -> bool {
        let place = self.entry(place);
        let now = Instant::now();
        let may = place.probed_at.is_none_or(|asked| asked + PROBE_INTERVAL <= now);
        if may {
            place.probed_at = Some(now);
        }
        may
    }

    /// Whether it is time to tell of a message in doubt, and of how many since the last time.
    pub(super) fn should_log(&mut self, place: &str) -> Option<u32> {
        let place = self.entry(place);
        let now = Instant::now();
        place.unlogged = place.unlogged.saturating_add(1);
        if place.logged_at.is_some_and(|told| told + LOG_INTERVAL > now) {
            return None;
        }
        place.logged_at = Some(now);
        Some(std::mem::take(&mut place.unlogged))
    }

    fn entry(&mut self, place: &str) -> &mut ChannelState {
        let now = Instant::now();
        if self.0.len() >= MAX_CHANNELS && !self.0.contains_key(place) {
            self.0.retain(|_, place| place.last_used + FORGET_AFTER > now);
            if self.0.len() >= MAX_CHANNELS {
                self.0.clear();
            }
        }
        let answers = LastResponses::default();
        let new = ChannelState {
            last_responses: answers,
            last_used: now,
            probed_at: None,
            logged_at: None,
            unlogged: 0,
        };
        let found = self.0.entry(place.to_owned()).or_insert(new);
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
    fn a_message_that_was_taken_speaks_for_the_channels_name_and_id() {
        let mut places = ChannelStates::default();
        assert_eq!(places.last_responses("team"), LastResponses::default());
        let (key, shown) = (RecipientKey::new("#team"), None);
        let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.1"));
        places.on_posted("team", &Outcome::Posted { key, channel, ts, displayed: shown });
        let answers = ["team", "C1"].map(|place| places.last_responses(place));
        assert!(
            answers[0].posted_at.is_some() && answers[0] == answers[1] && answers[0].refused_at.is_none()
        );
        places.on_refused("C1");
        assert!(
            places.last_responses("C1").refused_at.is_some()
                && places.last_responses("team").refused_at.is_none()
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_asked_and_told_of_now_and_then() {
        let mut places = ChannelStates::default();
        assert_eq!(
            (places.may_probe("C1"), places.may_probe("C1"), places.may_probe("C2")),
            (true, false, true)
        );
        assert_eq!(
            [places.should_log("C1"), places.should_log("C1"), places.should_log("C2")],
            [Some(1), None, Some(1)]
        );
        tokio::time::advance(PROBE_INTERVAL).await;
        assert!(places.may_probe("C1"));
        assert_eq!(places.should_log("C1"), None);
        tokio::time::advance(LOG_INTERVAL).await;
        assert_eq!(places.should_log("C1"), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_forgotten() {
        let mut places = ChannelStates::default();
        for n in 0..3 * MAX_CHANNELS {
            places.on_refused(&format!("C{n}"));
            assert!(places.0.len() <= MAX_CHANNELS);
        }
    }
}
