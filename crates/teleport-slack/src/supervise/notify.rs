//! How the daemon notifies its service manager: by datagrams to the socket in `NOTIFY_SOCKET`, as `sd_notify(3)` describes.
//!
//! This file sends. What is sent when is in `observe/service_status.rs`.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use access_core::domain::text;
use rustix::time::{ClockId, clock_gettime};
use tracing::debug;

/// systemd ignores a datagram of more than 4,096 bytes.
const MAX_STATUS_BYTES: usize = 2_048;

/// A way to the service manager, or none; clones share it. Sending never blocks and never fails the daemon.
#[derive(Clone, Debug, Default)]
pub struct Notifier(Option<Arc<Manager>>);

#[derive(Debug)]
struct Manager {
    socket: UnixDatagram,
    address: SocketAddr,
}

/// `NOTIFY_SOCKET` is there and cannot be used.
#[derive(Debug, thiserror::Error)]
#[error(
    "NOTIFY_SOCKET is {address:?}, which the daemon cannot write to; a service manager that waits for it gives the start up"
)]
pub struct NotifyError {
    address: String,
    #[source]
    source: io::Error,
}

impl Notifier {
    /// The one at `address`, the value of `NOTIFY_SOCKET`; without it nothing is sent.
    ///
    /// # Errors
    /// If it is neither a path nor an abstract name (`@…`).
    pub fn new(address: Option<&OsStr>) -> Result<Self, NotifyError> {
        let Some(address) = address.filter(|address| !address.is_empty()) else {
            return Ok(Self(None));
        };
        let failed = |source| NotifyError { address: address.to_string_lossy().into_owned(), source };
        let open = || {
            let socket = UnixDatagram::unbound()?;
            // A manager that does not read must not stop the daemon.
            socket.set_nonblocking(true)?;
            Ok(Self(Some(Arc::new(Manager { socket, address: parse(address)? }))))
        };
        open().map_err(failed)
    }

    /// Whether there is a manager to notify.
    pub fn is_connected(&self) -> bool {
        self.0.is_some()
    }

    /// The start is over, or a reload; `status` is one line for people.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\n{}", status_field(status)));
    }

    /// A reload begins. The time goes with it, as newer managers demand.
    pub fn reloading(&self) {
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={}", monotonic_microseconds()));
    }

    /// The stop begins.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\n{}", status_field(status)));
    }

    /// What `systemctl status` shows.
    pub fn status(&self, status: &str) {
        self.send(&status_field(status));
    }

    /// The start goes on, and may take this much longer.
    pub fn extend_start(&self, by: Duration, status: &str) {
        self.send(&format!("EXTEND_TIMEOUT_USEC={}\n{}", by.as_micros(), status_field(status)));
    }

    /// The daemon works.
    pub fn watchdog(&self) {
        self.send("WATCHDOG=1");
    }

    fn send(&self, datagram: &str) {
        let Some(manager) = &self.0 else { return };
        // The manager restarts the daemon if nothing comes through for long; it may be restarting itself just now.
        if let Err(error) = manager.socket.send_to_addr(datagram.as_bytes(), &manager.address) {
            debug!(%error, "The service manager was not notified");
        }
    }
}

/// `WATCHDOG_USEC`, if it is meant for the process of this id.
pub fn watchdog_limit(
    microseconds: Option<&str>,
    for_process: Option<&str>,
    own_id: u32,
) -> Option<Duration> {
    let is_ours = for_process.is_none_or(|id| id.parse() == Ok(own_id));
    let limit = microseconds?.parse().ok().map(Duration::from_micros)?;
    (is_ours && !limit.is_zero()).then_some(limit)
}

fn parse(address: &OsStr) -> io::Result<SocketAddr> {
    match address.as_bytes() {
        [b'@', name @ ..] => SocketAddr::from_abstract_name(name),
        [b'/', ..] => SocketAddr::from_pathname(Path::new(address)),
        _ => Err(io::Error::new(io::ErrorKind::Unsupported, "neither a path nor an abstract name")),
    }
}

