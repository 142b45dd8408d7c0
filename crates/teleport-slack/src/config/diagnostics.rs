//! `[diagnostics]`: where health, metrics and the state of the daemon are served, and which callers may see the last of them.

use std::net::SocketAddr;

use super::network::Network;
use super::raw::{Entry, Field, TableReader};
use super::report::{Report, quote};
use super::schema;
use super::source::{Source, listen_addr};
use super::token::{self, TokenKind};
use super::unseen::report_unseen;
use access_core::domain::secret::Secret;

/// The diagnostics listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiagnosticsConfig {
    /// The address on which it listens.
    pub listen_addr: SocketAddr,
    /// Who may ask for the state of the daemon.
    pub access: StatusAccess,
}

/// Who may ask for the state of the daemon, beside this machine itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StatusAccess {
    /// Callers from these networks.
    pub allow: Vec<Network>,
    /// Callers who present this token, from anywhere.
    pub token: Option<Secret>,
}

/// The listener; `None` if something in it is wrong, `Some(None)` if it is off.
pub(super) fn diagnostics(
    root: &mut TableReader<'_, '_>,
    source: &Source<'_>,
) -> Option<Option<DiagnosticsConfig>> {
    let mut table = root.section(&schema::DIAGNOSTICS, "diagnostics");
    let listen = table.text("listen_addr").unless_empty();
    let allow = table.texts("allow");
    let token = table.secret("token").unless_empty();
    let report = table.report();
    if matches!(listen, Field::Absent) {
        let unused = [allow.as_given().map(|e| (e.line, &e.key)), token.as_given().map(|e| (e.line, &e.key))];
        for (line, key) in unused.into_iter().flatten() {
            let cause = "this has no effect: nothing listens";
            report.warn(Some(line), key, cause, "add listen_addr, such as \"127.0.0.1:9091\", or remove it");
        }
    }
    let allow = match allow {
        Field::Absent => Some(Vec::new()),
        Field::Bad => None,
        Field::Given(entry) => networks(entry.value, report),
    };
    let token = match token {
        Field::Absent => Some(None),
        Field::Bad => None,
        Field::Given(entry) => token::resolve(TokenKind::Diagnostics, &entry, source, report).map(Some),
    };
    let listen_addr = match listen {
        Field::Absent => return allow.and(token).map(|_| None),
        Field::Bad => return None,
        Field::Given(entry) => listen_addr(&entry, report)?,
    };
    Some(Some(DiagnosticsConfig { listen_addr, access: StatusAccess { allow: allow?, token: token? } }))
}

/// `None` if any of them is wrong; each mistake is reported.
fn networks(listed: Vec<Entry<String>>, report: &mut Report) -> Option<Vec<Network>> {
    let mut networks = Vec::new();
    let mut is_sound = true;
    for entry in listed {
        let line = Some(entry.line);
        if report_unseen(report, entry.line, &entry.key, &entry.value) {
            is_sound = false;
            continue;
        }
        match Network::parse(&entry.value) {
            Ok(network) if networks.contains(&network) => {
                let cause = format!("{} is in the list already", quote(&entry.value));
                report.warn(line, &entry.key, cause, "remove one of them");
            }
            Ok(network) => {
                if network.is_everyone() {
                    let cause = format!(
                        "{} lets every machine that reaches the port see the state of the daemon",
                        quote(&entry.value)
                    );
                    report.warn(line, &entry.key, cause, "name the networks of your operators, or use token");
                }
                networks.push(network);
            }
            Err((cause, remedy)) => {
                report.error(
                    line,
                    &entry.key,
                    format!("{} does not work: {cause}", quote(&entry.value)),
                    remedy,
                );
                is_sound = false;
            }
        }
    }
    is_sound.then_some(networks)
}
