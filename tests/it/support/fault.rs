//! Upstreams that are no origins: ports that refuse, that never accept, or that accept and end the
//! connection before a request.

use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

/// An address at which nothing listens for as long as this lives: the port is taken, but by a
/// socket that refuses everyone.
pub(crate) struct Refusing {
    /// The address.
    pub(crate) address: SocketAddr,
    socket: Socket,
}

impl Refusing {
    /// Takes a free port.
    pub(crate) fn new() -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("there are sockets");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(&any.into()).expect("there is a free port");
        let address = socket.local_addr().ok().and_then(|address| address.as_socket());
        Self { address: address.expect("a bound socket has an address"), socket }
    }

    /// Listens from now on, and answers nobody.
    pub(crate) fn listen(&self) {
        self.socket.listen(16).expect("a bound socket can listen");
        self.socket.set_nonblocking(true).expect("a socket can be told not to wait");
    }

    /// Whether somebody has connected since.
    pub(crate) fn was_asked(&self) -> bool {
        let asked = self.socket.accept().map(|_| ());
        !asked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// An address where connecting hangs for as long as this lives: a listener that never accepts, and
/// whose queue is full, so that the kernel drops every SYN.
pub(crate) struct BlackHole {
    /// The address.
    pub(crate) address: SocketAddr,
    _full: (TcpListener, Vec<TcpStream>),
}

impl BlackHole {
    /// Takes a free port and fills its queue.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        SockRef::from(&listener).listen(0).expect("a listener can listen");
        let address = listener.local_addr().expect("a bound socket has an address");
        let span = Duration::from_millis(100);
        let connect = |_| TcpStream::connect_timeout(&address, span).ok();
        let queue: Vec<_> = (0..4).map_while(connect).collect();
        assert!(queue.len() < 4, "the queue is not full");
        Self { address, _full: (listener, queue) }
    }
}

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Not at all.
    Stays,
    /// With a FIN.
    Closes,
    /// With a RST.
    Resets,
}

/// An upstream that accepts, and ends each connection without reading from it.
pub(crate) struct Ending {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    state: Arc<EndingState>,
}

#[derive(Default)]
struct EndingState {
    connections: AtomicUsize,
    stopped: AtomicBool,
}

impl Ending {
    /// Ends its connections in this way.
    pub(crate) fn with(end: End) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::<EndingState>::default();
        let shared = Arc::clone(&state);
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if shared.stopped.load(Ordering::SeqCst) {
                    return;
                }
                shared.connections.fetch_add(1, Ordering::SeqCst);
                if end == End::Resets {
                    let _ = SockRef::from(&stream).set_linger(Some(Duration::ZERO));
                }
            }
        });
        Self { address, state }
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.state.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}
