//! A value that is never printed: tokens, signing secrets, keys.
//!
//! It does not load values (see `config`) and does not wipe memory: whoever can read this process's memory can
//! also read what it sends.

use std::fmt;

/// Holds a secret. It has no `Display`, and its `Debug` says only that something is there.
#[derive(Clone)]
pub struct Secret<T>(T);

impl<T> Secret<T> {
    /// Takes the value in.
    pub fn new(value: T) -> Self {
        Self(value)
    }

    /// Hands the value out. Every call is a place where the secret could leak, so keep them few.
    pub fn expose(&self) -> &T {
        &self.0
    }
}

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_says_nothing_about_the_value() {
        let secret = Secret::new(String::from("xoxb-1"));
        assert_eq!(format!("{secret:?} {secret:#?}"), "[secret] [secret]");
        assert_eq!(secret.expose(), "xoxb-1");
    }
}
