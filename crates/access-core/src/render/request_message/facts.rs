//! The lines that the Go plugin's message lacks: resources, times, and who could not be notified.

use jiff::Timestamp;

use super::super::mrkdwn::{ListLimits, Mrkdwn};
use super::{MAX_NAME, MessageInput, add_in_parentheses};
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::UnnotifiedReviewers;
use crate::domain::request::{RequestKind, Resource};

const RESOURCES: ListLimits = ListLimits { separator: ", ", items: 25, each: 300, total: 1_800 };
const UNNOTIFIED: ListLimits = ListLimits { separator: ", ", items: 5, each: 80, total: 400 };

/// What the Go plugin's message lacks; of a decided request only what still matters.
pub(super) fn details(view: &MessageInput<'_>, unnotified: Option<&UnnotifiedReviewers>) -> Mrkdwn {
    let request = view.request;
    let pending = view.phase.is_open();
    let mut lines = Mrkdwn::default();
    if !request.resources.is_empty() {
        lines.trusted("*Resources*: ").list(request.resources.iter().map(resource), RESOURCES).trusted("\n");
    }
    if pending || view.phase == Phase::Approved {
        // Permanent access has no end, whatever the request says of itself.
        if let Some(until) = request.access_until.filter(|_| request.kind != RequestKind::LongTerm) {
            lines.trusted("*Access until*: ").date(until);
            let length =
                request.assume_start.or(request.created).and_then(|from| format_duration(from, until));
            add_in_parentheses(&mut lines, &length.unwrap_or_default(), MAX_NAME);
            lines.trusted("\n");
        }
        if let Some(start) = request.assume_start {
            lines.trusted("*Starts*: ").date(start).trusted("\n");
        }
    }
    if pending {
        if let Some(expires) = request.expires {
            lines.trusted("*Request expires*: ").date(expires).trusted("\n");
        }
        match request.kind {
            RequestKind::Unstated => {}
            RequestKind::Unknown(number) => {
                lines.trusted("*Kind*: ").untrusted(&number.to_string(), MAX_NAME);
                lines.trusted(" (this version of teleport-slack does not know it; decide it in Teleport)\n");
            }
            RequestKind::ShortTerm => {
                lines.trusted("*Kind*: temporary\n");
            }
            RequestKind::LongTerm => {
                lines.trusted("*Kind*: permanent (long-term; decide it in Teleport's web UI)\n");
            }
        }
        if let Some(unnotified) = unnotified.filter(|unnotified| !unnotified.is_empty()) {
            lines.trusted("*Could not be told*: ").list(unnotified.names(), UNNOTIFIED);
            if unnotified.more() > 0 {
                lines.trusted(" and ").number(unnotified.more()).trusted(" more");
            }
            lines.trusted("\n");
        }
    }
    lines
}

pub(super) fn resource(resource: &Resource) -> String {
    let Resource { cluster, kind, name, sub_resource } = resource;
    let slash = if sub_resource.is_empty() { "" } else { "/" };
    format!("{kind} {name}{slash}{sub_resource} ({cluster})")
}

/// `2 d 4 h`, `8 h`, `1 h 30 min`: the two largest units, to the minute. `None` if `until` is not later.
pub(super) fn format_duration(from: Timestamp, until: Timestamp) -> Option<String> {
    // The server's two clocks readings are some milliseconds apart, so the nearest minute is meant.
    let minutes = (until.as_second() - from.as_second() + 30) / 60;
    let units = [(minutes / 1_440, "d"), (minutes / 60 % 24, "h"), (minutes % 60, "min")];
    let largest = units.iter().position(|(count, _)| *count > 0)?;
    let words: Vec<_> = units
        .iter()
        .skip(largest)
        .take(2)
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    Some(words.join(" "))
}
