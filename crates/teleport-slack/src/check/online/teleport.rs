//! Teleport: whether it answers, which release it is, which rights the plugin has, and whether users of the rules exist.

use std::collections::BTreeSet;
use std::sync::Arc;

use access_core::domain::error_chain::chain;
use access_core::policy::ModeSetting;
use access_core::policy::identity::TeleportUser;
use jiff::Timestamp;

use crate::causes::{Cause, Exit};
use crate::check::explained::split_remedy;
use crate::check::report::{Item, ItemId, REMEDY_ABOVE};
use crate::config::{Config, ReviewConfig};
use teleport_client::denied::MFA_REMEDY;
use teleport_client::error::{Call, ErrorKind, TeleportError};
use teleport_client::identity::Identity;
use teleport_client::observer::NoObserver;
use teleport_client::refusal::Refusal;
use teleport_client::review_support::ReviewSupportStatus;
use teleport_client::right_probes::{Probe, Right};
use teleport_client::second_factor::SecondFactor;
use teleport_client::visibility::{Visibility, describe_visibility};
use teleport_client::{Client, Pong, Reach};

/// What kind of cause a failure has.
pub(crate) fn cause_of(error: &TeleportError) -> Cause {
    match (error, error.kind()) {
        (TeleportError::Connect(error), _) if error.kind.is_wrong_address() => Cause::Address,
        (TeleportError::Connect(_), ErrorKind::Unauthorized | ErrorKind::Permanent) => Cause::Certificate,
        (_, ErrorKind::Unauthorized) => Cause::Permissions,
        _ => Cause::Unavailable,
    }
}

/// What Teleport said.
pub(super) struct Answers {
    pub(super) items: Vec<Item>,
    /// The users that rules or the table name, as far as Teleport shows them.
    pub(super) users: Vec<TeleportUser>,
}

impl From<Vec<Item>> for Answers {
    fn from(items: Vec<Item>) -> Self {
        Self { items, users: Vec::new() }
    }
}

/// Asks Teleport.
pub(super) async fn ask(config: &Config) -> Answers {
    let identity = match Identity::load(&config.teleport.credentials, Timestamp::now()) {
        Ok(identity) => identity,
        // The item of the identity says why.
        Err(_) => return unasked(config, "the identity cannot be used", Exit::Credentials, true).into(),
    };
    let client = Client::new(config.teleport_destination(), &identity, Arc::new(NoObserver));
    let pong = match client.ping().await {
        Ok(pong) => pong,
        Err(error) => {
            let mut items = vec![unreachable_item(&error)];
            let exit = exit_of(cause_of(&error));
            items.extend(unasked(config, "Teleport gave no answer that can be used", exit, false));
            return items.into();
        }
    };
    let reach = client.reach().await;
    let mut items = vec![server_item(&pong, config, reach)];
    items.push(visibility_item(client.visibility().await));
    for probe in [Probe::ReadPluginData, Probe::WritePluginData] {
        items.push(right_item(probe, client.probe(probe).await));
    }
    let Some(review) = &config.review else { return items.into() };
    items.extend(deciding_items(&client, review).await);
    let about_users = ask_for_users(&client, review).await;
    items.extend(about_users.items);
    Answers { items, users: about_users.users }
}

/// What Teleport would have to be asked; the server itself included only if it was not called.
fn unasked(config: &Config, cause: &str, exit: Exit, with_server: bool) -> Vec<Item> {
    let deciding = [ItemId::TeleportSecondFactor, ItemId::TeleportUsers];
    let ids = with_server.then_some(ItemId::TeleportServer).into_iter();
    let ids = ids.chain([ItemId::TeleportRights]).chain(config.review.iter().flat_map(|_| deciding));
    Item::none_looked_at(ids, exit, cause, REMEDY_ABOVE)
}

/// The exit status for a kind of cause.
pub(crate) fn exit_of(cause: Cause) -> Exit {
    match cause {
        Cause::Address => Exit::Configuration,
        Cause::Certificate | Cause::Permissions => Exit::Credentials,
        _ => Exit::Failed,
    }
}

fn unreachable_item(error: &TeleportError) -> Item {
    let cause = cause_of(error);
    let explained = split_remedy(error);
    let remedy = match cause {
        Cause::Unavailable if explained.remedy == "see the cause" => {
            "check that the auth server runs, and name resolution and firewalls between it and this machine"
        }
        _ => &explained.remedy,
    };
    Item::failed(
        ItemId::TeleportServer,
        exit_of(cause),
        "no answer that can be used",
        explained.cause,
        remedy,
    )
}

