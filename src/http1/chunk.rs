//! The line before a chunk (RFC 9112, section 7.1); pure.

/// The longest size of a chunk, in hexadecimal digits: 64 bits.
const MAX_SIZE_DIGITS: usize = 16;

/// How much may stand behind the size of a chunk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extensions {
    /// Only what the grammar has, without the blanks that it advises against: a client that sends
    /// anything else wants two parsers to disagree.
    Strict,
    /// Blanks, and whatever fits in a line: old origins pad the size, and nobody but them is hurt.
    Any,
}

/// The size in a line without its end; none if there may not be such a line.
pub(crate) fn size(line: &[u8], extensions: Extensions) -> Option<u64> {
    let digits = line.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
    let (size, behind) = line.split_at(digits);
    let fits = match extensions {
        Extensions::Strict => are_extensions(behind),
        Extensions::Any => is_text(behind) && matches!(behind.trim_ascii_start(), [] | [b';', ..]),
    };
    if !fits || !(1..=MAX_SIZE_DIGITS).contains(&digits) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(size).ok()?, 16).ok()
}

/// Writes the line before a chunk of this size.
pub(crate) fn write_size(out: &mut Vec<u8>, size: usize) {
    let digits = (size.max(1).ilog2() / 4) as usize + 1;
    for digit in (0..digits).rev() {
        out.push(b"0123456789abcdef"[size >> (digit * 4) & 15]);
    }
    out.extend_from_slice(b"\r\n");
}

/// Whether this is `*( ";" token [ "=" ( token / quoted-string ) ] )`.
fn are_extensions(mut rest: &[u8]) -> bool {
    while !rest.is_empty() {
        let Some(after) = rest.strip_prefix(b";").and_then(after_token) else { return false };
        let value = after.strip_prefix(b"=");
        let end = match value {
            Some(value) => after_token(value).or_else(|| after_quoted(value)),
            None => Some(after),
        };
        let Some(end) = end else { return false };
        rest = end;
    }
    true
}

/// What follows a token (RFC 9110, section 5.6.2).
fn after_token(text: &[u8]) -> Option<&[u8]> {
    let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
    let length = text.iter().take_while(|byte| is_tchar(byte)).count();
    (length > 0).then(|| &text[length..])
}

/// What follows a quoted string (RFC 9110, section 5.6.4).
fn after_quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', after @ ..] => return Some(after),
            [b'\\', quoted, after @ ..] if is_text(&[*quoted]) => after,
            [byte, after @ ..] if is_text(&[*byte]) => after,
            _ => return None,
        };
    }
}

/// Whether there is no control character but tabs.
fn is_text(bytes: &[u8]) -> bool {
    bytes.iter().all(|&byte| byte == b'\t' || byte >= b' ' && byte != 0x7f)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, strict: Option<u64>, any: Option<u64>) {
        assert_eq!(size(line.as_bytes(), Extensions::Strict), strict, "{line:?}");
        assert_eq!(size(line.as_bytes(), Extensions::Any), any, "{line:?}");
    }

    #[test]
    fn a_size_and_extensions_are_read() {
        for line in ["5", "05", "5;a", "5;a=b", "5;a=\"b;\\\"\tc\"", "5;a=b;c", "0000000000000005"]
        {
            check(line, Some(5), Some(5));
        }
        check("0", Some(0), Some(0));
        check("fF", Some(255), Some(255));
        check("FFFFFFFFFFFFFFFF", Some(u64::MAX), Some(u64::MAX));
    }

    #[test]
    fn what_old_origins_write_is_theirs_alone() {
        for line in ["5 ", "5\t", "5;", "5;;a", "5;a=", "5;a b", "5;bad[=x", "5 ;a", "5; a"] {
            check(line, None, Some(5));
        }
        check("5;a=\"b", None, Some(5));
        check("5;a=\"b\\", None, Some(5));
    }

    #[test]
    fn anything_else_is_no_size() {
        for line in [
            "",
            "g",
            " 5",
            "0x5",
            "+5",
            "-5",
            "5g",
            "5,5",
            "5;\0x",
            "5;a=\"\0\"",
            "5;a=\"\\\u{1}\"",
            "5 a",
            "5 5",
            "5\ta;b",
            "5;a\r",
            "5\r",
            "00000000000000005",
            "10000000000000000",
        ] {
            check(line, None, None);
        }
    }

    #[test]
    fn a_size_is_written_as_it_is_read() {
        for written in [1, 9, 15, 16, 255, 256, 65_535, 65_536, usize::MAX] {
            let mut out = Vec::new();
            write_size(&mut out, written);
            assert_eq!(out, format!("{written:x}\r\n").as_bytes());
        }
    }
}
