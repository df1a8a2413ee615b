//! What is left out of an explanation: whatever is, or could be, a secret.

use bytes::Bytes;
use http::header::{AUTHORIZATION, COOKIE};
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};

use crate::config::looks_random;
use crate::fields::Fields;
use crate::head::RequestHead;
use crate::headers::{is_alias, is_always};
use crate::plan::Plan;
use crate::query;

const MASK: HeaderValue = HeaderValue::from_static("***");

/// Method and target as they may be shown.
pub(super) fn request_line(method: &Method, uri: &Uri, plan: &Plan) -> String {
    let target = masked(uri.to_string().as_bytes(), plan);
    format!("{method} {}", String::from_utf8_lossy(&target))
}

fn masked(target: &[u8], plan: &Plan) -> Vec<u8> {
    let mut shown = Vec::new();
    query::mask(target, &plan.credential_names, &mut shown);
    shown
}

/// Whether a text holds a query with what may be a key in it.
pub(super) fn hides_in(text: &str, plan: &Plan) -> bool {
    masked(text.as_bytes(), plan) != text.as_bytes()
}

/// Masks the secrets of a request that goes on: what stands where credentials may stand, what a
/// plugin has set (`sent` is what the client did), and what looks like a key. Names stay, and so do
/// fields that frame the message, by which it is decided what goes on.
pub(super) fn secrets(head: &mut RequestHead, plan: &Plan, sent: &Fields) {
    head.headers.retain(|name, value| {
        if is_always(name) {
            return true;
        }
        if is_secret(name, value, plan) || !sent.get_all(name).any(|own| own == *value) {
            *value = MASK;
        } else if value.as_bytes().contains(&b'?') {
            let shown = masked(value.as_bytes(), plan);
            *value = HeaderValue::from_bytes(&shown).unwrap_or(MASK);
        }
        true
    });
    let Some(target) = head.uri.path_and_query() else { return };
    let shown = masked(target.as_str().as_bytes(), plan);
    // A target with `***` in it is still one; a mask that failed must show nothing.
    head.uri = PathAndQuery::from_maybe_shared(Bytes::from(shown))
        .map_or_else(|_| Uri::from_static("/***"), Uri::from);
}

fn is_secret(name: &HeaderName, value: &HeaderValue, plan: &Plan) -> bool {
    is_credential(name, plan) || value.is_sensitive() || value.to_str().map_or(true, looks_random)
}

/// Whether credentials may stand in a field.
pub(super) fn is_credential(name: &HeaderName, plan: &Plan) -> bool {
    let own = [AUTHORIZATION, COOKIE];
    let mut known = own.iter().chain(&plan.credential_headers);
    known.any(|known| is_alias(known.as_str(), name.as_str()))
}
