//! Slack's markup as a value: [`Mrkdwn`] takes our own words as they are and everything foreign cleaned,
//! escaped and cut, so that no foreign text can mention, link, emphasize, begin a line of its own or break a limit.
//!
//! The private module `sanitize` decides which characters are allowed, `disarm` what would imitate us. What a message
//! says is in [`super::request_message`] and [`super::thread_reply`].

use jiff::Timestamp;
use jiff::tz::Offset;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use unicode_segmentation::UnicodeSegmentation;

use super::disarm::without_emphasis;
use super::sanitize::{ELLIPSIS, sanitize};

/// Stands where a text would be empty, which Slack refuses.
pub(super) const EMPTY: &str = "—";

/// Longest text of one block. Slack says "characters"; UTF-16 units are the largest thing that can mean.
const MAX_UNITS: usize = 3_000;
/// Longest address that is linked.
const MAX_URL: usize = 300;
/// Slack names no last date; up to 2106 every client's integer bears it.
const MAX_SLACK_SECONDS: i64 = u32::MAX as i64;

/// Finished markup of at most 3,000 UTF-16 units.
///
/// A foreign piece is cut to the room that is left; any other piece that does not fit is left out whole, so
/// that no link or entity is ever cut. Callers give each foreign piece a share such that this does not happen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mrkdwn {
    text: String,
    units: usize,
}

/// How much of a list is shown.
#[derive(Clone, Copy, Debug)]
pub struct ListLimits {
    /// The text between two items.
    pub separator: &'static str,
    /// How many items are shown at most; the rest is counted.
    pub items: usize,
    /// Most UTF-16 units of one item.
    pub each: usize,
    /// Most UTF-16 units of the whole, "+N more" included.
    pub total: usize,
}

impl Mrkdwn {
    /// The markup as sent to Slack.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether nothing was added.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Adds words of this program, markup included. `'static` keeps foreign text out.
    pub fn trusted(&mut self, words: &'static str) -> &mut Self {
        self.push(words)
    }

    /// Adds a number.
    pub fn number(&mut self, number: usize) -> &mut Self {
        self.push(&number.to_string())
    }

    /// Adds foreign text on the same line: cleaned, escaped, without emphasis, cut to `max` UTF-16 units.
    pub fn untrusted(&mut self, text: &str, max: usize) -> &mut Self {
        let max = max.min(self.remaining());
        let mut clean = sanitize(text, max);
        let starts_a_line = self.text.is_empty() || self.text.ends_with('\n');
        if starts_a_line && clean.starts_with('>') {
            // Even escaped, it would turn the line, or with three of them the rest of the message, into a quote.
            clean.replace_range(..1, "›");
        }
        self.push(&without_emphasis(&truncate_escaped(&clean, max)))
    }

    /// Adds foreign text as a code span of at most `max` UTF-16 units, ticks included; nothing if it is empty.
    pub fn code(&mut self, text: &str, max: usize) -> &mut Self {
        let max = max.min(self.remaining()).saturating_sub(2);
        let inner = truncate_escaped(&sanitize(text, max), max);
        if inner.is_empty() { self } else { self.push(&format!("`{inner}`")) }
    }

    /// Adds finished markup, if it fits.
    pub(super) fn finished(&mut self, text: &Self) -> &mut Self {
        self.push(&text.text)
    }

    /// Adds a link that shows its own address.
    pub fn link(&mut self, url: &WebUrl) -> &mut Self {
        self.push(&format!("<{}>", url.0))
    }

    /// Adds a moment, shown in the reader's own time zone (`today 6:55 AM`); UTC where Slack cannot show the date.
    pub fn date(&mut self, at: Timestamp) -> &mut Self {
        self.push_date(at, "{date_short_pretty} {time}")
    }

    /// The same for the middle of a sentence: the day is always a date, never `today`.
    pub fn date_in_full(&mut self, at: Timestamp) -> &mut Self {
        self.push_date(at, "{date_short} {time}")
    }

    /// The same to the second.
    pub fn date_to_the_second(&mut self, at: Timestamp) -> &mut Self {
        self.push_date(at, "{date_short} {time_secs}")
    }

    fn push_date(&mut self, at: Timestamp, format: &'static str) -> &mut Self {
        let utc = utc(at);
        let seconds = at.as_second();
        if (0..=MAX_SLACK_SECONDS).contains(&seconds) {
            self.push(&format!("<!date^{seconds}^{format}|{utc}>"))
        } else {
            self.push(&utc)
        }
    }

