//! How an explanation is shown: as text for people, or as JSON, whose form `docs/explain.md` publishes.

use std::borrow::Cow;
use std::fmt::Write;
use std::path::Path;

use jiff::Timestamp;
use serde::Serialize;

use super::explanation::{
    CandidatePart, CountPart, DecidingPart, Explanation, MessagePart, NotNotifiedPart, OperationPart,
    RequestPart,
};
use crate::check::output::Style;

/// The form of the JSON; a change that readers must know of counts it up.
const FORMAT: u32 = 1;

#[derive(Serialize)]
struct Json<'a> {
    format: u32,
    version: &'a str,
    config: Cow<'a, str>,
    exit_status: u8,
    #[serde(flatten)]
    explanation: &'a Explanation,
}

/// The explanation as one JSON object, indented, with a line break at its end.
pub fn json(explanation: &Explanation, config: &Path, exit_status: u8) -> String {
    let config = config.to_string_lossy();
    let whole = Json { format: FORMAT, version: env!("CARGO_PKG_VERSION"), config, exit_status, explanation };
    // Texts and numbers only: nothing here can fail to be JSON.
    serde_json::to_string_pretty(&whole).unwrap_or_default() + "\n"
}

/// The explanation as text.
pub fn text(explanation: &Explanation, style: Style) -> String {
    let mut page = Page { out: String::new(), style };
    request(&mut page, explanation);
    let Explanation { messages, not_notified, operations, claim, deciding, reached, not_visible, .. } =
        explanation;
    if explanation.request.phase.is_some() {
        page.section("Notified", messages.iter().flat_map(message), "no recipient");
        page.section("Not notified", not_notified.iter().flat_map(unnotified), "none");
        page.section("Left to do in Slack", operations.iter().map(operation), "nothing");
        let claim = claim.iter().map(|claim| claim.sentence.clone());
        page.section("Claim", claim, "no daemon works on the request at this moment");
        page.section("Deciding", decide(deciding), "");
    }
    let reached = [format!("Teleport {}", reached.teleport), format!("Slack {}", reached.slack)];
    page.section("Reached", reached.into_iter(), "");
    if !not_visible.is_empty() {
        page.section("Not visible from here", not_visible.iter().cloned(), "");
    }
    page.out
}

struct Page {
    out: String,
    style: Style,
}

impl Page {
    fn line(&mut self, indent: usize, text: &str) {
        let _ = writeln!(self.out, "{:indent$}{}", "", self.style.line(text));
    }

    /// A heading and its lines, or what stands for none.
    fn section(&mut self, heading: &str, lines: impl Iterator<Item = String>, none: &str) {
        self.line(0, &format!("{heading}:"));
        let mut is_empty = true;
        for line in lines {
            is_empty = false;
            // A line that belongs to the one before.
            match line.strip_prefix('\t') {
                Some(more) => self.line(6, more),
                None => self.line(2, &line),
            }
        }
        if is_empty {
            self.line(2, none);
        }
    }
}

fn time(at: Timestamp) -> String {
    format!("{at:.0}")
}

fn request(page: &mut Page, explanation: &Explanation) {
    let RequestPart { id, cluster, phase, user, roles, created, expires, sentence, .. } =
        &explanation.request;
    let title = phase.map(|phase| format!(": {phase}")).unwrap_or_default();
    page.line(0, &format!("Request {id} in the cluster {cluster}{title}"));
    if phase.is_some() {
        let roles = if roles.is_empty() { "no role".to_owned() } else { roles.join(", ") };
        let created = created.map(|at| format!(", made {}", time(at))).unwrap_or_default();
        let expires = expires.map(|at| format!(", expires {}", time(at))).unwrap_or_default();
        page.line(2, &format!("{user} asks for {roles}{created}{expires}"));
    }
    page.line(2, sentence);
    if !explanation.record.sentence.is_empty() && phase.is_some() {
        page.line(2, &explanation.record.sentence);
    }
}

/// A text, and in parentheses what else is known of it.
fn named<const N: usize>(id: &str, known: [Option<&str>; N]) -> String {
    let known: Vec<_> = known.into_iter().flatten().filter(|name| *name != id).collect();
    if known.is_empty() { id.to_owned() } else { format!("{id} ({})", known.join(", ")) }
}

