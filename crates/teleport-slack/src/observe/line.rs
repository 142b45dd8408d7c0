//! The form of a log line: text for people, JSON for machines.
//!
//! Values come from outside (reasons, user names, answers of servers), so nothing in them may start a new line or
//! reach the terminal as a command. Where lines go is in `sink.rs`.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Level;
use tracing::field::{Field, Visit};

use super::last_errors::LoggedError;
use crate::config::LogFormat;
use crate::supervise::journal;
use access_core::domain::text::{self, truncate};

/// A value is cut after this many characters; the whole of it is never needed to understand a line.
const MAX_VALUE_CHARS: usize = 2000;

/// How lines look.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) format: LogFormat,
    pub(super) begin: Beginning,
}

/// What a line begins with.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beginning {
    /// The time.
    Time {
        /// Only for a terminal; ignored by JSON.
        color: bool,
    },
    /// The priority, for systemd's journal. It stamps the time itself, so a text has none; a JSON object keeps its form.
    Priority,
}

/// The message and the fields of an event, or the fields of a span.
#[derive(Clone, Debug, Default)]
pub(super) struct Fields {
    message: String,
    values: Vec<(&'static str, Value)>,
}

impl Fields {
    /// Takes over what an outer span has and this does not.
    pub(super) fn inherit(&mut self, outer: &Self) {
        for (name, value) in &outer.values {
            if !self.values.iter().any(|(known, _)| known == name) {
                self.values.push((name, value.clone()));
            }
        }
    }

    /// The same for those who look at the daemon and not at its log.
    pub(super) fn logged(self, at: Timestamp, level: Level) -> LoggedError {
        let fields = self.values.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        LoggedError { at, level, message: self.message, fields }
    }

    fn set(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(text)) => self.message = text,
            ("message", other) => self.message = other.to_string(),
            // The first line of its kind: there is nothing to say.
            ("suppressed", Value::Number(count)) if count.as_u64() == Some(0) => {}
            (name, value) => match self.values.iter_mut().find(|(known, _)| *known == name) {
                Some((_, old)) => *old = value,
                None => self.values.push((name, value)),
            },
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.set(field, Value::String(truncate(value, MAX_VALUE_CHARS)));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.set(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.set(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.set(field, value.into());
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.set(field, value.into());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        let mut text = value.to_string();
        let mut cause = value.source();
        while let Some(error) = cause {
            // Writing to a String cannot fail.
            let _ = write!(text, ": {error}");
            cause = error.source();
        }
        self.set(field, Value::String(truncate(&text, MAX_VALUE_CHARS)));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.set(field, Value::String(truncate(&format!("{value:?}"), MAX_VALUE_CHARS)));
    }
}

/// One finished line, with its line break.
pub(super) fn line(style: Style, now: Timestamp, level: Level, target: &str, fields: &Fields) -> String {
    let mut line = match (style.begin, style.format) {
        (Beginning::Priority, _) => journal::prefix(level).to_owned(),
        (Beginning::Time { .. }, LogFormat::Text) => format!("{} ", time(now)),
        (Beginning::Time { .. }, LogFormat::Json) => String::new(),
    };
    line.push_str(&match style.format {
        LogFormat::Text => text(matches!(style.begin, Beginning::Time { color: true }), level, fields),
        LogFormat::Json => json(now, level, target, fields),
    });
    line.push('\n');
    line
}

fn time(now: Timestamp) -> String {
    now.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// `INFO  Watcher connected after_ms=12`
fn text(color: bool, level: Level, fields: &Fields) -> String {
    let mut out = String::new();
    let (on, off) = if color { (color_code(level), "\u{1b}[0m") } else { ("", "") };
    // Writing to a String cannot fail.
    let _ = write!(out, "{on}{:<5}{off} {}", level.as_str(), text::escape_line(&fields.message));
    for (name, value) in &fields.values {
        let _ = write!(out, " {name}=");
        match value {
            Value::String(text) => push_value(&mut out, text),
            other => out.push_str(&other.to_string()),
        }
    }
    out
}

fn color_code(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        _ => "\u{1b}[34m",
    }
}

/// Bare if it reads as one word, else in quotes, so that no value can pass for another field.
fn push_value(out: &mut String, text: &str) {
    let is_plain = |(c, needs_escape): (char, bool)| {
        !needs_escape && !c.is_whitespace() && !matches!(c, '"' | '=' | '\\')
    };
    if !text.is_empty() && text::with_escapes(text).all(is_plain) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for (c, needs_escape) in text::with_escapes(text) {
        if matches!(c, '"' | '\\') {
            out.push('\\');
        }
        text::push(out, c, needs_escape);
    }
    out.push('"');
}

fn json(now: Timestamp, level: Level, target: &str, fields: &Fields) -> String {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        level: &'a str,
        message: &'a str,
        target: &'a str,
        fields: Map<String, Value>,
    }
    let line = Line {
        timestamp: time(now),
        level: level.as_str(),
        message: &fields.message,
        target,
        fields: fields.values.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
    };
    // Texts and numbers under text keys always serialize; an empty object is better than a panic in a log call.
    serde_json::to_string(&line).unwrap_or_else(|_| "{}".to_owned())
}

/// The line that takes the place of lines that could not be written.
pub(super) fn dropped_notice(style: Style, now: Timestamp, count: u64) -> String {
    let mut fields = Fields {
        message: "log lines were lost: the log was not read or not writable".to_owned(),
        values: Vec::new(),
    };
    fields.values.push(("lines", count.into()));
    line(style, now, Level::WARN, env!("CARGO_CRATE_NAME"), &fields)
}
