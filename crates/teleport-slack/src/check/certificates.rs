//! The identity for Teleport, and key and certificate of the callback listener: whether they can be used, for how long, and
//! who renews them.

use jiff::Timestamp;

use super::explained::Explained;
use super::report::{Item, ItemId};
use crate::causes::Exit;
use crate::http::certificates::{CertificateError, PAIR_REMEDY};
use crate::observe::expiry::{human_duration, notices_due};
use access_core::domain::error_chain::chain;
use client_base::certificate::CertificateFacts;
use teleport_client::identity::{Identity, RENEW_REMEDY};
use teleport_client::signer::Signer;

/// Nothing encrypts what Slack sends.
pub(crate) const NO_TLS: &str = "nothing does TLS for Slack's callbacks";
/// What to do about it.
pub(crate) const NO_TLS_REMEDY: &str = "give https_key_file and https_cert_file under [http], or start with --insecure-no-tls behind a proxy on this machine that does TLS";

/// What the certificate for Teleport says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct IdentityFacts {
    user: String,
    cluster: Option<String>,
    signer: Signer,
    from: Timestamp,
    until: Timestamp,
}

impl From<&Identity> for IdentityFacts {
    fn from(identity: &Identity) -> Self {
        Self {
            user: identity.user().to_owned(),
            cluster: identity.cluster().map(str::to_owned),
            signer: identity.signer().clone(),
            from: identity.not_before(),
            until: identity.not_after(),
        }
    }
}

/// The identity, or why there is none.
pub(super) fn identity_item(found: Result<&IdentityFacts, &Explained>, now: Timestamp) -> Item {
    let facts = match found {
        Ok(facts) => facts,
        Err(error) => {
            let Explained { cause, remedy } = error.clone();
            return Item::failed(ItemId::Identity, Exit::Credentials, "cannot be used", cause, remedy);
        }
    };
    let IdentityFacts { user, cluster, signer, from, until } = facts;
    let left = human_duration(until.duration_since(now));
    let cluster = cluster.as_ref().map(|cluster| format!(" of the cluster {cluster}")).unwrap_or_default();
    let who = format!("the Teleport user {user}{cluster}");
    if notices_due(*from, *until, now) > 0 {
        let cause = format!("the certificate ends in {left}, at {until}");
        return Item::warning(ItemId::Identity, Exit::Credentials, who, cause, RENEW_REMEDY);
    }
    let renewal = match signer {
        Signer::Bot => "a bot had it signed, and renews it while it runs".to_owned(),
        Signer::AuthHost => "the auth server signed it, and no bot renews it".to_owned(),
        Signer::User(name) => format!("{name} had it signed, and no bot renews it"),
        Signer::Unnamed => "it does not say who had it signed, and no bot renews it".to_owned(),
    };
    Item::ok(ItemId::Identity, format!("{who}, until {until} ({left}); {renewal}"))
}

/// A listener without a certificate.
pub(super) fn no_tls_item(insecure_no_tls: bool) -> Item {
    if insecure_no_tls {
        return Item::ok(ItemId::CallbackTls, "the proxy on this machine does TLS (--insecure-no-tls)");
    }
    Item::failed(ItemId::CallbackTls, Exit::Configuration, "no TLS", NO_TLS, NO_TLS_REMEDY)
}

