//! Compare-and-swap of plugin data: against a model, and over the wire.

use std::collections::BTreeMap;

use proptest::prelude::*;
use teleport_proto::auth as pb;
use tonic::Code;

use super::*;
use crate::teleport::call_log::Method;
use crate::teleport::request::NewRequest;

type Pairs = Vec<(String, String)>;

fn entries(pairs: &[(String, String)]) -> Vec<pb::StringEntry> {
    pairs.iter().map(|(k, v)| pb::StringEntry { key: k.clone().into(), value: v.clone().into() }).collect()
}

fn update(
    id: &str,
    plugin: &str,
    set: &[(String, String)],
    expect: &[(String, String)],
) -> pb::PluginDataUpdateParams {
    pb::PluginDataUpdateParams {
        kind: "access_request".into(),
        resource: id.to_owned(),
        plugin: plugin.to_owned(),
        set: entries(set),
        expect: entries(expect),
    }
}

fn pair(key: &str, value: &str) -> (String, String) {
    (key.to_owned(), value.to_owned())
}

fn pairs() -> impl Strategy<Value = Pairs> {
    let keys = prop::sample::select(vec!["a", "b", "c"]);
    let values = prop::sample::select(vec!["", "1", "2"]);
    prop::collection::btree_map(keys, values, 0..4)
        .prop_map(|map| map.into_iter().map(|(k, v)| pair(k, v)).collect())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Any sequence of conditional writes by two plugins ends as a plain map of maps would.
    #[test]
    fn behaves_like_a_map_with_expectations(
        writes in prop::collection::vec((prop::bool::ANY, pairs(), pairs()), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let sim = golden().await;
            let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
            let mut client = client(&sim, PLUGIN).await;
            let mut model: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
            for (first, set, expect) in writes {
                let plugin = if first { "slack" } else { "other" };
                let entry = model.entry(plugin).or_default();
                let holds = expect.iter().all(|(k, v)| entry.get(k).map_or("", String::as_str) == v);
                let answer = client.update_plugin_data(update(&id, plugin, &set, &expect)).await;
                assert_eq!(answer.as_ref().err().map(|s| s.code()), (!holds).then_some(Code::FailedPrecondition));
                if holds {
                    for (key, value) in set {
                        if value.is_empty() { entry.remove(&key) } else { entry.insert(key, value) };
                    }
                }
                assert_eq!(sim.plugin_data(&id, "slack"), model.get("slack").cloned().unwrap_or_default());
                assert_eq!(sim.plugin_data(&id, "other"), model.get("other").cloned().unwrap_or_default());
            }
        });
    }
}

#[tokio::test]
async fn one_of_two_claims_wins() {
    let sim = golden().await;
    let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
    let (mut one, mut two) = (client(&sim, PLUGIN).await, client(&sim, PLUGIN).await);
    let absent = [pair("x_claim", "")];
    let (one, two) = tokio::join!(
        one.update_plugin_data(update(&id, "slack", &[pair("x_claim", "one")], &absent)),
        two.update_plugin_data(update(&id, "slack", &[pair("x_claim", "two")], &absent)),
    );
    assert!(one.is_ok() != two.is_ok());
    let loser = one.err().or(two.err()).unwrap();
    assert_eq!(
        (loser.code(), loser.message()),
        (Code::FailedPrecondition, "expectations not met for field \"x_claim\"")
    );
}

#[tokio::test]
async fn limits_and_faults_of_writing() {
    let sim = golden().await;
    let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
    let mut plugin = client(&sim, PLUGIN).await;
    let large = pair("k", &"x".repeat(999_000));
    plugin.update_plugin_data(update(&id, "slack", std::slice::from_ref(&large), &[])).await.unwrap();
    let more = pair("l", &"x".repeat(2000));
    let refused = plugin.update_plugin_data(update(&id, "slack", &[more], &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::InvalidArgument);

    sim.faults().conflict_updates(1);
    let small = [pair("m", "1")];
    let refused = plugin.update_plugin_data(update(&id, "slack", &small, &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::FailedPrecondition);
    plugin.update_plugin_data(update(&id, "slack", &small, &[])).await.unwrap();
    assert_eq!(sim.call_log().count(Method::UpdatePluginData), 4);

    let refused =
        client(&sim, ALICE).await.update_plugin_data(update(&id, "slack", &small, &[])).await.unwrap_err();
    assert_eq!(refused.code(), Code::PermissionDenied);
    let mut wrong_kind = update(&id, "slack", &small, &[]);
    wrong_kind.kind = "node".into();
    assert_eq!(plugin.update_plugin_data(wrong_kind).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn planted_invalid_data_is_served_as_it_is() {
    let sim = golden().await;
    let id = sim.request_access(ALICE, NewRequest::roles(&["dba"], "")).unwrap();
    let invalid = BTreeMap::from([(b"messages".to_vec(), b"\xff\xfe,,/".to_vec())]);
    sim.set_plugin_data(&id, "slack", invalid).unwrap();
    let filter = pb::PluginDataFilter { kind: "access_request".into(), resource: id, plugin: "slack".into() };
    let found = client(&sim, PLUGIN).await.get_plugin_data(filter).await.unwrap().into_inner();
    let spec = found.plugin_data[0].spec.as_ref().unwrap();
    assert_eq!(spec.entries[0].value.as_ref().unwrap().data[0].value.as_ref(), b"\xff\xfe,,/");
}
