//! The client: reads one stream, and tells how long each event took.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::UnboundedSender;

use crate::Result;

/// What stands before the time at which an event was sent, and how many digits that has.
const SENT: &[u8] = b"\"sent\":";
const DIGITS: usize = 20;

/// A connection on which a stream was asked for.
pub(crate) struct Stream(TcpStream);

impl Stream {
    pub(crate) async fn open(port: u16, key: &str) -> Result<Self> {
        let mut connection = TcpStream::connect(("127.0.0.1", port)).await?;
        connection.set_nodelay(true)?;
        let request =
            format!("GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Api-Key: {key}\r\n\r\n");
        connection.write_all(request.as_bytes()).await?;
        Ok(Self(connection))
    }

    /// Sends the age of each event as it arrives. Returns only when the stream ends.
    pub(crate) async fn receive(
        mut self,
        number: u32,
        begin: Instant,
        arrived: UnboundedSender<Duration>,
    ) -> Result<()> {
        let mut received = Vec::with_capacity(4096);
        let mut is_stream = false;
        while self.0.read_buf(&mut received).await? > 0 {
            let now = begin.elapsed();
            is_stream |= received.starts_with(b"HTTP/1.1 200");
            if !is_stream && received.len() > 12 {
                return Err(String::from_utf8_lossy(&received).into());
            }
            let mut read = 0;
            while let Some((sent, end)) = next_event(&received[read..]) {
                read += end;
                let _ = arrived.send(now.saturating_sub(sent));
            }
            received.drain(..read);
        }
        Err(format!("stream {number} was closed").into())
    }
}

/// When the first event in these bytes was sent, and where what follows begins.
fn next_event(bytes: &[u8]) -> Option<(Duration, usize)> {
    let begin = bytes.windows(SENT.len()).position(|bytes| bytes == SENT)? + SENT.len();
    let digits = std::str::from_utf8(bytes.get(begin..begin + DIGITS)?).ok()?;
    Some((Duration::from_nanos(digits.parse().ok()?), begin + DIGITS))
}
