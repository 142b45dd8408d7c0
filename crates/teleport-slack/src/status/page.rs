//! The page for people: what needs them first, then the connections, then the requests.
//!
//! It is whole without scripts, loads nothing, and each text in it is escaped by the template. Characters that hide something
//! or turn the direction of a text are shown by their number.

use std::collections::BTreeMap;

use access_core::domain::text::escape_line;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::Value;

use super::names::name_of;
use super::view::{
    Copy, CopyState, Interactions, Listed, LoggedProblem, Problem, Request, Review, Rules, SideState, Slack,
    StreamState, Teleport, View, Waiting, Watch,
};
use crate::http::status::{REFRESH_S, STYLE};

/// How Slack calls the people and channels, by id.
type Names = BTreeMap<String, String>;

/// The whole page. `refreshes`: whether it loads itself again.
pub(super) fn page(view: &View, refreshes: bool) -> String {
    let (now, names) = (view.generated_at, &view.names);
    let headline = headline(&view.problems);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                @if refreshes { meta http-equiv="refresh" content=(REFRESH_S); }
                title { (headline) " – teleport-slack" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { "teleport-slack " (view.daemon.version) }
                    p { "as of " (time_of_day(now)) ", up for " (duration(view.daemon.uptime_s)) }
                    nav aria-label="Refresh" {
                        @if refreshes {
                            a href="status" { "Stop the refresh every " (REFRESH_S) " s" }
                        } @else {
                            a href="status" { "Refresh" } " · "
                            a href="status?refresh" { "Refresh every " (REFRESH_S) " s" }
                        }
                    }
                }
                main {
                    (problems(&view.problems, &headline))
                    h2 { "Connections" }
                    div.boxes {
                        (teleport(&view.teleport, &view.watch, now))
                        (slack(&view.slack, names, now))
                        (interactions(&view.interactions, now))
                    }
                    h2 { "Open requests" (count(view.requests.as_ref())) }
                    (section(view.requests.as_ref(), "No request waits for a decision.", |all| requests(all, names, now)))
                    h2 { "What waits" (count(view.waiting.as_ref())) }
                    (section(view.waiting.as_ref(), "Nothing waits.", |all| waiting(all, names, now)))
                    h2 { "Open circuits" (count(view.circuits.as_ref())) }
                    (section(view.circuits.as_ref(), "No channel refuses messages.", |all| table(
                        &["Channel", "Refused in a row", "Last try", "Next try"],
                        all.items.iter().map(|circuit| vec![
                            named(&circuit.channel, names),
                            html! { (circuit.failures) },
                            ago(circuit.last_attempt_at, now),
                            ahead(circuit.next_attempt_at, now),
                        ]),
                    )))
                    h2 { "Last errors" }
                    (errors(&view.last_errors, names, now))
                    h2 { "Rules in force" }
                    (rules(&view.rules, names))
                    (configuration(view))
                }
                footer { p { "The same for programs: " a href="status.json" { "status.json" } } }
            }
        }
    };
    page.into_string()
}

fn headline(problems: &[Problem]) -> String {
    match problems.len() {
        0 => "Everything works".to_owned(),
        1 => "1 thing needs you".to_owned(),
        many => format!("{many} things need you"),
    }
}

fn problems(problems: &[Problem], headline: &str) -> Markup {
    html! {
        section.headline.needs-you[!problems.is_empty()] aria-labelledby="headline" {
            h2 #headline { (headline) }
            @if !problems.is_empty() {
                ol {
                    @for problem in problems {
                        li { strong { (shown(&problem.what)) } @if !problem.remedy.is_empty() { span.remedy { "Do this: " (shown(&problem.remedy)) } } }
                    }
                }
            }
        }
    }
}

fn teleport(teleport: &Teleport, watch: &Watch, now: Timestamp) -> Markup {
    html! {
        section.box {
            h3 { "Teleport" }
            dl.facts {
                (fact("State", side(teleport.state, teleport.away_since, now)))
                (optional("Error", teleport.error.as_deref().map(shown)))
                (fact("Address", html! { (shown(&teleport.addr)) " by [teleport] " code { (teleport.credentials) } }))
                (optional("Cluster", teleport.cluster.as_deref().map(|cluster| html! {
                    (shown(cluster))
                    @if let Some(version) = &teleport.server_version { ", version " (shown(version)) " at the start" }
                })))
                (optional("Last answer", teleport.last_answer_at.map(|at| ago(at, now))))
                (fact("Watch", stream(watch.state, watch.since, now)))
                (optional("Last event", watch.last_event_at.map(|at| ago(at, now))))
                (optional("Last full list", watch.last_list_at.map(|at| ago(at, now))))
                (optional("List fails", watch.list_error.as_deref().map(shown)))
                (optional("Certificate", teleport.certificate_expires_at.map(|at| html! { "expires " (ahead(at, now)) })))
            }
        }
    }
}

