//! The codec both ways: ours, the Go plugin's, and invalid values.

use proptest::prelude::*;

use jiff::Timestamp;

use super::codec::ours;
use super::votes::{Vote, vote};
use super::*;
use crate::domain::decision::Decision;
use crate::domain::ids::RequestId;
use crate::domain::lifecycle::Phase;
use crate::domain::request::{Resource, Review, sample};
use crate::record::Operation;

mod addresses;
mod captured;
mod reading;

fn id() -> RequestId {
    sample().id
}

fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect()
}

fn delivery(key: Option<&str>, channel: &str, phase: Option<Phase>, replies: u32) -> Delivery {
    Delivery {
        key: key.map(RecipientKey::new),
        channel: ChannelId::new(channel),
        ts: MessageTs::new("1795363190.000001"),
        displayed: phase.map(|phase| DisplayedState { phase, digest: "0123456789abcdef".into() }),
        review_replies: replies,
        vote_replies: 0,
        is_unreachable: false,
        user: None,
    }
}

fn review(author: &str) -> Review {
    Review { author: author.into(), proposed: RequestState::Approved, reason: String::new(), created: None }
}

/// The captured files, in this binary: the crate reads none.
fn captured(name: &str) -> &'static str {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!("../../../../vectors/go-plugin-7.1.3/", $name, ".plugin-data.json"))
        };
    }
    match name {
        "created" => file!("created"),
        "approved-by-review" => file!("approved-by-review"),
        "one-of-two" => file!("one-of-two"),
        "denied" => file!("denied"),
        "deleted" => file!("deleted"),
        _ => panic!("{name} was not captured"),
    }
}

/// The `slack` entry of a plugin-data item that the Go plugin 7.1.3 wrote.
fn golden(name: &str) -> BTreeMap<String, String> {
    let json: serde_json::Value = serde_json::from_str(captured(name)).unwrap();
    let data = json[0]["spec"]["entries"]["slack"]["data"].as_object().unwrap();
    data.iter().map(|(k, v)| (k.clone(), v.as_str().unwrap().to_owned())).collect()
}

#[test]
fn every_record_of_the_go_plugin_is_adopted() {
    let expected = [
        ("created", RequestState::Pending, "", 3, 0),
        ("approved-by-review", RequestState::Approved, "looks fine", 3, 1),
        ("one-of-two", RequestState::Pending, "", 2, 1),
        ("denied", RequestState::Denied, "not today", 2, 0),
        // The Go plugin's EXPIRED is no word of Teleport's: without an expiry it reads as expired anyway.
        ("deleted", RequestState::Pending, "", 2, 0),
    ];
    for (name, state, reason, messages, replies) in expected {
        let data = golden(name);
        let (record, invalid_keys) = Record::decode(&id(), &data);
        assert_eq!(invalid_keys, Vec::<&str>::new(), "{name}");
        assert!(record.is_from_go_plugin(), "{name}");
        let known = record.known.unwrap();
        assert_eq!((known.state, known.resolve_reason.as_str()), (state, reason), "{name}");
        assert_eq!(known.user, data["user"], "{name}");
        assert_eq!(known.roles.join(","), data["roles"], "{name}");
        assert_eq!(known.reason, data["request_reason"], "{name}");
        assert_eq!(record.deliveries.len(), messages, "{name}");
        assert!(
            record.deliveries.iter().all(|d| d.displayed.is_none() && d.review_replies == replies),
            "{name}"
        );
    }
}

#[test]
fn the_go_plugin_finds_its_keys_as_it_left_them() {
    for name in ["created", "approved-by-review", "one-of-two", "denied", "deleted"] {
        let before = golden(name);
        let (mut record, _) = Record::decode(&id(), &before);
        let phase = match before.get("resolution").map(String::as_str) {
            Some("APPROVED") => Phase::Approved,
            Some("DENIED") => Phase::Denied,
            Some("EXPIRED") => Phase::Deleted,
            _ => Phase::Pending,
        };
        for delivery in record.deliveries.clone() {
            let shown = DisplayedState { phase, digest: "0".into() };
            record.apply(&Outcome::Updated { channel: delivery.channel, ts: delivery.ts, displayed: shown });
        }
        let mut after = record.encode();
        after.retain(|key, _| !key.starts_with("x_"));
        assert_eq!(after, before, "{name}");
    }
}

