//! What needs a person, the worst first, each with its remedy.

use super::moment::Moment;
use super::view::{Problem, SideState, View, sentence};
use crate::observe::health::Health;

/// A certificate that lives no longer is not being renewed: `tbot` renews after a third of its hour.
const CERTIFICATE_LEFT_S: i64 = 15 * 60;
/// Operations that failed and wait for longer are said.
const WAITS_S: u64 = 60;
/// Problems that are said of channels that refuse; the page lists all of these.
const MAX_CIRCUITS: usize = 5;

pub(super) fn problems(
    view: &View,
    health: &Health,
    is_controller_silent: bool,
    moment: Moment,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |what: String, remedy: String| found.push(Problem { what: sentence(what), remedy });
    for obstacle in health.obstacles(moment.now, moment.time) {
        add(obstacle.cause, obstacle.remedy.to_owned());
    }
    if is_controller_silent {
        let remedy = "restart the daemon, and report it with its log: it is a bug";
        add("the controller does not answer, so nothing is shown of requests".to_owned(), remedy.to_owned());
    }
    if view.slack.state == SideState::Away {
        let cause = view.slack.error.as_deref().unwrap_or("no answer");
        let remedy = "nothing is lost: what is due waits; look at https://slack-status.com and at this machine's way out";
        add(format!("Slack does not answer: {cause}"), remedy.to_owned());
    }
    if let Some(left) = view.teleport.certificate_left_s.filter(|left| (1..CERTIFICATE_LEFT_S).contains(left))
    {
        let remedy = "renew the identity that [teleport] names (tbot's log says why it does not); it is taken up without a restart";
        add(format!("the certificate for Teleport expires in {left} s"), remedy.to_owned());
    }
    if let Some(circuits) = &view.circuits {
        for circuit in circuits.items.iter().take(MAX_CIRCUITS) {
            let what = format!(
                "Slack refuses messages for {} ({} times in a row)",
                circuit.channel, circuit.failures
            );
            let remedy = "invite the bot there, unarchive the channel, or allow the app to post in it: the last errors give Slack's reason; the next request for it is tried at once";
            add(what, remedy.to_owned());
        }
    }
    if !view.configuration.refusal.items.is_empty() {
        let first = &view.configuration.refusal.items[0];
        let more = match view.configuration.refusal.total {
            1 => String::new(),
            total => format!(" (and {} more)", total - 1),
        };
        let remedy = "correct the file; until then the configuration of before is in use";
        add(format!("the configuration is refused: {first}{more}"), remedy.to_owned());
    }
    let is_late = |waiting: &&super::view::Waiting| waiting.attempts > 0 && waiting.waits_s > WAITS_S;
    let late = view.waiting.as_ref().map_or(0, |waiting| waiting.items.iter().filter(is_late).count());
    if late > 0 && view.slack.state != SideState::Away {
        let what = format!("{late} of what waits has failed for more than a minute");
        add(what, "see \"What waits\" and the last errors".to_owned());
    }
    for warning in health.warnings() {
        let (what, remedy) = warning.split_once("; ").unwrap_or((&warning, ""));
        add(what.to_owned(), remedy.to_owned());
    }
    found
}
