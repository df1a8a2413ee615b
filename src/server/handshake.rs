//! A client's half of TLS: how long a handshake may take, and how many there may be at once.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;

use super::STOP_TIMEOUT;
use super::client::Peer;
use super::clock::{Deadlines, Wait};
use super::h1;
use super::worker::Worker;
use crate::reply::Cause;
use crate::socket::Socket;
use crate::tls::stream::TlsStream;

/// How many clients of one worker shake hands at a time. Each holds about 20 KiB meanwhile, so all
/// of them 20 MiB; and a worker that is asked for more than a thousand in the time that a packet
/// takes there and back has no time for them anyway.
const MAX_HANDSHAKES: usize = 1024;

/// The first byte of a TLS connection: a record of the handshake (RFC 8446, section 5.1).
const HANDSHAKE_RECORD: u8 = 22;

/// Those that shake hands with one worker, in the order in which they came.
#[derive(Default)]
pub(super) struct Handshakes(RefCell<VecDeque<Rc<Deadlines>>>);

/// A client's place among those, left when it is dropped.
struct Place<'w>(&'w Handshakes, Rc<Deadlines>);

impl Handshakes {
    /// Takes a place. Where there is none left, whoever has had one for longest loses it: a client
    /// that means it is done soon, and one that only begins must not keep the others out.
    fn enter(&self, deadlines: &Rc<Deadlines>) -> Place<'_> {
        let mut under_way = self.0.borrow_mut();
        if under_way.len() >= MAX_HANDSHAKES
            && let Some(longest) = under_way.pop_front()
        {
            longest.end(Wait::Request);
        }
        under_way.push_back(Rc::clone(deadlines));
        Place(self, Rc::clone(deadlines))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let Self(handshakes, deadlines) = self;
        let mut under_way = handshakes.0.borrow_mut();
        if let Some(at) = under_way.iter().position(|other| Rc::ptr_eq(other, deadlines)) {
            under_way.remove(at);
        }
    }
}

/// Shakes hands; none: the client has left, took too long or cannot be understood. Who speaks HTTP
/// in the clear is told.
pub(super) async fn accept(
    worker: &Rc<Worker>,
    tcp: TcpStream,
    peer: Option<IpAddr>,
) -> Option<Socket> {
    let deadlines = worker.clock.deadlines();
    let _place = worker.handshakes.enter(&deadlines);
    let served = worker.served();
    // Where TLS is to be spoken nothing else is, whatever the plan says.
    let tls = served.plan.tls.as_ref()?;
    deadlines.set(Wait::Request, tls.handshake_timeout);
    let mut first = [0];
    let seen = in_time(worker, &deadlines, tcp.peek(&mut first)).await;
    let seen = seen.inspect_err(|error| failed(worker, peer, error)).ok()?;
    match first[0] {
        // Whoever only looks whether the port is open is no trouble.
        _ if seen == 0 => return None,
        HANDSHAKE_RECORD => {}
        b'A'..=b'Z' => {
            let socket = Socket::Tcp(tcp);
            let peer = Peer::new(peer, socket.scheme());
            h1::connection::refuse(Rc::clone(worker), socket, peer, Cause::NotEncrypted).await;
            return None;
        }
        _ => {
            failed(worker, peer, &"it does not begin with one");
            return None;
        }
    }
    let acceptor = TlsAcceptor::from(Arc::clone(&tls.config));
    match in_time(worker, &deadlines, acceptor.accept(tcp)).await {
        Ok(stream) => Some(Socket::Tls(Box::new(TlsStream::new(stream.into())))),
        Err(error) => {
            failed(worker, peer, &error);
            None
        }
    }
}

fn failed(worker: &Worker, peer: Option<IpAddr>, why: &impl std::fmt::Display) {
    worker.handshake_failed();
    tracing::debug!(?peer, %why, "a client's handshake failed");
}

/// Waits no longer than the handshake may take, and for a stop only as long as a request that is on
/// its way.
async fn in_time<T>(
    worker: &Worker,
    deadlines: &Deadlines,
    waiting: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let mut waiting = pin!(waiting);
    let mut told_to_stop = false;
    poll_fn(|cx| {
        deadlines.watch(cx.waker());
        if worker.is_stopping() && !told_to_stop {
            told_to_stop = true;
            deadlines.set(Wait::Request, STOP_TIMEOUT);
        }
        if let Poll::Ready(done) = waiting.as_mut().poll(cx) {
            return Poll::Ready(done);
        }
        match deadlines.passed(Wait::Request) {
            true => Poll::Ready(Err(io::ErrorKind::TimedOut.into())),
            false => Poll::Pending,
        }
    })
    .await
}
