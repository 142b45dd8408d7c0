//! Who had a certificate signed, read from the names on it.

use std::fmt;

/// Who had a certificate signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signer {
    /// `tctl auth sign` on the auth server.
    AuthHost,
    /// A Machine ID bot: Teleport calls their users `bot-…`.
    Bot,
    /// This user, for the plugin's.
    User(String),
    /// It names no other user: the plugin's user logged in, or an old release signed it.
    Unnamed,
}

impl Signer {
    /// By the names on a certificate: its user, and the user that had it signed for them.
    pub(super) fn of(user: &str, impersonator: Option<&str>) -> Self {
        let is_bot = |name: &str| name.starts_with("bot-");
        match impersonator {
            _ if is_bot(user) => Self::Bot,
            None => Self::Unnamed,
            Some(name) if is_bot(name) => Self::Bot,
            Some(name) if is_host(name) => Self::AuthHost,
            Some(name) => Self::User(name.to_owned()),
        }
    }
}

impl fmt::Display for Signer {
    /// As the end of "this one was signed …".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AuthHost => f.write_str("on the auth server"),
            Self::Bot => f.write_str("by a bot"),
            Self::User(name) => write!(f, "by {name}"),
            Self::Unnamed => f.write_str("neither there nor by a bot"),
        }
    }
}

/// `<UUID>.<cluster>`, the name of an auth server.
fn is_host(name: &str) -> bool {
    let Some((uuid, cluster)) = name.split_once('.') else { return false };
    let is_group = |(group, length): (&str, usize)| {
        group.len() == length && group.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    uuid.split('-').count() == 5 && uuid.split('-').zip([8, 4, 4, 4, 12]).all(is_group) && !cluster.is_empty()
}
