//! The lines of a card that the Go plugin's message lacks: resources, times, and who could not be told.

use jiff::Timestamp;

use super::super::mrkdwn::{ListRoom, Mrkdwn};
use super::{CardView, MAX_NAME, add_in_brackets};
use crate::lifecycle::Phase;
use crate::recipients::Untold;
use crate::request::{RequestKind, Resource};

const RESOURCES: ListRoom = ListRoom { separator: ", ", items: 25, each: 300, total: 1_800 };
const UNTOLD: ListRoom = ListRoom { separator: ", ", items: 5, each: 80, total: 400 };

/// What the Go plugin's message lacks; of a decided request only what still matters.
pub(super) fn facts(view: &CardView<'_>, untold: Option<&Untold>) -> Mrkdwn {
    let request = view.request;
    let pending = view.phase.is_open();
    let mut lines = Mrkdwn::default();
    if !request.resources.is_empty() {
        lines.ours("*Resources*: ").list(request.resources.iter().map(resource), RESOURCES).ours("\n");
    }
    if pending || view.phase == Phase::Approved {
        // Permanent access has no end, whatever the request says of itself.
        if let Some(until) = request.access_until.filter(|_| request.kind != RequestKind::LongTerm) {
            lines.ours("*Access until*: ").date(until);
            let length =
                request.assume_start.or(request.created).and_then(|from| length_in_words(from, until));
            add_in_brackets(&mut lines, &length.unwrap_or_default(), MAX_NAME);
            lines.ours("\n");
        }
        if let Some(start) = request.assume_start {
            lines.ours("*Starts*: ").date(start).ours("\n");
        }
    }
    if pending {
        if let Some(expires) = request.expires {
            lines.ours("*Request expires*: ").date(expires).ours("\n");
        }
        match request.kind {
            RequestKind::Unstated => {}
            RequestKind::Unknown(number) => {
                lines.ours("*Kind*: ").foreign(&number.to_string(), MAX_NAME);
                lines.ours(" (this version of teleport-slack does not know it; decide it in Teleport)\n");
            }
            RequestKind::ShortTerm => {
                lines.ours("*Kind*: temporary\n");
            }
            RequestKind::LongTerm => {
                lines.ours("*Kind*: permanent (long-term; decide it in Teleport's web UI)\n");
            }
        }
        if let Some(untold) = untold.filter(|untold| !untold.is_empty()) {
            lines.ours("*Could not be told*: ").list(untold.names(), UNTOLD);
            if untold.more() > 0 {
                lines.ours(" and ").number(untold.more()).ours(" more");
            }
            lines.ours("\n");
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
pub(super) fn length_in_words(from: Timestamp, until: Timestamp) -> Option<String> {
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
