//! A proxy's web port: HTTPS as browsers have it, for the two things that it answers without a login.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use client_base::broken::{describe, libraries_words};
use client_base::tls;
use futures_util::future::join;
use http::header::{HOST, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;

use super::error::UpgradeError;
use super::stream::IoStream;
use crate::address::TeleportAddr;
use crate::text::quote;

/// The longest answer that is read, in bytes. Real ones have some hundreds.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// An answer, and the stream behind it if the proxy switched to another protocol: its bytes that came already, and the rest.
pub(super) struct Answer {
    pub(super) response: Response<Bytes>,
    pub(super) switched: Option<(Bytes, Box<dyn IoStream>)>,
}

/// How browsers open TLS, as far as these two things need.
pub(super) fn tls_config(roots: RootCertStore) -> Result<ClientConfig, rustls::Error> {
    let mut config = tls::client_config(roots)?.with_no_client_auth();
    // With HTTP/2 there is no upgrade, and a balancer would take it.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// Opens HTTPS over a connection to `addr` and asks for a path.
pub(super) async fn get(
    tcp: Box<dyn IoStream>,
    addr: &TeleportAddr,
    tls: &Arc<ClientConfig>,
    path: &str,
    headers: HeaderMap,
) -> Result<Answer, UpgradeError> {
    let name = ServerName::try_from(addr.host().to_owned()).map_err(|_| UpgradeError::OtherName)?;
    let stream =
        TlsConnector::from(Arc::clone(tls)).connect(name, tcp).await.map_err(|error| tls_error(&error))?;
    let stream: Box<dyn IoStream> = Box::new(stream);
    exchange(stream, addr, path, headers).await.map_err(|error| https_error(error.as_ref()))
}

/// The request and its answer, within the deadline of the caller.
async fn exchange(
    stream: Box<dyn IoStream>,
    addr: &TeleportAddr,
    path: &str,
    headers: HeaderMap,
) -> Result<Answer, Box<dyn std::error::Error + Send + Sync>> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    let mut request = Request::get(path).body(Empty::<Bytes>::new())?;
    *request.headers_mut() = headers;
    request.headers_mut().insert(HOST, HeaderValue::from_str(&addr.to_string())?);
    let answered = async move {
        let (head, body) = sender.send_request(request).await?.into_parts();
        let body = match head.status {
            StatusCode::SWITCHING_PROTOCOLS => Bytes::new(),
            _ => Limited::new(body, MAX_BODY_BYTES).collect().await?.to_bytes(),
        };
        Ok::<_, Box<dyn std::error::Error + Send + Sync>>(Response::from_parts(head, body))
    };
    // The connection ends when it has switched, or when nothing more is asked on it.
    let (response, connection) = join(answered, connection.without_shutdown()).await;
    let response = response?;
    let switched = (response.status() == StatusCode::SWITCHING_PROTOCOLS)
        .then_some(connection)
        .transpose()?
        .map(|parts| (parts.read_buf, parts.io.into_inner()));
    Ok(Answer { response, switched })
}

fn tls_error(error: &io::Error) -> UpgradeError {
    let tls = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match tls {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => UpgradeError::Untrusted,
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => UpgradeError::OtherName,
        // The library has no kind of its own for it.
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(_)))
            if error.to_string().contains("CaUsedAsEndEntity") =>
        {
            UpgradeError::SelfSigned
        }
        _ => https_error(error),
    }
}

fn https_error(error: &(dyn std::error::Error + 'static)) -> UpgradeError {
    tracing::debug!("HTTPS with a Teleport proxy failed; the libraries say: {}", libraries_words(error));
    UpgradeError::Https(quote(&describe(error)))
}

/// The name of the cluster whose proxy this is, from its `/webapi/find`.
pub(super) fn cluster_of(answer: &Answer) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Found {
        cluster_name: String,
    }
    let found: Found = serde_json::from_slice(answer.response.body()).ok()?;
    Some(found.cluster_name).filter(|name| answer.response.status() == StatusCode::OK && !name.is_empty())
}
