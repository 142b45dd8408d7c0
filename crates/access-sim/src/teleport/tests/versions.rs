//! What differs between releases.

use teleport_proto::auth as pb;
use tonic::Code;

use super::*;
use crate::teleport::ServerVersion;
use crate::teleport::request::{Decision, NewRequest, RequestState};

#[tokio::test]
async fn each_release_has_its_own_list() {
    for (version, expected) in [
        (ServerVersion::V6, [Code::Ok, Code::Unimplemented, Code::Unimplemented]),
        (ServerVersion::V13, [Code::Unimplemented, Code::Ok, Code::Unimplemented]),
        (ServerVersion::V15, [Code::Unimplemented, Code::Ok, Code::Unimplemented]),
        (ServerVersion::V15_3, [Code::Unimplemented, Code::Ok, Code::Ok]),
        (ServerVersion::V18, [Code::Unimplemented, Code::Ok, Code::Ok]),
    ] {
        let sim = start_version(version).await;
        let mut plugin = client(&sim, PLUGIN).await;
        let code = |status: Option<tonic::Status>| status.map_or(Code::Ok, |status| status.code());
        let filter = pb::AccessRequestFilter::default;
        let found = [
            code(plugin.get_access_requests(filter()).await.err()),
            code(plugin.get_access_requests_v2(filter()).await.err()),
            code(plugin.list_access_requests(pb::ListAccessRequestsRequest::default()).await.err()),
        ];
        assert_eq!(found, expected, "{version:?}");
    }
}

