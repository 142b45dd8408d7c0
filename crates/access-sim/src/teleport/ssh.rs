//! SSH public keys and certificates as text, as far as identity files and `GenerateUserCerts` carry them.
//!
//! The certificates have the right structure and a meaningless signature: no client logs in over SSH here.

use jiff::Timestamp;

use super::encoding::{INTEGER, SEQUENCE, base64, der, from_base64, take_der};

/// A public key of one of the two kinds that Teleport hands out here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PublicKey {
    /// Exponent and modulus, both as big-endian two's complement.
    Rsa { exponent: Vec<u8>, modulus: Vec<u8> },
    /// The uncompressed point on P-256.
    P256 { point: Vec<u8> },
}

impl PublicKey {
    /// From a PKCS#1 `RSAPublicKey`.
    pub(super) fn from_pkcs1(bytes: &[u8]) -> Option<Self> {
        let (SEQUENCE, content, _) = take_der(bytes)? else { return None };
        let (INTEGER, modulus, rest) = take_der(content)? else { return None };
        let (INTEGER, exponent, _) = take_der(rest)? else { return None };
        Some(Self::Rsa { exponent: exponent.to_vec(), modulus: modulus.to_vec() })
    }

    /// From a line of `authorized_keys`; only `ssh-rsa`, the one kind that Teleport 6 takes.
    pub(super) fn from_authorized_key(line: &str) -> Option<Self> {
        let mut words = line.split_whitespace();
        if words.next()? != "ssh-rsa" {
            return None;
        }
        let blob = from_base64(words.next()?)?;
        let (name, rest) = take_string(&blob)?;
        let (exponent, rest) = take_string(rest)?;
        let (modulus, rest) = take_string(rest)?;
        let plausible = name == b"ssh-rsa" && rest.is_empty() && modulus.len() >= 256 && !exponent.is_empty();
        plausible.then(|| Self::Rsa { exponent: exponent.to_vec(), modulus: modulus.to_vec() })
    }

    /// The PKCS#1 form; `None` for a key that is not RSA.
    pub(super) fn to_pkcs1(&self) -> Option<Vec<u8>> {
        match self {
            Self::Rsa { exponent, modulus } => {
                Some(der(SEQUENCE, &[der(INTEGER, modulus), der(INTEGER, exponent)].concat()))
            }
            Self::P256 { .. } => None,
        }
    }

    fn algorithm(&self) -> &'static str {
        match self {
            Self::Rsa { .. } => "ssh-rsa",
            Self::P256 { .. } => "ecdsa-sha2-nistp256",
        }
    }

    fn fields(&self) -> Vec<u8> {
        match self {
            Self::Rsa { exponent, modulus } => [string(exponent), string(modulus)].concat(),
            Self::P256 { point } => [string(b"nistp256"), string(point)].concat(),
        }
    }

    /// `algorithm base64`, the middle of an `authorized_keys` line.
    pub(super) fn to_line(&self) -> String {
        let blob = [string(self.algorithm().as_bytes()), self.fields()].concat();
        format!("{} {}", self.algorithm(), base64(&blob))
    }
}

/// A user certificate line for `key`, valid until `not_after`.
pub(super) fn certificate_line(
    key: &PublicKey,
    user: &str,
    not_before: Timestamp,
    not_after: Timestamp,
    impersonator: Option<&str>,
) -> String {
    let algorithm = format!("{}-cert-v01@openssh.com", key.algorithm());
    let mut extensions = Vec::new();
    if let Some(impersonator) = impersonator {
        extensions.extend([string(b"impersonator"), string(&string(impersonator.as_bytes()))].concat());
    }
    extensions.extend([string(b"permit-pty"), string(b"")].concat());
    let nonce: [u8; 32] = std::array::from_fn(|_| fastrand::u8(..));
    let signature: [u8; 64] = std::array::from_fn(|_| fastrand::u8(..));
    let blob = [
        string(algorithm.as_bytes()),
        string(&nonce),
        key.fields(),
        0u64.to_be_bytes().to_vec(),
        1u32.to_be_bytes().to_vec(),
        string(user.as_bytes()),
        string(&string(format!("x-{user}").as_bytes())),
        seconds(not_before),
        seconds(not_after),
        string(b""),
        string(&extensions),
        string(b""),
        string(&[string(key.algorithm().as_bytes()), key.fields()].concat()),
        string(&[string(b"ecdsa-sha2-nistp256"), string(&signature)].concat()),
    ]
    .concat();
    format!("{algorithm} {}", base64(&blob))
}

fn seconds(time: Timestamp) -> Vec<u8> {
    u64::try_from(time.as_second()).unwrap_or(0).to_be_bytes().to_vec()
}

/// An SSH string: a four-byte length and the bytes.
fn string(bytes: &[u8]) -> Vec<u8> {
    let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
    [length.to_be_bytes().as_slice(), bytes].concat()
}

fn take_string(data: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = data.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authorized_key_round_trips() {
        let key = PublicKey::Rsa { exponent: vec![1, 0, 1], modulus: [vec![0], vec![0xc3; 256]].concat() };
        let line = format!("{} someone@example.com\n", key.to_line());
        assert_eq!(PublicKey::from_authorized_key(&line), Some(key.clone()));
        assert_eq!(PublicKey::from_pkcs1(&key.to_pkcs1().unwrap()), Some(key));
    }

    #[test]
    fn other_lines_are_refused() {
        for line in ["", "ssh-rsa", "ssh-rsa ????", "ssh-ed25519 AAAA", "ssh-rsa AAAAB3NzaC1yc2E="] {
            assert_eq!(PublicKey::from_authorized_key(line), None, "{line}");
        }
    }
}
