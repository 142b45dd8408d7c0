//! The address of Slack's API: which ones will do.

use http::Uri;

use super::error::SetupError;

/// The longest API address accepted, and the longest query sent. It leaves room for method names within what an HTTP
/// client can handle.
pub(super) const MAX_URL_BYTES: usize = 2_000;

/// The address to put method names behind. It is not quoted in errors: it may hold a password.
pub(super) fn parse_base(api_url: &str) -> Result<String, SetupError> {
    let refuse = |reason| Err(SetupError::ApiUrl { reason });
    if api_url.len() > MAX_URL_BYTES {
        return refuse("is too long");
    }
    let Ok(uri) = api_url.parse::<Uri>() else { return refuse("is not a URL") };
    if !matches!(uri.scheme_str(), Some("https" | "http")) {
        return refuse("must start with https:// or http://");
    }
    match uri.authority() {
        Some(authority) if authority.as_str().contains('@') => {
            return refuse("must not hold a user or password");
        }
        Some(authority) if !authority.host().is_empty() => {}
        _ => return refuse("names no host"),
    }
    // The parser drops a fragment, so look for its mark.
    if uri.query().is_some() || api_url.contains('#') {
        return refuse("must not have a query or fragment");
    }
    let text = uri.to_string();
    Ok(if text.ends_with('/') { text } else { text + "/" })
}
