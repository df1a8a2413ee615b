//! A request's spans as OTLP has them. The numbers of fields are those of opentelemetry-proto 1.x
//! (`opentelemetry/proto/trace/v1/trace.proto`, `common.proto`, `resource.proto`), the names of
//! attributes those of the semantic conventions for HTTP spans, which are stable.
//!
//! No attribute holds the query, nor any field of the request but `Host` and `User-Agent`: keys
//! stand there. What is called `keygate.…` is called so in the access log and the metrics too.

use std::time::{SystemTime, UNIX_EPOCH};

use http::{HeaderValue, Version};

use super::context::{SAMPLED, SpanId};
use super::span::Span;
use super::wire::{Message, length_of, varint_length};
use crate::observe::access_log::Line;
use crate::observe::metrics::Answer;
use crate::reply::Code;

/// The longest value of an attribute: what clients send may be of any length, and stays in memory
/// until it is exported.
const MAX_VALUE: usize = 1024;

/// Fields of `Span`.
const TRACE_ID: u32 = 1;
const SPAN_ID: u32 = 2;
const PARENT_SPAN_ID: u32 = 4;
const NAME: u32 = 5;
const KIND: u32 = 6;
const START_TIME: u32 = 7;
const END_TIME: u32 = 8;
const ATTRIBUTES: u32 = 9;
const STATUS: u32 = 15;
const FLAGS: u32 = 16;

/// `SPAN_KIND_SERVER` and `SPAN_KIND_CLIENT`.
const SERVER: u64 = 2;
const CLIENT: u64 = 3;

/// In `Status`, the field `code` and `STATUS_CODE_ERROR`.
const CODE: u32 = 3;
const ERROR: u64 = 2;

/// In `flags`, above those of the trace: it is known whether the parent is another process's
/// (`SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK`), and it is.
const KNOWS_REMOTE: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;

/// Fields of `ScopeSpans`, `Resource`, `KeyValue` and `AnyValue`.
pub(super) const SPANS: u32 = 2;
pub(super) const RESOURCE_ATTRIBUTES: u32 = 1;
const KEY: u32 = 1;
const VALUE: u32 = 2;
const STRING: u32 = 1;
const INT: u32 = 3;

/// A request that is over.
pub(crate) struct Over<'a> {
    /// What the access log says of it.
    pub(crate) line: &'a Line<'a>,
    /// What came of it.
    pub(crate) result: Code,
    /// Whether it was answered, before its client left.
    pub(crate) is_answered: bool,
    /// When it began and ended.
    pub(crate) time: (SystemTime, SystemTime),
    /// The request upstream, if there was one.
    pub(crate) upstream: Option<Asked<'a>>,
}

/// A request upstream.
pub(crate) struct Asked<'a> {
    /// The upstream's name.
    pub(crate) name: &'a str,
    /// When it was sent, and when its answer had come.
    pub(crate) time: (SystemTime, SystemTime),
}

