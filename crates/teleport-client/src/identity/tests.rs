use std::fs;

use proptest::prelude::*;
use rcgen::KeyPair;
use rustls::pki_types::pem::PemObject;
use tempfile::TempDir;

use super::*;
use crate::pem::UnusableKey;
use crate::tests::scripted_server::{LeafParams, PemKeyPair, TestCa, base64};

const VECTORS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../vectors/teleport-6.2.1/certs");

fn now() -> Timestamp {
    "2026-06-01T00:00:00Z".parse().unwrap()
}

/// Writes the three files and loads them.
fn load_files(key: &str, crt: &str, cas: &str) -> Result<Identity, IdentityError> {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, content: &str| {
        let path = dir.path().join(name);
        fs::write(&path, content).unwrap();
        path
    };
    let source = Credentials::Files {
        client_key: path("auth.key", key),
        client_crt: path("auth.crt", crt),
        root_cas: path("auth.cas", cas),
    };
    Identity::load(&source, now())
}

fn identity_file(content: &[u8]) -> (TempDir, Credentials) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth_id");
    fs::write(&path, content).unwrap();
    (dir, Credentials::Identity(path))
}

fn load_identity_file(content: impl AsRef<[u8]>) -> Result<Identity, IdentityError> {
    let (_dir, source) = identity_file(content.as_ref());
    Identity::load(&source, now())
}

/// A cluster and the plugin's pair in it.
fn cluster() -> (TestCa, PemKeyPair) {
    let authority = TestCa::new("local-site");
    let pair = authority.client_pair("access-plugin");
    (authority, pair)
}

fn relabel(key: &str, label: &str) -> String {
    key.replace("PRIVATE KEY", label)
}

#[test]
fn three_files_make_an_identity() {
    let (authority, pair) = cluster();
    let identity = load_files(&pair.key, &pair.crt, &authority.pem).unwrap();
    assert_eq!(identity.user(), "access-plugin");
    assert_eq!(identity.cluster(), Some("local-site"));
    assert_eq!(identity.not_after(), "2100-01-01T00:00:00Z".parse().unwrap());
    let tls = identity.tls_config();
    assert_eq!(tls.alpn_protocols, alpn_entries(Some("local-site")));
    assert!(tls.client_auth_cert_resolver.has_certs());
}

#[test]
fn one_file_written_by_teleport_makes_an_identity() {
    let (authority, pair) = cluster();
    let other = TestCa::new("leaf-cluster");
    let file = format!(
        "{}ssh-rsa-cert-v01@openssh.com AAAAHHNzaC1yc2E= access-plugin\n{}@cert-authority *.local-site ssh-rsa AAAA type=host\n{}{}",
        pair.key, pair.crt, authority.pem, other.pem
    );
    assert_eq!(load_identity_file(&file).unwrap().user(), "access-plugin");
    // As it looks after a trip through a Windows editor and a YAML file.
    let mangled = format!("\u{feff}{}", file.replace('\n', "  \r\n    "));
    assert_eq!(load_identity_file(mangled).unwrap().user(), "access-plugin");
    // Key last, and bytes that are not text.
    let shuffled =
        [b"\xff\xfe what\n", pair.crt.as_bytes(), authority.pem.as_bytes(), pair.key.as_bytes()].concat();
    assert_eq!(load_identity_file(shuffled).unwrap().user(), "access-plugin");
}

#[test]
fn keys_of_all_kinds_under_any_label() {
    let authority = TestCa::new("local-site");
    let leaf = LeafParams { common_name: "u", dns_names: &[], years: (2020, 2100) };
    for algorithm in [
        &rcgen::PKCS_RSA_SHA256,
        &rcgen::PKCS_ECDSA_P256_SHA256,
        &rcgen::PKCS_ECDSA_P384_SHA384,
        &rcgen::PKCS_ED25519,
    ] {
        let key = KeyPair::generate_for(algorithm).unwrap();
        let pair = authority.sign(&leaf, &key);
        // Inside PKCS#8 is the older encoding: PKCS#1 for RSA, SEC1 for ECDSA.
        let pkcs8 = key.serialize_der();
        let mut encodings = vec![pkcs8.clone()];
        if algorithm != &rcgen::PKCS_ED25519 {
            encodings.push(inner_key(&pkcs8));
        }
        for der in encodings {
            for label in ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY"] {
                let identity = load_files(&pem_of(label, &der), &pair.crt, &authority.pem);
                assert!(identity.is_ok(), "{algorithm:?} as {label}: {identity:?}");
            }
        }
    }
}

/// The octet string in a PKCS#8 key: version, algorithm, key.
fn inner_key(pkcs8: &[u8]) -> Vec<u8> {
    use x509_parser::der_parser::parse_der;
    let (_, outer) = parse_der(pkcs8).unwrap();
    outer.as_sequence().unwrap()[2].as_slice().unwrap().to_vec()
}

fn pem_of(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", base64(der))
}

