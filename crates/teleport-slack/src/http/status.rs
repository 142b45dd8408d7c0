//! `/status`: the state of the daemon, as JSON and as a page, for those who may see it.
//!
//! Programs and browsers on this machine may, machines of the networks in `[diagnostics] allow`, and callers who
//! present the token. `status` at the top of the crate knows what there is to say.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};

use axum::Router;
use axum::extract::{ConnectInfo, RawQuery, State};
use axum::http::header::{self, AUTHORIZATION, HeaderName, HeaderValue};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};
use tracing::debug;

use crate::config::StatusAccess;

/// The style of the page, which stands in the page.
pub const STYLE: &str = include_str!("status.css");

/// In which form the state is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StatusForm {
    /// For programs.
    Json,
    /// For people.
    Html {
        /// Whether the page loads itself again.
        refreshes: bool,
    },
}

/// Gives the state of the daemon.
pub trait StatusSource: Send + Sync {
    /// Who may see it now, beside this machine.
    fn access(&self) -> StatusAccess;

    /// It, as a text in this form. Ends within seconds.
    fn text(&self, form: StatusForm) -> BoxFuture<'static, String>;
}

/// Shared by all that ask.
pub(super) type SharedSource = Arc<dyn StatusSource>;

/// How often the page loads itself again, if it is asked to, in seconds.
pub const REFRESH_S: u32 = 15;

pub(super) fn router(source: SharedSource) -> Router {
    Router::new().route("/status", get(negotiated)).route("/status.json", get(json)).with_state(source)
}

async fn json(
    State(source): State<SharedSource>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    answer(&source, peer, (&uri, &headers), StatusForm::Json).await
}

async fn negotiated(
    State(source): State<SharedSource>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    RawQuery(query): RawQuery,
    uri: Uri,
    headers: HeaderMap,
) -> Response {
    let refreshes = query.as_deref() == Some("refresh");
    let form = if wants_html(&headers) { StatusForm::Html { refreshes } } else { StatusForm::Json };
    answer(&source, peer, (&uri, &headers), form).await
}

/// Browsers ask for HTML by name; others get JSON.
fn wants_html(headers: &HeaderMap) -> bool {
    let ranges = headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok());
    ranges.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let is_html = parts.next().is_some_and(|range| range.eq_ignore_ascii_case("text/html"));
        is_html && !parts.any(|weight| weight.strip_prefix("q=").is_some_and(|q| q.parse() == Ok(0.0)))
    })
}

async fn answer(
    source: &SharedSource,
    peer: SocketAddr,
    asked: (&Uri, &HeaderMap),
    form: StatusForm,
) -> Response {
    if let Err(refusal) = check(peer.ip(), asked, &source.access()) {
        debug!(%peer, "Refused a question for the state of the daemon");
        return hardened(refusal.into_response());
    }
    let content_type = match form {
        StatusForm::Json => "application/json",
        StatusForm::Html { .. } => "text/html; charset=utf-8",
    };
    let text = source.text(form).await;
    hardened(([(header::CONTENT_TYPE, content_type)], text).into_response())
}

/// A part of each refusal, by which `check` recognizes a daemon that does not show its state.
pub(crate) const REFUSED: &str = "state of the daemon ";

/// Why a question is not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The token is missing or wrong.
    Token,
    /// No token helps.
    Network,
    /// It came from this machine under the name of another, or was passed on.
    Name,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Token => {
                let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"status\"")];
                let words = "The state of the daemon needs the token of [diagnostics], as \"Authorization: Bearer TOKEN\".\n";
                (StatusCode::UNAUTHORIZED, challenge, words).into_response()
            }
            Self::Network => {
                let words =
                    "The state of the daemon is for this machine and the networks of [diagnostics] allow.\n";
                (StatusCode::FORBIDDEN, words).into_response()
            }
            Self::Name => {
                let words = "Without a token the state of the daemon is under an IP address or localhost only, and not through a proxy.\n";
                (StatusCode::FORBIDDEN, words).into_response()
            }
        }
    }
}

