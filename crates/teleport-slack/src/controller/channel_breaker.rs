//! Channels that refuse every message until a user changes something in Slack. One operation at a time probes such a
//! channel, and the others wait for its result.
//!
//! `sender` knows which refusals concern the channel, and how long the waits are. This file has no clock: `now` is an
//! argument.

use std::collections::HashMap;
use std::time::Duration;

use access_core::domain::ids::RequestId;
use access_core::record::Operation;
use tokio::time::Instant;

use super::timings::ControllerTimings;

/// The channels that refuse.
#[derive(Debug)]
pub(super) struct ChannelBreaker {
    channels: HashMap<String, Circuit>,
    probe_interval: Duration,
    stagger: Duration,
    /// A channel without a probe for this long after its last wait is forgotten.
    forget_after: Duration,
}

/// A channel that refuses.
#[derive(Debug)]
struct Circuit {
    /// When it was last probed.
    last_attempt: Instant,
    /// How often it refused in a row.
    failures: u32,
    /// When to probe it again.
    next_attempt: Instant,
    /// The operation that probes it now.
    probing: Option<(RequestId, Operation)>,
}

/// The open circuit of a channel, for those who only look.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenCircuit {
    /// The channel, as the messages to it name it, and the kind of message that it refuses.
    pub scope: String,
    /// How often it refused in a row.
    pub failures: u32,
    /// When it refused or was probed last.
    pub last_attempt: Instant,
    /// When it is probed again.
    pub next_attempt: Instant,
}

impl ChannelBreaker {
    /// No channel has refused yet.
    pub(super) fn new(timings: &ControllerTimings) -> Self {
        Self {
            channels: HashMap::new(),
            probe_interval: timings.refused_probe_interval,
            stagger: timings.refused_stagger,
            forget_after: timings.forget_channel_after,
        }
    }

    /// `None` if the operation may run, as the only one for this channel; else how long it must wait.
    pub(super) fn required_wait(
        &mut self,
        channel: &str,
        id: &RequestId,
        operation: &Operation,
        now: Instant,
    ) -> Option<Duration> {
        let circuit = self.channels.get_mut(channel)?;
        let prober = (id.clone(), operation.clone());
        if circuit.probing.as_ref() == Some(&prober) {
            return None;
        }
        let probe_allowed_at = circuit.last_attempt + self.probe_interval;
        if now < probe_allowed_at {
            return Some(circuit.next_attempt.max(probe_allowed_at) + self.stagger - now);
        }
        // A new operation, too: a user who fixed the channel and makes a request sees at once that it helped.
        circuit.probing = Some(prober);
        circuit.last_attempt = now;
        None
    }

    /// The channel refused. `delay` gives the wait after this many failures in a row. Returns the wait of this operation.
    pub(super) fn on_refused(
        &mut self,
        channel: &str,
        now: Instant,
        delay: impl FnOnce(u32) -> Duration,
    ) -> Duration {
        let forget_after = self.forget_after;
        self.channels.retain(|_, circuit| circuit.next_attempt + forget_after > now);
        let failures = match self.channels.get(channel) {
            // It was in flight already when the channel first refused.
            Some(circuit) if circuit.probing.is_none() && now < circuit.next_attempt => {
                return circuit.next_attempt + self.stagger - now;
            }
            Some(circuit) => circuit.failures.saturating_add(1),
            None => 1,
        };
        let wait = delay(failures);
        self.channels.insert(
            channel.to_owned(),
            Circuit { last_attempt: now, failures, next_attempt: now + wait, probing: None },
        );
        wait
    }

    /// The channels that refuse, by name.
    pub(super) fn open(&self) -> Vec<OpenCircuit> {
        let open = |(scope, circuit): (&String, &Circuit)| OpenCircuit {
            scope: scope.clone(),
            failures: circuit.failures,
            last_attempt: circuit.last_attempt,
            next_attempt: circuit.next_attempt,
        };
        let mut circuits: Vec<_> = self.channels.iter().map(open).collect();
        circuits.sort_by(|left, right| left.scope.cmp(&right.scope));
        circuits
    }

    /// The channel accepted a message.
    pub(super) fn close(&mut self, channel: &str) {
        self.channels.remove(channel);
    }
}

#[cfg(test)]
mod tests {
    use access_core::domain::recipients::RecipientKey;

    use super::*;

    const CHANNEL: &str = "C1";

    fn breaker() -> ChannelBreaker {
        ChannelBreaker::new(&ControllerTimings::default())
    }

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn ask(breaker: &mut ChannelBreaker, id: &str, now: Instant) -> Option<u64> {
        let operation = Operation::Post(RecipientKey::new(CHANNEL));
        breaker.required_wait(CHANNEL, &RequestId::new(id), &operation, now).map(|wait| wait.as_secs())
    }

    /// Waits of 10, 20, 30 s.
    fn refuse(breaker: &mut ChannelBreaker, now: Instant) -> u64 {
        breaker.on_refused(CHANNEL, now, |failures| seconds(10 * u64::from(failures))).as_secs()
    }

    #[test]
    fn only_a_channel_that_refused_is_probed_by_one_operation_at_a_time() {
        let (mut breaker, start) = (breaker(), Instant::now());
        assert_eq!((ask(&mut breaker, "a", start), ask(&mut breaker, "b", start)), (None, None));
        assert_eq!(refuse(&mut breaker, start), 10);
        assert_eq!(refuse(&mut breaker, start), 11, "it was in flight, too, and comes after the first");
        assert_eq!(ask(&mut breaker, "c", start), Some(11));
        let now = start + seconds(10);
        assert_eq!(ask(&mut breaker, "a", now), None);
        assert_eq!(ask(&mut breaker, "a", now), None, "asking takes nothing away");
        assert_eq!(ask(&mut breaker, "b", now + seconds(1)), Some(7), "a is probing");
        assert_eq!(refuse(&mut breaker, now), 20);
        let open = breaker.open();
        let [circuit] = open.as_slice() else { panic!("{open:?}") };
        assert_eq!((&*circuit.scope, circuit.failures), (CHANNEL, 2));
        assert_eq!((circuit.last_attempt, circuit.next_attempt), (now, now + seconds(20)));
        assert_eq!(ask(&mut breaker, "b", now + seconds(1)), Some(20));
        breaker.close(CHANNEL);
        assert_eq!((ask(&mut breaker, "b", now), ask(&mut breaker, "c", now)), (None, None));
        assert_eq!(breaker.open(), []);
    }

    #[test]
    fn a_new_operation_may_probe_and_an_abandoned_probe_does_not_block_others() {
        let (mut breaker, start) = (breaker(), Instant::now());
        refuse(&mut breaker, start);
        assert_eq!(ask(&mut breaker, "new", start + seconds(6)), Some(5));
        assert_eq!(ask(&mut breaker, "new", start + seconds(7)), None);
        // The probe never ends.
        assert_eq!(ask(&mut breaker, "b", start + seconds(11)), Some(4));
        assert_eq!(ask(&mut breaker, "b", start + seconds(15)), None);
        assert_eq!(ask(&mut breaker, "new", start + seconds(15)), Some(8));
    }

    #[test]
    fn channels_without_probes_are_forgotten() {
        let (mut breaker, start) = (breaker(), Instant::now());
        for n in 0..10_000 {
            breaker.on_refused(&format!("C{n}"), start + n * seconds(60), |_| seconds(10));
        }
        assert!(breaker.channels.len() < 100, "{}", breaker.channels.len());
    }
}
