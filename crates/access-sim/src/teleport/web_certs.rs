//! Certificates as web servers have them: bought from an authority that machines trust, or signed by themselves.

use jiff::Timestamp;
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::certs::{BACKDATE, CA_TTL, set_validity};

type Pair = (CertificateDer<'static>, PrivateKeyDer<'static>);

/// An authority that sells certificates.
pub(super) struct WebAuthority(CertifiedIssuer<'static, KeyPair>);

impl WebAuthority {
    pub(super) fn new() -> Result<Self, rcgen::Error> {
        let mut params = params_of(&[], "Simulated web authority")?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        CertifiedIssuer::self_signed(params, KeyPair::generate()?).map(Self)
    }

    pub(super) fn pem(&self) -> String {
        self.0.pem()
    }

    /// A certificate for these names, and its key.
    pub(super) fn sign(&self, names: &[&str]) -> Result<Pair, rcgen::Error> {
        let (certificate, key) = self.make(names)?;
        Ok((certificate.der().clone(), private(&key)))
    }

    /// The same in PEM.
    pub(super) fn sign_pem(&self, names: &[&str]) -> Result<(String, String), rcgen::Error> {
        let (certificate, key) = self.make(names)?;
        Ok((certificate.pem(), key.serialize_pem()))
    }

    fn make(&self, names: &[&str]) -> Result<(rcgen::Certificate, KeyPair), rcgen::Error> {
        let mut params = params_of(names, names.first().copied().unwrap_or_default())?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &self.0)?, key))
    }
}

/// What a proxy makes for itself where it is given no certificate: it is the certificate of an authority.
pub(super) fn self_signed(names: &[&str]) -> Result<Pair, rcgen::Error> {
    let mut params = params_of(names, "localhost")?;
    params.distinguished_name.push(DnType::OrganizationName, "localhost");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), private(&key)))
}

fn params_of(names: &[&str], common: &str) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, common);
    let now = Timestamp::now();
    set_validity(&mut params, now - BACKDATE, now + CA_TTL);
    Ok(params)
}

fn private(key: &KeyPair) -> PrivateKeyDer<'static> {
    PrivatePkcs8KeyDer::from(key.serialize_der()).into()
}
