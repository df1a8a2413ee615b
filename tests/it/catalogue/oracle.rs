//! The five invariants, each as one check: only what is allowed, once, no key, all bytes, at rest.

use std::collections::HashSet;
use std::fs;

use super::setup::probed;
use crate::support::{
    DEADLINE, Failures, Framing, Gate, Head, Origin, Recorded, head_end, holds_within, visible,
};

/// A request that may reach the origin.
#[derive(Clone, Debug)]
pub(super) struct Allowed {
    /// The target that the origin gets to see.
    pub(super) target: String,
    /// What the client sent, if the rest must be what it sent.
    pub(super) sent: Option<Vec<u8>>,
}

/// I1 and I4: each request that reached the origin was allowed, each that was allowed reached it,
/// and its bytes are those that were sent.
pub(super) fn only_allowed(
    failures: &mut Failures,
    arrived: &[&Recorded],
    allowed: &[Allowed],
    credentials: &[String],
) {
    let mut left: Vec<_> = allowed.iter().collect();
    for one in arrived {
        // Of several with one target any may come first.
        let is_alike = |allowed: &&Allowed| allowed.target == one.target();
        let is_whole = |allowed: &&Allowed| {
            let sent = allowed.sent.as_deref();
            sent.is_none_or(|sent| change(sent, one, credentials).is_none())
        };
        let whole = left.iter().position(|allowed| is_alike(allowed) && is_whole(allowed));
        let same_target = whole.or_else(|| left.iter().position(is_alike));
        failures.row(same_target.is_some(), || {
            format!("I1: not allowed upstream: {}", String::from_utf8_lossy(&one.head.raw))
        });
        let sent = same_target.and_then(|at| left.remove(at).sent.as_deref());
        if let Some(change) = sent.and_then(|sent| change(sent, one, credentials)) {
            failures.row(false, || format!("I4: {change}"));
        }
    }
    failures.row(left.is_empty(), || format!("I1: never reached the origin: {left:?}"));
}

/// I2: no request reached the origin twice.
pub(super) fn once(failures: &mut Failures, arrived: &[Recorded]) {
    let mut seen = HashSet::new();
    for one in arrived {
        let id = one.head.value("x-request-id").unwrap_or_default();
        failures.row(id.is_empty() || seen.insert(id), || format!("I2: {id} came twice"));
    }
}

/// I5: it runs, it said nothing of a panic, it serves the next request, and it has closed what it
/// had opened.
pub(super) fn rests(
    failures: &mut Failures,
    gate: &Gate,
    origin: &Origin,
    files: usize,
    probe: &str,
) {
    failures.row(gate.exit_status().is_none(), || "I5: the gate has ended".to_owned());
    failures.row(probed(gate, probe), || "I5: the next request is not served".to_owned());
    let closed = holds_within(DEADLINE, || open_files(gate, origin) <= files + SPARE_FILES);
    failures.row(closed, || {
        let open = open_names(gate, origin);
        format!("I5: {} files are open, {files} at the start: {open:?}", open.len())
    });
    failures.row(!gate.has_panicked(), || "I5: a panic in the log".to_owned());
}

/// How many more files may be open in the end than at the start.
const SPARE_FILES: usize = 2;

/// How many files a gate has open, without the connections that it keeps to the origin.
pub(super) fn open_files(gate: &Gate, origin: &Origin) -> usize {
    open_names(gate, origin).len()
}

/// Those files as the system names them.
fn open_names(gate: &Gate, origin: &Origin) -> Vec<String> {
    let kept = connections_to(origin.address.port());
    let entries = fs::read_dir(format!("/proc/{}/fd", gate.pid())).into_iter().flatten().flatten();
    let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    let names = links.map(|link| link.to_string_lossy().into_owned());
    names.filter(|name| !kept.contains(name)).collect()
}

