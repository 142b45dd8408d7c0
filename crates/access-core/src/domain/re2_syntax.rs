//! From the syntax of Go's regular expressions (RE2), which Teleport's roles have, to our library's. What Go refuses is
//! refused, and what both take is taken as Go means it.
//!
//! Sources: <https://pkg.go.dev/regexp/syntax>, and Go 1.26 itself for what the page leaves open. Of `\p{…}` only the names
//! that every release of Go knows are taken. [`super::role_pattern`] says what else a pattern needs.

/// The most that a count can be, and the product of counts inside each other.
const MAX_COUNT: u32 = 1_000;
/// General categories, as Go names them.
const CATEGORIES: &str =
    "C Cc Cf Co L Ll Lm Lo Lt Lu M Mc Me Mn N Nd Nl No P Pc Pd Pe Pf Pi Po Ps S Sc Sk Sm So Z Zl Zp Zs";
/// Scripts whose names have four letters. Other names of that length are short forms, which Go does not know.
const SHORT_SCRIPTS: &str = "Ahom Cham Kawi Lisu Miao Modi Newa Thai Toto";
/// The classes of POSIX.
const POSIX: &str = "alnum alpha ascii blank cntrl digit graph lower print punct space upper word xdigit";

/// Why an expression is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// Go does not take it.
    NotAnExpression,
    /// The `$` behind it would be a character.
    NotAnchored,
    /// `a|b`, of which the `^` before it would hold only the first and the `$` behind it only the last.
    LooseAlternatives,
    /// A `^` that is not at a beginning, or a `$` that is not at an end.
    NeverMatches,
}

/// The same expression in our library's syntax.
///
/// # Errors
/// [`Refused`] if Go refuses it, or if the `^` and `$` around it would not hold all of it.
pub(super) fn translate(expression: &str) -> Result<String, Refused> {
    let mut translator = Translator {
        rest: expression,
        out: String::with_capacity(expression.len()),
        names: Vec::new(),
        outer: Vec::new(),
        level: Level::default(),
    };
    while let Some(c) = translator.next() {
        translator.add(c)?;
    }
    if translator.outer.is_empty() { Ok(translator.out) } else { Err(Refused::NotAnExpression) }
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
    /// The names of groups, each of which may be given once.
    names: Vec<&'a str>,
    /// The levels around the present one.
    outer: Vec<Level>,
    level: Level,
}

/// What is between two brackets, or the whole.
struct Level {
    /// Nothing is before this place, or only other alternatives.
    is_at_begin: bool,
    /// What stands directly before this place.
    last: Last,
    /// The largest product of counts.
    product: u32,
}

impl Default for Level {
    fn default() -> Self {
        Self { is_at_begin: true, last: Last::Nothing, product: 1 }
    }
}

#[derive(Clone, Copy)]
enum Last {
    /// Nothing that can be repeated.
    Nothing,
    /// What can be repeated, with the product of counts in it.
    Item(u32),
}

impl<'a> Translator<'a> {
    fn next(&mut self) -> Option<char> {
        let c = self.rest.chars().next()?;
        self.rest = self.rest.split_at(c.len_utf8()).1;
        Some(c)
    }

    fn skip(&mut self, text: &str) -> bool {
        let rest = self.rest.strip_prefix(text);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn up_to(&mut self, end: &str) -> Option<&'a str> {
        let (before, after) = self.rest.split_once(end)?;
        self.rest = after;
        Some(before)
    }

    fn add(&mut self, c: char) -> Result<(), Refused> {
        match c {
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => self.open()?,
            ')' => self.close()?,
            '|' if self.outer.is_empty() => return Err(Refused::LooseAlternatives),
            '|' => {
                self.out.push('|');
                (self.level.is_at_begin, self.level.last) = (true, Last::Nothing);
            }
            '^' if !self.level.is_at_begin => return Err(Refused::NeverMatches),
            '$' if !matches!(self.rest.chars().next(), None | Some(')' | '|')) => {
                return Err(Refused::NeverMatches);
            }
            '^' | '$' => {
                self.out.push(c);
                (self.level.is_at_begin, self.level.last) = (false, Last::Nothing);
            }
            '*' | '+' | '?' => self.repeat(c.encode_utf8(&mut [0; 4]), 1)?,
            '{' => match counts(self.rest) {
                Some((text, least, most)) => {
                    let (_, rest) = self.rest.split_at(text.len());
                    self.rest = rest;
                    if least > MAX_COUNT || most.is_some_and(|most| most > MAX_COUNT || most < least) {
                        return Err(Refused::NotAnExpression);
                    }
                    self.repeat(&format!("{{{text}"), most.unwrap_or(least))?;
                }
                None => self.literal('{'),
            },
            '.' => self.item(".", 1),
            c => self.literal(c),
        }
        Ok(())
    }

