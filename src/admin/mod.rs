//! The admin listener: health and metrics of the gate itself, apart from the API. What comes here
//! reaches no pipeline, and what is asked of it is answered from memory.
//!
//! It runs on the thread that reloads and stops, which has little else to do: a worker that is busy
//! does not hold it up, and it holds up no worker.

mod page;

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use crate::observe::metrics::Gate;
use crate::observe::seldom::Seldom;
use crate::plan::{ListenAddr, ListenOn};
use crate::server::listener::{self, Bound};
use crate::systemd::sockets::Sockets as Passed;

/// How many may ask at a time: a scraper, some probes, and a person.
pub(crate) const MAX_CONNECTIONS: usize = 16;

/// How long a connection may take, from its first byte to its last. Each carries one request, so
/// that none is held open for the next.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long a request's head may take.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest head; hyper takes no shorter limit.
const MAX_HEAD_SIZE: usize = 8 * 1024;

/// How many fields a head may have: probes and scrapers send a handful.
const MAX_FIELDS: usize = 32;

/// How long to wait after an accept that failed for want of descriptors or memory.
const BACK_OFF: Duration = Duration::from_millis(100);

/// What health and metrics are answered from.
pub(crate) struct State {
    /// What metrics are made of.
    pub(crate) gate: Gate,
    /// Becomes true when the gate stops.
    pub(crate) stop: watch::Receiver<bool>,
}

/// Sockets that are bound, and not served yet.
pub(crate) struct Sockets(Vec<Bound>);

/// Binds every address; they are returned with the real port in the place of port 0.
///
/// # Errors
/// The address that cannot be bound, and why.
pub(crate) fn bind(
    listen: &[ListenAddr],
) -> Result<(Sockets, Vec<ListenAddr>), (ListenAddr, io::Error)> {
    let clear = |address: &ListenAddr| ListenOn { address: address.clone(), tls: false };
    let listen: Vec<_> = listen.iter().map(clear).collect();
    let listener::Sockets { by_worker, addresses, .. } =
        listener::bind(&listen, 1, &mut Passed::default())?;
    Ok((Sockets(by_worker.into_iter().flatten().collect()), addresses))
}

impl Sockets {
    /// Begins to serve; must be called within a runtime.
    ///
    /// # Errors
    /// When a socket cannot be registered.
    pub(crate) fn serve(self, state: State) -> io::Result<()> {
        let state = Arc::new(state);
        let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        for socket in self.0 {
            let (state, places) = (Arc::clone(&state), Arc::clone(&places));
            let listener = Listener::register(socket)?;
            tokio::spawn(async move { listener.run(&state, &places).await });
        }
        Ok(())
    }
}

/// A socket that is listened on.
enum Listener {
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl Listener {
    fn register(bound: Bound) -> io::Result<Self> {
        Ok(match bound {
            Bound::Tcp { listener, .. } => Self::Tcp(TcpListener::from_std(listener)?),
            Bound::Unix(listener) => Self::Unix(UnixListener::from_std(listener)?),
            Bound::Shared(_) => return Err(io::ErrorKind::Unsupported.into()),
        })
    }

    async fn run(&self, state: &Arc<State>, places: &Arc<Semaphore>) {
        let trouble = Seldom::default();
        // Nobody closes the semaphore.
        while let Ok(place) = Arc::clone(places).acquire_owned().await {
            let accepted = match self {
                Self::Tcp(listener) => listener.accept().await.map(|(stream, _)| {
                    let serving = serve(stream, Arc::clone(state));
                    tokio::spawn(async move { (serving.await, place).0 });
                }),
                Self::Unix(listener) => listener.accept().await.map(|(stream, _)| {
                    let serving = serve(stream, Arc::clone(state));
                    tokio::spawn(async move { (serving.await, place).0 });
                }),
            };
            if let Err(error) = accepted {
                trouble.say(|before| {
                    tracing::warn!(%error, before, "the admin listener cannot accept connections");
                });
                tokio::time::sleep(BACK_OFF).await;
            }
        }
    }
}

/// Serves one connection: one request.
async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, state: Arc<State>) {
    let service = service_fn(|request| {
        let response = page::respond(&request, &state);
        async { Ok::<_, Infallible>(response) }
    });
    let mut builder = Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    builder.keep_alive(false).max_buf_size(MAX_HEAD_SIZE).max_headers(MAX_FIELDS);
    let serving = builder.serve_connection(TokioIo::new(stream), service);
    // Who asks for something odd, or leaves, is told or gone.
    let _ = timeout(CONNECTION_TIMEOUT, serving).await;
}
