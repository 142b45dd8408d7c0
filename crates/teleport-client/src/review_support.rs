//! Whether this Teleport can take reviews that the daemon submits for users: its release, its edition, and the
//! daemon's own roles.
//!
//! The daemon asks because these hold for every user. The words of a refused review do not distinguish "for no user" from
//! "not for this user". `access_core::policy` draws the conclusions.

use teleport_proto::auth::RoleV6;
use tonic::{Response, Status};

use super::client::{Client, Pong, parse_version};
use super::error::{Call, ErrorKind, TeleportError};

/// The first major release of which any version lets a role name users to submit reviews for.
const MIN_MAJOR_VERSION: u32 = 18;

/// More roles than this are not looked at; a right in those beyond is then not seen, and nothing is ruled out.
const MAX_ROLES: usize = 1_000;

/// What can be known before any review is submitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReviewSupportStatus {
    /// For some users at least, or it cannot be known; Teleport judges each.
    MaybeSupported,
    /// The release, which is this, is too old.
    ServerTooOld(String),
    /// Reviews are part of Teleport Enterprise, which this is not.
    NotEnterprise,
    /// None of the daemon's own roles names any user to submit reviews for.
    NoPermission,
}

impl Client {
    /// Asks the server who it is and, if it could, which roles we have. At most 15 s for each.
    ///
    /// # Errors
    /// If the server does not say who it is, or breaks off while it lists our roles; nothing is known then.
    pub async fn review_support(&self) -> Result<ReviewSupportStatus, TeleportError> {
        let pong = self.ping().await?;
        if let Some(ruled_out) = ruled_out_by_server(&pong) {
            return Ok(ruled_out);
        }
        match self
            .run_call(Call::GetCurrentUserRoles, self.timings().call, self.has_submit_permission())
            .await
        {
            Ok(true) => Ok(ReviewSupportStatus::MaybeSupported),
            Ok(false) => Ok(ReviewSupportStatus::NoPermission),
            // A server that does not say rules nothing out.
            Err(error) if matches!(error.kind(), ErrorKind::Unauthorized | ErrorKind::Unimplemented) => {
                Ok(ReviewSupportStatus::MaybeSupported)
            }
            Err(error) => Err(error),
        }
    }

    /// Whether a role of ours names any user, or there are more roles than we look at.
    async fn has_submit_permission(&self) -> Result<Response<bool>, Status> {
        let mut roles = self.rpc().get_current_user_roles(()).await?.into_inner();
        for _ in 0..MAX_ROLES {
            match roles.message().await? {
                None => return Ok(Response::new(false)),
                Some(role) if allows_submitting(&role) => return Ok(Response::new(true)),
                Some(_) => {}
            }
        }
        Ok(Response::new(true))
    }
}

/// What the server's own words rule out; a release that cannot be read rules nothing out.
fn ruled_out_by_server(pong: &Pong) -> Option<ReviewSupportStatus> {
    match parse_version(&pong.server_version) {
        Some((major, _)) if major < MIN_MAJOR_VERSION => {
            Some(ReviewSupportStatus::ServerTooOld(pong.server_version.clone()))
        }
        _ if !pong.enterprise => Some(ReviewSupportStatus::NotEnterprise),
        _ => None,
    }
}

fn allows_submitting(role: &RoleV6) -> bool {
    let allow = role.spec.as_ref().and_then(|spec| spec.allow.as_ref());
    let review = allow.and_then(|allow| allow.review_requests.as_ref());
    review.is_some_and(|review| !review.submit_for_users.is_empty())
}

#[cfg(test)]
mod tests {
    use access_sim::teleport::call_log::Method;
    use access_sim::teleport::faults::{Fault, Repeat};
    use access_sim::teleport::fixture::Fixture;
    use access_sim::teleport::presets::PLUGIN_USER;
    use access_sim::teleport::refusal::RpcError;
    use access_sim::teleport::{Options, ServerVersion};
    use tonic::Code;

    use super::*;
    use crate::tests::scripted_server::sim_client;

    fn options(version: ServerVersion, enterprise: bool, for_users: &[&str]) -> Options {
        let mut fixture = Fixture::golden();
        let role = fixture.role_mut("access-plugin").unwrap();
        role.allow.submit_for_users = for_users.iter().map(|name| (*name).to_owned()).collect();
        Options { advanced_access_workflows: enterprise, ..Options::new(version, fixture) }
    }

    #[tokio::test]
    async fn release_edition_and_role_decide() {
        for (version, enterprise, for_users, expected) in [
            (
                ServerVersion::V6,
                true,
                ["bob@example.com"].as_slice(),
                ReviewSupportStatus::ServerTooOld("6.2.1".to_owned()),
            ),
            (ServerVersion::V13, true, &["*"], ReviewSupportStatus::ServerTooOld("13.4.0".to_owned())),
            (ServerVersion::V18, false, &["*"], ReviewSupportStatus::NotEnterprise),
            (ServerVersion::V18, true, &[], ReviewSupportStatus::NoPermission),
            (ServerVersion::V18, true, &["bob@example.com"], ReviewSupportStatus::MaybeSupported),
        ] {
            let (_sim, client) = sim_client(options(version, enterprise, for_users), PLUGIN_USER).await;
            let found = client.review_support().await.unwrap();
            assert_eq!(found, expected, "{version:?} {enterprise} {for_users:?}");
        }
    }

    #[tokio::test]
    async fn a_right_that_is_given_later_is_seen() {
        let (sim, client) = sim_client(options(ServerVersion::V18, true, &[]), PLUGIN_USER).await;
        assert_eq!(client.review_support().await.unwrap(), ReviewSupportStatus::NoPermission);
        sim.edit_fixture(|fixture| {
            fixture.role_mut("access-plugin").unwrap().allow.submit_for_users = vec!["*".to_owned()];
        });
        assert_eq!(client.review_support().await.unwrap(), ReviewSupportStatus::MaybeSupported);
    }

    #[tokio::test]
    async fn an_unknown_answer_rules_nothing_out() {
        let (sim, client) = sim_client(options(ServerVersion::V18, true, &[]), PLUGIN_USER).await;
        for code in [Code::PermissionDenied, Code::Unimplemented] {
            let fault = Fault::Error(RpcError::new(code, "no"));
            sim.faults().inject(Method::GetCurrentUserRoles, fault, Repeat::Next(1));
            assert_eq!(
                client.review_support().await.unwrap(),
                ReviewSupportStatus::MaybeSupported,
                "{code:?}"
            );
        }
        for method in [Method::Ping, Method::GetCurrentUserRoles] {
            sim.faults().inject(method, Fault::unavailable(), Repeat::Next(1));
            client.review_support().await.unwrap_err();
        }
        assert_eq!(client.review_support().await.unwrap(), ReviewSupportStatus::NoPermission);
    }

    #[test]
    fn a_release_that_cannot_be_read_rules_nothing_out() {
        let pong = |version: &str| Pong {
            cluster_name: String::new(),
            server_version: version.to_owned(),
            enterprise: true,
            web_proxy: None,
        };
        for version in ["18.0.0", "18.11.0-dev", "99.1.2", "", "dev"] {
            assert_eq!(ruled_out_by_server(&pong(version)), None, "{version}");
        }
        assert_eq!(
            ruled_out_by_server(&pong("v17.9.9")),
            Some(ReviewSupportStatus::ServerTooOld("v17.9.9".to_owned()))
        );
    }
}
