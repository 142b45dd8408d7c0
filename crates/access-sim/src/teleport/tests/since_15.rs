//! What releases from 15.1.9 on do otherwise, beside what `golden_15` replays; T and plain numbers are rows of
//! `vectors/teleport-15-observed.md`.

use teleport_proto::auth as pb;
use tonic::Code;

use super::*;
use crate::teleport::ServerVersion;
use crate::teleport::fixture::{Fixture, Rule};
use crate::teleport::presets::TCTL;
use crate::teleport::request::{Decision, NewRequest, RequestState};

fn code_and_message<T: std::fmt::Debug>(answer: Result<T, tonic::Status>) -> (Code, String) {
    let status = answer.unwrap_err();
    (status.code(), status.message().to_owned())
}

#[tokio::test]
async fn a_deleted_user_is_not_found_from_15_on() {
    for version in ServerVersion::ALL {
        let sim = start_version(version).await;
        let mut plugin = client(&sim, PLUGIN).await;
        let watch = pb::Watch {
            kinds: vec![pb::WatchKind { kind: "access_request".into(), ..Default::default() }],
            ..Default::default()
        };
        plugin.ping(pb::PingRequest {}).await.unwrap();
        sim.edit_fixture(|fixture| fixture.users.retain(|user| user.name != PLUGIN));
        let expected = match version >= ServerVersion::V15 {
            true => (Code::NotFound, "access denied\n\tuser \"access-plugin\" not found".to_owned()),
            false => (Code::PermissionDenied, "access denied".to_owned()),
        };
        assert_eq!(code_and_message(plugin.ping(pb::PingRequest {}).await), expected, "{version:?}");
        assert_eq!(code_and_message(plugin.watch_events(watch).await), expected, "{version:?}");
        let filter = pb::PluginDataFilter { kind: "access_request".into(), ..Default::default() };
        assert_eq!(code_and_message(plugin.get_plugin_data(filter).await), expected, "{version:?}");
        let update = pb::PluginDataUpdateParams {
            kind: "access_request".into(),
            resource: "11111111-2222-4333-8444-555555555555".into(),
            plugin: "slack".into(),
            ..Default::default()
        };
        assert_eq!(code_and_message(plugin.update_plugin_data(update).await), expected, "{version:?}");
        let setter = pb::RequestStateSetter {
            id: "x".into(),
            state: pb::RequestState::Approved.into(),
            ..Default::default()
        };
        assert_eq!(code_and_message(plugin.set_access_request_state(setter).await), expected, "{version:?}");
        let which = pb::GetUserRequest { name: PLUGIN.into(), with_secrets: false };
        assert_eq!(code_and_message(plugin.get_user(which).await), expected, "{version:?}");
        let which = pb::GetRoleRequest { name: "access-plugin".into() };
        assert_eq!(code_and_message(plugin.get_role(which).await), expected, "{version:?}");
    }
}

