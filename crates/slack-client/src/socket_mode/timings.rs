//! How long Socket Mode waits.

use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::outage::OutageTimings;

/// How long Slack waits for an acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);

/// Deadlines and pauses, by what they are for.
#[derive(Clone, Copy, Debug)]
pub struct SocketModeTimings {
    /// For name lookup, TCP, TLS and the WebSocket's handshake together.
    pub connect: Duration,
    /// From then until Slack says hello.
    pub hello: Duration,
    /// Between our pings. Two in a row without an answer end the connection.
    pub ping: Duration,
    /// Once Slack has pinged, it must not fall silent for longer; answers to our pings do not count.
    pub idle_timeout: Duration,
    /// For sending one frame.
    pub write: Duration,
    /// For an answer that goes into an acknowledgement. Slack gives up after 3 s.
    pub respond_within: Duration,
    /// For the work on one payload.
    pub handler_timeout: Duration,
    /// For Slack's part in closing a connection.
    pub close: Duration,
    /// For work that is in progress when the daemon stops.
    pub drain: Duration,
    /// Before a connection is opened again.
    pub backoff: Backoff,
    /// A connection that lasted as long as this makes the next loss a first one again.
    pub stable_after: Duration,
    /// Instead of [`Self::backoff`], if an operator has to do something first.
    pub operator_delay: Duration,
    /// How much later Slack must still count connections that are not ours: longer than a rolling restart takes, or
    /// Slack needs to notice that a connection is gone.
    pub recount: Duration,
    /// When the log speaks of a time without any connection.
    pub outage: OutageTimings,
    /// How long to remember how an envelope was acknowledged. Slack repeats within seconds, events within minutes.
    pub acks_for: Duration,
}

impl Default for SocketModeTimings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            hello: Duration::from_secs(10),
            ping: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            write: Duration::from_secs(5),
            respond_within: Duration::from_secs(2),
            handler_timeout: Duration::from_secs(60),
            close: Duration::from_secs(1),
            drain: Duration::from_secs(3),
            backoff: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) },
            stable_after: Duration::from_secs(30),
            operator_delay: Duration::from_secs(300),
            recount: Duration::from_secs(120),
            outage: OutageTimings::default(),
            acks_for: Duration::from_secs(15 * 60),
        }
    }
}

impl SocketModeTimings {
    /// Whether the waits go together.
    ///
    /// # Errors
    /// A sentence about the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.respond_within >= ACK_TIMEOUT {
            return Err("an answer leaves before Slack gives up waiting for it, or the user sees an error");
        }
        if self.acks_for <= self.handler_timeout {
            return Err(
                "an envelope is remembered for longer than the work on it takes, or the work is done twice",
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_that_do_not_go_together_are_refused() {
        let good = SocketModeTimings::default();
        assert_eq!(good.check(), Ok(()));
        let bad = [
            (SocketModeTimings { respond_within: ACK_TIMEOUT, ..good }, "the user sees an error"),
            (SocketModeTimings { acks_for: good.handler_timeout, ..good }, "done twice"),
        ];
        for (timings, words) in bad {
            let refusal = timings.check().unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
