//! What needs a person, the worst first, each with its remedy.

use super::moment::Moment;
use super::names::{last_word, name_of};
use super::view::{Problem, SideState, View, sentence};
use access_core::domain::recipients::is_slack_id;

use crate::observe::expiry::{human_duration, notices_due};
use crate::observe::health::Health;

/// Operations that failed and wait for longer are said.
const WAITS_S: u64 = 60;
/// Problems that are said of channels that refuse; the page lists all of these.
const MAX_CIRCUITS: usize = 5;

/// What a side's error says, and the remedy in it.
fn explained(error: Option<&str>) -> (&str, Option<&str>) {
    let error = error.unwrap_or("no answer");
    error.split_once("; remedy: ").map_or((error, None), |(cause, remedy)| (cause, Some(remedy)))
}

pub(super) fn problems(
    view: &View,
    health: &Health,
    is_controller_silent: bool,
    moment: Moment,
) -> Vec<Problem> {
    let mut found = Vec::new();
    let mut add = |what: String, remedy: String| found.push(Problem { what: sentence(what), remedy });
    let is_teleport_away = view.teleport.state == SideState::Away;
    if is_teleport_away {
        let (cause, remedy) = explained(view.teleport.error.as_deref());
        let away_for =
            view.teleport.away_since.map(|since| moment.time.duration_since(since).as_secs().max(0));
        let remedy = remedy.unwrap_or("`teleport-slack check` looks at Teleport and the rights");
        let remedy = format!("nothing is lost: all requests are listed when it is back; {remedy}");
        add(format!("Teleport is away for {} s: {cause}", away_for.unwrap_or_default()), remedy);
    }
    if view.slack.state == SideState::Away {
        let (cause, remedy) = explained(view.slack.error.as_deref());
        let remedy = remedy.unwrap_or("look at https://slack-status.com and at this machine's way out");
        add(
            format!("Slack does not answer: {cause}"),
            format!("nothing is lost: what is due waits; {remedy}"),
        );
    }
    // The outage of Teleport speaks for its watch and its lists.
    let obstacles = health.obstacles_at_once(moment.now, moment.time);
    for obstacle in obstacles.into_iter().filter(|obstacle| !(is_teleport_away && obstacle.is_of_watch)) {
        add(obstacle.cause, obstacle.remedy.to_owned());
    }
    if is_controller_silent {
        let remedy = "restart the daemon, and report it with its log: it is a bug";
        add("the controller does not answer, so nothing is shown of requests".to_owned(), remedy.to_owned());
    }
    let state = health.state();
    if let (Some(from), Some(until)) = (state.certificate_from, state.certificate_expires)
        && until > moment.time
        && notices_due(from, until, moment.time) > 0
    {
        let left = human_duration(until.duration_since(moment.time));
        let remedy = "renew the identity that [teleport] names (tbot's log says why it does not); it is taken up without a restart";
        add(format!("the certificate for Teleport expires in {left}"), remedy.to_owned());
    }
    if let Some(circuits) = &view.circuits {
        for circuit in circuits.items.iter().take(MAX_CIRCUITS) {
            let channel = &circuit.channel;
            let name = name_of(channel, &view.names).map(|name| format!(" ({name})")).unwrap_or_default();
            let what =
                format!("Slack refuses messages for {channel}{name}: {} times in a row", circuit.failures);
            let remedy = if is_slack_id(last_word(channel), &['D', 'U', 'W']) {
                "correct the person's Slack id or name another person; a person may have blocked the app: the last errors give Slack's reason; the next request for it is tried at once"
            } else {
                "invite the bot there, unarchive the channel, or allow the app to post in it: the last errors give Slack's reason; the next request for it is tried at once"
            };
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
