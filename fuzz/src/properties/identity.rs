//! An identity file, read from a file as the daemon does.

use std::error::Error;

use jiff::Timestamp;
use teleport_client::Credentials;
use teleport_client::identity::{Identity, IdentityError};

/// Longer than any word of an error, shorter than a line of any key.
const WINDOW: usize = 24;

/// For any file content: a currently valid identity that TLS can use, or a short error that names the file and shows
/// nothing of a key. Returns the kind: an identity, or the error's name.
pub(crate) fn check(bytes: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("auth_id");
    std::fs::write(&file, bytes).unwrap();
    let now: Timestamp = "2026-06-01T00:00:00Z".parse().unwrap();
    let sources = [
        Credentials::Identity(file.clone()),
        Credentials::Files { client_key: file.clone(), client_crt: file.clone(), root_cas: file.clone() },
    ];
    let printed = sources.map(|source| match Identity::load(&source, now) {
        Ok(identity) => printed_identity(&identity, now, bytes),
        Err(error) => printed_error(&error, &file.display().to_string()),
    });
    let keys = key_text(&String::from_utf8_lossy(bytes));
    for printed in &printed {
        assert!(printed.len() < 10_000, "{printed}");
        let shown =
            printed.as_bytes().windows(WINDOW).filter(|window| window.iter().all(|byte| is_base64(*byte)));
        for shown in shown.map(String::from_utf8_lossy) {
            assert!(!keys.contains(&*shown), "{shown} of a key is shown in {printed}");
        }
    }
    name_of(&printed[0]).to_owned()
}

/// The word before the fields in the `Debug` output.
fn name_of(printed: &str) -> &str {
    printed.split(' ').next().unwrap_or_default()
}

/// The `Debug` output of a usable identity.
fn printed_identity(identity: &Identity, now: Timestamp, bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    assert!(text.contains("PRIVATE KEY-----") && text.contains("CERTIFICATE-----"));
    assert!(identity.not_before() <= now && now <= identity.not_after());
    for name in [Some(identity.user()), identity.cluster()].into_iter().flatten() {
        assert!(
            !name.is_empty() && name.chars().count() < 1_000 && !name.contains(char::is_control),
            "{name:?}"
        );
    }
    let tls = identity.tls_config();
    assert!(tls.client_auth_cert_resolver.has_certs());
    // A name that fits into an entry has a route through a proxy.
    let (last, routes) = tls.alpn_protocols.split_last().unwrap();
    assert!(last == b"h2" && routes.len() <= 1, "{:?}", tls.alpn_protocols);
    assert!(routes.iter().all(|route| route.starts_with(b"teleport-auth@") && route.len() < 256));
    assert!(identity.is_same_as(identity));
    format!("{identity:?}")
}

/// The output of an error, without the file's name.
fn printed_error(error: &IdentityError, file: &str) -> String {
    let said = error.to_string();
    assert!(said.contains(file) && !said.contains(char::is_control), "{said}");
    let cause = error.source().map(ToString::to_string).unwrap_or_default();
    let printed = format!("{error:?} {said} {cause}").replace(file, "FILE");
    assert!(printed.len() < 1_500, "{printed}");
    printed
}

/// The lines inside every block of a private key.
fn key_text(file: &str) -> String {
    let mut keys = String::new();
    let mut is_key = false;
    for line in file.lines().map(str::trim) {
        if line.starts_with("-----") {
            is_key = line.starts_with("-----BEGIN") && line.contains("PRIVATE KEY");
        } else if is_key {
            keys.push_str(line);
        }
    }
    keys
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"+/=".contains(&byte)
}
