//! The plugin data of one request: read, written, read again, and drawn.
//!
//! The bytes are entries `key=value` with U+001E between them, so that a change in one does not hide the others.

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

use super::judge::{validate, validate_view};

type Data = BTreeMap<String, String>;

const PHASES: [Phase; 7] = [
    Phase::Pending,
    Phase::Approved,
    Phase::Denied,
    Phase::Promoted,
    Phase::Expired,
    Phase::Deleted,
    Phase::Unknown,
];

/// The keys that the Go plugin reads and writes, and the pair that older releases had.
const GO_KEYS: [&str; 7] =
    ["user", "roles", "request_reason", "reviews_count", "resolution", "resolve_reason", "messages"];
const OLD_PAIR: [&str; 2] = ["channel_id", "timestamp"];

/// Whatever the data is: what is understood of it survives writing, the Go plugin understands what is written, and
/// Slack takes what is drawn of it. Returns what it was.
pub(crate) fn check(bytes: &[u8]) -> &'static str {
    let id = RequestId::new("8f77d2d1-2bbf-4031-a300-58926237a807");
    let data = entries(&String::from_utf8_lossy(bytes));
    let (mut record, rubbish) = Record::decode(&id, &data);
    let distinct: BTreeSet<_> = rubbish.iter().collect();
    assert_eq!(distinct.len(), rubbish.len(), "{rubbish:?}");
    assert!(rubbish.iter().all(|key| !data[*key].is_empty()), "{rubbish:?}");
    assert!(record.known.iter().all(|known| known.id == id));

    let once = check_rewriting(&id, &record);
    // Otherwise the record of a request would grow by being looked at.
    assert!(size(&once) <= 16 * size(&data) + 2_000, "{} bytes became {}", size(&data), size(&once));
    let kept = data.iter().filter(|(key, value)| !value.is_empty() && !is_known(key));
    kept.for_each(|(key, value)| assert_eq!(once.get(key), Some(value), "{key} was not kept"));

    // Drawing costs most of the time, so each input is drawn in one way.
    let (phase, turn) = (PHASES[bytes.len() % PHASES.len()], bytes.len() / PHASES.len());
    if let Some(known) = &record.known {
        check_drawing(known, phase, turn, &record);
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

/// Writes the record and reads it again, with nothing lost; returns what was written.
fn check_rewriting(id: &RequestId, record: &Record) -> Data {
    let once = record.encode();
    assert!(once.values().all(|value| !value.is_empty()), "an empty value: {once:?}");
    check_go_keys(&once, record);
    let (again, rubbish) = Record::decode(id, &once);
    assert_eq!(rubbish, Vec::<&str>::new());
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
    let (settled, _) = Record::decode(id, &twice);
    assert_eq!((settled.encode(), &settled), (twice, &again));
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

/// What is drawn of a request is as Slack takes it; which message, `turn` says.
fn check_drawing(known: &AccessRequest, phase: Phase, turn: usize, record: &Record) {
    let view = MessageInput { request: known, phase, cluster: "example", edition: Edition::Community };
    let votes = Some(&record.votes);
    let deciding =
        ReviewSection { controls: Controls::Buttons { confirm: true }, votes, ..ReviewSection::default() };
    let message = match turn % 3 {
        0 => request_message_with_review(&view, &deciding),
        1 => request_message_with_review(
            &MessageInput {
                edition: Edition::Enterprise { web_proxy: Some("teleport.example.com:443") },
                ..view
            },
            &deciding,
        ),
        _ => fallback_message(&view),
    };
    let length: usize = validate(&message).all().map(String::len).sum();
    assert!(length < 40_000, "{length} bytes of text");
    known.reviews.iter().take(2).for_each(|review| drop(validate(&review_reply(review))));
    record.votes.list().iter().take(2).for_each(|vote| drop(validate(&vote_reply(vote))));
    for delivery in record.deliveries.iter().take(1) {
        let dialogue = ModalState {
            request: known.id.clone(),
            decision: Decision::Deny,
            channel: delivery.channel.clone(),
            ts: delivery.ts.clone(),
            opened_at: Timestamp::UNIX_EPOCH,
            required: turn.is_multiple_of(2),
            cluster: shown_cluster(&known.reason),
        };
        let view = reason_modal(known, &dialogue);
        assert_eq!(view.is_some(), dialogue.encode().is_some());
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
