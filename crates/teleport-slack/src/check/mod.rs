//! `teleport-slack check`: looks at everything that the daemon needs, and says of each thing whether it is well.
//!
//! Facts are gathered first, at the edges; what they come to is decided by pure functions that tests can ask. A check changes
//! nothing. `report.rs` says what an item is, `output.rs` how it is shown, `offline.rs` looks at the configuration and the
//! files that it names, `online/` asks both sides. The daemon asks the same functions when it starts (`at_start`) and logs
//! what is not well.

mod access;
pub(crate) mod certificates;
mod explained;
pub mod offline;
pub mod online;
pub mod output;
mod placeholders;
pub mod report;
mod rules;

use tracing::{error, warn};

use crate::config::{Config, Parts};
use report::{Item, Status};

/// What the configuration itself shows; its diagnostics and the files that it names have lines of their own.
pub(crate) fn at_start(config: &Config) -> Vec<Item> {
    let parts = Parts::from(config);
    let mut items = placeholders::items(&parts);
    items.extend(rules::notification_items(&config.rules()));
    items.extend(config.review.as_ref().map(rules::review_items).unwrap_or_default());
    items
}

/// Logs what is not well.
pub(crate) fn log(items: &[Item]) {
    for item in items {
        let Some(problem) = &item.problem else { continue };
        let (check, subject) =
            (item.id.as_str(), (!item.subject.is_empty()).then_some(item.subject.as_str()));
        match item.status {
            Status::Failed => error!(check, subject, "Check: {}; {}", problem.cause, problem.remedy),
            Status::Warning | Status::Ok => {
                warn!(check, subject, "Check: {}; {}", problem.cause, problem.remedy);
            }
        }
    }
}
