//! What is to be written to a client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::AsyncWrite;

use crate::socket::Socket;

/// Up to how long a piece of a body is copied behind what is written before it: that costs less
/// than a list of pieces costs the kernel.
const SMALL: usize = 1024;

/// How much is gathered before it is written.
const FULL: usize = 16 * 1024;

/// Bytes on their way to a client: heads and small pieces together, and behind them one large piece
/// of a body, which is not copied.
#[derive(Debug, Default)]
pub(crate) struct Output {
    bytes: Vec<u8>,
    /// How many of them have gone out.
    written: usize,
    piece: Bytes,
    /// What follows the piece.
    tail: Bytes,
}

impl Output {
    /// Begins with room that was used before.
    pub(crate) fn reuse(&mut self, room: impl FnOnce() -> Vec<u8>) {
        if self.bytes.capacity() == 0 {
            self.bytes = room();
        }
    }

    /// Gives the room back, if nothing is left to be written.
    pub(crate) fn give_back(&mut self, to: impl FnOnce(Vec<u8>)) {
        if self.is_empty() && self.bytes.capacity() > 0 {
            to(std::mem::take(&mut self.bytes));
        }
    }

    /// Where to append what is no large piece; not while [`Output::is_full`].
    pub(crate) fn bytes(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Appends a piece, and what follows it.
    pub(crate) fn push(&mut self, piece: Bytes, tail: &'static [u8]) {
        if !self.piece.is_empty() {
            // There is room for the end of a body behind its last piece.
            self.tail = [&self.tail[..], &piece, tail].concat().into();
        } else if piece.len() <= SMALL {
            self.bytes.extend_from_slice(&piece);
            self.bytes.extend_from_slice(tail);
        } else {
            self.piece = piece;
            self.tail = Bytes::from_static(tail);
        }
    }

    /// Whether nothing more should be appended before all of it is written.
    pub(crate) fn is_full(&self) -> bool {
        !self.piece.is_empty() || self.bytes.len() >= FULL
    }

    /// Whether everything has been written.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.piece.is_empty() && self.tail.is_empty()
    }

    /// Writes as much as there is room for at once, and says how much that was.
    pub(crate) fn poll_write(
        &mut self,
        socket: &mut Socket,
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        let (bytes, socket) = (&self.bytes[self.written..], Pin::new(socket));
        // Nearly all responses are one piece: to list it takes 60 instructions more.
        let polled = if self.piece.is_empty() && self.tail.is_empty() {
            socket.poll_write(cx, bytes)
        } else {
            let mut slices = [IoSlice::new(&[]); 3];
            let mut count = 0;
            for part in [bytes, &self.piece, &self.tail] {
                if !part.is_empty() {
                    slices[count] = IoSlice::new(part);
                    count += 1;
                }
            }
            socket.poll_write_vectored(cx, &slices[..count])
        };
        let wrote = ready!(polled)?;
        if wrote == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.advance(wrote);
        Poll::Ready(Ok(wrote))
    }

    fn advance(&mut self, count: usize) {
        let of_bytes = count.min(self.bytes.len() - self.written);
        self.written += of_bytes;
        let of_piece = (count - of_bytes).min(self.piece.len());
        self.piece.advance(of_piece);
        self.tail.advance(count - of_bytes - of_piece);
        if self.written == self.bytes.len() {
            self.bytes.clear();
            self.written = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is left to be written, in the order in which it goes out.
    fn left(output: &Output) -> Vec<u8> {
        [&output.bytes[output.written..], &output.piece, &output.tail].concat()
    }

    /// A head, small and large pieces, and the end of the body behind the large one.
    fn filled() -> (Output, Vec<u8>) {
        let large = vec![b'x'; SMALL + 1];
        let mut output = Output::default();
        output.bytes().extend_from_slice(b"head ");
        output.push(Bytes::from_static(b"small"), b" ");
        assert!(!output.is_full());
        output.push(large.clone().into(), b" tail ");
        assert!(output.is_full());
        output.push(Bytes::from_static(b"end"), b".");
        (output, [b"head small ", &large[..], b" tail end."].concat())
    }

    #[test]
    fn what_is_appended_goes_out_in_order_however_much_is_taken_at_once() {
        for step in [1, 2, 5, 11, 12, SMALL, SMALL + 12, SMALL + 19] {
            let (mut output, all) = filled();
            let mut gone = 0;
            while gone < all.len() {
                assert_eq!(left(&output), all[gone..], "{gone} by {step}");
                assert!(!output.is_empty());
                let count = step.min(all.len() - gone);
                output.advance(count);
                gone += count;
            }
            assert!(output.is_empty() && left(&output).is_empty());
        }
    }

    #[test]
    fn small_pieces_are_gathered_until_they_are_enough() {
        let mut output = Output::default();
        let pieces = (1..).find(|_| {
            output.push(vec![b'x'; SMALL].into(), b"");
            output.is_full()
        });
        assert_eq!(pieces, Some(FULL / SMALL));
    }

    #[test]
    fn room_is_given_back_once_it_is_empty() {
        let (mut output, all) = filled();
        output.give_back(|_| panic!("there is more to write"));
        output.advance(all.len());
        let mut kept = None;
        output.give_back(|room| kept = Some(room));
        assert!(kept.is_some_and(|room| room.capacity() > 0));
        output.give_back(|_| panic!("it is gone"));
        output.reuse(|| Vec::with_capacity(10));
        assert_eq!(output.bytes().capacity(), 10);
    }
}
