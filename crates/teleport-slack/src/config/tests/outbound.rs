//! `[network]` and the environment: which counts, what cannot be used, and that no message shows a password.

use client_base::forward_proxy::{Proxies, Way};

use super::*;

/// No part of it may be shown.
const PASSWORD: &str = "hunter2k9";

fn files(path: &Path) -> io::Result<TokenFile> {
    let text = match path.to_str().unwrap_or_default() {
        "/run/proxy" => format!("http://bob:{PASSWORD}@proxy.example.com:3128\n"),
        "/run/socks" => format!("socks5://bob:{PASSWORD}@proxy.example.com:1080\n"),
        "/etc/ca.pem" => rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem(),
        "/etc/key.pem" => rcgen::KeyPair::generate().unwrap().serialize_pem(),
        "/etc/empty.pem" => String::new(),
        _ => return no_files(path),
    };
    Ok(TokenFile {
        text: Secret::new(text),
        permissions: Some(client_base::files::Permissions::of_mode(0o600)),
    })
}

fn load(network: &str, variables: &[(&str, &str)]) -> Result<Loaded, ConfigError> {
    let text = format!(
        "[teleport]\naddr = \"a\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\nrecipients = [\"team\"]\n[network]\n{network}"
    );
    let value =
        |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
    parse_with(&text, Path::new("/etc/slack.toml"), &files, &value)
}

/// How Slack is reached, and the warnings.
fn way(network: &str, variables: &[(&str, &str)]) -> (String, Vec<String>) {
    let loaded = load(network, variables).unwrap();
    let shown = format!("{loaded:?}");
    assert!(!shown.contains(PASSWORD) && !shown.contains("bob"), "{shown}");
    (loaded.config.way_to_slack(), loaded.warnings.iter().map(ToString::to_string).collect())
}

#[test]
fn the_first_source_that_is_set_counts() {
    let through =
        |name: &str| format!("through the proxy {}:3128 ({name})", name.to_lowercase().replace('_', "-"));
    for (network, variables, expected) in [
        ("", vec![], "directly".to_owned()),
        ("", vec!["HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY"], through("HTTPS_PROXY")),
        ("", vec!["https_proxy"], through("https_proxy")),
        ("", vec!["ALL_PROXY"], through("ALL_PROXY")),
        ("", vec!["all_proxy", "HTTP_PROXY"], through("all_proxy")),
        ("proxy = \"http://network.proxy:3128\"", vec!["HTTPS_PROXY"], through("network.proxy")),
        ("proxy = \"\"", vec!["HTTPS_PROXY"], through("HTTPS_PROXY")),
        (
            "no_proxy = \"*\"",
            vec!["HTTPS_PROXY"],
            "directly, because the entry * exempts it from the proxy".to_owned(),
        ),
    ] {
        let values: Vec<_> = variables
            .iter()
            .map(|name| (*name, format!("http://{}:3128", name.to_lowercase().replace('_', "-"))))
            .collect();
        let pairs: Vec<_> = values.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(way(network, &pairs), (expected, vec![]), "{network} {variables:?}");
    }
}

#[test]
fn capitals_count_before_small_letters_unless_they_are_empty() {
    let upper = ("HTTPS_PROXY", "http://upper:3128");
    let lower = ("https_proxy", "http://lower:3128");
    let (found, warnings) = way("", &[upper, lower]);
    assert_eq!(found, "through the proxy upper:3128 (HTTPS_PROXY)");
    assert_eq!(
        warnings,
        ["HTTPS_PROXY: https_proxy is set too, to something else, and does not count; unset one of them"]
    );
    for empty in ["", " "] {
        let found = way("", &[("HTTPS_PROXY", empty), lower]);
        assert_eq!(found, ("through the proxy lower:3128 (https_proxy)".to_owned(), vec![]));
    }
    let same = way("", &[upper, ("https_proxy", upper.1)]);
    assert_eq!(same, ("through the proxy upper:3128 (HTTPS_PROXY)".to_owned(), vec![]));
}

#[test]
fn exempt_hosts_come_from_the_table_or_the_environment() {
    let proxy = ("HTTPS_PROXY", "http://proxy:3128");
    let through = "through the proxy proxy:3128 (HTTPS_PROXY)";
    let exempt = |entry| format!("directly, because the entry {entry} exempts it from the proxy");
    assert_eq!(way("", &[proxy, ("NO_PROXY", "a.example, .slack.com")]).0, exempt(".slack.com"));
    assert_eq!(way("", &[proxy, ("no_proxy", "slack.com:443")]).0, exempt("slack.com:443"));
    assert_eq!(way("no_proxy = [\"a.example\", \"slack.com\"]", &[proxy]).0, exempt("slack.com"));
    assert_eq!(way("no_proxy = \"a.example\"", &[proxy, ("NO_PROXY", "slack.com")]).0, through);
    assert_eq!(way("no_proxy = \"\"", &[proxy, ("NO_PROXY", "slack.com")]).0, exempt("slack.com"));
    let (found, warnings) = way("", &[proxy, ("NO_PROXY", "10.*, slack.com")]);
    assert_eq!(found, exempt("slack.com"));
    assert!(
        warnings[0]
            .starts_with("NO_PROXY: the entry \"10.*\" of this environment variable exempts nothing here")
    );
    let error = load("no_proxy = [\"slack.com\", \"http://a\"]", &[]).unwrap_err().to_string();
    assert!(
        error.contains("slack.toml:8: network.no_proxy: the entry \"http://a\" exempts nothing"),
        "{error}"
    );
}

