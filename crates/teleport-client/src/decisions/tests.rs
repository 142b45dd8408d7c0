use std::sync::Arc;

use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::{Fixture, User};
use access_sim::teleport::presets::TCTL;
use access_sim::teleport::refusal::RpcError as Spoken;
use access_sim::teleport::request::{NewRequest, RequestState as Stored};
use access_sim::teleport::{Options, ServerVersion, TeleportSim};
use prost::Message;
use tonic::Code;

use super::*;
use crate::tests::scripted_server::{
    Reply, Responder, ScriptedServer, TestCa, full_visibility_role, sim_client,
};

const PLUGIN: &str = "access-plugin";
/// A user who may set states.
const RESOLVER: &str = "access-plugin-rw";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const DAVE: &str = "dave@example.com";

fn enterprise(version: ServerVersion) -> Options {
    Options { advanced_access_workflows: true, ..Options::new(version, Fixture::golden()) }
}

/// A newest Enterprise cluster whose plugin may submit reviews for every user.
async fn reviewer() -> (TeleportSim, Client) {
    let (sim, client) = sim_client(enterprise(ServerVersion::V18), PLUGIN).await;
    sim.edit_fixture(|fixture| fixture.role_mut(PLUGIN).unwrap().allow.submit_for_users = vec!["*".into()]);
    (sim, client)
}

fn create_request(sim: &TeleportSim) -> RequestId {
    RequestId::new(sim.request_access(ALICE, NewRequest::roles(&["dba"], "why")).unwrap())
}

/// A request that needs two of a kind.
fn create_request_needing_two(sim: &TeleportSim) -> RequestId {
    RequestId::new(sim.request_access(CAROL, NewRequest::roles(&["admin"], "why")).unwrap())
}

fn review_of(author: &str, id: &RequestId) -> SubmitReview {
    SubmitReview {
        id: id.clone(),
        author: author.to_owned(),
        decision: Decision::Approve,
        reason: "fine".to_owned(),
    }
}

async fn submit_as_reviewer(client: &Client, review: &SubmitReview) -> Result<AccessRequest, DecideError> {
    client.submit_review(review, Timestamp::now()).await
}

fn refusal(outcome: Result<AccessRequest, DecideError>) -> Refusal {
    let error = outcome.expect_err("it is refused");
    assert!(!error.is_ambiguous());
    error.refusal().unwrap_or_else(|| panic!("not a refusal: {error}"))
}

#[tokio::test]
async fn reviews_count_for_their_authors_up_to_the_threshold() {
    let (sim, client) = reviewer().await;
    let id = create_request_needing_two(&sim);
    let first = submit_as_reviewer(&client, &review_of(BOB, &id)).await.unwrap();
    assert_eq!((first.state, first.reviews.len()), (RequestState::Pending, 1));
    let second = submit_as_reviewer(&client, &review_of(DAVE, &id)).await.unwrap();
    assert_eq!(second.state, RequestState::Approved);
    assert!(review_of(BOB, &id).is_recorded_in(&second) && review_of(DAVE, &id).is_recorded_in(&second));
    let line = sim.audit().pop().unwrap();
    assert_eq!((line.user.as_str(), line.reviewer.as_deref()), (PLUGIN, Some(DAVE)));
    assert_eq!((line.submitted_by.as_deref(), line.reason.as_str()), (Some(PLUGIN), "fine"));
}

#[tokio::test]
async fn a_denial_decides() {
    let (sim, client) = reviewer().await;
    let id = create_request(&sim);
    let denial = SubmitReview { decision: Decision::Deny, ..review_of(BOB, &id) };
    let request = submit_as_reviewer(&client, &denial).await.unwrap();
    assert_eq!((request.state, request.resolve_reason.as_str()), (RequestState::Denied, "fine"));
    assert!(denial.is_recorded_in(&request) && !review_of(BOB, &id).is_recorded_in(&request));
}

#[tokio::test]
async fn plugins_that_may_not_submit_get_that_refusal() {
    let oss = Options::new(ServerVersion::V18, Fixture::golden());
    for options in [Options::golden(), enterprise(ServerVersion::V13), enterprise(ServerVersion::V18), oss] {
        let (sim, client) = sim_client(options, PLUGIN).await;
        let error = submit_as_reviewer(&client, &review_of(BOB, &create_request(&sim))).await.unwrap_err();
        assert_eq!(error.refusal(), Some(Refusal::NotSupported), "{error}");
        assert!(error.to_string().contains("Enterprise") && error.to_string().contains("submit_for_users"));
    }
}

