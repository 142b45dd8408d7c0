//! What a plan leaves out: a reason for each, and the property that nothing vanishes without one.

use super::*;
use crate::domain::recipients::{Recipient, ResolvedTo, UnnotifiedReviewers, destinations};
use crate::record::Delivery;

const MINUTE: SignedDuration = SignedDuration::from_secs(60);

fn key(name: &str) -> RecipientKey {
    RecipientKey::new(name)
}

fn post(name: &str) -> Operation {
    Operation::Post(key(name))
}

fn update(channel: &str, ts: &str) -> Operation {
    Operation::Update(ChannelId::new(channel), MessageTs::new(ts))
}

fn reply(channel: &str, ts: &str) -> Operation {
    Operation::Reply(ChannelId::new(channel), MessageTs::new(ts))
}

fn delivery(key: Option<&str>, channel: &str, ts: &str) -> Delivery {
    Delivery {
        key: key.map(RecipientKey::new),
        channel: ChannelId::new(channel),
        ts: MessageTs::new(ts),
        displayed: None,
        review_replies: 0,
        vote_replies: 0,
        is_unreachable: false,
        user: None,
    }
}

fn in_doubt(operation: Operation, may_retry: bool) -> InDoubtPost {
    let at = sample().created.unwrap();
    InDoubtPost { may_retry, ..InDoubtPost::new(operation, "C01".into(), at, at + MINUTE) }
}

#[track_caller]
fn assert_skips(change: impl FnOnce(&mut Fixture), operation: Option<Operation>, reason: SkipReason) {
    let mut fixture = Fixture::new(&[]);
    fixture.recipients.recipients = vec![Recipient::ChannelId("C01".into())];
    change(&mut fixture);
    let plan = fixture.plan();
    let expected = Skipped { operation: operation.clone(), reason };
    assert!(plan.skipped.contains(&expected), "{expected:?} is not in {:?}", plan.skipped);
    let is_planned = plan.operations.iter().any(|(planned, _)| Some(planned) == operation.as_ref());
    assert!(!is_planned, "{operation:?} is planned and left out");
}

fn deliver(fixture: &mut Fixture, count: usize) {
    let filler = |n| delivery(Some(&format!("old {n}")), &format!("D{n}"), "1.1");
    fixture.record.deliveries.extend((0..count).map(filler));
}

fn set_destinations(fixture: &mut Fixture, names: &[&str]) {
    fixture.destinations = Fixture::new(names).destinations;
}

#[test]
fn each_reason_against_any_post_is_given() {
    use SkipReason::*;
    assert_skips(|f| f.current = None, None, NothingKnown);
    let removed = |expires: bool| {
        move |f: &mut Fixture| {
            f.record.known = f.current.take();
            if expires {
                f.now = sample().expires.unwrap() + MINUTE;
            }
        }
    };
    assert_skips(removed(false), None, NotListed(Phase::Deleted));
    assert_skips(removed(true), None, NotListed(Phase::Expired));
    assert_skips(|f| f.record.deliveries.push(delivery(None, "C09", "1.1")), None, NotifiedByGoPlugin);
    assert_skips(|f| f.recipients = RecipientList::default(), None, NoRecipients);
    assert_skips(|f| f.recipients.omitted = 7, None, TooManyRecipients { omitted: 7 });
    let invalid = |f: &mut Fixture| {
        f.recipients.unaddressable = UnnotifiedReviewers::default();
        (0..7).for_each(|n| f.recipients.unaddressable.push(&format!("\u{0}{n}")));
    };
    assert_skips(invalid, None, InvalidReviewers { count: 7 });
}

