//! A strict reader of HTTP/1.1 messages (RFC 9112): it makes use of no leniency that a recipient
//! MAY show, so whatever it takes whole is read alike by everybody.

/// How far a message could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Read<T> {
    /// It may go on.
    Incomplete,
    /// It breaks this rule.
    Wrong(&'static str),
    /// It is whole, and so many bytes long.
    Whole(T, usize),
}

impl<T> Read<T> {
    fn map<U>(self, change: impl FnOnce(T) -> U) -> Read<U> {
        match self {
            Read::Whole(value, length) => Read::Whole(change(value), length),
            Read::Wrong(rule) => Read::Wrong(rule),
            Read::Incomplete => Read::Incomplete,
        }
    }
}

/// A name in lower case and a value without the blanks around it.
pub type Field = (String, Vec<u8>);

/// The first line of a message, by its three parts, and its fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// A request's method, or a response's version.
    pub first: String,
    /// A request's target, or a response's status.
    pub second: String,
    /// A request's version, or a response's reason.
    pub third: String,
    /// In the order in which they came.
    pub fields: Vec<Field>,
}

/// How a body is framed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// There is none.
    None,
    /// So many bytes.
    Length(usize),
    /// Chunks.
    Chunked,
}

/// What follows a head.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Body {
    pub data: Vec<u8>,
    pub trailers: Vec<Field>,
}

impl Head {
    /// The values of a field, by its name in lower case.
    pub fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a [u8]> {
        let named = self.fields.iter().filter(move |(known, _)| known == name);
        named.map(|(_, value)| value.as_slice())
    }

    /// The members of a field that is a list, in lower case.
    pub fn options(&self, name: &str) -> Vec<String> {
        let values = self.values(name).map(String::from_utf8_lossy);
        let lists = values.map(|value| value.to_ascii_lowercase());
        lists
            .flat_map(|list| list.split(',').map(|one| one.trim().to_owned()).collect::<Vec<_>>())
            .collect()
    }

    /// How the body of a request is framed (RFC 9112, section 6.3).
    pub fn framing(&self) -> Result<Framing, &'static str> {
        let codings: Vec<_> = self.values("transfer-encoding").collect();
        // Many a recipient keeps a length in 64 bits with a sign.
        let fits = |length: &usize| isize::try_from(*length).is_ok();
        let length = |value| number(value, 10).filter(fits);
        let mut lengths = self.values("content-length").map(length);
        let length = match lengths.next() {
            None => None,
            Some(None) => return Err("content-length"),
            Some(length) if lengths.all(|other| other == length) => length,
            Some(_) => return Err("content-length"),
        };
        match (&codings[..], length) {
            ([], None) => Ok(Framing::None),
            ([], Some(length)) => Ok(Framing::Length(length)),
            ([coding], _) if !coding.eq_ignore_ascii_case(b"chunked") => Err("transfer-encoding"),
            ([_], _) if self.third == "HTTP/1.0" => Err("transfer-encoding in HTTP/1.0"),
            ([_], None) => Ok(Framing::Chunked),
            ([_], Some(_)) => Err("a coding and a length"),
            _ => Err("transfer-encoding"),
        }
    }
}

/// Reads the head of a request.
pub fn request_head(bytes: &[u8]) -> Read<Head> {
    head(bytes, |line| {
        let mut parts = line.splitn(3, |&byte| byte == b' ');
        let [Some(method), Some(target), Some(version)] =
            [parts.next(), parts.next(), parts.next()]
        else {
            return Err("the request line");
        };
        match () {
            () if !is_token(method) => Err("the method"),
            () if target.is_empty() || !target.iter().all(u8::is_ascii_graphic) => {
                Err("the target")
            }
            // No method in use has one either.
            () if line.contains(&b'#') => Err("a fragment"),
            () if version != b"HTTP/1.1" && version != b"HTTP/1.0" => Err("the version"),
            () => Ok([method, target, version]),
        }
    })
}

/// Reads the head of a response.
pub fn response_head(bytes: &[u8]) -> Read<Head> {
    head(bytes, |line| {
        let mut parts = line.splitn(3, |&byte| byte == b' ');
        let [Some(version), Some(status), Some(reason)] =
            [parts.next(), parts.next(), parts.next()]
        else {
            return Err("the status line");
        };
        match () {
            () if version != b"HTTP/1.1" && version != b"HTTP/1.0" => Err("the version"),
            () if status.len() != 3 || number(status, 10).is_none_or(|n| n < 100) => {
                Err("the status")
            }
            () if !is_value(reason) => Err("the reason"),
            () => Ok([version, status, reason]),
        }
    })
}

