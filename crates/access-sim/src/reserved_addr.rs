//! An address on which a simulator can stop and listen again.

use std::io;
use std::net::{SocketAddr, TcpListener as PlainListener};

use tokio::net::{TcpListener, TcpSocket};

/// Connections that the system keeps until they are accepted.
const BACKLOG: u32 = 1024;

/// A TCP address that stays reserved while nothing listens on it.
///
/// A bound socket that does not listen refuses connections, and the system gives its port to nothing else: neither to another
/// listener nor to a connection to somewhere.
#[derive(Debug)]
pub(crate) struct ReservedAddr {
    addr: SocketAddr,
    _reservation: TcpSocket,
}

impl ReservedAddr {
    /// Reserves an address; port 0 stands for any free one.
    ///
    /// # Errors
    /// When another socket has it.
    pub(crate) fn new(addr: SocketAddr) -> io::Result<Self> {
        if addr.port() != 0 {
            // The sockets below would share the port with those of another simulator.
            PlainListener::bind(addr)?;
        }
        // Without SO_REUSEADDR, or a listener that has it would be given the address.
        let reservation = socket(addr, false)?;
        Ok(Self { addr: reservation.local_addr()?, _reservation: reservation })
    }

    /// With the port that was given.
    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Listens there, until the listener is dropped.
    pub(crate) fn listen(&self) -> io::Result<TcpListener> {
        socket(self.addr, true)?.listen(BACKLOG)
    }
}

fn socket(addr: SocketAddr, may_linger: bool) -> io::Result<TcpSocket> {
    let socket = if addr.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    socket.set_reuseaddr(may_linger)?; // connections of an earlier listener
    socket.set_reuseport(true)?; // the reservation and the listener share the port
    socket.bind(addr)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use tokio::net::TcpStream;

    #[tokio::test]
    async fn an_address_is_kept_while_nothing_listens_and_refuses_connections() {
        let reserved = ReservedAddr::new((std::net::Ipv4Addr::LOCALHOST, 0).into()).unwrap();
        let addr = reserved.addr();
        for _ in 0..2 {
            let listener = reserved.listen().unwrap();
            let (accepted, connected) = tokio::join!(listener.accept(), TcpStream::connect(addr));
            accepted.unwrap();
            connected.unwrap();
            drop(listener);
            assert_eq!(TcpStream::connect(addr).await.unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert_eq!(PlainListener::bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
            assert_eq!(ReservedAddr::new(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
        }
        drop(reserved);
        ReservedAddr::new(addr).unwrap();
    }
}