#[test]
fn each_reason_against_one_recipients_post_is_given() {
    use SkipReason::*;
    let now = sample().created.unwrap();
    let unresolved = |why| Unresolved { why, retry_at: None };
    assert_skips(|_| (), Some(post("C01")), unresolved(super::Unresolved::InProgress));
    let found_before = |f: &mut Fixture| {
        f.retry_at.insert(post("C01"), now + MINUTE);
    };
    assert_skips(found_before, Some(post("C01")), RetryAt(now + MINUTE));
    for why in [
        super::Unresolved::Requester,
        super::Unresolved::NoSuchUser,
        super::Unresolved::Deactivated,
        super::Unresolved::LookupFailed,
    ] {
        let insert = |f: &mut Fixture| {
            f.unresolved.insert(key("C01"), why);
        };
        assert_skips(insert, Some(post("C01")), unresolved(why));
        let waits = |f: &mut Fixture| {
            insert(f);
            f.retry_at.insert(post("C01"), now + MINUTE);
        };
        assert_skips(waits, Some(post("C01")), Unresolved { why, retry_at: Some(now + MINUTE) });
    }
    assert_skips(
        |f| f.recipients.requester = Some(key("alice@example.com")),
        Some(post("alice@example.com")),
        unresolved(super::Unresolved::Requester),
    );
    let repeated = |f: &mut Fixture| f.record.in_doubt.push(in_doubt(post("#gone"), true));
    assert_skips(repeated, Some(post("#gone")), NoLongerRecipient);
    let shares = |f: &mut Fixture| {
        set_destinations(f, &["C01"]);
        f.record.deliveries.push(delivery(Some("#team"), "C01", "1.1"));
    };
    assert_skips(shares, Some(post("C01")), SharesDestination);
    let full = |f: &mut Fixture| {
        set_destinations(f, &["C01"]);
        deliver(f, MAX_DELIVERIES);
    };
    assert_skips(full, Some(post("C01")), RecordFull);
    let many = |f: &mut Fixture| {
        set_destinations(f, &["C01"]);
        let elsewhere = |post| InDoubtPost { destination: "C02".into(), ..in_doubt(post, false) };
        f.record.in_doubt = (0..MAX_IN_DOUBT).map(|n| elsewhere(post(&format!("old {n}")))).collect();
    };
    assert_skips(many, Some(post("C01")), TooManyInDoubt);
    assert_skips(|f| set_destinations(f, &["team", "C01"]), Some(post("C01")), WaitsForNames);
    let waits = |f: &mut Fixture| {
        set_destinations(f, &["C01"]);
        f.retry_at.insert(post("C01"), now + MINUTE);
    };
    assert_skips(waits, Some(post("C01")), RetryAt(now + MINUTE));
    let verified = |f: &mut Fixture| {
        waits(f);
        f.record.in_doubt.push(in_doubt(post("C01"), false));
    };
    assert_skips(verified, Some(post("C01")), VerifyAt(now + MINUTE));
}

#[test]
fn each_reason_against_an_update_or_a_reply_is_given() {
    use SkipReason::*;
    let reviewed = |f: &mut Fixture| f.current.as_mut().unwrap().reviews.push(review("bob"));
    for operation in [update("C01", "1.1"), reply("C01", "1.1")] {
        let unreachable = |f: &mut Fixture| {
            reviewed(f);
            f.record
                .deliveries
                .push(Delivery { is_unreachable: true, ..delivery(Some("C01"), "C01", "1.1") });
        };
        assert_skips(unreachable, Some(operation), Unreachable);
    }
    let duplicate = |f: &mut Fixture| {
        reviewed(f);
        f.record.deliveries = ["1.1", "2.2"].map(|ts| delivery(Some("C01"), "C01", ts)).to_vec();
    };
    assert_skips(duplicate, Some(reply("C01", "2.2")), Duplicate);
    let unproved = |f: &mut Fixture| {
        f.record.known = f.current.take();
        f.is_absence_proved = false;
        f.record.deliveries.push(delivery(Some("C01"), "C01", "1.1"));
    };
    let expires = expires_at(&sample());
    assert!(expires.is_some());
    assert_skips(unproved, Some(update("C01", "1.1")), DeletionUnconfirmed(expires));
    let unknown = |f: &mut Fixture| {
        f.current = None;
        f.record.deliveries.push(delivery(Some("C01"), "C01", "1.1"));
        f.record.in_doubt.push(in_doubt(post("#team"), false));
    };
    assert_skips(unknown, Some(update("C01", "1.1")), NothingKnown);
    assert_skips(unknown, Some(post("#team")), NothingKnown);
}