    /// Adds foreign items: `a, b, c, +37 more`.
    pub fn list<I>(&mut self, items: I, room: ListLimits) -> &mut Self
    where
        I: IntoIterator<Item: AsRef<str>, IntoIter: ExactSizeIterator>,
    {
        let items = items.into_iter();
        let count = items.len();
        let total = room.total.min(self.remaining());
        let separator = utf16_len(room.separator);
        let mut list = String::new();
        let mut used = 0;
        for (index, item) in items.enumerate() {
            let left = count - index;
            let text = without_emphasis(&truncate_escaped(&sanitize(item.as_ref(), room.each), room.each));
            let gap = if index == 0 { 0 } else { separator };
            let needed = gap + utf16_len(&text);
            let tail = if left > 1 { separator + utf16_len(&more(left - 1)) } else { 0 };
            if index > 0 {
                list.push_str(room.separator);
            }
            if index >= room.items || used + needed + tail > total {
                list.push_str(&more(left));
                break;
            }
            list.push_str(&text);
            used += needed;
        }
        self.push(&list)
    }

    fn remaining(&self) -> usize {
        MAX_UNITS - self.units
    }

    fn push(&mut self, piece: &str) -> &mut Self {
        let units = utf16_len(piece);
        if units <= self.remaining() {
            self.text.push_str(piece);
            self.units += units;
        }
        self
    }
}

/// As Slack's text object. `verbatim`: nothing is linked that we did not link.
impl Serialize for Mrkdwn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut object = serializer.serialize_struct("Text", 3)?;
        object.serialize_field("type", "mrkdwn")?;
        object.serialize_field("text", &self.text)?;
        object.serialize_field("verbatim", &true)?;
        object.end()
    }
}

/// An `http` or `https` address that is safe between `<` and `>` in Slack's markup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebUrl(String);

impl WebUrl {
    /// Reads `host`, `host:port` or either with a scheme and a path; without a scheme it is `https`. `None` if
    /// it is not plainly such an address: user names, queries, fragments, escapes and anything longer than 300
    /// bytes are refused. The port that the scheme stands for is left out.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme @ ("http" | "https"), rest)) => (scheme, rest),
            Some(_) => return None,
            None => ("https", text),
        };
        let (authority, path) = rest.split_once('/').map_or((rest, None), |(host, path)| (host, Some(path)));
        let path_is_plain = path
            .unwrap_or_default()
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '/' | '-' | '.' | '_' | '~'));
        if !is_authority(authority) || !path_is_plain || rest.len() > MAX_URL {
            return None;
        }
        let usual = if scheme == "https" { ":443" } else { ":80" };
        let authority = authority.strip_suffix(usual).unwrap_or(authority);
        let (slash, path) = path.map_or(("", ""), |path| ("/", path));
        Some(Self(format!("{scheme}://{authority}{slash}{path}")))
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_authority(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, "")) => return address.parse::<std::net::Ipv6Addr>().is_ok(),
        Some((address, port)) => {
            return address.parse::<std::net::Ipv6Addr>().is_ok()
                && port.strip_prefix(':').is_some_and(is_port);
        }
        None => authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port))),
    };
    let host_is_plain = host.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_'));
    host_is_plain && host.starts_with(|c: char| c.is_ascii_alphanumeric()) && port.is_none_or(is_port)
}

fn is_port(text: &str) -> bool {
    text.chars().all(|c| c.is_ascii_digit()) && text.parse::<u16>().is_ok_and(|port| port != 0)
}

/// Escapes Slack's three control characters, and nothing else.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Escapes `clean` and cuts it to `max` UTF-16 units, between graphemes, with `…` if anything is lost.
fn truncate_escaped(clean: &str, max: usize) -> String {
    truncate_with(clean, max, escape)
}

/// Cuts `clean` to `max` UTF-16 units as [`truncate_escaped`] does, where nothing needs escaping.
pub(super) fn truncate_plain(clean: &str, max: usize) -> String {
    truncate_with(clean, max, str::to_owned)
}

fn truncate_with(clean: &str, max: usize, write: impl Fn(&str) -> String) -> String {
    let mut out = String::new();
    let (mut units, mut keep) = (0, 0);
    for grapheme in clean.graphemes(true) {
        if units < max {
            keep = out.len();
        }
        let piece = write(grapheme);
        units += utf16_len(&piece);
        if units > max {
            out.truncate(keep);
            out.truncate(out.trim_end().len());
            if max > 0 {
                out.push(ELLIPSIS);
            }
            break;
        }
        out.push_str(&piece);
    }
    out
}

fn more(count: usize) -> String {
    format!("+{count} more")
}

pub(super) fn utf16_len(text: &str) -> usize {
    text.encode_utf16().count()
}

/// `22 Nov 26 15:59 UTC`; the year in full where two digits would mislead.
fn utc(at: Timestamp) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let at = Offset::UTC.to_datetime(at);
    let month = MONTHS[usize::from(at.month().unsigned_abs()) - 1];
    let year = match at.year() {
        year @ 1970..=2069 => format!("{:02}", year % 100),
        year => year.to_string(),
    };
    format!("{:02} {month} {year} {:02}:{:02} UTC", at.day(), at.hour(), at.minute())
}

#[cfg(test)]
mod tests;
