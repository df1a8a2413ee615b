//! An origin server that records every byte of every request and answers by script.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use super::message::{Framing, Head, Response};
use super::{Client, DEADLINE, Signal, wait_until};

/// What the origin does with a request whose head it has read.
type Script = dyn Fn(&mut Exchange) + Send + Sync;

/// A running origin; it accepts no more connections after it is dropped.
pub(crate) struct Origin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    requests: Mutex<Vec<Recorded>>,
    connections: AtomicUsize,
    ended: AtomicUsize,
    stopped: AtomicBool,
}

impl Shared {
    fn requests(&self) -> MutexGuard<'_, Vec<Recorded>> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request as it arrived; or what came last on a connection and was no whole head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recorded {
    /// On which connection, counted from 1.
    pub(crate) connection: usize,
    /// Its head.
    pub(crate) head: Head,
    /// Its body, without framing; empty unless the script read it.
    pub(crate) body: Vec<u8>,
    /// The trailer fields of its body.
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether the body came to its proper end; false as well while no script has read it.
    pub(crate) whole: bool,
}

impl Recorded {
    /// The target.
    pub(crate) fn target(&self) -> &str {
        self.head.second_word()
    }

    /// Everything that arrived, trailers as lines.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let trailers = self.trailers.iter().map(|(name, value)| format!("{name}: {value}\n"));
        [&*self.head.raw, &self.body, trailers.collect::<String>().as_bytes()].concat()
    }
}

impl Origin {
    /// Answers every request with 200 and the target that it saw.
    pub(crate) fn echo() -> Self {
        Self::scripted(|exchange| {
            exchange.read_body();
            let target = exchange.request.second_word().to_owned();
            exchange.reply(200, target.as_bytes());
        })
    }

    /// Answers every request, when it has been read whole, with these bytes.
    pub(crate) fn answering(bytes: impl AsRef<[u8]>) -> Self {
        let bytes = bytes.as_ref().to_vec();
        Self::scripted(move |exchange| {
            exchange.read_body();
            exchange.write(&bytes);
        })
    }

    /// Runs a script for every request. The connection is kept unless the script closes it.
    pub(crate) fn scripted(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Self {
        Self::on("127.0.0.1:0", script)
    }

    /// Listens on an address that the test knows beforehand.
    pub(crate) fn on(
        address: &str,
        script: impl Fn(&mut Exchange) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::new(Shared::default());
        let script: Arc<Script> = Arc::new(script);
        let state = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &state, &script));
        Self { address, shared }
    }

    /// A copy of everything that arrived so far.
    pub(crate) fn requests(&self) -> Vec<Recorded> {
        self.shared.requests().clone()
    }

    /// How many requests arrived so far.
    pub(crate) fn count(&self) -> usize {
        self.shared.requests().len()
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// How many connections are open now.
    pub(crate) fn open_connections(&self) -> usize {
        self.connections() - self.shared.ended.load(Ordering::SeqCst)
    }

    /// The latest request; fails if there is none.
    #[track_caller]
    pub(crate) fn last(&self) -> Recorded {
        self.requests().pop().expect("a request reached the origin")
    }

    /// Waits until so many requests have arrived.
    #[track_caller]
    pub(crate) fn wait_for(&self, count: usize) {
        wait_until(&format!("{count} requests reach the origin"), || self.count() >= count);
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>, script: &Arc<Script>) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.stopped.load(Ordering::SeqCst) {
            return;
        }
        let connection = shared.connections.fetch_add(1, Ordering::SeqCst) + 1;
        let (shared, script) = (Arc::clone(shared), Arc::clone(script));
        thread::spawn(move || {
            serve(stream, connection, &shared, &script);
            shared.ended.fetch_add(1, Ordering::SeqCst);
        });
    }
}

fn serve(stream: TcpStream, connection: usize, shared: &Arc<Shared>, script: &Arc<Script>) {
    let mut client = Client::over(stream);
    let mut number = 0;
    while let Some(request) = client.next_head() {
        number += 1;
        let recorded = Recorded { connection, head: request.clone(), ..Recorded::default() };
        let index = {
            let mut requests = shared.requests();
            requests.push(recorded);
            requests.len() - 1
        };
        let shared = Arc::clone(shared);
        let mut exchange = Exchange { number, request, client, shared, index, open: true };
        script(&mut exchange);
        if !exchange.open {
            return;
        }
        client = exchange.client;
    }
    let raw = client.unread();
    if !raw.is_empty() {
        let head = Head::parse(&raw);
        shared.requests().push(Recorded { connection, head, ..Recorded::default() });
    }
}

/// One request on its way through a script.
pub(crate) struct Exchange {
    /// Which request of its connection, counted from 1.
    pub(crate) number: usize,
    /// The head that was read.
    pub(crate) request: Head,
    client: Client,
    shared: Arc<Shared>,
    index: usize,
    open: bool,
}

impl Exchange {
    /// Reads the whole body into the record.
    pub(crate) fn read_body(&mut self) -> Vec<u8> {
        let mut message = Response::default();
        match self.request.framing() {
            Framing::Length(length) => {
                message.body = self.client.bytes(length);
                message.complete = message.body.len() == length;
            }
            Framing::Chunked => while self.client.chunk(&mut message) {},
            Framing::None => message.complete = true,
        }
        let mut requests = self.shared.requests();
        let recorded = &mut requests[self.index];
        recorded.whole = message.complete;
        recorded.body.clone_from(&message.body);
        recorded.trailers = message.trailers;
        message.body
    }

    /// Sends bytes as they are.
    pub(crate) fn write(&mut self, bytes: impl AsRef<[u8]>) {
        self.client.send(bytes);
    }

    /// Sends bytes, and says whether they could be written in time.
    pub(crate) fn writes_within(&mut self, span: Duration, bytes: &[u8]) -> bool {
        self.client.sends_within(span, bytes)
    }

    /// Sends bytes from a thread of its own, so that the script can go on reading.
    pub(crate) fn write_beside(&mut self, bytes: Vec<u8>) -> thread::JoinHandle<()> {
        self.client.send_beside(bytes)
    }

    /// Sends a complete response.
    pub(crate) fn reply(&mut self, status: u16, body: &[u8]) {
        let head = format!("HTTP/1.1 {status} Said\r\nContent-Length: {}\r\n\r\n", body.len());
        self.write([head.as_bytes(), body].concat());
    }

    /// Sends one chunk of a chunked body.
    pub(crate) fn chunk(&mut self, data: &[u8]) {
        self.write([format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat());
    }

    /// Reads exactly so many bytes, whatever they are.
    pub(crate) fn bytes(&mut self, count: usize) -> Vec<u8> {
        self.client.bytes(count)
    }

    /// Waits for the other side to end the connection, says so if it does, and closes.
    pub(crate) fn tells_the_end(&mut self, ended: &Signal) {
        if self.ends_within(DEADLINE) {
            ended.give();
        }
        self.close();
    }

    /// Whether the gate ends the connection in time.
    pub(crate) fn ends_within(&mut self, span: Duration) -> bool {
        self.client.closes_within(span)
    }

    /// Whether the gate sends anything in time.
    pub(crate) fn hears_within(&mut self, span: Duration) -> bool {
        self.client.hears_within(span)
    }

    /// Ends the connection properly when the script ends.
    pub(crate) fn close(&mut self) {
        self.open = false;
    }

    /// Ends the connection with a reset when the script ends.
    pub(crate) fn reset(&mut self) {
        self.client.reset();
        self.open = false;
    }
}
