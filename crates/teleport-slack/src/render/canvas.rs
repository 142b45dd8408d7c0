//! Lines for the terminal: wrapped where a reader would, styled where the terminal can, and with nothing in them that moves
//! its cursor.

use access_core::domain::text::escape_line;
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::mrkdwn::{Emphasis, Span};
use crate::check::output::Style;

/// Holds words together and is shown as a space. No text that is drawn has it: Slack's texts have one space for any white space.
pub(super) const TIE: char = '\u{a0}';

/// A page of a width.
#[derive(Clone, Debug)]
pub(crate) struct Canvas {
    pub(crate) style: Style,
    /// In columns of the terminal, for text; at least 20.
    pub(crate) width: usize,
    pub(crate) out: String,
}

/// What the eye takes for one character.
#[derive(Clone)]
struct Cell {
    text: String,
    emphasis: Emphasis,
    width: usize,
}

impl Canvas {
    /// A line as it is, in one look.
    pub(super) fn line(&mut self, text: &str, emphasis: Emphasis) {
        self.spans("", &[Span { text: text.to_owned(), emphasis }]);
    }

    pub(super) fn blank(&mut self) {
        self.out.push('\n');
    }

    /// A heading with a rule up to the right edge.
    pub(super) fn heading(&mut self, text: &str) {
        let rule = if self.style.unicode { "─" } else { "-" };
        let text = escape_line(text);
        let used = text.width() + 4;
        let rest = rule.repeat(self.width.saturating_sub(used).max(2));
        self.line(
            &format!("{0}{0} {text} {rest}", rule).replace(' ', &TIE.to_string()),
            Emphasis { bold: true, ..Emphasis::default() },
        );
    }

    /// Text of any length, each of its lines wrapped, behind a margin.
    pub(super) fn spans(&mut self, margin: &str, spans: &[Span]) {
        let margin = self.shown(margin);
        let room = self.width.saturating_sub(margin.width()).max(1);
        for line in lines(spans) {
            for row in wrap(&self.cells(&line), room) {
                let row = format!("{margin}{}", self.row(&row));
                self.out.push_str(row.trim_end());
                self.out.push('\n');
            }
        }
    }

    fn cells(&self, spans: &[Span]) -> Vec<Cell> {
        let mut cells = Vec::new();
        for Span { text, emphasis } in spans {
            let shown = self.shown(&escape_line(text));
            // Without colors, ticks say what the shade would.
            let ticks = if emphasis.code && !self.style.color { "`" } else { "" };
            let shown = format!("{ticks}{shown}{ticks}");
            cells.extend(shown.graphemes(true).map(|cell| Cell {
                text: cell.to_owned(),
                emphasis: *emphasis,
                width: cell.width(),
            }));
        }
        cells
    }

    /// With signs that the terminal can show.
    fn shown(&self, text: &str) -> String {
        if self.style.unicode {
            return text.to_owned();
        }
        let ascii = |c: char| match c {
            '…' => "...".to_owned(),
            '│' => "|".to_owned(),
            '“' | '”' => "\"".to_owned(),
            '—' | '–' => "-".to_owned(),
            TIE => TIE.to_string(),
            c if c.is_ascii() => c.to_string(),
            _ => "?".to_owned(),
        };
        text.chars().map(ascii).collect()
    }

    fn row(&self, row: &[Cell]) -> String {
        let mut out = String::new();
        for same in row.chunk_by(|one, next| one.emphasis == next.emphasis) {
            let text: String = same.iter().map(|cell| cell.text.replace(TIE, " ")).collect();
            let codes = codes(same[0].emphasis);
            if self.style.color && !codes.is_empty() {
                out.push_str(&format!("\u{1b}[{codes}m{text}\u{1b}[0m"));
            } else {
                out.push_str(&text);
            }
        }
        out
    }
}

