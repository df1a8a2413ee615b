//! `examples/nginx`, and what its README only says: streams and WebSockets pass through nginx.

use std::fs;
use std::io::{Read, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use super::Example;
use super::terminal::open;
use crate::support::{Exchange, Origin, Signal, wait_until};

#[test]
fn tls_headers_and_the_key() {
    let mut example = Example::of("nginx");
    example.follow_readme();
    let wrote = example.servers_wrote();
    assert!(!wrote.contains("key-for-user-A"), "{wrote}");
}

/// Starts the example with the API played by the test.
fn with_origin(script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> (Example, Origin) {
    let mut example = Example::of("nginx");
    let origin = start(&mut example, script);
    (example, origin)
}

fn start(example: &mut Example, script: impl Fn(&mut Exchange) + Send + Sync + 'static) -> Origin {
    let origin = Origin::on(&example.address("127.0.0.1:8000"), script);
    example.follow_where(|command| !command.contains("origin.py") && !command.contains("curl"));
    origin
}

#[test]
fn a_stream_of_any_type_passes_piece_by_piece() {
    for media_type in ["text/event-stream", "application/x-ndjson"] {
        for version in ["--http1.1", "--http2"] {
            passes_piece_by_piece(&mut Example::of("nginx"), media_type, version);
        }
    }
}

#[test]
fn events_pass_one_by_one_where_nginx_buffers() {
    let mut example = Example::of("nginx");
    let path = example.folder().join("site.conf");
    let site = fs::read_to_string(&path).unwrap();
    let buffering = site.replace("proxy_buffering         off;", "");
    assert_ne!(site, buffering);
    fs::write(path, buffering).unwrap();
    passes_piece_by_piece(&mut example, "text/event-stream", "--http2");
}

/// Has the origin send each piece only after curl showed the one before.
#[track_caller]
fn passes_piece_by_piece(example: &mut Example, media_type: &'static str, version: &str) {
    const PIECES: usize = 5;
    let shown = Signal::new();
    let waited_for = shown.clone();
    let _origin = start(example, move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n");
        exchange.write(format!("Content-Type: {media_type}\r\n\r\n"));
        for number in 0..PIECES {
            exchange.chunk(format!("data: {number}\n\n").as_bytes());
            waited_for.wait();
        }
        exchange.write("0\r\n\r\n");
    });
    let url = format!("https://{}/v1/chat", example.address("127.0.0.1:8443"));
    let curl = format!(
        "curl -sSN {version} --cacert tls/fullchain.pem -H 'X-API-Key: key-for-user-A' {url}"
    );
    let client = open(example.folder(), &curl);
    for number in 0..PIECES {
        let piece = format!("data: {number}");
        client.stdout.wait_for(&piece, |line| line == piece);
        shown.give();
    }
}

#[test]
fn a_websocket_passes_with_a_key_and_only_with_one() {
    let (example, origin) = with_origin(|exchange| {
        assert!(exchange.request.has("upgrade"), "{:?}", exchange.request);
        exchange.write("HTTP/1.1 101 Switching Protocols\r\n");
        exchange.write("Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
        let frame = exchange.bytes(MASKED_HI.len());
        assert_eq!(frame, MASKED_HI);
        exchange.write(PLAIN_HI);
        exchange.close();
    });
    let upgrade = "GET /v1/socket HTTP/1.1\r\nHost: api.example.com\r\nConnection: Upgrade\r\n\
                   Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    let mut stranger = Tls::connect(&example);
    stranger.send(format!("{upgrade}\r\n"));
    stranger.wait_for(b"HTTP/1.1 401 ");
    assert_eq!(origin.count(), 0);

    let mut client = Tls::connect(&example);
    client.send(format!("{upgrade}Authorization: Bearer key-for-user-A\r\n\r\n"));
    client.wait_for(b"HTTP/1.1 101 ");
    client.wait_for(b"\r\n\r\n");
    client.send(MASKED_HI);
    client.wait_for(PLAIN_HI);
    let request = origin.last();
    assert_eq!(request.head.value("upgrade"), Some("websocket"));
    assert!(!request.head.has("authorization"), "{:?}", request.head);
}

#[test]
fn the_origin_learns_who_the_client_is_and_no_claim_of_the_client() {
    let (mut example, origin) = with_origin(|exchange| exchange.reply(200, b"hello"));
    let url = format!("https://{}/v1/users", example.address("127.0.0.1:8443"));
    let shown = example.paste(&format!(
        "curl -sS --cacert tls/fullchain.pem {url} -H 'Authorization: bearer key-for-user-A' \
         -H 'X-Forwarded-For: 203.0.113.7' -H 'X-Real-IP: 203.0.113.7' \
         -H 'X-Forwarded-Host: evil.example' -H 'X-Forwarded-Proto: http' \
         -H 'X-Forwarded-Prefix: /evil.example' -H 'X-Forwarded-Port: 203.0.113.7' \
         -H 'X-Request-ID: evil.example' -H 'X-Consumer-Username: evil.example' \
         -H 'Forwarded: for=203.0.113.7' -H 'Host: api.example.com'"
    ));
    assert_eq!(shown.trim_end(), "hello");
    let head = origin.last().head;
    let seen = String::from_utf8_lossy(&head.raw).into_owned();
    assert!(!seen.contains("203.0.113.7") && !seen.contains("evil.example"), "{seen}");
    assert!(!seen.contains("key-for-user-A"), "{seen}");
    assert_eq!(head.value("x-real-ip"), Some("127.0.0.1"));
    assert_eq!(head.value("x-forwarded-proto"), Some("https"));
    assert_eq!(head.value("x-forwarded-host"), Some("api.example.com"));
    assert_eq!(head.value("host"), Some("api.example.com"));
    let forwarded = head.value("x-forwarded-for").unwrap_or_default();
    assert!(forwarded.split(", ").all(|hop| hop == "127.0.0.1"), "{seen}");
}

#[test]
fn nginx_keeps_its_connection_to_keygate() {
    let mut example = Example::of("nginx");
    let keygate = Origin::on(&example.address("127.0.0.1:8080"), |exchange| {
        exchange.read_body();
        exchange.reply(200, b"");
    });
    example.follow_where(|command| command.contains("self-signed") || command.contains("nginx -p"));
    let url = format!("https://{}/", example.address("127.0.0.1:8443"));
    for _ in 0..3 {
        example.paste(&format!("curl -sSf --cacert tls/fullchain.pem {url} -d hello"));
    }
    assert_eq!((keygate.count(), keygate.connections()), (3, 1));
}

/// The text `hi` in a frame as a client must send it (RFC 6455, section 5.3), its mask all zeros.
const MASKED_HI: &[u8] = b"\x81\x82\0\0\0\0hi";

/// The text `hi` in a frame as a server must send it.
const PLAIN_HI: &[u8] = b"\x81\x02hi";

/// A TLS connection to nginx that takes any bytes; `openssl` trusts the example's certificate only.
struct Tls {
    child: Child,
    input: ChildStdin,
    received: Arc<Mutex<Vec<u8>>>,
}

impl Tls {
    fn connect(example: &Example) -> Self {
        let mut openssl = Command::new("openssl");
        openssl.args(["s_client", "-quiet", "-verify_return_error", "-verify_ip", "127.0.0.1"]);
        openssl.args(["-CAfile", "tls/fullchain.pem", "-alpn", "http/1.1"]);
        openssl.args(["-connect", &example.address("127.0.0.1:8443")]);
        openssl.current_dir(example.folder());
        openssl.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = openssl.spawn().expect("there is an openssl");
        let input = child.stdin.take().expect("its stdin is a pipe");
        let mut output = child.stdout.take().expect("its stdout is a pipe");
        let received = Arc::default();
        let shared = Arc::clone(&received);
        thread::spawn(move || collect(&mut output, &shared));
        Self { child, input, received }
    }

    fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.input.write_all(bytes.as_ref()).expect("openssl reads");
    }

    /// Waits until these bytes have come, and forgets everything up to their end.
    #[track_caller]
    fn wait_for(&self, wanted: &[u8]) {
        let what = format!("these bytes come: {}", wanted.escape_ascii());
        wait_until(&what, || {
            let mut received = self.received.lock().unwrap_or_else(PoisonError::into_inner);
            let found = received.windows(wanted.len()).position(|window| window == wanted);
            found.is_some_and(|place| received.drain(..place + wanted.len()).next().is_some())
        });
    }
}

impl Drop for Tls {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn collect(output: &mut impl Read, received: &Mutex<Vec<u8>>) {
    let mut buffer = [0; 4096];
    while let Ok(count @ 1..) = output.read(&mut buffer) {
        let mut received = received.lock().unwrap_or_else(PoisonError::into_inner);
        received.extend_from_slice(&buffer[..count]);
    }
}
