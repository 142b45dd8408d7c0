//! Rights, metadata, faults and the handle.

use std::time::Instant;

use teleport_proto::auth as pb;
use tonic::{Code, Request};

use super::*;
use crate::teleport::ServerVersion;
use crate::teleport::audit::AuditKind;
use crate::teleport::call_log::Method;
use crate::teleport::faults::{Fault, Repeat};
use crate::teleport::fixture::{Conditions, Fixture, RequestConditions, Role, Rule, Threshold, User};
use crate::teleport::presets::TCTL;
use crate::teleport::refusal::RpcError;
use crate::teleport::request::{Decision, NewRequest, RequestState, Resource};

fn dba() -> NewRequest {
    NewRequest::roles(&["dba"], "because")
}

fn everything() -> pb::AccessRequestFilter {
    pb::AccessRequestFilter::default()
}

#[tokio::test]
async fn unknown_callers_are_refused() {
    let sim = golden().await;
    let config = client_tls(&sim.authorities().host_ca_pem(), None);
    let mut anonymous = Client::new(channel(sim.addr(), config).await.unwrap());
    assert_eq!(anonymous.ping(pb::PingRequest {}).await.unwrap().into_inner().cluster_name, "local-site");
    let refused = anonymous.get_access_requests(everything()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::PermissionDenied, "access denied"));

    let mut mallory = client(&sim, "mallory").await;
    assert_eq!(mallory.ping(pb::PingRequest {}).await.unwrap_err().code(), Code::PermissionDenied);
    let mut fake_tctl = client(&sim, TCTL).await;
    let refused = fake_tctl.delete_access_request(pb::RequestId { id: "x".into() }).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
}

/// `ping-without-certificate`, `list-without-certificate`; that other methods answer as the list does is assumed.
#[tokio::test]
async fn without_a_certificate_ping_answers_and_nothing_else() {
    for version in ServerVersion::ALL {
        let sim = TeleportSim::start(Options::new(version, Fixture::golden())).await.unwrap();
        let id = sim.request_access(ALICE, dba()).unwrap();
        let config = client_tls(&sim.authorities().host_ca_pem(), None);
        let mut anonymous = Client::new(channel(sim.addr(), config).await.unwrap());
        anonymous.ping(pb::PingRequest {}).await.unwrap();
        let kind = || "access_request".to_owned();
        let watch = pb::Watch {
            kinds: vec![pb::WatchKind { kind: kind(), ..Default::default() }],
            ..Default::default()
        };
        let filter = pb::PluginDataFilter { kind: kind(), ..Default::default() };
        let update = pb::PluginDataUpdateParams {
            kind: kind(),
            resource: id.clone(),
            plugin: "slack".into(),
            set: vec![pb::StringEntry { key: "user".into(), value: "x".into() }],
            ..Default::default()
        };
        let setter = pb::RequestStateSetter {
            id: id.clone(),
            state: pb::RequestState::Approved.into(),
            ..Default::default()
        };
        let review = pb::AccessReview {
            author: BOB.into(),
            proposed_state: pb::RequestState::Approved.into(),
            ..Default::default()
        };
        let submission = pb::AccessReviewSubmission { request_id: id.clone(), review: Some(review) };
        let user = pb::GetUserRequest { name: ALICE.into(), with_secrets: false };
        let answers = [
            anonymous.watch_events(watch).await.err(),
            anonymous.get_plugin_data(filter).await.err(),
            anonymous.update_plugin_data(update).await.err(),
            anonymous.set_access_request_state(setter).await.err(),
            anonymous.submit_access_review(submission).await.err(),
            anonymous.delete_access_request(pb::RequestId { id: id.clone() }).await.err(),
            anonymous.get_user(user).await.err(),
            anonymous.get_users(pb::GetUsersRequest::default()).await.err(),
            anonymous.get_role(pb::GetRoleRequest { name: "access-plugin".into() }).await.err(),
        ];
        let expected = match version >= ServerVersion::V15 {
            true => (Code::NotFound, "user \"Nop\" not found".to_owned()),
            false => (Code::PermissionDenied, "access denied".to_owned()),
        };
        for answer in answers {
            let refused = answer.expect("a refusal");
            assert_eq!((refused.code(), refused.message().to_owned()), expected, "{version:?}");
        }
        assert_eq!(sim.request(&id).unwrap().state, RequestState::Pending);
        assert!(sim.plugin_data(&id, "slack").is_empty());
    }
}

