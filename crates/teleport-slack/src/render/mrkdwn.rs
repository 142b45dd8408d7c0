//! Slack's markup as a reader sees it: which stretch is bold, a link, a date. Only to look at: what is safe to send,
//! `access_core::render` decides.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// How a stretch looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Emphasis {
    pub(super) bold: bool,
    pub(super) italic: bool,
    pub(super) strike: bool,
    pub(super) code: bool,
    pub(super) link: bool,
    pub(super) dim: bool,
    /// A color of the terminal, as its code.
    pub(super) color: Option<u8>,
}

/// A stretch of one look, without markup. It may hold line breaks, and characters that no terminal may get.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) text: String,
    pub(super) emphasis: Emphasis,
}

/// Where and when the reader is.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) zone: TimeZone,
    pub(crate) now: Timestamp,
}

/// The stretches of a `mrkdwn` text.
pub(super) fn spans(text: &str, reader: &Reader, emphasis: Emphasis) -> Vec<Span> {
    let mut out = Vec::new();
    let mut plain = String::new();
    let mut left = text;
    while let Some(c) = left.chars().next() {
        let before = plain.chars().next_back();
        let (width, inner) = match c {
            '<' => (1, left[1..].find('>').map(|end| &left[1..=end])),
            '`' => (1, left[1..].find('`').filter(|end| *end > 0).map(|end| &left[1..=end])),
            '*' | '_' | '~' if !before.is_some_and(|c| c.is_ascii_alphanumeric()) => (1, emphasized(left, c)),
            c => (c.len_utf8(), None),
        };
        let Some(inner) = inner else {
            plain.push(c);
            left = &left[width..];
            continue;
        };
        flush(&mut out, &mut plain, emphasis);
        match c {
            '<' => out.push(entity(inner, reader, emphasis)),
            '`' => out.push(Span { text: unescaped(inner), emphasis: Emphasis { code: true, ..emphasis } }),
            '*' => out.extend(spans(inner, reader, Emphasis { bold: true, ..emphasis })),
            '_' => out.extend(spans(inner, reader, Emphasis { italic: true, ..emphasis })),
            _ => out.extend(spans(inner, reader, Emphasis { strike: true, ..emphasis })),
        }
        left = &left[inner.len() + 2..];
    }
    flush(&mut out, &mut plain, emphasis);
    out
}

fn flush(out: &mut Vec<Span>, plain: &mut String, emphasis: Emphasis) {
    if !plain.is_empty() {
        out.push(Span { text: unescaped(&std::mem::take(plain)), emphasis });
    }
}

/// What stands between this mark and the one that closes it on the same line.
fn emphasized(text: &str, mark: char) -> Option<&str> {
    let line = text.lines().next()?;
    let inner = &line[1..];
    if inner.starts_with(char::is_whitespace) {
        return None;
    }
    let closes = |(at, _): &(usize, &str)| {
        let after = inner[at + 1..].chars().next();
        let is_after_space = inner[..*at].ends_with(char::is_whitespace);
        *at > 0 && !is_after_space && !after.is_some_and(|c| c.is_ascii_alphanumeric())
    };
    inner.match_indices(mark).find(closes).map(|(at, _)| &inner[..at])
}

fn unescaped(text: &str) -> String {
    text.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&")
}

/// What stands between `<` and `>`.
fn entity(inner: &str, reader: &Reader, emphasis: Emphasis) -> Span {
    let (target, label) =
        inner.split_once('|').map_or((inner, None), |(target, label)| (target, Some(label)));
    if let Some(date) = target.strip_prefix("!date^") {
        let shown = date.split_once('^').and_then(|(seconds, format)| {
            let at = Timestamp::from_second(seconds.parse().ok()?).ok()?;
            Some(date_text(at, format, reader))
        });
        let text = shown.unwrap_or_else(|| unescaped(label.unwrap_or(target)));
        return Span { text, emphasis };
    }
    let text = match (target.chars().next(), label) {
        (Some('@'), label) => format!("@{}", label.unwrap_or(&target[1..])),
        (Some('#'), label) => format!("#{}", label.unwrap_or(&target[1..])),
        (Some('!'), label) => format!("@{}", label.unwrap_or(&target[1..]).trim_start_matches('@')),
        (_, label) => label.unwrap_or(target).to_owned(),
    };
    Span { text: unescaped(&text), emphasis: Emphasis { link: true, ..emphasis } }
}

