//! Which trace a request is part of: as whoever sent it says, and as keygate says to the next
//! (W3C Trace Context).

use http::{HeaderName, HeaderValue};

use crate::fields::Fields;
use crate::observe::request_id::digits;

/// The field that says it.
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What tracing systems say to one another beside it.
pub(crate) const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");

/// The id of a trace: 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceId([u8; 32]);

/// The id of a span: 16 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SpanId([u8; 16]);

/// What `traceparent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent {
    /// The trace.
    pub(crate) trace: TraceId,
    /// The span within it that the request comes from.
    pub(crate) span: SpanId,
    /// One bit each.
    pub(crate) flags: u8,
}

/// The flag of a trace that is recorded.
pub(crate) const SAMPLED: u8 = 1;

/// The flag of a trace whose id is random (level 2, section 3.2.2.4); no other is defined.
const RANDOM: u8 = 2;

/// `VERSION-TRACE-PARENT-FLAGS`, of which later versions may have more behind them.
const LENGTH: usize = 55;

impl TraceParent {
    /// What is said in a request's fields, if it is said once and well.
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
        let (trace, span, flags) = (&known[3..35], &known[36..52], &known[53..]);
        if !is_well || !ends || !is_set(trace) || !is_set(span) {
            return None;
        }
        Some(Self {
            trace: TraceId(trace.try_into().ok()?),
            span: SpanId(span.try_into().ok()?),
            flags: u8::from_str_radix(str::from_utf8(flags).ok()?, 16).ok()?,
        })
    }

    /// As it stands in the field: in the version that everybody knows, with the flags of it that
    /// are defined.
    pub(crate) fn value(&self) -> HeaderValue {
        let flags = [b'0', b'0' + (self.flags & (SAMPLED | RANDOM))];
        let text = [b"00-", &self.trace.0[..], b"-", &self.span.0, b"-", &flags].concat();
        // Digits and dashes are a value.
        HeaderValue::from_maybe_shared(bytes::Bytes::from(text))
            .unwrap_or(HeaderValue::from_static(""))
    }
}

impl TraceId {
    /// A new one, of random bits.
    pub(crate) fn new(bits: u128) -> Self {
        Self(digits(bits))
    }

    /// The digits.
    pub(crate) fn as_str(&self) -> &str {
        // They are digits.
        str::from_utf8(&self.0).unwrap_or_default()
    }

    /// The bytes that they stand for.
    pub(crate) fn bytes(&self) -> [u8; 16] {
        bytes_of(&self.0)
    }

    /// The half of it by which a share of all traces is told from the others: the last 64 bits.
    pub(crate) fn chance(&self) -> u64 {
        let [.., a, b, c, d, e, f, g, h] = self.bytes();
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl SpanId {
    /// A new one, of random bits.
    pub(crate) fn new(bits: u64) -> Self {
        let mut id = [0; 16];
        id.copy_from_slice(&digits(bits.into())[..16]);
        Self(id)
    }

    /// The bytes that its digits stand for.
    pub(crate) fn bytes(&self) -> [u8; 8] {
        bytes_of(&self.0)
    }
}

/// The bytes that pairs of digits stand for.
fn bytes_of<const N: usize>(digits: &[u8]) -> [u8; N] {
    let value = |digit: u8| if digit > b'9' { digit - b'a' + 10 } else { digit - b'0' };
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(digits.as_chunks().0) {
        *byte = value(*high) << 4 | value(*low);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[track_caller]
    fn check(value: &str, is_taken: bool) {
        let read = TraceParent::read(value.as_bytes());
        assert_eq!(read.as_ref().map(|it| it.trace.as_str()), is_taken.then_some(TRACE), "{value}");
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
        let value = HeaderValue::try_from(format!("00-{TRACE}-{PARENT}-01")).unwrap();
        headers.append(TRACEPARENT, value.clone());
        assert_eq!(TraceParent::of(&headers).map(|said| said.value()), Some(value.clone()));
        headers.append(TRACEPARENT, value);
        assert_eq!(TraceParent::of(&headers), None);
    }

    #[test]
    fn what_is_said_is_said_in_the_version_that_everybody_knows() {
        for (version, flags, expected) in
            [("00", "00", "00"), ("00", "01", "01"), ("00", "03", "03"), ("cc", "ff", "03")]
        {
            let value = format!("{version}-{TRACE}-{PARENT}-{flags}");
            let said = TraceParent::read(value.as_bytes()).expect("it is well said").value();
            assert_eq!(said, format!("00-{TRACE}-{PARENT}-{expected}"), "{value}");
        }
    }

    #[test]
    fn digits_stand_for_bytes() {
        let said = format!("00-{TRACE}-{PARENT}-01");
        let TraceParent { trace, span, flags } = TraceParent::read(said.as_bytes()).unwrap();
        assert_eq!(trace.bytes(), 0x4bf92f3577b34da6a3ce929d0e0e4736_u128.to_be_bytes());
        assert_eq!(trace.chance(), 0xa3ce929d0e0e4736);
        assert_eq!((span.bytes(), flags), (0x00f067aa0ba902b7_u64.to_be_bytes(), SAMPLED));
        // Of a new id the lowest digit comes first.
        assert_eq!(TraceId::new(0xb7).bytes(), 0x7b_u128.swap_bytes().to_be_bytes());
        assert_eq!(SpanId::new(0xb7).bytes(), 0x7b_u64.swap_bytes().to_be_bytes());
    }
}
