//! The file as it was written: TOML to plain values with their lines. No meaning yet; that is `validate.rs`.
//!
//! It walks the parsed document itself instead of deserialising, so that one wrong type or unknown key does not
//! hide the next one. Keys are found under their old names too, with a warning. A text that looks like a secret leaves
//! this file only through [`TableReader::secret`]: anywhere else it is refused, and no message shows it.

use std::num::IntErrorKind;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::encoding::report_control_characters;
use super::lines::Lines;
use super::report::{Report, quote};
use super::schema::{self, KeyMatch, Table};
use super::toml_mistakes::report_mistakes;
use super::unseen::report_unseen;
use crate::secret_shape::secret_in;

/// What a section must be.
const TABLE: &str = "a table";

/// Something from the file and where it stood.
#[derive(Clone, Debug)]
pub(super) struct Entry<T> {
    pub(super) value: T,
    /// With the table, as a message should name it.
    pub(super) key: String,
    pub(super) line: usize,
}

/// A key that was looked for.
#[derive(Clone, Debug)]
pub(super) enum Field<T> {
    Absent,
    /// It is there but of the wrong type, given twice or most likely misspelt: already reported.
    Bad,
    Given(Entry<T>),
}

impl<T> Field<T> {
    pub(super) fn given(self) -> Option<Entry<T>> {
        match self {
            Self::Given(entry) => Some(entry),
            Self::Absent | Self::Bad => None,
        }
    }

    pub(super) fn as_given(&self) -> Option<&Entry<T>> {
        match self {
            Self::Given(entry) => Some(entry),
            Self::Absent | Self::Bad => None,
        }
    }
}

impl Field<String> {
    /// For optional texts: `""` counts as not given, as it did in the Go plugin.
    pub(super) fn unless_empty(self) -> Self {
        match self {
            Self::Given(entry) if entry.value.is_empty() => Self::Absent,
            other => other,
        }
    }
}

pub(super) struct Document<'t> {
    root: DeTable<'t>,
    lines: Lines,
}

impl<'t> Document<'t> {
    /// `None` after a mistake in the TOML itself: what a broken file seems to say is not worth checking.
    pub(super) fn parse(text: &'t str, report: &mut Report) -> Option<Self> {
        let lines = Lines::new(text);
        if report_control_characters(text, report) {
            return None;
        }
        let (root, errors) = DeTable::parse_recoverable(text);
        report_mistakes(&errors, text, &lines, report);
        errors.is_empty().then(|| Self { root: root.into_inner(), lines })
    }

    pub(super) fn root<'a>(&'a self, report: &'a mut Report) -> TableReader<'a, 't> {
        TableReader::new(&schema::ROOT, String::new(), None, Some(&self.root), self, report)
    }
}

/// Reads the keys of one table and reports what is wrong with them.
pub(super) struct TableReader<'a, 't> {
    schema: &'static Table,
    /// How messages name the table.
    path: String,
    /// Where its header stands; `None` if it is absent.
    line: Option<usize>,
    table: Option<&'a DeTable<'t>>,
    document: &'a Document<'t>,
    report: &'a mut Report,
    /// Keys that an unknown one probably meant: not to be reported missing as well.
    suggested: Vec<&'static str>,
    /// False if something stands in the table's place that is no table; then no key of it is called missing.
    is_valid: bool,
}

impl<'a, 't> TableReader<'a, 't> {
    fn new(
        schema: &'static Table,
        path: String,
        line: Option<usize>,
        table: Option<&'a DeTable<'t>>,
        document: &'a Document<'t>,
        report: &'a mut Report,
    ) -> Self {
        let mut reader =
            Self { schema, path, line, table, document, report, suggested: Vec::new(), is_valid: true };
        reader.check_names();
        reader
    }

    /// Where the table's header stands.
    pub(super) fn line(&self) -> Option<usize> {
        self.line
    }

    pub(super) fn report(&mut self) -> &mut Report {
        self.report
    }