#[test]
fn the_single_pair_of_old_releases_is_read() {
    let (record, invalid_keys) =
        Record::decode(&id(), &map(&[("user", "a"), ("channel_id", "C1"), ("timestamp", "1.2")]));
    assert_eq!(invalid_keys, Vec::<&str>::new());
    assert_eq!(record.deliveries[0].channel, ChannelId::new("C1"));
    // From now on it is in the list.
    assert_eq!(record.encode()["messages"], "C1/1.2");
    assert!(!record.encode().contains_key("channel_id"));
    // Half of a pair leads to no message.
    for half in [("channel_id", "C1"), ("timestamp", "1.2")] {
        assert_eq!(Record::decode(&id(), &map(&[("user", "a"), half])).0.deliveries, [], "{half:?}");
    }
}

#[test]
fn an_invalid_value_costs_only_its_own_key() {
    let data = map(&[
        ("user", "alice"),
        ("messages", "C1/1.2,,broken,/3,D9/4.5/6,C2/7.8"),
        ("reviews_count", "many"),
        ("x_request", "{\"id\":"),
        ("x_delivery", "[{\"c\":7}]"),
        ("x_votes", "kept"),
    ]);
    let (record, invalid_keys) = Record::decode(&id(), &data);
    assert_eq!(invalid_keys, ["x_request", "x_delivery", "reviews_count", "messages"]);
    assert_eq!(record.deliveries.iter().map(|d| d.channel.as_str()).collect::<Vec<_>>(), ["C1", "C2"]);
    assert_eq!(record.known.as_ref().unwrap().user, "alice");
    assert_eq!(record.encode()["x_votes"], "kept");
}

#[test]
fn the_resolution_is_written_only_when_every_message_shows_it() {
    let known =
        Some(AccessRequest { state: RequestState::Approved, resolve_reason: "ok".into(), ..sample() });
    let both = |second| Record {
        known: known.clone(),
        deliveries: vec![
            delivery(Some("#a"), "C1", Some(Phase::Approved), 0),
            delivery(Some("#b"), "C2", second, 0),
        ],
        ..Record::default()
    };
    assert!(!both(Some(Phase::Pending)).encode().contains_key("resolution"));
    assert!(!both(None).encode().contains_key("resolution"));
    let done = both(Some(Phase::Approved)).encode();
    assert_eq!((done["resolution"].as_str(), done["resolve_reason"].as_str()), ("APPROVED", "ok"));
}

#[test]
fn work_of_the_go_plugin_in_between_is_seen() {
    let record = Record {
        known: Some(truncated(&sample())),
        deliveries: vec![delivery(Some("#a"), "C1", Some(Phase::Pending), 0)],
        ..Record::default()
    };
    let mut data = record.encode();
    data.insert("reviews_count".into(), "2".into());
    data.insert("resolution".into(), "DENIED".into());
    data.insert("resolve_reason".into(), "no".into());
    let (record, _) = Record::decode(&id(), &data);
    assert_eq!(record.deliveries[0].review_replies, 2);
    let known = record.known.unwrap();
    assert_eq!((known.state, known.resolve_reason.as_str()), (RequestState::Denied, "no"));
}

#[test]
fn each_reason_is_kept_once_and_no_longer_than_a_message_shows_it() {
    let count =
        |data: &BTreeMap<String, String>, c: char| data.values().map(|v| v.matches(c).count()).sum::<usize>();
    let request = AccessRequest {
        state: RequestState::Denied,
        reason: "🔥".repeat(4_000),
        resolve_reason: "🧯".repeat(4_000),
        ..sample()
    };
    for shown in [Phase::Pending, Phase::Denied] {
        let record = Record {
            known: Some(truncated(&request)),
            deliveries: vec![delivery(Some("#a"), "C1", Some(shown), 0)],
            ..Record::default()
        };
        let data = record.encode();
        for c in ['🔥', '🧯'] {
            assert_eq!(count(&data, c), 1_499, "{shown:?} {c}");
        }
        assert_eq!(Record::decode(&id(), &data).0, record, "{shown:?}");
        // The Go plugin draws the message from these.
        assert_eq!(data["request_reason"].chars().count(), 1_500);
        assert_eq!(data.contains_key("resolve_reason"), shown == Phase::Denied);
    }
}

