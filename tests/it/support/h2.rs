//! A client of HTTP/2 that sends any frames, right or wrong, and reads what comes.

use std::time::Duration;

use fluke_hpack::Decoder;

use super::Client;
pub(crate) use super::frames::{
    ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
    FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, GOAWAY, HEADERS, INITIAL_WINDOW_SIZE, NO_ERROR, NONE,
    PADDED, PING, PREFACE, PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM,
    SETTINGS, STREAM_CLOSED, WINDOW_UPDATE, WITH_PRIORITY,
};

/// A frame that came.
#[derive(Clone, Debug)]
pub(crate) struct Frame {
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) stream: u32,
    pub(crate) payload: Vec<u8>,
}

impl Frame {
    /// The error code of a `RST_STREAM` or `GOAWAY`.
    pub(crate) fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        let code = self.payload.get(at..at + 4).expect("it has a code");
        u32::from_be_bytes(code.try_into().expect("four bytes"))
    }

    /// Whether it is the last of its stream.
    pub(crate) fn ends(&self) -> bool {
        matches!(self.kind, DATA | HEADERS) && self.flags & END_STREAM != 0
            || self.kind == RST_STREAM
    }
}

/// Name and value of each field.
pub(crate) type Lines = Vec<(String, String)>;

/// What came of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Answer {
    /// The status; 0 where there was none.
    pub(crate) status: u16,
    pub(crate) fields: Lines,
    /// The statuses of informational responses.
    pub(crate) interim: Vec<u16>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Lines,
    /// Whether it came to its end.
    pub(crate) complete: bool,
    /// The code of the `RST_STREAM` or `GOAWAY` that ended it; none: the connection did.
    pub(crate) error: Option<u32>,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The value of a field, or nothing.
    pub(crate) fn value(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(known, _)| known == name);
        found.map_or("", |(_, value)| value)
    }
}

/// One connection.
pub(crate) struct H2 {
    client: Client,
    decoder: Decoder<'static>,
    next: u32,
}

impl H2 {
    /// A connection on which nothing has been sent.
    pub(crate) fn silent(client: Client) -> Self {
        Self { client, decoder: Decoder::new(), next: 1 }
    }

    /// A connection on which both have said their settings.
    #[track_caller]
    pub(crate) fn over(client: Client) -> Self {
        let mut h2 = Self::silent(client);
        h2.send(PREFACE).frame(SETTINGS, NONE, 0, b"");
        h2.until_kind(SETTINGS, NONE);
        h2
    }

