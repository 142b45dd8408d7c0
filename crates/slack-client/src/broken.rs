//! Why a connection to Slack did not come about or broke, in our own words in place of the libraries', which go to the log at
//! debug.

use std::error::Error;

use client_base::broken::{CUT, ENDED, describe_with, libraries_words};
use tokio_tungstenite::tungstenite::{self, error::ProtocolError};

/// The words. An error of another kind keeps those of its innermost cause, without what the libraries around it add.
pub(super) fn describe(error: &(dyn Error + 'static)) -> String {
    describe_with(error, of_websocket)
}

/// The libraries' own words, for who looks for a fault in them.
pub(super) fn log_libraries_words(error: &(dyn Error + 'static)) {
    tracing::debug!("A connection to Slack failed; the libraries say: {}", libraries_words(error));
}

fn of_websocket(error: &(dyn Error + 'static)) -> Option<&'static str> {
    match error.downcast_ref::<tungstenite::Error>()? {
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Some(CUT),
        tungstenite::Error::Protocol(ProtocolError::HandshakeIncomplete) => Some(ENDED),
        tungstenite::Error::ConnectionClosed | tungstenite::Error::AlreadyClosed => Some("it was closed"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[test]
    fn the_ends_of_a_websocket_have_our_own_words_too() {
        let reset = tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake);
        let refused = tungstenite::Error::Io(io::Error::from(io::ErrorKind::ConnectionRefused));
        assert_eq!(describe(&reset), "it was cut, by the server's end or by something between");
        assert_eq!(describe(&refused), "it was refused: nothing listens there, or a firewall refuses");
        assert_eq!(describe(&tungstenite::Error::AlreadyClosed), "it was closed");
    }
}
