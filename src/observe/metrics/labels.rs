//! What stands in labels. Nothing that a client chooses does: of methods and statuses only those
//! that are known.

use http::{Method, StatusCode};

/// The methods that are called by their names (RFC 9110, section 9.3, and RFC 5789).
const METHODS: [&str; 10] =
    [Answer::OTHER, "GET", "POST", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE"];

/// The status of a request whose client left before it was answered.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// A request's method and the status that was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    method: u8,
    status: u16,
}

impl Answer {
    /// What any other method and any other status is called (OpenTelemetry, "HTTP metrics").
    pub(crate) const OTHER: &str = "_OTHER";

    /// Of a request whose method was read, or not.
    pub(crate) fn new(method: Option<&Method>, status: StatusCode) -> Self {
        let method = match method {
            None => 0,
            Some(&Method::GET) => 1,
            Some(&Method::POST) => 2,
            Some(&Method::HEAD) => 3,
            Some(&Method::PUT) => 4,
            Some(&Method::DELETE) => 5,
            Some(&Method::OPTIONS) => 6,
            Some(&Method::PATCH) => 7,
            Some(&Method::CONNECT) => 8,
            Some(&Method::TRACE) => 9,
            Some(_) => 0,
        };
        // Upstreams choose the status, and there are 900.
        let known = status.canonical_reason().is_some() || status == CLIENT_CLOSED_REQUEST;
        Self { method, status: if known { status.as_u16() } else { 0 } }
    }

    /// The method, as a label.
    pub(crate) fn method(self) -> &'static str {
        METHODS[usize::from(self.method)]
    }

    /// The status, as a label.
    pub(super) fn status(self) -> String {
        match self.status {
            0 => Self::OTHER.to_owned(),
            status => status.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OTHER: &str = Answer::OTHER;

    #[track_caller]
    fn check(method: &str, status: u16, expected: (&str, &str)) {
        let method = Method::from_bytes(method.as_bytes()).ok();
        let status = StatusCode::from_u16(status).unwrap();
        let answer = Answer::new(method.as_ref(), status);
        assert_eq!((answer.method(), &*answer.status()), expected);
    }

    #[test]
    fn what_is_not_known_has_one_name() {
        for method in &METHODS[1..] {
            check(method, 200, (method, "200"));
        }
        check("get", 200, (OTHER, "200"));
        check("MKCOL", 201, (OTHER, "201"));
        check("", 400, (OTHER, "400"));
        check("GET", 499, ("GET", "499"));
        check("GET", 299, ("GET", OTHER));
        check("GET", 999, ("GET", OTHER));
    }
}
