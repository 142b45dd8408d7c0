//! Requests to the app that are forged, altered, repeated or encrypted.

use std::sync::Arc;

use axum::Extension;
use hyper_util::rt::TokioIo;
use hyper_util::service::TowerToHyperService;
use jiff::Timestamp;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::interactive::forgery::{Alteration, Forgery, Signature, Stamp};
use super::super::interactive::{Timings, Warning};
use super::super::workspace::Workspace;
use super::super::{Options, SlackSim};
use super::app::{App, ReceivedRequest};
use super::{Client, button, post_button, start_with_app};

fn stamp(heard: &ReceivedRequest) -> Option<i64> {
    heard.header("x-slack-request-timestamp").map(|stamp| stamp.parse().unwrap())
}

#[tokio::test]
async fn signatures_and_timestamps_go_wrong_as_ordered() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let secret = sim.app().signing_secret;
    let send = async |forgery: Forgery| {
        sim.click("U0BOB", "C0DBA", &ts, "approve").forged(forgery).await.unwrap();
        app.last()
    };
    let heard = send(Forgery::signed(Signature::WrongSecret)).await;
    assert!(!heard.is_signed_by(&secret) && heard.header("x-slack-signature").unwrap().len() == 67);
    let theirs = "another app's secret".to_owned();
    let heard = send(Forgery::signed(Signature::Secret(theirs.clone()))).await;
    assert!(heard.is_signed_by(&theirs) && !heard.is_signed_by(&secret));
    let heard = send(Forgery::signed(Signature::Truncated)).await;
    assert_eq!(heard.header("x-slack-signature").unwrap().len(), 59);
    let heard = send(Forgery::signed(Signature::Missing)).await;
    assert_eq!(heard.header("x-slack-signature"), None);
    let heard = send(Forgery::signed(Signature::Text("v0=".to_owned()))).await;
    assert_eq!(heard.header("x-slack-signature"), Some("v0="));

    let now = Timestamp::now().as_second();
    for shift in [-301, 301] {
        let heard = send(Forgery::stamped(Stamp::Shifted(shift))).await;
        assert!(heard.is_signed_by(&secret), "what is stale is signed all the same");
        assert!((stamp(&heard).unwrap() - now - shift).abs() < 60);
    }
    let heard = send(Forgery::stamped(Stamp::Missing)).await;
    assert!(heard.header("x-slack-request-timestamp").is_none() && heard.is_signed_by(&secret));
    let heard = send(Forgery::stamped(Stamp::Text("1e9".to_owned()))).await;
    assert!(heard.header("x-slack-request-timestamp") == Some("1e9") && heard.is_signed_by(&secret));
    let forgeries = sim.interactions().into_iter().filter(|one| one.forgery.is_some()).count();
    assert_eq!(forgeries, app.received().len());
    assert!(sim.interactions().iter().all(|one| !one.forgery.as_deref().unwrap().contains("another app")));
}

#[tokio::test]
async fn a_replay_is_the_same_to_the_byte() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap();
    let again = sim.replay(seen.seq().unwrap()).await.unwrap();
    assert!(again.acknowledged() && again.seq() != seen.seq());
    let [first, second] = app.received().try_into().unwrap();
    assert_eq!(first.body, second.body);
    for header in ["x-slack-signature", "x-slack-request-timestamp"] {
        assert_eq!(first.header(header), second.header(header), "{header}");
    }
    assert!(sim.replay(99).await.is_none());
}

#[tokio::test]
async fn payloads_say_something_else_and_are_well_signed() {
    let (sim, client, app) = start_with_app(Workspace::demo(), Timings::default()).await;
    let ts = post_button(&client, "C0DBA", button("approve")).await;
    let secret = sim.app().signing_secret;
    let cases = [
        (Alteration::value("req-2"), "/actions/0/value", json!("req-2")),
        (Alteration::user("U0EVE"), "/user/id", json!("U0EVE")),
        (Alteration::team("T0OTHER"), "/team/id", json!("T0OTHER")),
        (Alteration::no_team(), "/team", json!(null)),
        (Alteration::no_team(), "/is_enterprise_install", json!(true)),
        (Alteration::app("A0OTHER"), "/api_app_id", json!("A0OTHER")),
        (Alteration::channel("C0REQUESTS"), "/container/channel_id", json!("C0REQUESTS")),
        (Alteration::message_ts("1795363190.000009"), "/message/ts", json!("1795363190.000009")),
        (Alteration::Extra, "/user/zz_field_of_the_future/2", json!(true)),
    ];
    for (alteration, pointer, value) in cases {
        let forgery = Forgery::altered(alteration);
        sim.click("U0BOB", "C0DBA", &ts, "approve").forged(forgery).await.unwrap();
        assert!(app.last().is_signed_by(&secret));
        assert_eq!(app.last().payload().pointer(pointer), Some(&value), "{pointer}");
    }
    for (name, alteration) in Alteration::hostile() {
        let before = app.received().len();
        let forgery = Forgery::altered(alteration);
        let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").forged(forgery).await.unwrap();
        assert!(seen.acknowledged(), "{name}: {seen:?}");
        assert_eq!(app.received().len(), before + 1, "{name}");
        assert!(app.last().is_signed_by(&secret), "{name}");
    }
    assert!(app.received().iter().any(|heard| heard.body.len() > 20 << 20));
}

#[tokio::test]
async fn https_is_checked_against_the_given_certificates() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (app, tasks, router) = App::unserved(listener.local_addr().unwrap());
    let own = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(own.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    tasks.spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(stream).await else { continue };
            let service = TowerToHyperService::new(router.clone().layer(Extension(())));
            let served = hyper::server::conn::http1::Builder::new();
            // The client closes after its one request.
            let _ = served.serve_connection(TokioIo::new(stream), service).await;
        }
    });
    let url = format!("https://{}/", app.addr);
    let workspace = Workspace::demo().with_request_url(&url);
    let sim = SlackSim::start(Options::new(workspace)).await.unwrap();
    let ts = post_button(&Client::of(&sim), "C0DBA", button("approve")).await;
    for ca in [None, Some(other.cert.pem()), Some("no certificate".to_owned())] {
        sim.set_app(|app| app.request_ca = ca);
        let seen = sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap();
        assert!(matches!(seen.warning(), Some(Warning::Unreachable(_))), "{seen:?}");
    }
    sim.set_app(|app| app.request_ca = Some(own.cert.pem()));
    assert!(sim.click("U0BOB", "C0DBA", &ts, "approve").await.unwrap().acknowledged());
    assert_eq!(app.received().len(), 1);
}
