//! Where one request ends and the next begins: framing, line ends, `Expect`, upgrades, pipelines.

use std::time::Duration;

use super::stand::{GET, POST};
use super::{Case, Stand, case, elsewhere};
use crate::support::reference::{K1, keyed};
use crate::support::{BAD, MISSING, Then};
use crate::websocket::{HANDSHAKE, SWITCHING};

const X: &str = "/api/v1/x";
const PASSES: Then = Then::Forwarded(X);
/// Served once, and then the connection ends.
const LAST: Then = Then::Last(X);

pub(super) const CASES: &[Case] = &[
    case("SM-01", "a length and a coding: the coding counts, and the connection ends", |stand| {
        post(stand, "Content-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nX", LAST);
    }),
    case("SM-02", "a coding and a length", |stand| {
        post(stand, "Transfer-Encoding: chunked\r\nContent-Length: 30\r\n\r\n0\r\n\r\nX", LAST);
    }),
    case("SM-03", "a request behind the last chunk, within the length", |stand| {
        for evil in ["/admin/x", "/public/x"] {
            let hidden = format!("0\r\n\r\n{}", get(evil, ""));
            let length = hidden.len();
            let lines = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n\r\n");
            post(stand, lines + &hidden, LAST);
        }
    }),
    case("SM-04", "a request in a chunk, behind the length", |stand| {
        let body = chunk(&get("/public/x", "")) + "0\r\n\r\n";
        let lines = "Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n";
        post(stand, lines.to_owned() + &body, LAST);
    }),
    case("SM-05", "two lengths that differ", |stand| {
        length(stand, &["5\r\nContent-Length: 10", "10\r\nContent-Length: 5"]);
        let hidden = get("/public/x", "");
        let lines = format!("Content-Length: 0\r\nContent-Length: {}\r\n\r\n", hidden.len());
        post(stand, lines + &hidden, BAD);
    }),
    case("SM-06", "two lengths that are equal become one", |stand| {
        post(stand, "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", PASSES);
        assert_eq!(stand.origin().last().head.values("content-length"), ["5"]);
    }),
    case("SM-07", "a list of lengths", |stand| length(stand, &["5, 5", "5, 10", "5,", "5, 5, 5"])),
    case("SM-08", "lengths that other parsers take for numbers", |stand| {
        length(stand, &["+5", "-1", "-0", "0x5", "0o5", "1_0", "5.0", "1e1"]);
    }),
    case("SM-09", "an empty length", |stand| {
        length(stand, &["", " ", "\r\nContent-Length: 43", "\r\nContent-Length: 5"]);
    }),
    case("SM-10", "a blank within a length", |stand| length(stand, &["1 0", "5 x"])),
    case("SM-11", "a length with noughts is decimal, and written anew", |stand| {
        for (length, body) in [("005", "x".repeat(5)), ("0200", "x".repeat(200))] {
            post(stand, format!("Content-Length: {length}\r\n\r\n{body}"), PASSES);
            let written = body.len().to_string();
            assert_eq!(stand.origin().last().head.values("content-length"), [written.as_str()]);
        }
    }),
    case("SM-12", "a length past 64 bits", |stand| {
        length(stand, &["99999999999999999999", "18446744073709551616"]);
    }),
    case("SM-13", "names that an upstream may take for a length", |stand| {
        for name in ["Content_Length", "content.length", "CONTENT_LENGTH"] {
            post(stand, format!("{name}: 99\r\nContent-Length: 5\r\n\r\nhello"), PASSES);
            let head = stand.origin().last().head;
            stand.holds(!head.has(name), || format!("{name} is sent on"));
        }
        post(stand, "Content\tLength: 99\r\n\r\nhello", BAD);
    }),
    case("SM-14", "a blank before the colon of a length", |stand| {
        post(stand, "Content-Length : 5\r\n\r\nhello", BAD);
    }),
    case("SM-15", "a blank before the colon of a coding", |stand| {
        post(stand, "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\nhello", BAD);
        post(stand, "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", BAD);
    }),
    case("SM-16", "the coding identity", |stand| coding(stand, &["identity"])),
    case("SM-17", "codings that only look like chunked", |stand| {
        coding(stand, &["xchunked", "chunkedchunked", "chunk"]);
    }),
    case("SM-18", "other codings", |stand| {
        coding(stand, &["gzip", "gzip, chunked", "chunked, gzip"]);
    }),
    case("SM-19", "chunked twice", |stand| {
        coding(stand, &["chunked, chunked", "chunked\r\nTransfer-Encoding: chunked"]);
    }),
    case("SM-20", "a second coding in a second line", |stand| {
        for (one, other) in [("chunked", "identity"), ("identity", "chunked")] {
            let hidden = format!("0\r\n\r\n{}", get("/public/x", ""));
            let lines = format!(
                "Transfer-Encoding: {one}\r\nTransfer-Encoding: {other}\r\nContent-Length: {}\r\n\r\n",
                hidden.len()
            );
            post(stand, lines + &hidden, BAD);
        }
    }),
    case("SM-21", "commas around chunked", |stand| {
        coding(stand, &[",chunked", ", chunked", "chunked,"]);
    }),
    case("SM-22", "bytes around chunked", |stand| {
        for value in
            [&b"\x0bchunked"[..], b"\x0cchunked", b"\xa0chunked\xa0", b"\0chunked", b"chunked\0"]
        {
            let lines = [b"Transfer-Encoding: ", value, b"\r\n"].concat();
            let rest = [&lines[..], b"Content-Length: 5\r\n\r\nhello"].concat();
            post(stand, &rest, BAD);
            post(stand, [&lines[..], b"\r\n0\r\n\r\n"].concat(), BAD);
        }
    }),
    case("SM-23", "a coding in a folded line", |stand| {
        post(stand, "Transfer-Encoding:\r\n chunked\r\nContent-Length: 5\r\n\r\nhello", BAD);
        post(stand, "Transfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n", BAD);
    }),
    case("SM-24", "chunked in quotes, with a parameter, in another case, not at all", |stand| {
        coding(stand, &["\"chunked\"", "chunked;ext=val", ""]);
        post(stand, "Transfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", PASSES);
        let head = stand.origin().last().head;
        assert_eq!(head.values("transfer-encoding"), ["chunked"]);
    }),
    case("SM-25", "names that an upstream may take for a coding", |stand| {
        for name in ["Transfer_Encoding", "transfer.encoding"] {
            post(stand, format!("{name}: chunked\r\nContent-Length: 5\r\n\r\nhello"), PASSES);
            let head = stand.origin().last().head;
            stand.holds(!head.has(name), || format!("{name} is sent on"));
        }
    }),
    case("SM-26", "HTTP/1.0 knows no coding", |stand| {
        for rest in ["\r\n0\r\n\r\n", "Content-Length: 5\r\n\r\nhello"] {
            for key in ["X-API-Key: K1\r\n", ""] {
                let start = POST.replace("1.1", "1.0");
                stand.send(format!("{start}{key}Transfer-Encoding: chunked\r\n{rest}"), BAD);
            }
        }
    }),
    case("SM-27", "HTTP/1.0 without a length has no body", |stand| {
        let start = keyed(&POST.replace("1.1", "1.0")) + "X-API-Key: K1\r\n\r\n";
        for after in ["some body until the end", &get("/public/x", "")] {
            let request = start.clone() + after;
            // The oracle compares the body, which is none.
            stand.send(request, LAST);
        }
    }),
    case("SM-28", "GET of HTTP/1.0 with a body", |stand| {
        let request = GET.replace("1.1", "1.0") + "X-API-Key: K1\r\nContent-Length: 5\r\n\r\nhello";
        stand.send(request, LAST);
        assert_eq!(stand.origin().last().body, b"hello");
    }),
    case("SM-29", "the body of GET stays a body", |stand| {
        for body in ["GET /admin/x HTTP/1.1\r\nHost: a\r\n", &get("/public/x", "")] {
            let request = with_key(GET, &format!("Content-Length: {}\r\n\r\n{body}", body.len()));
            stand.allow(X, &request).allow("/public/y", get("/public/y", ""));
            let mut client = stand.connect();
            assert_eq!(client.send(request).response().status, 200);
            assert_eq!(client.send(get("/public/y", "")).response().text(), "/public/y");
        }
    }),
    case("SM-30", "sizes that other parsers take for numbers", |stand| {
        sizes(stand, &["0x5", "+5", "-1", "1_0", " 5", "5 ", "\t5", "5\t", "g", "", "5h"]);
    }),
    case("SM-31", "sizes that are too large or too long", |stand| {
        for chunks in ["0005\r\nhello\r\n000\r\n\r\n", "A\r\n0123456789\r\n0\r\n\r\n"] {
            post(stand, format!("Transfer-Encoding: chunked\r\n\r\n{chunks}"), PASSES);
        }
        sizes(stand, &["FFFFFFFFFFFFFFFF0", "10000000000000005", &format!("{:0>1001}", "5")]);
        // It fits into 64 bits, so its end never comes.
        unfinished(stand, "f000000000000003\r\nhello\r\n0\r\n\r\n");
    }),
    case("SM-32", "an extension is not sent on", |stand| {
        let written = b"5\r\nhello\r\n0\r\n\r\n";
        stand.script(|exchange| {
            let raw = exchange.bytes(15);
            exchange.reply(200, &raw);
        });
        for sent in ["5;ext=1\r\nhello\r\n0\r\n\r\n", "5;a;b=\"c;\\\"\"\r\nhello\r\n0;d\r\n\r\n"] {
            let lines = format!("Transfer-Encoding: chunked\r\n\r\n{sent}");
            stand.allow_any(X, 1);
            assert_eq!(stand.ask(with_key(POST, &lines)).body, written);
        }
    }),
    case("SM-33", "extensions that are none", |stand| {
        sizes(
            stand,
            &["5;", "5;\0ext", "5;bad[=x", "5;a=\"unterminated", "5;a=", "5 ;a", "5;a\x7f"],
        );
    }),
    case("SM-34", "line ends within the line of a chunk", |stand| {
        let lines = ["5;\nhello", "5;a\rX\r\nhello", "2\r\r;a\r\n02", "5\rhello"];
        broken(stand, &lines.map(|line| format!("{line}\r\n0\r\n\r\n")));
    }),
    case("SM-35", "bare line feeds around a chunk", |stand| {
        let bodies = ["5\nhello\r\n0\r\n\r\n", "5\r\nhello\n0\r\n\r\n", "0\n\n", "0\r\n\n"];
        broken(stand, &bodies);
    }),
    case("SM-36", "more or less than the size", |stand| {
        let chunks = ["hello!!\r\n0\r\n\r\n", "hello0\r\n\r\n", "hello\rX0\r\n\r\n"];
        broken(stand, &chunks.map(|chunk| format!("5\r\n{chunk}")));
        for one in stand.arrived() {
            assert!(b"hello".starts_with(&one.body), "{one:?}");
        }
    }),
    case("SM-37", "a request in a trailer", |stand| {
        for trailer in ["X:POST / HTTP/1.1", "X: GET /public/x HTTP/1.1\r\nHost: a.test"] {
            let lines = format!("Transfer-Encoding: chunked\r\n\r\n0\r\n{trailer}\r\n\r\n");
            let (request, next) = (with_key(POST, &lines), get("/public/y", ""));
            stand.allow_any(X, 1).allow("/public/y", &next);
            let mut client = stand.connect();
            assert_eq!(client.send(request + &next).response().status, 200);
            assert_eq!(client.response().text(), "/public/y");
        }
    }),
    case("SM-38", "extensions without end are read for 16 KiB", |stand| {
        let one = format!("5;a={}\r\nhello\r\n0\r\n\r\n", "a".repeat(64 * 1024));
        let many = format!("1;a={}\r\nx\r\n", "a".repeat(1024)).repeat(10_000) + "0\r\n\r\n";
        broken(stand, &[one, many]);
        for one in stand.arrived() {
            assert!(one.body.len() <= 16, "{} chunks are sent on", one.body.len());
        }
    }),
    case("SM-39", "trailers that would be fields", |stand| {
        for trailer in [
            "Content-Length: 50",
            "Transfer-Encoding: chunked",
            "Host: evil.test",
            "Authorization: x",
            "X-Forwarded-For: 192.0.2.1",
            "Content_Length: 50",
        ] {
            let name = trailer.split(':').next().unwrap_or_default();
            let lines = format!("Trailer: {name}\r\nTransfer-Encoding: chunked\r\n\r\n");
            post(stand, format!("{lines}5\r\nhello\r\n0\r\n{trailer}\r\n\r\n"), PASSES);
            let trailers = stand.origin().last().trailers;
            stand.holds(trailers.is_empty(), || format!("{trailers:?} are sent on"));
        }
    }),
    case("SM-40", "trailers without end", |stand| {
        let (long, many) = ("b".repeat(64 * 1024), "A: b\r\n".repeat(1_000));
        broken(stand, &[format!("0\r\nA: {long}\r\n\r\n"), format!("0\r\n{many}\r\n")]);
        unfinished(stand, "5\r\nhello\r\n0\r\nA: b\r\n");
    }),
    case("SM-41", "bare line feeds everywhere", |stand| {
        for key in ["X-API-Key: K1\r\n", ""] {
            stand.send(format!("{GET}{key}\r\n").replace('\r', ""), BAD);
        }
    }),
    case("SM-42", "a bare line feed in a field", |stand| {
        post(stand, "X: a\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello", BAD);
        post(stand, "X: a\nContent-Length: 5\r\n\r\nhello", BAD);
        post(stand, "X: a\r\nContent-Length: 5\r\n\nhello", BAD);
        post(stand, "X: a\r\nContent-Length: 5\n\r\nhello", BAD);
    }),
    case("SM-43", "a bare CR where the head ends", |stand| {
        let hidden = "ZGET /public/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
        post(stand, format!("\r{hidden}"), BAD);
        post(stand, format!("\r\r\n{hidden}"), BAD);
    }),
    case("SM-44", "empty lines before a request", |stand| {
        let request = with_key(GET, "\r\n");
        stand.allow(X, &request);
        assert_eq!(stand.ask(format!("\r\n{request}")).text(), X);
        let many = "\r\n".repeat(40_000) + &with_key(GET, "\r\n");
        stand.send(many, Then::Ends(&[400, 431]));
    }),
    case("SM-45", "an empty body hides nothing", |stand| {
        let request = with_key(POST, "Content-Length: 0\r\n\r\n");
        stand.allow(X, &request);
        let mut client = stand.connect();
        client.send(request + &get("/admin/x", ""));
        assert_eq!(client.response().status, 200);
        assert_eq!(client.response().text(), "Key missing");
    }),
    case("SM-46", "the body of a refused request is never a request", |stand| {
        let hidden = with_key(GET, "\r\n");
        let padded = format!("{hidden}{}", "x".repeat(1_000 - hidden.len()));
        for rest in [
            format!("Content-Length: {}\r\n\r\n{hidden}", hidden.len()),
            format!("Content-Length: 1000\r\n\r\n{padded}"),
            format!("Content-Length: 1000\r\n\r\n{hidden}"),
            format!("Transfer-Encoding: chunked\r\n\r\n{}0\r\n\r\n", chunk(&hidden)),
        ] {
            let mut client = stand.connect();
            client.send(format!("{POST}Connection: close\r\n{rest}"));
            assert_eq!(client.response().status, 401);
            assert!(client.rest().is_empty(), "more than one answer");
        }
        assert_eq!(stand.origin().connections(), 0);
    }),
    case("SM-47", "an upload without end is refused at once", |stand| {
        let mut client = stand.connect();
        client.send(format!("{POST}Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
        assert_eq!(client.response().text(), "Key missing");
        assert!(client.closes_within(SOON), "the connection stays");
        assert_eq!(stand.origin().connections(), 0);
    }),
    case("SM-48", "nobody is asked for the body of a refused request", |stand| {
        for key in ["", "X-API-Key: wrong\r\n"] {
            let lines = format!("{POST}{key}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
            let response = stand.ask(lines);
            assert_eq!((response.status, response.interim.len()), (401, 0));
        }
    }),
    case("SM-49", "one who is expected to ask is asked once", |stand| {
        stand.script(|exchange| {
            exchange.write("HTTP/1.1 100 Continue\r\n\r\n");
            let body = exchange.read_body();
            exchange.reply(200, &body);
        });
        let head = with_key(POST, "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n");
        stand.allow(X, format!("{head}hello"));
        let mut client = stand.connect();
        assert_eq!(client.send(head).head().second_word(), "100");
        let response = client.send("hello").response();
        assert_eq!((response.text().as_str(), response.interim.len()), ("hello", 0));
    }),
    case("SM-50", "a body that does not wait to be asked for", |stand| {
        let request = with_key(POST, "Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello");
        stand.allow(X, &request);
        let mut client = stand.connect();
        client.send(request + &get("/admin/x", "Connection: close\r\n"));
        assert_eq!([client.response().status, client.response().status], [200, 401]);
        assert!(client.rest().is_empty(), "more than two answers");
    }),
    case("SM-51", "other expectations are not sent on", |stand| {
        for value in ["200-ok", "100-Continue, x", "y 100-continue", ""] {
            post(stand, format!("Expect: {value}\r\nContent-Length: 5\r\n\r\nhello"), PASSES);
            let head = stand.origin().last().head;
            assert!(!head.has("expect"), "{head:?}");
        }
    }),
    case("SM-52", "bytes behind an upgrade that nobody agreed to", |stand| {
        for upgrade in ["Connection: Upgrade\r\nUpgrade: foo\r\n", HANDSHAKE] {
            let request = with_key(GET, &format!("{upgrade}\r\n"));
            stand.allow(X, &request);
            let mut client = stand.connect();
            client.send(request + &get("/admin/x", ""));
            assert_eq!(client.response().text(), X);
            assert_eq!(client.response().text(), "Key missing");
        }
    }),
    case("SM-53", "an upgrade with a body", |stand| {
        let body = get("/public/x", "");
        let lines = format!("{HANDSHAKE}Content-Length: {}\r\n\r\n{body}", body.len());
        let request = with_key(GET, &lines);
        stand.send(&request, PASSES);
        let head = stand.origin().last().head;
        assert!(!head.has("upgrade"), "{head:?}");
        stand.send(format!("{GET}{lines}"), MISSING);
    }),
    case("SM-54", "upgrades that are none", |stand| {
        for status in ["426 Upgrade Required", "200 OK"] {
            let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\n\r\nno");
            stand.anew().answer(answer);
            let start = with_key(GET, "");
            for request in [
                format!("{start}{}\r\n", HANDSHAKE.replace("13", "99")),
                format!("{start}{}\r\n", HANDSHAKE.replace("Sec-WebSocket-Key", "X-Key")),
                format!("{}{HANDSHAKE}\r\n", with_key(POST, "")),
                format!("{start}{HANDSHAKE}\r\n"),
            ] {
                stand.allow(X, &request);
                let mut client = stand.connect();
                client.send(request + &get("/admin/x", ""));
                assert_eq!(client.response().text(), "no");
                assert_eq!(client.response().text(), "Key missing");
            }
            let old = format!("{start}{HANDSHAKE}\r\n").replace("1.1", "1.0");
            stand.allow(X, &old);
            let mut client = stand.connect();
            assert_eq!(client.send(old).response().text(), "no");
            assert!(client.rest().is_empty(), "the connection goes on");
        }
    }),
    case("SM-55", "an answer that only looks like an upgrade", |stand| {
        let lines = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
        stand.answer(format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nno"));
        let request = with_key(GET, &format!("{HANDSHAKE}\r\n"));
        stand.allow(X, &request);
        let mut client = stand.connect();
        let response = client.send(request + &get("/admin/x", "")).response();
        assert_eq!(response.text(), "no");
        assert!(!response.head.has("upgrade"), "{:?}", response.head);
        assert_eq!(client.response().text(), "Key missing");
    }),
    case("SM-56", "h2c is not sent on", |stand| {
        stand.script(|exchange| match exchange.request.has("upgrade") {
            true => exchange.write(SWITCHING),
            false => exchange.reply(200, b"plain"),
        });
        for (connection, upgrade) in
            [("Upgrade, HTTP2-Settings", "h2c"), ("HTTP2-Settings, Upgrade", "websocket, h2c")]
        {
            let lines = format!("Connection: {connection}\r\nUpgrade: {upgrade}\r\n{SETTINGS}\r\n");
            let request = with_key(GET, &lines);
            stand.allow(X, &request);
            let mut client = stand.connect();
            client.send(request + &get("/admin/x", ""));
            assert_eq!(client.response().text(), "plain");
            assert_eq!(client.response().text(), "Key missing");
            let head = stand.origin().last().head;
            assert!(!head.has("http2-settings"), "{head:?}");
        }
    }),
    case("SM-57", "a thousand requests in one segment", |stand| {
        let mut all = String::new();
        for number in 0..1_000 {
            let key = if is_keyed(number) { "X-API-Key: K1\r\n" } else { "" };
            all += &keyed(&get(&format!("/api/v1/{number}"), key));
        }
        for number in (0..1_000).filter(|number| is_keyed(*number)) {
            stand.allow_any(&format!("/api/v1/{number}"), 1);
        }
        let before = stand.gate().highest_memory_kib();
        let mut client = stand.connect();
        client.send(all);
        for number in 0..1_000 {
            let expected = match is_keyed(number) {
                true => format!("/api/v1/{number}"),
                false => "Key missing".to_owned(),
            };
            assert_eq!(client.response().text(), expected, "answer {number}");
        }
        let more = stand.gate().highest_memory_kib() - before;
        assert!(more < 16 * 1024, "{more} KiB more memory");
    }),
    case("SM-58", "a request in two pieces, and byte by byte", |stand| {
        let request = with_key(POST, "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n");
        for at in 1..request.len() {
            let (first, second) = request.split_at(at);
            stand.allow(X, &request);
            let response = stand.connect().send(first).send(second).response();
            assert_eq!(response.text(), X, "split at {at}");
        }
        stand.allow(X, &request);
        let mut client = stand.connect();
        for byte in request.as_bytes() {
            client.send([*byte]);
        }
        assert_eq!(client.response().text(), X);
    }),
    case("SM-59", "garbage behind a good request", |stand| {
        let request = with_key(GET, "\r\n");
        for garbage in ["\x01\x02\x03 garbage\r\n\r\n", "\x16\x03\x01", "GET / HTTP/2.0\r\n\r\n"] {
            stand.allow(X, &request);
            let mut client = stand.connect();
            client.send(request.clone() + garbage).finish();
            let rest = String::from_utf8_lossy(&client.rest()).into_owned();
            let answers: Vec<_> = rest.split("HTTP/1.1 ").skip(1).collect();
            assert!(answers[0].starts_with("200 ") && answers[0].ends_with(X), "{rest}");
            assert!(answers.len() < 3, "{rest}");
            assert!(answers.get(1).is_none_or(|last| last.starts_with("400 ")), "{rest}");
        }
    }),
    elsewhere(
        "SM-60",
        "a million mutated requests, seen by keygate and by two other parsers",
        "judges/differential.py 1000000",
    ),
];

/// How long what must be over soon may take, on a busy machine that runs a debug build.
const SOON: Duration = Duration::from_secs(5);

/// A request with the key: these lines, the empty line and the body follow it.
fn with_key(start: &str, rest: &str) -> String {
    format!("{start}X-API-Key: {K1}\r\n{rest}")
}

const SETTINGS: &str = "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n";

fn get(target: &str, lines: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n")
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

/// Every seventh of [`SM-57`](CASES) has no key.
fn is_keyed(number: usize) -> bool {
    number % 7 != 3
}

/// `POST` with these lines, with the key and without it: there it is 401, unless it is already the
/// head that is refused.
fn post(stand: &Stand, rest: impl AsRef<[u8]>, then: Then) {
    let rest = rest.as_ref();
    stand.post([b"X-API-Key: K1\r\n", rest].concat(), then);
    let keyless = match then {
        Then::Ends(_) => then,
        _ => Then::Refused(&[401]),
    };
    stand.post(rest, keyless);
}

/// Lengths of the body `hello` that are none: alone, and behind a coding, where
/// many a parser does not look at them.
fn length(stand: &Stand, values: &[&str]) {
    for value in values {
        let line = format!("Content-Length: {value}\r\n");
        post(stand, format!("{line}\r\nhello"), BAD);
        let coded = format!("Transfer-Encoding: chunked\r\n{line}\r\n5\r\nhello\r\n0\r\n\r\n");
        post(stand, coded, BAD);
    }
}

/// Codings that are not accepted, with a length and without.
fn coding(stand: &Stand, values: &[&str]) {
    for value in values {
        let line = format!("Transfer-Encoding: {value}\r\n");
        post(stand, format!("{line}Content-Length: 5\r\n\r\nhello"), BAD);
        post(stand, format!("{line}\r\n5\r\nhello\r\n0\r\n\r\n"), BAD);
    }
}

/// Chunked bodies that break off, each without the key and then each with it: the head of such a
/// request may reach the origin late, and so nothing else comes after it.
fn broken(stand: &Stand, bodies: &[impl AsRef<str>]) {
    for (key, then) in [("", Then::Refused(&[401])), ("X-API-Key: K1\r\n", Then::Breaks)] {
        for body in bodies {
            let lines = format!("{key}Transfer-Encoding: chunked\r\n\r\n");
            stand.post(lines + body.as_ref(), then);
        }
    }
}

/// What must not stand for the size of the chunk `hello`.
fn sizes(stand: &Stand, sizes: &[&str]) {
    let bodies: Vec<_> = sizes.iter().map(|size| format!("{size}\r\nhello\r\n0\r\n\r\n")).collect();
    broken(stand, &bodies);
}

/// A chunked body that does not end before the client does.
fn unfinished(stand: &Stand, chunks: &str) {
    let lines = format!("Transfer-Encoding: chunked\r\n\r\n{chunks}");
    let mut client = stand.connect();
    client.send(with_key(POST, &lines)).finish();
    let received = String::from_utf8_lossy(&client.rest()).into_owned();
    assert!(!received.contains(" 200 "), "{received}");
    stand.breaks(X);
}