#[tokio::test]
async fn a_lock_refuses_every_call_and_leaves_the_stream_open() {
    for version in ServerVersion::ALL {
        let sim = start_version(version).await;
        let mut plugin = client(&sim, PLUGIN).await;
        let watch = pb::Watch {
            kinds: vec![pb::WatchKind { kind: "access_request".into(), ..Default::default() }],
            ..Default::default()
        };
        let mut events = plugin.watch_events(watch.clone()).await.unwrap().into_inner();
        events.message().await.unwrap().unwrap();
        sim.edit_fixture(|fixture| fixture.locked.push(PLUGIN.to_owned()));
        let expected = (Code::PermissionDenied, "access denied".to_owned());
        assert_eq!(code_and_message(plugin.ping(pb::PingRequest {}).await), expected, "{version:?}");
        assert_eq!(code_and_message(plugin.watch_events(watch).await), expected, "{version:?}");
        sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
        let event = tokio::time::timeout(LIMIT, events.message()).await.expect("an event in time");
        assert_eq!(event.unwrap().unwrap().r#type(), pb::Operation::Put, "{version:?}");
        sim.edit_fixture(|fixture| fixture.locked.clear());
        plugin.ping(pb::PingRequest {}).await.unwrap();
    }
}

#[tokio::test]
async fn one_message_names_every_right_that_listing_users_lacks() {
    let sim = start_version(ServerVersion::V15).await;
    let mut plugin = client(&sim, PLUGIN).await;
    for (verbs, expected) in [
        (
            vec![],
            "access denied to perform action \"list\" on \"user\", access denied to perform action \"read\" on \"user\"",
        ),
        (vec!["read"], "access denied to perform action \"list\" on \"user\""),
        (vec!["list"], "access denied to perform action \"read\" on \"user\""),
    ] {
        let verbs = verbs.into_iter().map(str::to_owned).collect();
        sim.edit_fixture(|fixture| {
            let rules = &mut fixture.role_mut("access-plugin").unwrap().allow.rules;
            rules.retain(|rule| rule.resources != ["user"]);
            rules.push(Rule { resources: vec!["user".into()], verbs });
        });
        let found = code_and_message(plugin.get_users(pb::GetUsersRequest::default()).await);
        assert_eq!(found, (Code::PermissionDenied, expected.to_owned()));
    }
}

#[tokio::test]
async fn a_list_without_the_verbs_is_empty_and_never_refused() {
    for version in ServerVersion::ALL {
        let sim = start_version(version).await;
        let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
        let mut plugin = client(&sim, PLUGIN).await;
        for verbs in [vec![], vec!["read"], vec!["list"]] {
            sim.edit_fixture(|fixture| {
                fixture.role_mut("access-plugin").unwrap().allow.rules[0].verbs =
                    verbs.iter().map(|verb| (*verb).to_owned()).collect();
            });
            for id in [String::new(), id.clone()] {
                let filter = pb::AccessRequestFilter { id, ..Default::default() };
                let found = match version {
                    ServerVersion::V6 => {
                        plugin.get_access_requests(filter).await.unwrap().into_inner().access_requests.len()
                    }
                    ServerVersion::V13 | ServerVersion::V15 => {
                        let mut list = plugin.get_access_requests_v2(filter).await.unwrap().into_inner();
                        usize::from(list.message().await.unwrap().is_some())
                    }
                    ServerVersion::V15_3 | ServerVersion::V18 => {
                        let list =
                            pb::ListAccessRequestsRequest { filter: Some(filter), ..Default::default() };
                        plugin.list_access_requests(list).await.unwrap().into_inner().access_requests.len()
                    }
                };
                assert_eq!(found, 0, "{version:?} {verbs:?}");
            }
        }
    }
}

#[tokio::test]
async fn an_approval_is_revoked_without_a_reason_and_loses_its_own() {
    for version in ServerVersion::ALL {
        let sim = start_version(version).await;
        let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
        let set = |state, reason: &str| sim.set_state(TCTL, &id, state, reason, "");
        set(RequestState::Approved, "fine").unwrap();
        let refused = set(RequestState::Pending, "sorry").unwrap_err();
        assert_eq!(
            (refused.code, refused.message.as_str()),
            (Code::InvalidArgument, "pending requests cannot include resolve reason")
        );
        set(RequestState::Pending, "").unwrap();
        let request = sim.request(&id).unwrap();
        assert_eq!(
            (request.state, request.resolve_reason.as_slice()),
            (RequestState::Pending, b"".as_slice())
        );
        assert_eq!(request.expiry, request.access_expiry, "{version:?}: the end of the access stays");
        set(RequestState::Denied, "no").unwrap();
        assert!(
            set(RequestState::Pending, "").unwrap_err().message.contains("already denied"),
            "{version:?}"
        );
    }
}

#[tokio::test]
async fn a_state_set_again_without_a_reason_has_none() {
    for version in ServerVersion::ALL {
        let sim = start_version(version).await;
        let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
        sim.edit_fixture(|fixture| {
            fixture.role_mut("access-plugin").unwrap().allow.rules[0].verbs.push("update".into())
        });
        let mut plugin = client(&sim, PLUGIN).await;
        let annotation = pb::LabelEntry {
            key: "slack_user".into(),
            value: Some(pb::StringValues { values: vec!["U0BOB".into()] }),
        };
        let mut setter = pb::RequestStateSetter {
            id: id.clone(),
            state: pb::RequestState::Approved.into(),
            reason: "fine".into(),
            annotations: Some(pb::LabelValues { values: vec![annotation] }),
            ..Default::default()
        };
        plugin.set_access_request_state(setter.clone()).await.unwrap();
        assert_eq!(sim.request(&id).unwrap().resolve_annotations.len(), 1);
        setter.reason.clear();
        setter.annotations = None;
        plugin.set_access_request_state(setter).await.unwrap();
        let request = sim.request(&id).unwrap();
        assert_eq!((request.resolve_reason.len(), request.resolve_annotations.len()), (0, 0), "{version:?}");
    }
}

#[tokio::test]
async fn ones_own_role_needs_no_right_and_shows_its_rules() {
    for version in ServerVersion::ALL {
        let sim = start_version(version).await;
        let mut plugin = client(&sim, PLUGIN).await;
        let which = |name: &str| pb::GetRoleRequest { name: name.to_owned() };
        let role = plugin.get_role(which("access-plugin")).await.unwrap().into_inner();
        let spec = role.spec.unwrap();
        let rules: Vec<_> = spec.allow.unwrap().rules;
        assert_eq!(rules[0].resources, ["access_request"]);
        assert_eq!(rules[0].verbs, ["list", "read"]);
        assert!(spec.deny.unwrap().rules.is_empty());
        let refused = code_and_message(plugin.get_role(which("reviewer")).await);
        let expected = "access denied to perform action \"read\" on \"role\"";
        assert_eq!(refused, (Code::PermissionDenied, expected.to_owned()), "{version:?}");
    }
}

async fn paged(plugin: &mut Client, id: &str) -> Vec<String> {
    let filter = pb::AccessRequestFilter { id: id.to_owned(), ..Default::default() };
    let list = pb::ListAccessRequestsRequest { filter: Some(filter.clone()), ..Default::default() };
    let page = plugin.list_access_requests(list).await.unwrap().into_inner().access_requests;
    let mut stream = plugin.get_access_requests_v2(filter).await.unwrap().into_inner();
    let mut streamed = Vec::new();
    while let Some(request) = stream.message().await.unwrap() {
        streamed.push(request);
    }
    assert_eq!(page, streamed, "the streamed list is the same list");
    page.into_iter().map(|item| String::from_utf8(item.metadata.unwrap().name.to_vec()).unwrap()).collect()
}

fn requests_watch() -> pb::Watch {
    let kind = pb::WatchKind { kind: "access_request".into(), ..Default::default() };
    pb::Watch { kinds: vec![kind], ..Default::default() }
}

/// `vectors/teleport-15-observed.md`, 7 and 8.
#[tokio::test]
async fn the_list_of_15_3_lags_and_the_answer_by_id_does_not() {
    let sim = start_version(ServerVersion::V15_3).await;
    let mut plugin = client(&sim, PLUGIN).await;
    sim.set_list_lag(Duration::from_millis(500));
    let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
    assert!(paged(&mut plugin, "").await.is_empty(), "not listed yet");
    assert_eq!(paged(&mut plugin, &id).await, [id.as_str()]);
    // A watch that is opened now still reports it: a client that watches, then lists, misses nothing.
    let mut events = plugin.watch_events(requests_watch()).await.unwrap().into_inner();
    events.message().await.unwrap().unwrap();
    assert!(paged(&mut plugin, "").await.is_empty(), "not listed yet");
    let event = tokio::time::timeout(LIMIT, events.message()).await.expect("an event in time");
    assert_eq!(event.unwrap().unwrap().r#type(), pb::Operation::Put);
    assert_eq!(paged(&mut plugin, "").await, [id.as_str()]);

    sim.delete(TCTL, &id).unwrap();
    assert_eq!(paged(&mut plugin, "").await, [id.as_str()], "still listed");
    assert!(paged(&mut plugin, &id).await.is_empty());
    let event = tokio::time::timeout(LIMIT, events.message()).await.expect("an event in time");
    assert_eq!(event.unwrap().unwrap().r#type(), pb::Operation::Delete);
    assert!(paged(&mut plugin, "").await.is_empty());
}

#[tokio::test]
async fn a_server_that_starts_again_lists_everything_at_once() {
    let sim = start_version(ServerVersion::V15_3).await;
    sim.set_list_lag(Duration::from_secs(3600));
    let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
    sim.restart().await.unwrap();
    assert_eq!(paged(&mut client(&sim, PLUGIN).await, "").await, [id]);
}

/// `vectors/teleport-15-observed.md`, 9.
#[tokio::test]
async fn an_expired_request_is_in_no_answer_before_its_delete_event() {
    let options = Options {
        delete_delay: Duration::from_secs(48 * 3600),
        list_lag: Duration::ZERO,
        ..Options::new(ServerVersion::V15_3, Fixture::golden())
    };
    let sim = TeleportSim::start(options).await.unwrap();
    let mut plugin = client(&sim, PLUGIN).await;
    let short =
        NewRequest { pending_ttl: Some(Duration::from_millis(50)), ..NewRequest::roles(&["dba"], "") };
    let id = sim.request_access(ALICE, short).unwrap();
    tokio::time::sleep(Duration::from_millis(60)).await;
    assert!(paged(&mut plugin, "").await.is_empty());
    assert!(paged(&mut plugin, &id).await.is_empty());
    assert!(sim.request(&id).is_some(), "the DELETE has not come");
}

#[tokio::test]
async fn several_kinds_are_watched_in_part_or_not_at_all() {
    for version in [ServerVersion::V15, ServerVersion::V15_3, ServerVersion::V18] {
        let sim = start_version(version).await;
        let mut plugin = client(&sim, PLUGIN).await;
        let watch = |kinds: &[&str], allow_partial_success| pb::Watch {
            kinds: kinds
                .iter()
                .map(|kind| pb::WatchKind { kind: (*kind).to_owned(), ..Default::default() })
                .collect(),
            allow_partial_success,
        };
        for (kinds, partial, expected) in [
            (&["access_request", "role"][..], false, "access denied to perform action \"read\" on \"role\""),
            (&["role"], true, "none of the requested kinds can be watched"),
            (&[], true, "can't setup global watch"),
        ] {
            assert_eq!(
                code_and_message(plugin.watch_events(watch(kinds, partial)).await).1,
                expected,
                "{version:?}"
            );
        }
        sim.edit_fixture(|fixture| {
            fixture
                .role_mut("access-plugin")
                .unwrap()
                .allow
                .rules
                .push(Rule { resources: vec!["*".into()], verbs: vec!["read".into()] });
        });
        for (kinds, expected) in [
            (
                &["access_request", "nonsense"][..],
                "cache \"auth\" does not support watching resource \"nonsense\"",
            ),
            (&["nonsense"], "cache \"auth\" does not support watching resource \"nonsense\""),
        ] {
            assert_eq!(
                code_and_message(plugin.watch_events(watch(kinds, false)).await).1,
                expected,
                "{version:?}"
            );
        }
        assert_eq!(
            code_and_message(plugin.watch_events(watch(&["nonsense"], true)).await),
            (
                Code::InvalidArgument,
                "cache \"auth\" does not support any of the requested resources".to_owned()
            )
        );
        let asked = ["access_request", "access_monitoring_rule", "role"];
        let mut events = plugin.watch_events(watch(&asked, true)).await.unwrap().into_inner();
        let Some(pb::event::Resource::WatchStatus(status)) =
            events.message().await.unwrap().unwrap().resource
        else {
            panic!("{version:?}: INIT carries no WatchStatus")
        };
        let kinds: Vec<_> = status.spec.unwrap().kinds.into_iter().map(|kind| kind.kind).collect();
        let rules = if version == ServerVersion::V18 { &["access_monitoring_rule"][..] } else { &[] };
        assert_eq!(kinds, [&["access_request"], rules, &["role"]].concat(), "{version:?}");
    }
}

#[tokio::test]
async fn answers_of_15_3_name_the_version() {
    for (version, expected) in [(ServerVersion::V15, None), (ServerVersion::V15_3, Some("15.3.1"))] {
        let sim = start_version(version).await;
        let mut plugin = client(&sim, PLUGIN).await;
        let ping = plugin.ping(pb::PingRequest {}).await.unwrap();
        let watch = plugin.watch_events(requests_watch()).await.unwrap();
        for headers in [ping.metadata(), watch.metadata()] {
            assert_eq!(
                headers.get("version").map(|version| version.to_str().unwrap()),
                expected,
                "{version:?}"
            );
        }
    }
}

/// T9.
#[tokio::test]
async fn reasons_pass_as_bytes_from_15_on_and_have_a_limit() {
    for version in [ServerVersion::V15, ServerVersion::V15_3, ServerVersion::V18] {
        let sim = start_version(version).await;
        let mut alice = client(&sim, ALICE).await;
        let wanted = |reason: Vec<u8>| pb::AccessRequestV3 {
            spec: Some(pb::AccessRequestSpecV3 {
                user: ALICE.into(),
                roles: vec!["dba".into()],
                state: pb::RequestState::Pending.into(),
                request_reason: reason.into(),
                ..Default::default()
            }),
            ..Default::default()
        };
        let made = alice.create_access_request_v2(wanted(b"\xff\xfe bad".to_vec())).await.unwrap();
        let made = made.into_inner();
        assert_eq!(made.spec.unwrap().request_reason.as_ref(), b"\xff\xfe bad", "{version:?}");
        let id = String::from_utf8(made.metadata.unwrap().name.to_vec()).unwrap();
        assert_eq!(sim.request(&id).unwrap().request_reason, b"\xff\xfe bad", "{version:?}");
        alice.create_access_request_v2(wanted(vec![b'x'; 4096])).await.unwrap();
        let expected =
            (Code::InvalidArgument, "access request reason is too long, max 4096 bytes".to_owned());
        assert_eq!(
            code_and_message(alice.create_access_request_v2(wanted(vec![b'x'; 4097])).await),
            expected
        );
        let set = |reason| sim.set_state(TCTL, &id, RequestState::Approved, reason, "");
        assert_eq!(
            set(vec![b'x'; 4097]).unwrap_err().message,
            "access request resolve reason is too long, max 4096 bytes"
        );
        // The limit of a review's reason is known, its words are assumed.
        let refused = sim.review(BOB, &id, Decision::Approve, vec![b'x'; 4097]).unwrap_err();
        assert_eq!(refused.code, Code::InvalidArgument);
        set(vec![b'x'; 4096]).unwrap();
    }
}

/// T14.
#[tokio::test]
async fn the_certificates_end_cuts_no_stream_and_no_connection() {
    let sim = start_version(ServerVersion::V15).await;
    let end = jiff::Timestamp::now() + Duration::from_secs(2);
    let credentials = sim.credentials(PLUGIN, CertOptions { not_after: Some(end), ..CertOptions::default() });
    let config = client_tls(&credentials.cas_pem, Some(&credentials));
    let mut plugin = Client::new(channel(sim.addr(), config.clone()).await.unwrap());
    let mut events = plugin.watch_events(requests_watch()).await.unwrap().into_inner();
    events.message().await.unwrap().unwrap();
    // Until a new connection with it fails, which it does from the certificate's end on.
    let ended = async {
        while let Ok(open) = channel(sim.addr(), config.clone()).await
            && Client::new(open).ping(pb::PingRequest {}).await.is_ok()
        {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LIMIT, ended).await.expect("new connections are refused in time");
    plugin.ping(pb::PingRequest {}).await.unwrap();
    sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
    let event = tokio::time::timeout(LIMIT, events.message()).await.expect("an event in time");
    assert_eq!(event.unwrap().unwrap().r#type(), pb::Operation::Put);
}