fn slack(slack: &Slack, names: &Names, now: Timestamp) -> Markup {
    html! {
        section.box {
            h3 { "Slack" }
            dl.facts {
                (fact("State", side(slack.state, slack.away_since, now)))
                (optional("Error", slack.error.as_deref().map(shown)))
                (fact("Address", shown(&slack.api_url)))
                (optional("Workspace", slack.team.as_deref().map(shown)))
                (optional("Bot", slack.bot_user.as_deref().map(|bot| named(bot, names))))
                (optional("Last answer", slack.last_answer_at.map(|at| ago(at, now))))
                (fact("Rate limits", html! {
                    @if slack.rate_limits.is_empty() { "none" }
                    @for limit in &slack.rate_limits { div { code { (limit.method) } " for " (duration(limit.left_s)) } }
                }))
            }
        }
    }
}

fn interactions(interactions: &Interactions, now: Timestamp) -> Markup {
    let words = match interactions.transport {
        "socket_mode" => "Socket Mode",
        "http" => "HTTP callbacks",
        _ => "off: requests are shown, and decided in Teleport",
    };
    html! {
        section.box {
            h3 { "Clicks" }
            dl.facts {
                (fact("Arrive by", html! { (words) }))
                (optional("State", interactions.state.map(|state| stream(state, interactions.since, now))))
                (optional("Connections", interactions.connections.map(|open| html! { (open) })))
                (optional("Listens at", interactions.listen_addr.as_deref().map(shown)))
                (optional("Public address", interactions.public_addr.as_deref().map(shown)))
            }
        }
    }
}

fn requests(all: &Listed<Request>, names: &Names, now: Timestamp) -> Markup {
    html! { @for request in &all.items { (request_box(request, names, now)) } }
}

fn request_box(request: &Request, names: &Names, now: Timestamp) -> Markup {
    let Request { id, requester, roles, created_at, expires_at, in_progress, claimed_by, copies, .. } =
        request;
    html! {
        article {
            h3 { (shown(requester)) " asks for " (list(roles)) }
            dl.facts {
                (fact("Id", html! { span.id { (shown(id)) } }))
                (optional("Made", created_at.map(|at| ago(at, now))))
                (optional("Expires", expires_at.map(|at| ahead(at, now))))
                @if *in_progress { (fact("Now", html! { "the daemon works on it" })) }
                (optional("Claim", claimed_by.as_deref().map(|holder| html! { "held by the daemon " (shown(holder)) })))
            }
            @if copies.items.is_empty() {
                p.warn { "Shown nowhere yet." }
            } @else {
                (table(&["Recipient", "Channel", "Message", "Shows", "State"], copies.items.iter().map(|copy| copy_row(copy, names))))
            }
            (left_out(copies, "messages"))
        }
    }
}

fn copy_row(copy: &Copy, names: &Names) -> Vec<Markup> {
    let state = match copy.state {
        CopyState::Current => html! { span.good { "up to date" } },
        CopyState::UpdateWaits => html! { span.warn { "an update waits" } },
        CopyState::PostWaits => html! { span.warn { "not posted yet" } },
        CopyState::Unreachable => html! { span.bad { "cannot be updated" } },
    };
    let recipient = match &copy.recipient {
        Some(recipient) => named(recipient, names),
        None => html! { "unknown" },
    };
    // Mostly the recipient says it.
    let is_said = |channel: &str| {
        let recipient = copy.recipient.as_deref();
        let of_recipient = recipient.and_then(|recipient| name_of(recipient, names));
        let of_channel = name_of(channel, names);
        recipient == Some(channel)
            || of_channel.is_some() && (of_channel == recipient || of_channel == of_recipient)
    };
    let channel = copy.channel.as_deref().map(|channel| match is_said(channel) {
        true => shown(channel),
        false => named(channel, names),
    });
    vec![
        recipient,
        channel.unwrap_or_default(),
        copy.ts.as_deref().map(shown).unwrap_or_default(),
        html! { (copy.shows.unwrap_or_default()) },
        state,
    ]
}

