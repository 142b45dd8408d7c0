//! A throw-away certificate authority that makes certificates and key files like Teleport's.
//!
//! Two authorities as in Teleport: the host CA vouches for the auth server, the user CA for clients. Everything
//! lives in memory and dies with the simulator. Tests that need another authority make a second [`Authorities`].

use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256, PublicKeyData, RsaKeySize,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use super::encoding::{CONTEXT_0, CONTEXT_1, OCTET_STRING, SEQUENCE, der, pem, take_der};
use super::ssh::{PublicKey, certificate_line};

/// The name that Teleport's clients verify when they have no other.
pub const API_DOMAIN: &str = "teleport.cluster.local";
/// Attribute of a certificate's subject that holds the cluster's name.
const OID_CLUSTER: [u64; 5] = [1, 3, 9999, 1, 7];
/// Attribute that names who asked for a certificate of another user, as text and as numbers.
pub(super) const IMPERSONATOR: &str = "1.3.9999.2.7";
const OID_IMPERSONATOR: [u64; 5] = [1, 3, 9999, 2, 7];
const OID_STREET: [u64; 4] = [2, 5, 4, 9];
const OID_POSTAL_CODE: [u64; 4] = [2, 5, 4, 17];
/// DER of the object identifier of the curve P-256.
const P256_OID: [u8; 10] = [0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// How far certificates reach into the past, so that clocks may disagree a little.
pub(super) const BACKDATE: SignedDuration = SignedDuration::from_mins(1);
/// How long a client certificate lasts unless a test says otherwise.
const CLIENT_TTL: SignedDuration = SignedDuration::from_hours(24);
/// How long authorities and the server certificate last.
pub(super) const CA_TTL: SignedDuration = SignedDuration::from_hours(24 * 365 * 10);

/// The kind of a private key and how its PEM file spells it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA P-256 as `PRIVATE KEY`, what newer clusters write; quick to make.
    #[default]
    EcPkcs8,
    /// ECDSA P-256 as `EC PRIVATE KEY`.
    EcSec1,
    /// RSA 2048 as `RSA PRIVATE KEY`, what Teleport 6 writes.
    RsaPkcs1,
    /// RSA 2048 as `PRIVATE KEY`.
    RsaPkcs8,
}

/// Who has a client's certificate signed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Signer {
    /// It does not say, as of 6.2.1.
    #[default]
    Unnamed,
    /// `tctl auth sign` on the auth server, as of 15.1.9.
    AuthHost,
    /// This user, who may impersonate the client's: a person, or a bot.
    User(&'static str),
}

/// What the auth server calls itself.
pub(super) fn host_name(cluster: &str) -> String {
    format!("00000000-0000-0000-0000-000000000000.{cluster}")
}

/// What a client certificate should be like.
#[derive(Clone, Copy, Debug, Default)]
pub struct CertOptions {
    /// The kind of key.
    pub key: KeyKind,
    /// Start of validity; a minute ago if absent.
    pub not_before: Option<Timestamp>,
    /// End of validity; in a day if absent.
    pub not_after: Option<Timestamp>,
    /// Who has it signed.
    pub signer: Signer,
}

/// What `tctl auth sign` hands out. Fields are public, so that a test can mix those of two clusters.
#[derive(Clone)]
pub struct Credentials {
    /// The private key.
    pub key_pem: String,
    /// The client's TLS certificate.
    pub cert_pem: String,
    /// The host CA's certificates.
    pub cas_pem: String,
    ssh_certificate: String,
    ssh_authority: String,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("cert_pem", &self.cert_pem).finish_non_exhaustive()
    }
}

