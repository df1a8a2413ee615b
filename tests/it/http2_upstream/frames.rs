//! What an upstream may say frame by frame, and what comes of it.

use super::{before, post, request};
use crate::support::frames::{
    CANCEL, DATA, END_STREAM, ENHANCE_YOUR_CALM, Frame, INTERNAL_ERROR, NO_ERROR, PROTOCOL_ERROR,
    REFUSED_STREAM, RST_STREAM,
};
use crate::support::{FrameOrigin, Link, Signal};

/// On the first connection does this to the first request; serves all others.
fn once(play: impl Fn(&mut Link, u32) + Send + Sync + 'static) -> FrameOrigin {
    FrameOrigin::scripted(move |link| {
        link.settle(&[]);
        if link.number == 1 {
            let Some((stream, _)) = link.request() else { return };
            play(link, stream);
        }
        link.serve();
    })
}

/// What comes of a request whose upstream plays this with the first that it gets; how many requests
/// it got, and over how many connections.
#[track_caller]
fn check(
    asked: &str,
    play: impl Fn(&mut Link, u32) + Send + Sync + 'static,
    expected: (u16, &str),
    (requests, connections): (usize, usize),
) {
    let origin = once(play);
    let gate = before(origin.address, "");
    let answer = gate.send(asked);
    assert_eq!((answer.status, &*answer.text()), expected);
    assert_eq!((origin.requests(), origin.connections()), (requests, connections));
}

#[test]
fn what_the_upstream_did_not_look_at_is_sent_once_more() {
    for asked in [request("GET /x"), request("DELETE /x"), post("")] {
        check(&asked, |link, _| link.send(&[Frame::go_away(0, NO_ERROR)]), (200, "2"), (2, 2));
        let refuse = |link: &mut Link, stream| link.send(&[Frame::reset(stream, REFUSED_STREAM)]);
        check(&asked, refuse, (200, "2"), (2, 2));
    }
}

#[test]
fn what_the_upstream_may_have_acted_on_is_not_sent_again() {
    const BAD: (u16, &str) = (502, "Bad gateway");
    // A part of the body has been taken from the client.
    check(&post("hi"), |link, _| link.send(&[Frame::go_away(0, NO_ERROR)]), BAD, (1, 1));
    for code in [NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, CANCEL, ENHANCE_YOUR_CALM] {
        let reset = move |link: &mut Link, stream| link.send(&[Frame::reset(stream, code)]);
        check(&request("GET /x"), reset, BAD, (1, 1));
    }
    // The stream is not behind the last one that was looked at, and then the connection ends.
    let ends = |link: &mut Link, stream| {
        link.send(&[Frame::go_away(stream, INTERNAL_ERROR)]);
        link.close();
    };
    check(&request("DELETE /x"), ends, BAD, (1, 1));
    let closes = |link: &mut Link, _| link.close();
    check(&request("DELETE /x"), closes, BAD, (1, 1));
    // Something was said to it already.
    let hints = |link: &mut Link, stream| {
        link.send(&[
            Frame::headers(stream, 0, &[(":status", "103"), ("link", "</a>")]),
            Frame::reset(stream, REFUSED_STREAM),
        ]);
    };
    check(&request("GET /x"), hints, BAD, (1, 1));
}

#[test]
fn a_get_on_a_connection_that_is_lost_is_sent_once_more_and_not_without_end() {
    check(&request("GET /x"), |link, _| link.close(), (200, "2"), (2, 2));
    for refuse in [true, false] {
        let origin = FrameOrigin::scripted(move |link| {
            link.settle(&[]);
            while let Some((stream, _)) = link.request() {
                if !refuse {
                    return;
                }
                link.send(&[Frame::reset(stream, REFUSED_STREAM)]);
            }
        });
        let gate = before(origin.address, "");
        assert_eq!(gate.send(request("GET /x")).status, 502);
        assert_eq!(origin.requests(), 2);
    }
}

#[test]
fn who_goes_away_ends_what_it_has_begun() {
    let origin = once(|link, stream| {
        link.send(&[
            Frame::go_away(stream, NO_ERROR),
            Frame::headers(stream, 0, &[(":status", "200")]),
            Frame::data(stream, END_STREAM, "late"),
        ]);
    });
    let gate = before(origin.address, "");
    assert_eq!(gate.send(request("POST /x")).text(), "late");
    assert_eq!(gate.send(request("POST /x")).text(), "2");
    assert_eq!(gate.send(request("POST /x")).text(), "2");
}

#[test]
fn a_response_is_whole_however_its_stream_ends_then() {
    let go = Signal::new();
    let led = go.clone();
    let origin = FrameOrigin::scripted(move |link| {
        link.settle(&[]);
        while let Some((stream, has_body)) = link.request() {
            let head = [(":status", "200"), ("content-length", "2")];
            link.send(&[Frame::headers(stream, 0, &head), Frame::data(stream, 0, "hi")]);
            led.wait();
            link.send(&[match has_body {
                true => Frame::reset(stream, NO_ERROR),
                false => Frame::data(stream, END_STREAM, ""),
            }]);
        }
    });
    let gate = before(origin.address, "");
    for asked in [request("GET /x"), request("GET /x"), post("hi"), request("GET /x")] {
        // What was announced is there before the stream has ended.
        let answer = gate.send(asked);
        assert_eq!((answer.status, &*answer.text(), answer.complete), (200, "hi", true));
        go.give();
    }
    // Nobody is told that it was not.
    assert!(origin.frames().iter().all(|(_, frame)| frame.kind != RST_STREAM));
    assert_eq!(origin.connections(), 1);
}

#[test]
fn an_early_answer_ends_the_upload_and_not_the_connection() {
    const MUCH: usize = 8 * 1024 * 1024;
    let origin = FrameOrigin::scripted(|link| {
        link.settle(&[]);
        while let Some((stream, has_body)) = link.request() {
            if has_body {
                // A server that wants no more says so (RFC 9113, section 8.1).
                let status = [(":status", "413")];
                link.send(&[
                    Frame::headers(stream, END_STREAM, &status),
                    Frame::reset(stream, NO_ERROR),
                ]);
            } else {
                link.reply(stream, "ok");
            }
        }
    });
    let gate = before(origin.address, "");
    let mut client = gate.client();
    let upload = client.send_beside(post(&"x".repeat(MUCH)).into_bytes());
    assert_eq!(client.response_head().status, 413);
    drop(client);
    assert_eq!(gate.send(request("GET /x")).text(), "ok");
    let sent = origin.frames().iter().filter(|(_, frame)| frame.kind == DATA).count();
    assert!(sent < 100, "{sent} frames of the body were sent");
    assert_eq!(origin.connections(), 1);
    upload.join().expect("the upload ends");
}