fn waiting(all: &Listed<Waiting>, names: &Names, now: Timestamp) -> Markup {
    let row = |waiting: &Waiting| {
        let what = match waiting.operation {
            "decision" => "decide in Teleport",
            "record" => "read and write Teleport's record",
            "answer" => "answer a click of",
            operation => operation,
        };
        vec![
            html! { (what) @if let Some(destination) = &waiting.destination { " " (named(destination, names)) } },
            html! { @if let Some(request) = &waiting.request { span.id { (shown(request)) } } },
            ago(waiting.since, now),
            waiting.retry_at.map(|at| ahead(at, now)).unwrap_or_else(|| html! { "at its turn" }),
            html! { (waiting.attempts) },
        ]
    };
    table(&["What", "Request", "Since", "Next try", "Tries"], all.items.iter().map(row))
}

fn errors(errors: &[LoggedProblem], names: &Names, now: Timestamp) -> Markup {
    if errors.is_empty() {
        return html! { p { "None since the start." } };
    }
    let fields = |error: &LoggedProblem| {
        html! { @for (name, value) in &error.fields { div { (name) "=" (named(&plain(value), names)) } } }
    };
    let row = |error: &LoggedProblem| {
        let level = match error.level {
            "ERROR" => html! { span.bad { "ERROR" } },
            level => html! { span.warn { (level) } },
        };
        vec![
            ago(error.at, now),
            level,
            html! { (shown(&error.message)) },
            html! { span.faint { (fields(error)) } },
        ]
    };
    table(&["When", "Level", "What", "Fields"], errors.iter().map(row))
}

fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn rules(rules: &Rules, names: &Names) -> Markup {
    html! {
        dl.facts {
            (fact("Always notified", html! { @if rules.recipients.items.is_empty() { "no recipient" } (named_list(&rules.recipients, names)) }))
            @for entry in &rules.role_to_recipients.items {
                (fact_of(html! { "For " (shown(&entry.role)) }, named_list(&entry.recipients, names)))
            }
        }
        (left_out(&rules.role_to_recipients, "roles"))
        @match &rules.review {
            None => { p { "Nothing can be decided in Slack." } }
            Some(review) => { (deciding(review)) }
        }
    }
}

fn deciding(review: &Review) -> Markup {
    let links = [
        review.slack_user_id_trait.as_ref().map(|name| html! { "the trait " (shown(name)) }),
        review.allow_email_username_match.then(|| html! { "the e-mail address" }),
        (review.users > 0).then(|| html! { "[review.users] (" (review.users) ")" }),
    ];
    // Teleport counts by thresholds of its own.
    let by_teleport = review.mode_in_effect == Some("reviewer");
    let row = |(number, rule): (usize, &super::view::Rule)| {
        let (who, needs, reason) = if rule.teleport_only {
            (html! { "only Teleport: no buttons here" }, html! { "–" }, html! { "–" })
        } else {
            let count = html! { (rule.approvals) " to approve, " (rule.denials) " to deny" };
            let (who, count) = match by_teleport {
                true => (html! { "users that Teleport allows" }, html! { "what Teleport asks for" }),
                false => (list(&rule.approvers), count),
            };
            (who, html! { (count) @if rule.confirm { ", asks again" } }, html! { (rule.reason) })
        };
        vec![html! { (number) }, list(&rule.roles), who, needs, reason]
    };
    html! {
        dl.facts {
            (fact("Mode", html! {
                code { (review.mode) } ", in effect: "
                @match review.mode_in_effect { Some(mode) => { code { (mode) } } None => "none" }
            }))
            (fact("Users are known by", html! {
                @for (at, link) in links.into_iter().flatten().enumerate() { @if at > 0 { ", " } (link) }
            }))
        }
        @if review.rules.items.is_empty() {
            p {
                "No rule: "
                @if by_teleport { "who may decide, Teleport judges." } @else { "the reviewers that a request suggests decide." }
            }
        } @else {
            (table(&["Rule", "Roles", "Who decides", "Needs", "Reason"], (1..).zip(&review.rules.items).map(row)))
        }
        (left_out(&review.rules, "rules"))
    }
}

fn configuration(view: &View) -> Markup {
    let (configuration, now) = (&view.configuration, view.generated_at);
    html! {
        h2 { "Configuration" }
        dl.facts {
            (fact("File", shown(&configuration.path)))
            (fact("In use since", ago(configuration.loaded_at, now)))
            @if configuration.reloading { (fact("Now", html! { "it is being read again" })) }
            (optional("Refused", configuration.refused_at.map(|at| ago(at, now))))
            (optional("This process", view.daemon.claim_holder.as_deref().map(|holder| html! { "is " (shown(holder)) " in claims" })))
        }
        @if !configuration.refusal.items.is_empty() {
            ul { @for cause in &configuration.refusal.items { li { (shown(cause)) } } }
        }
        (left_out(&configuration.refusal, "causes"))
    }
}

