//! Listening, and accepting connections.

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SocketFlags, acceptfrom_with};
use socket2::{Domain, Protocol, SockFilter, SockRef, Socket as RawSocket, Type};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::spread::{Accepted, Spread, Taker};
use crate::observe::seldom::Seldom;
use crate::plan::{ListenAddr, ListenOn};
use crate::socket::{Stream, is_out_of_descriptors, watch};
use crate::systemd::sockets::{Listening, Sockets as Passed};

/// How many connections may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: i32 = 4096;

/// How long to wait after an accept that failed for want of descriptors or memory: long enough not
/// to spin, short enough to recover at once.
const BACK_OFF: Duration = Duration::from_millis(50);

/// How long a listener that stops still takes what had begun to connect.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// A bound socket, not yet part of a runtime.
#[derive(Debug)]
pub(crate) enum Bound {
    /// A TCP socket; each worker has its own on the same port.
    Tcp {
        /// The socket.
        listener: TcpListener,
        /// Whether its clients speak TLS.
        tls: bool,
    },
    /// A unix socket; there is only one.
    Unix(UnixListener),
    /// One of those that was passed to keygate: all workers accept from it, and so do processes
    /// before and after this one.
    Shared(Arc<Self>),
}

impl AsFd for Bound {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp { listener, .. } => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
            Self::Shared(bound) => bound.as_fd(),
        }
    }
}

impl AsRawFd for Bound {
    fn as_raw_fd(&self) -> RawFd {
        self.as_fd().as_raw_fd()
    }
}

impl Bound {
    /// Takes the connection that has waited longest; `WouldBlock` if none waits.
    fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        if let Self::Shared(bound) = self {
            return bound.accept();
        }
        let (stream, peer) = acceptfrom_with(self, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
        let stream = match self {
            Self::Tcp { tls: false, .. } => Stream::Tcp(stream.into()),
            Self::Tcp { tls: true, .. } => Stream::Tls(stream.into()),
            Self::Unix(_) => return Ok((Stream::Unix(stream.into()), None)),
            Self::Shared(_) => return Err(io::ErrorKind::Unsupported.into()),
        };
        // Whoever has no address is none to be trusted as if it came over a unix socket.
        let peer = peer.ok_or(io::ErrorKind::ConnectionAborted)?;
        Ok((stream, Some(SocketAddr::try_from(peer)?.ip())))
    }

    /// Whether another connection waits.
    fn has_more(&self) -> bool {
        let mut waiting = [PollFd::new(self, PollFlags::IN)];
        // What cannot be told is found out by accepting.
        poll(&mut waiting, Some(&Timespec::default())) != Ok(0)
    }
}

/// Everything that is listened on.
pub(crate) struct Sockets {
    /// What each worker accepts from.
    pub(crate) by_worker: Vec<Vec<Bound>>,
    /// The addresses, with the real port in the place of port 0.
    pub(crate) addresses: Vec<ListenAddr>,
    /// At which of them TLS is spoken.
    pub(crate) secured: Vec<bool>,
}

/// Binds every address for every worker, or takes what was passed for it.
///
/// # Errors
/// The address that cannot be bound, and why.
pub(crate) fn bind(
    listen: &[ListenOn],
    workers: usize,
    passed: &mut Passed,
) -> Result<Sockets, (ListenAddr, io::Error)> {
    let mut bound: Vec<Vec<Bound>> = (0..workers).map(|_| Vec::new()).collect();
    let (mut addresses, mut secured) = (Vec::new(), Vec::new());
    for wanted in listen {
        let failed = |error| (wanted.address.clone(), error);
        match &wanted.address {
            ListenAddr::Tcp(address) => {
                let mut address = *address;
                for sockets in &mut bound {
                    let listener = bind_tcp(address).map_err(failed)?;
                    // Port 0 is chosen once, and shared by all workers.
                    address = listener.local_addr().map_err(failed)?;
                    sockets.push(Bound::Tcp { listener, tls: wanted.tls });
                }
                addresses.push(ListenAddr::Tcp(address));
                secured.push(wanted.tls);
            }
            ListenAddr::Unix(path) => {
                if let Some(first) = bound.first_mut() {
                    first.push(Bound::Unix(bind_unix(path).map_err(failed)?));
                }
                addresses.push(wanted.address.clone());
                secured.push(false);
            }
            ListenAddr::Systemd(name) => {
                for socket in passed.take(name.as_deref()).map_err(failed)? {
                    addresses.push(socket.address().map_err(failed)?);
                    secured.push(wanted.tls && matches!(socket, Listening::Tcp(_)));
                    let shared = Arc::new(match socket {
                        Listening::Tcp(listener) => Bound::Tcp { listener, tls: wanted.tls },
                        Listening::Unix(listener) => Bound::Unix(listener),
                    });
                    for sockets in &mut bound {
                        sockets.push(Bound::Shared(Arc::clone(&shared)));
                    }
                }
            }
        }
    }
    Ok(Sockets { by_worker: bound, addresses, secured })
}

