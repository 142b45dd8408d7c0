//! Foreign text that imitates ours, made visibly something else: emphasis, labels, the signs of a status.
//!
//! Slack's markup has no escape for `*`, `_` and `~`, and an invisible character beside them makes Slack more willing
//! to style, not less. So a mark that could style is shown as a sign that looks alike and does nothing; one inside a
//! word, as in `svc_backup`, never styles and stays. The reasons: `docs/decisions/0007-foreign-emphasis.md`.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;

use crate::domain::look_alike::plain;

/// The letters of what stands before a value in a message, a reply or a modal, in small letters. The tests hold it against what
/// is drawn.
const LABELS: [&str; 16] = [
    "id",
    "cluster",
    "user",
    "roles",
    "reason",
    "link",
    "approve",
    "deny",
    "status",
    "resources",
    "accessuntil",
    "starts",
    "requestexpires",
    "kind",
    "resolution",
    "couldnotbetold",
];

/// What a colon after a label becomes, with a space before it.
const DASH: char = '–';

/// `c`, or what it would be without a style of its own: mathematical letters are bold, slanted or framed without any
/// markup, and the signs of a status are ours alone.
pub(super) fn unstyled(c: char) -> char {
    match c {
        '✅' => '✓',
        '❌' => '✗',
        '⏳' | '⌛' => '⧗',
        '⏫' => '⇈',
        '❔' => '?',
        '\u{1D400}'..='\u{1D7FF}' | '\u{2102}'..='\u{2134}' => base_letter(c),
        _ => c,
    }
}

/// What Unicode calls the compatibility decomposition, for letters that differ in their font only.
fn base_letter(c: char) -> char {
    const LETTERLIKE: &str = "ℂCℊgℋHℌHℍHℎhℐIℑIℒLℕNℙPℚQℛRℜRℝRℤZℨZℬBℭCℯeℰEℱFℳMℴo";
    const GREEK: &str = "ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡϴΣΤΥΦΧΨΩ∇αβγδεζηθικλμνξοπρςστυφχψω∂ϵϑϰϕϱϖ";
    let code = u32::from(c);
    let ascii = |first: u8, offset: u32| char::from(first + u8::try_from(offset).unwrap_or_default());
    match code {
        0x1D400..=0x1D6A3 => match (code - 0x1D400) % 52 {
            offset @ 0..26 => ascii(b'A', offset),
            offset => ascii(b'a', offset - 26),
        },
        0x1D6A4 => 'i',
        0x1D6A5 => 'j',
        0x1D6A8..=0x1D7C9 => {
            let offset = usize::try_from((code - 0x1D6A8) % 58).unwrap_or_default();
            GREEK.chars().nth(offset).unwrap_or(c)
        }
        0x1D7CE..=0x1D7FF => ascii(b'0', (code - 0x1D7CE) % 10),
        _ => LETTERLIKE.chars().skip_while(|known| *known != c).nth(1).unwrap_or(c),
    }
}

/// `line` without labels that look like ours: `Role(s): x` becomes `Role(s) – x`. A label of one word that names go on
/// after, as in `user:read`, stays. A colon at the beginning, or after marks only, goes too: words of ours stand before it.
pub(super) fn without_labels(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    let mut before = Letters::default();
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let goes_on = chars.peek().is_some_and(|c| c.is_ascii() && *c != ' ' && !is_emphasis_mark(*c));
        if is_colon(c) {
            before.read_on(&out);
            if before.are_marks_only && !goes_on {
                out.push(DASH);
                continue;
            }
            if before.end_with_label(goes_on) {
                out.truncate(out.trim_end().len());
                out.extend([' ', DASH]);
                continue;
            }
        }
        out.push(c);
    }
    out
}

/// What a reader makes out of a text at a glance: the letters and digits, in small letters, and ASCII where they look like that:
/// full-width, circled, raised, or of another alphabet. Blanks, marks and signs between them hide no label.
struct Letters {
    /// Each with whether it stands right behind the one before.
    letters: Vec<(char, bool)>,
    is_behind_letter: bool,
    are_marks_only: bool,
    /// Bytes of the text that were read.
    read: usize,
}

impl Default for Letters {
    fn default() -> Self {
        Self { letters: Vec::new(), is_behind_letter: false, are_marks_only: true, read: 0 }
    }
}

