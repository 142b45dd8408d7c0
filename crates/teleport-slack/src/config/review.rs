//! `[review]`: whether people may decide in Slack, who, and how Slack's clicks arrive.
//!
//! Checked for form and sense only. Who may decide what is carried out elsewhere, from these values.

use std::collections::BTreeMap;

use access_core::identity::Links;
use access_core::ids::SlackUserId;
use access_core::policy::{self, Approver, ModeSetting, Rule, Rules};
use access_core::recipients::is_slack_id;

use super::http::{self, HttpConfig};
use super::raw::{Entry, Field, Reader};
use super::recipient::is_user_id;
use super::report::Report;
use super::schema;
use super::token::{self, Kind};
use super::validate::{Source, choice};
use crate::secret::Secret;

/// More approvals than this is a slip of the pen.
const MAX_APPROVALS: i64 = 100;

/// Deciding in Slack, when it is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewConfig {
    /// Which Teleport call carries a decision.
    pub mode: ReviewMode,
    /// How clicks arrive.
    pub transport: ReviewTransport,
    /// The explicit table: Slack person to Teleport user.
    pub users: BTreeMap<SlackUserId, String>,
    /// The Teleport user trait that holds the Slack id.
    pub slack_user_id_trait: Option<String>,
    /// Whether an e-mail address that equals a Teleport user name identifies the person.
    pub allow_email_username_match: bool,
    /// Who may approve what, in the order of the file.
    pub rules: Vec<ReviewRule>,
    /// Whether the file is a 0.x release's, which has no `[review]`: its buttons work on, though not for everybody.
    pub is_old_file: bool,
}

/// Which Teleport call carries a decision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReviewMode {
    /// `reviewer` where the server accepts it, else `resolver` if there are rules.
    #[default]
    Auto,
    /// A review in the person's name; Teleport judges it.
    Reviewer,
    /// The state is set; the rules judge it.
    Resolver,
}

/// How clicks arrive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewTransport {
    /// Over a WebSocket that the daemon opens.
    SocketMode {
        /// The app-level token.
        app_token: Secret,
    },
    /// Slack calls the daemon.
    Http {
        /// What the calls are signed with.
        signing_secret: Secret,
        /// Where they arrive.
        listener: HttpConfig,
    },
}

/// Who may approve which roles in Slack.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReviewRule {
    /// Roles, `*` standing for any text; never empty.
    pub roles: Vec<String>,
    /// Teleport users, and Slack user groups by id (`S…`); never empty.
    pub approvers: Vec<String>,
    /// Approvals needed: at least 1, at most the number of approvers where no group is among them.
    pub approvals: u32,
    /// Denials needed: at least 1.
    pub denials: u32,
    /// Whether a reason is asked for.
    pub reason: ReasonPolicy,
    /// Whether Slack asks "are you sure?".
    pub confirm: bool,
    /// Whether it is decided in Teleport only; then no buttons are drawn.
    pub teleport_only: bool,
}

impl ReviewConfig {
    /// The rules in the core's words.
    pub fn policy(&self) -> Rules {
        Rules(self.rules.iter().map(ReviewRule::policy).collect())
    }

    /// How Slack people are linked to Teleport users.
    pub fn links(&self) -> Links {
        Links {
            table: self.users.clone(),
            id_trait: self.slack_user_id_trait.clone(),
            email_match: self.allow_email_username_match,
        }
    }
}

impl ReviewRule {
    fn policy(&self) -> Rule {
        let approver = |name: &String| {
            if is_group(name) { Approver::Group(name.clone()) } else { Approver::User(name.clone()) }
        };
        Rule {
            roles: self.roles.clone(),
            approvers: self.approvers.iter().map(approver).collect(),
            approvals: self.approvals,
            denials: self.denials,
            reason: match self.reason {
                ReasonPolicy::Optional => policy::ReasonPolicy::Optional,
                ReasonPolicy::Required => policy::ReasonPolicy::Required,
                ReasonPolicy::Off => policy::ReasonPolicy::Off,
            },
            confirm: self.confirm,
            teleport_only: self.teleport_only,
        }
    }
}

impl From<ReviewMode> for ModeSetting {
    fn from(mode: ReviewMode) -> Self {
        match mode {
            ReviewMode::Auto => Self::Auto,
            ReviewMode::Reviewer => Self::Reviewer,
            ReviewMode::Resolver => Self::Resolver,
        }
    }
}

