//! A simulated Slack workspace on a port of 127.0.0.1, and a second port on which scripts make its people act.
//!
//! It prints one line of JSON with both addresses and the secrets of the simulated app, and ends when its standard
//! input does. The control interface takes and gives JSON; a wrong request gets HTTP 422 and a sentence.
//!
//! | request | does |
//! |---|---|
//! | `POST /app` `{request_url?, socket_mode?}` | sets the app up |
//! | `POST /click` `{user, channel, ts, action_id, confirmed?, forgery?}` | presses a button |
//! | `POST /submit` `{user, values}` | submits the modal before a user; `values` by action id |
//! | `POST /close` `{user}` | closes it |
//! | `POST /sockets` `{order}` | `warn`, `refresh`, `close`, `reset` or `silence` for all sockets |
//! | `GET /sockets` | how many are open, how many ever were, and what clients did wrong |
//! | `GET /workspace`, `/interactions`, `/calls` | what there is, what was sent to the app, what the app asked |

use std::error::Error;
use std::io::{Read, Write};

use access_sim::slack::interactive::forgery::{Alteration, Forgery, Signature, Stamp};
use access_sim::slack::socket::SocketSelector;
use access_sim::slack::users::submit::SubmitResult;
use access_sim::slack::users::{ActionError, ActionOutcome};
use access_sim::slack::workspace::Workspace;
use access_sim::slack::{Options, SlackSim};
use axum::extract::State;
use axum::routing::{get, post};
use axum::{Json, Router};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};
use tokio::net::TcpListener;

type HandlerResult = Result<Json<Value>, (StatusCode, String)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let sim = SlackSim::start(Options::new(Workspace::demo())).await?;
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let app = sim.app();
    let started = json!({
        "api_url": sim.api_url(),
        "control_url": format!("http://{}", listener.local_addr()?),
        "token": sim.token(),
        "app_token": app.app_token,
        "signing_secret": app.signing_secret,
    });
    writeln!(std::io::stdout(), "{started}")?;
    let router = Router::new()
        .route("/app", post(set_up))
        .route("/click", post(click))
        .route("/submit", post(submit))
        .route("/close", post(close))
        .route("/sockets", get(sockets).post(order))
        .route("/workspace", get(async |State(sim): State<SlackSim>| Json(sim.snapshot())))
        .route("/interactions", get(async |State(sim): State<SlackSim>| Json(json!(sim.interactions()))))
        .route("/calls", get(async |State(sim): State<SlackSim>| Json(json!(sim.calls()))))
        .with_state(sim);
    let input_ends = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new()));
    tokio::select! {
        served = axum::serve(listener, router) => served?,
        _ = input_ends => {}
    }
    Ok(())
}

fn refused(reason: impl ToString) -> (StatusCode, String) {
    (StatusCode::UNPROCESSABLE_ENTITY, reason.to_string())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SetUp {
    request_url: Option<String>,
    socket_mode: Option<bool>,
}

async fn set_up(State(sim): State<SlackSim>, Json(asked): Json<SetUp>) -> Json<Value> {
    if let Some(url) = asked.request_url {
        sim.set_request_url(Some(&url));
    }
    if let Some(on) = asked.socket_mode {
        sim.set_socket_mode(on);
    }
    Json(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClickBody {
    user: String,
    channel: String,
    ts: String,
    action_id: String,
    #[serde(default)]
    confirmed: bool,
    forgery: Option<Forged>,
}

/// What scripts may order to be wrong.
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Forged {
    WrongSecret,
    MissingSignature,
    Stale,
    ExtraFields,
}

async fn click(State(sim): State<SlackSim>, Json(asked): Json<ClickBody>) -> HandlerResult {
    let mut click = sim.click(&asked.user, &asked.channel, &asked.ts, &asked.action_id);
    if asked.confirmed {
        click = click.confirmed();
    }
    let forgery = asked.forgery.map(|forged| match forged {
        Forged::WrongSecret => Forgery::signed(Signature::WrongSecret),
        Forged::MissingSignature => Forgery::signed(Signature::Missing),
        Forged::Stale => Forgery::stamped(Stamp::Shifted(-600)),
        Forged::ExtraFields => Forgery::altered(Alteration::Extra),
    });
    outcome_json(click.forged(forgery.unwrap_or_default()).await)
}

fn outcome_json(seen: Result<ActionOutcome, ActionError>) -> HandlerResult {
    let seen = seen.map_err(refused)?;
    Ok(Json(json!({
        "acknowledged": seen.acknowledged(),
        "warning": seen.warning().map(ToString::to_string),
        "confirm": seen.confirm(),
        "seq": seen.seq(),
    })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SubmitBody {
    user: String,
    #[serde(default)]
    values: Map<String, Value>,
}

async fn submit(State(sim): State<SlackSim>, Json(asked): Json<SubmitBody>) -> HandlerResult {
    let view = sim.modal(&asked.user).ok_or_else(|| refused("no modal is open"))?;
    let values = asked.values.iter().map(|(id, value)| (id.as_str(), value.as_str().unwrap_or_default()));
    let values: Vec<(&str, &str)> = values.collect();
    let submitted = sim.submit_view(&asked.user, &view.id, &values).await.map_err(refused)?;
    let (word, detail) = match submitted.result {
        SubmitResult::Incomplete(errors) => ("incomplete", json!(errors)),
        SubmitResult::Closed => ("closed", Value::Null),
        SubmitResult::Cleared => ("cleared", Value::Null),
        SubmitResult::Errors(errors) => ("errors", json!(errors)),
        SubmitResult::Updated(view) => ("updated", json!(view)),
        SubmitResult::Pushed(view) => ("pushed", json!(view)),
        SubmitResult::Warned(warning) => ("warned", json!(warning.to_string())),
    };
    Ok(Json(json!({ "answer": word, "detail": detail })))
}

async fn close(State(sim): State<SlackSim>, Json(asked): Json<SubmitBody>) -> HandlerResult {
    let view = sim.modal(&asked.user).ok_or_else(|| refused("no modal is open"))?;
    outcome_json(sim.close_view(&asked.user, &view.id).await)
}

async fn sockets(State(sim): State<SlackSim>) -> Json<Value> {
    let sockets = sim.sockets();
    Json(json!({
        "open": sockets.count(),
        "opened": sockets.opened(),
        "complaints": sockets.protocol_errors(),
    }))
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case", tag = "order")]
enum SocketCommand {
    Warn,
    Refresh,
    Close,
    Reset,
    Silence,
}

async fn order(State(sim): State<SlackSim>, Json(order): Json<SocketCommand>) -> Json<Value> {
    let sockets = sim.sockets();
    match order {
        SocketCommand::Warn => sockets.warn(SocketSelector::All),
        SocketCommand::Refresh => sockets.refresh(SocketSelector::All),
        SocketCommand::Close => sockets.close(SocketSelector::All),
        SocketCommand::Reset => sockets.reset(SocketSelector::All),
        SocketCommand::Silence => sockets.silence(SocketSelector::All),
    }
    Json(json!({}))
}
