use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};

use futures::future::{Either, select};
use futures::task::noop_waker;
use futures::{AsyncReadExt, AsyncWriteExt};
use libp2p::core::muxing::StreamMuxerExt;
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use tokio_util::compat::TokioAsyncReadCompatExt;

use super::*;

const ACK: u16 = 2;

/// A frame of `kind` with these flags; `length` bytes follow if it is data.
fn frame(kind: u8, flags: u16, length: u32) -> Vec<u8> {
    let mut bytes = vec![VERSION, kind];
    bytes.extend(flags.to_be_bytes());
    bytes.extend(7_u32.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    if kind == DATA {
        // Such bytes as would be a ping's if the length were not minded.
        let ping = frame(PING, SYN, 3);
        bytes.extend(ping.iter().cycle().take(length as usize));
    }
    bytes
}

fn is_request(frame: &[u8]) -> bool {
    frame[1] == PING && frame[2..4] == SYN.to_be_bytes()
}

/// The frames in these bytes, without the bodies' bytes.
fn headers(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut headers = Vec::new();
    while !bytes.is_empty() {
        let (header, rest) = bytes.split_at(HEADER);
        let length = u32::from_be_bytes(header[8..].try_into().unwrap()) as usize;
        headers.push(header);
        bytes = if header[1] == DATA { &rest[length..] } else { rest };
    }
    headers
}

/// Takes so many bytes with each write, in turn; none means that it has to be asked again.
#[derive(Debug, Default)]
struct Sink {
    taken: Vec<u8>,
    takes: VecDeque<usize>,
}

impl AsyncWrite for Sink {
    fn poll_write(mut self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let takes = self.takes.pop_front().unwrap_or(usize::MAX).min(bytes.len());
        self.taken.extend(&bytes[..takes]);
        if takes == 0 {
            Poll::Pending
        } else {
            Poll::Ready(Ok(takes))
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Writes the pieces, one after the other, and returns what has passed when all is flushed.
fn passed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, takes: VecDeque<usize>) -> Vec<u8> {
    let mut quiet = Quiet::new(Sink {
        taken: Vec::new(),
        takes,
    });
    let waker = noop_waker();
    let mut cx = Context::from_waker(&waker);
    for mut piece in pieces {
        while !piece.is_empty() {
            match Pin::new(&mut quiet).poll_write(&mut cx, piece) {
                Poll::Ready(written) => piece = &piece[written.unwrap()..],
                Poll::Pending => {}
            }
        }
    }
    while Pin::new(&mut quiet).poll_flush(&mut cx).is_pending() {}
    quiet.socket.taken
}

fn without_requests(frames: &[Vec<u8>]) -> Vec<u8> {
    frames
        .iter()
        .filter(|frame| !is_request(frame))
        .flatten()
        .copied()
        .collect()
}

#[test]
fn requests_are_taken_out_wherever_the_frames_are_cut() {
    let frames = [
        frame(PING, SYN, 0),
        frame(DATA, SYN, 0),
        frame(DATA, 0, 25),
        frame(PING, SYN, 1),
        frame(1, 0, 262_144),
        frame(PING, ACK, 9),
        frame(PING, SYN, 2),
        frame(DATA, 4, 12),
        frame(3, 0, 0),
    ];
    let all = frames.concat();
    for cut in 0..all.len() {
        let (one, other) = all.split_at(cut);
        assert_eq!(
            passed([one, other], VecDeque::new()),
            without_requests(&frames),
            "cut at {cut}"
        );
    }
    assert_eq!(
        passed(all.chunks(1), VecDeque::new()),
        without_requests(&frames),
        "byte by byte"
    );
}

#[test]
fn what_is_no_yamux_that_we_know_passes_as_it_is() {
    let mut later = frame(DATA, 0, 3);
    later[0] = 1;
    let all = [frame(DATA, 0, 5), later, frame(PING, SYN, 1)].concat();
    assert_eq!(passed(all.chunks(5), VecDeque::new()), all);
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        any::<u32>().prop_map(|number| frame(PING, SYN, number)),
        any::<u32>().prop_map(|number| frame(PING, ACK, number)),
        (0_u16..16, 0_u32..60).prop_map(|(flags, length)| frame(DATA, flags, length)),
        (0_u16..16, any::<u32>()).prop_map(|(flags, more)| frame(1, flags, more)),
        (0_u32..3).prop_map(|reason| frame(3, 0, reason)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, rng_seed: RngSeed::Fixed(1), ..ProptestConfig::default() })]

    /// However frames are cut, and however little the socket takes at a time.
    #[test]
    fn all_but_requests_pass(
        frames in prop::collection::vec(any_frame(), 0..12),
        cuts in prop::collection::vec(1_usize..40, 1..30),
        takes in prop::collection::vec(0_usize..20, 0..60),
    ) {
        let all = frames.concat();
        let mut pieces = Vec::new();
        let mut rest = &all[..];
        for cut in cuts.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (piece, more) = rest.split_at((*cut).min(rest.len()));
            pieces.push(piece);
            rest = more;
        }
        prop_assert_eq!(passed(pieces, takes.into()), without_requests(&frames));
    }
}

