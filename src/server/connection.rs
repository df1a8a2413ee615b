//! One client connection, from accept to close.

use std::net::IpAddr;
use std::rc::Rc;

use super::client::Peer;
use super::worker::Worker;
use super::{h1, h2};
use crate::socket::Socket;

/// Serves one connection until either side ends it. One of HTTP/2 is boxed, because all others
/// would be larger by it.
pub(super) async fn serve(worker: Rc<Worker>, socket: Socket, peer: Option<IpAddr>) {
    let peer = Peer::new(peer, socket.scheme());
    let rest = h1::connection::serve(Rc::clone(&worker), socket, peer.clone()).await;
    if let Some((socket, rest)) = rest {
        Box::pin(h2::connection::serve(worker, socket, rest, peer)).await;
    }
}