    /// Unknown keys are mistakes, old names are warned of.
    fn check_names(&mut self) {
        let Some(table) = self.table else { return };
        for (key, value) in table {
            let written: &str = key.get_ref();
            let line = Some(self.document.lines.line(key.span().start));
            match self.schema.find(written) {
                Some(KeyMatch::Current(_)) => {}
                // What is said of a retired key itself is enough.
                Some(KeyMatch::Alias(name)) if schema::is_retired(name) => {}
                Some(KeyMatch::Alias(name)) => {
                    let cause = match written.eq_ignore_ascii_case(name) {
                        true => "keys are written in small letters",
                        false => "this is an old name",
                    };
                    self.report.key_warn(line, &self.name(written), cause, format!("write `{name}`"));
                }
                None => {
                    let nearest = self.schema.nearest(written);
                    self.suggested.extend(nearest);
                    let remedy = self.suggestion(written, value.get_ref(), nearest);
                    self.report.key_error(
                        line,
                        &self.name(&display_key(written)),
                        "there is no such key",
                        remedy,
                    );
                }
            }
        }
    }

    fn suggestion(&self, written: &str, value: &DeValue<'_>, nearest: Option<&str>) -> String {
        let home = schema::table_of(written).filter(|home| *home != self.schema.path);
        match (home, nearest) {
            // `[rule]` or `[[users]]`.
            (Some(home), _) if value.is_table() || has_tables(value) => {
                let path = format!("{home}.{written}");
                if path == schema::RULE.path {
                    format!("write [[{path}]]")
                } else {
                    format!("write [{path}]")
                }
            }
            // `slack.token` below `[slack]`.
            _ if written == self.schema.path => {
                format!("under [{written}], write its keys without `{written}.`")
            }
            (Some(home), _) => format!("it belongs under [{home}]"),
            (None, Some(nearest)) if self.path.is_empty() => format!("did you mean [{nearest}]?"),
            (None, Some(nearest)) => format!("did you mean `{nearest}`?"),
            (None, None) => {
                let names: Vec<_> = self.schema.keys.iter().map(|key| key.name).collect();
                format!("known here: {}", names.join(", "))
            }
        }
    }

