//! How a client asks a Teleport proxy for the auth server: by the first entry of its ALPN list.
//!
//! The proxy passes the bytes on as they are, so the TLS connection is one with the auth server, which itself does not know
//! the entry and takes the second, `h2`. So the same list is right for both (`vectors/teleport-proxy-15.1.9`).

use std::fmt::Write as _;

/// What an auth server agrees on.
pub(super) const HTTP2: &[u8] = b"h2";

/// The longest name of a cluster that can be asked for, in bytes: an entry has 255 at most.
pub(super) const LONGEST_NAME: usize = 109;

/// The entries to offer for the auth server of this cluster, in order. Without the name, or with one that is too long, no
/// proxy can be asked.
pub(super) fn alpn_entries(cluster: Option<&str>) -> Vec<Vec<u8>> {
    let name = cluster.filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
    let mut entries: Vec<_> = name.map(|name| entry(name).into_bytes()).into_iter().collect();
    entries.push(HTTP2.to_vec());
    entries
}

fn entry(cluster: &str) -> String {
    let mut entry = "teleport-auth@".to_owned();
    for byte in cluster.bytes() {
        // A text takes whatever is written.
        let _ = write!(entry, "{byte:02x}");
    }
    entry + ".teleport.cluster.local"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_route_stands_before_http2_as_a_real_client_was_seen_to_offer_it() {
        let captured: serde_json::Value =
            serde_json::from_str(include_str!("../../../vectors/teleport-proxy-15.1.9/client-hellos.json"))
                .unwrap();
        let captured = &captured["hellos"]["go-api-client, cluster name given (auth route)"]["alpn"];
        let ours: Vec<_> = alpn_entries(Some("example.com"))
            .into_iter()
            .map(|entry| String::from_utf8(entry).unwrap())
            .collect();
        assert_eq!(&serde_json::json!(ours), captured);
    }

    #[test]
    fn a_name_that_no_entry_can_hold_is_not_asked_for() {
        let longest = "x".repeat(LONGEST_NAME);
        let entries = alpn_entries(Some(&longest));
        assert_eq!((entries.len(), entries[0].len()), (2, 255));
        assert_eq!(alpn_entries(Some(&format!("{longest}x"))), [HTTP2]);
        assert_eq!(alpn_entries(Some("")), [HTTP2]);
        assert_eq!(alpn_entries(None), [HTTP2]);
    }
}
