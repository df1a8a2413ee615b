//! One client connection, from accept to close.

use std::net::IpAddr;
use std::rc::Rc;

use super::client::Peer;
use super::h1;
use super::worker::Worker;
use crate::socket::Socket;

/// Serves one connection until either side ends it.
pub(super) async fn serve(worker: Rc<Worker>, socket: Socket, peer: Option<IpAddr>) {
    let peer = Peer::new(peer, socket.scheme());
    h1::connection::serve(worker, socket, peer).await;
}
