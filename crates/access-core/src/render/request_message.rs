//! The message about one access request, in every status.
//!
//! The second and third block say what the Go plugin's message says, in the same words and lines, because people
//! and scripts look for them; so does the first while a role is waited for. What that plugin's message lacks has
//! blocks of its own. Other layers decide when a message is shown
//! ([`crate::domain::lifecycle`], [`crate::plan`]); how text is made harmless, in [`super::mrkdwn`].
//!
//! The shares of foreign text below add up to less than 3,000 units for each block, so nothing of ours is ever
//! left out; the tests measure it with text that fills every share.

use std::collections::BTreeSet;

use super::blocks::{Block, Message};
use super::elements::{Button, Confirm, Plain};
use super::mrkdwn::{ListLimits, Mrkdwn, WebUrl};
use crate::domain::decision::Decision;
use crate::domain::ids::MAX_ID_LEN;
use crate::domain::lifecycle::Phase;
use crate::domain::recipients::UnnotifiedReviewers;
use crate::domain::request::{AccessRequest, RequestKind, RequestState, Threshold};
use crate::interaction::shown_cluster::{CLUSTER, MAX_CLUSTER, ShownCluster};
use crate::policy::Tally;
use crate::record::votes::Votes;

/// Everything a request message is made of.
#[derive(Clone, Copy, Debug)]
pub struct MessageInput<'a> {
    /// The request; its own `state` is not looked at.
    pub request: &'a AccessRequest,
    /// The phase that the message shows.
    pub phase: Phase,
    /// The Teleport cluster's name.
    pub cluster: &'a str,
    /// How a request is decided outside Slack.
    pub edition: Edition<'a>,
}

/// How a request is decided in Teleport itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edition<'a> {
    /// By administrators with `tctl`: the community edition refuses reviews, and its web UI has no page for a request.
    Community,
    /// By reviewers, with `tsh` or in the web UI.
    Enterprise {
        /// `host`, `host:port` or an `https` address of the web UI; a link to it replaces the commands. An address that
        /// cannot be linked safely counts as none.
        web_proxy: Option<&'a str>,
    },
}

/// What a message shows of deciding in Slack; by default nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ReviewSection<'a> {
    /// What can be pressed, as long as the request is pending.
    pub controls: Controls<'a>,
    /// How far the votes are, where the daemon counts them.
    pub tally: Option<Tally>,
    /// The votes given in Slack.
    pub votes: Option<&'a Votes>,
    /// Suggested reviewers who could not be notified.
    pub unnotified: Option<&'a UnnotifiedReviewers>,
}

/// What can be pressed on a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Controls<'a> {
    /// Nothing.
    #[default]
    None,
    /// The way to Teleport's web UI, if it is known, and why nothing can be decided here.
    Link(NoButtons<'a>),
    /// Approve, Deny, and the way to Teleport's web UI.
    Buttons {
        /// Whether Slack asks "are you sure?".
        confirm: bool,
    },
}

impl Controls<'_> {
    /// One of each layout: what a link's reason says is a text in it.
    pub(super) const ALL_KINDS: [Self; 4] = [
        Self::Buttons { confirm: true },
        Self::Buttons { confirm: false },
        Self::Link(NoButtons::TeleportOnly),
        Self::None,
    ];
}

/// Why a pending request cannot be decided on this message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoButtons<'a> {
    /// Its reader made the request.
    SelfReview,
    /// Its reader may have made the request: another program sent the message and did not record its recipient, or Slack does not
    /// show whose direct message it is.
    UnknownRecipient,
    /// No rule matches this role.
    NoMatchingRule {
        /// The name of the role.
        role: &'a str,
    },
    /// It names no role, so no rule applies.
    NoRole,
    /// There are no rules, so suggested reviewers would decide, and none is suggested.
    NoSuggestedReviewer,
    /// No user can decide in Slack, because Teleport lacks something.
    NotPossible,
    /// A rule leaves it to Teleport.
    TeleportOnly,
    /// It is for permanent access; the message says so anyway.
    LongTerm,
    /// It is of a kind that this version does not know; the message says so anyway.
    UnknownKind,
}

