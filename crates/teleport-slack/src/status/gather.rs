//! From what the parts of the daemon hold to the view of one moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use access_core::domain::recipients::Recipient;
use jiff::Timestamp;
use teleport_client::Credentials;

use super::moment::{Moment, rounded};
use super::problems::problems;
use super::view::{
    self, Circuit, Configuration, Daemon, Interactions, Listed, LoggedProblem, RateLimit, SideState, Slack,
    StreamState, Teleport, VERSION, View, Watch, sentence, text,
};
use super::{Connected, Shared, names, requests, rules};
use crate::config::{Config, ReviewTransport};
use crate::controller::OpenCircuit;
use crate::controller::status::{ControllerStatus, MAX_LISTED};
use crate::observe::health::{self, Stage, State};
use crate::observe::outages;
use crate::observe::reload_state::ReloadStatus;
use crate::observe::skew::Side;

/// The causes of a refused configuration that are listed.
const MAX_CAUSES: usize = 20;

/// In seconds; not 0 while any of it is left.
fn rounded_up(left: Duration) -> u64 {
    left.as_secs() + u64::from(left.subsec_nanos() > 0)
}

pub(super) fn gather(
    shared: &Shared,
    config: &Config,
    controller: Option<Option<ControllerStatus>>,
    moment: Moment,
) -> View {
    let (health, outages) = (shared.parts.metrics.health(), shared.parts.metrics.outages());
    let state = health.state();
    let connected = shared.connected.get();
    let reload = health.reload().status();
    let is_controller_silent = matches!(controller, Some(None));
    let controller = controller.flatten();
    let of_teleport = outages.state(Side::Teleport);
    let of_slack = outages.state(Side::Slack);
    let mut view = View {
        version: VERSION,
        generated_at: rounded(moment.time),
        daemon: Daemon {
            program: super::PROGRAM,
            version: env!("CARGO_PKG_VERSION"),
            started_at: rounded(shared.parts.started.1),
            uptime_s: moment.seconds_since(shared.parts.started.0),
            claim_holder: controller.as_ref().map(|controller| controller.holder.clone()),
        },
        ready: health.obstacles(moment.now, moment.time).is_empty(),
        problems: Vec::new(),
        teleport: teleport(config, &state, of_teleport, connected, moment),
        watch: watch(&state, moment),
        slack: slack(config, &state, of_slack, connected, moment),
        interactions: interactions(config, &state, moment),
        requests: controller.as_ref().map(|controller| requests::open(controller, moment)),
        waiting: controller
            .as_ref()
            .map(|controller| requests::waiting(controller, &state.waiting_replies, moment)),
        circuits: controller.as_ref().map(|controller| circuits(&controller.circuits, moment)),
        last_errors: shared.parts.log.last_errors().into_iter().map(logged).collect(),
        configuration: configuration(&shared.parts.path, &reload, moment),
        rules: rules::rules(config, controller.as_ref().and_then(|controller| controller.mode)),
        names: BTreeMap::new(),
    };
    if let Some(connected) = connected {
        view.names = names::names(&view, |id| names::known(connected, id));
    }
    view.problems = problems(&view, health, is_controller_silent, moment);
    view
}

fn side(
    is_waiting: bool,
    state: outages::SideState,
    moment: Moment,
) -> (SideState, Option<Timestamp>, Option<String>) {
    match state.away {
        _ if is_waiting => (SideState::Waiting, None, None),
        Some((since, cause)) => (SideState::Away, Some(moment.at(since)), Some(sentence(cause))),
        None => (SideState::Answers, None, None),
    }
}

fn teleport(
    config: &Config,
    state: &State,
    outage: outages::SideState,
    connected: Option<&Connected>,
    moment: Moment,
) -> Teleport {
    let (side, away_since, error) = side(state.stage == Stage::Teleport, outage, moment);
    let pong = connected.map(|connected| &connected.pong);
    Teleport {
        addr: config.teleport.addr.to_string(),
        credentials: match &config.teleport.credentials {
            Credentials::Identity(_) => "identity",
            Credentials::Files { .. } => "client_key",
        },
        state: side,
        away_since,
        error,
        last_answer_at: state.last_response.map(|at| moment.at(at)),
        cluster: pong.map(|pong| text(&pong.cluster_name)),
        server_version: pong.map(|pong| text(&pong.server_version)),
        enterprise: pong.map(|pong| pong.enterprise),
        certificate_expires_at: state.certificate_expires.map(rounded),
        certificate_left_s: state.certificate_left(moment.time).map(|left| left.as_secs()),
    }
}

