//! `[network]`, and the variables of the environment that it replaces: the way out of this machine.
//!
//! A key of the table counts before its variable. Of a variable in both cases the one in capitals counts, unless it is empty,
//! as for programs in Go. An address of a proxy is a secret: no message shows any part of it but host and port.

use std::path::{Path, PathBuf};

use access_core::domain::unseen::Unseen;
use client_base::forward_proxy::{NoProxy, Proxies, Proxy};
use client_base::outbound::Outbound;
use client_base::tls;

use super::modes::{self, Sensitivity, checked_path};
use super::raw::{Entry, Field, TableReader};
use super::report::{Report, quote};
use super::schema;
use super::source::Source;
use super::token::{unreadable_remedy, value_in};
use super::unseen::report_unseen;
use crate::secret_shape::may_be_shown;

/// The table `[network]`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkConfig {
    /// Proxies and further authorities, for every call to Slack.
    pub outbound: Outbound,
    /// Whether the proxies are for Teleport too.
    pub proxy_for_teleport: bool,
    /// The files that the table names, whose contents stand above.
    pub(crate) files: Vec<(PathBuf, Sensitivity)>,
}

const PROXY_REMEDY: &str = "write http://host:port, or http://user:password@host:port";

/// The table, the environment, and the files that they name.
pub(super) fn network(root: &mut TableReader<'_, '_>, source: &Source<'_>) -> Option<NetworkConfig> {
    let mut table = root.section(&schema::NETWORK, "network");
    let proxy = table.secret("proxy").unless_empty();
    let no_proxy = table.texts("no_proxy");
    let ca_file = table.text("ca_file").unless_empty();
    let proxy_for_teleport = table.flag("proxy_for_teleport");
    let report = table.report();
    if source.without_secrets {
        return Some(NetworkConfig::default());
    }
    let mut files = Vec::new();
    let no_proxy = match no_proxy {
        Field::Bad => None,
        Field::Given(entry) if entry.value.iter().any(|entry| !entry.value.trim().is_empty()) => {
            exempt_hosts(&entry.value, report)
        }
        Field::Given(_) | Field::Absent => Some(exempt_by_environment(source, report)),
    };
    let proxies = match proxy {
        Field::Bad => None,
        Field::Given(entry) => {
            if entry.value.starts_with('/') {
                files.push((PathBuf::from(&entry.value), Sensitivity::Secret));
            }
            configured_proxy(&entry, source, report).map(|proxy| (Some(proxy.clone()), Some(proxy)))
        }
        Field::Absent => proxies_by_environment(source, report),
    };
    let extra_roots = match ca_file {
        Field::Bad => None,
        Field::Absent => Some(Vec::new()),
        Field::Given(entry) => {
            let path = checked_path(Sensitivity::Integrity, &entry, source, report);
            let found = authorities(&entry, &path, source, report);
            files.push((path, Sensitivity::Integrity));
            found
        }
    };
    let ((https, http), no_proxy) = (proxies?, no_proxy?);
    let proxy_for_teleport = match proxy_for_teleport {
        Field::Bad => return None,
        Field::Given(Entry { value: true, key, line }) if https.is_none() => {
            let cause = "Teleport is to be reached through a proxy, and none is set";
            report.error(Some(line), &key, cause, "set network.proxy or HTTPS_PROXY, or delete this key");
            return None;
        }
        Field::Given(entry) => entry.value,
        Field::Absent => false,
    };
    let proxies = Proxies { https, http, no_proxy };
    let outbound = Outbound { proxies, extra_roots: extra_roots?, ..Outbound::default() };
    Some(NetworkConfig { outbound, proxy_for_teleport, files })
}

