//! The probes against the simulated releases, and against what real servers said.

use access_sim::teleport::fixture::{Fixture, Rule, SecondFactor};
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::{Options, ServerVersion, TeleportSim};
use bytes::Bytes;
use serde_json::Value;
use std::sync::Arc;

use super::*;
use crate::tests::scripted_server::{Reply, ScriptedServer, TestCa, sim_client};

fn set_rules(sim: &TeleportSim, rules: &[(&str, &[&str])]) {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    let rules = rules.iter().map(|(kind, verbs)| Rule { resources: texts(&[kind]), verbs: texts(verbs) });
    sim.edit_fixture(|fixture| {
        fixture.role_mut("access-plugin").unwrap().allow.rules = rules.collect();
    });
}

async fn probe_all(client: &Client) -> Vec<Right> {
    let mut found = Vec::new();
    for probe in Probe::ALL {
        found.push(client.probe(probe).await.unwrap());
    }
    found
}

#[tokio::test]
async fn each_right_is_found_in_every_release_and_nothing_is_changed() {
    use Right::{Granted, Missing};
    for version in ServerVersion::ALL {
        let (sim, client) = sim_client(Options::new(version, Fixture::golden()), PLUGIN_USER).await;
        for (rules, expected) in [
            (vec![], [Missing, Missing, Missing, Missing, Missing]),
            // What the guide gives.
            (
                vec![("access_request", &["list", "read"][..]), ("access_plugin_data", &["update"])],
                [Granted, Granted, Missing, Missing, Missing],
            ),
            (vec![("access_plugin_data", &["list"])], [Missing, Missing, Missing, Missing, Missing]),
            (
                vec![("access_request", &["list", "read", "update"])],
                [Granted, Granted, Granted, Missing, Missing],
            ),
            (vec![("user", &["read"])], [Missing, Missing, Missing, Granted, Missing]),
            (vec![("user", &["list", "read"])], [Missing, Missing, Missing, Granted, Granted]),
        ] {
            set_rules(&sim, &rules);
            assert_eq!(probe_all(&client).await, expected, "{version:?} {rules:?}");
        }
        assert!(sim.requests().is_empty() && sim.audit().is_empty(), "{version:?}");
    }
}

#[tokio::test]
async fn a_second_factor_is_no_missing_right() {
    let fixture = Fixture { second_factor: SecondFactor::WebAuthn, ..Fixture::golden() };
    let (_sim, client) = sim_client(Options::new(ServerVersion::V15, fixture), "access-plugin-rw").await;
    assert_eq!(client.probe(Probe::SetState).await.unwrap(), Right::NeedsSecondFactor);
    assert_eq!(client.probe(Probe::WritePluginData).await.unwrap(), Right::Granted);
}

#[tokio::test]
async fn a_plugin_that_is_shut_out_learns_nothing_of_its_rights() {
    for version in [ServerVersion::V6, ServerVersion::V15, ServerVersion::V18] {
        let (sim, client) = sim_client(Options::new(version, Fixture::golden()), PLUGIN_USER).await;
        sim.edit_fixture(|fixture| fixture.locked = vec![PLUGIN_USER.to_owned()]);
        for probe in Probe::ALL {
            match client.probe(probe).await {
                Err(error) => assert_eq!(error.denied(), Some(AccessDenied::Locked), "{version:?} {probe:?}"),
                Ok(right) => assert!(matches!(right, Right::Unknown(_)), "{version:?} {probe:?} {right:?}"),
            }
        }
    }
}

#[tokio::test]
async fn a_review_is_refused_for_the_reason_that_holds_for_this_user() {
    let mut fixture = Fixture::golden();
    fixture.role_mut("access-plugin").unwrap().allow.submit_for_users =
        ["bob@example.com", "alice@example.com", "zed@example.com"].map(str::to_owned).into();
    let options = Options { advanced_access_workflows: true, ..Options::new(ServerVersion::V18, fixture) };
    let (sim, client) = sim_client(options, PLUGIN_USER).await;
    for (author, expected) in [
        ("bob@example.com", None),
        ("dave@example.com", Some(Refusal::NotSupported)),
        // May be named, and may not review.
        ("alice@example.com", Some(Refusal::AuthorNotEligible)),
        ("zed@example.com", Some(Refusal::AuthorUnknown)),
    ] {
        assert_eq!(client.review_refusal(author).await.unwrap(), expected, "{author}");
    }
    assert!(sim.audit().is_empty());
    let (_sim, client) = sim_client(Options::new(ServerVersion::V15, Fixture::golden()), PLUGIN_USER).await;
    assert_eq!(client.review_refusal("bob@example.com").await.unwrap(), Some(Refusal::NotSupported));
}

/// Code and message of a captured answer.
fn captured(release: &str, name: &str) -> (u32, &'static str) {
    let path = format!("{}/../../vectors/teleport-{release}/manifest.json", env!("CARGO_MANIFEST_DIR"));
    let steps: Vec<Value> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let step = steps.iter().find(|step| step["name"] == name).unwrap();
    let code = match step["grpc_code"].as_str().unwrap() {
        "NotFound" => 5,
        "PermissionDenied" => 7,
        other => panic!("{other}"),
    };
    (code, step["grpc_message"].as_str().unwrap().to_owned().leak())
}

#[tokio::test]
async fn captured_answers_mean_what_the_table_says() {
    use Right::{Granted, Missing};
    let authority = TestCa::new("local-site");
    for (probe, release, name, expected) in [
        (Probe::WritePluginData, "6.2.1", "plugin-data-missing-request", Granted),
        (Probe::WritePluginData, "15.1.9", "plugin-data-missing-request", Granted),
        (Probe::ReadPluginData, "15.1.9", "plugin-data-without-read", Missing),
        (Probe::ReadPluginData, "15.1.9", "plugin-data-without-rights", Missing),
        (Probe::SetState, "6.2.1", "set-state-deleted", Granted),
        (Probe::SetState, "15.1.9", "set-state-missing", Granted),
        (Probe::SetState, "6.2.1", "set-state-readonly", Missing),
        (Probe::SetState, "15.1.9", "set-state-readonly", Missing),
        (Probe::ReadUser, "15.1.9", "get-user-missing", Granted),
        (Probe::ReadUser, "15.1.9", "get-user-without-right", Missing),
        (Probe::ListUsers, "15.1.9", "list-users-without-list", Missing),
    ] {
        let (code, message) = captured(release, name);
        let script = Arc::new(move |_: &str, _: Bytes| Reply::Status(code, message));
        let server = ScriptedServer::start(&authority, script).await;
        let client = server.client(&authority.identity(PLUGIN_USER));
        assert_eq!(client.probe(probe).await.unwrap(), expected, "{release} {name}");
    }
}

#[test]
fn ids_look_like_those_of_requests_and_differ() {
    let (one, other) = (random_id(), random_id());
    assert_ne!(one, other);
    let parts: Vec<usize> = one.split('-').map(str::len).collect();
    assert_eq!((parts.as_slice(), &one[14..15]), (&[8, 4, 4, 4, 12][..], "4"), "{one}");
}