/// A Slack user group's id. Teleport user names in capitals with a digit and nothing else are not known.
fn is_group(name: &str) -> bool {
    is_slack_id(name, &['S']) && name.bytes().any(|byte| byte.is_ascii_digit())
}

/// Whether a decision in Slack carries a reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReasonPolicy {
    /// Asked for, may be left out.
    #[default]
    Optional,
    /// Without one nothing is decided.
    Required,
    /// Not asked for.
    Off,
}

/// What 0.x kept in `[slack]`.
pub(super) struct OldSlackKeys {
    pub(super) secret: Option<Entry<String>>,
    pub(super) notify_only: Option<Entry<bool>>,
}

/// `[review]`, `[http]` and the 0.x keys together; `None` if deciding in Slack is off or something is wrong.
pub(super) fn review(
    root: &mut Reader<'_, '_>,
    old: OldSlackKeys,
    source: &Source<'_>,
) -> Option<ReviewConfig> {
    let (listener, http_line) = http::listener(root, source);
    let mut table = root.section(&schema::REVIEW, "review");
    let is_old_file = table.line().is_none()
        && http_line.is_some()
        && old.secret.is_some()
        && !old.notify_only.as_ref().is_some_and(|only| only.value);
    let enabled = table.flag("enabled");
    let app_token = table.text("app_token").unless_empty();
    let signing_secret = table.text("signing_secret").unless_empty();
    let id_trait = table.text("slack_user_id_trait").unless_empty();
    let email_match = table.flag("allow_email_username_match").given().is_some_and(|entry| entry.value);
    let mode = mode(&mut table);
    let users = users(&mut table);
    let rules = table.each(&schema::RULE, "rule", rule);
    let report = table.report();

    let is_on = is_old_file || enabled.as_given().is_some_and(|entry| entry.value);
    let signing = signing(signing_secret, old.secret, is_on, report);
    let one_way = one_way(&app_token, &signing, http_line, report);
    if is_old_file {
        return old_file(signing, listener, source, report);
    }
    let enabled = match enabled {
        Field::Given(entry) if entry.value => entry,
        _ => {
            unused(http_line.filter(|_| one_way), old.notify_only.as_ref(), report);
            return None;
        }
    };
    if let Some(only) = old.notify_only.filter(|entry| entry.value) {
        let cause = format!("it contradicts `{}` in line {}", enabled.key, enabled.line);
        report.error(Some(only.line), &only.key, cause, "remove notify_only");
    }
    let here = Some(enabled.line);
    if matches!(id_trait, Field::Absent) && !email_match && users.is_empty() {
        let cause = "nobody could be recognised: no way from a Slack person to a Teleport user is configured";
        let remedy = "add slack_user_id_trait, [review.users], or allow_email_username_match = true";
        report.error(here, "review", cause, remedy);
    }
    if matches!((&app_token, &signing), (Field::Absent, Field::Absent)) {
        let remedy = "add app_token (Socket Mode), or signing_secret and [http] (callbacks)";
        report.error(here, "review", "there is no way for clicks to arrive", remedy);
    }
    let mut secret = |kind, field: Field<String>| token::resolve(kind, &field.given()?, source.read, report);
    let app_token = secret(Kind::App, app_token);
    let signing_secret = secret(Kind::Signing, signing);
    let transport = match (app_token, signing_secret) {
        (Some(app_token), _) => ReviewTransport::SocketMode { app_token },
        (None, Some(signing_secret)) => ReviewTransport::Http { signing_secret, listener: listener? },
        (None, None) => return None,
    };
    Some(ReviewConfig {
        mode: mode?,
        transport,
        users,
        slack_user_id_trait: id_trait.given().map(|entry| entry.value),
        allow_email_username_match: email_match,
        rules: rules.into_iter().collect::<Option<_>>()?,
        is_old_file: false,
    })
}

/// What a file of a 0.x release means: callbacks, the e-mail address as the only link, as then, and no rules, so that
/// only suggested reviewers decide where then everybody did.
fn old_file(
    signing: Field<String>,
    listener: Option<HttpConfig>,
    source: &Source<'_>,
    report: &mut Report,
) -> Option<ReviewConfig> {
    let signing_secret = token::resolve(Kind::Signing, &signing.given()?, source.read, report);
    Some(ReviewConfig {
        mode: ReviewMode::Resolver,
        transport: ReviewTransport::Http { signing_secret: signing_secret?, listener: listener? },
        users: BTreeMap::new(),
        slack_user_id_trait: None,
        allow_email_username_match: true,
        rules: Vec::new(),
        is_old_file: true,
    })
}

