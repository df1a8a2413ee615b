//! Responses as clients get them.

use http_body_util::{Empty, Full};

use super::*;
use crate::sample;

/// What is asked in a test: `1.0`, `HEAD`, `trailers`, `close`.
fn asked(words: &str) -> Asked {
    let says = |word: &str| words.split(' ').any(|said| said == word);
    Asked {
        is_old: says("1.0"),
        head_only: says("HEAD"),
        takes_trailers: says("trailers"),
        keeps_open: !says("close"),
    }
}

/// A body that may be of any length.
fn endless() -> impl Body<Data = Bytes> {
    http_body_util::Channel::<Bytes>::new(1).1
}

/// The head that is written without its first and last line, and whether the connection stays.
fn written(words: &str, status: u16, lines: &str, body: &impl Body) -> (String, Encoder) {
    let status = StatusCode::from_u16(status).unwrap();
    let head = ResponseHead { status, reason: None, headers: sample::fields(lines) };
    let mut out = Vec::new();
    let encoder = Encoder::begin(&mut out, asked(words), &head, body);
    let text = String::from_utf8(out).unwrap();
    let lines = text.strip_suffix("\r\n\r\n").unwrap().split("\r\n").skip(1);
    (lines.collect::<Vec<_>>().join("\n"), encoder)
}

#[track_caller]
fn check(
    words: &str,
    (status, lines): (u16, &str),
    body: &impl Body,
    (expected, frame, keeps_open): (&str, Frame, bool),
) {
    let (got, encoder) = written(words, status, lines, body);
    let place = format!("{words} {status} {lines:?}");
    assert_eq!(
        (&*got, encoder.frame, encoder.keeps_open),
        (expected, frame, keeps_open),
        "{place}"
    );
}

const FIVE: &str = "content-length: 5";
const NONE: Frame = Frame::Length(0);

#[test]
fn nothing_follows_the_last_response() {
    assert!(asked("").keeps_open && !asked("").last().keeps_open);
}

#[test]
fn a_switch_of_protocols_closes_nothing() {
    let switch = "connection: upgrade\nupgrade: websocket";
    check("close", (101, switch), &Empty::<Bytes>::new(), (switch, NONE, false));
}

#[test]
fn what_has_no_body_is_done_with_its_head() {
    let hello = Full::new(Bytes::from_static(b"hello"));
    assert!(written("", 204, "", &hello).1.is_done());
    assert!(!written("", 200, "", &hello).1.is_done());
}

#[test]
fn a_body_is_framed_by_what_is_known_of_it() {
    let hello = Full::new(Bytes::from_static(b"hello"));
    let none = Empty::<Bytes>::new();
    check("", (200, ""), &hello, (FIVE, Frame::Length(5), true));
    check(
        "",
        (200, "content-length: 007\na: b"),
        &hello,
        ("a: b\ncontent-length: 5", Frame::Length(5), true),
    );
    check("", (200, FIVE), &endless(), (FIVE, Frame::Length(5), true));
    check("", (200, ""), &endless(), ("transfer-encoding: chunked", Frame::Chunks, true));
    check("", (200, "transfer-encoding: gzip"), &none, ("content-length: 0", NONE, true));
    check(
        "",
        (200, "content-length: 5\ncontent-length: 5"),
        &hello,
        (FIVE, Frame::Length(5), true),
    );
    let closed = "connection: close";
    check("1.0", (200, ""), &endless(), (closed, Frame::UntilClose, false));
    check(
        "1.0",
        (200, FIVE),
        &endless(),
        ("content-length: 5\nconnection: keep-alive", Frame::Length(5), true),
    );
    check(
        "1.0 close",
        (200, ""),
        &hello,
        ("content-length: 5\nconnection: close", Frame::Length(5), false),
    );
}