/// T18.
#[tokio::test]
async fn a_role_that_is_gone_ends_no_request_and_allows_no_new_one() {
    for version in ServerVersion::ALL {
        let sim = TeleportSim::start(Options::new(version, Fixture::golden())).await.unwrap();
        let id = sim.request_access(ALICE, dba()).unwrap();
        sim.edit_fixture(|fixture| fixture.roles.retain(|role| role.name != "dba"));
        let request = sim.request(&id).unwrap();
        assert_eq!((request.state, request.roles), (RequestState::Pending, vec!["dba".to_owned()]));
        let refused = sim.request_access(ALICE, dba()).unwrap_err();
        let expected = match version >= ServerVersion::V15 {
            true => (Code::InvalidArgument, "invalid request TTL: role dba is not found"),
            false => (Code::NotFound, "a requested role is not found"),
        };
        assert_eq!((refused.code, refused.message.as_str()), expected, "{version:?}");
        assert_eq!(sim.requests().len(), 1);
        sim.set_state(TCTL, &id, RequestState::Approved, "", "").unwrap();
    }
}

#[tokio::test]
async fn a_version_must_be_semver_and_not_too_old() {
    for (server, version, accepted) in [
        (ServerVersion::V6, "7.1.2", true),
        (ServerVersion::V6, "seven", false),
        (ServerVersion::V6, "1.2", false),
        (ServerVersion::V18, "18.0.0-beta.1", true),
        (ServerVersion::V18, "7.1.2", false),
        (ServerVersion::V18, "", false),
    ] {
        let sim = TeleportSim::start(Options::new(server, Fixture::golden())).await.unwrap();
        let mut request = Request::new(pb::PingRequest {});
        request.metadata_mut().insert("version", version.parse().unwrap());
        let answer = client(&sim, PLUGIN).await.ping(request).await;
        assert_eq!(
            answer.as_ref().err().map(|status| status.code()),
            (!accepted).then_some(Code::PermissionDenied)
        );
        assert!(accepted || answer.unwrap_err().message().contains("unsupported"), "{server:?} {version:?}");
    }
}

#[tokio::test]
async fn users_are_shown_to_those_who_may_read_them() {
    let sim = golden().await;
    let reader = Rule { resources: vec!["user".into()], verbs: vec!["list".into(), "read".into()] };
    let mut plugin = client(&sim, PLUGIN).await;
    let which = |name: &str| pb::GetUserRequest { name: name.to_owned(), with_secrets: false };
    let refused = plugin.get_user(which(ALICE)).await.unwrap_err();
    assert_eq!(refused.message(), "access denied to perform action \"read\" on \"user\"");
    assert_eq!(
        plugin.get_users(pb::GetUsersRequest::default()).await.unwrap_err().code(),
        Code::PermissionDenied
    );

    sim.edit_fixture(|fixture| {
        fixture.role_mut(PLUGIN).unwrap().allow.rules.push(reader);
        let alice = fixture.user_mut(ALICE).unwrap();
        alice.traits.insert("slack_uid".into(), vec!["U1".into()]);
        let gone = jiff::Timestamp::now() - jiff::SignedDuration::from_secs(1);
        fixture.user_mut(DAVE).unwrap().expires = Some(gone);
    });
    let alice = plugin.get_user(which(ALICE)).await.unwrap().into_inner();
    let spec = alice.spec.unwrap();
    assert_eq!(spec.expires.unwrap().seconds, -62_135_596_800, "no expiry is the year 1");
    assert_eq!(spec.traits.unwrap().values[0].value.as_ref().unwrap().values[0].as_ref(), b"U1");
    assert_eq!(plugin.get_user(which(DAVE)).await.unwrap_err().code(), Code::NotFound);
    let mut users = plugin.get_users(pb::GetUsersRequest::default()).await.unwrap().into_inner();
    let mut names = Vec::new();
    while let Some(user) = users.message().await.unwrap() {
        names.push(user.metadata.unwrap().name);
    }
    assert_eq!(names.len(), 6);
    assert!(!names.iter().any(|name| name.as_ref() == DAVE.as_bytes()));
}