/// Reads a body.
pub fn body(framing: Framing, bytes: &[u8]) -> Read<Body> {
    let counted = |data: &[u8]| Body { data: data.to_vec(), trailers: Vec::new() };
    match framing {
        Framing::None => Read::Whole(Body::default(), 0),
        Framing::Length(length) => match bytes.get(..length) {
            Some(data) => Read::Whole(counted(data), length),
            None => Read::Incomplete,
        },
        Framing::Chunked => chunks(bytes),
    }
}

/// Reads a request with its body.
pub fn request(bytes: &[u8]) -> Read<(Head, Body)> {
    let (head, start) = match request_head(bytes) {
        Read::Whole(head, start) => (head, start),
        Read::Wrong(rule) => return Read::Wrong(rule),
        Read::Incomplete => return Read::Incomplete,
    };
    match head.framing().map(|framing| body(framing, &bytes[start..])) {
        Ok(Read::Whole(body, length)) => Read::Whole((head, body), start + length),
        Ok(read) => read.map(|body| (head, body)),
        Err(rule) => Read::Wrong(rule),
    }
}

/// A request of a connection.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: Head,
    pub framing: Framing,
    /// None: it does not come to its end.
    pub body: Option<Body>,
    /// Whether it has a length as well as a coding. The coding counts, and the connection ends
    /// (RFC 9112, section 6.3).
    pub is_framed_twice: bool,
}

/// Why the bytes of a connection end where they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Behind a request.
    Between,
    /// Within one.
    Within,
    /// This rule is broken.
    Wrong(&'static str),
}

/// Reads the requests of a connection, as far as they are valid.
pub fn requests(mut bytes: &[u8]) -> (Vec<Request>, End) {
    let mut all = Vec::new();
    loop {
        // RFC 9112, section 2.2: empty lines before a request are ignored.
        while let Some(rest) = bytes.strip_prefix(b"\r\n") {
            bytes = rest;
        }
        let (head, start) = match request_head(bytes) {
            Read::Whole(head, start) => (head, start),
            Read::Wrong(rule) => return (all, End::Wrong(rule)),
            Read::Incomplete if bytes.is_empty() => return (all, End::Between),
            Read::Incomplete => return (all, End::Within),
        };
        let (framing, is_framed_twice) = match head.framing() {
            Ok(framing) => (framing, false),
            Err("a coding and a length") => (Framing::Chunked, true),
            Err(rule) => return (all, End::Wrong(rule)),
        };
        let (body, length, end) = match body(framing, &bytes[start..]) {
            Read::Whole(body, length) => (Some(body), length, None),
            Read::Wrong(rule) => (None, 0, Some(End::Wrong(rule))),
            Read::Incomplete => (None, 0, Some(End::Within)),
        };
        all.push(Request { head, framing, body, is_framed_twice });
        if let Some(end) = end {
            return (all, end);
        }
        bytes = &bytes[start + length..];
    }
}

fn head<'b>(
    bytes: &'b [u8],
    first: impl Fn(&'b [u8]) -> Result<[&'b [u8]; 3], &'static str>,
) -> Read<Head> {
    let first_line = bytes.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
    let Some(end) = fields_end(bytes, first_line) else { return Read::Incomplete };
    let (line, length) = match line(&bytes[..end]) {
        Read::Whole(line, length) => (line, length),
        Read::Wrong(rule) => return Read::Wrong(rule),
        Read::Incomplete => return Read::Incomplete,
    };
    let parts = match first(line) {
        Ok(parts) => parts.map(|part| String::from_utf8_lossy(part).into_owned()),
        Err(rule) => return Read::Wrong(rule),
    };
    let [first, second, third] = parts;
    match fields(&bytes[length..end]) {
        Read::Whole(fields, rest) if length + rest == end => {
            Read::Whole(Head { first, second, third, fields }, end)
        }
        Read::Whole(..) | Read::Incomplete => Read::Wrong("an end of line"),
        Read::Wrong(rule) => Read::Wrong(rule),
    }
}

/// Where the fields that begin at `start` end for anybody: behind the first empty line, however
/// lines end.
fn fields_end(bytes: &[u8], mut start: usize) -> Option<usize> {
    while let Some(length) = bytes[start..].iter().position(|&byte| byte == b'\n') {
        let line = &bytes[start..start + length];
        start += length + 1;
        if matches!(line, b"" | b"\r") {
            return Some(start);
        }
    }
    None
}

/// A line without its end.
fn line(bytes: &[u8]) -> Read<&[u8]> {
    let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else { return Read::Incomplete };
    match bytes[..end].strip_suffix(b"\r") {
        Some(line) if !line.contains(&b'\r') => Read::Whole(line, end + 1),
        Some(_) => Read::Wrong("a bare CR"),
        None => Read::Wrong("an end of line"),
    }
}

