//! Accepting connections, and spreading them over the workers.

use std::fs;
use std::io;
use std::net::IpAddr;
use std::os::unix::net::UnixListener as StdUnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket as RawSocket, Type};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use crate::observe::seldom::Seldom;
use crate::plan::ListenAddr;
use crate::socket::{Socket, is_out_of_descriptors};

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long to wait after an accept that failed for want of descriptors or memory: long enough not
/// to spin, short enough to recover at once.
const BACK_OFF: Duration = Duration::from_millis(50);

/// How often it is looked whether a connection waits that can make room for another.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long a listener that stops still takes what had begun to connect.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// A bound socket, not yet part of a runtime.
#[derive(Debug)]
pub(crate) enum Bound {
    /// A TCP socket; each worker has its own on the same port.
    Tcp(std::net::TcpListener),
    /// A unix socket; there is only one.
    Unix(StdUnixListener),
}

/// Everything that is listened on.
pub(crate) struct Sockets {
    /// What each worker accepts from.
    pub(crate) by_worker: Vec<Vec<Bound>>,
    /// The addresses, with the real port in the place of port 0.
    pub(crate) addresses: Vec<ListenAddr>,
}

/// Binds every address for every worker.
///
/// # Errors
/// The address that cannot be bound, and why.
pub(crate) fn bind(
    listen: &[ListenAddr],
    workers: usize,
) -> Result<Sockets, (ListenAddr, io::Error)> {
    let mut bound: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    let mut addresses = Vec::new();
    for wanted in listen {
        let failed = |error| (wanted.clone(), error);
        match wanted {
            ListenAddr::Tcp(address) => {
                let mut address = *address;
                for sockets in &mut bound {
                    let listener = bind_tcp(address).map_err(failed)?;
                    // Port 0 is chosen once, and shared by all workers.
                    address = listener.local_addr().map_err(failed)?;
                    sockets.push(Bound::Tcp(listener));
                }
                addresses.push(ListenAddr::Tcp(address));
            }
            ListenAddr::Unix(path) => {
                if let Some(first) = bound.first_mut() {
                    first.push(Bound::Unix(bind_unix(path).map_err(failed)?));
                }
                addresses.push(wanted.clone());
            }
        }
    }
    Ok(Sockets { by_worker: bound, addresses })
}

