//! Frames of HTTP/2, and what they say in HTTP/1.1 (RFC 9113, section 8).

use crate::strict::Field;

/// Between the fields of a block.
const FIELD_END: u8 = 0xff;
/// Between a name and a value.
const NAME_END: u8 = 0xfe;
/// Between the frames of a message.
pub const FRAME_END: u8 = 0xfd;

/// Begins a connection, with settings that say nothing.
pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
pub const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

const DATA: u8 = 0;
const HEADERS: u8 = 1;
pub const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// Names and values, as they go over the wire.
pub type Lines = Vec<(Vec<u8>, Vec<u8>)>;

/// The fields that a target's bytes stand for.
pub fn lines(bytes: &[u8]) -> Lines {
    let fields = bytes.split(|&byte| byte == FIELD_END).filter(|field| !field.is_empty());
    let field = |field: &[u8]| {
        let end = field.iter().position(|&byte| byte == NAME_END).unwrap_or(field.len());
        (field[..end].to_vec(), field.get(end + 1..).unwrap_or_default().to_vec())
    };
    fields.map(field).collect()
}

/// Fields as the frames of a header block, cut after so many bytes.
pub fn headers(lines: &Lines, ends_stream: bool, cut: usize) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in lines {
        // A literal that is not indexed (RFC 7541, section 6.2.2).
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text);
        }
    }
    let (first, rest) = block.split_at(cut.min(block.len()));
    let ends = if ends_stream { END_STREAM } else { 0 };
    match rest.is_empty() {
        true => frame(HEADERS, END_HEADERS | ends, first),
        false => [frame(HEADERS, ends, first), frame(CONTINUATION, END_HEADERS, rest)].concat(),
    }
}

/// A frame of a body.
pub fn data(bytes: &[u8], ends_stream: bool) -> Vec<u8> {
    frame(DATA, if ends_stream { END_STREAM } else { 0 }, bytes)
}

fn frame(kind: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = (payload.len() as u32).to_be_bytes();
    [&length[..], &[kind, flags, 0, 0, 0, 1], payload].concat()
}

/// RFC 7541, section 5.1, with a prefix of seven bits.
fn length(out: &mut Vec<u8>, length: usize) {
    let Some(mut rest) = length.checked_sub(127) else { return out.push(length as u8) };
    out.push(127);
    while rest > 127 {
        out.push(128 | (rest % 128) as u8);
        rest /= 128;
    }
    out.push(rest as u8);
}

/// Every pseudo-header field that there is.
const PSEUDO: [&str; 6] = [":method", ":scheme", ":authority", ":path", ":protocol", ":status"];

