//! How long the listeners wait for those who connect to them.

use std::time::Duration;

use crate::observe::file_watch::FileTimings;

/// How long Slack waits for the answer to a callback.
const SLACK_TIMEOUT: Duration = Duration::from_secs(3);

/// The waits of the listeners; `app::timings` checks them with all others.
#[derive(Clone, Copy, Debug)]
pub struct HttpTimings {
    /// A TLS handshake.
    pub handshake: Duration,
    /// The head of a request.
    pub head: Duration,
    /// Its body.
    pub body: Duration,
    /// The answer of a handler.
    pub respond: Duration,
    /// A connection in all: handshake, request, handler, and a client that is slow to read.
    pub connection: Duration,
    /// How long a caller may take for a callback, at least, before another takes the place on a full listener. A handshake
    /// over a long way takes this much.
    pub evict_callback: Duration,
    /// The same for a question about the daemon: who asks is near.
    pub evict_question: Duration,
    /// After the system had no connection to give, mostly because file descriptors are missing.
    pub accept_pause: Duration,
    /// The key and certificate of the callback listener.
    pub files: FileTimings,
    /// What is in progress when the daemon stops: Slack waits no longer for an answer.
    pub drain: Duration,
}

impl Default for HttpTimings {
    fn default() -> Self {
        let (seconds, milliseconds) = (Duration::from_secs, Duration::from_millis);
        Self {
            handshake: seconds(5),
            head: seconds(2),
            body: seconds(3),
            respond: milliseconds(2_500),
            connection: seconds(15),
            evict_callback: milliseconds(500),
            evict_question: milliseconds(50),
            accept_pause: milliseconds(500),
            files: FileTimings { poll: seconds(2), retry: seconds(10) },
            drain: SLACK_TIMEOUT,
        }
    }
}

impl HttpTimings {
    /// Whether the waits go together.
    ///
    /// # Errors
    /// A sentence about the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.respond >= SLACK_TIMEOUT {
            return Err(
                "a callback is answered before Slack gives up waiting for it, or the user sees an error",
            );
        }
        if self.respond > self.drain {
            return Err("a listener that stops waits for the answers in progress, or it cuts them");
        }
        if self.connection <= self.handshake + self.head + self.body + self.respond {
            return Err("a connection outlasts its handshake, its request and the answer, or none arrives");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_that_do_not_go_together_are_refused() {
        let good = HttpTimings::default();
        assert_eq!(good.check(), Ok(()));
        let exchange = good.handshake + good.head + good.body + good.respond;
        let bad = [
            (HttpTimings { respond: SLACK_TIMEOUT, ..good }, "the user sees an error"),
            (HttpTimings { drain: good.respond / 2, ..good }, "it cuts them"),
            (HttpTimings { connection: exchange, ..good }, "none arrives"),
        ];
        for (timings, words) in bad {
            let refusal = timings.check().unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