impl Credentials {
    /// Writes `stem.key`, `stem.crt` and `stem.cas` into `dir`, readable by the owner only.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write_tls_files(&self, dir: &Path, stem: &str) -> io::Result<()> {
        for (extension, text) in [("key", &self.key_pem), ("crt", &self.cert_pem), ("cas", &self.cas_pem)] {
            let path = dir.join(format!("{stem}.{extension}"));
            let mut file = std::fs::OpenOptions::new();
            let mut file = file.write(true).create(true).truncate(true).mode(0o600).open(path)?;
            file.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    /// The same as one identity file: key, SSH certificate, TLS certificate, SSH authority, TLS authorities.
    pub fn identity_file(&self) -> String {
        let Self { key_pem, cert_pem, cas_pem, ssh_certificate, ssh_authority } = self;
        format!("{key_pem}{ssh_certificate}\n{cert_pem}{ssh_authority}\n{cas_pem}")
    }
}

/// Who a client certificate is for.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// User name.
    pub user: &'a str,
    /// The first of the user's roles.
    pub role: &'a str,
    /// The user's traits as JSON.
    pub traits_json: &'a str,
    /// Who asked, if not the user.
    pub impersonator: Option<&'a str>,
}

type Ca = CertifiedIssuer<'static, KeyPair>;

/// The two authorities of one cluster.
pub struct Authorities {
    cluster: String,
    host: Ca,
    user: Ca,
}

impl std::fmt::Debug for Authorities {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Authorities").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

impl Authorities {
    /// Fresh authorities for a cluster of that name.
    ///
    /// # Errors
    /// When the system gives no randomness.
    pub fn new(cluster: &str) -> io::Result<Self> {
        Ok(Self {
            cluster: cluster.to_owned(),
            host: authority(cluster).map_err(io::Error::other)?,
            user: authority(cluster).map_err(io::Error::other)?,
        })
    }

    /// Certificates that a client must trust to reach the server.
    pub fn host_ca_pem(&self) -> String {
        self.host.pem()
    }

    /// The certificate that the server must trust to know its clients.
    pub(super) fn user_ca(&self) -> CertificateDer<'static> {
        self.user.der().clone()
    }

    /// The auth server's certificate and key.
    pub(super) fn server(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        self.host_certificate("Admin")
    }

    /// The proxy's host certificate and key: its names are those of the auth server too.
    pub(super) fn proxy(&self) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        self.host_certificate("Proxy")
    }

    fn host_certificate(
        &self,
        role: &str,
    ) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
        let wildcard = format!("*.{API_DOMAIN}");
        let mut params =
            CertificateParams::new([wildcard, API_DOMAIN.into(), "localhost".into(), "127.0.0.1".into()])?;
        let name = host_name(&self.cluster);
        params.distinguished_name = subject(&self.cluster, &name, role, "null");
        let now = Timestamp::now();
        leaf(&mut params, now - BACKDATE, now + CA_TTL);
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let certificate = params.signed_by(&key, &self.host)?;
        Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der()).into()))
    }

    /// A client's key and certificate.
    ///
    /// # Errors
    /// When the system gives no randomness, or a name cannot be put into a certificate.
    pub fn client(&self, who: Subject<'_>, options: CertOptions) -> io::Result<Credentials> {
        let key = match options.key {
            KeyKind::EcPkcs8 | KeyKind::EcSec1 => KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256),
            KeyKind::RsaPkcs1 | KeyKind::RsaPkcs8 => {
                KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048)
            }
        }
        .map_err(io::Error::other)?;
        let not_before = options.not_before.unwrap_or_else(|| Timestamp::now() - BACKDATE);
        let not_after = options.not_after.unwrap_or_else(|| Timestamp::now() + CLIENT_TTL);
        let ssh_key = ssh_key(&key).ok_or_else(|| io::Error::other("no SSH form of the public key"))?;
        let host_key = ssh_key_of_ca(&self.host);
        Ok(Credentials {
            key_pem: key_pem(&key, options.key).ok_or_else(|| io::Error::other("odd private key"))?,
            cert_pem: self.sign(&key, who, not_before, not_after).map_err(io::Error::other)?,
            cas_pem: self.host_ca_pem(),
            ssh_certificate: certificate_line(&ssh_key, who.user, not_before, not_after, who.impersonator),
            ssh_authority: format!(
                "@cert-authority {0},*.{0} {1} type=host",
                self.cluster,
                host_key.to_line()
            ),
        })
    }

    /// The PEM of a client certificate for a key that the client holds.
    pub(super) fn sign(
        &self,
        key: &impl PublicKeyData,
        who: Subject<'_>,
        not_before: Timestamp,
        not_after: Timestamp,
    ) -> Result<String, rcgen::Error> {
        let mut params = CertificateParams::default();
        let mut name = subject(&self.cluster, who.user, who.role, who.traits_json);
        name.push(DnType::LocalityName, format!("x-{}", who.user));
        if let Some(impersonator) = who.impersonator {
            name.push(DnType::CustomDnType(OID_IMPERSONATOR.to_vec()), impersonator);
        }
        params.distinguished_name = name;
        leaf(&mut params, not_before, not_after);
        Ok(params.signed_by(key, &self.user)?.pem())
    }
}

