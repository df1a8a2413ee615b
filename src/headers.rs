//! Header fields: removing some without disturbing the order of the rest, and names that upstreams
//! confuse.

use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, HeaderName};

/// The consumer whom the key belongs to.
pub(crate) const X_CONSUMER_USERNAME: HeaderName = HeaderName::from_static("x-consumer-username");
/// The stable, public name of the key.
pub(crate) const X_CREDENTIAL_IDENTIFIER: HeaderName =
    HeaderName::from_static("x-credential-identifier");
/// The addresses that a request came through.
pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// The `Host` that the client asked for.
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
/// The scheme that the client used.
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The client's address.
pub(crate) const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
/// The name of one request in everybody's logs.
pub(crate) const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Tells an nginx in front whether to hold a response back.
pub(crate) const X_ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// Keeps the fields that `keep` says yes to, in their order.
///
/// `HeaderMap::remove` moves the last field into the hole; an upstream would see another order.
pub(crate) fn retain(headers: &mut HeaderMap, mut keep: impl FnMut(&HeaderName) -> bool) {
    let mut gone = headers.keys().enumerate().filter(|(_, name)| !keep(name));
    let Some((index, name)) = gone.next() else { return };
    let only_the_last_goes = index + 1 == headers.keys_len();
    if only_the_last_goes {
        let name = name.clone();
        headers.remove(name);
        return;
    }
    let mut kept = HeaderMap::with_capacity(headers.keys_len());
    for (name, value) in &*headers {
        if keep(name) {
            kept.append(name, value.clone());
        }
    }
    *headers = kept;
}

/// The fields that are for the next hop only (RFC 9110, section 7.6.1): those that always are, and
/// those that `Connection` names.
pub(crate) struct HopByHop {
    nominated: Vec<Vec<u8>>,
}

impl HopByHop {
    /// Those of one message.
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        if has_one_idle_option(headers) {
            return Self { nominated: Vec::new() };
        }
        let nominated = options(headers, &CONNECTION)
            .filter(|option| !is_idle(option))
            .map(<[u8]>::to_owned)
            .collect();
        Self { nominated }
    }

    /// Whether the field is one of them.
    pub(crate) fn contains(&self, name: &HeaderName) -> bool {
        match name.as_str().len() {
            2 | 7 | 10 | 16..=19 if ALWAYS.contains(name) => true,
            _ => {
                let name = name.as_str().as_bytes();
                self.nominated.iter().any(|option| option.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// Whether `Connection` says nothing, or one thing that names no field, as it nearly always does.
fn has_one_idle_option(headers: &HeaderMap) -> bool {
    let mut values = headers.get_all(CONNECTION).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(only), None) => is_idle(only.as_bytes()),
        _ => false,
    }
}

/// Fields that are always for the next hop only, whether `Connection` names them or not.
pub(crate) const ALWAYS: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    PROXY_AUTHORIZATION,
    PROXY_AUTHENTICATE,
];

fn is_idle(option: &[u8]) -> bool {
    IDLE_OPTIONS.iter().any(|idle| option.eq_ignore_ascii_case(idle.as_bytes()))
}

/// What `Connection` says most of the time; none of it names a field that is not gone anyway.
const IDLE_OPTIONS: [&str; 5] = ["", "close", "keep-alive", "upgrade", "te"];

/// Whether two lower-case names are the same to an upstream that hands fields on as variables: CGI
/// and WSGI write `_` for `-`, some servers for every byte that is no letter or digit
/// (CVE-2025-64484, CVE-2026-39858).
pub(crate) fn is_alias(a: &str, b: &str) -> bool {
    let same = |a: u8, b: u8| a == b || !(a.is_ascii_alphanumeric() || b.is_ascii_alphanumeric());
    a.len() == b.len() && a.bytes().zip(b.bytes()).all(|(a, b)| same(a, b))
}

/// Whether a field's value begins with this media type, in any case (RFC 9110, section 8.3.1).
pub(crate) fn is_media_type(headers: &HeaderMap, field: &HeaderName, lower_case: &str) -> bool {
    headers
        .get(field)
        .and_then(|value| value.as_bytes().get(..lower_case.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(lower_case.as_bytes()))
}

/// Whether a field that lists options, such as `Connection` or `Upgrade`, lists this one.
pub(crate) fn lists(headers: &HeaderMap, field: &HeaderName, option: &str) -> bool {
    options(headers, field).any(|listed| listed.eq_ignore_ascii_case(option.as_bytes()))
}

/// The members of a list (RFC 9110, section 5.6.1), whatever bytes they hold.
fn options<'a>(headers: &'a HeaderMap, field: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers
        .get_all(field)
        .iter()
        .flat_map(|value| value.as_bytes().split(|&byte| byte == b','))
        .map(<[u8]>::trim_ascii)
}
