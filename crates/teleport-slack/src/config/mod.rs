//! The configuration file: read, checked as a whole, and valid from then on.
//!
//! [`load`] reads a file (before there are tokens, [`load_without_secrets`]), [`parse`] a text; all give a [`Config`] that holds no invalid value, or every mistake
//! at once, each with its line and its remedy. The way through the files: `schema.rs` lists the keys, `raw.rs`
//! reads the TOML as it is written, `validate.rs` gives it meaning. What each key does is in
//! `docs/configuration.md`; `example.toml` is what `teleport-slack configure` prints.

mod address;
mod diagnostics;
mod duplicates;
mod encoding;
mod file_id;
mod http;
mod lines;
mod log;
mod modes;
mod names;
mod network;
mod outbound;
mod raw;
mod recipient;
mod report;
mod review;
mod role;
mod rule;
mod schema;
mod setting_names;
mod source;
mod token;
mod toml_mistakes;
mod unseen;
mod users;
mod validate;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use access_core::domain::recipients::{Recipient, Rules};
use access_core::domain::role_pattern::RolePattern;
use teleport_client::{Credentials, TeleportAddr};

pub use self::address::ApiUrl;
pub use self::diagnostics::{DiagnosticsConfig, StatusAccess};
pub use self::encoding::NotUtf8;
pub(crate) use self::file_id::FileId;
pub use self::http::{HttpConfig, TlsFiles};
pub use self::log::{LogConfig, LogFormat, LogOutput, Severity};
pub(crate) use self::modes::{Sensitivity, open_to_others, warnings_of_folders};
pub use self::network::Network;
pub use self::outbound::NetworkConfig;
pub(crate) use self::report::UNUSABLE_FILE;
pub use self::report::{Diagnostic, Diagnostics, Topic};
pub use self::review::{ReviewConfig, ReviewTransport};
pub(crate) use self::setting_names::{ConfiguredIdentityError, slack_setting};
use self::source::Source;
pub use self::source::{ReadTokenFile, TokenFile, read_token_file};
pub use self::token::{TokenKind, reread};
use access_core::domain::error_chain::chain;
use access_core::domain::secret::Secret;
use client_base::files;
use client_base::folders::open_folders;
use client_base::forward_proxy::{Proxies, Target, Way};
use client_base::outbound::Outbound;
use teleport_client::Destination;

/// Where the configuration is unless `-c` says otherwise.
pub const DEFAULT_PATH: &str = "/etc/teleport-slack.toml";
/// The commented example, as `teleport-slack configure` prints it.
pub const EXAMPLE: &str = include_str!("example.toml");
/// No configuration is anywhere near this long, in bytes; it bounds what is read.
const MAX_FILE: u64 = 1024 * 1024;

/// A valid configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The cluster and the way in.
    pub teleport: TeleportConfig,
    /// The table `[slack]`: the token and the recipients for all requests.
    pub slack: SlackConfig,
    /// The recipients of requests for a role, in the order of the file; `*` alone stands for the roles that nothing else
    /// lists.
    pub role_to_recipients: Vec<(RolePattern, Vec<Recipient>)>,
    /// Deciding in Slack; `None` if it is off.
    pub review: Option<ReviewConfig>,
    /// Where health, metrics and the state of the daemon are served; `None` if nowhere.
    pub diagnostics: Option<DiagnosticsConfig>,
    /// The way out of this machine.
    pub network: NetworkConfig,
    /// The table `[log]`: severity, output and format.
    pub log: LogConfig,
}

impl Config {
    /// Which recipients get which request.
    pub fn rules(&self) -> Rules {
        Rules { always: self.slack.recipients.clone(), by_role: self.role_to_recipients.clone() }
    }

    /// Completes "Slack is reached …".
    pub fn way_to_slack(&self) -> String {
        let url = self.slack.api_url.as_str().parse();
        url.map_or(Way::Direct, |url| self.network.outbound.proxies.way_to(&url)).to_string()
    }

