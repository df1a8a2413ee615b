//! A DNS server on loopback that answers as the test says, or not at all.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What is answered, whatever the name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Says {
    /// These addresses, good for one second.
    Addresses(Vec<Ipv4Addr>),
    /// That it cannot tell (SERVFAIL).
    Failure,
    /// Nothing; whoever asked is answered when it says something again.
    Nothing,
}

/// A running server.
pub(crate) struct Dns {
    /// Where it listens, on the port that resolvers ask.
    pub(crate) address: Ipv4Addr,
    socket: Arc<UdpSocket>,
    state: Arc<Mutex<State>>,
}

struct State {
    says: Says,
    unanswered: Vec<(Vec<u8>, SocketAddr)>,
    asked: usize,
    is_over: bool,
}

impl Dns {
    /// Starts one; none where nobody may listen on port 53.
    pub(crate) fn saying(says: Says) -> Option<Self> {
        let (address, socket) = free()?;
        let socket = Arc::new(socket);
        socket.set_read_timeout(Some(Duration::from_millis(50))).expect("a socket can wait");
        let state = State { says, unanswered: Vec::new(), asked: 0, is_over: false };
        let state = Arc::new(Mutex::new(state));
        let server = Self { address, socket, state };
        let (socket, state) = (Arc::clone(&server.socket), Arc::clone(&server.state));
        thread::spawn(move || serve(&socket, &state));
        Some(server)
    }

    /// Says something else from now on.
    pub(crate) fn say(&self, says: Says) {
        let mut state = locked(&self.state);
        state.says = says;
        for (query, peer) in std::mem::take(&mut state.unanswered) {
            state.answer(&self.socket, query, peer);
        }
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        locked(&self.state).asked
    }
}

impl Drop for Dns {
    fn drop(&mut self) {
        locked(&self.state).is_over = true;
    }
}

fn locked(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// An address at which port 53 is free: the whole of 127.0.0.0/8 is this machine.
fn free() -> Option<(Ipv4Addr, UdpSocket)> {
    for number in 0..=u16::MAX {
        let [high, low] = number.wrapping_add(std::process::id() as u16).to_be_bytes();
        let address = Ipv4Addr::new(127, 53, high, low);
        match UdpSocket::bind((address, 53)) {
            Ok(socket) => return Some((address, socket)),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            Err(_) => return None,
        }
    }
    None
}

fn serve(socket: &UdpSocket, state: &Mutex<State>) {
    let mut query = [0; 512];
    while !locked(state).is_over {
        if let Ok((length, peer)) = socket.recv_from(&mut query) {
            let mut state = locked(state);
            state.asked += 1;
            state.answer(socket, query[..length].to_vec(), peer);
        }
    }
}

impl State {
    fn answer(&mut self, socket: &UdpSocket, query: Vec<u8>, peer: SocketAddr) {
        if self.says == Says::Nothing {
            return self.unanswered.push((query, peer));
        }
        // Whoever asked may have given up.
        let _ = reply(&query, &self.says).map(|reply| socket.send_to(&reply, peer));
    }
}

/// The answer to a query of one question (RFC 1035, section 4.1).
fn reply(query: &[u8], says: &Says) -> Option<Vec<u8>> {
    const A: [u8; 2] = [0, 1];
    let name = query.get(12..)?.iter().position(|byte| *byte == 0)?;
    let question = query.get(12..12 + name + 5)?;
    let asks_for_a = question[name + 1..name + 3] == A;
    let (addresses, code) = match says {
        Says::Addresses(addresses) if asks_for_a => (&addresses[..], 0),
        Says::Failure => (&[][..], 2),
        _ => (&[][..], 0),
    };
    let count = u16::try_from(addresses.len()).ok()?.to_be_bytes();
    let mut reply = [&query[..2], &[0x81, 0x80 | code, 0, 1], &count, &[0; 4], question].concat();
    for address in addresses {
        // The name of the question, for one second, four bytes.
        reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4]);
        reply.extend(address.octets());
    }
    Some(reply)
}
