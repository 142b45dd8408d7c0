//! From what was written to a `Config`: the rules for each key, all mistakes reported, none hiding another.
//!
//! `[review]` and `[http]` are in `review.rs` and `http.rs`. Nothing is opened here but token files; whether
//! certificates exist and hosts answer is for the clients to find out.

use access_core::domain::recipients::Recipient;
use access_core::domain::role_pattern::RolePattern;
use teleport_client::{Credentials, TeleportAddr};

use super::address::{ApiUrl, check_host};
use super::diagnostics::diagnostics;
use super::log::{LogConfig, LogFormat, LogOutput, Severity};
use super::modes::{self, Sensitivity, checked_path};
use super::outbound::network;
use super::raw::{Document, Entry, Field, TableReader};
use super::recipient::{cause, remedy, warn_of_mistaken};
use super::report::{Report, quote, quote_whole};
use super::review::{LegacySlackKeys, review};
use super::role::{PatternPosition, role_pattern};
use super::schema;
use super::source::{Source, choice, path_of};
use super::token::{self, TokenKind};
use super::unseen::warn_of_look_alike;
use super::{Examined, Parts, SlackConfig};
use access_core::domain::secret::Secret;

/// All that can be read of a configuration, with every mistake and warning.
pub(super) fn examine(text: &str, source: &Source<'_>) -> Examined {
    let mut report = Report::default();
    let parts = Document::parse(text, &mut report).map_or_else(Parts::default, |document| {
        let mut root = document.root(&mut report);
        build(&mut root, source)
    });
    let log = parts.log.as_ref().map(|log| &log.output);
    modes::warn_of_the_whole(source, log, &mut report);
    let (errors, warnings) = report.finish();
    Examined { parts, errors, warnings }
}

/// Each part has its say.
fn build(root: &mut TableReader<'_, '_>, source: &Source<'_>) -> Parts {
    let (addr, credentials) = teleport(root, source);
    let (slack, old) = slack(root, source);
    let role_to_recipients = role_to_recipients(root);
    let review = review(root, old, source);
    let diagnostics = diagnostics(root, source);
    let network = network(root, source);
    let (log, log_format) = log(root, source);
    if let (Some(slack), Some(roles)) = (&slack, &role_to_recipients) {
        warn_no_recipients(slack, roles, root.report());
    }
    Parts { addr, credentials, slack, role_to_recipients, review, diagnostics, network, log, log_format }
}

fn teleport(
    root: &mut TableReader<'_, '_>,
    source: &Source<'_>,
) -> (Option<TeleportAddr>, Option<Credentials>) {
    let mut table = root.section(&schema::TELEPORT, "teleport");
    let line = table.line();
    let addr = match table.text("addr") {
        Field::Bad => None,
        Field::Absent => {
            let remedy =
                "add the address of the auth server or of a proxy, such as \"auth.example.com:3025\"";
            table.report().error(line, "teleport.addr", "this is missing", remedy);
            None
        }
        Field::Given(entry) => teleport_addr(&entry, table.report()),
    };
    let credentials = credentials(&mut table, source);
    let refresh = table.flag("refresh_identity").given().filter(|entry| !entry.value);
    let interval = table.ignored("refresh_identity_interval").given();
    for (line, key) in refresh
        .map(|entry| (entry.line, entry.key))
        .into_iter()
        .chain(interval.map(|entry| (entry.line, entry.key)))
    {
        let cause = "this has no effect: changed certificate files are noticed within ten seconds";
        table.report().key_warn(Some(line), &key, cause, "remove it");
    }
    (addr, credentials)
}

fn teleport_addr(entry: &Entry<String>, report: &mut Report) -> Option<TeleportAddr> {
    TeleportAddr::parse(&entry.value)
        .and_then(|addr| check_host(addr.host()).map(|()| addr))
        .map_err(|wrong| {
            // An address with `@` may hold a password.
            let shown = if entry.value.contains('@') { "it".to_owned() } else { quote(&entry.value) };
            let remedy = match web_proxy(&entry.value) {
                Some(proxy) => format!("write the same as host and port: \"{proxy}\""),
                None => {
                    "write host:port, such as \"auth.example.com:3025\" or \"[2001:db8::1]:3025\"".to_owned()
                }
            };
            report.error(Some(entry.line), &entry.key, format!("{shown} is no address: {wrong}"), remedy);
        })
        .ok()
}

/// The proxy whose web page this address names: without a port, 443 is meant there.
fn web_proxy(address: &str) -> Option<TeleportAddr> {
    let rest = address.trim().strip_prefix("https://")?;
    let named = rest.split('/').next().filter(|named| !named.contains('@'))?;
    // An IPv6 address ends with a bracket.
    let has_port = named.rsplit_once(':').is_some_and(|(_, port)| !port.ends_with(']'));
    let with_port = if has_port { named.to_owned() } else { format!("{named}:443") };
    TeleportAddr::parse(&with_port).ok()
}

