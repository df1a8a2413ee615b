//! The socket of a connection, as the `h2` crate reads it: what comes is looked at as it passes.
//!
//! The crate bounds what a client can make it keep, but not what a client can make it do, and it
//! reads on as long as there is anything: a hundred heads would be in memory before the first is
//! taken. Both are seen from the heads of frames alone (RFC 9113, section 4.1), nine bytes each.

use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::budget::Budget;
use crate::server::clock::Deadlines;
use crate::socket::Socket;

/// How many bytes of header blocks are read before the requests in them are taken. A byte can stand
/// for a whole field, which the crate keeps in a hundred bytes: this is 1.7 MiB at most, and more
/// than a hundred usual requests.
const MAX_BLOCKS: usize = 16 * 1024;

/// How many frames that serve nobody a client may send at once, and a second. Each costs it nine
/// bytes and keygate a thousand instructions. A ping now and then is fine, and so are settings; a
/// window is given back for each piece that was sent, and priorities come with requests.
const MAX_IDLE_FRAMES: u32 = 2000;
const IDLE_FRAMES_PER_SECOND: u32 = 100;

/// How many of them a request brings along, or a piece of a response: two windows, a priority, a
/// reset.
const IDLE_FRAMES_PER_REQUEST: u32 = 4;

/// What is known of what a client sends, frame by frame.
pub(super) struct Meter {
    deadlines: Rc<Deadlines>,
    idle_frames: Budget,
    /// How many bytes of header blocks may be read before it is asked for more.
    blocks: Cell<usize>,
    /// Whether that held anything back.
    is_held: Cell<bool>,
    /// How often what streams had to say was sent.
    rounds: Cell<u64>,
    /// Whether a header block has begun, and not ended.
    in_block: Cell<bool>,
    /// Whether the client has sent too much that serves nobody.
    is_over: Cell<bool>,
}

impl Meter {
    /// Of a connection over which nothing has come.
    pub(super) fn new(deadlines: Rc<Deadlines>) -> Rc<Self> {
        Rc::new(Self {
            deadlines,
            idle_frames: Budget::new(MAX_IDLE_FRAMES, IDLE_FRAMES_PER_SECOND),
            blocks: Cell::new(MAX_BLOCKS),
            is_held: Cell::default(),
            rounds: Cell::default(),
            in_block: Cell::default(),
            is_over: Cell::default(),
        })
    }

    /// The requests that have come were taken, and what streams had to say was sent; says whether
    /// more is held back.
    pub(super) fn release(&self) -> bool {
        self.rounds.set(self.rounds.get() + 1);
        self.blocks.set(MAX_BLOCKS);
        self.is_held.take()
    }

    /// How often what streams had to say was sent.
    pub(super) fn rounds(&self) -> u64 {
        self.rounds.get()
    }

    /// Whether a header block has begun, and not ended.
    pub(super) fn in_block(&self) -> bool {
        self.in_block.get()
    }

    /// Whether the client has sent too much that serves nobody.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.get()
    }

    /// A piece of a response goes out, for which windows are given back.
    pub(super) fn earn(&self) {
        self.idle_frames.refund(IDLE_FRAMES_PER_REQUEST);
    }

    fn spend(&self) {
        if !self.idle_frames.spend(self.deadlines.now()) {
            self.is_over.set(true);
        }
    }
}

/// A socket that is read by way of a [`Meter`].
pub(super) struct Metered {
    socket: Rc<RefCell<Socket>>,
    /// What was read and not handed on.
    ahead: Bytes,
    frames: Frames,
    meter: Rc<Meter>,
}

impl Metered {
    /// A socket, over which this has come already.
    pub(super) fn new(socket: Rc<RefCell<Socket>>, ahead: Bytes, meter: &Rc<Meter>) -> Self {
        Self { socket, ahead, frames: Frames::default(), meter: Rc::clone(meter) }
    }
}

impl AsyncRead for Metered {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { socket, ahead, frames, meter } = self.get_mut();
        // Whoever releases what is held back reads again.
        if meter.blocks.get() == 0 || meter.is_over() {
            meter.is_held.set(true);
            return Poll::Pending;
        }
        let start = buf.filled().len();
        if ahead.is_empty() {
            ready!(Pin::new(&mut *socket.borrow_mut()).poll_read(cx, buf))?;
        } else {
            let piece = ahead.split_to(ahead.len().min(buf.remaining()));
            buf.put_slice(&piece);
        }
        let read = &buf.filled()[start..];
        let passed = frames.pass(read, meter);
        if passed < read.len() {
            *ahead = [&read[passed..], ahead].concat().into();
            meter.is_held.set(true);
            buf.set_filled(start + passed);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Metered {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.borrow().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.socket.borrow_mut()).poll_shutdown(cx)
    }
}

/// What a connection begins with, before the first frame (RFC 9113, section 3.4).
const PREFACE: usize = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// The head of a frame: its length, its type, its flags and its stream.
const HEAD: usize = 9;

/// The types of frames that are told apart, and the flags (RFC 9113, section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

