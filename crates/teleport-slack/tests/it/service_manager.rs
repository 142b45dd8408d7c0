//! What a service manager sees: notifications over its socket, and a PID file.

use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram as StdDatagram};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::net::UnixDatagram;

use crate::harness::*;

const TEAM: &str = r#"recipients = ["C0TEAM"]"#;

/// The manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    address: String,
}

impl Manager {
    /// At an abstract name, as managers of containers have one.
    fn new() -> Self {
        // The tests of this process run side by side.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("teleport-slack-it-{}-{number}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = StdDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        Self { socket: UnixDatagram::from_std(socket).unwrap(), address: format!("@{name}") }
    }

    async fn next(&self) -> String {
        let mut bytes = [0; 8_192];
        let received = tokio::time::timeout(Duration::from_secs(60), self.socket.recv(&mut bytes)).await;
        let length = received.expect("the daemon notifies no more").unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    /// The next that begins so, and all before it.
    async fn until(&self, start: &str) -> (String, Vec<String>) {
        let mut before = Vec::new();
        loop {
            let datagram = self.next().await;
            if datagram.starts_with(start) {
                return (datagram, before);
            }
            before.push(datagram);
            assert!(before.len() < 1_000, "no {start:?} among {before:?}");
        }
    }
}

fn start(config: &Path) -> Command {
    let mut command = Command::new(program());
    command.arg("start").arg("-c").arg(config);
    command
}

#[test]
fn the_manager_hears_of_start_work_and_stop_in_this_order() {
    run_test(async {
        let bed = TestBed::new().await;
        bed.teleport.stop().await;
        let manager = Manager::new();
        let config = bed.write_config(&bed.config(TEAM));
        let mut command = start(&config);
        command.env("NOTIFY_SOCKET", &manager.address).env("WATCHDOG_USEC", "30000000");
        let daemon = Daemon::run(&mut command, &bed.slack.token());
        let waits = "STATUS=not ready: Teleport has not answered yet";
        for _ in 0..2 {
            let (datagram, before) = manager.until("EXTEND_TIMEOUT_USEC=").await;
            assert!(datagram.ends_with(waits), "{datagram}");
            assert!(before.iter().all(|datagram| datagram == "WATCHDOG=1"), "{before:?}");
        }
        bed.teleport.restart().await.unwrap();
        let (datagram, before) = manager.until("READY=1").await;
        assert_eq!(datagram, "READY=1\nSTATUS=watching, 0 open, 0 waiting", "{before:?}");
        assert!(daemon.find_logged(" Ready ").is_some(), "{}", daemon.log());
        // At rest the controller still goes round.
        for _ in 0..3 {
            assert_eq!(manager.next().await, "WATCHDOG=1");
        }
        bed.create_request();
        let (datagram, _) = manager.until("STATUS=watching, 1 open").await;
        assert!(datagram.ends_with(" waiting"), "{datagram}");
        daemon.signal("HUP");
        let (datagram, _) = manager.until("RELOADING=1").await;
        assert!(datagram.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{datagram}");
        let (datagram, _) = manager.until("READY=1").await;
        assert!(!datagram.contains("refused"), "{datagram}");
        bed.write_config(&bed.config("recipients = 7"));
        daemon.signal("HUP");
        manager.until("RELOADING=1").await;
        let (datagram, _) = manager.until("READY=1").await;
        assert!(datagram.starts_with("READY=1\nSTATUS=configuration refused ("), "{datagram}");
        daemon.signal("TERM");
        let (datagram, before) = manager.until("STOPPING=1").await;
        assert_eq!(datagram, "STOPPING=1\nSTATUS=stopping: finishing what is in progress");
        assert!(before.iter().all(|datagram| !datagram.contains("READY")), "{before:?}");
        let (status, log) = daemon.wait_for_exit().await;
        assert!(status.success(), "{status}\n{log}");
    });
}

#[test]
fn the_manager_hears_why_the_daemon_ends() {
    run_test(async {
        let bed = TestBed::new().await;
        let manager = Manager::new();
        let config = bed.write_config("[teleport]\nadr = 1\n");
        let daemon = Daemon::run(start(&config).env("NOTIFY_SOCKET", &manager.address), "");
        let (datagram, before) = manager.until("STOPPING=1").await;
        assert!(datagram.starts_with("STOPPING=1\nSTATUS=ended: ") && datagram.contains("adr"), "{datagram}");
        assert!(before.is_empty(), "{before:?}");
        assert_eq!(daemon.wait_for_exit().await.0.code(), Some(78));
    });
}

#[test]
fn a_socket_that_cannot_be_used_is_named_and_ends_nothing() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config(TEAM));
        let mut command = start(&config);
        command.env("NOTIFY_SOCKET", "vsock:2:1").env("WATCHDOG_USEC", "1000000");
        let daemon = Daemon::run(&mut command, &bed.slack.token());
        bed.until_logged(&daemon, "Ready").await;
        let log = daemon.stop().await;
        assert!(log.contains("WARN  No notifications: NOTIFY_SOCKET is"), "{log}");
        assert!(log.contains("WARN  WatchdogSec=1 of the unit is so short"), "{log}");
    });
}

