//! The daemon and a name server that moves names, fails and falls silent: the machine's own resolver asks it, by a
//! `/etc/resolv.conf` that only the program sees.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::process::Command;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::{Duration, Instant};

use access_sim::name_server::NameServer;
use access_sim::name_table::{Answer, NameTable, SilentAddr};
use access_sim::tcp_proxy::TcpProxy;
use access_sim::tls_front::TlsFront;

use crate::harness::*;
use crate::reach::{TEAM, one_request_through};

const TELEPORT: &str = "teleport.test";
const SLACK: &str = "slack.test";
const V4: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const V6: IpAddr = IpAddr::V6(Ipv6Addr::LOCALHOST);

/// After a name server works again, no side is away for longer: the longest pauses between tries, and one attempt.
const HEALED_WITHIN: Duration = Duration::from_secs(40);

/// A name server, both sides behind names, and lines to them that can be cut.
struct NamedBed {
    bed: TestBed,
    names: NameTable,
    _server: NameServer,
    teleport: TcpProxy,
    slack: TcpProxy,
    front: TlsFront,
}

impl NamedBed {
    /// `None` without the rights that it needs: a port below 1024, and a mount namespace. The test is skipped then.
    async fn new() -> Option<Self> {
        let names = NameTable::default();
        // An address of the loopback for each test of each process.
        static NUMBER: AtomicU8 = AtomicU8::new(53);
        let (number, id) = (NUMBER.fetch_add(1, Ordering::Relaxed), std::process::id().to_be_bytes());
        let addr = (Ipv4Addr::new(127, number, id[2], id[3]), 53).into();
        let server = NameServer::start(addr, names.clone()).await;
        let can = Command::new("unshare").args(["-m", "true"]).output();
        let (Ok(server), true) = (server, can.is_ok_and(|tried| tried.status.success())) else {
            skip_test("needs root and unshare");
            return None;
        };
        let bed = TestBed::new().await;
        let front = TlsFront::start(&[SLACK], bed.slack.addr()).await.unwrap();
        // The longest that a resolver asks a name server: half a minute.
        let server_line = format!("nameserver {}\noptions timeout:10 attempts:3\n", server.addr().ip());
        for (name, text) in [
            ("ca.pem", front.ca_pem()),
            ("resolv.conf", &server_line),
            ("hosts", "127.0.0.1 localhost\n"),
            ("nsswitch.conf", "hosts: files dns\n"),
        ] {
            std::fs::write(bed.dir.path().join(name), text).unwrap();
        }
        let (teleport, slack) = (
            TcpProxy::start(bed.teleport.addr()).await.unwrap(),
            TcpProxy::start(front.addr()).await.unwrap(),
        );
        Some(Self { bed, names, _server: server, teleport, slack, front })
    }

    /// The program, which sees its own name server and no file of names.
    fn program(&self, command: &str) -> Command {
        let dir = self.bed.dir.path();
        let (teleport, slack) = (self.teleport.addr().port(), self.slack.addr().port());
        let config = self.bed.config(TEAM);
        let config = config
            .replace(&self.bed.teleport.addr().to_string(), &format!("{TELEPORT}:{teleport}"))
            .replace(&self.bed.slack.api_url(), &format!("https://{SLACK}:{slack}/api/"));
        let path = self.bed.write_config(&format!("{config}\n[network]\nca_file = \"ca.pem\"\n"));
        let mut program = Command::new("unshare");
        program.args(["-m", "--propagation", "private", "sh", "-ec"]).arg(
            "for f in resolv.conf hosts nsswitch.conf; do [ ! -e /etc/$f ] || mount --bind \"$0/$f\" /etc/$f; done; exec \"$@\"",
        );
        program.arg(dir).arg(program_under_test()).arg(command).arg("-c").arg(path);
        program
    }

    fn lead(&self, addresses: &[IpAddr]) {
        for name in [TELEPORT, SLACK] {
            self.names.lead(name, addresses.iter().map(|address| SocketAddr::new(*address, 0)));
        }
    }

    fn answer(&self, answer: Answer) {
        for name in [TELEPORT, SLACK] {
            self.names.set(name, answer.clone());
        }
    }
}

