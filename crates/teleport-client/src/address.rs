//! Where an auth server is, checked for form only; whether a server answers is found out later.

use std::fmt;
use std::net::Ipv6Addr;

use client_base::outbound::Outbound;

/// Port of the auth server, meant when an address has none.
const AUTH_PORT: u16 = 3025;
/// The longest host name that DNS allows.
const MAX_HOST: usize = 253;

/// Where Teleport is: a host and a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeleportAddr {
    host: String,
    port: u16,
}

impl TeleportAddr {
    /// Reads `host`, `host:port`, `192.0.2.1:443` or `[2001:db8::1]:3025`. The error says what is wrong.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains("://") {
            return Err("it has a scheme; only the host and the port are wanted");
        }
        if text.contains('@') || text.contains('/') {
            return Err("it is not just a host and a port");
        }
        if text.contains('%') {
            return Err(
                "an address with a zone (behind the %) leads to one link only; name an address without, or a host",
            );
        }
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, after) = rest.split_once(']').ok_or("the closing bracket is missing")?;
                host.parse::<Ipv6Addr>().map_err(|_| "between the brackets is no IPv6 address")?;
                let port = match after {
                    "" => None,
                    after => Some(after.strip_prefix(':').ok_or("after the bracket only a port may follow")?),
                };
                (host, port)
            }
            None if text.parse::<Ipv6Addr>().is_ok() => {
                return Err("an IPv6 address must be in brackets, as in [2001:db8::1]:3025");
            }
            None => match text.split_once(':') {
                Some((host, port)) => (check_host(host)?, Some(port)),
                None => (check_host(text)?, None),
            },
        };
        let port = port.map_or(Ok(AUTH_PORT), parse_port)?;
        if port == 0 {
            return Err("the port must be between 1 and 65535");
        }
        Ok(Self { host: host.to_owned(), port })
    }

    /// The host, without brackets if it is an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// Whether the port is one that proxies usually have for the web, and not the auth server's.
    pub fn is_web_port(&self) -> bool {
        matches!(self.port, 443 | 3080)
    }

    /// The port, never 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// An address and the way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Destination {
    /// Where Teleport is.
    pub addr: TeleportAddr,
    /// The forward proxies that lead there, and the authorities that a proxy's web certificate may be from beside the
    /// machine's own.
    pub outbound: Outbound,
}

impl From<&TeleportAddr> for Destination {
    /// Reached without a forward proxy.
    fn from(addr: &TeleportAddr) -> Self {
        Self { addr: addr.clone(), outbound: Outbound::default() }
    }
}

impl fmt::Display for TeleportAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

fn check_host(host: &str) -> Result<&str, &'static str> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    if host.is_empty() {
        Err("the host is missing")
    } else if host.len() > MAX_HOST || !host.chars().all(allowed) || host.starts_with(['.', '-']) {
        Err("the host is not a valid name")
    } else {
        Ok(host)
    }
}

fn parse_port(text: &str) -> Result<u16, &'static str> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten().ok_or("the port must be a number between 1 and 65535")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teleport_addresses() {
        let good = [
            ("auth.example.com:3025", "auth.example.com:3025"),
            ("auth.example.com", "auth.example.com:3025"),
            ("0.0.0.0:3025", "0.0.0.0:3025"),
            ("[2001:db8::1]:443", "[2001:db8::1]:443"),
            ("[::1]", "[::1]:3025"),
            ("teleport_auth:443", "teleport_auth:443"),
        ];
        for (given, shown) in good {
            assert_eq!(
                TeleportAddr::parse(given).map(|addr| addr.to_string()),
                Ok(shown.to_owned()),
                "{given}"
            );
        }
        let bad = [
            "",
            ":3025",
            "host:",
            "host:0",
            "host:65536",
            "host:+1",
            "host:3025:1",
            "::1",
            "2001:db8::1:3025",
            "[fe80::1%eth0]:3025",
            "fe80::1%eth0",
            "[::1",
            "[::1]3025",
            "[host]:1",
            "https://host:443",
            "u:p@host:1",
            "a b:1",
            "host/path",
            "-h:1",
            "hö:1",
        ];
        for given in bad {
            assert!(TeleportAddr::parse(given).is_err(), "{given}");
        }
        assert!(TeleportAddr::parse(&"a".repeat(254)).is_err());
        for (given, words) in [
            ("::1", "in brackets"),
            ("2001:db8::1:3025", "in brackets"),
            ("[fe80::1%eth0]:3025", "a zone"),
            ("fe80::1%eth0", "a zone"),
            ("[fe80::1%25eth0]", "a zone"),
        ] {
            assert!(TeleportAddr::parse(given).unwrap_err().contains(words), "{given}");
        }
    }
}
