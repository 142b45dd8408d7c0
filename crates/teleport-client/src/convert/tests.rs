use proptest::prelude::*;
use prost::Message;

use super::*;

fn at(seconds: i64, nanos: i32) -> Option<prost_types::Timestamp> {
    Some(prost_types::Timestamp { seconds, nanos })
}

fn named() -> wire::AccessRequestV3 {
    wire::AccessRequestV3 {
        metadata: Some(wire::Metadata { name: Bytes::from_static(b"r1"), ..Default::default() }),
        spec: Some(wire::AccessRequestSpecV3::default()),
        ..Default::default()
    }
}

fn convert(change: impl FnOnce(&mut wire::Metadata, &mut wire::AccessRequestSpecV3)) -> AccessRequest {
    let mut message = named();
    change(message.metadata.as_mut().unwrap(), message.spec.as_mut().unwrap());
    access_request(message).unwrap()
}

#[test]
fn dry_runs_and_nameless_requests_are_none() {
    let mut dry_run = named();
    dry_run.spec.as_mut().unwrap().dry_run = true;
    assert_eq!(access_request(dry_run), None);
    assert_eq!(access_request(wire::AccessRequestV3::default()), None);
    assert!(access_request(wire::AccessRequestV3 { spec: None, ..named() }).is_some());
}

#[test]
fn text_that_is_not_utf8_is_shown() {
    let request = convert(|_, spec| {
        spec.request_reason = Bytes::from_static(b"caf\xe9 \xf0\x9f\x94\xa5");
        spec.roles = vec![Bytes::from_static(b"\xff"), Bytes::from_static(b"dba")];
    });
    assert_eq!(request.reason, "caf\u{fffd} 🔥");
    assert_eq!(request.roles, ["\u{fffd}", "dba"]);
}

#[test]
fn times_that_are_none() {
    let far = i64::MAX;
    for none in [
        None,
        at(GO_ZERO_TIME, 0),
        at(GO_ZERO_TIME, 5),
        at(i64::MIN, 0),
        at(far, 0),
        at(0, -1),
        at(0, i32::MAX),
    ] {
        assert_eq!(timestamp(none.as_ref()), None, "{none:?}");
    }
    assert_eq!(timestamp(at(0, 0).as_ref()), Some(Timestamp::UNIX_EPOCH), "1970 is a time like any other");
    assert_eq!(
        timestamp(at(1, 999_999_999).as_ref()),
        Some("1970-01-01T00:00:01.999999999Z".parse().unwrap())
    );
}

#[test]
fn each_expiry_is_read_from_its_sources_in_order() {
    let seconds = |time: Option<Timestamp>| time.map(Timestamp::as_second);
    let assert_times = |max_duration, resource, metadata, spec, expected: (Option<i64>, Option<i64>)| {
        let request = convert(|meta, s| {
            s.max_duration = max_duration;
            s.resource_expiry = resource;
            meta.expires = metadata;
            s.expires = spec;
        });
        assert_eq!((seconds(request.access_until), seconds(request.expires)), expected);
    };
    let unset = at(GO_ZERO_TIME, 0);
    assert_times(at(1, 0), at(2, 0), at(3, 0), at(4, 0), (Some(1), Some(2)));
    assert_times(unset, unset, at(3, 0), at(4, 0), (Some(4), Some(3)));
    assert_times(None, None, None, at(4, 0), (Some(4), Some(4)));
    assert_times(None, None, unset, unset, (None, None));
}

#[test]
fn numbers_unknown_to_us_stay_unknown() {
    let state = |number| convert(|_, spec| spec.state = number).state;
    assert_eq!([0, 1, 2, 3, 4].map(state), {
        use RequestState::*;
        [Unknown(0), Pending, Approved, Denied, Promoted]
    });
    assert_eq!([-1, 5, i32::MAX].map(state), [-1, 5, i32::MAX].map(RequestState::Unknown));
    let kind = |number| convert(|_, spec| spec.request_kind = number).kind;
    assert_eq!([0, 1, 2, 3, -1].map(kind), {
        use RequestKind::*;
        [Unstated, ShortTerm, LongTerm, Unknown(3), Unknown(-1)]
    });
}

#[test]
fn reviews_that_decide_nothing_are_left_out_and_unknown_ones_are_not() {
    let review = |author: &'static str, proposed_state| wire::AccessReview {
        author: Bytes::from_static(author.as_bytes()),
        proposed_state,
        ..Default::default()
    };
    let request = convert(|_, spec| {
        spec.reviews = vec![review("a", 2), review("b", 4), review("c", 0), review("d", 77), review("e", 3)];
    });
    let kept: Vec<_> = request.reviews.iter().map(|r| (r.author.as_str(), r.proposed)).collect();
    let unknown = RequestState::Unknown(77);
    assert_eq!(kept, [("a", RequestState::Approved), ("d", unknown), ("e", RequestState::Denied)]);
}