impl Letters {
    /// Reads what came to the text since; blanks at its end may have gone.
    fn read_on(&mut self, text: &str) {
        for c in text.get(self.read.min(text.len())..).unwrap_or_default().chars() {
            self.are_marks_only = self.are_marks_only && is_mark(c);
            // An accent is on the letter before it.
            for c in std::iter::once(c).nfkd().filter(|c| !is_combining_mark(*c)) {
                for c in folded(c).chars() {
                    if c.is_alphanumeric() {
                        self.letters.push((c, self.is_behind_letter));
                    }
                    self.is_behind_letter = c.is_alphanumeric();
                }
            }
        }
        self.read = text.len();
    }

    fn end_with_label(&self, goes_on: bool) -> bool {
        LABELS.iter().any(|label| {
            let Some(start) = self.letters.len().checked_sub(label.len()) else { return false };
            let end = self.letters.get(start..).unwrap_or_default();
            let is_label = end.iter().map(|(c, _)| *c).eq(label.chars());
            let begins_a_word = end.first().is_some_and(|(_, is_behind_letter)| !is_behind_letter);
            let is_one_word = end.iter().skip(1).all(|(_, is_behind_letter)| *is_behind_letter);
            is_label && begins_a_word && !(is_one_word && goes_on)
        })
    }
}

/// In small letters, and ASCII where it looks like that.
fn folded(c: char) -> String {
    match c.is_ascii() {
        true => c.to_ascii_lowercase().to_string(),
        false => plain(c).map_or_else(|| c.to_string(), |plain| plain.to_ascii_lowercase()),
    }
}

/// What may stand around a label as if it styled it: marks that style, spaces, and every sign and ornament that is not ASCII.
fn is_mark(c: char) -> bool {
    let is_ornament = || !c.is_ascii() && !c.is_alphanumeric() && !matches!(folded(c).as_str(), "(" | ")");
    c == ' ' || is_emphasis_mark(c) || is_ornament()
}

/// A mark that styles, or a sign that looks like one.
fn is_emphasis_mark(c: char) -> bool {
    matches!(c, '*' | '_' | '~' | '∗' | 'ˍ' | '∼' | 'ˋ')
}

/// A colon, or what looks like one: two dots above each other, in any script and any form.
fn is_colon(c: char) -> bool {
    let is_said_to_look_so = || {
        matches!(
            c,
            '：' | '﹕'
                | '︓'
                | '∶'
                | '꞉'
                | 'ː'
                | '˸'
                | '׃'
                | '܃'
                | '܄'
                | '\u{0589}'
                | '\u{0831}'
                | '\u{0903}'
                | '\u{0A83}'
                | '\u{1361}'
                | '\u{1393}'
                | '\u{16EC}'
                | '\u{1803}'
                | '\u{1809}'
                | '\u{205A}'
                | '\u{A4FD}'
                | '\u{1015B}'
                | '\u{10AF5}'
                | '\u{11002}'
                | '\u{11082}'
                | '\u{11182}'
                | '\u{1123A}'
                | '\u{115BE}'
                | '\u{116AC}'
                | '\u{11838}'
                | '\u{11DD9}'
                | '\u{1D108}'
        )
    };
    // Signs of Syriac, Ethiopic, Mongolian, Bamum, Old Uyghur, Brahmi, Kaithi and cuneiform, three dots and four, dots of Arabic
    // letters, and vowel signs of India, Burma, Cambodia, Laos and Thailand.
    let does_to_us = || {
        matches!(
            c,
            '\u{0705}'
                ..='\u{0709}'
                    | '\u{0983}'
                    | '\u{0A03}'
                    | '\u{0B03}'
                    | '\u{0C03}'
                    | '\u{0C83}'
                    | '\u{0D03}'
                    | '\u{0D83}'
                    | '\u{0E30}'
                    | '\u{0EB0}'
                    | '\u{1038}'
                    | '\u{1365}'
                    | '\u{1366}'
                    | '\u{17C7}'
                    | '\u{17C8}'
                    | '\u{1804}'
                    | '\u{205D}'
                    | '\u{205E}'
                    | '\u{2982}'
                    | '\u{2AF6}'
                    | '\u{302F}'
                    | '\u{A6F4}'
                    | '\u{A881}'
                    | '\u{FBBD}'
                    | '\u{FBBE}'
                    | '\u{FE30}'
                    | '\u{10F88}'
                    | '\u{1104A}'
                    | '\u{110BC}'
                    | '\u{12471}'
        )
    };
    c == ':' || !c.is_ascii() && (is_said_to_look_so() || does_to_us())
}

