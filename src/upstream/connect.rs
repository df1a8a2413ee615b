//! A new connection to an address of an upstream.

use std::io;
use std::time::Duration;

use tokio::net::{TcpStream, UnixStream};

use crate::plan::Target;
use crate::socket::Socket;

/// Connects; a name is resolved anew each time, and its addresses are tried one after the other.
///
/// # Errors
/// What the last address answered, or `TimedOut` when none did within `timeout`.
pub(crate) async fn connect(target: &Target, timeout: Duration) -> io::Result<Socket> {
    let connecting = async {
        match target {
            Target::Tcp { host, port } => {
                let stream = TcpStream::connect((&**host, *port)).await?;
                // Requests and events must not wait for more bytes to come (Nagle's algorithm).
                stream.set_nodelay(true)?;
                Ok(Socket::Tcp(stream))
            }
            Target::Unix(path) => UnixStream::connect(path).await.map(Socket::Unix),
        }
    };
    tokio::time::timeout(timeout, connecting).await?
}
