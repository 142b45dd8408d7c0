//! `[review]`: whether users may decide in Slack, which of them, and how Slack's interactions arrive.
//!
//! Checked for form and sense only. `access_core::policy` decides from these values who may decide what.

use std::collections::BTreeMap;

use access_core::domain::ids::SlackUserId;
use access_core::policy::identity::UserMapping;
use access_core::policy::{Approver, ModeSetting, Rules};

use super::http::{self, HttpConfig};
use super::raw::{Entry, Field, TableReader};
use super::report::Report;
use super::rule::rule;
use super::schema;
use super::source::{Source, choice};
use super::token::{self, TokenKind};
use super::users::{self, MappingConfig};
use access_core::domain::secret::Secret;

/// Deciding in Slack, when it is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewConfig {
    /// Which Teleport call carries a decision.
    pub mode: ModeSetting,
    /// Socket Mode or HTTP, with what each needs.
    pub transport: ReviewTransport,
    /// The explicit table: Slack user to Teleport user.
    pub users: BTreeMap<SlackUserId, String>,
    /// The Teleport user trait that holds the Slack id.
    pub slack_user_id_trait: Option<String>,
    /// Whether an e-mail address that equals a Teleport user name identifies the user.
    pub allow_email_username_match: bool,
    /// Whether the case of letters does not matter for that.
    pub ignore_email_case: bool,
    /// Who may approve what, in the order of the file.
    pub rules: Rules,
    /// Whether the file is a 0.x release's, which has no `[review]`: its buttons still work, though not for every user.
    pub is_legacy: bool,
}

/// How interactions arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewTransport {
    /// Over a WebSocket that the daemon opens.
    SocketMode {
        /// The app-level token, `xapp-…`.
        app_token: Secret,
    },
    /// Slack calls the daemon.
    Http {
        /// What the calls are signed with.
        signing_secret: Secret,
        /// The listener to which Slack sends interactions.
        listener: HttpConfig,
    },
}

impl ReviewConfig {
    /// How Slack users are mapped to Teleport users.
    pub fn user_mapping(&self) -> UserMapping {
        UserMapping {
            explicit: self.users.clone(),
            id_trait: self.slack_user_id_trait.clone(),
            email_match: self.allow_email_username_match,
            ignore_email_case: self.ignore_email_case,
        }
    }

    /// The Teleport users that the rules and the table name; one may come several times.
    pub fn named_users(&self) -> impl Iterator<Item = &String> {
        let approvers = self.rules.0.iter().flat_map(|rule| &rule.approvers);
        let approvers = approvers.filter_map(|approver| match approver {
            Approver::User(name) => Some(name),
            Approver::Group(_) => None,
        });
        approvers.chain(self.users.values())
    }
}

/// What 0.x kept in `[slack]`.
pub(super) struct LegacySlackKeys {
    pub(super) secret: Option<Entry<String>>,
    pub(super) notify_only: Option<Entry<bool>>,
}

/// `[review]`, `[http]` and the 0.x keys together; `None` if deciding in Slack is off or something is wrong.
pub(super) fn review(
    root: &mut TableReader<'_, '_>,
    old: LegacySlackKeys,
    source: &Source<'_>,
) -> Option<ReviewConfig> {
    let (listener, http_line) = http::listener(root, source);
    let mut table = root.section(&schema::REVIEW, "review");
    let is_old_file = table.line().is_none()
        && http_line.is_some()
        && old.secret.is_some()
        && !old.notify_only.as_ref().is_some_and(|only| only.value);
    let enabled = table.flag("enabled");
    let app_token = table.secret("app_token").unless_empty();
    let signing_secret = table.secret("signing_secret").unless_empty();
    let id_trait = users::id_trait(&mut table);
    let email_match = table.flag("allow_email_username_match").given().is_some_and(|entry| entry.value);
    let ignore_email_case = ignore_email_case(&mut table, email_match);
    let mode = mode(&mut table);
    let is_on = is_old_file || enabled.as_given().is_some_and(|entry| entry.value);
    let mapping = MappingConfig {
        explicit: users::users(&mut table),
        id_trait: id_trait.as_given().map(|entry| entry.value.clone()),
        email_match,
        is_needed: is_on && mode != Some(ModeSetting::Reviewer) && !matches!(id_trait, Field::Bad),
    };
    let rules = table.each(&schema::RULE, "rule", |table| rule(table, &mapping));
    let report = table.report();

    let signing = merge_signing_secret(signing_secret, old.secret, is_on, report);
    let is_single_transport = check_transport(&app_token, &signing, http_line, report);
    if is_old_file {
        return legacy_0x(signing, listener, source, report);
    }
    let enabled = match enabled {
        Field::Given(entry) if entry.value => entry,
        _ => {
            warn_unused(http_line.filter(|_| is_single_transport), old.notify_only.as_ref(), report);
            return None;
        }
    };
    if let Some(only) = old.notify_only.filter(|entry| entry.value) {
        let cause = format!("it contradicts `{}` in line {}", enabled.key, enabled.line);
        report.error(Some(only.line), &only.key, cause, "remove notify_only");
    }
    let here = Some(enabled.line);
    if matches!(id_trait, Field::Absent) && !email_match && mapping.explicit.is_empty() {
        let cause = "no user could be recognized: no link from a Slack user to a Teleport user is configured";
        let remedy = "add slack_user_id_trait, [review.users], or allow_email_username_match = true";
        report.error(here, "review", cause, remedy);
    }
    if matches!((&app_token, &signing), (Field::Absent, Field::Absent)) {
        let remedy = "add app_token (Socket Mode), or signing_secret and [http] (callbacks)";
        report.error(here, "review", "there is no way for clicks to arrive", remedy);
    }
    let mut secret = |kind, field: Field<String>| token::resolve(kind, &field.given()?, source, report);
    let app_token = secret(TokenKind::App, app_token);
    let signing_secret = secret(TokenKind::Signing, signing);
    let transport = match (app_token, signing_secret) {
        (Some(app_token), _) => ReviewTransport::SocketMode { app_token },
        (None, Some(signing_secret)) => ReviewTransport::Http { signing_secret, listener: listener? },
        (None, None) => return None,
    };
    Some(ReviewConfig {
        mode: mode?,
        transport,
        users: mapping.explicit,
        slack_user_id_trait: mapping.id_trait,
        allow_email_username_match: email_match,
        ignore_email_case,
        rules: Rules(rules?.into_iter().collect::<Option<_>>()?),
        is_legacy: false,
    })
}

