//! The origin: answers every request with an event stream that does not end.

use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{MissedTickBehavior, interval};

use crate::Result;

const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
    Cache-Control: no-cache\r\nX-Accel-Buffering: no\r\nTransfer-Encoding: chunked\r\n\r\n";

/// Serves every connection from now on.
pub(crate) async fn serve(listener: TcpListener, begin: Instant, every: Duration) {
    while let Ok((connection, _)) = listener.accept().await {
        tokio::spawn(stream(connection, begin, every));
    }
}

async fn stream(mut connection: TcpStream, begin: Instant, every: Duration) -> Result<()> {
    connection.set_nodelay(true)?;
    let mut received = Vec::new();
    while !received.windows(4).any(|end| end == b"\r\n\r\n") {
        if connection.read_buf(&mut received).await? == 0 {
            return Ok(());
        }
    }
    connection.write_all(HEAD).await?;
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        connection.write_all(event(begin.elapsed()).as_bytes()).await?;
    }
}

/// A chunk of about the size in which a language model's token comes.
fn event(now: Duration) -> String {
    let event =
        format!("data: {{\"sent\":{:020},\"text\":\"{:100}\"}}\n\n", now.as_nanos(), "word");
    format!("{:x}\r\n{event}\r\n", event.len())
}
