//! Whether the daemon could listen at each address, by listening there for the moment.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;

use crate::causes::Exit;
use crate::check::explained::split_remedy;
use crate::check::report::{Item, ItemId};
use crate::config::{Config, FileId, ReviewTransport};
use crate::http::{ListenError, bind};

use super::running::{self, Listener, Running};

const ID: ItemId = ItemId::ListenAddresses;

/// One item for each listener, or one that there is none. `path` is where the configuration is.
pub(super) async fn items(config: &Config, path: &Path) -> Vec<Item> {
    let callbacks = config.review.as_ref().and_then(|review| match &review.transport {
        ReviewTransport::Http { listener, .. } => Some(listener.listen_addr),
        ReviewTransport::SocketMode { .. } => None,
    });
    let diagnostics = config.diagnostics.as_ref().map(|diagnostics| diagnostics.listen_addr);
    let wanted = [
        (diagnostics, "diagnostics", "diagnostics.listen_addr"),
        (callbacks, "Slack's callbacks", "http.listen_addr"),
    ];
    let mut items = Vec::new();
    let mut asked = None;
    let file_id = FileId::of(path).map(|id| id.to_string());
    // The daemon has both at one time.
    let mut held = Vec::new();
    for (address, purpose, key) in wanted {
        let Some(address) = address else { continue };
        let mut found = bind(address, purpose, key).await;
        let own = held.iter().map(|(_, own)| *own).find(|own: &SocketAddr| own.port() == address.port());
        if let (Err(_), Some(own)) = (&found, own) {
            held.clear();
            found = bind(address, purpose, key).await;
            if found.is_ok() {
                let cause = format!("the daemon itself would listen at {own} already, for diagnostics");
                let remedy = "choose another port for one of the two";
                items.push(Item::failed(ID, Exit::Failed, "", cause, remedy).of(key));
                continue;
            }
        }
        let item = match found.as_ref().err().filter(|error| is_in_use(error)) {
            Some(_) => {
                // Both listeners of a running daemon are known from one.
                let listens = match (diagnostics, &asked) {
                    (Some(diagnostics), None) => asked.insert(running::ask(diagnostics).await),
                    (_, asked) => asked.as_ref().unwrap_or(&Listener::Unresponsive),
                };
                in_use(address, diagnostics == Some(address), listens, file_id.as_deref())
            }
            None => describe(address, found.as_ref().err()),
        };
        items.push(item.of(key));
        held.extend(found);
    }
    match items.is_empty() {
        true => vec![Item::ok(ID, "the daemon listens nowhere: it needs no port")],
        false => items,
    }
}

fn is_in_use(error: &ListenError) -> bool {
    matches!(error, ListenError::Bind { source, .. } if source.kind() == ErrorKind::AddrInUse)
}

/// What it means that an address is taken. `listens` is what answers at the one for diagnostics; `file_id` is the
/// configuration that is checked.
fn in_use(address: SocketAddr, is_asked: bool, listens: &Listener, file_id: Option<&str>) -> Item {
    let is_its = |running: &&Running| {
        is_asked || running.callbacks.is_some_and(|callbacks| is_same(callbacks, address))
    };
    let warning = |cause: String, remedy: &str| Item::warning(ID, Exit::Failed, "", cause, remedy);
    match listens {
        Listener::Daemon(running) if is_its(&running) => {
            let path = &running.path;
            if file_id.is_some() && running.file_id.as_deref() == file_id {
                let found =
                    format!("{address} is in use by the teleport-slack that runs with this configuration");
                return Item::ok(ID, found);
            }
            warning(
                format!(
                    "{address} is in use by a running teleport-slack whose configuration is another file: {path}, as that one sees it"
                ),
                "choose another port if both are to run; nothing is to be done if this file is to take the place of that one",
            )
        }
        Listener::Closed if is_asked => warning(
            format!(
                "{address} is in use by a running teleport-slack, which does not show the name of its configuration here"
            ),
            "choose another port if it is not the daemon of this configuration; who may ask it is in docs/status.md",
        ),
        Listener::Other if is_asked => Item::failed(
            ID,
            Exit::Failed,
            "",
            format!("{address} is in use by another program"),
            "end that program, or choose another port",
        ),
        _ => warning(
            format!("{address} is in use, and it is not known by which program"),
            "end that program or choose another port, unless it is the daemon of this configuration; that one is recognized by its \
             diagnostics listener, if it answers",
        ),
    }
}

/// Whether a daemon that listens at `one` has `other`, too.
fn is_same(one: SocketAddr, other: SocketAddr) -> bool {
    let is_any = one.ip().is_unspecified() || other.ip().is_unspecified();
    one.port() == other.port() && (is_any || one.ip() == other.ip())
}