/// With `SO_REUSEPORT`, each worker has its own queue, and another process of the same user can
/// listen on the port beside this one, to take over.
fn bind_tcp(address: std::net::SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    // Responses and events must not wait for more bytes to come (Nagle's algorithm). Linux hands
    // this down to the connections that are accepted, which saves a call for each.
    socket.set_tcp_nodelay(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Takes the place of a socket that is there already, in one step: who connects meets the old or
/// the new one, never none.
fn bind_unix(path: &Path) -> io::Result<StdUnixListener> {
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let listener = StdUnixListener::bind(&fresh)?;
    if let Err(error) = fs::rename(&fresh, path) {
        // The name is of no use to anyone; if it stays, the next start replaces it.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A connection on its way to its worker.
pub(crate) struct Accepted {
    /// The stream.
    pub(crate) socket: Socket,
    /// Who connected; none on a unix socket.
    pub(crate) peer: Option<IpAddr>,
    /// Its place among all connections.
    pub(crate) place: Place,
}

/// Who takes the connections of one worker.
pub(crate) trait Taker {
    /// Serves a connection.
    fn serve(&self, accepted: Accepted);

    /// Ends the connection that has waited longest for a request; false if none waits for one.
    fn end_longest_wait(&self) -> bool;

    /// Closes what is of less use than a client's connection; false if there is nothing.
    fn free_a_descriptor(&self) -> bool;
}

/// A connection that has been taken off one runtime and not yet put on another.
pub(crate) struct HandedOver {
    stream: std::net::TcpStream,
    peer: Option<IpAddr>,
    place: Place,
}

impl HandedOver {
    /// Puts the connection on the runtime of the calling worker.
    ///
    /// # Errors
    /// When the descriptor cannot be registered; the connection is closed.
    pub(crate) fn register(self) -> io::Result<Accepted> {
        let socket = Socket::Tcp(TcpStream::from_std(self.stream)?);
        Ok(Accepted { socket, peer: self.peer, place: self.place })
    }
}

/// How many connections each worker has. Workers accept at the same time, so a choice and its
/// count are one step under a lock; it is taken twice in a connection's life.
struct Loads {
    by_worker: Vec<usize>,
    /// The worker that was given the latest connection.
    latest: usize,
}

impl Loads {
    /// Gives a connection to the worker that has the fewest; among equals, to the next in turn.
    ///
    /// The kernel spreads connections over the workers' queues by a hash of the addresses, which
    /// would leave both connections of a proxy in front on one core half of the time. Turns are
    /// taken because a connection that is being replaced may still be counted: whoever is then
    /// given both new ones would have them for long.
    fn take(&mut self) -> usize {
        let workers = self.by_worker.len();
        let in_turn = (1..=workers).map(|turn| (self.latest + turn) % workers);
        self.latest = in_turn.min_by_key(|&worker| self.by_worker[worker]).unwrap_or_default();
        self.by_worker[self.latest] += 1;
        self.latest
    }
}

/// How many connections each worker has, and how to give it one.
pub(crate) struct Spread {
    loads: Mutex<Loads>,
    inboxes: Vec<mpsc::UnboundedSender<HandedOver>>,
    capacity: Arc<Semaphore>,
}

/// A connection's place among those of its worker, and among all.
pub(crate) struct Place {
    spread: Arc<Spread>,
    worker: usize,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Place {
    fn drop(&mut self) {
        self.spread.loads().by_worker[self.worker] -= 1;
    }
}

impl Spread {
    /// Over as many workers as there are inboxes.
    pub(crate) fn new(
        inboxes: Vec<mpsc::UnboundedSender<HandedOver>>,
        max_connections: usize,
    ) -> Arc<Self> {
        let loads = Mutex::new(Loads { by_worker: vec![0; inboxes.len()], latest: 0 });
        let capacity = Arc::new(Semaphore::new(max_connections.min(Semaphore::MAX_PERMITS)));
        Arc::new(Self { loads, inboxes, capacity })
    }

    fn loads(&self) -> MutexGuard<'_, Loads> {
        // The counts are whole whatever happened to who held them.
        self.loads.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place with one of the workers. While there are as many connections as there may be, who
    /// waits longest for a request makes room: a request that comes is worth more than one that may
    /// come, and whoever only opens connections must not keep the others out.
    async fn place(self: &Arc<Self>, taker: &impl Taker) -> Place {
        let permit = match Arc::clone(&self.capacity).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => self.wait_for_permit(taker).await,
        };
        let worker = self.loads().take();
        Place { spread: Arc::clone(self), worker, _permit: permit }
    }

    async fn wait_for_permit(self: &Arc<Self>, taker: &impl Taker) -> OwnedSemaphorePermit {
        loop {
            taker.end_longest_wait();
            let permit = Arc::clone(&self.capacity).acquire_owned();
            match tokio::time::timeout(LOOK_AGAIN, permit).await {
                Ok(Ok(permit)) => return permit,
                // Nobody closes the semaphore; if it were closed, nothing more may be accepted.
                Ok(Err(_closed)) => std::future::pending().await,
                Err(_elapsed) => {}
            }
        }
    }
}

/// A socket that one worker accepts from.
pub(crate) enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    /// Puts a bound socket on the runtime of the calling worker.
    ///
    /// # Errors
    /// When the descriptor cannot be registered.
    pub(crate) fn register(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp(listener) => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
        })
    }

    async fn accept(&self) -> io::Result<(Socket, Option<IpAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Some(peer.ip())))
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }

    /// Accepts for ever. What belongs to the worker that asks is given to `taker`; the rest goes to
    /// its worker's inbox.
    pub(crate) async fn run(&self, asking: usize, spread: &Arc<Spread>, taker: &impl Taker) -> ! {
        let trouble = Seldom::default();
        loop {
            match self.accept().await {
                Ok((socket, peer)) => {
                    let place = spread.place(taker).await;
                    deliver(Accepted { socket, peer, place }, asking, spread, taker);
                }
                Err(error) if is_the_clients(&error) => {}
                Err(error) if is_out_of_descriptors(&error) && taker.free_a_descriptor() => {}
                Err(error) => {
                    trouble.say(|before| {
                        tracing::error!(%error, before, "cannot accept connections; trying again");
                    });
                    tokio::time::sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Takes what had begun to connect, and nothing that begins later: a client's first packet is
    /// dropped, so that it asks again and meets the process that listens then.
    pub(crate) async fn retire(self, asking: usize, spread: &Arc<Spread>, taker: &impl Taker) {
        if let Self::Tcp(listener) = &self
            && let Err(error) = SockRef::from(listener).attach_filter(&REFUSE_SYN)
        {
            tracing::debug!(%error, "cannot hold new connections back while stopping");
        }
        // Ends when nothing has come for a while; `run` itself does not.
        loop {
            let before = spread.loads().by_worker.iter().sum::<usize>();
            let _elapsed = tokio::time::timeout(LAST_LOOK, self.run(asking, spread, taker)).await;
            let after = spread.loads().by_worker.iter().sum::<usize>();
            if after <= before {
                break;
            }
        }
    }
}

fn deliver(accepted: Accepted, asking: usize, spread: &Spread, taker: &impl Taker) {
    let worker = accepted.place.worker;
    match accepted {
        Accepted { socket: Socket::Tcp(stream), peer, place } if worker != asking => {
            // A worker that is gone takes no connection: it is closed.
            if let Ok(stream) = stream.into_std() {
                let _ = spread.inboxes[worker].send(HandedOver { stream, peer, place });
            }
        }
        accepted => taker.serve(accepted),
    }
}

/// Whether an accept failed because the client was gone already (accept(2)).
fn is_the_clients(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted, WouldBlock};
    matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted | WouldBlock)
}

/// A program for the kernel's packet filter (bpf(4)): drops TCP segments that have SYN set and ACK
/// not, and lets everything else through.
const REFUSE_SYN: [SockFilter; 5] = {
    const LOAD_BYTE: u16 = 0x30; // BPF_LD | BPF_B | BPF_ABS
    const AND: u16 = 0x54; // BPF_ALU | BPF_AND | BPF_K
    const JUMP_IF_EQUAL: u16 = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
    const RETURN: u16 = 0x06; // BPF_RET | BPF_K
    const FLAGS_OFFSET: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    [
        SockFilter::new(LOAD_BYTE, 0, 0, FLAGS_OFFSET),
        SockFilter::new(AND, 0, 0, SYN_AND_ACK),
        SockFilter::new(JUMP_IF_EQUAL, 0, 1, SYN),
        SockFilter::new(RETURN, 0, 0, 0),
        SockFilter::new(RETURN, 0, 0, u32::MAX),
    ]
};

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(by_worker: &[usize], latest: usize, expected: &[usize]) {
        let mut loads = Loads { by_worker: by_worker.to_vec(), latest };
        let given: Vec<_> = expected.iter().map(|_| loads.take()).collect();
        assert_eq!(given, expected);
    }

    #[test]
    fn what_is_accepted_sends_without_delay() {
        let listener = bind_tcp(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let _client = std::net::TcpStream::connect(address).expect("it listens");
        let accepted = loop {
            match listener.accept() {
                Ok((accepted, _)) => break accepted,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        };
        assert!(accepted.nodelay().expect("it is a socket"));
    }

    #[test]
    fn the_least_loaded_worker_gets_the_next_connection_and_equals_take_turns() {
        check(&[0], 0, &[0, 0]);
        check(&[0, 0], 0, &[1, 0, 1]);
        check(&[3, 1], 1, &[1, 1, 0, 1]);
        check(&[2, 0, 2], 0, &[1, 1, 2, 0, 1]);
    }
}
