//! Requests on their way out, over a pair of sockets that holds little.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::upload::{Cut, Upload};
use crate::forward::body::BodyError;
use crate::forward::headers::Framing;
use crate::sample::trailers;
use crate::socket::Socket;

/// What a body does when it is asked for more.
enum Step {
    Gives(&'static str),
    Lends(Bytes),
    Trails(&'static str),
    Waits,
    Breaks(BodyError),
}
use Step::{Breaks, Gives, Lends, Trails, Waits};

/// A body that does one thing after the other, ends, and must not be asked again after that.
struct Steps(Option<VecDeque<Step>>);

impl Steps {
    fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self(Some(steps.into_iter().collect()))
    }
}

impl Body for Steps {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let steps = self.0.as_mut().expect("nobody asks for more behind the end");
        Poll::Ready(match steps.pop_front() {
            Some(Gives(data)) => Some(Ok(Frame::data(data.into()))),
            Some(Lends(data)) => Some(Ok(Frame::data(data))),
            Some(Trails(lines)) => Some(Ok(Frame::trailers(trailers(lines)))),
            Some(Waits) => {
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            Some(Breaks(error)) => {
                self.0 = None;
                Some(Err(error))
            }
            None => {
                self.0 = None;
                None
            }
        })
    }
}

/// A socket to write to that holds a few KiB, and its other end.
fn sockets() -> (Socket, UnixStream) {
    let (near, far) = UnixStream::pair().expect("a pair of sockets");
    SockRef::from(&near).set_send_buffer_size(4096).expect("a small buffer");
    (Socket::Unix(near), far)
}

fn begun(framing: Framing, body: Steps) -> Upload<Steps> {
    let mut upload = Upload::none();
    upload.begin(|out| out.extend_from_slice(b"HEAD\r\n\r\n"), body, framing);
    assert!(!upload.is_over());
    upload
}

fn poll(upload: &mut Upload<Steps>, socket: &mut Socket) -> Poll<Result<(), Cut>> {
    upload.poll(socket, &mut Context::from_waker(Waker::noop()))
}

/// Sends a request; returns what arrived of it, and why no more did.
async fn sent(framing: Framing, body: Steps) -> (String, Option<BodyError>) {
    let (mut socket, mut far) = sockets();
    let mut upload = begun(framing, body);
    let sending = async {
        let cut = poll_fn(|cx| upload.poll(&mut socket, cx)).await.err();
        assert_eq!(upload.is_over(), cut.is_none());
        if cut.is_some() {
            // Whoever asks again hears the same, and nothing more goes out.
            let again = poll_fn(|cx| upload.poll(&mut socket, cx)).await;
            assert!(matches!(again, Err(Cut::Body(_))) && !upload.is_over());
        }
        drop(socket);
        cut.map(|cut| match cut {
            Cut::Body(error) => error,
            Cut::Socket(error) => panic!("{error}"),
        })
    };
    let mut arrived = String::new();
    let (cut, read) = tokio::join!(sending, far.read_to_string(&mut arrived));
    read.expect("text arrives");
    // A body that is wrong from its start keeps the head back too.
    let body = arrived.strip_prefix("HEAD\r\n\r\n").unwrap_or(&arrived);
    (body.to_owned(), cut)
}

#[track_caller]
fn check(
    framing: Framing,
    steps: impl IntoIterator<Item = Step>,
    expected: (&str, Option<BodyError>),
) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
    let (body, cut) = runtime.expect("a runtime").block_on(sent(framing, Steps::new(steps)));
    assert_eq!((&*body, cut), expected);
}

#[test]
fn a_body_is_sent_as_it_is_framed() {
    check(Framing::Length(5), [Gives("he"), Waits, Gives(""), Gives("llo")], ("hello", None));
    let chunks = "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    check(Framing::Chunked, [Gives("he"), Waits, Gives(""), Gives("llo")], (chunks, None));
    check(Framing::Chunked, [Waits], ("0\r\n\r\n", None));
    check(Framing::Chunked, [Gives("hi"), Trails("a: b\nc: d")], {
        ("2\r\nhi\r\n0\r\na: b\r\nc: d\r\n\r\n", None)
    });
    // Nobody looks at a body that is not there.
    check(Framing::None, [Gives("x")], ("", None));
    check(Framing::Length(0), [Gives("x")], ("", None));
}

#[test]
fn a_body_of_another_length_never_ends() {
    let client = Some(BodyError::Client);
    check(Framing::Length(5), [Gives("he")], ("he", client));
    check(Framing::Length(5), [], ("", client));
    check(Framing::Length(5), [Gives("he"), Trails("a: b")], ("he", client));
    check(Framing::Length(5), [Gives("hello!")], ("", client));
    check(Framing::Length(5), [Gives("hel"), Waits, Gives("lo!")], ("hel", client));
}

#[test]
fn a_body_that_breaks_off_never_ends() {
    for error in [BodyError::TooLarge, BodyError::ClientStalled, BodyError::Client] {
        check(Framing::Chunked, [Gives("he"), Breaks(error)], ("2\r\nhe\r\n", Some(error)));
        check(Framing::Chunked, [Gives("he"), Waits, Breaks(error)], {
            ("2\r\nhe\r\n", Some(error))
        });
        check(Framing::Length(5), [Gives("he"), Breaks(error)], ("he", Some(error)));
        check(Framing::Chunked, [Waits, Breaks(error)], ("", Some(error)));
    }
}