/// Either the identity file or all three of the others.
fn credentials(table: &mut TableReader<'_, '_>, source: &Source<'_>) -> Option<Credentials> {
    const NAMES: [&str; 3] = ["client_key", "client_crt", "root_cas"];
    let line = table.line();
    let identity = table.text("identity").unless_empty();
    let files = NAMES.map(|name| table.text(name).unless_empty());
    let report = table.report();
    let first = files.iter().find_map(Field::as_given);
    match (&identity, first) {
        (Field::Given(identity), Some(other)) => {
            let cause = format!("`{}` in line {} is given as well", other.key, other.line);
            let remedy = "keep either identity, or client_key, client_crt and root_cas";
            report.error(Some(identity.line), &identity.key, cause, remedy);
            return None;
        }
        (Field::Given(identity), None) => {
            return Some(Credentials::Identity(checked_path(Sensitivity::Secret, identity, source, report)));
        }
        (Field::Bad, _) => return None,
        (Field::Absent, _) => {}
    }
    let missing: Vec<_> = NAMES
        .into_iter()
        .zip(&files)
        .filter(|(_, file)| matches!(file, Field::Absent))
        .map(|(name, _)| name)
        .collect();
    if missing.len() == NAMES.len() {
        let remedy = "add identity (tctl auth sign --format=file), or client_key, client_crt and root_cas \
                      (tctl auth sign --format=tls)";
        report.error(line, "teleport", "there are no credentials", remedy);
        return None;
    }
    if let (Some(first), false) = (first, missing.is_empty()) {
        let cause = format!("{} must come with it", missing.join(" and "));
        let remedy = "tctl auth sign --format=tls writes three files: .key, .crt and .cas";
        report.error(Some(first.line), &first.key, cause, remedy);
    }
    let mut held = [Sensitivity::Secret, Sensitivity::Integrity, Sensitivity::Integrity].into_iter();
    let [key, crt, cas] = files.map(|file| {
        let held = held.next().unwrap_or(Sensitivity::Secret);
        file.given().map(|entry| checked_path(held, &entry, source, report))
    });
    Some(Credentials::Files { client_key: key?, client_crt: crt?, root_cas: cas? })
}

fn slack(root: &mut TableReader<'_, '_>, source: &Source<'_>) -> (Option<SlackConfig>, LegacySlackKeys) {
    let mut table = root.section(&schema::SLACK, "slack");
    let line = table.line();
    let token = match table.secret("token") {
        Field::Bad => None,
        Field::Absent if source.without_secrets => Some(Secret::new("")),
        Field::Absent => {
            let remedy =
                "add the \"Bot User OAuth Token\" (xoxb-…), or the absolute path of a file that holds it";
            table.report().error(line, "slack.token", "this is missing", remedy);
            None
        }
        Field::Given(entry) => token::resolve(TokenKind::Bot, &entry, source, table.report()),
    };
    let mut listed = table.texts("recipients").given().map(|entry| entry.value).unwrap_or_default();
    if let Some(channel) = table.text("channel").unless_empty().given() {
        let remedy = "write it as recipients = [\"…\"]";
        table.report().key_warn(Some(channel.line), &channel.key, "this is an old name", remedy);
        listed.push(channel);
    }
    let recipients = recipients(listed, table.report());
    let api_url = match table.text("api_url").unless_empty() {
        Field::Bad => None,
        Field::Absent => Some(ApiUrl::default()),
        Field::Given(entry) => ApiUrl::parse(&entry.value)
            .map_err(|wrong| {
                let remedy = "write it as \"https://slack.com/api/\" (GovSlack: \"https://slack-gov.com/api/\"), \
                              or leave it out";
                table.report().error(Some(entry.line), &entry.key, format!("this does not work: {wrong}"), remedy);
            })
            .ok(),
    };
    let old = LegacySlackKeys {
        secret: table.secret("secret").unless_empty().given(),
        notify_only: table.flag("notify_only").given(),
    };
    let slack = token.zip(api_url).map(|(token, api_url)| SlackConfig { token, recipients, api_url });
    (slack, old)
}

