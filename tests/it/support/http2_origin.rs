//! An origin that speaks HTTP/2 as servers do, and tells what it was asked.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use bytes::Bytes;
use h2::RecvStream;
use h2::server::SendResponse;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use tokio::net::TcpListener;
use tokio::runtime::Builder;
use tokio::task::spawn_local;

/// A request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) head: Arc<Parts>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: HeaderMap,
}

impl Asked {
    /// All values of a field.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let values = self.head.headers.get_all(name).iter();
        values.map(|value| value.to_str().expect("text")).collect()
    }
}

/// What it answers to a request that has come whole: a head, a body and trailers.
type Answer = dyn Fn(&Asked) -> (Response<()>, Vec<u8>, HeaderMap) + Send + Sync;

/// A running origin; its thread ends with the tests.
pub(crate) struct Http2Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    connections: Arc<AtomicUsize>,
}

impl Http2Origin {
    /// Answers each request with 200 and its own body and trailers.
    pub(crate) fn echo() -> Self {
        let echo = |asked: &Asked| (Response::new(()), asked.body.clone(), asked.trailers.clone());
        Self::answering(echo)
    }

    /// Answers each request when it has come whole.
    pub(crate) fn answering(
        answer: impl Fn(&Asked) -> (Response<()>, Vec<u8>, HeaderMap) + Send + Sync + 'static,
    ) -> Self {
        let (asked, connections) = <(Arc<Mutex<Vec<Asked>>>, Arc<AtomicUsize>)>::default();
        let (known, counted) = (Arc::clone(&asked), Arc::clone(&connections));
        let (tell, told) = channel();
        thread::spawn(move || {
            let runtime = Builder::new_current_thread().enable_io().build_local(Default::default());
            runtime.expect("a runtime").block_on(async move {
                let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
                tell.send(listener.local_addr().expect("an address")).expect("somebody waits");
                let answer: Arc<Answer> = Arc::new(answer);
                while let Ok((stream, _)) = listener.accept().await {
                    counted.fetch_add(1, Ordering::SeqCst);
                    let (known, answer) = (Arc::clone(&known), Arc::clone(&answer));
                    spawn_local(serve(stream, known, answer));
                }
            });
        });
        let told: Receiver<SocketAddr> = told;
        Self { address: told.recv().expect("it listens"), asked, connections }
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// How many requests have come whole so far.
    pub(crate) fn count(&self) -> usize {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// The latest request.
    #[track_caller]
    pub(crate) fn last(&self) -> Asked {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.last().cloned().expect("a request reached the origin")
    }
}

async fn serve(stream: tokio::net::TcpStream, asked: Arc<Mutex<Vec<Asked>>>, answer: Arc<Answer>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else { return };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let (asked, answer) = (Arc::clone(&asked), Arc::clone(&answer));
        spawn_local(async move {
            // A client that leaves is no failure of the origin.
            let _ = handle(request, respond, &asked, &*answer).await;
        });
    }
}

async fn handle(
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
    known: &Mutex<Vec<Asked>>,
    answer: &Answer,
) -> Result<(), h2::Error> {
    let (head, mut stream) = request.into_parts();
    let mut body = Vec::new();
    while let Some(data) = stream.data().await.transpose()? {
        stream.flow_control().release_capacity(data.len())?;
        body.extend_from_slice(&data);
    }
    let trailers = stream.trailers().await?.unwrap_or_default();
    let asked = Asked { head: Arc::new(head), body, trailers };
    known.lock().unwrap_or_else(PoisonError::into_inner).push(asked.clone());
    let (head, body, trailers) = answer(&asked);
    let is_bare = body.is_empty() && trailers.is_empty();
    let mut out = respond.send_response(head, is_bare)?;
    if !body.is_empty() {
        out.send_data(body.into(), trailers.is_empty())?;
    }
    if !trailers.is_empty() {
        out.send_trailers(trailers)?;
    }
    Ok(())
}