    /// Adds what can be repeated.
    fn item(&mut self, translated: &str, product: u32) {
        self.out.push_str(translated);
        self.level.product = self.level.product.max(product);
        (self.level.is_at_begin, self.level.last) = (false, Last::Item(product));
    }

    fn literal(&mut self, c: char) {
        self.item(&regex::escape(c.encode_utf8(&mut [0; 4])), 1);
    }

    /// Go repeats no repetition.
    fn repeat(&mut self, operator: &str, most: u32) -> Result<(), Refused> {
        let Last::Item(product) = self.level.last else { return Err(Refused::NotAnExpression) };
        let product = product.saturating_mul(most.max(1));
        if product > MAX_COUNT {
            return Err(Refused::NotAnExpression);
        }
        self.out.push_str(operator);
        if self.skip("?") {
            self.out.push('?');
        }
        self.level.product = self.level.product.max(product);
        self.level.last = Last::Nothing;
        Ok(())
    }

    /// What follows `(`: a group, or flags for the rest of this one.
    fn open(&mut self) -> Result<(), Refused> {
        let mut opening = String::from("(");
        if self.skip("?P<") || self.skip("?<") {
            let name = self.up_to(">").unwrap_or_default();
            let is_name = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
            if !is_name || self.names.contains(&name) {
                return Err(Refused::NotAnExpression);
            }
            self.names.push(name);
        } else if self.skip("?") {
            opening.push('?');
            loop {
                match self.next() {
                    Some(c @ ('i' | 'm' | 's' | 'U' | '-')) => opening.push(c),
                    Some(':') => {
                        opening.push(':');
                        break;
                    }
                    Some(')') => {
                        self.out.push_str(&opening);
                        self.out.push(')');
                        self.level.last = Last::Nothing;
                        return Ok(());
                    }
                    _ => return Err(Refused::NotAnExpression),
                }
            }
        }
        self.out.push_str(&opening);
        self.outer.push(std::mem::take(&mut self.level));
        Ok(())
    }

    fn close(&mut self) -> Result<(), Refused> {
        let outer = self.outer.pop().ok_or(Refused::NotAnExpression)?;
        let inner = std::mem::replace(&mut self.level, outer);
        self.item(")", inner.product);
        Ok(())
    }

    /// What follows a backslash outside a class.
    fn escape(&mut self) -> Result<(), Refused> {
        // Without an end the last `$` would be a character, and nothing would hold the end.
        if self.rest.is_empty() {
            return Err(Refused::NotAnchored);
        }
        if self.skip("Q") {
            self.up_to(r"\E").ok_or(Refused::NotAnchored)?.chars().for_each(|c| self.literal(c));
            return Ok(());
        }
        if let Some(class) = self.named_class()? {
            self.item(&class, 1);
            return Ok(());
        }
        for (letter, place) in [("A", r"\A"), ("z", r"\z"), ("b", r"(?-u:\b)"), ("B", r"(?-u:\B)")] {
            if self.skip(letter) {
                self.out.push_str(place);
                self.level.last = Last::Nothing;
                return Ok(());
            }
        }
        let c = self.escaped_character()?;
        self.literal(c);
        Ok(())
    }

    /// What follows `[`. Inside, `[`, `&&`, `--` and `~~` are characters for Go.
    fn class(&mut self) -> Result<(), Refused> {
        let mut class = String::from(if self.skip("^") { "[^" } else { "[" });
        let mut is_first = true;
        while is_first || !self.skip("]") {
            is_first = false;
            if let Some(name) = self.rest.strip_prefix("[:").and_then(|rest| rest.split_once(":]")) {
                let (name, rest) = name;
                if !lists(POSIX, name.strip_prefix('^').unwrap_or(name)) {
                    return Err(Refused::NotAnExpression);
                }
                class.push_str(&format!("[:{name}:]"));
                self.rest = rest;
                continue;
            }
            if let Some(rest) = self.rest.strip_prefix('\\') {
                let whole = std::mem::replace(&mut self.rest, rest);
                if let Some(named) = self.named_class()? {
                    class.push_str(&named);
                    continue;
                }
                self.rest = whole;
            }
            let first = self.class_character()?;
            class.push_str(&code(first));
            if self.rest.starts_with('-') && !self.rest.starts_with("-]") && self.rest.len() > 1 {
                self.skip("-");
                let last = self.class_character()?;
                class.push_str(&format!("-{}", code(last)));
            }
        }
        class.push(']');
        self.item(&class, 1);
        Ok(())
    }

    fn class_character(&mut self) -> Result<char, Refused> {
        match self.next() {
            Some('\\') => self.escaped_character(),
            Some(c) => Ok(c),
            None => Err(Refused::NotAnExpression),
        }
    }

