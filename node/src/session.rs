//! One session: a long-lived stream of frames, both ways, as the connection's task sees it.
//!
//! Reading and writing are two small `async` loops; [`SessionStream::poll`] turns them by hand, so that they live and die with the connection
//! and need no task of their own. Frames are read only as fast as the behaviour takes them.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use fatebound_machine::DisconnectCause;
use fatebound_machine::overlay::Session;
use futures::future::BoxFuture;
use futures::io::{BufReader, BufWriter};
use futures::stream::{self, BoxStream};
use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, FutureExt, StreamExt};
use tokio::time::Sleep;

use crate::frame;
use crate::queue::{Next, SendQueue};

/// How long a session that we have closed waits for the other end to close too, so that the last frames are not lost to a reset.
const LINGER: Duration = Duration::from_secs(3);

/// How long a session that we have closed may take in all: a peer that reads nothing does not keep it, nor what it has not read.
const CLOSE_LIMIT: Duration = Duration::from_secs(10);

/// What a session has come to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// A frame arrived.
    Frame(Vec<u8>),
    /// It is over; `None`: we closed it.
    Ended(Option<DisconnectCause>),
}

/// The stream under a session.
pub(crate) struct SessionStream {
    pub(crate) id: Session,
    queue: SendQueue,
    reader: BoxStream<'static, io::Result<Vec<u8>>>,
    writer: BoxFuture<'static, io::Result<()>>,
    /// Set once we have closed it, whatever is still to be written.
    closing: Option<Pin<Box<Sleep>>>,
    /// Set once all is written and our end is closed.
    lingering: Option<Pin<Box<Sleep>>>,
}

impl SessionStream {
    pub(crate) fn new<S>(id: Session, queue: SendQueue, stream: S) -> SessionStream
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (read, write) = stream.split();
        SessionStream {
            id,
            reader: frames(read).boxed(),
            writer: write_all(write, queue.clone()).boxed(),
            queue,
            closing: None,
            lingering: None,
        }
    }

    /// Moves on; after `Ended` it must not be polled again.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        if self.queue.poll_aborted(cx) || self.poll_overdue(cx) {
            return Poll::Ready(Progress::Ended(None));
        }
        match &mut self.lingering {
            Some(timer) => {
                if timer.poll_unpin(cx).is_ready() {
                    return Poll::Ready(Progress::Ended(None));
                }
                self.poll_drain(cx)
            }
            None => match self.writer.poll_unpin(cx) {
                Poll::Pending => self.poll_read(cx),
                Poll::Ready(Ok(())) => {
                    self.lingering = Some(Box::pin(tokio::time::sleep(LINGER)));
                    self.poll(cx)
                }
                Poll::Ready(Err(error)) => {
                    tracing::debug!(session = self.id.0, %error, "a session could not be written");
                    Poll::Ready(Progress::Ended(Some(DisconnectCause::Lost)))
                }
            },
        }
    }

    /// Whether the session was closed too long ago.
    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        if !self.queue.is_finished() {
            return false;
        }
        let limit = self
            .closing
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(CLOSE_LIMIT)));
        limit.poll_unpin(cx).is_ready()
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        Poll::Ready(match ready!(self.reader.poll_next_unpin(cx)) {
            Some(Ok(frame)) => Progress::Frame(frame),
            Some(Err(error)) if frame::is_garbage(&error) => {
                tracing::warn!(session = self.id.0, %error, "a session is closed: garbage");
                Progress::Ended(Some(DisconnectCause::Garbage))
            }
            Some(Err(error)) => {
                tracing::debug!(session = self.id.0, %error, "a session could not be read");
                Progress::Ended(Some(DisconnectCause::Lost))
            }
            None => Progress::Ended(Some(DisconnectCause::Lost)),
        })
    }

    /// Reads what still comes, for nobody.
    fn poll_drain(&mut self, cx: &mut Context<'_>) -> Poll<Progress> {
        while let Some(Ok(_)) = ready!(self.reader.poll_next_unpin(cx)) {}
        Poll::Ready(Progress::Ended(None))
    }
}