    /// Sends bytes.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.client.send(bytes);
        self
    }

    /// Sends a frame.
    pub(crate) fn frame(&mut self, kind: u8, flags: u8, stream: u32, payload: &[u8]) -> &mut Self {
        self.send(frame(kind, flags, stream, payload))
    }

    /// Sends one setting.
    pub(crate) fn setting(&mut self, id: u16, value: u32) -> &mut Self {
        self.settings(&[(id, value)])
    }

    /// Sends settings in one frame.
    pub(crate) fn settings(&mut self, settings: &[(u16, u32)]) -> &mut Self {
        let bytes =
            |&(id, value): &(u16, u32)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat();
        let payload: Vec<_> = settings.iter().flat_map(bytes).collect();
        self.frame(SETTINGS, NONE, 0, &payload)
    }

    /// Gives back a window.
    pub(crate) fn window(&mut self, stream: u32, increment: u32) -> &mut Self {
        self.frame(WINDOW_UPDATE, NONE, stream, &increment.to_be_bytes())
    }

    /// Sends a piece of a body.
    pub(crate) fn data(&mut self, stream: u32, flags: u8, data: &[u8]) -> &mut Self {
        self.frame(DATA, flags, stream, data)
    }

    /// Resets a stream.
    pub(crate) fn reset(&mut self, stream: u32, code: u32) -> &mut Self {
        self.frame(RST_STREAM, NONE, stream, &code.to_be_bytes())
    }

    /// Sends these fields as a whole header block.
    pub(crate) fn headers(&mut self, stream: u32, flags: u8, fields: &[Field<'_>]) -> &mut Self {
        self.frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
    }

    /// Opens a stream with these fields.
    pub(crate) fn open(&mut self, flags: u8, fields: &[Field<'_>]) -> u32 {
        let stream = self.following();
        self.headers(stream, flags, fields);
        stream
    }

    /// The number of the stream that is opened next.
    pub(crate) fn following(&mut self) -> u32 {
        let stream = self.next;
        self.next += 2;
        stream
    }

    /// Sends a request without a body, and waits for what comes of it.
    #[track_caller]
    pub(crate) fn ask(&mut self, fields: &[Field<'_>]) -> Answer {
        let stream = self.open(END_STREAM, fields);
        self.answer(stream)
    }

    /// Reads the next frame; none: the connection has ended. Settings and pings are answered.
    #[track_caller]
    pub(crate) fn next(&mut self) -> Option<Frame> {
        let head = self.client.bytes(9);
        let [a, b, c, kind, flags, rest @ ..] = <[u8; 9]>::try_from(head).ok()?;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let payload = self.client.bytes(length);
        let frame = Frame { kind, flags, stream: u32::from_be_bytes(rest), payload };
        match frame {
            _ if frame.payload.len() < length => return None,
            Frame { kind: SETTINGS, flags: NONE, .. } => {
                self.frame(SETTINGS, ACK, 0, b"");
            }
            Frame { kind: PING, flags: NONE, ref payload, .. } => {
                self.frame(PING, ACK, 0, payload);
            }
            _ => {}
        }
        Some(frame)
    }

    /// Reads until a frame of this kind comes with these flags.
    #[track_caller]
    pub(crate) fn until_kind(&mut self, kind: u8, flags: u8) -> Frame {
        loop {
            let frame = self.next_of(kind);
            if frame.flags == flags {
                return frame;
            }
        }
    }

    /// Reads until a frame of this kind comes.
    #[track_caller]
    pub(crate) fn next_of(&mut self, kind: u8) -> Frame {
        while let Some(frame) = self.next() {
            self.forget(&frame);
            if frame.kind == kind {
                return frame;
            }
        }
        panic!("the connection has ended without a frame of kind {kind}");
    }

    /// Keeps the table of fields that were sent, whoever looks at them.
    pub(crate) fn forget(&mut self, frame: &Frame) {
        if frame.kind == HEADERS {
            let _ = self.decoder.decode(&frame.payload);
        }
    }

    /// Waits for what comes of a request.
    #[track_caller]
    pub(crate) fn answer(&mut self, stream: u32) -> Answer {
        let mut answers = self.answers(&[stream]);
        answers.pop().expect("one was asked for")
    }

    /// Waits for what comes of several, in the order in which they were asked for.
    #[track_caller]
    pub(crate) fn answers(&mut self, streams: &[u32]) -> Vec<Answer> {
        let mut answers = vec![Answer::default(); streams.len()];
        let mut left = streams.len();
        while left > 0
            && let Some(frame) = self.next()
        {
            if frame.kind == GOAWAY && frame.code() != NO_ERROR {
                answers.iter_mut().filter(|one| !one.complete).for_each(|answer| {
                    answer.error = Some(frame.code());
                });
                break;
            }
            let Some(place) = streams.iter().position(|one| *one == frame.stream) else {
                self.forget(&frame);
                continue;
            };
            left -= usize::from(frame.ends() && !answers[place].complete);
            self.take(&mut answers[place], &frame);
        }
        answers
    }

    #[track_caller]
    fn take(&mut self, answer: &mut Answer, frame: &Frame) {
        match frame.kind {
            DATA => answer.body.extend(&frame.payload),
            HEADERS => {
                assert!(frame.flags & END_HEADERS != 0, "a header block in several frames");
                let decoded = self.decoder.decode(&frame.payload).expect("a header block");
                let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
                let lines = decoded.into_iter().map(|(name, value)| (text(name), text(value)));
                let mut lines: Lines = lines.collect();
                match lines.iter().position(|(name, _)| name == ":status") {
                    None => answer.trailers = lines,
                    Some(place) => match lines.remove(place).1.parse().expect("a status") {
                        interim @ 100..=199 => answer.interim.push(interim),
                        status => (answer.status, answer.fields) = (status, lines),
                    },
                }
            }
            RST_STREAM => answer.error = Some(frame.code()),
            _ => {}
        }
        answer.complete |= frame.ends() && frame.kind != RST_STREAM;
    }

    /// Whether the connection ends, and with which code.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.next() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }

    /// Whether the connection has ended, by what has come; none of that is kept.
    pub(crate) fn is_over(&mut self) -> bool {
        while self.client.hears_within(Duration::from_millis(1)) {
            self.client.unread();
        }
        self.client.closes_within(Duration::ZERO)
    }

    /// Waits no longer than this for anything.
    pub(crate) fn patience(&mut self, deadline: Duration) -> &mut Self {
        self.client.patience(deadline);
        self
    }

    /// The bytes below.
    pub(crate) fn client(&mut self) -> &mut Client {
        &mut self.client
    }
}

/// A field of a request.
pub(crate) type Field<'a> = (&'a str, &'a str);

/// A frame as bytes.
pub(crate) fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a short payload").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// A header block, of which nothing stays in the table of the other side.
pub(crate) fn block(fields: &[Field<'_>]) -> Vec<u8> {
    raw_block(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
}

/// The same of any bytes.
pub(crate) fn raw_block<'a>(fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>) -> Vec<u8> {
    let mut out = Vec::new();
    for (name, value) in fields {
        out.push(0);
        for text in [name, value] {
            length(&mut out, text.len());
            out.extend_from_slice(text);
        }
    }
    out
}

/// The length of a string (RFC 7541, section 5.1).
fn length(out: &mut Vec<u8>, mut length: usize) {
    const MOST: usize = 127;
    if length < MOST {
        return out.push(length as u8);
    }
    out.push(MOST as u8);
    length -= MOST;
    while length > 127 {
        out.push(128 | (length % 128) as u8);
        length /= 128;
    }
    out.push(length as u8);
}

/// The fields of a request for this target, with these in addition.
pub(crate) fn request<'a>(method: &'a str, target: &'a str, more: &[Field<'a>]) -> Vec<Field<'a>> {
    let pseudo =
        [(":method", method), (":scheme", "http"), (":path", target), (":authority", "a.test")];
    [&pseudo[..], more].concat()
}
