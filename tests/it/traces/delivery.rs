//! How spans come to the collector, whatever it does, and that nobody waits for that.

use std::fs;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs::default_provider;
use rustls::server::WebPkiClientVerifier;
use tempfile::TempDir;

use super::collector::{Collector, gate};
use super::get;
use crate::examples::Port;
use crate::support::admin::ADMIN;
use crate::support::reference::reference;
use crate::support::tls::{Authority, Ending, before, shows};
use crate::support::{DEADLINE, Exchange, Gate, Origin, Signal, wait_until};

/// The reference configuration, which tells about itself.
fn told(origin: &Origin) -> String {
    reference(origin) + ADMIN
}

/// How many spans have come to this.
fn count(gate: &Gate, result: &str) -> u64 {
    let series = format!("keygate_trace_spans_total{{result=\"{result}\"}}");
    gate.metrics().value(&series).expect("it is there") as u64
}

#[track_caller]
fn wait_for(gate: &Gate, result: &str, wanted: u64) {
    wait_until(&format!("{wanted} are {result}"), || count(gate, result) == wanted);
}

fn ask(gate: &Gate) {
    assert_eq!(gate.send(get("/public/x", "")).status, 200);
}

/// What is logged when the collector begins to take nothing.
const TROUBLE: &str = "the collector of traces does not take spans";

#[test]
fn one_connection_carries_what_comes() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate(&told(&origin));
    for asked in 1..=3 {
        ask(&gate);
        wait_for(&gate, "exported", 2 * asked);
    }
    assert_eq!((collector.origin().connections(), collector.requests().len()), (1, 3));
    let head = collector.origin().last().head;
    assert_eq!(head.second_word(), "/v1/traces");
    assert_eq!(head.value("content-type"), Some("application/x-protobuf"));
    assert_eq!(collector.spans(6).len(), 6);
}

#[test]
fn no_request_to_the_collector_has_more_than_it_may() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate_with(&told(&origin), &[("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")]);
    let mut client = gate.client();
    for _ in 0..50 {
        assert_eq!(client.send(get("/public/x", "")).response().status, 200);
    }
    wait_for(&gate, "exported", 100);
    let sizes = super::collector::decode(&collector.requests());
    let sizes: Vec<_> =
        sizes.iter().map(|request| request["spans"].as_array().map_or(0, Vec::len)).collect();
    assert!(sizes.iter().all(|&size| size <= 10), "{sizes:?}");
    assert_eq!(sizes.iter().sum::<usize>(), 100);
}

#[test]
fn a_collector_that_is_not_there_is_told_and_comes_back() {
    let (origin, port) = (Origin::echo(), Port::claim());
    let address = port.address.to_string();
    let gate = gate(&told(&origin), &format!("http://{address}"), &[]);
    ask(&gate);
    gate.stderr.wait_for("the trouble", |line| line.contains(TROUBLE));
    let collector = Collector::on(&address, |exchange| exchange.reply(200, b""));
    // What was recorded meanwhile has waited.
    let spans = collector.spans(2);
    assert_eq!(spans.len(), 2);
    wait_for(&gate, "exported", 2);
    gate.stderr.wait_for("the end of it", |line| line.contains("takes spans again"));
    assert_eq!(count(&gate, "failed"), 0);
}

#[test]
fn an_outage_is_told_once() {
    let collector = Collector::scripted(|exchange| exchange.reply(400, b""));
    let origin = Origin::echo();
    let gate = collector.gate(&told(&origin));
    for asked in 1..=3 {
        ask(&gate);
        wait_for(&gate, "failed", 2 * asked);
    }
    // The log is written in order, so this comes behind all that was said before.
    gate.signal("HUP");
    gate.stderr.wait_for("the reload", |line| line.contains("reload"));
    let said = gate.stderr.lines().iter().filter(|line| line.contains(TROUBLE)).count();
    assert_eq!(said, 1, "{}", gate.stderr.text());
}

/// A collector that answers so the first time, and takes what it is sent then; and when it had
/// read each request.
fn at_first(answer: &'static str) -> (Collector, Arc<Mutex<Vec<Instant>>>) {
    let times = Arc::<Mutex<Vec<Instant>>>::default();
    let read = Arc::clone(&times);
    let collector = Collector::scripted(move |exchange: &mut Exchange| {
        read.lock().expect("nobody panics").push(Instant::now());
        match exchange.number {
            1 => exchange.write(answer),
            _ => exchange.reply(200, b""),
        }
    });
    (collector, times)
}

