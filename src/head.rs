//! The heads of messages, whichever version of HTTP carries them.

use std::fmt;

use bytes::Bytes;
use http::header::{ACCESS_CONTROL_REQUEST_METHOD, CONTENT_LENGTH, ORIGIN, TRANSFER_ENCODING};
use http::{Method, StatusCode, Uri, Version};

use crate::fields::Fields;
use crate::screen;

/// The head of a request; `GET /` without any field, when nothing is said.
#[derive(Clone, Default)]
pub struct RequestHead {
    /// What is to be done.
    pub method: Method,
    /// With what.
    pub uri: Uri,
    /// Of the protocol.
    pub version: Version,
    /// The header fields.
    pub headers: Fields,
    /// The target as it came, if something was hidden from it since.
    pub came: Option<Box<Uri>>,
}

impl RequestHead {
    /// Goes on with another target, which something was hidden from.
    pub(crate) fn hide(&mut self, target: Uri) {
        let came = std::mem::replace(&mut self.uri, target);
        self.came.get_or_insert_with(|| Box::new(came));
    }

    /// What was asked, as it came.
    pub(crate) fn asked(&self) -> (Method, Uri) {
        (self.method.clone(), self.came.as_deref().unwrap_or(&self.uri).clone())
    }

    /// The same of a head that nobody needs any more.
    pub(crate) fn into_asked(self) -> (Method, Uri) {
        (self.method, self.came.map_or(self.uri, |came| *came))
    }

    /// Whether this is a preflight as browsers send it (Fetch, section 3.2.2); a bare `OPTIONS` is
    /// none, and neither is one with a body, or one that asks for another method in a field: an
    /// origin may obey it.
    pub(crate) fn is_preflight(&self) -> bool {
        self.method == Method::OPTIONS
            && self.is_without_body()
            && self.headers.contains(&ORIGIN)
            && self.headers.contains(&ACCESS_CONTROL_REQUEST_METHOD)
            && screen::other_methods(&self.headers).next().is_none()
    }

    /// Whether no byte of a body comes.
    pub(crate) fn is_without_body(&self) -> bool {
        let length = self.headers.get(&CONTENT_LENGTH);
        length.is_none_or(|length| length == "0") && !self.headers.contains(&TRANSFER_ENCODING)
    }
}

/// Says nothing of what may hold a key.
impl fmt::Debug for RequestHead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {:?} {:?}", self.method, self.version, self.headers)
    }
}

/// The head of a response.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// What came of it.
    pub status: StatusCode,
    /// What an upstream's HTTP/1 calls the status, if not by its usual name; of bytes that may
    /// stand in a status line (RFC 9112, section 4).
    pub reason: Option<Bytes>,
    /// The header fields.
    pub headers: Fields,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::head;

    #[test]
    fn what_was_asked_is_told_as_it_came_however_much_was_hidden() {
        let mut asked = head("GET /x?a=1&api_key=secret&token=secret");
        for target in ["/x?a=1&token=secret", "/x?a=1"] {
            asked.hide(target.parse().expect("a target"));
        }
        assert_eq!(asked.uri, "/x?a=1");
        let came = (Method::GET, "/x?a=1&api_key=secret&token=secret".parse().expect("a target"));
        assert_eq!(asked.asked(), came);
        assert_eq!(asked.into_asked(), came);
    }

    #[test]
    fn a_head_that_is_printed_shows_no_key() {
        let shown = format!("{:?}", head("GET /x?api_key=secret\nX-Api-Key: secret"));
        assert_eq!(shown, r#"GET HTTP/1.1 ["x-api-key"]"#);
    }
}