#[tokio::test]
async fn each_refusal_of_a_review_is_distinguished() {
    let (sim, client) = reviewer().await;
    let id = create_request(&sim);
    let of = |author| review_of(author, &id);
    assert_eq!(
        refusal(submit_as_reviewer(&client, &of(ALICE)).await),
        Refusal::AuthorNotEligible,
        "their own request"
    );
    assert_eq!(refusal(submit_as_reviewer(&client, &of(CAROL)).await), Refusal::AuthorNotEligible);
    assert_eq!(
        refusal(submit_as_reviewer(&client, &of("unknown@example.com")).await),
        Refusal::AuthorUnknown
    );
    sim.edit_fixture(|fixture| {
        let roles = vec!["reviewer".to_owned()];
        let expires = Some(Timestamp::now() - jiff::SignedDuration::from_hours(1));
        let person = |name: &str| User { name: name.into(), roles: roles.clone(), ..User::default() };
        fixture.users.push(User { expires, sso: true, ..person("expired@example.com") });
        fixture.users.push(User { bot: true, ..person("bot-ci") });
        // A requester who may review others' requests.
        fixture.user_mut(ALICE).unwrap().roles.push("reviewer".into());
    });
    assert_eq!(
        refusal(submit_as_reviewer(&client, &of(ALICE)).await),
        Refusal::AuthorNotEligible,
        "still their own request"
    );
    assert_eq!(
        refusal(submit_as_reviewer(&client, &of("expired@example.com")).await),
        Refusal::AuthorUnknown
    );
    assert_eq!(refusal(submit_as_reviewer(&client, &of("bot-ci")).await), Refusal::AuthorNotEligible);
    assert_eq!(
        refusal(submit_as_reviewer(&client, &review_of(BOB, &RequestId::new("gone"))).await),
        Refusal::NotFound
    );

    let long = NewRequest { long_term: true, ..NewRequest::roles(&["dba"], "") };
    let long = RequestId::new(sim.request_access(ALICE, long).unwrap());
    assert_eq!(refusal(submit_as_reviewer(&client, &review_of(BOB, &long)).await), Refusal::LongTerm);

    let two = create_request_needing_two(&sim);
    submit_as_reviewer(&client, &review_of(BOB, &two)).await.unwrap();
    assert_eq!(refusal(submit_as_reviewer(&client, &review_of(BOB, &two)).await), Refusal::AlreadyReviewed);

    sim.set_state(TCTL, id.as_str(), Stored::Denied, "", "").unwrap();
    assert_eq!(refusal(submit_as_reviewer(&client, &of(BOB)).await), Refusal::AlreadyResolved);

    let mfa = Spoken::new(Code::PermissionDenied, "admin-level API request requires MFA verification");
    sim.faults().inject(Method::SubmitAccessReview, Fault::Error(mfa), Repeat::Next(1));
    let error = submit_as_reviewer(&client, &of(BOB)).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::MfaRequired));
    assert!(error.to_string().contains("tbot"), "{error}");
}

#[tokio::test]
async fn a_review_without_an_author_is_not_sent() {
    let (sim, client) = reviewer().await;
    let outcome = submit_as_reviewer(&client, &review_of("", &create_request(&sim))).await;
    assert_eq!(refusal(outcome), Refusal::AuthorUnknown);
    assert_eq!(sim.call_log().count(Method::SubmitAccessReview), 0, "it would be the plugin's own");
}

