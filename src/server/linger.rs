//! The end of a connection whose client may still be sending.

use std::cell::RefCell;
use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use super::clock::{Deadlines, Wait};
use super::worker::Worker;
use crate::socket::Socket;

/// How long a connection that ends is read from, so that a client that is still sending gets to
/// read the answer instead of a reset (RFC 9112, section 9.6).
const LINGER_TIMEOUT: Duration = Duration::from_secs(2);

/// How much is read from a connection that ends.
const LINGER_SIZE: usize = 4 * 1024 * 1024;

/// Throws away what comes over a connection whose other direction was shut down.
pub(super) async fn read(socket: &RefCell<Socket>, worker: &Worker, deadlines: &Deadlines) {
    deadlines.set(Wait::Body, LINGER_TIMEOUT);
    let mut left = LINGER_SIZE;
    poll_fn(|cx| {
        deadlines.watch(cx.waker());
        let mut scratch = worker.scratch.borrow_mut();
        loop {
            let polled = socket.borrow_mut().poll_recv(cx, &mut scratch);
            if deadlines.passed(Wait::Body) {
                return Poll::Ready(());
            }
            match polled {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(count)) if (1..=left).contains(&count) => left -= count,
                Poll::Ready(_) => return Poll::Ready(()),
            }
        }
    })
    .await;
}
