//! One probe: a request with marks in the place of keys, and what it must come to.

use http::HeaderName;

use crate::cli::Failure;

/// What a request must come to. Whatever is not named here has failed: no answer, a redirect, and
/// an error of the server as well, because something else than the gate may have given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// A request without fault, which only its key can be the reason to refuse.
    Denied,
    /// An odd one, which may be refused for that as well.
    Refused,
    /// It reaches the API, whatever that makes of it.
    Passed,
}

impl Expected {
    pub(super) fn is_met_by(self, status: u16) -> bool {
        let denied = matches!(status, 401 | 403 | 429);
        let refused = denied || matches!(status, 400 | 404 | 405 | 413 | 414 | 417 | 421 | 431);
        match self {
            Self::Denied => denied,
            Self::Refused => refused,
            // An API of its own may know neither the path nor the method.
            Self::Passed => matches!(status, 200..=399 | 404 | 405 | 406 | 415 | 422),
        }
    }
}

/// Where the gate takes the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A header field.
    Header(String),
    /// A query parameter.
    Query(String),
    /// `Authorization: Bearer`.
    Bearer,
}

impl Place {
    pub(super) fn header(name: &str) -> Result<Self, Failure> {
        let wrong = |_| Failure::usage("error: --header is no name of a header");
        HeaderName::from_bytes(name.as_bytes()).map_err(wrong)?;
        Ok(Self::Header(name.to_owned()))
    }

    pub(super) fn query(name: &str) -> Result<Self, Failure> {
        let is_plain = |c: char| c.is_ascii_graphic() && !"&=%#".contains(c);
        match !name.is_empty() && name.chars().all(is_plain) {
            true => Ok(Self::Query(name.to_owned())),
            false => Err(Failure::usage("error: --query is no name of a parameter")),
        }
    }
}

/// A request in the making. In its target and its fields `<key>` stands for the key, and other
/// [`MARKS`] for what is made of it, so that the probe can be shown as it is.
#[derive(Clone, Debug)]
pub(super) struct Probe {
    pub(super) name: &'static str,
    pub(super) expected: Expected,
    method: &'static str,
    target: String,
    version: &'static str,
    fields: Vec<String>,
    body: &'static str,
    has_host: bool,
}

