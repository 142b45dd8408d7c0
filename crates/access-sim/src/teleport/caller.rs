//! Who makes a call: `server` reads it off the certificate, `rules` judges it.

use super::presets::TCTL;

/// The one who makes a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Caller {
    /// No certificate was shown.
    Anonymous,
    /// `tctl` on the server's own machine.
    Tctl,
    /// A certificate's user.
    User {
        /// The name on it.
        name: String,
        /// Who asked for it, if another user did.
        impersonator: Option<String>,
    },
}

impl Caller {
    pub(super) fn user(name: &str) -> Self {
        if name == TCTL {
            return Self::Tctl;
        }
        Self::User { name: name.to_owned(), impersonator: None }
    }

    pub(super) fn name(&self) -> Option<&str> {
        match self {
            Self::Anonymous => None,
            Self::Tctl => Some(TCTL),
            Self::User { name, .. } => Some(name),
        }
    }

    pub(super) fn is(&self, user: &str) -> bool {
        matches!(self, Self::User { name, .. } if name == user)
    }
}
