//! `[http]`: where Slack's callbacks arrive, and the addresses to listen on.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use super::address::parse_public;
use super::modes::{Sensitivity, checked_path};
use super::raw::{Field, TableReader};
use super::report::quote;
use super::schema;
use super::source::{Source, listen_addr};

/// Where the callback listener listens by default, as in the Go plugin.
const DEFAULT_LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8081);

/// The callback listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpConfig {
    /// The address on which it listens.
    pub listen_addr: SocketAddr,
    /// At which address Slack reaches it, without a slash at the end.
    pub public_addr: Option<String>,
    /// Its own key and certificate; `None` behind a proxy that ends TLS.
    pub tls: Option<TlsFiles>,
}

/// A key and its certificate, by path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The private key, PEM.
    pub key: PathBuf,
    /// The certificate chain, PEM.
    pub cert: PathBuf,
}

/// The listener and the line of its table; no listener if something in it is wrong.
pub(super) fn listener(
    root: &mut TableReader<'_, '_>,
    source: &Source<'_>,
) -> (Option<HttpConfig>, Option<usize>) {
    let mut table = root.section(&schema::HTTP, "http");
    let line = table.line();
    let listen = table.text("listen_addr").unless_empty();
    let public = table.text("public_addr").unless_empty();
    let key = table.text("https_key_file").unless_empty();
    let cert = table.text("https_cert_file").unless_empty();
    let report = table.report();
    let listen_addr = match listen {
        Field::Absent => Some(DEFAULT_LISTEN),
        Field::Bad => None,
        Field::Given(entry) => listen_addr(&entry, report),
    };
    let mut sound = !matches!(public, Field::Bad);
    let public_addr = public.given().and_then(|entry| match parse_public(&entry.value) {
        Ok(addr) => Some(addr),
        Err(wrong) => {
            let cause = format!("{} does not work: {wrong}", quote(&entry.value));
            report.error(
                Some(entry.line),
                &entry.key,
                cause,
                "write it as \"https://teleport-slack.example.com\"",
            );
            sound = false;
            None
        }
    });
    let tls = match (key, cert) {
        (Field::Given(key), Field::Given(cert)) => {
            let key = checked_path(Sensitivity::Secret, &key, source, report);
            Some(TlsFiles { key, cert: checked_path(Sensitivity::Integrity, &cert, source, report) })
        }
        (Field::Given(one), Field::Absent) => {
            report.error(
                Some(one.line),
                &one.key,
                "the certificate to this key is missing",
                "add https_cert_file",
            );
            return (None, line);
        }
        (Field::Absent, Field::Given(one)) => {
            report.error(
                Some(one.line),
                &one.key,
                "the key to this certificate is missing",
                "add https_key_file",
            );
            return (None, line);
        }
        (Field::Absent, Field::Absent) => None,
        (Field::Bad, _) | (_, Field::Bad) => return (None, line),
    };
    let listener =
        listen_addr.filter(|_| sound).map(|listen_addr| HttpConfig { listen_addr, public_addr, tls });
    (listener, line)
}
