//! TCP to a host: its name, and then its addresses, as RFC 8305 ("Happy Eyeballs") wants it.
//!
//! Attempts overlap: the next address is tried when one fails, or after a moment, and the first that answers wins. So an
//! address that swallows every packet costs that moment and not the time limit. hyper-util's connector does so between the
//! two families only, and its error is that of the family it tried last.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout_at};

use crate::resolver::Resolver;

/// When the next address is tried beside those that have not answered; the figure is the RFC's.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// No more addresses of one name are tried. All have their turn within four seconds.
const MAX_ADDRESSES: usize = 16;

/// Until when something must be done.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    /// The moment.
    pub at: Instant,
    /// How long that was from the beginning, for messages.
    pub limit: Duration,
}

impl Deadline {
    /// From now on.
    pub fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }
}

/// Why there is no connection, as the end of a sentence.
#[derive(Debug, thiserror::Error)]
pub enum TcpError {
    /// The system says that there is no such name, or that it could not find out.
    #[error("the name does not resolve ({})", system_words(.0))]
    Resolve(#[source] io::Error),
    /// The system did not say anything in time: its name server is silent.
    #[error("no name server said within {} s which addresses the name has", .0.as_secs_f64())]
    ResolveTimedOut(Duration),
    /// The name is there, and has no address.
    #[error("the name has no address")]
    NoAddress,
    /// None of the addresses took the connection.
    #[error("{0}")]
    Connect(Attempts),
}

impl TcpError {
    /// Whether the name is what failed, so that nothing was connected to.
    pub fn is_of_name(&self) -> bool {
        !matches!(self, Self::Connect(_))
    }

    /// The system's own words, for a message that says the rest itself. As in the error's text, no address is among them: they
    /// change from one answer of a name server to the next, and the same failure is to have the same text.
    pub fn detail(&self) -> String {
        match self {
            Self::Resolve(error) => system_words(error),
            Self::Connect(attempts) => attempts.text(ToString::to_string),
            other => other.to_string(),
        }
    }

    /// What each address did, for who looks for a fault there; empty if none was tried.
    pub fn by_address(&self) -> String {
        let Self::Connect(Attempts { failed, silent, .. }) = self else { return String::new() };
        let failed = failed.iter().map(|(addr, error)| format!("{addr}: {error}"));
        let all: Vec<_> = failed.chain(silent.iter().map(|addr| format!("{addr}: no answer"))).collect();
        all.join("; ")
    }
}

/// What became of the attempts.
#[derive(Debug)]
pub struct Attempts {
    /// By address, in the order in which they failed.
    failed: Vec<(SocketAddr, io::Error)>,
    /// These did not answer.
    silent: Vec<SocketAddr>,
    /// How long that was waited for.
    limit: Duration,
}

impl Attempts {
    /// The kind that says most: a machine that refuses is there, one that is silent may be, and the rest was not reached.
    pub fn kind(&self) -> io::ErrorKind {
        if self.failed.iter().any(|(_, error)| is_refusal(error)) {
            return io::ErrorKind::ConnectionRefused;
        }
        match self.failed.first() {
            Some((_, error)) if self.silent.is_empty() => error.kind(),
            _ => io::ErrorKind::TimedOut,
        }
    }

    /// What the addresses did, what says most first.
    fn text(&self, words: impl Fn(&io::Error) -> String) -> String {
        let (refused, others): (Vec<_>, Vec<_>) =
            self.failed.iter().map(|(_, error)| error).partition(|error| is_refusal(error));
        let silence = format!("no answer within {} s", self.limit.as_secs_f64());
        let mut all: Vec<_> = refused.into_iter().map(&words).collect();
        all.extend((!self.silent.is_empty()).then_some(silence));
        let mut others: Vec<_> = others.into_iter().map(&words).collect();
        others.sort();
        all.extend(others);
        all.dedup();
        all.join("; ")
    }
}

impl fmt::Display for Attempts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text(|error| match is_refusal(error) {
            true => "it was refused: nothing listens there, or a firewall refuses".to_owned(),
            false => error.to_string(),
        }))
    }
}

fn is_refusal(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ConnectionRefused
}

/// Connects by the deadline.
///
/// # Errors
/// If there is no connection by then.
pub async fn connect(
    resolver: &Resolver,
    host: &str,
    port: u16,
    deadline: Deadline,
) -> Result<TcpStream, TcpError> {
    let found = timeout_at(deadline.at, resolver.resolve(host, port))
        .await
        .map_err(|_| TcpError::ResolveTimedOut(deadline.limit))?
        .map_err(TcpError::Resolve)?;
    let stream = first_to_answer(in_turn(found), deadline).await?;
    // Small requests must not wait for more; failing to say so costs only time.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// The families in turn, beginning with that of the first address; within one the order stays.
fn in_turn(found: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let begins_with_ipv6 = found.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|addr| addr.is_ipv6() == begins_with_ipv6);
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    let mut turns = Vec::new();
    while turns.len() < MAX_ADDRESSES {
        let before = turns.len();
        turns.extend(first.next());
        turns.extend(second.next());
        if turns.len() == before {
            break;
        }
    }
    turns
}

async fn first_to_answer(addresses: Vec<SocketAddr>, deadline: Deadline) -> Result<TcpStream, TcpError> {
    if addresses.is_empty() {
        return Err(TcpError::NoAddress);
    }
    let mut attempts = Attempts { failed: Vec::new(), silent: Vec::new(), limit: deadline.limit };
    let mut running = FuturesUnordered::new();
    let mut waiting = addresses.into_iter();
    loop {
        if let Some(addr) = waiting.next() {
            attempts.silent.push(addr);
            running.push(async move { (addr, TcpStream::connect(addr).await) });
        }
        let next = Instant::now() + ATTEMPT_DELAY;
        let until = if waiting.len() > 0 { next.min(deadline.at) } else { deadline.at };
        tokio::select! {
            biased;
            ended = running.next() => match ended {
                Some((_, Ok(stream))) => return Ok(stream),
                Some((addr, Err(error))) => {
                    attempts.silent.retain(|silent| *silent != addr);
                    attempts.failed.push((addr, error));
                }
                None => return Err(TcpError::Connect(attempts)),
            },
            () = sleep_until(until) => {
                if Instant::now() >= deadline.at {
                    return Err(TcpError::Connect(attempts));
                }
            }
        }
    }
}

/// The resolver's own words, without what the standard library puts before them.
fn system_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.strip_prefix("failed to lookup address information: ").unwrap_or(&text).to_owned()
}

#[cfg(test)]
mod tests;
