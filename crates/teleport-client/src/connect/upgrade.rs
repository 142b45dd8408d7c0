//! The second way through a proxy, for where TLS does not get through: HTTPS with the proxy's web port, upgraded to a tunnel for
//! the same TLS as ever.

use std::sync::Arc;

use http::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, LOCATION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY,
    SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{Response, StatusCode};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::error::UpgradeError;
use super::stream::{IoStream, in_old_form, in_websocket};
use super::tcp::TcpWay;
use super::web::{self, Answer};

const PATH: &str = "/webapi/connectionupgrade";
/// What the proxy pings in, so that nothing between takes the connection for dead.
const WITH_PINGS: &str = "alpn-ping";
/// Names the older form once more, because some balancers drop `Upgrade`.
const OLD_UPGRADE: HeaderName = HeaderName::from_static("x-teleport-upgrade");

/// How the bytes in a tunnel are wrapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Form {
    /// In WebSocket messages, from 15.1 on.
    WebSocket,
    /// Before.
    Old,
}

/// Opens a tunnel until `deadline`: in the form that worked last, or in the newer one and then in the older one.
pub(super) async fn open(
    way: &TcpWay<'_>,
    tls: &Arc<ClientConfig>,
    known: Option<Form>,
    deadline: Instant,
) -> Result<(Form, Box<dyn IoStream>), UpgradeError> {
    let both = async {
        let first = known.unwrap_or(Form::WebSocket);
        match (ask(way, tls, first, deadline).await, first) {
            (Err(UpgradeError::HeadersDropped | UpgradeError::NotAProxy(404)), Form::WebSocket) => {
                Ok((Form::Old, ask(way, tls, Form::Old, deadline).await?))
            }
            (answered, _) => Ok((first, answered?)),
        }
    };
    timeout_at(deadline, both).await.map_err(|_| UpgradeError::TimedOut)?
}

async fn ask(
    way: &TcpWay<'_>,
    tls: &Arc<ClientConfig>,
    form: Form,
    deadline: Instant,
) -> Result<Box<dyn IoStream>, UpgradeError> {
    let tcp = way.open(deadline).await?;
    let key = generate_key();
    let Answer { response, switched } = web::get(tcp, way.addr, tls, PATH, headers(form, &key)?).await?;
    let Some((read, stream)) = switched else { return Err(refusal(&response)) };
    match form {
        Form::WebSocket => {
            let has = |name, value: &str| response.headers().get(name).is_some_and(|found| found == value);
            if !has(SEC_WEBSOCKET_ACCEPT, &derive_accept_key(key.as_bytes()))
                || !has(SEC_WEBSOCKET_PROTOCOL, WITH_PINGS)
            {
                return Err(UpgradeError::NotAProxy(101));
            }
            Ok(in_websocket(stream, read).await)
        }
        Form::Old => Ok(in_old_form(stream, &read)),
    }
}

fn headers(form: Form, key: &str) -> Result<HeaderMap, UpgradeError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    match form {
        Form::WebSocket => {
            let key = HeaderValue::from_str(key).map_err(|error| UpgradeError::Https(error.to_string()))?;
            headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
            headers.insert(SEC_WEBSOCKET_VERSION, HeaderValue::from_static("13"));
            headers.insert(SEC_WEBSOCKET_KEY, key);
            // Offered both, the proxy takes the one without pings.
            headers.insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(WITH_PINGS));
        }
        Form::Old => {
            headers.insert(UPGRADE, HeaderValue::from_static(WITH_PINGS));
            headers.insert(OLD_UPGRADE, HeaderValue::from_static(WITH_PINGS));
        }
    }
    Ok(headers)
}

fn refusal(response: &Response<bytes::Bytes>) -> UpgradeError {
    let status = response.status();
    let location = response.headers().get(LOCATION).map(HeaderValue::as_bytes).unwrap_or_default();
    let mentions = |text: &[u8], words: &str| text.windows(words.len()).any(|part| part == words.as_bytes());
    match status {
        StatusCode::FOUND if mentions(location, "/web/launch/") => UpgradeError::OtherHost,
        StatusCode::NOT_FOUND if mentions(response.body(), "unsupported upgrade types") => {
            UpgradeError::HeadersDropped
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            UpgradeError::Gateway(status.as_u16())
        }
        _ => UpgradeError::NotAProxy(status.as_u16()),
    }
}

/// Asks the proxy there which cluster it is of. Nothing if it does not say.
pub(super) async fn find_cluster(
    way: &TcpWay<'_>,
    tls: &Arc<ClientConfig>,
    deadline: Instant,
) -> Option<String> {
    let asked = async {
        let tcp = way.open(deadline).await?;
        web::get(tcp, way.addr, tls, "/webapi/find", HeaderMap::new()).await
    };
    let answer = timeout_at(deadline, asked).await.ok()?.ok()?;
    web::cluster_of(&answer)
}
