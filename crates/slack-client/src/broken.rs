//! Why a connection to Slack did not come about or broke, in our own words in place of the libraries', which go to the log at
//! debug.

use std::error::Error;
use std::io;

use client_base::tcp::TcpError;
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

use access_core::domain::error_chain::chain;

/// The words. An error of another kind keeps those of its innermost cause, without what the libraries around it add.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    let all: Vec<_> = causes(error).collect();
    if let Some(error) = all.iter().find_map(|error| error.downcast_ref::<TcpError>()) {
        return error.to_string();
    }
    let innermost = all.last().map(ToString::to_string).unwrap_or_default();
    let known = all.iter().rev().find_map(|error| known(*error));
    known.map_or(innermost, str::to_owned)
}

/// The libraries' own words, for who looks for a fault in them.
pub(super) fn log_libraries_words(error: &(dyn Error + 'static)) {
    let tcp = causes(error).find_map(|error| error.downcast_ref::<TcpError>());
    let by_address = tcp.map(TcpError::by_address).unwrap_or_default();
    tracing::debug!(by_address, "A connection to Slack failed; the libraries say: {}", chain(error));
}

fn known(error: &(dyn Error + 'static)) -> Option<&'static str> {
    const ENDED: &str = "it was closed before an answer came, by the server's end or by something between";
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return match () {
            () if error.is_incomplete_message() => Some(ENDED),
            () if error.is_canceled() || error.is_closed() => Some("it was closed before the call was sent"),
            () => None,
        };
    }
    if let Some(error) = error.downcast_ref::<tungstenite::Error>() {
        return match error {
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                Some("it was cut, by the server's end or by something between")
            }
            tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => Some(ENDED),
            tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Some("it was closed"),
            _ => None,
        };
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        use rustls::AlertDescription::NoApplicationProtocol;
        return match error {
            rustls::Error::InvalidMessage(_) => Some("what answers there speaks no TLS"),
            rustls::Error::AlertReceived(NoApplicationProtocol) | rustls::Error::NoApplicationProtocol => {
                Some("what answers there speaks TLS, and no HTTP in it")
            }
            _ => None,
        };
    }
    let error = error.downcast_ref::<io::Error>()?;
    match error.kind() {
        io::ErrorKind::ConnectionRefused => {
            Some("it was refused: nothing listens there, or a firewall refuses")
        }
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
            Some("it was reset, by the server's machine or by something between")
        }
        io::ErrorKind::UnexpectedEof if error.to_string().contains("handshake") => {
            Some("it was closed during the TLS handshake, by the server's end or by something between")
        }
        io::ErrorKind::UnexpectedEof => Some("it was cut, by the server's end or by something between"),
        _ => None,
    }
}

/// An error and its causes. What an I/O error wraps counts as its cause.
pub(super) fn causes<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_ends_have_our_own_words_and_others_their_innermost() {
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::NoApplicationProtocol);
        let reset = tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, words) in [
            (&reset as &(dyn Error + 'static), "it was cut, by the server's end or by something between"),
            (
                &tungstenite::Error::Io(refused()),
                "it was refused: nothing listens there, or a firewall refuses",
            ),
            (&io::Error::other(refused()), "it was refused: nothing listens there, or a firewall refuses"),
            (
                &io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"),
                "it was closed during the TLS handshake, by the server's end or by something between",
            ),
            (
                &io::Error::new(io::ErrorKind::InvalidData, alert),
                "what answers there speaks TLS, and no HTTP in it",
            ),
            (&io::Error::new(io::ErrorKind::TimedOut, "no connection in 5s"), "no connection in 5s"),
            (
                &io::Error::new(
                    io::ErrorKind::InvalidData,
                    rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer),
                ),
                "invalid peer certificate: UnknownIssuer",
            ),
        ] {
            assert_eq!(describe(error), words);
        }
    }
}
