//! Which hosts are reached without a proxy, as `NO_PROXY` lists them.
//!
//! hyper-util's matcher judges names, addresses and networks. What it does not know is decided here: `*` is every host and
//! not only every name, an entry may have a port, and `*.example.com` means the same as `.example.com`. Whatever the list
//! says, this machine is never reached through a proxy.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use http::Uri;
use hyper_util::client::proxy::matcher::Matcher;

use super::target::Target;

/// A list of exempt hosts.
#[derive(Clone, Default)]
pub struct NoProxy {
    entries: Vec<Entry>,
}

#[derive(Clone)]
struct Entry {
    /// As it was written.
    text: String,
    /// Uses a proxy for every host but a name with those below it, an address or a network; `None` for `*`.
    all_but: Option<Arc<Matcher>>,
    /// At this port alone.
    port: Option<u16>,
}

/// An entry that no host can match.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidExemption {
    /// `http://host`
    #[error("an entry is a host without http://")]
    Url,
    /// `10.0.0.0/99`
    #[error("behind the slash there must be the number of bits of a network, as in 10.0.0.0/8")]
    Network,
    /// `host:x`
    #[error("the port is not a number from 1 to 65535")]
    InvalidPort,
    /// `10.0.*`
    #[error("`*` can stand alone or for the first label of a name, as in *.example.com")]
    Asterisk,
    /// A sign that no host has.
    #[error("it is no name of a host, no address and no network")]
    Host,
}

impl NoProxy {
    /// The entries of a text, which commas or white space separate.
    pub fn split(text: &str) -> impl Iterator<Item = &str> {
        text.split(|c: char| c == ',' || c.is_whitespace()).filter(|entry| !entry.is_empty())
    }

    /// The list with one more entry.
    ///
    /// # Errors
    /// Why no host can match it.
    pub fn with(mut self, entry: &str) -> Result<Self, InvalidExemption> {
        self.entries.push(parse(entry)?);
        Ok(self)
    }

    /// The entry that exempts the target, if one does.
    pub(super) fn find(&self, target: &Target) -> Option<&str> {
        self.entries.iter().find(|entry| entry.exempts(target)).map(|entry| entry.text.as_str())
    }
}

fn parse(entry: &str) -> Result<Entry, InvalidExemption> {
    if entry == "*" {
        return Ok(Entry { text: entry.to_owned(), all_but: None, port: None });
    }
    if entry.contains("://") {
        return Err(InvalidExemption::Url);
    }
    let (host, port) = split_port(entry)?;
    let host = host.strip_suffix('.').unwrap_or(host);
    let host = if host.starts_with("*.") { &host[1..] } else { host };
    if host.contains('*') {
        return Err(InvalidExemption::Asterisk);
    }
    if host.contains('/') {
        check_network(host)?;
    } else if host.parse::<IpAddr>().is_err() {
        let is_of_a_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if host.trim_matches('.').is_empty() || !host.chars().all(is_of_a_name) {
            return Err(InvalidExemption::Host);
        }
    }
    let all_but = Matcher::builder().all("http://proxy").no(host.to_ascii_lowercase()).build();
    Ok(Entry { text: entry.to_owned(), all_but: Some(Arc::new(all_but)), port })
}

/// The host, without the brackets of an IPv6 address, and the port if there is one.
fn split_port(entry: &str) -> Result<(&str, Option<u16>), InvalidExemption> {
    let (host, port) = if let Some(inside) = entry.strip_prefix('[') {
        let (host, rest) = inside.split_once(']').ok_or(InvalidExemption::Host)?;
        match rest.strip_prefix(':') {
            Some(port) => (host, Some(port)),
            None if rest.is_empty() => (host, None),
            None => return Err(InvalidExemption::Host),
        }
    } else if entry.matches(':').count() == 1 {
        entry.split_once(':').map_or((entry, None), |(host, port)| (host, Some(port)))
    } else {
        (entry, None)
    };
    let number =
        |port: &str| port.parse().ok().filter(|port: &u16| *port > 0).ok_or(InvalidExemption::InvalidPort);
    Ok((host, port.map(number).transpose()?))
}

fn check_network(text: &str) -> Result<(), InvalidExemption> {
    let (address, bits) = text.split_once('/').unwrap_or((text, ""));
    let most = match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return Err(InvalidExemption::Network),
    };
    match bits.parse::<u8>() {
        Ok(bits) if bits <= most => Ok(()),
        _ => Err(InvalidExemption::Network),
    }
}

impl Entry {
    fn exempts(&self, target: &Target) -> bool {
        let Some(all_but) = &self.all_but else { return true };
        if self.port.is_some_and(|port| port != target.port()) {
            return false;
        }
        // The matcher knows the schemes of HTTP only.
        let uri = format!("https://{}", target.authority()).parse::<Uri>();
        uri.is_ok_and(|uri| all_but.intercept(&uri).is_none())
    }
}