fn authority(cluster: &str) -> Result<Ca, rcgen::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, cluster);
    params.distinguished_name.push(DnType::CommonName, cluster);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    let now = Timestamp::now();
    set_validity(&mut params, now - BACKDATE, now + CA_TTL);
    CertifiedIssuer::self_signed(params, KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?)
}

/// The attributes that every certificate of Teleport's has, an empty street among them.
fn subject(cluster: &str, common: &str, role: &str, traits_json: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, role);
    name.push(DnType::CustomDnType(OID_STREET.to_vec()), "");
    name.push(DnType::CustomDnType(OID_POSTAL_CODE.to_vec()), traits_json);
    name.push(DnType::CommonName, common);
    name.push(DnType::CustomDnType(OID_CLUSTER.to_vec()), cluster);
    name
}

fn leaf(params: &mut CertificateParams, not_before: Timestamp, not_after: Timestamp) {
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    set_validity(params, not_before, not_after);
}

pub(super) fn set_validity(params: &mut CertificateParams, not_before: Timestamp, not_after: Timestamp) {
    // rcgen's own type of time has no constructor from seconds, so it is reached by a distance from 1970.
    let date = |time: Timestamp| {
        let epoch = rcgen::date_time_ymd(1970, 1, 1);
        let distance = std::time::Duration::from_secs(time.as_second().unsigned_abs());
        if time.as_second() < 0 { epoch - distance } else { epoch + distance }
    };
    params.not_before = date(not_before);
    params.not_after = date(not_after);
}

fn ssh_key(key: &KeyPair) -> Option<PublicKey> {
    if key.algorithm() == &PKCS_RSA_SHA256 {
        PublicKey::from_pkcs1(key.public_key_raw())
    } else {
        Some(PublicKey::P256 { point: key.public_key_raw().to_vec() })
    }
}

fn ssh_key_of_ca(ca: &Ca) -> PublicKey {
    PublicKey::P256 { point: ca.key().public_key_raw().to_vec() }
}

/// The private key in the spelling asked for; rcgen itself only writes PKCS#8.
fn key_pem(key: &KeyPair, kind: KeyKind) -> Option<String> {
    let pkcs8 = key.serialize_der();
    if matches!(kind, KeyKind::EcPkcs8 | KeyKind::RsaPkcs8) {
        return Some(pem("PRIVATE KEY", &pkcs8));
    }
    // PrivateKeyInfo: version, algorithm, then the key's own form in an octet string.
    let (_, content, _) = take_der(&pkcs8)?;
    let (_, _, rest) = take_der(content)?;
    let (_, _, rest) = take_der(rest)?;
    let (OCTET_STRING, inner, _) = take_der(rest)? else { return None };
    if kind == KeyKind::RsaPkcs1 {
        return Some(pem("RSA PRIVATE KEY", inner));
    }
    // Inside PKCS#8 the curve is named outside the key; on its own the key must name it, as OpenSSL's and Go's do.
    let (_, content, _) = take_der(inner)?;
    let (_, version, rest) = take_der(content)?;
    let (_, secret, rest) = take_der(rest)?;
    let public = match take_der(rest) {
        Some((CONTEXT_1, public, _)) => der(CONTEXT_1, public),
        _ => Vec::new(),
    };
    let fields = [der(0x02, version), der(OCTET_STRING, secret), der(CONTEXT_0, &P256_OID), public].concat();
    Some(pem("EC PRIVATE KEY", &der(SEQUENCE, &fields)))
}
