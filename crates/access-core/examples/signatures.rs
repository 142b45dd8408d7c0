//! Judges signatures as the daemon does, so that Slack's own library can be asked whether it agrees (`conformance/run`).
//!
//! Reads one JSON object a line, `{"secret", "timestamp", "signature", "body", "now"}`, the body as hexadecimal digits
//! and the time in seconds; a missing header is null. Answers each with one line: `accepted`, or why not.

use std::error::Error;
use std::io::{BufRead, Write, stdin, stdout};

use access_core::interaction::signature::verify;
use jiff::Timestamp;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    secret: String,
    timestamp: Option<String>,
    signature: Option<String>,
    body: String,
    now: i64,
}

fn main() -> Result<(), Box<dyn Error>> {
    for line in stdin().lock().lines() {
        let Case { secret, timestamp, signature, body, now } = serde_json::from_str(&line?)?;
        let body = bytes(&body)?;
        let (timestamp, signature) = (timestamp.as_deref(), signature.as_deref());
        let verified = verify(
            secret.as_bytes(),
            timestamp.map(str::as_bytes),
            signature.map(str::as_bytes),
            &body,
            Timestamp::from_second(now)?,
        );
        match verified {
            Ok(_) => writeln!(stdout(), "accepted")?,
            Err(rejection) => writeln!(stdout(), "{rejection}")?,
        }
    }
    Ok(())
}

fn bytes(digits: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pairs = digits.as_bytes().chunks(2);
    pairs.map(|pair| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?)).collect()
}
