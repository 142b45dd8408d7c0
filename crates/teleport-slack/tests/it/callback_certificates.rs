//! What `check` says of the certificate at `public_addr`: the daemon's own listener shows it, over real TLS.

use std::process::Command;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};

use crate::harness::deciding::*;
use crate::harness::*;

/// The only authority that the machine trusts.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params
}

/// The lines of `check` about `public_addr`, where the daemon's listener has a certificate of these parameters.
async fn shown(certificate: CertificateParams, signs_itself: bool) -> String {
    shown_trusting(certificate, signs_itself, Trust::Machine).await
}

/// Who has the authority of the certificate.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Trust {
    Machine,
    /// `network.ca_file`; the machine has another one.
    Configuration,
}

async fn shown_trusting(certificate: CertificateParams, signs_itself: bool, trust: Trust) -> String {
    let bed = TestBed::with_review().await;
    let (authority, key) = (authority(), KeyPair::generate().unwrap());
    let certificate = match signs_itself {
        true => certificate.self_signed(&key),
        false => certificate.signed_by(&key, &authority),
    };
    let file = |name| bed.dir.path().join(name);
    std::fs::write(file("ca.pem"), authority.pem()).unwrap();
    let roots = if trust == Trust::Machine { authority.pem() } else { self::authority().pem() };
    std::fs::write(file("roots.pem"), roots).unwrap();
    std::fs::write(file("own.crt"), certificate.unwrap().pem()).unwrap();
    std::fs::write(file("own.key"), key.serialize_pem()).unwrap();
    let config = bed.review_config(Transport::Http, ANY_OF_THREE);
    let files = "[http]\nhttps_key_file = \"own.key\"\nhttps_cert_file = \"own.crt\"\n";
    let config = config.replace("[http]\n", files);
    let daemon = bed.launch(&config);
    let line = bed.until_logged(&daemon, "Starting secure HTTPS server on ").await;
    let address = line.split_once("server on ").unwrap().1.split_whitespace().next().unwrap().to_owned();
    bed.until_logged(&daemon, "Ready").await;

    let look = file("look.toml");
    let addr = format!("{files}public_addr = \"https://{address}\"\n");
    let network = if trust == Trust::Configuration { "[network]\nca_file = \"ca.pem\"\n" } else { "" };
    std::fs::write(&look, config.replace(files, &addr) + network).unwrap();
    let mut check = Command::new(program());
    check.arg("check").arg("-c").arg(look).env_clear().env("SSL_CERT_FILE", file("roots.pem"));
    let text = String::from_utf8(check.output().unwrap().stdout).unwrap();
    daemon.stop().await;
    let from = text.lines().skip_while(|line| !line.contains("callback-address"));
    let lines: Vec<_> = from.enumerate().take_while(|(n, line)| *n == 0 || line.starts_with(' ')).collect();
    assert!(!lines.is_empty(), "{text}");
    let lines: Vec<_> = lines.into_iter().map(|(_, line)| line.trim()).collect();
    lines.join("\n").replace(&address, "ADDRESS")
}

#[test]
fn one_of_a_trusted_authority_is_green() {
    run_in_process(async {
        insta::assert_snapshot!(shown(server("127.0.0.1"), false).await, @"✓ callback-address: https://ADDRESS/slack/interactivity: the daemon takes signed calls and refuses others (from this machine)");
    });
}

#[test]
fn one_that_only_the_configuration_trusts_is_said() {
    run_in_process(async {
        let said = shown_trusting(server("127.0.0.1"), false, Trust::Configuration).await;
        insta::assert_snapshot!(said, @"
        ! callback-address: https://ADDRESS/slack/interactivity
        cause: the daemon takes signed calls and refuses others, but the certificate there counts only by network.ca_file, which Slack does not have (from this machine)
        remedy: nothing is to be done if a firewall between this machine and the address opens TLS; otherwise use a certificate of a public authority there
        ");
    });
}

#[test]
fn one_that_signs_itself_is_said() {
    run_in_process(async {
        let said = shown(server("127.0.0.1"), true).await;
        insta::assert_snapshot!(said, @"
        ! callback-address: https://ADDRESS/slack/interactivity
        cause: the certificate there is signed by no authority that this machine trusts, and Slack takes only those of public authorities (from this machine)
        remedy: use a certificate of a public authority there; if it has one, install the ca-certificates package on this machine, or name the CA of a firewall in between in network.ca_file
        ");
        // As `openssl req -x509` makes it.
        let mut of_authority = server("127.0.0.1");
        of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        assert_eq!(shown(of_authority, true).await, said);
    });
}

#[test]
fn one_outside_its_dates_is_said() {
    run_in_process(async {
        let mut expired = server("127.0.0.1");
        (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        insta::assert_snapshot!(shown(expired, false).await, @"
        ✗ callback-address: https://ADDRESS/slack/interactivity
        cause: the certificate there expired at 2021-01-01T00:00:00Z, and Slack refuses it (from this machine)
        remedy: renew it, and see that what serves the address takes up the new one; is this machine's clock right?
        ");
        let mut early = server("127.0.0.1");
        early.not_before = date_time_ymd(2900, 1, 1);
        insta::assert_snapshot!(shown(early, false).await, @"
        ✗ callback-address: https://ADDRESS/slack/interactivity
        cause: the certificate there is valid only from 2900-01-01T00:00:00Z, and Slack refuses it (from this machine)
        remedy: set this machine's clock, or wait until then
        ");
    });
}

#[test]
fn one_for_another_name_is_said() {
    run_in_process(async {
        insta::assert_snapshot!(shown(server("other.example.com"), false).await, @"
        ✗ callback-address: https://ADDRESS/slack/interactivity
        cause: the certificate there is for another name, and Slack refuses it (from this machine)
        remedy: use a certificate for the name in http.public_addr there, or correct http.public_addr
        ");
    });
}