#[test]
fn what_was_refused_for_now_is_sent_again_when_the_collector_says() {
    for (answer, least) in [
        ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 900),
        ("HTTP/1.1 503 Busy\r\nRetry-After: 2\r\nContent-Length: 0\r\n\r\n", 2_000),
        ("HTTP/1.1 429 Slowly\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n", 0),
        ("HTTP/1.1 502 Bad\r\nContent-Length: 0\r\n\r\n", 900),
        ("HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n", 900),
    ] {
        let (origin, (collector, times)) = (Origin::echo(), at_first(answer));
        let gate = collector.gate(&told(&origin));
        ask(&gate);
        wait_for(&gate, "exported", 2);
        let times = times.lock().expect("nobody panics");
        let between = times[1] - times[0];
        assert!(between >= Duration::from_millis(least), "{answer}: {between:?}");
        let requests = collector.requests();
        assert_eq!(requests[0].body, requests[1].body);
        assert_eq!(count(&gate, "failed"), 0);
    }
}

#[test]
fn what_was_refused_for_good_is_not_sent_again() {
    for answer in [
        "HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 401 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 413 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 308 Elsewhere\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n",
    ] {
        let (origin, (collector, _)) = (Origin::echo(), at_first(answer));
        let gate = collector.gate(&told(&origin));
        ask(&gate);
        wait_for(&gate, "failed", 2);
        ask(&gate);
        wait_for(&gate, "exported", 2);
        assert_eq!(collector.requests().len(), 2, "{answer}");
    }
}

#[test]
fn what_a_collector_takes_in_part_is_counted_so() {
    // `partial_success { rejected_spans: 1 }`.
    let collector = Collector::scripted(|exchange| exchange.reply(200, b"\x0a\x02\x08\x01"));
    let origin = Origin::echo();
    let gate = collector.gate(&told(&origin));
    ask(&gate);
    wait_for(&gate, "exported", 1);
    assert_eq!(count(&gate, "failed"), 1);
    gate.stderr.wait_for("that", |line| line.contains("has not taken all spans"));
}

/// A collector that reads a request, and answers it when it is told to.
fn stuck() -> (Collector, Signal) {
    let go = Signal::new();
    let told = go.clone();
    let collector = Collector::scripted(move |exchange| {
        let _ = told.given_within(4 * DEADLINE);
        exchange.reply(200, b"");
    });
    (collector, go)
}

#[test]
fn a_collector_that_does_not_answer_holds_up_nobody_and_costs_no_more_than_the_queue() {
    const ASKED: u64 = 200;
    let origin = Origin::echo();
    let (collector, go) = stuck();
    let small = [("OTEL_BSP_MAX_QUEUE_SIZE", "20"), ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "10")];
    let more = [&small[..], &[("OTEL_EXPORTER_OTLP_TIMEOUT", "60000")]].concat();
    let gate = collector.gate_with(&told(&origin), &more);
    let mut client = gate.client();
    for _ in 0..ASKED {
        assert_eq!(client.send(get("/public/x", "")).response().status, 200);
    }
    collector.origin().wait_for(1);
    // At most 20 are in the queue, or on their way.
    wait_until("the others are dropped", || count(&gate, "dropped") >= 2 * ASKED - 20);
    assert_eq!(count(&gate, "exported") + count(&gate, "failed"), 0);
    (0..100).for_each(|_| go.give());
    wait_until("what has waited is sent", || {
        count(&gate, "exported") + count(&gate, "dropped") == 2 * ASKED
    });
    // There is room again.
    let before = count(&gate, "exported");
    ask(&gate);
    wait_for(&gate, "exported", before + 2);
}

#[test]
fn a_collector_that_takes_too_long_is_asked_again() {
    let origin = Origin::echo();
    let go = Signal::new();
    let step = go.clone();
    let collector = Collector::scripted(move |exchange| {
        if step.given_within(Duration::from_millis(1)) {
            return exchange.reply(200, b"");
        }
        // The connection of an attempt that is given up ends.
        assert!(exchange.ends_within(DEADLINE));
        step.give();
        exchange.close();
    });
    let gate = collector.gate_with(&told(&origin), &[("OTEL_EXPORTER_OTLP_TIMEOUT", "1000")]);
    ask(&gate);
    wait_for(&gate, "exported", 2);
    gate.stderr.wait_for("the trouble", |line| line.contains("does not answer in time"));
    assert!(collector.origin().connections() >= 2);
}

