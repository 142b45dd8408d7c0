//! Where a connection leads.

use std::fmt;

use http::Uri;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Without the brackets of an IPv6 address and without a dot at its end.
    host: String,
    port: u16,
    is_plain: bool,
}

impl Target {
    /// A server that speaks TLS. The brackets of an IPv6 address may be missing.
    pub fn new(host: &str, port: u16) -> Self {
        let host = host.trim_matches(['[', ']']);
        Self { host: host.strip_suffix('.').unwrap_or(host).to_owned(), port, is_plain: false }
    }

    /// The server of a URL: `https` and `wss` speak TLS, `http` and `ws` do not. `None` for another scheme, or without a
    /// host.
    pub fn of(uri: &Uri) -> Option<Self> {
        let is_plain = match uri.scheme_str()? {
            "https" | "wss" => false,
            "http" | "ws" => true,
            _ => return None,
        };
        let host = uri.host().filter(|host| !host.is_empty())?;
        let port = uri.port_u16().unwrap_or(if is_plain { 80 } else { 443 });
        Some(Self { is_plain, ..Self::new(host, port) })
    }

    /// The host's name or address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Whether it speaks no TLS.
    pub(super) fn is_plain(&self) -> bool {
        self.is_plain
    }

    /// `host:port`, as in a URL.
    pub(super) fn authority(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_written_as_in_urls() {
        let of = |uri: &str| Target::of(&uri.parse().unwrap()).map(|target| target.to_string());
        assert_eq!(of("https://slack.com/api/").unwrap(), "slack.com:443");
        assert_eq!(of("wss://slack.com.:8443/").unwrap(), "slack.com:8443");
        assert_eq!(of("http://slack.com/").unwrap(), "slack.com:80");
        assert_eq!(of("https://[2001:db8::1]/").unwrap(), "[2001:db8::1]:443");
        assert_eq!(of("ftp://slack.com/"), None);
        assert_eq!(of("/api"), None);
        assert_eq!(Target::new("2001:db8::1", 3025).to_string(), "[2001:db8::1]:3025");
    }
}
