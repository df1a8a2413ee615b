//! What header fields mean: those for the next hop only, and names that upstreams confuse.

use http::header::{
    CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, SEC_WEBSOCKET_KEY, TE, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderName, HeaderValue, Method, Version};

use crate::fields::Fields;
use crate::head::RequestHead;

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

/// The fields that are for the next hop only (RFC 9110, section 7.6.1): those that always are, and
/// those that `Connection` names.
pub(crate) struct HopByHop {
    nominated: Vec<Vec<u8>>,
}

impl HopByHop {
    /// Those of one message.
    pub(crate) fn of(headers: &Fields) -> Self {
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
        let names = |option: &Vec<u8>| option.eq_ignore_ascii_case(name.as_str().as_bytes());
        is_always(name) || self.nominated.iter().any(names)
    }
}

/// Whether `Connection` says nothing, or one thing that names no field, as it nearly always does.
fn has_one_idle_option(headers: &Fields) -> bool {
    let mut values = headers.get_all(&CONNECTION);
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(only), None) => is_idle(only.as_bytes()),
        _ => false,
    }
}

/// Whether a field is always for the next hop only, whether `Connection` names it or not.
pub(crate) fn is_always(name: &HeaderName) -> bool {
    match *name {
        CONNECTION | TE | TRANSFER_ENCODING | UPGRADE | PROXY_AUTHORIZATION
        | PROXY_AUTHENTICATE => true,
        _ => *name == KEEP_ALIVE || *name == PROXY_CONNECTION,
    }
}

/// Whether this may be the name of a field. The crate that decodes HTTP/2 lets a quotation mark
/// stand in one as well, and whoever reads that over HTTP/1 may take it for another name.
pub(crate) fn is_token(name: &HeaderName) -> bool {
    !name.as_str().contains('"')
}

fn is_idle(option: &[u8]) -> bool {
    IDLE_OPTIONS.iter().any(|idle| is_option(option, idle))
}

/// Takes the fields that must stay out of the lists in `Connection`, by which a client could have
/// them removed.
pub(crate) fn keep_from_hop(fields: &mut Fields, stays: impl Fn(&[u8]) -> bool) {
    fields.retain(|name, value| {
        if *name != CONNECTION || !members(value).any(&stays) {
            return true;
        }
        let left: Vec<_> = members(value).filter(|member| !stays(member)).collect();
        match HeaderValue::from_bytes(&left.join(&b", "[..])) {
            Ok(left) => *value = left,
            Err(_) => return false,
        }
        true
    });
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

/// Fields that frame messages or belong to one connection (RFC 9110, section 7.6.1).
const FRAMING: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Fields that only keygate sets; a client's are deleted before any plugin sees them.
const OWN: &[&str] =
    &["forwarded", "x-consumer-username", "x-credential-identifier", "x-real-ip", "x-request-id"];

/// Whether a field frames messages or belongs to one connection, or could be taken for one that
/// does: no operator's setting may touch it.
pub(crate) fn frames_messages(name: &HeaderName) -> bool {
    FRAMING.iter().any(|known| is_alias(known, name.as_str()))
}

/// Whether a field is one that only keygate sets, or could be taken for one.
pub(crate) fn is_own(name: &HeaderName) -> bool {
    let forwarded = name.as_str().get(.."x-forwarded-".len());
    OWN.iter().any(|known| is_alias(known, name.as_str()))
        || forwarded.is_some_and(|start| is_alias(start, "x-forwarded-"))
}

/// Whether a field's value begins with this media type, in any case (RFC 9110, section 8.3.1).
pub(crate) fn is_media_type(headers: &Fields, field: &HeaderName, lower_case: &str) -> bool {
    headers
        .get(field)
        .and_then(|value| value.as_bytes().get(..lower_case.len()))
        .is_some_and(|start| start.eq_ignore_ascii_case(lower_case.as_bytes()))
}

/// Whether a field that lists options, such as `Connection` or `Upgrade`, lists this one.
pub(crate) fn lists(headers: &Fields, field: &HeaderName, option: &str) -> bool {
    headers.get_all(field).any(|value| is_listed_in(value, option))
}

/// Whether a head asks for a WebSocket in the only valid way (RFC 6455, section 4.1). A request
/// with a body does not, whatever its head says.
pub(crate) fn asks_for_websocket(head: &RequestHead) -> bool {
    head.headers.contains(&UPGRADE)
        && head.method == Method::GET
        && head.version == Version::HTTP_11
        && head.headers.contains(&SEC_WEBSOCKET_KEY)
        && lists(&head.headers, &UPGRADE, "websocket")
        && lists(&head.headers, &CONNECTION, "upgrade")
}

/// Whether one value of such a field lists it.
pub(crate) fn is_listed_in(value: &HeaderValue, option: &str) -> bool {
    members(value).any(|listed| is_option(listed, option))
}

/// Whether a member of a list is this option. It nearly always is in lower case; to compare in any
/// takes seven instructions a byte.
pub(crate) fn is_option(member: &[u8], lower_case: &str) -> bool {
    member == lower_case.as_bytes() || member.eq_ignore_ascii_case(lower_case.as_bytes())
}

fn options<'a>(headers: &'a Fields, field: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(field).flat_map(members)
}