#[test]
fn a_value_that_cannot_be_used_is_a_mistake_that_names_where_it_stands() {
    let value = format!("socks5://bob:{PASSWORD}@proxy:1080");
    let other = format!("http://bob:{PASSWORD}@@proxy:x");
    let configured = format!("proxy = {value:?}");
    for (network, variables, words) in [
        (configured.as_str(), vec![], "slack.toml:8: network.proxy: this is the address of a SOCKS proxy"),
        (
            "proxy = \"/run/socks\"",
            vec![],
            "network.proxy: what the file \"/run/socks\" holds is the address of a SOCKS",
        ),
        ("proxy = \"/run/gone\"", vec![], "network.proxy: cannot read the file \"/run/gone\""),
        (
            "",
            vec![("HTTPS_PROXY", &value)],
            "HTTPS_PROXY: the value of this environment variable is the address of a SOCKS",
        ),
        (
            "",
            vec![("https_proxy", &other)],
            "https_proxy: the value of this environment variable has a user or password",
        ),
        ("", vec![("ALL_PROXY", &value)], "ALL_PROXY: the value"),
        ("", vec![("HTTP_PROXY", &other)], "HTTP_PROXY: the value"),
        ("ca_file = \"gone.pem\"", vec![], "network.ca_file: cannot read the file \"/etc/gone.pem\""),
        ("ca_file = \"key.pem\"", vec![], "network.ca_file: the file \"/etc/key.pem\" holds a private key"),
        (
            "ca_file = \"empty.pem\"",
            vec![],
            "network.ca_file: the file \"/etc/empty.pem\" holds no certificate",
        ),
    ] {
        let variables: Vec<_> =
            variables.into_iter().map(|(name, value): (_, &String)| (name, value.as_str())).collect();
        let error = load(network, &variables).unwrap_err().to_string();
        assert!(error.contains(words), "{words}: {error}");
        assert!(!error.contains(PASSWORD) && !error.contains("bob"), "{error}");
    }
    let unseen = format!("proxy = \"http://bob:{PASSWORD}\u{200b}@proxy:3128\"");
    let error = load(&unseen, &[]).unwrap_err().to_string();
    assert!(
        error.contains("network.proxy: this has what no address has: ") && error.contains("U+200B"),
        "{error}"
    );
    assert!(!error.contains(PASSWORD), "{error}");
    // What does not count is not judged: desktops set ALL_PROXY for a SOCKS proxy beside the others.
    way("", &[("HTTPS_PROXY", "http://proxy:3128"), ("ALL_PROXY", &value)]);
    way("proxy = \"proxy:3128\"", &[("HTTPS_PROXY", &value), ("ALL_PROXY", &value), ("HTTP_PROXY", &value)]);
}

#[test]
fn a_proxy_for_http_alone_and_one_that_a_caller_could_set_are_warned_of() {
    let http = ("HTTP_PROXY", "http://proxy:3128");
    let (found, warnings) = way("", &[http]);
    assert_eq!(found, "directly");
    assert!(
        warnings[0].starts_with("HTTP_PROXY: this environment variable is for http:// alone"),
        "{warnings:?}"
    );
    let (_, warnings) = way("", &[http, ("REQUEST_METHOD", "GET")]);
    assert!(warnings[0].starts_with("HTTP_PROXY: this environment variable is not used"), "{warnings:?}");
    let loaded = load("", &[http, ("http_proxy", "http://lower:3128"), ("REQUEST_METHOD", "GET")]).unwrap();
    let http_proxy = loaded.config.network.outbound.proxies.http.map(|proxy| proxy.to_string());
    assert_eq!(http_proxy.as_deref(), Some("lower:3128"));
    let url = "http://a.example/".parse().unwrap();
    let loaded = load("", &[("HTTPS_PROXY", "http://secure:3128"), http]).unwrap();
    let through = loaded.config.network.outbound.proxies.way_to(&url);
    assert!(matches!(through, Way::Through(proxy) if proxy.to_string() == "proxy:3128"), "{through:?}");
}

#[test]
fn the_proxy_and_the_authorities_are_read_from_files() {
    let (found, _) = way("proxy = \"/run/proxy\"\nca_file = \"ca.pem\"", &[]);
    assert_eq!(found, "through the proxy proxy.example.com:3128 (network.proxy)");
    assert_eq!(load("ca_file = \"ca.pem\"", &[]).unwrap().config.network.outbound.extra_roots.len(), 1);
}

#[test]
fn a_proxy_is_for_teleport_too_where_that_is_asked_for() {
    let proxy = ("HTTPS_PROXY", "http://proxy:3128");
    let way = |network: &str| load(network, &[proxy]).unwrap().config.way_to_teleport();
    let destination = |network: &str| load(network, &[proxy]).unwrap().config.teleport_destination();
    assert_eq!(way(""), None);
    assert_eq!(way("proxy_for_teleport = false"), None);
    assert_eq!(destination("ca_file = \"ca.pem\"").outbound.proxies, Proxies::default());
    assert_eq!(destination("ca_file = \"ca.pem\"").outbound.extra_roots.len(), 1);
    let through = "through the proxy proxy:3128 (HTTPS_PROXY)";
    assert_eq!(way("proxy_for_teleport = true").as_deref(), Some(through));
    let exempt = "directly, because the entry a:3025 exempts it from the proxy";
    assert_eq!(way("proxy_for_teleport = true\nno_proxy = \"a:3025\"").as_deref(), Some(exempt));
    // What is for `http://` alone leads to no Teleport.
    for variables in [vec![], vec![("HTTP_PROXY", "http://proxy:3128")]] {
        let error = load("proxy_for_teleport = true", &variables).unwrap_err().to_string();
        assert!(error.contains("slack.toml:8: network.proxy_for_teleport: Teleport is to be"), "{error}");
    }
}
