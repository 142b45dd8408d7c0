//! For this folder's tests: throw-away certificates, a scripted gRPC server behind mutual TLS, and clients of the
//! simulated cluster.
//!
//! The server knows nothing of Teleport; a test answers each call by its path and its bytes. What Teleport makes
//! of a call is tested against `access-sim`.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use access_sim::teleport::certs::CertOptions;
use access_sim::teleport::{Options, TeleportSim};
use bytes::{BufMut, Bytes, BytesMut};
use client_base::tls::provider;
use futures_util::{Stream, StreamExt, stream};
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, StreamBody, combinators::UnsyncBoxBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use jiff::Timestamp;
use parking_lot::Mutex;
use prost::Message;
use rcgen::{BasicConstraints, CertificateParams, CustomExtension, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use teleport_proto::auth as wire;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_stream::wrappers::ReceiverStream;

use crate::address::TeleportAddr;
use crate::call::Call;
use crate::client::Client;
use crate::credentials::Credentials;
use crate::error::{CallResult, TeleportError};
use crate::identity::Identity;
use crate::observer::{List, NoObserver, Observer};
use crate::visibility::Visibility;

pub(crate) const SERVER_NAME: &str = "teleport.cluster.local";

/// A cluster's certificate authority.
pub(crate) struct TestCa {
    cluster: String,
    issuer: Issuer<'static, KeyPair>,
    pub(crate) pem: String,
    der: CertificateDer<'static>,
}

/// What a certificate is to say, apart from the usual.
pub(crate) struct LeafParams<'a> {
    pub(crate) common_name: &'a str,
    pub(crate) dns_names: &'a [&'a str],
    /// Years: from the first of January to the first of January.
    pub(crate) years: (i32, i32),
}

/// A certificate and its key, in PEM.
pub(crate) struct PemKeyPair {
    pub(crate) crt: String,
    pub(crate) key: String,
}

impl TestCa {
    pub(crate) fn new(cluster: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.remove(DnType::CommonName);
        params.distinguished_name.push(DnType::OrganizationName, cluster);
        params.distinguished_name.push(DnType::CommonName, cluster);
        let certificate = params.self_signed(&key).unwrap();
        let (pem, der) = (certificate.pem(), certificate.der().clone());
        Self { cluster: cluster.to_owned(), issuer: Issuer::new(params, key), pem, der }
    }

    pub(crate) fn sign(&self, leaf: &LeafParams<'_>, key: &KeyPair) -> PemKeyPair {
        let names: Vec<String> = leaf.dns_names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        params.not_before = rcgen::date_time_ymd(leaf.years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(leaf.years.1, 1, 1);
        params.distinguished_name.remove(DnType::CommonName);
        // As Teleport's: logins, Kubernetes groups (none), traits, roles, user, cluster.
        let attributes: [(&[u64], &str); 5] = [
            (&[2, 5, 4, 7], "x-access-plugin"),
            (&[2, 5, 4, 9], ""),
            (&[2, 5, 4, 17], "{\"testing\":[\"integration\"]}"),
            (&[2, 5, 4, 10], "access-plugin"),
            (&[1, 3, 9999, 1, 7], &self.cluster),
        ];
        for (oid, value) in attributes {
            params.distinguished_name.push(DnType::CustomDnType(oid.to_vec()), value);
        }
        if !leaf.common_name.is_empty() {
            params.distinguished_name.push(DnType::CommonName, leaf.common_name);
        }
        params.custom_extensions.push(CustomExtension::from_oid_content(&[1, 3, 9999, 9], vec![5, 0]));
        PemKeyPair { crt: params.signed_by(key, &self.issuer).unwrap().pem(), key: key.serialize_pem() }
    }

    pub(crate) fn client_pair(&self, user: &str) -> PemKeyPair {
        let leaf = LeafParams { common_name: user, dns_names: &[], years: (2020, 2100) };
        self.sign(&leaf, &KeyPair::generate().unwrap())
    }

    /// An identity of this cluster.
    pub(crate) fn identity(&self, user: &str) -> Identity {
        identity_of(&self.client_pair(user), &self.pem, Timestamp::now())
    }

    /// TLS as an auth server does it, with a certificate for this name.
    pub(crate) fn server_config(&self, name: &str) -> ServerConfig {
        self.server_config_of(name, rustls::DEFAULT_VERSIONS)
    }

    /// The same, with these versions of TLS only.
    pub(crate) fn server_config_of(
        &self,
        name: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> ServerConfig {
        let key = KeyPair::generate().unwrap();
        let leaf = LeafParams { common_name: "0000.cluster", dns_names: &[name], years: (2020, 2100) };
        let pair = self.sign(&leaf, &key);
        let mut roots = RootCertStore::empty();
        roots.add(self.der.clone()).unwrap();
        let verifier =
            WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider()).build().unwrap();
        let certificate = rustls::pki_types::pem::PemObject::from_pem_slice(pair.crt.as_bytes()).unwrap();
        let key: PrivateKeyDer<'static> =
            rustls::pki_types::pem::PemObject::from_pem_slice(pair.key.as_bytes()).unwrap();
        let mut config = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions)
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![certificate], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        config
    }
}

