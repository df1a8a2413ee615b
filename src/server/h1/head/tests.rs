//! Heads as clients send them, well formed and not.

use proptest::prelude::*;

use super::*;
use crate::sample::lines;

const MAX_SIZE: usize = 1024;

/// The head that comes of bytes in pieces of these lengths, and what is left; none: more is
/// needed.
fn read(bytes: &[u8], pieces: &[usize]) -> Result<Option<(Head, Vec<u8>)>, Cause> {
    let mut search = Search::default();
    let mut length = 0;
    for piece in pieces.iter().copied().chain([bytes.len()]) {
        length = bytes.len().min(length + piece);
        if let Some((start, end)) =
            search.next(&bytes[..length], MAX_SIZE, &EmptyLine::default())?
        {
            let head = Bytes::copy_from_slice(&bytes[start..end]);
            let head = Head::parse(&head, &Stock::default()).map_err(|refusal| refusal.cause)?;
            return Ok(Some((head, bytes[end..].to_vec())));
        }
    }
    Ok(None)
}

fn shown(read: Result<Option<(Head, Vec<u8>)>, Cause>) -> Result<Option<String>, Cause> {
    Ok(read?.map(|(head, rest)| {
        let Head { request, body, keeps_open, expects_continue, .. } = head;
        let said = format!("{:?} {keeps_open} {expects_continue}", body.left());
        let line = format!("{} {} {:?} ", request.method, request.uri, request.version);
        line + &said + "\n" + &lines(&request.headers) + "\n" + &String::from_utf8_lossy(&rest)
    }))
}

/// A head is read alike in one piece and byte by byte; `#` stands for `GET /x HTTP/1.1`.
#[track_caller]
fn check(text: impl AsRef<[u8]>, expected: Result<Option<&str>, Cause>) {
    let text = text.as_ref();
    let ones = vec![1; text.len()];
    for pieces in [&[][..], &ones] {
        let got = shown(read(text, pieces));
        let expected = expected.map(|expected| expected.map(str::to_owned));
        assert_eq!(got, expected, "{}", text.escape_ascii());
    }
}

#[track_caller]
fn refused(text: impl AsRef<[u8]>) {
    check(text, Err(Cause::BadRequest));
}

/// A `POST` with these lines: its length, none for chunks, and whether the connection goes on.
#[track_caller]
fn check_framing(lines: &str, expected: Option<(Option<u64>, bool)>) {
    for version in ["HTTP/1.1", "HTTP/1.0"] {
        let old = version == "HTTP/1.0";
        let text = format!("POST /x {version}\r\n{lines}\r\n\r\n");
        let got = read(text.as_bytes(), &[]).ok().flatten();
        let got = got.map(|(head, _)| (head.body.left(), head.keeps_open));
        let expected = match expected {
            // HTTP/1.0 knows no chunks, and does not go on by itself.
            Some((None, _)) if old => None,
            Some((length, _)) if old => Some((length, lines.contains("keep-alive"))),
            expected => expected,
        };
        assert_eq!(got, expected, "{version} {lines:?}");
    }
}

#[test]
fn a_head_is_read_however_it_comes() {
    let plain = "GET /x HTTP/1.1 Some(0) true false\n";
    check("GET /x HTTP/1.1\r\n\r\n", Ok(Some(&format!("{plain}\n"))));
    check("\r\n\r\nGET /x HTTP/1.1\r\n\r\nmore", Ok(Some(&format!("{plain}\nmore"))));
    check(
        b"GET /x HTTP/1.1\r\nHost:  a.test\t\r\nA:\r\nA: b c\r\nB: \xe4\r\n\r\n\r\n",
        Ok(Some(&format!("{plain}host: a.test\na: \na: b c\nb: \u{fffd}\n\r\n"))),
    );
    check(
        "M-SEARCH * HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc",
        Ok(Some("M-SEARCH * HTTP/1.0 Some(3) false false\ncontent-length: 3\nabc")),
    );
    for part in ["", "\r", "\r\n", "GET", "GET /x HTTP/1.1\r\n", "GET /x HTTP/1.1\r\nA: b\r\n\r"] {
        check(part, Ok(None));
    }
}

/// Two parsers must not differ on where a head ends.
#[test]
fn nothing_stands_behind_a_head() {
    let parse = |text: &'static str| Head::parse(&Bytes::from(text), &Stock::default()).is_ok();
    assert!(parse("GET /x HTTP/1.1\r\n\r\n"));
    assert!(!parse("GET /x HTTP/1.1\r\n\r\nmore"));
}

