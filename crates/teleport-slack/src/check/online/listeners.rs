//! Whether the daemon could listen at each address, by listening there for the moment.

use std::io::ErrorKind;
use std::net::SocketAddr;

use crate::causes::Exit;
use crate::check::explained::split_remedy;
use crate::check::report::{Item, ItemId};
use crate::config::{Config, ReviewTransport};
use crate::http::{ListenError, bind};

use super::running::{self, Running};

const ID: ItemId = ItemId::ListenAddresses;

/// One item for each listener, or one that there is none.
pub(super) async fn items(config: &Config) -> Vec<Item> {
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
    let mut running = None;
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
        let in_use = found.as_ref().err().filter(|error| is_in_use(error));
        if let (Some(_), Some(address)) = (in_use, diagnostics.filter(|_| running.is_none())) {
            running = running::ask(address).await;
        }
        let is_its = |running: &&Running| diagnostics == Some(address) || running.callbacks == Some(address);
        let item = match running.as_ref().filter(is_its) {
            Some(running) if in_use.is_some() => {
                let file = &running.configuration;
                Item::ok(
                    ID,
                    format!("{address} is in use by a running teleport-slack (configuration {file})"),
                )
            }
            _ => describe(address, found.as_ref().err()),
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

/// What an attempt to listen means. What has an address already did not say that it is a teleport-slack.
fn describe(address: SocketAddr, error: Option<&ListenError>) -> Item {
    let Some(error) = error else { return Item::ok(ID, format!("{address} is free")) };
    match error {
        error if is_in_use(error) => Item::warning(
            ID,
            Exit::Failed,
            "",
            format!("{address} is in use, and what listens there does not say that it is a teleport-slack"),
            "end that program, or choose another port; a daemon is recognized by its diagnostics listener, if it may be asked \
             from here",
        ),
        error => {
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

    fn config(diagnostics: &str, callbacks: &str) -> Config {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.toml");
        let text = format!(
            "[teleport]\naddr = \"a\"\nidentity = \"id\"\n[slack]\ntoken = \"xoxb-1\"\nrecipients = \"team\"\n{diagnostics}{callbacks}"
        );
        std::fs::write(&path, text).unwrap();
        crate::config::load(&path).unwrap_or_else(|error| panic!("{error}")).config
    }

    async fn found(diagnostics: Option<&str>, callbacks: Option<&str>) -> Vec<(Status, String)> {
        let diagnostics = diagnostics.map(|addr| format!("[diagnostics]\nlisten_addr = \"{addr}\"\n"));
        let callbacks = callbacks.map(|addr| {
            format!(
                "[review]\nenabled = true\nsigning_secret = \"0123456789abcdef\"\nallow_email_username_match = true\n\
                 [http]\nlisten_addr = \"{addr}\"\n"
            )
        });
        let config = config(&diagnostics.unwrap_or_default(), &callbacks.unwrap_or_default());
        let shown = |item: Item| {
            let words =
                item.problem.map_or(item.summary, |problem| format!("{}; {}", problem.cause, problem.remedy));
            (item.status, format!("{} {words}", item.subject))
        };
        items(&config).await.into_iter().map(shown).collect()
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
            used.starts_with("http.listen_addr ")
                && used.contains("does not say that it is a teleport-slack"),
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