#[test]
fn the_newer_list_of_resources_wins() {
    let id = |name: &'static str| wire::ResourceId {
        name: Bytes::from_static(name.as_bytes()),
        ..Default::default()
    };
    let names = |request: AccessRequest| request.resources.into_iter().map(|r| r.name).collect::<Vec<_>>();
    let old = convert(|_, spec| spec.requested_resource_ids = vec![id("old")]);
    assert_eq!(names(old), ["old"]);
    let both = convert(|_, spec| {
        spec.requested_resource_ids = vec![id("old")];
        spec.requested_resource_access_ids =
            vec![wire::ResourceAccessId { id: Some(id("new")) }, wire::ResourceAccessId { id: None }];
    });
    assert_eq!(names(both), ["new"]);
}

#[test]
fn a_promoted_request_names_its_list() {
    let list = |title: &'static str, name: &'static str| {
        convert(|_, spec| {
            spec.access_list = Some(wire::PromotedAccessList {
                title: Bytes::from_static(title.as_bytes()),
                name: Bytes::from_static(name.as_bytes()),
            });
        })
        .promoted_to
    };
    assert_eq!(list("On call", "uuid").as_deref(), Some("On call"));
    assert_eq!(list("", "uuid").as_deref(), Some("uuid"));
    assert_eq!(list("", ""), None);
}

prop_compose! {
    fn any_time()(set in any::<bool>(), seconds in any::<i64>(), nanos in any::<i32>()) -> Option<prost_types::Timestamp> {
        set.then_some(prost_types::Timestamp { seconds, nanos })
    }
}

fn any_bytes() -> impl Strategy<Value = Bytes> {
    proptest::collection::vec(any::<u8>(), 0..40).prop_map(Bytes::from)
}

proptest! {
    #[test]
    fn any_bytes_decode_to_an_error_or_a_value(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(message) = wire::AccessRequestV3::decode(bytes.as_slice()) {
            let _ = access_request(message);
        }
    }

    #[test]
    fn any_damaged_request_decodes_to_an_error_or_a_value(
        place in any::<prop::sample::Index>(), value in any::<u8>(), cut in any::<prop::sample::Index>(),
    ) {
        let real = include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/teleport-6.2.1/review-one-of-two.response.bin"));
        let mut bytes = real.to_vec();
        bytes[place.index(real.len())] = value;
        bytes.truncate(cut.index(real.len()) + 1);
        if let Ok(message) = wire::AccessRequestV3::decode(bytes.as_slice()) {
            let _ = access_request(message);
        }
    }

    #[test]
    fn any_fields_convert(
        times in proptest::collection::vec(any_time(), 6), texts in proptest::collection::vec(any_bytes(), 4),
        numbers in any::<[i32; 3]>(),
    ) {
        let time = |n: usize| times[n];
        let request = convert(|metadata, spec| {
            metadata.expires = time(0);
            spec.created = time(1);
            spec.expires = time(2);
            spec.max_duration = time(3);
            spec.resource_expiry = time(4);
            spec.user = texts[0].clone();
            spec.roles.clone_from(&texts);
            spec.state = numbers[0];
            spec.request_kind = numbers[1];
            spec.reviews = vec![wire::AccessReview {
                author: texts[1].clone(), proposed_state: numbers[2], created: time(5), ..Default::default()
            }];
        });
        prop_assert_eq!(request.user, String::from_utf8_lossy(&texts[0]).into_owned());
        prop_assert_eq!(request.roles.len(), texts.len());
    }
}

#[test]
fn the_revision_and_the_number_of_all_reviews_are_converted() {
    let version = |revision: &'static [u8]| {
        let request = convert(|metadata, spec| {
            metadata.revision = Bytes::from_static(revision);
            let proposals = [wire::RequestState::Approved, wire::RequestState::Promoted];
            spec.reviews = proposals
                .map(|state| wire::AccessReview { proposed_state: state.into(), ..Default::default() })
                .to_vec();
        });
        assert_eq!(request.reviews.len(), 1);
        request.version
    };
    let uuid = "41d06c42-11d9-4eed-9abe-aa5f5fcbe399";
    assert_eq!(version(uuid.as_bytes()), Some(Version { revision: uuid.into(), reviews: 2 }));
    assert_eq!(version(b"7").unwrap().revision, "7");
    for odd in [&b""[..], b"a b", b"\xff", &[b'a'; 2_000]] {
        assert_eq!(version(odd), None);
    }
}
