//! The head of a response and the frame around its body, as a client gets them; pure.
//!
//! Framing is never relayed: it is decided here, from what was asked and what is known of the body
//! (RFC 9112, section 6), and so is whether the connection stays open.

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};
use http_body::Body;

use super::head::Head;
use super::output::Output;
use crate::fields::Fields;
use crate::head::ResponseHead;
use crate::headers;
use crate::http1::{chunk, declared, field_line};

/// What of a request decides how its response is written.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    /// Whether it was of HTTP/1.0.
    is_old: bool,
    /// Whether it was `HEAD`.
    head_only: bool,
    /// Whether trailers are wanted (RFC 9110, section 6.5.1).
    takes_trailers: bool,
    /// Whether another request may follow.
    keeps_open: bool,
}

impl Asked {
    /// By a request.
    pub(crate) fn by(head: &Head) -> Self {
        Self {
            is_old: head.request.version == Version::HTTP_10,
            head_only: head.request.method == Method::HEAD,
            takes_trailers: head.takes_trailers,
            keeps_open: head.keeps_open,
        }
    }

    /// By what could not be read.
    pub(crate) fn by_nobody() -> Self {
        Self { is_old: false, head_only: false, takes_trailers: false, keeps_open: false }
    }

    /// Nothing may follow but the end of the connection.
    pub(crate) fn last(self) -> Self {
        Self { keeps_open: false, ..self }
    }
}

/// The frame around a response's body.
#[derive(Debug)]
pub(crate) struct Encoder {
    frame: Frame,
    /// The trailers that may follow.
    announced: Vec<HeaderName>,
    /// Whether another response may follow.
    pub(crate) keeps_open: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Frame {
    /// So many bytes.
    Length(u64),
    Chunks,
    /// Everything until the connection ends.
    UntilClose,
}

/// The body came short of its length, or went beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct WrongLength;

impl Encoder {
    /// Writes the head of a response, and says how its body is to be written.
    pub(crate) fn begin(
        out: &mut Vec<u8>,
        asked: Asked,
        head: &ResponseHead,
        body: &impl Body,
    ) -> Self {
        let switches = head.status == StatusCode::SWITCHING_PROTOCOLS;
        let bodiless =
            switches || matches!(head.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED);
        write_status(out, asked.is_old, head);
        let said = write_fields(out, &head.headers, switches);
        let hint = || body.size_hint().exact().or(said.length);
        let known = if body.is_end_stream() { Some(0) } else { hint() };
        let frame = match known {
            _ if bodiless || asked.head_only => Frame::Length(0),
            Some(length) => Frame::Length(length),
            None if asked.is_old => Frame::UntilClose,
            None => Frame::Chunks,
        };
        let length = match frame {
            _ if asked.head_only && head.status != StatusCode::NO_CONTENT => {
                said.length.or(known.filter(|&length| length > 0 && !bodiless))
            }
            Frame::Length(length) if !bodiless => Some(length),
            _ => None,
        };
        if let Some(length) = length {
            let digits = &mut itoa::Buffer::new();
            field_line::write(out, &CONTENT_LENGTH, digits.format(length).as_bytes());
        }
        let mut announced = Vec::new();
        if frame == Frame::Chunks {
            out.extend_from_slice(b"transfer-encoding: chunked\r\n");
            if said.trailer {
                announced = write_trailer(out, &head.headers);
            }
        }
        let keeps_open = asked.keeps_open && frame != Frame::UntilClose && !said.close;
        match keeps_open {
            _ if switches => {}
            false => out.extend_from_slice(b"connection: close\r\n"),
            true if asked.is_old => out.extend_from_slice(b"connection: keep-alive\r\n"),
            true => {}
        }
        out.extend_from_slice(b"\r\n");
        if !asked.takes_trailers {
            announced.clear();
        }
        Self { frame, announced, keeps_open }
    }

