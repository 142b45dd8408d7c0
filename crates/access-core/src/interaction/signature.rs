//! Whether bytes come from Slack: the signature of an HTTP callback over its raw body, and a memory of
//! signatures that were used.
//!
//! Nothing here reads the body. What may be read afterwards is a [`Verified`], which
//! [`crate::interaction::Interaction::parse`] demands. A rejection reveals neither the secret nor the right
//! signature.

use std::collections::BTreeSet;
use std::fmt::{self, Write};

use hmac::{Hmac, KeyInit, Mac};
use jiff::{SignedDuration, Timestamp};
use sha2::Sha256;

/// How far Slack's clock and ours may differ, either way; Slack's own figure.
pub const REPLAY_WINDOW: SignedDuration = SignedDuration::from_mins(5);

/// A Unix time has no more digits for the next thousands of years.
const MAX_TIMESTAMP_DIGITS: usize = 12;
/// An HMAC-SHA256, in bytes.
const MAC_BYTES: usize = 32;

/// Bytes that Slack sent: signed, or over a connection that only Slack holds the other end of.
#[derive(Clone, Copy)]
pub struct Verified<'a> {
    bytes: &'a [u8],
    signature: Option<SignatureDigest>,
}

/// A signature that was right, and until when it would be accepted again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignatureDigest {
    mac: [u8; MAC_BYTES],
    valid_until: Timestamp,
}

/// Why a callback is not believed. All are answered alike: 401 and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureError {
    /// A header is missing.
    Unsigned,
    /// The time is no time, or the signature is not of the form `v0=` and 64 digits.
    Malformed,
    /// The time is more than [`REPLAY_WINDOW`] before or after now: an old callback, or a wrong clock.
    Stale,
    /// The signature is of another secret or another body.
    Forged,
}

impl fmt::Display for SignatureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Unsigned => "the callback is not signed",
            Self::Malformed => "the callback's signature or its time cannot be read",
            Self::Stale => {
                "the callback is more than five minutes off; compare this machine's clock with the time"
            }
            Self::Forged => "the callback's signature is wrong; is signing_secret this app's?",
        })
    }
}

impl std::error::Error for SignatureError {}

/// Checks the headers `X-Slack-Request-Timestamp` and `X-Slack-Signature` over the raw `body`.
///
/// The comparison takes the same time for any guess. An empty `secret` verifies nothing.
///
/// # Errors
/// [`SignatureError`] if the headers do not prove that Slack signed exactly this body, just now.
pub fn verify<'a>(
    secret: &[u8],
    timestamp: Option<&[u8]>,
    signature: Option<&[u8]>,
    body: &'a [u8],
    now: Timestamp,
) -> Result<Verified<'a>, SignatureError> {
    let (Some(timestamp), Some(signature)) = (timestamp, signature) else {
        return Err(SignatureError::Unsigned);
    };
    let sent = seconds(timestamp).ok_or(SignatureError::Malformed)?;
    let claimed = claimed_mac(signature).ok_or(SignatureError::Malformed)?;
    let sent = Timestamp::from_second(sent).map_err(|_| SignatureError::Stale)?;
    if now.duration_since(sent).abs() > REPLAY_WINDOW {
        return Err(SignatureError::Stale);
    }
    // Every attacker knows the empty secret.
    if secret.is_empty() {
        return Err(SignatureError::Forged);
    }
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).map_err(|_| SignatureError::Forged)?;
    for part in [b"v0:", timestamp, b":", body] {
        mac.update(part);
    }
    mac.verify_slice(&claimed).map_err(|_| SignatureError::Forged)?;
    let until = sent.checked_add(REPLAY_WINDOW).unwrap_or(Timestamp::MAX);
    Ok(Verified { bytes: body, signature: Some(SignatureDigest { mac: claimed, valid_until: until }) })
}

/// The header `X-Slack-Signature` for a body, as Slack makes it; `timestamp` is what `X-Slack-Request-Timestamp` says, in
/// seconds. For a check that stands in for Slack. `None` for an empty secret, with which nothing is verified.
pub fn sign(secret: &[u8], timestamp: i64, body: &[u8]) -> Option<String> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok().filter(|_| !secret.is_empty())?;
    for part in [format!("v0:{timestamp}:").as_bytes(), body] {
        mac.update(part);
    }
    let mut signature = String::from("v0=");
    for byte in mac.finalize().into_bytes() {
        let _ = write!(signature, "{byte:02x}");
    }
    Some(signature)
}

impl<'a> Verified<'a> {
    /// The `payload` of a Socket Mode envelope of type `interactive`. It carries no signature: that it came over
    /// a connection which this daemon opened with its app token, over TLS, is the proof; give it nothing else.
    pub fn from_socket(payload: &'a [u8]) -> Self {
        Self { bytes: payload, signature: None }
    }

    /// The signature, to be remembered; none for what came over a socket.
    pub fn signature(&self) -> Option<SignatureDigest> {
        self.signature
    }

    /// The bytes; a form if they were signed, else JSON.
    pub(crate) fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// Without the bytes, which hold e-mail addresses and one-time addresses.
impl fmt::Debug for Verified<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Verified").field("bytes", &self.bytes.len()).finish_non_exhaustive()
    }
}

/// The time as Slack writes it: digits only.
fn seconds(text: &[u8]) -> Option<i64> {
    let is_number = text.len() <= MAX_TIMESTAMP_DIGITS && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()
}

/// `v0=` and 64 digits, as lower-case as Slack writes them.
fn claimed_mac(signature: &[u8]) -> Option<[u8; MAC_BYTES]> {
    let digits = signature.strip_prefix(b"v0=").filter(|digits| digits.len() == 2 * MAC_BYTES)?;
    let mut mac = [0; MAC_BYTES];
    for (byte, pair) in mac.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = pair.iter().try_fold(0, |byte, digit| Some(byte << 4 | hex(*digit)?))?;
    }
    Some(mac)
}

fn hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

/// The signatures that were used and would still be accepted, so that a captured callback is good for nothing.
///
/// It holds at most as many as it was made for. If more are used within the window, those that end first are
/// forgotten first; a replay of one of these still meets the memory of clicks and the record of votes.
#[derive(Clone, Debug)]
pub struct ReplayCache {
    capacity: usize,
    seen: BTreeSet<[u8; MAC_BYTES]>,
    by_expiry: BTreeSet<(Timestamp, [u8; MAC_BYTES])>,
}

impl ReplayCache {
    /// Room for `capacity` signatures of about 150 bytes each; at least one.
    pub fn new(capacity: usize) -> Self {
        Self { capacity: capacity.max(1), seen: BTreeSet::new(), by_expiry: BTreeSet::new() }
    }

    /// Remembers a signature as used. `false`: it was used before, do nothing.
    pub fn insert(&mut self, digest: SignatureDigest, now: Timestamp) -> bool {
        if self.seen.contains(&digest.mac) && digest.valid_until >= now {
            return false;
        }
        while let Some(&(until, mac)) = self.by_expiry.first() {
            if until >= now && self.seen.len() < self.capacity {
                break;
            }
            self.by_expiry.remove(&(until, mac));
            self.seen.remove(&mac);
        }
        self.seen.insert(digest.mac);
        self.by_expiry.insert((digest.valid_until, digest.mac));
        true
    }
}

#[cfg(test)]
mod tests;
