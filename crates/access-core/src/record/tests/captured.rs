//! Records as earlier commits of this program wrote them: `captured/a910f12.json`, from before types and fields had the
//! words of the glossary, and `captured/9c547e4.json` for what came later. Each commit's own encoder wrote them.

use super::*;
use crate::domain::request::{RequestKind, Version};

/// The records of one file, by their names.
fn captured(file: &str) -> BTreeMap<String, BTreeMap<String, String>> {
    serde_json::from_str(file).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

fn known() -> AccessRequest {
    let resource = |kind: &str, name: &str, sub_resource: &str| Resource {
        cluster: "example.com".into(),
        kind: kind.into(),
        name: name.into(),
        sub_resource: sub_resource.into(),
    };
    truncated(&AccessRequest {
        roles: vec!["dba".into(), "on-call".into()],
        reason: "restore \"orders\"\nbefore 9".into(),
        assume_start: Some(at(600)),
        reviews: vec![Review { created: Some(at(60)), ..review("bob@example.com") }],
        resources: vec![
            resource("node", "4ac1e6a4-9a4b-4d6a-8b1e-0d1f6b2f4a11", ""),
            resource("kube_cluster", "prod", "orders/web-0"),
        ],
        kind: RequestKind::ShortTerm,
        ..sample()
    })
}

/// The record reads as this, and what is written of it now reads the same.
fn assert_reads(name: &str, data: &BTreeMap<String, String>, expected: &Record) {
    assert_eq!(Record::decode(&id(), data), (expected.clone(), vec![]), "{name}");
    assert_eq!(Record::decode(&id(), &expected.encode()), (expected.clone(), vec![]), "{name}, rewritten");
    // The commit that wrote it reads what is written now as its own, so going back loses nothing.
    assert_eq!(
        with_reasons(expected.encode()),
        with_reasons(data.clone()),
        "{name}, read by the earlier commit"
    );
}

/// With the reasons repeated in `x_request`, where the first commit still had them beside the Go plugin's keys. Going back to
/// it costs the reasons of requests that Teleport does not list any more, which no message is edited for.
fn with_reasons(mut data: BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut request: AccessRequest = serde_json::from_str(&data["x_request"]).unwrap();
    for (own, key) in
        [(&mut request.reason, "request_reason"), (&mut request.resolve_reason, "resolve_reason")]
    {
        *own = data.get(key).cloned().unwrap_or_default();
    }
    data.insert("x_request".to_owned(), serde_json::to_string(&request).unwrap());
    data
}

#[test]
fn a_pending_request_with_each_kind_of_value_is_read_as_before() {
    let data = &captured(include_str!("captured/a910f12.json"))["pending"];
    for key in ["x_v", "x_request", "x_delivery", "x_votes", "x_claim", "x_doubts", "messages"] {
        assert!(data.contains_key(key), "{key}");
    }
    let pending = Some(Phase::Pending);
    let mut expected = Record {
        known: Some(known()),
        deliveries: vec![
            Delivery { vote_replies: 1, ..delivery(Some("C0TEAM"), "C0TEAM", pending, 1) },
            Delivery { is_unreachable: true, ..delivery(Some("bob@example.com"), "D0BOB", pending, 1) },
            delivery(None, "C0GO", None, 1),
        ],
        claim: Some(Claim { holder: "host-1-4711".into(), generation: 7, acquired_at: at(90) }),
        in_doubt: [
            (Operation::Post(RecipientKey::new("#ops")), "ops"),
            (Operation::Reply(ChannelId::new("C0TEAM"), MessageTs::new("1795363190.000001")), "C0TEAM"),
        ]
        .map(|(operation, place)| InDoubtPost::new(operation, place.into(), at(90), at(110)))
        .into(),
        other: map(&[("x_later", "kept")]),
        ..Record::default()
    };
    let bob = Vote { groups: vec!["S0DBA".into()], ..vote("bob@example.com", Decision::Approve) };
    let carol = Vote { team: None, reason: String::new(), ..vote("carol@example.com", Decision::Deny) };
    assert!(expected.votes.push(&bob) && expected.votes.push(&carol));
    expected.votes.mark_decided("carol@example.com");
    assert_reads("pending", data, &expected);
}

#[test]
fn a_request_in_each_final_phase_is_read_as_before() {
    let data = captured(include_str!("captured/a910f12.json"));
    let (short, long) = (RequestKind::ShortTerm, RequestKind::LongTerm);
    for (name, state, reason, phase, kind) in [
        ("denied", RequestState::Denied, "not today", Phase::Denied, short),
        ("promoted", RequestState::Promoted, "", Phase::Promoted, long),
        ("expired", RequestState::Pending, "", Phase::Expired, short),
    ] {
        let promoted_to = (kind == long).then(|| "Database admins".to_owned());
        let expected = Record {
            known: Some(AccessRequest { state, resolve_reason: reason.into(), kind, promoted_to, ..known() }),
            deliveries: vec![delivery(Some("C0TEAM"), "C0TEAM", Some(phase), 1)],
            ..Record::default()
        };
        assert_reads(name, &data[name], &expected);
    }
}

#[test]
fn past_votes_repeated_posts_and_unnotified_reviewers_are_read_as_before() {
    let data = captured(include_str!("captured/9c547e4.json"));
    let bare = Record { known: Some(truncated(&sample())), ..Record::default() };
    let mut expected = Record {
        in_doubt: vec![InDoubtPost {
            first_attempted_at: at(10),
            attempts: 2,
            is_accepted: true,
            may_retry: true,
            ..InDoubtPost::new(Operation::Post(RecipientKey::new("C0TEAM")), "C0TEAM".into(), at(40), at(60))
        }],
        ..bare.clone()
    };
    expected.unnotified.push("dave");
    for user in ["bob@example.com", "carol@example.com"] {
        assert!(expected.votes.push(&vote(user, Decision::Approve)));
    }
    expected.votes.reopen(1);
    let later = vote("carol@example.com", Decision::Deny);
    assert!(expected.votes.push(&Vote { aliases: vec!["carol".into()], ineligible: true, ..later }));
    let version = Some(Version { revision: "r7".into(), reviews: 1 });
    expected.votes.see(&AccessRequest { version, ..sample() });
    assert_reads("pending", &data["pending"], &expected);

    let votes = "{\"v\":9,\"l\":[]}";
    let unreadable = Record { reopened: Some(2), other: map(&[("x_votes", votes)]), ..bare };
    assert_reads("unreadable votes", &data["unreadable votes"], &unreadable);
}