    /// Where Teleport is and the way there.
    pub fn teleport_destination(&self) -> Destination {
        let NetworkConfig { outbound, proxy_for_teleport, .. } = &self.network;
        let proxies = if *proxy_for_teleport { outbound.proxies.clone() } else { Proxies::default() };
        Destination { addr: self.teleport.addr.clone(), outbound: Outbound { proxies, ..outbound.clone() } }
    }

    /// Completes "connections to Teleport go …", where a forward proxy is asked for.
    pub fn way_to_teleport(&self) -> Option<String> {
        let Destination { addr, outbound } = self.teleport_destination();
        let way = outbound.proxies.way(&Target::new(addr.host(), addr.port()));
        self.network.proxy_for_teleport.then(|| way.to_string())
    }
}

/// The cluster and the way in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TeleportConfig {
    /// The address of the auth server or the proxy, `host:port`.
    pub addr: TeleportAddr,
    /// Who the daemon is.
    pub credentials: Credentials,
}

/// The workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SlackConfig {
    /// The bot token, `xoxb-…`.
    pub token: Secret,
    /// The recipients, each once, in the order of the file.
    pub recipients: Vec<Recipient>,
    /// The Web API's address.
    pub api_url: ApiUrl,
}

/// What could be read of a configuration, part by part: a mistake in one of them leaves the others.
#[derive(Clone, Debug, Default)]
pub struct Parts {
    /// The address of the auth server.
    pub addr: Option<TeleportAddr>,
    /// Who the daemon is.
    pub credentials: Option<Credentials>,
    /// The table `[slack]`.
    pub slack: Option<SlackConfig>,
    /// The recipients of requests for a role.
    pub role_to_recipients: Option<Vec<(RolePattern, Vec<Recipient>)>>,
    /// Deciding in Slack; also `None` if it is off.
    pub review: Option<ReviewConfig>,
    /// Where health, metrics and the state of the daemon are served, if somewhere.
    pub diagnostics: Option<Option<DiagnosticsConfig>>,
    /// The way out of this machine.
    pub network: Option<NetworkConfig>,
    /// The table `[log]`.
    pub log: Option<LogConfig>,
    /// The format of the log, also if something else in the table is wrong.
    pub log_format: Option<LogFormat>,
}

impl From<&Config> for Parts {
    fn from(config: &Config) -> Self {
        let Config { teleport, slack, role_to_recipients, review, diagnostics, network, log } =
            config.clone();
        Self {
            addr: Some(teleport.addr),
            credentials: Some(teleport.credentials),
            slack: Some(slack),
            role_to_recipients: Some(role_to_recipients),
            review,
            diagnostics: Some(diagnostics),
            network: Some(network),
            log_format: Some(log.format),
            log: Some(log),
        }
    }
}

impl Parts {
    /// The configuration, if no part is missing.
    fn into_config(self) -> Option<Config> {
        Some(Config {
            teleport: TeleportConfig { addr: self.addr?, credentials: self.credentials? },
            slack: self.slack?,
            role_to_recipients: self.role_to_recipients?,
            review: self.review,
            diagnostics: self.diagnostics?,
            network: self.network?,
            log: self.log?,
        })
    }
}

/// A configuration as far as it could be read, and everything that is to be said of it.
#[derive(Clone, Debug)]
pub struct Examined {
    /// What could be read.
    pub parts: Parts,
    /// The mistakes; a part is missing only where there is one.
    pub errors: Diagnostics,
    /// What is worth a warning.
    pub warnings: Vec<Diagnostic>,
}

impl Examined {
    /// The configuration of this file, if nothing is wrong in it.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] with every mistake.
    pub fn into_loaded(self, path: &Path) -> Result<Loaded, ConfigError> {
        let Self { parts, errors, warnings } = self;
        match parts.into_config() {
            Some(config) if errors.as_slice().is_empty() => Ok(Loaded { config, warnings }),
            _ => Err(ConfigError::Invalid { path: path.to_owned(), findings: errors }),
        }
    }
}

