//! The head of a request out of a client's bytes; pure.
//!
//! What two parsers could read in two ways is refused here, before anything else looks at it (RFC
//! 9112): httparse finds the parts and takes no byte that may not stand in them; the ends of lines,
//! the target's bytes, the framing and all limits are decided in this file. What the parts say is
//! judged by `screen`.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::EXPECT;
use http::{HeaderValue, Method, Uri, Version};
use httparse::Status;
use memchr::memchr;

use crate::fields::Fields;
use crate::head::RequestHead;
use crate::http1::body::Decoder;
use crate::http1::chunk::Extensions;
use crate::http1::fields::{self, Declared};
use crate::http1::lines::{Ends, Lines};
use crate::http1::stock::Stock;
use crate::reply::Cause;

/// The longest target that `http` has room for.
const MAX_TARGET: usize = u16::MAX as usize - 1;

/// The longest body: many an origin keeps its length in 64 bits with a sign.
const MAX_LENGTH: u64 = i64::MAX as u64;

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
    /// A line that does not end with CRLF: some parsers take a bare LF for an end, some do not. A
    /// head that is longer than it may be, empty lines before it counted in. What cannot become a
    /// head, however it goes on.
    pub(crate) fn next(
        &mut self,
        bytes: &[u8],
        max_size: usize,
    ) -> Result<Option<(usize, usize)>, Cause> {
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
        match end.map(|end| self.start + end) {
            Some(end) if end <= max_size => return Ok(Some((self.start, end))),
            None if bytes.len() < max_size => {}
            _ => return Err(Cause::HeadTooLarge),
        }
        // Once only: a head that trickles is not parsed for each of its bytes.
        if !std::mem::replace(&mut self.is_late, true) {
            could_begin(&bytes[self.start..])?;
        }
        Ok(None)
    }
}

/// Refuses what comes from somebody who speaks another protocol, and may be waiting for an answer.
fn could_begin(bytes: &[u8]) -> Result<(), Cause> {
    let parsed =
        httparse::Request::new(&mut []).parse_with_uninit_headers(bytes, &mut fields::room());
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
        let mut indices = fields::room();
        let mut parsed = httparse::Request::new(&mut []);
        match parsed.parse_with_uninit_headers(head, &mut indices).map_err(cause)? {
            Status::Complete(length) if length == head.len() => {}
            // It ends where its lines say, or two parsers differ.
            _ => return Err(Cause::BadRequest.into()),
        }
        let (Some(method), Some(target)) = (parsed.method, parsed.path) else {
            return Err(Cause::BadRequest.into());
        };
        let (method, uri) = (read_method(method)?, read_target(head, target)?);
        let version = match parsed.version {
            Some(1) => Version::HTTP_11,
            Some(0) => Version::HTTP_10,
            _ => return Err(Cause::BadRequest.into()),
        };
        let headers = stock.read(head, parsed.headers).ok_or(Cause::BadRequest)?;
        let is_old = version == Version::HTTP_10;
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
        let request = RequestHead { method, uri, version, headers };
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
fn read_method(method: &str) -> Result<Method, Cause> {
    if memchr(b'#', method.as_bytes()).is_some() {
        return Err(Cause::BadRequest);
    }
    Method::from_bytes(method.as_bytes()).map_err(|_| Cause::BadRequest)
}

/// A target has no fragment (RFC 9112, section 3.2); `http` would cut it off.
fn read_target(head: &Bytes, target: &str) -> Result<Uri, Cause> {
    if target.len() > MAX_TARGET {
        return Err(Cause::TargetTooLong);
    }
    if memchr(b'#', target.as_bytes()).is_some() {
        return Err(Cause::BadRequest);
    }
    Uri::from_maybe_shared(head.slice_ref(target.as_bytes())).map_err(|_| Cause::BadRequest)
}

fn asks_to_continue(headers: &Fields) -> bool {
    let asks = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    headers.get_all(&EXPECT).any(asks)
}
