//! Fields as lines (RFC 9112, section 5), read and written; pure.

use http::{HeaderName, HeaderValue};

use super::lines::{self, Ends};

/// The most fields of one message.
pub(crate) const MAX_FIELDS: usize = 100;

/// Why lines are not the fields of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NoFields {
    /// There are more than [`MAX_FIELDS`].
    TooMany,
    /// One is no field, or does not belong to them.
    Malformed,
}

/// Hands over every line down to the empty one, behind which nothing may stand. Each line ends as
/// `ends` says.
///
/// What may stand in a name and in a value is left to `take`, which makes a `HeaderName` and a
/// `HeaderValue` of its [`parts`]: so each byte is judged once, and a blank before the colon, a
/// line that goes on in the next and a CR alone are refused. With httparse in its place a field
/// took 60 instructions more.
///
/// # Errors
/// Why these are no fields; `take` says no to one.
pub(crate) fn read<'a>(
    mut lines: &'a [u8],
    ends: Ends,
    mut take: impl FnMut(&'a [u8]) -> Option<()>,
) -> Result<(), NoFields> {
    for _ in 0..=MAX_FIELDS {
        let (line, rest) = lines.split_at(lines::first(lines));
        let line = match (line, ends) {
            ([line @ .., b'\r', b'\n'], Ends::Crlf) | ([line @ .., b'\n'], Ends::Lf) => line,
            _ => return Err(NoFields::Malformed),
        };
        lines = rest;
        if line.is_empty() {
            return if lines.is_empty() { Ok(()) } else { Err(NoFields::Malformed) };
        }
        take(line).ok_or(NoFields::Malformed)?;
    }
    Err(NoFields::TooMany)
}

/// The name of a field, and its value.
pub(super) fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|&byte| byte == b':')?;
    Some((&line[..colon], without_blanks(&line[colon + 1..])))
}

/// What stands between the blanks around it.
pub(super) fn without_blanks(mut value: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] | [rest @ .., b' ' | b'\t'] = value {
        value = rest;
    }
    value
}

/// Writes fields as lines.
pub(crate) fn write_all<'a>(
    out: &mut Vec<u8>,
    fields: impl IntoIterator<Item = (&'a HeaderName, &'a HeaderValue)>,
) {
    for (name, value) in fields {
        write(out, name, value.as_bytes());
    }
}

