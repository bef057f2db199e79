//! One client's connection: read and written for HTTP, and asked whether its client is still there.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::Sleep;

/// A client that takes nothing of its answer for so long has hung: its connection is closed.
const STALLED: Duration = Duration::from_secs(300);
/// So long what a client still sends after its last answer is read and thrown away.
const LINGER: Duration = Duration::from_secs(2);

/// What an API connection runs over.
#[derive(Debug)]
pub enum Stream {
    /// A Unix socket.
    Unix(UnixStream),
    /// TCP.
    Tcp(TcpStream),
}

impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Stream {
        Stream::Unix(stream)
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Stream {
        Stream::Tcp(stream)
    }
}

impl Stream {
    fn socket(&self) -> SockRef<'_> {
        match self {
            Stream::Unix(stream) => SockRef::from(stream),
            Stream::Tcp(stream) => SockRef::from(stream),
        }
    }

    async fn readable(&self) -> io::Result<()> {
        match self {
            Stream::Unix(stream) => stream.readable().await,
            Stream::Tcp(stream) => stream.readable().await,
        }
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Unix(stream) => stream.poll_read_ready(cx),
            Stream::Tcp(stream) => stream.poll_read_ready(cx),
        }
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Stream::Unix(stream) => stream.poll_write_ready(cx),
            Stream::Tcp(stream) => stream.poll_write_ready(cx),
        }
    }

    fn try_read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.try_read(buffer),
            Stream::Tcp(stream) => stream.try_read(buffer),
        }
    }

    fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.try_write(bytes),
            Stream::Tcp(stream) => stream.try_write(bytes),
        }
    }

    fn try_write_vectored(&self, pieces: &[io::IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Stream::Unix(stream) => stream.try_write_vectored(pieces),
            Stream::Tcp(stream) => stream.try_write_vectored(pieces),
        }
    }
}

/// The connection's client, for whoever carries out what it wants.
#[derive(Clone, Debug)]
pub struct Client(Arc<Stream>);

impl Client {
    /// The client at the other end.
    pub fn new(stream: impl Into<Stream>) -> Client {
        Client(Arc::new(stream.into()))
    }

    /// The connection as a stream of bytes; one is enough.
    pub fn connection(&self) -> Connection {
        Connection {
            stream: Arc::clone(&self.0),
            patience: STALLED,
            stalled: None,
        }
    }

    /// Ends the connection so that its client can read its last answer to the end.
    ///
    /// Closing a socket from which not everything was read resets it, and a client that is still sending (a body that is too large, say) would read
    /// "connection reset" in place of the answer. So this end is closed for writing first, and what arrives is thrown away until the client
    /// closes too, or has had its time (as nginx does with `lingering_close`).
    pub async fn part(&self) {
        if self.0.socket().shutdown(Shutdown::Write).is_ok() {
            let _ = tokio::time::timeout(LINGER, self.discard()).await;
        }
    }

    async fn discard(&self) {
        let mut unwanted = vec![0; 16 * 1024];
        while self.0.readable().await.is_ok() {
            match self.0.try_read(&mut unwanted) {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                Ok(_) | Err(_) => {}
            }
        }
    }

    /// Whether it has closed its end, as a killed process has. The system is asked: what this process has noticed by now may be old.
    pub fn is_gone(&self) -> bool {
        let mut next = [std::mem::MaybeUninit::uninit()];
        match self.0.socket().peek(&mut next) {
            Ok(read) => read == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        }
    }
}

/// The bytes of a connection.
#[derive(Debug)]
pub struct Connection {
    stream: Arc<Stream>,
    /// So long a client may take nothing.
    patience: Duration,
    /// Runs while the client takes nothing of what is to be written.
    stalled: Option<Pin<Box<Sleep>>>,
}

impl Connection {
    fn poll_write_with(
        &mut self,
        cx: &mut Context<'_>,
        write: impl Fn(&Stream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        while self.stream.poll_write_ready(cx)?.is_ready() {
            match write(&self.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => {
                    self.stalled = None;
                    return Poll::Ready(written);
                }
            }
        }
        let patience = self.patience;
        let stalled = self
            .stalled
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(patience)));
        ready!(stalled.poll_unpin(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            ready!(self.stream.poll_read_ready(cx))?;
            match self.stream.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read.map(|read| buffer.advance(read))),
            }
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(cx, |stream| stream.try_write_vectored(pieces))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.socket().shutdown(Shutdown::Write))
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_go_both_ways() {
        let (mut client, served) = UnixStream::pair().unwrap();
        let mut connection = Client::new(served).connection();
        client.write_all(b"question").await.unwrap();
        let mut read = [0; 8];
        connection.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"question");
        connection.write_all(b"answer").await.unwrap();
        connection.shutdown().await.unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "answer");
    }

    #[tokio::test]
    async fn a_client_that_has_gone_is_known_once_its_words_are_read() {
        let (mut client, served) = UnixStream::pair().unwrap();
        let served = Client::new(served);
        let mut connection = served.connection();
        assert!(!served.is_gone());
        client.write_all(b"x").await.unwrap();
        drop(client);
        connection.read_exact(&mut [0]).await.unwrap();
        assert!(served.is_gone());
    }

    #[tokio::test]
    async fn who_sends_more_than_is_read_hears_its_answer_to_the_end() {
        let (mut client, served) = UnixStream::pair().unwrap();
        let served = Client::new(served);
        let mut connection = served.connection();
        client.write_all(&[7; 60_000]).await.unwrap();
        connection.write_all(b"too much").await.unwrap();
        drop(connection);
        let parting = tokio::spawn(async move { served.part().await });
        let mut answer = String::new();
        client.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer, "too much");
        client.write_all(&[7; 600_000]).await.unwrap();
        drop(client);
        parting.await.unwrap();
    }

    #[tokio::test]
    async fn who_takes_nothing_is_given_up() {
        let (_client, served) = UnixStream::pair().unwrap();
        let mut connection = Client::new(served).connection();
        connection.patience = Duration::from_millis(1);
        let error = connection.write_all(&vec![0; 10_000_000]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
