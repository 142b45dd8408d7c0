//! Slack's own example, and everything that is nearly right.

use proptest::prelude::*;

use super::*;

const SECRET: &[u8] = b"8f742231b10e8888abcd99yyyzzz85a5";
const TIME: &[u8] = b"1531420618";
const BODY: &[u8] = b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text=&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121.803a0bc887a14d10d2c447fce8b6703c";
const SIGNATURE: &str = "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503";

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_531_420_618 + second).unwrap()
}

fn verify_at(now: Timestamp) -> Result<(), SignatureError> {
    verify(SECRET, Some(TIME), Some(SIGNATURE.as_bytes()), BODY, now).map(|_| ())
}

fn verify_signed(secret: &[u8], time: &str, signature: &str, body: &[u8]) -> Result<(), SignatureError> {
    verify(secret, Some(time.as_bytes()), Some(signature.as_bytes()), body, at(0)).map(|_| ())
}

/// What Slack would sign.
fn sign(secret: &[u8], time: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).unwrap();
    mac.update(format!("v0:{time}:").as_bytes());
    mac.update(body);
    let digits: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("v0={digits}")
}

#[test]
fn the_example_of_slacks_documentation() {
    let verified = verify(SECRET, Some(TIME), Some(SIGNATURE.as_bytes()), BODY, at(0)).unwrap();
    assert_eq!(verified.bytes(), BODY);
    assert_eq!(sign(SECRET, "1531420618", BODY), SIGNATURE);
    assert_eq!(super::sign(SECRET, 1_531_420_618, BODY).as_deref(), Some(SIGNATURE));
    assert_eq!(super::sign(b"", 1_531_420_618, BODY), None);
}

#[test]
fn a_signature_is_accepted_within_five_minutes_either_way() {
    assert_eq!(verify_at(at(300)), Ok(()));
    assert_eq!(verify_at(at(-300)), Ok(()));
    assert_eq!(verify_at(at(300) + SignedDuration::from_nanos(1)), Err(SignatureError::Stale));
    assert_eq!(verify_at(at(-301)), Err(SignatureError::Stale));
    assert_eq!(verify_at(Timestamp::MAX), Err(SignatureError::Stale));
    assert_eq!(verify_at(Timestamp::MIN), Err(SignatureError::Stale));
}

#[test]
fn nearly_valid_signatures_are_rejected() {
    assert_eq!(
        verify_signed(b"8f742231b10e8888abcd99yyyzzz85a6", "1531420618", SIGNATURE, BODY),
        Err(SignatureError::Forged)
    );
    assert_eq!(verify_signed(SECRET, "1531420619", SIGNATURE, BODY), Err(SignatureError::Forged));
    assert_eq!(verify_signed(SECRET, "1531420618", SIGNATURE, &BODY[1..]), Err(SignatureError::Forged));
    assert_eq!(
        verify_signed(SECRET, "1531420618", SIGNATURE, &BODY[..BODY.len() - 1]),
        Err(SignatureError::Forged)
    );
    assert_eq!(
        verify_signed(SECRET, "1531420618", SIGNATURE, &[BODY, b"&"].concat()),
        Err(SignatureError::Forged)
    );
    // Neither may a part of the time be pushed into the body.
    assert_eq!(
        verify_signed(SECRET, "153142061", SIGNATURE, &[b"8:", BODY].concat()),
        Err(SignatureError::Stale)
    );
    let other = SIGNATURE.replace("b503", "b502");
    assert_eq!(verify_signed(SECRET, "1531420618", &other, BODY), Err(SignatureError::Forged));
}

#[test]
fn forms_that_slack_never_sends_are_refused() {
    let upper = SIGNATURE.to_uppercase().replacen("V0", "v0", 1);
    let long = format!("{SIGNATURE}0");
    for signature in ["", "v0=", "v1=a2114d", &SIGNATURE[3..], &SIGNATURE[..66], &upper, &long, "v0=ÿ"] {
        assert_eq!(
            verify_signed(SECRET, "1531420618", signature, BODY),
            Err(SignatureError::Malformed),
            "{signature}"
        );
    }
    for time in
        ["", " 1531420618", "+1531420618", "-1", "1531420618.0", "0x5b47", "99999999999999999999", "١٥٣"]
    {
        assert_eq!(verify_signed(SECRET, time, SIGNATURE, BODY), Err(SignatureError::Malformed), "{time}");
    }
    assert_eq!(verify_signed(SECRET, "999999999999", SIGNATURE, BODY), Err(SignatureError::Stale));
    for (time, signature) in [(None, Some(SIGNATURE)), (Some("1531420618"), None), (None, None)] {
        let checked = verify(SECRET, time.map(str::as_bytes), signature.map(str::as_bytes), BODY, at(0));
        assert_eq!(checked.map(|_| ()), Err(SignatureError::Unsigned));
    }
}

