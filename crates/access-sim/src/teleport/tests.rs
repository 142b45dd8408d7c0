//! The simulated auth server over real sockets, through the generated client.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use teleport_proto::auth::auth_service_client::AuthServiceClient;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tonic::transport::{Channel, Endpoint};

use super::certs::{API_DOMAIN, CertOptions, Credentials};
use super::fixture::Fixture;
use super::{Options, ServerVersion, TeleportSim};

mod golden;
mod golden_15;
mod calls;
mod versions;
mod raw;
mod since_15;
mod plugin_data;
mod proxy;
mod tls;
mod watching;

/// Longest wait for anything.
const LIMIT: Duration = Duration::from_secs(20);

type Client = AuthServiceClient<Channel>;

const PLUGIN: &str = "access-plugin";
const ALICE: &str = "alice@example.com";
const BOB: &str = "bob@example.com";
const CAROL: &str = "carol@example.com";
const DAVE: &str = "dave@example.com";

/// A client's TLS configuration; `client` is absent for one that shows no certificate.
fn client_tls(cas_pem: &str, client: Option<&Credentials>) -> rustls::ClientConfig {
    let mut roots = rustls::RootCertStore::empty();
    for ca in CertificateDer::pem_slice_iter(cas_pem.as_bytes()) {
        roots.add(ca.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match client {
        Some(client) => {
            let chain =
                CertificateDer::pem_slice_iter(client.cert_pem.as_bytes()).map(Result::unwrap).collect();
            let key = PrivateKeyDer::from_pem_slice(client.key_pem.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

/// A channel with small windows, so that a client that does not read is soon noticed.
async fn channel(addr: SocketAddr, config: rustls::ClientConfig) -> Result<Channel, tonic::transport::Error> {
    let connector = TlsConnector::from(Arc::new(config));
    let dial = tower::service_fn(move |_: http::Uri| {
        let connector = connector.clone();
        async move {
            let stream = TcpStream::connect(addr).await?;
            stream.set_nodelay(true)?;
            let name = ServerName::try_from(API_DOMAIN).unwrap();
            connector.connect(name, stream).await.map(TokioIo::new)
        }
    });
    Endpoint::from_static("http://teleport.cluster.local")
        .initial_stream_window_size(65_535)
        .connect_with_connector(dial)
        .await
}

async fn client(sim: &TeleportSim, user: &str) -> Client {
    let credentials = sim.credentials(user, CertOptions::default());
    let config = client_tls(&credentials.cas_pem, Some(&credentials));
    AuthServiceClient::new(channel(sim.addr(), config).await.unwrap()).max_decoding_message_size(64 << 20)
}

async fn golden() -> TeleportSim {
    TeleportSim::start(Options::golden()).await.unwrap()
}

/// Waits until the cluster is in the state that the test needs.
async fn until(sim: &TeleportSim, what: &str, condition: impl Fn(&TeleportSim) -> bool) {
    let mut changes = sim.changes();
    let wait = async {
        loop {
            changes.borrow_and_update();
            if condition(sim) {
                return;
            }
            changes.changed().await.unwrap();
        }
    };
    tokio::time::timeout(LIMIT, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}

/// A server of this release, of an enterprise edition.
async fn start_version(version: ServerVersion) -> TeleportSim {
    TeleportSim::start(Options {
        advanced_access_workflows: true,
        ..Options::new(version, Fixture::golden())
    })
    .await
    .unwrap()
}