#[test]
fn trailers_are_taken_by_who_says_so() {
    for (text, expected) in [
        ("GET /x HTTP/1.1\r\nTE: trailers\r\n\r\n", true),
        ("GET /x HTTP/1.0\r\nTE: trailers\r\n\r\n", false),
        ("GET /x HTTP/1.1\r\n\r\n", false),
    ] {
        let head = read(text.as_bytes(), &[]).ok().flatten().expect("a whole head").0;
        assert_eq!(head.takes_trailers, expected, "{text:?}");
    }
}

#[test]
fn a_line_ends_with_crlf() {
    for wrong in [
        "\nGET /x HTTP/1.1\r\n\r\n",
        "\r\n\nGET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.1\n\n",
        "GET /x HTTP/1.1\r\n\n",
        "GET /x HTTP/1.1\nA: b\r\n\r\n",
        "GET /x HTTP/1.1\r\nA: b\n\r\n",
        "GET /x HTTP/1.1\r\nA: b\r\n\n",
        "GET /x HTTP/1.1\r\nA: b\r\r\n\r\n",
        "GET /x HTTP/1.1\r\nA: b\rc\r\n\r\n",
        "\rGET /x HTTP/1.1\r\n\r\n",
        "GET /x HTTP/1.1\r\n\rGET /x HTTP/1.1\r\n\r\n",
        // It is known before the head ends.
        "GET /x HTTP/1.1\r\nA: b\n",
    ] {
        refused(wrong);
    }
}

#[test]
fn a_request_line_has_three_words() {
    for line in [
        "GET  /x HTTP/1.1",
        "GET /x  HTTP/1.1",
        " GET /x HTTP/1.1",
        "GET /x HTTP/1.1 ",
        "GET /x y HTTP/1.1",
        "GET\t/x\tHTTP/1.1",
        "GET /x",
        "GET /x HTTP/1.2",
        "GET /x HTTP/2.0",
        "GET /x http/1.1",
        "PRI * HTTP/2.0",
        "G(T /x HTTP/1.1",
        "G#T /x HTTP/1.1",
        "GET /x#y HTTP/1.1",
        "GET /x? HTTP/1.1#",
        "GET /\0 HTTP/1.1",
        "GET /\x7f HTTP/1.1",
        "GET /<x> HTTP/1.1 x",
    ] {
        refused(format!("{line}\r\nHost: a.test\r\n\r\n"));
    }
    refused(b"GET /\xff HTTP/1.1\r\n\r\n");
    refused("GET /\u{e4} HTTP/1.1\r\n\r\n");
}

#[test]
fn a_field_is_a_name_a_colon_and_a_value() {
    for line in [
        "A b",
        ": b",
        "A : b",
        "A\t: b",
        " A: b",
        "A: b\r\n c",
        "A: b\r\n\tc",
        "A\0: b",
        "A: \0",
        "A: \x08",
        "A: \x7f",
        "A(: b",
        "\u{e4}: b",
    ] {
        refused(format!("GET /x HTTP/1.1\r\n{line}\r\n\r\n"));
    }
}

#[test]
fn a_body_is_framed_in_one_way() {
    check_framing("A: b", Some((Some(0), true)));
    check_framing("Content-Length: 5", Some((Some(5), true)));
    check_framing("Content-Length: 005\r\nContent-Length: 5", Some((Some(5), true)));
    check_framing("Transfer-Encoding: cHunked", Some((None, true)));
    check_framing("Content-Length: 5\r\nTransfer-Encoding: chunked", Some((None, false)));
    check_framing("Transfer-Encoding: chunked\r\nContent-Length: 5", Some((None, false)));
    check_framing("Content-Length: 9223372036854775807", Some((Some(MAX_LENGTH), true)));
    for wrong in [
        "Content-Length: 9223372036854775808",
        "Content-Length: 5\r\nContent-Length: 6",
        "Content-Length: 5, 5",
        "Content-Length: +5",
        "Content-Length:",
        "Transfer-Encoding: gzip",
        "Transfer-Encoding: gzip, chunked",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: x",
        "Transfer-Encoding:",
    ] {
        check_framing(wrong, None);
    }
}