/// `text` without emphasis and without short codes of emoji, in as many UTF-16 units as before. It may be escaped.
pub(super) fn without_emphasis(text: &str) -> String {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    let mut out = String::with_capacity(text.len());
    let mut before = None;
    for (at, c) in text.char_indices() {
        let after = &text[at + c.len_utf8()..];
        let is_inside_a_word = is_word(before) && is_word(after.chars().next());
        out.push(match c {
            '*' if !is_inside_a_word => '∗',
            '_' if !is_inside_a_word => 'ˍ',
            '~' if !is_inside_a_word => '∼',
            ':' if starts_shortcode(after) => '∶',
            c => c,
        });
        before = Some(c);
    }
    out
}

/// Whether `after` a colon a name and another colon follow. Digits alone are a time or an address, but for the two that
/// are emoji everywhere.
fn starts_shortcode(after: &str) -> bool {
    /// No name of an emoji is longer.
    const LONGEST: usize = 100;
    let in_name = |c: &char| c.is_alphanumeric() || matches!(c, '_' | '+' | '-' | '\'');
    let length: usize = after.chars().take_while(in_name).take(LONGEST + 1).map(char::len_utf8).sum();
    let (name, rest) = after.split_at(length);
    let is_number = name.chars().all(|c| c.is_ascii_digit());
    rest.starts_with(':') && !name.is_empty() && (!is_number || matches!(name, "100" | "1234"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::render::tests::oracle::BOLD;

    #[test]
    fn marks_that_could_style_become_signs_that_look_alike() {
        #[track_caller]
        fn assert_without_emphasis(text: &str, expected: &str) {
            assert_eq!(without_emphasis(text), expected);
            assert_eq!(without_emphasis(expected), expected);
            assert_eq!(text.encode_utf16().count(), expected.encode_utf16().count());
        }
        assert_without_emphasis("_svc_ *bold* ~gone~", "ˍsvcˍ ∗bold∗ ∼gone∼");
        assert_without_emphasis("svc_backup 2*3*4 a~b", "svc_backup 2*3*4 a~b");
        assert_without_emphasis("_svc_backup_", "ˍsvc_backupˍ");
        assert_without_emphasis("é*b*é", "é∗b∗é");
        assert_without_emphasis("a&amp;*b*&lt;", "a&amp;∗b∗&lt;");
        assert_without_emphasis("* **", "∗ ∗∗");
        assert_without_emphasis(":x: :white_check_mark::+1:", "∶x: ∶white_check_mark:∶+1:");
        assert_without_emphasis("a:100:1234: :ありがとう:", "a∶100∶1234: ∶ありがとう:");
        assert_without_emphasis("10:30:15 ::1 a:b http://x", "10:30:15 ::1 a:b http://x");
        assert_without_emphasis("fe80:dead::1", "fe80∶dead::1");
    }

    #[test]
    fn labels_of_ours_lose_their_colon() {
        #[track_caller]
        fn assert_without_labels(text: &str, expected: &str) {
            assert_eq!(without_labels(text), expected);
            assert_eq!(without_labels(expected), expected);
        }
        assert_without_labels(
            "on the *Role(s)*: viewer *Access until*: today",
            "on the *Role(s)* – viewer *Access until* – today",
        );
        assert_without_labels("x *Status:* y", "x *Status –* y");
        assert_without_labels("ROLE(S) : a Role(s):b role(s)：c", "ROLE(S) – a Role(s) –b role(s) –c");
        assert_without_labels("Ｕｓｅｒ： root", "Ｕｓｅｒ – root");
        assert_without_labels("reason:", "reason –");
        assert_without_labels("user:read kind:pod https://user:a@b", "user:read kind:pod https://user:a@b");
        assert_without_labels("superuser: x, the grid: y", "superuser: x, the grid: y");
        assert_without_labels("ticket: 5, id 7", "ticket: 5, id 7");
        assert_without_labels(": viewer", "– viewer");
        assert_without_labels(":", "–");
        assert_without_labels("*: x", "*– x");
        assert_without_labels(" ∗ : x", " ∗ – x");
        assert_without_labels("cluster ∗: x", "cluster ∗ – x");
        assert_without_labels("::1", "::1");
        // Whatever stands for the marks and the letters.
        assert_without_labels("＊Role(s)＊: viewer", "＊Role(s)＊ – viewer");
        assert_without_labels("﹡Status﹡ : x ✱User✱: y", "﹡Status﹡ – x ✱User✱ – y");
        assert_without_labels("＿Reason＿： z", "＿Reason＿ – z");
        assert_without_labels("＊: x", "＊– x");
        assert_without_labels(
            "Ｒｏｌｅ（ｓ）: a Rоlе(ѕ): b Uѕеr: c",
            "Ｒｏｌｅ（ｓ） – a Rоlе(ѕ) – b Uѕеr – c",
        );
        assert_without_labels("ⓤⓢⓔⓡ: a ᵘˢᵉʳ: b", "ⓤⓢⓔⓡ – a ᵘˢᵉʳ – b");
        assert_without_labels("причина: x ✱ note: y", "причина: x ✱ note: y");
        // What does not hide a label from a reader.
        assert_without_labels("Role (s): a R̶ole(s): b Role(s)։ c", "Role (s) – a R̶ole(s) – b Role(s) – c");
        assert_without_labels("Role[s]: a Rôle(s): b Roles: c", "Role[s] – a Rôle(s) – b Roles – c");
        assert_without_labels(
            "S t a t u s : a Access\u{2015}until: b",
            "S t a t u s – a Access\u{2015}until – b",
        );
        assert_without_labels(
            "(User): a userः b Could not be told: c",
            "(User) – a user – b Could not be told – c",
        );
        assert_without_labels("my grid: a, superuser: b, user1: c", "my grid: a, superuser: b, user1: c");
        assert_without_labels("दुःख: a, 10:30, user:read, roles:read", "दुःख: a, 10:30, user:read, roles:read");
    }

    #[test]
    fn whatever_unicode_says_to_look_like_a_colon_is_taken_for_one() {
        let looks = |c: &char| plain(*c).as_deref() == Some(":");
        // Ideographs and syllables look like none.
        let parts = [
            '\u{80}'..='\u{2FFF}',
            '\u{A4D0}'..='\u{ABFF}',
            '\u{F900}'..='\u{11FFF}',
            '\u{1D000}'..='\u{1FFFF}',
        ];
        let missing: Vec<_> = parts.into_iter().flatten().filter(|c| looks(c) && !is_colon(*c)).collect();
        assert_eq!(missing, []);
    }

    proptest! {
        /// Whatever stands between the letters of a label and behind them, and whatever the colon is: it goes.
        #[test]
        fn no_label_keeps_what_looks_like_a_colon(
            label in prop::sample::select([&BOLD[..], &["Resolution"]].concat()),
            noise in prop::collection::vec(prop::sample::select(&["", "", "", " ", "\u{336}", "\u{301}\u{302}", "•", "·", "*", "-", "‐"]), 17),
            colon in prop::sample::select(":：﹕︓∶꞉ː˸׃܃܄։᛬᠃ꓽःః⁚⦂".chars().collect::<Vec<_>>()),
            before in prop::sample::select(&["", "x ", "because. ", "é ", "x ↵ "]),
        ) {
            let noisy: String = label.trim_end_matches(':').chars().zip(&noise).flat_map(|(c, noise)| [c.to_string(), (*noise).to_owned()]).collect();
            let clean = without_labels(&format!("{before}{noisy}{colon} x"));
            prop_assert!(!clean.contains(colon), "{clean}");
            prop_assert!(clean.ends_with("– x"), "{clean}");
            prop_assert_eq!(without_labels(&clean), clean);
        }
    }

    #[test]
    fn styled_letters_and_signs_become_plain() {
        let plain = |text: &str| text.chars().map(unstyled).collect::<String>();
        assert_eq!(plain("𝗥𝗼𝗹𝗲(𝘀): 𝐙𝑎𝒵𝖟𝚣 𝟎𝟗𝟘𝟡𝟶𝟿 ℝℯℎ"), "Role(s): ZaZzz 090909 Reh");
        assert_eq!(plain("𝚨𝛀𝛁𝛂𝛚𝛛𝛡𝜜𝞹𝚤𝚥"), "ΑΩ∇αω∂ϖΑπij");
        assert_eq!(plain("✅❌⏳⌛⏫❔"), "✓✗⧗⧗⇈?");
        assert_eq!(plain("™ ℃ № 日本 é 🔥"), "™ ℃ № 日本 é 🔥");
        let range = '\u{1D400}'..='\u{1D7FF}';
        let unassigned = ['\u{1D6A6}', '\u{1D6A7}', '\u{1D7CA}', '\u{1D7CB}', '\u{1D7CC}', '\u{1D7CD}'];
        assert!(range.filter(|c| unstyled(*c) == *c).eq(unassigned));
    }
}
