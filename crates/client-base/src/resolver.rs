//! Which addresses a host's name has. The system says it, by files and name servers; nothing here remembers an answer, so a
//! name that changes its address counts with the next connection.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;

/// The addresses of a host, each with the port to connect to, the best first.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<SocketAddr>>> + Send>>;

type Resolve = dyn Fn(&str, u16) -> Resolving + Send + Sync;

/// Who resolves names. Cheap to clone; the default is the system.
#[derive(Clone, Default)]
pub struct Resolver(Option<Arc<Resolve>>);

impl Resolver {
    /// Asks this in place of the system, for tests: it is given host and port.
    pub fn new(resolve: impl Fn(&str, u16) -> Resolving + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(resolve)))
    }

    /// The addresses of a name, or the address that the text is.
    ///
    /// # Errors
    /// If there is no such name, or if it could not be found out.
    pub(crate) async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        match &self.0 {
            Some(resolve) => resolve(host, port).await,
            None => Ok(tokio::net::lookup_host((host, port)).await?.collect()),
        }
    }
}

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Resolver(a test's)" } else { "Resolver(the system's)" })
    }
}

impl PartialEq for Resolver {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            _ => false,
        }
    }
}

impl Eq for Resolver {}
