//! Lists what there is beside an open watch: the requests, then the records, each as often as it takes.
//!
//! A list that fails ends nothing: the watch and its receiver go on, and the list is made again, ever more rarely.
//! `rights.rs` finds out what an absence from the list means; the receiver decides.

use std::time::Duration;

use access_core::domain::error_chain::seconds;
use access_core::domain::ids::RequestId;
use access_core::domain::log_once::LogOnce;
use access_core::domain::request::AccessRequest;
use futures_util::{FutureExt, Stream, StreamExt, future, stream};
use tokio::sync::mpsc::{self, Sender};

use super::client::Client;
use super::error::{ErrorKind, TeleportError};
use super::observer::List;
use super::plugin_data::Fields;
use super::visibility::Visibility;

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

/// How much of the existing requests a list contains.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Completeness {
    /// All: what is not listed is gone, or was made this moment.
    Complete,
    /// Perhaps not all.
    Unknown,
    /// Not all.
    Partial,
}

/// Lists until every list was complete.
pub(super) fn list_steps(client: Client) -> impl Stream<Item = ListStep> {
    let (sink, steps) = mpsc::channel(1);
    let steps =
        stream::unfold(steps, |mut steps| async move { steps.recv().await.map(|step| (step, steps)) });
    let work = async move { list(&client, &sink).await };
    // Polled together; the work itself yields nothing.
    stream::select(steps, work.into_stream().filter_map(|_| future::ready(None)))
}

/// `None` if the receiver is gone.
async fn list(client: &Client, sink: &Sender<ListStep>) -> Option<()> {
    let (mut failures, mut record_failures) = (0, 0);
    let mut log_once = LogOnce::default();
    let mut wait_for_records;
    loop {
        sink.send(ListStep::Started).await.ok()?;
        let (requests, completeness, error) = match requests(client).await {
            Ok(listed) => listed,
            Err(error) => {
                failures += 1;
                tokio::time::sleep(log_failure(client, List::Requests, &error, failures, &mut log_once))
                    .await;
                continue;
            }
        };
        sink.send(ListStep::Requests(requests, completeness)).await.ok()?;
        // Also beside a list that is not whole: some of what is recorded is over by its own time.
        wait_for_records = records(client, sink, &mut record_failures, &mut log_once).await?;
        let Some(error) = error else { break };
        failures += 1;
        tokio::time::sleep(log_failure(client, List::Requests, &error, failures, &mut log_once)).await;
    }
    client.observer().list_succeeded(List::Requests);
    while let Some(wait) = wait_for_records {
        tokio::time::sleep(wait).await;
        wait_for_records = records(client, sink, &mut record_failures, &mut log_once).await?;
    }
    Some(())
}

/// The requests, and why they are to be listed again.
async fn requests(
    client: &Client,
) -> Result<(Vec<AccessRequest>, Completeness, Option<TeleportError>), TeleportError> {
    let found = client.list_requests().await?;
    let (completeness, error) = match (found.only_pending, client.visibility().await) {
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
    Ok((found.requests, completeness, error))
}

/// Tries once; returns how long to wait before the next try, if one is due.
async fn records(
    client: &Client,
    sink: &Sender<ListStep>,
    failures: &mut u32,
    log_once: &mut LogOnce,
) -> Option<Option<Duration>> {
    match client.list_records().await {
        Ok(records) => {
            sink.send(ListStep::Records(records)).await.ok()?;
            client.observer().list_succeeded(List::Records);
            *failures = 0;
            Some(None)
        }
        Err(error) => {
            *failures += 1;
            Some(Some(log_failure(client, List::Records, &error, *failures, log_once)))
        }
    }
}

/// Logs that a list failed, loudly once for each kind of error; returns how long to wait before the next.
fn log_failure(
    client: &Client,
    what: List,
    error: &TeleportError,
    failures: u32,
    log_once: &mut LogOnce,
) -> Duration {
    client.observer().list_failed(what, error);
    let wait = client.timings().list_retry.delay(failures, fastrand::u64(..));
    let is_news = log_once.once(what.name(), &format!("{:?}", error.kind()));
    let (what, effect, retry_in_s) = (what.name(), effect(what), seconds(wait));
    match error.kind() {
        _ if !is_news => {
            tracing::debug!(failures, retry_in_s, "Listing {what} failed; {effect}: {error}")
        }
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