#[test]
fn what_does_not_fit_at_once_is_sent_in_order() {
    let large: String = (0..40_000).map(|number| format!("{number:06} ")).collect();
    let large: &str = large.leak();
    let (front, back) = large.split_at(100_001);
    check(Framing::Length(large.len() as u64), [Gives(front), Gives(back)], (large, None));
    let chunks = format!("{:x}\r\n{front}\r\n{:x}\r\n{back}\r\n0\r\n\r\n", front.len(), back.len());
    check(Framing::Chunked, [Gives(front), Waits, Gives(back)], (&chunks, None));
}

#[tokio::test]
async fn an_upstream_that_reads_no_more_is_no_error_but_no_end_either() {
    let (mut socket, far) = sockets();
    drop(far);
    // Two pieces: the second is never asked for.
    let mut upload = begun(Framing::Chunked, Steps::new([Gives("a"), Breaks(BodyError::Client)]));
    for _ in 0..2 {
        assert!(poll(&mut upload, &mut socket).is_pending() && !upload.is_over());
    }
}

#[tokio::test]
async fn an_upload_without_end_lets_the_response_have_its_turn() {
    let (near, mut far) = UnixStream::pair().expect("a pair of sockets with much room");
    let mut socket = Socket::Unix(near);
    let mut upload = begun(Framing::Length(100), Steps::new((0..100).map(|_| Gives("a"))));
    assert!(poll(&mut upload, &mut socket).is_pending());
    // It needs nobody to go on.
    poll_fn(|cx| upload.poll(&mut socket, cx)).await.expect("nothing is wrong");
    drop(socket);
    let mut arrived = String::new();
    far.read_to_string(&mut arrived).await.expect("text arrives");
    assert_eq!(arrived.len(), "HEAD\r\n\r\n".len() + 100);
}

/// What is left of a request's body while nothing of it can be written.
async fn left(framing: Framing, steps: impl IntoIterator<Item = Step>) -> Option<usize> {
    let (mut socket, _far) = sockets();
    let mut cx = Context::from_waker(Waker::noop());
    let filler = [0; 1024];
    while pin!(socket.write(&filler)).poll(&mut cx).is_ready() {}
    let mut upload = begun(framing, Steps::new(steps));
    assert!(poll(&mut upload, &mut socket).is_pending());
    upload.take_back().map(|body| body.0.map_or(0, |steps| steps.len()))
}

#[tokio::test]
async fn a_body_is_given_back_whole_or_not_at_all() {
    assert_eq!(left(Framing::None, []).await, Some(0));
    assert_eq!(left(Framing::Chunked, [Waits, Waits, Gives("a")]).await, Some(2));
    assert_eq!(left(Framing::Length(2), [Waits, Waits, Gives("a")]).await, Some(2));
    assert_eq!(left(Framing::Chunked, [Gives("a"), Gives("b")]).await, None);
    assert_eq!(left(Framing::Length(2), [Gives("a"), Gives("b")]).await, None);
    // The end is a part of it too, and so are the fields behind it.
    assert_eq!(left(Framing::Chunked, []).await, None);
    assert_eq!(left(Framing::Chunked, [Trails("a: b")]).await, None);
    // Once a byte has gone out, it is not.
    let (mut socket, _far) = sockets();
    let mut upload = begun(Framing::Chunked, Steps::new([Waits, Waits]));
    assert!(poll(&mut upload, &mut socket).is_pending() && upload.take_back().is_none());
}

#[tokio::test]
async fn nothing_of_a_body_is_held_once_it_is_sent() {
    let (mut socket, _far) = sockets();
    let piece = Bytes::from(vec![b'a'; 100]);
    for framing in [Framing::Length(100), Framing::Chunked] {
        let mut upload = begun(framing, Steps::new([Lends(piece.clone())]));
        assert!(poll(&mut upload, &mut socket).is_ready() && piece.is_unique());
    }
}

#[tokio::test]
async fn one_request_leaves_nothing_to_the_next() {
    let (mut socket, mut far) = sockets();
    let mut upload = begun(Framing::Chunked, Steps::new([Gives("a"), Trails("b: c")]));
    for (framing, step) in [(Framing::Length(1), Gives("d")), (Framing::None, Waits)] {
        assert!(poll(&mut upload, &mut socket).is_ready() && upload.is_over());
        upload.begin(|out| out.extend_from_slice(b"NEXT\r\n\r\n"), Steps::new([step]), framing);
    }
    assert!(poll(&mut upload, &mut socket).is_ready() && upload.is_over());
    drop(socket);
    let mut arrived = String::new();
    far.read_to_string(&mut arrived).await.expect("text arrives");
    let requests = "HEAD\r\n\r\n1\r\na\r\n0\r\nb: c\r\n\r\nNEXT\r\n\r\ndNEXT\r\n\r\n";
    assert_eq!(arrived, requests);
}