/// What says something about a connection, and may stand in no message.
const OF_CONNECTION: [&str; 5] =
    ["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// What the crate that decodes frames (`h2` 0.4.20) leaves of a block that is malformed, if it
/// comes in two frames with the boundary inside of a field: it forgets then that it was.
pub fn left_of(lines: &Lines) -> Lines {
    let (mut left, mut is_late) = (Lines::new(), false);
    for (name, value) in lines {
        let is_known = |known: &&str| known.as_bytes() == name;
        let is_pseudo = PSEUDO.iter().any(is_known);
        let is_repeated = is_pseudo && left.iter().any(|(other, _)| other == name);
        let is_of_connection = OF_CONNECTION.iter().any(is_known);
        let is_wrong_te = name == b"te" && value != b"trailers";
        let is_none = name.is_empty() || is_of_connection || is_wrong_te;
        if is_none || is_pseudo && is_late || is_repeated {
            continue;
        }
        is_late |= !is_pseudo;
        left.push((name.clone(), value.clone()));
    }
    left
}

/// A block that is well-formed: the pseudo-header fields, and the others.
struct Block<'a> {
    pseudo: Vec<(&'a str, &'a [u8])>,
    fields: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Block<'a> {
    /// Sections 8.2 and 8.3; `known` are the pseudo-header fields that there may be.
    fn of(lines: impl IntoIterator<Item = &'a (Vec<u8>, Vec<u8>)>, known: &[&str]) -> Option<Self> {
        let (mut pseudo, mut fields) = (Vec::<(&str, &[u8])>::new(), Vec::new());
        for (name, value) in lines {
            let name = std::str::from_utf8(name).ok()?;
            let is_valid = |&byte: &u8| !byte.is_ascii_control() || byte == b'\t';
            // Of a fragment, which the crate drops, nobody gets to see anything.
            let is_path = name == ":path";
            let seen = value.split(|&byte| is_path && byte == b'#').next().unwrap_or_default();
            if !seen.iter().all(is_valid) {
                return None;
            }
            if name.starts_with(':') {
                let is_first = !pseudo.iter().any(|(other, _)| *other == name);
                if !known.contains(&name) || !fields.is_empty() || !is_first {
                    return None;
                }
                pseudo.push((name, value));
                continue;
            }
            let is_token =
                |byte: u8| byte.is_ascii_graphic() && !b"\"(),/:;<=>?@[\\]{}".contains(&byte);
            let is_upper = |byte: u8| byte.is_ascii_uppercase();
            if name.is_empty() || !name.bytes().all(is_token) || name.bytes().any(is_upper) {
                return None;
            }
            if OF_CONNECTION.contains(&name) || name == "te" && *value != b"trailers" {
                return None;
            }
            fields.push((name, &value[..]));
        }
        Some(Self { pseudo, fields })
    }

    fn pseudo(&self, name: &str) -> Option<&'a [u8]> {
        self.pseudo.iter().find(|(known, _)| *known == name).map(|(_, value)| *value)
    }

    fn values(&self, name: &str) -> Vec<&'a [u8]> {
        let named = self.fields.iter().filter(|(known, _)| *known == name);
        named.map(|(_, value)| *value).collect()
    }
}

fn has_blank_ends(value: &[u8]) -> bool {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    is_blank(value.first()) || is_blank(value.last())
}

/// Fields with the bytes between them and behind them.
fn written(fields: &[(&str, &[u8])]) -> Vec<u8> {
    fields
        .iter()
        .flat_map(|(name, value)| [name.as_bytes(), b": ", value, b"\r\n"].concat())
        .collect()
}

/// The head of a request in HTTP/1.1; none: it is malformed.
pub fn request(lines: &Lines, ends_stream: bool) -> Option<Vec<u8>> {
    let block = Block::of(lines, &[":method", ":scheme", ":authority", ":path"])?;
    let (method, path) = (block.pseudo(":method")?, block.pseudo(":path")?);
    // In capitals it is the same, but nobody writes it so.
    if ![&b"http"[..], b"https"].contains(&block.pseudo(":scheme")?) {
        return None;
    }
    // A fragment is no part of a target; the crate that decodes it drops it.
    let path = std::str::from_utf8(path).ok()?.as_bytes();
    let target = path.split(|&byte| byte == b'#').next().unwrap_or_default();
    if !target.starts_with(b"/") && path != b"*" {
        return None;
    }
    let authority = block.pseudo(":authority");
    let mut values = block.fields.iter().map(|(_, value)| *value).chain(authority);
    if values.any(has_blank_ends) {
        return None;
    }
    let mut out = [method, b" ", target, b" HTTP/1.1\r\n"].concat();
    let hosts = block.values("host");
    let hosts = match authority {
        Some(authority) if hosts.iter().all(|host| host.eq_ignore_ascii_case(authority)) => {
            vec![authority]
        }
        Some(_) => return None,
        None => hosts,
    };
    let mut cookies = block.values("cookie");
    if cookies.iter().any(|crumb| !crumb.is_empty()) {
        cookies.retain(|crumb| !crumb.is_empty());
    } else {
        cookies.truncate(1);
    }
    let lengths = block.values("content-length");
    // What ends with its head has no body, whatever is said.
    let is_length = |length: &&[u8]| length.iter().all(|&digit| digit == b'0');
    if ends_stream && !lengths.iter().all(is_length) {
        return None;
    }
    out.extend(written(&hosts.iter().map(|host| ("host", *host)).collect::<Vec<_>>()));
    let mut others = block.fields.clone();
    others.retain(|(name, _)| !["host", "cookie"].contains(name));
    out.extend(written(&others));
    if !cookies.is_empty() {
        out.extend(written(&[("cookie", &cookies.join(&b"; "[..]))]));
    }
    if !ends_stream && lengths.is_empty() {
        out.extend_from_slice(b"transfer-encoding: chunked\r\n");
    }
    out.extend_from_slice(b"\r\n");
    Some(out)
}

