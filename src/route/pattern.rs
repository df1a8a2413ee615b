//! What a location's `path` and `host` may say, and whether one path or host fits it.

use std::cmp::Reverse;
use std::net::Ipv6Addr;
use std::{fmt, iter};

use regex::bytes::{Regex, RegexBuilder};

use super::readings::{decode, escaped, is_unreserved, readings, upper_case_escapes};

/// The most memory that one compiled regex may take; it bounds the time that compiling takes too.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// The longest host name (RFC 1035, section 2.3.4).
const HOST_LIMIT: usize = 253;

/// A location's `path`.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// `=/exact`
    Exact(Literal),
    /// `/prefix`, which matches at a segment boundary only; kept without the slash at its end.
    Prefix(Literal),
    /// `~regex`
    Regex(CaseRegex),
}

/// A path that is compared byte for byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Literal {
    /// As it was written, with its escapes in upper case.
    written: String,
    /// With its escapes decoded: how a reading of a request may have it.
    decoded: Vec<u8>,
}

/// A regex, and the same without regard to case.
#[derive(Clone, Debug)]
pub struct CaseRegex {
    written: Regex,
    folded: Regex,
}

/// How a path is compared with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Look {
    /// Without regard to case.
    pub(super) fold: bool,
    /// Without regard to slashes at the end, as many frameworks do.
    pub(super) slash: bool,
}

impl Look {
    /// As the pattern was written.
    pub(super) const STRICT: Self = Self { fold: false, slash: false };
}

impl PathPattern {
    /// Reads a `path`; the error is a sentence.
    ///
    /// # Errors
    ///
    /// When no request could match it, because of its form or of what a path may hold.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.as_bytes().first() {
            None => Err("the path is empty; \"/\" matches every path".to_owned()),
            Some(b'~') => parse_regex(&text[1..]),
            Some(b'=') if !text.starts_with("=/") => {
                Err("after \"=\" the path begins with \"/\"".to_owned())
            }
            Some(b'=') => parse_literal(&text[1..]).map(Self::Exact),
            Some(b'/') => parse_literal(text).map(|path| Self::Prefix(path.without_slash())),
            Some(_) => Err("a path begins with \"/\" (a prefix), \"=/\" (this path only) or \
                            \"~\" (a regex)"
                .to_owned()),
        }
    }

    /// Whether a path, or a reading of one, fits.
    pub(super) fn fits(&self, path: &[u8], look: Look) -> bool {
        let trimmed = if look.slash { trim_slashes(path) } else { path };
        match self {
            Self::Exact(literal) => literal.forms().any(|form| {
                let form = if look.slash { trim_slashes(form) } else { form };
                equal(form, trimmed, look.fold)
            }),
            Self::Prefix(literal) => literal.forms().any(|form| is_prefix(form, path, look.fold)),
            Self::Regex(regex) => {
                let regex = if look.fold { &regex.folded } else { &regex.written };
                regex.is_match(path) || (look.slash && regex.is_match(trimmed))
            }
        }
    }

    /// Whether a lower-case path may fit only when case does not count.
    pub(super) fn has_case(&self) -> bool {
        match self {
            Self::Exact(path) | Self::Prefix(path) => {
                path.decoded.iter().any(u8::is_ascii_uppercase)
            }
            Self::Regex(_) => true,
        }
    }

    /// Whether a path without a slash at its end may fit only when that slash does not count.
    pub(super) fn has_slash(&self) -> bool {
        matches!(self, Self::Exact(path) if path.decoded.len() > 1 && path.decoded.ends_with(b"/"))
    }

    /// Whether every path that a regex fits is taken by this prefix, which is tried before it; as
    /// far as the beginning of the regex tells.
    pub fn precedes_all_of(&self, regex: &Self) -> bool {
        let (Self::Prefix(prefix), Self::Regex(regex)) = (self, regex) else { return false };
        let start = literal_start(regex.written.as_str());
        let below = start.strip_prefix(&*prefix.written);
        prefix.written.is_empty() || below.is_some_and(|below| below.starts_with('/'))
    }

    /// Whether it is a regex that may fit in the midst of a path.
    pub fn is_unanchored(&self) -> bool {
        let Self::Regex(regex) = self else { return false };
        let source = regex.written.as_str();
        // A group of flags alone, as in `(?i)^/a`, comes before everything.
        let flags = source.strip_prefix("(?").and_then(|rest| rest.split_once(')'));
        let source = flags.filter(|(flags, _)| is_flags(flags)).map_or(source, |(_, rest)| rest);
        !source.starts_with('^') && !source.starts_with("\\A")
    }

    /// Before whom a pattern is tried: exact paths, then prefixes, the longest first, then regexes.
    pub(super) fn rank(&self) -> (u8, Reverse<usize>) {
        match self {
            Self::Exact(_) => (0, Reverse(0)),
            Self::Prefix(path) => (1, Reverse(path.decoded.len())),
            Self::Regex(_) => (2, Reverse(0)),
        }
    }
}

