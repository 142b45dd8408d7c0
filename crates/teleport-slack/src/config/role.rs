//! The remedies for a text that cannot name roles. The language itself is `access_core`'s to know.

use access_core::domain::look_alike::LookAlike;
use access_core::domain::role_pattern::{InvalidPattern, RolePattern};
use access_core::domain::uncommon::{Uncommon, with_plain_signs};
use access_core::domain::unseen::{Unseen, as_seen_strictly};

use super::names::without_brackets;
use super::report::{Report, quote, quote_list, quote_whole};
use super::unseen::write_as_seen;

/// Where the text stands, which decides how several are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PatternPosition {
    /// An item of a list.
    List,
    /// The key of a line.
    Key,
}

/// Reads the pattern, or reports why it is none.
pub(super) fn role_pattern(
    text: &str,
    place: PatternPosition,
    line: usize,
    key: &str,
    report: &mut Report,
) -> Option<RolePattern> {
    RolePattern::parse(text)
        .inspect(|_| warn_of_unusual(text, place, line, key, report))
        .map_err(|problem| {
            let (cause, remedy) =
                of_look_alike(text).unwrap_or_else(|| (problem.to_string(), remedy(problem, text, place)));
            let cause = match place {
                PatternPosition::List => format!("{}: {cause}", quote(text)),
                PatternPosition::Key => cause,
            };
            report.error(Some(line), key, cause, remedy);
        })
        .ok()
}

/// Of a text that is no pattern because one of its signs only looks like another, such as a full-width `$`.
fn of_look_alike(text: &str) -> Option<(String, String)> {
    let found = LookAlike::first_in(text).filter(|found| is_usual(&found.seen))?;
    Some((found.to_string(), format!("write {}", quote_whole(&found.seen)?)))
}

/// Signs of ASCII that Teleport takes in no role's name: it asks for letters, digits, hyphens, dots and plus signs, and takes
/// `@`, `_`, `:` and `/`, too. What is a pattern's, a quotation mark or between several is spoken of elsewhere.
const NOT_IN_NAMES: &str = "!#%()<=>~";

/// How `tctl` names a role in its commands.
const RESOURCES: [&str; 2] = ["role/", "roles/"];

/// Warns of what hardly a role is called.
fn warn_of_unusual(text: &str, place: PatternPosition, line: usize, key: &str, report: &mut Report) {
    if let Some(cause) = unusual_about(text) {
        report.warn(Some(line), key, format!("{}: {cause}", quote(text)), instead_of(text, place));
    }
}

/// Whether the text is a pattern of which no warning comes, so that it can be suggested.
fn is_usual(text: &str) -> bool {
    RolePattern::parse(text).is_ok() && unusual_about(text).is_none()
}

fn is_expression(text: &str) -> bool {
    text.starts_with('^') && text.ends_with('$')
}

/// Why hardly a role is called so: characters that look like others or stand in no name, quotation marks, and what stands between
/// several. Teleport takes no blanks in the names of new roles; older ones may have them.
fn unusual_about(text: &str) -> Option<String> {
    let found = LookAlike::first_in(text).map(|found| found.to_string());
    let found = found.or_else(|| Uncommon::first_in(text).map(|found| found.to_string()));
    if text.starts_with('^') && found.is_none() || is_expression(text) {
        return found;
    }
    let sign = text.chars().find(|c| NOT_IN_NAMES.contains(*c));
    match meant(text).as_slice() {
        _ if RESOURCES.iter().any(|prefix| text.starts_with(prefix)) => {
            Some("this is how `tctl` names a role in its commands".to_owned())
        }
        [_, _, ..] => Some("these look like several roles in one text".to_owned()),
        _ if text.contains(is_quotation_mark) => {
            Some("there are quotation marks in it, which hardly a role's name has".to_owned())
        }
        _ if found.is_some() => found,
        _ if sign.is_some() => {
            sign.map(|sign| format!("there is a {sign} in it, which Teleport takes in no role's name"))
        }
        _ if text.starts_with('/') || text.ends_with('/') => {
            Some("there is a / at its beginning or its end, which hardly a role's name has".to_owned())
        }
        _ => None,
    }
}

/// The roles that a reader takes the text for, each in plain characters.
fn meant(text: &str) -> Vec<String> {
    let inner = if is_expression(text) { text } else { text.trim_matches(is_quotation_mark) };
    let seen = LookAlike::first_in(inner).map_or_else(|| inner.to_owned(), |it| it.seen);
    if is_expression(&seen) {
        return vec![seen];
    }
    let seen = with_plain_signs(&seen).replace(is_quotation_mark, "");
    let bare = without_brackets(&seen).unwrap_or(&seen);
    let bare = RESOURCES.iter().find_map(|prefix| bare.strip_prefix(prefix)).unwrap_or(bare);
    roles_in(bare).into_iter().map(str::to_owned).collect()
}

