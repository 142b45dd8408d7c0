//! A TCP proxy that can be cut, frozen and restored, to put between the daemon and a simulator.
//!
//! It moves bytes and knows no protocol; faults above TCP are scripted in the simulators themselves.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::DropGuard;

use crate::reserved_addr::ReservedAddr;
use crate::tasks::Tasks;

/// Bytes moved at once in one direction: enough for a TLS record.
const CHUNK: usize = 16 * 1024;

/// The proxy. Dropping it closes every connection and the port.
#[derive(Debug)]
pub struct TcpProxy {
    addr: ReservedAddr,
    target: Mutex<SocketAddr>,
    frozen: Arc<watch::Sender<bool>>,
    tasks: Tasks,
    listener: Mutex<Option<Tasks>>,
    _stop: DropGuard,
}

impl TcpProxy {
    /// Listens on a free port of 127.0.0.1 and passes every connection on to `target`.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start(target: SocketAddr) -> io::Result<Self> {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into(), target).await
    }

    /// The same at this address of the machine; port 0 takes a free one.
    ///
    /// # Errors
    /// When no port can be had.
    pub async fn start_at(listen: SocketAddr, target: SocketAddr) -> io::Result<Self> {
        let addr = ReservedAddr::new(listen)?;
        let listener = addr.listen()?;
        let tasks = Tasks::default();
        let proxy = Self {
            addr,
            target: Mutex::new(target),
            frozen: Arc::new(watch::Sender::new(false)),
            _stop: tasks.cancel_on_drop(),
            tasks,
            listener: Mutex::new(None),
        };
        proxy.serve(listener);
        Ok(proxy)
    }

    /// Where to connect.
    pub fn addr(&self) -> SocketAddr {
        self.addr.addr()
    }

    /// Closes every connection and the port: new ones are refused until [`TcpProxy::restore`].
    pub async fn cut(&self) {
        let line = self.listener().take();
        if let Some(line) = line {
            line.stop().await;
        }
    }

    /// Listens again, on the same port. Does nothing if the line is not cut.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub async fn restore(&self) -> io::Result<()> {
        if self.listener().is_some() {
            return Ok(());
        }
        let listener = self.addr.listen()?;
        self.serve(listener);
        Ok(())
    }

    /// Closes every connection, and passes new ones on to another server.
    ///
    /// # Errors
    /// When the system gives no socket.
    pub async fn lead_to(&self, target: SocketAddr) -> io::Result<()> {
        self.cut().await;
        *self.target.lock() = target;
        self.restore().await
    }

    /// Keeps connections open and accepts new ones, but passes no byte, as a dead peer behind a firewall does.
    pub fn freeze(&self) {
        self.frozen.send_replace(true);
    }

    /// Lets the bytes through again, those that waited first.
    pub fn thaw(&self) {
        self.frozen.send_replace(false);
    }

    fn listener(&self) -> MutexGuard<'_, Option<Tasks>> {
        self.listener.lock()
    }

    fn serve(&self, listener: TcpListener) {
        let line = self.tasks.child();
        line.spawn(accept(listener, *self.target.lock(), Arc::clone(&self.frozen), line.clone()));
        *self.listener() = Some(line);
    }
}

async fn accept(listener: TcpListener, target: SocketAddr, frozen: Arc<watch::Sender<bool>>, line: Tasks) {
    loop {
        // A failed accept concerns one connection (it was closed already, or descriptors ran out for a moment).
        let Ok((near, _)) = listener.accept().await else {
            tokio::task::yield_now().await;
            continue;
        };
        line.spawn(forward(near, target, frozen.subscribe()));
    }
}