/// Whether clicks arrive in one way at most; two are a mistake.
fn one_way(
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
fn signing(
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

/// With deciding in Slack off, what only serves it deserves a word.
fn unused(http_line: Option<usize>, notify_only: Option<&Entry<bool>>, report: &mut Report) {
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

fn mode(table: &mut Reader<'_, '_>) -> Option<ReviewMode> {
    const MODES: [(&str, ReviewMode); 3] =
        [("auto", ReviewMode::Auto), ("reviewer", ReviewMode::Reviewer), ("resolver", ReviewMode::Resolver)];
    choice(table, "mode", &MODES)
}

fn users(table: &mut Reader<'_, '_>) -> BTreeMap<SlackUserId, String> {
    let entries = table.free_table("users").given().map(|entry| entry.value).unwrap_or_default();
    let report = table.report();
    let mut users = BTreeMap::new();
    for entry in entries {
        let line = Some(entry.texts.line);
        let key = &entry.texts.key;
        if !is_user_id(&entry.name) {
            let remedy = "write the member ID from the person's Slack profile, such as U012AB3CD";
            report.error(line, key, "this is not the id of a Slack person", remedy);
        }
        match entry.texts.value.as_slice() {
            [one] if !entry.is_list && !one.value.trim().is_empty() => {
                users.insert(SlackUserId::new(entry.name), one.value.clone());
            }
            _ => report.error(
                line,
                key,
                "this is not one Teleport user",
                "write the user's name, such as \"bob\"",
            ),
        }
    }
    users
}

fn rule(table: &mut Reader<'_, '_>) -> Option<ReviewRule> {
    let roles = names(table, "roles", "name the roles it is for, such as [\"prod-*\"]");
    let approvers = names(table, "approvers", "name the Teleport users who may approve");
    // How many people are in a group only Slack knows.
    let most = approvers.as_ref().filter(|all| !all.iter().any(|name| is_group(name))).map(Vec::len);
    let approvals = votes(table, "approvals", most);
    let denials = votes(table, "denials", most);
    const POLICIES: [(&str, ReasonPolicy); 3] = [
        ("optional", ReasonPolicy::Optional),
        ("required", ReasonPolicy::Required),
        ("off", ReasonPolicy::Off),
    ];
    let reason = choice(table, "reason", &POLICIES);
    let confirm = table.flag("confirm").given().is_some_and(|entry| entry.value);
    let teleport_only = table.flag("teleport_only").given().is_some_and(|entry| entry.value);
    Some(ReviewRule {
        roles: roles?,
        approvers: approvers?,
        approvals: approvals?,
        denials: denials?,
        reason: reason?,
        confirm,
        teleport_only,
    })
}

/// A number of votes from 1 to `most`; 1 if it is not given.
fn votes(table: &mut Reader<'_, '_>, name: &'static str, most: Option<usize>) -> Option<u32> {
    match table.number(name) {
        Field::Absent => Some(1),
        Field::Bad => None,
        Field::Given(entry) => {
            let number =
                u32::try_from(entry.value).ok().filter(|_| (1..=MAX_APPROVALS).contains(&entry.value));
            let number = number.filter(|number| most.is_none_or(|most| *number as usize <= most));
            if number.is_none() {
                let cause = format!("so many {name} can never be given");
                let remedy = "write a number from 1 to the number of approvers";
                table.report().error(Some(entry.line), &entry.key, cause, remedy);
            }
            number
        }
    }
}

/// A list of names that must not be empty, nor hold empty ones.
fn names(table: &mut Reader<'_, '_>, name: &'static str, remedy: &str) -> Option<Vec<String>> {
    let line = table.line();
    match table.texts(name) {
        Field::Bad => None,
        Field::Absent => {
            let key = table.name(name);
            table.report().error(line, &key, "this is missing in the rule", remedy);
            None
        }
        Field::Given(entry) => {
            if entry.value.is_empty() || entry.value.iter().any(|item| item.value.trim().is_empty()) {
                table.report().error(
                    Some(entry.line),
                    &entry.key,
                    "this is empty, or an entry of it is",
                    remedy,
                );
                return None;
            }
            let mut names: Vec<String> = Vec::new();
            for item in entry.value {
                if !names.contains(&item.value) {
                    names.push(item.value);
                }
            }
            Some(names)
        }
    }
}
