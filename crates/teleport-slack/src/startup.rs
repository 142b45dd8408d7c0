//! What is asked before anything else begins, until there is an answer: a side that is merely away is waited for, and
//! only what no waiting mends ends the start.

use std::time::Duration;

use access_core::backoff::Backoff;
use tracing::{error, warn};

use crate::error::{Exit, Failure, chain};
use crate::observe::seconds;
use crate::slack::error::{Kind, SlackError};
use crate::teleport::error::{Kind as TeleportKind, TeleportError};
use crate::teleport::{self, Pong};

/// A side that is away at start is asked again: soon, then each half minute.
const AWAY: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(30) };

/// Asks Teleport until it answers; refuses a server that is too old.
pub(crate) async fn ping(teleport: &teleport::Client) -> Result<Pong, Failure> {
    let mut failures = 0;
    let mut told = String::new();
    loop {
        match teleport.ping().await {
            Ok(pong) => {
                pong.check_version().map_err(|error| Failure::new(Exit::Failed, error))?;
                return Ok(pong);
            }
            Err(error) if is_final(&error) => return Err(Failure::new(exit_for(&error), error)),
            Err(error) => {
                // Not on a line that may be dead.
                teleport.reconnect();
                wait(&mut failures, &mut told, "Teleport does not answer", &chain(&error)).await;
            }
        }
    }
}

fn is_final(error: &TeleportError) -> bool {
    matches!(error.kind(), TeleportKind::Unauthorised | TeleportKind::Permanent)
}

/// Whether the address is to be mended or the identity.
fn exit_for(error: &TeleportError) -> Exit {
    match error {
        TeleportError::Connect(error) if error.problem.is_wrong_address() => Exit::Configuration,
        _ => Exit::Credentials,
    }
}

/// Asks Slack until it answers.
///
/// # Errors
/// A token that is refused; a question that is refused, with `refused` as the way to end.
pub(crate) async fn ask_slack<T>(
    refused: Exit,
    ask: impl AsyncFn() -> Result<T, SlackError>,
) -> Result<T, Failure> {
    let mut failures = 0;
    let mut told = String::new();
    loop {
        let error = match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) => error,
        };
        let told_with_remedy = error.with_remedy().to_string();
        match error.kind() {
            Kind::Unauthorised => return Err(Failure::new(Exit::Credentials, told_with_remedy)),
            Kind::Permanent => return Err(Failure::new(refused, told_with_remedy)),
            Kind::RetryAfter(delay) => {
                warn!(retry_in_s = delay.as_secs(), "{told_with_remedy}");
                tokio::time::sleep(delay).await;
            }
            Kind::Retry => wait(&mut failures, &mut told, "Slack does not answer", &told_with_remedy).await,
        }
    }
}

/// Waits before the next try; each new cause is told at once, the same one every tenth time.
async fn wait(failures: &mut u32, told: &mut String, what: &str, cause: &str) {
    *failures += 1;
    let delay = AWAY.delay(*failures, fastrand::u64(..));
    let retry_in_s = seconds(delay);
    if told != cause || failures.is_multiple_of(10) {
        cause.clone_into(told);
        error!(retry_in_s, "{what}: {cause}");
    }
    tokio::time::sleep(delay).await;
}
