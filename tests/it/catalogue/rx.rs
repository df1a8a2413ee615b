//! Resources: slow, many, large and repeated, without others noticing.

use std::time::{Duration, Instant};

use super::stand::{GET, POST};
use super::{Case, Stand, case, elsewhere, left_out};
use crate::support::h2::{END_STREAM, H2, request};
use crate::support::reference::{K1, keyed};
use crate::support::{Client, DEADLINE, MISSING, Signal, Then, holds_within, pause};

const PASSES: Then = Then::Forwarded("/api/v1/x");

/// How much later than its time something may happen on a busy machine.
const LATE: Duration = Duration::from_secs(4);

/// Longer than an answer that waits for nothing may take, however busy the machine.
const SOON: Duration = Duration::from_secs(2);

/// How many clients do the same at once; thousands are the judges' business.
const CROWD: usize = 40;

pub(super) const CASES: &[Case] = &[
    case("RX-01", "heads that trickle", |stand| {
        stand.server("client_header_timeout = \"1s\"\n");
        let mut slow = crowd(stand, &format!("{GET}X-Slow: "));
        let start = Instant::now();
        while !slow.is_empty() && start.elapsed() < Duration::from_secs(1) + LATE {
            slow.retain_mut(|client| !ended(client.send("a")));
            stand.get("X-API-Key: K1\r\n", PASSES);
        }
        let took = start.elapsed();
        stand.holds(slow.is_empty() && took > Duration::from_millis(900), || {
            format!("{} of the slow are still there after {took:?}", slow.len())
        });
    }),
    case("RX-02", "bodies that trickle, without the key", |stand| {
        // The body may take half a minute; the answer does not wait for it.
        for mut slow in crowd(stand, &format!("{POST}Content-Length: 8192\r\n\r\na=")) {
            let status = slow.patience(SOON).response().status;
            stand.holds(status == 401, || format!("{status}"));
        }
    }),
    case("RX-03", "bodies that stop, with the key", |stand| {
        stand.server("client_body_timeout = \"1s\"\n");
        stand.allow_any("/api/v1/x", CROWD);
        let request = keyed(&format!("{POST}X-API-Key: K1\r\nContent-Length: 8192\r\n\r\na="));
        for mut slow in crowd(stand, &request) {
            let status = slow.response().status;
            stand.holds(status == 408, || format!("{status}"));
        }
    }),
    case("RX-04", "answers that are not read", |stand| {
        stand.server("client_body_timeout = \"1s\"\n").script(|exchange| {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while exchange.writes_within(SOON, &[b'x'; 1 << 16]) {}
            exchange.close();
        });
        let files = stand.gate().open_files();
        stand.allow_any("/api/v1/x", CROWD / 4);
        let asking = keyed(&format!("{GET}X-API-Key: K1\r\n\r\n"));
        let stalled = some(stand, CROWD / 4, &asking);
        stand.origin().wait_for(CROWD / 4);
        let closed = holds_within(DEADLINE, || stand.gate().open_files() <= files);
        stand.holds(closed, || "a connection stays open while nothing of it is read".to_owned());
        drop(stalled);
    }),
    case("RX-05", "1,300 ranges are the origin's to answer", |stand| {
        let ranges: Vec<_> = (0..1300).map(|end| format!("5-{end}")).collect();
        stand.get(format!("X-API-Key: K1\r\nRange: bytes=0-,{}\r\n", ranges.join(",")), PASSES);
    }),
    case("RX-06", "connections that say nothing", |stand| {
        stand.server("client_header_timeout = \"1s\"\n");
        let start = Instant::now();
        let mut silent = crowd(stand, "");
        stand.get("X-API-Key: K1\r\n", PASSES);
        silent.retain_mut(|client| {
            let left = (Duration::from_secs(1) + LATE).saturating_sub(start.elapsed());
            !client.hears_within(left) && !client.closes_within(Duration::ZERO)
        });
        stand.holds(silent.is_empty(), || format!("{} stay open", silent.len()));
        stand.holds(start.elapsed() > Duration::from_millis(900), || "closed too soon".to_owned());
        // Where they are more than may be, they do not keep a request waiting until they time out.
        stand.anew().server("max_connections = 8\n");
        let silent = crowd(stand, "");
        for _ in 0..3 {
            stand.get("X-API-Key: K1\r\n", PASSES);
        }
        drop(silent);
    }),
    case(
        "RX-07",
        "as many connections as there may be: who waits for nothing makes room",
        |stand| {
            let answer = Signal::new();
            let led = answer.clone();
            stand.server("workers = 1\nmax_connections = 2\n").script(move |exchange| {
                led.wait();
                exchange.reply(200, b"");
            });
            stand.allow_any("/api/v1/x", 3);
            let request = keyed(&format!("{GET}X-API-Key: K1\r\n\r\n"));
            let mut busy = some(stand, 2, &request);
            stand.origin().wait_for(2);
            let mut third = stand.connect();
            third.send(&request);
            let served = holds_within(Duration::from_millis(300), || stand.origin().count() > 2);
            stand.holds(!served, || "a third connection is served".to_owned());
            (0..3).for_each(|_| answer.give());
            for client in &mut busy {
                assert_eq!(client.response().status, 200);
            }
            assert_eq!(third.response().status, 200);
            let closed =
                busy.iter_mut().filter_map(|one| one.closes_within(SOON).then_some(())).count();
            stand.holds(closed == 1, || format!("{closed} of the two are closed"));
        },
    ),
    elsewhere("RX-08", "10,000 wrong keys at a time", "judges/wrong_keys.py"),
    case("RX-09", "many wrong keys at a time over HTTP/2", |stand| {
        stand.config(&guarded("delay = \"2s\"\n", ""));
        let wrong = request("GET", "/api/v1/x", &[("x-api-key", "wrong")]);
        let mut all: Vec<_> = (0..CROWD).map(|_| H2::over(stand.connect())).collect();
        let streams: Vec<_> = all
            .iter_mut()
            .map(|h2| (0..100).map(|_| h2.open(END_STREAM, &wrong)).collect::<Vec<_>>())
            .collect();
        // Whoever has the key is served meanwhile.
        stand.get("X-API-Key: K1\r\n", PASSES);
        for (h2, streams) in all.iter_mut().zip(&streams) {
            let answers = h2.patience(2 * DEADLINE).answers(streams);
            let right = answers.iter().all(|answer| answer.status == 401);
            stand.holds(right, || format!("{:?}", answers.iter().find(|one| one.status != 401)));
        }
    }),
    elsewhere("RX-10", "more wrong keys than may wait", "judges/wrong_keys.py"),
    elsewhere("RX-11", "10,000 clients leave while they wait", "judges/wrong_keys.py"),
    case("RX-12", "one client guesses as fast as it can", |stand| {
        stand.config(&guarded("delay = \"100ms\"\nmax_failures = \"5/1m\"\n", ""));
        let wrong = format!("{GET}X-API-Key: wrong\r\n\r\n").repeat(10);
        let mut guessing = crowd(stand, &wrong);
        for round in 1..=10 {
            stand.get("X-API-Key: K1\r\n", PASSES);
            stand.holds(stand.arrived().len() == round, || "a wrong key passed".to_owned());
        }
        let mut statuses = Vec::new();
        for client in &mut guessing {
            statuses.extend((0..10).map(|_| client.response().status));
        }
        let told = statuses.iter().filter(|status| **status == 401).count();
        let told_off = statuses.iter().filter(|status| **status == 429).count();
        stand.holds(told == 5 && told + told_off == statuses.len(), || format!("{statuses:?}"));
    }),
    case("RX-13", "as many fields as there may be, and more", |stand| {
        let fields = |count: usize| "a: b\r\n".repeat(count);
        stand.get(format!("X-API-Key: K1\r\n{}", fields(98)), PASSES);
        for count in [99, 200, 4000, 10_000] {
            stand.get(format!("X-API-Key: K1\r\n{}", fields(count)), Then::Ends(&[400, 431]));
        }
    }),
    case("RX-14", "a name, a method, a target, a value of 100,000 bytes", |stand| {
        let long = "a".repeat(100_000);
        for request in [
            keyed(&format!("{GET}X-API-Key: K1\r\n{long}: b\r\n\r\n")),
            keyed(&format!("{GET}X-API-Key: K1\r\na: {long}\r\n\r\n")),
            keyed(&format!("{long} /api/v1/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n")),
            keyed(&format!("GET /{long} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n")),
            long,
        ] {
            costs_little(stand, || stand.send(&request, Then::Ends(&[400, 414, 431])));
        }
    }),
    case("RX-15", "an upload without an end, where its size is limited", |stand| {
        stand.config(&guarded("", "client_max_body_size = \"64KiB\"\n"));
        stand.allow_any("/api/v1/x", 1);
        let head = format!("{POST}X-API-Key: K1\r\nTransfer-Encoding: chunked\r\n\r\n");
        let mut client = stand.connect();
        client.send(keyed(&head));
        let chunk = [b"4000\r\n", &[b'x'; 0x4000][..], b"\r\n"].concat();
        // A thousand times what is allowed is without an end, for a test.
        let refused = (0..4096)
            .any(|_| !client.sends_within(SOON, &chunk) || client.hears_within(Duration::ZERO));
        stand.holds(refused, || "64 MiB are taken".to_owned());
        let status = client.send("0\r\n\r\n").response().status;
        stand.holds(status == 413, || format!("{status}"));
        // What reached the origin of it may be noted after the answer.
        stand.origin().wait_for(1);
        let whole = stand.arrived().iter().any(|one| one.body.len() > 64 << 10);
        stand.holds(!whole, || "more than that reached the origin".to_owned());
        let told = format!("{POST}X-API-Key: K1\r\nContent-Length: 65537\r\n\r\n");
        stand.send(told, Then::Ends(&[413]));
    }),
    case("RX-16", "uploads without an end to an origin that does not read", |stand| {
        let measured = Signal::new();
        let led = measured.clone();
        stand.script(move |exchange| {
            led.wait();
            exchange.close();
        });
        stand.get("", MISSING);
        stand.allow_any("/api/v1/x", STREAMS);
        bears(stand, |stand| {
            let request = format!("{POST}X-API-Key: K1\r\nContent-Length: 1000000000\r\n\r\n");
            let mut uploads = some(stand, STREAMS, &keyed(&request));
            for client in &mut uploads {
                while client.sends_within(Duration::from_millis(200), &[b'x'; 1 << 20]) {}
            }
            uploads
        });
        (0..STREAMS).for_each(|_| measured.give());
    }),
    case("RX-17", "downloads without an end to clients that do not read", |stand| {
        let full = Signal::new();
        let told = full.clone();
        stand.script(move |exchange| {
            exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
            while exchange.writes_within(Duration::from_millis(200), &[b'x'; 1 << 20]) {}
            told.give();
            exchange.close();
        });
        stand.get("", MISSING);
        stand.allow_any("/api/v1/x", STREAMS);
        bears(stand, |stand| {
            let request = keyed(&format!("{GET}X-API-Key: K1\r\n\r\n"));
            let downloads = some(stand, STREAMS, &request);
            (0..STREAMS).for_each(|_| full.wait());
            downloads
        });
    }),
    case("RX-18", "a compressed body is not unpacked", |stand| {
        // It begins as gzip does: who unpacked it would change it, or refuse it.
        let bomb = [&b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xed\xc1"[..], &[0; 2000]].concat();
        stand.answer([&response(&bomb)[..], &bomb].concat());
        let head = format!(
            "{POST}X-API-Key: K1\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
            bomb.len()
        );
        let request = [keyed(&head).as_bytes(), &bomb].concat();
        stand.allow("/api/v1/x", &request);
        let answer = stand.connect().send(&request).response();
        stand.holds(answer.body == bomb, || "the answer's body was changed".to_owned());
        stand.holds(answer.value("content-encoding") == "gzip", || "its coding is lost".to_owned());
    }),
    case("RX-19", "fields whose names are made to collide", |stand| {
        let name = |at: usize| format!("a{:b}", at + 64).replace('0', "x").replace('1', "y");
        let fields = |count: usize| -> String {
            (0..count).map(|at| format!("{}: b\r\n", name(at))).collect()
        };
        let passing = format!("X-API-Key: K1\r\n{}", fields(98));
        costs_little(stand, || stand.get(&passing, PASSES));
        let many = format!("{GET}{}\r\n", fields(100_000));
        costs_little(stand, || stand.send(&many, Then::Ends(&[400, 431])));
    }),
    case("RX-20", "a long path, where regexes with nested repetitions stand", |stand| {
        let mut text = guarded("", "");
        for at in 0..10 {
            text += &format!(
                "[locations.l{at}]\npath = \"~^/(a|aa)+{at}$\"\nupstream = \"rec\"\n\
                 plugins = [\"key-auth\"]\n"
            );
        }
        stand.config(&text);
        let long = "a".repeat(30_000);
        costs_little(stand, || stand.target(format!("/{long}"), Then::Refused(&[404])));
        costs_little(stand, || stand.target(format!("/{long}1"), MISSING));
    }),
    elsewhere(
        "RX-21",
        "100,000 keys: a wrong one costs as much as with one",
        "judges/many_keys.py",
    ),
    case("RX-22", "no file descriptors left: the old are served, the new wait", |stand| {
        let mut old = stand.connect();
        let request = keyed(&format!("{GET}X-API-Key: K1\r\n\r\n"));
        stand.allow_any("/api/v1/x", 2);
        assert_eq!(old.send(&request).response().status, 200);
        let gate = stand.gate();
        gate.limit_files(gate.open_files() + 4);
        let many = some(stand, CROWD, &format!("{GET}Connection: close\r\n\r\n"));
        gate.stderr.wait_for("no files", |line| line.contains("cannot accept"));
        let (time, sleeps) = (gate.processor_time(), gate.sleeps());
        pause(Duration::from_secs(1));
        let used = gate.processor_time() - time;
        stand.holds(used < 40, || format!("{used} hundredths of a second of doing nothing"));
        // On a busy machine whoever spins gets little time; but it never sleeps.
        let slept: Vec<_> =
            gate.sleeps().iter().zip(&sleeps).map(|(now, then)| now - then).collect();
        stand.holds(slept.iter().all(|times| *times > 2), || format!("it slept {slept:?} times"));
        assert_eq!(old.send(&request).response().status, 200);
        // Still with as few: those who waited get their turn as others leave.
        for mut client in many {
            let status = client.response().status;
            stand.holds(status == 401, || format!("{status}"));
        }
    }),
    left_out("RX-23", "a tight memory limit", MEMORY),
    case("RX-24", "an access log that nobody reads: lines are dropped and counted", |stand| {
        let gate = stand.gate();
        let before = gate.memory_kib();
        let held = gate.stdout.hold();
        let long = format!("GET /nowhere/{} HTTP/1.1\r\nHost: a.test\r\n\r\n", "x".repeat(30_000));
        let mut client = stand.connect();
        // 256 pieces may wait, of two such lines each; more comes.
        for _ in 0..600 {
            assert_eq!(client.send(&long).response().status, 404);
        }
        let more = gate.highest_memory_kib() - before;
        stand.holds(more < 32 * 1024, || format!("{more} KiB for what cannot be written"));
        drop(held);
        gate.stderr.wait_for("the count", |line| {
            stand.get("", MISSING);
            line.contains("lines are lost") && line.contains("lines=")
        });
    }),
    case("RX-25", "a full disk below the access log: told once, and nothing stops", |stand| {
        stand.stdout("/dev/full");
        for _ in 0..5 {
            stand.get("X-API-Key: K1\r\n", PASSES).get("", MISSING);
            pause(Duration::from_millis(150));
        }
        let told = |line: &str| line.contains("cannot write the access log");
        stand.gate().stderr.wait_for("no space", told);
        let times = stand.gate().stderr.lines().iter().filter(|line| told(line)).count();
        stand.holds(times == 1, || format!("told {times} times"));
    }),
    case("RX-26", "a thousand hosts leave nothing behind", |stand| {
        let request = |at: usize| format!("GET / HTTP/1.1\r\nHost: h{at}.test\r\n\r\n");
        leaves_nothing(stand, 1000, |at| assert_eq!(stand.ask(request(at)).status, 404));
    }),
    case("RX-27", "a thousand connections leave nothing behind", |stand| {
        leaves_nothing(stand, 1000, |_| {
            stand.get("X-API-Key: K1\r\nConnection: close\r\n", PASSES);
        });
    }),
    elsewhere("RX-28", "an hour of mixed traffic", "judges/soak.py"),
];

const MEMORY: &str = "keygate does not watch its memory: max_connections bounds it";

/// How many streams are stalled at a time where memory is measured, and what each may cost.
const STREAMS: usize = 4;
const STREAM_KIB: u64 = 1024;

/// Sends the same on as many connections.
fn some(stand: &Stand, count: usize, bytes: &str) -> Vec<Client> {
    let mut clients: Vec<_> = (0..count).map(|_| stand.connect()).collect();
    for client in &mut clients {
        client.send(bytes);
    }
    clients
}

fn crowd(stand: &Stand, bytes: &str) -> Vec<Client> {
    some(stand, CROWD, bytes)
}

/// Whether the gate has answered, or closed the connection.
fn ended(client: &mut Client) -> bool {
    client.hears_within(Duration::from_millis(1)) || client.closes_within(Duration::ZERO)
}

/// Holds what is done to a second of processor time: a test's build is many times slower than the
/// one that is shipped, and what took more than linear time would take minutes.
fn costs_little<T>(stand: &Stand, act: impl FnOnce() -> T) {
    let before = stand.gate().processor_time();
    act();
    let used = stand.gate().processor_time() - before;
    stand.holds(used < 100, || format!("{used} hundredths of a second"));
}

/// Holds the memory that streams cost to a bound for each; they end when they are dropped here.
fn bears(stand: &Stand, streams: impl FnOnce(&Stand) -> Vec<Client>) {
    let before = stand.gate().memory_kib();
    let streams = streams(stand);
    let each = stand.gate().highest_memory_kib().saturating_sub(before) / STREAMS as u64;
    stand.holds(each <= STREAM_KIB, || format!("{each} KiB for each stream"));
    drop(streams);
}

/// Does a thing many times, and holds the memory that the later half costs to next to none.
fn leaves_nothing(stand: &Stand, times: usize, act: impl Fn(usize)) {
    (0..times / 2).for_each(&act);
    let before = stand.gate().memory_kib();
    (times / 2..times).for_each(&act);
    let more = stand.gate().memory_kib().saturating_sub(before);
    stand.holds(more < STREAM_KIB, || format!("{more} KiB more"));
}

/// The configuration of one location `/api/v1`, with more settings for its plugin and for itself.
fn guarded(plugin: &str, location: &str) -> String {
    format!(
        "[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"{K1}\"]\nhide_credentials = true\n\
         {plugin}[locations.api]\npath = \"/api/v1\"\nupstream = \"rec\"\n\
         plugins = [\"key-auth\"]\n{location}"
    )
}

fn response(body: &[u8]) -> Vec<u8> {
    let length = body.len();
    format!("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {length}\r\n\r\n").into()
}
