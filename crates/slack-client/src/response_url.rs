//! Which addresses a click may be answered at.
//!
//! The address comes with the click. It was sent by Slack, but a daemon that posts to whatever address it is given
//! is a way into the network behind it, so only Slack's hosts will do. Any caller that knows an address may answer at
//! it: it is a secret, and nothing here quotes it.

use http::Uri;
use http::uri::Authority;

use super::api_url::MAX_URL_BYTES;
use access_core::domain::secret::Secret;

/// The hosts of Slack proper. GovSlack's are found by the API's address.
const SLACK_HOSTS: [&str; 2] = ["slack.com", "hooks.slack.com"];

/// Parts of an address shorter than this are not worth hiding, and would tear holes into error texts.
const MIN_SECRET_BYTES: usize = 6;

/// The address, if it is one of Slack's or at the host of `base`; else why not, as the end of a sentence.
pub(super) fn validate(url: &str, base: &Uri) -> Result<Uri, &'static str> {
    if url.len() > MAX_URL_BYTES {
        return Err("is too long");
    }
    let Ok(uri) = url.parse::<Uri>() else { return Err("is not a URL") };
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err("is not a full URL");
    };
    if authority.as_str().contains('@') {
        return Err("holds a user or password");
    }
    let is_apis_own = scheme == base.scheme_str().unwrap_or_default()
        && base.authority().is_some_and(|own| is_same_origin(own, authority, scheme));
    if is_apis_own {
        return Ok(uri);
    }
    if scheme != "https" {
        return Err("is not https");
    }
    if port_of(authority, scheme) != Some(443) {
        return Err("names a port that Slack does not use");
    }
    let host = authority.host();
    let is_slacks = SLACK_HOSTS.iter().any(|known| host.eq_ignore_ascii_case(known));
    let is_hooks_of_api = base.scheme_str() == Some("https")
        && base.host().zip(host.split_once('.')).is_some_and(|(api, (first, rest))| {
            first.eq_ignore_ascii_case("hooks") && rest.eq_ignore_ascii_case(api)
        });
    if is_slacks || is_hooks_of_api { Ok(uri) } else { Err("is not at one of Slack's hosts") }
}

/// The parts of an address to keep out of error texts.
pub(super) fn secret_parts(url: &Secret) -> impl Iterator<Item = Secret> {
    let url = url.expose();
    let (_, rest) = url.split_once("://").unwrap_or(("", url));
    let (_, path) = rest.split_once('/').unwrap_or(("", rest));
    path.split(['/', '?', '&', '=']).filter(|part| part.len() >= MIN_SECRET_BYTES).map(Secret::new)
}

fn is_same_origin(one: &Authority, other: &Authority, scheme: &str) -> bool {
    one.host().eq_ignore_ascii_case(other.host()) && port_of(one, scheme) == port_of(other, scheme)
}

/// `None` if a port is given that is no number.
fn port_of(authority: &Authority, scheme: &str) -> Option<u16> {
    let default = if scheme == "https" { 443 } else { 80 };
    let after_host = authority.as_str().strip_prefix(authority.host())?;
    match after_host.strip_prefix(':') {
        Some(_) => authority.port_u16(),
        None => Some(default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn assert_validated(api_url: &str, url: &str, expected: Result<(), &str>) {
        let outcome = validate(url, &api_url.parse().unwrap());
        assert_eq!(outcome.map(|uri| assert_eq!(uri.to_string(), url)), expected, "{url}");
    }

    #[test]
    fn slacks_hosts_will_do() {
        let api = "https://slack.com/api/";
        assert_validated(api, "https://hooks.slack.com/actions/T1/2/secret", Ok(()));
        assert_validated(api, "https://slack.com/x", Ok(()));
        assert_validated("https://slack-gov.com/api/", "https://hooks.slack-gov.com/actions/T1/2/s", Ok(()));
        assert_validated("https://slack-gov.com/api/", "https://slack-gov.com/x", Ok(()));
        assert_validated(
            "https://gateway.example.com:8443/api/",
            "https://gateway.example.com:8443/x",
            Ok(()),
        );
        assert_validated("http://127.0.0.1:9000/api/", "http://127.0.0.1:9000/response/1", Ok(()));
        assert_validated("http://127.0.0.1:9000/api/", "https://hooks.slack.com/actions/T1/2/s", Ok(()));
    }

    #[test]
    fn anything_else_is_refused() {
        let elsewhere = Err("is not at one of Slack's hosts");
        let port = Err("names a port that Slack does not use");
        let api = "https://slack.com/api/";
        assert_validated(api, "http://hooks.slack.com/a", Err("is not https"));
        assert_validated(api, "https://hooks.slack.com.evil.example/a", elsewhere);
        assert_validated(api, "https://evilslack.com/a", elsewhere);
        assert_validated(api, "https://slack.com./a", elsewhere);
        assert_validated(api, "https://files.slack.com/a", elsewhere);
        assert_validated(api, "https://169.254.169.254/latest/meta-data", elsewhere);
        assert_validated(api, "https://[::1]/a", elsewhere);
        assert_validated(api, "https://hooks.slack.com:22/a", port);
        assert_validated(api, "https://hooks.slack.com:/a", port);
        assert_validated(api, "https://hooks.slack.com@evil.example/a", Err("holds a user or password"));
        assert_validated(api, "https://evil.example#hooks.slack.com", elsewhere);
        assert_validated(api, "file:///etc/passwd", Err("is not a URL"));
        assert_validated(api, "//hooks.slack.com/a", Err("is not a full URL"));
        assert_validated(api, "hooks.slack.com", Err("is not a full URL"));
        assert_validated(api, "", Err("is not a URL"));
        assert_validated(api, &format!("https://slack.com/{}", "a".repeat(3_000)), Err("is too long"));
        let simulator = "http://127.0.0.1:9000/api/";
        assert_validated(simulator, "http://127.0.0.1:6379/", Err("is not https"));
        assert_validated(simulator, "https://127.0.0.1:9000/", port);
        assert_validated(simulator, "http://localhost:9000/", Err("is not https"));
        assert_validated("http://sim.example/", "https://hooks.sim.example/", elsewhere);
    }

    #[test]
    fn the_identifying_parts_are_secrets() {
        let parts =
            |url| secret_parts(&Secret::new(url)).map(|part| part.expose().to_owned()).collect::<Vec<_>>();
        assert_eq!(
            parts("https://hooks.slack.com/actions/T012AB/3/hunter2?ticket=abcdef"),
            ["actions", "T012AB", "hunter2", "ticket", "abcdef"]
        );
        assert_eq!(parts("https://h"), [""; 0]);
    }
}
