//! `teleport-slack resources`: prints the role and the user for Teleport that fit the configuration.
//!
//! It comes before the certificate and the tokens, so it reads none. Which rights a feature needs is in
//! `teleport_client::resources`.

use std::path::{Path, PathBuf};

use access_core::policy::ModeSetting;
use teleport_client::Credentials;
use teleport_client::resources::{
    DIRECTORY, Decisions, Features, NAME, RoleVersion, TBOT_FILE, TbotServer, role_yaml, tbot_yaml, user_yaml,
};

use crate::config::{self, Config, ReviewConfig};
use crate::exit::ExitError;

/// What the help says below the arguments.
pub const HELP: &str = "\
The role has the fewest rights with which the configuration works. Tokens and certificates need not be there yet, and no
file that the configuration names is read. With --mode no configuration is needed.

A certificate that tctl signs lasts as long as --ttl says. tbot, the agent of Teleport's Machine ID, renews one every
20 minutes instead: print its role and its configuration.

Examples:
  teleport-slack resources -c teleport-slack.toml > access.yaml
  tctl create -f access.yaml
  tctl auth sign --format=tls --user=access-plugin --out=auth --ttl=8760h

  teleport-slack resources -c teleport-slack.toml --print=role > role.yaml
  tctl create -f role.yaml
  tctl bots add access-plugin --roles=access-plugin
  teleport-slack resources -c teleport-slack.toml --print=tbot > tbot.yaml";

/// The arguments of `resources`.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// The configuration file.
    #[arg(short, long, value_name = "PATH", default_value = config::DEFAULT_PATH)]
    pub config: PathBuf,
    /// What the role is for, instead of what a configuration says.
    #[arg(long, value_enum, conflicts_with = "config")]
    pub mode: Option<Mode>,
    /// With --mode: users are found by a trait, or whatever their capitals.
    #[arg(long, requires = "mode")]
    pub list_users: bool,
    /// The cluster's major release, such as 6 or 18. Without it the role is of version v4, for every release from 7 on.
    #[arg(long, value_name = "MAJOR", value_parser = major_release)]
    pub teleport_version: Option<u32>,
    /// What to print.
    #[arg(long, value_enum, default_value_t = Print::All)]
    pub print: Print,
}

/// What users can do in Slack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Mode {
    /// Nothing: messages have no buttons.
    Notify,
    /// Decide, judged by the rules of the configuration.
    Resolver,
    /// Decide, judged by Teleport (Enterprise, release 18 or later), as any user.
    Reviewer,
}

/// A part of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Print {
    /// The role and the user, for `tctl create -f`.
    All,
    /// The role alone: `tctl bots add` makes a user of its own.
    Role,
    /// The configuration of tbot.
    Tbot,
}

/// The number of a major release.
fn major_release(text: &str) -> Result<u32, String> {
    match text.trim_start_matches('v').split_once('.') {
        Some((major, _)) if major.parse::<u32>().is_ok() => {
            Err(format!("only the major release is wanted: {major}"))
        }
        _ => match text.parse() {
            Ok(major @ 6..1000) => Ok(major),
            _ => Err("the number of a major release is wanted, 6 or later, such as 18".to_owned()),
        },
    }
}

pub fn run(args: Args) -> Result<(), ExitError> {
    let (features, config) = match args.mode {
        Some(mode) => (features_of_mode(mode, args.list_users), None),
        None => {
            let config = config::load_without_secrets(&args.config)?.config;
            (features(&config), Some(config))
        }
    };
    let version = args.teleport_version.map(RoleVersion::of_release).unwrap_or_default();
    super::print(&match args.print {
        Print::All => format!(
            "# For `tctl create -f`. {}\n{}---\n# After its role: newer servers refuse a user whose role is not there yet.\n{}",
            purpose(&features),
            role_yaml(&features, version),
            user_yaml()
        ),
        Print::Role => {
            format!("# For `tctl create -f`. {}\n{}", purpose(&features), role_yaml(&features, version))
        }
        Print::Tbot => tbot(config.as_ref()),
    })
}

fn features_of_mode(mode: Mode, lists_users: bool) -> Features {
    let decisions = match mode {
        Mode::Notify => None,
        Mode::Resolver => Some(Decisions::SetState),
        Mode::Reviewer => Some(Decisions::SubmitReviews(None)),
    };
    // The approvers of rules are users by name, unless all of them are groups of Slack.
    let names_users = mode == Mode::Resolver;
    Features { decisions, lists_users, names_users }
}

/// What this configuration uses of Teleport.
pub fn features(config: &Config) -> Features {
    let Some(review) = &config.review else { return Features::default() };
    Features {
        decisions: Some(decisions(review)),
        lists_users: review.user_mapping().lists_users(),
        names_users: review.named_users().next().is_some(),
    }
}

fn decisions(review: &ReviewConfig) -> Decisions {
    // Without the right to submit reviews, and with rules, `auto` sets the state, on every release.
    let submits = match review.mode {
        ModeSetting::Reviewer => true,
        ModeSetting::Resolver => false,
        ModeSetting::Auto => review.rules.0.is_empty(),
    };
    if !submits {
        return Decisions::SetState;
    }
    let is_table_all = review.slack_user_id_trait.is_none() && !review.allow_email_username_match;
    Decisions::SubmitReviews(is_table_all.then(|| {
        let mut users: Vec<_> = review.users.values().cloned().collect();
        users.sort();
        users.dedup();
        users
    }))
}

/// One line for the head of the output.
fn purpose(features: &Features) -> &'static str {
    match features.decisions {
        None => "Messages in Slack have no buttons.",
        Some(Decisions::SetState) => "Users decide in Slack, and the rules of the configuration judge.",
        Some(Decisions::SubmitReviews(_)) => "Users decide in Slack, and Teleport judges.",
    }
}

fn tbot(config: Option<&Config>) -> String {
    let addr = config.map(|config| &config.teleport.addr);
    let shown = addr.map_or("auth.example.com:3025".to_owned(), ToString::to_string);
    let server = match addr {
        Some(addr) if addr.is_web_port() => TbotServer::Proxy(&shown),
        _ => TbotServer::Auth(&shown),
    };
    let named = config.and_then(|config| match &config.teleport.credentials {
        Credentials::Identity(file) => file.parent(),
        Credentials::Files { client_key, .. } => client_key.parent(),
    });
    let directory = named.unwrap_or(Path::new(DIRECTORY));
    format!(
        "# For `tbot start -c`, run by the user that runs teleport-slack, for the bot {NAME}. In the configuration of\n\
         # teleport-slack write: identity = {:?}\n{}",
        directory.join(TBOT_FILE),
        tbot_yaml(server, &directory.display().to_string())
    )
}
