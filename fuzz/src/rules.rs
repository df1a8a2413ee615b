//! Which requests must be refused, and what must arrive upstream of the others.

use std::net::IpAddr;

use crate::address::{address, is_ipv6, is_port};
use crate::strict::{Field, Head};

/// Who connected, and whom the gate believes.
#[derive(Clone, Copy)]
pub struct Peer {
    /// None on a unix socket.
    pub address: Option<IpAddr>,
    pub trusts: fn(Option<IpAddr>) -> bool,
}

/// What must become of a request that is not refused.
#[derive(Debug)]
pub struct Passed {
    /// Who sent it.
    pub client: Option<IpAddr>,
    /// Whom it is for, without the port.
    pub host: Option<String>,
    /// The target, in origin form.
    pub target: String,
    /// The fields, sorted by name, without those that frame the body.
    pub fields: Vec<Field>,
}

/// What the gate must make of a request; none: it must refuse it.
pub fn pass(head: &Head, has_body: bool, peer: Peer) -> Option<Passed> {
    if ["CONNECT", "TRACE"].contains(&&*head.first) {
        return None;
    }
    let (authority, target) = split_target(head)?;
    let codings: Vec<_> = head.values("transfer-encoding").collect();
    if !matches!(codings[..], [])
        && !matches!(codings[..], [one] if one.eq_ignore_ascii_case(b"chunked"))
    {
        return None;
    }
    let hosts: Vec<_> = head.values("host").map(|host| String::from_utf8_lossy(host)).collect();
    let host = match (&hosts[..], authority) {
        ([], None) if head.third == "HTTP/1.0" => None,
        ([], Some(authority)) if head.third == "HTTP/1.0" => Some(authority),
        ([host], None) => Some(host.to_string()),
        ([host], Some(authority)) if authority.eq_ignore_ascii_case(host) => Some(authority),
        _ => return None,
    };
    let name = match host.as_deref().map(host_name) {
        None => None,
        Some(name) => Some(name?.to_owned()),
    };
    let client = client(head, peer);
    let mut fields = kept(head, (peer.trusts)(peer.address));
    fields.extend(own(head, host, client, has_body, peer));
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    Some(Passed { client, host: name, target, fields })
}

/// The authority of a target in absolute form, and its path and query.
fn split_target(head: &Head) -> Option<(Option<String>, String)> {
    let target = &head.second;
    if target.starts_with('/') || target == "*" && head.first == "OPTIONS" {
        return Some((None, target.clone()));
    }
    let (scheme, rest) = target.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let is_http = ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known));
    let slash = if rest[end..].starts_with('/') { "" } else { "/" };
    is_http.then(|| (Some(rest[..end].to_owned()), format!("{slash}{}", &rest[end..])))
}

/// The host of a valid `host` or `host:port` (RFC 3986, section 3.2.2, without escapes).
fn host_name(host: &str) -> Option<&str> {
    if let Some(rest) = host.strip_prefix('[') {
        let (inside, after) = rest.split_once(']')?;
        let port_is_valid = after.is_empty() || after.strip_prefix(':').is_some_and(is_port);
        return (is_ipv6(inside) && port_is_valid).then(|| &host[..inside.len() + 2]);
    }
    let (name, port) = host.split_once(':').unwrap_or((host, "0"));
    let unreserved = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
    (!name.is_empty() && name.chars().all(unreserved) && is_port(port)).then_some(name)
}

/// The nearest address that nobody but a trusted proxy vouches for.
fn client(head: &Head, peer: Peer) -> Option<IpAddr> {
    let listed: Vec<_> = head.values("x-forwarded-for").map(String::from_utf8_lossy).collect();
    let listed = listed.join(",");
    let mut hops = listed.rsplit(',').map(|hop| address(hop.trim_matches([' ', '\t'])));
    let mut nearest = peer.address;
    while (peer.trusts)(nearest) {
        let Some(Some(next)) = hops.next() else { break };
        nearest = Some(next);
    }
    nearest
}

/// What an application sees as the name of a field: many read `_`, and some any sign, as `-`.
fn as_read(name: &str) -> String {
    name.replace(|c: char| !c.is_ascii_alphanumeric(), "-")
}

/// The client's fields that go on: not for this hop alone, and nothing that only the gate may say.
fn kept(head: &Head, trusted: bool) -> Vec<Field> {
    const HOP: [&str; 8] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
    ];
    const OWN: [&str; 9] = [
        "content-length",
        "expect",
        "host",
        "trailer",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
        "x-request-id",
    ];
    const PROXYS: [&str; 5] =
        ["forwarded", "x-original-url", "x-real-ip", "x-request-id", "x-rewrite-url"];
    let nominated = head.options("connection");
    let stays = |(name, _): &&Field| {
        let read = as_read(name);
        let forwarding = read.starts_with("x-forwarded-") || PROXYS.contains(&&*read);
        let identity = ["x-consumer-username", "x-credential-identifier"].contains(&&*read);
        let goes = [&HOP[..], &OWN[..]].concat().contains(&&**name) || nominated.contains(name);
        // A field that frames the message in another spelling is one that the gate did not read.
        let framing = ["content-length", "transfer-encoding"].contains(&&*read);
        // A proxy writes the names with `-`; any other spelling is the client's.
        !goes && !identity && !framing && !(forwarding && !(trusted && read == *name))
    };
    head.fields.iter().filter(stays).cloned().collect()
}

