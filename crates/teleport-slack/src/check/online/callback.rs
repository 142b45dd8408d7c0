//! Whether `public_addr` leads to a daemon that takes this configuration's signing secret, as seen from this machine.

use client_base::forward_proxy::Way;
use http::StatusCode;
use slack_client::callback_probe::{CallbackAnswers, CertificateFault, ProbeError, probe_callback};

use crate::causes::Exit;
use crate::check::report::{Item, ItemId};
use crate::config::{Config, ReviewTransport};
use crate::http::interactivity::request_url;

/// The item, if clicks arrive as callbacks.
pub(super) async fn item(config: &Config) -> Option<Item> {
    let ReviewTransport::Http { signing_secret, listener } = &config.review.as_ref()?.transport else {
        return None;
    };
    let Some(address) = &listener.public_addr else {
        let cause = "http.public_addr does not say at which address Slack calls the daemon";
        let remedy = "write it as \"https://teleport-slack.example.com\"";
        return Some(Item::not_looked_at(ItemId::CallbackAddress, Exit::Configuration, cause, remedy));
    };
    let url = request_url(address);
    let outbound = &config.network.outbound;
    let found = probe_callback(&url, signing_secret, outbound).await;
    let way = url.parse().map_or(Way::Direct, |url| outbound.proxies.way_to(&url));
    Some(describe(&url, found, way).of(url))
}

/// What the answers mean. Slack may reach another machine than this one does.
fn describe(url: &str, found: Result<CallbackAnswers, ProbeError>, way: Way<'_>) -> Item {
    const ID: ItemId = ItemId::CallbackAddress;
    const START: &str = "start the daemon and check again; where only Slack reaches the address, and not this machine, look \
         at a click in Slack instead";
    let here = |words: String| match way {
        Way::Through(_) => format!("{words} (from this machine, {way})"),
        Way::Direct | Way::Exempt(_) => format!("{words} (from this machine)"),
    };
    let CallbackAnswers { unsigned, signed, is_trusted_by_machine } = match found {
        Ok(answers) => answers,
        Err(ProbeError::Proxy(error)) => {
            let remedy = format!("{}; or exempt this host in network.no_proxy", error.remedy());
            let error = ProbeError::Proxy(error);
            return Item::warning(ID, Exit::Failed, "", here(error.to_string()), remedy);
        }
        Err(ProbeError::Certificate(fault)) => {
            let (make, why, remedy) = certificate(fault);
            return make(ID, Exit::Credentials, "", here(format!("{fault}{why}")), remedy);
        }
        Err(error @ ProbeError::NoTls) => {
            let cause = here(format!("{error}, and Slack calls https:// only"));
            let remedy =
                "name https_key_file and https_cert_file under [http], or let the proxy there open TLS";
            return Item::failed(ID, Exit::Configuration, "", cause, remedy);
        }
        Err(error) => return Item::warning(ID, Exit::Failed, "", here(error.to_string()), START),
    };
    match signed {
        StatusCode::OK if unsigned == StatusCode::UNAUTHORIZED && !is_trusted_by_machine => {
            let cause = here(
                "the daemon takes signed calls and refuses others, but the certificate there counts only by network.ca_file, which \
                 Slack does not have"
                    .to_owned(),
            );
            let remedy = "nothing is to be done if a firewall between this machine and the address opens TLS; otherwise use a \
                          certificate of a public authority there";
            Item::warning(ID, Exit::Credentials, "", cause, remedy)
        }
        StatusCode::OK if unsigned == StatusCode::UNAUTHORIZED && url.starts_with("https://") => {
            Item::ok(ID, here("the daemon takes signed calls and refuses others".to_owned()))
        }
        StatusCode::OK if unsigned == StatusCode::UNAUTHORIZED => {
            let cause =
                here("the daemon answers, but not over TLS, and Slack calls https:// only".to_owned());
            let remedy = "write the https:// address that Slack calls into http.public_addr";
            Item::warning(ID, Exit::Configuration, "", cause, remedy)
        }
        StatusCode::UNAUTHORIZED => {
            let cause = here("a correctly signed call is refused".to_owned());
            let remedy = "the daemon there has another signing_secret, or another time: reload it, and compare the \
                          Signing Secret of the Slack app and both clocks";
            Item::failed(ID, Exit::Credentials, "", cause, remedy)
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            let cause = here(format!("a proxy answers {signed}, so it does not reach the daemon"));
            Item::warning(ID, Exit::Failed, "", cause, START)
        }
        _ => {
            let cause = here(format!(
                "{signed} to a signed call and {unsigned} to another is not how the daemon answers"
            ));
            let remedy = "correct http.public_addr, or let the proxy there pass POST and the whole path on to the daemon";
            Item::failed(ID, Exit::Configuration, "", cause, remedy)
        }
    }
}