/// Key and certificate of the callback listener, for the address at which Slack calls.
pub(crate) fn callback_items(
    found: Result<&Option<CertificateFacts>, &CertificateError>,
    public_addr: Option<&str>,
    now: Timestamp,
) -> Vec<Item> {
    const ID: ItemId = ItemId::CallbackTls;
    const RENEW: &str = "put a new certificate and its key there; the daemon takes them up without a restart";
    let facts = match found {
        Ok(Some(facts)) => facts,
        Ok(None) => {
            let cause = "TLS takes the certificate, but its dates and names cannot be read";
            return vec![Item::not_looked_at(ID, Exit::Credentials, cause, RENEW)];
        }
        Err(error) => {
            return vec![Item::failed(ID, Exit::Credentials, "cannot be used", chain(error), PAIR_REMEDY)];
        }
    };
    let CertificateFacts { not_before, not_after, dns_names, addresses, is_self_signed } = facts;
    let mut items = Vec::new();
    let left = not_after.duration_since(now);
    if now < *not_before {
        let cause = format!("the certificate is valid only from {not_before}, and it is {now}");
        items.push(Item::failed(ID, Exit::Credentials, "dates", cause, "set this machine's clock, or wait"));
    } else if !left.is_positive() {
        let cause = format!("the certificate expired at {not_after}");
        items.push(Item::failed(ID, Exit::Credentials, "dates", cause, RENEW));
    } else if notices_due(*not_before, *not_after, now) > 0 {
        let cause = format!("the certificate ends in {}, at {not_after}", human_duration(left));
        items.push(Item::warning(ID, Exit::Credentials, "dates", cause, RENEW));
    }
    if *is_self_signed {
        let cause = "the certificate signs itself, and Slack calls only servers whose certificate a public authority signed";
        let remedy =
            "use a certificate of a public authority, unless a proxy with one stands before the daemon";
        items.push(Item::warning(ID, Exit::Credentials, "authority", cause, remedy));
    }
    let uri = public_addr.and_then(|addr| addr.parse::<::http::Uri>().ok());
    if let Some(host) = uri.as_ref().and_then(::http::Uri::host).filter(|host| !facts.is_for(host)) {
        let addresses = addresses.iter().map(ToString::to_string);
        let names: Vec<_> = dns_names.iter().cloned().chain(addresses).collect();
        let names = if names.is_empty() { "no name".to_owned() } else { names.join(", ") };
        let cause = format!("the certificate is for {names}, and Slack calls {host} (http.public_addr)");
        let remedy = "use a certificate for that name, unless a proxy with one stands before the daemon";
        items.push(Item::warning(ID, Exit::Credentials, "names", cause, remedy));
    }
    if items.is_empty() {
        let left = human_duration(left);
        let summary = format!(
            "key and certificate go together, until {not_after} ({left}); changed files are taken up"
        );
        items.push(Item::ok(ID, summary));
    }
    items
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::output::title;
    use crate::check::report::Status;

    fn time(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn line(item: &Item) -> String {
        let cause = item.problem.as_ref().map(|problem| format!(" | {}", problem.cause)).unwrap_or_default();
        format!("{:?} {}{cause}", item.status, title(item))
    }

    #[test]
    fn an_identity_is_shown_with_its_end_and_who_renews_it() {
        let facts = |signer| IdentityFacts {
            user: "access-plugin".to_owned(),
            cluster: Some("example.com".to_owned()),
            signer,
            from: time("2026-01-01T00:00:00Z"),
            until: time("2026-04-01T00:00:00Z"),
        };
        let shown = |signer, now| line(&identity_item(Ok(&facts(signer)), time(now)));
        let start = "the Teleport user access-plugin of the cluster example.com";
        assert_eq!(
            shown(Signer::Bot, "2026-01-02T00:00:00Z"),
            format!(
                "Ok {start}, until 2026-04-01T00:00:00Z (89 days); a bot had it signed, and renews it while it runs"
            )
        );
        assert_eq!(
            shown(Signer::AuthHost, "2026-01-02T00:00:00Z"),
            format!(
                "Ok {start}, until 2026-04-01T00:00:00Z (89 days); the auth server signed it, and no bot renews it"
            )
        );
        assert_eq!(
            shown(Signer::AuthHost, "2026-03-30T12:00:00Z"),
            format!("Warning {start} | the certificate ends in 36 hours, at 2026-04-01T00:00:00Z")
        );
        let error =
            Explained { cause: "/x holds no private key".to_owned(), remedy: "sign a new one".to_owned() };
        let item = identity_item(Err(&error), time("2026-01-01T00:00:00Z"));
        let problem = item.problem.unwrap();
        assert_eq!(
            (problem.cause.as_str(), problem.remedy.as_str()),
            ("/x holds no private key", "sign a new one")
        );
    }

    #[test]
    fn a_callback_certificate_is_judged_by_dates_authority_and_names() {
        let sound = CertificateFacts {
            not_before: time("2026-01-01T00:00:00Z"),
            not_after: time("2026-04-01T00:00:00Z"),
            dns_names: vec!["slack.corp.net".to_owned()],
            addresses: vec!["2001:db8::7".parse().unwrap()],
            is_self_signed: false,
        };
        let shown = |facts: &CertificateFacts, address, now| {
            let items = callback_items(Ok(&Some(facts.clone())), address, time(now));
            items.iter().map(line).collect::<Vec<_>>()
        };
        let (address, now) = (Some("https://slack.corp.net"), "2026-01-02T00:00:00Z");
        assert_eq!(
            shown(&sound, address, now),
            [
                "Ok key and certificate go together, until 2026-04-01T00:00:00Z (89 days); changed files are taken up"
            ]
        );
        assert_eq!(shown(&sound, Some("https://[2001:db8::7]:8443"), now).len(), 1);
        assert_eq!(
            shown(&sound, Some("https://[2001:db8::8]"), now),
            [
                "Warning names | the certificate is for slack.corp.net, 2001:db8::7, and Slack calls [2001:db8::8] (http.public_addr)"
            ]
        );
        assert_eq!(
            shown(&sound, address, "2025-12-31T00:00:00Z"),
            [
                "Failed dates | the certificate is valid only from 2026-01-01T00:00:00Z, and it is 2025-12-31T00:00:00Z"
            ]
        );
        assert_eq!(
            shown(&sound, address, "2026-03-31T00:00:00Z"),
            ["Warning dates | the certificate ends in 24 hours, at 2026-04-01T00:00:00Z"]
        );
        let own =
            CertificateFacts { is_self_signed: true, dns_names: Vec::new(), addresses: Vec::new(), ..sound };
        assert_eq!(
            shown(&own, address, "2026-04-02T00:00:00Z"),
            [
                "Failed dates | the certificate expired at 2026-04-01T00:00:00Z",
                "Warning authority | the certificate signs itself, and Slack calls only servers whose certificate a public authority signed",
                "Warning names | the certificate is for no name, and Slack calls slack.corp.net (http.public_addr)",
            ]
        );
        let unread = callback_items(Ok(&None), None, time(now));
        assert_eq!(unread.iter().map(|item| item.status).collect::<Vec<_>>(), [Status::Warning]);
    }

    #[test]
    fn a_listener_without_tls_needs_the_switch() {
        assert_eq!(no_tls_item(true).status, Status::Ok);
        assert_eq!(no_tls_item(false).status, Status::Failed);
    }
}
