//! Keeps connections open: each is replaced when it ends, and before it ends if Slack announces that.
//!
//! Decides when to try again and what to log: what changed, not every attempt.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::connect::{self, IoStream};
use super::connection::{Connection, Ended};
use super::dispatch::Dispatcher;
use super::error::{ConnectionError, RetryDelay};
use super::others::{Excess, Others, Ours};
use super::timings::SocketModeTimings;
use crate::Client;
use access_core::domain::error_chain::seconds;
use access_core::domain::log_once::LogOnce;
use access_core::domain::outage::Outage;
use access_core::domain::secret::Secret;

/// Old connections that are served until they are done: one that waits for the new one to take over, and perhaps one
/// that is just being closed.
type Draining<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>;

/// What is logged about all connections together, for [`LogOnce`].
const CONNECTIONS: &str = "connections";

/// What all connections of one app have in common.
pub(super) struct Supervisor<'a> {
    client: Client,
    app_token: watch::Receiver<Secret>,
    app_id: String,
    timings: SocketModeTimings,
    connections: watch::Sender<usize>,
    dispatcher: &'a Dispatcher,
    log_once: Mutex<LogOnce>,
    no_connection: Mutex<NoConnection>,
    began: Instant,
    others: Others,
}

/// No connection is open.
struct NoConnection {
    outage: Outage,
    /// Why not, and whether an operator has to act.
    cause: (String, bool),
}

impl<'a> Supervisor<'a> {
    pub(super) fn new(
        client: Client,
        (app_token, app_id): (watch::Receiver<Secret>, String),
        timings: SocketModeTimings,
        connections: watch::Sender<usize>,
        dispatcher: &'a Dispatcher,
    ) -> Self {
        let others = Others::new(timings.recount);
        Self {
            client,
            app_token,
            app_id,
            timings,
            connections,
            dispatcher,
            log_once: Mutex::default(),
            no_connection: Mutex::new(NoConnection {
                outage: Outage::new(timings.outage),
                cause: Default::default(),
            }),
            began: Instant::now(),
            others,
        }
    }

    /// Keeps one connection open until `stop` is cancelled. `number` is for the log.
    pub(super) async fn run(&self, number: u8, stop: &CancellationToken) {
        let mut old = Draining::new();
        let mut leave_old = stop.child_token();
        let mut failures = 0;
        let mut renewed = self.app_token.clone();
        loop {
            renewed.mark_unchanged();
            let opened = tokio::select! {
                () = stop.cancelled() => break,
                opened = drive_while(&mut old, self.connect()) => opened,
            };
            let error = match opened {
                Err(error) => error,
                Ok((mut connection, ours)) => {
                    let open = (OpenConnection::new(&self.connections), ours);
                    self.log_connected(number);
                    leave_old.cancel();
                    let (since, leave) = (Instant::now(), stop.child_token());
                    let serving = async {
                        tokio::select! {
                            served = connection.serve(self.dispatcher, &leave) => served,
                            never = self.log_once_stable(number) => never,
                            () = self.others.wanted() => Ended::Refresh,
                        }
                    };
                    let served = drive_while(&mut old, serving).await;
                    if since.elapsed() >= self.timings.stable_after {
                        failures = 0;
                    }
                    match served {
                        Ended::Closed => break,
                        Ended::Failed(error) => error,
                        Ended::Refresh => {
                            debug!(connection = number, "A new connection is to replace this one");
                            leave_old = leave.clone();
                            old.push(Box::pin(async move {
                                let _counted = open;
                                // However it ends, its replacement is being opened.
                                connection.serve(self.dispatcher, &leave).await;
                            }));
                            if failures == 0 && since.elapsed() >= self.timings.stable_after {
                                continue;
                            }
                            ConnectionError::Flapping
                        }
                    }
                }
            };
            failures += 1;
            let pause = self.retry_delay(&error, failures);
            self.log(&error, pause);
            tokio::select! {
                () = stop.cancelled() => break,
                () = drive_while(&mut old, sleep(pause)) => {}
                () = self.remind() => {}
                // It may be just what was missing.
                Ok(()) = renewed.changed() => {}
            }
        }
        // `stop` ends the old connections as well.
        while old.next().await.is_some() {}
    }

    async fn connect(&self) -> Result<(Connection<Box<dyn IoStream>>, Ours), ConnectionError> {
        let ours = self.others.ours();
        let app_token = self.app_token.borrow().clone();
        let url = self.client.apps_connections_open(&app_token).await.map_err(ConnectionError::Api)?;
        let (base, tls, dialer) = (self.client.base(), self.client.tls(), self.client.dialer());
        let stream = connect::open(&url, &base, tls, &dialer, &self.timings).await?;
        let mut connection = Connection::await_hello(stream, self.timings).await?;
        if let Some(theirs) = connection.hello().app_id.clone().filter(|app_id| *app_id != self.app_id) {
            // The other app's interactions are not ours to take.
            connection.close().await;
            return Err(ConnectionError::OtherApp { theirs, ours: self.app_id.clone() });
        }
        if let Some(Excess { connections, ours }) = self.others.hello(connection.hello().connections) {
            warn!(
                connections,
                ours,
                "Others hold connections of this Slack app, and Slack hands each click to any of them; if they are all daemons of this Teleport cluster, that is as it should be; a daemon of another Teleport cluster, or another program with an app-level token of this app, takes clicks away: give it a Slack app of its own"
            );
        }
        Ok((connection, ours))
    }