#[test]
fn records_that_repeat_the_reason_are_read_as_before() {
    let known = truncated(&AccessRequest {
        state: RequestState::Approved,
        reason: "nightly restore".into(),
        resolve_reason: "ok".into(),
        ..sample()
    });
    let mut data = Record { known: Some(known.clone()), ..Record::default() }.encode();
    data.insert("x_request".into(), serde_json::to_string(&known).unwrap());
    assert_eq!(Record::decode(&id(), &data).0.known, Some(known.clone()));
    // Where the two differ, as they did when the Go plugin cut its own, ours is the one.
    data.insert("request_reason".into(), "nightly".into());
    assert_eq!(Record::decode(&id(), &data).0.known, Some(known));
}

#[test]
fn votes_are_kept_beside_the_rest() {
    let mut record = Record {
        known: Some(truncated(&sample())),
        deliveries: vec![delivery(Some("#a"), "C1", Some(Phase::Pending), 1)],
        ..Record::default()
    };
    assert!(!record.encode().contains_key("x_votes"));
    assert!(record.votes.push(&vote("bob@example.com", Decision::Approve)));
    let replied = Outcome::Replied {
        channel: ChannelId::new("C1"),
        ts: MessageTs::new("1795363190.000001"),
        replies: RepliesPosted::Votes(1),
    };
    record.apply(&replied);
    assert_eq!((record.deliveries[0].review_replies, record.deliveries[0].vote_replies), (1, 1));
    let (read, invalid_keys) = Record::decode(&id(), &record.encode());
    assert_eq!((&read, invalid_keys), (&record, vec![]));
    assert!(!read.has_unreadable_votes());

    let mut data = record.encode();
    data.insert("x_votes".into(), "{\"v\":9,\"l\":[]}".into());
    let (newer, _) = Record::decode(&id(), &data);
    assert!(newer.has_unreadable_votes() && newer.votes.list().is_empty());
    assert_eq!(newer.encode()["x_votes"], "{\"v\":9,\"l\":[]}");
}

