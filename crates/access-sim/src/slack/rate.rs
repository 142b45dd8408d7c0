//! Slack's rate limits: a bucket per channel for posting, a one-minute window per method for the rest.
//!
//! Pure arithmetic over a given instant; the caller decides what a refusal looks like on the wire. Slack keeps
//! its burst sizes secret and promises only minima, so the minima are enforced exactly.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use tokio::time::Instant;

const WINDOW: Duration = Duration::from_secs(60);

/// How strict the simulator is. Switch it off by giving the simulator `None`.
#[derive(Debug, Clone, Copy)]
pub struct RateLimits {
    /// How many messages a channel takes at once after a rest.
    pub channel_burst: u32,
    /// The time after which a channel takes one more message.
    pub channel_interval: Duration,
}

impl Default for RateLimits {
    fn default() -> Self {
        // One message a second is Slack's figure; the burst is ours, so that tests pass briskly.
        RateLimits { channel_burst: 5, channel_interval: Duration::from_secs(1) }
    }
}

/// Slack's classes of methods, by calls a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tier {
    Two,
    Three,
    Four,
    /// "Hundreds a minute", also the workspace-wide cap on posting.
    Special,
}

impl Tier {
    fn calls_a_minute(self) -> usize {
        match self {
            Tier::Two => 20,
            Tier::Three => 50,
            Tier::Four => 100,
            Tier::Special => 300,
        }
    }
}

/// The clocks of one app in one workspace. Its size is bounded by the methods and channels that exist.
pub(super) struct RateLimiter {
    limits: Option<RateLimits>,
    methods: HashMap<&'static str, VecDeque<Instant>>,
    /// When each channel's bucket will be full again.
    channels: HashMap<String, Instant>,
}

impl RateLimiter {
    pub(super) fn new(limits: Option<RateLimits>) -> Self {
        RateLimiter { limits, methods: HashMap::new(), channels: HashMap::new() }
    }

    /// Counts a call of `method`, or says how long to wait. Refused calls are not counted.
    pub(super) fn admit_call(
        &mut self,
        method: &'static str,
        tier: Tier,
        now: Instant,
    ) -> Result<(), Duration> {
        if self.limits.is_none() {
            return Ok(());
        }
        let recent = self.methods.entry(method).or_default();
        while recent.front().is_some_and(|at| now.duration_since(*at) >= WINDOW) {
            recent.pop_front();
        }
        match recent.front() {
            Some(oldest) if recent.len() >= tier.calls_a_minute() => {
                Err(WINDOW.saturating_sub(now.duration_since(*oldest)))
            }
            _ => {
                recent.push_back(now);
                Ok(())
            }
        }
    }

    /// Counts a message into `channel`, or says how long to wait.
    pub(super) fn admit_message(&mut self, channel: &str, now: Instant) -> Result<(), Duration> {
        let Some(limits) = self.limits else { return Ok(()) };
        // The bucket as one instant: it is full when that instant has passed, and each message moves it by one
        // interval; the burst is how far it may lie ahead.
        let full_at = self.channels.get(channel).copied().unwrap_or(now).max(now);
        let after = full_at + limits.channel_interval;
        let allowed = limits.channel_interval.saturating_mul(limits.channel_burst.max(1));
        let ahead = after.duration_since(now);
        if ahead > allowed {
            return Err(ahead - allowed);
        }
        self.channels.insert(channel.to_owned(), after);
        Ok(())
    }
}

/// What `Retry-After` says: whole seconds, at least one.
pub(super) fn retry_after_seconds(wait: Duration) -> u64 {
    wait.as_secs() + u64::from(wait.subsec_nanos() > 0 || wait.is_zero())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_channel_takes_a_burst_and_then_one_message_a_second() {
        let mut limiter = RateLimiter::new(Some(RateLimits::default()));
        let start = Instant::now();
        for _ in 0..5 {
            assert_eq!(limiter.admit_message("C1", start), Ok(()));
        }
        assert_eq!(limiter.admit_message("C1", start), Err(Duration::from_secs(1)));
        assert_eq!(limiter.admit_message("C2", start), Ok(()), "channels do not share a bucket");
        let later = start + Duration::from_millis(1_000);
        assert_eq!(limiter.admit_message("C1", later), Ok(()));
        assert!(limiter.admit_message("C1", later).is_err());
        let rested = start + Duration::from_secs(60);
        for _ in 0..5 {
            assert_eq!(limiter.admit_message("C1", rested), Ok(()));
        }
        assert!(limiter.admit_message("C1", rested).is_err());
    }

    #[test]
    fn a_method_has_its_calls_a_minute_and_not_one_more() {
        let mut limiter = RateLimiter::new(Some(RateLimits::default()));
        let start = Instant::now();
        for call in 0..50 {
            let at = start + Duration::from_millis(call * 100);
            assert_eq!(limiter.admit_call("chat.update", Tier::Three, at), Ok(()));
        }
        let refused = limiter.admit_call("chat.update", Tier::Three, start + Duration::from_secs(10));
        assert_eq!(refused, Err(Duration::from_secs(50)));
        assert_eq!(limiter.admit_call("users.info", Tier::Four, start), Ok(()));
        assert_eq!(limiter.admit_call("chat.update", Tier::Three, start + Duration::from_secs(60)), Ok(()));
    }

    #[test]
    fn switched_off_admits_everything() {
        let mut limiter = RateLimiter::new(None);
        let now = Instant::now();
        for _ in 0..1_000 {
            assert_eq!(limiter.admit_call("conversations.list", Tier::Two, now), Ok(()));
            assert_eq!(limiter.admit_message("C1", now), Ok(()));
        }
    }

    #[test]
    fn retry_after_is_rounded_up() {
        assert_eq!(retry_after_seconds(Duration::from_millis(1)), 1);
        assert_eq!(retry_after_seconds(Duration::from_millis(1_000)), 1);
        assert_eq!(retry_after_seconds(Duration::from_millis(1_001)), 2);
        assert_eq!(retry_after_seconds(Duration::ZERO), 1);
    }
}