#[test]
fn an_operation_that_was_left_out_can_be_taken_up_again() {
    let mut plan = Fixture::new(&["team", "ops"]).plan();
    let before = plan.clone();
    let at = sample().created.unwrap();
    let left_out =
        plan.leave_out(|operation, _| (*operation == post("ops")).then_some(SkipReason::WaitsForTurn(at)));
    assert_eq!(plan.operations.len(), 1);
    let reason = SkipReason::WaitsForTurn(at);
    assert_eq!(plan.skipped, [Skipped { operation: Some(post("ops")), reason }]);
    plan.take_up(left_out);
    assert_eq!(plan, before);
}

/// Every reason; a new one does not compile until it is added here.
fn every_reason() -> Vec<SkipReason> {
    use SkipReason::*;
    let at = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
    let unresolved = |why| Unresolved { why, retry_at: Some(at) };
    let all = vec![
        NothingKnown,
        NotListed(Phase::Expired),
        NotifiedByGoPlugin,
        DecidedBefore,
        OwedUnclear,
        NoRecipients,
        TooManyRecipients { omitted: 7 },
        InvalidReviewers { count: 7 },
        unresolved(super::Unresolved::InProgress),
        unresolved(super::Unresolved::Requester),
        unresolved(super::Unresolved::NoSuchUser),
        unresolved(super::Unresolved::Deactivated),
        unresolved(super::Unresolved::LookupFailed),
        NoLongerRecipient,
        SharesDestination,
        RecordFull,
        TooManyInDoubt,
        WaitsForNames,
        Unreachable,
        Duplicate,
        RetryAt(at),
        VerifyAt(at),
        DeletionUnconfirmed(Some(at)),
        WaitsForTurn(at),
        ClaimedByOther(at),
    ];
    for reason in &all {
        match reason {
            NothingKnown | NotListed(_) | NotifiedByGoPlugin | NoRecipients | TooManyRecipients { .. } => {}
            InvalidReviewers { .. } | NoLongerRecipient | SharesDestination | RecordFull => {}
            DecidedBefore | OwedUnclear => {}
            TooManyInDoubt | WaitsForNames | Unreachable | Duplicate | RetryAt(_) | VerifyAt(_) => {}
            DeletionUnconfirmed(_) | WaitsForTurn(_) | ClaimedByOther(_) => {}
            Unresolved { why, .. } => match why {
                super::Unresolved::InProgress | super::Unresolved::Requester => {}
                super::Unresolved::NoSuchUser | super::Unresolved::Deactivated => {}
                super::Unresolved::LookupFailed => {}
            },
        }
    }
    all
}

#[test]
fn each_reason_is_one_sentence_with_times_in_whole_seconds() {
    let mut kinds = std::collections::BTreeSet::new();
    for reason in every_reason() {
        assert!(kinds.insert(reason.kind()), "two reasons are called {}", reason.kind());
        let sentence = reason.to_string();
        let is_sentence = sentence.len() > 20 && !sentence.ends_with('.') && !sentence.contains(['\n', '_']);
        assert!(is_sentence, "{sentence:?}");
        assert_eq!(sentence.contains("at 2023") || sentence.contains("by 2023"), sentence.contains('Z'));
        assert!(!sentence.contains("123"), "{sentence}");
    }
    let at = Timestamp::new(1_700_000_000, 123_456_789).unwrap();
    assert_eq!(
        SkipReason::RetryAt(at).to_string(),
        "Slack failed or refused it, or its rate limit holds; the next try is at 2023-11-14T22:13:20Z"
    );
}

/// Few names, so that they meet.
const NAMES: [&str; 6] = ["#team", "C01", "C02", "U01", "bob@example.com", "@carol"];
const CHANNELS: [&str; 4] = ["C01", "C02", "D01", "D02"];

fn any_delivery() -> impl Strategy<Value = Delivery> {
    let key = prop::option::weighted(0.9, prop::sample::select(&NAMES[..]));
    let displayed =
        prop::option::of(prop::sample::select(vec![Phase::Pending, Phase::Approved, Phase::Deleted]));
    (key, prop::sample::select(&CHANNELS[..]), 1..4u8, displayed, 0..3u32, any::<bool>()).prop_map(
        |(key, channel, ts, phase, review_replies, is_unreachable)| Delivery {
            displayed: phase.map(|phase| DisplayedState { phase, digest: "0123456789abcdef".into() }),
            review_replies,
            is_unreachable,
            user: None,
            ..delivery(key, channel, &format!("{ts}.{ts}"))
        },
    )
}

