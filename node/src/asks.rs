//! One-shot exchanges over libp2p's request-response: a question, an answer, both opaque bytes.

use std::io;
use std::time::Duration;

use futures::{AsyncRead, AsyncWrite, AsyncWriteExt};
use libp2p::StreamProtocol;
use libp2p::request_response::{Behaviour, Codec, Config, ProtocolSupport};

use crate::frame;

/// The protocol of one-shot exchanges.
const PROTOCOL: StreamProtocol = StreamProtocol::new("/fatebound/ask/1");

/// Questions that one peer is asked at once at most; further ones wait. Two such peers, and streams that are over and not yet forgotten, stay
/// within [`crate::transport::MAX_STREAMS`], beyond which a connection closes.
pub(crate) const MAX_ASKED: usize = 48;

/// Exchanges under way on one connection at most, both directions together: more than peers who keep to [`MAX_ASKED`] ever have. Beyond it requests
/// are dropped, and repeated by whoever asks.
const MAX_EXCHANGES: usize = 128;

/// The sub-behaviour that carries the exchanges.
pub type Asks = Behaviour<BytesCodec>;

/// Exchanges that take longer than `limit` fail.
pub(crate) fn asks(limit: Duration) -> Asks {
    let config = Config::default()
        .with_request_timeout(limit)
        .with_max_concurrent_streams(MAX_EXCHANGES);
    Behaviour::with_codec(BytesCodec, [(PROTOCOL, ProtocolSupport::Full)], config)
}

/// One frame each way, see [`frame`].
#[derive(Clone, Copy, Debug, Default)]
pub struct BytesCodec;

impl Codec for BytesCodec {
    type Protocol = StreamProtocol;
    type Request = Vec<u8>;
    type Response = Vec<u8>;

    async fn read_request<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        whole(io).await
    }

    async fn read_response<T>(&mut self, _: &StreamProtocol, io: &mut T) -> io::Result<Vec<u8>>
    where
        T: AsyncRead + Unpin + Send,
    {
        whole(io).await
    }

    async fn write_request<T>(&mut self, _: &StreamProtocol, io: &mut T, request: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        frame::write(io, &request).await?;
        io.flush().await
    }

    async fn write_response<T>(&mut self, _: &StreamProtocol, io: &mut T, response: Vec<u8>) -> io::Result<()>
    where
        T: AsyncWrite + Unpin + Send,
    {
        frame::write(io, &response).await?;
        io.flush().await
    }
}

async fn whole<T: AsyncRead + Unpin>(io: &mut T) -> io::Result<Vec<u8>> {
    frame::read(io)
        .await?
        .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    #[test]
    fn a_question_comes_through() {
        let mut wire = Vec::new();
        block_on(BytesCodec.write_request(&PROTOCOL, &mut wire, b"who?".to_vec())).unwrap();
        let read = block_on(BytesCodec.read_request(&PROTOCOL, &mut Cursor::new(wire))).unwrap();
        assert_eq!(read, b"who?");
    }

    #[test]
    fn nothing_and_too_much_are_errors() {
        let nothing = block_on(BytesCodec.read_response(&PROTOCOL, &mut Cursor::new([])));
        assert_eq!(nothing.unwrap_err().kind(), io::ErrorKind::UnexpectedEof);
        let mut wire = Vec::new();
        let too_much = vec![0; frame::MAX_FRAME + 1];
        assert!(block_on(BytesCodec.write_response(&PROTOCOL, &mut wire, too_much)).is_err());
        assert!(wire.is_empty());
    }
}
