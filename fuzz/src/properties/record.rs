//! The plugin data of one request: read, written, read again, and rendered.
//!
//! The bytes are entries `key=value`, separated by U+001E, so that a change in one does not hide the others.

use std::collections::{BTreeMap, BTreeSet};

use access_core::domain::decision::Decision;
use access_core::domain::ids::RequestId;
use access_core::domain::lifecycle::Phase;
use access_core::domain::request::{AccessRequest, RequestState};
use access_core::interaction::controls::ModalState;
use access_core::record::{Outcome, Record};
use access_core::render::modal::reason_modal;
use access_core::render::request_message::{
    Controls, Edition, MessageInput, ReviewSection, fallback_message, request_message_with_review,
    shown_cluster,
};
use access_core::render::thread_reply::{review_reply, vote_reply};
use jiff::Timestamp;

use super::oracle::{validate, validate_view};

type Data = BTreeMap<String, String>;

/// The keys that the Go plugin reads and writes, and the pair that older releases had.
const GO_KEYS: [&str; 7] =
    ["user", "roles", "request_reason", "reviews_count", "resolution", "resolve_reason", "messages"];
const OLD_PAIR: [&str; 2] = ["channel_id", "timestamp"];

/// For any data: the parsed part survives writing, the Go plugin understands what is written, and Slack accepts what is
/// rendered. Returns the kind of data.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    let id = RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807");
    let data = entries(&String::from_utf8_lossy(bytes));
    let (mut record, invalid_keys) = Record::decode(&id, &data);
    let distinct: BTreeSet<_> = invalid_keys.iter().collect();
    assert_eq!(distinct.len(), invalid_keys.len(), "{invalid_keys:?}");
    assert!(invalid_keys.iter().all(|key| !data[*key].is_empty()), "{invalid_keys:?}");
    assert!(record.known.iter().all(|known| known.id == id));

    let once = check_rewriting(&id, &record);
    // Otherwise each read and write would grow the record of a request.
    assert!(size(&once) <= 16 * size(&data) + 2_000, "{} bytes became {}", size(&data), size(&once));
    let kept = data.iter().filter(|(key, value)| !value.is_empty() && !is_known(key));
    kept.for_each(|(key, value)| assert_eq!(once.get(key), Some(value), "{key} was not kept"));

    // Rendering takes most of the time, so each input is rendered in one way.
    let (phase, variant) = (Phase::ALL[bytes.len() % Phase::ALL.len()], bytes.len() / Phase::ALL.len());
    if let Some(known) = &record.known {
        check_rendering(known, phase, variant, &record);
    }
    show_everywhere(&mut record, phase);
    check_rewriting(&id, &record);
    match &record {
        Record { known: None, .. } => "nothing known",
        record if record.is_from_go_plugin() => "adopted",
        record if record.has_unreadable_votes() => "newer votes",
        record if record.votes.list().is_empty() => "ours",
        _ => "ours with votes",
    }
}

fn entries(text: &str) -> Data {
    let entries = text.split('\u{1e}').map(|entry| entry.split_once('=').unwrap_or((entry, "")));
    entries.map(|(key, value)| (key.to_owned(), value.to_owned())).collect()
}

fn size(data: &Data) -> usize {
    data.iter().map(|(key, value)| key.len() + value.len()).sum()
}

fn is_known(key: &str) -> bool {
    key.starts_with("x_") || GO_KEYS.contains(&key) || OLD_PAIR.contains(&key)
}

/// Writes the record and reads it again without loss; returns what was written.
fn check_rewriting(id: &RequestId, record: &Record) -> Data {
    let once = record.encode();
    assert!(once.values().all(|value| !value.is_empty()), "an empty value: {once:?}");
    check_go_keys(&once, record);
    let (again, invalid_keys) = Record::decode(id, &once);
    assert_eq!(invalid_keys, Vec::<&str>::new());
    let mut expected = record.clone();
    // What every message shows is written as the Go plugin's `resolution`, which outranks a state not yet decided.
    if let (Some(known), Some(read)) = (&mut expected.known, &again.known)
        && known.state == RequestState::Pending
        && once.contains_key("resolution")
    {
        known.state = read.state;
        known.resolve_reason.clone_from(&read.resolve_reason);
    }
    assert_eq!(again, expected);
    let twice = again.encode();
    let (reread, _) = Record::decode(id, &twice);
    assert_eq!((reread.encode(), &reread), (twice, &again));
    once
}