/// Sign and word, as the Go plugin writes them where it knows the phase.
pub(super) fn status_label(phase: Phase) -> &'static str {
    match phase {
        Phase::Pending => "⏳ PENDING",
        Phase::Approved => "✅ APPROVED",
        Phase::Denied => "❌ DENIED",
        Phase::Promoted => "⏫ PROMOTED",
        Phase::Expired | Phase::Deleted => "⌛ EXPIRED",
        Phase::Unknown => "❔ UNKNOWN",
    }
}

/// The review that led here, if reviews lead here.
fn outcome(phase: Phase) -> Option<RequestState> {
    match phase {
        Phase::Approved => Some(RequestState::Approved),
        Phase::Denied => Some(RequestState::Denied),
        Phase::Pending | Phase::Promoted | Phase::Expired | Phase::Deleted | Phase::Unknown => None,
    }
}

mod facts;

const MAX_ID: usize = MAX_ID_LEN;
const MAX_NAME: usize = 256;
const MAX_ROLE: usize = 128;
const MAX_LIST: usize = 128;
const MAX_REASON: usize = 1_400;
const MAX_RESOLVE_REASON: usize = 500;
const MAX_COMMAND: usize = 120;
const ROLES: ListLimits = ListLimits { separator: ",", items: 100, each: 128, total: 700 };
const DECIDERS: ListLimits = ListLimits { separator: ", ", items: 5, each: MAX_NAME, total: 1_500 };

/// Shares of the fallback text, which is read aloud and shown in notifications: never more than 800 units.
mod brief {
    use super::ListLimits;

    pub(super) const CLUSTER: usize = 50;
    pub(super) const NAME: usize = 80;
    pub(super) const LIST: usize = 60;
    pub(super) const REASON: usize = 120;
    pub(super) const ROLES: ListLimits = ListLimits { separator: ", ", items: 5, each: 60, total: 100 };
    pub(super) const RESOURCES: ListLimits = ListLimits { separator: ", ", items: 3, each: 80, total: 100 };
}

/// Shares of the confirmation's 300 units.
mod confirm {
    pub(super) const USER: usize = 90;
    pub(super) const ROLES: usize = 20;
    pub(super) const ALL_ROLES: usize = 180;
}

/// The message for `view` where nothing is decided in Slack.
pub fn request_message(view: &MessageInput<'_>) -> Message {
    request_message_with_review(view, &ReviewSection::default())
}

/// The message for `view` with what there is of deciding in Slack.
pub fn request_message_with_review(view: &MessageInput<'_>, review: &ReviewSection<'_>) -> Message {
    let mut blocks = vec![
        Block::section(headline(view)),
        Block::section(request_lines(view)),
        Block::context(vec![status_line(view)]),
    ];
    let mut notes = vec![
        explanation(view),
        progress(view, review.tally),
        deciders(view, review.votes),
        no_buttons(view, review.controls),
    ];
    notes.retain(|note| !note.is_empty());
    if !notes.is_empty() {
        blocks.push(Block::context(notes));
    }
    let facts = facts::details(view, review.unnotified);
    if !facts.is_empty() {
        blocks.push(Block::section(facts));
    }
    if view.phase.is_open() {
        blocks.extend(Block::actions(buttons(view, review.controls)));
    }
    Message::new(summary(view), blocks)
}

fn headline(view: &MessageInput<'_>) -> Mrkdwn {
    let request = view.request;
    let subject = match request.kind {
        RequestKind::LongTerm => "Request for permanent access",
        RequestKind::Unknown(_) => "request of a kind that I do not know",
        RequestKind::Unstated | RequestKind::ShortTerm if request.resources.is_empty() => "Role Request",
        RequestKind::Unstated | RequestKind::ShortTerm => "Resource Request",
    };
    let mut line = Mrkdwn::default();
    line.trusted(match request.kind {
        _ if !view.phase.is_open() => "This ",
        // No reader is asked for a decision of an unknown kind.
        RequestKind::Unknown(_) => "There is a ",
        _ => "You have a new ",
    });
    line.trusted(subject);
    line.trusted(match view.phase {
        Phase::Pending => ":",
        Phase::Approved => " was approved:",
        Phase::Denied => " was denied:",
        Phase::Promoted => " became membership of an access list:",
        Phase::Expired => " has expired:",
        Phase::Deleted => " was deleted in Teleport:",
        Phase::Unknown => " is in a state that I do not know:",
    });
    line
}