/// The fields that the gate writes.
fn own(
    head: &Head,
    host: Option<String>,
    client: Option<IpAddr>,
    has_body: bool,
    peer: Peer,
) -> Vec<Field> {
    let trusted = (peer.trusts)(peer.address);
    let told = |name| {
        let mut values = head.values(name).filter(|_| trusted);
        values.next().map(<[u8]>::to_vec)
    };
    let host = host.map(String::into_bytes);
    let mut through: Vec<_> =
        head.values("x-forwarded-for").filter(|_| trusted).map(<[u8]>::to_vec).collect();
    through.extend(peer.address.map(|address| address.to_string().into_bytes()));
    let through = Some(through.join(&b", "[..])).filter(|_| !through.is_empty());
    let asks = |field: &str, option: &str| head.options(field).iter().any(|one| one == option);
    let websocket = head.first == "GET"
        && head.third == "HTTP/1.1"
        && !has_body
        && head.values("sec-websocket-key").next().is_some()
        && asks("upgrade", "websocket")
        && asks("connection", "upgrade");
    let trailers = asks("te", "trailers") && !websocket;
    let fields = [
        ("connection", websocket.then(|| b"upgrade".to_vec())),
        ("connection", trailers.then(|| b"te".to_vec())),
        ("host", host.clone()),
        ("te", trailers.then(|| b"trailers".to_vec())),
        ("upgrade", websocket.then(|| b"websocket".to_vec())),
        ("x-forwarded-for", through),
        ("x-forwarded-host", told("x-forwarded-host").or(host)),
        ("x-forwarded-proto", told("x-forwarded-proto").or(Some(b"http".to_vec()))),
        ("x-real-ip", client.map(|address| address.to_string().into_bytes())),
    ];
    let there = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    there.collect()
}

/// The bytes that a text stands for after one percent-decoding.
pub fn unquote(text: &str) -> Vec<u8> {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let hex = part.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => bytes.extend([&[byte], &part.as_bytes()[2..]].concat()),
            None => bytes.extend(["%", part].concat().as_bytes()),
        }
    }
    bytes
}

/// The decoded values of a parameter of a query, by its decoded name.
pub fn values(query: &str, name: &str) -> Vec<Vec<u8>> {
    let parameters = query.split('&').map(|part| part.split_once('=').unwrap_or((part, "")));
    let named = parameters.filter(|(known, _)| unquote(known) == name.as_bytes());
    named.map(|(_, value)| unquote(value)).collect()
}

/// A target without the parameters of this decoded name.
pub fn without(target: &str, name: &str) -> String {
    let Some((path, query)) = target.split_once('?') else { return target.to_owned() };
    let is_named =
        |part: &&str| unquote(part.split('=').next().unwrap_or_default()) == name.as_bytes();
    let rest: Vec<_> = query.split('&').filter(|part| !is_named(part)).collect();
    match rest.join("&") {
        _ if rest.len() == query.split('&').count() => target.to_owned(),
        rest if rest.is_empty() => path.to_owned(),
        rest => format!("{path}?{rest}"),
    }
}

/// The one key in a header field, or else in a parameter; a key that is there twice is none.
pub fn key(head: &Head, target: &str, field: &str, parameter: &str) -> Option<Vec<u8>> {
    let lines: Vec<_> = head.values(field).map(<[u8]>::to_vec).collect();
    let query = target.split_once('?').map_or("", |(_, query)| query);
    let mut found = if lines.is_empty() { values(query, parameter) } else { lines };
    found.pop().filter(|_| found.is_empty())
}

impl Passed {
    /// Takes the key out of every place where it may stand.
    pub fn hide(&mut self, field: &str, parameter: &str) {
        self.target = without(&self.target, parameter);
        self.fields.retain(|(name, _)| as_read(name) != field);
        for (_, value) in self.fields.iter_mut().filter(|(name, _)| name == "referer") {
            // A byte is a character here, and back.
            let text: String = value.iter().copied().map(char::from).collect();
            let query = text.find('?').unwrap_or(text.len());
            let end = text[query..].find('#').map_or(text.len(), |at| query + at);
            let (page, fragment) = text.split_at(end);
            let left = without(page, parameter) + fragment;
            // Blanks around a value are no part of it (RFC 9112, section 5).
            *value = left.trim_matches([' ', '\t']).chars().map(|c| c as u8).collect();
        }
    }
}