/// Fields and the empty line behind them.
fn fields(bytes: &[u8]) -> Read<Vec<Field>> {
    let mut fields = Vec::new();
    let mut at = 0;
    loop {
        let (line, length) = match line(&bytes[at..]) {
            Read::Whole(line, length) => (line, length),
            Read::Wrong(rule) => return Read::Wrong(rule),
            Read::Incomplete => return Read::Incomplete,
        };
        at += length;
        if line.is_empty() {
            return Read::Whole(fields, at);
        }
        match field(line) {
            Some(field) => fields.push(field),
            None => return Read::Wrong("a field"),
        }
    }
}

fn field(line: &[u8]) -> Option<Field> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    let is_blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let start = value.iter().position(|byte| !is_blank(byte)).unwrap_or(value.len());
    let end = value.iter().rposition(|byte| !is_blank(byte)).map_or(start, |last| last + 1);
    let name = String::from_utf8(name.to_ascii_lowercase())
        .ok()
        .filter(|name| is_token(name.as_bytes()))?;
    is_value(value).then(|| (name, value[start..end].to_vec()))
}

/// RFC 9112, section 7.1.
fn chunks(bytes: &[u8]) -> Read<Body> {
    let mut body = Body::default();
    let mut at = 0;
    loop {
        let (size, length) = match line(&bytes[at..]) {
            Read::Whole(line, length) => match chunk_size(line) {
                Ok(size) => (size, length),
                Err(rule) => return Read::Wrong(rule),
            },
            Read::Wrong(rule) => return Read::Wrong(rule),
            Read::Incomplete => return Read::Incomplete,
        };
        at += length;
        if size == 0 {
            return match fields(&bytes[at..]) {
                Read::Wrong(_) if fields_end(bytes, at).is_none() => Read::Incomplete,
                Read::Whole(trailers, length) => {
                    Read::Whole(Body { trailers, ..body }, at + length)
                }
                read => read.map(|_| Body::default()),
            };
        }
        let data = &bytes[at..];
        match data.get(size..).map(|end| end.get(..2).ok_or(end)) {
            Some(Ok(b"\r\n")) => body.data.extend_from_slice(&data[..size]),
            None | Some(Err(b"" | b"\r")) => return Read::Incomplete,
            Some(_) => return Read::Wrong("the end of a chunk"),
        }
        at += size + 2;
    }
}

fn chunk_size(line: &[u8]) -> Result<usize, &'static str> {
    let end = line.iter().position(|byte| !byte.is_ascii_hexdigit()).unwrap_or(line.len());
    if !are_extensions(&line[end..]) {
        return Err(if end == 0 { "the size of a chunk" } else { "an extension of a chunk" });
    }
    // More digits than fit are refused even if they are noughts.
    number(&line[..end], 16).filter(|_| end <= 16).ok_or("the size of a chunk")
}

/// RFC 9112, section 7.1.1: `;name`, `;name=token` or `;name="quoted"`, as often as one likes; the
/// blanks that it calls bad are not taken.
fn are_extensions(mut rest: &[u8]) -> bool {
    let token =
        |text: &[u8]| text.iter().position(|byte| !is_token(&[*byte])).unwrap_or(text.len());
    while !rest.is_empty() {
        let Some(extension) = rest.strip_prefix(b";") else { return false };
        let (name, after) = extension.split_at(token(extension));
        rest = after;
        if name.is_empty() {
            return false;
        }
        let Some(value) = after.strip_prefix(b"=") else { continue };
        let length = if value.starts_with(b"\"") { quoted(value) } else { token(value) };
        if length == 0 {
            return false;
        }
        rest = &value[length..];
    }
    true
}

/// How long the quoted string is that stands here; 0: there is none.
fn quoted(text: &[u8]) -> usize {
    let mut at = 1;
    loop {
        match text.get(at..) {
            Some([b'"', ..]) => return at + 1,
            Some([b'\\', escaped, ..]) if is_value(&[*escaped]) => at += 2,
            Some([byte, ..]) if *byte != b'\\' && is_value(&[*byte]) => at += 1,
            _ => return 0,
        }
    }
}

fn number(digits: &[u8], radix: u32) -> Option<usize> {
    let digits = std::str::from_utf8(digits).ok()?;
    let only_digits = !digits.is_empty() && digits.chars().all(|digit| digit.is_digit(radix));
    usize::from_str_radix(digits, radix).ok().filter(|_| only_digits)
}

/// RFC 9110, section 5.6.2.
pub fn is_token(text: &[u8]) -> bool {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    !text.is_empty() && text.iter().all(is_tchar)
}

/// RFC 9110, section 5.5.
fn is_value(text: &[u8]) -> bool {
    text.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}
