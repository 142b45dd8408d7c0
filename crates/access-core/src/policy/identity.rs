//! Who pressed the button: from what Slack says of an account right now to one Teleport user, or a refusal.
//!
//! Links from a Slack person to a Teleport user come in three strengths: the operator's table, a trait of the
//! Teleport user that holds the Slack id, and an e-mail address that equals the user name. They are asked in
//! this order, and none silently stands in for another:
//!
//! * A kind is used only if the operator configured it; the e-mail address needs a switch of its own, also
//!   where the trait is configured and absent.
//! * The table and the trait are statements about a Slack account. If they name different users, no user is
//!   chosen.
//! * A weaker kind never adds to what a stronger one says of the same Teleport user. If the table or the trait
//!   gives that user other Slack accounts, an account whose e-mail address happens to fit is not that user.
//! * If the trait is configured and cannot be asked, because Teleport's users cannot be read, the answer is a
//!   refusal, also for users that the table names: the trait might contradict it, or say that this is the requester.
//!
//! Whether the person may decide is [`crate::policy`]'s question. Decision note: `docs/decisions/0004`.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::refusal::{AccountIneligible, Refusal};
use crate::domain::ids::SlackUserId;
use crate::interaction::AppInstallation;
use crate::record::votes::MAX_USER;

/// Slack's own bot, which does not call itself one.
pub const SLACKBOT: &str = "USLACKBOT";

/// What `users.info` says of an account, asked for this decision. What cannot be read counts as set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackProfile {
    /// The account's id: `U…`, or `W…` in an Enterprise organization.
    pub id: SlackUserId,
    /// The id of its home workspace, `T…`.
    pub team_id: Option<String>,
    /// The id of its Enterprise organization, `E…`.
    pub enterprise_id: Option<String>,
    /// Its id within that organization.
    pub enterprise_user_id: Option<SlackUserId>,
    /// How Slack shows the person, if it says so. People choose it, so it proves nothing.
    pub name: Option<String>,
    /// The e-mail address, if there is one and it may be seen.
    pub email: Option<String>,
    /// Whether it was confirmed, if Slack says so.
    pub is_email_confirmed: Option<bool>,
    /// Whether the account is deactivated.
    pub deleted: bool,
    /// Whether the account is a bot's.
    pub is_bot: bool,
    /// Whether the account is a workflow's.
    pub is_workflow_bot: bool,
    /// A connector to another system.
    pub is_connector_bot: bool,
    /// Whether the account is a guest's.
    pub is_restricted: bool,
    /// A guest in a single channel.
    pub is_ultra_restricted: bool,
    /// External, without a channel in common.
    pub is_stranger: bool,
    /// Invited, never signed in.
    pub is_invited_user: bool,
}

impl SlackProfile {
    /// An active person's account of which nothing else is known.
    pub fn bare(id: SlackUserId) -> Self {
        Self {
            id,
            team_id: None,
            enterprise_id: None,
            enterprise_user_id: None,
            name: None,
            email: None,
            is_email_confirmed: None,
            deleted: false,
            is_bot: false,
            is_workflow_bot: false,
            is_connector_bot: false,
            is_restricted: false,
            is_ultra_restricted: false,
            is_stranger: false,
            is_invited_user: false,
        }
    }

    /// Whether no person is behind the account: a bot's, a workflow's, a connector's, or Slack's own.
    pub fn is_automated(&self) -> bool {
        self.is_bot || self.is_workflow_bot || self.is_connector_bot || self.id.as_str() == SLACKBOT
    }

    /// The account's ids: in an Enterprise organization it may have two.
    pub fn ids(&self) -> impl Iterator<Item = &SlackUserId> {
        std::iter::once(&self.id).chain(&self.enterprise_user_id)
    }
}

/// How the operator links Slack people to Teleport users.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserMapping {
    /// The table `[review.users]`: Slack ids, and the Teleport user of each.
    pub explicit: BTreeMap<SlackUserId, String>,
    /// The Teleport user trait that holds Slack ids.
    pub id_trait: Option<String>,
    /// Whether an e-mail address that equals a user name is a link.
    pub email_match: bool,
    /// Whether it also is if it differs from the only such name in capitals.
    pub ignore_email_case: bool,
}

impl UserMapping {
    /// The accounts that the table gives this Teleport user.
    pub fn explicit_accounts(&self, user: &str) -> impl Iterator<Item = SlackUserId> {
        self.explicit.iter().filter(move |(_, named)| *named == user).map(|(id, _)| id.clone())
    }

    /// Whether it takes a list of all Teleport users: a trait is not looked up by its value, nor a name whatever its capitals.
    pub fn lists_users(&self) -> bool {
        self.id_trait.is_some() || self.email_match && self.ignore_email_case
    }

    /// The accounts that the user's trait gives.
    pub fn trait_accounts(&self, user: &TeleportUser) -> impl Iterator<Item = SlackUserId> {
        slack_ids(user, self).into_iter().map(SlackUserId::new)
    }
}