/// A table whose cells name their column, for narrow screens. The roles keep it one where the style draws none.
fn table(headers: &[&str], rows: impl Iterator<Item = Vec<Markup>>) -> Markup {
    html! {
        table role="table" {
            thead role="rowgroup" { tr role="row" { @for header in headers { th role="columnheader" scope="col" { (header) } } } }
            tbody role="rowgroup" {
                @for row in rows {
                    tr role="row" {
                        @for (at, (header, cell)) in headers.iter().zip(row).enumerate() {
                            @if at == 0 { th role="rowheader" scope="row" data-label=(header) { (cell) } }
                            @else { td role="cell" data-label=(header) { (cell) } }
                        }
                    }
                }
            }
        }
    }
}

/// A list that may be unknown, empty or cut.
fn section<T>(all: Option<&Listed<T>>, empty: &str, draw: impl FnOnce(&Listed<T>) -> Markup) -> Markup {
    match all {
        None => html! { p { "Not known: the controller has not started, or does not answer." } },
        Some(all) if all.total == 0 => html! { p { (empty) } },
        Some(all) => html! { (draw(all)) (left_out(all, "of them")) },
    }
}

fn left_out<T>(all: &Listed<T>, what: &str) -> Markup {
    html! { @if all.left_out > 0 { p.faint { (all.left_out) " more " (what) " left out." } } }
}

fn count<T>(all: Option<&Listed<T>>) -> Markup {
    html! { @if let Some(all) = all { " (" (all.total) ")" } }
}

fn list(texts: &Listed<String>) -> Markup {
    html! {
        @for (at, text) in texts.items.iter().enumerate() { @if at > 0 { ", " } (shown(text)) }
        @if texts.left_out > 0 { " and " (texts.left_out) " more" }
    }
}

fn named_list(ids: &Listed<String>, names: &Names) -> Markup {
    html! {
        @for (at, id) in ids.items.iter().enumerate() { @if at > 0 { ", " } (named(id, names)) }
        @if ids.left_out > 0 { " and " (ids.left_out) " more" }
    }
}

fn fact(name: &str, value: Markup) -> Markup {
    fact_of(html! { (name) }, value)
}

fn fact_of(name: Markup, value: Markup) -> Markup {
    html! { dt { (name) } dd { (value) } }
}

fn optional(name: &str, value: Option<Markup>) -> Markup {
    value.map(|value| fact(name, value)).unwrap_or_default()
}

/// A text from outside, apart from the text around it.
fn shown(text: &str) -> Markup {
    html! { bdi { (escape_line(text)) } }
}

/// A text, and if it is or ends with an id, how Slack calls that.
fn named(text: &str, names: &Names) -> Markup {
    html! { (shown(text)) @if let Some(name) = name_of(text, names) { " (" (shown(name)) ")" } }
}

fn side(state: SideState, away_since: Option<Timestamp>, now: Timestamp) -> Markup {
    match state {
        SideState::Waiting => html! { span.warn { "has not answered yet" } },
        SideState::Answers => html! { span.good { "answers" } },
        SideState::Away => html! {
            span.bad { "does not answer" } @if let Some(since) = away_since { ", since " (ago(since, now)) }
        },
    }
}

fn stream(state: StreamState, since: Option<Timestamp>, now: Timestamp) -> Markup {
    let words = match state {
        StreamState::Never => html! { span.warn { "not open yet" } },
        StreamState::Open => html! { span.good { "open" } },
        StreamState::Lost => html! { span.bad { "lost" } },
    };
    html! { (words) @if let Some(since) = since { ", since " (ago(since, now)) } }
}

/// `3 min ago (02:58:11 UTC)`
fn ago(at: Timestamp, now: Timestamp) -> Markup {
    let past = now.duration_since(at).as_secs();
    html! { (duration(u64::try_from(past).unwrap_or(0))) " ago (" (moment(at, now)) ")" }
}

/// `in 3 min (03:04:11 UTC)`
fn ahead(at: Timestamp, now: Timestamp) -> Markup {
    let left = at.duration_since(now).as_secs();
    match u64::try_from(left) {
        Ok(left) => html! { "in " (duration(left)) " (" (moment(at, now)) ")" },
        Err(_) => ago(at, now),
    }
}

pub(super) fn moment(at: Timestamp, now: Timestamp) -> Markup {
    let is_today = at.strftime("%F").to_string() == now.strftime("%F").to_string();
    let words = at.strftime(if is_today { "%H:%M:%S UTC" } else { "%F %H:%M UTC" });
    html! { time datetime=(at) { (words) } }
}

fn time_of_day(at: Timestamp) -> Markup {
    html! { time datetime=(at) { (at.strftime("%F %H:%M:%S UTC")) } }
}

/// In the two largest units.
fn duration(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}