/// Spans wait for an hour, unless the gate ends.
const PATIENT: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");

#[test]
fn what_is_left_is_sent_at_the_end() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate_with(&reference(&origin), &[PATIENT]);
    for _ in 0..3 {
        ask(&gate);
    }
    assert_eq!(collector.origin().count(), 0);
    gate.signal("TERM");
    let ended = gate.ends_within(DEADLINE);
    assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gate.stderr.text());
    assert_eq!(collector.spans(6).len(), 6);
}

#[test]
fn a_collector_that_takes_nothing_does_not_hold_up_the_end() {
    let origin = Origin::echo();
    let (stuck, _go) = stuck();
    let refusing = Collector::scripted(|exchange| {
        exchange.write("HTTP/1.1 503 Busy\r\nRetry-After: 60\r\nContent-Length: 0\r\n\r\n");
    });
    let soon = ("OTEL_BSP_SCHEDULE_DELAY", "1");
    // What does not answer is waited for no longer than requests are; what refuses, not at all.
    for (collector, timeout, more) in
        [(&stuck, "2s", [PATIENT]), (&refusing, "5m", [PATIENT]), (&refusing, "5m", [soon])]
    {
        let server =
            format!("[server]\nlisten = \"127.0.0.1:0\"\nshutdown_timeout = \"{timeout}\"\n");
        let config = reference(&origin) + &server;
        let gate = collector.gate_with(&config, &more);
        ask(&gate);
        if more != [PATIENT] {
            collector.origin().wait_for(2);
        }
        gate.signal("TERM");
        let ended = gate.ends_within(Duration::from_secs(8));
        assert_eq!(ended.and_then(|status| status.code()), Some(0), "{}", gate.stderr.text());
    }
}

/// Files of an authority and of a certificate that it has issued, in a folder that lasts as long.
fn files(authority: &Authority) -> (TempDir, [String; 3]) {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let own = authority.issue(&["gate"]);
    let files = [("ca.pem", authority.pem()), ("own.pem", own.cert), ("own.key", own.key)];
    let paths = files.map(|(name, text)| {
        let path = folder.path().join(name);
        fs::write(&path, text).expect("the folder can be written");
        path.to_string_lossy().into_owned()
    });
    (folder, paths)
}

/// What a collector shows that wants a certificate of this authority.
fn demanding(authority: &Authority) -> ServerConfig {
    let provider = Arc::new(default_provider());
    let roots = Arc::new(authority.roots());
    let wanted = WebPkiClientVerifier::builder_with_provider(roots, Arc::clone(&provider)).build();
    let (chain, key) = authority.issue(&["localhost"]).parts();
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("they are supported")
        .with_client_cert_verifier(wanted.expect("there are roots"))
        .with_single_cert(chain, key)
        .expect("they belong together")
}

#[test]
fn spans_go_over_tls_to_a_collector_that_is_believed_alone() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let (_folder, [ca, cert, key]) = files(&authority);
    let own = [
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", &*ca),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", &cert),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", &key),
    ];
    let system = [("SSL_CERT_FILE", &*ca)];
    let issued = |by: &Authority| shows(&by.issue(&["localhost"]));
    for (config, variables, trouble) in [
        (issued(&authority), &own[..1], ""),
        (issued(&authority), &system, ""),
        (issued(&stranger), &own[..1], "invalid peer certificate"),
        (issued(&stranger), &system, "invalid peer certificate"),
        (demanding(&authority), &own, ""),
        (demanding(&authority), &own[..1], "received fatal alert: CertificateRequired"),
    ] {
        let (origin, collector) = (Origin::echo(), Collector::taking());
        let address = before(collector.origin(), config, Ending::Proper);
        let url = format!("https://localhost:{}", address.port());
        let gate = gate(&told(&origin), &url, variables);
        ask(&gate);
        if trouble.is_empty() {
            assert_eq!(collector.spans(2).len(), 2);
        } else {
            gate.stderr.wait_for(trouble, |line| line.contains(trouble));
            assert_eq!(collector.origin().count(), 0);
        }
    }
}
