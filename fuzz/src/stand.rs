//! A gate and an origin in this process, over real sockets: what the bytes of a connection lead to.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use keygate::config::{self, Environment};
use keygate::plan::{self, ListenAddr, Plan};
use keygate::reload::Source;

use crate::strict::{self, Body, Framing, Head, Read};

/// The address that clients come from.
pub const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// How long anything may take; far more than it does.
const DEADLINE: Duration = Duration::from_secs(15);

/// A gate in front of an origin that accepts everything.
pub struct Stand {
    gate: SocketAddr,
    seen: Arc<Mutex<Seen>>,
}

/// What reached the origin.
#[derive(Default)]
pub struct Seen {
    /// Whole requests by their numbers, each on its own until it was answered.
    pub requests: BTreeMap<usize, (Head, Body)>,
    /// The number of the next.
    next: usize,
    /// What was something else.
    pub wrong: Option<String>,
}

impl Stand {
    /// Starts both; `locations` follows the table of the upstream `origin`.
    pub fn start(locations: &str) -> Self {
        let listener = TcpListener::bind((PEER, 0)).expect("a free port");
        let origin = listener.local_addr().expect("it is bound");
        let seen = Arc::<Mutex<Seen>>::default();
        let shared = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, seen) = (stream.expect("a connection"), Arc::clone(&shared));
                thread::spawn(move || answer(stream, &seen));
            }
        });
        let text = format!(
            "[server]\nlisten = \"{PEER}:0\"\nworkers = 1\n[log]\naccess = false\n\
             [upstreams.origin]\naddrs = [\"{origin}\"]\n{locations}"
        );
        let (told, ready) = mpsc::channel();
        thread::spawn(move || {
            let ready = move |addresses: &[ListenAddr]| {
                told.send(addresses[0].clone()).expect("it is waited for")
            };
            let source = Source::new(move |_: Option<&Plan>| plan(&text), None);
            let plan = source.load().expect("a configuration");
            // It ends when a signal says so.
            let ended = keygate::run(plan, source, None, Default::default(), ready);
            std::process::exit(i32::from(ended.is_err()));
        });
        let Ok(ListenAddr::Tcp(gate)) = ready.recv() else { panic!("the gate does not listen") };
        Self { gate, seen }
    }

    /// A new connection that has sent these bytes.
    pub fn send(&self, bytes: &[u8]) -> Client {
        let mut stream = TcpStream::connect(self.gate).expect("the gate listens");
        stream.set_nodelay(true).expect("an option");
        stream.set_read_timeout(Some(DEADLINE)).expect("an option");
        // Whether they were taken is seen from the answer.
        let _ = stream.write_all(bytes);
        Client { stream, unread: Vec::new(), ended: false }
    }

    /// What reached the origin so far.
    pub fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn plan(text: &str) -> Result<Plan, String> {
    let path = std::env::temp_dir().join(format!("keygate-fuzz-{}.toml", std::process::id()));
    std::fs::write(&path, text).map_err(|error| error.to_string())?;
    let config = config::load(&path, &Environment::default());
    std::fs::remove_file(&path).map_err(|error| error.to_string())?;
    config.and_then(|config| plan::compile(&config, None)).map_err(|problems| problems.to_string())
}

/// Answers request after request; each must have been read whole, and nothing may follow it before.
fn answer(mut stream: TcpStream, seen: &Mutex<Seen>) {
    let mut bytes = Vec::new();
    let mut continued = false;
    loop {
        let read = strict::request(&bytes);
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        let response = match read {
            Read::Whole((head, body), length) if length == bytes.len() => {
                bytes.clear();
                continued = false;
                let number = seen.next;
                seen.next += 1;
                let data = if head.first == "HEAD" { "" } else { "ok" };
                seen.requests.insert(number, (head, body));
                format!("HTTP/1.1 200 OK\r\nx-origin: {number}\r\ncontent-length: 2\r\n\r\n{data}")
            }
            Read::Incomplete if !continued && wants_continue(&bytes) => {
                continued = true;
                "HTTP/1.1 100 Continue\r\n\r\n".to_owned()
            }
            Read::Incomplete => String::new(),
            wrong => {
                let bytes = bytes.escape_ascii();
                seen.wrong = Some(format!("the origin received {bytes}: {wrong:?}"));
                return;
            }
        };
        drop(seen);
        if stream.write_all(response.as_bytes()).is_err() || receive(&mut stream, &mut bytes) == 0 {
            return;
        }
    }
}

fn wants_continue(bytes: &[u8]) -> bool {
    matches!(strict::request_head(bytes), Read::Whole(head, _) if head.values("expect").next().is_some())
}

fn receive(stream: &mut TcpStream, bytes: &mut Vec<u8>) -> usize {
    let mut buffer = [0; 16 * 1024];
    loop {
        match stream.read(&mut buffer) {
            Ok(count) => {
                bytes.extend_from_slice(&buffer[..count]);
                return count;
            }
            // The fuzzer's own timer.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("nothing comes in time"),
            // A connection that is reset has ended as well.
            Err(_) => return 0,
        }
    }
}

/// The client's side of one connection.
pub struct Client {
    stream: TcpStream,
    unread: Vec<u8>,
    ended: bool,
}

impl Client {
    /// The next final response, or none if the connection ended before it. One to `HEAD` has no
    /// body.
    pub fn response(&mut self, to_head: bool) -> Option<Head> {
        loop {
            match strict::response_head(&self.unread) {
                Read::Incomplete => {}
                Read::Wrong(rule) => panic!("{rule} in {}", self.unread.escape_ascii()),
                Read::Whole(head, length) if head.second.starts_with('1') => {
                    self.unread.drain(..length);
                    continue;
                }
                Read::Whole(head, start) => {
                    let framing =
                        if to_head { Framing::None } else { head.framing().expect("it is framed") };
                    match strict::body(framing, &self.unread[start..]) {
                        Read::Whole(_, length) => {
                            self.unread.drain(..start + length);
                            return Some(head);
                        }
                        Read::Incomplete => {}
                        Read::Wrong(rule) => panic!("{rule} in {}", self.unread.escape_ascii()),
                    }
                }
            }
            self.ended = self.ended || receive(&mut self.stream, &mut self.unread) == 0;
            if self.ended {
                assert!(self.unread.is_empty(), "torn: {}", self.unread.escape_ascii());
                return None;
            }
        }
    }

    /// No other response comes. What is refused before it is read may be a `HEAD`, and still get
    /// a body.
    pub fn ends(&mut self) {
        while !self.ended {
            self.ended = receive(&mut self.stream, &mut self.unread) == 0;
        }
        let is_response = self.unread.windows(5).any(|start| start == b"HTTP/");
        assert!(!is_response, "one more: {}", self.unread.escape_ascii());
    }

    /// Says that nothing more will be sent.
    pub fn finish(&self) {
        let _ = self.stream.shutdown(Shutdown::Write);
    }
}