#[test]
fn what_has_no_body_frames_none() {
    let hello = Full::new(Bytes::from_static(b"hello"));
    let none = Empty::<Bytes>::new();
    for status in [204, 304] {
        check("", (status, FIVE), &none, ("", NONE, true));
        check("", (status, ""), &hello, ("", NONE, true));
        check("", (status, "trailer: a"), &endless(), ("", NONE, true));
    }
    check("HEAD", (200, FIVE), &none, (FIVE, NONE, true));
    check("HEAD", (200, ""), &none, ("", NONE, true));
    check("HEAD", (401, ""), &hello, (FIVE, NONE, true));
    check("HEAD", (200, ""), &endless(), ("", NONE, true));
    check("HEAD", (304, FIVE), &none, (FIVE, NONE, true));
    check("HEAD", (204, FIVE), &none, ("", NONE, true));
    let upgrade = "connection: upgrade\nupgrade: websocket";
    check("", (101, upgrade), &none, (upgrade, NONE, true));
}

#[test]
fn a_connection_ends_where_either_side_wants_it_to() {
    let none = Empty::<Bytes>::new();
    let closed = "content-length: 0\nconnection: close";
    check("close", (200, ""), &none, (closed, NONE, false));
    check("", (400, "connection: close"), &none, (closed, NONE, false));
    check("1.0", (400, "connection: close"), &none, (closed, NONE, false));
}

#[track_caller]
fn check_status(words: &str, status: u16, reason: Option<&'static [u8]>, expected: &[u8]) {
    let status = StatusCode::from_u16(status).unwrap();
    let reason = reason.map(Bytes::from_static);
    let head = ResponseHead { status, reason, headers: Fields::new() };
    let mut out = Vec::new();
    write_status(&mut out, asked(words).is_old, &head);
    assert_eq!(out.escape_ascii().to_string(), expected.escape_ascii().to_string());
}

#[test]
fn a_status_has_the_reason_that_was_given() {
    check_status("", 200, None, b"HTTP/1.1 200 OK\r\n");
    check_status("1.0", 200, None, b"HTTP/1.0 200 OK\r\n");
    check_status("", 200, Some(b"Tr\xe8s"), b"HTTP/1.1 200 Tr\xe8s\r\n");
    check_status("", 404, None, b"HTTP/1.1 404 Not Found\r\n");
    check_status("", 404, Some(b""), b"HTTP/1.1 404 \r\n");
    check_status("", 799, None, b"HTTP/1.1 799 <none>\r\n");
}

/// What is written of a body of these pieces, and of trailers behind it.
fn body(
    words: &str,
    lines: &str,
    pieces: &[&'static str],
    end: &str,
) -> Result<String, WrongLength> {
    let (_, mut encoder) = written(words, 200, lines, &endless());
    let mut out = Output::default();
    for piece in pieces {
        encoder.piece(&mut out, Bytes::from_static(piece.as_bytes()))?;
    }
    match end {
        "" => encoder.end(&mut out)?,
        fields => encoder.end_with(&mut out, Some(&sample::trailers(fields)))?,
    }
    Ok(String::from_utf8(out.bytes().clone()).unwrap())
}

#[test]
fn a_body_is_written_as_it_was_framed() {
    let pieces = ["hello", "", " you"];
    assert_eq!(body("", "", &pieces, "").as_deref(), Ok("5\r\nhello\r\n4\r\n you\r\n0\r\n\r\n"));
    assert_eq!(body("", "content-length: 9", &pieces, "").as_deref(), Ok("hello you"));
    assert_eq!(body("1.0", "", &pieces, "").as_deref(), Ok("hello you"));
    assert_eq!(body("", "content-length: 10", &pieces, ""), Err(WrongLength));
    assert_eq!(body("", "content-length: 8", &pieces, ""), Err(WrongLength));
}

#[test]
fn trailers_are_written_for_those_who_want_what_was_announced() {
    let (lines, end) = ("trailer: A, b\ntrailer: c", "b: 1\nd: 2\nc: 3");
    let with = "0\r\nb: 1\r\nc: 3\r\n\r\n";
    assert_eq!(body("trailers", lines, &[], end).as_deref(), Ok(with));
    assert_eq!(body("trailers", "", &[], end).as_deref(), Ok("0\r\n\r\n"));
    assert_eq!(body("", lines, &[], end).as_deref(), Ok("0\r\n\r\n"));
    assert_eq!(body("1.0 trailers", lines, &[], end).as_deref(), Ok(""));
}
