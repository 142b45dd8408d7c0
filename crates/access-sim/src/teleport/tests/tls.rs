//! Certificates of all kinds, good and bad.

use std::os::unix::fs::PermissionsExt;

use jiff::{SignedDuration, Timestamp};
use teleport_proto::auth as pb;
use x509_parser::prelude::FromDer;

use super::*;
use crate::teleport::certs::{Authorities, KeyKind, Subject};

async fn ping(sim: &TeleportSim, config: rustls::ClientConfig) -> Result<(), String> {
    let channel = channel(sim.addr(), config).await.map_err(|error| format!("{error:?}"))?;
    Client::new(channel).ping(pb::PingRequest {}).await.map(|_| ()).map_err(|status| format!("{status:?}"))
}

#[tokio::test]
async fn every_kind_of_key_is_accepted() {
    let sim = golden().await;
    for (key, label) in [
        (KeyKind::EcPkcs8, "-----BEGIN PRIVATE KEY-----"),
        (KeyKind::EcSec1, "-----BEGIN EC PRIVATE KEY-----"),
        (KeyKind::RsaPkcs1, "-----BEGIN RSA PRIVATE KEY-----"),
        (KeyKind::RsaPkcs8, "-----BEGIN PRIVATE KEY-----"),
    ] {
        let credentials = sim.credentials(PLUGIN, CertOptions { key, ..CertOptions::default() });
        assert!(credentials.key_pem.starts_with(label), "{key:?}");
        ping(&sim, client_tls(&credentials.cas_pem, Some(&credentials))).await.unwrap();
    }
}

#[tokio::test]
async fn expired_future_and_foreign_certificates_are_refused() {
    let sim = golden().await;
    let now = Timestamp::now();
    let hour = SignedDuration::from_hours(1);
    let foreign = Authorities::new("local-site").unwrap();
    let who = Subject { user: PLUGIN, role: PLUGIN, traits_json: "null", impersonator: None };
    let expired =
        CertOptions { not_before: Some(now - hour * 2), not_after: Some(now - hour), ..Default::default() };
    let unripe = CertOptions { not_before: Some(now + hour), ..Default::default() };
    for bad in [
        sim.credentials(PLUGIN, expired),
        sim.credentials(PLUGIN, unripe),
        foreign.client(who, CertOptions::default()).unwrap(),
    ] {
        let config = client_tls(&sim.authorities().host_ca_pem(), Some(&bad));
        assert!(ping(&sim, config).await.is_err());
    }
    let good = sim.credentials(PLUGIN, CertOptions::default());
    let error = ping(&sim, client_tls(&foreign.host_ca_pem(), Some(&good))).await.unwrap_err();
    assert!(error.contains("InvalidCertificate") || error.contains("invalid peer certificate"), "{error}");
}

#[tokio::test]
async fn a_chain_of_certificates_is_refused() {
    let sim = golden().await;
    let mut credentials = sim.credentials(PLUGIN, CertOptions::default());
    credentials.cert_pem.push_str(&credentials.cas_pem);
    assert!(ping(&sim, client_tls(&credentials.cas_pem, Some(&credentials))).await.is_err());
}

#[tokio::test]
async fn a_client_without_http2_is_not_served() {
    let sim = golden().await;
    let good = sim.credentials(PLUGIN, CertOptions::default());
    let mut config = client_tls(&good.cas_pem, Some(&good));
    config.alpn_protocols = vec![b"teleport-auth@6c.teleport.cluster.local".to_vec(), b"h2".to_vec()];
    ping(&sim, config.clone()).await.unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    assert!(ping(&sim, config).await.is_err());
}

#[tokio::test]
async fn files_hold_what_tctl_writes() {
    let sim = golden().await;
    let credentials =
        sim.credentials(PLUGIN, CertOptions { key: KeyKind::RsaPkcs1, ..CertOptions::default() });
    let dir = tempfile::tempdir().unwrap();
    credentials.write_tls_files(dir.path(), "auth").unwrap();
    for (extension, text) in
        [("key", &credentials.key_pem), ("crt", &credentials.cert_pem), ("cas", &credentials.cas_pem)]
    {
        let path = dir.path().join(format!("auth.{extension}"));
        assert_eq!(&std::fs::read_to_string(&path).unwrap(), text);
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }
    let identity = credentials.identity_file();
    let order = ["-----BEGIN", "-----END", "ssh-rsa-cert-v01@openssh.com", "-----BEGIN", "-----END"];
    let tail = ["@cert-authority", "-----BEGIN", "-----END"];
    // A line of Base64 has no spaces; every other line has.
    let marks: Vec<&str> = identity.lines().filter_map(|line| Some(line.split_once(' ')?.0)).collect();
    assert_eq!(marks, [order.as_slice(), tail.as_slice()].concat());
}

#[tokio::test]
async fn subjects_look_like_teleports() {
    let sim = golden().await;
    let ours = sim.credentials(PLUGIN, CertOptions::default()).cert_pem;
    let theirs = include_bytes!("../../../../../vectors/teleport-6.2.1/certs/access-plugin.crt");
    let attributes = |pem: &[u8]| {
        let der = CertificateDer::from_pem_slice(pem).unwrap();
        let (_, certificate) = x509_parser::prelude::X509Certificate::from_der(&der).unwrap();
        let mut all: Vec<(String, String)> = certificate
            .subject()
            .iter_attributes()
            .map(|item| (item.attr_type().to_id_string(), item.as_str().unwrap_or_default().to_owned()))
            .filter(|(oid, _)| oid != "2.5.4.17")
            .collect();
        all.sort();
        all
    };
    assert_eq!(attributes(ours.as_bytes()), attributes(theirs));
}

#[tokio::test]
async fn an_impersonating_certificate_acts_as_the_other_but_not_as_a_third() {
    let sim = golden().await;
    let rsa = CertOptions { key: KeyKind::RsaPkcs1, ..CertOptions::default() };
    let own = sim.credentials("access-plugin-imp", rsa);
    // The certificate line repeats the key, but authorized_keys is what the call takes.
    let key = rcgen::KeyPair::from_pem(&own.key_pem).unwrap();
    let line = crate::teleport::ssh::PublicKey::from_pkcs1(key.public_key_raw()).unwrap().to_line();
    let wanted = |user: &str| pb::UserCertsRequest {
        public_key: line.clone().into(),
        username: user.to_owned(),
        ..pb::UserCertsRequest::default()
    };
    let mut plugin = Client::new(channel(sim.addr(), client_tls(&own.cas_pem, Some(&own))).await.unwrap());
    let certs = plugin.generate_user_certs(wanted(BOB)).await.unwrap().into_inner();
    let mut as_bob = own;
    as_bob.cert_pem = String::from_utf8(certs.tls.to_vec()).unwrap();
    let mut bob = Client::new(channel(sim.addr(), client_tls(&as_bob.cas_pem, Some(&as_bob))).await.unwrap());
    let id = sim.request_access(ALICE, crate::teleport::request::NewRequest::roles(&["dba"], "")).unwrap();
    let review = pb::AccessReview { proposed_state: pb::RequestState::Denied.into(), ..Default::default() };
    let submission = pb::AccessReviewSubmission { request_id: id.clone(), review: Some(review) };
    bob.submit_access_review(submission).await.unwrap();
    assert_eq!(sim.request(&id).unwrap().reviews[0].author, BOB);
    for refused in [
        bob.generate_user_certs(wanted(DAVE)).await,
        client(&sim, PLUGIN).await.generate_user_certs(wanted(BOB)).await,
    ] {
        assert_eq!(refused.unwrap_err().code(), tonic::Code::PermissionDenied);
    }
}
