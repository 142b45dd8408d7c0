//! Why a connection did not come about or broke, in our own words in place of the libraries', which go to the log at debug.

use std::error::Error;
use std::io;

use rustls::{AlertDescription, CertificateError};

use crate::tcp::TcpError;

/// The words. An error of another kind keeps those of its innermost cause, without what the libraries around it add.
pub fn describe(error: &(dyn Error + 'static)) -> String {
    describe_with(error, |_| None)
}

/// The same where `known` has words for the errors of one more library.
pub fn describe_with(
    error: &(dyn Error + 'static),
    known: impl Fn(&(dyn Error + 'static)) -> Option<&'static str>,
) -> String {
    let all: Vec<_> = causes(error).collect();
    let innermost = all.last().map(ToString::to_string).unwrap_or_default();
    let words = |error: &&(dyn Error + 'static)| {
        let error: &(dyn Error + 'static) = *error;
        known(error).map(str::to_owned).or_else(|| words_for(error))
    };
    all.iter().rev().find_map(words).unwrap_or(innermost)
}

/// An error and its causes, as the libraries call them, on one line.
pub fn libraries_words(error: &(dyn Error + 'static)) -> String {
    let mut texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    let tcp = causes(error).find_map(|error| error.downcast_ref::<TcpError>());
    texts.extend(tcp.map(TcpError::by_address).filter(|text| !text.is_empty()));
    texts.dedup();
    texts.join(": ")
}

/// An error and its causes. What an I/O error wraps counts as its cause.
pub fn causes<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| {
        let error: &'a (dyn Error + 'static) = *error;
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map(|error| error as &(dyn Error + 'static)).or_else(|| error.source())
    })
}

/// For a connection that was closed while an answer was awaited.
pub const ENDED: &str = "it was closed before an answer came, by the server's end or by something between";
/// For a connection that was cut without a word.
pub const CUT: &str = "it was cut, by the server's end or by something between";

fn words_for(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<TcpError>() {
        return Some(error.to_string());
    }
    if let Some(error) = error.downcast_ref::<rustls::Error>() {
        return of_tls(error);
    }
    let words = if let Some(error) = error.downcast_ref::<hyper::Error>() {
        match () {
            () if error.is_incomplete_message() => ENDED,
            () if error.is_canceled() || error.is_closed() => "it was closed before the call was sent",
            () if error.is_parse() => "what answers there speaks no HTTP",
            () => return None,
        }
    } else {
        let error = error.downcast_ref::<io::Error>()?;
        match error.kind() {
            io::ErrorKind::ConnectionRefused => {
                "it was refused: nothing listens there, or a firewall refuses"
            }
            io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted | io::ErrorKind::BrokenPipe => {
                "it was reset, by the server's machine or by something between"
            }
            io::ErrorKind::UnexpectedEof if error.to_string().contains("handshake") => {
                "it was closed during the TLS handshake, by the server's end or by something between"
            }
            io::ErrorKind::UnexpectedEof => CUT,
            _ => return None,
        }
    };
    Some(words.to_owned())
}

fn of_tls(error: &rustls::Error) -> Option<String> {
    let words = match error {
        rustls::Error::InvalidMessage(_) => "what answers there speaks no TLS",
        rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)
        | rustls::Error::NoApplicationProtocol => "what answers there speaks TLS, and no HTTP in it",
        rustls::Error::AlertReceived(
            AlertDescription::HandshakeFailure
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity,
        )
        | rustls::Error::PeerIncompatible(_) => {
            "what answers there takes no version or cipher of TLS that this program takes"
        }
        rustls::Error::AlertReceived(alert) => {
            return Some(format!("it was ended by the TLS alert {alert:?}"));
        }
        rustls::Error::InvalidCertificate(error) => return Some(of_certificate(error)),
        _ => return None,
    };
    Some(words.to_owned())
}

/// What is wrong with a server's certificate. `BadSignature` is what a renewed authority of the same name leads to.
fn of_certificate(error: &CertificateError) -> String {
    match error {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the server's certificate is of no authority that is trusted".to_owned()
        }
        CertificateError::Expired
        | CertificateError::ExpiredContext { .. }
        | CertificateError::NotValidYet
        | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate has expired or is not valid yet, or this machine's clock is wrong"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the server's certificate is for another name".to_owned()
        }
        CertificateError::Revoked => "the server's certificate is revoked".to_owned(),
        // The library has no kind of its own for it.
        error if format!("{error:?}").contains("CaUsedAsEndEntity") => {
            "the server's certificate is an authority's, or signed itself".to_owned()
        }
        error => format!("the server's certificate cannot be accepted: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_class_has_words_of_ours_and_the_rest_its_innermost() {
        let in_io = |error: rustls::Error| io::Error::new(io::ErrorKind::InvalidData, error);
        let of = |error: &io::Error| describe(error);
        let refused = || io::Error::from(io::ErrorKind::ConnectionRefused);
        for (error, words) in [
            (refused(), "it was refused: nothing listens there, or a firewall refuses"),
            (io::Error::other(refused()), "it was refused: nothing listens there, or a firewall refuses"),
            (
                io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof"),
                "it was closed during the TLS handshake, by the server's end or by something between",
            ),
            (
                in_io(rustls::Error::AlertReceived(AlertDescription::NoApplicationProtocol)),
                "what answers there speaks TLS, and no HTTP in it",
            ),
            (
                in_io(rustls::Error::AlertReceived(AlertDescription::InternalError)),
                "it was ended by the TLS alert InternalError",
            ),
            (
                in_io(rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)),
                "the server's certificate is of no authority that is trusted",
            ),
            (
                in_io(rustls::Error::InvalidCertificate(CertificateError::NotValidForName)),
                "the server's certificate is for another name",
            ),
            (
                in_io(rustls::Error::InvalidCertificate(CertificateError::Expired)),
                "the server's certificate has expired or is not valid yet, or this machine's clock is wrong",
            ),
            (io::Error::new(io::ErrorKind::TimedOut, "no connection in 5s"), "no connection in 5s"),
        ] {
            assert_eq!(of(&error), words);
        }
    }

    #[test]
    fn what_the_libraries_say_is_kept_for_who_looks_for_a_fault_in_them() {
        let inner = io::Error::new(io::ErrorKind::UnexpectedEof, "tls handshake eof");
        assert_eq!(libraries_words(&io::Error::other(inner)), "tls handshake eof");
    }
}