/// How Teleport was reached. Completes "it is reached …".
pub(crate) fn way_to_teleport(config: &Config, reach: Option<Reach>) -> String {
    let way = match reach {
        Some(Reach::Direct) => "directly at",
        Some(Reach::Proxy) => "through the proxy at",
        Some(Reach::Upgraded) => "by a connection upgrade through the proxy at",
        None => "at",
    };
    let forward =
        config.way_to_teleport().map(|way| format!(" (connections there go {way})")).unwrap_or_default();
    format!("{way} {}{forward}", config.teleport.addr)
}

/// Which server this is.
fn server_item(pong: &Pong, config: &Config, reach: Option<Reach>) -> Item {
    let edition = if pong.enterprise { "Enterprise" } else { "community edition" };
    let summary = format!(
        "the cluster {} answers, reached {}: release {}, {edition}",
        pong.cluster_name,
        way_to_teleport(config, reach),
        pong.server_version
    );
    match pong.check_version() {
        Ok(()) => Item::ok(ItemId::TeleportServer, summary),
        Err(error) => {
            let explained = split_remedy(&error);
            Item::failed(ItemId::TeleportServer, Exit::Failed, summary, explained.cause, explained.remedy)
        }
    }
}

/// Which access requests the plugin sees: an empty list is not an empty cluster.
fn visibility_item(found: Result<Visibility, TeleportError>) -> Item {
    const SUBJECT: &str = "access_request: list, read";
    let id = ItemId::TeleportRights;
    let item = match found {
        Ok(Visibility::All) => Item::ok(id, "the plugin sees all access requests"),
        Ok(visibility) => {
            let text = describe_visibility(&visibility);
            let (cause, remedy) = text.rsplit_once("; ").unwrap_or((&text, ""));
            let remedy = format!("{remedy}; {PRINTED}");
            match visibility {
                Visibility::Partial(_) => Item::failed(id, Exit::Credentials, "missing", cause, remedy),
                _ => Item::not_looked_at(id, Exit::Credentials, cause, remedy),
            }
        }
        Err(error) => call_failed(id, &error),
    };
    item.of(SUBJECT)
}

fn call_failed(id: ItemId, error: &TeleportError) -> Item {
    let explained = split_remedy(error);
    Item::not_looked_at(id, exit_of(cause_of(error)), explained.cause, explained.remedy)
}

fn subject(call: Call) -> &'static str {
    match call {
        Call::GetPluginData => "plugin data: read",
        Call::UpdatePluginData => "access_plugin_data: update",
        Call::SetAccessRequestState => "access_request: update",
        Call::GetUser => "user: read",
        Call::ListUsers => "user: list, read",
        _ => "",
    }
}

/// What prints a role with all rights that the configuration needs.
const PRINTED: &str = "`teleport-slack resources` prints one that fits";

/// A right that every use of the daemon, or the switched-on feature, needs.
fn right_item(probe: Probe, found: Result<Right, TeleportError>) -> Item {
    let id = ItemId::TeleportRights;
    let needed = probe.call().required_permission().unwrap_or_default();
    let remedy = format!("give the plugin's Teleport user a role whose {needed}; {PRINTED}");
    let item = match found {
        Ok(Right::Granted) => Item::ok(id, "granted"),
        Ok(Right::Missing) => {
            let cause = format!("Teleport denies the call {} for a missing right", probe.call());
            Item::failed(id, Exit::Credentials, "missing", cause, remedy)
        }
        Ok(Right::NeedsSecondFactor) => {
            Item::failed(id, Exit::Credentials, "refused", "Teleport asks for a second factor", MFA_REMEDY)
        }
        Ok(Right::Unknown(words)) => Item::not_looked_at(id, Exit::Credentials, words, remedy),
        Err(error) => call_failed(id, &error),
    };
    item.of(subject(probe.call()))
}

