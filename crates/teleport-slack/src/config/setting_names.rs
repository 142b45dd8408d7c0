//! What the clients' settings are called in the configuration: the clients do not know its keys.

use std::error::Error;
use std::fmt;

use slack_client::error::Setting;
use teleport_client::identity::IdentityError;

/// The key or keys of a setting, for remedies.
pub(crate) fn slack_setting(setting: Setting) -> &'static str {
    match setting {
        Setting::ApiUrl => "slack.api_url",
        Setting::BotToken => "slack.token",
        Setting::AppToken => "review.app_token",
        Setting::BothTokens => "slack.token and review.app_token",
        Setting::Interactivity => {
            "review.app_token for Socket Mode, or review.signing_secret and [http] for HTTP callbacks"
        }
        Setting::UserGroups => "[[review.rule]]",
        Setting::Connection => "slack.api_url and network.proxy",
        Setting::Proxy => "network.proxy, or HTTPS_PROXY in the environment",
        Setting::CaFile => "network.ca_file",
    }
}

/// An unusable identity, with the keys that it is about.
#[derive(Debug)]
pub(crate) struct ConfiguredIdentityError(pub(crate) IdentityError);

impl fmt::Display for ConfiguredIdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)?;
        match self.0 {
            IdentityError::CertificateForKey { .. } | IdentityError::KeyForCertificate { .. } => {
                f.write_str(" (settings: teleport.client_key and teleport.client_crt)")
            }
            IdentityError::OtherForCas { .. } => f.write_str(" (setting: teleport.root_cas)"),
            IdentityError::IdentityForCertificate { .. } => f.write_str(" (setting: teleport.identity)"),
            _ => Ok(()),
        }
    }
}

impl Error for ConfiguredIdentityError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source()
    }
}