/// Whether a caller at `peer` may see the state.
fn check(peer: IpAddr, (uri, headers): (&Uri, &HeaderMap), access: &StatusAccess) -> Result<(), Refusal> {
    if access.token.as_ref().is_some_and(|token| bearer(headers).is_some_and(|guess| token.matches(guess))) {
        return Ok(());
    }
    let peer = peer.to_canonical();
    let is_known = peer.is_loopback() || access.allow.iter().any(|network| network.contains(peer));
    match access.token {
        None if is_known && !is_direct(uri, headers) => Err(Refusal::Name),
        _ if is_known && is_direct(uri, headers) => Ok(()),
        Some(_) => Err(Refusal::Token),
        None => Err(Refusal::Network),
    }
}

/// The token that a caller presents, if it is there exactly once.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = single(headers, &AUTHORIZATION)?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim_matches(' '))
}

/// Whether the caller asks for itself. A web site that points its own name at this machine lets a browser ask for the site,
/// and a proxy asks for others, so their address shows nothing. A name in the request line, as callers of a proxy write it, counts
/// as much as the one in `Host`.
fn is_direct(uri: &Uri, headers: &HeaderMap) -> bool {
    const FORWARDED: [HeaderName; 5] = [
        header::FORWARDED,
        header::VIA,
        HeaderName::from_static("x-forwarded-for"),
        HeaderName::from_static("x-forwarded-host"),
        HeaderName::from_static("x-real-ip"),
    ];
    let is_passed_on = FORWARDED.iter().any(|name| headers.contains_key(name));
    let is_named = uri.authority().is_some_and(|asked| !is_address(asked.as_str()));
    !is_passed_on && !is_named && single(headers, &header::HOST).is_some_and(is_address)
}

/// Whether a `Host` is an IP address or localhost: no name that others can point somewhere.
fn is_address(host: &str) -> bool {
    // `user@localhost` is an authority too, but not a Host.
    let Some(authority) = host.parse::<Authority>().ok().filter(|_| !host.contains('@')) else {
        return false;
    };
    let name = authority.host();
    let name = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<IpAddr>().is_ok()
}

/// The value of a header that is there exactly once.
fn single<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