fn is_flags(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-')
}

/// What every path begins with that a regex fits.
fn literal_start(regex: &str) -> &str {
    let Some(rest) = regex.strip_prefix('^').filter(|rest| !rest.contains('|')) else { return "" };
    let end = rest.find(|c| "\\.+*?()[]{}^$".contains(c)).unwrap_or(rest.len());
    // What a quantifier stands behind may be missing.
    let optional = rest[end..].starts_with(['*', '?', '{']);
    let start = &rest[..end];
    match start.char_indices().last() {
        Some((last, _)) if optional => &start[..last],
        _ => start,
    }
}

impl Literal {
    fn without_slash(mut self) -> Self {
        self.written.truncate(trim_slashes(self.written.as_bytes()).len());
        self.decoded.truncate(trim_slashes(&self.decoded).len());
        self
    }

    fn forms(&self) -> impl Iterator<Item = &[u8]> {
        let escaped = self.decoded.len() != self.written.len();
        iter::once(self.written.as_bytes()).chain(escaped.then_some(&self.decoded[..]))
    }
}

fn trim_slashes(path: &[u8]) -> &[u8] {
    let kept = path.iter().rposition(|&byte| byte != b'/').map_or(0, |last| last + 1);
    &path[..kept]
}

fn equal(a: &[u8], b: &[u8], fold: bool) -> bool {
    if fold { a.eq_ignore_ascii_case(b) } else { a == b }
}

fn is_prefix(prefix: &[u8], path: &[u8], fold: bool) -> bool {
    // `/`, which most configurations end with. To compare nothing with nothing, at no address, is
    // left to the processor's microcode where it is done with a mask (AVX-512): a fiftieth of all
    // the time of a 401, in 7 instructions.
    if prefix.is_empty() {
        return path.first().is_none_or(|&byte| byte == b'/');
    }
    matches!(path.get(prefix.len()), None | Some(b'/'))
        && path.get(..prefix.len()).is_some_and(|start| equal(prefix, start, fold))
}

/// Equal are patterns that match the same because they say the same.
impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) | (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Regex(a), Self::Regex(b)) => a.written.as_str() == b.written.as_str(),
            _ => false,
        }
    }
}

impl Eq for PathPattern {}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "={}", path.written),
            Self::Prefix(path) => write!(f, "{}/", path.written),
            Self::Regex(regex) => write!(f, "~{}", regex.written.as_str()),
        }
    }
}

fn parse_regex(source: &str) -> Result<PathPattern, String> {
    if source.is_empty() {
        return Err("the regex is empty; \"/\" matches every path".to_owned());
    }
    let build = |fold| {
        RegexBuilder::new(source).case_insensitive(fold).size_limit(REGEX_SIZE_LIMIT).build()
    };
    match (build(false), build(true)) {
        (Ok(written), Ok(folded)) => Ok(PathPattern::Regex(CaseRegex { written, folded })),
        (Err(error), _) | (_, Err(error)) => Err(format!("the regex does not compile: {error}")),
    }
}