/// The proxy that the key holds, or that the file named by it holds.
fn configured_proxy(entry: &Entry<String>, source: &Source<'_>, report: &mut Report) -> Option<Proxy> {
    const KEY: &str = "network.proxy";
    let line = Some(entry.line);
    if report_unseen_sign(entry, report) {
        return None;
    }
    if !entry.value.starts_with('/') {
        return match Proxy::parse(&entry.value, KEY) {
            Ok(proxy) => {
                if proxy.has_credentials() {
                    report.note_secret(&entry.key);
                }
                Some(proxy)
            }
            Err(reason) => {
                let remedy = format!("{PROXY_REMEDY}, or the absolute path of a file that holds it");
                report.error(line, &entry.key, format!("this {reason}"), remedy);
                None
            }
        };
    }
    let (path, shown) = (Path::new(&entry.value), quote(&entry.value));
    match (source.read)(path) {
        Ok(file) => {
            modes::warn_if_open(Sensitivity::Secret, path, file.permissions.as_ref(), entry, report);
            let parsed = Proxy::parse(value_in(file.text.expose()), KEY);
            parsed
                .map_err(|reason| {
                    let cause = format!("what the file {shown} holds {reason}");
                    report.file_error(line, &entry.key, cause, format!("{PROXY_REMEDY}, into this file"));
                })
                .ok()
        }
        Err(error) => {
            let cause = format!("cannot read the file {shown}: {error}");
            let want = "the proxy's address: http://host:port, or http://user:password@host:port";
            report.file_error(line, &entry.key, cause, unreadable_remedy(error.kind(), want));
            None
        }
    }
}

/// Whether the address or path has a character that its reader does not see. With a password in it, it is not quoted.
fn report_unseen_sign(entry: &Entry<String>, report: &mut Report) -> bool {
    match Unseen::in_text(&entry.value) {
        Some(unseen) if entry.value.contains('@') => {
            let cause = format!("this has what no address has: {unseen}");
            report.error(Some(entry.line), &entry.key, cause, "type it again");
            true
        }
        _ => report_unseen(report, entry.line, &entry.key, &entry.value),
    }
}

/// The certificates of the file.
fn authorities(
    entry: &Entry<String>,
    path: &Path,
    source: &Source<'_>,
    report: &mut Report,
) -> Option<Vec<rustls::pki_types::CertificateDer<'static>>> {
    let shown = quote(&path.display().to_string());
    let (cause, remedy) = match (source.read_certificates)(path) {
        Ok(bytes) => match tls::roots_in(&bytes) {
            Ok(roots) => return Some(roots),
            Err(reason) => {
                let remedy =
                    "name a PEM file with the certificates of the authorities to trust, and nothing else";
                (format!("the file {shown} {reason}"), remedy.to_owned())
            }
        },
        Err(error) => {
            let remedy = match error.kind() {
                std::io::ErrorKind::NotFound => {
                    "correct the path, or put the file there: PEM, with the certificates of the authorities to trust beside the \
                     usual ones; who runs your proxy or firewall has them"
                        .to_owned()
                }
                std::io::ErrorKind::FileTooLarge => "name a PEM file of less than 1 MiB".to_owned(),
                kind => unreadable_remedy(kind, ""),
            };
            (format!("cannot read the file {shown}: {error}"), remedy)
        }
    };
    report.file_error(Some(entry.line), &entry.key, cause, remedy);
    None
}

fn exempt_hosts(entries: &[Entry<String>], report: &mut Report) -> Option<NoProxy> {
    let (mut list, mut is_sound) = (NoProxy::default(), true);
    for entry in entries {
        if report_unseen(report, entry.line, &entry.key, &entry.value) {
            is_sound = false;
            continue;
        }
        for host in NoProxy::split(&entry.value) {
            match list.clone().with(host) {
                Ok(longer) => list = longer,
                Err(reason) => {
                    let cause = format!("the entry {} exempts nothing: {reason}", quote(host));
                    let remedy = "write hosts such as \"example.com\", \"10.0.0.0/8\" or \"host:443\", or \"*\" for all";
                    report.error(Some(entry.line), &entry.key, cause, remedy);
                    is_sound = false;
                }
            }
        }
    }
    is_sound.then_some(list)
}

