//! People who vote, for the tests of this crate.

use super::*;
use crate::domain::decision::Decision;
use crate::policy::identity::tests::{bob, installation};
use crate::policy::identity::{UserMapping, Users, identify};
use crate::record::votes::vote;

/// The account that gives the sample vote of this user.
pub(crate) fn account(user: &str) -> SlackUserId {
    vote(user, Decision::Approve).slack_user
}

/// The reviewer that the table links to this Teleport user; the e-mail address is `<user>@example.com` unless it is one.
pub(crate) fn reviewer(user: &str) -> Reviewer {
    let email = if user.contains('@') { user.to_owned() } else { format!("{user}@example.com") };
    reviewer_with(user, &email)
}

/// The same with this e-mail address.
pub(crate) fn reviewer_with(user: &str, email: &str) -> Reviewer {
    let profile =
        crate::policy::identity::SlackProfile { id: account(user), email: Some(email.to_owned()), ..bob() };
    let links = UserMapping { explicit: [(account(user), user.to_owned())].into(), ..UserMapping::default() };
    let now = jiff::Timestamp::UNIX_EPOCH;
    identify(&account(user), &profile, &installation(), &links, Users::Unreadable, now).unwrap()
}

/// The reviewer with this account, linked by the table to this Teleport user.
pub(crate) fn reviewer_by(user: &str, account: SlackUserId) -> Reviewer {
    let profile = crate::policy::identity::SlackProfile { id: account.clone(), email: None, ..bob() };
    let links =
        UserMapping { explicit: [(account.clone(), user.to_owned())].into(), ..UserMapping::default() };
    identify(&account, &profile, &installation(), &links, Users::Unreadable, jiff::Timestamp::UNIX_EPOCH)
        .unwrap()
}

/// These users' accounts, read just now: nothing speaks against them, and they are in these groups.
pub(crate) fn voters(users: &[&str], groups: &[&str]) -> Voters {
    let mut voters = Voters::default();
    for user in users {
        let groups = groups.iter().map(|group| (*group).to_owned()).collect();
        voters.insert(account(user), Some(Voter { reviewer: reviewer(user), groups }));
    }
    voters
}