fn message(message: &MessagePart) -> impl Iterator<Item = String> {
    let MessagePart {
        recipient,
        recipient_name,
        email,
        channel,
        channel_name,
        posted_at,
        shows,
        sentence,
        ..
    } = message;
    let place = match (recipient, channel_name) {
        (Some(recipient), _) if recipient == channel => String::new(),
        (recipient, Some(name)) if recipient.as_deref() != Some(&format!("#{name}")) => {
            format!(" in {channel} (#{name})")
        }
        _ => format!(" in {channel}"),
    };
    let recipient = match recipient {
        Some(recipient) => named(recipient, [recipient_name.as_deref(), email.as_deref()]),
        None => "a recipient who is not recorded".to_owned(),
    };
    let posted = posted_at.map(|at| format!(", posted {}", time(at))).unwrap_or_default();
    let shows = shows.map(|phase| format!(", shows {phase}")).unwrap_or_default();
    let first = format!("{recipient}{place}{posted}{shows}: {sentence}");
    std::iter::once(first).chain(message.link.iter().map(|link| format!("\t{link}")))
}

fn unnotified(part: &NotNotifiedPart) -> impl Iterator<Item = String> {
    let NotNotifiedPart { recipient, recipient_name, sentence, remedy, .. } = part;
    let first = match recipient {
        Some(recipient) => format!("{}: {sentence}", named(recipient, [recipient_name.as_deref()])),
        None => format!("all: {sentence}"),
    };
    std::iter::once(first).chain(remedy.iter().map(|remedy| format!("\tremedy: {remedy}")))
}

fn operation(part: &OperationPart) -> String {
    let OperationPart { operation, destination, destination_name, ts, sentence, .. } = part;
    let destination = named(destination, [destination_name.as_deref()]);
    let ts = ts.as_ref().map(|ts| format!(" {ts}")).unwrap_or_default();
    format!("{operation} {destination}{ts}: {sentence}")
}

fn decide(part: &DecidingPart) -> impl Iterator<Item = String> {
    let DecidingPart { mode, sentence, rules, approvals, denials, votes, reviews, may_decide } = part;
    let mut lines = vec![sentence.clone()];
    for rule in rules {
        let terms = match (rule.teleport_only, mode) {
            (true, _) => "leaves it to Teleport".to_owned(),
            (false, Some("reviewer")) => {
                "its approvers and counts have no effect, because Teleport judges".to_owned()
            }
            (false, _) => {
                let approvers = rule.approvers.join(", ");
                format!("{approvers}; approvals {}, denials {}", rule.approvals, rule.denials)
            }
        };
        lines.push(format!("rule {} (roles {}): {terms}", rule.number, rule.roles.join(", ")));
    }
    let count = |count: &CountPart, what: &str| {
        format!("{what}: {} of {}, missing: {}", count.counted, count.needed, count.missing)
    };
    lines.extend(approvals.iter().map(|approvals| count(approvals, "approvals")));
    lines.extend(denials.iter().map(|denials| count(denials, "denials")));
    for vote in votes {
        lines.push(format!(
            "vote of {} ({}): {} at {} in {}, {}",
            vote.teleport_user,
            [Some(vote.slack_user.as_str()), vote.slack_user_name.as_deref()]
                .into_iter()
                .flatten()
                .collect::<Vec<_>>()
                .join(", "),
            vote.decision,
            time(vote.at),
            named(&vote.channel, [vote.channel_name.as_deref()]),
            vote.sentence
        ));
    }
    for review in reviews {
        let at = review.at.map(|at| format!(" at {}", time(at))).unwrap_or_default();
        lines.push(format!("review of {} in Teleport: {}{at}", review.teleport_user, review.decision));
    }
    if !may_decide.is_empty() {
        let names: Vec<_> = may_decide.iter().map(candidate).collect();
        lines.push(format!("may still decide: {}", names.join(", ")));
    }
    lines.into_iter()
}

fn candidate(part: &CandidatePart) -> String {
    let groups = part.groups.join(", ");
    match (&part.teleport_user, part.groups.is_empty()) {
        (Some(user), true) => user.clone(),
        (Some(user), false) => format!("{user} (if a member of {groups})"),
        (None, _) => format!("members of the user group {groups}"),
    }
}
