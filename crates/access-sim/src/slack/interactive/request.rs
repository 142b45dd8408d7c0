//! One signed POST to the app's request URL, plain or over TLS, on a connection of its own.
//!
//! There is no retry and no redirect: Slack documents none for interactions. The time limit is the caller's.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request, Uri};
use http_body_util::{BodyExt, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::super::workspace::App;
use super::Warning;
use super::forgery::{Forgery, Signature, Stamp};
use super::signature::sign;

/// Acknowledgements are small; a view is at most 250 kB.
const MAX_RESPONSE_BYTES: usize = 1 << 20;

/// A request as it goes out, so that it can be sent again byte for byte.
#[derive(Clone)]
pub(super) struct SignedRequest {
    pub(super) url: String,
    timestamp: Option<String>,
    signature: Option<String>,
    pub(super) body: Bytes,
}

impl fmt::Debug for SignedRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes to {}", self.body.len(), self.url)
    }
}

/// The app's answer.
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) body: Bytes,
}

impl SignedRequest {
    /// A request with this payload, signed by the app's secret unless forged.
    pub(super) fn new(app: &App, url: &str, payload: &str, forgery: &Forgery, now: Timestamp) -> Self {
        let body = match forgery.body() {
            Some(body) => body.to_owned(),
            None => form_urlencoded::Serializer::new(String::new()).append_pair("payload", payload).finish(),
        };
        let timestamp = match forgery.stamp() {
            Stamp::Now => Some(now.as_second().to_string()),
            Stamp::Shifted(seconds) => Some(now.as_second().saturating_add(*seconds).to_string()),
            Stamp::Missing => None,
            Stamp::Text(text) => Some(text.clone()),
        };
        let signed_by =
            |secret: &str| sign(secret, timestamp.as_deref().unwrap_or_default(), body.as_bytes());
        let signature = match forgery.signature() {
            Signature::Good => Some(signed_by(&app.signing_secret)),
            Signature::WrongSecret => Some(signed_by("0123456789abcdef0123456789abcdef")),
            Signature::Secret(secret) => Some(signed_by(secret)),
            Signature::Truncated => {
                let whole = signed_by(&app.signing_secret);
                Some(whole.chars().take(whole.len() - 8).collect())
            }
            Signature::Missing => None,
            Signature::Text(text) => Some(text.clone()),
        };
        SignedRequest { url: url.to_owned(), timestamp, signature, body: Bytes::from(body) }
    }

    fn to_http(&self, uri: &Uri, host: &str) -> Result<Request<Full<Bytes>>, Warning> {
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path)
            .header(HOST, host)
            .header(USER_AGENT, "Slackbot 1.0 (+https://api.slack.com/robots)")
            .header(ACCEPT, "application/json,*/*")
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded");
        let marks = [("x-slack-request-timestamp", &self.timestamp), ("x-slack-signature", &self.signature)];
        for (name, value) in marks {
            if let Some(value) = value {
                let value = HeaderValue::from_bytes(value.as_bytes()).map_err(unreachable)?;
                request = request.header(name, value);
            }
        }
        request.body(Full::new(self.body.clone())).map_err(unreachable)
    }

    /// Sends it; `ca` holds the PEM certificates to trust.
    pub(super) async fn send(&self, ca: Option<&str>) -> Result<Received, Warning> {
        let uri: Uri = self.url.parse().map_err(unreachable)?;
        let (Some(authority), Some(host)) = (uri.authority(), uri.host()) else {
            return Err(Warning::Unreachable("the request URL names no host".to_owned()));
        };
        let request = self.to_http(&uri, authority.as_str())?;
        let name = host.trim_start_matches('[').trim_end_matches(']');
        let connect = async |port: u16| {
            TcpStream::connect((name, authority.port_u16().unwrap_or(port))).await.map_err(unreachable)
        };
        match uri.scheme_str() {
            Some("http") => exchange(connect(80).await?, request).await,
            Some("https") => {
                let server = ServerName::try_from(name.to_owned()).map_err(unreachable)?;
                let connector = TlsConnector::from(Arc::new(trusting(ca)?));
                let stream = connector.connect(server, connect(443).await?).await.map_err(unreachable)?;
                exchange(stream, request).await
            }
            _ => Err(Warning::Unreachable("the request URL is neither http nor https".to_owned())),
        }
    }
}

fn trusting(ca: Option<&str>) -> Result<rustls::ClientConfig, Warning> {
    let ca = ca.ok_or_else(|| {
        Warning::Unreachable("no certificates are given to check an https request URL against".to_owned())
    })?;
    let mut roots = rustls::RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(ca.as_bytes()) {
        roots.add(certificate.map_err(unreachable)?).map_err(unreachable)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(unreachable)?;
    Ok(config.with_root_certificates(roots).with_no_client_auth())
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Full<Bytes>>,
) -> Result<Received, Warning> {
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(unreachable)?;
    let answer = async {
        let response = sender.send_request(request).await.map_err(unreachable)?;
        let status = response.status().as_u16();
        let body =
            Limited::new(response.into_body(), MAX_RESPONSE_BYTES).collect().await.map_err(unreachable)?;
        Ok(Received { status, body: body.to_bytes() })
    };
    // A connection that ends is noticed by the caller that waits for the answer.
    let drive = async {
        let _ = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        answer = answer => answer,
        () = drive => Err(Warning::Unreachable("the connection ended".to_owned())),
    }
}

fn unreachable(error: impl fmt::Display) -> Warning {
    Warning::Unreachable(error.to_string())
}
