//! Whether Teleport will ask the daemon for a second factor, which no program has: known from the cluster's preference and
//! from the signer of our certificate.
//!
//! From release 15 on, setting a request's state is an administrative action. Where WebAuthn is the only second factor it
//! is refused to a certificate that a person signed, and taken from one that was signed on the auth server (both measured
//! on 15.1.9) or by a bot (documented). What the refusal itself looks like is `denied`'s.

use teleport_proto::auth::{AuthPreferenceV2, SecondFactorType};

use super::client::{Client, parse_version};
use super::error::{Call, ErrorKind, TeleportError};
use super::signer::Signer;

/// The first major release that asks.
const FIRST_MAJOR: u32 = 15;

/// What Teleport will say to a decision of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecondFactor {
    /// It asks for none, or not of our certificate.
    NotAsked,
    /// It asks, because this is who had our certificate signed.
    Asked(Signer),
    /// It asks if the cluster has WebAuthn only, which it does not say.
    Unknown(Signer),
}

impl Client {
    /// Whether Teleport will refuse decisions because a second factor is missing. At most two calls, 15 s each.
    ///
    /// # Errors
    /// If the server does not answer, or breaks off.
    pub async fn second_factor(&self) -> Result<SecondFactor, TeleportError> {
        let signer = self.signer();
        if matches!(signer, Signer::AuthHost | Signer::Bot) {
            return Ok(SecondFactor::NotAsked);
        }
        let release = parse_version(&self.ping().await?.server_version);
        if release.is_some_and(|(major, _)| major < FIRST_MAJOR) {
            return Ok(SecondFactor::NotAsked);
        }
        let mut rpc = self.rpc();
        let asking = rpc.get_auth_preference(());
        Ok(
            match self
                .run_call(Call::GetAuthPreference, self.timings().call, asking)
                .await
                .map(|found| only_webauthn(&found))
            {
                Ok(Some(true)) => SecondFactor::Asked(signer),
                Ok(Some(false)) => SecondFactor::NotAsked,
                Ok(None) => SecondFactor::Unknown(signer),
                Err(error) if error.kind() == ErrorKind::Retry => return Err(error),
                Err(_) => SecondFactor::Unknown(signer),
            },
        )
    }
}

/// Whether the cluster has second factors and one-time codes are none of them; `None` if the answer does not say.
fn only_webauthn(preference: &AuthPreferenceV2) -> Option<bool> {
    let spec = preference.spec.as_ref()?;
    if !spec.second_factors.is_empty() {
        let has = |wanted: SecondFactorType| spec.second_factors.contains(&wanted.into());
        let is_known = |factor: &i32| SecondFactorType::try_from(*factor).is_ok();
        return match has(SecondFactorType::Otp) {
            true => Some(false),
            false if spec.second_factors.iter().all(is_known) => Some(true),
            false => None,
        };
    }
    match spec.second_factor.as_ref() {
        b"webauthn" => Some(true),
        b"off" | b"otp" | b"on" | b"optional" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
