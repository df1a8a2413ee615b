//! The bytes of a request's head, as a client would send what the command line says.

use std::fs;
use std::io::Read;

use bytes::Bytes;

use crate::cli::Failure;

/// Who is asked for where a path stands alone.
const HOST: &str = "localhost";

/// The most that is read of a file, or of the standard input: more than any head may have.
const READ_LIMIT: u64 = 4 * 1024 * 1024;

/// Puts the head together; nothing in it is changed, so that whatever is odd stays odd.
pub(super) fn head(
    method: &str,
    url: &str,
    headers: &[String],
    input: &mut dyn Read,
) -> Result<Bytes, Failure> {
    let url = match url.strip_prefix('@') {
        Some(source) => read(source, input)?.trim_end_matches(['\r', '\n']).to_owned(),
        None => url.to_owned(),
    };
    let mut lines = Vec::new();
    for header in headers {
        match header.strip_prefix('@') {
            Some(source) => lines.extend(read(source, input)?.lines().map(str::to_owned)),
            None => lines.push(header.clone()),
        }
    }
    lines.retain(|line| !line.is_empty());
    for text in [method, &url].into_iter().chain(lines.iter().map(String::as_str)) {
        if text.contains(['\r', '\n']) {
            return Err(Failure::usage("error: a method, a URL and a header have one line each"));
        }
    }
    if lines.iter().any(|line| !line.contains(':')) {
        return Err(Failure::usage("error: --header: a header is written \"NAME: VALUE\""));
    }
    let (authority, target) = split(&url)?;
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    let names_host = |line: &String| {
        line.split(':').next().is_some_and(|name| name.eq_ignore_ascii_case("host"))
    };
    if !lines.iter().any(names_host) {
        head.push_str(&format!("Host: {authority}\r\n"));
    }
    for line in lines {
        head.push_str(&line);
        head.push_str("\r\n");
    }
    head.push_str("\r\n");
    Ok(Bytes::from(head))
}

/// The authority of a URL, and the target that a client sends for the rest.
fn split(url: &str) -> Result<(&str, String), Failure> {
    let rest = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
    let Some(rest) = rest else {
        return match url.as_bytes() {
            [b'/', ..] | b"*" => Ok((HOST, url.to_owned())),
            _ => Err(Failure::usage("error: a URL begins with http://, https:// or /")),
        };
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let slash = if target.starts_with('/') { "" } else { "/" };
    Ok((authority, format!("{slash}{target}")))
}

/// Reads a file, or with `-` the standard input.
fn read(source: &str, input: &mut dyn Read) -> Result<String, Failure> {
    let mut text = String::new();
    let done = match source {
        "-" => input.take(READ_LIMIT).read_to_string(&mut text),
        path => {
            fs::File::open(path).and_then(|file| file.take(READ_LIMIT).read_to_string(&mut text))
        }
    };
    match done {
        Ok(_) => Ok(text),
        Err(error) => Err(Failure::usage(format!("error: cannot read @{source}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, headers: &[&str], expected: &str) {
        let headers: Vec<_> = headers.iter().map(|&line| line.to_owned()).collect();
        let head = head("GET", url, &headers, &mut std::io::empty()).unwrap();
        assert_eq!(head, expected.replace('\n', "\r\n") + "\r\n");
    }

    #[test]
    fn a_head_holds_what_was_written() {
        check("/x", &[], "GET /x HTTP/1.1\nHost: localhost\n");
        check("http://a.test:80", &[], "GET / HTTP/1.1\nHost: a.test:80\n");
        check("https://a.test?b", &[], "GET /?b HTTP/1.1\nHost: a.test\n");
        check("http://a.test//..%2f\\#x", &[], "GET //..%2f\\#x HTTP/1.1\nHost: a.test\n");
        check("http://u@a.test/", &[], "GET / HTTP/1.1\nHost: u@a.test\n");
        check("http://a.test/", &["hOST:b", "A :b"], "GET / HTTP/1.1\nhOST:b\nA :b\n");
        check("*", &["A: b", "A: b"], "GET * HTTP/1.1\nHost: localhost\nA: b\nA: b\n");
    }

    #[test]
    fn what_is_no_request_is_wrong_usage() {
        let code = |method: &str, url: &str, line: &str| {
            head(method, url, &[line.to_owned()], &mut std::io::empty())
                .map_err(|failure| failure.code)
        };
        for (method, url, line) in [
            ("GET", "a.test/x", "A: b"),
            ("GET", "", "A: b"),
            ("GET", "/\r\nA: b", "A: b"),
            ("GET\n", "/", "A: b"),
            ("GET", "/", "A: b\nC: d"),
            ("GET", "/", "A"),
            ("GET", "/", "@/there is no such file"),
        ] {
            assert_eq!(code(method, url, line), Err(2), "{method} {url} {line}");
        }
    }
}