/// Writes one field as a line.
pub(crate) fn write(out: &mut Vec<u8>, name: &HeaderName, value: &[u8]) {
    out.extend_from_slice(name.as_str().as_bytes());
    out.extend_from_slice(b": ");
    out.extend_from_slice(value);
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::sample;

    type Lines = Vec<(HeaderName, HeaderValue)>;

    /// The fields, as they must be made of the parts.
    fn fields(lines: &[u8], ends: Ends) -> Result<Lines, NoFields> {
        let mut fields = Lines::new();
        read(lines, ends, |line| {
            let (name, value) = parts(line)?;
            fields.push((HeaderName::from_bytes(name).ok()?, HeaderValue::from_bytes(value).ok()?));
            Some(())
        })?;
        Ok(fields)
    }

    #[track_caller]
    fn check(lines: &str, expected: Result<&[(&str, &str)], NoFields>) {
        let expected = expected.map(|fields| {
            let made = |&(name, value): &(&str, &str)| {
                (name.parse().unwrap(), HeaderValue::from_str(value).unwrap())
            };
            fields.iter().map(made).collect::<Lines>()
        });
        assert_eq!(fields(lines.as_bytes(), Ends::Crlf), expected, "{lines:?}");
    }

    #[test]
    fn a_field_is_what_stands_around_the_first_colon() {
        check("\r\n", Ok(&[]));
        assert_eq!(fields(b"\n", Ends::Lf), Ok(vec![]));
        assert_eq!(fields(b"A: b\n\n", Ends::Lf), fields(b"A: b\r\n\r\n", Ends::Crlf));
        check("A: b\r\nx-y:\r\n\r\n", Ok(&[("a", "b"), ("x-y", "")]));
        check("A:\t b\tc: \t \r\nB: \t \r\n\r\n", Ok(&[("a", "b\tc:"), ("b", "")]));
    }

    #[test]
    fn what_is_no_field_is_none() {
        for wrong in [
            "",
            "A: b",
            "A: b\r\n",
            "\r\nA: b\r\n\r\n",
            "\r\n\r\n",
            "A\r\n\r\n",
            ": b\r\n\r\n",
            "A : b\r\n\r\n",
            " A: b\r\n\r\n",
            "A: b\r\n c\r\n\r\n",
            "A: b\r\n c: d\r\n\r\n",
            "A\r: b\r\n\r\n",
            "A: \rb\r\n\r\n",
            "A: b\r\r\n\r\n",
            "A:\r\r\n\r\n",
            "A: \u{c}\r\n\r\n",
            "A: b\u{b}\r\n\r\n",
            "A: \0\r\n\r\n",
            "A: \u{7f}\r\n\r\n",
            "\u{e4}: b\r\n\r\n",
            "\r\r\n",
            "\n",
            "A: b\n\r\n",
            "A: b\r\n\n",
        ] {
            check(wrong, Err(NoFields::Malformed));
        }
        for wrong in ["", "A: b\n", "A: b\r\n\n", "A: b\n\r\n", "\n\n"] {
            assert_eq!(fields(wrong.as_bytes(), Ends::Lf), Err(NoFields::Malformed), "{wrong:?}");
        }
        assert_eq!(fields(b"A: b\n\n", Ends::Mixed), Err(NoFields::Malformed));
    }

    #[test]
    fn so_many_fields_are_too_many() {
        let lines = |count| "A: b\r\n".repeat(count) + "\r\n";
        check(&lines(MAX_FIELDS), Ok(&[("a", "b"); MAX_FIELDS]));
        let many = lines(MAX_FIELDS + 1);
        assert_eq!(fields(many.as_bytes(), Ends::Crlf), Err(NoFields::TooMany));
    }

    /// What httparse finds in the same lines, if it is all of them.
    fn known(lines: &[u8]) -> Option<Lines> {
        let mut room = [httparse::EMPTY_HEADER; MAX_FIELDS];
        let parsed = httparse::parse_headers(lines, &mut room).ok()?;
        let httparse::Status::Complete((length, found)) = parsed else { return None };
        let made = |field: &httparse::Header<'_>| {
            Some((field.name.parse().ok()?, HeaderValue::from_bytes(field.value).ok()?))
        };
        found.iter().map(made).collect::<Option<Lines>>().filter(|_| length == lines.len())
    }

    fn part() -> impl Strategy<Value = Vec<u8>> {
        let parts = ["A: b\r\n", "A", "x-y", ":", ": ", " ", "\t", "\r", "\n", "\r\n", "b"];
        prop::sample::select(parts.to_vec()).prop_map(|text| text.as_bytes().to_vec())
    }

    proptest! {
        #[test]
        fn another_parser_finds_the_same_fields(
            parts in proptest::collection::vec(
                prop_oneof![any::<u8>().prop_map(|byte| vec![byte]), part()],
                0..24,
            ),
        ) {
            let lines = [parts.concat(), b"\r\n\r\n".to_vec()].concat();
            let read = fields(&lines, Ends::Crlf).ok();
            let mut all = lines.split_inclusive(|&byte| byte == b'\n');
            let is_crlf = all.all(|line| line.ends_with(b"\r\n"));
            prop_assert_eq!(read, known(&lines).filter(|_| is_crlf));
        }
    }

    #[test]
    fn fields_are_written_as_lines() {
        let mut out = Vec::new();
        write_all(&mut out, &sample::fields("A: b\nX-Y:\na: c"));
        assert_eq!(out, b"a: b\r\nx-y: \r\na: c\r\n");
    }
}
