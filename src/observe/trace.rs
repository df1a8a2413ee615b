//! Which trace a request is part of, as whoever sent it says (W3C Trace Context, level 1).
//!
//! `traceparent` and `tracestate` go upstream as they came; keygate adds nothing to them.

use http::HeaderName;

use crate::fields::Fields;

/// The field that says it.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The id of a trace: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceId([u8; 32]);

/// `VERSION-TRACE-PARENT-FLAGS`, of which later versions may have more behind them.
const LENGTH: usize = 55;

impl TraceId {
    /// The id in a request's fields, if it is said once and well.
    pub(crate) fn of(headers: &Fields) -> Option<Self> {
        let name = TRACEPARENT;
        let mut said = headers.get_all(&name);
        match (said.next(), said.next()) {
            (Some(value), None) => Self::read(value.as_bytes()),
            _ => None,
        }
    }

    /// Reads the value of the field (section 3.2.2).
    fn read(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_at_checked(LENGTH)?;
        let dashes = [2, 35, 52];
        let is_well = known.iter().enumerate().all(|(at, &byte)| match dashes.contains(&at) {
            true => byte == b'-',
            false => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        });
        let ends = match &known[..2] {
            b"ff" => false,
            b"00" => rest.is_empty(),
            _ => rest.is_empty() || rest[0] == b'-',
        };
        let is_set = |part: &[u8]| part.iter().any(|&digit| digit != b'0');
        let (trace, parent) = (&known[3..35], &known[36..52]);
        if !is_well || !ends || !is_set(trace) || !is_set(parent) {
            return None;
        }
        trace.try_into().ok().map(Self)
    }

    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        // They are digits.
        str::from_utf8(&self.0).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[track_caller]
    fn check(value: &str, is_taken: bool) {
        let id = TraceId::read(value.as_bytes());
        assert_eq!(id.as_ref().map(TraceId::as_str), is_taken.then_some(TRACE), "{value}");
    }

    #[test]
    fn an_id_is_taken_as_the_specification_says() {
        check(&format!("00-{TRACE}-{PARENT}-01"), true);
        check(&format!("00-{TRACE}-{PARENT}-00"), true);
        check(&format!("cc-{TRACE}-{PARENT}-01"), true);
        check(&format!("cc-{TRACE}-{PARENT}-01-what-the-future-holds"), true);
        check(&format!("cc-{TRACE}-{PARENT}-01what"), false);
        check(&format!("00-{TRACE}-{PARENT}-01-more"), false);
        check(&format!("ff-{TRACE}-{PARENT}-01"), false);
        check(&format!("00-{}-{PARENT}-01", TRACE.to_uppercase()), false);
        check(&format!("00-{}-{PARENT}-01", "0".repeat(32)), false);
        check(&format!("00-{TRACE}-{}-01", "0".repeat(16)), false);
        check(&format!("00_{TRACE}_{PARENT}_01"), false);
        check(&format!("00-{TRACE}-{PARENT}-1"), false);
        check(&format!("0-{TRACE}-{PARENT}-01x"), false);
        check(&format!("00-{TRACE}-{PARENT}-0g"), false);
        check(TRACE, false);
        check("", false);
    }

    #[test]
    fn an_id_that_is_said_twice_is_none() {
        let mut headers = Fields::new();
        let value = http::HeaderValue::try_from(format!("00-{TRACE}-{PARENT}-01")).unwrap();
        headers.append(TRACEPARENT, value.clone());
        assert_eq!(TraceId::of(&headers).as_ref().map(TraceId::as_str), Some(TRACE));
        headers.append(TRACEPARENT, value);
        assert_eq!(TraceId::of(&headers), None);
    }
}
