//! Standard error as systemd's journal, which takes the priority of each line from its beginning (`sd-daemon(3)`) and stamps
//! the time itself.

use std::io::{self, Write};

use tracing::Level;

/// Whether standard error leads to the journal: systemd names the stream, and a redirection since then counts.
/// `systemd.exec(5)`, `$JOURNAL_STREAM`.
pub fn is_stderr() -> bool {
    let named = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    rustix::fs::fstat(io::stderr()).is_ok_and(|stat| is_stream(&named, stat.st_dev, stat.st_ino))
}

/// Whether the stream that is named `device:inode` is this one.
fn is_stream(named: &str, device: u64, inode: u64) -> bool {
    named.split_once(':').is_some_and(|(named_device, named_inode)| {
        named_device.parse() == Ok(device) && named_inode.parse() == Ok(inode)
    })
}

/// What a line of this level begins with, so that the journal knows its priority (`syslog(3)`).
pub fn prefix(level: Level) -> &'static str {
    match level {
        Level::ERROR => "<3>",
        Level::WARN => "<4>",
        Level::INFO => "<6>",
        _ => "<7>",
    }
}

/// Writes an error to standard error, each line with its priority if that is the journal. A closed stderr is nothing to fail
/// about.
pub fn write_error(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = match is_stderr() {
        true => stderr.write_all(prefixed(text, Level::ERROR).as_bytes()),
        false => stderr.write_all(text.as_bytes()),
    };
    let _ = stderr.flush();
}

/// Each line with its priority; the journal drops empty ones.
fn prefixed(text: &str, level: Level) -> String {
    text.lines().filter(|line| !line.is_empty()).map(|line| format!("{}{line}\n", prefix(level))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_stream_that_is_named_is_the_journal() {
        assert!(is_stream("9:4711", 9, 4711));
        for other in ["", ":", "9", "9:4712", "8:4711", "4711:9", "9:4711 ", "9:4711:1", "x:4711", "-9:4711"]
        {
            assert!(!is_stream(other, 9, 4711), "{other:?}");
        }
    }

    #[test]
    fn every_line_of_a_text_has_the_priority() {
        assert_eq!(
            prefixed("error: x:\n  line 3\n\n  line 4", Level::ERROR),
            "<3>error: x:\n<3>  line 3\n<3>  line 4\n"
        );
        let levels = [Level::ERROR, Level::WARN, Level::INFO, Level::DEBUG, Level::TRACE];
        assert_eq!(levels.map(prefix), ["<3>", "<4>", "<6>", "<7>", "<7>"]);
    }
}