/// What a file of a 0.x release means: callbacks, the e-mail address as the only link, as then, and no rules, so that
/// only suggested reviewers decide where every user could then.
fn legacy_0x(
    signing: Field<String>,
    listener: Option<HttpConfig>,
    source: &Source<'_>,
    report: &mut Report,
) -> Option<ReviewConfig> {
    let signing_secret = token::resolve(TokenKind::Signing, &signing.given()?, source, report);
    Some(ReviewConfig {
        mode: ModeSetting::Resolver,
        transport: ReviewTransport::Http { signing_secret: signing_secret?, listener: listener? },
        users: BTreeMap::new(),
        slack_user_id_trait: None,
        allow_email_username_match: true,
        ignore_email_case: false,
        rules: Rules::default(),
        is_legacy: true,
    })
}

/// Whether interactions arrive in one way at most; two are a mistake.
fn check_transport(
    app_token: &Field<String>,
    signing: &Field<String>,
    http_line: Option<usize>,
    report: &mut Report,
) -> bool {
    let Some(app) = app_token.as_given() else { return true };
    let cause = format!("there is also `{}` in line {}; clicks arrive in one way only", app.key, app.line);
    if let Some(signing) = signing.as_given() {
        let remedy = "choose: app_token for Socket Mode, or the signing secret with [http] for callbacks";
        report.error(Some(signing.line), &signing.key, cause, remedy);
        return false;
    }
    if http_line.is_some() {
        report.error(
            http_line,
            "http",
            cause,
            "choose: remove [http], or use a signing secret for callbacks",
        );
        return false;
    }
    true
}

/// The signing secret from its present place or from 0.x's.
fn merge_signing_secret(
    present: Field<String>,
    old: Option<Entry<String>>,
    is_on: bool,
    report: &mut Report,
) -> Field<String> {
    match (present, old) {
        (present, None) => present,
        (Field::Given(present), Some(old)) => {
            let cause = format!("the same setting is in line {} as `{}`", present.line, present.key);
            report.error(Some(old.line), &old.key, cause, "keep one of them");
            Field::Bad
        }
        (_, Some(old)) => {
            let mut remedy = "write signing_secret under [review]".to_owned();
            if !is_on {
                remedy.push_str("; it has no effect until deciding in Slack is enabled there");
            }
            report.warn(Some(old.line), &old.key, "this is an old name", remedy);
            Field::Given(old)
        }
    }
}

/// Warns of keys that have no effect while deciding in Slack is off.
fn warn_unused(http_line: Option<usize>, notify_only: Option<&Entry<bool>>, report: &mut Report) {
    const ENABLE: &str = "remove it, or enable deciding in Slack under [review]";
    if let Some(line) = http_line {
        report.warn(Some(line), "http", "no callback listener is started: deciding in Slack is off", ENABLE);
    }
    match notify_only {
        Some(only) if !only.value => {
            report.warn(
                Some(only.line),
                &only.key,
                "deciding in Slack is off unless [review] enables it",
                ENABLE,
            );
        }
        Some(only) => {
            let cause = "this is the default now, and the key is gone";
            report.warn(Some(only.line), &only.key, cause, "remove it");
        }
        None => {}
    }
}

fn ignore_email_case(table: &mut TableReader<'_, '_>, email_match: bool) -> bool {
    let ignore = table.flag("ignore_email_case").given().filter(|entry| entry.value);
    if let Some(entry) = ignore.as_ref().filter(|_| !email_match) {
        let remedy = "add allow_email_username_match = true, or remove it";
        table.report().warn(
            Some(entry.line),
            &entry.key,
            "this has no effect: the address is no link",
            remedy,
        );
    }
    ignore.is_some()
}

fn mode(table: &mut TableReader<'_, '_>) -> Option<ModeSetting> {
    const MODES: [(&str, ModeSetting); 3] = [
        ("auto", ModeSetting::Auto),
        ("reviewer", ModeSetting::Reviewer),
        ("resolver", ModeSetting::Resolver),
    ];
    choice(table, "mode", &MODES)
}
