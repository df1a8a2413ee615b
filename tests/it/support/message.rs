//! The heads and bodies of HTTP/1.1 messages, read plainly and kept byte for byte.

use std::fmt::Write;

/// A request or response head.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    /// The first line, without its CRLF.
    pub(crate) start: String,
    /// Name and value of every field line, in order and as they came.
    pub(crate) fields: Vec<(String, String)>,
    /// Every byte, the empty line included.
    pub(crate) raw: Vec<u8>,
}

impl Head {
    /// Reads a head; bytes that are not UTF-8 are replaced in the parsed view only.
    pub(crate) fn parse(raw: &[u8]) -> Self {
        let text = String::from_utf8_lossy(raw);
        let mut lines = text.split("\r\n");
        let start = lines.next().unwrap_or_default().to_owned();
        let fields = lines.filter(|line| !line.is_empty()).map(field).collect();
        Self { start, fields, raw: raw.to_vec() }
    }

    /// The first value of a field.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values(name).into_iter().next()
    }

    /// All values of a field, a line each.
    pub(crate) fn values(&self, name: &str) -> Vec<&str> {
        let of_that_name = |(key, _): &&(String, String)| key.eq_ignore_ascii_case(name);
        self.fields.iter().filter(of_that_name).map(|(_, value)| value.as_str()).collect()
    }

    /// Whether there is such a field.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.value(name).is_some()
    }

    /// The second word of the first line: a request's target, or a response's status.
    pub(crate) fn second_word(&self) -> &str {
        self.start.split(' ').nth(1).unwrap_or_default()
    }

    /// How the message that begins with this head is framed.
    pub(crate) fn framing(&self) -> Framing {
        let codings = self.value("transfer-encoding").unwrap_or_default();
        if codings.to_ascii_lowercase().ends_with("chunked") {
            return Framing::Chunked;
        }
        match self.value("content-length").and_then(|length| length.parse().ok()) {
            Some(length) => Framing::Length(length),
            None => Framing::None,
        }
    }
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim_matches([' ', '\t']).to_owned())
}

/// Where a message's body ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// After so many bytes.
    Length(usize),
    /// After the last chunk.
    Chunked,
    /// Nothing says so.
    None,
}

/// A response as a client sees it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Response {
    /// The status code.
    pub(crate) status: u16,
    /// The head of the final response.
    pub(crate) head: Head,
    /// The heads of the responses before it (1xx).
    pub(crate) interim: Vec<Head>,
    /// The body, without its framing.
    pub(crate) body: Vec<u8>,
    /// The trailer fields.
    pub(crate) trailers: Vec<(String, String)>,
    /// Whether the body came to its proper end.
    pub(crate) complete: bool,
}

impl Response {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The first value of a header field, or nothing.
    pub(crate) fn value(&self, name: &str) -> &str {
        self.head.value(name).unwrap_or_default()
    }
}

/// Where the first empty line ends, if the bytes hold one.
pub(crate) fn head_end(bytes: &[u8]) -> Option<usize> {
    bytes.windows(4).position(|four| four == b"\r\n\r\n").map(|at| at + 4)
}

/// Bytes as a person reads them, for failure messages.
pub(crate) fn visible(bytes: &[u8]) -> String {
    const SHOWN: usize = 2000;
    let mut text = String::new();
    for &byte in bytes.iter().take(SHOWN) {
        match byte {
            b'\n' => text.push_str("\\n\n    "),
            _ => text.extend(byte.escape_ascii().map(char::from)),
        }
    }
    if bytes.len() > SHOWN {
        let _ = write!(text, "… ({} bytes)", bytes.len());
    }
    text
}
