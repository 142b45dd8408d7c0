//! The proxy's web server: who it is, and the connection upgrade.

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use http::header::{
    CONNECTION, HOST, HeaderMap, HeaderValue, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderName, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::tunnel::{self, Form};
use super::{Front, Io, Led};

/// Names the older form of the upgrade once more, because some balancers drop `Upgrade`.
const OLD_UPGRADE: HeaderName = HeaderName::from_static("x-teleport-upgrade");

/// Serves one connection of a browser to its end.
pub(super) async fn serve(front: Arc<Front>, stream: Box<dyn Io>, is_http2: bool) {
    let stream = TokioIo::new(stream);
    let service = hyper::service::service_fn(move |request| {
        let front = Arc::clone(&front);
        async move { Ok::<_, Infallible>(answer(&front, request).await) }
    });
    if is_http2 {
        let http2 = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = http2.serve_connection(stream, service).await;
    } else {
        let _ = hyper::server::conn::http1::Builder::new()
            .serve_connection(stream, service)
            .with_upgrades()
            .await;
    }
}

async fn answer(front: &Arc<Front>, request: Request<Incoming>) -> Response<String> {
    if let Some(away) = redirected(front, &request) {
        front.note(Led::Away);
        return away;
    }
    match request.uri().path() {
        "/webapi/find" => found(front, json!({"type": ""})),
        "/webapi/ping" => match TcpStream::connect(front.auth).await {
            Ok(_) => found(front, json!({"type": "local", "second_factor": "off"})),
            Err(_) => plain(StatusCode::GATEWAY_TIMEOUT, ""),
        },
        "/webapi/connectionupgrade" => upgrade(front, request),
        _ => plain(StatusCode::NOT_FOUND, "404 page not found"),
    }
}

/// A `Host` that is none of the proxy's names leads to an application of that name, which is not there.
fn redirected(front: &Front, request: &Request<Incoming>) -> Option<Response<String>> {
    let public = front.options.public_host.as_deref()?;
    let authority = request.uri().authority().map(ToString::to_string);
    let named = authority.or_else(|| Some(request.headers().get(HOST)?.to_str().ok()?.to_owned()))?;
    let host = match named.rsplit_once(':') {
        Some((host, _)) => host.trim_matches(['[', ']']),
        None => &named,
    };
    if host == public || host == "localhost" || host.parse::<IpAddr>().is_ok() {
        return None;
    }
    let path = request.uri().path().replace('/', "%2F");
    let location = format!("https://{public}/web/launch/{host}?path={path}");
    let mut response = plain(StatusCode::FOUND, "");
    response.headers_mut().insert(LOCATION, HeaderValue::from_str(&location).ok()?);
    Some(response)
}

fn found(front: &Front, auth: serde_json::Value) -> Response<String> {
    let (host, port) = (front.options.public_host.as_deref().unwrap_or("localhost"), front.web.port());
    let ssh = json!({
        "listen_addr": front.web.to_string(),
        "tunnel_listen_addr": front.web.to_string(),
        "web_listen_addr": front.web.to_string(),
        "public_addr": format!("{host}:{port}"),
    });
    let body = json!({
        "auth": auth,
        "proxy": {"ssh": ssh, "tls_routing_enabled": !front.options.has_separate_ports, "assist_enabled": false},
        "server_version": front.release,
        "min_client_version": "14.0.0",
        "cluster_name": front.cluster,
        "automatic_upgrades": false,
    });
    json_response(StatusCode::OK, &body)
}

fn upgrade(front: &Arc<Front>, request: Request<Incoming>) -> Response<String> {
    if request.method() != Method::GET {
        return plain(StatusCode::NOT_IMPLEMENTED, "");
    }
    let headers = request.headers();
    let has = |name: HeaderName, value: &str| {
        headers.get_all(name).iter().any(|one| one.as_bytes().eq_ignore_ascii_case(value.as_bytes()))
    };
    let wants_websocket = has(UPGRADE, "websocket") && !front.options.knows_old_form_only;
    if wants_websocket {
        let Some(key) = websocket_key(headers) else { return plain(StatusCode::BAD_REQUEST, "") };
        let offered =
            headers.get(SEC_WEBSOCKET_PROTOCOL).and_then(|list| list.to_str().ok()).unwrap_or_default();
        let offers = |name| offered.split(',').any(|one| one.trim() == name);
        // Without pings, where both are offered.
        let (protocol, pings) = match (offers("alpn"), offers("alpn-ping")) {
            (true, _) => (Some("alpn"), false),
            (false, true) => (Some("alpn-ping"), true),
            (false, false) => (None, false),
        };
        let mut response = switching("websocket");
        let accepted = HeaderValue::from_str(&derive_accept_key(key.as_bytes()));
        response.headers_mut().extend(accepted.ok().map(|key| (SEC_WEBSOCKET_ACCEPT, key)));
        if let Some(protocol) = protocol {
            response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(protocol));
            tunnel::begin(front, request, Form::WebSocket { pings });
        }
        return response;
    }
    // The real one takes the second header alone as well, for balancers that drop the first; hyper does not switch then.
    if has(UPGRADE, "alpn-ping") && has(OLD_UPGRADE, "alpn-ping") {
        let mut response = switching("alpn-ping");
        response.headers_mut().insert(OLD_UPGRADE, HeaderValue::from_static("alpn-ping"));
        tunnel::begin(front, request, Form::Old);
        return response;
    }
    let asked: Vec<_> = headers.get_all(UPGRADE).iter().filter_map(|one| one.to_str().ok()).collect();
    let message = format!("unsupported upgrade types: [{}]", asked.join(" "));
    json_response(StatusCode::NOT_FOUND, &json!({"error": {"message": message}}))
}

/// The client's key, if it asks for a WebSocket as it must.
fn websocket_key(headers: &HeaderMap) -> Option<String> {
    let connection = headers.get(CONNECTION)?.to_str().ok()?.to_ascii_lowercase();
    let is_whole = connection.contains("upgrade") && headers.get(SEC_WEBSOCKET_VERSION)? == "13";
    is_whole.then(|| Some(headers.get(SEC_WEBSOCKET_KEY)?.to_str().ok()?.to_owned()))?
}

fn switching(to: &'static str) -> Response<String> {
    let mut response = plain(StatusCode::SWITCHING_PROTOCOLS, "");
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    response
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<String> {
    let mut response = plain(status, &format!("{body:#}"));
    response.headers_mut().insert(http::header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn plain(status: StatusCode, body: &str) -> Response<String> {
    let mut response = Response::new(body.to_owned());
    *response.status_mut() = status;
    response
}