fn buttons(view: &MessageInput<'_>, controls: Controls<'_>) -> Vec<Button> {
    let id = &view.request.id;
    let mut buttons = Vec::new();
    if let Controls::Buttons { confirm } = controls {
        for decision in [Decision::Approve, Decision::Deny] {
            let confirm = confirm.then(|| confirmation(view.request, decision));
            buttons.extend(Button::decide(decision, id, confirm));
        }
    }
    if controls != Controls::None
        && let Some(url) = request_page(view)
    {
        buttons.push(Button::link(Plain::of("Open in Teleport"), &url));
    }
    buttons
}

/// Names who would get what: the person may have many messages on the screen.
fn confirmation(request: &AccessRequest, decision: Decision) -> Confirm {
    let title = match decision {
        Decision::Approve => "Approve this request?",
        Decision::Deny => "Deny this request?",
    };
    let mut text = Plain::default();
    text.untrusted(&request.user, confirm::USER).trusted(match decision {
        Decision::Approve => " gets: ",
        Decision::Deny => " does not get: ",
    });
    // Joining megabytes only to cut them would cost more than it shows.
    let shown: Vec<_> = request.roles.iter().take(confirm::ROLES).map(String::as_str).collect();
    let more = if request.roles.len() > shown.len() { ", and more" } else { "" };
    text.untrusted(&shown.join(", "), confirm::ALL_ROLES).trusted(more).trusted(".");
    Confirm::new(decision, Plain::of(title), text)
}

/// The same in short and without blocks, for when Slack refuses them.
pub fn fallback_message(view: &MessageInput<'_>) -> Message {
    let mut text = summary(view);
    text.trusted("\n");
    add_ways_to_decide(&mut text, view);
    Message::plain(text)
}

fn request_lines(view: &MessageInput<'_>) -> Mrkdwn {
    let request = view.request;
    let mut lines = Mrkdwn::default();
    lines.trusted("*ID*: ").untrusted(request.id.as_str(), MAX_ID).trusted("\n");
    add_cluster(&mut lines, view.cluster);
    lines.trusted("\n");
    lines.trusted("*User*: ").untrusted(&request.user, MAX_NAME).trusted("\n");
    lines.trusted("*Role(s)*: ").list(&request.roles, ROLES).trusted("\n");
    if has_text(&request.reason) {
        lines.trusted("*Reason*: ").untrusted(&request.reason, MAX_REASON).trusted("\n");
    }
    add_ways_to_decide(&mut lines, view);
    lines
}

fn add_cluster(line: &mut Mrkdwn, cluster: &str) {
    line.trusted(CLUSTER).untrusted(cluster, MAX_CLUSTER);
}

/// The cluster's name as a message shows it.
pub fn shown_cluster(cluster: &str) -> ShownCluster {
    let mut line = Mrkdwn::default();
    add_cluster(&mut line, cluster);
    ShownCluster::from_line(line.as_str()).unwrap_or_default()
}

/// The link stays when the request is decided, the commands do not.
fn add_ways_to_decide(lines: &mut Mrkdwn, view: &MessageInput<'_>) {
    let Some(id) = view.request.id.as_token() else { return };
    if let Some(url) = request_page(view) {
        lines.trusted("*Link*: ").link(&url).trusted("\n");
    } else if view.phase.is_open() && !matches!(view.request.kind, RequestKind::Unknown(_)) {
        let (approve, deny) = match view.edition {
            Edition::Community => (format!("tctl request approve {id}"), format!("tctl request deny {id}")),
            Edition::Enterprise { .. } => {
                (format!("tsh request review --approve {id}"), format!("tsh request review --deny {id}"))
            }
        };
        lines.trusted("*Approve*: ").code(&approve, MAX_COMMAND).trusted("\n");
        lines.trusted("*Deny*: ").code(&deny, MAX_COMMAND).trusted("\n");
    }
}