/// Whether a host is this machine: `localhost`, a name below it, or an address of the loopback.
pub(super) fn is_this_machine(host: &str) -> bool {
    let host = host.to_ascii_lowercase();
    let is_local_address = |address: IpAddr| {
        let address = address.to_canonical();
        address.is_loopback() || address.is_unspecified()
    };
    host == "localhost" || host.ends_with(".localhost") || host.parse().is_ok_and(is_local_address)
}

impl fmt::Debug for NoProxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.entries.iter().map(|entry| &entry.text)).finish()
    }
}

impl PartialEq for NoProxy {
    fn eq(&self, other: &Self) -> bool {
        self.entries.iter().map(|entry| &entry.text).eq(other.entries.iter().map(|entry| &entry.text))
    }
}

impl Eq for NoProxy {}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(text: &str) -> NoProxy {
        NoProxy::split(text).fold(NoProxy::default(), |list, entry| list.with(entry).unwrap())
    }

    #[test]
    fn hosts_are_exempt_by_name_address_network_and_port() {
        for (entries, host, port, is_exempt) in [
            ("slack.com", "slack.com", 443, true),
            ("slack.com", "SLACK.com", 443, true),
            ("slack.com", "slack.com.", 443, true),
            ("slack.com.", "slack.com", 443, true),
            ("slack.com", "wss-primary.slack.com", 443, true),
            ("slack.com", "notslack.com", 443, false),
            ("slack.com", "slack.com.example", 443, false),
            (".slack.com", "wss-primary.slack.com", 443, true),
            (".slack.com", "slack.com", 443, true),
            ("*.slack.com", "wss-primary.slack.com", 443, true),
            ("*.slack.com", "slack.com", 443, true),
            ("*.slack.com", "notslack.com", 443, false),
            ("*", "slack.com", 443, true),
            ("*", "192.0.2.1", 443, true),
            ("*", "2001:db8::1", 443, true),
            ("a.example, slack.com", "slack.com", 443, true),
            ("a.example slack.com", "slack.com", 443, true),
            ("a.example,,\tslack.com ,", "slack.com", 443, true),
            ("slack.com:443", "slack.com", 443, true),
            ("slack.com:443", "slack.com", 8443, false),
            ("*.slack.com:443", "wss-primary.slack.com", 443, true),
            ("192.0.2.1", "192.0.2.1", 443, true),
            ("192.0.2.1", "192.0.2.11", 443, false),
            ("192.0.2.1:3025", "192.0.2.1", 3025, true),
            ("192.0.2.1:3025", "192.0.2.1", 443, false),
            ("192.0.2.0/24", "192.0.2.200", 443, true),
            ("192.0.2.0/24", "192.0.3.1", 443, false),
            // A name is not resolved for this: the proxy does that.
            ("0.0.0.0/0", "slack.com", 443, false),
            ("2001:db8::1", "2001:db8::1", 443, true),
            ("[2001:db8::1]", "2001:db8::1", 443, true),
            ("[2001:db8::1]:443", "2001:db8::1", 443, true),
            ("[2001:db8::1]:443", "2001:db8::1", 80, false),
            ("2001:db8::/32", "2001:db8:1::5", 443, true),
            ("", "slack.com", 443, false),
        ] {
            let found = list(entries).find(&Target::new(host, port)).is_some();
            assert_eq!(found, is_exempt, "{host}:{port} with {entries:?}");
        }
    }

    #[test]
    fn entries_that_no_host_can_match_are_refused() {
        use InvalidExemption::{Asterisk, Host, InvalidPort, Network, Url};
        for (entry, reason) in [
            ("https://slack.com", Url),
            ("10.0.0.0/33", Network),
            ("slack.com/api", Network),
            ("10.0.0.0/", Network),
            ("slack.com:", InvalidPort),
            ("slack.com:0", InvalidPort),
            ("slack.com:x", InvalidPort),
            ("[::1]:70000", InvalidPort),
            ("10.0.*", Asterisk),
            ("slack.*", Asterisk),
            ("*slack.com", Asterisk),
            ("[::1", Host),
            ("[::1]x", Host),
            ("bü.example", Host),
            ("a;b", Host),
            (".", Host),
            ("::1::2", Host),
        ] {
            assert_eq!(NoProxy::default().with(entry), Err(reason), "{entry}");
        }
    }

    #[test]
    fn this_machine_is_known_by_every_name() {
        for host in [
            "localhost",
            "LOCALHOST",
            "a.localhost",
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "0.0.0.0",
        ] {
            assert!(is_this_machine(host), "{host}");
        }
        for host in ["localhost.example", "notlocalhost", "128.0.0.1", "10.0.0.1", "::2"] {
            assert!(!is_this_machine(host), "{host}");
        }
    }

    #[test]
    fn lists_are_equal_by_their_entries() {
        assert_eq!(list("a.example, b.example"), list("a.example b.example"));
        assert_ne!(list("a.example"), list("b.example"));
        assert_eq!(format!("{:?}", list("a.example, *")), r#"["a.example", "*"]"#);
    }
}