/// Which call can carry a decision, and whether the plugin may make it.
async fn deciding_items(client: &Client, review: &ReviewConfig) -> Vec<Item> {
    let mut items = Vec::new();
    let mut rules_decide = review.mode == ModeSetting::Resolver;
    if !rules_decide {
        let found = client.review_support().await;
        rules_decide = review.mode == ModeSetting::Auto
            && !matches!(found, Ok(ReviewSupportStatus::MaybeSupported) | Err(_))
            && !review.rules.0.is_empty();
        let submits = matches!(found, Ok(ReviewSupportStatus::MaybeSupported));
        items.push(review_support_item(found, rules_decide));
        if submits {
            items.extend(author_items(client, review).await);
        }
    }
    if rules_decide {
        items.push(right_item(Probe::SetState, client.probe(Probe::SetState).await));
    }
    let factor = client.second_factor().await;
    items.push(second_factor_item(factor));
    items
}

/// Whether Teleport takes reviews that the plugin submits for users.
fn review_support_item(found: Result<ReviewSupportStatus, TeleportError>, rules_decide: bool) -> Item {
    let id = ItemId::TeleportRights;
    let (cause, remedy) = match found {
        Ok(ReviewSupportStatus::MaybeSupported) => {
            return Item::ok(id, "Teleport takes reviews for users, and judges each").of("submit_for_users");
        }
        Err(error) => return call_failed(id, &error).of("submit_for_users"),
        Ok(ReviewSupportStatus::ServerTooOld(release)) => (
            format!("the release {release} of Teleport takes no reviews for users"),
            "upgrade Teleport to a release with submit_for_users",
        ),
        Ok(ReviewSupportStatus::NotEnterprise) => (
            "reviews are part of Teleport Enterprise, which this is not".to_owned(),
            "use Teleport Enterprise",
        ),
        Ok(ReviewSupportStatus::NoPermission) => (
            "none of the plugin's roles names a user to submit reviews for".to_owned(),
            "give one of them allow.review_requests.submit_for_users",
        ),
    };
    if rules_decide {
        let summary = format!("the rules decide (mode auto): {cause}");
        return Item::ok(id, summary).of("submit_for_users");
    }
    let remedy = format!("{remedy}, or set review.mode = \"resolver\" and add rules");
    Item::failed(id, Exit::Credentials, "no user can decide in Slack", cause, remedy).of("submit_for_users")
}

/// Whether Teleport would take a review for each user of the table. Which users a trait or an address names a click shows.
async fn author_items(client: &Client, review: &ReviewConfig) -> Vec<Item> {
    let names: BTreeSet<&String> = review.users.values().collect();
    let mut items = Vec::new();
    for name in names {
        match client.review_refusal(name).await {
            Ok(refusal) => items.extend(refusal.and_then(|refusal| author_item(name, refusal))),
            Err(error) => {
                items.push(
                    call_failed(ItemId::TeleportRights, &error).of(format!("submit_for_users: {name}")),
                );
                return items;
            }
        }
    }
    items
}

/// Why a user's review would be refused, unless another item says so.
fn author_item(name: &str, refusal: Refusal) -> Option<Item> {
    let (id, exit) = (ItemId::TeleportRights, Exit::Credentials);
    let item = match refusal {
        Refusal::NotSupported => {
            let cause = "no role of the plugin names this user in review_requests.submit_for_users";
            let remedy = format!(
                "add {name:?} to allow.review_requests.submit_for_users of the plugin's role, or remove the user from [review.users]"
            );
            Item::failed(id, exit, "missing", cause, remedy)
        }
        Refusal::AuthorNotEligible => {
            let cause = "no role of this user has review_requests, so Teleport takes no review of theirs";
            let remedy =
                "give the user a role with allow.review_requests, or remove the user from [review.users]";
            Item::warning(id, exit, "", cause, remedy)
        }
        _ => return None,
    };
    Some(item.of(format!("submit_for_users: {name}")))
}

fn second_factor_item(found: Result<SecondFactor, TeleportError>) -> Item {
    let id = ItemId::TeleportSecondFactor;
    match found {
        Ok(SecondFactor::NotAsked) => Item::ok(id, "Teleport asks the plugin for none"),
        Ok(SecondFactor::Asked(signer)) => {
            let cause = format!("Teleport will refuse each decision; the certificate was signed {signer}");
            Item::failed(id, Exit::Credentials, "no user can decide in Slack", cause, MFA_REMEDY)
        }
        Ok(SecondFactor::Unknown(signer)) => {
            let cause = format!(
                "Teleport does not report which second factors there are, and the certificate was signed {signer}"
            );
            Item::not_looked_at(id, Exit::Credentials, cause, MFA_REMEDY)
        }
        Err(error) => call_failed(id, &error),
    }
}