/// What an attempt to listen means, at an address that nothing else has.
fn describe(address: SocketAddr, error: Option<&ListenError>) -> Item {
    let Some(error) = error else { return Item::ok(ID, format!("{address} is free")) };
    let found = split_remedy(error);
    match error {
        // The daemon's unit may give it the capability that this command, by itself, lacks.
        ListenError::Bind { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            let remedy = format!(
                "{}, or give the daemon's unit AmbientCapabilities=CAP_NET_BIND_SERVICE, which this command has not",
                found.remedy
            );
            Item::not_looked_at(ID, Exit::Failed, found.cause, remedy)
        }
        _ => Item::failed(ID, Exit::Failed, "", found.cause, found.remedy),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Status;

    #[test]
    fn a_low_port_that_the_unit_may_have_is_not_called_wrong() {
        let address = "0.0.0.0:443".parse().unwrap();
        let bind = |kind: ErrorKind| ListenError::Bind {
            address,
            purpose: "callbacks",
            key: "k",
            source: kind.into(),
        };
        let item = describe(address, Some(&bind(ErrorKind::PermissionDenied)));
        assert_eq!(item.status, Status::Warning);
        assert!(item.problem.unwrap().remedy.contains("CAP_NET_BIND_SERVICE"));
        assert_eq!(describe(address, Some(&bind(ErrorKind::AddrNotAvailable))).status, Status::Failed);
    }

    #[test]
    fn only_the_daemon_of_this_file_may_have_its_addresses() {
        let [own, other]: [SocketAddr; 2] =
            ["127.0.0.1:9091", "0.0.0.0:8081"].map(|addr| addr.parse().unwrap());
        let daemon = |file_id: Option<&str>| {
            let file_id = file_id.map(str::to_owned);
            Listener::Daemon(Running { path: "/etc/a.toml".to_owned(), file_id, callbacks: Some(other) })
        };
        let judge = |address, is_asked, listens: &Listener, file_id| {
            let item = in_use(address, is_asked, listens, file_id);
            (item.status, item.problem.map_or(item.summary, |problem| problem.cause))
        };
        let its = daemon(Some("1:2"));
        assert_eq!(judge(own, true, &its, Some("1:2")).0, Status::Ok);
        // At all addresses it is at this one, too.
        for callbacks in ["0.0.0.0:8081", "127.0.0.1:8081"] {
            assert_eq!(judge(callbacks.parse().unwrap(), false, &its, Some("1:2")).0, Status::Ok);
        }
        let (status, words) = judge("0.0.0.0:8082".parse().unwrap(), false, &its, Some("1:2"));
        assert!(status == Status::Warning && words.contains("not known by which program"), "{words}");
        // The same name in another mount namespace, a file that is gone, a daemon that does not say.
        for (running, checked) in
            [(Some("1:3"), Some("1:2")), (None, Some("1:2")), (None, None), (Some("1:2"), None)]
        {
            for (address, is_asked) in [(own, true), (other, false)] {
                let (status, words) = judge(address, is_asked, &daemon(running), checked);
                let is_said = words.contains("another file: /etc/a.toml");
                assert!(status == Status::Warning && is_said, "{running:?} {checked:?}: {words}");
            }
        }
        assert_eq!(judge(own, true, &Listener::Other, Some("1:2")).0, Status::Failed);
        for listens in [Listener::Closed, Listener::Unresponsive] {
            assert_eq!(judge(own, true, &listens, Some("1:2")).0, Status::Warning, "{listens:?}");
        }
        // Who has the other port did not answer.
        for listens in [Listener::Closed, Listener::Unresponsive, Listener::Other] {
            assert_eq!(judge(other, false, &listens, Some("1:2")).0, Status::Warning, "{listens:?}");
        }
    }

    fn config(diagnostics: &str, callbacks: &str) -> (Config, tempfile::TempDir) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let text = format!(
            "[teleport]\naddr = \"a\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\nrecipients = \"team\"\n{diagnostics}{callbacks}"
        );
        std::fs::write(&path, text).unwrap();
        (crate::config::load(&path).unwrap_or_else(|error| panic!("{error}")).config, dir)
    }

    async fn found(diagnostics: Option<&str>, callbacks: Option<&str>) -> Vec<(Status, String)> {
        let diagnostics = diagnostics.map(|addr| format!("[diagnostics]\nlisten_addr = \"{addr}\"\n"));
        let callbacks = callbacks.map(|addr| {
            format!(
                "[review]\nenabled = true\nsigning_secret = \"0123456789abcdef\"\nallow_email_username_match = true\n\
                 [http]\nlisten_addr = \"{addr}\"\n"
            )
        });
        let (config, dir) = config(&diagnostics.unwrap_or_default(), &callbacks.unwrap_or_default());
        let shown = |item: Item| {
            let words =
                item.problem.map_or(item.summary, |problem| format!("{}; {}", problem.cause, problem.remedy));
            (item.status, format!("{} {words}", item.subject))
        };
        items(&config, &dir.path().join("c.toml")).await.into_iter().map(shown).collect()
    }

    #[tokio::test]
    async fn an_address_is_free_in_use_or_of_another_machine() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap().to_string();
        let all = found(Some("203.0.113.9:9091"), Some(&taken)).await;
        let [(Status::Failed, elsewhere), (Status::Warning, used)] = all.as_slice() else {
            panic!("{all:?}")
        };
        assert!(
            elsewhere.starts_with("diagnostics.listen_addr ") && elsewhere.contains("no such address"),
            "{elsewhere}"
        );
        assert!(
            used.starts_with("http.listen_addr ") && used.contains("not known by which program"),
            "{used}"
        );
        let none = found(None, None).await;
        assert!(matches!(none.as_slice(), [(Status::Ok, _)]), "{none:?}");
        let free = found(Some("127.0.0.1:0"), Some("127.0.0.1:0")).await;
        assert!(matches!(free.as_slice(), [(Status::Ok, _), (Status::Ok, _)]), "{free:?}");
    }

    #[tokio::test]
    async fn one_port_for_both_listeners_is_a_failure_and_nothing_is_held() {
        // Nothing else is given a port of this address.
        let other = std::net::TcpListener::bind("127.0.0.91:0").unwrap();
        let one = other.local_addr().unwrap().to_string();
        let both = found(Some(&one), Some(&one)).await;
        assert!(matches!(both.as_slice(), [(Status::Warning, _), (Status::Warning, _)]), "{both:?}");
        drop(other);
        for _ in 0..2 {
            let both = found(Some(&one), Some(&one)).await;
            let [(Status::Ok, _), (Status::Failed, words)] = both.as_slice() else { panic!("{both:?}") };
            assert!(words.contains("the daemon itself would listen at 127.0.0.91:"), "{words}");
        }
    }
}