/// What to write instead of a text that hardly is a role's name. What it suggests is free of warnings.
fn instead_of(text: &str, place: PatternPosition) -> String {
    let each = meant(text);
    let each: Vec<_> = each.iter().map(String::as_str).collect();
    let has_marks = !is_expression(text) && text.contains(is_quotation_mark);
    let are_patterns = !each.is_empty() && each.iter().all(|role| RolePattern::parse(role).is_ok());
    let written = match (place, each.as_slice()) {
        // A star alone would be for every role.
        _ if each.contains(&"*") && (each.len() > 1 || has_marks) => {
            "write each as a text of its own".to_owned()
        }
        _ if !are_patterns => "type it again in plain characters".to_owned(),
        _ if !each.iter().all(|role| is_usual(role)) => "write it as `tctl get roles` shows it".to_owned(),
        (PatternPosition::List, [_, _, ..]) => format!("write {}", quote_list(&each)),
        (PatternPosition::Key, [_, _, ..]) => "write a line for each".to_owned(),
        (_, ["*"]) => "write \"*\" if it is for every role".to_owned(),
        (_, roles) => format!("write {}", quote(&roles.concat())),
    };
    let unusual = unusual_characters(text);
    let literal = if is_expression(text) {
        Some(escaped(text.to_owned()))
    } else {
        // What its stars stand for.
        let has_stars = text.contains(['*', '?']);
        let literal = literal(text).replace(r"\*", ".*").replace(r"\?", ".");
        Some(literal).filter(|_| unusual.is_empty() || !has_stars)
    };
    let literal = literal.filter(|literal| is_usual(literal)).and_then(|literal| quote_whole(&literal));
    let literal = match (literal, unusual.first()) {
        (Some(literal), _) => format!(", or write {literal} if the role's name really has it"),
        (None, Some(unusual)) => {
            let escape = escape(*unusual);
            format!(", or write a regular expression with {escape} in it if the role's name really has it")
        }
        (None, None) => String::new(),
    };
    written + &literal
}

/// The characters of the text that an expression has to name by their codes to be free of warnings.
fn unusual_characters(text: &str) -> Vec<char> {
    let look_alike = LookAlike::first_in(text).map(|found| found.letters).unwrap_or_default();
    let uncommon = Uncommon::first_in(text).map(|found| found.characters).unwrap_or_default();
    look_alike.into_iter().chain(uncommon).collect()
}

fn escape(c: char) -> String {
    format!(r"\x{{{:X}}}", u32::from(c))
}

/// The expression with a code for each unusual character. A code may make another one unusual, because it has letters of Latin.
fn escaped(mut expression: String) -> String {
    loop {
        let unusual = unusual_characters(&expression);
        if unusual.is_empty() {
            return expression;
        }
        for c in unusual {
            expression = expression.replace(c, &escape(c));
        }
    }
}

/// The pattern for the role of exactly this name, free of warnings.
fn literal(text: &str) -> String {
    escaped(RolePattern::literal(text))
}

/// Quotation marks of any script. U+02BC is none: it is a letter.
fn is_quotation_mark(c: char) -> bool {
    "'\"`\u{b4}\u{2018}\u{2019}\u{201a}\u{201b}\u{201c}\u{201d}\u{201e}\u{201f}\u{2032}\u{2033}\u{ab}\u{bb}\u{2039}\u{203a}\
     \u{275b}\u{275c}\u{275d}\u{275e}\u{300c}\u{300d}\u{300e}\u{300f}\u{301d}\u{301e}\u{301f}\u{ff02}\u{ff07}"
        .contains(c)
}

/// The roles in a text that may name several, by what stands between them.
fn roles_in(text: &str) -> Vec<&str> {
    // Catalan has a dot in words; "c++" is a name.
    let is_between = |c: char| match c {
        '+' => !text.contains("++"),
        '\u{b7}' => !["l\u{b7}l", "L\u{b7}L"].iter().any(|word| text.contains(word)),
        // Arabic, full-width and ideographic ones, bullets and bars.
        _ => " /&,;|\u{60c}\u{61b}\u{2022}\u{2223}\u{3001}\u{ff0b}\u{ff0c}\u{ff0f}\u{ff1b}\u{ff5c}\u{ff64}"
            .contains(c),
    };
    let roles: Vec<_> = text.split(is_between).map(str::trim).filter(|role| !role.is_empty()).collect();
    let named = roles.iter().copied().filter(|role| !["and", "or"].contains(role));
    if roles.len() > 2 { named.collect() } else { roles }
}

