//! Who may talk to the page: this machine's own browser tab, and programs on this machine.
//!
//! The page has no login, so another web site must not be able to drive it. A site that points its own name at
//! 127.0.0.1 is stopped by the Host check; one that posts a form across is stopped by Origin and content type.

use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use super::HttpError;
use super::assets;

/// Refuses what must not pass, and hardens every answer.
pub(super) async fn check(request: Request, next: Next) -> Response {
    let mut response = match check_request(request.method(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    };
    assets::harden(&mut response);
    response
}

fn check_request(method: &Method, headers: &HeaderMap) -> Result<(), HttpError> {
    let host =
        single_header(headers, &header::HOST).filter(|host| is_this_machine(host)).ok_or_else(|| {
            HttpError::new(
                StatusCode::MISDIRECTED_REQUEST,
                "This page answers only under 127.0.0.1, localhost or [::1]; open it under one of these.",
            )
        })?;
    if matches!(*method, Method::GET | Method::HEAD) {
        return Ok(());
    }
    let same_origin = match headers.get(header::ORIGIN) {
        None => true,
        Some(_) => single_header(headers, &header::ORIGIN)
            .and_then(|origin| origin.strip_prefix("http://"))
            .is_some_and(|origin| origin.eq_ignore_ascii_case(host)),
    };
    if !same_origin {
        return Err(HttpError::new(StatusCode::FORBIDDEN, "Another web site may not act in the demo."));
    }
    let content_type = single_header(headers, &header::CONTENT_TYPE).unwrap_or_default();
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return Err(HttpError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "An action is sent as JSON, with content-type: application/json.",
        ));
    }
    Ok(())
}

/// The value of a header that is there exactly once.
fn single_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() { None } else { value.to_str().ok() }
}

fn is_this_machine(host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    // `user@localhost` is an authority too, but not a Host.
    !host.contains('@') && matches!(authority.host(), "127.0.0.1" | "localhost" | "[::1]")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(method: Method, lines: &[(&str, &str)]) -> StatusCode {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        check_request(&method, &headers).map_or_else(|problem| problem.status, |()| StatusCode::OK)
    }

    #[test]
    fn only_this_machines_names_are_answered() {
        for (host, passes) in [
            ("127.0.0.1:8080", true),
            ("localhost", true),
            ("[::1]:8080", true),
            ("127.0.0.1.example.com", false),
            ("example.com", false),
            ("x@localhost", false),
            ("localhost.", false),
            ("", false),
            ("127.0.0.1:8080, example.com", false),
        ] {
            assert_eq!(status(Method::GET, &[("host", host)]) == StatusCode::OK, passes, "{host:?}");
        }
        assert_eq!(status(Method::GET, &[]), StatusCode::MISDIRECTED_REQUEST);
        let twice = [("host", "localhost"), ("host", "example.com")];
        assert_eq!(status(Method::GET, &twice), StatusCode::MISDIRECTED_REQUEST);
    }

    #[test]
    fn actions_need_the_same_origin_and_json() {
        let host = ("host", "127.0.0.1:8080");
        let json = ("content-type", "application/json; charset=utf-8");
        for (origin, expected) in [
            ("http://127.0.0.1:8080", StatusCode::OK),
            ("http://127.0.0.1:9090", StatusCode::FORBIDDEN),
            ("https://127.0.0.1:8080", StatusCode::FORBIDDEN),
            ("http://evil.example", StatusCode::FORBIDDEN),
            ("null", StatusCode::FORBIDDEN),
        ] {
            assert_eq!(status(Method::POST, &[host, json, ("origin", origin)]), expected, "{origin}");
        }
        assert_eq!(status(Method::POST, &[host, json]), StatusCode::OK, "a program sends no Origin");
        let form = ("content-type", "text/plain");
        assert_eq!(status(Method::POST, &[host, form]), StatusCode::UNSUPPORTED_MEDIA_TYPE);
        assert_eq!(status(Method::POST, &[host]), StatusCode::UNSUPPORTED_MEDIA_TYPE);
    }
}