type MakeItem = fn(ItemId, Exit, &'static str, String, &'static str) -> Item;

/// What a certificate that this machine refuses means to Slack, and what to do. A firewall that opens TLS has an authority of
/// its own, which stands between this machine and the address and not between Slack and it: so that is no failure.
fn certificate(fault: CertificateFault) -> (MakeItem, &'static str, &'static str) {
    const REFUSED: &str = ", and Slack refuses it";
    match fault {
        CertificateFault::UnknownAuthority => (
            Item::warning,
            ", and Slack takes only those of public authorities",
            "use a certificate of a public authority there; if it has one, install the ca-certificates package on this \
             machine, or name the CA of a firewall in between in network.ca_file",
        ),
        CertificateFault::Expired(_) => (
            Item::failed,
            REFUSED,
            "renew it, and see that what serves the address takes up the new one; is this machine's clock right?",
        ),
        CertificateFault::NotValidYet(_) => {
            (Item::failed, REFUSED, "set this machine's clock, or wait until then")
        }
        CertificateFault::OtherName => (
            Item::failed,
            REFUSED,
            "use a certificate for the name in http.public_addr there, or correct http.public_addr",
        ),
        CertificateFault::Unusable => {
            (Item::failed, REFUSED, "use a certificate for servers, of a public authority, there")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::report::Status;

    fn shown(url: &str, unsigned: u16, signed: u16) -> (Status, Option<Exit>) {
        let status = |code| StatusCode::from_u16(code).unwrap();
        let (unsigned, signed) = (status(unsigned), status(signed));
        let answers = CallbackAnswers { unsigned, signed, is_trusted_by_machine: true };
        let item = describe(url, Ok(answers), Way::Direct);
        let words = item.problem.as_ref().map_or(&item.summary, |problem| &problem.cause);
        assert!(words.ends_with("(from this machine)"), "{item:?}");
        (item.status, item.problem.map(|problem| problem.exit))
    }

    #[test]
    fn only_a_listener_that_knows_the_secret_and_refuses_others_is_ok() {
        const TLS: &str = "https://slack.example.com/slack/interactivity";
        assert_eq!(shown(TLS, 401, 200), (Status::Ok, None));
        let plain = "http://slack.example.com/slack/interactivity";
        assert_eq!(shown(plain, 401, 200), (Status::Warning, Some(Exit::Configuration)));
        assert_eq!(shown(TLS, 401, 401), (Status::Failed, Some(Exit::Credentials)));
        assert_eq!(shown(TLS, 502, 502), (Status::Warning, Some(Exit::Failed)));
        for (unsigned, signed) in [(200, 200), (404, 404), (405, 405), (301, 301), (401, 400)] {
            assert_eq!(
                shown(TLS, unsigned, signed),
                (Status::Failed, Some(Exit::Configuration)),
                "{unsigned} {signed}"
            );
        }
    }

    #[test]
    fn without_an_answer_nothing_is_known() {
        let item = describe("https://slack.example.com", Err(ProbeError::Refused), Way::Direct);
        assert_eq!(item.status, Status::Warning);
        assert_eq!(item.problem.unwrap().cause, "nothing listens there (from this machine)");
    }
}