#[test]
fn the_recipients_who_are_owed_a_message_are_kept_while_the_request_is_decided() {
    let keys = |names: &[&str]| names.iter().map(|name| RecipientKey::new(*name)).collect::<Vec<_>>();
    let decided = AccessRequest { state: RequestState::Approved, ..sample() };
    let mut record = Record::default();
    record.update_known(&sample());
    record.apply(&Outcome::Owed(keys(&["#random"])));
    assert_eq!(record.owed, None, "it is pending");
    record.update_known(&decided);
    record.apply(&Outcome::Owed(keys(&["#random", "U0BOB"])));
    // Another daemon, with another configuration, notes the decision, too: the first one counts.
    record.apply(&Outcome::Owed(keys(&["#new", "U0BOB"])));
    record.apply(&Outcome::Owed(vec![]));
    assert_eq!(record.owed, Some(keys(&["#random", "U0BOB"])));
    record.apply(&Outcome::NoLongerOwed(keys(&["#random", "#new"])));
    let mut data = record.encode();
    assert_eq!((data["x_owed"].as_str(), data.contains_key("x_complete")), (r#"["U0BOB"]"#, false));
    let owed = |data: &BTreeMap<String, String>| {
        let (read, invalid_keys) = Record::decode(&id(), data);
        (read.owed, invalid_keys)
    };
    assert_eq!(owed(&data), (Some(keys(&["U0BOB"])), vec![]));
    // An earlier release noted since that all have one; an invalid value costs its own key.
    data.extend(map(&[("x_complete", "1")]));
    assert_eq!(owed(&data), (Some(vec![]), vec![]));
    data.extend(map(&[("x_complete", ""), ("x_owed", "{}")]));
    assert_eq!(owed(&data), (None, vec!["x_owed"]));
    // An earlier release opened it again, and does not know the key.
    record.known = Some(truncated(&sample()));
    assert_eq!(owed(&record.encode()), (None, vec![]));
    record.known = Some(truncated(&decided));
    record.apply(&Outcome::NoLongerOwed(keys(&["U0BOB"])));
    let data = record.encode();
    assert_eq!((data["x_complete"].as_str(), data.contains_key("x_owed")), ("1", false));
    record.update_known(&sample());
    assert_eq!(record.owed, None);
    // A requester who suggests many reviewers does not fill the record: 16 names of 256 bytes have 4,096.
    let many: Vec<_> = (0..95).map(|n| RecipientKey::new(format!("{n:0>252}@x.y"))).collect();
    record.update_known(&decided);
    record.apply(&Outcome::Owed(many.clone()));
    assert_eq!(record.owed, Some(many[..16].to_vec()));
    // Every recipient fits by name and by id.
    record.update_known(&sample());
    record.update_known(&decided);
    let both: Vec<_> = (0..200).map(|n| RecipientKey::new(format!("U{n:0>10}"))).collect();
    record.apply(&Outcome::Owed(both.clone()));
    assert_eq!(record.owed, Some(both));
}

#[test]
fn a_reopening_beside_unreadable_votes_is_kept_for_a_version_that_reads_them() {
    let reviews = |count| vec![review("bob"); count];
    let request = |state, count| AccessRequest { state, reviews: reviews(count), ..sample() };
    let mut record =
        Record { known: Some(truncated(&request(RequestState::Pending, 0))), ..Record::default() };
    assert!(record.votes.push(&vote("bob", Decision::Approve)));
    let readable = record.encode()["x_votes"].clone();
    let with = |record: &Record, votes: &str| {
        let mut data = record.encode();
        data.insert("x_votes".into(), votes.into());
        Record::decode(&id(), &data)
    };
    let (mut newer, _) = with(&record, "{\"v\":9,\"l\":[]}");
    newer.update_known(&request(RequestState::Approved, 2));
    assert_eq!(newer.reopened, None, "not yet");
    newer.update_known(&request(RequestState::Pending, 1));
    assert_eq!(
        newer.known,
        Some(truncated(&request(RequestState::Pending, 1))),
        "nothing is left to be noted"
    );
    let data = newer.encode();
    assert_eq!(data["x_reopened"], "2");
    assert_eq!(Record::decode(&id(), &data), (newer.clone(), vec![]));
    // Again and again: what was of the past stays so.
    newer.update_known(&request(RequestState::Denied, 1));
    newer.update_known(&request(RequestState::Pending, 1));
    assert_eq!(newer.reopened, Some(2));
    newer.update_known(&request(RequestState::Pending, 3));
    assert_eq!(newer.reopened, Some(2), "that was no reopening");

    // A version that reads the votes does not count them, and takes new ones.
    let (mut read, invalid_keys) = with(&newer, &readable);
    assert_eq!((read.reopened, invalid_keys), (None, vec![]));
    assert_eq!((read.votes.open().len(), read.votes.past_reviews(), read.votes.list().len()), (0, 2, 1));
    assert!(read.votes.push(&vote("bob", Decision::Approve)));
    let data = read.encode();
    assert!(!data.contains_key("x_reopened"));
    assert_eq!(Record::decode(&id(), &data).0.votes.open().len(), 1);

    // An invalid value there is a reopening all the same.
    let mut data = newer.encode();
    data.extend(map(&[("x_reopened", "?"), ("x_votes", &readable)]));
    let (read, invalid_keys) = Record::decode(&id(), &data);
    assert_eq!((invalid_keys, read.votes.open().len()), (vec!["x_reopened"], 0));
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        any::<String>(),
        "[a-z,/\"\\\\ ]{0,12}",
        Just("é".repeat(5_000)),
        Just("\u{0}\u{202e}".to_owned())
    ]
}

fn request() -> impl Strategy<Value = AccessRequest> {
    (text(), proptest::collection::vec(text(), 0..80), text(), text(), 0..4u8).prop_map(
        |(user, roles, reason, why, n)| {
            let state =
                [RequestState::Pending, RequestState::Approved, RequestState::Denied, RequestState::Promoted]
                    [usize::from(n)];
            let resources = roles.iter().map(|name| Resource {
                cluster: user.clone(),
                kind: "node".into(),
                name: name.clone(),
                sub_resource: why.clone(),
            });
            AccessRequest {
                resources: resources.collect(),
                user,
                roles,
                reason,
                resolve_reason: why,
                state,
                ..sample()
            }
        },
    )
}

fn record() -> impl Strategy<Value = Record> {
    let phases =
        proptest::option::of(prop_oneof![Just(Phase::Pending), Just(Phase::Approved), Just(Phase::Denied)]);
    let delivery = (proptest::option::of("[#a-z]{1,9}"), "[CD][A-Z0-9]{2,9}", phases, 0..3u32)
        .prop_map(|(key, channel, phase, replies)| delivery(key.as_deref(), &channel, phase, replies));
    let users = proptest::collection::vec("[a-z]{1,9}", 0..6);
    (request(), proptest::collection::vec(delivery, 0..12), users).prop_map(
        |(request, mut deliveries, users)| {
            deliveries.sort_by(|a, b| a.channel.cmp(&b.channel));
            deliveries.dedup_by(|a, b| a.channel == b.channel);
            // The count that the Go plugin shares is the smallest; what is above it survives in our key.
            let mut record = Record { known: Some(truncated(&request)), deliveries, ..Record::default() };
            if truncated(&request).state != RequestState::Pending {
                record.owed = Some(record.deliveries.iter().filter_map(|d| d.key.clone()).collect());
            }
            match users.first() {
                None => {
                    record.other = map(&[("x_votes", "v")]);
                    record.reopened = (record.deliveries.len() > 6).then_some(record.deliveries.len());
                }
                Some(first) => {
                    for user in &users {
                        record.votes.push(&vote(user, Decision::Deny));
                    }
                    record.votes.mark_decided(first);
                    if users.len() > 3 {
                        record.votes.reopen(users.len());
                        record.votes.push(&vote(first, Decision::Approve));
                    }
                    let claim =
                        Claim { holder: first.clone(), generation: 7, acquired_at: Timestamp::UNIX_EPOCH };
                    let operations = record.deliveries.iter().map(|d| match &d.key {
                        Some(key) => Operation::Post(key.clone()),
                        None => Operation::Reply(d.channel.clone(), d.ts.clone()),
                    });
                    let posts: Vec<_> =
                        operations.map(|operation| (operation, "C0TEAM".to_owned())).collect();
                    record.acquire(claim, posts, &ClaimTimings::default());
                }
            }
            record
        },
    )
}

proptest! {
    #[test]
    fn a_record_is_read_back_as_written(record in record()) {
        let (read, invalid_keys) = Record::decode(&id(), &record.encode());
        prop_assert_eq!(invalid_keys, Vec::<&str>::new());
        prop_assert_eq!(read, record);
    }

    #[test]
    fn any_plugin_data_is_read_and_its_rewriting_is_stable(
        data in proptest::collection::btree_map(
            prop_oneof![any::<String>(), prop::sample::select([go::ALL.as_slice(), &ours::ALL].concat()).prop_map(str::to_owned)],
            text(),
            0..12,
        )
    ) {
        let (record, _) = Record::decode(&id(), &data);
        let once = record.encode();
        let (again, invalid_keys) = Record::decode(&id(), &once);
        prop_assert_eq!(invalid_keys, Vec::<&str>::new());
        prop_assert_eq!(again.encode(), once);
    }

}

proptest! {
    // Each case writes hundreds of kilobytes.
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn the_record_stays_far_below_the_servers_limit(mut request in request(), count in 0..400usize) {
        request.roles = vec!["\u{10ffff}".repeat(600); 400];
        request.reason = "\u{1}".repeat(100_000);
        let mut record = Record { known: Some(truncated(&request)), ..Record::default() };
        for n in 0..count {
            record.apply(&Outcome::Posted {
                key: RecipientKey::new(format!("{n}{}", "k".repeat(250))),
                channel: ChannelId::new(format!("C{n}")),
                ts: MessageTs::new("1795363190.000001"),
                user: None,
                displayed: Some(DisplayedState { phase: Phase::Pending, digest: "0123456789abcdef".into() }),
            });
            let operation = Operation::Post(RecipientKey::new(format!("{n}{}", "k".repeat(250))));
            record.in_doubt.push(InDoubtPost {
                first_attempted_at: Timestamp::from_second(1).unwrap(),
                attempts: u32::MAX,
                is_accepted: true,
                may_retry: true,
                ..InDoubtPost::new(operation, "p".repeat(320), Timestamp::UNIX_EPOCH, Timestamp::UNIX_EPOCH)
            });
        }
        for n in 0..200 {
            let reason = "\u{1}\"🔥".repeat(400);
            let groups = vec!["S".repeat(64); 8];
            record.votes.push(&Vote { reason, groups, ..vote(&format!("u{n}"), Decision::Approve) });
        }
        let bytes: usize = record.encode().iter().map(|(k, v)| k.len() + v.len()).sum();
        prop_assert!(bytes < 700_000, "{}", bytes);
        prop_assert_eq!(truncated(&truncated(&request)), truncated(&request));
    }
}

#[test]
fn unnotified_reviewers_are_recorded_until_they_are_notified() {
    let id = RequestId::new("r1");
    let mut unnotified = UnnotifiedReviewers::default();
    ["bob", "c,d"].iter().for_each(|name| unnotified.push(name));
    let mut record = Record::default();
    record.apply(&Outcome::Unnotified(unnotified.clone()));
    let data = record.encode();
    assert_eq!(data["x_untold"], r#"{"n":["bob","c,d"],"m":0}"#);
    assert_eq!(Record::decode(&id, &data).0.unnotified, unnotified);
    // Only the first five are kept by name, and how many there are besides.
    let mut many = UnnotifiedReviewers::default();
    (0..8).for_each(|n| many.push(&format!("u{n}")));
    record.apply(&Outcome::Unnotified(many.clone()));
    let read = Record::decode(&id, &record.encode()).0.unnotified;
    assert_eq!((read.names().len(), read.more()), (5, 3));
    record.apply(&Outcome::Unnotified(UnnotifiedReviewers::default()));
    assert!(!record.encode().contains_key("x_untold"));
    let invalid_keys = [("x_untold".to_owned(), "bob".to_owned())].into();
    assert_eq!(Record::decode(&id, &invalid_keys).1, ["x_untold"]);
}

#[test]
fn after_a_change_of_the_configuration_there_is_room_for_all_recipients_again() {
    let mut record = Record::default();
    let ts = || MessageTs::new("1795363190.000001");
    let room = 2 * crate::domain::recipients::MAX_RECIPIENTS;
    for n in 0..=room {
        let (key, channel) = (RecipientKey::new(format!("#c{n}")), ChannelId::new(format!("C{n}")));
        assert_eq!(record.accepts(&key, &channel, &ts()), n < room, "{n}");
        record.apply(&Outcome::Posted { key: key.clone(), channel, ts: ts(), displayed: None, user: None });
        let (operation, attempted_at) = (Operation::Post(key), Timestamp::UNIX_EPOCH);
        let (is_accepted, is_first) = (false, false);
        let place = "C1".to_owned();
        record.apply(&Outcome::InDoubt {
            operation,
            destination: place,
            attempted_at,
            final_at: attempted_at,
            is_accepted,
            is_first,
        });
    }
    assert_eq!((record.deliveries.len(), record.in_doubt.len()), (room, room));
    let read = Record::decode(&id(), &record.encode()).0;
    assert_eq!((read.deliveries.len(), read.in_doubt.len()), (room, room));
}