/// A part of an upstream's answer.
pub enum Part {
    Headers(Lines),
    Data(Vec<u8>),
}

/// What an answer comes to.
#[derive(Default)]
pub struct Answer {
    /// The informational responses that are passed on, and the last one, each in HTTP/1.1.
    pub bytes: Vec<u8>,
    /// Whether its framing was put there, and is none of its fields.
    pub is_chunked: bool,
    /// What must not have been said for that.
    pub dropped: Vec<Field>,
    /// Whether there is no body, whatever follows.
    pub has_none: bool,
    /// Whether it has what the crate may drop or refuse: pseudo-header fields where none may be, or
    /// the length of what comes before a response.
    pub may_fail: bool,
}

/// An answer in HTTP/1.1, the last of whose parts ends the stream or not; none: it is malformed, or
/// not whole.
pub fn answer(parts: &[Part], ends: bool, to_head: bool) -> Option<Answer> {
    let mut answer = Answer::default();
    let mut rest = parts.iter();
    let (status, block) = loop {
        let Some(Part::Headers(lines)) = rest.next() else { return None };
        // The crate drops those of requests, whatever they say.
        let (own, others): (Vec<_>, Vec<_>) = lines.iter().partition(|(name, _)| !is_foreign(name));
        let block = Block::of(own, &[":status"])?;
        answer.may_fail |= !others.is_empty();
        let status = std::str::from_utf8(block.pseudo(":status")?).ok()?;
        let is_status = status.len() == 3 && status.bytes().all(|digit| digit.is_ascii_digit());
        if !is_status || status == "101" || status.starts_with('0') {
            return None;
        }
        if !status.starts_with('1') {
            break (status, block);
        }
        // What comes before a response has no length: whoever passes it on leaves one out, and the
        // crate may refuse it, whatever it says.
        let mut fields = block.fields.clone();
        let lengths = fields.extract_if(.., |(name, _)| *name == "content-length");
        answer.may_fail |= lengths.count() > 0;
        match status {
            "100" => answer.bytes.extend_from_slice(b"HTTP/1.1 100 \r\n\r\n"),
            "103" => answer.bytes.extend(head(status, &fields)),
            _ => {}
        }
    };
    let mut fields = block.fields.clone();
    let length = length_of(&block);
    let is_said = !block.values("content-length").is_empty();
    answer.has_none = to_head || ["204", "304"].contains(&status);
    if answer.has_none {
        // HTTP/1.1 takes blanks around a length for none of it.
        answer.may_fail |= is_said && length.is_none();
        answer.bytes.extend(head(status, &fields));
        return Some(answer);
    }
    let (data, trailers) = body(rest.as_slice(), ends, length)?;
    let is_pseudo = |(name, _): &(Vec<u8>, Vec<u8>)| name.starts_with(b":");
    answer.may_fail |= rest.any(|part| match part {
        Part::Headers(lines) => lines.iter().any(is_pseudo),
        Part::Data(_) => false,
    });
    if is_said && length.is_none() {
        return None;
    }
    if trailers.is_some() || !is_said {
        // A length may stand beside trailers here; there it may not.
        let dropped = fields.extract_if(.., |(name, _)| *name == "content-length");
        let dropped: Vec<_> = dropped.collect();
        answer.dropped = match (&dropped[..], length) {
            // Said several times, it is written anew.
            ([(name, _), _, ..], Some(length)) => {
                vec![((*name).to_owned(), length.to_string().into_bytes())]
            }
            _ => dropped.iter().map(|(name, value)| ((*name).to_owned(), value.to_vec())).collect(),
        };
        answer.is_chunked = true;
        fields.push(("transfer-encoding", b"chunked"));
    }
    answer.bytes.extend(head(status, &fields));
    match answer.is_chunked {
        false => answer.bytes.extend(data),
        true => answer.bytes.extend(chunked(&data, &trailers.unwrap_or_default())),
    }
    Some(answer)
}

