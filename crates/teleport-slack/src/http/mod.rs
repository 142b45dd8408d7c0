//! The daemon's own ports: Slack's callbacks, over its own TLS or none, and what others ask about the daemon. The
//! only folder that names axum.
//!
//! The callback listener reads requests and never looks into them: raw bytes and the two headers of the signature go
//! to the handler, which checks, parses and decides (`interactivity` says how, and what can be answered). Certificates are
//! read and renewed in `certificates`; health and metrics are `diagnostics`, the state of the daemon `status`; what both share is `server`.

pub mod certificates;
pub mod interactivity;
pub mod diagnostics;
pub mod status;
mod server;
mod timings;

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use bytes::Bytes;
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::causes::Cause;
use crate::config::TlsFiles;
use crate::observe::file_watch::FileWatch;
use crate::supervise::worker_pool::{CALLBACK_CONNECTIONS, CALLBACKS, WorkerPool};
use certificates::{CertificateError, Certificates};
use interactivity::{CallbackResponse, Handlers, SignatureHeaders};
use server::ListenerLimits;
pub use timings::HttpTimings;

/// The port for callbacks.
fn callback_limits(timings: HttpTimings) -> ListenerLimits {
    ListenerLimits {
        name: "callback listener",
        full_consequence: "clicks in Slack may fail",
        connections: CALLBACK_CONNECTIONS,
        evict_after: timings.evict_callback,
        timings,
    }
}

/// A socket that listens for callbacks, and what it takes to serve it.
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    address: SocketAddr,
    certificates: Option<(Certificates, FileWatch)>,
    timings: HttpTimings,
}

/// The socket of a listener; the system closes it when all of its holders have dropped it.
#[derive(Debug)]
pub struct ListeningSocket {
    socket: std::net::TcpListener,
    address: SocketAddr,
}

impl ListeningSocket {
    /// Where it listens; with the real port if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Why a port cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is taken, or not this machine's.
    #[error("cannot listen for {purpose} on {address} ({key}){}", remedy(source))]
    Bind {
        /// What the address is for, as a part of the error's sentence.
        purpose: &'static str,
        /// The address that could not be bound.
        address: SocketAddr,
        /// The configuration's key for it.
        key: &'static str,
        /// The system's reason.
        source: io::Error,
    },
    /// The key or certificate cannot be used.
    #[error("cannot serve Slack's callbacks over TLS")]
    Certificate(#[from] CertificateError),
}

impl ListenError {
    /// What kind of error it is.
    pub fn cause(&self) -> Cause {
        match self {
            Self::Bind { .. } => Cause::Environment,
            Self::Certificate(_) => Cause::UnreadableFile,
        }
    }
}

impl Listener {
    /// Takes the address and reads the key and certificate. Without `tls`, every machine that can listen in on the network
    /// can read the callbacks: meant for a proxy on the same machine that ends TLS.
    ///
    /// # Errors
    ///
    /// An address that cannot be had, or a key or certificate that cannot be used.
    pub async fn bind(
        address: SocketAddr,
        tls: Option<TlsFiles>,
        timings: HttpTimings,
    ) -> Result<Self, ListenError> {
        // The files first, so that a failure holds no address.
        let certificates = Self::certificates(tls, timings).await?;
        let (socket, address) = bind(address, "Slack's callbacks", "http.listen_addr").await?;
        Ok(Self { socket, address, certificates, timings })
    }

    /// The same at an address at which another listener of this process listens, as its [`Listener::socket`] shows: the
    /// other is to be stopped then.
    ///
    /// # Errors
    ///
    /// A key or certificate that cannot be used, or a socket that cannot be shared.
    pub async fn take_over(
        socket: &ListeningSocket,
        tls: Option<TlsFiles>,
        timings: HttpTimings,
    ) -> Result<Self, ListenError> {
        let certificates = Self::certificates(tls, timings).await?;
        let fail = |source| ListenError::Bind {
            purpose: "Slack's callbacks",
            address: socket.address,
            key: "http.listen_addr",
            source,
        };
        let shared = socket.socket.try_clone().and_then(TcpListener::from_std).map_err(fail)?;
        Ok(Self { socket: shared, address: socket.address, certificates, timings })
    }