/// A Teleport user.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TeleportUser {
    /// The user's name in Teleport, which is its id.
    pub name: String,
    /// The values of each trait, by the trait's name.
    pub traits: BTreeMap<String, Vec<String>>,
    /// When it ends; users of single sign-on do.
    pub expires: Option<Timestamp>,
}

/// Teleport's users.
#[derive(Clone, Copy, Debug)]
pub enum Users<'a> {
    /// All of them, people only: without the users of bots.
    Listed(&'a [TeleportUser]),
    /// The daemon may not list them. The table and the e-mail address then name users unchecked; where the trait is
    /// configured, no account is linked.
    Unreadable,
}

/// Which link identified a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MappingSource {
    /// The operator's table.
    Explicit,
    /// The trait.
    Trait,
    /// The e-mail address.
    Email,
}

/// A Slack person who is a Teleport user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reviewer {
    /// The Teleport user's name.
    pub user: String,
    /// The id of the Slack account: `U…` or `W…`.
    pub slack_user: SlackUserId,
    /// The id of its workspace, `T…`, if Slack named one.
    pub team: Option<String>,
    /// The kind of mapping that linked the account to the Teleport user.
    pub source: MappingSource,
    /// Every name that the account goes by, whether or not it may act under it: to recognize the requester.
    aliases: Vec<String>,
    /// All ids of the account: in an Enterprise organization it may have two.
    accounts: Vec<SlackUserId>,
}

impl Reviewer {
    /// Whether this is the Teleport user `name`, by this account's link, by another account's that has the same
    /// e-mail address, or by any other link of this account. Capitals do not matter: this is used to refuse.
    pub fn is(&self, name: &str) -> bool {
        let name = name.trim().to_lowercase();
        self.aliases.iter().any(|known| known.trim().to_lowercase() == name)
    }

    /// Every name that the account goes by, whether or not it may act under it: two with one in common count as one
    /// person.
    pub fn aliases(&self) -> impl Iterator<Item = &str> {
        self.aliases.iter().map(String::as_str)
    }

    /// The account's ids: in an Enterprise organization it may have two.
    pub fn accounts(&self) -> &[SlackUserId] {
        &self.accounts
    }
}

/// The Teleport user behind the account `clicked`, of which Slack just said `profile`.
///
/// # Errors
/// A [`Refusal`] if the account is not to be trusted, or is not linked to exactly one living Teleport user.
pub fn identify(
    clicked: &SlackUserId,
    profile: &SlackProfile,
    our: &AppInstallation,
    links: &UserMapping,
    users: Users<'_>,
    now: Timestamp,
) -> Result<Reviewer, Refusal> {
    if let Some(ineligible) = check_account(clicked, profile, our) {
        return Err(Refusal::AccountIneligible(ineligible));
    }
    let (user, link) = mapped_user(profile, links, users)?;
    if user.is_empty() || user.chars().nth(MAX_USER).is_some() {
        return Err(unmapped(links));
    }
    if let Users::Listed(all) = users {
        match all.iter().find(|listed| listed.name == user) {
            None => return Err(unknown_user(user, all)),
            Some(listed) if listed.expires.is_some_and(|end| end <= now) => {
                return Err(Refusal::TeleportUserExpired { user });
            }
            Some(_) => {}
        }
    }
    let mut names = by_explicit(profile, links);
    names.extend(by_trait(profile, links, users));
    names.extend(profile.email.clone());
    names.push(user.clone());
    let team = profile.team_id.clone();
    let accounts = profile.ids().cloned().collect();
    Ok(Reviewer { user, slack_user: clicked.clone(), team, source: link, aliases: names, accounts })
}

/// No link leads anywhere. Of the ways to link, single sign-on sets none but the trait.
fn unmapped(links: &UserMapping) -> Refusal {
    Refusal::UnmappedUser { sign_in_may_help: links.id_trait.is_some() }
}

/// Why no Teleport user is called `user`, though a link leads there.
fn unknown_user(user: String, all: &[TeleportUser]) -> Refusal {
    match all.iter().find(|listed| eq_ignore_case(&listed.name, &user)) {
        Some(listed) => Refusal::UserCaseMismatch { user: listed.name.clone(), mapped: user },
        // Single sign-on may have made the user once: then Teleport forgot it when its login expired.
        None => Refusal::TeleportUserUnknown { user },
    }
}

/// Whether two names differ in capitals at most.
pub(crate) fn eq_ignore_case(one: &str, other: &str) -> bool {
    one.to_lowercase() == other.to_lowercase()
}

