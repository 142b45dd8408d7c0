//! Keeps connections open: each is replaced when it ends, and before it ends if Slack announces that.
//!
//! Decides when to try again and what to tell the log: what changed, not every try.

use std::future::{Future, pending};
use std::pin::{Pin, pin};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use super::Timing;
use super::dial::{self, Wire};
use super::intake::Intake;
use super::link::{Link, Served};
use super::others::{Excess, Others, Ours};
use super::trouble::{Pause, Trouble};
use crate::observe::seconds;
use crate::secret::Secret;
use crate::slack::Client;

/// Old connections that are served until they are done: one that waits for the new one to take over, and perhaps one
/// that is just being closed.
type Old<'a> = FuturesUnordered<Pin<Box<dyn Future<Output = ()> + Send + 'a>>>;

/// What all connections of one app have in common.
pub(super) struct Keeper<'a> {
    client: Client,
    app_token: watch::Receiver<Secret>,
    app_id: String,
    timing: Timing,
    links: watch::Sender<usize>,
    intake: &'a Intake,
    told: Mutex<Option<String>>,
    others: Others,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(
        client: Client,
        (app_token, app_id): (watch::Receiver<Secret>, String),
        timing: Timing,
        links: watch::Sender<usize>,
        intake: &'a Intake,
    ) -> Self {
        let others = Others::new(timing.recount);
        Self { client, app_token, app_id, timing, links, intake, told: Mutex::new(None), others }
    }

    /// Keeps one connection open until told to stop. `number` is for the log.
    pub(super) async fn keep(&self, number: u8, stop: &CancellationToken) {
        let mut old = Old::new();
        let mut leave_old = stop.child_token();
        let mut failures = 0;
        let mut renewed = self.app_token.clone();
        loop {
            renewed.mark_unchanged();
            let opened = tokio::select! {
                () = stop.cancelled() => break,
                opened = beside(&mut old, self.open()) => opened,
            };
            let trouble = match opened {
                Err(trouble) => trouble,
                Ok((mut link, ours)) => {
                    let open = (Open::new(&self.links), ours);
                    self.opened(number);
                    leave_old.cancel();
                    let (since, leave) = (Instant::now(), stop.child_token());
                    let serving = async {
                        tokio::select! {
                            served = link.serve(self.intake, &leave) => served,
                            never = self.watch(number) => never,
                            () = self.others.wanted() => Served::Refresh,
                        }
                    };
                    let served = beside(&mut old, serving).await;
                    if since.elapsed() >= self.timing.healthy {
                        failures = 0;
                    }
                    match served {
                        Served::Left => break,
                        Served::Ended(trouble) => trouble,
                        Served::Refresh => {
                            debug!(connection = number, "A new connection is to replace this one");
                            leave_old = leave.clone();
                            old.push(Box::pin(async move {
                                let _counted = open;
                                // However it ends, its replacement is on the way.
                                link.serve(self.intake, &leave).await;
                            }));
                            if failures == 0 && since.elapsed() >= self.timing.healthy {
                                continue;
                            }
                            Trouble::Restless
                        }
                    }
                }
            };
            failures += 1;
            let pause = self.pause(&trouble, failures);
            self.tell(&trouble, pause);
            tokio::select! {
                () = stop.cancelled() => break,
                () = beside(&mut old, sleep(pause)) => {}
                // It may be just what was missing.
                Ok(()) = renewed.changed() => {}
            }
        }
        // They were told to stop as well.
        while old.next().await.is_some() {}
    }

    async fn open(&self) -> Result<(Link<Box<dyn Wire>>, Ours), Trouble> {
        let ours = self.others.ours();
        let app_token = self.app_token.borrow().clone();
        let url = self.client.apps_connections_open(&app_token).await.map_err(Trouble::Api)?;
        let (base, tls) = (self.client.base(), self.client.tls());
        let stream = dial::open(&url, &base, tls, &self.timing).await?;
        let mut link = Link::greet(stream, self.timing).await?;
        if let Some(theirs) = link.hello().app_id.clone().filter(|app_id| *app_id != self.app_id) {
            // The other app's clicks are not ours to take.
            link.close().await;
            return Err(Trouble::OtherApp { theirs, ours: self.app_id.clone() });
        }
        if let Some(Excess { connections, ours }) = self.others.hello(link.hello().connections) {
            warn!(
                connections,
                ours,
                "Others hold connections of this Slack app, and Slack hands each click to any of them; if they are all daemons of this Teleport cluster, that is as it should be; a daemon of another Teleport cluster, or another program with an app-level token of this app, takes clicks away: give it a Slack app of its own"
            );
        }
        Ok((link, ours))
    }

    fn pause(&self, trouble: &Trouble, failures: u32) -> Duration {
        let growing = self.timing.again.delay(failures, fastrand::u64(..));
        match trouble.pause() {
            Pause::Growing => growing,
            Pause::AtLeast(wait) => growing.max(wait),
            Pause::Operator => self.timing.operator,
        }
    }

    /// Tells what went wrong, unless it was told last. It is an error if an operator has to act or nothing
    /// arrives any more.
    fn tell(&self, trouble: &Trouble, pause: Duration) {
        let open = *self.links.borrow();
        let is_error = trouble.pause() == Pause::Operator || open == 0;
        let remedy = trouble.remedy().map(|remedy| format!("; remedy: {remedy}")).unwrap_or_default();
        let text = format!("{trouble}{remedy}");
        let told = format!("{is_error} {text}");
        let mut last = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let retry_in_s = seconds(pause);
        if last.as_ref() == Some(&told) {
            debug!(connections = open, retry_in_s, "Still no Socket Mode connection: {text}");
            return;
        }
        *last = Some(told);
        if is_error {
            error!(
                connections = open,
                retry_in_s, "No Socket Mode connection, so clicks in Slack may not arrive: {text}"
            );
        } else {
            warn!(connections = open, retry_in_s, "One Socket Mode connection less: {text}");
        }
    }

    fn opened(&self, number: u8) {
        let open = *self.links.borrow();
        // After trouble it has yet to show that it lasts.
        if open == 1 && self.told.lock().unwrap_or_else(PoisonError::into_inner).is_none() {
            info!(connection = number, connections = open, "Clicks in Slack arrive over Socket Mode");
        } else {
            debug!(connection = number, connections = open, "A Socket Mode connection is open");
        }
    }

    /// Tells that trouble is over once a connection has lasted. Does not end.
    async fn watch<T>(&self, number: u8) -> T {
        sleep(self.timing.healthy).await;
        if self.told.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            let open = *self.links.borrow();
            info!(connection = number, connections = open, "Clicks in Slack arrive over Socket Mode again");
        }
        pending().await
    }
}

/// Runs `main` to its end, and the old connections beside it.
async fn beside<T>(old: &mut Old<'_>, main: impl Future<Output = T>) -> T {
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
struct Open {
    links: watch::Sender<usize>,
}

impl Open {
    fn new(links: &watch::Sender<usize>) -> Self {
        links.send_modify(|links| *links += 1);
        Self { links: links.clone() }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.links.send_modify(|links| *links -= 1);
    }
}