fn status_line(view: &MessageInput<'_>) -> Mrkdwn {
    let mut line = Mrkdwn::default();
    line.trusted("*Status:* ").trusted(status_label(view.phase));
    add_resolve_reason(&mut line, view, MAX_RESOLVE_REASON);
    line
}

/// A reason for a decision that does not stand would only mislead.
fn add_resolve_reason(line: &mut Mrkdwn, view: &MessageInput<'_>, max: usize) {
    match view.phase {
        Phase::Approved | Phase::Denied | Phase::Promoted => {
            add_in_parentheses(line, &view.request.resolve_reason, max);
        }
        Phase::Pending | Phase::Expired | Phase::Deleted | Phase::Unknown => {}
    }
}

/// What the status does not say: the Go plugin knows no access lists, and calls expired whatever vanished undecided.
fn explanation(view: &MessageInput<'_>) -> Mrkdwn {
    let mut line = Mrkdwn::default();
    match view.phase {
        Phase::Promoted => {
            if let Some(list) = access_list(view.request) {
                line.trusted("To access list “").untrusted(list, MAX_LIST).trusted("”");
            }
        }
        Phase::Deleted => {
            line.trusted("Deleted in Teleport before it was decided.");
        }
        Phase::Unknown => {
            line.trusted("Teleport gives it a state that this version of teleport-slack does not know");
            if let RequestState::Unknown(number) = view.request.state {
                add_in_parentheses(&mut line, &number.to_string(), MAX_NAME);
            }
            line.trusted("; look in Teleport what became of it.");
        }
        Phase::Pending | Phase::Approved | Phase::Denied | Phase::Expired => {}
    }
    line
}

fn access_list(request: &AccessRequest) -> Option<&str> {
    request.promoted_to.as_deref().filter(|list| has_text(list))
}

/// Why there is nothing to press, where deciding in Slack is on. It names no user: approvers are worth attacking.
fn no_buttons(view: &MessageInput<'_>, controls: Controls<'_>) -> Mrkdwn {
    let mut line = Mrkdwn::default();
    let Controls::Link(why) = controls else { return line };
    if !view.phase.is_open() {
        return line;
    }
    match why {
        NoButtons::SelfReview => line.trusted("No buttons: this is your own request; somebody else must decide it."),
        NoButtons::UnknownRecipient => line.trusted(
            "No buttons: it is not known whose direct message this is; if you did not ask for it, decide it in Teleport.",
        ),
        NoButtons::NoMatchingRule { role } => {
            line.trusted("No buttons: no rule lets anybody decide on role “").untrusted(role, MAX_ROLE);
            line.trusted("” in Slack; decide it in Teleport.")
        }
        NoButtons::NoRole => line.trusted("No buttons: the request names no role, so no rule applies to it; decide it in Teleport."),
        NoButtons::NoSuggestedReviewer => line.trusted(
            "No buttons: only suggested reviewers may decide in Slack, and this request has none; decide it in Teleport.",
        ),
        NoButtons::NotPossible => line.trusted("No buttons: nobody can decide in Slack; decide it in Teleport."),
        NoButtons::TeleportOnly => line.trusted("No buttons: the rules leave this request to Teleport; decide it there."),
        // The line about its kind says where it is decided.
        NoButtons::LongTerm | NoButtons::UnknownKind => &mut line,
    };
    line
}

/// How far the votes are: as the daemon counts them, else as Teleport does.
fn progress(view: &MessageInput<'_>, counted: Option<Tally>) -> Mrkdwn {
    let mut line = Mrkdwn::default();
    let tally = counted.or_else(|| counted_by_teleport(view.request));
    let Some(tally) = tally.filter(|s| view.phase.is_open() && s.approvals_needed > 1) else {
        return line;
    };
    line.number(tally.approvals).trusted(" of ").number(tally.approvals_needed).trusted(" approvals");
    if tally.denials > 0 && tally.denials_needed > 0 {
        line.trusted(", ").number(tally.denials).trusted(" of ").number(tally.denials_needed);
        line.trusted(" denials");
    }
    line
}