/// What speaks against the account that `clicked` names, the plainest first; whichever Teleport user it is.
pub fn check_account(
    clicked: &SlackUserId,
    profile: &SlackProfile,
    our: &AppInstallation,
) -> Option<AccountIneligible> {
    let is_other_workspace = || {
        let same_team = profile.team_id.as_ref() == Some(&our.team_id);
        let same_org = our.enterprise_id.is_some() && profile.enterprise_id == our.enterprise_id;
        !(same_team || same_org)
    };
    let reasons = [
        (!profile.ids().any(|id| id == clicked), AccountIneligible::IdMismatch),
        (profile.ids().any(|id| id.as_str() == SLACKBOT), AccountIneligible::Slackbot),
        (profile.deleted, AccountIneligible::Deactivated),
        (profile.is_workflow_bot, AccountIneligible::WorkflowBot),
        (profile.is_connector_bot, AccountIneligible::ConnectorBot),
        (profile.is_bot, AccountIneligible::Bot),
        (profile.is_stranger, AccountIneligible::External),
        (is_other_workspace(), AccountIneligible::OtherWorkspace),
        (profile.is_ultra_restricted, AccountIneligible::SingleChannelGuest),
        (profile.is_restricted, AccountIneligible::Guest),
        (profile.is_invited_user, AccountIneligible::NeverSignedIn),
    ];
    reasons.into_iter().find_map(|(applies, ineligible)| applies.then_some(ineligible))
}

/// The strongest link, unless a stronger or an equal one speaks against it.
fn mapped_user(
    profile: &SlackProfile,
    links: &UserMapping,
    users: Users<'_>,
) -> Result<(String, MappingSource), Refusal> {
    // Not only the link hangs on the trait: so does whether this is the requester.
    if links.id_trait.is_some() && matches!(users, Users::Unreadable) {
        return Err(Refusal::UsersUnreadable);
    }
    let table = by_explicit(profile, links);
    let traits = by_trait(profile, links, users);
    let mut stated: Vec<_> = table.iter().chain(&traits).cloned().collect();
    stated.sort();
    stated.dedup();
    match stated.as_slice() {
        [user] if !table.is_empty() => return Ok((user.clone(), MappingSource::Explicit)),
        [user] if belongs_to_another(user, profile, &links.explicit) => {
            return Err(Refusal::AmbiguousUser { users: vec![user.clone()] });
        }
        [user] => return Ok((user.clone(), MappingSource::Trait)),
        [] => {}
        _ => return Err(Refusal::AmbiguousUser { users: stated }),
    }
    if !links.email_match {
        return Err(unmapped(links));
    }
    by_email(profile, links, users).map(|user| (user, MappingSource::Email))
}

/// The user whose name is the account's e-mail address: exactly so unless the operator lets capitals not count, and no
/// other with other capitals.
fn by_email(profile: &SlackProfile, links: &UserMapping, users: Users<'_>) -> Result<String, Refusal> {
    let email = profile.email.as_ref().filter(|email| !email.is_empty()).ok_or_else(|| unmapped(links))?;
    if profile.is_email_confirmed == Some(false) {
        return Err(Refusal::EmailUnconfirmed);
    }
    let twice = |users: Vec<String>| Err(Refusal::AmbiguousUser { users });
    if belongs_to_another(email, profile, &links.explicit) {
        return twice(vec![email.clone()]);
    }
    let Users::Listed(all) = users else { return Ok(email.clone()) };
    let alike: Vec<_> = all.iter().filter(|user| eq_ignore_case(&user.name, email)).collect();
    match alike.as_slice() {
        // The trait or the table gives this user another Slack account.
        [user]
            if !slack_ids(user, links).is_empty()
                || belongs_to_another(&user.name, profile, &links.explicit) =>
        {
            twice(vec![user.name.clone()])
        }
        [user] if user.name == *email || links.ignore_email_case => Ok(user.name.clone()),
        [] | [_] => Err(unknown_user(email.clone(), all)),
        several => twice(several.iter().map(|user| user.name.clone()).collect()),
    }
}

/// The users that the table names for this account.
pub(super) fn by_explicit(profile: &SlackProfile, links: &UserMapping) -> Vec<String> {
    let mut names: Vec<_> = profile.ids().filter_map(|id| links.explicit.get(id)).cloned().collect();
    names.dedup();
    names
}

/// The users whose trait names this account.
fn by_trait(profile: &SlackProfile, links: &UserMapping, users: Users<'_>) -> Vec<String> {
    let Users::Listed(all) = users else { return Vec::new() };
    let is_named = |user: &&TeleportUser| {
        slack_ids(user, links).iter().any(|named| profile.ids().any(|id| id.as_str() == *named))
    };
    all.iter().filter(is_named).map(|user| user.name.clone()).collect()
}

/// The Slack ids in a user's trait.
pub(super) fn slack_ids<'a>(user: &'a TeleportUser, links: &UserMapping) -> Vec<&'a str> {
    let values = links.id_trait.as_ref().and_then(|name| user.traits.get(name));
    values.into_iter().flatten().map(String::as_str).filter(|id| !id.trim().is_empty()).collect()
}

/// Whether the table gives the user other accounts, and not this one.
fn belongs_to_another(user: &str, profile: &SlackProfile, table: &BTreeMap<SlackUserId, String>) -> bool {
    let accounts = || table.iter().filter(|(_, named)| *named == user).map(|(id, _)| id);
    accounts().next().is_some() && !accounts().any(|id| profile.ids().any(|own| own == id))
}

#[cfg(test)]
pub(crate) mod tests;