#[tokio::test]
async fn pages_cover_everything_once() {
    let sim = start_version(ServerVersion::V18).await;
    let mut ids: Vec<String> =
        (0..7).map(|_| sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap()).collect();
    ids.sort();
    let mut plugin = client(&sim, PLUGIN).await;
    for sort in 0..4 {
        for descending in [false, true] {
            let mut found = Vec::new();
            let mut start_key = String::new();
            loop {
                let list =
                    pb::ListAccessRequestsRequest { filter: None, sort, descending, limit: 3, start_key };
                let page = plugin.list_access_requests(list).await.unwrap().into_inner();
                assert!(page.access_requests.len() <= 3);
                let names = page.access_requests.into_iter().map(|request| request.metadata.unwrap().name);
                found.extend(names.map(|name| String::from_utf8(name.to_vec()).unwrap()));
                start_key = page.next_key;
                if start_key.is_empty() {
                    break;
                }
            }
            found.sort();
            assert_eq!(found, ids, "sort {sort}, descending {descending}");
        }
    }
    let too_long = pb::ListAccessRequestsRequest { limit: 16_001, ..Default::default() };
    assert_eq!(plugin.list_access_requests(too_long).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn newer_servers_refuse_reviews_of_resolved_requests() {
    for version in ServerVersion::ALL {
        let expected = (version != ServerVersion::V6).then_some("already");
        let sim = start_version(version).await;
        let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
        sim.review(BOB, &id, Decision::Approve, "").unwrap();
        match (sim.review(DAVE, &id, Decision::Deny, ""), expected) {
            (Ok(request), None) => {
                assert_eq!((request.state, request.reviews.len()), (RequestState::Approved, 2))
            }
            (Err(refusal), Some(word)) => assert!(refusal.message.contains(word), "{refusal}"),
            (other, _) => panic!("{version:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn the_newest_server_keeps_expiry_in_the_spec() {
    let sim = start_version(ServerVersion::V18).await;
    let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
    let filter = pb::AccessRequestFilter { id, ..Default::default() };
    let mut list = client(&sim, PLUGIN).await.get_access_requests_v2(filter).await.unwrap().into_inner();
    let request = list.message().await.unwrap().unwrap();
    let (metadata, spec) = (request.metadata.unwrap(), request.spec.unwrap());
    assert_eq!((metadata.expires, metadata.id), (None, 0));
    assert!(spec.resource_expiry.is_some() && spec.max_duration.is_some() && spec.session_ttl.is_some());
}

#[tokio::test]
async fn only_the_newest_server_lets_plugins_submit_for_users() {
    for version in [ServerVersion::V6, ServerVersion::V18] {
        let sim = start_version(version).await;
        let mut plugin = client(&sim, PLUGIN).await;
        let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
        let submission = |author: &'static str, submitted_by: &'static str| pb::AccessReviewSubmission {
            request_id: id.clone(),
            review: Some(pb::AccessReview {
                author: author.into(),
                proposed_state: pb::RequestState::Approved.into(),
                is_submitted_by_plugin: true,
                submitted_by: submitted_by.into(),
                ..pb::AccessReview::default()
            }),
        };
        let refused = plugin.submit_access_review(submission(BOB, "")).await.unwrap_err();
        assert!(refused.message().contains("on behalf of"), "{refused}");
        sim.edit_fixture(|fixture| {
            fixture.role_mut(PLUGIN).unwrap().allow.submit_for_users = vec!["*".into()]
        });
        if version == ServerVersion::V6 {
            assert_eq!(
                plugin.submit_access_review(submission(BOB, "")).await.unwrap_err().code(),
                Code::PermissionDenied
            );
            continue;
        }
        for (author, submitted_by, code) in [
            (ALICE, "", Code::PermissionDenied),
            ("unknown@example.com", "", Code::NotFound),
            (BOB, "other-plugin", Code::PermissionDenied),
        ] {
            let refused = plugin.submit_access_review(submission(author, submitted_by)).await.unwrap_err();
            assert_eq!(refused.code(), code, "{author} {submitted_by}");
        }
        let request = plugin.submit_access_review(submission(BOB, "")).await.unwrap().into_inner();
        let review = request.spec.unwrap().reviews.remove(0);
        assert_eq!(
            (review.author.as_ref(), review.submitted_by.as_ref()),
            (BOB.as_bytes(), PLUGIN.as_bytes())
        );
        let line = sim.audit().pop().unwrap();
        assert_eq!((line.reviewer.as_deref(), line.submitted_by.as_deref()), (Some(BOB), Some(PLUGIN)));
    }
}

#[tokio::test]
async fn the_server_picks_the_id_and_a_dry_run_stores_nothing() {
    let sim = start_version(ServerVersion::V18).await;
    let mut alice = client(&sim, ALICE).await;
    let wanted = |dry_run| pb::AccessRequestV3 {
        spec: Some(pb::AccessRequestSpecV3 {
            user: ALICE.into(),
            roles: vec!["dba".into()],
            state: pb::RequestState::Pending.into(),
            dry_run,
            ..Default::default()
        }),
        ..Default::default()
    };
    alice.create_access_request_v2(wanted(true)).await.unwrap();
    assert!(sim.requests().is_empty());
    let made = alice.create_access_request_v2(wanted(false)).await.unwrap().into_inner();
    let id = String::from_utf8(made.metadata.unwrap().name.to_vec()).unwrap();
    assert_eq!((id.len(), id.as_bytes()[14]), (36, b'7'), "{id}");
    assert!(sim.request(&id).is_some());
    let refused = alice.create_access_request(wanted(false)).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unimplemented);
}

#[tokio::test]
async fn ones_own_roles_need_no_right_and_name_users_only_where_the_release_knows_that() {
    for (version, expected) in [
        (ServerVersion::V6, Err(Code::Unimplemented)),
        (ServerVersion::V13, Ok(Vec::new())),
        (ServerVersion::V18, Ok(vec!["bob*"])),
    ] {
        let sim = start_version(version).await;
        sim.edit_fixture(|fixture| {
            let role = fixture.role_mut("access-plugin").unwrap();
            role.allow.rules.clear();
            role.allow.submit_for_users = vec!["bob*".to_owned()];
        });
        let mut plugin = client(&sim, PLUGIN).await;
        let mut roles = match plugin.get_current_user_roles(()).await {
            Ok(answer) => answer.into_inner(),
            Err(status) => {
                assert_eq!(Err(status.code()), expected, "{version:?}");
                continue;
            }
        };
        let role = roles.message().await.unwrap().unwrap();
        assert_eq!(role.metadata.unwrap().name, "access-plugin");
        let review = role.spec.unwrap().allow.unwrap().review_requests.unwrap();
        let expected: Vec<_> = expected.unwrap().into_iter().map(bytes::Bytes::from).collect();
        assert_eq!(review.submit_for_users, expected, "{version:?}");
        assert!(roles.message().await.unwrap().is_none(), "{version:?}");
    }
}
