//! Where a key may stand in a request, and what stands there.

use std::borrow::Cow;

use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, HeaderValue};

use super::subprotocol;
use crate::head::RequestHead;
use crate::headers::{self, is_alias};
use crate::query;

/// The scheme of RFC 6750.
const BEARER: &str = "Bearer";

/// One place for the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// A header field; with a scheme its value is that, in any case, and the key.
    Header { name: HeaderName, scheme: Option<Box<str>> },
    /// A query parameter, by its decoded name.
    Query(Vec<u8>),
    /// A cookie.
    Cookie(Vec<u8>),
    /// A subprotocol that a WebSocket offers.
    WebSocket,
}

/// What stands at one place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found<'a> {
    /// Nothing.
    Absent,
    /// The place, but no key in it.
    Empty,
    /// More than one; it does not matter whether they are equal.
    Several,
    /// What may be a key.
    One(Cow<'a, [u8]>),
}

impl Source {
    /// Reads one of `sources`.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            None if text == "bearer" => Self::header(AUTHORIZATION.as_str(), Some(BEARER)),
            None if text == "websocket" => Ok(Self::WebSocket),
            Some(("header", name)) => Self::header(name, None),
            Some(("query", name)) => Self::query(name),
            Some(("cookie", name)) => Self::cookie(name),
            _ => Err(format!(
                "{text:?} is no source; there are \"header:NAME\", \"bearer\", \"query:NAME\", \
                 \"cookie:NAME\" and \"websocket\""
            )),
        }
    }

    /// A header field.
    pub(super) fn header(name: &str, scheme: Option<&str>) -> Result<Self, String> {
        let Ok(field) = HeaderName::from_bytes(name.as_bytes()) else {
            return Err(format!("{name:?} is no header name"));
        };
        if headers::frames_messages(&field) {
            return Err(format!("{name} frames messages and cannot carry a key"));
        }
        if headers::is_own(&field) {
            return Err(format!("{name} is deleted from every request that a client sends"));
        }
        if field == COOKIE {
            return Err("a cookie is named as the source \"cookie:NAME\"".to_owned());
        }
        match scheme {
            Some(scheme) if !is_token(scheme.as_bytes()) => Err(format!("{scheme:?} is no scheme")),
            _ => Ok(Self::Header { name: field, scheme: scheme.map(Box::from) }),
        }
    }

    /// A query parameter.
    pub(super) fn query(name: &str) -> Result<Self, String> {
        let is_plain = |c: char| c.is_ascii_graphic() && !"&=%#".contains(c);
        if name.is_empty() || !name.chars().all(is_plain) {
            // The name is not repeated: it could be a key, and would hide the rest of the sentence.
            return Err(
                "this is no name of a parameter; it is written decoded, without `&`, `=`, \
                        `%`, `#` and blanks"
                    .to_owned(),
            );
        }
        Ok(Self::Query(name.into()))
    }

    /// A cookie.
    pub(super) fn cookie(name: &str) -> Result<Self, String> {
        if !is_token(name.as_bytes()) {
            return Err(format!("{name:?} is no name of a cookie"));
        }
        Ok(Self::Cookie(name.into()))
    }

    /// Whether this is a place for bearer tokens.
    pub(super) fn is_bearer(&self) -> bool {
        matches!(self, Self::Header { name, scheme: Some(scheme) }
            if *name == AUTHORIZATION && scheme.eq_ignore_ascii_case(BEARER))
    }

    /// Whether the key stands in this field.
    pub(super) fn is_in(&self, field: &HeaderName) -> bool {
        match self {
            Self::Header { name, .. } => name == field,
            Self::Cookie(_) => *field == COOKIE,
            Self::WebSocket => *field == SEC_WEBSOCKET_PROTOCOL,
            Self::Query(_) => false,
        }
    }

    /// Whether two sources are, or may be taken for, the same place.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name, .. }, Self::Header { name: other, .. }) => {
                is_alias(name.as_str(), other.as_str())
            }
            (Self::Header { name, .. }, Self::WebSocket)
            | (Self::WebSocket, Self::Header { name, .. }) => {
                is_alias(name.as_str(), SEC_WEBSOCKET_PROTOCOL.as_str())
            }
            _ => self == other,
        }
    }

    /// What stands at this place of a request.
    pub(super) fn find<'a>(&'a self, head: &'a RequestHead) -> Found<'a> {
        match self {
            Self::Header { name, scheme: None } => {
                let lines = head.headers.get_all(name);
                only(lines.map(|line| Cow::Borrowed(line.as_bytes().trim_ascii())))
            }
            Self::Header { name, scheme: Some(scheme) } => {
                let lines = head.headers.get_all(name);
                let found =
                    only(lines.filter_map(|line| after_scheme(line, scheme)).map(Cow::Borrowed));
                // A second line may be the one that the upstream reads.
                let alone = head.headers.get_all(name).nth(1).is_none();
                if alone || found == Found::Absent { found } else { Found::Several }
            }
            Self::Query(name) => match head.uri.query() {
                Some(query) => only(query::values(query.as_bytes(), name)),
                None => Found::Absent,
            },
            Self::Cookie(name) => {
                let lines = head.headers.get_all(&COOKIE);
                let pairs = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b';'));
                let values = pairs.map(split_cookie).filter(|(known, _)| known == name);
                only(values.filter_map(|(_, value)| value).map(Cow::Borrowed))
            }
            Self::WebSocket => subprotocol::find(head),
        }
    }
}

fn only<'a>(mut values: impl Iterator<Item = Cow<'a, [u8]>>) -> Found<'a> {
    match (values.next(), values.next()) {
        (None, _) => Found::Absent,
        (Some(_), Some(_)) => Found::Several,
        (Some(value), None) if value.is_empty() => Found::Empty,
        (Some(value), None) => Found::One(value),
    }
}

/// What follows the scheme, trimmed; none if the line has another scheme.
pub(super) fn after_scheme<'a>(line: &'a HeaderValue, scheme: &str) -> Option<&'a [u8]> {
    let line = line.as_bytes().trim_ascii();
    let end = line.iter().position(u8::is_ascii_whitespace).unwrap_or(line.len());
    let (found, key) = line.split_at(end);
    found.eq_ignore_ascii_case(scheme.as_bytes()).then(|| key.trim_ascii())
}

/// The name of a cookie and its value, if it has one; blanks around both are no part of them.
pub(super) fn split_cookie(pair: &[u8]) -> (&[u8], Option<&[u8]>) {
    match pair.iter().position(|&byte| byte == b'=') {
        Some(at) => (pair[..at].trim_ascii(), Some(pair[at + 1..].trim_ascii())),
        None => (pair.trim_ascii(), None),
    }
}

/// RFC 9110, section 5.6.2.
pub(super) fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.iter().copied().all(is_tchar)
}
