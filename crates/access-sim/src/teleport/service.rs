//! `proto.AuthService` over the cluster: every call is counted, checked, perhaps spoiled, then done.
//!
//! The operations are methods of `State`; here is only what all calls have in common and the translation.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::{Stream, stream};
use teleport_proto::auth as pb;
use teleport_proto::auth::auth_service_server::AuthService;
use tonic::metadata::{AsciiMetadataValue, MetadataMap};
use tonic::{Request, Response, Status};

use super::call_log::Method;
use super::caller::Caller;
use super::cluster::Cluster;
use super::creation::new_id;
use super::faults::Fault;
use super::options::{Options, ServerVersion};
use super::refusal::RpcError;
use super::state::State;
use super::subject::Subject;
use super::watchers::EventStream;
use super::wire;
use crate::call_sequence::Side;

/// Set when the answer to a call must not reach the client; the connection looks at it after the call.
#[derive(Clone, Debug, Default)]
pub(super) struct LostAnswer(Arc<AtomicBool>);

impl LostAnswer {
    pub(super) fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The service. Cheap to make, one for each connection.
#[derive(Clone)]
pub(super) struct Service {
    pub(super) cluster: Arc<Cluster>,
    /// From the options: does not change while the simulator lives.
    pub(super) version: ServerVersion,
}

type Streamed<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

fn streamed<T: Send + 'static>(response: Response<Vec<T>>) -> Response<Streamed<T>> {
    response.map(|items| -> Streamed<T> { Box::pin(stream::iter(items.into_iter().map(Ok))) })
}

impl Service {
    pub(super) async fn serve<M: Subject, T>(
        &self,
        method: Method,
        request: Request<M>,
        work: impl FnOnce(&mut State, &Caller, M) -> Result<T, RpcError>,
    ) -> Result<Response<T>, Status> {
        let (name, subject) = (format!("{method:?}"), request.get_ref().subject());
        let pass = self.cluster.call_sequence.begin(Side::Teleport, &name, subject).await;
        let answer = self.answer(method, request, work).await;
        pass.finish().await;
        answer
    }

    async fn answer<M, T>(
        &self,
        method: Method,
        request: Request<M>,
        work: impl FnOnce(&mut State, &Caller, M) -> Result<T, RpcError>,
    ) -> Result<Response<T>, Status> {
        let caller = request.extensions().get::<Caller>().cloned().unwrap_or(Caller::Anonymous);
        let lost = request.extensions().get::<LostAnswer>().cloned().unwrap_or_default();
        self.cluster.call_log.record_call(method, caller.name());
        State::require_method(self.version, method)?;
        require_version(self.version, request.metadata())?;
        match self.cluster.faults.next_fault(method) {
            None => {}
            Some(Fault::Error(refusal)) => return Err(refusal.into()),
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Delay(time)) => tokio::time::sleep(time).await,
            Some(Fault::LoseResponse) => lost.0.store(true, Ordering::Release),
        }
        let message = request.into_inner();
        let mut version = None;
        let done = self.cluster.with(|state| {
            version = AsciiMetadataValue::try_from(&state.options.reported_version).ok();
            work(state, &caller, message)
        });
        let mut response = Response::new(done?);
        // With every successful answer, streams included (`vectors/teleport-15-observed.md`, 14).
        if let Some(version) = version.filter(|_| self.version >= ServerVersion::V15_3) {
            response.metadata_mut().insert("version", version);
        }
        Ok(response)
    }
}

/// The client's version, if it names one, must be a semantic version and not too old.
fn require_version(server: ServerVersion, metadata: &MetadataMap) -> Result<(), RpcError> {
    let Some(version) = metadata.get("version") else { return Ok(()) };
    let version = version.to_str().unwrap_or_default();
    if major_version(version).is_some_and(|major| major >= server.minimum_client_major()) {
        return Ok(());
    }
    Err(RpcError::denied(format!("client version {version:?} is unsupported")))
}

/// The first number of `1.2.3`, `1.2.3-rc.1` or `1.2.3+build`.
fn major_version(version: &str) -> Option<u64> {
    let core = version.split(['-', '+']).next()?;
    let numbers: Option<Vec<u64>> = core.split('.').map(|part| part.parse().ok()).collect();
    match numbers?.as_slice() {
        [major, _, _] => Some(*major),
        _ => None,
    }
}