#[tokio::test]
async fn a_lost_answer_is_ambiguous_and_settled_by_reading() {
    let (sim, client) = reviewer().await;
    let id = create_request(&sim);
    sim.faults().inject(Method::SubmitAccessReview, Fault::LoseResponse, Repeat::Next(1));
    let error = submit_as_reviewer(&client, &review_of(BOB, &id)).await.unwrap_err();
    assert!(error.is_ambiguous() && error.refusal().is_none(), "{error}");
    let fresh = client.get_request(&id).await.unwrap().unwrap();
    assert!(review_of(BOB, &id).is_recorded_in(&fresh) && !review_of(DAVE, &id).is_recorded_in(&fresh));

    sim.stop().await;
    let outcomes = [
        submit_as_reviewer(&client, &review_of(DAVE, &id)).await,
        submit_as_reviewer(&client, &review_of(DAVE, &id)).await,
    ];
    let [_, Err(error)] = outcomes else { panic!("the server is away") };
    assert!(!error.is_ambiguous(), "nothing was sent: {error}");
}

fn set_of(id: &RequestId, decision: Decision) -> SetState {
    let annotation = |key: &str, value: &str| (key.to_owned(), vec![value.to_owned()]);
    SetState {
        id: id.clone(),
        decision,
        delegator: BOB.to_owned(),
        reason: "by Slack".to_owned(),
        annotations: [annotation("slack_user", "U0BOB"), annotation("slack_channel", "C0TEAM")].into(),
    }
}

#[tokio::test]
async fn a_state_is_set_in_a_users_name_on_every_version() {
    for version in ServerVersion::ALL {
        for (decision, expected) in
            [(Decision::Approve, RequestState::Approved), (Decision::Deny, RequestState::Denied)]
        {
            let (sim, client) = sim_client(Options::new(version, Fixture::golden()), RESOLVER).await;
            let set = set_of(&create_request(&sim), decision);
            let request = client.set_state(&set).await.unwrap();
            assert_eq!((request.state, request.resolve_reason.as_str()), (expected, "by Slack"));
            let line = sim.audit().pop().unwrap();
            assert_eq!((line.user.as_str(), line.delegator.as_deref()), (RESOLVER, Some(BOB)));
            assert_eq!(line.annotations, set.annotations);
        }
    }
}

#[tokio::test]
async fn each_refusal_of_a_state_is_distinguished() {
    let (sim, client) = sim_client(Options::golden(), PLUGIN).await;
    let id = create_request(&sim);
    let error = client.set_state(&set_of(&id, Decision::Approve)).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::NotPermitted));
    assert!(error.to_string().contains("{resources: ['access_request'], verbs: ['update']}"), "{error}");

    sim.edit_fixture(|fixture| fixture.user_mut(PLUGIN).unwrap().roles.push(RESOLVER.into()));
    let gone = set_of(&RequestId::new("gone"), Decision::Approve);
    assert_eq!(refusal(client.set_state(&gone).await), Refusal::NotFound);
    let unnamed = SetState { delegator: String::new(), ..set_of(&id, Decision::Approve) };
    assert_eq!(refusal(client.set_state(&unnamed).await), Refusal::AuthorUnknown);
    assert_eq!(sim.request(id.as_str()).unwrap().state, Stored::Pending);
    client.set_state(&set_of(&id, Decision::Deny)).await.unwrap();
    assert_eq!(refusal(client.set_state(&set_of(&id, Decision::Approve)).await), Refusal::AlreadyResolved);
    let mfa = Spoken::new(Code::PermissionDenied, "requires MFA verification");
    sim.faults().inject(Method::SetAccessRequestState, Fault::Error(mfa), Repeat::Next(1));
    assert_eq!(refusal(client.set_state(&set_of(&id, Decision::Deny)).await), Refusal::MfaRequired);
}

#[tokio::test]
async fn a_state_that_cannot_be_read_again_is_not_confirmed() {
    let (sim, client) = sim_client(Options::golden(), RESOLVER).await;
    let id = create_request(&sim);
    client.list_requests().await.unwrap();
    sim.faults().inject(Method::GetAccessRequests, Fault::unavailable(), Repeat::Next(1));
    let error = client.set_state(&set_of(&id, Decision::Approve)).await.unwrap_err();
    assert!(error.is_ambiguous() && matches!(error, DecideError::NotConfirmed { .. }), "{error}");
    assert!(error.to_string().contains("could not be read again"), "{error}");
}

async fn serve(answer: impl Fn(&str, Bytes) -> Reply + Send + Sync + 'static) -> (ScriptedServer, Client) {
    let authority = TestCa::new("local-site");
    let script: Responder = Arc::new(answer);
    let server = ScriptedServer::start(&authority, script).await;
    let client = server.client(&authority.identity(PLUGIN));
    (server, client)
}