/// Loads an identity through an identity file, as the daemon does.
pub(crate) fn identity_of(pair: &PemKeyPair, cas: &str, now: Timestamp) -> Identity {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("auth_id");
    std::fs::write(&path, format!("{}{}{cas}", pair.key, pair.crt)).unwrap();
    Identity::load(&Credentials::Identity(path), now).unwrap()
}

/// Keeps what a client reports.
#[derive(Debug, Default)]
pub(crate) struct Reports {
    pub(crate) calls: Mutex<Vec<(Call, CallResult)>>,
    /// Each proof of absence: what was seen of the requests at that time.
    pub(crate) visibilities: Mutex<Vec<Visibility>>,
    pub(crate) unconfirmed: Mutex<Vec<Visibility>>,
}

impl Observer for Reports {
    fn call_ended(&self, call: Call, result: CallResult, _: Duration) {
        self.calls.lock().push((call, result));
    }
    fn watch_opened(&self) {}
    fn watch_event(&self) {}
    fn watch_lost(&self, _: &TeleportError) -> bool {
        true
    }
    fn list_succeeded(&self, _: List) {}
    fn list_failed(&self, _: List, _: &TeleportError) {}
    fn visibility_found(&self, found: &Visibility) {
        self.visibilities.lock().push(found.clone());
    }
    fn absence_unconfirmed(&self, found: &Visibility) {
        self.unconfirmed.lock().push(found.clone());
    }
}

/// How a call is answered.
pub(crate) enum Reply {
    /// With these messages and OK.
    Messages(Vec<Bytes>),
    /// With a status: code and message.
    Status(u32, &'static str),
    /// With messages as they come, OK when the sender is dropped.
    Stream(mpsc::Receiver<Bytes>),
}

impl Reply {
    pub(crate) fn one(message: &impl Message) -> Self {
        Self::Messages(vec![message.encode_to_vec().into()])
    }
}

/// A role that sees all access requests.
pub(crate) fn full_visibility_role() -> wire::RoleV6 {
    let rule = wire::Rule {
        resources: vec!["access_request".into()],
        verbs: vec!["list".into(), "read".into()],
        ..Default::default()
    };
    let allow = wire::RoleConditions { rules: vec![rule], ..Default::default() };
    let spec = wire::RoleSpecV6 { allow: Some(allow), ..Default::default() };
    wire::RoleV6 { spec: Some(spec), ..Default::default() }
}

/// Answers calls: the method's name (with its service, if that is not `AuthService`), the request's bytes.
pub(crate) type Responder = Arc<dyn Fn(&str, Bytes) -> Reply + Send + Sync>;

/// A running server. Dropping it ends it.
pub(crate) struct ScriptedServer {
    pub(crate) addr: SocketAddr,
    tasks: JoinSet<()>,
}

impl ScriptedServer {
    pub(crate) async fn start(authority: &TestCa, script: Responder) -> Self {
        Self::start_with(authority.server_config(SERVER_NAME), script).await
    }

    /// A server with a TLS configuration of the test's own.
    pub(crate) async fn start_with(config: ServerConfig, script: Responder) -> Self {
        Self::listen(TcpListener::bind("127.0.0.1:0").await.unwrap(), config, script)
    }