impl Over<'_> {
    /// Writes the spans behind others; says how many they are.
    pub(super) fn write(&self, span: &Span, out: &mut Vec<u8>) -> usize {
        Message::new(out).message(SPANS, |message| self.server(span, message));
        if let Some(asked) = &self.upstream {
            Message::new(out).message(SPANS, |message| self.client(asked, span, message));
        }
        1 + usize::from(self.upstream.is_some())
    }

    /// The method, if it is one of those that everybody knows.
    fn method(&self) -> &'static str {
        Answer::new(self.line.request.map(|(method, _)| method), self.line.status).method()
    }

    /// The kind of request, of which there are not many (semantic conventions, "Name").
    fn name(&self, route: Option<&str>) -> String {
        let method = match self.method() {
            Answer::OTHER => "HTTP",
            method => method,
        };
        route.map_or_else(|| method.to_owned(), |route| format!("{method} {route}"))
    }

    fn server(&self, span: &Span, message: &mut Message<'_>) {
        let Self { line, result, .. } = *self;
        begin(message, span, span.server, span.parent.map(|parent| parent.span));
        message.bytes(NAME, self.name(line.location).as_bytes());
        message.varint(KIND, SERVER);
        period(message, self.time);
        text(message, "http.request.method", self.method());
        text(message, "url.scheme", span.scheme);
        // Of what cannot be read as a request there is none.
        if let Some((_, uri)) = line.request {
            text(message, "url.path", uri.path());
            text(message, "network.protocol.version", version(span.version));
        }
        if let Some(host) = &span.host {
            address(message, host);
        }
        let status = line.status.as_u16();
        number(message, "http.response.status_code", status.into());
        let user_agent = span.user_agent.as_ref().and_then(|value| value.to_str().ok());
        for (key, value) in [
            ("client.address", line.client),
            ("user_agent.original", user_agent),
            ("http.route", line.location),
            ("keygate.result", Some(result.as_str())),
            ("keygate.consumer", line.consumer),
            ("keygate.key_id", line.key_id),
            ("keygate.request_id", str::from_utf8(line.request_id).ok()),
        ] {
            value.into_iter().for_each(|value| text(message, key, value));
        }
        if status >= 500 {
            self.failed(message);
        }
    }

    fn client(&self, asked: &Asked<'_>, span: &Span, message: &mut Message<'_>) {
        begin(message, span, span.client, Some(span.server));
        message.bytes(NAME, self.name(None).as_bytes());
        message.varint(KIND, CLIENT);
        period(message, asked.time);
        text(message, "http.request.method", self.method());
        if let Some(host) = &*span.asked.borrow() {
            address(message, host);
        }
        text(message, "keygate.upstream", asked.name);
        if self.result != Code::Allowed {
            return self.failed(message);
        }
        if self.is_answered {
            let status = self.line.status.as_u16();
            number(message, "http.response.status_code", status.into());
            if status >= 400 {
                self.failed(message);
            }
        }
    }

    /// An error, by keygate's word for it, or the status where somebody else chose that.
    fn failed(&self, message: &mut Message<'_>) {
        match self.result {
            Code::Allowed => text(message, "error.type", self.line.status.as_str()),
            result => text(message, "error.type", result.as_str()),
        }
        message.message(STATUS, |status| status.varint(CODE, ERROR));
    }
}

fn begin(message: &mut Message<'_>, span: &Span, id: SpanId, parent: Option<SpanId>) {
    message.bytes(TRACE_ID, &span.trace.bytes());
    message.bytes(SPAN_ID, &id.bytes());
    if let Some(parent) = parent {
        message.bytes(PARENT_SPAN_ID, &parent.bytes());
    }
    let is_remote = parent.is_some_and(|parent| parent != span.server);
    let remote = if is_remote { IS_REMOTE } else { 0 };
    message.fixed32(FLAGS, KNOWS_REMOTE | remote | u32::from(SAMPLED));
}

fn period(message: &mut Message<'_>, (begun, ended): (SystemTime, SystemTime)) {
    for (field, time) in [(START_TIME, begun), (END_TIME, ended)] {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        message.fixed64(field, u64::try_from(since.as_nanos()).unwrap_or(u64::MAX));
    }
}

/// Adds an attribute to the list in this field.
pub(super) fn attribute(message: &mut Message<'_>, list: u32, key: &str, value: &str) {
    let value = &value[..value.floor_char_boundary(MAX_VALUE)];
    pair(message, list, key, length_of(value.len()), |any| any.bytes(STRING, value.as_bytes()));
}

/// Writes a `KeyValue` whose value is so long. There are a dozen for each span, and their lengths
/// are known.
fn pair(
    message: &mut Message<'_>,
    list: u32,
    key: &str,
    length: usize,
    write: impl FnOnce(&mut Message<'_>),
) {
    let whole = length_of(key.len()) + length_of(length);
    message.sized(list, whole, |pair| {
        pair.bytes(KEY, key.as_bytes());
        pair.sized(VALUE, length, write);
    });
}

fn text(message: &mut Message<'_>, key: &str, value: &str) {
    attribute(message, ATTRIBUTES, key, value);
}

fn number(message: &mut Message<'_>, key: &str, value: u64) {
    let length = 1 + varint_length(value);
    pair(message, ATTRIBUTES, key, length, |any| any.varint(INT, value));
}

/// A host, and its port if that is said; what is neither is left out.
fn address(message: &mut Message<'_>, host: &HeaderValue) {
    let is_known = |byte: &u8| byte.is_ascii_alphanumeric() || b".-_:[]".contains(byte);
    let Ok(host) = host.to_str() else { return };
    if !host.as_bytes().iter().all(is_known) {
        return;
    }
    let (host, port) = match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port.parse::<u16>().ok()),
        _ => (host, None),
    };
    text(message, "server.address", host.trim_start_matches('[').trim_end_matches(']'));
    if let Some(port) = port {
        number(message, "server.port", port.into());
    }
}

fn version(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_2 => "2",
        _ => "1.1",
    }
}
