//! Whether Slack would show it: Slack's limits are checked here, and Slack is asked by `blocks.validate`, which shows nothing to
//! any user.

use std::time::Duration;

use serde::Serialize;
use slack_client::validation::{LayoutError, Validation};

use super::items::{Item, Payload};
use super::limits;
use crate::check::online::{layouts, slack_exit};
use crate::config::{Config, slack_setting};
use crate::exit::{Exit, ExitError};

/// What is said of one item.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Judgment {
    pub(crate) verdict: Verdict,
    /// Why it is refused, each with its place.
    pub(crate) errors: Vec<String>,
}

/// What comes of a judgment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// Slack would show it.
    Valid,
    /// It would not, or the text is beyond a limit of Slack.
    Invalid,
    /// It has no layout, so there is nothing to ask; it is within the limits of a text.
    Text,
    /// It is within the limits, and Slack was not asked.
    WithinLimits,
    /// It is within the limits, and what answers does not know the method.
    Unknown,
}

impl Judgment {
    /// Whether it is not shown as it is.
    pub(crate) fn is_bad(&self) -> bool {
        self.verdict == Verdict::Invalid
    }

    /// The judgment in words.
    pub(crate) fn sentence(&self) -> String {
        match self.verdict {
            Verdict::Valid => "Slack would show it".to_owned(),
            Verdict::Invalid if self.errors.is_empty() => "Slack would not show it, and does not say why".to_owned(),
            Verdict::Invalid => format!("Slack would not show it: {}", self.errors.join("; ")),
            Verdict::Text => "a text without a layout, which Slack shows always; within Slack's limits".to_owned(),
            Verdict::WithinLimits => "within Slack's limits; Slack was not asked".to_owned(),
            Verdict::Unknown => {
                "within Slack's limits; this workspace, or what stands in for Slack, does not know blocks.validate"
                    .to_owned()
            }
        }
    }
}

/// The judgment on each, in their order. Without a configuration, Slack is not asked.
///
/// # Errors
/// If Slack gives no answer.
pub(crate) async fn judge(items: &[Item], config: Option<&Config>) -> Result<Vec<Judgment>, ExitError> {
    let slack = config.map(|config| {
        slack_client::Client::new(slack_client::ClientOptions {
            api_url: config.slack.api_url.as_str().to_owned(),
            setting_names: slack_setting,
            ..slack_client::ClientOptions::new(config.slack.token.clone())
        })
    });
    let slack = slack.transpose().map_err(|error| ExitError::new(Exit::Failed, error))?;
    let (mut waited, mut is_known) = (Duration::ZERO, true);
    let mut judgments = Vec::new();
    for item in items {
        let errors = limits::violations(&item.payload.value());
        let has_layout = !matches!(&item.payload, Payload::Message(message) if message.blocks().is_empty());
        let (verdict, errors) = match &slack {
            _ if !errors.is_empty() => (Verdict::Invalid, errors),
            _ if !has_layout => (Verdict::Text, errors),
            None => (Verdict::WithinLimits, errors),
            Some(_) if !is_known => (Verdict::Unknown, errors),
            Some(slack) => match layouts::ask(slack, &item.payload.sample(), &mut waited).await {
                Ok(Validation::Valid) => (Verdict::Valid, errors),
                Ok(Validation::NotAsked) => {
                    is_known = false;
                    (Verdict::Unknown, errors)
                }
                Ok(Validation::Invalid(errors)) => (Verdict::Invalid, errors.iter().map(words).collect()),
                Err(error) => {
                    let words = format!(
                        "Slack did not say whether it would show it: {}",
                        error.with_remedy(slack_setting)
                    );
                    return Err(ExitError::new(slack_exit(&error), words));
                }
            },
        };
        judgments.push(Judgment { verdict, errors });
    }
    Ok(judgments)
}

fn words(error: &LayoutError) -> String {
    format!("{} {} {}", error.pointer, error.code, error.message).trim().to_owned()
}
