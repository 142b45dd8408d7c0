//! When a request is woken while its look-ups go on.

use futures_util::stream;

use super::*;

fn found(name: &str) -> LookupResult {
    Ok((Recipient::ChannelName(name.to_owned()), ResolvedTo::Channel(name.to_owned())))
}

fn missing(name: &str) -> LookupResult {
    Err(LookupError { recipient: Recipient::ChannelName(name.to_owned()), kind: LookupErrorKind::NoSuchUser })
}

/// The ids that came out of a channel with room for one, which another request has taken, in the first second; and those of
/// the hours after it. One more look-up lasts an hour.
async fn woken_by(ended: Vec<(LookupResult, bool)>) -> (Vec<String>, Vec<String>) {
    let (updates, mut received) = mpsc::channel(1);
    updates.send(RequestId::new("other")).await.unwrap();
    let (results, _taken) = mpsc::unbounded_channel();
    let slow = stream::once(Box::pin(async {
        tokio::time::sleep(Duration::from_secs(3_600)).await;
        (missing("slow"), false)
    }));
    let running = stream::iter(ended).chain(slow);
    let reporting = report(running, results, updates, RequestId::new("ours"));
    let receiving = async {
        // Everything that has ended is taken up before there is room.
        tokio::time::sleep(Duration::from_millis(1)).await;
        let (mut soon, mut late) = (Vec::new(), Vec::new());
        while let Ok(Some(id)) = tokio::time::timeout(Duration::from_secs(1), received.recv()).await {
            soon.push(id.to_string());
        }
        while let Some(id) = received.recv().await {
            late.push(id.to_string());
        }
        (soon, late)
    };
    tokio::join!(reporting, receiving).1
}

#[tokio::test(start_paused = true)]
async fn a_result_that_cannot_wait_wakes_the_request_although_the_channel_was_full() {
    for ended in [
        vec![(found("a"), false)],
        vec![(missing("b"), false), (found("a"), true), (missing("c"), false)],
        // It is looked up again at its own time.
        vec![(missing("a"), true), (missing("b"), false)],
    ] {
        let (soon, late) = woken_by(ended).await;
        assert_eq!((soon, late), (vec!["other".to_owned(), "ours".to_owned()], vec!["ours".to_owned()]));
    }
    let (soon, late) = woken_by(vec![(missing("b"), false)]).await;
    assert_eq!((soon, late), (vec!["other".to_owned()], vec!["ours".to_owned()]), "invented ones wait");
}
