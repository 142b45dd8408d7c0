//! Signals: what each asks of the daemon. None that an operator or a service manager sends ends it silently.
//!
//! The first request to stop is obeyed in order, a second one at once. `timeout` and service managers signal a process and
//! then its whole group, so what comes within a second of the first request is the same request.

use std::io;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::Instant;

/// A signal this soon after the first request to stop belongs to it.
const REPEAT_WINDOW: Duration = Duration::from_secs(1);

/// What a signal asks for; each names the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignalAction {
    /// To stop: finish what is in progress.
    Stop(&'static str),
    /// To stop at once, although something is in progress.
    StopNow(&'static str),
    /// To read the configuration again, and to reopen the log file.
    Reload(&'static str),
    /// To log each step, or again what is configured.
    ToggleDebug(&'static str),
    /// To reopen the log file: other programs take `SIGUSR2` for it, and it would end the process otherwise.
    ReopenLog(&'static str),
}

/// The signals, caught from the moment this exists.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    quit: Signal,
    hangup: Signal,
    user: [Signal; 2],
    stop_requested_at: Option<Instant>,
}

impl Signals {
    /// Starts to catch them. Must be called within a Tokio runtime, before anything else is done: as process 1 of a
    /// container, and for a reload while the daemon is still starting.
    ///
    /// # Errors
    /// Whatever the operating system says; in practice never.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            // Left alone, it writes a core file with the secrets in memory.
            quit: signal(SignalKind::quit())?,
            hangup: signal(SignalKind::hangup())?,
            user: [signal(SignalKind::user_defined1())?, signal(SignalKind::user_defined2())?],
            stop_requested_at: None,
        })
    }

    /// Waits for the next request.
    pub async fn next(&mut self) -> SignalAction {
        loop {
            let [first, second] = &mut self.user;
            let stop = tokio::select! {
                _ = self.terminate.recv() => "SIGTERM",
                _ = self.interrupt.recv() => "SIGINT",
                _ = self.quit.recv() => "SIGQUIT",
                _ = self.hangup.recv() => return SignalAction::Reload("SIGHUP"),
                _ = first.recv() => return SignalAction::ToggleDebug("SIGUSR1"),
                _ = second.recv() => return SignalAction::ReopenLog("SIGUSR2"),
            };
            if let Some(request) = self.on_stop_signal(stop, Instant::now()) {
                return request;
            }
        }
    }

    /// What a signal to stop means, if it is not the same request once more.
    fn on_stop_signal(&mut self, name: &'static str, now: Instant) -> Option<SignalAction> {
        match self.stop_requested_at {
            None => {
                self.stop_requested_at = Some(now);
                Some(SignalAction::Stop(name))
            }
            Some(asked) => {
                (now.duration_since(asked) >= REPEAT_WINDOW).then_some(SignalAction::StopNow(name))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn signals_within_a_second_are_one_request() {
        let (mut signals, start) = (Signals::install().unwrap(), Instant::now());
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        assert_eq!(signals.on_stop_signal("SIGTERM", at(0)), Some(SignalAction::Stop("SIGTERM")));
        assert_eq!(signals.on_stop_signal("SIGTERM", at(0)), None, "as `timeout` sends them");
        assert_eq!(signals.on_stop_signal("SIGINT", at(999)), None);
        assert_eq!(signals.on_stop_signal("SIGTERM", at(1_000)), Some(SignalAction::StopNow("SIGTERM")));
    }
}
