//! A key among the subprotocols that a WebSocket offers: the one field that a page in a browser can
//! set.

use std::borrow::Cow;

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderValue, StatusCode};

use super::source::{Found, is_token};
use crate::head::{RequestHead, ResponseHead};
use crate::headers::asks_for_websocket;

/// The subprotocol that says that the next one is the key.
const BEARER: &str = "bearer";

/// What OpenAI's realtime clients write before the key.
const PREFIX: &[u8] = b"openai-insecure-api-key.";

/// What one member of the list is.
enum Member<'a> {
    /// [`BEARER`].
    Marker,
    /// The key behind it.
    Marked(&'a [u8]),
    /// The key behind [`PREFIX`].
    Prefixed(&'a [u8]),
    /// A subprotocol, or nothing.
    Other,
}

/// Reads the members of a list in order. All lines of the field are one list (RFC 6455, section
/// 11.3.4), and one reader goes through them.
#[derive(Default)]
pub(super) struct Members {
    marked: bool,
}

impl Members {
    fn read<'a>(&mut self, member: &'a [u8]) -> Member<'a> {
        let member = member.trim_ascii();
        // Empty members do not count (RFC 9110, section 5.6.1).
        if member.is_empty() {
            return Member::Other;
        }
        let marked = std::mem::replace(&mut self.marked, member == BEARER.as_bytes());
        match member.strip_prefix(PREFIX) {
            _ if self.marked => Member::Marker,
            Some(key) => Member::Prefixed(key),
            None if marked => Member::Marked(member),
            None => Member::Other,
        }
    }

    /// Whether the next member is a key, or says that one follows.
    pub(super) fn is_secret(&mut self, member: &[u8]) -> bool {
        !matches!(self.read(member), Member::Other)
    }
}

/// What stands among the subprotocols of a request, if it asks for a WebSocket.
pub(super) fn find(head: &RequestHead) -> Found<'_> {
    if !is_offer(head) {
        return Found::Absent;
    }
    let (mut places, mut key) = (0, &b""[..]);
    for member in members(head) {
        match member {
            Member::Marker => places += 1,
            Member::Marked(found) => key = found,
            Member::Prefixed(found) => {
                places += 1;
                key = found;
            }
            Member::Other => {}
        }
    }
    // A second line may be the one that the upstream reads.
    let alone = head.headers.get_all(&SEC_WEBSOCKET_PROTOCOL).nth(1).is_none();
    match places {
        0 => Found::Absent,
        1 if alone && key.is_empty() => Found::Empty,
        1 if alone && is_token(key) => Found::One(Cow::Borrowed(key)),
        // What is no token, other parsers of lists may take apart elsewhere.
        _ => Found::Several,
    }
}

/// Whether a request asks for a WebSocket and offers subprotocols. One with a body asks for none.
fn is_offer(head: &RequestHead) -> bool {
    head.headers.contains(&SEC_WEBSOCKET_PROTOCOL)
        && asks_for_websocket(head)
        && head.is_without_body()
}

fn members(head: &RequestHead) -> impl Iterator<Item = Member<'_>> {
    let lines = head.headers.get_all(&SEC_WEBSOCKET_PROTOCOL);
    let mut members = Members::default();
    let all = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    all.map(move |member| members.read(member))
}

/// Whether a request for a WebSocket offers the subprotocol `bearer`, which is keygate's own.
pub(super) fn offers_bearer(head: &RequestHead) -> bool {
    is_offer(head) && members(head).any(|member| matches!(member, Member::Marker))
}

/// Chooses `bearer`, which the client has offered, where the upstream chooses nothing: a browser
/// gives a connection up that chooses none of what it offers (WHATWG WebSockets, section 2).
pub(super) fn choose_bearer(head: &mut ResponseHead) {
    let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
    if switches && !head.headers.contains(&SEC_WEBSOCKET_PROTOCOL) {
        head.headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(BEARER));
    }
}

#[cfg(test)]
mod tests {
    use super::super::hiding::check_hidden;
    use super::super::tests::{build, check, cx, head, plugin};
    use super::*;
    use crate::fields::Fields;

    const SOURCE: &str = "sources = ['websocket']";
    const BOTH: &str = "sources = ['header:X-API-Key', 'websocket']\nhide_credentials = true";
    const ASKS: &str = "Upgrade: websocket
        Connection: Upgrade
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==";

    /// Lines of the field with these values.
    fn offer(values: &str) -> String {
        values.lines().map(|value| format!("\nSec-WebSocket-Protocol: {value}")).collect()
    }

    #[test]
    fn a_websocket_carries_one_key_behind_bearer_or_the_prefix() {
        for (values, expected) in [
            ("bearer, K1", "valid"),
            ("bearer,K1", "valid"),
            ("chat, bearer, K1, superchat", "valid"),
            ("bearer,, K1", "valid"),
            ("realtime, openai-insecure-api-key.K1, openai-beta.realtime-v1", "valid"),
            ("openai-insecure-api-key.K1", "valid"),
            ("", "missing"),
            ("K1", "missing"),
            ("chat, K1", "missing"),
            ("K1, bearer", "missing"),
            ("bearer", "missing"),
            ("bearer, ", "missing"),
            ("Bearer, K1", "missing"),
            ("bearer K1", "missing"),
            ("bearer.K1", "missing"),
            ("xbearer, K1", "missing"),
            ("openai-insecure-api-key.", "missing"),
            ("openai-insecure-api-key, K1", "missing"),
            ("OpenAI-Insecure-API-Key.K1", "missing"),
            ("chat\nsuperchat", "missing"),
            ("bearer, wrong", "invalid"),
            ("bearer, chat, K1", "invalid"),
            ("bearer, \"K1\"", "invalid"),
            ("bearer, K1 x", "invalid"),
            ("openai-insecure-api-key.wrong", "invalid"),
            ("openai-insecure-api-key. K1", "invalid"),
            ("bearer, K1, bearer, K1", "invalid"),
            ("bearer, bearer, K1", "invalid"),
            ("bearer, K1, openai-insecure-api-key.K1", "invalid"),
            ("bearer, openai-insecure-api-key.K1", "invalid"),
            ("openai-insecure-api-key.K1, openai-insecure-api-key.K1", "invalid"),
            ("openai-insecure-api-key., openai-insecure-api-key.K1", "invalid"),
            ("bearer\nK1", "invalid"),
            ("bearer, K1\nbearer, K1", "invalid"),
            ("bearer, K1\nchat", "invalid"),
            ("chat\nopenai-insecure-api-key.K1", "invalid"),
        ] {
            check(SOURCE, &format!("GET /\n{ASKS}{}", offer(values)), expected);
        }
    }

