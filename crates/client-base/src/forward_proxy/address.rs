//! The address of a proxy: which ones will do. A refusal quotes nothing of it, because it may hold a password.

use std::fmt;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;

/// One proxy. It prints as `host:port`, never with its credentials.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// `http://` or `https://`, host and port, and nothing else.
    uri: Uri,
    /// `Basic …`; marked as sensitive.
    authorization: Option<HeaderValue>,
    /// What names it, such as a variable of the environment.
    named_by: String,
}

/// Why a text is no address of a proxy, as the end of a sentence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidProxy {
    /// `socks5://` and its like.
    #[error("is the address of a SOCKS proxy, and only HTTP proxies are supported")]
    Socks,
    /// Neither HTTP nor SOCKS.
    #[error("does not begin with http:// or https://")]
    Scheme,
    /// A sign in the credentials means something else in an address.
    #[error(
        "has a user or password with a sign that must be written as a percent code (@ as %40, : as %3A, / as %2F)"
    )]
    Credentials,
    /// More than the address of a server.
    #[error("has a path; a proxy's address is scheme, host and port, and files of rules (PAC) are not read")]
    Path,
    /// The port is no number from 1 to 65535.
    #[error("has a port that is not a number from 1 to 65535")]
    InvalidPort,
    /// Nothing of it can be used.
    #[error("is not the address of a proxy")]
    NotAnAddress,
}

impl Proxy {
    /// Reads `http://user:password@host:port`. The scheme may be missing, and means http then; the port is 80 or 443 by the
    /// scheme if it is missing. `named_by`: what to call the setting in messages.
    ///
    /// # Errors
    /// What is wrong, without any part of the text.
    pub fn parse(text: &str, named_by: impl Into<String>) -> Result<Self, InvalidProxy> {
        let text = text.trim();
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        match scheme.to_ascii_lowercase().as_str() {
            "http" | "https" => {}
            scheme if scheme.starts_with("socks") => return Err(InvalidProxy::Socks),
            _ => return Err(InvalidProxy::Scheme),
        }
        let full = format!("{}://{rest}", scheme.to_ascii_lowercase());
        let has_credentials = rest.contains('@');
        let broken = if has_credentials { InvalidProxy::Credentials } else { InvalidProxy::NotAnAddress };
        let given = full.parse::<Uri>().map_err(|_| broken)?;
        let authority = given.authority().ok_or(broken)?.as_str();
        if authority.matches('@').count() != usize::from(has_credentials) {
            return Err(InvalidProxy::Credentials);
        }
        // The parser drops a fragment, so look for its mark.
        if !matches!(given.path(), "" | "/") || given.query().is_some() || rest.contains('#') {
            return Err(if has_credentials && !authority.contains('@') {
                InvalidProxy::Credentials
            } else {
                InvalidProxy::Path
            });
        }
        let host_and_port = authority.rsplit('@').next().unwrap_or(authority);
        let has_port = host_and_port.rsplit(']').next().is_some_and(|end| end.contains(':'));
        if has_port && given.port_u16().is_none_or(|port| port == 0) {
            return Err(InvalidProxy::InvalidPort);
        }
        if given.host().is_none_or(|host| host.is_empty() || host == "[]") {
            return Err(InvalidProxy::NotAnAddress);
        }
        let read = Matcher::builder().all(full).build();
        let found = read.intercept(&Uri::from_static("https://host")).ok_or(InvalidProxy::NotAnAddress)?;
        Ok(Self {
            uri: found.uri().clone(),
            authorization: found.basic_auth().cloned(),
            named_by: named_by.into(),
        })
    }

    /// Without the brackets that an IPv6 address has in a URL.
    pub(super) fn host(&self) -> &str {
        self.uri.host().unwrap_or_default().trim_matches(['[', ']'])
    }

    pub(super) fn port(&self) -> u16 {
        self.uri.port_u16().unwrap_or(if self.is_tls() { 443 } else { 80 })
    }

    /// Whether the connection to the proxy itself is encrypted.
    pub(super) fn is_tls(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    pub(super) fn authorization(&self) -> Option<&HeaderValue> {
        self.authorization.as_ref()
    }

    /// Whether its address holds a user or a password.
    pub fn has_credentials(&self) -> bool {
        self.authorization.is_some()
    }

    /// What names it.
    pub fn named_by(&self) -> &str {
        &self.named_by
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uri.host().unwrap_or_default(), self.port())
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}, named by {})", self.named_by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Proxy, InvalidProxy> {
        Proxy::parse(text, "HTTPS_PROXY")
    }

    #[test]
    fn addresses_of_proxies_are_read() {
        for (text, shown, is_tls, authorization) in [
            ("http://proxy.example.com:3128", "proxy.example.com:3128", false, None),
            ("proxy.example.com:3128", "proxy.example.com:3128", false, None),
            (" HTTP://proxy.example.com:3128/ ", "proxy.example.com:3128", false, None),
            ("http://proxy", "proxy:80", false, None),
            ("https://proxy", "proxy:443", true, None),
            ("http://[2001:db8::1]:3128", "[2001:db8::1]:3128", false, None),
            (
                "http://Aladdin:open%20sesame@proxy:3128",
                "proxy:3128",
                false,
                Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            ),
            ("bob@proxy:3128", "proxy:3128", false, Some("Basic Ym9iOg==")),
            ("http://bob:p%40ss@proxy:3128", "proxy:3128", false, Some("Basic Ym9iOnBAc3M=")),
        ] {
            let proxy = parsed(text).unwrap();
            let sent = proxy.authorization().map(|value| value.to_str().unwrap());
            assert_eq!(
                (proxy.to_string().as_str(), proxy.is_tls(), sent),
                (shown, is_tls, authorization),
                "{text}"
            );
        }
        assert_eq!(parsed("http://[2001:db8::1]:3128").unwrap().host(), "2001:db8::1");
    }

    #[test]
    fn what_is_no_address_of_a_proxy_is_refused_with_its_reason() {
        use InvalidProxy::{Credentials, InvalidPort, NotAnAddress, Path, Scheme, Socks};
        for (text, reason) in [
            ("socks5://proxy:1080", Socks),
            ("SOCKS5H://proxy:1080", Socks),
            ("ftp://proxy:21", Scheme),
            ("://proxy:3128", Scheme),
            ("http://", NotAnAddress),
            ("", NotAnAddress),
            ("two words", NotAnAddress),
            ("http://:3128", NotAnAddress),
            ("http://proxy:0", InvalidPort),
            ("http://proxy:99999", InvalidPort),
            ("http://proxy:x", InvalidPort),
            ("http://proxy:", InvalidPort),
            ("http://wpad.example.com/proxy.pac", Path),
            ("http://proxy:3128?x", Path),
            ("http://proxy:3128/#x", Path),
            ("http://bob:p@ss@proxy:3128", Credentials),
            ("http://bob:p/ss@proxy:3128", Credentials),
            ("http://bob:p#ss@proxy:3128", Credentials),
            ("http://bob:p?ss@proxy:3128", Credentials),
            ("http://bob:p ss@proxy:3128", Credentials),
        ] {
            assert_eq!(parsed(text).map(|proxy| proxy.to_string()), Err(reason), "{text}");
        }
    }

    #[test]
    fn credentials_are_printed_nowhere() {
        let proxy = parsed("http://bob:hunter2@proxy:3128").unwrap();
        let shown = format!("{proxy} {proxy:?} {proxy:#?} {:?}", proxy.authorization());
        for secret in ["bob", "hunter2", "Ym9i"] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
}
