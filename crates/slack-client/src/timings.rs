//! How long the client waits for Slack, and how long it remembers what it looked up.

use std::time::Duration;

/// A trigger, which opens a modal, lives for 3 s in Slack.
const TRIGGER_LIFE: Duration = Duration::from_secs(3);

/// The most that each kind of call may take, its answer included, and how long answers count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallTimings {
    /// An attempt to connect: name lookup, TCP and TLS together.
    pub connect: Duration,
    /// A call. Slack mostly answers within a second.
    pub call: Duration,
    /// A call that posts, edits or deletes a message.
    pub message: Duration,
    /// A call that a person waits for.
    pub prompt: Duration,
    /// The call that opens a modal: some of the trigger's life has passed.
    pub modal: Duration,
    /// How long an unused connection is kept. Short, because a write on a connection that the other side is just
    /// closing has an unknown outcome.
    pub idle: Duration,
    /// How long the directory remembers what it found. People rarely change; this keeps a burst of requests from asking for
    /// the same approvers again.
    pub found_for: Duration,
    /// How long it remembers that it found nothing. A user who was just invited should be reachable soon, and made-up names
    /// must not use up what Slack allows.
    pub not_found_for: Duration,
    /// How long the name of a person or a channel is remembered, to be shown beside its id. The id is what counts, so a name
    /// of yesterday is better than none.
    pub names_for: Duration,
}

impl Default for CallTimings {
    fn default() -> Self {
        let seconds = Duration::from_secs;
        Self {
            connect: seconds(5),
            call: seconds(10),
            message: seconds(6),
            prompt: seconds(5),
            modal: seconds(2),
            idle: seconds(20),
            found_for: seconds(600),
            not_found_for: seconds(300),
            names_for: seconds(86_400),
        }
    }
}

impl CallTimings {
    /// Whether the waits go together.
    ///
    /// # Errors
    /// A sentence about the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        if self.connect >= self.call {
            return Err(
                "a call to Slack outlasts the attempt to connect inside it, or its error hides what failed",
            );
        }
        if self.modal >= TRIGGER_LIFE {
            return Err("a modal opens within the life of its trigger, or Slack refuses it");
        }
        if self.not_found_for > self.found_for {
            return Err(
                "a user who was not found is looked up again before one who was, or an invitation takes longer to count",
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
        let good = CallTimings::default();
        assert_eq!(good.check(), Ok(()));
        let bad = [
            (CallTimings { connect: good.call, ..good }, "hides what failed"),
            (CallTimings { modal: TRIGGER_LIFE, ..good }, "life of its trigger"),
            (CallTimings { found_for: Duration::ZERO, ..good }, "takes longer to count"),
        ];
        for (timings, words) in bad {
            let refusal = timings.check().unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
