use std::collections::BTreeMap;

use access_sim::teleport::call_log::Method;
use access_sim::teleport::fixture::{Fixture, Rule, User};
use access_sim::teleport::{Options, ServerVersion};
use bytes::Bytes;
use jiff::Timestamp;
use prost::Message;
use teleport_proto::auth as wire;

use super::*;
use crate::tests::scripted_server::{Reply, Responder, ScriptedServer, TestCa, sim_client};

const PLUGIN: &str = "access-plugin";
const UNIMPLEMENTED: u32 = 12;

fn user_rule(verbs: &[&str]) -> Rule {
    Rule { resources: vec!["user".into()], verbs: verbs.iter().map(|verb| (*verb).to_owned()).collect() }
}

fn traits(pairs: &[(&str, &[&str])]) -> BTreeMap<String, Vec<String>> {
    let values = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    pairs.iter().map(|(key, list)| ((*key).to_owned(), values(list))).collect()
}

#[tokio::test]
async fn users_of_every_version_are_found_with_traits_and_end() {
    for version in ServerVersion::ALL {
        let (sim, client) = sim_client(Options::new(version, Fixture::golden()), PLUGIN).await;
        let end: Timestamp = "2100-01-01T00:00:00.5Z".parse().unwrap();
        let erin = User {
            name: "erin@example.com".into(),
            roles: vec!["reviewer".into()],
            traits: traits(&[("slack_uid", &["U0ERIN", "W0ERIN"]), ("empty", &[])]),
            expires: Some(end),
            sso: true,
            bot: false,
        };
        sim.edit_fixture(|fixture| {
            fixture.users.push(erin.clone());
            fixture.role_mut(PLUGIN).unwrap().allow.rules.push(user_rule(&["list", "read"]));
        });
        let expected = TeleportUser { name: erin.name, traits: erin.traits, expires: Some(end) };
        assert_eq!(client.get_user("erin@example.com").await.unwrap(), Some(expected.clone()));
        assert_eq!(client.get_user("unknown").await.unwrap(), None);
        assert_eq!(client.get_user("Erin@example.com").await.unwrap(), None, "names are exact");
        let bob = client.get_user("bob@example.com").await.unwrap().unwrap();
        assert_eq!((bob.expires, bob.traits.len()), (None, 0));
        let all = client.list_users().await.unwrap();
        assert_eq!(all.len(), sim.fixture().users.len());
        assert!(all.contains(&expected));
    }
}

#[tokio::test]
async fn a_user_without_a_name_is_not_found() {
    let (sim, client) = sim_client(Options::golden(), PLUGIN).await;
    assert_eq!(client.get_user("").await.unwrap(), None);
    assert_eq!(sim.call_log().count(Method::GetUser), 0, "some servers would answer with the caller");
}

#[tokio::test]
async fn a_missing_right_names_its_rule() {
    let (_sim, client) = sim_client(Options::golden(), PLUGIN).await;
    let error = client.get_user("bob@example.com").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unauthorized);
    assert!(error.to_string().contains("{resources: ['user'], verbs: ['read']}"), "{error}");
    let error = client.list_users().await.unwrap_err();
    assert!(error.to_string().contains("{resources: ['user'], verbs: ['list', 'read']}"), "{error}");
}

async fn serve(answer: impl Fn(&str, Bytes) -> Reply + Send + Sync + 'static) -> (ScriptedServer, Client) {
    let authority = TestCa::new("local-site");
    let script: Responder = std::sync::Arc::new(answer);
    let server = ScriptedServer::start(&authority, script).await;
    let client = server.client(&authority.identity(PLUGIN));
    (server, client)
}

fn wire_user(name: impl Into<Bytes>) -> UserV2 {
    UserV2 {
        metadata: Some(wire::Metadata { name: name.into(), ..wire::Metadata::default() }),
        ..UserV2::default()
    }
}

