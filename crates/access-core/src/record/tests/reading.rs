//! What a record says that is not complete, or is older than what Teleport says.

use super::*;

#[test]
fn the_request_and_its_state_are_known_from_an_incomplete_record() {
    let read = |pairs: &[(&str, &str)]| Record::decode(&id(), &map(pairs)).0.known;
    assert_eq!(read(&[("reviews_count", "1")]), None, "nothing says that there was a request");
    assert_eq!(read(&[("user", "alice")]).map(|known| known.user), Some("alice".into()));
    assert_eq!(read(&[("messages", "C1/1.2")]).map(|known| known.id), Some(id()));
    // The address under which it was read outweighs what is written in it.
    let other = AccessRequest { id: RequestId::new("other"), ..truncated(&sample()) };
    let text = serde_json::to_string(&other).unwrap();
    assert_eq!(read(&[("x_request", &text)]).map(|known| known.id), Some(id()));
    for (word, state) in [
        ("APPROVED", RequestState::Approved),
        ("DENIED", RequestState::Denied),
        ("PROMOTED", RequestState::Promoted),
        ("EXPIRED", RequestState::Pending),
    ] {
        let known = read(&[("user", "alice"), ("resolution", word)]).unwrap();
        assert_eq!(known.state, state, "{word}");
    }
}

#[test]
fn a_request_that_waits_again_is_not_decided_by_what_its_messages_still_show() {
    let record = Record {
        known: Some(truncated(&sample())),
        deliveries: vec![delivery(Some("#a"), "C1", Some(Phase::Approved), 0)],
        ..Record::default()
    };
    let data = record.encode();
    assert_eq!(data["resolution"], "APPROVED");
    assert_eq!(Record::decode(&id(), &data).0, record);
    // Another value there was written by another program: then it is news.
    let mut data = data;
    data.insert("resolution".into(), "DENIED".into());
    assert_eq!(Record::decode(&id(), &data).0.known.unwrap().state, RequestState::Denied);
}

#[test]
fn only_a_message_of_ours_counts_as_posted_to_a_channel() {
    let deliveries = vec![
        delivery(Some("#a"), "C1", None, 0),
        delivery(None, "C2", None, 0),
        delivery(Some("C3"), "C3", None, 0),
        delivery(Some("bob@example.com"), "C4", None, 0),
        delivery(Some("C3"), "C5", None, 0),
    ];
    let record = Record { deliveries, ..Record::default() };
    assert!(record.has_posted_to("C1") && record.has_posted_to("C3"));
    assert!(!record.has_posted_to("C2"), "the Go plugin does not record its recipients");
    assert!(!record.has_posted_to("C4"), "Slack gave a channel's address for a direct message");
    assert!(!record.has_posted_to("C5"), "Slack gave another channel's address");
    assert!(!record.has_posted_to("C6"));
}

#[test]
fn a_recorded_review_keeps_its_author_within_bounds_and_no_reason() {
    let review = |author: &str, reason: &str| crate::domain::request::Review {
        author: author.into(),
        proposed: RequestState::Approved,
        reason: reason.into(),
        created: None,
    };
    let reviews = vec![review("bob", "looks fine"), review(&"u".repeat(100_000), "")];
    let kept = truncated(&AccessRequest { reviews, ..sample() }).reviews;
    assert_eq!(kept[0], review("bob", ""));
    assert!(kept[1].author.ends_with('…') && kept[1].author.chars().count() < 1_000);
}

#[test]
fn empty_values_take_no_room() {
    let deliveries = vec![delivery(None, "C1", None, 0)];
    let record = Record { deliveries, ..Record::default() };
    assert_eq!(record.encode()["x_delivery"], r#"[{"c":"C1","t":"1795363190.000001","r":0}]"#);
}

#[test]
fn an_address_that_would_split_the_go_plugins_list_is_not_kept() {
    let is_kept = |channel: &str, ts: &str| fits_go_format(&ChannelId::new(channel), &MessageTs::new(ts));
    assert!(is_kept("C1", "1.2"));
    for invalid in ["", "C/1", "C,1", "C 1", "C1\n"] {
        assert!(!is_kept(invalid, "1.2") && !is_kept("C1", invalid), "{invalid:?}");
    }
}

#[test]
fn each_incomplete_pair_is_named_as_invalid() {
    for torn in ["C1", "C1/", "/1.2", "C1/1.2/3"] {
        let (record, invalid_keys) = Record::decode(&id(), &map(&[("messages", torn)]));
        assert_eq!((record.deliveries, invalid_keys), (vec![], vec!["messages"]), "{torn}");
    }
}

#[test]
fn a_message_is_recorded_once_and_for_one_recipient() {
    let posted = |key: &str| Outcome::Posted {
        key: RecipientKey::new(key),
        channel: ChannelId::new("C1"),
        ts: MessageTs::new("1.2"),
        displayed: None,
        user: None,
    };
    let mut record = Record::default();
    for key in ["#a", "#a", "#b"] {
        record.apply(&posted(key));
        assert!(record.deliveries.len() == 1 && record.is_delivered(&[RecipientKey::new("#a")]), "{key}");
    }
    assert_eq!((RepliesPosted::Reviews(3).count(), RepliesPosted::Votes(2).count()), (3, 2));
}
