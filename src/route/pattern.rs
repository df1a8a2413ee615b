//! What a location's `path` and `host` may say, and whether one path or host fits it.

use std::fmt;
use std::net::Ipv6Addr;

use regex::bytes::{Regex, RegexBuilder};

/// The most memory that one compiled regex may take; it bounds the time that compiling takes too.
const REGEX_SIZE_LIMIT: usize = 1 << 20;

/// The longest host name (RFC 1035, section 2.3.4).
const HOST_LIMIT: usize = 253;

/// A location's `path`.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// `=/exact`
    Exact(String),
    /// `/prefix`, which matches at a segment boundary only; kept without the slashes at its end.
    Prefix(String),
    /// `~regex`, and the same without regard to case.
    Regex(Regex, Regex),
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
            Some(b'=') => parse_literal(&text[1..]).map(Self::Exact),
            Some(b'/') => {
                parse_literal(text).map(|path| Self::Prefix(path.trim_end_matches('/').to_owned()))
            }
            Some(_) => Err("a path begins with \"/\" (a prefix), \"=/\" (this path only) or \
                            \"~\" (a regex)"
                .to_owned()),
        }
    }
}

/// Equal are patterns that match the same because they say the same.
impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Exact(a), Self::Exact(b)) | (Self::Prefix(a), Self::Prefix(b)) => a == b,
            (Self::Regex(a, _), Self::Regex(b, _)) => a.as_str() == b.as_str(),
            _ => false,
        }
    }
}

impl Eq for PathPattern {}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(path) => write!(f, "={path}"),
            Self::Prefix(path) => write!(f, "{path}/"),
            Self::Regex(regex, _) => write!(f, "~{}", regex.as_str()),
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
        (Ok(exact), Ok(folded)) => Ok(PathPattern::Regex(exact, folded)),
        (Err(error), _) | (_, Err(error)) => Err(format!("the regex does not compile: {error}")),
    }
}

/// Reads a path that is compared byte for byte, with its escapes in upper case (RFC 3986, section
/// 6.2.2.1).
fn parse_literal(text: &str) -> Result<String, String> {
    if !text.starts_with('/') {
        return Err("after \"=\" the path begins with \"/\"".to_owned());
    }
    if let Some(refused) = text.chars().find(|&c| !c.is_ascii_graphic() || "?#\\".contains(c)) {
        return Err(match refused {
            '?' | '#' => format!("a path ends before \"{refused}\"; only the path is compared"),
            '\\' => "a path is written with \"/\", not with \"\\\"".to_owned(),
            ' ' => "a path holds no blanks; write %20".to_owned(),
            c if c.is_ascii_control() => "a path holds no control characters".to_owned(),
            _ => "a path holds ASCII only; percent-encode the rest as UTF-8".to_owned(),
        });
    }
    if text.contains("//") {
        return Err("a path with \"//\" could be read in two ways".to_owned());
    }
    if text.split('/').any(|segment| matches!(segment, "." | "..")) {
        return Err("a path with \".\" or \"..\" segments could be read in two ways".to_owned());
    }
    if text.contains(';') {
        return Err("what follows \";\" in a segment may be read as a parameter of it".to_owned());
    }
    upper_case_escapes(text)
}

/// Refuses escapes that some read as what they stand for and some do not: a request that matched
/// them would always be ambiguous.
fn upper_case_escapes(text: &str) -> Result<String, String> {
    let mut upper = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        let hex = after.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let Some(byte) = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) else {
            return Err("after \"%\" two hexadecimal digits are needed".to_owned());
        };
        if !(byte >= 0x80 || b" \"<>[]^`{|}".contains(&byte)) {
            return Err(format!("%{byte:02X} could be read in two ways; write it as it is"));
        }
        upper.push_str(before);
        upper.push_str(&format!("%{byte:02X}"));
        rest = &after[2..];
    }
    upper.push_str(rest);
    Ok(upper)
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