    /// The socket, to let another listener take it over without a moment in which nothing listens.
    ///
    /// # Errors
    ///
    /// If the system has no file descriptor to give.
    pub fn socket(&self) -> io::Result<ListeningSocket> {
        let socket = self.socket.as_fd().try_clone_to_owned()?.into();
        Ok(ListeningSocket { socket, address: self.address })
    }

    async fn certificates(
        tls: Option<TlsFiles>,
        timings: HttpTimings,
    ) -> Result<Option<(Certificates, FileWatch)>, ListenError> {
        match tls {
            Some(files) => Ok(Some(Certificates::load(files, timings.files.retry).await?)),
            None => Ok(None),
        }
    }

    /// Where it listens; with the real port if port 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until the stop, and then until the requests in progress have been answered, for at most
    /// [`HttpTimings::drain`].
    ///
    /// `handler` is given the two headers of the signature and the body as it came, of at most
    /// [`interactivity::MAX_BODY_BYTES`]. Nothing was checked yet: checking the signature comes first. It should answer
    /// within [`HttpTimings::respond`], after which Slack gets 503. The handler is not cut short then, nor when the
    /// caller hangs up, but goes on to its end. If it panics, 500 is answered and the listener goes on.
    pub async fn run<H, F>(self, handler: H, stop: CancellationToken)
    where
        H: Fn(SignatureHeaders, Bytes) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = CallbackResponse> + Send + 'static,
    {
        let Self { socket, address, certificates, timings } = self;
        match &certificates {
            // The words of the Go plugin, which people search their logs for.
            None => info!("Starting insecure HTTP server on {address}"),
            Some(_) => info!("Starting secure HTTPS server on {address}"),
        }
        let working = WorkerPool::new(CALLBACKS);
        let router = interactivity::router(handler, Handlers::new(working.clone(), timings));
        let (certificates, watch) = certificates.unzip();
        let renewal = async {
            if let (Some(certificates), Some(watch)) = (&certificates, watch) {
                certificates.keep_current(watch, timings.files.poll).await;
            }
        };
        let tls = || certificates.as_ref().map(Certificates::current);
        let serving = server::serve(socket, callback_limits(timings), tls, router, &stop);
        let (open, _) = tokio::join!(serving, stop.run_until_cancelled(renewal));
        let ending = async {
            open.drain().await;
            working.drain().await;
        };
        let drain = timings.drain;
        if timeout(drain, ending).await.is_err() {
            warn!("Callbacks were still being worked on after {drain:?}; they are given up");
            open.abort();
            working.abort();
        }
    }
}

/// Binds an address; returns the real port if port 0 was asked for.
pub(crate) async fn bind(
    address: SocketAddr,
    purpose: &'static str,
    key: &'static str,
) -> Result<(TcpListener, SocketAddr), ListenError> {
    let fail = |source| ListenError::Bind { purpose, address, key, source };
    let socket = TcpListener::bind(address).await.map_err(fail)?;
    let address = socket.local_addr().map_err(fail)?;
    Ok((socket, address))
}

/// What to do about a port that is taken.
pub(crate) const ANOTHER_PROGRAM: &str =
    "; another program, perhaps another teleport-slack, listens there: end it, or choose another port";

/// What to do about an address that cannot be had, as the end of a sentence; empty if nothing is known.
fn remedy(error: &io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => ANOTHER_PROGRAM,
        ErrorKind::AddrNotAvailable => {
            "; this machine has no such address: choose one that it has, or 0.0.0.0 for all"
        }
        ErrorKind::PermissionDenied => "; ports below 1024 need more rights: choose a higher one",
        _ => "",
    }
}

#[cfg(test)]
mod tests;