/// The sockets of this machine that are connected to a port, named as `/proc/PID/fd` names them.
fn connections_to(port: u16) -> HashSet<String> {
    let table = fs::read_to_string("/proc/net/tcp").unwrap_or_default();
    let to_port = |line: &str| {
        let mut words = line.split_whitespace();
        let remote = words.nth(2)?;
        let inode = words.nth(6)?;
        remote.ends_with(&format!(":{port:04X}")).then(|| format!("socket:[{inode}]"))
    };
    table.lines().filter_map(to_port).collect()
}

/// Fields that a gate removes or writes itself (RFC 9110, section 7.6.1; DESIGN, section 3): they
/// are not compared. All other letters of a name are compared as if written with `-`.
const OWN: &[&str] = &[
    "connection",
    "content-length",
    "expect",
    "forwarded",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "x-consumer-username",
    "x-credential-identifier",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-real-ip",
    "x-request-id",
];

/// What differs between a request as it was sent and as it arrived, credentials left out.
fn change(sent: &[u8], arrived: &Recorded, credentials: &[String]) -> Option<String> {
    let end = head_end(sent).unwrap_or(sent.len());
    let head = Head::parse(&sent[..end]);
    let method = |head: &Head| head.start.split(' ').next().unwrap_or_default().to_owned();
    if method(&head) != method(&arrived.head) {
        return Some(format!("the method of {:?} became that of {:?}", head, arrived.head.start));
    }
    let nominated = head.values("connection").join(",").to_ascii_lowercase();
    let nominated: Vec<_> = nominated.split(',').map(str::trim).collect();
    let compared = |name: &str| {
        let plain = name.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let is_own = OWN.contains(&&*plain) || plain.starts_with("x-forwarded-");
        // An HTTP/1.0 request and an absolute target may go without; then it is the gate's.
        let is_own = is_own || name == "host" && !head.has("host");
        !is_own && !credentials.contains(&plain) && !nominated.contains(&name)
    };
    let (before, after) = (fields(&head.fields, compared), fields(&arrived.head.fields, compared));
    if before != after {
        return Some(format!("fields {before:?} became {after:?}"));
    }
    let (body, trailers) = match head.framing() {
        Framing::Chunked => dechunked(&sent[end..]),
        Framing::Length(length) => {
            let body = &sent[end..];
            (body[..length.min(body.len())].to_vec(), Vec::new())
        }
        Framing::None => (Vec::new(), Vec::new()),
    };
    if body != arrived.body {
        return Some(format!("body {:?} became {:?}", visible(&body), visible(&arrived.body)));
    }
    let came = fields(&trailers, compared);
    let invented: Vec<_> = fields(&arrived.trailers, compared)
        .into_iter()
        .filter(|trailer| !came.contains(trailer))
        .collect();
    (!invented.is_empty()).then(|| format!("trailers {came:?} became {invented:?}"))
}

/// A field's name in lower case, and all its values.
type Field = (String, Vec<String>);

/// The fields that are compared, each where it first stands, with all its values in order.
fn fields(lines: &[(String, String)], compared: impl Fn(&str) -> bool) -> Vec<Field> {
    let mut fields: Vec<Field> = Vec::new();
    for (name, value) in lines {
        let name = name.to_ascii_lowercase();
        match fields.iter_mut().find(|(known, _)| *known == name) {
            Some((_, values)) => values.push(value.clone()),
            None => fields.push((name, vec![value.clone()])),
        }
    }
    fields.retain(|(name, _)| compared(name));
    // `Host` stands first upstream, wherever the client wrote it.
    fields.sort_by_key(|(name, _)| name != "host");
    fields
}

/// The body and the trailers that a well-formed chunked body holds.
fn dechunked(mut rest: &[u8]) -> (Vec<u8>, Vec<(String, String)>) {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|two| two == b"\r\n") {
        let line = String::from_utf8_lossy(&rest[..end]).into_owned();
        rest = &rest[end + 2..];
        let size = line.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).unwrap_or(0).min(rest.len());
        if size == 0 {
            break;
        }
        body.extend_from_slice(&rest[..size]);
        rest = rest.get(size + 2..).unwrap_or_default();
    }
    // An empty line stands for the first line of a head.
    (body, Head::parse(&[b"\r\n", rest].concat()).fields)
}