/// Reads a path that is compared byte for byte.
fn parse_literal(text: &str) -> Result<Literal, String> {
    if let Some(refused) = text.chars().find(|&c| !c.is_ascii_graphic() || "?#\\".contains(c)) {
        return Err(match refused {
            '?' | '#' => format!("a path ends before \"{refused}\"; only the path is compared"),
            '\\' => "a path is written with \"/\", not with \"\\\"".to_owned(),
            ' ' => "a path holds no blanks; write %20".to_owned(),
            c if c.is_ascii_control() => "a path holds no control characters".to_owned(),
            _ => "a path holds ASCII only; percent-encode the rest as UTF-8".to_owned(),
        });
    }
    check_escapes(text)?;
    let written = upper_case_escapes(text.as_bytes());
    let decoded = decode(&written, |_| true).unwrap_or_else(|| written.clone());
    let written = String::from_utf8(written).map_err(|error| error.to_string())?;
    let literal = Literal { written, decoded };
    check_readings(&literal)?;
    Ok(literal)
}

/// Refuses what is no escape, and escapes that only make a path hard to read.
fn check_escapes(text: &str) -> Result<(), String> {
    for (at, _) in text.match_indices('%') {
        match escaped(&text.as_bytes()[at..]) {
            None => return Err("after \"%\" two hexadecimal digits are needed".to_owned()),
            Some(byte) if byte == b'/' || is_unreserved(byte) => {
                return Err(format!("write \"{}\" as it is", char::from(byte)));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Refuses a path that some reading of it does not fit: every request to it would be ambiguous.
fn check_readings(literal: &Literal) -> Result<(), String> {
    let fits = |reading: &[u8]| literal.forms().any(|form| form == reading);
    match readings(literal.written.clone().into_bytes()) {
        Some(all) => match all.iter().find(|reading| !fits(reading)) {
            None => Ok(()),
            Some(reading) => Err(format!(
                "servers differ on how they read this path; \"{}\" is one way",
                reading.escape_ascii()
            )),
        },
        None => Err("servers differ on how they read this path".to_owned()),
    }
}

/// One of a location's `host`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host, in lower case.
    Exact(String),
    /// Every host below this one, in lower case and without the `*.`.
    Below(String),
}

impl HostPattern {
    /// Reads one host; the error is a sentence.
    ///
    /// # Errors
    ///
    /// When no request could match it.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text.starts_with('[') {
            return parse_ipv6(text);
        }
        if text.contains("://") {
            return Err("a host has no scheme; write only the name".to_owned());
        }
        if text.contains('/') {
            return Err("a host has no path; write it as `path`".to_owned());
        }
        if text.contains(':') {
            return Err("a host has no port; keygate listens where `listen` says".to_owned());
        }
        if !text.is_ascii() {
            return Err("a host holds ASCII only; write a name in its xn-- form".to_owned());
        }
        let lower = text.to_ascii_lowercase();
        let name = lower.strip_suffix('.').unwrap_or(&lower);
        let (below, name) = name.strip_prefix("*.").map_or((false, name), |name| (true, name));
        if name.contains('*') {
            return Err(
                "a \"*\" stands only for the whole first part, as in \"*.example.com\"".to_owned()
            );
        }
        if name.len() > HOST_LIMIT || !name.split('.').all(is_label) {
            return Err("it is not a host name or address".to_owned());
        }
        Ok(if below { Self::Below(name.to_owned()) } else { Self::Exact(name.to_owned()) })
    }

    /// Reads several hosts, separated by commas.
    ///
    /// # Errors
    ///
    /// When one of them is not a host.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, String> {
        text.split(',')
            .map(str::trim)
            .map(|host| Self::parse(host).map_err(|error| format!("{host:?}: {error}")))
            .collect()
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Below(host) => write!(f, "*.{host}"),
        }
    }
}

fn parse_ipv6(text: &str) -> Result<HostPattern, String> {
    text.strip_prefix('[')
        .and_then(|text| text.strip_suffix(']'))
        .and_then(|address| address.parse::<Ipv6Addr>().ok())
        .map(|address| HostPattern::Exact(format!("[{address}]")))
        .ok_or_else(|| "it is not an IPv6 address in brackets, without a port".to_owned())
}

/// A part of a host name. `_` is in no registered name, but in those of many containers.
fn is_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
}
