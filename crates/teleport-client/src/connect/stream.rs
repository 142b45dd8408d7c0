//! The streams that TLS with the auth server can run over.

use std::io;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::codec::{Framed, FramedParts, LengthDelimitedCodec};
use tokio_util::io::{CopyToBytes, SinkWriter, StreamReader};

/// The largest message of a tunnel that is taken, in bytes. Each holds what the proxy wrote at once, some ten thousand.
const MAX_MESSAGE_BYTES: usize = 1024 * 1024;
/// What a tunnel holds while the proxy does not read, in bytes.
const WRITE_BUFFER_BYTES: usize = 128 * 1024;

/// Any stream of bytes in both directions.
pub(in super::super) trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> IoStream for S {}

/// The bytes inside binary WebSocket messages. Pings are answered while it is read. `read` came with the answer.
pub(super) async fn in_websocket(stream: Box<dyn IoStream>, read: Bytes) -> Box<dyn IoStream> {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_MESSAGE_BYTES))
        .max_frame_size(Some(MAX_MESSAGE_BYTES))
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(8 * WRITE_BUFFER_BYTES);
    let messages =
        WebSocketStream::from_partially_read(stream, read.into(), Role::Client, Some(config)).await;
    let chunks = messages
        .map(|message| match message {
            Ok(Message::Binary(bytes)) => Ok(bytes),
            Ok(Message::Text(_)) => Err(io::Error::new(io::ErrorKind::InvalidData, "text in a tunnel")),
            Ok(_) => Ok(Bytes::new()),
            Err(error) => Err(io_error(error)),
        })
        .sink_map_err(io_error)
        .with(async |bytes: Bytes| Ok::<_, io::Error>(Message::Binary(bytes)));
    Box::new(SinkWriter::new(StreamReader::new(CopyToBytes::new(Box::pin(chunks)))))
}

/// The bytes behind four bytes of length, as proxies before 15.1 wrap them. An empty message is a ping and needs no answer.
pub(super) fn in_old_form(stream: Box<dyn IoStream>, read: &[u8]) -> Box<dyn IoStream> {
    let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_MESSAGE_BYTES).new_codec();
    let mut parts = FramedParts::new::<Bytes>(stream, codec);
    parts.read_buf.extend_from_slice(read);
    let chunks = Framed::from_parts(parts);
    Box::new(SinkWriter::new(StreamReader::new(CopyToBytes::new(chunks))))
}

/// Of its own kind where the connection broke, so that the cause is named as for any other connection.
fn io_error(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => io::ErrorKind::UnexpectedEof.into(),
        error => io::Error::new(io::ErrorKind::InvalidData, error),
    }
}
