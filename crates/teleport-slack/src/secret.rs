//! A text that must not be printed: tokens and signing secrets.
//!
//! It has no `Display`, and `Debug` hides it, so it can sit in any structure that is logged. Whoever needs the
//! text says so with [`Secret::expose`], which is easy to search for.

use std::fmt;

/// A token or a signing secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Wraps the text as it is.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for the one place that sends or compares it.
    pub fn expose(&self) -> &str {
        &self.0
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
    fn debug_hides_the_text_however_deep_it_sits() {
        let nested = Some(vec![Secret::new("xoxb-hunter2")]);
        assert_eq!(format!("{nested:?}"), "Some([[secret]])");
        assert!(!format!("{nested:#?}").contains("hunter2"));
    }
}