/// Keeps it out of caches, and the page from loading or running anything.
fn hardened(mut response: Response) -> Response {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let digest = BASE64_STANDARD.encode(Sha256::digest(STYLE));
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        );
        policy.try_into().expect("base64 is a part of any header")
    });
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, POLICY.clone());
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "accept"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use access_core::domain::secret::Secret;

    use super::*;

    const TOKEN: &str = "0123456789abcdefghij";

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    /// With the network 192.0.2.0/24 allowed.
    fn access(token: Option<&str>) -> StatusAccess {
        let text = "[teleport]\naddr = \"a\"\nidentity = \"i\"\n[slack]\ntoken = \"xoxb-1\"\n[diagnostics]\nlisten_addr = \":1\"\nallow = [\"192.0.2.0/24\", \"2001:db8::/32\"]";
        let loaded = crate::config::parse(text, "c".as_ref(), &|_| unreachable!("no file is named")).unwrap();
        StatusAccess { token: token.map(Secret::new), ..loaded.config.diagnostics.unwrap().access }
    }

    fn outcome(peer: &str, lines: &[(&'static str, &str)], token: Option<&str>) -> Result<(), Refusal> {
        check(peer.parse().unwrap(), (&Uri::from_static("/status"), &headers(lines)), &access(token))
    }

    #[test]
    fn this_machine_and_allowed_networks_may_ask_and_no_others() {
        let host = [("host", "127.0.0.1:9091")];
        for peer in [
            "127.0.0.1",
            "127.9.9.9",
            "::1",
            "::ffff:127.0.0.1",
            "192.0.2.7",
            "::ffff:192.0.2.7",
            "2001:db8::7",
        ] {
            assert_eq!(outcome(peer, &host, None), Ok(()), "{peer}");
            assert_eq!(outcome(peer, &host, Some(TOKEN)), Ok(()), "{peer}");
        }
        for peer in ["192.0.3.7", "10.0.0.1", "2001:db9::7", "::ffff:10.0.0.1", "0.0.0.0", "::"] {
            assert_eq!(outcome(peer, &host, None), Err(Refusal::Network), "{peer}");
            assert_eq!(outcome(peer, &host, Some(TOKEN)), Err(Refusal::Token), "{peer}");
        }
    }

    #[test]
    fn the_token_opens_from_anywhere_under_any_name() {
        let long = format!("Bearer {}", "x".repeat(8_000));
        for peer in ["10.0.0.1", "127.0.0.1"] {
            for (value, opens) in [
                (&format!("Bearer {TOKEN}")[..], true),
                (&format!("bearer  {TOKEN} "), true),
                (&format!("Bearer {TOKEN}x"), false),
                (&format!("Bearer {}", &TOKEN[1..]), false),
                (&format!("Basic {TOKEN}"), false),
                (TOKEN, false),
                ("Bearer ", false),
                ("Bearer", false),
                ("", false),
                (&long, false),
            ] {
                let lines = [
                    ("host", "status.example.com"),
                    ("x-forwarded-for", "127.0.0.1"),
                    ("authorization", value),
                ];
                let expected = if opens { Ok(()) } else { Err(Refusal::Token) };
                assert_eq!(outcome(peer, &lines, Some(TOKEN)), expected, "{peer} {value:.60}");
            }
            let twice = format!("Bearer {TOKEN}");
            let lines = [("host", "x"), ("authorization", &*twice), ("authorization", &*twice)];
            assert_eq!(outcome(peer, &lines, Some(TOKEN)), Err(Refusal::Token));
            // Where there is no token, none is right.
            for value in ["Bearer ", "Bearer x"] {
                assert!(outcome(peer, &[("host", "x"), ("authorization", value)], None).is_err());
            }
            assert!(outcome(peer, &[("host", "x"), ("authorization", "Bearer ")], Some("")).is_err());
        }
    }

    #[test]
    fn a_foreign_name_or_a_proxy_makes_no_local_caller() {
        for (lines, is_answered) in [
            (&[("host", "localhost:9091")][..], true),
            (&[("host", "LocalHost")], true),
            (&[("host", "[::1]:9091")], true),
            (&[("host", "192.0.2.1")], true),
            (&[], false),
            (&[("host", "")], false),
            (&[("host", "rebound.example.com")], false),
            (&[("host", "127.0.0.1.example.com")], false),
            (&[("host", "localhost.example.com:9091")], false),
            (&[("host", "x@localhost")], false),
            (&[("host", "localhost"), ("host", "rebound.example.com")], false),
            (&[("host", "localhost"), ("x-forwarded-for", "203.0.113.9")], false),
            (&[("host", "localhost"), ("forwarded", "for=203.0.113.9")], false),
            (&[("host", "localhost"), ("via", "1.1 proxy")], false),
        ] {
            for peer in ["127.0.0.1", "192.0.2.7"] {
                let expected = if is_answered { Ok(()) } else { Err(Refusal::Name) };
                assert_eq!(outcome(peer, lines, None), expected, "{lines:?}");
                let expected = if is_answered { Ok(()) } else { Err(Refusal::Token) };
                assert_eq!(outcome(peer, lines, Some(TOKEN)), expected, "{lines:?}");
            }
        }
    }

    #[test]
    fn browsers_get_the_page_and_programs_get_json() {
        for (accept, html) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", true),
            ("application/json, Text/HTML;q=0.5", true),
            ("*/*", false),
            ("application/json", false),
            ("text/html;q=0, */*", false),
            ("text/htmlx", false),
        ] {
            assert_eq!(wants_html(&headers(&[("accept", accept)])), html, "{accept}");
        }
        assert!(!wants_html(&HeaderMap::new()));
    }
}