fn ping(options: &Options, cluster: &str) -> pb::PingResponse {
    pb::PingResponse {
        cluster_name: cluster.to_owned(),
        server_version: options.reported_version.clone(),
        server_features: Some(pb::Features {
            kubernetes: true,
            app: true,
            db: true,
            oidc: options.advanced_access_workflows,
            saml: options.advanced_access_workflows,
            access_controls: options.advanced_access_workflows,
            advanced_access_workflows: options.advanced_access_workflows,
            ..pb::Features::default()
        }),
        proxy_public_addr: options.proxy_public_addr.clone(),
    }
}

#[tonic::async_trait]
impl AuthService for Service {
    async fn ping(&self, request: Request<pb::PingRequest>) -> Result<Response<pb::PingResponse>, Status> {
        self.serve(Method::Ping, request, |state, caller, _| {
            // No right is needed, not even a certificate; but a certificate's user must exist.
            if *caller != Caller::Anonymous {
                state.user_record(caller)?;
            }
            Ok(ping(&state.options, &state.fixture.cluster))
        })
        .await
    }

    type WatchEventsStream = EventStream;

    async fn watch_events(&self, request: Request<pb::Watch>) -> Result<Response<EventStream>, Status> {
        let cluster = &self.cluster;
        self.serve(Method::WatchEvents, request, |state, caller, watch| {
            let granted = state.grant_watch(caller, watch)?;
            if cluster.faults.withholds_init() {
                let never: EventStream = Box::pin(stream::pending());
                return Ok(never);
            }
            Ok(cluster.watchers.open(granted))
        })
        .await
    }

    async fn get_access_requests(
        &self,
        request: Request<pb::AccessRequestFilter>,
    ) -> Result<Response<pb::AccessRequests>, Status> {
        let version = self.version;
        self.serve(Method::GetAccessRequests, request, |state, caller, filter| {
            let found = state.find_requests(caller, &filter)?;
            Ok(pb::AccessRequests {
                access_requests: found.iter().map(|item| wire::request(item, version)).collect(),
            })
        })
        .await
    }

    type GetAccessRequestsV2Stream = Streamed<pb::AccessRequestV3>;

    async fn get_access_requests_v2(
        &self,
        request: Request<pb::AccessRequestFilter>,
    ) -> Result<Response<Self::GetAccessRequestsV2Stream>, Status> {
        let version = self.version;
        let found = self.serve(Method::GetAccessRequestsV2, request, |state, caller, filter| {
            let found = state.find_requests(caller, &filter)?;
            Ok(found.iter().map(|item| wire::request(item, version)).collect::<Vec<_>>())
        });
        found.await.map(streamed)
    }

    async fn list_access_requests(
        &self,
        request: Request<pb::ListAccessRequestsRequest>,
    ) -> Result<Response<pb::ListAccessRequestsResponse>, Status> {
        let version = self.version;
        self.serve(Method::ListAccessRequests, request, |state, caller, list| {
            let (page, next_key) = state.list_requests(caller, &list)?;
            let access_requests = page.iter().map(|item| wire::request(item, version)).collect();
            Ok(pb::ListAccessRequestsResponse { access_requests, next_key })
        })
        .await
    }

    async fn get_plugin_data(
        &self,
        request: Request<pb::PluginDataFilter>,
    ) -> Result<Response<pb::PluginDataSeq>, Status> {
        let version = self.version;
        self.serve(Method::GetPluginData, request, |state, caller, filter| {
            let found = state.find_plugin_data(caller, &filter.kind, &filter.resource, &filter.plugin)?;
            let plugin_data = found.iter().map(|(id, item)| wire::plugin_data(id, item, version)).collect();
            Ok(pb::PluginDataSeq { plugin_data })
        })
        .await
    }

    async fn update_plugin_data(
        &self,
        request: Request<pb::PluginDataUpdateParams>,
    ) -> Result<Response<()>, Status> {
        let version = self.version;
        self.serve(Method::UpdatePluginData, request, |state, caller, update| {
            state.update_plugin_data(caller, wire::from_update(update, version))
        })
        .await
    }

    async fn set_access_request_state(
        &self,
        request: Request<pb::RequestStateSetter>,
    ) -> Result<Response<()>, Status> {
        let version = self.version;
        self.serve(Method::SetAccessRequestState, request, |state, caller, setter| {
            state.require_second_factor(caller)?;
            state.set_state(caller, &setter.id, wire::from_setter(&setter, version)?)
        })
        .await
    }

