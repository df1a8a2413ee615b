//! Heads of requests as text, for unit tests.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Version, request};

/// A head from its lines as on the wire, blanks before them aside. The version may be left out.
#[track_caller]
pub(crate) fn head(text: &str) -> request::Parts {
    let (line, rest) = text.split_once('\n').unwrap_or((text, ""));
    let mut words = line.trim_start().split(' ');
    let method = words.next().expect("a method");
    let target = words.next().expect("a target");
    let version = match words.next() {
        Some("HTTP/1.0") => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    let request = Request::builder().method(method).uri(target).version(version).body(());
    let mut head = request.expect("a request line").into_parts().0;
    head.headers = fields(rest);
    head
}

/// Header fields from their lines.
#[track_caller]
pub(crate) fn fields(lines: &str) -> HeaderMap {
    let mut fields = HeaderMap::new();
    for line in lines.lines().map(str::trim_start).filter(|line| !line.is_empty()) {
        let (name, value) = line.split_once(':').expect("a name and a value");
        let value = HeaderValue::from_bytes(value.trim_matches([' ', '\t']).as_bytes());
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
        fields.append(name, value.expect("a value"));
    }
    fields
}

/// How header fields look as lines.
pub(crate) fn lines(fields: &HeaderMap) -> String {
    let line = |(name, value): (&HeaderName, &HeaderValue)| {
        format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}
