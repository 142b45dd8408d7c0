//! What is said of the request itself, of its record, and of what cannot be seen.

use access_core::domain::decision::Decision;
use access_core::domain::lifecycle::Phase;
use access_core::domain::request::AccessRequest;
use access_core::policy::deciders;
use jiff::SignedDuration;

use super::Facts;
use super::explanation::{RecordPart, RequestPart};

/// A request this old has its messages, unless something is in the way.
const POSTED_WITHIN: SignedDuration = SignedDuration::from_mins(1);

/// The request.
pub(super) fn request_part(facts: &Facts, current: Phase) -> RequestPart {
    let known = known(facts);
    RequestPart {
        id: facts.id.to_string(),
        cluster: facts.cluster.clone(),
        found: facts.view.listed.is_some(),
        phase: known.map(|_| current.as_str()),
        user: known.map(|request| request.user.clone()).unwrap_or_default(),
        roles: known.map(|request| request.roles.clone()).unwrap_or_default(),
        created: known.and_then(|request| request.created),
        expires: known.and_then(|request| request.expires),
        sentence: request_sentence(facts, known, current),
    }
}

/// The request as Teleport has it, else as the record remembers it.
fn known(facts: &Facts) -> Option<&AccessRequest> {
    facts.view.listed.as_ref().or(facts.view.record.known.as_ref())
}

fn request_sentence(facts: &Facts, known: Option<&AccessRequest>, current: Phase) -> String {
    let Facts { view, cluster, .. } = facts;
    let Some(request) = known else {
        return if view.is_absence_proved {
            format!(
                "Teleport has no access request with this id, and there is no record of it. {}, or it may be of another cluster \
                 than {cluster}: `tctl requests ls` shows each in full",
                missing_because(facts.id.as_str())
            )
        } else {
            "Teleport does not show a request with this id, and the plugin's rights do not prove that there is none: \
             `teleport-slack check` names the missing right"
                .to_owned()
        };
    };
    let by = |decision| {
        let names = deciders(Some(request), &view.record, decision);
        if names.is_empty() { String::new() } else { format!(" by {}", names.join(", ")) }
    };
    let state = match current {
        Phase::Pending => "waits for a decision".to_owned(),
        Phase::Approved => format!("was approved{}", by(Decision::Approve)),
        Phase::Denied => format!("was denied{}", by(Decision::Deny)),
        Phase::Promoted => "was promoted to membership of an access list".to_owned(),
        Phase::Expired => "has expired without a decision".to_owned(),
        Phase::Deleted => "was deleted before a decision".to_owned(),
        Phase::Unknown => "is in a state that this version does not know".to_owned(),
    };
    match (view.listed.is_some(), view.is_absence_proved) {
        (true, _) => format!("The request {state}"),
        (false, true) if current == Phase::Deleted => {
            "Teleport does not have the request any more, its time is not over, and the record has no decision: it was deleted, \
             unless it was decided and removed while no daemon ran"
                .to_owned()
        }
        (false, true) => {
            format!("Teleport does not have the request any more. By its record, the request {state}")
        }
        (false, false) => "Teleport does not show the request, and the plugin's rights do not prove that it is gone; what follows is \
                           what the record remembers"
            .to_owned(),
    }
}

/// Why Teleport may not have a request of this id, as far as the id itself shows it.
fn missing_because(id: &str) -> String {
    // As Teleport makes them: a UUID.
    let is_whole = id.len() == 36 && id.matches('-').count() == 4;
    let gone = "It may have expired and been removed";
    match id.to_lowercase() {
        small if small != id => format!("Ids have small letters: ask for {small}. {gone}"),
        _ if is_whole => gone.to_owned(),
        _ => format!("The id is not whole: it has not the form of a UUID. {gone}"),
    }
}

/// What the daemon remembers.
pub(super) fn record_part(facts: &Facts) -> RecordPart {
    let record = &facts.view.record;
    let from_go_plugin = record.is_from_go_plugin();
    let unreadable: Vec<String> = facts.view.invalid_keys.iter().map(|key| (*key).to_owned()).collect();
    let mut sentences = Vec::new();
    if !facts.view.has_record {
        sentences.push("There is no record: no daemon has posted about this request".to_owned());
    }
    if from_go_plugin {
        sentences.push(
            "Teleport's own plugin posted messages and did not record who its recipients are; this program keeps those messages \
             current"
                .to_owned(),
        );
    }
    if !unreadable.is_empty() {
        sentences.push(format!(
            "The record has values that cannot be read, under {}; the daemon ignores them and replaces them when it next writes",
            unreadable.join(", ")
        ));
    }
    if record.has_unreadable_votes() {
        sentences.push(
            "The votes in the record are of another version, so no vote is taken here: decide the request in Teleport"
                .to_owned(),
        );
    }
    RecordPart {
        found: facts.view.has_record,
        from_go_plugin,
        unreadable,
        unknown: record.other.keys().cloned().collect(),
        sentence: sentences.join(". "),
    }
}

/// What only a daemon's memory has, and what could not be read.
pub(super) fn not_visible(facts: &Facts) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(cause) = &facts.slack.failure {
        lines.push(format!(
            "Slack could not be asked, so there are no names and no links, and no recipient was looked up: {cause}"
        ));
    } else if !facts.view.is_all_known {
        lines.push("Not every look-up of a recipient in Slack ended in time".to_owned());
    }
    if let Some(cause) = facts.review.as_ref().and_then(|review| review.unread.as_ref()) {
        lines.push(format!(
            "Whether votes still count could not be looked up ({cause}); what was noted last is shown"
        ));
    }
    if facts.slack.unasked > 0 {
        lines.push(format!(
            "Names of further people and channels ({}) were not asked for",
            facts.slack.unasked
        ));
    }
    let is_open = !facts.view.plan.operations.is_empty();
    if is_open {
        lines.push(
            "Whether a daemon runs, which operation it tries again and when, rate limits (HTTP 429), turns in a channel: only its \
             memory has these. Its log at DEBUG shows what it does"
                .to_owned(),
        );
    }
    let created = facts.view.listed.as_ref().and_then(|request| request.created);
    let is_old = created.is_some_and(|created| facts.now.duration_since(created) > POSTED_WITHIN);
    if is_old && facts.view.plan.posts().next().is_some() {
        lines.push(
            "A daemon that runs posts within seconds unless something is in the way, and the request is older than that: look \
             whether one runs, at /readyz and in its log"
                .to_owned(),
        );
    }
    lines
}
