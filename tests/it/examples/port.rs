//! Free ports for programs that cannot be told to take any and say which.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};

/// Below the ports that Linux hands out by itself, so that no outgoing connection and no socket
/// bound to port 0 can take one in the meantime.
const RANGE: std::ops::Range<u16> = 10_000..32_000;

/// The one port among them to which browsers and Node's `fetch` do not connect (the Fetch
/// standard, "bad port").
const BAD: u16 = 10_080;

/// A TCP port of the loopback address that is kept for one test.
pub(crate) struct Port {
    /// The address with this port.
    pub(crate) address: SocketAddr,
    /// The UDP port of the same number: nobody else wants it, so tests that run side by side, in
    /// other processes too, tell from it that the number is taken.
    _claim: UdpSocket,
}

impl Port {
    /// Finds a port that nobody listens on, and claims it until it is dropped.
    pub(crate) fn claim() -> Self {
        loop {
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, fastrand::u16(RANGE)));
            if address.port() == BAD {
                continue;
            }
            let Ok(claim) = UdpSocket::bind(address) else { continue };
            if TcpListener::bind(address).is_ok() {
                return Self { address, _claim: claim };
            }
        }
    }
}

#[test]
fn a_claimed_port_is_not_given_again_and_can_be_listened_on() {
    let port = Port::claim();
    assert!(UdpSocket::bind(port.address).is_err());
    assert!(TcpListener::bind(port.address).is_ok());
}