/// Joins one connection to the target; ends when either side closes both directions or fails.
async fn forward(near: TcpStream, target: SocketAddr, mut frozen: watch::Receiver<bool>) {
    if until_thawed(&mut frozen).await.is_none() {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    // Delays would otherwise be the proxy's, not the daemon's.
    if near.set_nodelay(true).and_then(|()| far.set_nodelay(true)).is_err() {
        return;
    }
    let (near_read, near_write) = near.into_split();
    let (far_read, far_write) = far.into_split();
    let out = copy_one_way(near_read, far_write, frozen.clone());
    let back = copy_one_way(far_read, near_write, frozen);
    // An error in one direction ends both, so that a reset on one side is seen on the other.
    let _ = tokio::try_join!(out, back);
}

/// Waits until bytes may pass; `None` when the proxy is gone.
async fn until_thawed(frozen: &mut watch::Receiver<bool>) -> Option<()> {
    frozen.wait_for(|frozen| !frozen).await.ok().map(|_| ())
}

async fn copy_one_way(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut frozen: watch::Receiver<bool>,
) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = from.read(&mut buffer).await?;
        until_thawed(&mut frozen).await.ok_or(io::ErrorKind::BrokenPipe)?;
        if read == 0 {
            return to.shutdown().await;
        }
        let bytes = buffer.get(..read).ok_or(io::ErrorKind::InvalidData)?;
        to.write_all(bytes).await?;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// A server that sends back what it gets.
    async fn echo() -> (SocketAddr, Tasks) {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let tasks = Tasks::default();
        let owner = tasks.clone();
        tasks.spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                owner.spawn(async move {
                    let (mut read, mut write) = stream.split();
                    let _ = tokio::io::copy(&mut read, &mut write).await;
                });
            }
        });
        (addr, tasks)
    }

    async fn round_trip(stream: &mut TcpStream, text: &[u8]) -> io::Result<Vec<u8>> {
        stream.write_all(text).await?;
        let mut back = vec![0; text.len()];
        tokio::time::timeout(LIMIT, stream.read_exact(&mut back)).await.expect("an answer in time")?;
        Ok(back)
    }

    #[tokio::test]
    async fn passes_bytes_then_cuts_then_restores() {
        let (target, _echo) = echo().await;
        let proxy = TcpProxy::start(target).await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut stream, b"one").await.unwrap(), b"one");

        proxy.cut().await;
        assert!(round_trip(&mut stream, b"two").await.is_err(), "an open connection survived the cut");
        let refused = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::ConnectionRefused);

        proxy.restore().await.unwrap();
        let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut stream, b"three").await.unwrap(), b"three");
    }

    #[tokio::test]
    async fn leads_to_another_server_from_then_on() {
        let ((first, first_tasks), (second, _echo)) = (echo().await, echo().await);
        let proxy = TcpProxy::start(first).await.unwrap();
        let mut before = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut before, b"one").await.unwrap(), b"one");
        proxy.lead_to(second).await.unwrap();
        assert!(round_trip(&mut before, b"two").await.is_err(), "an open connection survived");
        first_tasks.stop().await;
        let mut after = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut after, b"three").await.unwrap(), b"three");
    }

    #[tokio::test]
    async fn frozen_connections_open_but_say_nothing_until_thawed() {
        let (target, _echo) = echo().await;
        let proxy = TcpProxy::start(target).await.unwrap();
        let mut before = TcpStream::connect(proxy.addr()).await.unwrap();
        assert_eq!(round_trip(&mut before, b"warm").await.unwrap(), b"warm");

        proxy.freeze();
        let mut after = TcpStream::connect(proxy.addr()).await.unwrap();
        for stream in [&mut before, &mut after] {
            stream.write_all(b"held").await.unwrap();
            let mut back = [0; 4];
            let silence =
                tokio::time::timeout(Duration::from_millis(100), stream.read_exact(&mut back)).await;
            assert!(silence.is_err(), "a byte came through a frozen line");
        }

        proxy.thaw();
        for stream in [&mut before, &mut after] {
            let mut back = [0; 4];
            tokio::time::timeout(LIMIT, stream.read_exact(&mut back)).await.unwrap().unwrap();
            assert_eq!(&back, b"held");
        }
    }
}