#[test]
fn a_connection_stays_open_as_it_is_asked_for() {
    check_framing("Connection: keep-alive", Some((Some(0), true)));
    check_framing("Connection: keep-alive, x\r\nConnection: y", Some((Some(0), true)));
    check_framing("Connection: close", Some((Some(0), false)));
    check_framing("Connection: x\r\nConnection: y, CLOSE", Some((Some(0), false)));
    check_framing("Connection: closed", Some((Some(0), true)));
}

#[test]
fn only_a_body_is_waited_with() {
    for (text, expected) in [
        ("POST /x HTTP/1.1\r\nExpect: 100-Continue\r\nContent-Length: 5\r\n\r\n", true),
        ("POST /x HTTP/1.1\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n", true),
        ("POST /x HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n", false),
        ("POST /x HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n", false),
        ("POST /x HTTP/1.1\r\nExpect: 100\r\nContent-Length: 5\r\n\r\n", false),
    ] {
        let (head, _) = read(text.as_bytes(), &[]).unwrap().unwrap();
        assert_eq!(head.expects_continue, expected, "{text:?}");
    }
}

#[test]
fn nothing_is_without_a_limit() {
    let head = |fill: usize| format!("GET /x HTTP/1.1\r\nA: {}\r\n\r\n", "b".repeat(fill));
    let room = MAX_SIZE - head(0).len();
    assert!(matches!(read(head(room).as_bytes(), &[]), Ok(Some(_))));
    check(head(room + 1), Err(Cause::HeadTooLarge));
    check(&head(room)[..MAX_SIZE - 1], Ok(None));
    check("\r\n".repeat(MAX_SIZE / 2), Err(Cause::HeadTooLarge));
    check("\r\n".to_owned() + &head(room), Err(Cause::HeadTooLarge));
    // What follows a head is no part of it.
    assert!(matches!(read((head(room) + "more").as_bytes(), &[]), Ok(Some(_))));
    let many = |count: usize| {
        let head = format!("GET /x HTTP/1.1\r\n{}\r\n", "a:\r\n".repeat(count));
        Head::parse(&head.into(), &Stock::default()).map_err(|refusal| refusal.cause).err()
    };
    assert_eq!(many(MAX_FIELDS), None);
    assert_eq!(many(MAX_FIELDS + 1), Some(Cause::HeadTooLarge));
    let target = |length: usize| {
        let head = format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(length - 1));
        Head::parse(&head.into(), &Stock::default()).map_err(|refusal| refusal.cause).err()
    };
    assert_eq!(target(MAX_TARGET), None);
    assert_eq!(target(MAX_TARGET + 1), Some(Cause::TargetTooLong));
}

#[test]
fn what_can_be_no_request_is_refused_before_it_ends() {
    for start in [&b"\x16\x03\x01\x02\x00\x01"[..], b"GET /x FTP/1.1\r", b"GET \x01"] {
        assert_eq!(
            Search::default().next(start, MAX_SIZE, &EmptyLine::default()),
            Err(Cause::BadRequest)
        );
    }
}

#[test]
fn what_was_asked_is_known_where_it_could_be_read() {
    for (text, expected) in [
        ("PUT /x?y HTTP/1.1\r\nContent-Length: x\r\n\r\n", Some("PUT /x?y")),
        ("GET /\u{e4} HTTP/1.1\r\n\r\n", Some("GET /\u{e4}")),
        ("GET /#y HTTP/1.1\r\n\r\n", None),
    ] {
        let refusal = Head::parse(&text.into(), &Stock::default()).unwrap_err();
        let asked = refusal.asked.map(|asked| format!("{} {}", asked.0, asked.1));
        assert_eq!(asked.as_deref(), expected);
    }
}

proptest! {
    #[test]
    fn how_the_bytes_come_changes_nothing(
        parts in proptest::collection::vec(
            prop_oneof![
                Just("GET /x HTTP/1.1\r\n"), Just("A: b\r\n"), Just("\r\n"), Just("\n"),
                Just("\r"), Just(" "), Just("x"), Just("Content-Length: 1\r\n"), Just("#"),
            ],
            0..12,
        ),
        pieces in proptest::collection::vec(1_usize..9, 0..32),
    ) {
        let bytes = parts.concat();
        let whole = shown(read(bytes.as_bytes(), &[]));
        let in_pieces = shown(read(bytes.as_bytes(), &pieces));
        // What can become no head is seen at the first look, or when it ends.
        let is_seen_later = (&in_pieces, &whole) == (&Ok(None), &Err(Cause::BadRequest));
        prop_assert!(in_pieces == whole || is_seen_later);
    }
}
