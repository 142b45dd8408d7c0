//! A text that must not be printed: tokens and signing secrets.
//!
//! It has no `Display`, and `Debug` hides it, so it can sit in any structure that is logged. Code that
//! needs the text calls [`Secret::expose`], which is easy to search for.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// A token or a signing secret, and the file that it was read from, in which it may be replaced.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret {
    text: String,
    file: Option<Arc<Path>>,
}

impl Secret {
    /// Wraps the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), file: None }
    }

    /// One that was read from a file.
    pub fn from_file(text: impl Into<String>, file: &Path) -> Self {
        Self { text: text.into(), file: Some(file.into()) }
    }

    /// The text, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.text
    }

    /// Whether `guess` is the text. It takes the same time for any guess of one length. No guess is an empty text.
    pub fn matches(&self, guess: &str) -> bool {
        // Of the same length for both, whatever the guess.
        let digest = |text: &str| {
            Hmac::<Sha256>::new_from_slice(b"guess").expect("a key may have any length").chain_update(text)
        };
        let expected = digest(&self.text).finalize().into_bytes();
        !self.text.is_empty() && digest(guess).verify_slice(&expected).is_ok()
    }

    /// The file that holds it; `None` if it stands in the configuration itself.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_whole_text_matches() {
        let secret = Secret::new("0123456789abcdefghij");
        assert!(secret.matches("0123456789abcdefghij"));
        let long = "x".repeat(100_000);
        for guess in [
            "",
            "0123456789abcdefghi",
            "0123456789abcdefghijk",
            "0123456789ABCDEFGHIJ",
            " 0123456789abcdefghij",
            "0123456789abcdefghij\0",
            &long,
        ] {
            assert!(!secret.matches(guess), "{guess:.30}");
        }
        assert!(!Secret::new("").matches(""), "where no secret was read there is none");
    }

    #[test]
    fn debug_hides_the_text_however_deep_it_sits() {
        let nested = Some(vec![Secret::new("xoxb-hunter2")]);
        assert_eq!(format!("{nested:?}"), "Some([[secret]])");
        assert!(!format!("{nested:#?}").contains("hunter2"));
    }
}