fn head(status: &str, fields: &[(&str, &[u8])]) -> Vec<u8> {
    [b"HTTP/1.1 ", status.as_bytes(), b" \r\n", &written(fields), b"\r\n"].concat()
}

fn chunked(data: &[u8], trailers: &[(&str, &[u8])]) -> Vec<u8> {
    let mut out = Vec::new();
    if !data.is_empty() {
        out = [format!("{:x}\r\n", data.len()).as_bytes(), data, b"\r\n"].concat();
    }
    out.extend([b"0\r\n", &written(trailers)[..], b"\r\n"].concat());
    out
}

/// How long a body is, where that is said, as often as it may be.
fn length_of(block: &Block<'_>) -> Option<usize> {
    let number = |value: &&[u8]| {
        let text = std::str::from_utf8(value).ok()?;
        let is_number = !text.is_empty() && text.bytes().all(|digit| digit.is_ascii_digit());
        is_number.then(|| text.parse().ok())?
    };
    let values = block.values("content-length");
    let first = values.first().and_then(number);
    first.filter(|_| values.iter().all(|other| number(other) == first))
}

/// Whether these may be trailers, but for what is left out of them: names with a quotation mark in
/// them and pseudo-header fields.
fn is_well_formed(lines: &Lines) -> bool {
    let plain =
        |name: &[u8]| name.iter().map(|&byte| if byte == b'"' { b'!' } else { byte }).collect();
    let lines = lines.iter().filter(|(name, _)| !is_foreign(name));
    let lines: Lines = lines.map(|(name, value)| (plain(name), value.clone())).collect();
    Block::of(&lines, &PSEUDO).is_some()
}

/// Whether this is a pseudo-header field that belongs into no response.
fn is_foreign(name: &[u8]) -> bool {
    PSEUDO.iter().any(|known| known.as_bytes() == name) && name != b":status"
}

type Trailers<'a> = Option<Vec<(&'a str, &'a [u8])>>;

/// What follows a head. When all that was announced has come, it is whole, whatever follows.
fn body(parts: &[Part], ends: bool, length: Option<usize>) -> Option<(Vec<u8>, Trailers<'_>)> {
    let (mut data, mut trailers) = (Vec::new(), None);
    for part in parts {
        let is_all = length == Some(data.len());
        match part {
            _ if trailers.is_some() => return is_all.then_some((data, None)),
            Part::Data(bytes) if is_all && !bytes.is_empty() => return Some((data, None)),
            Part::Data(bytes) => data.extend_from_slice(bytes),
            Part::Headers(lines) => {
                if !is_well_formed(lines) {
                    return is_all.then_some((data, None));
                }
                let is_left = |(name, _): &&(Vec<u8>, Vec<u8>)| {
                    !name.contains(&b'"') && !name.starts_with(b":")
                };
                let left = Block::of(lines.iter().filter(is_left), &[])?;
                trailers = Some(left.fields);
            }
        }
    }
    match (ends, length.map(|length| length == data.len())) {
        (true, None | Some(true)) => Some((data, trailers)),
        (false, Some(true)) => Some((data, None)),
        (false, None) | (_, Some(false)) => None,
    }
}
