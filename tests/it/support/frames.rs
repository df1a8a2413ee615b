//! Frames of HTTP/2 (RFC 9113, section 4), written and read as they are: right ones and wrong ones.

/// What a connection of HTTP/2 begins with.
pub(crate) const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Types of frames.
pub(crate) const DATA: u8 = 0;
pub(crate) const HEADERS: u8 = 1;
pub(crate) const PRIORITY: u8 = 2;
pub(crate) const RST_STREAM: u8 = 3;
pub(crate) const SETTINGS: u8 = 4;
pub(crate) const PUSH_PROMISE: u8 = 5;
pub(crate) const PING: u8 = 6;
pub(crate) const GOAWAY: u8 = 7;
pub(crate) const WINDOW_UPDATE: u8 = 8;
pub(crate) const CONTINUATION: u8 = 9;

/// Flags.
pub(crate) const NONE: u8 = 0;
pub(crate) const END_STREAM: u8 = 1;
pub(crate) const ACK: u8 = 1;
pub(crate) const END_HEADERS: u8 = 4;
pub(crate) const PADDED: u8 = 8;
pub(crate) const WITH_PRIORITY: u8 = 0x20;

/// Error codes.
pub(crate) const NO_ERROR: u32 = 0;
pub(crate) const PROTOCOL_ERROR: u32 = 1;
pub(crate) const INTERNAL_ERROR: u32 = 2;
pub(crate) const FLOW_CONTROL_ERROR: u32 = 3;
pub(crate) const STREAM_CLOSED: u32 = 5;
pub(crate) const FRAME_SIZE_ERROR: u32 = 6;
pub(crate) const REFUSED_STREAM: u32 = 7;
pub(crate) const CANCEL: u32 = 8;
pub(crate) const COMPRESSION_ERROR: u32 = 9;
pub(crate) const ENHANCE_YOUR_CALM: u32 = 11;

/// Settings by their number.
pub(crate) const MAX_CONCURRENT_STREAMS: u16 = 3;
pub(crate) const INITIAL_WINDOW_SIZE: u16 = 4;

/// How many bytes stand before a payload.
pub(crate) const HEAD: usize = 9;

/// One frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    /// 0: the connection.
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// A frame of any kind.
    pub(crate) fn new(kind: u8, flags: u8, stream: u32, payload: impl Into<Vec<u8>>) -> Self {
        Self { kind, flags, stream, payload: payload.into() }
    }

    /// The fields of a message in one frame, none of them compressed; with `END_STREAM` in `flags`
    /// nothing follows.
    pub(crate) fn headers(stream: u32, flags: u8, fields: &[(&str, &str)]) -> Self {
        Self::new(HEADERS, END_HEADERS | flags, stream, block(fields))
    }

    pub(crate) fn data(stream: u32, flags: u8, data: impl AsRef<[u8]>) -> Self {
        Self::new(DATA, flags, stream, data.as_ref())
    }

    pub(crate) fn settings(settings: &[(u16, u32)]) -> Self {
        let payload = settings.iter().flat_map(|(name, value)| {
            name.to_be_bytes().into_iter().chain(value.to_be_bytes()).collect::<Vec<_>>()
        });
        Self::new(SETTINGS, 0, 0, payload.collect::<Vec<_>>())
    }

    pub(crate) fn reset(stream: u32, code: u32) -> Self {
        Self::new(RST_STREAM, 0, stream, code.to_be_bytes())
    }

    pub(crate) fn go_away(last: u32, code: u32) -> Self {
        Self::new(GOAWAY, 0, 0, [last.to_be_bytes(), code.to_be_bytes()].concat())
    }

    pub(crate) fn window_update(stream: u32, more: u32) -> Self {
        Self::new(WINDOW_UPDATE, 0, stream, more.to_be_bytes())
    }

    /// As it goes over the wire.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let length = u32::try_from(self.payload.len()).expect("a payload is short");
        let head = [&length.to_be_bytes()[1..], &[self.kind, self.flags]].concat();
        [&head, &self.stream.to_be_bytes()[..], &self.payload].concat()
    }

    /// How long the frame is that begins with these bytes, if that can be seen.
    pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
        let (&[a, b, c], _) = bytes.get(..HEAD)?.split_first_chunk()?;
        Some(HEAD + u32::from_be_bytes([0, a, b, c]) as usize)
    }

    /// The frame that these bytes are.
    pub(crate) fn parse(bytes: &[u8]) -> Self {
        let word = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("4 bytes"));
        let (kind, flags, stream) = (bytes[3], bytes[4], word(5) & (u32::MAX >> 1));
        Self::new(kind, flags, stream, &bytes[HEAD..])
    }

    /// Whether a flag is set.
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// The number that stands in the payload there: the code of a reset at 0, that of a GOAWAY
    /// at 4.
    pub(crate) fn number(&self, at: usize) -> u32 {
        let word = self.payload.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        u32::from_be_bytes(word.expect("there is a number"))
    }
}

/// Fields as a block that uses no table and no code (RFC 7541, section 6.2.2), so that anything can
/// stand in a name and in a value.
pub(crate) fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    fields.iter().flat_map(|(name, value)| field(name.as_bytes(), value.as_bytes())).collect()
}

/// One field of such a block.
pub(crate) fn field(name: &[u8], value: &[u8]) -> Vec<u8> {
    [&[0][..], &length(name.len()), name, &length(value.len()), value].concat()
}

/// A length with 7 bits in its first byte (RFC 7541, section 5.1).
fn length(length: usize) -> Vec<u8> {
    if length < 127 {
        return vec![u8::try_from(length).expect("it is small")];
    }
    let (mut bytes, mut rest) = (vec![127], length - 127);
    while rest >= 128 {
        bytes.push(u8::try_from(rest % 128 + 128).expect("it is a byte"));
        rest /= 128;
    }
    bytes.push(u8::try_from(rest).expect("it is small"));
    bytes
}