/// Checks each and leaves out what came before.
fn recipients(listed: Vec<Entry<String>>, report: &mut Report) -> Vec<Recipient> {
    let mut out: Vec<Recipient> = Vec::new();
    for entry in listed {
        let line = Some(entry.line);
        match Recipient::parse(&entry.value) {
            Ok(recipient) if out.contains(&recipient) => {
                let cause = format!("{} is in the list already", quote(&entry.value));
                report.warn(line, &entry.key, cause, "remove one of them");
            }
            Ok(recipient) => {
                warn_of_look_alike(report, entry.line, &entry.key, &entry.value);
                warn_of_mistaken(&recipient, &entry.value, entry.line, &entry.key, report);
                out.push(recipient);
            }
            Err(problem) if entry.value.is_empty() => {
                report.error(line, &entry.key, problem.to_string(), remedy(problem, &entry.value));
            }
            Err(problem) => {
                let cause = format!("{}: {}", quote(&entry.value), cause(problem, &entry.value));
                report.error(line, &entry.key, cause, remedy(problem, &entry.value));
            }
        }
    }
    out
}

fn role_to_recipients(root: &mut TableReader<'_, '_>) -> Option<Vec<(RolePattern, Vec<Recipient>)>> {
    let entries = match root.free_table("role_to_recipients") {
        Field::Absent => return Some(Vec::new()),
        Field::Bad => return None,
        Field::Given(entry) => entry.value,
    };
    let report = root.report();
    let mut by_role = Vec::new();
    for entry in entries {
        let (key, line) = (&entry.texts.key, entry.texts.line);
        let role = role_pattern(&entry.name, PatternPosition::Key, line, key, report);
        if entry.texts.value.is_empty() {
            let remedy = "name at least one recipient, or remove the line so that \"*\" applies";
            report.error(Some(line), key, "this list is empty", remedy);
        }
        let recipients = recipients(entry.texts.value, report);
        by_role.extend(role.map(|role| (role, recipients)));
    }
    Some(by_role)
}

/// Warns if requests would have no recipients, though suggested reviewers still get them.
fn warn_no_recipients(slack: &SlackConfig, roles: &[(RolePattern, Vec<Recipient>)], report: &mut Report) {
    let may_be_more = ["slack.recipients", "slack.channel", "role_to_recipients"]
        .iter()
        .any(|key| report.has_error_in(key));
    if may_be_more || !slack.recipients.is_empty() || roles.iter().any(|(role, _)| role.as_str() == "*") {
        return;
    }
    let remedy = "add slack.recipients, or \"*\" under [role_to_recipients]";
    if roles.is_empty() {
        let cause = "there are no recipients: only the reviewers that a request suggests are notified";
        report.warn(None, "slack.recipients", cause, remedy);
    } else {
        let cause = "of requests for roles that are not listed only suggested reviewers are notified";
        report.warn(None, "role_to_recipients", cause, remedy);
    }
}

fn log(root: &mut TableReader<'_, '_>, source: &Source<'_>) -> (Option<LogConfig>, Option<LogFormat>) {
    const SEVERITIES: [(&str, Severity); 6] = [
        ("DEBUG", Severity::Debug),
        ("INFO", Severity::Info),
        ("WARN", Severity::Warn),
        ("WARNING", Severity::Warn),
        ("ERROR", Severity::Error),
        ("ERR", Severity::Error),
    ];
    // The shorter ones are the Go plugin's.
    const STDOUT: [&str; 3] = ["stdout", "out", "1"];
    const STDERR: [&str; 3] = ["stderr", "error", "2"];
    const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let mut table = root.section(&schema::LOG, "log");
    let output = match table.text("output").unless_empty() {
        Field::Absent => Some(LogOutput::Stderr),
        Field::Bad => None,
        Field::Given(entry) if STDOUT.contains(&&*entry.value) => Some(LogOutput::Stdout),
        Field::Given(entry) if STDERR.contains(&&*entry.value) => Some(LogOutput::Stderr),
        // A bare word is far more often a slip than a file next to the configuration.
        Field::Given(entry) if !entry.value.contains('/') => {
            let cause = format!("{} is neither stdout, stderr nor a path", quote(&entry.value));
            let beside =
                quote_whole(&format!("./{}", entry.value)).unwrap_or_else(|| "\"./slack.log\"".to_owned());
            let meant = entry.value.trim().to_lowercase();
            let remedy = match [STDOUT, STDERR].concat().contains(&meant.as_str()) {
                true => format!("write {}", quote(&meant)),
                false => format!("write \"stdout\", \"stderr\", or {beside} for a file beside this one"),
            };
            table.report().error(Some(entry.line), &entry.key, cause, remedy);
            None
        }
        Field::Given(entry) => Some(LogOutput::File(path_of(&entry, source))),
    };
    let severity = choice(&mut table, "severity", &SEVERITIES);
    let format = choice(&mut table, "format", &FORMATS);
    let log = output.zip(severity).zip(format);
    (log.map(|((output, severity), format)| LogConfig { output, severity, format }), format)
}
