//! One client connection, from accept to close.

use std::net::IpAddr;
use std::rc::Rc;

use bytes::Bytes;

use super::client::Peer;
use super::h1::head::PREFACE;
use super::worker::Worker;
use super::{h1, h2};
use crate::socket::Socket;
use crate::tls::Alpn;

/// Serves one connection until either side ends it. One of HTTP/2 is boxed, because all others
/// would be larger by it.
pub(super) async fn serve(worker: Rc<Worker>, socket: Socket, address: Option<IpAddr>) {
    let peer = |socket: &Socket| Peer::new(address, socket.scheme());
    // What was agreed on with TLS is spoken, and nothing else.
    if socket.alpn() == Some(Alpn::H2) {
        let peer = peer(&socket);
        return Box::pin(h2::connection::serve(worker, socket, Bytes::new(), peer)).await;
    }
    let known = peer(&socket);
    let rest = h1::connection::serve(Rc::clone(&worker), socket, known).await;
    if let Some((socket, rest)) = rest {
        let ahead = Bytes::from([PREFACE, &rest].concat());
        // Made anew: kept meanwhile, it would be in the memory of every connection twice.
        let peer = peer(&socket);
        Box::pin(h2::connection::serve(worker, socket, ahead, peer)).await;
    }
}