impl fmt::Debug for SessionStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SessionStream")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The frames of a stream, until it ends or errs.
fn frames<R>(read: R) -> impl futures::Stream<Item = io::Result<Vec<u8>>> + Send
where
    R: AsyncRead + Unpin + Send,
{
    stream::try_unfold(BufReader::new(read), |mut io| async move {
        Ok(frame::read(&mut io).await?.map(|frame| (frame, io)))
    })
}

/// Writes what is queued until the queue is finished (then closes the stream) or aborted.
async fn write_all<W>(write: W, queue: SendQueue) -> io::Result<()>
where
    W: AsyncWrite + Unpin + Send,
{
    let mut io = BufWriter::new(write);
    loop {
        match queue.next() {
            Next::Frame(frame) => frame::write(&mut io, &frame).await?,
            Next::Idle => {
                io.flush().await?;
                poll_fn(|cx| queue.poll_work(cx)).await;
            }
            Next::Finished => return io.close().await,
            Next::Aborted => return Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio_util::compat::TokioAsyncReadCompatExt;

    use super::*;

    /// Both ends of a stream that holds 1000 bytes in flight.
    fn pair() -> [(SessionStream, SendQueue); 2] {
        let (a, b) = tokio::io::duplex(1000);
        [(1, a), (2, b)].map(|(id, io)| {
            let queue = SendQueue::default();
            (SessionStream::new(Session(id), queue.clone(), io.compat()), queue)
        })
    }

    async fn next(session: &mut SessionStream) -> Progress {
        poll_fn(|cx| session.poll(cx)).await
    }

    #[tokio::test]
    async fn what_was_sent_arrives_before_the_end() {
        let [(mut ours, queue), (mut theirs, their_queue)] = pair();
        queue.push(vec![1; 5000], false).unwrap();
        queue.push(b"goodbye".to_vec(), false).unwrap();
        queue.finish();
        let theirs = async {
            assert_eq!(next(&mut theirs).await, Progress::Frame(vec![1; 5000]));
            assert_eq!(next(&mut theirs).await, Progress::Frame(b"goodbye".to_vec()));
            assert_eq!(next(&mut theirs).await, Progress::Ended(Some(DisconnectCause::Lost)));
            their_queue.abort();
            drop(theirs);
        };
        let (end, ()) = tokio::join!(next(&mut ours), theirs);
        assert_eq!(end, Progress::Ended(None));
    }

    #[tokio::test]
    async fn a_reader_that_does_not_read_stops_the_writer_and_abort_still_works() {
        let [(mut ours, queue), _theirs] = pair();
        for _ in 0..100 {
            queue.push(vec![0; 60_000], false).unwrap();
        }
        let mut waiting = Box::pin(next(&mut ours));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        queue.abort();
        assert_eq!(waiting.await, Progress::Ended(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_does_not_read_cannot_keep_a_session_that_we_have_closed() {
        let [(mut ours, queue), _theirs] = pair();
        queue.push(vec![0; 60_000], false).unwrap();
        let mut waiting = Box::pin(next(&mut ours));
        assert!(futures::poll!(waiting.as_mut()).is_pending());
        queue.finish();
        assert_eq!(waiting.await, Progress::Ended(None));
    }

    #[tokio::test]
    async fn garbage_ends_a_session() {
        let (io, mut wire) = tokio::io::duplex(1000);
        let mut session = SessionStream::new(Session(1), SendQueue::default(), io.compat());
        tokio::io::AsyncWriteExt::write_all(&mut wire, &[0xff; 8])
            .await
            .unwrap();
        assert_eq!(
            next(&mut session).await,
            Progress::Ended(Some(DisconnectCause::Garbage))
        );
    }
}
