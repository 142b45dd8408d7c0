//! From the errors and diagnostics of other parts to cause and remedy.

use std::error::Error;

use super::report::{Item, ItemId};
use crate::causes::Exit;
use crate::config::{Diagnostic, Topic};
use access_core::domain::error_chain::chain;

/// Why something does not work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Explained {
    pub(super) cause: String,
    pub(super) remedy: String,
}

/// An error that is written as `cause; remedy`, in these two parts; what lies behind it belongs to the cause.
pub(super) fn split_remedy(error: &dyn Error) -> Explained {
    let text = error.to_string();
    let (cause, remedy) = text.split_once("; ").unwrap_or((&text, "see the cause"));
    let cause = match error.source() {
        Some(source) => format!("{cause}: {}", chain(source)),
        None => cause.to_owned(),
    };
    Explained { cause, remedy: remedy.to_owned() }
}

/// What one diagnostic says.
pub(super) fn item(id: ItemId, found: &Diagnostic, is_error: bool) -> Item {
    let exit = match found.topic {
        Topic::NamedFile | Topic::Access => Exit::Credentials,
        Topic::Keys | Topic::Values => Exit::Configuration,
    };
    let line = found.line.map(|line| format!("line {line}")).unwrap_or_default();
    let make = if is_error { Item::failed } else { Item::warning };
    make(id, exit, line, &found.cause, &found.remedy).of(&found.key)
}
