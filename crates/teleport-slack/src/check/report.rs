//! What a check found: one item for each thing that it looked at, and the exit status that follows from all of them.
//!
//! How items are shown is in `output.rs`. The ids are published words: scripts look for them, so none changes its meaning.

use crate::causes::Exit;

/// What an item is about. `docs/check.md` explains each, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ItemId {
    ConfigFile,
    ConfigKeys,
    ConfigValues,
    SecretFiles,
    FileAccess,
    Placeholders,
    LogFile,
    Identity,
    CallbackTls,
    NotificationRules,
    ReviewRules,
    InForce,
    TeleportServer,
    TeleportRights,
    TeleportSecondFactor,
    TeleportUsers,
    SlackBotToken,
    SlackAppToken,
    SlackSameApp,
    SlackScopes,
    SlackApprovers,
    SlackRecipients,
    SlackLayouts,
    SlackTestMessages,
    SlackClock,
    CallbackAddress,
    ListenAddresses,
}

impl ItemId {
    /// All of them, in the order of the document.
    pub const ALL: [Self; 27] = [
        Self::ConfigFile,
        Self::ConfigKeys,
        Self::ConfigValues,
        Self::SecretFiles,
        Self::FileAccess,
        Self::Placeholders,
        Self::LogFile,
        Self::Identity,
        Self::CallbackTls,
        Self::NotificationRules,
        Self::ReviewRules,
        Self::InForce,
        Self::TeleportServer,
        Self::TeleportRights,
        Self::TeleportSecondFactor,
        Self::TeleportUsers,
        Self::SlackBotToken,
        Self::SlackAppToken,
        Self::SlackSameApp,
        Self::SlackScopes,
        Self::SlackApprovers,
        Self::SlackRecipients,
        Self::SlackLayouts,
        Self::SlackTestMessages,
        Self::SlackClock,
        Self::CallbackAddress,
        Self::ListenAddresses,
    ];

    /// The published word.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ConfigFile => "config-file",
            Self::ConfigKeys => "config-keys",
            Self::ConfigValues => "config-values",
            Self::SecretFiles => "secret-files",
            Self::FileAccess => "file-access",
            Self::Placeholders => "placeholders",
            Self::LogFile => "log-file",
            Self::Identity => "identity",
            Self::CallbackTls => "callback-tls",
            Self::NotificationRules => "notification-rules",
            Self::ReviewRules => "review-rules",
            Self::InForce => "in-force",
            Self::TeleportServer => "teleport-server",
            Self::TeleportRights => "teleport-rights",
            Self::TeleportSecondFactor => "teleport-second-factor",
            Self::TeleportUsers => "teleport-users",
            Self::SlackBotToken => "slack-bot-token",
            Self::SlackAppToken => "slack-app-token",
            Self::SlackSameApp => "slack-same-app",
            Self::SlackScopes => "slack-scopes",
            Self::SlackApprovers => "slack-approvers",
            Self::SlackRecipients => "slack-recipients",
            Self::SlackLayouts => "slack-layouts",
            Self::SlackTestMessages => "slack-test-messages",
            Self::SlackClock => "slack-clock",
            Self::CallbackAddress => "callback-address",
            Self::ListenAddresses => "listen-addresses",
        }
    }
}

/// How serious it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It was looked at, and it is as it should be.
    Ok,
    /// The daemon works, but a person may have to act; or it could not be looked at.
    Warning,
    /// It does not work.
    Failed,
}

/// Why an item is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The exit status that it leads to, if it counts.
    pub exit: Exit,
    /// The cause.
    pub cause: String,
    /// What to do about it.
    pub remedy: String,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Item {
    /// What it is about.
    pub id: ItemId,
    /// How serious it is.
    pub status: Status,
    /// Of several with the same id, which one: a key, a file, a recipient, a right. Empty if there is one only.
    pub subject: String,
    /// What was found, on one line.
    pub summary: String,
    /// Unless the status is [`Status::Ok`].
    pub problem: Option<Problem>,
}

impl Item {
    /// One that is as it should be.
    pub fn ok(id: ItemId, summary: impl Into<String>) -> Self {
        Self { id, status: Status::Ok, subject: String::new(), summary: summary.into(), problem: None }
    }