/// The program that the tests were built with, or a release build, whose C library may be another.
fn program_under_test() -> std::path::PathBuf {
    std::env::var_os("TELEPORT_SLACK").map_or_else(|| program().to_owned(), Into::into)
}

fn threads(daemon: &Daemon) -> usize {
    std::fs::read_dir(format!("/proc/{}/task", daemon.pid())).unwrap().count()
}

/// Waits for more lines that begin so and say that a name does not resolve. The resolver of musl takes an error of a name server
/// for no answer, and waits.
async fn until_unresolved(bed: &TestBed, daemon: &Daemon, words: &str, more: usize) {
    let count = || {
        ["the name does not resolve", "no name server said"]
            .iter()
            .map(|cause| daemon.times_logged(&format!("{words}{cause}")))
            .sum::<usize>()
    };
    let wanted = count() + more;
    bed.until(daemon, words, || (count() >= wanted).then_some(())).await;
}

#[test]
fn a_name_server_that_falls_silent_fails_and_moves_the_names_needs_no_restart() {
    run_test(async {
        let Some(named) = NamedBed::new().await else { return };
        let bed = &named.bed;
        // Silent when the daemon starts.
        named.answer(Answer::Silence);
        let daemon = Daemon::run(&mut named.program("start"), &bed.slack.token());
        let line = bed.until_logged(&daemon, "no name server gave an answer in time").await;
        assert!(line.contains(" WARN ") && line.contains("/etc/resolv.conf"), "{line}");
        named.answer(Answer::Error);
        let port = named.teleport.addr().port();
        until_unresolved(bed, &daemon, &format!("No connection to {TELEPORT}:{port}: "), 2).await;
        assert!(threads(&daemon) < 32, "{}", threads(&daemon));

        // IPv6 comes first, and is dead for one of the two.
        let dead = SilentAddr::start((V6, port).into()).await.unwrap();
        named.lead(&[V6, V4]);
        let healed = Instant::now();
        bed.until_logged(&daemon, "Ready").await;
        println!("Ready {:?} after the name server worked again", healed.elapsed());
        assert!(healed.elapsed() < HEALED_WITHIN);
        one_request_through(bed, &daemon).await;
        drop(dead);

        // Both sides break while no name resolves, and move meanwhile.
        named.answer(Answer::Error);
        named.teleport.cut().await;
        named.slack.cut().await;
        let id = bed.create_request();
        bed.until_logged(&daemon, "Watcher lost").await;
        // Some tries of each side fail.
        until_unresolved(bed, &daemon, &format!("No connection to {TELEPORT}:{port}: "), 2).await;
        let teleport = TcpProxy::start_at((V6, port).into(), bed.teleport.addr()).await.unwrap();
        named.names.lead(TELEPORT, [(V6, 0).into()]);
        until_unresolved(bed, &daemon, "the libraries say: client error (Connect): ", 1).await;
        let slack = (V6, named.slack.addr().port()).into();
        let slack = TcpProxy::start_at(slack, named.front.addr()).await.unwrap();
        named.lead(&[V6]);
        let healed = Instant::now();
        bed.until_status(&daemon, "C0TEAM", &id, "⏳ PENDING").await;
        println!("Posted {:?} after the name server worked again", healed.elapsed());
        assert!(healed.elapsed() < HEALED_WITHIN);
        one_request_through(bed, &daemon).await;
        for once in ["WARN  Watcher lost", "WARN  Slack does not answer, and what is due there waits"] {
            assert_eq!(daemon.times_logged(once), 1, "{once}: {}", daemon.log());
        }
        drop((teleport, slack));
        daemon.stop().await;
    });
}

#[test]
fn commands_do_not_wait_for_a_silent_name_server_when_they_have_given_up() {
    run_test(async {
        let Some(named) = NamedBed::new().await else { return };
        named.answer(Answer::Silence);
        let mut check = named.program("check");
        let started = Instant::now();
        let out = tokio::task::spawn_blocking(move || check.output().unwrap()).await.unwrap();
        let text = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
        println!("{:?}\n{text}", started.elapsed());
        // The system's resolver takes half a minute.
        assert!(started.elapsed() < Duration::from_secs(25), "{:?}: {text}", started.elapsed());
        assert!(text.contains("no name server gave an answer in time"), "{text}");
        assert!(text.contains("no name server said within 5 s which addresses the name has"), "{text}");
    });
}