/// The users that links lead to, and those that rules name.
async fn ask_for_users(client: &Client, review: &ReviewConfig) -> Answers {
    let mut items = Vec::new();
    if review.user_mapping().lists_users() {
        let right = client.probe(Probe::ListUsers).await;
        let may_list = matches!(right, Ok(Right::Granted));
        items.push(right_item(Probe::ListUsers, right));
        if let Some(name) = review.slack_user_id_trait.as_ref().filter(|_| may_list) {
            items.push(trait_item(name, client.list_users().await));
        }
    }
    let names: BTreeSet<&String> = review.named_users().collect();
    let mut users = Vec::new();
    for name in &names {
        match client.get_user(name).await {
            Ok(Some(user)) if user.expires.is_none_or(|end| end > Timestamp::now()) => users.push(user),
            Ok(found) => items.push(user_item(name, found.as_ref())),
            Err(error) => {
                items.push(users_unreadable(error.kind(), &error));
                return Answers { items, users };
            }
        }
    }
    if !users.is_empty() && users.len() == names.len() {
        let summary =
            format!("Teleport knows each of the {} that rules and [review.users] name", users.len());
        items.push(Item::ok(ItemId::TeleportUsers, summary));
    }
    Answers { items, users }
}

fn user_item(name: &str, found: Option<&TeleportUser>) -> Item {
    let (cause, remedy) = match found.and_then(|user| user.expires) {
        Some(end) => (
            format!("the user's last login ended at {end}; until the next one the user cannot decide"),
            "let the user log in to Teleport",
        ),
        None => (
            "Teleport has no such user now; users of single sign-on are there only while their login lasts"
                .to_owned(),
            "correct the name as `tctl users ls` shows it, capitals included, or let the user log in to Teleport",
        ),
    };
    Item::warning(ItemId::TeleportUsers, Exit::Configuration, "", cause, remedy).of(name)
}

/// Deciding needs no right to read users unless a trait links them, and that right is an item of its own.
fn users_unreadable(kind: ErrorKind, error: &TeleportError) -> Item {
    const COMPARE: &str = "compare the names in rules and [review.users] with `tctl users ls`";
    let id = ItemId::TeleportUsers;
    match kind {
        ErrorKind::Retry => call_failed(id, error),
        ErrorKind::Unauthorized => {
            let cause = "the plugin's role has no right to read users, so it is not known whether Teleport has those that rules and \
                         [review.users] name";
            let remedy = format!(
                "{COMPARE}, capitals included; or add {{resources: ['user'], verbs: ['read']}} to allow.rules of the role, as \
                 `teleport-slack resources` prints it: then this check looks for them, and the daemon refuses users who are gone or whose login has expired"
            );
            Item::not_looked_at(id, Exit::Credentials, cause, remedy)
        }
        _ => Item::not_looked_at(id, Exit::Credentials, chain(error), COMPARE),
    }
}

