//! Removing the credential from a request before it is forwarded, and nothing else.

use bytes::Bytes;
use http::header::{COOKIE, REFERER, SEC_WEBSOCKET_PROTOCOL};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Uri};

use super::source::{Source, after_scheme, split_cookie};
use super::subprotocol::Members;
use crate::fields::Fields;
use crate::head::RequestHead;
use crate::headers::is_alias;
use crate::query;

/// A request that the credential could not be removed from; it must not be forwarded.
#[derive(Debug)]
pub(super) struct Stuck;

/// Removes the credential from every configured source, not only from the one that decided.
/// `parameters` are the names of those sources that are in the query.
pub(super) fn hide(
    sources: &[Source],
    parameters: &[Vec<u8>],
    head: &mut RequestHead,
) -> Result<(), Stuck> {
    hide_parameters(parameters, head)?;
    let mut offered = Members::default();
    hide_fields(
        |name, value| match offers(sources, name) {
            true => drop_members(value, b',', |member| offered.is_secret(member)),
            false => fate(sources, parameters, name, value),
        },
        &mut head.headers,
    )
}

fn hide_parameters(names: &[Vec<u8>], head: &mut RequestHead) -> Result<(), Stuck> {
    let Some(target) = head.uri.path_and_query().filter(|_| !names.is_empty()) else {
        return Ok(());
    };
    let Some(left) = query::remove(target.as_str().as_bytes(), names) else { return Ok(()) };
    let target = PathAndQuery::from_maybe_shared(Bytes::from(left)).map_err(|_| Stuck)?;
    let mut parts = head.uri.clone().into_parts();
    parts.path_and_query = Some(target);
    head.hide(Uri::from_parts(parts).map_err(|_| Stuck)?);
    Ok(())
}

/// What becomes of one header line.
enum Fate {
    Stays,
    Goes,
    Becomes(HeaderValue),
}

fn hide_fields(
    mut decide: impl FnMut(&HeaderName, &HeaderValue) -> Result<Fate, Stuck>,
    headers: &mut Fields,
) -> Result<(), Stuck> {
    let mut done = Ok(());
    headers.retain(|name, value| match decide(name, value) {
        Ok(Fate::Stays) => true,
        Ok(Fate::Goes) => false,
        Ok(Fate::Becomes(left)) => {
            *value = left;
            true
        }
        Err(stuck) => {
            done = Err(stuck);
            false
        }
    });
    done
}

/// Fields that hold a URL of this service, with the key in its query: that of the page before, and
/// that which a proxy in front was asked for.
const URLS: [HeaderName; 5] = [
    REFERER,
    HeaderName::from_static("x-forwarded-uri"),
    HeaderName::from_static("x-original-uri"),
    HeaderName::from_static("x-original-url"),
    HeaderName::from_static("x-rewrite-url"),
];

fn fate(
    sources: &[Source],
    parameters: &[Vec<u8>],
    name: &HeaderName,
    value: &HeaderValue,
) -> Result<Fate, Stuck> {
    if *name == COOKIE && sources.iter().any(|source| matches!(source, Source::Cookie(_))) {
        return hide_cookies(sources, value);
    }
    if !parameters.is_empty() && URLS.contains(name) {
        return match query::remove(value.as_bytes(), parameters) {
            Some(left) => becomes(&left),
            None => Ok(Fate::Stays),
        };
    }
    let goes = sources.iter().any(|source| match source {
        Source::Header { name: known, scheme } => {
            is_alias(known.as_str(), name.as_str())
                && scheme.as_ref().is_none_or(|scheme| after_scheme(value, scheme).is_some())
        }
        _ => false,
    });
    Ok(if goes { Fate::Goes } else { Fate::Stays })
}

/// Whether a field lists subprotocols, and keys may be among them.
fn offers(sources: &[Source], field: &HeaderName) -> bool {
    is_alias(SEC_WEBSOCKET_PROTOCOL.as_str(), field.as_str())
        && sources.contains(&Source::WebSocket)
}

fn hide_cookies(sources: &[Source], line: &HeaderValue) -> Result<Fate, Stuck> {
    let is_source = |name: &[u8]| {
        sources.iter().any(|source| matches!(source, Source::Cookie(known) if known == name))
    };
    drop_members(line, b';', |pair| is_source(split_cookie(pair).0))
}

/// Drops the members of a list that are secret; the others keep every byte but blanks at the
/// beginning.
fn drop_members(
    line: &HeaderValue,
    separator: u8,
    mut is_secret: impl FnMut(&[u8]) -> bool,
) -> Result<Fate, Stuck> {
    let (mut kept, mut count) = (Vec::new(), 0);
    for member in line.as_bytes().split(|&byte| byte == separator) {
        count += 1;
        if !is_secret(member) {
            kept.push(member);
        }
    }
    if kept.len() == count {
        return Ok(Fate::Stays);
    }
    match kept.join(&separator).trim_ascii_start() {
        b"" => Ok(Fate::Goes),
        left => becomes(left),
    }
}

fn becomes(value: &[u8]) -> Result<Fate, Stuck> {
    HeaderValue::from_bytes(value).map(Fate::Becomes).map_err(|_| Stuck)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::{fields, lines};

    #[test]
    fn one_line_that_cannot_be_changed_stops_the_request_and_goes() {
        for stuck in ["a", "b", "c"] {
            let mut headers = fields("a: 1\nb: 2\nc: 3");
            let decide = |name: &HeaderName, _: &HeaderValue| match name == stuck {
                true => Err(Stuck),
                false => Ok(Fate::Stays),
            };
            assert!(hide_fields(decide, &mut headers).is_err(), "{stuck}");
            assert!(!lines(&headers).contains(stuck));
        }
    }
}
