//! What the configuration and the files that it names show, without a call to either side.

use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::access::{self, Accounts, SecretFile};
use super::certificates::{self, IdentityFacts};
use super::explained::{Explained, item, split_remedy};
use super::report::{Item, ItemId, REMEDY_ABOVE};
use super::{placeholders, rules};
use crate::causes::Exit;
use crate::config::{
    self, Config, ConfigError, ConfiguredIdentityError, Diagnostic, Examined, LogOutput, ReviewConfig,
    ReviewTransport, Topic,
};
use crate::exit;
use crate::http::certificates::{self as callback, CertificateError};
use crate::observe;
use access_core::domain::recipients;
use client_base::certificate::CertificateFacts;
use teleport_client::identity::Identity;

/// What the disk shows.
#[derive(Debug)]
pub struct Facts {
    path: PathBuf,
    examined: Result<Examined, ConfigError>,
    /// Callbacks may arrive without TLS.
    insecure_no_tls: bool,
    /// The files that hold secrets, with what others may do to them.
    secret_files: Vec<SecretFile>,
    accounts: Accounts,
    /// `None` if the configuration does not say where it is.
    identity: Option<Result<IdentityFacts, Explained>>,
    /// `None` if the callback listener has no certificate. Inside, `None` if it cannot be read though TLS takes it.
    callback: Option<Result<Option<CertificateFacts>, CertificateError>>,
    /// `None` if the log is no file.
    log_file: Option<Result<(), Explained>>,
}

impl Facts {
    /// Reads the configuration and every file that it names. Blocks.
    pub fn gather(path: &Path, insecure_no_tls: bool, now: Timestamp) -> Self {
        let examined = config::examine(path);
        let parts = examined.as_ref().map(|examined| examined.parts.clone()).unwrap_or_default();
        let identity = parts.credentials.as_ref().map(|credentials| {
            Identity::load(credentials, now)
                .map(|identity| IdentityFacts::from(&identity))
                .map_err(|error| split_remedy(&ConfiguredIdentityError(error)))
        });
        let files = parts.review.as_ref().and_then(|review| match &review.transport {
            ReviewTransport::Http { listener, .. } => listener.tls.as_ref(),
            ReviewTransport::SocketMode { .. } => None,
        });
        let log_file = match parts.log.as_ref().map(|log| &log.output) {
            Some(LogOutput::File(path)) => {
                Some(observe::try_file(path).map_err(|error| split_remedy(&error)))
            }
            _ => None,
        };
        Self {
            path: path.to_owned(),
            insecure_no_tls,
            secret_files: access::secret_files(path, &parts),
            accounts: Accounts::of_system(),
            identity,
            callback: files.map(|files| callback::read(files).map(|pair| pair.facts)),
            log_file,
            examined,
        }
    }

    /// The configuration, if it is valid.
    pub fn config(&self) -> Option<Config> {
        let examined = self.examined.as_ref().ok()?.clone();
        examined.into_loaded(&self.path).ok().map(|loaded| loaded.config)
    }

    /// Why there is no configuration with which both sides could be asked.
    pub fn obstacle(&self) -> (Exit, &'static str) {
        match &self.examined {
            Err(error) => (exit::of_config(error), "the configuration cannot be read"),
            Ok(examined) if examined.errors.are_of_named_files() => {
                (Exit::Credentials, examined.errors.summary())
            }
            Ok(examined) => (Exit::Configuration, examined.errors.summary()),
        }
    }

    /// The items, in the order of the document.
    pub fn items(&self, now: Timestamp) -> Vec<Item> {
        let examined = match &self.examined {
            Ok(examined) => examined,
            Err(error) => return vec![unreadable(&self.path, error)],
        };
        let parts = &examined.parts;
        let mut items = vec![Item::ok(ItemId::ConfigFile, format!("{} can be read", self.path.display()))];
        items.extend(diagnostics(examined));
        items.extend(access::items(&self.path, &self.secret_files, &self.accounts, &examined.warnings));
        let untouched = placeholders::items(parts);
        let is_touched = untouched.is_empty() && !is_unparsed(examined);
        if is_unparsed(examined) {
            items.extend(
                [ItemId::FileAccess, ItemId::Placeholders].map(|id| unknown(examined, id, "the file")),
            );
        }
        items.extend(untouched);
        items.extend(
            is_touched.then(|| Item::ok(ItemId::Placeholders, "nothing is left of the example's values")),
        );
        items.push(self.log_item(examined));
        items.push(match &self.identity {
            Some(found) => certificates::identity_item(found.as_ref(), now),
            None => unknown(examined, ItemId::Identity, "[teleport]"),
        });
        items.extend(self.callback_items(examined, now));
        items.extend(self.rule_items(examined));
        items
    }

    fn log_item(&self, examined: &Examined) -> Item {
        match (&self.log_file, examined.parts.log.as_ref().map(|log| &log.output)) {
            (_, None) => unknown(examined, ItemId::LogFile, "[log]"),
            (Some(Err(error)), Some(_)) => {
                Item::failed(ItemId::LogFile, Exit::Credentials, "", &error.cause, &error.remedy)
                    .of("log.output")
            }
            (_, Some(LogOutput::File(path))) => {
                Item::ok(ItemId::LogFile, format!("{} can be written", path.display()))
            }
            (_, Some(LogOutput::Stdout)) => Item::ok(ItemId::LogFile, "the log is standard output"),
            (_, Some(LogOutput::Stderr)) => Item::ok(ItemId::LogFile, "the log is standard error"),
        }
    }