#[tokio::test]
async fn users_see_their_own_and_what_they_may_review() {
    let sim = golden().await;
    sim.request_access(ALICE, dba()).unwrap();
    sim.request_access(CAROL, NewRequest::roles(&["admin"], "")).unwrap();
    for (user, expected) in [(ALICE, 1), (CAROL, 1), (BOB, 2), (PLUGIN, 2)] {
        let list = client(&sim, user).await.get_access_requests(everything()).await.unwrap().into_inner();
        assert_eq!(list.access_requests.len(), expected, "{user}");
    }
}

#[tokio::test]
async fn faults_are_met_in_order_then_end() {
    let sim = golden().await;
    let faults = sim.faults();
    let mut plugin = client(&sim, PLUGIN).await;
    faults.inject(Method::Ping, Fault::unavailable(), Repeat::Next(2));
    faults.inject(Method::Ping, Fault::Delay(Duration::from_millis(60)), Repeat::Next(1));
    for _ in 0..2 {
        assert_eq!(plugin.ping(pb::PingRequest {}).await.unwrap_err().code(), Code::Unavailable);
    }
    let start = Instant::now();
    plugin.ping(pb::PingRequest {}).await.unwrap();
    assert!(start.elapsed() >= Duration::from_millis(60));
    assert_eq!(sim.call_log().count(Method::Ping), 3);

    faults.inject(Method::Ping, Fault::Hang, Repeat::UntilCleared);
    let hung = tokio::time::timeout(Duration::from_millis(100), plugin.ping(pb::PingRequest {})).await;
    assert!(hung.is_err());
    faults.clear_method(Method::Ping);
    plugin.ping(pb::PingRequest {}).await.unwrap();
    assert_eq!(sim.call_log().calls().last().unwrap().user.as_deref(), Some(PLUGIN));
}

#[tokio::test]
async fn a_lost_answer_has_done_its_work() {
    let sim = golden().await;
    let id = sim.request_access(ALICE, dba()).unwrap();
    sim.faults().inject(Method::UpdatePluginData, Fault::LoseResponse, Repeat::Next(1));
    let update = pb::PluginDataUpdateParams {
        kind: "access_request".into(),
        resource: id.clone(),
        plugin: "slack".into(),
        set: vec![pb::StringEntry { key: "user".into(), value: "alice".into() }],
        expect: Vec::new(),
    };
    let mut plugin = client(&sim, PLUGIN).await;
    let lost = plugin.update_plugin_data(update).await.unwrap_err();
    assert_eq!(lost.code(), Code::Internal, "{lost:?}");
    assert_eq!(sim.plugin_data(&id, "slack")["user"], "alice");
    plugin.ping(pb::PingRequest {}).await.unwrap();
}

#[tokio::test]
async fn refused_connections_come_back() {
    let sim = golden().await;
    let credentials = sim.credentials(PLUGIN, CertOptions::default());
    let config = client_tls(&credentials.cas_pem, Some(&credentials));
    sim.faults().refuse_connections(true);
    assert!(channel(sim.addr(), config.clone()).await.is_err());
    sim.faults().clear();
    assert!(channel(sim.addr(), config).await.is_ok());
}

#[tokio::test]
async fn a_restart_keeps_port_and_state() {
    let sim = golden().await;
    let id = sim.request_access(ALICE, dba()).unwrap();
    let mut plugin = client(&sim, PLUGIN).await;
    plugin.ping(pb::PingRequest {}).await.unwrap();
    sim.stop().await;
    assert!(plugin.ping(pb::PingRequest {}).await.is_err());
    let refused = TcpStream::connect(sim.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let second = sim.request_access(ALICE, dba()).unwrap();
    sim.restart().await.unwrap();
    let list = client(&sim, PLUGIN).await.get_access_requests(everything()).await.unwrap().into_inner();
    assert_eq!(list.access_requests.len(), 2);
    assert!(sim.request(&id).is_some() && sim.request(&second).is_some());
}

#[tokio::test]
async fn reviews_and_states_are_audited() {
    let sim = golden().await;
    let id = sim.request_access(CAROL, NewRequest::roles(&["admin"], "two needed")).unwrap();
    sim.review(BOB, &id, Decision::Approve, "one").unwrap();
    assert_eq!(sim.request(&id).unwrap().state, RequestState::Pending);
    let request = sim.review(DAVE, &id, Decision::Approve, "two").unwrap();
    assert_eq!(
        (request.state, request.resolve_reason.as_slice()),
        (RequestState::Approved, b"two".as_slice())
    );
    assert_eq!(request.expiry, request.access_expiry);
    sim.set_state("access-plugin-rw", &id, RequestState::Denied, "no", "bob").unwrap();
    let refused = sim.set_state(TCTL, &id, RequestState::Approved, "", "").unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);

    let lines = sim.audit();
    let kinds: Vec<AuditKind> = lines.iter().map(|line| line.kind).collect();
    assert_eq!(kinds, [AuditKind::Create, AuditKind::Review, AuditKind::Review, AuditKind::Update]);
    assert_eq!(lines[2].reviewer.as_deref(), Some(DAVE));
    assert_eq!((lines[3].delegator.as_deref(), lines[3].user.as_str()), (Some("bob"), "access-plugin-rw"));
    let json = serde_json::to_value(&lines[2]).unwrap();
    assert_eq!((&json["event"], &json["code"]), (&"access_request.review".into(), &"T5002I".into()));
}