#[test]
fn keys_that_cannot_be_used_are_named() {
    let (authority, pair) = cluster();
    for (label, expected) in [
        ("OPENSSH PRIVATE KEY", UnusableKey::OpenSsh),
        ("PIV YUBIKEY PRIVATE KEY", UnusableKey::Hardware),
        ("ENCRYPTED PRIVATE KEY", UnusableKey::Encrypted),
    ] {
        let error = load_files(&relabel(&pair.key, label), &pair.crt, &authority.pem).unwrap_err();
        assert!(
            matches!(&error, IdentityError::UnsupportedKey { label, .. } if *label == expected),
            "{label}: {error:?}"
        );
    }
    let garbage = pem_of("PRIVATE KEY", b"not a key");
    assert!(matches!(
        load_files(&garbage, &pair.crt, &authority.pem).unwrap_err(),
        IdentityError::BadKey { .. }
    ));
}

#[test]
fn each_missing_part_is_named() {
    let (authority, pair) = cluster();
    let ca = &authority.pem;
    use IdentityError as E;
    assert!(
        matches!(load_files("", &pair.crt, ca).unwrap_err(), E::NoKey { file } if file.ends_with("auth.key"))
    );
    assert!(
        matches!(load_files(&pair.key, "", ca).unwrap_err(), E::NoCertificate { file } if file.ends_with("auth.crt"))
    );
    assert!(
        matches!(load_files(&pair.key, &pair.crt, "\n").unwrap_err(), E::NoCa { file } if file.ends_with("auth.cas"))
    );
    let not_cas = |text: &str| load_files(&pair.key, &pair.crt, text).unwrap_err();
    assert!(matches!(
        not_cas(&pair.crt),
        E::OtherForCas { held: "the certificate of a client or a server", .. }
    ));
    assert!(matches!(not_cas(&pair.key), E::OtherForCas { held: "a private key", .. }));
    load_files(&pair.key, &pair.crt, &format!("{}{ca}", pair.crt)).unwrap();
    // Only a key, only key and certificate, only certificates.
    assert!(matches!(load_identity_file(&pair.key).unwrap_err(), E::NoCertificate { .. }));
    assert!(matches!(load_identity_file(format!("{}{}", pair.key, pair.crt)).unwrap_err(), E::NoCa { .. }));
    assert!(matches!(load_identity_file(format!("{}{ca}", pair.crt)).unwrap_err(), E::NoKey { .. }));
    assert!(matches!(load_identity_file("garbage").unwrap_err(), E::NoKey { .. }));
}

#[test]
fn damage_is_reported() {
    let (authority, pair) = cluster();
    let cut: String = pair.crt.lines().take(5).collect::<Vec<_>>().join("\n");
    assert!(matches!(
        load_files(&pair.key, &cut, &authority.pem).unwrap_err(),
        IdentityError::Damaged { .. }
    ));
    let nonsense = pem_of("CERTIFICATE", b"nonsense");
    assert!(matches!(
        load_files(&pair.key, &nonsense, &authority.pem).unwrap_err(),
        IdentityError::BadCertificate { number: 1, .. }
    ));
    let second = format!("{}{nonsense}", authority.pem);
    assert!(matches!(
        load_files(&pair.key, &pair.crt, &second).unwrap_err(),
        IdentityError::BadCertificate { number: 2, .. }
    ));
}

#[test]
fn files_that_do_not_belong_together_are_refused() {
    let (authority, pair) = cluster();
    let other = authority.client_pair("access-plugin");
    assert!(matches!(
        load_files(&other.key, &pair.crt, &authority.pem).unwrap_err(),
        IdentityError::KeyMismatch { .. }
    ));
    let chain = format!("{}{}", pair.crt, authority.pem);
    assert!(matches!(
        load_files(&pair.key, &chain, &authority.pem).unwrap_err(),
        IdentityError::ManyCertificates { count: 2, .. }
    ));
    // What `tctl auth sign --format=file` writes.
    let identity = format!("{}{chain}", pair.key);
    assert!(matches!(
        load_files(&identity, &identity, &authority.pem).unwrap_err(),
        IdentityError::IdentityForCertificate { .. }
    ));
    let key = KeyPair::generate().unwrap();
    let without_name =
        authority.sign(&LeafParams { common_name: "", dns_names: &[], years: (2020, 2100) }, &key);
    assert!(matches!(
        load_files(&without_name.key, &without_name.crt, &authority.pem).unwrap_err(),
        IdentityError::NoUser { .. }
    ));
}

#[test]
fn certificates_out_of_their_time_are_refused() {
    let authority = TestCa::new("local-site");
    let in_years = |from, to| {
        let leaf = LeafParams { common_name: "u", dns_names: &[], years: (from, to) };
        let pair = authority.sign(&leaf, &KeyPair::generate().unwrap());
        load_files(&pair.key, &pair.crt, &authority.pem)
    };
    in_years(2026, 2027).unwrap();
    let at = in_years(2024, 2025).unwrap_err();
    assert!(at.to_string().contains("expired at 2025-01-01T00:00:00Z"), "{at}");
    assert!(at.to_string().contains("tctl auth sign"), "{at}");
    let from = in_years(2027, 2028).unwrap_err();
    assert!(from.to_string().contains("valid only from 2027-01-01T00:00:00Z"), "{from}");
}