/// A date as Slack writes it for a reader in English: `today 6:55 AM`, `Nov 27, 2026 6:55 AM`.
fn date_text(at: Timestamp, format: &str, reader: &Reader) -> String {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let local = reader.zone.to_datetime(at);
    let today = reader.zone.to_datetime(reader.now).date();
    let month = MONTHS[usize::from(local.month().unsigned_abs()) - 1];
    let date = format!("{month} {}, {}", local.day(), local.year());
    let is_on = |day: Result<jiff::civil::Date, jiff::Error>| day.is_ok_and(|day| day == local.date());
    let pretty = if local.date() == today {
        "today".to_owned()
    } else if is_on(today.yesterday()) {
        "yesterday".to_owned()
    } else if is_on(today.tomorrow()) {
        "tomorrow".to_owned()
    } else {
        date.clone()
    };
    let half = if local.hour() < 12 { "AM" } else { "PM" };
    let hour = (local.hour() + 11) % 12 + 1;
    let time = format!("{hour}:{:02} {half}", local.minute());
    format.replace("{date_short_pretty}", &pretty).replace("{date_short}", &date).replace("{time}", &time)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader { zone: TimeZone::fixed(jiff::tz::offset(2)), now: "2026-11-27T23:30:00Z".parse().unwrap() }
    }

    /// Each stretch between brackets, with the letters of its look.
    fn seen(text: &str) -> String {
        let one = |Span { text, emphasis }: &Span| {
            let marks = [
                (emphasis.bold, 'b'),
                (emphasis.italic, 'i'),
                (emphasis.strike, 's'),
                (emphasis.code, 'c'),
                (emphasis.link, 'l'),
            ];
            let marks: String = marks.iter().filter(|(is, _)| *is).map(|(_, mark)| mark).collect();
            if marks.is_empty() { text.clone() } else { format!("{marks}[{text}]") }
        };
        spans(text, &reader(), Emphasis::default()).iter().map(one).collect()
    }

    #[test]
    fn marks_become_looks() {
        assert_eq!(seen("*ID*: 7, *User*: a_b_c"), "b[ID]: 7, b[User]: a_b_c");
        assert_eq!(seen("_x_ ~y~ `a*b*c` *a `b` c*"), "i[x] s[y] c[a*b*c] b[a ]bc[b]b[ c]");
        assert_eq!(
            seen("2 * 3 * 4, * a*, snake_case_name, *a\nb*, ** and ``"),
            "2 * 3 * 4, * a*, snake_case_name, *a\nb*, ** and ``"
        );
        assert_eq!(seen("&lt;!channel&gt; &amp;amp; `&lt;`"), "<!channel> &amp; c[<]");
    }

    #[test]
    fn entities_are_what_a_reader_sees() {
        assert_eq!(
            seen("<https://a.example/b?c=1&amp;d> <https://a|click>"),
            "l[https://a.example/b?c=1&d] l[click]"
        );
        assert_eq!(
            seen("<@U0BOB> <#C1|team> <!channel> <!subteam^S1|@ops>"),
            "l[@U0BOB] l[#team] l[@channel] l[@ops]"
        );
        assert_eq!(seen("a < b, <"), "a < b, <");
    }

    #[test]
    fn dates_are_in_the_zone_of_the_reader() {
        let date = |seconds: i64, format: &str| seen(&format!("<!date^{seconds}^{format}|fallback>"));
        // 28 November, 01:30 there.
        assert_eq!(date(1_795_822_200, "{date_short_pretty} {time}"), "today 1:30 AM");
        assert_eq!(date(1_795_822_200 - 7_200, "{date_short_pretty} {time}"), "yesterday 11:30 PM");
        assert_eq!(date(1_795_822_200 + 86_400, "{date_short_pretty} {time}"), "tomorrow 1:30 AM");
        assert_eq!(date(1_795_822_200 + 12 * 3_600, "{date_short} {time}"), "Nov 28, 2026 1:30 PM");
        assert_eq!(seen("<!date^x^{time}|22 Nov 26 15:59 UTC>"), "22 Nov 26 15:59 UTC");
    }
}
