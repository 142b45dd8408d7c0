use std::time::Duration;

use access_sim::captured::Captured;
use futures_util::FutureExt;

use super::*;

/// For a file that is not there, so that nothing is looked at.
fn requests() -> ReloadRequests {
    of_file(Path::new("absent.toml"))
}

fn of_file(path: &Path) -> ReloadRequests {
    let timings = FileTimings { poll: Duration::from_secs(2), retry: Duration::from_secs(10) };
    ReloadRequests::new(path, timings, ReloadState::new())
}

async fn reading(requests: &ReloadRequests) -> Reading {
    Reading::take(requests.path()).await
}

#[tokio::test]
async fn requests_during_a_reload_make_one_more() {
    let requests = requests();
    requests.request(ReloadCause::FileChanged);
    requests.request(ReloadCause::Signal);
    assert_eq!(requests.next().now_or_never(), Some(ReloadCause::Signal));
    for _ in 0..3 {
        requests.request(ReloadCause::FileChanged);
    }
    requests.succeeded(reading(&requests).await);
    assert_eq!(requests.next().now_or_never(), Some(ReloadCause::FileChanged));
    requests.succeeded(reading(&requests).await);
    assert_eq!(requests.next().now_or_never(), None, "one is enough for all of them");
}

#[tokio::test]
async fn a_reload_that_is_dropped_before_its_end_comes_again() {
    let requests = requests();
    requests.request(ReloadCause::Signal);
    assert_eq!(requests.next().await, ReloadCause::Signal);
    // As by a start that both sides answered meanwhile.
    assert_eq!(requests.next().now_or_never(), Some(ReloadCause::Signal));
    assert!(requests.0.state.status().is_reloading);
}

#[tokio::test]
async fn a_refusal_is_logged_once_and_for_each_signal() {
    let log = Captured::of_crate(env!("CARGO_CRATE_NAME"));
    let requests = requests();
    let causes = || vec!["f:1: a".to_owned(), "f:2: b".to_owned()];
    let refuse = async |causes, cause| requests.refused(reading(&requests).await, causes, cause);
    refuse(causes(), ReloadCause::FileChanged).await;
    let refused_at = requests.0.state.status().refusal.unwrap().at;
    refuse(causes(), ReloadCause::Retry).await;
    refuse(causes(), ReloadCause::FileChanged).await;
    assert_eq!(log.count("ERROR "), 2, "{}", log.text());
    refuse(causes(), ReloadCause::Signal).await;
    assert_eq!(log.count("ERROR "), 4, "{}", log.text());
    // The first and the number are the same, and one is another.
    refuse(vec!["f:1: a".to_owned(), "f:2: c".to_owned()], ReloadCause::Retry).await;
    assert_eq!(log.count("ERROR "), 6, "{}", log.text());
    let refusal = requests.0.state.status().refusal.unwrap();
    assert_eq!(refusal.summary(), "f:1: a (and 1 more)");
    assert!(refusal.at >= refused_at);
    requests.unchanged(reading(&requests).await);
    requests.unchanged(reading(&requests).await);
    assert_eq!(log.count("are good again"), 1, "{}", log.text());
}

/// The paused clock moves only while everything waits, so each wait is as many looks as it says.
#[tokio::test(start_paused = true)]
async fn contents_are_compared_with_what_was_judged_last() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("slack.toml");
    std::fs::write(&path, "a").unwrap();
    let requests = of_file(&path);
    let seconds = Duration::from_secs;
    let next_within = async |limit| tokio::time::timeout(seconds(limit), requests.next()).await.ok();
    requests.succeeded(reading(&requests).await);
    assert_eq!(next_within(60).await, None);

    // Judged between two looks, and put back before the next.
    std::fs::write(&path, "b").unwrap();
    let other = reading(&requests).await;
    std::fs::write(&path, "a").unwrap();
    requests.succeeded(other);
    assert_eq!(next_within(5).await, Some(ReloadCause::FileChanged));

    // What was refused is tried again after a while, and what is new at the second look.
    requests.refused(reading(&requests).await, vec!["no".to_owned()], ReloadCause::FileChanged);
    assert_eq!(next_within(9).await, None);
    assert_eq!(next_within(3).await, Some(ReloadCause::Retry));
    requests.refused(reading(&requests).await, vec!["no".to_owned()], ReloadCause::Retry);
    std::fs::write(&path, "c").unwrap();
    assert_eq!(next_within(3).await, None, "a program may still be writing");
    assert_eq!(next_within(5).await, Some(ReloadCause::FileChanged));
}
