//! The head of a request out of a client's bytes; pure.
//!
//! What two parsers could read in two ways is refused here, before anything else looks at it (RFC
//! 9112): [`first_line`] and [`field_line`] read the lines, and `http`'s types take no byte that
//! may not stand in them. The ends of lines, the target's bytes, the framing and all limits are
//! decided in this file. What the parts say is judged by `screen`.
//!
//! [`field_line`]: crate::http1::field_line

#[cfg(test)]
mod tests;

use std::mem::MaybeUninit;

use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderValue, Method, Uri, Version};

use crate::fields::Fields;
use crate::head::RequestHead;
use crate::http1::body::Decoder;
use crate::http1::chunk::Extensions;
use crate::http1::declared::Declared;
use crate::http1::field_line::{MAX_FIELDS, NoFields};
use crate::http1::first_line::{self, RequestLine};
use crate::http1::lines::{self, EmptyLine, Ends, Lines};
use crate::http1::stock::Stock;
use crate::reply::Cause;

/// The longest target that `http` has room for.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// The longest body: many an origin keeps its length in 64 bits with a sign.
pub(crate) const MAX_LENGTH: u64 = i64::MAX as u64;

/// What looks like a head, and begins a connection of HTTP/2 (RFC 9113, section 3.4).
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\n";

/// Why a head is refused.
#[derive(Debug)]
pub(crate) struct Refusal {
    /// The reason.
    pub(crate) cause: Cause,
    /// What was asked, as far as that could be read.
    pub(crate) asked: Option<Box<(Method, Uri)>>,
}

impl From<Cause> for Refusal {
    fn from(cause: Cause) -> Self {
        Self { cause, asked: None }
    }
}

/// A request's head, and what it says about the connection.
#[derive(Debug)]
pub(crate) struct Head {
    /// The request.
    pub(crate) request: RequestHead,
    /// What its body is.
    pub(crate) body: Decoder,
    /// Whether another request may follow.
    pub(crate) keeps_open: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub(crate) expects_continue: bool,
    /// Whether the client takes trailers (RFC 9110, section 6.5.1).
    pub(crate) takes_trailers: bool,
}

/// A look for a head, in bytes that may come in pieces.
#[derive(Debug, Default)]
pub(crate) struct Search {
    /// Where it begins: empty lines before it are no part of it (RFC 9112, section 2.2).
    start: usize,
    lines: Lines,
    /// Whether it has gone on after the first bytes.
    is_late: bool,
}

impl Search {
    /// Where the head begins and ends, if it does; `bytes` are all that have come since it was
    /// looked for.
    ///
    /// # Errors
    /// A line that does not end with CRLF, as some parsers take a bare LF for an end and some do
    /// not; what comes as a whole is refused for that when it is parsed. A head that is longer than
    /// it may be, empty lines before it counted in. What cannot become a head, however it goes on.
    pub(crate) fn next(
        &mut self,
        bytes: &[u8],
        max_size: usize,
        empty_line: &EmptyLine,
    ) -> Result<Option<(usize, usize)>, Cause> {
        let whole = if self.is_late { None } else { empty_line.end(bytes) };
        match whole.map_or_else(|| self.look(bytes), |end| Ok(Some(end)))? {
            Some(end) if end <= max_size => return Ok(Some((self.start, end))),
            None if bytes.len() < max_size => {}
            _ => return Err(Cause::HeadTooLarge),
        }
        // Once only: a head that trickles is not parsed for each of its bytes.
        if !std::mem::replace(&mut self.is_late, true) && !PREFACE.starts_with(bytes) {
            could_begin(&bytes[self.start..])?;
        }
        Ok(None)
    }

    /// Looks line by line.
    fn look(&mut self, bytes: &[u8]) -> Result<Option<usize>, Cause> {
        const EMPTY_LINE: usize = 2;
        let mut end = self.lines.end(&bytes[self.start..]);
        while end == Some(EMPTY_LINE) {
            self.start += EMPTY_LINE;
            self.lines = Lines::default();
            end = self.lines.end(&bytes[self.start..]);
        }
        if !matches!(self.lines.ends(), Ends::Unknown | Ends::Crlf) {
            return Err(Cause::BadRequest);
        }
        Ok(end.map(|end| self.start + end))
    }
}

