//! A stream to a host and port, before TLS: directly, or through a forward proxy.

use std::io;
use std::time::Duration;

use access_core::domain::error_chain::chain;
use client_base::forward_proxy::{DialError, Dialer, Target};
use client_base::resolver::Resolver;
use client_base::tcp::{self, Deadline, TcpError};
use tokio::time::Instant;

use super::error::{AttemptError, ConnectErrorKind};
use super::stream::IoStream;
use crate::address::TeleportAddr;
use crate::text::quote;

/// How streams get to an address.
pub(super) struct TcpWay<'a> {
    pub(super) addr: &'a TeleportAddr,
    pub(super) resolver: &'a Resolver,
    /// How long an attempt may take, for messages.
    pub(super) limit: Duration,
    /// Where one leads there.
    pub(super) forward: Option<Forward<'a>>,
}

/// The way through a forward proxy.
pub(super) struct Forward<'a> {
    pub(super) dialer: Dialer,
    pub(super) target: Target,
    /// The setting to look at if the proxy does not lead there.
    pub(super) named_by: &'a str,
}

impl TcpWay<'_> {
    /// Opens a stream until `at`. Nothing else in this crate opens one.
    pub(super) async fn open(&self, at: Instant) -> Result<Box<dyn IoStream>, AttemptError> {
        let (addr, deadline) = (self.addr, Deadline { at, limit: self.limit });
        let Some(Forward { dialer, target, named_by }) = &self.forward else {
            let connected = tcp::connect(self.resolver, addr.host(), addr.port(), deadline).await;
            return Ok(Box::new(connected.map_err(|error| failed(&error, addr))?));
        };
        match dialer.dial(target, deadline).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(DialError::Proxy(error)) => {
                let text = format!("{}; {} ({named_by})", chain(&error), error.remedy());
                Err(AttemptError::new(ConnectErrorKind::ForwardProxy, text))
            }
            Err(DialError::Direct(error)) => Err(failed(&error, addr)),
        }
    }
}

fn failed(error: &TcpError, addr: &TeleportAddr) -> AttemptError {
    let kind = match error {
        TcpError::Resolve(_) | TcpError::NoAddress => ConnectErrorKind::Resolve,
        TcpError::ResolveTimedOut(_) => ConnectErrorKind::NameServerSilent,
        TcpError::Connect(attempts) => error_kind(attempts.kind(), addr),
    };
    tracing::debug!(error = error.by_address(), "No connection to {addr}: {error}");
    AttemptError::new(kind, quote(&error.detail()))
}

pub(super) fn error_kind(kind: io::ErrorKind, addr: &TeleportAddr) -> ConnectErrorKind {
    match kind {
        io::ErrorKind::ConnectionRefused if addr.is_web_port() => ConnectErrorKind::RefusedByWebPort,
        io::ErrorKind::ConnectionRefused => ConnectErrorKind::Refused,
        io::ErrorKind::TimedOut => ConnectErrorKind::TimedOut,
        _ => ConnectErrorKind::Unreachable,
    }
}
