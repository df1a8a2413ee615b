//! One connection that many requests share, and the task that drives it.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, ErrorKind};
use std::pin::Pin;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use h2::client::{Builder, Connection, ResponseFuture, SendRequest};
use h2::{Ping, PingPong, RecvStream, SendStream};
use http::Request;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, spawn_local};

use super::links::Links;
use super::quiet::{News, Quiet, Then};
use super::wire::{Ear, Wire};
use crate::socket::Socket;
use crate::upstream::head::MAX_HEAD;

/// How many requests share a connection at most, if the upstream allows as many: what it should
/// allow at least (RFC 9113, section 6.5.2). More of them would only wait for one another's bytes.
pub(super) const MAX_STREAMS: usize = 100;

/// How much of one response may have come that its client has not taken. A client that reads slowly
/// holds so much memory, and not more; over a way of a millisecond it allows 128 MB a second.
const WINDOW: u32 = 128 * 1024;

/// The same of a whole connection. With less, clients that read slowly could hold up the responses
/// of all others.
const CONNECTION_WINDOW: u32 = WINDOW * MAX_STREAMS as u32;

/// How much of one request's body is taken from its client ahead of the socket.
const MAX_SEND_BUFFER: usize = 64 * 1024;

/// How many streams that were reset here are remembered, because frames of them may be on their
/// way: all that there may be, twice over.
const MAX_RESET: usize = 2 * MAX_STREAMS;

/// Stands for what the upstream allows until it has said so: no number that it can say.
const UNSAID: usize = usize::MAX - 1;

/// How long a connection without a request is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// How many streams a connection waits for that have responded in full but not ended.
const MAX_TAILS: usize = 16;

/// A connection.
pub(super) struct Link {
    requests: RefCell<SendRequest<Bytes>>,
    /// How many requests have a place on it.
    taken: Cell<usize>,
    is_retired: Cell<bool>,
    /// Whether something of a response has come since the last look.
    responded: Cell<bool>,
    idle_since: Cell<Option<Instant>>,
    ear: Rc<Ear>,
    ping: RefCell<Option<PingPong>>,
    quiet: RefCell<Quiet>,
    tails: Rc<Tails>,
    task: AbortHandle,
}

