//! One probe over a socket of its own: bytes that go out as they are, and the status that comes.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use super::target::Target;

/// How long an answer may take: longer than a gate makes whoever guesses wait.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(15);

/// How much is read of an answer whose head does not end.
const HEAD_LIMIT: usize = 64 * 1024;

/// The status of the answer; the error says in few words why there is none.
pub(super) fn ask(target: &Target, request: &[u8]) -> Result<u16, String> {
    let mut stream = target.connect().map_err(|_| "no connection".to_owned())?;
    let end = Instant::now() + ANSWER_TIMEOUT;
    let _ = stream.tcp().set_nodelay(true);
    let _ = stream.tcp().set_write_timeout(Some(ANSWER_TIMEOUT));
    // A handshake reads as well.
    let _ = stream.tcp().set_read_timeout(Some(ANSWER_TIMEOUT));
    // Who refuses early need not read everything: the answer counts, if there is one.
    let _ = stream.write_all(request).and_then(|()| stream.flush());
    let mut received = Vec::new();
    loop {
        match status(&received) {
            Some(Ok(status)) => return Ok(status),
            Some(Err(())) => return Err("not HTTP".to_owned()),
            None if received.len() > HEAD_LIMIT => return Err("no end".to_owned()),
            None => {}
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() || stream.tcp().set_read_timeout(Some(left)).is_err() {
            return Err("no answer".to_owned());
        }
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(0) => return Err("closed".to_owned()),
            Ok(count) => received.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(_) => return Err("reset".to_owned()),
        }
    }
}

/// The status of the final answer, behind those that only announce it; none while it has not come.
fn status(mut received: &[u8]) -> Option<Result<u16, ()>> {
    loop {
        let mut fields = [httparse::EMPTY_HEADER; 256];
        let mut answer = httparse::Response::new(&mut fields);
        let length = match answer.parse(received) {
            Ok(httparse::Status::Complete(length)) => length,
            Ok(httparse::Status::Partial) => return None,
            Err(_) => return Some(Err(())),
        };
        match answer.code {
            Some(100 | 102..=199) => received = &received[length..],
            Some(code) => return Some(Ok(code)),
            None => return Some(Err(())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_that_of_the_final_answer() {
        for (received, expected) in [
            ("", None),
            ("HTTP/1.1 401", None),
            ("HTTP/1.1 401 Unauthorized\r\n\r\n", Some(Ok(401))),
            ("HTTP/1.1 100 Continue\r\n\r\n", None),
            ("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Some(Ok(200))),
            ("HTTP/1.1 101 Switching Protocols\r\n\r\n", Some(Ok(101))),
            ("SSH-2.0-OpenSSH\r\n", Some(Err(()))),
            ("<html>401</html>", Some(Err(()))),
        ] {
            assert_eq!(status(received.as_bytes()), expected, "{received}");
        }
    }
}
