use access_sim::teleport::call_log::Method;
use access_sim::teleport::certs::{self, CertOptions};
use access_sim::teleport::faults::{Fault, Repeat};
use access_sim::teleport::fixture::{self, Fixture};
use access_sim::teleport::presets::PLUGIN_USER;
use access_sim::teleport::refusal::RpcError;
use access_sim::teleport::{Options, ServerVersion, TeleportSim};
use teleport_proto::auth::AuthPreferenceSpecV2;
use tonic::Code;

use super::super::identity::Identity;
use super::*;
use crate::credentials::Credentials;
use crate::tests::scripted_server::sim_client;

#[test]
fn the_names_on_the_certificate_show_who_signed() {
    let uuid = "de37d815-126c-49be-b542-1b843462b05d";
    for (user, impersonator, expected) in [
        ("access-plugin", Some(format!("{uuid}.example.com")), Signer::AuthHost),
        ("access-plugin", Some("alice@example.com".to_owned()), Signer::User("alice@example.com".to_owned())),
        ("access-plugin", Some(uuid.to_owned()), Signer::User(uuid.to_owned())),
        ("access-plugin", Some(format!("{uuid}.")), Signer::User(format!("{uuid}."))),
        ("access-plugin", Some("bot-slack".to_owned()), Signer::Bot),
        ("bot-slack", Some("bot-slack".to_owned()), Signer::Bot),
        ("bot-slack", None, Signer::Bot),
        ("access-plugin", None, Signer::Unnamed),
    ] {
        assert_eq!(Signer::of(user, impersonator.as_deref()), expected);
    }
}

#[tokio::test]
async fn webauthn_as_the_only_factor_is_asked_of_certificates_that_users_signed() {
    use fixture::SecondFactor::{Off, On, WebAuthn};
    let alice = certs::Signer::User("alice@example.com");
    let by_alice = || Signer::User("alice@example.com".to_owned());
    for (version, factor, signer, expected) in [
        (ServerVersion::V15, WebAuthn, alice, SecondFactor::Asked(by_alice())),
        (ServerVersion::V15_3, WebAuthn, certs::Signer::Unnamed, SecondFactor::Asked(Signer::Unnamed)),
        (ServerVersion::V18, WebAuthn, alice, SecondFactor::Asked(by_alice())),
        (ServerVersion::V15, WebAuthn, certs::Signer::AuthHost, SecondFactor::NotAsked),
        (ServerVersion::V15, WebAuthn, certs::Signer::User("bot-slack"), SecondFactor::NotAsked),
        (ServerVersion::V15, On, alice, SecondFactor::NotAsked),
        (ServerVersion::V18, On, alice, SecondFactor::NotAsked),
        (ServerVersion::V18, Off, alice, SecondFactor::NotAsked),
        // Before 15 Teleport asks no user.
        (ServerVersion::V13, WebAuthn, alice, SecondFactor::NotAsked),
    ] {
        let (_sim, client) = signed_by(version, factor, signer).await;
        assert_eq!(client.second_factor().await.unwrap(), expected, "{version:?} {factor:?} {signer:?}");
    }
}

#[tokio::test]
async fn settings_that_the_cluster_hides_are_unknown() {
    let (sim, client) =
        signed_by(ServerVersion::V15, fixture::SecondFactor::Off, certs::Signer::User("alice@example.com"))
            .await;
    for code in [Code::PermissionDenied, Code::Unimplemented] {
        sim.faults().inject(
            Method::GetAuthPreference,
            Fault::Error(RpcError::new(code, "no")),
            Repeat::Next(1),
        );
        let unknown = SecondFactor::Unknown(Signer::User("alice@example.com".to_owned()));
        assert_eq!(client.second_factor().await.unwrap(), unknown, "{code:?}");
    }
    sim.faults().inject(Method::GetAuthPreference, Fault::unavailable(), Repeat::Next(1));
    client.second_factor().await.unwrap_err();
}

#[test]
fn words_and_lists_of_factors_are_read_and_unknown_ones_prove_nothing() {
    for (word, list, expected) in [
        ("webauthn", vec![], Some(true)),
        ("off", vec![], Some(false)),
        ("otp", vec![], Some(false)),
        ("on", vec![], Some(false)),
        ("optional", vec![], Some(false)),
        ("", vec![], None),
        ("passkeys", vec![], None),
        ("", vec![2], Some(true)),
        ("", vec![2, 3], Some(true)),
        ("webauthn", vec![1, 2], Some(false)),
        ("", vec![2, 9], None),
    ] {
        let spec = AuthPreferenceSpecV2 { second_factor: word.into(), second_factors: list.clone() };
        assert_eq!(only_webauthn(&AuthPreferenceV2 { spec: Some(spec) }), expected, "{word} {list:?}");
    }
    assert_eq!(only_webauthn(&AuthPreferenceV2 { spec: None }), None);
}

/// A plugin with a certificate that `signer` had signed.
async fn signed_by(
    version: ServerVersion,
    second_factor: fixture::SecondFactor,
    signer: certs::Signer,
) -> (TeleportSim, Client) {
    let fixture = Fixture { second_factor, ..Fixture::golden() };
    let (sim, client) = sim_client(Options::new(version, fixture), PLUGIN_USER).await;
    let dir = tempfile::tempdir().unwrap();
    let credentials = sim.credentials(PLUGIN_USER, CertOptions { signer, ..CertOptions::default() });
    let file = dir.path().join("auth_id");
    std::fs::write(&file, credentials.identity_file()).unwrap();
    let identity = Identity::load(&Credentials::Identity(file), jiff::Timestamp::now()).unwrap();
    client.use_identity(&identity);
    (sim, client)
}
