//! Which proxy a connection goes through, if any.

use std::fmt;

use http::Uri;

use super::address::Proxy;
use super::exempt::{NoProxy, is_this_machine};
use super::target::Target;

/// The proxies to use, and for which hosts none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For connections that speak TLS: `https` and `wss`.
    pub https: Option<Proxy>,
    /// For `http` and `ws`.
    pub http: Option<Proxy>,
    /// Exempt hosts. This machine need not be among them.
    pub no_proxy: NoProxy,
}

/// How a target is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way<'a> {
    /// No proxy is set for it.
    Direct,
    /// It is this machine, or an entry exempts it, although a proxy is set.
    Exempt(Option<&'a str>),
    /// Through this proxy.
    Through(&'a Proxy),
}

impl Proxies {
    /// How to reach a target.
    pub fn way(&self, target: &Target) -> Way<'_> {
        let proxy = if target.is_plain() { &self.http } else { &self.https };
        let Some(proxy) = proxy else { return Way::Direct };
        if is_this_machine(target.host()) {
            return Way::Exempt(None);
        }
        match self.no_proxy.find(target) {
            Some(entry) => Way::Exempt(Some(entry)),
            None => Way::Through(proxy),
        }
    }

    /// The same for the server of a URL.
    pub fn way_to(&self, uri: &Uri) -> Way<'_> {
        Target::of(uri).map_or(Way::Direct, |target| self.way(&target))
    }
}

impl fmt::Display for Way<'_> {
    /// Completes "it is reached …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Direct => f.write_str("directly"),
            Self::Exempt(None) => f.write_str("directly, because it is this machine"),
            Self::Exempt(Some(entry)) => {
                write!(f, "directly, because the entry {entry} exempts it from the proxy")
            }
            Self::Through(proxy) => write!(f, "through the proxy {proxy} ({})", proxy.named_by()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn proxies() -> Proxies {
        Proxies {
            https: Some(Proxy::parse("http://bob:hunter2@secure:3128", "HTTPS_PROXY").unwrap()),
            http: Some(Proxy::parse("http://plain:3128", "HTTP_PROXY").unwrap()),
            no_proxy: NoProxy::default().with("10.0.0.0/8").unwrap(),
        }
    }

    fn way(proxies: &Proxies, uri: &str) -> String {
        proxies.way_to(&uri.parse().unwrap()).to_string()
    }

    #[test]
    fn the_scheme_chooses_the_proxy_and_this_machine_has_none() {
        let proxies = proxies();
        let secure = "through the proxy secure:3128 (HTTPS_PROXY)";
        let plain = "through the proxy plain:3128 (HTTP_PROXY)";
        assert_eq!(way(&proxies, "https://slack.com/api/"), secure);
        assert_eq!(way(&proxies, "wss://wss-primary.slack.com/link"), secure);
        assert_eq!(way(&proxies, "http://slack.example.com/"), plain);
        assert_eq!(way(&proxies, "ws://slack.example.com/"), plain);
        assert_eq!(proxies.way(&Target::new("auth.example.com", 3025)).to_string(), secure);
        let exempt = "directly, because the entry 10.0.0.0/8 exempts it from the proxy";
        assert_eq!(way(&proxies, "https://10.1.2.3/api/"), exempt);
        for url in ["http://127.0.0.1:9000/api/", "https://localhost/", "wss://[::1]:1/link"] {
            assert_eq!(way(&proxies, url), "directly, because it is this machine", "{url}");
        }
        assert_eq!(way(&Proxies::default(), "https://slack.com/api/"), "directly");
        assert_eq!(way(&Proxies::default(), "https://localhost/"), "directly");
        let only_https = Proxies { http: None, ..proxies };
        assert_eq!(way(&only_https, "http://slack.example.com/"), "directly");
    }
}
