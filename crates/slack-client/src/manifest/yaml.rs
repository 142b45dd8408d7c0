//! JSON as YAML, for people to read. Every text is in double quotes, as in JSON, so that none is taken for something else.

use std::fmt::Write;

use serde_json::Value;

/// Words that older readers of YAML take for something else than text.
const NO_TEXT: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// The value in YAML 1.2, with a line feed at the end. Keys that are not plain words are in double quotes too.
pub fn to_yaml(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(fields) if !fields.is_empty() => write_below(value, 0, &mut out),
        Value::Array(items) if !items.is_empty() => write_below(value, 0, &mut out),
        other => drop(writeln!(out, "{other}")),
    }
    out
}

/// What stands on lines of its own.
fn write_below(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                let is_plain = !key.is_empty()
                    && !NO_TEXT.contains(&key.as_str())
                    && key.bytes().all(|c| c.is_ascii_lowercase() || c == b'_');
                let key = if is_plain { key.clone() } else { Value::from(key.as_str()).to_string() };
                let _ = write!(out, "{indent}{key}:");
                write_after(value, depth, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let _ = write!(out, "{indent}-");
                write_after(item, depth, out);
            }
        }
        scalar => drop(writeln!(out, "{indent}{scalar}")),
    }
}

/// What follows a key or a dash.
fn write_after(value: &Value, depth: usize, out: &mut String) {
    let is_nested = value.as_object().is_some_and(|fields| !fields.is_empty())
        || value.as_array().is_some_and(|items| !items.is_empty());
    if is_nested {
        out.push('\n');
        write_below(value, depth + 1, out);
    } else {
        // Scalars and empty containers are the same in JSON and YAML.
        let _ = writeln!(out, " {value}");
    }
}