/// Only where one plain threshold decides: several, or one with a filter, cannot be counted without evaluating
/// Teleport's predicates, and a wrong count is worse than none.
fn counted_by_teleport(request: &AccessRequest) -> Option<Tally> {
    let [Threshold { filter, approve, deny, .. }] = request.thresholds.as_slice() else { return None };
    filter.is_empty().then(|| Tally {
        approvals: authors(request, RequestState::Approved).len(),
        approvals_needed: *approve as usize,
        denials: authors(request, RequestState::Denied).len(),
        denials_needed: *deny as usize,
    })
}

fn deciders(view: &MessageInput<'_>, votes: Option<&Votes>) -> Mrkdwn {
    let mut line = Mrkdwn::default();
    let Some(outcome) = outcome(view.phase) else { return line };
    let mut names = authors(view.request, outcome);
    let reviewers = names.len();
    let settled = |votes: &&Votes| votes.decided_by().is_some_and(|vote| vote.decision.state() == outcome);
    for vote in votes.filter(settled).into_iter().flat_map(Votes::open) {
        if vote.decision.state() == outcome && !vote.ineligible && !names.contains(&vote.user.as_str()) {
            names.push(&vote.user);
        }
    }
    if !names.is_empty() {
        let all_in_slack = reviewers == 0;
        line.trusted("Decided by ").list(names, DECIDERS).trusted(if all_in_slack {
            " in Slack"
        } else {
            ""
        });
    }
    line
}

/// Who proposed `outcome`, each once, in the order of their first review.
fn authors(request: &AccessRequest, outcome: RequestState) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    let proposed = request.reviews.iter().filter(|review| review.proposed == outcome);
    proposed.map(|review| review.author.as_str()).filter(|author| seen.insert(*author)).collect()
}

/// The fallback. The status comes first and the requester's reason last, so that neither is forged by the other.
fn summary(view: &MessageInput<'_>) -> Mrkdwn {
    let request = view.request;
    let mut text = Mrkdwn::default();
    match (view.phase, access_list(request)) {
        (Phase::Deleted, _) => text.trusted("⌛ DELETED in Teleport before it was decided"),
        (Phase::Promoted, Some(list)) => {
            text.trusted("⏫ PROMOTED to access list “").untrusted(list, brief::LIST).trusted("”")
        }
        (phase, _) => text.trusted(status_label(phase)),
    };
    add_resolve_reason(&mut text, view, brief::REASON);
    text.trusted(": access request by ").untrusted(&request.user, brief::NAME);
    text.trusted(" for ").list(&request.roles, brief::ROLES);
    text.trusted(" on cluster ").untrusted(view.cluster, brief::CLUSTER);
    text.trusted(" (ID ").untrusted(request.id.as_str(), MAX_ID).trusted(").");
    if !request.resources.is_empty() {
        text.trusted(" Resources: ")
            .list(request.resources.iter().map(facts::resource), brief::RESOURCES)
            .trusted(".");
    }
    if has_text(&request.reason) {
        text.trusted(" Reason: ").untrusted(&request.reason, brief::REASON).trusted(".");
    }
    text
}

fn add_in_parentheses(line: &mut Mrkdwn, text: &str, max: usize) {
    if has_text(text) {
        line.trusted(" (").untrusted(text, max).trusted(")");
    }
}

fn has_text(text: &str) -> bool {
    !text.trim().is_empty()
}

/// The request's page in the web UI, if that has one.
fn request_page(view: &MessageInput<'_>) -> Option<WebUrl> {
    let Edition::Enterprise { web_proxy: Some(proxy) } = view.edition else { return None };
    let id = view.request.id.as_token()?;
    WebUrl::parse(&format!("{}/web/requests/{id}", proxy.trim_end_matches('/')))
}

#[cfg(test)]
mod tests;
