//! TLS in front of a server that speaks none: it opens TLS and passes the bytes on, as relays of companies do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncRead, AsyncWrite, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::DropGuard;

use crate::tasks::Tasks;

/// A connection, with TLS or without.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Connection for S {}

/// A server's certificate, and the authority that signed it.
#[derive(Debug)]
pub(crate) struct Certificate {
    /// The authority, as a file of trusted ones has it.
    pub(crate) ca_pem: String,
    certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Certificate {
    /// A new one for these names or addresses.
    pub(crate) fn new(names: &[&str]) -> io::Result<Self> {
        Self::make(names).map_err(io::Error::other)
    }

    fn make(names: &[&str]) -> Result<Self, rcgen::Error> {
        let mut authority = CertificateParams::new(Vec::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority_key = KeyPair::generate()?;
        let ca_pem = authority.self_signed(&authority_key)?.pem();
        let key = KeyPair::generate()?;
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let issuer = Issuer::new(authority, authority_key);
        let certificate = CertificateParams::new(names)?.signed_by(&key, &issuer)?;
        Ok(Self { ca_pem, certificate: certificate.der().clone(), key: key.serialize_der() })
    }

    pub(crate) fn acceptor(&self) -> io::Result<TlsAcceptor> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(self.key.clone()));
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .and_then(|config| {
                config.with_no_client_auth().with_single_cert(vec![self.certificate.clone()], key)
            })
            .map_err(io::Error::other)?;
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

/// The front; dropping it closes every connection and the port.
#[derive(Debug)]
pub struct TlsFront {
    addr: SocketAddr,
    ca_pem: String,
    _stop: DropGuard,
}

impl TlsFront {
    /// Listens on a free port of 127.0.0.1 with a certificate for these names, and passes the bytes on to `server`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(names: &[&str], server: SocketAddr) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), names, server).await
    }

    /// The same at this address of the machine; port 0 takes a free one.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_at(listen: SocketAddr, names: &[&str], server: SocketAddr) -> io::Result<Self> {
        let certificate = Certificate::new(names)?;
        let listener = TcpListener::bind(listen).await?;
        let (addr, tasks) = (listener.local_addr()?, Tasks::default());
        let acceptor = certificate.acceptor()?;
        let pass_on = move |mut near: Box<dyn Connection>| async move {
            if let Ok(mut far) = TcpStream::connect(server).await {
                // A connection that breaks is the caller's affair and shows in its own error.
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        };
        tasks.spawn(accepting(listener, Some(acceptor), tasks.clone(), pass_on));
        Ok(Self { addr, ca_pem: certificate.ca_pem, _stop: tasks.cancel_on_drop() })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The authority of its certificate.
    pub fn ca_pem(&self) -> &str {
        &self.ca_pem
    }
}

/// Hands each connection to `serve`, after its TLS if there is an acceptor.
pub(crate) async fn accepting<F>(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    tasks: Tasks,
    serve: impl Fn(Box<dyn Connection>) -> F + Clone + Send + Sync + 'static,
) where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        // A failed accept concerns one connection.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        let (tls, serve) = (tls.clone(), serve.clone());
        tasks.spawn(async move {
            let stream: Box<dyn Connection> = match tls {
                None => Box::new(stream),
                Some(acceptor) => match acceptor.accept(stream).await {
                    Ok(stream) => Box::new(stream),
                    Err(_) => return,
                },
            };
            serve(stream).await;
        });
    }
}
