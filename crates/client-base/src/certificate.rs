//! What a certificate says about itself: its dates, the names it is for, and whether it signs itself.
//!
//! Nothing is verified here; TLS does that.

use std::net::IpAddr;

use jiff::Timestamp;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a certificate says about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// From when on it is valid.
    pub not_before: Timestamp,
    /// Until when it is valid.
    pub not_after: Timestamp,
    /// The DNS names that it is for, `*.` ones too, in lower case.
    pub dns_names: Vec<String>,
    /// The addresses that it is for.
    pub addresses: Vec<IpAddr>,
    /// Its issuer is its subject: no authority stands behind it.
    pub is_self_signed: bool,
}

/// Whether another one signed this certificate (DER), and it may sign none itself: a server's or a client's, which leads to no
/// trust in any certificate. Of a damaged one `false`.
pub fn is_signed_leaf(der: &[u8]) -> bool {
    let Ok((_, parsed)) = X509Certificate::from_der(der) else { return false };
    parsed.issuer() != parsed.subject() && !parsed.is_ca()
}

impl CertificateFacts {
    /// Reads a certificate in DER; `None` if it is damaged.
    pub fn read(der: &[u8]) -> Option<Self> {
        let (_, parsed) = X509Certificate::from_der(der).ok()?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let (mut dns_names, mut addresses) = (Vec::new(), Vec::new());
        for name in names.into_iter().flat_map(|extension| &extension.value.general_names) {
            match name {
                GeneralName::DNSName(name) => dns_names.push(name.to_lowercase()),
                GeneralName::IPAddress(bytes) => addresses.extend(address(bytes)),
                _ => {}
            }
        }
        Some(Self {
            not_before: to_timestamp(parsed.validity().not_before.timestamp()),
            not_after: to_timestamp(parsed.validity().not_after.timestamp()),
            dns_names,
            addresses,
            is_self_signed: parsed.issuer() == parsed.subject(),
        })
    }

    /// Whether it is for this host: by name, by a `*` in place of the first label, or by its address, which may stand in the
    /// brackets of a URL.
    pub fn is_for(&self, host: &str) -> bool {
        if let Ok(address) = host.trim_matches(['[', ']']).parse() {
            return self.addresses.contains(&address);
        }
        let host = host.to_lowercase();
        let parent = host.split_once('.').map(|(_, parent)| parent);
        self.dns_names.iter().any(|name| match name.strip_prefix("*.") {
            Some(wild) => parent == Some(wild),
            None => *name == host,
        })
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let four = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    four.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// A certificate's time, in seconds since 1970; one beyond jiff's years counts as jiff's last or first moment.
pub fn to_timestamp(seconds: i64) -> Timestamp {
    let far = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_second(seconds).unwrap_or(far)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_for_its_names_and_one_label_below_a_star() {
        let names = ["Slack.example.com", "*.corp.example", "192.0.2.7", "2001:db8::7"].map(str::to_owned);
        let key = rcgen::KeyPair::generate().unwrap();
        let own = rcgen::CertificateParams::new(names).unwrap().self_signed(&key).unwrap();
        let facts = CertificateFacts::read(own.der()).unwrap();
        assert!(facts.is_self_signed);
        for (host, is_for) in [
            ("slack.example.com", true),
            ("SLACK.example.com", true),
            ("a.corp.example", true),
            ("a.b.corp.example", false),
            ("corp.example", false),
            ("example.com", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::7", true),
            ("[2001:DB8:0::7]", true),
            ("[2001:db8::8]", false),
        ] {
            assert_eq!(facts.is_for(host), is_for, "{host}");
        }
        assert_eq!(CertificateFacts::read(b"no certificate"), None);
    }
}
