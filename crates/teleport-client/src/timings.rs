//! How long the client waits for a server.

use std::time::Duration;

use access_core::domain::backoff::Backoff;

/// Teleport closes a connection that is pinged more often.
const SHORTEST_KEEP_ALIVE: Duration = Duration::from_secs(60);

/// The most that each kind of call may take, which is also the number of seconds that its error names, and the pauses between
/// tries.
#[derive(Clone, Copy, Debug)]
pub struct CallTimings {
    /// An attempt to connect: name, TCP and TLS together.
    pub connect: Duration,
    /// A small call. Longer than an attempt to connect, which may happen inside it and whose own error says more.
    pub call: Duration,
    /// The answer that shows that the server is there.
    pub liveness: Duration,
    /// From opening a watch until the server says that it watches.
    pub watch: Duration,
    /// A list of users or of plugin data with all its pages, and one piece of the list of requests: a page, or the next
    /// message of a stream. One message may be the whole list.
    pub list: Duration,
    /// The list of requests with all its pages. The watcher reports changes meanwhile.
    pub all_requests: Duration,
    /// After a TLS 1.3 handshake, for the server's verdict on our certificate.
    pub certificate_alert: Duration,
    /// How often HTTP/2 asks whether the connection lives. Teleport forbids asking more often than once a minute; a silent
    /// watch is probed sooner, by calls.
    pub keep_alive: Duration,
    /// How long the answer to that may take before the connection counts as lost.
    pub keep_alive_timeout: Duration,
    /// Before a write that lost to another writer is tried again.
    pub contended: Backoff,
    /// Before a list that failed or was not complete is made again.
    pub list_retry: Backoff,
}

impl Default for CallTimings {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            call: Duration::from_secs(15),
            liveness: Duration::from_secs(8),
            watch: Duration::from_secs(30),
            list: Duration::from_secs(60),
            all_requests: Duration::from_secs(600),
            certificate_alert: Duration::from_secs(1),
            keep_alive: SHORTEST_KEEP_ALIVE,
            keep_alive_timeout: Duration::from_secs(20),
            contended: Backoff { first: Duration::from_millis(25), cap: Duration::from_millis(500) },
            list_retry: Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(60) },
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
                "a call to Teleport outlasts the attempt to connect inside it, or its error hides what failed",
            );
        }
        if self.certificate_alert >= self.connect {
            return Err(
                "an attempt to connect outlasts the wait for a refusal of the certificate, or it always fails",
            );
        }
        if self.keep_alive < SHORTEST_KEEP_ALIVE {
            return Err("a connection is not pinged more than once a minute, or Teleport closes it");
        }
        if self.list > self.all_requests {
            return Err(
                "the list of requests takes as long as one of its pages at least, or none is read to its end",
            );
        }
        Ok(())
    }
}

/// How long the watcher waits.
#[derive(Clone, Copy, Debug)]
pub struct WatcherTimings {
    /// Between losses; its jitter keeps daemons that lost the server together from returning together.
    pub backoff: Backoff,
    /// A watch that lasted as long as this makes the next loss a first one again. Shorter than any sensible
    /// balancer's patience with quiet connections, longer than a server that accepts and drops.
    pub stable_after: Duration,
    /// A stream that was silent for so long is probed. With the 8 s that the server has to answer, the watcher notices
    /// a dead connection within 23 s.
    pub probe_after: Duration,
    /// A change that a watch reported so long before a list began may be newer than the list, and wins against it: lists
    /// were seen to be up to a second old (15.3.1).
    pub list_staleness: Duration,
}

impl Default for WatcherTimings {
    fn default() -> Self {
        Self {
            // No recipient learns of a new request meanwhile, so the wait stays short, however often it happens.
            backoff: Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(15) },
            stable_after: Duration::from_secs(10),
            probe_after: Duration::from_secs(15),
            list_staleness: Duration::from_secs(2),
        }
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
            (CallTimings { certificate_alert: good.connect, ..good }, "it always fails"),
            (CallTimings { keep_alive: Duration::from_secs(59), ..good }, "Teleport closes it"),
            (CallTimings { all_requests: good.call, ..good }, "none is read to its end"),
        ];
        for (timings, words) in bad {
            let refusal = timings.check().unwrap_err();
            assert!(refusal.contains(words), "{refusal}");
        }
    }
}
