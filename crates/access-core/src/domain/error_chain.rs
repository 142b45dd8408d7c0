//! How errors and waits read in one log line.

use std::error::Error;
use std::time::Duration;

/// An error and its causes on one line.
pub fn chain(error: &dyn Error) -> String {
    let mut line = words(error);
    let mut cause = error.source();
    while let Some(error) = cause {
        line.push_str(": ");
        line.push_str(&words(error));
        cause = error.source();
    }
    line
}

/// What the error says; of one of the system, the same words whichever C library the program is built with.
fn words(error: &dyn Error) -> String {
    let text = error.to_string();
    let known = || {
        let (said, code) = text.strip_suffix(')')?.split_once(" (os error ")?;
        let words = words_of_system(code)?;
        (!said.contains(':')).then(|| format!("{words} (os error {code})"))
    };
    known().unwrap_or(text)
}

/// The words of the GNU C library for those errors of Linux that musl's has others for.
fn words_of_system(code: &str) -> Option<&'static str> {
    Some(match code {
        "5" => "Input/output error",
        "12" => "Cannot allocate memory",
        "16" => "Device or resource busy",
        "24" => "Too many open files",
        "36" => "File name too long",
        "40" => "Too many levels of symbolic links",
        "98" => "Address already in use",
        "99" => "Cannot assign requested address",
        "101" => "Network is unreachable",
        "103" => "Software caused connection abort",
        "110" => "Connection timed out",
        "113" => "No route to host",
        "122" => "Disk quota exceeded",
        _ => return None,
    })
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

    /// Both C libraries are asked: the release is built with musl's.
    #[test]
    fn an_error_of_the_system_reads_the_same_whatever_the_program_is_built_with() {
        for (code, words) in [
            (2, "No such file or directory"),
            (5, "Input/output error"),
            (12, "Cannot allocate memory"),
            (13, "Permission denied"),
            (16, "Device or resource busy"),
            (20, "Not a directory"),
            (21, "Is a directory"),
            (24, "Too many open files"),
            (28, "No space left on device"),
            (30, "Read-only file system"),
            (36, "File name too long"),
            (40, "Too many levels of symbolic links"),
            (98, "Address already in use"),
            (99, "Cannot assign requested address"),
            (101, "Network is unreachable"),
            (103, "Software caused connection abort"),
            (104, "Connection reset by peer"),
            (110, "Connection timed out"),
            (111, "Connection refused"),
            (113, "No route to host"),
            (122, "Disk quota exceeded"),
        ] {
            let error = Outer(std::io::Error::from_raw_os_error(code));
            assert_eq!(chain(&error), format!("cannot open the file: {words} (os error {code})"));
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