/// Other programs read this variable too, and some know more kinds of entries: one that cannot be used is no mistake.
fn exempt_by_environment(source: &Source<'_>, report: &mut Report) -> NoProxy {
    let Some((name, value)) = variable(source.environment, "NO_PROXY", report) else {
        return NoProxy::default();
    };
    let mut list = NoProxy::default();
    for host in NoProxy::split(&value) {
        match list.clone().with(host) {
            Ok(longer) => list = longer,
            Err(reason) => {
                let shown = if may_be_shown(host) { quote(host) } else { "of its list".to_owned() };
                let cause =
                    format!("the entry {shown} of this environment variable exempts nothing here: {reason}");
                report.warn(
                    None,
                    name,
                    cause,
                    "set network.no_proxy, which counts instead, or correct the variable",
                );
            }
        }
    }
    list
}

/// For `https` and for `http`; `None` if a variable cannot be used.
fn proxies_by_environment(
    source: &Source<'_>,
    report: &mut Report,
) -> Option<(Option<Proxy>, Option<Proxy>)> {
    let mut is_sound = true;
    // A caller of a CGI program sets this variable by a header `Proxy`.
    let is_unsafe = |name: &str| name == "HTTP_PROXY" && (source.environment)("REQUEST_METHOD").is_some();
    let safe = |name: &str| (source.environment)(name).filter(|_| !is_unsafe(name));
    let mut read = |name, report: &mut Report| {
        let (name, value) = variable(&safe, name, report)?;
        let parsed = Proxy::parse(&value, name);
        parsed
            .map_err(|reason| {
                let remedy = format!(
                    "{PROXY_REMEDY}; or set network.proxy, which counts instead, or unset the variable"
                );
                report.error(None, name, format!("the value of this environment variable {reason}"), remedy);
                is_sound = false;
            })
            .ok()
    };
    let https = read("HTTPS_PROXY", report);
    if is_unsafe("HTTP_PROXY") && (source.environment)("HTTP_PROXY").is_some_and(|value| !value.is_empty()) {
        let cause = "this environment variable is not used, because REQUEST_METHOD is set too: under a web server, its \
                     callers could set it";
        report.warn(None, "HTTP_PROXY", cause, "unset REQUEST_METHOD, or set http_proxy or network.proxy");
    }
    let http = read("HTTP_PROXY", report);
    // Desktops set it for a SOCKS proxy beside the others, which count first.
    let all = if https.is_none() { read("ALL_PROXY", report) } else { None };
    if !is_sound {
        return None;
    }
    let https = https.or_else(|| all.clone());
    if let (Some(http), None) = (&http, &https) {
        let cause = "this environment variable is for http:// alone, and Slack is called by https://, without a proxy";
        report.warn(
            None,
            http.named_by(),
            cause,
            "set HTTPS_PROXY too if Slack is to be reached through the proxy",
        );
    }
    Some((https, http.or(all)))
}

/// A variable and its value, by its name in capitals, or in small letters if that is not set or empty.
fn variable(
    environment: &dyn Fn(&str) -> Option<String>,
    name: &'static str,
    report: &mut Report,
) -> Option<(&'static str, String)> {
    let small = match name {
        "HTTPS_PROXY" => "https_proxy",
        "HTTP_PROXY" => "http_proxy",
        "ALL_PROXY" => "all_proxy",
        _ => "no_proxy",
    };
    let value = |name| environment(name).filter(|value: &String| !value.trim().is_empty());
    match (value(name), value(small)) {
        (Some(capital), Some(other)) if capital != other => {
            let cause = format!("{small} is set too, to something else, and does not count");
            report.warn(None, name, cause, "unset one of them");
            Some((name, capital))
        }
        (Some(value), _) => Some((name, value)),
        (None, value) => value.map(|value| (small, value)),
    }
}
