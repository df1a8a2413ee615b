//! The protocol itself (RFC 7540, whose numbers they have, and RFC 9113).

use super::generic::SERVER_SETTINGS;
use super::{
    Case, ONE_BYTE, Want, await_end, block, continuation, dependency, dummies, get, get_with, open,
    ping, post, priority, request, settle, whole,
};
use crate::support::h2::{
    ACK, CANCEL, COMPRESSION_ERROR, DATA, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR, GOAWAY, H2, HEADERS, INITIAL_WINDOW_SIZE, NONE, PADDED, PING, PREFACE,
    PRIORITY, PROTOCOL_ERROR, PUSH_PROMISE, REFUSED_STREAM, RST_STREAM, SETTINGS, STREAM_CLOSED,
    WINDOW_UPDATE, WITH_PRIORITY,
};

/// A type of frame that nobody has defined.
const UNKNOWN: u8 = 0x16;
const ENABLE_PUSH: u16 = 2;
const MAX_FRAME_SIZE: u16 = 5;
const MAX_WINDOW: u32 = (1 << 31) - 1;

pub(super) const CASES: &[Case] = &[
    (
        "http2/3.5/1",
        |h2| {
            h2.send(PREFACE).setting(INITIAL_WINDOW_SIZE, 65535);
        },
        SERVER_SETTINGS,
    ),
    (
        "http2/3.5/2",
        |h2| {
            h2.send("INVALID CONNECTION PREFACE\r\n\r\n");
        },
        Want::Closed,
    ),
    (
        "http2/4.1/1",
        |h2| {
            ping(h2.frame(UNKNOWN, NONE, 0, &[0; 8]));
        },
        Want::Pong,
    ),
    (
        "http2/4.1/2",
        |h2| {
            h2.frame(PING, 0x16, 0, &[0; 8]);
        },
        Want::Frame(PING, ACK, 0, 8),
    ),
    (
        "http2/4.1/3",
        |h2| {
            h2.frame(PING, 0x16, 1 << 31, &[0; 8]);
        },
        Want::Frame(PING, ACK, 0, 8),
    ),
    (
        "http2/4.2/1",
        |h2| {
            open(h2, 1, &post());
            h2.data(1, END_STREAM, &[b'x'; 16384]);
        },
        Want::Response,
    ),
    (
        "http2/4.2/2",
        |h2| {
            open(h2, 1, &post());
            h2.data(1, END_STREAM, &[b'x'; 16385]);
        },
        Want::StreamError(&[FRAME_SIZE_ERROR]),
    ),
    (
        "http2/4.2/3",
        |h2| {
            whole(h2, 1, &[get(), dummies(5)].concat());
        },
        Want::ConnectionError(&[FRAME_SIZE_ERROR]),
    ),
    (
        "http2/4.3/1",
        |h2| {
            h2.frame(HEADERS, END_STREAM | END_HEADERS, 1, b"\x40");
        },
        Want::ConnectionError(&[COMPRESSION_ERROR]),
    ),
    (
        "http2/4.3/2",
        |h2| {
            h2.frame(HEADERS, NONE, 1, &get());
            priority(h2, 1, 0, 255);
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/4.3/3",
        |h2| {
            h2.frame(HEADERS, NONE, 1, &get());
            whole(h2, 3, &get());
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1/1",
        |h2| {
            h2.data(1, END_STREAM, b"test");
        },
        Want::StreamError(&[PROTOCOL_ERROR, STREAM_CLOSED]),
    ),
    (
        "http2/5.1/2",
        |h2| {
            h2.reset(1, CANCEL);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1/3",
        |h2| {
            h2.window(1, 100);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1/4",
        |h2| {
            continuation(h2, END_HEADERS, 1, &get());
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1/5",
        |h2| {
            whole(h2, 1, &get());
            h2.data(1, END_STREAM, b"test");
        },
        Want::StreamError(&[STREAM_CLOSED]),
    ),
    (
        "http2/5.1/6",
        |h2| {
            whole(h2, 1, &get());
            whole(h2, 1, &get());
        },
        Want::StreamError(&[STREAM_CLOSED]),
    ),
    (
        "http2/5.1/7",
        |h2| {
            whole(h2, 1, &get());
            continuation(h2, END_HEADERS, 1, &get());
        },
        Want::StreamError(&[STREAM_CLOSED, PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1/8",
        |h2| {
            open(h2, 1, &get());
            h2.reset(1, CANCEL).data(1, END_STREAM, b"test");
        },
        Want::StreamError(&[STREAM_CLOSED]),
    ),
    (
        "http2/5.1/9",
        |h2| {
            open(h2, 1, &get());
            h2.reset(1, CANCEL);
            whole(h2, 1, &get());
        },
        Want::StreamError(&[STREAM_CLOSED]),
    ),
    (
        "http2/5.1/10",
        |h2| {
            open(h2, 1, &get());
            h2.reset(1, CANCEL);
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::StreamError(&[STREAM_CLOSED, PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1/11",
        |h2| {
            whole(h2, 1, &get());
            await_end(h2);
            h2.data(1, END_STREAM, b"test");
        },
        Want::StreamError(&[STREAM_CLOSED]),
    ),
    (
        "http2/5.1/12",
        |h2| {
            whole(h2, 1, &get());
            await_end(h2);
            whole(h2, 1, &get());
        },
        Want::ConnectionError(&[STREAM_CLOSED]),
    ),
    (
        "http2/5.1/13",
        |h2| {
            whole(h2, 1, &get());
            await_end(h2);
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::ConnectionError(&[STREAM_CLOSED, PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1.1/1",
        |h2| {
            whole(h2, 2, &get());
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1.1/2",
        |h2| {
            whole(h2, 5, &get());
            whole(h2, 3, &get());
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.1.2/1",
        |h2| {
            h2.setting(INITIAL_WINDOW_SIZE, 0);
            (0..=100).for_each(|stream| whole(h2, 2 * stream + 1, &get()));
        },
        Want::StreamError(&[PROTOCOL_ERROR, REFUSED_STREAM]),
    ),
    (
        "http2/5.3.1/1",
        |h2| {
            let payload = [dependency(1, 255), get()].concat();
            h2.frame(HEADERS, END_STREAM | END_HEADERS | WITH_PRIORITY, 1, &payload);
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.3.1/2",
        |h2| {
            priority(h2, 1, 1, 255);
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/5.4.1/1",
        |h2| {
            h2.frame(PING, NONE, 3, &[0; 8]);
        },
        Want::Closed,
    ),
    (
        "http2/5.4.1/2",
        |h2| {
            h2.frame(PING, NONE, 3, &[0; 8]);
        },
        Want::GoAway(PROTOCOL_ERROR),
    ),
    (
        "http2/5.5/1",
        |h2| {
            ping(h2.frame(UNKNOWN, NONE, 0, &[0; 8]));
        },
        Want::Pong,
    ),
    (
        "http2/5.5/2",
        |h2| {
            h2.frame(HEADERS, END_STREAM, 1, &get()).frame(UNKNOWN, NONE, 0, &[0; 8]);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.1/1",
        |h2| {
            h2.data(0, END_STREAM, b"test");
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.1/2",
        |h2| {
            whole(h2, 1, &post());
            h2.data(1, END_STREAM, b"test");
        },
        Want::StreamError(&[STREAM_CLOSED]),
    ),
    (
        "http2/6.1/3",
        |h2| {
            open(h2, 1, &block(&request("POST", "/public/x", &[("content-length", "4")])));
            h2.frame(DATA, END_STREAM | PADDED, 1, b"\x06Test");
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.2/1",
        |h2| {
            h2.frame(HEADERS, NONE, 1, &get());
            priority(h2, 1, 0, 255);
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.2/2",
        |h2| {
            h2.frame(HEADERS, NONE, 1, &get());
            whole(h2, 3, &get());
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.2/3",
        |h2| {
            whole(h2, 0, &get());
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.2/4",
        |h2| {
            let get = get();
            let padding = u8::try_from(get.len() + 2).expect("a short block");
            let payload = [&[padding], &get[..]].concat();
            h2.frame(HEADERS, END_STREAM | END_HEADERS | PADDED, 1, &payload);
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.3/1",
        |h2| {
            priority(h2, 0, 0, 255);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.3/2",
        |h2| {
            whole(h2, 1, &get());
            h2.frame(PRIORITY, NONE, 1, b"\x80\0\0\x01");
        },
        Want::StreamError(&[FRAME_SIZE_ERROR]),
    ),
    (
        "http2/6.4/1",
        |h2| {
            h2.reset(0, CANCEL);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.4/2",
        |h2| {
            h2.reset(1, CANCEL);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.4/3",
        |h2| {
            whole(h2, 1, &get());
            h2.frame(RST_STREAM, NONE, 1, &[0; 3]);
        },
        Want::StreamError(&[FRAME_SIZE_ERROR]),
    ),
    (
        "http2/6.5/1",
        |h2| {
            h2.frame(SETTINGS, ACK, 0, &[0]);
        },
        Want::ConnectionError(&[FRAME_SIZE_ERROR]),
    ),
    (
        "http2/6.5/2",
        |h2| {
            h2.frame(SETTINGS, NONE, 1, b"\0\x03\0\0\0\x64");
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.5/3",
        |h2| {
            h2.frame(SETTINGS, NONE, 0, b"\0\x03\0");
        },
        Want::StreamError(&[PROTOCOL_ERROR, FRAME_SIZE_ERROR]),
    ),
    (
        "http2/6.5.2/1",
        |h2| {
            h2.setting(ENABLE_PUSH, 2);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.5.2/2",
        |h2| {
            h2.setting(INITIAL_WINDOW_SIZE, 1 << 31);
        },
        Want::ConnectionError(&[FLOW_CONTROL_ERROR]),
    ),
    (
        "http2/6.5.2/3",
        |h2| {
            h2.setting(MAX_FRAME_SIZE, 16383);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.5.2/4",
        |h2| {
            h2.setting(MAX_FRAME_SIZE, 1 << 24);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.5.2/5",
        |h2| {
            ping(h2.setting(0xff, 1));
        },
        Want::Pong,
    ),
    (
        "http2/6.5.3/1",
        |h2| {
            settle(h2, &[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)]);
            whole(h2, 1, &get());
        },
        ONE_BYTE,
    ),
    (
        "http2/6.5.3/2",
        |h2| {
            h2.setting(ENABLE_PUSH, 0);
        },
        Want::Frame(SETTINGS, ACK, 0, 0),
    ),
    (
        "http2/6.7/1",
        |h2| {
            ping(h2);
        },
        Want::Pong,
    ),
    (
        "http2/6.7/2",
        |h2| {
            ping(h2.frame(PING, ACK, 0, b"invalid\0"));
        },
        Want::Pong,
    ),
    (
        "http2/6.7/3",
        |h2| {
            h2.frame(PING, NONE, 1, &[0; 8]);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.7/4",
        |h2| {
            h2.frame(PING, NONE, 0, &[0; 6]);
        },
        Want::ConnectionError(&[FRAME_SIZE_ERROR]),
    ),
    (
        "http2/6.8/1",
        |h2| {
            h2.frame(GOAWAY, NONE, 1, &[0; 8]);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.9/1",
        |h2| {
            h2.window(0, 0);
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.9/2",
        |h2| {
            open(h2, 1, &get());
            h2.window(1, 0);
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.9/3",
        |h2| {
            h2.frame(WINDOW_UPDATE, NONE, 0, b"\0\0\x01");
        },
        Want::ConnectionError(&[FRAME_SIZE_ERROR]),
    ),
    (
        "http2/6.9.1/1",
        |h2| {
            settle(h2, &[(INITIAL_WINDOW_SIZE, 1)]);
            whole(h2, 1, &get());
        },
        ONE_BYTE,
    ),
    (
        "http2/6.9.1/2",
        |h2| {
            h2.window(0, MAX_WINDOW).window(0, MAX_WINDOW);
        },
        Want::GoAway(FLOW_CONTROL_ERROR),
    ),
    (
        "http2/6.9.1/3",
        |h2| {
            open(h2, 1, &get());
            h2.window(1, MAX_WINDOW).window(1, MAX_WINDOW);
        },
        Want::Reset(FLOW_CONTROL_ERROR),
    ),
    (
        "http2/6.9.2/1",
        |h2| {
            settle(h2, &[(INITIAL_WINDOW_SIZE, 0)]);
            whole(h2, 1, &get());
            h2.setting(INITIAL_WINDOW_SIZE, 1);
        },
        ONE_BYTE,
    ),
    (
        "http2/6.9.2/2",
        |h2| {
            settle(h2, &[(INITIAL_WINDOW_SIZE, 3)]);
            whole(h2, 1, &get());
            h2.until_kind(DATA, NONE);
            settle(h2, &[(INITIAL_WINDOW_SIZE, 2)]);
            h2.window(1, 2);
        },
        ONE_BYTE,
    ),
    (
        "http2/6.9.2/3",
        |h2| {
            h2.setting(INITIAL_WINDOW_SIZE, 1 << 31);
        },
        Want::ConnectionError(&[FLOW_CONTROL_ERROR]),
    ),
    (
        "http2/6.10/1",
        |h2| {
            h2.frame(HEADERS, END_STREAM, 1, &get());
            continuation(h2, NONE, 1, &dummies(1));
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::Response,
    ),
    (
        "http2/6.10/2",
        |h2| {
            h2.frame(HEADERS, END_STREAM, 1, &get());
            continuation(h2, END_HEADERS, 1, &dummies(1));
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.10/3",
        |h2| {
            h2.frame(HEADERS, NONE, 1, &post());
            continuation(h2, NONE, 1, &dummies(1));
            h2.data(1, END_STREAM, b"test");
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.10/4",
        |h2| {
            h2.frame(HEADERS, END_STREAM, 1, &get());
            continuation(h2, END_HEADERS, 0, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.10/5",
        |h2| {
            whole(h2, 1, &get());
            continuation(h2, END_HEADERS, 1, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/6.10/6",
        |h2| {
            h2.frame(HEADERS, NONE, 1, &post()).data(1, END_STREAM, b"test");
            continuation(h2, NONE, 1, &dummies(1));
            continuation(h2, END_HEADERS, 0, &dummies(1));
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/7/1",
        |h2| {
            ping(h2.frame(GOAWAY, NONE, 0, b"\0\0\0\0\0\0\0\xff"));
        },
        Want::PongOrClosed,
    ),
    (
        "http2/7/2",
        |h2| {
            open(h2, 1, &post());
            ping(h2.reset(1, 0xff));
        },
        Want::PongOrClosed,
    ),
    (
        "http2/8.1/1",
        |h2| {
            open(h2, 1, &post());
            h2.data(1, NONE, b"test");
            open(h2, 1, &block(&[("x-test", "ok")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2/1",
        |h2| {
            whole(h2, 1, &get_with(&[("X-TEST", "ok")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.1/1",
        |h2| {
            whole(h2, 1, &get_with(&[(":test", "ok")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.1/2",
        |h2| {
            whole(h2, 1, &get_with(&[(":status", "200")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.1/3",
        |h2| {
            open(h2, 1, &post());
            h2.data(1, NONE, b"test");
            open(h2, 1, &block(&[(":method", "POST")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.1/4",
        |h2| {
            whole(h2, 1, &[block(&[("x-test", "ok")]), get()].concat());
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.2/1",
        |h2| {
            whole(h2, 1, &get_with(&[("connection", "keep-alive")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.2/2",
        |h2| {
            whole(h2, 1, &get_with(&[("trailers", "test"), ("te", "trailers, deflate")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.3/1",
        |h2| {
            whole(h2, 1, &block(&request("GET", "", &[])));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.3/2",
        |h2| {
            without(h2, ":method");
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.3/3",
        |h2| {
            without(h2, ":scheme");
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.3/4",
        |h2| {
            without(h2, ":path");
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.3/5",
        |h2| {
            whole(h2, 1, &get_with(&[(":method", "GET")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.3/6",
        |h2| {
            whole(h2, 1, &get_with(&[(":scheme", "http")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.3/7",
        |h2| {
            whole(h2, 1, &get_with(&[(":path", "/public/x")]));
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.6/1",
        |h2| {
            let post = block(&request("POST", "/public/x", &[("content-length", "1")]));
            open(h2, 1, &post);
            h2.data(1, END_STREAM, b"test");
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.1.2.6/2",
        |h2| {
            let post = block(&request("POST", "/public/x", &[("content-length", "1")]));
            open(h2, 1, &post);
            h2.data(1, NONE, b"test").data(1, END_STREAM, b"test");
        },
        Want::StreamError(&[PROTOCOL_ERROR]),
    ),
    (
        "http2/8.2/1",
        |h2| {
            h2.frame(PUSH_PROMISE, END_HEADERS, 1, &[&3_u32.to_be_bytes()[..], &get()].concat());
        },
        Want::ConnectionError(&[PROTOCOL_ERROR]),
    ),
];

/// A request that lacks one of its pseudo-header fields.
fn without(h2: &mut H2, name: &str) {
    let mut fields = request("GET", "/public/x", &[]);
    fields.retain(|(known, _)| *known != name);
    whole(h2, 1, &block(&fields));
}