fn any_operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        prop::sample::select(&NAMES[..]).prop_map(post),
        (prop::sample::select(&CHANNELS[..]), 1..4u8)
            .prop_map(|(channel, n)| update(channel, &format!("{n}.{n}"))),
        (prop::sample::select(&CHANNELS[..]), 1..4u8)
            .prop_map(|(channel, n)| reply(channel, &format!("{n}.{n}"))),
    ]
}

fn any_in_doubt() -> impl Strategy<Value = InDoubtPost> {
    let operation = any_operation()
        .prop_filter("an update is never in doubt", |operation| !matches!(operation, Operation::Update(..)));
    (operation, any::<bool>()).prop_map(|(operation, may_retry)| in_doubt(operation, may_retry))
}

fn recipient(name: &str) -> Recipient {
    match name.strip_prefix('@') {
        Some(name) => Recipient::reviewer(name).unwrap(),
        None => Recipient::parse(name).unwrap(),
    }
}

fn any_destinations() -> impl Strategy<Value = Vec<Destination>> {
    let places = prop::sample::select(vec!["team", "C01", "C02", "U01", "U02"]);
    let found = proptest::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len());
    (found, proptest::collection::vec(places, NAMES.len())).prop_map(|(found, places)| {
        let place = |place: &str| ResolvedTo::Channel(place.to_owned());
        let found: Vec<_> =
            found.into_iter().zip(places).map(|(name, to)| (recipient(name), place(to))).collect();
        destinations(&found)
    })
}

fn any_recipients() -> impl Strategy<Value = RecipientList> {
    let names = proptest::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len());
    (names, 0..2usize).prop_map(move |(names, omitted)| RecipientList {
        recipients: names.into_iter().map(recipient).collect(),
        omitted,
        ..RecipientList::default()
    })
}

fn any_record() -> impl Strategy<Value = Record> {
    let fill = prop_oneof![7 => Just(0), 1 => Just(MAX_DELIVERIES - 1)];
    let in_doubt = proptest::collection::vec(any_in_doubt(), 0..4);
    let fill_in_doubt = prop_oneof![7 => Just(0), 1 => Just(MAX_IN_DOUBT - 2)];
    let owed = prop::option::weighted(0.4, proptest::sample::subsequence(NAMES.to_vec(), 0..=NAMES.len()));
    let noted = (any::<bool>(), owed);
    (proptest::collection::vec(any_delivery(), 0..4), in_doubt, fill, fill_in_doubt, noted).prop_map(
        |(mut deliveries, mut in_doubt, fill, fill_in_doubt, (is_known, owed))| {
            let mut seen = std::collections::BTreeSet::new();
            deliveries.retain(|d| seen.insert((d.channel.clone(), d.ts.clone())));
            let mut fixture = Fixture::new(&[]);
            deliver(&mut fixture, fill);
            deliveries.extend(fixture.record.deliveries);
            let mut seen = std::collections::BTreeSet::new();
            in_doubt.retain(|post| seen.insert(post.operation.clone()));
            in_doubt.extend(
                (0..fill_in_doubt).map(|n| super::skipped::in_doubt(post(&format!("old {n}")), false)),
            );
            let known = is_known.then(sample);
            let owed = owed.map(|names| names.into_iter().map(key).collect());
            Record { known, deliveries, in_doubt, owed, ..Record::default() }
        },
    )
}

fn any_fixture() -> impl Strategy<Value = Fixture> {
    let state = prop::sample::select(vec![
        None,
        Some(RequestState::Pending),
        Some(RequestState::Approved),
        Some(RequestState::Promoted),
    ]);
    let recipients = (any_recipients(), any_destinations());
    let waits = proptest::collection::vec((any_operation(), any::<bool>()), 0..4);
    (any_record(), recipients, state, 0..3usize, waits, any::<bool>()).prop_map(
        |(record, (recipients, destinations), state, reviews, waits, is_absence_proved)| {
            let fixture = Fixture::new(&[]);
            let current =
                state.map(|state| AccessRequest { state, reviews: vec![review("bob"); reviews], ..sample() });
            let until = |is_later| fixture.now + if is_later { MINUTE } else { -MINUTE };
            let retry_at =
                waits.into_iter().map(|(operation, is_later)| (operation, until(is_later))).collect();
            Fixture { current, is_absence_proved, record, recipients, destinations, retry_at, ..fixture }
        },
    )
}