#[tokio::test]
async fn thresholds_of_several_roles_must_all_be_reached() {
    let seniors =
        Threshold { reviewer_role: Some("senior".into()), approve: 1, deny: 1, ..Threshold::default() };
    let crowd = Threshold { approve: 2, deny: 2, ..Threshold::default() };
    let asks = |name: &str, role: &str, thresholds: Vec<Threshold>| {
        let request =
            RequestConditions { roles: vec![role.into()], thresholds, ..RequestConditions::default() };
        Role { name: name.into(), allow: Conditions { request, ..Conditions::default() }, ..Role::default() }
    };
    let mut options = Options::golden();
    let fixture = &mut options.fixture;
    fixture.roles.push(asks("asks-dba", "dba", vec![seniors, crowd.clone()]));
    fixture.roles.push(asks("asks-admin", "admin", vec![crowd]));
    fixture.roles.push(Role { name: "senior".into(), ..Role::default() });
    let user = |name: &str, roles: &[&str]| User {
        name: name.into(),
        roles: roles.iter().map(|role| (*role).to_owned()).collect(),
        ..User::default()
    };
    fixture.users.push(user("erin", &["asks-dba", "asks-admin"]));
    fixture.users.push(user("grace", &["reviewer", "senior"]));
    let sim = TeleportSim::start(options).await.unwrap();

    let only_dba = sim.request_access("erin", dba()).unwrap();
    let request = sim.review("grace", &only_dba, Decision::Approve, "").unwrap();
    assert_eq!(request.state, RequestState::Approved, "one senior is enough for dba");
    assert_eq!(request.reviews[0].threshold_indexes, [0, 1]);

    let both = sim.request_access("erin", NewRequest::roles(&["dba", "admin"], "")).unwrap();
    assert_eq!(sim.review("grace", &both, Decision::Approve, "").unwrap().state, RequestState::Pending);
    let request = sim.review(BOB, &both, Decision::Approve, "").unwrap();
    assert_eq!(request.reviews[1].threshold_indexes, [1], "bob is no senior");
    assert_eq!(request.state, RequestState::Approved);
}

#[tokio::test]
async fn bytes_that_are_not_text_pass_through() {
    let sim = golden().await;
    let new = NewRequest {
        reason: b"bad \xff byte".to_vec(),
        resources: vec![Resource { kind: "db".into(), name: "orders".into(), ..Resource::default() }],
        ..dba()
    };
    sim.request_access(ALICE, new).unwrap();
    let list = client(&sim, PLUGIN).await.get_access_requests(everything()).await.unwrap().into_inner();
    let spec = list.access_requests[0].spec.clone().unwrap();
    assert_eq!(spec.request_reason.as_ref(), b"bad \xff byte");
    assert_eq!(spec.requested_resource_ids[0].name.as_ref(), b"orders");
    assert!(serde_json::to_string(&sim.requests()).unwrap().contains("bad \u{fffd} byte"));
}