fn trait_item(name: &str, found: Result<Vec<TeleportUser>, TeleportError>) -> Item {
    let id = ItemId::TeleportUsers;
    let users = match found {
        Ok(users) => users,
        Err(error) => return call_failed(id, &error).of("review.slack_user_id_trait"),
    };
    let with_trait = users.iter().filter(|user| {
        user.traits.get(name).is_some_and(|values| values.iter().any(|value| !value.trim().is_empty()))
    });
    let item = match (with_trait.count(), users.len()) {
        (0, all) => Item::warning(
            id,
            Exit::Configuration,
            "",
            format!("none of the {all} users of Teleport has the trait {name:?} now"),
            "set the trait to each user's Slack id (U…), or correct its name",
        ),
        (some, all) => Item::ok(id, format!("{some} of {all} users of Teleport have the trait {name:?}")),
    };
    item.of("review.slack_user_id_trait")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::output::title;
    use crate::check::report::Status;
    use teleport_client::signer::Signer;

    fn line(item: &Item) -> String {
        let problem = item.problem.as_ref();
        let problem =
            problem.map(|p| format!(" | {} {} | {}", p.exit.code(), p.cause, p.remedy)).unwrap_or_default();
        format!("{:?} {}{problem}", item.status, title(item))
    }

    #[test]
    fn each_answer_about_a_right_has_its_line() {
        let shown = |found| line(&right_item(Probe::WritePluginData, found));
        assert_eq!(shown(Ok(Right::Granted)), "Ok access_plugin_data: update: granted");
        insta::assert_snapshot!(shown(Ok(Right::Missing)), @"Failed access_plugin_data: update: missing | 77 Teleport denies the call UpdatePluginData for a missing right | give the plugin's Teleport user a role whose allow.rules contain {resources: ['access_plugin_data'], verbs: ['update']}; `teleport-slack resources` prints one that fits");
        insta::assert_snapshot!(shown(Ok(Right::Unknown("unknown method".to_owned()))), @"Warning access_plugin_data: update: not looked at | 77 unknown method | give the plugin's Teleport user a role whose allow.rules contain {resources: ['access_plugin_data'], verbs: ['update']}; `teleport-slack resources` prints one that fits");
        assert!(shown(Ok(Right::NeedsSecondFactor)).contains("tbot"));
        let away = TeleportError::Deadline {
            call: Call::UpdatePluginData,
            limit: std::time::Duration::from_secs(15),
        };
        let item = right_item(Probe::WritePluginData, Err(away));
        assert_eq!((item.status, item.problem.unwrap().exit), (Status::Warning, Exit::Failed));
    }

    #[test]
    fn an_empty_list_is_no_proof_that_all_requests_are_seen() {
        assert_eq!(visibility_item(Ok(Visibility::All)).status, Status::Ok);
        insta::assert_snapshot!(line(&visibility_item(Ok(Visibility::Partial(vec!["list"])))), @"Failed access_request: list, read: missing | 77 the plugin's Teleport user lacks the verb list on access_request, so Teleport may list nothing and say OK; messages of requests that are not listed stay as they are | give it a role whose allow.rules contain {resources: ['access_request'], verbs: ['list', 'read']}; `teleport-slack resources` prints one that fits");
        let unknown = visibility_item(Ok(Visibility::Unknown("no such call".to_owned())));
        assert_eq!(unknown.status, Status::Warning, "{unknown:?}");
    }

    #[test]
    fn what_carries_decisions_is_judged_by_the_mode() {
        let none = || Ok(ReviewSupportStatus::NotEnterprise);
        assert_eq!(review_support_item(none(), true).status, Status::Ok);
        assert_eq!(review_support_item(none(), false).status, Status::Failed);
        let supported = review_support_item(Ok(ReviewSupportStatus::MaybeSupported), false);
        assert_eq!(supported.status, Status::Ok);
        for (found, status) in [
            (SecondFactor::NotAsked, Status::Ok),
            (SecondFactor::Asked(Signer::Unnamed), Status::Failed),
            (SecondFactor::Unknown(Signer::Unnamed), Status::Warning),
        ] {
            assert_eq!(second_factor_item(Ok(found)).status, status);
        }
    }

    #[test]
    fn users_who_could_not_be_looked_at_are_a_warning_with_the_right() {
        let error =
            TeleportError::Deadline { call: Call::GetUser, limit: std::time::Duration::from_secs(15) };
        let status = |kind| users_unreadable(kind, &error).status;
        insta::assert_snapshot!(line(&users_unreadable(ErrorKind::Unauthorized, &error)), @"Warning not looked at | 77 the plugin's role has no right to read users, so it is not known whether Teleport has those that rules and [review.users] name | compare the names in rules and [review.users] with `tctl users ls`, capitals included; or add {resources: ['user'], verbs: ['read']} to allow.rules of the role, as `teleport-slack resources` prints it: then this check looks for them, and the daemon refuses users who are gone or whose login has expired");
        assert_eq!(status(ErrorKind::Retry), Status::Warning);
        assert_eq!(status(ErrorKind::Permanent), Status::Warning);
    }

    #[test]
    fn users_without_the_trait_or_with_an_old_login_are_named() {
        let user = |name: &str, trait_value: &str| TeleportUser {
            name: name.to_owned(),
            traits: [("slack_uid".to_owned(), vec![trait_value.to_owned()])].into(),
            expires: None,
        };
        let shown = |users| line(&trait_item("slack_uid", Ok(users)));
        assert_eq!(
            shown(vec![user("bob", "U0BOB"), user("carol", " ")]),
            "Ok review.slack_user_id_trait: 1 of 2 users of Teleport have the trait \"slack_uid\""
        );
        assert!(shown(vec![user("carol", "")]).starts_with("Warning"));
        let old = TeleportUser { expires: Some(Timestamp::UNIX_EPOCH), ..user("bob", "") };
        assert!(line(&user_item("bob", Some(&old))).contains("last login ended at 1970-01-01"));
        assert!(line(&user_item("bob", None)).contains("no such user now"));
    }
}
