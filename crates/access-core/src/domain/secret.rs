//! A text that must not be printed: tokens and signing secrets.
//!
//! It has no `Display`, and `Debug` hides it, so it can sit in any structure that is logged. Code that
//! needs the text calls [`Secret::expose`], which is easy to search for.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

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
    fn debug_hides_the_text_however_deep_it_sits() {
        let nested = Some(vec![Secret::new("xoxb-hunter2")]);
        assert_eq!(format!("{nested:?}"), "Some([[secret]])");
        assert!(!format!("{nested:#?}").contains("hunter2"));
    }
}