/// The members of a list (RFC 9110, section 5.6.1), whatever bytes they hold.
pub(crate) fn members(value: &HeaderValue) -> impl Iterator<Item = &[u8]> {
    value.as_bytes().split(|&byte| byte == b',').map(<[u8]>::trim_ascii)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::fields;

    #[track_caller]
    fn check_hop_by_hop(message: &str, name: &str, expected: bool) {
        let contained = HopByHop::of(&fields(message)).contains(&name.parse().unwrap());
        assert_eq!(contained, expected, "{name} of {message:?}");
    }

    #[test]
    fn hop_by_hop_is_what_always_is_and_what_connection_names() {
        let always = "connection keep-alive proxy-authenticate proxy-authorization \
                      proxy-connection te transfer-encoding upgrade";
        for name in always.split(' ') {
            check_hop_by_hop("", name, true);
        }
        for name in ["x-a", "host", "as", "trailer", "user-agent", "content-encoding"] {
            check_hop_by_hop("", name, false);
            check_hop_by_hop("Connection: close", name, false);
            check_hop_by_hop(&format!("Connection: {name}"), name, true);
        }
        check_hop_by_hop("Connection: close, X-A ,\tX-B", "x-a", true);
        check_hop_by_hop("Connection: close, X-A ,\tX-B", "x-b", true);
        check_hop_by_hop("Connection: close, X-A ,\tX-B", "x-c", false);
        check_hop_by_hop("Connection: close\nConnection: x-a", "x-a", true);
    }

    #[test]
    fn most_messages_need_no_look_at_what_connection_names() {
        for (connection, needs_none) in [
            ("", true),
            ("Connection:", true),
            ("Connection: Keep-Alive", true),
            ("Connection: x-a", false),
            ("Connection: keep-alive, x-a", false),
            ("Connection: close\nConnection: x-a", false),
        ] {
            assert_eq!(has_one_idle_option(&fields(connection)), needs_none, "{connection:?}");
        }
    }

    #[test]
    fn an_alias_differs_only_in_marks() {
        assert!(is_alias("x-api-key", "x-api-key"));
        assert!(is_alias("x-api-key", "x_api.key"));
        for other in ["x-api-keys", "x-api-kez", "x-apiakey", "xaapi-key", "xapikey", ""] {
            assert!(!is_alias("x-api-key", other) && !is_alias(other, "x-api-key"), "{other}");
        }
    }

    #[test]
    fn a_list_is_split_at_commas_and_trimmed() {
        let headers = fields("Upgrade: h2c, WebSocket ,\nUpgrade: \u{e9}");
        assert!(lists(&headers, &UPGRADE, "websocket") && lists(&headers, &UPGRADE, "h2c"));
        for other in ["web", "h2c, websocket", "websocket ", "x"] {
            assert!(!lists(&headers, &UPGRADE, other), "{other}");
        }
        assert!(!lists(&headers, &TE, "websocket"));
    }

    #[test]
    fn a_media_type_is_read_in_any_case_and_with_parameters() {
        let is = |value: &str| is_media_type(&fields(value), &CONNECTION, "text/plain");
        assert!(is("Connection: TEXT/Plain; a=b"));
        assert!(
            !is("Connection: text/plai") && !is("Connection: text/html; text/plain") && !is("")
        );
    }
}