/// A valid configuration, and its warnings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// What the file says, checked.
    pub config: Config,
    /// For the log, once it is open.
    pub warnings: Vec<Diagnostic>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file does not exist.
    #[error(
        "there is no configuration file {}; make one with `teleport-slack configure > teleport-slack.toml`, edit it, \
         and name it with -c or move it there",
        path.display()
    )]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The file may not be read.
    #[error(
        "the configuration file {} may not be read; give the user that runs teleport-slack the right to",
        path.display()
    )]
    Forbidden {
        /// The path of the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file cannot be read for another reason.
    #[error("the configuration file {} cannot be read; it must be a regular file of text", path.display())]
    Unreadable {
        /// The path of the file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is longer than any configuration.
    #[error("the configuration file {} is larger than 1 MiB; is it the right file?", path.display())]
    TooLarge {
        /// The path of the file.
        path: PathBuf,
    },
    /// The file is not text.
    #[error(
        "the configuration file {} is not UTF-8 text: {found}; save the file as UTF-8",
        path.display()
    )]
    NotText {
        /// The path of the file.
        path: PathBuf,
        /// What it is instead, or where it is something else.
        found: NotUtf8,
    },
    /// The file was read and is wrong.
    #[error("{}:{}", findings.summary(), Shown { path, findings })]
    Invalid {
        /// The path of the file.
        path: PathBuf,
        /// What is wrong in it.
        findings: Diagnostics,
    },
}

impl ConfigError {
    /// Each mistake on a line of its own: `FILE:LINE: KEY: cause; remedy`.
    pub fn lines(&self) -> Vec<String> {
        let Self::Invalid { path, findings } = self else { return vec![chain(self)] };
        findings.as_slice().iter().map(|finding| finding.in_file(path)).collect()
    }
}

struct Shown<'a> {
    path: &'a Path,
    findings: &'a Diagnostics,
}

impl std::fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.findings.write(&self.path.display().to_string(), f)
    }
}

/// Reads and checks a configuration file, and the token files it names.
pub fn load(path: &Path) -> Result<Loaded, ConfigError> {
    examine(path)?.into_loaded(path)
}

/// The same before there are tokens and a signing secret: their keys may hold anything, no file that they name is read, and
/// the secrets of the result are empty. That `[review]` has one key or the other says how clicks arrive.
pub fn load_without_secrets(path: &Path) -> Result<Loaded, ConfigError> {
    examine_file(path, true)?.into_loaded(path)
}

/// Reads what there is of a configuration file, and of the token files it names.
///
/// # Errors
/// If the file cannot be read as text. What is wrong in it is part of the value.
pub fn examine(path: &Path) -> Result<Examined, ConfigError> {
    examine_file(path, false)
}

fn examine_file(path: &Path, without_secrets: bool) -> Result<Examined, ConfigError> {
    let owned = || path.to_owned();
    let (bytes, permissions) = files::read(path, MAX_FILE).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ConfigError::Missing { path: owned() },
        io::ErrorKind::PermissionDenied => ConfigError::Forbidden { path: owned(), source },
        io::ErrorKind::FileTooLarge => ConfigError::TooLarge { path: owned() },
        _ => ConfigError::Unreadable { path: owned(), source },
    })?;
    let text = encoding::decode(bytes).map_err(|found| ConfigError::NotText { path: owned(), found })?;
    let source = Source {
        path,
        permissions,
        read: &read_token_file,
        without_secrets,
        read_certificates: &source::read_certificates,
        environment: &source::environment,
        look_at: &source::look_at,
        look_at_folders: &open_folders,
    };
    Ok(validate::examine(&text, &source))
}

/// Checks a configuration text as if it stood in the file `path` and no variable of the environment was set; nothing but
/// `read` touches the disk.
pub fn parse(text: &str, path: &Path, read: ReadTokenFile<'_>) -> Result<Loaded, ConfigError> {
    parse_with(text, path, read, &|_| None)
}

/// The same with these variables of the environment.
fn parse_with(
    text: &str,
    path: &Path,
    read: ReadTokenFile<'_>,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<Loaded, ConfigError> {
    let source = Source {
        path,
        permissions: None,
        read,
        without_secrets: false,
        read_certificates: &|path| read(path).map(|file| file.text.expose().as_bytes().to_vec()),
        environment,
        look_at: &|_| None,
        look_at_folders: &|_, _| Vec::new(),
    };
    validate::examine(text, &source).into_loaded(path)
}
