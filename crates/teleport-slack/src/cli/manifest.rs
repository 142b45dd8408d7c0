//! `teleport-slack manifest`: prints the manifest of a Slack app that fits the configuration.
//!
//! It comes before the app, so it wants no token and reads none. Which scopes a feature needs, and what Slack accepts, is in
//! `slack_client::manifest`.

use std::path::PathBuf;

use access_core::domain::recipients::Recipient;
use access_core::policy::Approver;
use slack_client::manifest::{self, Features, Interactivity};

use crate::config::{self, Config, ReviewTransport};
use crate::exit::{Exit, ExitError};
use crate::http::interactivity::request_url;

/// What the help says below the arguments.
pub const HELP: &str = "\
Tokens and secrets need not be there yet: their keys may hold any text, and no file that they name is read. Whether
[review] has app_token or signing_secret says how clicks arrive.

At https://api.slack.com/apps choose \"Create New App\", \"From a manifest\", and paste the output. Slack offers the scopes in
bot_optional for choice when the app is installed: for looking channels up, and for looking after a crash whether a message
is there already.

Example:
  teleport-slack manifest -c teleport-slack.toml > manifest.yaml";

/// The arguments of `manifest`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "PATH", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// The form of the output; Slack takes both.
    #[arg(long, value_enum, default_value_t = Format::Yaml)]
    pub format: Format,
}

/// A form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    Yaml,
    Json,
}

pub fn run(args: Args) -> Result<(), ExitError> {
    let loaded = config::load_without_secrets(&args.config)?;
    let manifest = manifest::manifest(&features(&loaded.config)?);
    if let Some(broken) = manifest::violations(&manifest).first() {
        let words = format!(
            "the manifest would not be accepted: {} must be: {} ({}); this is a bug, please report it",
            broken.pointer, broken.rule, broken.source
        );
        return Err(ExitError::new(Exit::Failed, words));
    }
    super::print(&match args.format {
        Format::Yaml => manifest::to_yaml(&manifest),
        Format::Json => format!("{manifest:#}\n"),
    })
}

/// What this configuration uses of Slack.
fn features(config: &Config) -> Result<Features, ExitError> {
    let mut features = Features::default();
    for recipient in config.rules().named() {
        match recipient {
            Recipient::ChannelId(_) => (features.channels, features.channel_ids) = (true, true),
            Recipient::ChannelName(_) => features.channels = true,
            Recipient::User(_)
            | Recipient::Email(_)
            | Recipient::DirectMessage(_)
            | Recipient::Reviewer(_) => {}
        }
    }
    if let Some(review) = &config.review {
        let mut approvers = review.rules.0.iter().flat_map(|rule| &rule.approvers);
        features.user_groups = approvers.any(|approver| matches!(approver, Approver::Group(_)));
        features.interactivity = Some(match &review.transport {
            ReviewTransport::SocketMode { .. } => Interactivity::SocketMode,
            ReviewTransport::Http { listener, .. } => {
                let Some(address) = &listener.public_addr else {
                    let words = "http.public_addr is missing: the manifest must say where Slack reaches the daemon; write \
                                 it as \"https://teleport-slack.example.com\"";
                    return Err(ExitError::new(Exit::Configuration, words));
                };
                if !address.starts_with("https://") {
                    let words = "http.public_addr must begin with https:// for a manifest: Slack sends clicks there over TLS";
                    return Err(ExitError::new(Exit::Configuration, words));
                }
                Interactivity::RequestUrl(request_url(address))
            }
        });
    }
    Ok(features)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::check::online::scopes;

    #[test]
    fn an_app_made_by_the_manifest_has_every_scope_that_a_check_looks_for() {
        let rule = "[[review.rule]]\nroles = \"dba\"\napprovers =";
        let reviews = [
            String::new(),
            format!(
                "[review]\nenabled = true\napp_token = \"xapp-1\"\nallow_email_username_match = true\n{rule} \"a@b.c\"\n"
            ),
            format!(
                "[review]\nenabled = true\napp_token = \"xapp-1\"\nslack_user_id_trait = \"t\"\n{rule} \"S0DBA\"\n"
            ),
        ];
        for recipient in ["team", "C0TEAM", "D0DIRECT", "U0BOB", "bob@example.com"] {
            for review in &reviews {
                let text = format!(
                    "[teleport]\naddr = \"a\"\nidentity = \"i\"\n[slack]\ntoken = \"xoxb-1\"\nrecipients = \"{recipient}\"\n{review}"
                );
                let loaded =
                    config::parse(&text, Path::new("a.toml"), &|_| Err(std::io::ErrorKind::NotFound.into()));
                let config = loaded.unwrap().config;
                let (asked, _) = manifest::scopes(&features(&config).unwrap());
                for need in scopes::all(&config.rules(), config.review.as_ref()) {
                    assert!(asked.contains(&need.scope), "{}: {text}", need.scope);
                }
            }
        }
    }
}
