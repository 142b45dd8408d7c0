//! The listener: mutual TLS, one identity per connection, HTTP/2 for [`super::service`].
//!
//! A client without a certificate is let in (without a user); a certificate of another authority, an expired one, a chain, or a
//! client that does not speak HTTP/2 is not. Pings are not limited, unlike at the real server.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper_util::rt::TokioIo;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use teleport_proto::auth::auth_service_server::{self, AuthServiceServer};
use teleport_proto::users::users_service_server::{self, UsersServiceServer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tonic::Status;
use tonic::codegen::Service as _;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::caller::Caller;
use super::certs::{Authorities, IMPERSONATOR};
use super::cluster::Cluster;
use super::options::ServerVersion;
use super::service::{LostAnswer, Service};
use crate::tasks::Tasks;

/// The server ends longer handshakes.
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// What a stream may hold back for a client that does not read: little, so that slow watchers are found out.
const SEND_BUFFER: usize = 16 * 1024;

/// TLS for the auth server: its own certificate, and the user CA for clients.
pub(super) fn tls(authorities: &Authorities) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(authorities.user_ca()).map_err(io::Error::other)?;
    let clients = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider))
        .allow_unauthenticated()
        .build()
        .map_err(io::Error::other)?;
    let (certificate, key) = authorities.server().map_err(io::Error::other)?;
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_client_cert_verifier(clients)
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    // A resumed session would let a certificate in after its end; a real server looks at it again.
    config.session_storage = Arc::new(rustls::server::NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// TLS for a proxy: this certificate, and none wanted of the client.
pub(super) fn plain_tls(
    certificate: CertificateDer<'static>,
    key: PrivateKeyDer<'static>,
    alpn: &[&[u8]],
) -> io::Result<TlsAcceptor> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .map_err(io::Error::other)?;
    config.alpn_protocols = alpn.iter().map(|entry| entry.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Accepts connections until the tasks are cancelled.
pub(super) async fn accept(
    listener: TcpListener,
    cluster: Arc<Cluster>,
    tls: TlsAcceptor,
    version: ServerVersion,
    tasks: Tasks,
) {
    loop {
        // A failed accept concerns one connection (it was closed already, or descriptors ran out for a moment).
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        if !cluster.faults.refuses_connections() {
            tasks.spawn(serve(stream, Arc::clone(&cluster), tls.clone(), version, tasks.part()));
        }
    }
}

async fn serve(
    stream: TcpStream,
    cluster: Arc<Cluster>,
    tls: TlsAcceptor,
    version: ServerVersion,
    tasks: Tasks,
) {
    // The calls of a connection end with it, hung ones and watch streams included.
    let _end_calls = tasks.cancel_on_drop();
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_LIMIT, tls.accept(stream)).await else { return };
    let (_, session) = stream.get_ref();
    if session.alpn_protocol() != Some(b"h2".as_slice()) {
        return;
    }
    let caller = match session.peer_certificates() {
        None | Some([]) => Some(Caller::Anonymous),
        Some([certificate]) => caller(certificate),
        Some(_) => None,
    };
    let Some(caller) = caller else { return };

    let service = Service { cluster, version };
    let (auth, users) = (AuthServiceServer::new(service.clone()), UsersServiceServer::new(service));
    let handler = hyper::service::service_fn(move |mut request: http::Request<Incoming>| {
        let lost = LostAnswer::default();
        request.extensions_mut().insert(caller.clone());
        request.extensions_mut().insert(lost.clone());
        // A path is `/service/method`.
        let asked = request.uri().path().split('/').nth(1).unwrap_or_default().to_owned();
        let answer = match asked.as_str() {
            auth_service_server::SERVICE_NAME => auth.clone().call(request),
            users_service_server::SERVICE_NAME => users.clone().call(request),
            _ => {
                let status = Status::unimplemented(format!("unknown service {asked}"));
                Box::pin(std::future::ready(Ok(status.into_http())))
            }
        };
        async move {
            let response = answer.await.map_err(io::Error::other)?;
            // hyper resets the stream when a handler fails.
            if lost.is_set() { Err(io::Error::from(io::ErrorKind::ConnectionReset)) } else { Ok(response) }
        }
    });
    let connection = hyper::server::conn::http2::Builder::new(CallTasks(tasks))
        .max_send_buf_size(SEND_BUFFER)
        .serve_connection(TokioIo::new(stream), handler);
    // However the connection ends, it has ended; the client sees the same.
    let _ = connection.await;
}

/// Gives hyper's tasks, one for each call, an owner.
#[derive(Clone)]
struct CallTasks(Tasks);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for CallTasks {
    fn execute(&self, call: F) {
        self.0.spawn(call);
    }
}

/// The user on a verified certificate; `None` if it names none.
fn caller(certificate: &CertificateDer<'_>) -> Option<Caller> {
    let (_, certificate) = X509Certificate::from_der(certificate).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let impersonator = subject
        .iter_attributes()
        .find(|attribute| attribute.attr_type().to_id_string() == IMPERSONATOR)
        .and_then(|attribute| attribute.as_str().ok())
        .map(str::to_owned);
    Some(Caller::User { name, impersonator })
}