    /// A server at an address that another one had before.
    pub(crate) async fn start_at(addr: SocketAddr, authority: &TestCa, script: Responder) -> Self {
        Self::listen(TcpListener::bind(addr).await.unwrap(), authority.server_config(SERVER_NAME), script)
    }

    fn listen(listener: TcpListener, config: ServerConfig, script: Responder) -> Self {
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let addr = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((tcp, _)) = listener.accept().await {
                let (acceptor, script) = (acceptor.clone(), Arc::clone(&script));
                connections.spawn(async move {
                    // A client that is refused is what some tests are about.
                    let Ok(tls) = acceptor.accept(tcp).await else { return };
                    let service = service_fn(move |request| answer(request, Arc::clone(&script)));
                    let server = auto::Builder::new(TokioExecutor::new()).http2_only();
                    let _ = server.serve_connection(TokioIo::new(tls), service).await;
                });
            }
        });
        Self { addr, tasks }
    }

    /// Ends it now; its address is free afterwards.
    pub(crate) async fn stop(mut self) {
        self.tasks.shutdown().await;
    }

    pub(crate) fn client(&self, identity: &Identity) -> Client {
        self.observed_client(identity, Arc::new(NoObserver))
    }

    pub(crate) fn observed_client(&self, identity: &Identity, observer: Arc<dyn Observer>) -> Client {
        Client::new(&TeleportAddr::parse(&self.addr.to_string()).unwrap(), identity, observer)
    }
}

/// A simulated cluster and a client that is one of its users.
pub(crate) async fn sim_client(options: Options, user: &str) -> (TeleportSim, Client) {
    observed_sim_client(options, user, Arc::new(NoObserver)).await
}

/// The same, with an observer of its own.
pub(crate) async fn observed_sim_client(
    options: Options,
    user: &str,
    observer: Arc<dyn Observer>,
) -> (TeleportSim, Client) {
    let sim = TeleportSim::start(options).await.unwrap();
    let signed = sim.credentials(user, CertOptions::default());
    let pair = PemKeyPair { crt: signed.cert_pem, key: signed.key_pem };
    let identity = identity_of(&pair, &signed.cas_pem, Timestamp::now());
    let client = Client::new(&TeleportAddr::parse(&sim.addr().to_string()).unwrap(), &identity, observer);
    (sim, client)
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

async fn answer(request: Request<Incoming>, script: Responder) -> Result<Response<Body>, Infallible> {
    let path = request.uri().path().to_owned();
    let method = path.strip_prefix("/proto.AuthService/").or(path.strip_prefix("/")).unwrap().to_owned();
    assert!(request.headers().get("version").is_none(), "no API version must be claimed");
    // Every request is one message: a flag, four bytes of length, the bytes.
    let framed = request.into_body().collect().await.unwrap().to_bytes();
    let reply = script(&method, framed.slice(5..));
    let mut response = Response::new(());
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    let body = match reply {
        Reply::Status(code, message) => {
            response.headers_mut().extend(status(code, message));
            StreamBody::new(stream::empty()).boxed_unsync()
        }
        Reply::Messages(messages) => body(stream::iter(messages)),
        Reply::Stream(messages) => body(ReceiverStream::new(messages)),
    };
    Ok(response.map(|()| body))
}

/// The messages, then OK.
fn body(messages: impl Stream<Item = Bytes> + Send + 'static) -> Body {
    let end = stream::once(async { Frame::trailers(status(0, "")) });
    StreamBody::new(messages.map(|message| frame(&message)).chain(end).map(Ok)).boxed_unsync()
}

fn frame(message: &Bytes) -> Frame<Bytes> {
    let mut framed = BytesMut::new();
    framed.put_u8(0);
    framed.put_u32(u32::try_from(message.len()).unwrap());
    framed.extend_from_slice(message);
    Frame::data(framed.freeze())
}

fn status(code: u32, message: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("grpc-status", HeaderValue::from(code));
    headers.insert("grpc-message", HeaderValue::from_str(message).unwrap());
    headers
}

pub(crate) fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits =
            chunk.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - chunk.len()));
        for place in 0..4 {
            let digit = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
            text.push(if place <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}