impl Link {
    /// Begins to speak HTTP/2 over a socket, and waits for the upstream to say how many requests it
    /// takes at a time. None would have to wait for that (RFC 9113, section 3.4), but whoever is
    /// sent too many refuses some, and whoever speaks something else should get none.
    ///
    /// # Errors
    /// The upstream ends the connection, or speaks no HTTP/2.
    pub(super) async fn open(socket: Socket, links: Weak<Links>) -> io::Result<Rc<Self>> {
        let (wire, ear) = Wire::new(socket);
        let opened = Builder::new()
            .enable_push(false)
            .initial_window_size(WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(MAX_HEAD as u32)
            .initial_max_send_streams(UNSAID)
            .max_send_buffer_size(MAX_SEND_BUFFER)
            .max_concurrent_reset_streams(MAX_RESET)
            .handshake(wire)
            .await;
        let (requests, mut connection) = opened.map_err(io::Error::other)?;
        let ping = RefCell::new(connection.ping_pong());
        let tails = Rc::<Tails>::default();
        let (settles, settled) = oneshot::channel();
        let link = Rc::new_cyclic(|link| {
            let theirs = Theirs { link: link.clone(), links, settles: Some(settles) };
            let drive = drive(connection, Rc::clone(&ear), Rc::clone(&tails), theirs);
            Self {
                requests: RefCell::new(requests),
                taken: Cell::new(0),
                is_retired: Cell::new(false),
                responded: Cell::new(false),
                idle_since: Cell::new(None),
                ear,
                ping,
                quiet: RefCell::new(Quiet::begin(Instant::now())),
                tails,
                task: spawn_local(drive).abort_handle(),
            }
        });
        let ended = |_| io::Error::new(ErrorKind::InvalidData, "the upstream speaks no HTTP/2");
        settled.await.map_err(ended)?;
        Ok(link)
    }

    /// Whether it takes requests: not when the upstream said that it goes (GOAWAY), or it broke.
    pub(super) fn is_open(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let ready = self.requests.borrow_mut().poll_ready(&mut cx);
        !self.is_retired.get() && !matches!(ready, Poll::Ready(Err(_)))
    }

    /// How many requests it carries at a time; none while the upstream allows none.
    pub(super) fn capacity(&self) -> usize {
        self.requests.borrow().current_max_send_streams().min(MAX_STREAMS)
    }

    /// Whether it takes another request now.
    pub(super) fn has_room(&self) -> bool {
        self.taken.get() < self.capacity() && self.is_open()
    }

    /// Counts a request that has a place on it, or one less.
    pub(super) fn count(&self, change: isize) {
        self.taken.set(self.taken.get().saturating_add_signed(change));
    }

    /// Whether no request has a place on it.
    pub(super) fn is_idle(&self) -> bool {
        self.taken.get() == 0
    }

    /// Takes no more requests; those that are under way go on.
    pub(super) fn retire(&self) {
        self.is_retired.set(true);
    }

    /// Something of a response has come.
    pub(super) fn responds(&self) {
        self.responded.set(true);
    }

    /// Sends the head of a request.
    pub(super) fn send(
        &self,
        request: Request<()>,
        is_whole: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        // A handle of its own: one that waits for its request to go out takes no other.
        let mut requests = self.requests.borrow().clone();
        requests.send_request(request, is_whole)
    }

    /// Waits for the end of a stream that has responded in full, instead of resetting it.
    pub(super) fn see_off(&self, stream: RecvStream) {
        self.tails.add(stream);
    }

    /// Looks after it, once a second or so; false: it is to be closed.
    pub(super) fn look(&self, now: Instant) -> bool {
        if !self.is_idle() {
            self.idle_since.set(None);
        } else if self.idle_since.get().is_some_and(|since| now - since >= IDLE_TIMEOUT) {
            return false;
        } else if self.idle_since.get().is_none() {
            self.idle_since.set(Some(now));
        }
        let mut ping = self.ping.borrow_mut();
        let Some(ping) = &mut *ping else { return true };
        let answer = ping.poll_pong(&mut Context::from_waker(Waker::noop()));
        let news = News {
            heard: self.ear.heard(),
            responded: self.responded.take(),
            answered: answer.is_ready(),
            waits: !self.is_idle(),
        };
        match self.quiet.borrow_mut().look(now, news) {
            Then::Wait => true,
            Then::Ask => {
                // If it cannot be asked, it has ended, and its task says so.
                let _ = ping.send_ping(Ping::opaque());
                true
            }
            Then::GiveUp => {
                self.task.abort();
                false
            }
        }
    }
}

impl Drop for Link {
    /// Whoever holds a stream keeps the connection open.
    fn drop(&mut self) {
        self.tails.0.take();
    }
}

/// Streams that have responded in full, so that nobody needs them, but have not ended: many servers
/// say so in a frame of its own. To reset them would count as an attack with some.
#[derive(Default)]
struct Tails(RefCell<VecDeque<RecvStream>>);

impl Tails {
    fn add(&self, stream: RecvStream) {
        let mut waiting = self.0.borrow_mut();
        if waiting.len() == MAX_TAILS {
            waiting.pop_front();
        }
        waiting.push_back(stream);
    }

