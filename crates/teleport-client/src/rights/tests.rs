use std::sync::Arc;

use access_core::domain::ids::RequestId;
use access_sim::teleport::call_log::Method;
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::{Fixture, Rule as SimRule};
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::refusal::RpcError;
use access_sim::teleport::request::NewRequest;
use access_sim::teleport::{Options, ServerVersion, TeleportSim};
use bytes::Bytes;
use teleport_proto::auth::RoleSpecV6;
use tonic::Code;

use super::*;
use crate::tests::scripted_server::{Reports, observed_sim_client, sim_client};

fn rule(resources: &[&'static str], verbs: &[&'static str], condition: &'static str) -> Rule {
    let list =
        |texts: &[&'static str]| texts.iter().map(|text| Bytes::from_static(text.as_bytes())).collect();
    Rule { resources: list(resources), verbs: list(verbs), r#where: condition.into() }
}

fn role(allow: Vec<Rule>, deny: Vec<Rule>) -> RoleV6 {
    let half = |rules| Some(RoleConditions { rules, review_requests: None });
    RoleV6 { spec: Some(RoleSpecV6 { allow: half(allow), deny: half(deny) }), ..RoleV6::default() }
}

/// What these roles let us see.
fn visibility_of(roles: &[RoleV6]) -> Visibility {
    super::evaluate_roles(roles, &READ_VERBS)
}

#[tokio::test]
async fn the_right_to_decide_differs_from_none_and_from_not_knowing() {
    for version in [ServerVersion::V6, ServerVersion::V15, ServerVersion::V18] {
        for (user, expected) in [(PLUGIN_USER, Some(false)), ("access-plugin-rw", Some(true))] {
            let (sim, client) = sim_client(Options::new(version, Fixture::golden()), user).await;
            assert_eq!(client.may_resolve().await.unwrap(), expected, "{version:?} {user}");
            let method =
                if version == ServerVersion::V6 { Method::GetRole } else { Method::GetCurrentUserRoles };
            let refusal = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
            sim.faults().inject(method, refusal, Repeat::Next(1));
            assert_eq!(client.may_resolve().await.unwrap(), None, "{version:?}");
        }
    }
}

#[test]
fn both_verbs_are_needed_and_a_denial_wins() {
    let request = &["access_request"][..];
    let all = || rule(request, &["list", "read"], "");
    let unsure = |visibility: Visibility| matches!(visibility, Visibility::Unknown(_));
    assert_eq!(visibility_of(&[]), Visibility::Partial(vec!["list", "read"]));
    assert_eq!(visibility_of(&[RoleV6::default()]), Visibility::Partial(vec!["list", "read"]));
    assert_eq!(visibility_of(&[role(vec![all()], vec![])]), Visibility::All);
    // From two roles, and by wildcards.
    let halves = ["list", "read"].map(|verb| role(vec![rule(request, &[verb], "")], vec![]));
    assert_eq!(visibility_of(&halves), Visibility::All);
    assert_eq!(visibility_of(&halves[..1]), Visibility::Partial(vec!["read"]));
    assert_eq!(visibility_of(&[role(vec![rule(&["*"], &["*"], "")], vec![])]), Visibility::All);
    assert_eq!(
        visibility_of(&[role(vec![rule(&["node"], &["*"], "")], vec![])]),
        Visibility::Partial(vec!["list", "read"])
    );
    // Denied by another role.
    let denial = role(vec![], vec![rule(&["*"], &["list"], "")]);
    assert_eq!(visibility_of(&[role(vec![all()], vec![]), denial]), Visibility::Partial(vec!["list"]));
    // Conditions cannot be judged here.
    assert!(unsure(visibility_of(&[role(vec![rule(request, &["*"], "equals(a, b)")], vec![])])));
    assert!(unsure(visibility_of(&[role(vec![all()], vec![rule(request, &["list"], "equals(a, b)")])])));
    let half_sure = role(vec![rule(request, &["list"], "equals(a, b)")], vec![]);
    assert_eq!(
        visibility_of(&[half_sure]),
        Visibility::Partial(vec!["read"]),
        "what is missing for certain is said"
    );
}

fn set_verbs(sim: &TeleportSim, verbs: &[&str]) {
    sim.edit_fixture(|fixture| {
        let verbs = verbs.iter().map(|verb| (*verb).to_owned()).collect();
        let rule = SimRule { resources: vec!["access_request".to_owned()], verbs };
        fixture.role_mut("access-plugin").unwrap().allow.rules = vec![rule];
    });
}

#[tokio::test]
async fn an_absence_counts_only_with_the_rights_in_every_version() {
    for version in ServerVersion::ALL {
        let reports = Arc::new(Reports::default());
        let options = Options::new(version, Fixture::golden());
        let (sim, client) = observed_sim_client(options, PLUGIN_USER, reports.clone()).await;
        let id = sim.request_access("alice@example.com", NewRequest::roles(&["dba"], "")).unwrap();
        let (id, gone) = (RequestId::new(id), RequestId::new("4b1d7a0e-0000-4000-8000-000000000000"));
        assert_eq!(client.visibility().await.unwrap(), Visibility::All, "{version:?}");
        assert!(client.get_request(&id).await.unwrap().is_some(), "{version:?}");
        assert!(client.get_request(&gone).await.unwrap().is_none(), "{version:?}");
        for verb in READ_VERBS {
            set_verbs(&sim, &[verb]);
            for id in [&id, &gone] {
                let error = client.get_request(id).await.unwrap_err();
                assert!(matches!(error, TeleportError::NotVisible { .. }), "{version:?} {error}");
                let missing = READ_VERBS.into_iter().find(|other| *other != verb).unwrap();
                assert!(error.to_string().contains(&format!("lacks the verb {missing} on")), "{error}");
                assert!(error.to_string().contains("verbs: ['list', 'read']"), "{error}");
            }
            let unconfirmed = std::mem::take(&mut *reports.unconfirmed.lock());
            assert!(
                matches!(unconfirmed[..], [Visibility::Partial(_), Visibility::Partial(_)]),
                "{unconfirmed:?}"
            );
        }
        set_verbs(&sim, &READ_VERBS);
        assert!(client.get_request(&gone).await.unwrap().is_none(), "{version:?}");
        assert_eq!(*reports.unconfirmed.lock(), [], "{version:?}");
        assert_eq!(reports.visibilities.lock().last(), Some(&Visibility::All), "{version:?}");
    }
}

#[tokio::test]
async fn rights_that_cannot_be_had_prove_nothing() {
    for (version, method) in
        [(ServerVersion::V6, Method::GetRole), (ServerVersion::V18, Method::GetCurrentUserRoles)]
    {
        let (sim, client) = sim_client(Options::new(version, Fixture::golden()), PLUGIN_USER).await;
        let gone = RequestId::new("4b1d7a0e-0000-4000-8000-000000000000");
        let refusal = Fault::Error(RpcError::new(Code::PermissionDenied, "access denied"));
        sim.faults().inject(method, refusal, Repeat::Next(2));
        assert!(matches!(client.visibility().await.unwrap(), Visibility::Unknown(_)), "{version:?}");
        let error = client.get_request(&gone).await.unwrap_err();
        assert!(error.to_string().contains("cannot be known"), "{version:?} {error}");
        sim.faults().inject(method, Fault::unavailable(), Repeat::Next(1));
        assert_eq!(client.get_request(&gone).await.unwrap_err().kind(), ErrorKind::Retry, "{version:?}");
        assert!(client.get_request(&gone).await.unwrap().is_none(), "{version:?}");
    }
}
