//! How long claims last. Daemons that share a cluster must use the same values: each reckons with the others' time-outs.

use std::time::Duration;

/// The durations that keep two daemons apart. [`ClaimTimings::check`] says whether they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimTimings {
    /// A claim that did not change for this long may be taken over.
    pub timeout: Duration,
    /// How long after it began to write the claim the holder may start a call to Slack. A call lasts [`Self::call`] at
    /// most, so all calls have ended before another daemon starts one. If Teleport needs longer than this for one write,
    /// no work is done.
    pub budget: Duration,
    /// The most that a call under a claim may take.
    pub call: Duration,
    /// An in-doubt post arrives within this time after its daemon acquired the claim, or never: the budget and the call, and
    /// nearly as much again for clocks that differ and a Slack that is slow.
    pub in_doubt_after_claim: Duration,
    /// A post without an answer arrives within this time after its daemon gave it up, or never.
    pub in_doubt_after_timeout: Duration,
    /// A claim this old by the wall clock is over without being watched: its daemon died long ago. Clocks of
    /// replicas may differ by this much, less the time-out.
    pub stale_after: Duration,
}

impl Default for ClaimTimings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(13),
            budget: Duration::from_secs(6),
            call: Duration::from_secs(6),
            in_doubt_after_claim: Duration::from_secs(20),
            in_doubt_after_timeout: Duration::from_secs(9),
            stale_after: Duration::from_secs(120),
        }
    }
}

impl ClaimTimings {
    /// Whether no two daemons can be at work on one request, and none looks for a post that may still arrive.
    ///
    /// # Errors
    /// A sentence about the first rule that does not hold.
    pub fn check(&self) -> Result<(), &'static str> {
        let longest_work = self.budget + self.call;
        if self.budget.is_zero() || self.call.is_zero() {
            return Err("the budget of a claim and the time of a call are longer than nothing");
        }
        if self.timeout <= longest_work {
            return Err(
                "a claim outlasts its budget and one call, or two daemons call Slack for one request at once",
            );
        }
        if self.in_doubt_after_claim <= longest_work {
            return Err(
                "a post stays in doubt for longer than the budget of its claim and one call, or it is repeated while it is on its way",
            );
        }
        if self.in_doubt_after_timeout.is_zero() {
            return Err("a post without an answer stays in doubt for a while, because it may still arrive");
        }
        if self.stale_after <= self.timeout {
            return Err("a claim is older than its time-out before its age alone ends it");
        }
        Ok(())
    }
}
