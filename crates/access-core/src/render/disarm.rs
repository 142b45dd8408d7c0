//! Foreign text that imitates ours, made visibly something else: emphasis, labels, the signs of a status.
//!
//! Slack's markup has no escape for `*`, `_` and `~`, and an invisible character beside them makes Slack more willing
//! to style, not less. So a mark that could style is shown as a sign that looks alike and does nothing; one inside a
//! word, as in `svc_backup`, never styles and stays. The reasons: `docs/decisions/0007-foreign-emphasis.md`.

use crate::domain::look_alike::plain;

/// What stands before a value in a message, a reply or a modal, in small letters. The tests hold it against what is
/// drawn.
const LABELS: [&str; 15] = [
    "id",
    "cluster",
    "user",
    "role(s)",
    "reason",
    "link",
    "approve",
    "deny",
    "status",
    "resources",
    "access until",
    "starts",
    "request expires",
    "kind",
    "resolution",
];

/// No label is longer, in characters.
const LONGEST_LABEL: usize = 15;

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
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        let goes_on = chars.peek().is_some_and(|c| c.is_ascii() && *c != ' ' && !is_emphasis_mark(*c));
        let is_first = || out.chars().all(is_mark);
        if is_colon(c) && is_first() && !goes_on {
            out.push(DASH);
        } else if is_colon(c) && ends_with_label(&out, goes_on) {
            out.truncate(out.trim_end().len());
            out.extend([' ', DASH]);
        } else {
            out.push(c);
        }
    }
    out
}

fn ends_with_label(before: &str, goes_on: bool) -> bool {
    let before = before.trim_end_matches(is_mark);
    // What may be the label, and the character before it.
    let mut end: Vec<String> = before.chars().rev().take(LONGEST_LABEL + 1).map(folded).collect();
    end.reverse();
    let end = end.concat();
    LABELS.iter().any(|label| {
        let is_one_word = label.chars().all(|c| c.is_ascii_alphabetic());
        let stands_alone = |rest: &str| !rest.ends_with(char::is_alphanumeric);
        end.strip_suffix(label).is_some_and(stands_alone) && !(is_one_word && goes_on)
    })
}

/// In small letters, and ASCII where it looks like that: full-width, circled, raised, or of another alphabet.
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

fn is_colon(c: char) -> bool {
    matches!(c, ':' | '：' | '﹕' | '︓' | '︰' | '∶' | '꞉' | 'ː' | '˸' | '׃' | '܃' | '܄')
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
    use super::*;

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
    }

    #[test]
    fn no_label_is_longer_than_what_is_looked_at() {
        assert_eq!(LABELS.iter().map(|label| label.chars().count()).max(), Some(LONGEST_LABEL));
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
