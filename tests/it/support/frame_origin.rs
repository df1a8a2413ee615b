//! An origin that speaks HTTP/2 frame by frame, by script: what no server would say.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::frames::{ACK, END_STREAM, Frame, HEADERS, PING, PREFACE, SETTINGS, WINDOW_UPDATE};
use super::{Client, wait_until};

/// A running origin; it accepts no more connections after it is dropped.
pub(crate) struct FrameOrigin {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    connections: AtomicUsize,
    /// Every frame that came, with the number of its connection.
    frames: Mutex<Vec<(usize, Frame)>>,
    stopped: AtomicBool,
}

impl FrameOrigin {
    /// Runs a script for each connection, once the preface has come. It ends with the script.
    pub(crate) fn scripted(script: impl Fn(&mut Link) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("there is a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let shared = Arc::<Shared>::default();
        let (state, script) = (Arc::clone(&shared), Arc::new(script));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if state.stopped.load(Ordering::SeqCst) {
                    return;
                }
                let number = state.connections.fetch_add(1, Ordering::SeqCst) + 1;
                let (shared, script) = (Arc::clone(&state), Arc::clone(&script));
                let client = Client::over(stream);
                let mut link = Link { number, client, shared };
                thread::spawn(move || {
                    if link.client.bytes(PREFACE.len()) == PREFACE {
                        script(&mut link);
                    }
                });
            }
        });
        Self { address, shared }
    }

    /// How many connections were made so far.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::SeqCst)
    }

    /// Every frame that came so far, with the number of its connection.
    pub(crate) fn frames(&self) -> Vec<(usize, Frame)> {
        self.shared.frames.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many requests came so far.
    pub(crate) fn requests(&self) -> usize {
        self.frames().iter().filter(|(_, frame)| frame.kind == HEADERS).count()
    }

    /// Waits for a frame that this says yes to.
    #[track_caller]
    pub(crate) fn wait_for(&self, what: &str, is_it: impl Fn(&Frame) -> bool) -> Frame {
        let mut found = None;
        wait_until(what, || {
            found = self.frames().into_iter().map(|(_, frame)| frame).find(&is_it);
            found.is_some()
        });
        found.expect("it was found")
    }
}

impl Drop for FrameOrigin {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread that accepts, so that it sees the flag.
        let _ = TcpStream::connect(self.address);
    }
}

/// A connection in the hands of its script.
pub(crate) struct Link {
    /// Which connection of the origin, counted from 1.
    pub(crate) number: usize,
    client: Client,
    shared: Arc<Shared>,
}

impl Link {
    /// Sends frames.
    pub(crate) fn send(&mut self, frames: &[Frame]) {
        let bytes: Vec<_> = frames.iter().flat_map(Frame::bytes).collect();
        self.client.send(bytes);
    }

    /// Sends bytes as they are.
    pub(crate) fn send_raw(&mut self, bytes: &[u8]) {
        self.client.send(bytes);
    }

    /// Says what must be said first, and so much more.
    pub(crate) fn settle(&mut self, settings: &[(u16, u32)]) {
        self.send(&[Frame::settings(settings)]);
    }

    /// The next frame, as long as it takes; none when the connection has ended.
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let frame = self.client.next_frame()?;
        let mut frames = self.shared.frames.lock().unwrap_or_else(PoisonError::into_inner);
        frames.push((self.number, frame.clone()));
        Some(frame)
    }

    /// The next frame of a request; what is said about the connection is answered and left out.
    pub(crate) fn next_of_a_request(&mut self) -> Option<Frame> {
        loop {
            let frame = self.next()?;
            match frame.kind {
                SETTINGS | PING if !frame.has(ACK) => {
                    self.send(&[Frame::new(
                        frame.kind,
                        ACK,
                        0,
                        match frame.kind {
                            PING => frame.payload,
                            _ => Vec::new(),
                        },
                    )]);
                }
                SETTINGS | PING => {}
                WINDOW_UPDATE if frame.stream == 0 => {}
                _ => return Some(frame),
            }
        }
    }

    /// Waits for a request, and says which stream it opens, and whether it has a body.
    pub(crate) fn request(&mut self) -> Option<(u32, bool)> {
        loop {
            let frame = self.next_of_a_request()?;
            if frame.kind == HEADERS {
                return Some((frame.stream, !frame.has(END_STREAM)));
            }
        }
    }

    /// Begins to answer.
    pub(crate) fn begin(&mut self, stream: u32) {
        self.send(&[Frame::headers(stream, 0, &[(":status", "200")])]);
    }

    /// Answers with this body.
    pub(crate) fn reply(&mut self, stream: u32, body: &str) {
        self.send(&[
            Frame::headers(stream, 0, &[(":status", "200")]),
            Frame::data(stream, END_STREAM, body),
        ]);
    }

    /// Answers every request with the number of the connection, until it ends.
    pub(crate) fn serve(&mut self) {
        while let Some((stream, _)) = self.request() {
            let number = self.number.to_string();
            self.reply(stream, &number);
        }
    }

    /// Takes what comes until the connection ends.
    pub(crate) fn listen(&mut self) {
        while self.next_of_a_request().is_some() {}
    }

    /// Ends the connection.
    pub(crate) fn close(&mut self) {
        let _ = self.client.stream().shutdown(Shutdown::Both);
    }
}
