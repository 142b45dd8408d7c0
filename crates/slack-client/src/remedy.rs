//! What a person can do about an error, and which setting that is about.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;

use client_base::broken::causes;
use client_base::forward_proxy::TunnelError;
use client_base::tcp::TcpError;

/// Where a remedy of the table says how to bring the bot into a channel: [`invitation`] stands there.
pub(super) const INVITATION: &str = "{invitation}";

/// What helps where no direct message can be sent. The people who blocked the app are not shown to it.
const DIRECT_MESSAGE: &str =
    "correct the person's Slack id (U...) or name another person; a person may have blocked the app";

/// What to type to bring the bot of this name into a channel. Without the name, what leads to it.
pub fn invitation(bot: Option<&str>) -> String {
    match bot {
        Some(name) => format!("type /invite @{name} in the channel"),
        None => "type /invite @ in the channel and choose the app from the list".to_owned(),
    }
}

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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remedy {
    /// Half a sentence without a full stop.
    pub text: Cow<'static, str>,
    /// What it is about, if it is a setting.
    pub setting: Option<Setting>,
}

impl Remedy {
    pub(super) const fn new(text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), setting: None }
    }

    pub(super) const fn setting(setting: Setting, text: &'static str) -> Self {
        Self { text: Cow::Borrowed(text), setting: Some(setting) }
    }

    /// With what people type to invite the bot of this name, where the remedy is that; into a direct message it cannot be invited.
    pub(super) fn for_bot(mut self, bot: Option<&str>, is_direct: bool) -> Self {
        if is_direct && self.text.contains(INVITATION) {
            self.text = DIRECT_MESSAGE.into();
        } else if self.text.contains(INVITATION) {
            self.text = self.text.replace(INVITATION, &invitation(bot)).into();
        }
        self
    }

    /// The text, and behind it what the setting is called.
    pub fn with_name(self, names: SettingNames) -> impl fmt::Display {
        let name = self.setting.map(names).unwrap_or_default();
        let text = self.text;
        fmt::from_fn(move |f| match name {
            "" => f.write_str(&text),
            name => write!(f, "{text} (setting: {name})"),
        })
    }
}

/// What to do when the name of Slack's API has no address here.
pub(super) const UNRESOLVED: Remedy = Remedy::setting(
    Setting::Connection,
    "check this machine's name resolution (/etc/resolv.conf), the host in Slack's API address, and whether only a proxy leads \
     out",
);

/// What to do when there is no way through the proxy.
pub(super) fn proxy_remedy(error: &TunnelError) -> Remedy {
    Remedy::setting(Setting::Proxy, error.remedy())
}

/// What to do when none of the trusted authorities signed the server's certificate.
pub(super) const UNKNOWN_AUTHORITY: Remedy = Remedy::setting(
    Setting::CaFile,
    "name a file with the CA of the proxy or firewall that opens TLS in between; if there is none, check where the address \
     leads",
);

/// What to do when a server shows the certificate of an authority as its own, which no list of trusted ones makes right.
pub(super) const AUTHORITY: Remedy = Remedy::setting(
    Setting::CaFile,
    "let what opens TLS in between use a certificate that its CA signed, in place of the CA's own, and name a file with the CA; if \
     there is nothing in between, check where the address leads",
);

/// Whether the server's certificate is an authority's own. The library has no kind of its own for it.
pub(super) fn is_authority(error: &(dyn Error + 'static)) -> bool {
    let mut tls = causes(error).filter_map(|error| error.downcast_ref::<rustls::Error>());
    tls.any(|error| matches!(error, rustls::Error::InvalidCertificate(error) if format!("{error:?}").contains("CaUsedAsEndEntity")))
}

/// Whether the name is what failed, before anything was connected.
pub(super) fn is_of_name(error: &(dyn Error + 'static)) -> bool {
    causes(error).filter_map(|error| error.downcast_ref()).any(TcpError::is_of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_user_is_sent_to_invite_the_bot_into_a_direct_message() {
        let shown = |is_direct| {
            let remedy = Remedy::new("invite it ({invitation})").for_bot(Some("access"), is_direct);
            remedy.with_name(no_names).to_string()
        };
        assert_eq!(shown(false), "invite it (type /invite @access in the channel)");
        assert_eq!(shown(true), DIRECT_MESSAGE);
        assert_eq!(Remedy::new("wait").for_bot(None, true), Remedy::new("wait"));
    }

    #[test]
    fn a_remedy_names_the_setting_as_the_program_calls_it() {
        let names: SettingNames = |setting| if setting == Setting::BotToken { "slack.token" } else { "" };
        let shown = |remedy: Remedy| remedy.with_name(names).to_string();
        assert_eq!(shown(Remedy::new("wait")), "wait");
        assert_eq!(shown(Remedy::setting(Setting::ApiUrl, "check it")), "check it");
        assert_eq!(shown(Remedy::setting(Setting::BotToken, "check it")), "check it (setting: slack.token)");
    }
}
