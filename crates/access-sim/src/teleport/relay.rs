//! Simulates what companies put before a Teleport proxy: a balancer that ends TLS, or one that looks at the name asked for.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tokio_util::sync::DropGuard;

use super::proxy::first_message;
use super::server::plain_tls;
use crate::tasks::Tasks;

/// What a relay does with TLS.
#[derive(Clone, Debug)]
pub enum RelayKind {
    /// Ends it with this certificate and key (PEM) and passes the plain bytes on; agrees on these ALPN entries.
    EndsTls {
        /// The certificate, then the key.
        pair: (String, String),
        /// What it agrees to; with none of it offered, the handshake fails, unless the list is empty.
        alpn: Vec<Vec<u8>>,
        /// Opens TLS with the target again, which must be `localhost` by this authority (PEM); else it passes plain bytes on.
        again: Option<String>,
    },
    /// Passes it through if the name asked for is this one, and closes otherwise.
    RoutesByName(String),
}

/// A running relay on a free port of 127.0.0.1. Dropping it closes its port and connections.
#[derive(Debug)]
pub struct Relay {
    addr: SocketAddr,
    tasks: Tasks,
    _stop: DropGuard,
}

enum Way {
    EndsTls(TlsAcceptor, Option<TlsConnector>),
    RoutesByName(String),
}

impl Relay {
    /// Starts a relay to `target`.
    ///
    /// # Errors
    /// When no port can be had, or the certificate cannot be used.
    pub async fn start(kind: RelayKind, target: SocketAddr) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), kind, target).await
    }

    /// The same at this address.
    ///
    /// # Errors
    /// The same.
    pub async fn start_at(addr: SocketAddr, kind: RelayKind, target: SocketAddr) -> io::Result<Self> {
        let way = match kind {
            RelayKind::EndsTls { pair: (certificate, key), alpn, again } => {
                let certificate =
                    CertificateDer::from_pem_slice(certificate.as_bytes()).map_err(io::Error::other)?;
                let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(io::Error::other)?;
                let alpn: Vec<_> = alpn.iter().map(Vec::as_slice).collect();
                let again = again.map(|authority| connector(&authority)).transpose()?;
                Way::EndsTls(plain_tls(certificate, key, &alpn)?, again)
            }
            RelayKind::RoutesByName(name) => Way::RoutesByName(name),
        };
        let listener = TcpListener::bind(addr).await?;
        let addr = listener.local_addr()?;
        let (tasks, way) = (Tasks::default(), Arc::new(way));
        let owner = tasks.clone();
        tasks.spawn(async move {
            loop {
                let Ok((stream, _)) = listener.accept().await else {
                    tokio::task::yield_now().await;
                    continue;
                };
                let way = Arc::clone(&way);
                owner.spawn(async move {
                    // However it ends, both sides see it.
                    let _ = pass(stream, &way, target).await;
                });
            }
        });
        Ok(Self { addr, _stop: tasks.cancel_on_drop(), tasks })
    }

    /// Closes every connection and the port, which is free afterwards.
    pub async fn stop(self) {
        self.tasks.stop().await;
    }

    /// Where to connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}

/// TLS as a balancer opens it towards a web server.
fn connector(authority: &str) -> io::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    let authority = CertificateDer::from_pem_slice(authority.as_bytes()).map_err(io::Error::other)?;
    roots.add(authority).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn pass(mut stream: TcpStream, way: &Way, target: SocketAddr) -> io::Result<()> {
    stream.set_nodelay(true)?;
    match way {
        Way::EndsTls(tls, again) => {
            let mut plain = tls.accept(stream).await?;
            let mut far = TcpStream::connect(target).await?;
            far.set_nodelay(true)?;
            match again {
                Some(again) => {
                    let name = ServerName::try_from("localhost").map_err(io::Error::other)?;
                    let mut far = again.connect(name, far).await?;
                    tokio::io::copy_bidirectional(&mut plain, &mut far).await?;
                }
                None => {
                    tokio::io::copy_bidirectional(&mut plain, &mut far).await?;
                }
            }
        }
        Way::RoutesByName(name) => {
            let Some(seen) = first_message(&mut stream).await else { return Ok(()) };
            if seen.server_name.as_ref() == Some(name) {
                let mut far = TcpStream::connect(target).await?;
                far.set_nodelay(true)?;
                far.write_all(&seen.bytes).await?;
                tokio::io::copy_bidirectional(&mut stream, &mut far).await?;
            }
        }
    }
    Ok(())
}