#[test]
fn the_pid_file_is_there_while_the_daemon_runs() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config(TEAM));
        let file = bed.dir.path().join("slack.pid");
        let launch = || {
            let mut command = start(&config);
            Daemon::run(command.arg("--pid-file").arg(&file), &bed.slack.token())
        };
        // Its process has ended, and another one may have the number.
        std::fs::write(&file, "1\n").unwrap();
        let daemon = launch();
        bed.until_logged(&daemon, "Ready").await;
        let holds =
            |daemon: &Daemon| std::fs::read_to_string(&file).unwrap() == format!("{}\n", daemon.pid());
        assert!(holds(&daemon));
        // Another daemon does not take it away.
        let (status, log) = launch().wait_for_exit().await;
        assert_eq!(status.code(), Some(1), "{log}");
        let words = format!("is in use by the running process {}", daemon.pid());
        assert!(log.contains(&words) && holds(&daemon), "{log}");
        // What a killed one leaves is no obstacle.
        daemon.kill().await;
        let daemon = launch();
        bed.until_logged(&daemon, "Ready").await;
        assert!(holds(&daemon));
        daemon.stop().await;
        assert!(!file.exists());
    });
}

#[test]
fn a_folder_in_which_others_can_replace_the_pid_file_is_warned_of() {
    run_test(async {
        use std::os::unix::fs::PermissionsExt;
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config(TEAM));
        let folder = bed.dir.path().join("run");
        std::fs::create_dir(&folder).unwrap();
        std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o757)).unwrap();
        let mut command = start(&config);
        let daemon = Daemon::run(command.arg("--pid-file").arg(folder.join("slack.pid")), &bed.slack.token());
        let shown = folder.display();
        let words = format!(
            "WARN  --pid-file: {shown}: others can replace what stands in this folder: the PID file; run chmod o-w \"{shown}\""
        );
        bed.until_logged(&daemon, &words).await;
        bed.until_logged(&daemon, "Ready").await;
        daemon.stop().await;
    });
}

#[test]
fn a_pid_file_that_cannot_be_written_ends_the_start_with_the_remedy() {
    run_test(async {
        let bed = TestBed::new().await;
        let config = bed.write_config(&bed.config(TEAM));
        for (path, words) in [
            (bed.dir.path().join("missing/slack.pid"), "its folder must be there"),
            (config.clone(), "it holds something else than a number"),
        ] {
            let text = std::fs::read_to_string(&config).unwrap();
            let daemon = Daemon::run(start(&config).arg("--pid-file").arg(&path), &bed.slack.token());
            let (status, log) = daemon.wait_for_exit().await;
            assert_eq!(status.code(), Some(77), "{log}");
            assert!(log.contains(" ERROR The daemon ends: ") && log.contains(words), "{log}");
            assert_eq!(std::fs::read_to_string(&config).unwrap(), text);
        }
    });
}
