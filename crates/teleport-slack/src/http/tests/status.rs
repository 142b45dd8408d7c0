//! Who is answered at `/status`, and how, over the wire. `http/status.rs` has the table of addresses.

use access_core::domain::secret::Secret;
use futures_util::future::BoxFuture;

use super::super::status::{StatusForm, StatusSource};
use super::diagnostics::start_with;
use super::*;
use crate::config::StatusAccess;
use crate::observe::metrics::Metrics;

const TOKEN: &str = "k9MarkerQ7-0123456789";

/// Says in which form it was asked.
pub(super) struct Fixed(pub(super) Option<&'static str>);

impl StatusSource for Fixed {
    fn access(&self) -> StatusAccess {
        StatusAccess { allow: Vec::new(), token: self.0.map(Secret::new) }
    }

    fn text(&self, form: StatusForm) -> BoxFuture<'static, String> {
        async move { format!("{form:?}") }.boxed()
    }
}

fn ask(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\n{headers}\r\n")
}

const HERE: &str = "Host: 127.0.0.1:9091\r\n";

#[tokio::test]
async fn each_form_is_answered_and_kept_out_of_caches_and_frames() {
    let running = start_with(&Metrics::new(), Fixed(None)).await;
    let browser = "Host: localhost\r\nAccept: text/html,*/*;q=0.8\r\n";
    for (path, headers, content_type, body) in [
        ("/status", HERE, "application/json", "Json"),
        ("/status", browser, "text/html; charset=utf-8", "Html { refreshes: false }"),
        ("/status?refresh", browser, "text/html; charset=utf-8", "Html { refreshes: true }"),
        ("/status?refresh=1%0d%0ax", browser, "text/html; charset=utf-8", "Html { refreshes: false }"),
        ("/status.json", browser, "application/json", "Json"),
    ] {
        let answer = running.exchange(ask(path, headers)).await;
        check_status(&answer, "200");
        assert!(answer.ends_with(&format!("\r\n\r\n{body}")), "{answer}");
        for header in [
            &*format!("content-type: {content_type}\r\n"),
            "cache-control: no-store\r\n",
            "vary: accept\r\n",
            "x-content-type-options: nosniff\r\n",
            "referrer-policy: no-referrer\r\n",
            "content-security-policy: default-src 'none'; style-src 'sha256-",
            "; base-uri 'none'; form-action 'none'; frame-ancestors 'none'\r\n",
        ] {
            assert!(answer.contains(header), "{header} in {answer}");
        }
    }
    let head = running.exchange(format!("HEAD /status HTTP/1.1\r\n{HERE}\r\n")).await;
    check_status(&head, "200");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH"] {
        check_status(&running.exchange(format!("{method} /status HTTP/1.1\r\n{HERE}\r\n")).await, "405");
    }
    for path in ["/status/", "/status/x", "/status.html"] {
        check_status(&running.exchange(ask(path, HERE)).await, "404");
    }
}

#[tokio::test]
async fn others_get_one_sentence_and_the_token_is_in_no_answer_and_no_log() {
    let log = Captured::start();
    let foreign = "Host: rebound.example.com\r\n";
    let running = start_with(&Metrics::new(), Fixed(None)).await;
    let answer = running.exchange(ask("/status.json", foreign)).await;
    check_status(&answer, "403");
    assert_eq!(answer.split_once("\r\n\r\n").unwrap().1.matches('.').count(), 1, "one sentence: {answer}");

    let running = start_with(&Metrics::new(), Fixed(Some(TOKEN))).await;
    let long = "x".repeat(10_000);
    for (guess, status) in
        [(TOKEN, "200"), ("", "401"), ("wrong", "401"), (&*format!("{TOKEN}x"), "401"), (&*long, "401")]
    {
        let answer =
            running.exchange(ask("/status", &format!("{foreign}Authorization: Bearer {guess}\r\n"))).await;
        check_status(&answer, status);
        assert_eq!(answer.contains("www-authenticate: Bearer"), status == "401", "{answer}");
        assert!(!answer.contains(TOKEN) && answer.len() < 1_000, "{answer}");
    }
    check_status(&running.exchange(ask("/status", foreign)).await, "401");
    check_status(&running.exchange(ask("/status", HERE)).await, "200");
    // A name in the request line counts as one in `Host`.
    for token in [None, Some(TOKEN)] {
        let running = start_with(&Metrics::new(), Fixed(token)).await;
        let refused = if token.is_some() { "401" } else { "403" };
        for (asked, status) in [
            ("http://rebound.example.com/status", refused),
            ("http://rebound.example.com:9091/status.json", refused),
            ("http://localhost@rebound.example.com/status", refused),
            ("http://x@localhost/status", refused),
            ("http://127.0.0.1:9091/status", "200"),
            ("http://[::1]/status.json", "200"),
            ("http://LocalHost/status", "200"),
        ] {
            check_status(&running.exchange(ask(asked, HERE)).await, status);
        }
        let authorization = format!("{HERE}Authorization: Bearer {TOKEN}\r\n");
        let named = ask("http://rebound.example.com/status", &authorization);
        check_status(&running.exchange(named).await, if token.is_some() { "200" } else { "403" });
    }
    // What was open to all stays so.
    for path in ["/healthz", "/metrics"] {
        check_status(&running.exchange(ask(path, foreign)).await, "200");
    }
    assert!(!log.text().contains(TOKEN), "{}", log.text());
}
