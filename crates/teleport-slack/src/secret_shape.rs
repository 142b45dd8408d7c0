//! Recognizes texts that look like secrets, so that one in the wrong place is neither printed nor sent.
//!
//! Two questions: [`secret_in`] is sure enough to refuse a value; [`may_be_shown`] is careful about what messages
//! quote, where hiding too much costs little.

use access_core::domain::text::is_invisible;

/// The length of Slack's signing secrets, which are hexadecimal.
const SIGNING_SECRET: usize = 32;
/// Each of the three parts of a signed web token has more.
const JWT_PART: usize = 10;

/// What kind of secret a text certainly holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SecretKind {
    /// A token of Slack's.
    SlackToken,
    /// Exactly what Slack's signing secrets look like.
    SigningSecret,
    /// The address of one of Slack's incoming webhooks: every caller that knows it may post.
    Webhook,
    /// A private key in PEM.
    PrivateKey,
    /// A signed web token (JWT).
    WebToken,
    /// A web address with a user or a password in it.
    Password,
}

impl SecretKind {
    /// Completes "this looks like …".
    pub(crate) fn description(self) -> &'static str {
        match self {
            Self::SlackToken => "a Slack token",
            Self::SigningSecret => "a signing secret",
            Self::Webhook => "the address of a Slack webhook",
            Self::PrivateKey => "a private key",
            Self::WebToken => "a signed token (JWT)",
            Self::Password => "an address with a password in it",
        }
    }

    /// What to do about it where none belongs.
    pub(crate) fn remedy(self) -> &'static str {
        match self {
            Self::SlackToken => {
                "remove it here; slack.token takes the bot token, review.app_token the app-level token, or the path of a \
                 file that holds it"
            }
            Self::SigningSecret => {
                "remove it here; review.signing_secret takes it, or the path of a file that holds it"
            }
            Self::Webhook => "remove it; no webhook is needed: name the channel, such as \"access-requests\"",
            Self::PrivateKey => "write the path of the file that holds it",
            Self::WebToken => "remove it; nothing here takes one",
            Self::Password => "write the address without user and password",
        }
    }
}

/// The secret that a text holds, if it certainly does, wherever in it.
pub(crate) fn secret_in(text: &str) -> Option<SecretKind> {
    // White space and invisible characters come with careless copying.
    let plain: String = text.chars().filter(|c| !c.is_whitespace() && !is_invisible(*c)).collect();
    let lower = plain.to_ascii_lowercase();
    if has_slack_token(&lower) {
        Some(SecretKind::SlackToken)
    } else if lower.contains("hooks.slack.com/") || lower.contains("hooks.slack-gov.com/") {
        Some(SecretKind::Webhook)
    } else if lower.contains("privatekey-----") || lower.contains("age-secret-key-1") {
        Some(SecretKind::PrivateKey)
    } else if plain.split(|c: char| !is_base64url(c) && c != '.').any(is_web_token) {
        Some(SecretKind::WebToken)
    } else if has_userinfo(text) {
        Some(SecretKind::Password)
    } else if lower.len() == SIGNING_SECRET
        && lower.bytes().all(|byte| byte.is_ascii_hexdigit())
        && lower.bytes().any(|byte| byte.is_ascii_digit())
    {
        Some(SecretKind::SigningSecret)
    } else {
        None
    }
}

/// Whether a message may quote the text. Tokens that lost their prefix, and passwords before an `@`, keep it from
/// being shown too: they have long runs of digits or of mixed characters.
pub(crate) fn may_be_shown(text: &str) -> bool {
    let lower = text.to_ascii_lowercase();
    let is_token = ["xox", "xapp-", "xwfp-"].iter().any(|prefix| lower.contains(prefix));
    let has_run = lower.split(|c: char| !c.is_ascii_alphanumeric()).any(|run| {
        let digits = run.bytes().filter(u8::is_ascii_digit).count();
        digits >= 10 || run.len() >= 16 && digits >= 4
    });
    let has_password = text.rsplit_once('@').is_some_and(|(before, _)| {
        before.strip_prefix("<mailto:").or(before.strip_prefix("mailto:")).unwrap_or(before).contains(':')
    });
    !(is_token || has_run || has_password || secret_in(text).is_some())
}