    /// The class whose letter follows a backslash, if one does. `\d` and the like are ASCII for Go.
    fn named_class(&mut self) -> Result<Option<String>, Refused> {
        const ASCII: [(&str, &str); 6] = [
            ("d", "[0-9]"),
            ("D", "[^0-9]"),
            ("s", r"[\t\n\f\r ]"),
            ("S", r"[^\t\n\f\r ]"),
            ("w", "[0-9A-Za-z_]"),
            ("W", "[^0-9A-Za-z_]"),
        ];
        if let Some((_, class)) = ASCII.iter().find(|(letter, _)| self.skip(letter)) {
            return Ok(Some((*class).to_owned()));
        }
        let mut is_negated = self.rest.starts_with('P');
        if !self.skip("p") && !self.skip("P") {
            return Ok(None);
        }
        let mut name = match self.skip("{") {
            true => self.up_to("}").unwrap_or_default().to_owned(),
            false => self.next().map(String::from).unwrap_or_default(),
        };
        if let Some(negated) = name.strip_prefix('^') {
            (is_negated, name) = (!is_negated, negated.to_owned());
        }
        let p = if is_negated { 'P' } else { 'p' };
        match name.as_str() {
            "Any" => Ok(Some(format!(r"\{p}{{Any}}"))),
            name if lists(CATEGORIES, name) => Ok(Some(format!(r"\{p}{{gc={name}}}"))),
            name if is_script(name) => Ok(Some(format!(r"\{p}{{sc={name}}}"))),
            _ => Err(Refused::NotAnExpression),
        }
    }

    /// The character that an escape stands for; the backslash is read.
    fn escaped_character(&mut self) -> Result<char, Refused> {
        let c = self.next().ok_or(Refused::NotAnExpression)?;
        let known = match c {
            'a' => Some('\u{7}'),
            'f' => Some('\u{c}'),
            'n' => Some('\n'),
            'r' => Some('\r'),
            't' => Some('\t'),
            'v' => Some('\u{b}'),
            'x' if self.skip("{") => self.up_to("}").and_then(|digits| number(digits, 16)),
            'x' => {
                self.digits(2, 16).filter(|digits| digits.len() == 2).and_then(|digits| number(digits, 16))
            }
            '0' => match self.digits(2, 8) {
                Some(digits) => number(digits, 8),
                None => Some('\0'),
            },
            // One digit alone refers to a group, which Go does not have.
            '1'..='7' => self.digits(2, 8).and_then(|digits| number(&format!("{c}{digits}"), 8)),
            c if c.is_ascii() && !c.is_ascii_alphanumeric() => Some(c),
            _ => None,
        };
        known.ok_or(Refused::NotAnExpression)
    }

    /// Up to `most` digits, if there is one.
    fn digits(&mut self, most: usize, radix: u32) -> Option<&'a str> {
        let count = self.rest.chars().take(most).take_while(|c| c.is_digit(radix)).count();
        let (digits, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(digits).filter(|digits| !digits.is_empty())
    }
}

fn lists(names: &str, wanted: &str) -> bool {
    names.split(' ').any(|name| name == wanted)
}

/// Whether the text is a script's name as Go writes it, if it is one at all. Go 1.26 refuses those of several words.
fn is_script(name: &str) -> bool {
    let mut letters = name.chars();
    letters.next().is_some_and(|c| c.is_ascii_uppercase())
        && letters.all(|c| c.is_ascii_lowercase())
        && (name.len() != 4 || lists(SHORT_SCRIPTS, name))
}

fn code(c: char) -> String {
    format!(r"\x{{{:X}}}", u32::from(c))
}

fn number(digits: &str, radix: u32) -> Option<char> {
    let is_number = digits.chars().all(|c| c.is_digit(radix));
    u32::from_str_radix(digits, radix).ok().filter(|_| is_number).and_then(char::from_u32)
}

/// What follows `{` in `{2}`, `{2,}` and `{2,5}`, with the numbers; all else is a character for Go.
fn counts(rest: &str) -> Option<(&str, u32, Option<u32>)> {
    let (inner, _) = rest.split_once('}')?;
    let number = |digits: &str| {
        let is_number = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.is_empty();
        // Go reads no number with zeros before it.
        let is_plain = digits == "0" || !digits.starts_with('0');
        (is_number && is_plain).then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let (least, most) = match inner.split_once(',') {
        None => (number(inner)?, Some(number(inner)?)),
        Some((least, "")) => (number(least)?, None),
        Some((least, most)) => (number(least)?, Some(number(most)?)),
    };
    let (text, _) = rest.split_at(inner.len() + 1);
    Some((text, least, most))
}