/// Where in its frames a stream of bytes is.
#[derive(Debug)]
struct Frames {
    head: [u8; HEAD],
    /// How much of the head has come.
    come: usize,
    /// How much is left of what is no head.
    left: usize,
    /// Whether that is a header block.
    is_block: bool,
    /// Whether another frame goes on with the block.
    goes_on: bool,
}

impl Default for Frames {
    fn default() -> Self {
        Self { head: [0; HEAD], come: 0, left: PREFACE, is_block: false, goes_on: false }
    }
}

impl Frames {
    /// Says how many of these bytes may pass on.
    fn pass(&mut self, bytes: &[u8], meter: &Meter) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() {
            if self.left > 0 {
                let allowed = if self.is_block { meter.blocks.get() } else { usize::MAX };
                if allowed == 0 {
                    break;
                }
                let count = self.left.min(rest.len()).min(allowed);
                if self.is_block {
                    meter.blocks.set(allowed - count);
                }
                self.left -= count;
                rest.advance(count);
                continue;
            }
            let count = (HEAD - self.come).min(rest.len());
            self.head[self.come..self.come + count].copy_from_slice(&rest[..count]);
            self.come += count;
            rest.advance(count);
            if self.come == HEAD {
                self.come = 0;
                self.begin(meter);
            }
        }
        meter.in_block.set(self.is_block && self.left > 0 || self.goes_on);
        bytes.len() - rest.len()
    }

    /// A frame begins.
    fn begin(&mut self, meter: &Meter) {
        let [high, middle, low, kind, flags, ..] = self.head;
        self.left = u32::from_be_bytes([0, high, middle, low]) as usize;
        self.is_block = matches!(kind, HEADERS | CONTINUATION);
        if self.is_block {
            self.goes_on = flags & END_HEADERS == 0;
        }
        match kind {
            HEADERS => meter.idle_frames.refund(IDLE_FRAMES_PER_REQUEST),
            CONTINUATION => {}
            DATA if self.left > 0 || flags & END_STREAM != 0 => {}
            _ => meter.spend(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::clock::Clock;

    fn meter() -> Rc<Meter> {
        Meter::new(Clock::new().deadlines())
    }

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let size = u32::try_from(length).expect("a short frame").to_be_bytes();
        [&size[1..], &[kind, flags, 0, 0, 0, 1], &vec![0; length]].concat()
    }

    /// Passes what a client sends, in pieces of this size, and says how much passed.
    fn pass(meter: &Meter, bytes: &[u8], piece: usize) -> usize {
        let mut frames = Frames { left: 0, ..Frames::default() };
        let mut passed = 0;
        for piece in bytes.chunks(piece) {
            let count = frames.pass(piece, meter);
            passed += count;
            if count < piece.len() {
                break;
            }
        }
        passed
    }

    #[test]
    fn frames_are_told_apart_however_they_come() {
        const PING: u8 = 6;
        let all = [
            frame(HEADERS, END_HEADERS, 20),
            frame(PING, 0, 8),
            frame(DATA, 0, 30),
            frame(DATA, 0, 0),
            frame(DATA, END_STREAM, 0),
            frame(CONTINUATION, END_HEADERS, 5),
        ];
        for piece in [1, 2, 7, 9, 10, 1000] {
            let meter = meter();
            assert_eq!(pass(&meter, &all.concat(), piece), all.concat().len());
            // The ping, and the piece of a body that holds nothing and ends nothing.
            let spent = (0..).take_while(|_| meter.idle_frames.spend(Default::default())).count();
            assert_eq!(spent, MAX_IDLE_FRAMES as usize - 2, "{piece}");
            assert_eq!(meter.blocks.get(), MAX_BLOCKS - 25);
            assert!(!meter.in_block() && !meter.is_over());
        }
    }

    #[test]
    fn a_block_is_under_way_until_its_last_byte() {
        let whole = frame(HEADERS, END_HEADERS, 20);
        for (bytes, expected) in [
            (&whole[..], false),
            (&whole[..28], true),
            (&frame(HEADERS, 0, 20), true),
            (&[frame(HEADERS, 0, 20), frame(CONTINUATION, END_HEADERS, 1)].concat(), false),
            (&[frame(HEADERS, 0, 20), frame(CONTINUATION, 0, 1)].concat(), true),
        ] {
            let meter = meter();
            pass(&meter, bytes, 5);
            assert_eq!(meter.in_block(), expected, "{}", bytes.len());
        }
    }

    #[test]
    fn only_so_much_of_header_blocks_passes_at_once() {
        let meter = meter();
        let bytes = frame(HEADERS, END_HEADERS, 1000).repeat(20);
        assert_eq!(pass(&meter, &bytes, 100_000), MAX_BLOCKS + 17 * HEAD);
        meter.release();
        assert_eq!(meter.blocks.get(), MAX_BLOCKS);
    }

    #[test]
    fn frames_that_serve_nobody_are_spent_and_earned() {
        let meter = meter();
        let most = MAX_IDLE_FRAMES as usize;
        pass(&meter, &frame(4, 0, 0).repeat(most), 1000);
        assert!(!meter.is_over());
        meter.earn();
        pass(&meter, &frame(4, 0, 0).repeat(4), 1000);
        assert!(!meter.is_over());
        pass(&meter, &frame(4, 0, 0), 1000);
        assert!(meter.is_over());
    }
}
