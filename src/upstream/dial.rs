//! A new connection to the first of several addresses that takes it.
//!
//! An address that neither refuses nor answers must not hold a request up while others would serve
//! it: a while after each attempt the next begins beside it (RFC 8305, section 5). That saves an
//! IPv4 client from a dead IPv6 route as well as a request from a machine that is switched off.

use std::io;
use std::rc::Rc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::address::Address;
use super::lease::{Lease, Slot, Way};
use super::pool::Pool;
use crate::socket::is_out_of_descriptors;

/// How long the others wait for an attempt: what RFC 8305 recommends.
const HEAD_START: Duration = Duration::from_millis(250);

type Attempt = io::Result<(Way, Rc<Address>)>;

impl Pool {
    /// Connects to the address that a request has a place at, or else to any other.
    ///
    /// # Errors
    /// What the last address said, or `TimedOut`.
    pub(super) async fn dial(&self, mut slot: Slot) -> io::Result<Lease> {
        let first = Rc::clone(slot.address());
        if !self.has_others(std::slice::from_ref(&first)) {
            return first.connect().await.map(|way| Lease::new(way, slot, false));
        }
        let (way, address) = self.race(Rc::clone(&first)).await?;
        if !Rc::ptr_eq(&address, &first) {
            slot.move_to(address);
        }
        Ok(Lease::new(way, slot, false))
    }

    /// Connects to the first address at once, and to all others in their turn.
    async fn race(&self, first: Rc<Address>) -> Attempt {
        let end = Instant::now() + self.upstream().connect_timeout;
        let timers = &self.here().timers;
        let (mut attempts, mut tried) = (JoinSet::new(), Vec::new());
        let mut next = Some(first);
        let mut last = io::Error::from(io::ErrorKind::AddrNotAvailable);
        loop {
            if let Some(address) = next {
                attempts.spawn_local(attempt(Rc::clone(&address)));
                tried.push(address);
            } else if attempts.is_empty() {
                return Err(last);
            }
            let has_others = self.has_others(&tried);
            let patience = Instant::now() + HEAD_START;
            tokio::select! {
                Some(ended) = attempts.join_next() => match ended? {
                    Ok(made) => {
                        // What the others come to is of use: it says whom to ask next time.
                        attempts.detach_all();
                        return Ok(made);
                    }
                    Err(error) if is_out_of_descriptors(&error) => return Err(error),
                    Err(error) => last = error,
                },
                () = timers.sleep_until(patience), if has_others => {}
                () = timers.sleep_until(end) => {
                    attempts.detach_all();
                    return Err(io::ErrorKind::TimedOut.into());
                }
            }
            // Its turn is taken only now: an address that is not asked must not lose one.
            next = self.choose(&tried, None);
        }
    }
}

/// One attempt, which counts as a request to its address.
async fn attempt(address: Rc<Address>) -> Attempt {
    let _slot = Slot::take(Rc::clone(&address), None);
    let way = address.connect().await?;
    Ok((way, address))
}