    /// One that a person may have to act on.
    pub fn warning(
        id: ItemId,
        exit: Exit,
        summary: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        let problem = Problem { exit, cause: cause.into(), remedy: remedy.into() };
        Self { status: Status::Warning, problem: Some(problem), ..Self::ok(id, summary) }
    }

    /// One that does not work.
    pub fn failed(
        id: ItemId,
        exit: Exit,
        summary: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { status: Status::Failed, ..Self::warning(id, exit, summary, cause, remedy) }
    }

    /// One that could not be looked at; `remedy` says what would show it.
    pub fn not_looked_at(
        id: ItemId,
        exit: Exit,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self::warning(id, exit, "not looked at", cause, remedy)
    }

    /// Those that could not be looked at for one cause.
    pub fn none_looked_at(
        ids: impl IntoIterator<Item = ItemId>,
        exit: Exit,
        cause: &str,
        remedy: &str,
    ) -> Vec<Self> {
        ids.into_iter().map(|id| Self::not_looked_at(id, exit, cause, remedy)).collect()
    }

    /// The same, about this one of several.
    #[must_use]
    pub fn of(self, subject: impl Into<String>) -> Self {
        Self { subject: subject.into(), ..self }
    }
}

/// Everything that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// In the order in which it was looked at.
    pub items: Vec<Item>,
}

/// What to do about all that could not be looked at because of another item.
pub(super) const REMEDY_ABOVE: &str = "correct what is wrong above, and check again";

impl Report {
    /// How many items have this status.
    pub fn count(&self, status: Status) -> usize {
        self.items.iter().filter(|item| item.status == status).count()
    }

    /// The exit status; `None` for success. Warnings count only if `strict`. What is to be fixed first comes first: the
    /// configuration, then credentials and rights, then a side that is away.
    pub fn exit(&self, strict: bool) -> Option<Exit> {
        let counts = |item: &&Item| item.status == Status::Failed || strict;
        let exits: Vec<_> =
            self.items.iter().filter(counts).filter_map(|item| Some(item.problem.as_ref()?.exit)).collect();
        let order = [Exit::Configuration, Exit::Credentials];
        order.into_iter().find(|exit| exits.contains(exit)).or(exits.first().map(|_| Exit::Failed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(problems: &[(Status, Exit)]) -> Report {
        let item = |(status, exit): &(Status, Exit)| Item {
            status: *status,
            ..Item::warning(ItemId::ConfigFile, *exit, "", "", "")
        };
        let ok = Item::ok(ItemId::ConfigFile, "");
        Report { items: std::iter::once(ok).chain(problems.iter().map(item)).collect() }
    }

    #[test]
    fn the_exit_status_is_that_of_what_is_to_be_fixed_first() {
        use Exit::{Configuration, Credentials, Failed};
        use Status::{Failed as Bad, Warning};
        for (problems, exit, strict) in [
            (&[][..], None, None),
            (&[(Warning, Credentials)], None, Some(Credentials)),
            (&[(Bad, Failed)], Some(Failed), Some(Failed)),
            (&[(Bad, Failed), (Bad, Credentials)], Some(Credentials), Some(Credentials)),
            (&[(Bad, Credentials), (Bad, Configuration)], Some(Configuration), Some(Configuration)),
            (&[(Bad, Failed), (Warning, Configuration)], Some(Failed), Some(Configuration)),
        ] {
            let report = report(problems);
            assert_eq!((report.exit(false), report.exit(true)), (exit, strict), "{problems:?}");
        }
    }

    #[test]
    fn the_document_lists_every_item() {
        let document = include_str!("../../../../docs/check.md");
        let rows = document.lines().skip_while(|line| !line.starts_with("| id |")).skip(2);
        let rows = rows.take_while(|line| line.starts_with('|'));
        let listed: Vec<_> = rows.filter_map(|row| row.split('`').nth(1)).collect();
        assert_eq!(listed, ItemId::ALL.map(ItemId::as_str));
    }

    #[test]
    fn no_two_items_have_the_same_id() {
        let ids: std::collections::BTreeSet<_> = ItemId::ALL.map(ItemId::as_str).into();
        assert_eq!(ids.len(), ItemId::ALL.len());
    }
}
