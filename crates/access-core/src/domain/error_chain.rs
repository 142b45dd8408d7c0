//! How errors and waits read in one log line.

use std::error::Error;
use std::time::Duration;

/// An error and its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&error.to_string());
        cause = error.source();
    }
    line
}

/// A wait in seconds, rounded to the tenth.
pub fn seconds(wait: Duration) -> f64 {
    (wait.as_secs_f64() * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Outer(std::io::Error);

    impl std::fmt::Display for Outer {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("cannot open the file")
        }
    }

    impl Error for Outer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&self.0)
        }
    }

    #[test]
    fn the_causes_follow_the_error_on_its_line() {
        assert_eq!(
            chain(&Outer(std::io::Error::other("disk on fire"))),
            "cannot open the file: disk on fire"
        );
        assert_eq!(seconds(Duration::from_millis(1_449)), 1.4);
    }
}
