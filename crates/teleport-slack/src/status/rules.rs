//! The rules in force: who is notified, and who decides, as the configuration in use says.

use access_core::domain::recipients::Recipient;
use access_core::policy::rules::{Approver, ReasonPolicy};
use access_core::policy::{Mode, ModeSetting};

use super::view::{Listed, Review, RoleRecipients, Rule, Rules, text};
use crate::config::{Config, ReviewConfig};

/// Entries that are listed of each list of the configuration.
const MAX_ENTRIES: usize = 100;

pub(super) fn rules(config: &Config, in_effect: Option<Mode>) -> Rules {
    let by_role = config.role_to_recipients.iter().map(|(role, recipients)| RoleRecipients {
        role: text(role.as_str()),
        recipients: named(recipients),
    });
    Rules {
        recipients: named(&config.slack.recipients),
        role_to_recipients: Listed::first(by_role, MAX_ENTRIES),
        review: config.review.as_ref().map(|config| review(config, in_effect)),
    }
}

fn named(recipients: &[Recipient]) -> Listed<String> {
    Listed::first(recipients.iter().map(|recipient| text(recipient.key().as_str())), MAX_ENTRIES)
}

fn review(config: &ReviewConfig, in_effect: Option<Mode>) -> Review {
    Review {
        mode: match config.mode {
            ModeSetting::Auto => "auto",
            ModeSetting::Reviewer => "reviewer",
            ModeSetting::Resolver => "resolver",
        },
        mode_in_effect: in_effect.map(|mode| match mode {
            Mode::Reviewer => "reviewer",
            Mode::Resolver => "resolver",
        }),
        slack_user_id_trait: config.slack_user_id_trait.as_ref().map(text),
        allow_email_username_match: config.allow_email_username_match,
        users: config.users.len(),
        rules: Listed::first(config.rules.0.iter().map(rule), MAX_ENTRIES),
    }
}

fn rule(rule: &access_core::policy::rules::Rule) -> Rule {
    let approver = |approver: &Approver| match approver {
        Approver::User(name) | Approver::Group(name) => text(name),
    };
    Rule {
        roles: Listed::first(rule.roles.iter().map(|role| text(role.as_str())), MAX_ENTRIES),
        approvers: Listed::first(rule.approvers.iter().map(approver), MAX_ENTRIES),
        approvals: rule.approvals,
        denials: rule.denials,
        reason: match rule.reason {
            ReasonPolicy::Off => "off",
            ReasonPolicy::Optional => "optional",
            ReasonPolicy::Required => "required",
        },
        confirm: rule.confirm,
        teleport_only: rule.teleport_only,
    }
}