    fn callback_items(&self, examined: &Examined, now: Timestamp) -> Vec<Item> {
        let transport = examined.parts.review.as_ref().map(|review| &review.transport);
        match transport {
            None if review_is_unknown(examined) => {
                vec![unknown(examined, ItemId::CallbackTls, "[review] and [http]")]
            }
            None => vec![Item::ok(ItemId::CallbackTls, "no certificate is needed: deciding in Slack is off")],
            Some(ReviewTransport::SocketMode { .. }) => {
                vec![Item::ok(
                    ItemId::CallbackTls,
                    "no certificate is needed: clicks arrive over Socket Mode",
                )]
            }
            Some(ReviewTransport::Http { listener, .. }) => match &self.callback {
                Some(found) => {
                    certificates::callback_items(found.as_ref(), listener.public_addr.as_deref(), now)
                }
                None => vec![certificates::no_tls_item(self.insecure_no_tls)],
            },
        }
    }

    fn rule_items(&self, examined: &Examined) -> Vec<Item> {
        let parts = &examined.parts;
        let mut items = Vec::new();
        match (&parts.slack, &parts.role_to_recipients) {
            (slack, Some(by_role)) => {
                let always = slack.as_ref().map(|slack| slack.recipients.clone()).unwrap_or_default();
                let found =
                    rules::notification_items(&recipients::Rules { always, by_role: by_role.clone() });
                let sound = || Item::ok(ItemId::NotificationRules, "every entry can apply to some role");
                items.extend(or_else(found, sound));
            }
            (_, None) => items.push(unknown(examined, ItemId::NotificationRules, "[role_to_recipients]")),
        }
        match &parts.review {
            Some(review) => {
                let found = rules::review_items(review);
                items.extend(or_else(found, || rules::sound_item(review)));
            }
            None if review_is_unknown(examined) => {
                items.push(unknown(examined, ItemId::ReviewRules, "[review]"))
            }
            None => items.push(Item::ok(ItemId::ReviewRules, "not needed: deciding in Slack is off")),
        }
        items.push(match (&parts.slack, &parts.role_to_recipients) {
            (Some(slack), Some(by_role)) if !review_is_unknown(examined) => {
                let rules = recipients::Rules { always: slack.recipients.clone(), by_role: by_role.clone() };
                Item::ok(ItemId::InForce, in_force(&rules, parts.review.as_ref()))
            }
            _ => unknown(examined, ItemId::InForce, "the configuration"),
        });
        items
    }
}

fn or_else(found: Vec<Item>, sound: impl FnOnce() -> Item) -> Vec<Item> {
    if found.is_empty() { vec![sound()] } else { found }
}

/// What could not be looked at, because this part of the configuration is not valid or needs a file that cannot be used.
fn unknown(examined: &Examined, id: ItemId, part: &str) -> Item {
    if examined.errors.are_of_named_files() {
        let cause = format!("{}, so this is not known", examined.errors.summary());
        return Item::not_looked_at(id, Exit::Credentials, cause, REMEDY_ABOVE);
    }
    let cause = format!("there are mistakes in {part}, so what it says is not known");
    Item::not_looked_at(id, Exit::Configuration, cause, "correct the mistakes above, and check again")
}

/// The file has no TOML in it that could be read.
fn is_unparsed(examined: &Examined) -> bool {
    examined.errors.as_slice().iter().any(|error| error.key.is_empty())
}

/// Whether deciding in Slack may be on or off.
fn review_is_unknown(examined: &Examined) -> bool {
    let concerns = |key: &str| key.is_empty() || key.starts_with("review") || key.starts_with("http");
    examined.parts.review.is_none() && examined.errors.as_slice().iter().any(|error| concerns(&error.key))
}

fn unreadable(path: &Path, error: &ConfigError) -> Item {
    let Explained { cause, remedy } = split_remedy(error);
    Item::failed(ItemId::ConfigFile, exit::of_config(error), "", cause, remedy).of(path.display().to_string())
}

/// The mistakes and warnings of the file, and a line for each kind of which there are none.
fn diagnostics(examined: &Examined) -> Vec<Item> {
    let mut items = Vec::new();
    for (topic, id, sound) in [
        (Topic::Keys, ItemId::ConfigKeys, "every key is known"),
        (Topic::Values, ItemId::ConfigValues, "every value can be used"),
        (Topic::NamedFile, ItemId::SecretFiles, "every token and secret that stands in a file could be read"),
    ] {
        let of_topic = |found: &&Diagnostic| found.topic == topic;
        let errors = examined.errors.as_slice().iter().filter(of_topic).map(|error| item(id, error, true));
        let warnings = examined.warnings.iter().filter(of_topic).map(|warning| item(id, warning, false));
        let found: Vec<_> = errors.chain(warnings).collect();
        items.extend(match is_unparsed(examined) && topic != Topic::Keys {
            true => vec![unknown(examined, id, "the file")],
            false => or_else(found, || Item::ok(id, sound)),
        });
    }
    items
}

/// Who is notified and how users decide, in one line.
fn in_force(rules: &recipients::Rules, review: Option<&ReviewConfig>) -> String {
    let count = |number: usize, one: &str, many: &str| match number {
        1 => format!("1 {one}"),
        number => format!("{number} {many}"),
    };
    let named: std::collections::BTreeSet<_> = rules.named().map(recipients::Recipient::key).collect();
    let recipients = count(named.len(), "recipient", "recipients");
    let roles = count(rules.by_role.len(), "role mapped", "roles mapped");
    let deciding = match review {
        None => "deciding in Slack is off".to_owned(),
        Some(review) => {
            let rules = count(review.rules.0.len(), "rule", "rules");
            let transport = match &review.transport {
                ReviewTransport::SocketMode { .. } => "Socket Mode",
                ReviewTransport::Http { .. } => "HTTP callbacks",
            };
            format!("{rules}, {transport}")
        }
    };
    format!("{recipients}, {roles}, {deciding}")
}

#[cfg(test)]
mod tests;
