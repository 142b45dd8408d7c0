//! Asks Slack while it is away, so that the end of an outage is noticed within seconds, and not when there is something to
//! send next.

use std::time::Duration;

use access_core::domain::backoff::Backoff;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// Asks, again and again, while `is_away`, and waits for each answer up to `limit`. The client's observer notices the answer.
/// Does not end.
pub(super) async fn ask_while_away(
    slack: slack_client::Client,
    mut is_away: watch::Receiver<bool>,
    pauses: Backoff,
    limit: Duration,
) {
    let mut failures = 0;
    loop {
        if !*is_away.borrow_and_update() {
            failures = 0;
            if is_away.changed().await.is_err() {
                std::future::pending().await
            }
            continue;
        }
        failures += 1;
        tokio::select! {
            () = sleep(pauses.delay(failures, fastrand::u64(..))) => {
                // The result itself does not matter here.
                drop(timeout(limit, slack.auth_test()).await);
            }
            _ = is_away.changed() => {}
        }
    }
}