/// With `SO_REUSEPORT`, each worker has its own queue, and another process of the same user can
/// listen on the port beside this one, to take over.
fn bind_tcp(address: std::net::SocketAddr) -> io::Result<TcpListener> {
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
fn bind_unix(path: &Path) -> io::Result<UnixListener> {
    let fresh = path.with_extension(format!("new-{}", std::process::id()));
    let listener = UnixListener::bind(&fresh)?;
    if let Err(error) = fs::rename(&fresh, path) {
        // The name is of no use to anyone; if it stays, the next start replaces it.
        let _ = fs::remove_file(&fresh);
        return Err(error);
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// A socket that one worker accepts from.
pub(crate) struct Listener(AsyncFd<Bound>);

impl Listener {
    /// Puts a bound socket on the runtime of the calling worker.
    ///
    /// # Errors
    /// When the descriptor cannot be registered.
    pub(crate) fn register(bound: Bound) -> io::Result<Self> {
        watch(bound, Interest::READABLE).map(Self)
    }

    /// Waits for a connection.
    ///
    /// The kernel tells once that connections have come. That there are no more is asked for, not
    /// tried: it makes the new socket before it looks whether there is a connection for it, so that
    /// to accept in vain costs 3 µs, and to ask 0.2.
    async fn accept(&self) -> io::Result<(Stream, Option<IpAddr>)> {
        let mut ready = self.0.readable().await?;
        let bound = self.0.get_ref();
        let accepted = bound.accept();
        let is_empty = match &accepted {
            Ok(_) => !bound.has_more(),
            Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        };
        if is_empty {
            ready.clear_ready();
        }
        accepted
    }

    /// Accepts for ever. What belongs to the worker that asks is given to `taker`; the rest goes to
    /// its worker's inbox.
    pub(crate) async fn run(&self, asking: usize, spread: &Arc<Spread>, taker: &impl Taker) -> ! {
        let trouble = Seldom::default();
        loop {
            let served = match self.accept().await {
                Ok((stream, peer)) => {
                    let place = spread.place(taker).await;
                    spread.deliver(Accepted { stream, peer, place }, asking, taker)
                }
                Err(error) => Err(error),
            };
            match served {
                Ok(()) => {}
                Err(error) if is_the_clients(&error) => {}
                Err(error) if is_out_of_descriptors(&error) && taker.free_a_descriptor() => {}
                Err(error) => {
                    spread.failed();
                    trouble.say(|before| {
                        tracing::error!(%error, before, "cannot accept connections; trying again");
                    });
                    taker.timers().sleep(BACK_OFF).await;
                }
            }
        }
    }

    /// Takes what had begun to connect, and nothing that begins later: a client's first packet is
    /// dropped, so that it asks again and meets the process that listens then.
    ///
    /// What was passed stays open in the process that passed it: what waits there, and what comes,
    /// is the successor's.
    pub(crate) async fn retire(self, asking: usize, spread: &Arc<Spread>, taker: &impl Taker) {
        if matches!(self.0.get_ref(), Bound::Shared(_)) {
            return;
        }
        if let Bound::Tcp { listener, .. } = self.0.get_ref()
            && let Err(error) = SockRef::from(listener).attach_filter(&REFUSE_SYN)
        {
            tracing::debug!(%error, "cannot hold new connections back while stopping");
        }
        // Ends when nothing has come for a while; `run` itself does not.
        loop {
            let before = spread.count();
            let more = self.run(asking, spread, taker);
            let _elapsed = taker.timers().timeout(LAST_LOOK, more).await;
            let after = spread.count();
            if after <= before {
                break;
            }
        }
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
    use std::io::Read;

    use super::*;

    #[test]
    fn what_is_accepted_sends_without_delay_and_waits_for_nothing() {
        let listener = bind_tcp(([127, 0, 0, 1], 0).into()).expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let bound = Bound::Tcp { listener, tls: false };
        let in_vain = bound.accept().expect_err("nobody has connected");
        assert_eq!(in_vain.kind(), io::ErrorKind::WouldBlock);
        let mut client = std::net::TcpStream::connect(address).expect("it listens");
        while !bound.has_more() {}
        let (accepted, peer) = bound.accept().expect("one has connected");
        let Stream::Tcp(accepted) = accepted else { panic!("it is over TCP") };
        assert!(!bound.has_more());
        assert_eq!(peer, client.local_addr().ok().map(|address| address.ip()));
        assert!(accepted.nodelay().expect("it is a socket"));
        let nothing = (&accepted).read(&mut [0]).expect_err("nothing was sent");
        assert_eq!(nothing.kind(), io::ErrorKind::WouldBlock);
        drop(accepted);
        assert_eq!(client.read(&mut [0]).ok(), Some(0));
    }
}
