//! Lists what there is beside an open watch: the requests, then the records, each as often as it takes.
//!
//! A list that fails ends nothing: the watch goes on, what it tells is worked on, and the list is made again, ever more
//! rarely. What it means that something is not listed, `rights.rs` finds out and the listener decides.

use std::time::Duration;

use access_core::domain::backoff::Backoff;
use access_core::domain::error_chain::seconds;
use access_core::domain::ids::RequestId;
use access_core::domain::request::AccessRequest;
use futures_util::{FutureExt, Stream, StreamExt, future, stream};
use tokio::sync::mpsc::{self, Sender};

use super::client::Client;
use super::error::{ErrorKind, TeleportError};
use super::observer::List;
use super::plugin_data::Fields;
use super::visibility::Visibility;

/// The pauses before a list is made again.
const RETRY_BACKOFF: Backoff = Backoff { first: Duration::from_millis(500), cap: Duration::from_secs(60) };

/// A step of listing.
#[derive(Debug)]
pub(super) enum ListStep {
    /// The list of requests is asked for now.
    Started,
    /// The list of requests.
    Requests(Vec<AccessRequest>, Completeness),
    /// All records, those of requests that are gone included.
    Records(Vec<(RequestId, Fields)>),
}

/// How much of what there is a list of requests tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All: what is not listed is gone, or was made this moment.
    Complete,
    /// Perhaps not all.
    Unknown,
    /// Not all.
    Partial,
}

/// Lists until everything was told in full.
pub(super) fn list_steps(client: Client) -> impl Stream<Item = ListStep> {
    let (tell, told) = mpsc::channel(1);
    let told = stream::unfold(told, |mut told| async move { told.recv().await.map(|part| (part, told)) });
    let work = async move { list(&client, &tell).await };
    // Polled together; the work itself says nothing.
    stream::select(told, work.into_stream().filter_map(|_| future::ready(None)))
}

/// `None` if nobody listens.
async fn list(client: &Client, tell: &Sender<ListStep>) -> Option<()> {
    let (mut failures, mut record_failures) = (0, 0);
    let mut wait_for_records;
    loop {
        tell.send(ListStep::Started).await.ok()?;
        let (requests, extent, trouble) = match requests(client).await {
            Ok(listed) => listed,
            Err(error) => {
                failures += 1;
                tokio::time::sleep(log_failure(client, List::Requests, &error, failures)).await;
                continue;
            }
        };
        tell.send(ListStep::Requests(requests, extent)).await.ok()?;
        // Also beside a list that is not whole: some of what is recorded is over by its own time.
        wait_for_records = records(client, tell, &mut record_failures).await?;
        let Some(trouble) = trouble else { break };
        failures += 1;
        tokio::time::sleep(log_failure(client, List::Requests, &trouble, failures)).await;
    }
    client.observer().list_succeeded(List::Requests);
    while let Some(wait) = wait_for_records {
        tokio::time::sleep(wait).await;
        wait_for_records = records(client, tell, &mut record_failures).await?;
    }
    Some(())
}

/// The requests, and why they are to be listed again.
async fn requests(
    client: &Client,
) -> Result<(Vec<AccessRequest>, Completeness, Option<TeleportError>), TeleportError> {
    let found = client.list_requests().await?;
    let (extent, trouble) = match (found.only_pending, client.visibility().await) {
        (Some(too_large), _) => (Completeness::Partial, Some(too_large)),
        (None, Ok(Visibility::All)) => (Completeness::Complete, None),
        (None, Ok(visibility @ Visibility::Partial(_))) => {
            (Completeness::Partial, Some(TeleportError::NotVisible { visibility }))
        }
        (None, Ok(visibility @ Visibility::Unknown(_))) => {
            // It will not change by itself.
            tracing::warn!("{}", TeleportError::NotVisible { visibility });
            (Completeness::Unknown, None)
        }
        (None, Err(error)) => (Completeness::Unknown, Some(error)),
    };
    Ok((found.requests, extent, trouble))
}

/// Tries once; answers how long to wait before another try is due, if one is.
async fn records(client: &Client, tell: &Sender<ListStep>, failures: &mut u32) -> Option<Option<Duration>> {
    match client.list_records().await {
        Ok(records) => {
            tell.send(ListStep::Records(records)).await.ok()?;
            client.observer().list_succeeded(List::Records);
            *failures = 0;
            Some(None)
        }
        Err(error) => {
            *failures += 1;
            Some(Some(log_failure(client, List::Records, &error, *failures)))
        }
    }
}

/// Says each time that a list failed; answers how long to wait before the next.
fn log_failure(client: &Client, what: List, error: &TeleportError, failures: u32) -> Duration {
    client.observer().list_failed(what, error);
    let wait = RETRY_BACKOFF.delay(failures, fastrand::u64(..));
    let (what, effect, retry_in_s) = (what.name(), effect(what), seconds(wait));
    match error.kind() {
        ErrorKind::Retry | ErrorKind::Conflict | ErrorKind::NotFound => {
            tracing::warn!(failures, retry_in_s, "Listing {what} failed; {effect}: {error}");
        }
        ErrorKind::Unauthorized | ErrorKind::Unimplemented | ErrorKind::Permanent => {
            tracing::error!(failures, retry_in_s, "Listing {what} failed; {effect}: {error}");
        }
    }
    wait
}

/// What still works while a list cannot be made, and what does not.
fn effect(list: List) -> &'static str {
    match list {
        List::Requests => "new requests and changes are shown as they come, those of before are not",
        List::Records => {
            "requests are shown all the same, but a message whose request went away while the daemon was not watching stays as it is"
        }
    }
}