#[tokio::test]
async fn the_newer_service_takes_over_where_the_older_is_gone_and_is_remembered() {
    let calls = std::sync::Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = std::sync::Arc::clone(&calls);
    let (_server, client) = serve(move |method, message| {
        noted.lock().push(method.to_owned());
        match method {
            "teleport.users.v1.UsersService/GetUser" => {
                let asked = users::GetUserRequest::decode(message).unwrap().name;
                Reply::one(&users::GetUserResponse { user: Some(wire_user(asked)) })
            }
            "teleport.users.v1.UsersService/ListUsers" => {
                let page = ListUsersRequest::decode(message).unwrap();
                assert!(page.page_size > 0);
                let (names, next): (&[&'static str], _) = match page.page_token.as_str() {
                    "" => (&["alice", "bob"], "more"),
                    _ => (&["carol"], ""),
                };
                Reply::one(&users::ListUsersResponse {
                    users: names.iter().map(|name| wire_user(*name)).collect(),
                    next_page_token: next.into(),
                })
            }
            _ => Reply::Status(UNIMPLEMENTED, "unknown method"),
        }
    })
    .await;
    assert_eq!(client.get_user("bob").await.unwrap().unwrap().name, "bob");
    let names: Vec<String> = client.list_users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["alice", "bob", "carol"]);
    let newer = |method| format!("teleport.users.v1.UsersService/{method}");
    assert_eq!(
        *calls.lock(),
        ["GetUser".to_owned(), newer("GetUser"), newer("ListUsers"), newer("ListUsers")]
    );
}

#[tokio::test]
async fn a_server_with_neither_service_is_an_error() {
    let (_server, client) = serve(|_, _| Reply::Status(UNIMPLEMENTED, "unknown method")).await;
    assert_eq!(client.get_user("bob").await.unwrap_err().kind(), ErrorKind::Unimplemented);
    assert_eq!(client.list_users().await.unwrap_err().kind(), ErrorKind::Unimplemented);
}

#[tokio::test]
async fn foreign_users_are_bounded_and_shown_lossily() {
    let (_server, client) = serve(|method, _| match method {
        "GetUsers" => Reply::Messages(vec![
            wire_user(&b"caf\xff"[..]).encode_to_vec().into(),
            UserV2::default().encode_to_vec().into(),
        ]),
        _ => Reply::one(&wire_user("carol")),
    })
    .await;
    let names: Vec<String> = client.list_users().await.unwrap().into_iter().map(|user| user.name).collect();
    assert_eq!(names, ["caf\u{fffd}"]);
    assert_eq!(client.get_user("bob").await.unwrap(), None, "the answer is about another user");

    let (_server, client) = serve(|method, _| match method {
        "teleport.users.v1.UsersService/ListUsers" => Reply::one(&users::ListUsersResponse {
            users: vec![wire_user("x"); MAX_USERS + 1],
            next_page_token: String::new(),
        }),
        _ => Reply::Status(UNIMPLEMENTED, "unknown method"),
    })
    .await;
    let error = client.list_users().await.unwrap_err();
    assert!(
        matches!(error, TeleportError::TooManyItems { call: Call::ListUsers, limit: MAX_USERS }),
        "{error}"
    );
    assert!(error.to_string().contains("one by one"), "{error}");
}

#[tokio::test]
async fn a_list_that_goes_in_circles_ends() {
    let (_server, client) = serve(|method, _| match method {
        "teleport.users.v1.UsersService/ListUsers" => {
            Reply::one(&users::ListUsersResponse { users: vec![], next_page_token: "again".into() })
        }
        _ => Reply::Status(UNIMPLEMENTED, "unknown method"),
    })
    .await;
    assert!(client.list_users().await.unwrap_err().to_string().contains("in circles"));
}

#[test]
fn the_sooner_end_counts_and_no_end_is_none() {
    let at = |seconds| Some(prost_types::Timestamp { seconds, nanos: 0 });
    let until = |in_spec, in_metadata| {
        let mut message = wire_user("x");
        message.metadata.as_mut().unwrap().expires = in_metadata;
        message.spec = Some(wire::UserSpecV2 { expires: in_spec, ..wire::UserSpecV2::default() });
        user(message).unwrap().expires.map(Timestamp::as_second)
    };
    // As Go writes "never".
    let never = at(-62_135_596_800);
    assert_eq!(until(never, None), None);
    assert_eq!(until(at(20), at(10)), Some(10));
    assert_eq!(until(at(10), at(20)), Some(10));
    assert_eq!(until(never, at(20)), Some(20));
}