#[test]
fn unreadable_and_huge_files() {
    let missing = Credentials::Identity("/does/not/exist".into());
    let error = Identity::load(&missing, now()).unwrap_err();
    assert_eq!(
        error.to_string(),
        "cannot read /does/not/exist; correct the path, or put the file there: `tctl auth sign --format=file --user=access-plugin \
         --out=auth_id --ttl=8760h` writes it, and so does tbot"
    );
    let (dir, _) = identity_file(b"");
    let directory = Credentials::Identity(dir.path().to_path_buf());
    let error = Identity::load(&directory, now()).unwrap_err();
    assert!(error.to_string().ends_with("let the daemon's user read it"), "{error}");
    assert!(matches!(
        load_identity_file(vec![b'x'; 1024 * 1024 + 1]).unwrap_err(),
        IdentityError::TooLarge { .. }
    ));
}

/// The names in a real 6.2.1 certificate: empty and JSON-valued attributes, private object identifiers.
#[test]
fn a_real_certificate_is_understood() {
    let read = |name: &str| fs::read(format!("{VECTORS}/{name}")).unwrap();
    let certificate = CertificateDer::from_pem_slice(&read("access-plugin.crt")).unwrap();
    let facts = CertificateInfo::from_certificate(&certificate, Path::new("access-plugin.crt")).unwrap();
    assert_eq!(facts.user, "access-plugin");
    assert_eq!(facts.cluster.as_deref(), Some("local-site"));
    assert_eq!(facts.signer, Signer::Unnamed);
    assert_eq!(facts.not_before, "2026-11-22T15:58:44Z".parse().unwrap());
    assert_eq!(facts.not_after, "2026-11-23T15:59:44Z".parse().unwrap());

    let server = CertificateDer::from_pem_slice(&read("auth-server.crt")).unwrap();
    let facts = CertificateInfo::from_certificate(&server, Path::new("auth-server.crt")).unwrap();
    assert_eq!(facts.user, "00000000-0000-0000-0000-000000000000.local-site");

    // 15.1.9 says that the auth server itself had it signed.
    let newer = fs::read(VECTORS.replace("6.2.1", "15.1.9") + "/access-plugin.crt").unwrap();
    let newer = CertificateDer::from_pem_slice(&newer).unwrap();
    let facts = CertificateInfo::from_certificate(&newer, Path::new("access-plugin.crt")).unwrap();
    assert_eq!((facts.user.as_str(), facts.signer), ("access-plugin", Signer::AuthHost));

    // Everything but the key, which is not there: rustls takes the CA and the certificate.
    let key = KeyPair::generate().unwrap().serialize_pem();
    let text = |name: &str| String::from_utf8(read(name)).unwrap();
    let error = load_files(&key, &text("access-plugin.crt"), &text("access-plugin.cas")).unwrap_err();
    assert!(matches!(error, IdentityError::KeyMismatch { .. }), "{error:?}");
    root_store(pem::read(&read("access-plugin.cas")).unwrap().certificates, Path::new("x")).unwrap();
}

#[test]
fn nothing_of_the_key_is_ever_printed() {
    let (authority, pair) = cluster();
    let secret: Vec<&str> = pair.key.lines().filter(|line| !line.starts_with("---")).collect();
    let identity = load_files(&pair.key, &pair.crt, &authority.pem).unwrap();
    let broken = [
        format!("{identity:?}"),
        format!(
            "{:?}",
            load_files(&pair.key.replace("-----END", "-----ENT"), &pair.crt, &authority.pem).unwrap_err()
        ),
        format!("{:?}", load_files(&pair.key.replace('\n', "\n!"), &pair.crt, &authority.pem).unwrap_err()),
        format!("{:?}", load_identity_file(&pair.key).unwrap_err()),
        format!("{:?}", load_files(&relabel(&pair.key, "OPENSSH PRIVATE KEY"), "", "").unwrap_err()),
    ];
    for text in broken {
        for line in &secret {
            assert!(!text.contains(line), "{text}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_file_is_an_error_or_an_identity(
        bytes in proptest::collection::vec(any::<u8>(), 0..200), place in any::<prop::sample::Index>(),
    ) {
        let _ = load_identity_file(&bytes);
        // And the same bytes within a real certificate.
        let real = fs::read(format!("{VECTORS}/access-plugin.crt")).unwrap();
        let place = place.index(real.len());
        let damaged = [&real[..place], &bytes, &real[place..]].concat();
        prop_assert!(load_identity_file(damaged).is_err(), "there is no key in it");
    }
}