/// The Go plugin's keys, by its own rules.
fn check_go_keys(data: &Data, record: &Record) {
    let text = |key: &str| data.get(key).map_or("", String::as_str);
    assert!(OLD_PAIR.iter().all(|key| !data.contains_key(*key)), "{data:?}");
    match &record.known {
        Some(known) => {
            assert_eq!(text("user"), known.user);
            assert_eq!(text("request_reason"), known.reason);
            assert_eq!(text("roles"), known.roles.join(","));
        }
        None => assert!(GO_KEYS.iter().all(|key| !data.contains_key(*key)), "{data:?}"),
    }
    let count = text("reviews_count");
    assert!(count.is_empty() || count.parse::<u32>().is_ok_and(|count| count > 0), "{count}");
    let resolution = text("resolution");
    assert!(["", "APPROVED", "DENIED", "PROMOTED", "EXPIRED"].contains(&resolution), "{resolution}");
    assert!(!resolution.is_empty() || text("resolve_reason").is_empty());

    let messages: Vec<_> = text("messages").split(',').filter(|message| !message.is_empty()).collect();
    assert_eq!(messages.len(), record.deliveries.len());
    for (message, delivery) in messages.iter().zip(&record.deliveries) {
        let parts: Vec<_> = message.split('/').collect();
        assert_eq!(parts, [delivery.channel.as_str(), delivery.ts.as_str()]);
        assert!(parts.iter().all(|part| !part.is_empty() && part.trim() == *part), "{message:?}");
    }
    let distinct: BTreeSet<_> = messages.iter().collect();
    assert_eq!(distinct.len(), messages.len(), "{messages:?}");
}

/// Slack accepts what is rendered of a request; `variant` chooses the message.
fn check_rendering(known: &AccessRequest, phase: Phase, variant: usize, record: &Record) {
    let view = MessageInput { request: known, phase, cluster: "example", edition: Edition::Community };
    let votes = Some(&record.votes);
    let section =
        ReviewSection { controls: Controls::Buttons { confirm: true }, votes, ..ReviewSection::default() };
    let message = match variant % 3 {
        0 => request_message_with_review(&view, &section),
        1 => request_message_with_review(
            &MessageInput {
                edition: Edition::Enterprise { web_proxy: Some("teleport.example.com:443") },
                ..view
            },
            &section,
        ),
        _ => fallback_message(&view),
    };
    let length: usize = validate(&message).all().map(String::len).sum();
    assert!(length < 40_000, "{length} bytes of text");
    known.reviews.iter().take(2).for_each(|review| drop(validate(&review_reply(review))));
    record.votes.list().iter().take(2).for_each(|vote| drop(validate(&vote_reply(vote))));
    for delivery in record.deliveries.iter().take(1) {
        let modal = ModalState {
            request: known.id.clone(),
            decision: Decision::Deny,
            channel: delivery.channel.clone(),
            ts: delivery.ts.clone(),
            opened_at: Timestamp::UNIX_EPOCH,
            required: variant.is_multiple_of(2),
            cluster: shown_cluster(&known.reason),
        };
        let view = reason_modal(known, &modal);
        assert_eq!(view.is_some(), modal.encode().is_some());
        view.iter().for_each(validate_view);
    }
}

/// As if Slack had confirmed an edit of every message.
fn show_everywhere(record: &mut Record, phase: Phase) {
    for delivery in record.deliveries.clone() {
        let displayed = access_core::record::DisplayedState { phase, digest: "0123456789abcdef".into() };
        record.apply(&Outcome::Updated { channel: delivery.channel, ts: delivery.ts, displayed });
    }
}
