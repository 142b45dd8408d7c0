//! What each place last answered to posts, as far as it is certain, and what was told and tried there for messages in
//! doubt. What follows from it is `access_core::claim`'s; who asks is `in_doubt`.

use std::collections::HashMap;
use std::time::Duration;

use access_core::claim::Answers;
use access_core::record::Outcome;
use jiff::Timestamp;
use tokio::time::Instant;

/// Between two questions whether a place answers, whoever asks.
const REST: Duration = Duration::from_secs(5);
/// Between two lines about messages in doubt in one place.
const SILENCE: Duration = Duration::from_secs(60);
/// A place of which nothing was heard for so long is forgotten: then nothing is certain of it, which delays a message in
/// doubt and doubles none.
const KEPT: Duration = Duration::from_secs(3_600);
/// Places remembered at most.
const MAX_PLACES: usize = 10_000;

/// The places that were posted to.
#[derive(Debug, Default)]
pub(super) struct Places(HashMap<String, Place>);

#[derive(Debug)]
struct Place {
    answers: Answers,
    heard: Instant,
    asked: Option<Instant>,
    told: Option<Instant>,
    /// Messages found in doubt there since the last line, each time that one was.
    untold: u32,
}

impl Places {
    /// What came of a post there that can be written down.
    pub(super) fn took(&mut self, place: &str, outcome: &Outcome) {
        let now = Timestamp::now();
        // A channel given by its name is known by its id from now on.
        let by_id = match outcome {
            Outcome::Posted { channel, .. } if channel.as_str() != place => Some(channel.as_str()),
            Outcome::Posted { .. } | Outcome::Replied { .. } => None,
            _ => return,
        };
        for place in by_id.into_iter().chain([place]) {
            self.at(place).answers.posted = Some(now);
        }
    }

    /// A message was refused in so many words.
    pub(super) fn refused(&mut self, place: &str) {
        self.at(place).answers.refused = Some(Timestamp::now());
    }

    /// What is certain of a place.
    pub(super) fn answers(&self, place: &str) -> Answers {
        self.0.get(place).map(|place| place.answers).unwrap_or_default()
    }

    /// Whether the place may be asked now; then it counts as asked.
    pub(super) fn may_ask(&mut self, place: &str) -> bool {
        let place = self.at(place);
        let now = Instant::now();
        let may = place.asked.is_none_or(|asked| asked + REST <= now);
        if may {
            place.asked = Some(now);
        }
        may
    }

    /// Whether it is time to tell of a message in doubt, and of how many since the last time.
    pub(super) fn tell(&mut self, place: &str) -> Option<u32> {
        let place = self.at(place);
        let now = Instant::now();
        place.untold = place.untold.saturating_add(1);
        if place.told.is_some_and(|told| told + SILENCE > now) {
            return None;
        }
        place.told = Some(now);
        Some(std::mem::take(&mut place.untold))
    }

    fn at(&mut self, place: &str) -> &mut Place {
        let now = Instant::now();
        if self.0.len() >= MAX_PLACES && !self.0.contains_key(place) {
            self.0.retain(|_, place| place.heard + KEPT > now);
            if self.0.len() >= MAX_PLACES {
                self.0.clear();
            }
        }
        let answers = Answers::default();
        let new = Place { answers, heard: now, asked: None, told: None, untold: 0 };
        let found = self.0.entry(place.to_owned()).or_insert(new);
        found.heard = now;
        found
    }
}

#[cfg(test)]
mod tests {
    use access_core::ids::{ChannelId, MessageTs};
    use access_core::recipients::RecipientKey;

    use super::*;

    #[test]
    fn a_message_that_was_taken_speaks_for_the_channels_name_and_id() {
        let mut places = Places::default();
        assert_eq!(places.answers("team"), Answers::default());
        let (key, shown) = (RecipientKey::new("#team"), None);
        let (channel, ts) = (ChannelId::new("C1"), MessageTs::new("1.1"));
        places.took("team", &Outcome::Posted { key, channel, ts, shown });
        let answers = ["team", "C1"].map(|place| places.answers(place));
        assert!(answers[0].posted.is_some() && answers[0] == answers[1] && answers[0].refused.is_none());
        places.refused("C1");
        assert!(places.answers("C1").refused.is_some() && places.answers("team").refused.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_place_is_asked_and_told_of_now_and_then() {
        let mut places = Places::default();
        assert_eq!((places.may_ask("C1"), places.may_ask("C1"), places.may_ask("C2")), (true, false, true));
        assert_eq!([places.tell("C1"), places.tell("C1"), places.tell("C2")], [Some(1), None, Some(1)]);
        tokio::time::advance(REST).await;
        assert!(places.may_ask("C1"));
        assert_eq!(places.tell("C1"), None);
        tokio::time::advance(SILENCE).await;
        assert_eq!(places.tell("C1"), Some(3));
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_forgotten() {
        let mut places = Places::default();
        for n in 0..3 * MAX_PLACES {
            places.refused(&format!("C{n}"));
            assert!(places.0.len() <= MAX_PLACES);
        }
    }
}