    #[test]
    fn what_is_no_token_is_no_key_even_if_it_is_in_the_list() {
        for (key, goes_on) in [("a+b", true), ("a/b=", false), ("(a)", false), ("a b", false)] {
            let plugin = build(&format!("{SOURCE}\nkeys = ['{key}']")).unwrap().plugin;
            let mut head = head(&format!("GET /\n{ASKS}{}", offer(&format!("bearer, {key}"))));
            assert_eq!(plugin.request(&mut head, &mut cx()).is_continue(), goes_on, "{key}");
        }
    }

    #[test]
    fn only_a_request_for_a_websocket_carries_it() {
        let offer = offer("bearer, K1");
        check(SOURCE, &format!("GET /\n{ASKS}{offer}\nContent-Length: 0"), "valid");
        for request in [
            format!("GET /{offer}"),
            format!("POST /\n{ASKS}{offer}"),
            format!("GET / HTTP/1.0\n{ASKS}{offer}"),
            format!("GET /\n{}{offer}", ASKS.replace("websocket", "h2c")),
            format!("GET /\n{}{offer}", ASKS.replace(" Upgrade", " close")),
            format!("GET /\n{}{offer}", ASKS.replace("-Key", "")),
            format!("GET /\n{ASKS}{offer}\nContent-Length: 1"),
            format!("GET /\n{ASKS}{offer}\nTransfer-Encoding: chunked"),
            format!("GET /\n{ASKS}\nSec_WebSocket_Protocol: bearer, K1"),
        ] {
            check(SOURCE, &request, "missing");
        }
    }

    /// The lines that go on of those which a request has besides its key in `X-API-Key`.
    #[track_caller]
    fn check_left(values: &str, expected: &str) {
        let expected = match expected {
            "" => String::new(),
            left => format!("\n{}", offer(left).trim_start().to_lowercase()),
        };
        check_hidden(
            BOTH,
            &format!("GET /\nX-API-Key: K1{}", offer(values)),
            &format!("GET /{expected}"),
        );
    }

    #[test]
    fn hiding_removes_the_key_and_what_announces_it_and_nothing_else() {
        for (values, left) in [
            ("bearer, K1", ""),
            ("openai-insecure-api-key.K1", ""),
            ("bearer, K1, chat", "chat"),
            ("chat,bearer,K1", "chat"),
            ("a, bearer, K1,b ,  c", "a,b ,  c"),
            ("realtime, openai-insecure-api-key.K1, v1", "realtime, v1"),
            ("bearer, bearer, K1, a", "a"),
            ("bearer, openai-insecure-api-key.K1, a", "a"),
            ("bearer,, K1, a", ", a"),
            ("bearer, K1\nopenai-insecure-api-key.K1\na", "a"),
            ("bearer\nK1, a\nb", "a\nb"),
            ("a, bearer\n,\nK1\nb", "a\n,\nb"),
            ("a, bearers, c", "a, bearers, c"),
        ] {
            check_left(values, left);
        }
        let other = "GET /\nX-API-Key: K1\nSec_WebSocket_Protocol: bearer, K1, a";
        check_hidden(BOTH, other, "GET /\nsec_websocket_protocol: a");
    }

    #[track_caller]
    fn check_chosen(request: &str, (status, chosen): (u16, &str), expected: &str) {
        let (plugin, mut cx) = (plugin(BOTH), cx());
        let mut asked = head(&format!("{request}\nX-API-Key: K1"));
        assert!(plugin.request(&mut asked, &mut cx).is_continue(), "{request}");
        let status = StatusCode::from_u16(status).unwrap();
        let headers = crate::sample::fields(chosen);
        let mut response = ResponseHead { status, reason: None, headers };
        plugin.response(&mut response, &Fields::new(), &cx);
        let values: Vec<_> = response.headers.get_all(&SEC_WEBSOCKET_PROTOCOL).collect();
        assert_eq!(values, expected.split_whitespace().collect::<Vec<_>>());
    }

    #[test]
    fn bearer_is_chosen_where_it_is_offered_and_nothing_else_is_chosen() {
        let asks = format!("GET /\n{ASKS}");
        let bearer = format!("{asks}{}", offer("chat, bearer, K1"));
        check_chosen(&bearer, (101, ""), "bearer");
        check_chosen(&bearer, (101, "Sec-WebSocket-Protocol: chat"), "chat");
        check_chosen(&bearer, (200, ""), "");
        check_chosen(&asks, (101, ""), "");
        check_chosen(&format!("{asks}{}", offer("chat")), (101, ""), "");
        let openai = offer("realtime, openai-insecure-api-key.K1");
        check_chosen(&format!("{asks}{openai}"), (101, ""), "");
        check_chosen(&format!("GET /{}", offer("bearer, K1")), (101, ""), "");
    }
}