    fn retry_delay(&self, error: &ConnectionError, failures: u32) -> Duration {
        let growing = self.timings.backoff.delay(failures, fastrand::u64(..));
        match error.retry_delay() {
            RetryDelay::Backoff => growing,
            RetryDelay::AtLeast(wait) => growing.max(wait),
            RetryDelay::NeedsOperator => self.timings.operator_delay,
        }
    }

    /// Logs what went wrong, unless that is in the log since the last connection that lasted. It is an error if an operator has
    /// to act, and a warning if one may have to. A connection that breaks is replaced, and needs no operator.
    fn log(&self, error: &ConnectionError, pause: Duration) {
        let open = *self.connections.borrow();
        let is_error = error.retry_delay() == RetryDelay::NeedsOperator;
        let is_warning = error.remedy().is_some();
        let names = self.client.shared.setting_names;
        let remedy =
            error.remedy().map(|remedy| format!("; remedy: {}", remedy.with_name(names))).unwrap_or_default();
        let text = format!("{error}{remedy}");
        let entry = format!("{is_error} {}", error.class());
        let retry_in_s = seconds(pause);
        if open == 0 {
            let mut no_connection = self.no_connection.lock();
            no_connection.outage.fails(self.began.elapsed());
            no_connection.cause = (text.clone(), is_error);
        }
        if !self.log_once.lock().once(CONNECTIONS, &entry) {
            debug!(connections = open, retry_in_s, "Still no Socket Mode connection: {text}");
            return;
        }
        let what = match open {
            0 => "No Socket Mode connection, so clicks in Slack may not arrive",
            _ => "One Socket Mode connection less",
        };
        if is_error {
            error!(connections = open, retry_in_s, "{what}: {text}");
        } else if is_warning {
            warn!(connections = open, retry_in_s, "{what}: {text}");
        } else {
            info!(connections = open, retry_in_s, "{what}: {text}");
        }
    }

    /// Says at times that there is no connection, for as long as that lasts. Does not end.
    async fn remind<T>(&self) -> T {
        loop {
            let Some(due) = self.no_connection.lock().outage.next_reminder() else { break pending().await };
            sleep_until(self.began + due).await;
            let mut no_connection = self.no_connection.lock();
            let Some(lasted) = no_connection.outage.reminder(self.began.elapsed()) else { continue };
            let away_for_s = lasted.as_secs();
            match &no_connection.cause {
                (cause, true) => error!(away_for_s, "Still no Socket Mode connection: {cause}"),
                (cause, false) => warn!(away_for_s, "Still no Socket Mode connection: {cause}"),
            }
        }
    }

    fn log_connected(&self, number: u8) {
        let open = *self.connections.borrow();
        // After an error it has yet to show that it lasts.
        if open == 1 && !self.log_once.lock().has_logged(CONNECTIONS) {
            info!(connection = number, connections = open, "Clicks in Slack arrive over Socket Mode");
        } else {
            debug!(connection = number, connections = open, "A Socket Mode connection is open");
        }
    }

    /// Logs that the error is over once a connection has lasted. Does not end.
    async fn log_once_stable<T>(&self, number: u8) -> T {
        let opened = self.began.elapsed();
        sleep(self.timings.stable_after).await;
        let over = self.no_connection.lock().outage.works(opened);
        let cleared = self.log_once.lock().clear(CONNECTIONS);
        if let Some(suppressed) = cleared {
            let open = *self.connections.borrow();
            let away = over.map(|over| format!(": away for {} s", over.lasted.as_secs())).unwrap_or_default();
            info!(
                connection = number,
                connections = open,
                suppressed,
                "Clicks in Slack arrive over Socket Mode again{away}"
            );
        }
        pending().await
    }
}

/// Runs `main` to its end, and the old connections beside it.
async fn drive_while<T>(old: &mut Draining<'_>, main: impl Future<Output = T>) -> T {
    let mut main = pin!(main);
    loop {
        tokio::select! {
            biased;
            done = &mut main => return done,
            Some(()) = old.next() => {}
        }
    }
}

/// Counts an open connection until it is dropped.
struct OpenConnection {
    connections: watch::Sender<usize>,
}

impl OpenConnection {
    fn new(connections: &watch::Sender<usize>) -> Self {
        connections.send_modify(|open| *open += 1);
        Self { connections: connections.clone() }
    }
}

impl Drop for OpenConnection {
    fn drop(&mut self) {
        self.connections.send_modify(|open| *open -= 1);
    }
}
