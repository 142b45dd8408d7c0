//! `GenerateUserCerts`: a certificate for oneself, or for a user that the caller may impersonate.
//!
//! Only RSA keys in `authorized_keys` form, as Teleport 6 takes them; the newest releases want other fields
//! that this project does not send, so there the call is refused.

use jiff::Timestamp;
use rcgen::{PKCS_RSA_SHA256, PublicKeyData, SignatureAlgorithm};

use super::caller::Caller;
use super::certs::{Authorities, Subject};
use super::fixture::{User, any_matches};
use super::options::ServerVersion;
use super::refusal::RpcError;
use super::ssh::{PublicKey, certificate_line};
use super::state::State;

/// A client's RSA key, of which the server knows the public half.
struct ForeignKey(Vec<u8>);

impl PublicKeyData for ForeignKey {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &PKCS_RSA_SHA256
    }
}

/// The two certificates: an SSH line and a PEM.
pub(super) struct UserCerts {
    pub(super) ssh: String,
    pub(super) tls: String,
}

impl State {
    pub(super) fn generate_user_certs(
        &self,
        caller: &Caller,
        authorities: &Authorities,
        target: &str,
        public_key: &[u8],
        expires: Option<Timestamp>,
    ) -> Result<UserCerts, RpcError> {
        let own = self.user_record(caller)?;
        let user = self.fixture.user(target, self.now);
        let user = user.ok_or_else(|| RpcError::not_found(format!("user {target:?} not found")))?;
        if !caller.is(target) {
            let refusal = || RpcError::denied(format!("access denied: cannot impersonate user {target:?}"));
            if matches!(caller, Caller::User { impersonator: Some(_), .. }) || user.sso {
                return Err(refusal());
            }
            if own.is_some_and(|own| !self.may_impersonate(own, user)) {
                return Err(refusal());
            }
        }
        if self.options.version == ServerVersion::V18 {
            return Err(RpcError::bad_parameter("no public key in a field that this release knows"));
        }
        let key = std::str::from_utf8(public_key).ok().and_then(PublicKey::from_authorized_key);
        let key = key
            .ok_or_else(|| RpcError::bad_parameter("public key is not a line of authorized_keys with RSA"))?;
        let pkcs1 = key.to_pkcs1().ok_or_else(|| RpcError::bad_parameter("public key is not RSA"))?;

        let latest = self.now + self.options.access_ttl;
        let not_after = expires.unwrap_or(latest).min(latest);
        if not_after <= self.now {
            return Err(RpcError::bad_parameter("certificate would have expired already"));
        }
        let impersonator = if caller.is(target) { None } else { caller.name() };
        let who = subject(user);
        let who = Subject { user: target, role: &who.0, traits_json: &who.1, impersonator };
        let tls = authorities.sign(&ForeignKey(pkcs1), who, self.now, not_after);
        let tls = tls.map_err(|error| RpcError::bad_parameter(format!("cannot sign: {error}")))?;
        let ssh = certificate_line(&key, target, self.now, not_after, impersonator);
        Ok(UserCerts { ssh, tls })
    }

    fn may_impersonate(&self, own: &User, user: &User) -> bool {
        let denied = self.fixture.roles_of(own).map(|role| &role.deny.impersonate).any(|deny| {
            any_matches(&deny.users, &user.name)
                || user.roles.iter().any(|role| any_matches(&deny.roles, role))
        });
        let allowed = self.fixture.roles_of(own).map(|role| &role.allow.impersonate).any(|allow| {
            any_matches(&allow.users, &user.name)
                && user.roles.iter().all(|role| any_matches(&allow.roles, role))
        });
        allowed && !denied
    }
}

/// The first role and the traits as certificates carry them.
pub(super) fn subject(user: &User) -> (String, String) {
    let role = user.roles.first().cloned().unwrap_or_default();
    let traits =
        if user.traits.is_empty() { serde_json::Value::Null } else { serde_json::json!(user.traits) };
    (role, traits.to_string())
}
