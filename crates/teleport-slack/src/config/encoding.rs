//! Files that cannot be TOML for how they are encoded: in another way than UTF-8, or with control characters.

use std::fmt;

use access_core::domain::unseen::Unseen;

use super::lines::Lines;
use super::report::Report;

const UTF_16: &str = "this is UTF-16 text";
const SAVE: &str = "save the file as UTF-8";

/// Why the bytes of a file are not UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotUtf8 {
    /// They begin with the byte order mark of UTF-16.
    Utf16,
    /// A byte that does not belong there; most likely a letter in an encoding of one byte for each.
    Byte {
        /// The byte.
        byte: u8,
        /// Its line, from 1.
        line: usize,
        /// Which character of its line it would be, from 1.
        column: usize,
    },
}

impl fmt::Display for NotUtf8 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Utf16 => f.write_str(UTF_16),
            Self::Byte { byte, line, column } => {
                write!(f, "there is the byte 0x{byte:02X} in line {line}, column {column}")
            }
        }
    }
}

/// The text of a file.
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, NotUtf8> {
    String::from_utf8(bytes).map_err(|error| {
        let bytes = error.as_bytes();
        if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
            return NotUtf8::Utf16;
        }
        let (good, bad) = bytes.split_at(error.utf8_error().valid_up_to());
        let good = String::from_utf8_lossy(good);
        let lines = Lines::new(&good);
        let (line, column) = (lines.line(good.len()), lines.column(&good, good.len()));
        NotUtf8::Byte { byte: bad.first().copied().unwrap_or_default(), line, column }
    })
}

/// Whether the text has control characters, of which TOML allows none but tabs and line ends; then they are reported.
pub(super) fn report_control_characters(text: &str, report: &mut Report) -> bool {
    let nuls = text.bytes().filter(|byte| *byte == 0).count();
    if nuls > text.len() / 4 {
        report.key_error(Some(1), "", UTF_16, SAVE);
        return true;
    }
    if text.contains('\r') && !text.contains('\n') {
        let cause = "its lines end with U+000D alone, which ends no line in TOML";
        report.key_error(Some(1), "", cause, "save the file with the line ends of Unix or Windows");
        return true;
    }
    let mut found = false;
    for (index, line) in text.split('\n').enumerate() {
        let line = line.strip_suffix('\r').unwrap_or(line);
        let is_forbidden = |c: char| c.is_ascii_control() && c != '\t';
        if let Some((column, c)) = line.chars().enumerate().find(|(_, c)| is_forbidden(*c)) {
            let what = Unseen::of(c).map(Unseen::description).unwrap_or_default();
            let cause = format!("column {}: {what}", column + 1);
            report.key_error(Some(index + 1), "", cause, "delete this character, or type the line again");
            found = true;
        }
    }
    found
}