/// Refuses what comes from somebody who speaks another protocol, and may be waiting for an answer.
fn could_begin(bytes: &[u8]) -> Result<(), Cause> {
    let mut room = [const { MaybeUninit::uninit() }; MAX_FIELDS];
    let parsed = httparse::Request::new(&mut []).parse_with_uninit_headers(bytes, &mut room);
    parsed.map(|_| ()).map_err(cause)
}

fn cause(error: httparse::Error) -> Cause {
    match error {
        httparse::Error::TooManyHeaders => Cause::HeadTooLarge,
        _ => Cause::BadRequest,
    }
}

impl Head {
    /// Parses a head that is whole, and nothing else. Its fields come out of `stock`.
    ///
    /// # Errors
    /// Why it is refused.
    pub(crate) fn parse(head: &Bytes, stock: &Stock) -> Result<Self, Refusal> {
        let first = lines::first(head);
        let line = first_line::request(&head[..first]).ok_or(Cause::BadRequest)?;
        let RequestLine { method, target, is_old } = line;
        let headers = stock.read(head, first, Ends::Crlf).map_err(|why| match why {
            NoFields::TooMany => Cause::HeadTooLarge,
            NoFields::Malformed => Cause::BadRequest,
        })?;
        let uri = read_target(head.slice_ref(target))?;
        let method = read_method(method)?;
        let framed = read_framing(&headers, is_old);
        let Some((body, declared)) = framed.filter(|_| target.is_ascii()) else {
            let asked = Some(Box::new((method, uri)));
            return Err(Refusal { cause: Cause::BadRequest, asked });
        };
        // What is said in two ways may have been read in the other by whoever passed it on; what
        // follows is not believed (RFC 9112, section 6.3).
        let framed_twice = declared.chunked && declared.length.is_some();
        // RFC 9112, section 9.3.
        let may_stay_open = !declared.close && (declared.keep_alive || !is_old);
        let keeps_open = may_stay_open && !framed_twice;
        let expects_continue = !is_old && !body.is_at_end() && asks_to_continue(&headers);
        let takes_trailers = declared.trailers && !is_old;
        let version = if is_old { Version::HTTP_10 } else { Version::HTTP_11 };
        let request = RequestHead { method, uri, version, headers, came: None };
        Ok(Self { request, body, keeps_open, expects_continue, takes_trailers })
    }
}

/// What the body is, and all that was said of it; none if it is not one for certain.
fn read_framing(headers: &Fields, is_old: bool) -> Option<(Decoder, Declared)> {
    let declared = Declared::of(headers)?;
    let body = match declared.length.unwrap_or(0) {
        // HTTP/1.0 knows no codings (RFC 9112, section 6.1).
        _ if declared.chunked && is_old => return None,
        length if length > MAX_LENGTH => return None,
        _ if declared.chunked => Decoder::chunked(Extensions::Strict),
        length => Decoder::length(length),
    };
    Some((body, declared))
}

/// A `#` is a character of a token, but nobody's method.
pub(crate) fn read_method(method: &[u8]) -> Result<Method, Cause> {
    if method.contains(&b'#') {
        return Err(Cause::BadRequest);
    }
    Method::from_bytes(method).map_err(|_| Cause::BadRequest)
}

/// A target has no fragment (RFC 9112, section 3.2); `http` would cut it off.
pub(crate) fn read_target(target: Bytes) -> Result<Uri, Cause> {
    if target.len() > MAX_TARGET {
        return Err(Cause::TargetTooLong);
    }
    if target.contains(&b'#') {
        return Err(Cause::BadRequest);
    }
    Uri::from_maybe_shared(target).map_err(|_| Cause::BadRequest)
}

/// Whether a client waits for `100 Continue`.
pub(crate) fn asks_to_continue(headers: &Fields) -> bool {
    let asks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    headers.get_all(&EXPECT).any(asks)
}