/// Whether the plan does this or says why not.
fn is_accounted_for(plan: &Plan, operation: &Operation) -> bool {
    plan.operations.iter().any(|(planned, _)| planned == operation)
        || plan.skipped.iter().any(|skipped| skipped.operation.as_ref() == Some(operation))
}

/// Whether the message shows what it should: what the plan would make of it if nothing were known of what it shows.
fn is_current(fixture: &Fixture, n: usize) -> bool {
    let mut unknown = fixture.clone();
    unknown.record.deliveries[n].displayed = None;
    unknown.record.deliveries[n].is_unreachable = false;
    unknown.retry_at.clear();
    unknown.is_absence_proved = true;
    let Delivery { channel, ts, displayed, .. } = &fixture.record.deliveries[n];
    let plan = unknown.plan();
    let steps = plan.operations.iter().flat_map(|(_, steps)| steps);
    let mut wanted = steps.filter_map(|step| match step {
        Step::Update { channel: at, ts: which, displayed, .. } if at == channel && which == ts => {
            Some(displayed)
        }
        _ => None,
    });
    match (displayed, wanted.next()) {
        (Some(shown), Some(wanted)) if fixture.current.is_some() => shown == wanted,
        (Some(shown), Some(wanted)) => shown.phase == wanted.phase,
        _ => false,
    }
}

proptest! {
    #[test]
    fn nothing_vanishes_without_a_reason(fixture in any_fixture()) {
        let Fixture { record, current, .. } = &fixture;
        let plan = fixture.plan();
        let has_post = |keys: &[RecipientKey]| {
            record.is_delivered(keys) || keys.iter().any(|key| is_accounted_for(&plan, &Operation::Post(key.clone())))
        };
        for destination in fixture.destinations.iter().filter(|_| current.is_some()) {
            prop_assert!(has_post(&destination.recipient_keys), "{destination:?}: {plan:?}");
        }
        for recipient in fixture.recipients.recipients.iter().filter(|_| current.is_some()) {
            let keys = [recipient.key()];
            let shared = fixture.destinations.iter().filter(|to| to.recipient_keys.contains(&keys[0]));
            prop_assert!(
                has_post(&keys) || shared.into_iter().any(|to| has_post(&to.recipient_keys)),
                "{recipient:?}: {plan:?}"
            );
        }
        if current.is_none() && record.deliveries.is_empty() {
            prop_assert!(plan.skipped.iter().any(|skipped| skipped.operation.is_none()), "{plan:?}");
        }
        if fixture.recipients.omitted > 0 && current.is_some() && !record.is_from_go_plugin() {
            prop_assert!(plan.skipped.iter().any(|skipped| skipped.reason.kind() == "too_many_recipients"));
        }
        for post in &record.in_doubt {
            prop_assert!(is_accounted_for(&plan, &post.operation), "{post:?}: {plan:?}");
        }
        for (n, Delivery { channel, ts, review_replies, .. }) in record.deliveries.iter().enumerate() {
            let (update, reply) =
                (Operation::Update(channel.clone(), ts.clone()), Operation::Reply(channel.clone(), ts.clone()));
            prop_assert!(is_accounted_for(&plan, &update) || is_current(&fixture, n), "{update:?}: {plan:?}");
            let reviews = current.as_ref().map_or(0, |request| request.reviews.len());
            let is_complete = usize::try_from(*review_replies).unwrap() >= reviews;
            prop_assert!(is_accounted_for(&plan, &reply) || is_complete, "{reply:?}: {plan:?}");
        }
        // What is left out is not done, and has one reason.
        let mut left_out: Vec<_> = plan.skipped.iter().filter_map(|skipped| skipped.operation.clone()).collect();
        for operation in &left_out {
            prop_assert!(!plan.operations.iter().any(|(planned, _)| planned == operation), "{operation:?}: {plan:?}");
        }
        let count = left_out.len();
        left_out.sort();
        left_out.dedup();
        prop_assert_eq!(left_out.len(), count, "{:?}", plan.skipped);
    }
}
