//! What is known of an upstream while the gate runs, by all workers: where its names lead to, and
//! how much of it is in use.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use super::endpoint::Endpoint;
use super::limit::{Bounds, Limit};
use crate::plan::UpstreamAddr;

/// How long addresses are still used when a name cannot be resolved any more: longer than a
/// resolver is down, and not for ever, because what somebody gives up is given to others, who would
/// get the requests then, and the keys in them.
const FORGET_AFTER: Duration = Duration::from_secs(600);

/// To how many addresses a name leads at most; what an answer names beyond is left out.
const MAX_ADDRESSES: usize = 128;

/// The state of an upstream. It lasts as long as the upstream's settings stay the same.
#[derive(Debug)]
pub struct Live {
    known: watch::Sender<Known>,
    limit: Option<Limit>,
}

impl PartialEq for Live {
    /// What is known of an upstream is none of its settings.
    fn eq(&self, _other: &Self) -> bool {
        true
    }
}

impl Eq for Live {}

/// Where an upstream can be reached: what each of its `addrs` means.
#[derive(Debug)]
pub(crate) struct Known(Vec<Meaning>);

/// What one address in the configuration means.
#[derive(Debug, Default)]
struct Meaning {
    endpoints: Vec<Arc<Endpoint>>,
    /// When it was last known.
    learned: Option<Instant>,
    /// Why it is not known now.
    trouble: Option<Arc<str>>,
}

impl Known {
    /// Every place where the upstream can be reached.
    pub(crate) fn endpoints(&self) -> impl Iterator<Item = &Arc<Endpoint>> {
        self.0.iter().flat_map(|meaning| &meaning.endpoints)
    }

    /// Whether it is still to be seen if there is any place.
    pub(crate) fn is_awaited(&self) -> bool {
        let is_awaited = |m: &Meaning| m.endpoints.is_empty() && m.trouble.is_none();
        self.endpoints().next().is_none() && self.0.iter().any(is_awaited)
    }

    /// Why there is no place for one of the addresses.
    pub(crate) fn trouble(&self) -> Option<&str> {
        self.0.iter().find_map(|meaning| meaning.trouble.as_deref())
    }
}

/// What came of asking for a name once more.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum News {
    /// It means what it meant.
    None,
    /// It means these now.
    Changed,
    /// It cannot be resolved any more, or not at all; what it meant is used for a while.
    Lost,
    /// It could not be resolved for so long that what it meant is forgotten.
    Forgotten,
}

impl Live {
    /// The state of an upstream with these addresses and bounds; `previous` is that of the one of
    /// its name, whose requests count among those of now.
    pub(crate) fn new(
        addrs: &[UpstreamAddr],
        bounds: Option<Bounds>,
        previous: Option<&Self>,
    ) -> Self {
        let known = addrs.iter().map(|addr| {
            let endpoints = match addr.target.ip() {
                _ if addr.target.name().is_some() => Vec::new(),
                ip => vec![Arc::new(Endpoint::new(addr, ip))],
            };
            Meaning { endpoints, ..Meaning::default() }
        });
        let known = watch::Sender::new(Known(known.collect()));
        let limit = bounds.map(|bounds| match previous.and_then(Self::limit) {
            Some(previous) => Limit::after(previous, bounds),
            None => Limit::new(bounds),
        });
        Self { known, limit }
    }

    /// What is known now, and from now on.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Known> {
        self.known.subscribe()
    }

    /// Every place where the upstream can be reached now.
    pub fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.known.borrow().endpoints().cloned().collect()
    }

    /// How much of it may be in use.
    pub(crate) fn limit(&self) -> Option<&Limit> {
        self.limit.as_ref()
    }

    /// How many requests wait for a place among those in use.
    pub fn waiting(&self) -> usize {
        self.limit.as_ref().map_or(0, Limit::waiting)
    }

    /// Takes an answer about the name in one of `addrs`. What is known of an address stays with it.
    pub(super) fn learn(
        &self,
        addrs: &[UpstreamAddr],
        index: usize,
        answer: Result<Vec<SocketAddr>, String>,
        now: Instant,
    ) -> News {
        let mut news = News::None;
        self.known.send_if_modified(|known| {
            let Some((meaning, addr)) = known.0.get_mut(index).zip(addrs.get(index)) else {
                return false;
            };
            news = match answer {
                Ok(addresses) => meaning.is(addr, addresses, now),
                Err(error) => meaning.is_unknown(error, now),
            };
            news != News::None
        });
        news
    }
}