    /// Whether no more of a body may be written.
    pub(crate) fn is_done(&self) -> bool {
        self.frame == Frame::Length(0)
    }

    /// Writes a piece of the body.
    pub(crate) fn piece(&mut self, out: &mut Output, data: Bytes) -> Result<(), WrongLength> {
        match &mut self.frame {
            _ if data.is_empty() => {}
            Frame::Length(left) => {
                *left = left.checked_sub(data.len() as u64).ok_or(WrongLength)?;
                out.push(data, b"");
            }
            Frame::Chunks => {
                chunk::write_size(out.bytes(), data.len());
                out.push(data, b"\r\n");
            }
            Frame::UntilClose => out.push(data, b""),
        }
        Ok(())
    }

    /// Ends the body.
    pub(crate) fn end(&mut self, out: &mut Output) -> Result<(), WrongLength> {
        self.end_with(out, None)
    }

    /// Ends the body with those of the fields that were announced.
    pub(crate) fn end_with(
        &mut self,
        out: &mut Output,
        trailers: Option<&HeaderMap>,
    ) -> Result<(), WrongLength> {
        match self.frame {
            Frame::Length(0) | Frame::UntilClose => Ok(()),
            Frame::Length(_) => Err(WrongLength),
            Frame::Chunks => {
                let Some(trailers) = trailers.filter(|_| !self.announced.is_empty()) else {
                    out.push(Bytes::from_static(b"0\r\n\r\n"), b"");
                    return Ok(());
                };
                let may_pass = |(name, _): &(&HeaderName, _)| self.announced.contains(name);
                let mut end = b"0\r\n".to_vec();
                field_line::write_all(&mut end, trailers.iter().filter(may_pass));
                end.extend_from_slice(b"\r\n");
                out.push(end.into(), b"");
                Ok(())
            }
        }
    }
}

fn write_status(out: &mut Vec<u8>, is_old: bool, head: &ResponseHead) {
    let reason = head.reason.as_deref();
    // The two that nearly all responses have.
    match head.status {
        _ if is_old || reason.is_some() => {}
        StatusCode::OK => return out.extend_from_slice(b"HTTP/1.1 200 OK\r\n"),
        StatusCode::UNAUTHORIZED => return out.extend_from_slice(b"HTTP/1.1 401 Unauthorized\r\n"),
        _ => {}
    }
    let version = if is_old { "HTTP/1.0 " } else { "HTTP/1.1 " };
    let usual = || head.status.canonical_reason().unwrap_or("<none>").as_bytes();
    let status = head.status.as_str().as_bytes();
    for part in [version.as_bytes(), status, b" ", reason.unwrap_or_else(usual), b"\r\n"] {
        out.extend_from_slice(part);
    }
}

/// What a response says about its own frame.
#[derive(Debug, Default)]
struct Said {
    length: Option<u64>,
    close: bool,
    trailer: bool,
}

/// Writes all fields but those of the frame, which are decided anew.
fn write_fields(out: &mut Vec<u8>, headers: &Fields, switches: bool) -> Said {
    let mut said = Said::default();
    for (name, value) in headers {
        match *name {
            CONTENT_LENGTH => said.length = said.length.or(declared::decimal(value.as_bytes())),
            TRANSFER_ENCODING => {}
            CONNECTION if !switches => said.close |= headers::is_listed_in(value, "close"),
            TRAILER => said.trailer = true,
            _ => field_line::write(out, name, value.as_bytes()),
        }
    }
    said
}

/// Writes which fields follow the body, and says which they are.
fn write_trailer(out: &mut Vec<u8>, headers: &Fields) -> Vec<HeaderName> {
    let mut announced = Vec::new();
    for value in headers.get_all(&TRAILER) {
        field_line::write(out, &TRAILER, value.as_bytes());
        let names = value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii);
        announced.extend(names.filter_map(|name| HeaderName::from_bytes(name).ok()));
    }
    announced
}
