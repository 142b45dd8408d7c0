//! The text of a failed call: the server's own words; for a broken connection ours, in place of the libraries'.

use std::error::Error;
use std::io;

use tonic::Status;

use super::text::quote;

/// The words of a status, shortened. tonic keeps the reason of a broken connection in the status's chain of sources,
/// often several layers down.
pub(super) fn status_message(status: &Status) -> String {
    let Some(outermost) = status.source() else { return quote(status.message()) };
    let (mut innermost, mut cut): (&(dyn Error + 'static), _) = (outermost, None);
    let mut next = Some(outermost);
    while let Some(error) = next {
        let io = error.downcast_ref::<io::Error>().and_then(|error| describe_disconnect(error.kind()));
        let http = error.downcast_ref::<hyper::Error>().and_then(describe_http);
        cut = io.or(error.downcast_ref::<h2::Error>().and_then(describe_http2)).or(http).or(cut);
        innermost = error;
        next = error.source();
    }
    // What the libraries say of a cut is about themselves.
    if let Some(cut) = cut {
        let raw = quote(&format!("{}: {innermost}", status.message()));
        tracing::debug!("A connection to Teleport broke; the libraries say: {raw}");
        return cut.to_owned();
    }
    let message = quote(&without_urls(status.message()));
    let cause = quote(&without_urls(&innermost.to_string()));
    if cause == message { message } else { format!("{message}: {cause}") }
}

/// What became of a connection that broke, for kinds that speak for themselves.
fn describe_disconnect(kind: io::ErrorKind) -> Option<&'static str> {
    match kind {
        io::ErrorKind::UnexpectedEof => Some(
            "the connection was cut from outside, by the server's end or by something between; if that happens again and \
             again, look for an idle time-out of a proxy or a load balancer in between and set it above 15 s",
        ),
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Some("the connection was reset, by the server's machine or by something between")
        }
        io::ErrorKind::TimedOut => {
            Some("the connection fell silent; look at the network and the firewalls in between")
        }
        _ => None,
    }
}

/// The same of HTTP/2, whose errors hide those of the system.
fn describe_http2(error: &h2::Error) -> Option<&'static str> {
    if let Some(error) = error.get_io() {
        return describe_disconnect(error.kind());
    }
    match error.reason()? {
        h2::Reason::NO_ERROR | h2::Reason::CANCEL if error.is_remote() => {
            Some("the server ended it: it stops or restarts, or a proxy in front of it does")
        }
        h2::Reason::REFUSED_STREAM if error.is_remote() => {
            Some("the server takes no more calls for now: it is overloaded, or it stops")
        }
        _ => None,
    }
}

/// The same of a connection that ended between two calls, which has no error of the system.
fn describe_http(error: &hyper::Error) -> Option<&'static str> {
    (error.is_canceled() || error.is_closed()).then_some("the connection was closed before the call was sent")
}

/// Libraries point to their documentation, which is not the operator's.
fn without_urls(text: &str) -> String {
    let is_address = |word: &&str| word.contains("://");
    let words: Vec<_> = text.split(' ').filter(|word| !is_address(word)).collect();
    words.join(" ").trim_end_matches([':', ' ']).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::{Call, TeleportError};
    use bytes::Bytes;
    use http::Request;
    use http_body_util::Empty;
    use hyper_util::rt::TokioIo;

    #[tokio::test]
    async fn a_call_that_was_not_sent_has_our_own_words() {
        let (near, far) = tokio::io::duplex(64);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(near)).await.unwrap();
        drop((connection, far));
        let error = sender.send_request(Request::new(Empty::new())).await.unwrap_err();
        let status = Status::from_error(Box::new(error));
        let text = TeleportError::from_status(Call::GetPluginData, &status).to_string();
        assert!(text.ends_with("the connection was closed before the call was sent"), "{text}");
        assert!(!text.contains("canceled"), "{text}");
    }

    #[test]
    fn a_cut_connection_has_our_own_words() {
        let text_of = |error: io::Error| {
            TeleportError::from_status(Call::WatchEvents, &Status::from_error(Box::new(error))).to_string()
        };
        let library =
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest";
        let text = text_of(io::Error::new(io::ErrorKind::UnexpectedEof, library));
        assert!(text.contains("cut from outside") && text.contains("idle time-out"), "{text}");
        assert!(!text.contains("close_notify") && !text.contains("://"), "{text}");
        let text = text_of(io::Error::from(io::ErrorKind::ConnectionReset));
        assert!(text.ends_with("the connection was reset, by the server's machine or by something between"));
        let text = text_of(io::Error::other("unusual: see https://docs.rs/h2"));
        assert!(text.contains("unusual: see") && !text.contains("docs.rs"), "{text}");
    }
}