    /// How messages name a key of this table.
    pub(super) fn name(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// The value of a key under its present or an old name.
    fn find(&mut self, name: &'static str) -> Field<&'a DeValue<'t>> {
        debug_assert!(self.schema.keys.iter().any(|key| key.name == name), "{name} is not in the schema");
        let Some(table) = self.table else {
            return if self.is_valid { Field::Absent } else { Field::Bad };
        };
        let mut hits = Vec::new();
        for (key, value) in table {
            let written: &str = key.get_ref();
            if self.schema.find(written).is_some_and(|found| found.name() == name) {
                let line = self.document.lines.line(key.span().start);
                hits.push(Entry { value: value.get_ref(), key: self.name(written), line });
            }
        }
        hits.sort_by_key(|hit| hit.line);
        let mut hits = hits.into_iter();
        match (hits.next(), hits.next()) {
            (None, _) if self.suggested.contains(&name) => Field::Bad,
            (None, _) => Field::Absent,
            (Some(hit), None) => Field::Given(hit),
            (Some(first), Some(second)) => {
                let cause = format!("the same setting is in line {} as `{}`", first.line, first.key);
                self.report.key_error(Some(second.line), &second.key, cause, "keep one of them");
                Field::Bad
            }
        }
    }

    fn read<T>(
        &mut self,
        name: &'static str,
        wanted: &str,
        convert: impl FnOnce(&'a DeValue<'t>) -> Option<T>,
    ) -> Field<T> {
        match self.find(name) {
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
            Field::Given(entry) => match convert(entry.value) {
                Some(value) => Field::Given(Entry { value, key: entry.key, line: entry.line }),
                None => {
                    report_wrong_type(self.report, entry.line, &entry.key, entry.value, wanted);
                    Field::Bad
                }
            },
        }
    }

    pub(super) fn text(&mut self, name: &'static str) -> Field<String> {
        let field = self.secret(name);
        self.refuse_unusable(field)
    }

    /// A text that may be a secret.
    pub(super) fn secret(&mut self, name: &'static str) -> Field<String> {
        self.read(name, "a text in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// What is there without effect: its text, if it is one.
    pub(super) fn ignored(&mut self, name: &'static str) -> Field<String> {
        let field = self.read(name, "anything", |value| Some(value.as_str().unwrap_or_default().to_owned()));
        self.refuse_unusable(field)
    }

    /// No text of a single value is a secret, or has characters that its reader does not see. Of lists the readers of their
    /// items find the latter.
    fn refuse_unusable(&mut self, field: Field<String>) -> Field<String> {
        match &field {
            Field::Given(Entry { value, key, line })
                if report_misplaced_secret(self.report, *line, key, value)
                    || report_unseen(self.report, *line, key, value) =>
            {
                Field::Bad
            }
            _ => field,
        }
    }

    pub(super) fn flag(&mut self, name: &'static str) -> Field<bool> {
        self.read(name, "true or false", DeValue::as_bool)
    }

    /// A number that has too many digits is the nearest that has not, and so beyond every limit.
    pub(super) fn number(&mut self, name: &'static str) -> Field<i64> {
        self.read(name, "a whole number", |value| {
            let integer = value.as_integer()?;
            match i64::from_str_radix(integer.as_str(), integer.radix()) {
                Ok(number) => Some(number),
                Err(error) if *error.kind() == IntErrorKind::PosOverflow => Some(i64::MAX),
                Err(error) if *error.kind() == IntErrorKind::NegOverflow => Some(i64::MIN),
                Err(_) => None,
            }
        })
    }

    /// One text or a list of texts; those of the wrong type are reported and left out.
    pub(super) fn texts(&mut self, name: &'static str) -> Field<Vec<Entry<String>>> {
        match self.find(name) {
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
            Field::Given(entry) => match texts_of(self.document, self.report, &entry) {
                Some(value) => Field::Given(Entry { value, key: entry.key, line: entry.line }),
                None => Field::Bad,
            },
        }
    }

    /// A table below this one, to be read by its schema. An absent table reads as an empty one.
    pub(super) fn section(&mut self, schema: &'static Table, name: &'static str) -> TableReader<'_, 't> {
        let (table, line, sound) = match self.read(name, TABLE, |value| value.as_table()) {
            Field::Absent => (None, None, true),
            Field::Bad => (None, None, false),
            Field::Given(entry) => (Some(entry.value), Some(entry.line), true),
        };
        let path = self.name(name);
        let mut reader = TableReader::new(schema, path, line, table, self.document, self.report);
        reader.is_valid = sound;
        reader
    }

    /// A table whose keys are free, such as roles: each with its texts.
    pub(super) fn free_table(&mut self, name: &'static str) -> Field<Vec<FreeEntry>> {
        let document = self.document;
        match self.read(name, TABLE, |value| value.as_table()) {
            Field::Absent => Field::Absent,
            Field::Bad => Field::Bad,
            Field::Given(Entry { value: table, key: path, line }) => {
                let mut entries = Vec::new();
                for (key, value) in table {
                    let name: &str = key.get_ref();
                    let line = document.lines.line(key.span().start);
                    let key = format!("{path}.{}", display_key(name));
                    if report_misplaced_secret(self.report, line, &key, name) {
                        continue;
                    }
                    let entry = Entry { value: value.get_ref(), key: key.clone(), line };
                    if let Some(value) = texts_of(document, self.report, &entry) {
                        entries.push(FreeEntry {
                            name: name.to_owned(),
                            texts: Entry { value, key, line },
                            is_list: entry.value.is_array(),
                        });
                    }
                }
                entries.sort_by_key(|entry| entry.texts.line);
                Field::Given(Entry { value: entries, key: path, line })
            }
        }
    }

    /// The tables of `[[name]]`, in order, each handed to `read`; `None` if it is not written so.
    pub(super) fn each<T>(
        &mut self,
        schema: &'static Table,
        name: &'static str,
        mut read: impl FnMut(&mut TableReader<'_, 't>) -> T,
    ) -> Option<Vec<T>> {
        let tables = self.read(name, "a table in double brackets, [[review.rule]]", |value| {
            value.as_array()?.iter().map(table_with_span).collect::<Option<Vec<_>>>()
        });
        let Entry { value: tables, key: path, .. } = match tables {
            Field::Absent => return Some(Vec::new()),
            Field::Bad => return None,
            Field::Given(entry) => entry,
        };
        let mut out = Vec::new();
        for (number, (table, offset)) in tables.into_iter().enumerate() {
            let line = self.document.lines.line(offset);
            let path = format!("{path}[{}]", number + 1);
            let mut reader =
                TableReader::new(schema, path, Some(line), Some(table), self.document, self.report);
            out.push(read(&mut reader));
        }
        Some(out)
    }
}

/// One key of a table whose keys are free.
#[derive(Clone, Debug)]
pub(super) struct FreeEntry {
    /// The key as written.
    pub(super) name: String,
    pub(super) texts: Entry<Vec<Entry<String>>>,
    pub(super) is_list: bool,
}

fn table_with_span<'a, 't>(value: &'a Spanned<DeValue<'t>>) -> Option<(&'a DeTable<'t>, usize)> {
    Some((value.get_ref().as_table()?, value.span().start))
}

fn texts_of(
    document: &Document<'_>,
    report: &mut Report,
    entry: &Entry<&DeValue<'_>>,
) -> Option<Vec<Entry<String>>> {
    const WANTED: &str = "a text in quotes or a list of them";
    match entry.value {
        DeValue::String(text) if report_misplaced_secret(report, entry.line, &entry.key, text) => None,
        DeValue::String(text) => {
            let entry = Entry { value: text.to_string(), key: entry.key.clone(), line: entry.line };
            Some(vec![entry])
        }
        DeValue::Array(items) => {
            let mut texts = Vec::new();
            let mut sound = true;
            for item in items.iter() {
                let line = document.lines.line(item.span().start);
                match item.get_ref().as_str() {
                    Some(text) if report_misplaced_secret(report, line, &entry.key, text) => sound = false,
                    Some(text) => {
                        texts.push(Entry { value: text.to_owned(), key: entry.key.clone(), line });
                    }
                    None => {
                        report_wrong_type(report, line, &entry.key, item.get_ref(), WANTED);
                        sound = false;
                    }
                }
            }
            // A list that only held what was refused must not be called empty on top of it.
            (sound || !texts.is_empty()).then_some(texts)
        }
        other => {
            report_wrong_type(report, entry.line, &entry.key, other, WANTED);
            None
        }
    }
}

/// Whether a text holds a secret that does not belong there; then it is reported, without being shown.
fn report_misplaced_secret(report: &mut Report, line: usize, key: &str, text: &str) -> bool {
    let Some(kind) = secret_in(text) else { return false };
    let cause = format!("this looks like {}, which does not belong here", kind.description());
    report.error(Some(line), key, cause, kind.remedy());
    true
}

fn report_wrong_type(report: &mut Report, line: usize, key: &str, value: &DeValue<'_>, wanted: &str) {
    let found = match value {
        DeValue::String(_) => "a text in quotes",
        DeValue::Integer(_) => "a number without quotes",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false without quotes",
        DeValue::Datetime(_) => "a date or time without quotes",
        DeValue::Array(_) if has_tables(value) => "a list of tables",
        DeValue::Array(_) => "a list",
        DeValue::Table(_) => "a table",
    };
    let is_bare = ["true", "a whole"].iter().any(|word| wanted.starts_with(word));
    let bare = if is_bare && matches!(value, DeValue::String(_)) { ", without quotes" } else { "" };
    let remedy = match value {
        DeValue::Array(_) if wanted == TABLE && has_tables(value) => {
            format!("write all its keys below one line [{key}], with single brackets")
        }
        _ => format!("it must be {wanted}{bare}"),
    };
    report.error(Some(line), key, format!("this is {found}"), remedy);
}

/// Whether it is what `[[…]]` makes.
fn has_tables(value: &DeValue<'_>) -> bool {
    value.as_array().is_some_and(|items| items.iter().any(|item| item.get_ref().is_table()))
}

/// A key that the operator chose, or that is not in the schema, for a message: short, on one line, and no secret that was
/// pasted in its place.
fn display_key(written: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let quoted = quote(written);
    match quoted.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(inside) if !inside.is_empty() && inside.chars().all(plain) => inside.to_owned(),
        _ => quoted,
    }
}
