//! The token that calls carry: it may be replaced while the daemon runs, and Slack may stop taking it.

use std::sync::Arc;

use http::HeaderValue;
use parking_lot::RwLock;
use tokio::sync::watch as latest;

use super::error::{SetupError, SlackError};
use super::redact::Redactor;
use super::remedy::SettingNames;
use access_core::domain::secret::Secret;

/// How Slack takes the token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenStatus {
    /// Why Slack refuses it, with the remedy; `None` if it does not.
    pub rejection: Option<String>,
    /// How often there was reason to try again at once what Slack had refused: it takes the token again, or the token
    /// is another one.
    pub recoveries: u64,
}

/// The token in use, and what is known of it.
pub(super) struct Tokens {
    active: RwLock<Arc<ActiveToken>>,
    status: latest::Sender<TokenStatus>,
    setting_names: SettingNames,
}

/// One token.
pub(super) struct ActiveToken {
    /// How many there were before.
    generation: u64,
    pub(super) authorization: HeaderValue,
    /// Knows those before it too.
    pub(super) redactor: Redactor,
}

impl Tokens {
    pub(super) fn new(token: &Secret, setting_names: SettingNames) -> Result<Self, SetupError> {
        let authorization = parse_token(token.expose())?;
        let first = ActiveToken { generation: 0, authorization, redactor: Redactor::new(token.clone()) };
        let active = RwLock::new(Arc::new(first));
        Ok(Self { active, status: latest::Sender::default(), setting_names })
    }

    pub(super) fn get(&self) -> Arc<ActiveToken> {
        Arc::clone(&self.active.read())
    }

    pub(super) fn status(&self) -> latest::Receiver<TokenStatus> {
        self.status.subscribe()
    }

    pub(super) fn replace(&self, token: &Secret) -> Result<(), SetupError> {
        let authorization = parse_token(token.expose())?;
        {
            let mut now = self.active.write();
            *now = Arc::new(ActiveToken {
                generation: now.generation + 1,
                authorization,
                redactor: now.redactor.with([token.clone()]),
            });
        }
        self.status.send_modify(|status| {
            *status = TokenStatus { rejection: None, recoveries: status.recoveries + 1 };
        });
        Ok(())
    }

    /// What a call with `token` showed. One that was replaced meanwhile says nothing of the one in use.
    pub(super) fn record_result(&self, token: &ActiveToken, error: Option<&SlackError>) {
        if self.get().generation != token.generation {
            return;
        }
        let refused = error.filter(|error| error.refuses_token());
        self.status.send_if_modified(|status| match (refused, &status.rejection) {
            (Some(error), None) => {
                status.rejection = Some(error.with_remedy(self.setting_names).to_string());
                true
            }
            (None, Some(_)) if error.is_none() => {
                *status = TokenStatus { rejection: None, recoveries: status.recoveries + 1 };
                true
            }
            _ => false,
        });
    }
}

/// The header that carries a token.
pub(super) fn parse_token(token: &str) -> Result<HeaderValue, SetupError> {
    let refuse = |reason| Err(SetupError::Token { reason });
    if token.is_empty() {
        return refuse("is empty");
    }
    if !token.chars().all(|c| c.is_ascii_graphic()) {
        return refuse("holds a space, line break or other character that tokens do not have");
    }
    let Ok(mut value) = HeaderValue::from_str(&format!("Bearer {token}")) else {
        return refuse("cannot be sent in an HTTP header");
    };
    value.set_sensitive(true);
    Ok(value)
}