/// One line, whatever the text holds.
fn status_field(status: &str) -> String {
    let line = text::one_line(status);
    format!("STATUS={}", &line[..line.floor_char_boundary(MAX_STATUS_BYTES)])
}

/// The clock that systemd compares; `Instant` does not show its value.
fn monotonic_microseconds() -> i64 {
    let now = clock_gettime(ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A manager's end: the address for `NOTIFY_SOCKET`, and what was received.
    struct Receiver(UnixDatagram);

    impl Receiver {
        fn next(&self) -> String {
            let mut bytes = [0; 8_192];
            let length = self.0.recv(&mut bytes).unwrap();
            String::from_utf8(bytes[..length].to_vec()).unwrap()
        }
    }

    #[test]
    fn a_path_and_an_abstract_name_are_reached() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let at_path = Receiver(UnixDatagram::bind(&path).unwrap());
        let name = format!("teleport-slack-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let abstract_one = Receiver(UnixDatagram::bind_addr(&address).unwrap());
        for (address, receiver) in
            [(path.as_os_str(), at_path), (OsStr::new(&format!("@{name}")), abstract_one)]
        {
            let notifier = Notifier::new(Some(address)).unwrap();
            assert!(notifier.is_connected());
            notifier.ready("watching");
            assert_eq!(receiver.next(), "READY=1\nSTATUS=watching");
        }
    }

    #[test]
    fn no_socket_is_no_error_and_another_kind_is_one() {
        for none in [None, Some(OsStr::new(""))] {
            let notifier = Notifier::new(none).unwrap();
            assert!(!notifier.is_connected());
            notifier.watchdog();
        }
        let error = Notifier::new(Some(OsStr::new("vsock:2:1234"))).unwrap_err();
        assert!(error.to_string().contains("NOTIFY_SOCKET is \"vsock:2:1234\""), "{error}");
    }

    #[test]
    fn a_reload_carries_the_time_in_its_own_datagram() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let receiver = Receiver(UnixDatagram::bind(&path).unwrap());
        let before = monotonic_microseconds();
        Notifier::new(Some(path.as_os_str())).unwrap().reloading();
        let datagram = receiver.next();
        let time = datagram.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=monotonic_microseconds()).contains(&time), "{datagram}");
        // The same clock as the kernel's own figure since the machine started, unless it slept.
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let seconds: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        assert!(time as f64 / 1e6 <= seconds + 1.0, "{datagram} {uptime}");
    }

    #[test]
    fn a_hostile_status_stays_one_field_and_fits() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let receiver = Receiver(UnixDatagram::bind(&path).unwrap());
        let notifier = Notifier::new(Some(path.as_os_str())).unwrap();
        notifier.status(&format!("a\nMAINPID=1\n{}", "é".repeat(5_000)));
        let datagram = receiver.next();
        assert!(!datagram.contains('\n') && datagram.len() <= 4_096, "{datagram}");
    }

    #[test]
    fn a_manager_that_does_not_read_or_has_gone_blocks_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let receiver = UnixDatagram::bind(&path).unwrap();
        let notifier = Notifier::new(Some(path.as_os_str())).unwrap();
        // Far more than any queue takes.
        (0..5_000).for_each(|_| notifier.watchdog());
        drop(receiver);
        notifier.watchdog();
        std::fs::remove_file(&path).unwrap();
        // A manager that starts again has a new socket at the same address.
        let receiver = Receiver(UnixDatagram::bind(&path).unwrap());
        notifier.watchdog();
        assert_eq!(receiver.next(), "WATCHDOG=1");
    }

    #[test]
    fn a_watchdog_for_another_process_is_not_ours() {
        let limit = |microseconds, id| watchdog_limit(microseconds, id, 7);
        assert_eq!(limit(Some("30000000"), Some("7")), Some(Duration::from_secs(30)));
        assert_eq!(limit(Some("30000000"), None), Some(Duration::from_secs(30)));
        for (microseconds, id) in
            [(None, None), (Some("30000000"), Some("8")), (Some("0"), None), (Some("x"), Some("7"))]
        {
            assert_eq!(limit(microseconds, id), None, "{microseconds:?} {id:?}");
        }
    }
}
