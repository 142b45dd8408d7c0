//! The network addresses of the configuration, the auth server's apart, checked for form only; whether a server answers is
//! found out later.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Reads where to listen: `127.0.0.1:9091`, `[::1]:9091`, `localhost:9091`, or `:8081` for every IPv4 address.
/// Port 0 lets the system choose one.
pub(super) fn parse_listen(text: &str) -> Result<SocketAddr, &'static str> {
    if let Ok(addr) = text.parse() {
        return Ok(addr);
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err("an IPv6 address must be in brackets, with the port behind them");
    }
    if is_ipv6_in_brackets(text) {
        return Err("the port is missing");
    }
    let (host, port) = text.rsplit_once(':').ok_or("the port is missing")?;
    let ip = match host {
        "" => "0.0.0.0",
        "localhost" => "127.0.0.1",
        host if host.parse::<Ipv4Addr>().is_ok() || is_ipv6_in_brackets(host) => host,
        _ => return Err("the host must be an IP address of this machine, localhost, or nothing for all"),
    };
    format!("{ip}:{port}").parse().map_err(|_| WRONG_PORT)
}

fn is_ipv6_in_brackets(text: &str) -> bool {
    let inside = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    inside.is_some_and(|inside| inside.parse::<Ipv6Addr>().is_ok())
}

const WRONG_PORT: &str = "the port must be a number between 1 and 65535";

/// The parser takes any text for a port.
fn check_port(uri: &http::Uri) -> Result<(), &'static str> {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    let is_given = authority.rsplit(['@', ']']).next().is_some_and(|rest| rest.contains(':'));
    if is_given && uri.port_u16().is_none_or(|port| port == 0) { Err(WRONG_PORT) } else { Ok(()) }
}

/// Whether the host can be one (RFC 1035): no part of a name is empty or longer than 63 bytes. A dot at its end is none.
pub(super) fn check_host(host: &str) -> Result<(), &'static str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    if host.starts_with('[') || name.parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    match name.split('.').all(|part| (1..=63).contains(&part.len())) {
        true => Ok(()),
        false => Err("a part of the host's name is empty or longer than 63 characters"),
    }
}

/// The Web API's base address; always ends with a slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiUrl(String);

impl ApiUrl {
    /// Reads an `https://` address; `http://` only on this machine, because the bot token travels with each call.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let uri: http::Uri = text.parse().map_err(|_| "it is not a web address")?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or("it is not a web address with a host")?;
        if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
            return Err("it must not hold a user name or a password");
        }
        check_host(host)?;
        check_port(&uri)?;
        if uri.query().is_some() {
            return Err("it must not hold a query");
        }
        match uri.scheme_str() {
            Some("https") => {}
            Some("http") if is_loopback(host) => {}
            Some("http") => return Err("http:// would send the bot token in clear over the network"),
            _ => return Err("it must start with https://"),
        }
        // The parser drops a fragment, so the text is put together again from what it kept.
        let authority = uri.authority().map_or(host, |authority| authority.as_str());
        let scheme = uri.scheme_str().unwrap_or("https");
        let path = uri.path().trim_end_matches('/');
        let is_slack = ["slack.com", "slack-gov.com"].iter().any(|slack| {
            let before = host.to_ascii_lowercase();
            before.strip_suffix(slack).is_some_and(|before| before.is_empty() || before.ends_with('.'))
        });
        if is_slack && path != "/api" {
            return Err("Slack's Web API is below /api/");
        }
        Ok(Self(format!("{scheme}://{authority}{path}/")))
    }

    /// The address; method names are appended to it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl Default for ApiUrl {
    fn default() -> Self {
        Self("https://slack.com/api/".to_owned())
    }
}

fn is_loopback(host: &str) -> bool {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || bare.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Reads the address at which others reach the callback listener; 0.x allowed it without a scheme.
pub(super) fn parse_public(text: &str) -> Result<String, &'static str> {
    let full = if text.contains("://") { text.to_owned() } else { format!("https://{text}") };
    let uri: http::Uri = full.parse().map_err(|_| "it is not a web address")?;
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("it is not a web address with a host")?;
    check_host(host)?;
    check_port(&uri)?;
    match uri.scheme_str() {
        Some("https" | "http") => Ok(full.trim_end_matches('/').to_owned()),
        _ => Err("it must start with https:// or http://"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listen_addresses() {
        let good = [
            ("127.0.0.1:9091", "127.0.0.1:9091"),
            (":8081", "0.0.0.0:8081"),
            ("localhost:0", "127.0.0.1:0"),
            ("[::]:80", "[::]:80"),
        ];
        for (given, shown) in good {
            assert_eq!(parse_listen(given).map(|addr| addr.to_string()), Ok(shown.to_owned()), "{given}");
        }
        for (given, cause) in [
            ("", "the port is missing"),
            ("8081", "the port is missing"),
            ("127.0.0.1", "the port is missing"),
            ("[::1]", "the port is missing"),
            ("::1:8081", "an IPv6 address must be in brackets"),
            ("127.0.0.1:x", "the port must be"),
            ("[::1]:99999", "the port must be"),
            (":99999", "the port must be"),
            (":-1", "the port must be"),
            ("example.com:80", "the host must be"),
            ("::1:80:x", "the host must be"),
        ] {
            assert!(parse_listen(given).is_err_and(|wrong| wrong.starts_with(cause)), "{given}");
        }
    }

    #[test]
    fn api_addresses_keep_the_token_off_the_open_network() {
        let good = [
            ("https://slack-gov.com/api", "https://slack-gov.com/api/"),
            ("https://slack.com/api/", "https://slack.com/api/"),
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("http://localhost/api/", "http://localhost/api/"),
            ("http://[::1]:80/x", "http://[::1]:80/x/"),
        ];
        for (given, shown) in good {
            assert_eq!(
                ApiUrl::parse(given).map(|url| url.as_str().to_owned()),
                Ok(shown.to_owned()),
                "{given}"
            );
        }
        let bad = [
            "",
            "slack.com",
            "ftp://slack.com",
            "http://slack.com/api/",
            "http://127.0.0.1.evil.example/",
            "https://u:p@slack.com/",
            "https://slack.com/?a=b",
            "http://10.0.0.1/",
            "https://slack.com:99999/api/",
            "https://slack.com:0/api/",
            "https://slack.com:x/api/",
            "https://slack.com:/api/",
            "https://[::1]:99999/api/",
            "https://",
            "https://slack.com/",
            "https://slack.com",
            "https://Slack.com/app/",
            "https://corp.slack.com/api/v1",
            "https://slack-gov.com",
            "https://slack..com/api/",
        ];
        for given in bad {
            assert!(ApiUrl::parse(given).is_err(), "{given}");
        }
    }

    #[test]
    fn public_addresses() {
        assert_eq!(parse_public("example.com"), Ok("https://example.com".to_owned()));
        assert_eq!(parse_public("https://example.com:8443/"), Ok("https://example.com:8443".to_owned()));
        assert!(parse_public("ftp://example.com").is_err());
        assert!(parse_public("two words").is_err());
        assert!(parse_public("https://a..b").is_err());
        for given in ["example.com:99999", "https://example.com:0", "example.com:x", "[::1]:-1"] {
            assert!(parse_public(given).is_err(), "{given}");
        }
        assert_eq!(parse_public("[::1]:443"), Ok("https://[::1]:443".to_owned()));
    }
}
