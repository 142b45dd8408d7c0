//! The files of the page, compiled in, so that the demo is one binary and loads nothing from elsewhere.
//!
//! Also the headers that go with every answer of the page.

use axum::body::Body;
use axum::http::{HeaderValue, Response, StatusCode, header};
use axum::response::IntoResponse;

/// Everything from this page's own server, nothing inline, no frames: a message that got markup past the
/// front-end would still not run.
const CONTENT_SECURITY_POLICY: &str =
    "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; object-src 'none'";

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const SVG: &str = "image/svg+xml";

struct Asset {
    path: &'static str,
    content_type: &'static str,
    body: &'static str,
}

macro_rules! asset {
    ($name:literal, $content_type:expr) => {
        Asset {
            path: concat!("/", $name),
            content_type: $content_type,
            body: include_str!(concat!("static/", $name)),
        }
    };
}

const ASSETS: &[Asset] = &[
    Asset { path: "/", content_type: HTML, body: include_str!("static/index.html") },
    asset!("style.css", CSS),
    asset!("terminal.css", CSS),
    asset!("chat.css", CSS),
    asset!("dialog.css", CSS),
    asset!("favicon.svg", SVG),
    asset!("app.js", SCRIPT),
    asset!("api.js", SCRIPT),
    asset!("dom.js", SCRIPT),
    asset!("dates.js", SCRIPT),
    asset!("commands.js", SCRIPT),
    asset!("teleport-model.js", SCRIPT),
    asset!("terminal.js", SCRIPT),
    asset!("people.js", SCRIPT),
    asset!("compose.js", SCRIPT),
    asset!("requests.js", SCRIPT),
    asset!("row-form.js", SCRIPT),
    asset!("chat.js", SCRIPT),
    asset!("chat-model.js", SCRIPT),
    asset!("viewers.js", SCRIPT),
    asset!("press.js", SCRIPT),
    asset!("modal.js", SCRIPT),
    asset!("dialog.js", SCRIPT),
    asset!("blocks.js", SCRIPT),
    asset!("rich.js", SCRIPT),
    asset!("mrkdwn.js", SCRIPT),
];

/// The file at `path`, or 404.
pub(super) fn serve(path: &str) -> Response<Body> {
    match ASSETS.iter().find(|asset| asset.path == path) {
        Some(asset) => ([(header::CONTENT_TYPE, asset.content_type)], asset.body).into_response(),
        None => (StatusCode::NOT_FOUND, "The demo page has no such file.\n").into_response(),
    }
}

/// Adds what every answer carries.
pub(super) fn harden(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn files() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/demo_ui/static");
        let entries = folder.read_dir().unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn every_file_in_the_folder_is_served() {
        let served: BTreeSet<_> = ASSETS.iter().map(|asset| asset.path.trim_start_matches('/')).collect();
        for file in files() {
            let path = if file == "index.html" { "" } else { file.as_str() };
            assert!(served.contains(path), "{file} is not in ASSETS");
        }
    }

    #[test]
    fn every_import_and_link_leads_to_a_served_file() {
        for asset in ASSETS {
            for mark in ["from './", "href=\"/", "src=\"/", "url(\"/"] {
                for tail in asset.body.split(mark).skip(1) {
                    let file = tail.split(['\'', '"']).next().unwrap();
                    let path = format!("/{file}");
                    assert!(ASSETS.iter().any(|other| other.path == path), "{} names {path}", asset.path);
                }
            }
        }
    }

    #[test]
    fn nothing_is_loaded_from_elsewhere_and_no_markup_is_built_from_text() {
        for asset in ASSETS {
            let code = asset.body.replace("http://www.w3.org/2000/svg", "");
            let banned = [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "style=\"",
                "//cdn",
            ];
            for word in banned {
                assert!(!code.contains(word), "{} uses {word}", asset.path);
            }
            for address in ["src=\"http", "href=\"http", "url(http", "url(\"http", "@import"] {
                assert!(!code.contains(address), "{} loads {address}", asset.path);
            }
        }
    }
}
