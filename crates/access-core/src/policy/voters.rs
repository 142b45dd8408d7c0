//! What those who voted are at this moment: their accounts, links and user groups, as just read from Slack and Teleport.
//!
//! A vote says who its author was when it was given. Before it helps to decide, it is held against this.

use std::collections::{BTreeMap, BTreeSet};

use super::identity::Reviewer;
use super::rules::Rules;
use crate::domain::decision::Decision;
use crate::domain::ids::SlackUserId;
use crate::domain::request::AccessRequest;
use crate::record::votes::{MAX_ALIASES, Vote, Votes};

#[cfg(test)]
pub(crate) mod samples;

/// An account that may act in Slack, as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Voter {
    /// The Teleport user and the Slack account, as the mapping links them now.
    pub reviewer: Reviewer,
    /// Those of [`Rules::groups_to_check`] that it is a member of.
    pub groups: Vec<String>,
}

/// Accounts that were read. One that could not be read is not among them, and nothing is decided without it.
#[derive(Clone, Debug, Default)]
pub struct Voters {
    read: BTreeMap<SlackUserId, Option<Voter>>,
    /// Those of them of which Slack can never say whether their votes count.
    gone: BTreeSet<SlackUserId>,
}

impl Voters {
    /// Takes down what was read of an account: `None` if it is not one that may act any more.
    pub fn insert(&mut self, account: SlackUserId, voter: Option<Voter>) {
        self.gone.remove(&account);
        self.read.insert(account, voter);
    }

    /// The same for an account whose votes cannot be checked any more, because Slack knows the account, or a user
    /// group that the rules name, no longer. They decide nothing, and a denial stays in the way of an approval.
    pub fn insert_gone(&mut self, account: SlackUserId, voter: Option<Voter>) {
        self.gone.insert(account.clone());
        self.read.insert(account, voter);
    }

    /// What was read of the account that gave this vote; the inner `None` if the vote is not that person's any more.
    pub(super) fn author_of(&self, vote: &Vote) -> Option<Option<&Voter>> {
        let voter = self.read.get(&vote.slack_user)?.as_ref();
        Some(voter.filter(|voter| voter.reviewer.user == vote.user))
    }

    pub(super) fn has_read(&self, vote: &Vote) -> bool {
        self.author_of(vote).is_some()
    }

    /// Writes down, beside each open vote, what was read of its author.
    pub(super) fn annotate(&self, votes: &mut Votes, request: &AccessRequest, rules: &Rules) {
        votes.annotate_open(|vote| match self.author_of(vote) {
            None => {}
            // The groups that once named its author are kept: by them it is known again.
            _ if self.is_gone(vote) => vote.ineligible = true,
            Some(None) => vote.ineligible = true,
            Some(Some(voter)) => {
                vote.ineligible = false;
                vote.groups = rules.matching_groups(request, &vote.user, &voter.groups);
                vote.aliases = voter.aliases(request, rules);
            }
        });
    }

    /// The person behind a vote as read now, else as noted beside the vote; `None` if the vote does not count.
    pub(super) fn counted_identities(
        &self,
        vote: &Vote,
        request: &AccessRequest,
        rules: &Rules,
    ) -> Option<IdentitySet> {
        let (mut voice, groups) = match self.author_of(vote) {
            _ if self.is_gone(vote) => return None,
            Some(None) => return None,
            Some(Some(voter)) => (IdentitySet::of(&voter.reviewer), voter.groups.as_slice()),
            None if vote.ineligible => return None,
            None => (IdentitySet::users(&vote.aliases), vote.groups.as_slice()),
        };
        rules.check_approver(request, &vote.user, groups).ok()?;
        voice.add_user(&vote.user);
        voice.add_account(&vote.slack_user);
        Some(voice)
    }

    /// The person behind a denial that counted, by what was noted beside it, if it can never be checked whether it still does.
    pub(super) fn gone_voice(
        &self,
        vote: &Vote,
        request: &AccessRequest,
        rules: &Rules,
    ) -> Option<IdentitySet> {
        if vote.decision != Decision::Deny || !self.is_gone(vote) {
            return None;
        }
        let mut voice = match self.read.get(&vote.slack_user)? {
            Some(voter) if voter.reviewer.user != vote.user => return None,
            Some(voter) => IdentitySet::of(&voter.reviewer),
            None => IdentitySet::users(&vote.aliases),
        };
        rules.check_approver(request, &vote.user, &vote.groups).ok()?;
        voice.add_user(&vote.user);
        voice.add_account(&vote.slack_user);
        Some(voice)
    }

    pub(super) fn is_gone(&self, vote: &Vote) -> bool {
        self.gone.contains(&vote.slack_user)
    }
}

impl Voter {
    /// The person's other users that matter: those that the rules name, and the requester.
    fn aliases(&self, request: &AccessRequest, rules: &Rules) -> Vec<String> {
        let requester = request.user.to_lowercase();
        let matters = |name: &&str| name.to_lowercase() == requester || rules.mentions_user(request, name);
        let others = self.reviewer.aliases().filter(|name| *name != self.reviewer.user).filter(matters);
        let others: BTreeSet<_> = others.map(str::to_owned).collect();
        others.into_iter().take(MAX_ALIASES).collect()
    }
}

/// What distinguishes one person from another: names of users in small letters, and accounts. Two voices with anything
/// in common are one person's.
#[derive(Clone, Debug, Default)]
pub(super) struct IdentitySet(BTreeSet<(IdentityKind, String)>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum IdentityKind {
    User,
    Account,
}

impl IdentitySet {
    pub(super) fn user(name: &str) -> Self {
        let mut voice = Self::default();
        voice.add_user(name);
        voice
    }

    fn users(names: &[String]) -> Self {
        let mut voice = Self::default();
        names.iter().for_each(|name| voice.add_user(name));
        voice
    }

    fn of(person: &Reviewer) -> Self {
        let mut voice = Self::default();
        person.aliases().for_each(|name| voice.add_user(name));
        person.accounts().iter().for_each(|account| voice.add_account(account));
        voice
    }

    fn add_user(&mut self, name: &str) {
        self.0.insert((IdentityKind::User, name.trim().to_lowercase()));
    }

    fn add_account(&mut self, account: &SlackUserId) {
        self.0.insert((IdentityKind::Account, account.to_string()));
    }

    pub(super) fn overlaps(&self, other: &Self) -> bool {
        !self.0.is_disjoint(&other.0)
    }

    pub(super) fn merge(&mut self, other: Self) {
        self.0.extend(other.0);
    }
}
