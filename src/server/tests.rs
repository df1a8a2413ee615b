//! A worker whose requests break: what becomes of the others.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

use super::listener::{self, Sockets};
use super::spread::Spread;
use super::threads::Thread;
use super::worker::Delays;
use super::{Seed, start};
use crate::config::{self, Environment};
use crate::head::RequestHead;
use crate::observe::access_log::Writer;
use crate::plan::{self, ListenAddr, Plan};
use crate::plugin::{Cx, Plugin};
use crate::reply::{Cause, Reply};
use crate::systemd::sockets::Sockets as Passed;
use crate::timers::Timers;
use crate::upstream::pool::Here;

/// Breaks when it is told to, and else answers by itself, so that no upstream is needed.
#[derive(Debug)]
struct Breaks;

impl Plugin for Breaks {
    fn request(&self, head: &mut RequestHead, _cx: &mut Cx) -> ControlFlow<Reply> {
        assert!(!head.headers.iter().any(|(name, _)| name == "x-break"), "told to break");
        ControlFlow::Break(Cause::NotFound.into())
    }
}

/// One location, whose only plugin breaks.
fn plan() -> Plan {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let path = folder.path().join("keygate.toml");
    let text = "[server]\nlisten = \"127.0.0.1:0\"\n[upstreams.a]\naddrs = [\"127.0.0.1:1\"]\n\
        [locations.a]\npath = \"/\"\nupstream = \"a\"\npublic = true\n";
    std::fs::write(&path, text).expect("a file can be written");
    let config = config::load(&path, &Environment::default()).expect("it is TOML");
    let mut plan = plan::compile(&config, None).expect("it is right");
    plan.locations[0].plugins.push(Arc::new(Breaks));
    plan
}

/// One worker, until `stop` says so.
struct Running {
    address: SocketAddr,
    thread: Thread,
    stop: watch::Sender<bool>,
    /// The worker ends when nobody can send it a plan any more.
    _plans: watch::Sender<Arc<Plan>>,
    _writer: Writer,
}

fn run(plan: Plan) -> Running {
    let Sockets { mut by_worker, addresses, .. } =
        listener::bind(&plan.listen, 1, &mut Passed::default()).expect("a port");
    let [ListenAddr::Tcp(address)] = addresses[..] else { panic!("one address") };
    let (inboxes, mut receivers): (Vec<_>, Vec<_>) =
        [mpsc::unbounded_channel()].into_iter().unzip();
    let (plans, receiver) = watch::channel(Arc::new(plan));
    let (stop, stopped) = watch::channel(false);
    let timers = Timers::start().expect("a thread");
    let seed = Seed {
        index: 0,
        sockets: by_worker.remove(0),
        plans: receiver,
        stop: stopped,
        inbox: receivers.remove(0),
        spread: Spread::new(inboxes, 100),
        delays: Arc::<Delays>::default(),
        here: Here { own: addresses.as_slice().into(), timers },
        metrics: None,
        traces: None,
    };
    let writer = Writer::start(std::io::sink()).expect("a thread");
    let thread = start(seed, &writer).expect("a thread");
    Running { address, thread, stop, _plans: plans, _writer: writer }
}

/// A connection with patience.
fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("it listens");
    stream.set_read_timeout(Some(Duration::from_secs(20))).expect("a timeout can be set");
    stream
}

/// Sends a request with this line, and returns the start of what comes; nothing when it closes.
fn ask(stream: &mut TcpStream, line: &str) -> String {
    let request = format!("GET / HTTP/1.1\r\nHost: a\r\n{line}\r\n");
    stream.write_all(request.as_bytes()).expect("it takes bytes");
    let mut start = [0; 12];
    let read = stream.read(&mut start).unwrap_or_default();
    let start = String::from_utf8_lossy(&start[..read]).into_owned();
    if read > 0 {
        // "Not found" ends the body of what is not broken.
        let mut rest = Vec::new();
        while !rest.ends_with(b"Not found") {
            let mut more = [0; 1024];
            let read = stream.read(&mut more).expect("the rest comes");
            assert!(read > 0, "{start}{}", String::from_utf8_lossy(&rest));
            rest.extend_from_slice(&more[..read]);
        }
    }
    start
}

#[test]
fn a_panic_ends_its_connection_and_no_other() {
    let Running { address, thread, stop, _plans, _writer } = run(plan());
    let mut other = connect(address);
    assert_eq!(ask(&mut other, ""), "HTTP/1.1 404");
    for _ in 0..3 {
        let mut broken = connect(address);
        assert_eq!(ask(&mut broken, ""), "HTTP/1.1 404");
        assert_eq!(ask(&mut broken, "X-Break: 1\r\n"), "");
        assert_eq!(ask(&mut other, ""), "HTTP/1.1 404");
    }
    assert_eq!(ask(&mut connect(address), ""), "HTTP/1.1 404");
    // Nothing is left of the connections that broke: a worker that stops does not wait for them.
    drop(other);
    stop.send_replace(true);
    thread.blocking_recv().expect("the worker has not broken").expect("it ends as it was told");
}