/// A socket that remembers what was written to it.
struct Recorded<C> {
    socket: C,
    written: Arc<Mutex<Vec<u8>>>,
}

impl<C: AsyncRead + Unpin> AsyncRead for Recorded<C> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &mut [u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_read(cx, bytes)
    }
}

impl<C: AsyncWrite + Unpin> AsyncWrite for Recorded<C> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.socket).poll_write(cx, bytes))?;
        self.written.lock().unwrap().extend(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_close(cx)
    }
}

/// Opens a stream on a quiet end and sends three windows on it, which the other end, yamux as everybody else has it, sends back.
#[tokio::test]
async fn a_quiet_end_and_any_other_understand_each_other_and_only_the_other_one_pings() {
    const WINDOW: usize = 256 * 1024;
    let (one, other) = tokio::io::duplex(64 * 1024);
    let (ours, theirs) = (Arc::default(), Arc::default());
    let recorded = |socket: tokio::io::DuplexStream, written: &Arc<Mutex<Vec<u8>>>| Recorded {
        socket: socket.compat(),
        written: written.clone(),
    };
    let mut quiet = Muxing::new(16)
        .upgrade_outbound(recorded(one, &ours), "/yamux/1.0.0")
        .await
        .unwrap();
    let mut plain = yamux::Config::default()
        .upgrade_inbound(recorded(other, &theirs), "/yamux/1.0.0")
        .await
        .unwrap();
    let echo = tokio::spawn(async move {
        let stream = poll_fn(|cx| plain.poll_inbound_unpin(cx)).await.unwrap();
        let (reader, mut writer) = stream.split();
        let copied = Box::pin(futures::io::copy(reader, &mut writer));
        let muxing = poll_fn(|cx| plain.poll_unpin(cx));
        if let Either::Left((_, muxing)) = select(copied, muxing).await {
            let _ = muxing.await;
        }
    });
    let stream = poll_fn(|cx| quiet.poll_outbound_unpin(cx)).await.unwrap();
    let (mut reader, mut writer) = stream.split();
    let sent: Vec<u8> = (0..3 * WINDOW).map(|at| (at % 251) as u8).collect();
    let talk = Box::pin(async {
        let mut back = vec![0; sent.len()];
        let write = async {
            writer.write_all(&sent).await?;
            writer.flush().await
        };
        futures::try_join!(write, reader.read_exact(&mut back)).unwrap();
        back
    });
    match select(talk, poll_fn(|cx| quiet.poll_unpin(cx))).await {
        Either::Left((back, _)) => assert!(back == sent, "all comes back as it was sent"),
        Either::Right((end, _)) => panic!("the connection ended: {:?}", end.map(|_| ())),
    }
    echo.abort();
    let pings = |written: &Mutex<Vec<u8>>, flags: u16| {
        let written = written.lock().unwrap();
        let is_such = |header: &&[u8]| header[1] == PING && header[2..4] == flags.to_be_bytes();
        headers(&written).into_iter().filter(is_such).count()
    };
    assert_eq!((pings(&ours, SYN), pings(&theirs, ACK)), (0, 0), "nothing is asked");
    assert_eq!(
        (pings(&theirs, SYN), pings(&ours, ACK)),
        (1, 1),
        "the other end is answered"
    );
}
