//! What a person can do about an error, and which setting that is about.

use std::fmt;

/// A setting that a remedy is about. What it is called, only the program that uses the client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setting {
    /// The address of Slack's API.
    ApiUrl,
    /// The bot token.
    BotToken,
    /// The app-level token, for Socket Mode.
    AppToken,
    /// Both tokens: they are of two apps.
    BothTokens,
    /// The choice between Socket Mode and HTTP callbacks.
    Interactivity,
    /// The ids of user groups.
    UserGroups,
    /// The address of Slack's API, and the way to it.
    Connection,
    /// The address of the forward proxy.
    Proxy,
    /// The file of further authorities to trust.
    CaFile,
}

/// What a program calls a setting, such as a key of its configuration; empty if it has no name.
pub type SettingNames = fn(Setting) -> &'static str;

/// For a program whose settings have no names.
pub fn no_names(_: Setting) -> &'static str {
    ""
}

/// What a person can do about an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Half a sentence without a full stop.
    pub text: &'static str,
    /// What it is about, if it is a setting.
    pub setting: Option<Setting>,
}

impl Remedy {
    pub(super) const fn new(text: &'static str) -> Self {
        Self { text, setting: None }
    }

    pub(super) const fn setting(setting: Setting, text: &'static str) -> Self {
        Self { text, setting: Some(setting) }
    }

    /// The text, and behind it what the setting is called.
    pub fn with_name(self, names: SettingNames) -> impl fmt::Display {
        let name = self.setting.map(names).unwrap_or_default();
        let text = self.text;
        fmt::from_fn(move |f| match name {
            "" => f.write_str(text),
            name => write!(f, "{text} (setting: {name})"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_remedy_names_the_setting_as_the_program_calls_it() {
        let names: SettingNames = |setting| if setting == Setting::BotToken { "slack.token" } else { "" };
        let shown = |remedy: Remedy| remedy.with_name(names).to_string();
        assert_eq!(shown(Remedy::new("wait")), "wait");
        assert_eq!(shown(Remedy::setting(Setting::ApiUrl, "check it")), "check it");
        assert_eq!(shown(Remedy::setting(Setting::BotToken, "check it")), "check it (setting: slack.token)");
    }
}