    async fn submit_access_review(
        &self,
        request: Request<pb::AccessReviewSubmission>,
    ) -> Result<Response<pb::AccessRequestV3>, Status> {
        let version = self.version;
        self.serve(Method::SubmitAccessReview, request, |state, caller, submission| {
            // Reviews joined that list in a release after 15.3.1 (`vectors/teleport-15.1.9` has one without).
            if version == ServerVersion::V18 {
                state.require_second_factor(caller)?;
            }
            let review = wire::from_review(&submission.review.unwrap_or_default(), version)?;
            Ok(wire::request(&state.review(caller, &submission.request_id, review)?, version))
        })
        .await
    }

    async fn create_access_request(
        &self,
        request: Request<pb::AccessRequestV3>,
    ) -> Result<Response<()>, Status> {
        let version = self.version;
        self.serve(Method::CreateAccessRequest, request, |state, caller, message| {
            let (id, user, _, new) = wire::from_request(message, state.now, version)?;
            if id.is_empty() {
                return Err(RpcError::bad_parameter("missing parameter Name"));
            }
            state.create(caller, &user, id, new).map(|_| ())
        })
        .await
    }

    async fn create_access_request_v2(
        &self,
        request: Request<pb::AccessRequestV3>,
    ) -> Result<Response<pb::AccessRequestV3>, Status> {
        let version = self.version;
        self.serve(Method::CreateAccessRequestV2, request, |state, caller, message| {
            let (_, user, dry_run, new) = wire::from_request(message, state.now, version)?;
            let id = new_id(state.now, version);
            let made = match dry_run {
                true => state.draft(caller, &user, id, new)?,
                false => state.create(caller, &user, id, new)?,
            };
            let mut answer = wire::request(&made, version);
            if let Some(spec) = &mut answer.spec {
                spec.dry_run = dry_run;
            }
            Ok(answer)
        })
        .await
    }

    async fn delete_access_request(&self, request: Request<pb::RequestId>) -> Result<Response<()>, Status> {
        self.serve(Method::DeleteAccessRequest, request, |state, caller, which| {
            state.require_second_factor(caller)?;
            state.delete(caller, &which.id)
        })
        .await
    }

    async fn get_user(&self, request: Request<pb::GetUserRequest>) -> Result<Response<pb::UserV2>, Status> {
        self.serve(Method::GetUser, request, |state, caller, which| {
            Ok(wire::user(&state.find_user(caller, &which.name, which.with_secrets)?))
        })
        .await
    }

    type GetUsersStream = Streamed<pb::UserV2>;

    async fn get_users(
        &self,
        request: Request<pb::GetUsersRequest>,
    ) -> Result<Response<Self::GetUsersStream>, Status> {
        let found = self.serve(Method::GetUsers, request, |state, caller, which| {
            Ok(state.find_users(caller, which.with_secrets)?.iter().map(wire::user).collect::<Vec<_>>())
        });
        found.await.map(streamed)
    }

    type GetCurrentUserRolesStream = Streamed<pb::RoleV6>;

    async fn get_current_user_roles(
        &self,
        request: Request<()>,
    ) -> Result<Response<Self::GetCurrentUserRolesStream>, Status> {
        let version = self.version;
        let found = self.serve(Method::GetCurrentUserRoles, request, |state, caller, ()| {
            let roles = state.own_roles(caller)?;
            Ok(roles.into_iter().map(|role| wire::role(role, version)).collect::<Vec<_>>())
        });
        found.await.map(streamed)
    }

    async fn get_role(&self, request: Request<pb::GetRoleRequest>) -> Result<Response<pb::RoleV6>, Status> {
        let version = self.version;
        self.serve(Method::GetRole, request, |state, caller, which| {
            Ok(wire::role(state.find_role(caller, &which.name)?, version))
        })
        .await
    }

    async fn get_auth_preference(
        &self,
        request: Request<()>,
    ) -> Result<Response<pb::AuthPreferenceV2>, Status> {
        let version = self.version;
        self.serve(Method::GetAuthPreference, request, |state, caller, ()| {
            state.user_record(caller)?;
            Ok(wire::auth_preference(state.fixture.second_factor, version))
        })
        .await
    }

    async fn generate_user_certs(
        &self,
        request: Request<pb::UserCertsRequest>,
    ) -> Result<Response<pb::Certs>, Status> {
        let authorities = &self.cluster.authorities;
        self.serve(Method::GenerateUserCerts, request, |state, caller, wanted| {
            if !caller.is(&wanted.username) {
                state.require_second_factor(caller)?;
            }
            let expires = wire::from_time(wanted.expires.as_ref());
            let certs = state.generate_user_certs(
                caller,
                authorities,
                &wanted.username,
                &wanted.public_key,
                expires,
            )?;
            Ok(pb::Certs { ssh: certs.ssh.into(), tls: certs.tls.into() })
        })
        .await
    }
}
