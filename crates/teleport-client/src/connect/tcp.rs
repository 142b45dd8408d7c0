//! A TCP stream to a host and port: the name, then its addresses in turn.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};

use super::error::{AttemptError, ConnectErrorKind};
use crate::address::TeleportAddr;
use crate::text::quote;

/// Opens a stream to `addr` until `deadline`. Nothing else in this crate opens one.
pub(super) async fn open(addr: &TeleportAddr, deadline: Instant) -> Result<TcpStream, AttemptError> {
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