/// What to write instead of `text`.
fn remedy(problem: InvalidPattern, text: &str, place: PatternPosition) -> String {
    match problem {
        InvalidPattern::Empty => match place {
            PatternPosition::List => "write the role's name, or \"*\" for every role".to_owned(),
            PatternPosition::Key => "write the role's name, or \"*\" for all others".to_owned(),
        },
        InvalidPattern::Blanks => match RolePattern::parse(text.trim()) {
            Ok(_) if !is_usual(text.trim()) => instead_of(text.trim(), place),
            Ok(_) => format!("write {}", quote(text.trim())),
            Err(problem) => remedy(problem, text.trim(), place),
        },
        InvalidPattern::Unseen(unseen) => {
            let seen = as_seen_strictly(text);
            let seen = match RolePattern::parse(&seen) {
                Ok(_) if !is_usual(&seen) => instead_of(&seen, place),
                Ok(_) | Err(InvalidPattern::Empty | InvalidPattern::Unseen(_)) => write_as_seen(text, &seen),
                Err(problem) => remedy(problem, &seen, place),
            };
            format!("{seen}, or write {} if the role's name really has it", with_escape(text, unseen))
        }
        InvalidPattern::TooLong => "write a shorter one, such as \"prod-*\"".to_owned(),
        InvalidPattern::Several => {
            let each: Vec<_> =
                text.split([',', ';']).map(str::trim).filter(|role| !role.is_empty()).collect();
            match (place, each.as_slice()) {
                (_, each) if !each.iter().all(|role| is_usual(role)) => {
                    "write each as a text of its own, as `tctl get roles` shows it".to_owned()
                }
                (PatternPosition::List, [_, ..]) => format!("write {}", quote_list(&each)),
                (PatternPosition::Key, [_, ..]) => {
                    let keys: Vec<_> = each.iter().map(|role| format!("{} = …", quote(role))).collect();
                    format!("write a line for each: {}", keys.join(" and "))
                }
                (_, []) => "write the role's name".to_owned(),
            }
        }
        InvalidPattern::NotAnchored if !in_brackets(text).is_empty() => {
            let each = in_brackets(text);
            let meant = match (place, each.as_slice()) {
                (_, [one]) => format!("write {}", quote(one)),
                (PatternPosition::List, each) => format!("write {}", quote_list(each)),
                (PatternPosition::Key, _) => "write a line for each".to_owned(),
            };
            format!("{meant}, or {}", by_name(text))
        }
        InvalidPattern::NotAnchored => {
            let whole = as_regex(text)
                .map(|whole| format!("write {whole} if it is a regular expression, or "))
                .unwrap_or_else(|| "write it from ^ to $ if it is a regular expression, or ".to_owned());
            whole + &by_name(text)
        }
        InvalidPattern::NotAnExpression => {
            format!("fix it, use * and ? such as \"prod-*\", or {}", by_name(text))
        }
        InvalidPattern::LooseAlternatives => {
            let inner = text.strip_prefix('^').and_then(|rest| rest.strip_suffix('$')).unwrap_or(text);
            let both = format!("^({inner})$");
            match quote_whole(&both) {
                Some(quoted) if is_usual(&both) => format!("write {quoted}"),
                _ => "put brackets around all alternatives: \"^(a|b)$\"".to_owned(),
            }
        }
        InvalidPattern::NeverMatches => {
            format!("keep only the first ^ and the last $, or {}", by_name(text))
        }
    }
}

/// The pattern that means the character, if it is what stands in the text.
fn with_escape(text: &str, unseen: Unseen) -> String {
    let name = || literal(text);
    let pattern = RolePattern::escaped_expression(text)
        .or_else(|| (!text.contains(['*', '?'])).then(name))
        .filter(|pattern| is_usual(pattern))
        .and_then(|pattern| quote_whole(&pattern));
    pattern.unwrap_or_else(|| format!("a regular expression with {} in it", unseen.escape()))
}

/// The text as a whole regular expression, in quotes, if it can be one. A sign at one end only leaves the other open.
fn as_regex(text: &str) -> Option<String> {
    if let Some(inner) = between_slashes(text) {
        return quote_whole(inner);
    }
    let (begins, rest) = text.strip_prefix('^').map_or((false, text), |rest| (true, rest));
    let (ends, inner) = rest.strip_suffix('$').map_or((false, rest), |inner| (true, inner));
    let before = if ends && !begins && !inner.starts_with(".*") { ".*" } else { "" };
    let after = if begins && !ends && !inner.ends_with(".*") { ".*" } else { "" };
    let wholes = [format!("^{before}{inner}{after}$"), format!("^{before}({inner}){after}$")];
    let whole = wholes.into_iter().find(|whole| is_usual(whole))?;
    quote_whole(&whole)
}

/// The regular expression that stands between slashes, as other programs write one, if it is a whole one.
fn between_slashes(text: &str) -> Option<&str> {
    text.strip_prefix('/')?.strip_suffix('/').filter(|inner| is_expression(inner) && is_usual(inner))
}

/// The roles that a text in brackets is about, as a list in one text or the place of a name in an example is written. Empty if it
/// is a class of letters, such as `[a-z]`.
fn in_brackets(text: &str) -> Vec<&str> {
    let Some(inner) = without_brackets(text) else { return Vec::new() };
    let mut letters = inner.as_bytes().chunks(3);
    let is_class = inner.starts_with('^') || letters.all(|range| matches!(range, [_, b'-', _]));
    let roles: Vec<_> =
        roles_in(inner).into_iter().map(|role| without_brackets(role).unwrap_or(role)).collect();
    let are_roles = !is_class && roles.iter().all(|role| is_usual(role));
    if are_roles { roles } else { Vec::new() }
}

/// How to name the role that is called so.
fn by_name(text: &str) -> String {
    match quote_whole(&literal(text)) {
        Some(literal) => format!("write {literal} for the role of exactly this name"),
        None => "put a backslash before each sign for the role of exactly this name".to_owned(),
    }
}
