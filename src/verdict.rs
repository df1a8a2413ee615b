//! Forward auth: a location without an upstream says whether a request may go on that another proxy
//! holds. Whatever is not said plainly is refused, and no refusal has a status that any of these
//! proxies takes for leave.

use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use serde::Deserialize;

use crate::fields::Fields;
use crate::head::RequestHead;
use crate::reply::Cause;
use crate::screen;
use crate::server::h1::head;

/// Which proxy asks: how it says what it was asked itself, and which status is leave to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Asker {
    /// `auth_request`, told to say so in `X-Original-Method` and `X-Original-URI`.
    Nginx,
    /// `ForwardAuth`: `X-Forwarded-Method` and `X-Forwarded-Uri`.
    Traefik,
    /// `forward_auth`: the same fields.
    Caddy,
    /// `ext_authz` over HTTP: it asks with the method and the path that it was asked with.
    Envoy,
}

const X_ORIGINAL: [HeaderName; 2] =
    [HeaderName::from_static("x-original-method"), HeaderName::from_static("x-original-uri")];
const X_FORWARDED: [HeaderName; 2] =
    [HeaderName::from_static("x-forwarded-method"), HeaderName::from_static("x-forwarded-uri")];

impl Asker {
    /// The fields in which it says what it was asked: the method, and the target.
    pub(crate) fn says_in(self) -> Option<[HeaderName; 2]> {
        match self {
            Self::Nginx => Some(X_ORIGINAL),
            Self::Traefik | Self::Caddy => Some(X_FORWARDED),
            Self::Envoy => None,
        }
    }

    /// Puts what the proxy was asked in the place of what it asks.
    ///
    /// # Errors
    /// It does not say so once, in a way that could be a request; or it is not `trusted`, and might
    /// be anybody.
    pub(crate) fn restore(self, head: &mut RequestHead, trusted: bool) -> Result<(), Cause> {
        let Some([method, target]) = self.says_in() else { return Ok(()) };
        if !trusted {
            return Err(Cause::BadRequest);
        }
        let method = head::read_method(only(&head.headers, &method)?.as_bytes())?;
        let target = Bytes::copy_from_slice(only(&head.headers, &target)?.as_bytes());
        if !target.starts_with(b"/") && &*target != b"*" {
            return Err(Cause::BadRequest);
        }
        let uri = head::read_target(target)?;
        screen::check_request_line(&method, &uri)?;
        (head.method, head.uri) = (method, uri);
        Ok(())
    }
}

/// The one value of a field.
fn only<'a>(headers: &'a Fields, name: &HeaderName) -> Result<&'a HeaderValue, Cause> {
    let mut values = headers.get_all(name);
    match (values.next(), values.next()) {
        (Some(value), None) => Ok(value),
        _ => Err(Cause::BadRequest),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[track_caller]
    fn check(asker: Asker, fields: &str, expected: Result<&str, Cause>) {
        let mut head = sample::head(&format!("GET /auth\nHost: a\n{fields}"));
        let restored = asker.restore(&mut head, true);
        let restored = restored.map(|()| format!("{} {}", head.method, head.uri));
        assert_eq!(restored.as_deref().map_err(|cause| *cause), expected, "{fields:?}");
    }

    #[test]
    fn what_was_asked_takes_the_place_of_what_is_asked() {
        let (nginx, traefik) = (Asker::Nginx, Asker::Traefik);
        check(nginx, "X-Original-Method: POST\nX-Original-URI: /a?k=%20", Ok("POST /a?k=%20"));
        check(traefik, "X-Forwarded-Method: PUT\nX-Forwarded-Uri: //a/../b", Ok("PUT //a/../b"));
        check(traefik, "X-Forwarded-Method: OPTIONS\nX-Forwarded-Uri: *", Ok("OPTIONS *"));
        check(Asker::Envoy, "X-Forwarded-Method: PUT\nX-Forwarded-Uri: /b", Ok("GET /auth"));
    }

    #[test]
    fn what_is_not_said_once_and_plainly_is_refused() {
        let bad = Err(Cause::BadRequest);
        for fields in [
            "",
            "X-Original-Method: GET",
            "X-Original-URI: /",
            "X-Forwarded-Method: GET\nX-Forwarded-Uri: /",
            "X-Original-Method: GET\nX-Original-URI: /\nX-Original-URI: /",
            "X-Original-Method: GET\nX-Original-Method: GET\nX-Original-URI: /",
            "X-Original-Method: GET\nX-Original-URI: a",
            "X-Original-Method: GET\nX-Original-URI: http://b/",
            "X-Original-Method: GET\nX-Original-URI: *",
            "X-Original-Method: GET\nX-Original-URI: /#a",
            "X-Original-Method: GET\nX-Original-URI: /a b",
            "X-Original-Method: GET\nX-Original-URI: /\u{e9}",
            "X-Original-Method: GET /\nX-Original-URI: /",
            "X-Original-Method:\nX-Original-URI: /",
        ] {
            check(Asker::Nginx, fields, bad);
        }
        let trace = "X-Original-Method: TRACE\nX-Original-URI: /";
        check(Asker::Nginx, trace, Err(Cause::MethodNotAllowed));
    }

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let said = "GET /auth\nX-Original-Method: GET\nX-Original-URI: /";
        assert!(Asker::Nginx.restore(&mut sample::head(said), false).is_err());
        assert!(Asker::Envoy.restore(&mut sample::head(said), false).is_ok());
    }
}