/// `xoxb-`, `xoxp-`, `xoxe.` and their kin, of workflows (`xwfp-`), of apps (`xapp-1-A…`); in small letters.
fn has_slack_token(text: &str) -> bool {
    let after = |prefix| {
        text.match_indices(prefix).map(|(at, _)| text.split_at(at)).map(move |(before, rest)| {
            (before.chars().next_back(), rest.strip_prefix(prefix).unwrap_or_default().as_bytes())
        })
    };
    after("xox").any(|(_, rest)| matches!(rest, [b'a'..=b'e' | b'p' | b'r' | b's', b'-' | b'.', _, ..]))
        || after("xwfp-").any(|(_, rest)| !rest.is_empty())
        || after("xapp-").any(|(before, rest)| match rest {
            [b'0'..=b'9', b'-', b'a', ..] => true,
            // The end of another word, such as `foxapp-1`.
            [b'0'..=b'9', ..] => !before.is_some_and(char::is_alphanumeric),
            _ => false,
        })
}

/// `eyJ…` in three parts, perhaps with something before it.
fn is_web_token(word: &str) -> bool {
    let is_long = |part: Option<&str>| part.is_some_and(|part| part.len() > JWT_PART);
    word.match_indices("eyJ").any(|(at, _)| {
        let mut parts = word.split_at(at).1.split('.');
        is_long(parts.next()) && is_long(parts.next()) && parts.next().is_some()
    })
}

fn is_base64url(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '-' || c == '_'
}

/// `scheme://user:password@host`; the password may hold anything but white space.
fn has_userinfo(text: &str) -> bool {
    text.split_whitespace().any(|word| word.split_once("://").is_some_and(|(_, rest)| rest.contains('@')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_distinguished_from_names() {
        use SecretKind::*;
        let key = "-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\n";
        for (text, expected) in [
            ("xoxb-1-2-abc", SlackToken),
            ("#xoxb-1-2-abc", SlackToken),
            ("team xoxp-1", SlackToken),
            ("XOXB-1", SlackToken),
            ("xo\u{200b}xb-1", SlackToken),
            ("xoxe.xoxb-1-abc", SlackToken),
            ("xapp-1-A0-1-a", SlackToken),
            ("/var/lib/xapp-1-A0", SlackToken),
            ("c1xapp-1-A0-x", SlackToken),
            ("xapp-1", SlackToken),
            ("8f742231b10e8888abcd99ccceee85a5", SigningSecret),
            ("https://hooks.slack.com/services/T0/B0/x", Webhook),
            (key, PrivateKey),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", PrivateKey),
            ("eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc", WebToken),
            ("token=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc;", WebToken),
            ("https://bob:hunter2@example.com/", Password),
            ("https://hunter2@example.com/", Password),
            ("https://bob:hunter/2@example.com/", Password),
        ] {
            assert_eq!(secret_in(text), Some(expected), "{text}");
            assert!(!may_be_shown(text), "{text}");
        }
        for text in [
            "team",
            "foxapp-team",
            "foxapp-1",
            "xoxo-team",
            "xapp-",
            "bob@example.com",
            "auth.example.com:3025",
            "https://example.com:8443/slack",
            "/var/lib/teleport/plugins/slack/auth.key",
            "^prod-[0-9a-f]{32}$",
            "U012AB3CD",
            "8f742231-b10e-8888-abcd-99ccceee85a5",
            "deadbeefdeadbeefdeadbeefdeadbeef",
            "-----BEGIN CERTIFICATE-----",
        ] {
            assert_eq!(secret_in(text), None, "{text}");
        }
    }

    #[test]
    fn text_that_may_be_part_of_a_secret_is_not_shown() {
        for text in
            ["my xoxb-", "appapp-114711470815-Hj2kP9", "8f742231b10e8888abcd99yyyzzz85a5", "bob:pw@host:1"]
        {
            assert!(!may_be_shown(text), "{text}");
        }
        for text in [
            "team",
            "access-requests-2026-prod",
            "firstname.lastname1984@example.com",
            "<mailto:bob@example.com|bob@example.com>",
        ] {
            assert!(may_be_shown(text), "{text}");
        }
    }
}