/// A request as an answer shows it.
fn request_with(id: &'static str, state: i32, reviews: Vec<wire::AccessReview>) -> wire::AccessRequestV3 {
    wire::AccessRequestV3 {
        metadata: Some(wire::Metadata { name: id.into(), ..wire::Metadata::default() }),
        spec: Some(wire::AccessRequestSpecV3 { state, reviews, ..wire::AccessRequestSpecV3::default() }),
        ..wire::AccessRequestV3::default()
    }
}

#[tokio::test]
async fn a_review_is_sent_as_the_plugins_for_its_author() {
    let now: Timestamp = "2026-11-22T15:28:02.754600558Z".parse().unwrap();
    let (_server, client) = serve(move |method, message| {
        assert_eq!(method, "SubmitAccessReview");
        let submission = wire::AccessReviewSubmission::decode(message).unwrap();
        assert_eq!(submission.request_id, "r1");
        let review = submission.review.unwrap();
        let expected = wire::AccessReview {
            author: BOB.into(),
            proposed_state: 2,
            reason: "fine".into(),
            created: Some(prost_types::Timestamp { seconds: now.as_second(), nanos: 754_600_558 }),
            is_submitted_by_plugin: true,
            ..wire::AccessReview::default()
        };
        assert_eq!(review, expected);
        Reply::one(&request_with("r1", 2, vec![review]))
    })
    .await;
    let request = client.submit_review(&review_of(BOB, &RequestId::new("r1")), now).await.unwrap();
    assert_eq!(request.reviews[0].created, Some(now));
}

#[tokio::test]
async fn an_answer_that_does_not_show_the_review_is_not_believed() {
    let review = |author: &'static str, proposed_state| wire::AccessReview {
        author: author.into(),
        proposed_state,
        ..wire::AccessReview::default()
    };
    for answer in [
        wire::AccessRequestV3::default(),
        request_with("r1", 2, vec![]),
        request_with("r1", 2, vec![review(PLUGIN, 2), review("Bob@example.com", 2)]),
        request_with("r1", 2, vec![review(BOB, 3)]),
        request_with("r1", 2, vec![review(BOB, 4)]),
        request_with("r2", 2, vec![review(BOB, 2)]),
    ] {
        let (_server, client) = serve(move |_, _| Reply::one(&answer)).await;
        let error = submit_as_reviewer(&client, &review_of(BOB, &RequestId::new("r1"))).await.unwrap_err();
        assert!(matches!(error, DecideError::NotConfirmed { .. }), "{error}");
        assert!(error.is_ambiguous() && error.refusal().is_none());
    }
}

#[tokio::test]
async fn a_request_in_another_state_afterwards_is_not_believed() {
    for (found, words) in [
        (vec![], "it is gone"),
        (vec![request_with("r1", 1, vec![])], "it is still pending"),
        (vec![request_with("r1", 3, vec![])], "it is denied"),
        (vec![request_with("r2", 2, vec![])], "it is gone"),
    ] {
        let (_server, client) = serve(move |method, _| match method {
            "SetAccessRequestState" => Reply::Messages(vec![Bytes::new()]),
            "GetCurrentUserRoles" => Reply::one(&full_visibility_role()),
            _ => Reply::one(&wire::ListAccessRequestsResponse {
                access_requests: found.clone(),
                next_key: String::new(),
            }),
        })
        .await;
        let set = set_of(&RequestId::new("r1"), Decision::Approve);
        let error = client.set_state(&set).await.unwrap_err();
        assert!(error.to_string().ends_with(words), "{error}");
        assert!(error.is_ambiguous());
    }
}

#[tokio::test]
async fn hostile_words_of_a_refusal_are_tamed() {
    let (_server, client) = serve(|_, _| Reply::Status(7, "no%0A%1B[31m%F0%9F%94%A5")).await;
    let error = submit_as_reviewer(&client, &review_of(BOB, &RequestId::new("r1"))).await.unwrap_err();
    assert_eq!(error.refusal(), Some(Refusal::Other), "never success");
    insta::assert_snapshot!(error, @"Teleport refused SubmitAccessReview for request r1: no [31m🔥");
}