/// What stands for a key, and how it is made of the key.
type Mark = (&'static str, fn(&str) -> String);

const MARKS: [Mark; 6] = [
    ("<key>", str::to_owned),
    ("<wrong>", wrong),
    ("<flipped>", flipped),
    ("<longer>", |key| format!("{key}0")),
    ("<shorter>", |key| key[..key.len().saturating_sub(1)].to_owned()),
    ("<split>", |key| format!("{} {}", &key[..key.len() / 2], &key[key.len() / 2..])),
];

/// As long as the key, and beginning like it; where there is none, as long as keys of keygate are.
fn wrong(key: &str) -> String {
    const LENGTH: usize = 52;
    match key.chars().next_back() {
        None => "0".repeat(LENGTH),
        Some(last) => {
            let other = if last == '0' { '1' } else { '0' };
            format!("{}{other}", &key[..key.len() - 1])
        }
    }
}

/// With all letters in the other case.
pub(super) fn flipped(key: &str) -> String {
    let flip = |c: char| match c.is_ascii_uppercase() {
        true => c.to_ascii_lowercase(),
        false => c.to_ascii_uppercase(),
    };
    key.chars().map(flip).collect()
}

impl Probe {
    /// A GET that only its key can be the reason to refuse.
    pub(super) fn new(name: &'static str, target: &str) -> Self {
        Self {
            name,
            expected: Expected::Denied,
            method: "GET",
            target: target.to_owned(),
            version: "HTTP/1.1",
            fields: Vec::new(),
            body: "",
            has_host: true,
        }
    }

    pub(super) fn expect(self, expected: Expected) -> Self {
        Self { expected, ..self }
    }

    pub(super) fn method(self, method: &'static str) -> Self {
        Self { method, ..self }
    }

    pub(super) fn field(mut self, line: &str) -> Self {
        self.fields.push(line.to_owned());
        self
    }

    pub(super) fn body(self, body: &'static str) -> Self {
        Self { body, ..self }
    }

    /// HTTP/1.0, which knows no `Host`.
    pub(super) fn old(self) -> Self {
        Self { version: "HTTP/1.0", has_host: false, ..self }
    }

    /// The target as a proxy is asked for it.
    pub(super) fn absolute(self, host: &str) -> Self {
        Self { target: format!("http://{host}{}", self.target), ..self }
    }

    /// Carries a value where the gate takes keys.
    pub(super) fn with(mut self, place: &Place, value: &str) -> Self {
        match place {
            Place::Header(name) => self.fields.push(format!("{name}: {value}")),
            Place::Bearer => self.fields.push(format!("Authorization: Bearer {value}")),
            Place::Query(name) => {
                let mark = if self.target.contains('?') { '&' } else { '?' };
                self.target.push_str(&format!("{mark}{name}={value}"));
            }
        }
        self
    }

    /// The probe as people read it, with the marks.
    pub(super) fn shown(&self) -> String {
        let version = if self.version == "HTTP/1.1" { "" } else { " HTTP/1.0" };
        let line = format!("{} {}{version}", self.method, self.target);
        [&[line][..], &self.fields].concat().join(" | ")
    }

    /// The bytes that are sent, with the keys.
    pub(super) fn bytes(&self, host: &str, key: &str) -> Vec<u8> {
        let target = self.target.replace("<host>", host);
        let mut line = format!("{} {target} {}\r\n", self.method, self.version);
        let mut fields: String = self.fields.iter().map(|field| format!("{field}\r\n")).collect();
        for (mark, make) in MARKS {
            line = line.replace(mark, &encoded(&make(key)));
            fields = fields.replace(mark, &make(key));
        }
        let has = |name: &str| self.fields.iter().any(|line| line.starts_with(name));
        if self.has_host && !has("Host:") {
            line.push_str(&format!("Host: {host}\r\n"));
        }
        if !has("User-Agent:") {
            line.push_str("User-Agent: keygate-smoke\r\n");
        }
        if !has("Connection:") {
            line.push_str("Connection: close\r\n");
        }
        format!("{line}{fields}\r\n{}", self.body).into_bytes()
    }
}

/// A value as it stands in a query.
fn encoded(value: &str) -> String {
    let byte = |byte: u8| match byte {
        b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
        _ if byte.is_ascii_alphanumeric() => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    value.bytes().map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_clearly_refused_has_failed() {
        for status in 100..600 {
            let denied = [401, 403, 429].contains(&status);
            let refused = denied || [400, 404, 405, 413, 414, 417, 421, 431].contains(&status);
            assert_eq!(Expected::Denied.is_met_by(status), denied, "{status}");
            assert_eq!(Expected::Refused.is_met_by(status), refused, "{status}");
            let passed =
                (200..400).contains(&status) || [404, 405, 406, 415, 422].contains(&status);
            assert_eq!(Expected::Passed.is_met_by(status), passed, "{status}");
        }
    }

    #[test]
    fn a_probe_is_sent_with_keys_and_shown_without() {
        let place = Place::Query("k".to_owned());
        let probe = Probe::new("x", "/a").with(&place, "<split>").with(&place, "<longer>");
        let probe = probe.field("A: <flipped>").field("B: <wrong>").field("C: <shorter>");
        let line = "GET /a?k=<split>&k=<longer>";
        assert_eq!(probe.shown(), format!("{line} | A: <flipped> | B: <wrong> | C: <shorter>"));
        let sent = "GET /a?k=a%2F%20Bc&k=a%2FBc0 HTTP/1.1\r\nHost: h:1\r\n\
                    User-Agent: keygate-smoke\r\nConnection: close\r\n\
                    A: A/bC\r\nB: a/B0\r\nC: a/B\r\n\r\n";
        assert_eq!(String::from_utf8_lossy(&probe.bytes("h:1", "a/Bc")), sent);
    }

    #[test]
    fn a_wrong_key_is_as_long_as_the_right_one_and_another() {
        for key in ["0", "a0", "ab", "kg_x"] {
            assert_eq!(wrong(key).len(), key.len());
            assert_ne!(wrong(key), key);
        }
        assert!(!wrong("").is_empty());
    }
}
