//! What the names of upstreams mean: asked again and again, by nobody who has a request to serve.
//!
//! The system's own resolver (getaddrinfo(3)) is asked, because it says what every other program
//! on the machine believes: /etc/hosts, the order in nsswitch.conf, search domains, a container's
//! or a VPN's own resolver. It tells no time to live, so it is asked every few seconds, as Envoy
//! does; the system caches where that is wanted.

use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::time::sleep;

use super::live::News;
use crate::plan::Upstream;

/// How often a name is resolved: Kubernetes takes about as long to say that a pod is gone.
const INTERVAL: Duration = Duration::from_secs(5);

/// The same while it cannot be resolved at all, and requests wait for that.
const IMPATIENT_INTERVAL: Duration = Duration::from_secs(1);

/// Resolves the name in one of an upstream's addresses for ever.
pub(super) async fn follow(upstream: Arc<Upstream>, index: usize) {
    let Some((host, port)) = upstream.addrs[index].target.name() else { return };
    loop {
        let answer = look_up(host, port).await.map_err(|error| error.to_string());
        let why = answer.as_ref().err().cloned();
        let news = upstream.live.learn(&upstream.addrs, index, answer, Instant::now());
        say(&upstream, host, &news, why.as_deref().unwrap_or_default());
        let is_known = upstream
            .live
            .endpoints()
            .iter()
            .any(|endpoint| endpoint.target() == &upstream.addrs[index].target);
        sleep(jittered(if is_known { INTERVAL } else { IMPATIENT_INTERVAL })).await;
    }
}

/// A time near this one: gates that were started together must not ask together for ever.
pub(crate) fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(0.9 + 0.2 * fastrand::f64())
}

/// Asks the system, on a thread of its own: it may take as long as it likes, nobody waits for it at
/// a stop, and where no thread can be started that is one failure more.
pub(crate) async fn look_up(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let (done, answer) = oneshot::channel();
    let host = host.to_owned();
    thread::Builder::new().name("resolver".into()).spawn(move || {
        let addresses = (&*host, port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        // Whoever asked may have gone.
        let _ = done.send(addresses);
    })?;
    match answer.await {
        Ok(Ok(addresses)) if addresses.is_empty() => Err(io::Error::other("it has no address")),
        Ok(answer) => answer,
        Err(_panicked) => Err(io::Error::other("the resolver broke off")),
    }
}

fn say(upstream: &Upstream, name: &str, news: &News, error: &str) {
    let upstream_name = &*upstream.name;
    match news {
        News::None => {}
        News::Changed => {
            let endpoints = upstream.live.endpoints();
            let addresses: Vec<_> = endpoints.iter().map(ToString::to_string).collect();
            tracing::debug!(upstream = upstream_name, name, ?addresses, "resolved");
        }
        News::Lost => tracing::warn!(upstream = upstream_name, name, error, "cannot resolve"),
        News::Forgotten => {
            tracing::warn!(upstream = upstream_name, name, error, "its addresses are forgotten");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_that_begin_together_do_not_stay_together() {
        let waits: Vec<_> = (0..1000).map(|_| jittered(INTERVAL)).collect();
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*least >= INTERVAL.mul_f64(0.9) && *least < INTERVAL.mul_f64(0.95), "{least:?}");
        assert!(*most <= INTERVAL.mul_f64(1.1) && *most > INTERVAL.mul_f64(1.05), "{most:?}");
    }
}
