//! Protobuf on the wire: fields of a number and a type, one behind the other
//! (<https://protobuf.dev/programming-guides/encoding/>).
//!
//! Written by hand, because so little of it is needed: a worker writes its spans straight into the
//! memory that goes out, where a library would first have a message with a list of its own for each
//! attribute, and bring generated code for messages of which a fifth is sent.

/// The types of fields that are used.
const VARINT: u32 = 0;
const FIXED64: u32 = 1;
const LENGTH: u32 = 2;
const FIXED32: u32 = 5;

/// A message in the making.
pub(super) struct Message<'a>(&'a mut Vec<u8>);

impl<'a> Message<'a> {
    /// One that is written behind what is there.
    pub(super) fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    fn tag(&mut self, field: u32, kind: u32) {
        varint((field << 3 | kind).into(), self.0);
    }

    /// A number.
    pub(super) fn varint(&mut self, field: u32, value: u64) {
        self.tag(field, VARINT);
        varint(value, self.0);
    }

    /// A number of eight bytes.
    pub(super) fn fixed64(&mut self, field: u32, value: u64) {
        self.tag(field, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A number of four bytes.
    pub(super) fn fixed32(&mut self, field: u32, value: u32) {
        self.tag(field, FIXED32);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// Bytes, or a text.
    pub(super) fn bytes(&mut self, field: u32, value: &[u8]) {
        self.tag(field, LENGTH);
        varint(value.len() as u64, self.0);
        self.0.extend_from_slice(value);
    }

    /// A message within this one, of this length.
    pub(super) fn sized(
        &mut self,
        field: u32,
        length: usize,
        write: impl FnOnce(&mut Message<'_>),
    ) {
        self.tag(field, LENGTH);
        varint(length as u64, self.0);
        write(&mut Message(self.0));
    }

    /// A message within this one.
    pub(super) fn message(&mut self, field: u32, write: impl FnOnce(&mut Message<'_>)) {
        self.tag(field, LENGTH);
        let start = self.0.len();
        write(&mut Message(self.0));
        let end = self.0.len();
        // The length stands before what it is the length of, and is known behind it.
        varint((end - start) as u64, self.0);
        let moved = self.0.len() - end;
        self.0[start..].rotate_right(moved);
    }

    /// Fields that are written already.
    pub(super) fn fields(&mut self, written: &[u8]) {
        self.0.extend_from_slice(written);
    }
}

/// Seven bits a byte, the lowest first; all bytes but the last have the highest bit set.
fn varint(mut value: u64, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// How long a number is.
pub(super) fn varint_length(value: u64) -> usize {
    // Of nothing too a byte is written.
    (u64::BITS - (value | 1).leading_zeros()).div_ceil(7) as usize
}

/// How long a field is, of a number up to 15, that holds so many bytes.
pub(super) fn length_of(bytes: usize) -> usize {
    1 + varint_length(bytes as u64) + bytes
}

/// What stands in a field that was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Value<'a> {
    /// A number.
    Varint(u64),
    /// Bytes, a text, or a message.
    Bytes(&'a [u8]),
    /// A number of a fixed length, of which nobody here wants to know.
    Fixed,
}

/// The fields of a message that was received, up to the first that is none.
pub(super) fn fields(mut rest: &[u8]) -> impl Iterator<Item = (u32, Value<'_>)> {
    std::iter::from_fn(move || {
        let tag = u32::try_from(take_varint(&mut rest)?).ok()?;
        let value = match tag & 7 {
            VARINT => Value::Varint(take_varint(&mut rest)?),
            FIXED64 => take(&mut rest, 8).map(|_| Value::Fixed)?,
            FIXED32 => take(&mut rest, 4).map(|_| Value::Fixed)?,
            LENGTH => {
                let length = usize::try_from(take_varint(&mut rest)?).ok()?;
                Value::Bytes(take(&mut rest, length)?)
            }
            _ => return None,
        };
        Some((tag >> 3, value))
    })
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some(taken)
}

fn take_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = take(rest, 1)?[0];
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(write: impl FnOnce(&mut Message<'_>), expected: &[u8]) {
        let mut out = b"before".to_vec();
        write(&mut Message::new(&mut out));
        assert_eq!(out, [b"before", expected].concat());
    }

    /// The examples of the guide that describes the encoding, and what each type looks like.
    #[test]
    fn fields_are_written_as_the_guide_says() {
        check(|message| message.varint(1, 150), &[0x08, 0x96, 0x01]);
        check(|message| message.varint(1, 0), &[0x08, 0]);
        check(|message| message.bytes(2, b"testing"), b"\x12\x07testing");
        check(|message| message.message(3, |it| it.varint(1, 150)), &[0x1a, 3, 0x08, 0x96, 0x01]);
        check(|message| message.message(3, |_| {}), &[0x1a, 0]);
        check(|message| message.fixed64(7, 1), &[0x39, 1, 0, 0, 0, 0, 0, 0, 0]);
        check(|message| message.fixed32(16, 0x0102), &[0x85, 0x01, 2, 1, 0, 0]);
    }

    #[test]
    fn what_is_cut_off_or_unknown_ends_the_fields() {
        for bytes in [&[0x08][..], &[0x12, 7, b't'], &[0x0b], &[0x39, 0], &[0xff; 11], &[0x85]] {
            assert_eq!(fields(bytes).next(), None, "{bytes:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            field in 1..1000_u32,
            number in any::<u64>(),
            text in proptest::collection::vec(any::<u8>(), 0..300),
        ) {
            let mut out = Vec::new();
            let mut message = Message::new(&mut out);
            message.varint(field, number);
            message.message(field, |inner| inner.bytes(field, &text));
            message.fixed64(field, number);
            message.fixed32(field, number as u32);
            let mut inner = Vec::new();
            Message::new(&mut inner).bytes(field, &text);
            let mut sized = Vec::new();
            Message::new(&mut sized).sized(1, inner.len(), |it| it.bytes(field, &text));
            let mut measured = Vec::new();
            Message::new(&mut measured).message(1, |it| it.bytes(field, &text));
            prop_assert_eq!(&sized, &measured);
            prop_assert_eq!(sized.len(), length_of(inner.len()));
            let mut alone = Vec::new();
            varint(number, &mut alone);
            prop_assert_eq!(alone.len(), varint_length(number));
            let values = [Value::Varint(number), Value::Bytes(&inner), Value::Fixed, Value::Fixed];
            let expected: Vec<_> = values.into_iter().map(|value| (field, value)).collect();
            prop_assert_eq!(fields(&out).collect::<Vec<_>>(), expected);
            prop_assert_eq!(fields(&inner).collect::<Vec<_>>(), [(field, Value::Bytes(&text))]);
        }
    }
}