    /// Lets those go that have ended.
    fn cut(&self) {
        let mut waiting = self.0.borrow_mut();
        if !waiting.is_empty() {
            waiting.retain(|stream| !stream.is_end_stream());
        }
    }
}

/// Who is told how a connection fares.
struct Theirs {
    link: Weak<Link>,
    links: Weak<Links>,
    /// Until the upstream has said how many requests it takes.
    settles: Option<oneshot::Sender<()>>,
}

impl Theirs {
    /// The upstream takes more or fewer requests than before.
    fn allows(&mut self) {
        if let Some(settles) = self.settles.take() {
            // Whoever waited for it may be gone.
            let _ = settles.send(());
        } else if let Some(links) = self.links.upgrade() {
            links.settle();
        }
    }
}

/// Reads and writes until the connection ends: when the upstream ends it, or nobody has it any
/// more.
async fn drive(
    mut connection: Connection<Wire, Bytes>,
    ear: Rc<Ear>,
    tails: Rc<Tails>,
    mut theirs: Theirs,
) {
    let mut allowed = UNSAID;
    let ended = poll_fn(|cx| {
        ear.turn();
        let polled = Pin::new(&mut connection).poll(cx);
        tails.cut();
        let allows = connection.max_concurrent_send_streams();
        if std::mem::replace(&mut allowed, allows) != allows {
            theirs.allows();
        }
        polled
    });
    let error = ended.await.err().map(tracing::field::display);
    tracing::debug!(error, "an upstream's connection ended");
    drop(connection);
    if let (Some(links), Some(link)) = (theirs.links.upgrade(), theirs.link.upgrade()) {
        links.forget(&link);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;
    use tokio::runtime::{Builder, LocalOptions};

    use super::*;

    const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];
    const PING: [u8; 9] = [0, 0, 8, 6, 0, 0, 0, 0, 0];
    const SECOND: Duration = Duration::from_secs(1);

    fn on_a_worker(test: impl Future<Output = ()>) {
        let runtime =
            Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
        runtime.expect("a runtime").block_on(test);
    }

    /// A connection with a request on it, its response, and its other end.
    async fn asked() -> (Rc<Link>, ResponseFuture, UnixStream) {
        let (near, mut far) = UnixStream::pair().expect("a pair of sockets");
        far.write_all(SETTINGS).await.expect("room");
        let link = Link::open(Socket::Unix(near), Weak::new()).await.expect("settings came");
        link.count(1);
        let request = Request::get("http://a.test/").version(http::Version::HTTP_2).body(());
        let (response, _) = link.send(request.expect("a request"), true).expect("it is open");
        (link, response, far)
    }

    /// What comes up to a PING, and that.
    async fn ping(far: &mut UnixStream) -> Vec<u8> {
        let mut came = Vec::new();
        while !came.windows(PING.len()).any(|bytes| bytes == PING) {
            assert_ne!(far.read_buf(&mut came).await.expect("it is open"), 0);
        }
        came
    }

    #[test]
    fn who_does_not_answer_a_ping_loses_the_connection_and_its_requests() {
        on_a_worker(async {
            let (link, response, mut far) = asked().await;
            let begin = Instant::now();
            assert!(link.look(begin) && link.look(begin + 19 * SECOND));
            assert!(link.look(begin + 20 * SECOND));
            ping(&mut far).await;
            assert!(link.look(begin + 39 * SECOND));
            assert!(!link.look(begin + 40 * SECOND));
            assert!(response.await.is_err_and(|error| error.is_io()));
            assert!(!link.is_open());
        });
    }

    #[test]
    fn who_answers_a_ping_keeps_the_connection() {
        on_a_worker(async {
            let (link, response, mut far) = asked().await;
            let begin = Instant::now();
            assert!(link.look(begin) && link.look(begin + 20 * SECOND));
            let mut pong = ping(&mut far).await;
            while pong.len() < PING.len() + 8 || !pong[..].starts_with(&PING) {
                match pong.starts_with(&PING) {
                    true => assert_ne!(far.read_buf(&mut pong).await.expect("it is open"), 0),
                    false => drop(pong.remove(0)),
                }
            }
            pong.truncate(PING.len() + 8);
            pong[4] = 1;
            // A head without a body, so that it is seen when the answer has been read.
            far.write_all(&pong).await.expect("room");
            far.write_all(&[0, 0, 1, 1, 5, 0, 0, 0, 1, 0x88]).await.expect("room");
            assert_eq!(response.await.expect("a response").status(), 200);
            assert!(link.look(begin + 40 * SECOND) && link.look(begin + 300 * SECOND));
            assert!(link.is_open());
        });
    }

    #[test]
    fn a_connection_without_requests_is_closed_after_a_while_and_never_asked() {
        on_a_worker(async {
            let (link, response, _far) = asked().await;
            drop(response);
            link.count(-1);
            let begin = Instant::now();
            assert!(link.look(begin) && link.look(begin + 59 * SECOND));
            assert!(!link.look(begin + 60 * SECOND));
        });
    }
}
