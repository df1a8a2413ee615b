//! Heads of requests as text, for unit tests.

use http::{HeaderMap, HeaderName, HeaderValue, Version};

use crate::fields::Fields;
use crate::head::RequestHead;

/// A head from its lines as on the wire, blanks before them aside. The version may be left out.
#[track_caller]
pub(crate) fn head(text: &str) -> RequestHead {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut words = line.trim_start().split(' ');
    let method = words.next().expect("a method").parse().expect("a method");
    let uri = words.next().expect("a target").parse().expect("a target");
    let version = match words.next() {
        Some("HTTP/1.0") => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    RequestHead { method, uri, version, headers: fields(rest), came: None }
}

/// Header fields from their lines.
#[track_caller]
pub(crate) fn fields(lines: &str) -> Fields {
    let mut fields = Fields::new();
    for line in lines.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a name and a value");
        let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes());
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        fields.append(name, value.expect("a value"));
    }
    fields
}

/// The fields behind a body, from their lines.
#[track_caller]
pub(crate) fn trailers(lines: &str) -> HeaderMap {
    fields(lines).iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// How header fields look as lines.
pub(crate) fn lines<'a>(
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) -> String {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    fields.into_iter().map(line).collect::<Vec<_>>().join("\n")
}