#[tokio::test]
async fn refusals_of_the_handle_are_those_of_the_server() {
    let sim = golden().await;
    let refused = sim.request_access(ALICE, NewRequest::roles(&["root"], "")).unwrap_err();
    let message = "user \"alice@example.com\" can not request role \"root\"";
    assert_eq!(refused, RpcError::new(Code::InvalidArgument, message));
    let id = sim.request_access(ALICE, dba()).unwrap();
    assert_eq!(sim.delete(PLUGIN, &id).unwrap_err().code, Code::PermissionDenied);
    sim.promote(&id, "Database people").unwrap();
    assert_eq!(sim.request(&id).unwrap().promoted_to.unwrap().title, "Database people");
    assert_eq!(sim.promote(&id, "again").unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn the_demo_fixture_has_its_users() {
    let sim = TeleportSim::start(Options::demo()).await.unwrap();
    let ping = client(&sim, PLUGIN).await.ping(pb::PingRequest {}).await.unwrap().into_inner();
    assert_eq!(
        (ping.cluster_name.as_str(), ping.proxy_public_addr.as_str()),
        ("demo", "demo.example.com:443")
    );
    assert!(ping.server_features.unwrap().advanced_access_workflows);
    let one = sim.request_access(ALICE, dba()).unwrap();
    assert_eq!(sim.review(BOB, &one, Decision::Approve, "").unwrap().state, RequestState::Approved);
    let two = sim.request_access("erin@example.com", NewRequest::roles(&["prod-db"], "")).unwrap();
    assert_eq!(sim.review(BOB, &two, Decision::Approve, "").unwrap().state, RequestState::Pending);
    assert_eq!(sim.review(CAROL, &two, Decision::Deny, "").unwrap().state, RequestState::Denied);
}

#[tokio::test]
async fn the_denials_of_a_role_win() {
    let sim = golden().await;
    let id = sim.request_access(ALICE, dba()).unwrap();
    sim.edit_fixture(|fixture| {
        let update = Rule { resources: vec!["access_request".into()], verbs: vec!["update".into()] };
        fixture.role_mut("access-plugin-rw").unwrap().deny.rules.push(update);
        fixture.role_mut("reviewer").unwrap().deny.review.push("db*".into());
        fixture.role_mut("requester").unwrap().deny.request.roles.push("prod-a".into());
    });
    let refused = sim.set_state("access-plugin-rw", &id, RequestState::Approved, "", "").unwrap_err();
    assert_eq!(refused.message, "access denied to perform action \"update\" on \"access_request\"");
    assert_eq!(sim.review(BOB, &id, Decision::Approve, "").unwrap_err().code, Code::PermissionDenied);
    let refused = sim.request_access(ALICE, NewRequest::roles(&["prod-a"], "")).unwrap_err();
    assert_eq!(refused.code, Code::InvalidArgument);
    assert_eq!(sim.request(&id).unwrap().state, RequestState::Pending);
}

#[tokio::test]
async fn approval_may_grant_some_of_the_roles_and_denial_may_not() {
    let sim = golden().await;
    let id = sim.request_access(ALICE, NewRequest::roles(&["dba", "admin"], "")).unwrap();
    let mut plugin = client(&sim, "access-plugin-rw").await;
    let setter = |state: pb::RequestState, role: &'static str| pb::RequestStateSetter {
        id: id.clone(),
        state: state.into(),
        roles: vec![role.into()],
        ..pb::RequestStateSetter::default()
    };
    for wrong in [
        setter(pb::RequestState::Denied, "dba"),
        setter(pb::RequestState::Approved, "root"),
        setter(pb::RequestState::None, "dba"),
        setter(pb::RequestState::Promoted, "dba"),
    ] {
        let refused = plugin.set_access_request_state(wrong).await.unwrap_err();
        assert_eq!(refused.code(), Code::InvalidArgument);
    }
    plugin.set_access_request_state(setter(pb::RequestState::Approved, "dba")).await.unwrap();
    let request = sim.request(&id).unwrap();
    assert_eq!(
        (request.state, request.roles.as_slice()),
        (RequestState::Approved, ["dba".to_owned()].as_slice())
    );
}

#[tokio::test]
async fn no_user_reviews_or_on_the_newest_server_resolves_their_own_request() {
    let sim = TeleportSim::start(Options::new(ServerVersion::V18, Fixture::golden())).await.unwrap();
    sim.edit_fixture(|fixture| {
        let roles = ["reviewer".to_owned(), "access-plugin-rw".to_owned()];
        fixture.user_mut(ALICE).unwrap().roles.extend(roles);
    });
    let id = sim.request_access(ALICE, dba()).unwrap();
    assert_eq!(sim.review(ALICE, &id, Decision::Approve, "").unwrap_err().code, Code::PermissionDenied);
    let refused = sim.set_state(ALICE, &id, RequestState::Approved, "", "").unwrap_err();
    assert_eq!(refused.code, Code::PermissionDenied);
    assert_eq!(sim.request(&id).unwrap().state, RequestState::Pending);
}