fn stream(state: health::StreamState, moment: Moment) -> (StreamState, Option<Timestamp>) {
    match state {
        health::StreamState::Never => (StreamState::Never, None),
        health::StreamState::Open(since) => (StreamState::Open, Some(moment.at(since))),
        health::StreamState::Lost(since) => (StreamState::Lost, Some(moment.at(since))),
    }
}

fn watch(state: &State, moment: Moment) -> Watch {
    let (stream, since) = stream(state.watch, moment);
    Watch {
        state: stream,
        since,
        last_event_at: state.last_event.map(|at| moment.at(at)),
        last_list_at: state.last_list.map(|at| moment.at(at)),
        list_error: state.list_failing.as_ref().map(|(_, cause)| sentence(cause)),
    }
}

fn slack(
    config: &Config,
    state: &State,
    outage: outages::SideState,
    connected: Option<&Connected>,
    moment: Moment,
) -> Slack {
    let last_answer_at = outage.answered_at.map(|at| moment.at(at));
    let (side, away_since, error) = side(state.stage < Stage::List, outage, moment);
    let limits = connected.map(|connected| connected.slack.rate_limits()).unwrap_or_default();
    Slack {
        api_url: config.slack.api_url.as_str().to_owned(),
        state: side,
        away_since,
        error,
        last_answer_at,
        team: connected.map(|connected| text(&connected.auth.team)),
        bot_user: connected.map(|connected| text(connected.auth.user_id.as_str())),
        rate_limits: limits
            .into_iter()
            .map(|(method, left)| RateLimit { method: method.as_str(), left_s: rounded_up(left) })
            .collect(),
    }
}

fn interactions(config: &Config, state: &State, moment: Moment) -> Interactions {
    let mut shown = Interactions {
        transport: "off",
        state: None,
        since: None,
        connections: None,
        listen_addr: None,
        public_addr: None,
    };
    match config.review.as_ref().map(|review| &review.transport) {
        None => {}
        Some(ReviewTransport::SocketMode { .. }) => {
            shown.transport = "socket_mode";
            let sockets = state.sockets.unwrap_or_default();
            let (stream, since) = stream(sockets.state, moment);
            (shown.state, shown.since, shown.connections) = (Some(stream), since, Some(sockets.open));
        }
        Some(ReviewTransport::Http { listener, .. }) => {
            shown.transport = "http";
            shown.listen_addr = Some(listener.listen_addr.to_string());
            shown.public_addr = listener.public_addr.as_ref().map(text);
        }
    }
    shown
}

/// The channel that a circuit is for, written as a recipient is everywhere.
fn channel(scope: &str) -> String {
    let (what, name) = scope.rsplit_once(' ').unwrap_or(("", scope));
    let name = Recipient::parse(name).map_or_else(|_| name.to_owned(), |place| place.to_string());
    if what.is_empty() { name } else { format!("{what} {name}") }
}

pub(super) fn circuits(circuits: &[OpenCircuit], moment: Moment) -> Listed<Circuit> {
    let circuit = |circuit: &OpenCircuit| Circuit {
        channel: text(channel(&circuit.scope)),
        failures: circuit.failures,
        last_attempt_at: moment.at(circuit.last_attempt),
        next_attempt_at: moment.at(circuit.next_attempt),
    };
    Listed::first(circuits.iter().map(circuit), MAX_LISTED)
}

fn logged(problem: crate::observe::LoggedError) -> LoggedProblem {
    let crate::observe::LoggedError { at, level, message, fields } = problem;
    LoggedProblem { at: rounded(at), level: level.as_str(), message: sentence(message), fields }
}

fn configuration(path: &Path, reload: &ReloadStatus, moment: Moment) -> Configuration {
    let refusal = reload.refusal.as_ref();
    let causes = refusal.map(|refusal| refusal.causes.as_slice()).unwrap_or_default();
    Configuration {
        path: view::text(path.display().to_string()),
        loaded_at: moment.at(reload.loaded_at),
        reloading: reload.is_reloading,
        refused_at: refusal.map(|refusal| moment.at(refusal.at)),
        refusal: Listed::first(causes.iter().map(sentence), MAX_CAUSES),
    }
}
