//! Frames on a stream: an unsigned-varint length, then that many opaque bytes.
//!
//! The length is checked before anything is allocated, so a stranger can claim four gigabytes and cost us three bytes.

use std::io;

use futures::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

pub(crate) use fatebound_machine::wire::MAX_FRAME;

/// Bytes that a length within [`MAX_FRAME`] takes at most.
const MAX_PREFIX: usize = 3;

/// Reads one frame; `None` when the stream ended between two frames.
///
/// # Errors
/// `InvalidData` for a length beyond [`MAX_FRAME`], `UnexpectedEof` for a stream that ended inside a frame, and whatever the stream says.
pub(crate) async fn read<R: AsyncRead + Unpin>(io: &mut R) -> io::Result<Option<Vec<u8>>> {
    let Some(length) = read_length(io).await? else {
        return Ok(None);
    };
    let mut frame = vec![0; length];
    io.read_exact(&mut frame).await?;
    Ok(Some(frame))
}

async fn read_length<R: AsyncRead + Unpin>(io: &mut R) -> io::Result<Option<usize>> {
    let mut length = 0;
    for position in 0..MAX_PREFIX {
        let mut byte = [0];
        if io.read(&mut byte).await? == 0 {
            return if position == 0 {
                Ok(None)
            } else {
                Err(io::ErrorKind::UnexpectedEof.into())
            };
        }
        length |= usize::from(byte[0] & 0x7f) << (7 * position);
        if byte[0] & 0x80 == 0 {
            return if length <= MAX_FRAME {
                Ok(Some(length))
            } else {
                Err(too_long())
            };
        }
    }
    Err(too_long())
}

/// Writes one frame, without flushing.
///
/// # Errors
/// `InvalidData`, and nothing is written, for a frame beyond [`MAX_FRAME`]; else whatever the stream says.
pub(crate) async fn write<W: AsyncWrite + Unpin>(io: &mut W, frame: &[u8]) -> io::Result<()> {
    if frame.len() > MAX_FRAME {
        return Err(too_long());
    }
    let (prefix, used) = encode_length(frame.len());
    io.write_all(&prefix[..used]).await?;
    io.write_all(frame).await
}

fn encode_length(mut length: usize) -> ([u8; MAX_PREFIX], usize) {
    let mut prefix = [0; MAX_PREFIX];
    let mut used = 0;
    loop {
        let digit = (length & 0x7f) as u8;
        length >>= 7;
        prefix[used] = if length == 0 { digit } else { digit | 0x80 };
        used += 1;
        if length == 0 {
            return (prefix, used);
        }
    }
}

fn too_long() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a frame longer than the limit")
}

/// Whether an error of [`read`] is the sender's fault rather than the network's.
pub(crate) fn is_garbage(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::InvalidData
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;
    use futures::io::Cursor;

    use super::*;

    fn written(frames: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            block_on(write(&mut bytes, frame)).unwrap();
        }
        bytes
    }

    #[test]
    fn what_is_written_is_read() {
        let frames = [
            vec![],
            vec![1],
            vec![2; 127],
            vec![3; 128],
            vec![4; 16_384],
            vec![5; MAX_FRAME],
        ];
        let mut io = Cursor::new(written(&frames));
        for frame in &frames {
            assert_eq!(block_on(read(&mut io)).unwrap().as_ref(), Some(frame));
        }
        assert_eq!(block_on(read(&mut io)).unwrap(), None);
    }

    #[test]
    fn a_frame_beyond_the_limit_is_neither_written_nor_read() {
        let mut bytes = Vec::new();
        assert!(is_garbage(
            &block_on(write(&mut bytes, &vec![0; MAX_FRAME + 1])).unwrap_err()
        ));
        assert!(bytes.is_empty());
        let (prefix, used) = encode_length(MAX_FRAME + 1);
        let error = block_on(read(&mut Cursor::new(&prefix[..used]))).unwrap_err();
        assert!(is_garbage(&error));
    }

    #[test]
    fn a_length_without_end_is_garbage() {
        let error = block_on(read(&mut Cursor::new([0xff; 16]))).unwrap_err();
        assert!(is_garbage(&error));
    }

    #[test]
    fn a_truncated_frame_is_an_error_but_not_the_senders_fault() {
        let whole = written(&[vec![7; 300]]);
        for cut in 1..whole.len() {
            let error = block_on(read(&mut Cursor::new(&whole[..cut]))).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof, "cut at {cut}");
            assert!(!is_garbage(&error));
        }
    }
}
