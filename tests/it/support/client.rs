//! A client that sends any bytes and reads what comes, with a deadline on every read.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use socket2::{Domain, SockRef, Socket, Type};

use super::DEADLINE;
use super::frames::Frame;
use super::message::{Framing, Head, Response, head_end, visible};

/// What some connections received, kept for a look at the end.
pub(crate) type Received = Arc<Mutex<Vec<u8>>>;

/// How much of what a connection receives is kept: every head and every error, but no large body.
const KEPT: usize = 64 * 1024;

/// One connection.
pub(crate) struct Client {
    stream: TcpStream,
    /// What was received and not yet taken.
    pending: Vec<u8>,
    /// Whether the other side has ended the connection.
    ended: bool,
    /// Whether it did so with a reset.
    broken: bool,
    /// How long any read may take.
    deadline: Duration,
    /// Where a copy of what it receives is kept, and how much more of it.
    kept: Option<(Received, usize)>,
}

impl Client {
    /// Connects.
    #[track_caller]
    pub(crate) fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address)
            .unwrap_or_else(|error| panic!("cannot connect to {address}: {error}"));
        Self::over(stream)
    }

    /// Connects so that the sockets on both sides take little of what is on its way to it.
    pub(crate) fn narrow(address: SocketAddr) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        // Small segments make for small buffers on both sides.
        socket.set_tcp_mss(536).expect("a socket can be told its segments");
        socket.set_recv_buffer_size(4096).expect("a socket can be told its buffer");
        socket.connect(&address.into()).expect("the other side listens");
        Self::over(socket.into())
    }

    /// Takes over a connection.
    pub(crate) fn over(stream: TcpStream) -> Self {
        let _ = stream.set_nodelay(true);
        let _ = stream.set_write_timeout(Some(DEADLINE));
        Self {
            stream,
            pending: Vec::new(),
            ended: false,
            broken: false,
            deadline: DEADLINE,
            kept: None,
        }
    }

    /// Keeps a copy of what it receives.
    pub(crate) fn keep(mut self, received: &Received) -> Self {
        self.kept = Some((Arc::clone(received), KEPT));
        self
    }

    /// Waits no longer than this for anything.
    pub(crate) fn patience(&mut self, deadline: Duration) -> &mut Self {
        self.deadline = deadline;
        self
    }

    /// Sends bytes. A refusal to take them is not a failure: what was answered shows it.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _ = self.stream.write_all(bytes.as_ref());
        self
    }

    /// Sends bytes, and says whether they could be written within the span.
    pub(crate) fn sends_within(&mut self, span: Duration, bytes: &[u8]) -> bool {
        let _ = self.stream.set_write_timeout(Some(span));
        let sent = self.stream.write_all(bytes).is_ok();
        let _ = self.stream.set_write_timeout(Some(DEADLINE));
        sent
    }

    /// Sends bytes from a thread of its own, so that the answer can be read meanwhile.
    pub(crate) fn send_beside(&self, bytes: Vec<u8>) -> JoinHandle<()> {
        let stream = self.stream.try_clone().expect("a socket can be shared");
        thread::spawn(move || {
            Self::over(stream).send(bytes);
        })
    }

    /// Says that nothing more will be sent.
    pub(crate) fn finish(&mut self) -> &mut Self {
        let _ = self.stream.shutdown(Shutdown::Write);
        self
    }

    /// Reads one response whole.
    #[track_caller]
    pub(crate) fn response(&mut self) -> Response {
        let mut response = self.response_head();
        self.body(&mut response);
        response
    }

    /// Reads one response whole, if the connection does not end before its head.
    pub(crate) fn answer(&mut self) -> Option<Response> {
        self.fill_until(head_end)?;
        Some(self.response()).filter(|response| response.complete)
    }

    /// Reads one response to a `HEAD` request: it has no body, whatever its head says.
    #[track_caller]
    pub(crate) fn response_to_head(&mut self) -> Response {
        self.response_head()
    }

    /// Reads up to the end of the final response head.
    #[track_caller]
    pub(crate) fn response_head(&mut self) -> Response {
        let mut interim = Vec::new();
        loop {
            let head = self.head();
            let status = head.second_word().parse().unwrap_or(0);
            if matches!(status, 100 | 102..=199) {
                interim.push(head);
            } else {
                return Response { status, head, interim, ..Response::default() };
            }
        }
    }

    /// Reads the next head, be it of an interim response.
    #[track_caller]
    pub(crate) fn head(&mut self) -> Head {
        let end = self.fill_until(head_end);
        let Some(end) = end else {
            panic!("no response head; received: {}", visible(&self.pending))
        };
        Head::parse(&self.take(end))
    }

    /// Reads the body that belongs to the head.
    #[track_caller]
    fn body(&mut self, response: &mut Response) {
        if matches!(response.status, 101 | 204 | 304) {
            response.complete = true;
            return;
        }
        match response.head.framing() {
            Framing::Length(length) => {
                let whole = self.fill_until(|bytes| (bytes.len() >= length).then_some(length));
                response.complete = whole.is_some();
                response.body = self.take(whole.unwrap_or(self.pending.len()));
            }
            Framing::Chunked => while self.chunk(response) {},
            Framing::None => {
                response.body = self.rest();
                response.complete = self.ended;
            }
        }
    }

    /// Reads one chunk into the response; false after the last.
    #[track_caller]
    pub(crate) fn chunk(&mut self, response: &mut Response) -> bool {
        let Some(line) = self.line() else { return false };
        let digits = line.split(';').next().unwrap_or_default();
        let size = usize::from_str_radix(digits.trim(), 16)
            .unwrap_or_else(|_| panic!("not the size of a chunk: {line:?}"));
        if size == 0 {
            response.complete = self.trailers(&mut response.trailers);
            return false;
        }
        let whole = self.fill_until(|bytes| (bytes.len() >= size + 2).then_some(size));
        let data = self.take(whole.unwrap_or(self.pending.len()));
        response.body.extend(data);
        self.take(whole.map_or(0, |_| 2));
        whole.is_some()
    }

    fn trailers(&mut self, trailers: &mut Vec<(String, String)>) -> bool {
        loop {
            match self.line() {
                None => return false,
                Some(line) if line.is_empty() => return true,
                Some(line) => {
                    let (name, value) = line.split_once(':').unwrap_or((&line, ""));
                    trailers.push((name.to_owned(), value.trim().to_owned()));
                }
            }
        }
    }

    #[track_caller]
    fn line(&mut self) -> Option<String> {
        let end = self.fill_until(|bytes| bytes.windows(2).position(|two| two == b"\r\n"))?;
        let line = self.take(end + 2);
        Some(String::from_utf8_lossy(&line[..end]).into_owned())
    }

    /// Reads exactly so many bytes, or what came before the end.
    #[track_caller]
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        let whole = self.fill_until(|bytes| (bytes.len() >= count).then_some(count));
        self.take(whole.unwrap_or(self.pending.len()))
    }

    /// Reads up to and with these bytes; fails if the connection ends before they come.
    #[track_caller]
    pub(crate) fn until(&mut self, wanted: &[u8]) -> Vec<u8> {
        let at = |bytes: &[u8]| {
            let start = bytes.windows(wanted.len()).position(|window| window == wanted)?;
            Some(start + wanted.len())
        };
        match self.fill_until(at) {
            Some(end) => self.take(end),
            None => panic!("no {} in: {}", visible(wanted), visible(&self.pending)),
        }
    }

    /// Reads everything until the other side closes.
    #[track_caller]
    pub(crate) fn rest(&mut self) -> Vec<u8> {
        let none: Option<usize> = self.fill_until(|_| None);
        debug_assert!(none.is_none());
        std::mem::take(&mut self.pending)
    }

    /// Whether the other side closes in time without another byte.
    pub(crate) fn closes_within(&mut self, span: Duration) -> bool {
        let end = Instant::now() + span;
        while self.pending.is_empty() && !self.ended && Instant::now() < end {
            self.receive(end.saturating_duration_since(Instant::now()));
        }
        self.ended && self.pending.is_empty()
    }

    /// Whether anything comes in time; it stays to be read.
    pub(crate) fn hears_within(&mut self, span: Duration) -> bool {
        let end = Instant::now() + span;
        while self.pending.is_empty() && !self.ended && Instant::now() < end {
            self.receive(end.saturating_duration_since(Instant::now()));
        }
        !self.pending.is_empty()
    }

    /// Receives until `found` finds its place in what was received, or the connection ends.
    #[track_caller]
    fn fill_until<T>(&mut self, found: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
        let end = Instant::now() + self.deadline;
        loop {
            if let Some(place) = found(&self.pending) {
                return Some(place);
            }
            if self.ended {
                return None;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited in vain; received: {}", visible(&self.pending));
            self.receive(left);
        }
    }

    fn receive(&mut self, span: Duration) {
        let mut buffer = [0; 64 * 1024];
        let _ = self.stream.set_read_timeout(Some(span.max(Duration::from_millis(1))));
        match self.stream.read(&mut buffer) {
            Ok(0) => self.ended = true,
            Ok(count) => {
                self.pending.extend_from_slice(&buffer[..count]);
                if let Some((kept, left)) = &mut self.kept {
                    let copied = count.min(*left);
                    *left -= copied;
                    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                    kept.extend_from_slice(&buffer[..copied]);
                }
            }
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted => {}
                kind => {
                    self.ended = true;
                    self.broken = kind == ErrorKind::ConnectionReset;
                }
            },
        }
    }

    /// Whether the other side has ended the connection with a reset.
    pub(crate) fn was_reset(&self) -> bool {
        self.broken
    }

    /// Waits as long as it takes for the next head; none when the connection ends before it.
    pub(crate) fn next_head(&mut self) -> Option<Head> {
        while !self.ended && head_end(&self.pending).is_none() {
            self.receive(DEADLINE);
        }
        let end = head_end(&self.pending)?;
        Some(Head::parse(&self.take(end)))
    }

    /// Waits as long as it takes for the next frame of HTTP/2; none when the connection ends first.
    pub(crate) fn next_frame(&mut self) -> Option<Frame> {
        let whole = |bytes: &[u8]| Frame::length(bytes).filter(|&length| bytes.len() >= length);
        while !self.ended && whole(&self.pending).is_none() {
            self.receive(DEADLINE);
        }
        let length = whole(&self.pending)?;
        Some(Frame::parse(&self.take(length)))
    }

    /// Ends the connection with a reset when it is dropped.
    pub(crate) fn reset(&mut self) -> &mut Self {
        let _ = SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
        self
    }

    /// What was received and not taken.
    pub(crate) fn unread(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.pending)
    }

    /// The socket.
    pub(crate) fn stream(&self) -> &TcpStream {
        &self.stream
    }

    fn take(&mut self, count: usize) -> Vec<u8> {
        self.pending.drain(..count).collect()
    }
}
