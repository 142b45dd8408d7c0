//! Names and their addresses, as a name server has them, which can change, fail and fall silent.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Duration, timeout};

/// What there is to say of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// These addresses, in this order. Port 0 stands for the port that was asked for.
    Addresses(Vec<SocketAddr>),
    /// The name server could not find out.
    Error,
    /// Nothing, ever.
    Silence,
}

/// The names. A handle that is cheap to clone; what is not in it does not exist.
#[derive(Clone, Debug, Default)]
pub struct NameTable {
    names: Arc<Mutex<BTreeMap<String, Answer>>>,
    asked: Arc<watch::Sender<usize>>,
}

impl NameTable {
    /// Answers so from now on.
    pub fn set(&self, name: &str, answer: Answer) {
        self.names.lock().insert(name.to_owned(), answer);
    }

    /// The same with addresses.
    pub fn lead(&self, name: &str, addresses: impl IntoIterator<Item = SocketAddr>) {
        self.set(name, Answer::Addresses(addresses.into_iter().collect()));
    }

    /// What there is to say of a name now. Counts.
    pub(crate) fn answer(&self, name: &str) -> Option<Answer> {
        let answer = self.names.lock().get(&name.to_ascii_lowercase()).cloned();
        self.asked.send_modify(|count| *count += 1);
        answer
    }

    /// How often it was asked, and a sign of each time.
    pub fn asked(&self) -> watch::Receiver<usize> {
        self.asked.subscribe()
    }

    /// As the system's resolver answers: an address is its own name.
    ///
    /// # Errors
    /// In the system's words.
    pub async fn resolve(self, host: String, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let failure = |words| io::Error::other(format!("failed to lookup address information: {words}"));
        match self.answer(&host) {
            Some(Answer::Addresses(mut addresses)) => {
                let unset = addresses.iter_mut().filter(|addr| addr.port() == 0);
                unset.for_each(|addr| addr.set_port(port));
                Ok(addresses)
            }
            Some(Answer::Error) => Err(failure("Temporary failure in name resolution")),
            Some(Answer::Silence) => std::future::pending().await,
            None => Err(failure("Name or service not known")),
        }
    }
}

/// An address that swallows all connections: the queue of its listener is full, so the system drops what comes, as a
/// firewall does.
#[derive(Debug)]
pub struct SilentAddr {
    addr: SocketAddr,
    _listener: TcpListener,
    _queued: Vec<TcpStream>,
}

impl SilentAddr {
    /// At this address of the machine; port 0 takes a free one.
    ///
    /// # Errors
    /// When no port can be had, or the system answers all the same.
    pub async fn start(listen: SocketAddr) -> io::Result<Self> {
        // What is answered at all is answered at once.
        const SILENCE: Duration = Duration::from_millis(200);
        let socket = if listen.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
        socket.bind(listen)?;
        let listener = socket.listen(0)?;
        let (addr, mut queued) = (listener.local_addr()?, Vec::new());
        while queued.len() < 16 {
            match timeout(SILENCE, TcpStream::connect(addr)).await {
                Ok(stream) => queued.push(stream?),
                Err(_) => return Ok(Self { addr, _listener: listener, _queued: queued }),
            }
        }
        Err(io::Error::other("a full queue is answered"))
    }

    /// Where it is.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }
}