/// The codes that a terminal takes for a look.
fn codes(emphasis: Emphasis) -> String {
    let flags = [
        (emphasis.bold, 1),
        (emphasis.dim, 2),
        (emphasis.italic, 3),
        (emphasis.link, 4),
        (emphasis.strike, 9),
    ];
    let flags = flags.into_iter().filter(|(is_on, _)| *is_on).map(|(_, code)| code);
    let color = emphasis.color.or(emphasis.code.then_some(36));
    let codes: Vec<_> = flags.chain(color).map(|code: u8| code.to_string()).collect();
    codes.join(";")
}

/// The stretches of each line.
fn lines(spans: &[Span]) -> Vec<Vec<Span>> {
    let mut lines = vec![Vec::new()];
    for Span { text, emphasis } in spans {
        for (n, part) in text.split('\n').enumerate() {
            if n > 0 {
                lines.push(Vec::new());
            }
            if let Some(line) = lines.last_mut().filter(|_| !part.is_empty()) {
                line.push(Span { text: part.to_owned(), emphasis: *emphasis });
            }
        }
    }
    // A text mostly ends with a line break, which shows nothing.
    while lines.len() > 1 && lines.last().is_some_and(Vec::is_empty) {
        lines.pop();
    }
    lines
}

/// Rows of at most `room` columns, broken at spaces; a word that is longer is broken anywhere.
fn wrap(cells: &[Cell], room: usize) -> Vec<Vec<Cell>> {
    let width = |cells: &[Cell]| cells.iter().map(|cell| cell.width).sum::<usize>();
    let mut rows = vec![Vec::new()];
    let mut used = 0;
    for word in cells.split_inclusive(|cell| cell.text == " ") {
        let bare = word.strip_suffix_space();
        if used > 0 && used + width(bare) > room {
            rows.push(Vec::new());
            used = 0;
        }
        for cell in word {
            if used > 0 && used + cell.width > room && cell.text != " " {
                rows.push(Vec::new());
                used = 0;
            }
            if let Some(row) = rows.last_mut() {
                row.push(cell.clone());
            }
            used += cell.width;
        }
    }
    rows
}

trait Word {
    /// Without the space that ends it.
    fn strip_suffix_space(&self) -> &Self;
}

impl Word for [Cell] {
    fn strip_suffix_space(&self) -> &Self {
        match self {
            [word @ .., last] if last.text == " " => word,
            word => word,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drawn(width: usize, color: bool, unicode: bool, text: &str) -> String {
        let mut canvas = Canvas { style: Style { color, unicode }, width, out: String::new() };
        canvas.spans(
            "│ ",
            &[Span { text: text.to_owned(), emphasis: Emphasis { bold: color, ..Emphasis::default() } }],
        );
        canvas.out
    }

    #[test]
    fn text_is_wrapped_by_columns() {
        assert_eq!(drawn(10, false, true, "one two three\nfour"), "│ one two\n│ three\n│ four\n");
        assert_eq!(drawn(10, false, true, "abcdefghijk lm"), "│ abcdefgh\n│ ijk lm\n");
        // Each sign is two columns wide.
        assert_eq!(drawn(10, false, true, "日本語日本 x"), "│ 日本語日\n│ 本 x\n");
        assert_eq!(
            drawn(10, true, true, "two is three"),
            "│ \u{1b}[1mtwo is \u{1b}[0m\n│ \u{1b}[1mthree\u{1b}[0m\n"
        );
        assert_eq!(drawn(10, false, true, ""), "│\n");
    }

    #[test]
    fn nothing_moves_the_cursor_or_turns_the_line() {
        let hostile = "a\u{1b}[2Jb\u{9b}31m\u{202e}c\u{7}\rd\u{0}";
        let shown = drawn(80, false, true, hostile);
        assert_eq!(shown, "│ a\\u{1b}[2Jb\\u{9b}31m\\u{202e}c\\u{7}\\rd\\u{0}\n");
        assert_eq!(drawn(80, false, false, "é “x” … ⏳"), "| ? \"x\" ... ?\n");
    }
}
