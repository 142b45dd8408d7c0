//! A stream to a host and port, before TLS: through a forward proxy, or the name and then its addresses in turn.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use access_core::domain::error_chain::chain;
use client_base::broken::describe;
use client_base::forward_proxy::{Deadline, DialError, Dialer, Target};

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{AttemptError, ConnectErrorKind};
use super::stream::IoStream;
use crate::address::TeleportAddr;
use crate::text::quote;

/// How streams get to an address.
pub(super) struct TcpWay<'a> {
    pub(super) addr: &'a TeleportAddr,
    /// Where one leads there.
    pub(super) forward: Option<Forward<'a>>,
}

/// The way through a forward proxy.
pub(super) struct Forward<'a> {
    pub(super) dialer: Dialer,
    pub(super) target: Target,
    /// The setting to look at if the proxy does not lead there.
    pub(super) named_by: &'a str,
    /// How long an attempt may take, for messages.
    pub(super) limit: Duration,
}

impl TcpWay<'_> {
    /// Opens a stream until `deadline`. Nothing else in this crate opens one.
    pub(super) async fn open(&self, deadline: Instant) -> Result<Box<dyn IoStream>, AttemptError> {
        match &self.forward {
            Some(forward) => forward.open(deadline).await,
            None => Ok(Box::new(open_directly(self.addr, deadline).await?)),
        }
    }
}

impl Forward<'_> {
    async fn open(&self, at: Instant) -> Result<Box<dyn IoStream>, AttemptError> {
        match self.dialer.dial(&self.target, Deadline { at, limit: self.limit }).await {
            Ok(stream) => Ok(Box::new(stream)),
            Err(DialError::Proxy(error)) => {
                let text = format!("{}; {} ({})", chain(&error), error.remedy(), self.named_by);
                Err(AttemptError::new(ConnectErrorKind::ForwardProxy, text))
            }
            Err(DialError::Direct(error)) => {
                Err(AttemptError::new(ConnectErrorKind::Unreachable, quote(&describe(error.as_ref()))))
            }
        }
    }
}

/// Its errors distinguish the causes, which those of the library for the other way do not.
async fn open_directly(addr: &TeleportAddr, deadline: Instant) -> Result<TcpStream, AttemptError> {
    let found = timeout_at(deadline, tokio::net::lookup_host((addr.host(), addr.port())))
        .await
        .map_err(|_| AttemptError::new(ConnectErrorKind::TimedOut, "name resolution did not end in time"))?
        .map_err(|error| AttemptError::new(ConnectErrorKind::Resolve, quote(&error.to_string())))?;
    let tcp = connect_any(found.collect(), deadline)
        .await
        .map_err(|error| AttemptError::new(error_kind(&error, addr), quote(&error.to_string())))?;
    // Small requests must not wait for more; failing to say so costs only time.
    let _ = tcp.set_nodelay(true);
    Ok(tcp)
}

/// Tries the addresses in turn; each gets its share of the time left, so that one dead address (often an
/// IPv6 one) does not use it all up.
async fn connect_any(addrs: Vec<SocketAddr>, deadline: Instant) -> io::Result<TcpStream> {
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no addresses");
    let mut left = u32::try_from(addrs.len()).unwrap_or(u32::MAX);
    for addr in addrs {
        let share = deadline.saturating_duration_since(Instant::now()) / left.max(1);
        left = left.saturating_sub(1);
        match timeout(share, TcpStream::connect(addr)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = io::Error::new(io::ErrorKind::TimedOut, format!("{addr} did not answer")),
        }
    }
    Err(last)
}

pub(super) fn error_kind(error: &io::Error, addr: &TeleportAddr) -> ConnectErrorKind {
    match error.kind() {
        io::ErrorKind::ConnectionRefused if addr.is_web_port() => ConnectErrorKind::RefusedByWebPort,
        io::ErrorKind::ConnectionRefused => ConnectErrorKind::Refused,
        io::ErrorKind::TimedOut => ConnectErrorKind::TimedOut,
        io::ErrorKind::NotFound => ConnectErrorKind::Resolve,
        _ => ConnectErrorKind::Unreachable,
    }
}