impl Meaning {
    fn is(&mut self, addr: &UpstreamAddr, mut addresses: Vec<SocketAddr>, now: Instant) -> News {
        let was_lost = self.trouble.take().is_some();
        self.learned = Some(now);
        let mut seen = Vec::new();
        addresses.retain(|ip| {
            let is_new = !seen.contains(ip);
            seen.push(*ip);
            is_new
        });
        addresses.truncate(MAX_ADDRESSES);
        let before = self.endpoints.len();
        // Those that stay keep their places, so that each still gets its turns.
        self.endpoints.retain(|known| known.ip().is_some_and(|ip| addresses.contains(&ip)));
        let stayed = self.endpoints.len();
        addresses.retain(|ip| !self.endpoints.iter().any(|known| known.ip() == Some(*ip)));
        let new = addresses.into_iter().map(|ip| Arc::new(Endpoint::new(addr, Some(ip))));
        self.endpoints.extend(new);
        match was_lost || stayed < before || stayed < self.endpoints.len() {
            true => News::Changed,
            false => News::None,
        }
    }

    fn is_unknown(&mut self, error: String, now: Instant) -> News {
        let was_lost = self.trouble.is_some();
        self.trouble = Some(error.into());
        let is_old = self.learned.is_none_or(|at| now.duration_since(at) >= FORGET_AFTER);
        if is_old && !self.endpoints.is_empty() {
            self.endpoints.clear();
            return News::Forgotten;
        }
        if was_lost { News::None } else { News::Lost }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Target;

    fn addrs(hosts: &[&str]) -> Vec<UpstreamAddr> {
        let target = |host: &&str| Target::Tcp { host: (*host).into(), port: 80 };
        hosts
            .iter()
            .map(|host| UpstreamAddr { target: target(host), weight: 1, tls: false })
            .collect()
    }

    fn ips(last: impl IntoIterator<Item = u8>) -> Vec<SocketAddr> {
        last.into_iter().map(|last| SocketAddr::from(([10, 0, 0, last], 80))).collect()
    }

    fn known(live: &Live) -> Vec<SocketAddr> {
        live.endpoints().iter().filter_map(|endpoint| endpoint.ip()).collect()
    }

    #[test]
    fn addresses_are_known_from_the_start_and_names_are_awaited() {
        let live = Live::new(&addrs(&["10.0.0.1", "::1"]), None, None);
        assert_eq!(known(&live).len(), 2);
        let live = Live::new(&addrs(&["app.test"]), None, None);
        assert!(live.known.borrow().is_awaited() && known(&live).is_empty());
        let live = Live::new(&addrs(&["app.test", "10.0.0.1"]), None, None);
        assert!(!live.known.borrow().is_awaited(), "one can serve");
    }

    #[test]
    fn what_stays_is_the_same_and_nothing_that_is_the_same_is_news() {
        let (addrs, now) = (addrs(&["app.test"]), Instant::now());
        let live = Live::new(&addrs, None, None);
        let learn = |last: &[u8]| live.learn(&addrs, 0, Ok(ips(last.iter().copied())), now);
        assert_eq!(learn(&[1, 2, 2]), News::Changed);
        let before = live.endpoints();
        assert_eq!(learn(&[2, 1]), News::None);
        assert_eq!(learn(&[3, 2]), News::Changed);
        assert_eq!(known(&live), ips([2, 3]));
        assert!(Arc::ptr_eq(&live.endpoints()[0], &before[1]), "what is known of it is lost");
        assert_eq!(live.learn(&addrs, 0, Ok(ips(0..=255)), now), News::Changed);
        assert_eq!(known(&live).len(), MAX_ADDRESSES);
    }

    #[test]
    fn what_cannot_be_resolved_any_more_is_used_for_a_while() {
        let (addrs, now) = (addrs(&["app.test"]), Instant::now());
        let live = Live::new(&addrs, None, None);
        let fails = |at| live.learn(&addrs, 0, Err("no such name".to_owned()), at);
        assert_eq!(fails(now), News::Lost);
        assert!(!live.known.borrow().is_awaited(), "it is known that there is none");
        assert_eq!(live.learn(&addrs, 0, Ok(ips([1])), now), News::Changed);
        assert_eq!(live.known.borrow().trouble(), None);
        assert_eq!(fails(now), News::Lost);
        assert_eq!(fails(now + FORGET_AFTER - Duration::from_secs(1)), News::None);
        assert_eq!(known(&live), ips([1]));
        assert_eq!(fails(now + FORGET_AFTER), News::Forgotten);
        assert_eq!(known(&live), []);
        assert_eq!(fails(now + FORGET_AFTER), News::None);
        assert_eq!(live.learn(&addrs, 0, Ok(ips([1])), now), News::Changed);
    }
}