#[test]
fn an_empty_secret_verifies_nothing() {
    assert_eq!(
        verify_signed(b"", "1531420618", &sign(b"", "1531420618", BODY), BODY),
        Err(SignatureError::Forged)
    );
}

#[test]
fn debug_texts_and_errors_show_no_secret() {
    let verified = verify(SECRET, Some(TIME), Some(SIGNATURE.as_bytes()), BODY, at(0)).unwrap();
    assert_eq!(format!("{verified:?}"), "Verified { bytes: 362, .. }");
    for rejection in
        [SignatureError::Unsigned, SignatureError::Malformed, SignatureError::Stale, SignatureError::Forged]
    {
        let text = format!("{rejection} {rejection:?}");
        assert!(!text.contains("a2114d57") && !text.contains("8f742231"), "{text}");
    }
}

#[test]
fn each_signature_error_has_its_own_text() {
    for (rejection, word) in [
        (SignatureError::Unsigned, "not signed"),
        (SignatureError::Malformed, "cannot be read"),
        (SignatureError::Stale, "clock"),
        (SignatureError::Forged, "signing_secret"),
    ] {
        assert!(rejection.to_string().contains(word), "{rejection}");
    }
}

fn digest(time: i64, body: &[u8]) -> SignatureDigest {
    let time_text = at(time).as_second().to_string();
    let signature = sign(SECRET, &time_text, body);
    verify(SECRET, Some(time_text.as_bytes()), Some(signature.as_bytes()), body, at(time))
        .unwrap()
        .signature()
        .unwrap()
}

#[test]
fn a_signature_is_good_once() {
    let mut seen = ReplayCache::new(10);
    assert!(seen.insert(digest(0, b"a"), at(0)));
    assert!(!seen.insert(digest(0, b"a"), at(1)));
    assert!(!seen.insert(digest(0, b"a"), at(300)), "it is still accepted, so it is still remembered");
    assert!(seen.insert(digest(0, b"b"), at(1)));
    assert!(seen.insert(digest(1, b"a"), at(1)));
    // One from a clock ahead of ours stays acceptable for longer, and is remembered for longer.
    assert!(seen.insert(digest(300, b"a"), at(0)));
    assert!(!seen.insert(digest(300, b"a"), at(600)));
}

#[test]
fn a_full_replay_cache_forgets_the_signature_that_expires_first() {
    let mut seen = ReplayCache::new(3);
    for n in [2, 1, 3] {
        assert!(seen.insert(digest(n, b"a"), at(3)));
    }
    for n in [1, 2, 3] {
        assert!(!seen.insert(digest(n, b"a"), at(3)), "{n} was used");
    }
    assert!(seen.insert(digest(4, b"a"), at(4)));
    for n in [2, 3, 4] {
        assert!(!seen.insert(digest(n, b"a"), at(4)), "{n} was used");
    }
    assert!(seen.insert(digest(1, b"a"), at(4)), "the one that ended first made room");
}

#[test]
fn the_replay_cache_is_bounded_in_number_and_time() {
    let mut seen = ReplayCache::new(3);
    for n in 0..10 {
        assert!(seen.insert(digest(n, b"a"), at(10)));
        assert!(seen.seen.len() <= 3 && seen.by_expiry.len() == seen.seen.len());
    }
    assert!(!seen.insert(digest(9, b"a"), at(10)));
    assert!(seen.insert(digest(700, b"a"), at(700)));
    assert_eq!(seen.seen.len(), 1, "what is not accepted any more is forgotten");
}

proptest! {
    #[test]
    fn only_signatures_by_slack_are_accepted(
        body in proptest::collection::vec(any::<u8>(), 0..200),
        other in proptest::collection::vec(any::<u8>(), 0..200),
        skew in -300..=300i64,
    ) {
        let time = at(skew).as_second().to_string();
        let signature = sign(SECRET, &time, &body);
        prop_assert_eq!(verify_signed(SECRET, &time, &signature, &body), Ok(()));
        if other != body {
            prop_assert_eq!(verify_signed(SECRET, &time, &signature, &other), Err(SignatureError::Forged));
        }
    }

    #[test]
    fn invalid_bytes_are_refused_without_a_panic(
        time in proptest::collection::vec(any::<u8>(), 0..30),
        signature in proptest::collection::vec(any::<u8>(), 0..80),
    ) {
        prop_assert!(verify(SECRET, Some(&time), Some(&signature), b"x", at(0)).is_err());
    }
}
