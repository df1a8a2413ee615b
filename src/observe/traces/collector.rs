//! Where spans are sent: a collector that takes OTLP over HTTP
//! (<https://opentelemetry.io/docs/specs/otlp/#otlphttp>).

use std::io;
use std::time::{Duration, SystemTime};

use http::header::RETRY_AFTER;
use tokio::net::TcpStream;
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::wire::{Message, Value, fields};
use crate::fields::Fields;
use crate::socket::Socket;
use crate::tls::Alpn;
use crate::tls::connector::Connector;
use crate::upstream::errand::Errands;
use crate::upstream::resolve::look_up;

/// Fields of `ExportTraceServiceRequest`, `ResourceSpans` and `ScopeSpans`.
const RESOURCE_SPANS: u32 = 1;
const RESOURCE: u32 = 1;
const SCOPE_SPANS: u32 = 2;
const SCOPE: u32 = 1;
/// Fields of `InstrumentationScope`.
const SCOPE_NAME: u32 = 1;
const SCOPE_VERSION: u32 = 2;
/// Fields of `ExportTraceServiceResponse` and `ExportTracePartialSuccess`.
const PARTIAL_SUCCESS: u32 = 1;
const REJECTED_SPANS: u32 = 1;

/// How the collector is reached.
pub(super) struct Collector {
    /// Its host and port, as they are logged: what else stands in its URL may be a secret.
    pub(super) host: String,
    pub(super) port: u16,
    /// How it is met, if that is over TLS.
    pub(super) tls: Option<Connector>,
    /// The beginning of each request: its first line and its fields but for `Content-Length`. Keys
    /// of the collector stand in it.
    pub(super) head: Zeroizing<Vec<u8>>,
    /// What the spans are about, as a `Resource`.
    pub(super) resource: Vec<u8>,
}

/// Why spans were not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// It is worth another try, after this time if one was said.
    Later(String, Option<Duration>),
    /// It is not.
    Never(String),
}

impl Collector {
    /// A connection to it; each of its addresses has its share of the time.
    async fn connect(&self, within: Duration) -> io::Result<Errands> {
        let addresses = look_up(&self.host, self.port).await?;
        let share = within / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = io::ErrorKind::AddrNotAvailable.into();
        for address in addresses {
            match timeout(share, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return self.shake_hands(tcp).await.map(Errands::over),
                Ok(Err(error)) => last = error,
                Err(_) => last = io::ErrorKind::TimedOut.into(),
            }
        }
        Err(last)
    }

    async fn shake_hands(&self, tcp: TcpStream) -> io::Result<Socket> {
        tcp.set_nodelay(true)?;
        Ok(match &self.tls {
            None => Socket::Tcp(tcp),
            Some(tls) => Socket::Tls(tls.connect(&self.host, tcp, Alpn::Http11).await?),
        })
    }

    /// Sends spans, over a connection that was kept if there is one; says how many of them the
    /// collector did not want.
    ///
    /// # Errors
    /// It has not taken them.
    pub(super) async fn send(
        &self,
        spans: &[u8],
        kept: &mut Option<Errands>,
        within: Duration,
    ) -> Result<u64, Refusal> {
        let later = |why: String| Refusal::Later(why, None);
        // Put back only when all has gone well: a connection that is dropped half-way is closed.
        let mut errands = match kept.take_if(|kept| kept.is_free()) {
            Some(errands) => errands,
            None => self.connect(within).await.map_err(|error| later(error.to_string()))?,
        };
        let body = self.request(spans);
        let write = |out: &mut Vec<u8>| {
            out.extend_from_slice(&self.head);
            let length = itoa::Buffer::new().format(body.len()).to_owned();
            for part in [b"Content-Length: ", length.as_bytes(), b"\r\n\r\n", &body] {
                out.extend_from_slice(part);
            }
        };
        let (head, body) = errands.post(write).await.map_err(later)?;
        *kept = Some(errands);
        match head.status.as_u16() {
            200..=299 => Ok(rejected(&body)),
            // Those that the specification names; the others mean no.
            status @ (429 | 502 | 503 | 504) => {
                Err(Refusal::Later(format!("status {status}"), retry_after(&head.headers)))
            }
            status => Err(Refusal::Never(format!("status {status}"))),
        }
    }

    /// An `ExportTraceServiceRequest` of these spans.
    fn request(&self, spans: &[u8]) -> Vec<u8> {
        let mut request = Vec::with_capacity(self.resource.len() + spans.len() + 64);
        Message::new(&mut request).message(RESOURCE_SPANS, |of_resource| {
            of_resource.bytes(RESOURCE, &self.resource);
            of_resource.message(SCOPE_SPANS, |of_scope| {
                of_scope.message(SCOPE, |scope| {
                    scope.bytes(SCOPE_NAME, env!("CARGO_PKG_NAME").as_bytes());
                    scope.bytes(SCOPE_VERSION, env!("CARGO_PKG_VERSION").as_bytes());
                });
                of_scope.fields(spans);
            });
        });
        request
    }
}

/// How many spans a collector says that it has not taken, although it has taken the others.
fn rejected(response: &[u8]) -> u64 {
    let within = |message: &[u8]| {
        let mut rejected = fields(message).filter(|(field, _)| *field == REJECTED_SPANS);
        match rejected.next() {
            Some((_, Value::Varint(count))) => count,
            _ => 0,
        }
    };
    let mut partial = fields(response).filter(|(field, _)| *field == PARTIAL_SUCCESS);
    match partial.next() {
        Some((_, Value::Bytes(message))) => within(message),
        _ => 0,
    }
}

/// When to try again (RFC 9110, section 10.2.3).
fn retry_after(headers: &Fields) -> Option<Duration> {
    let said = headers.get(&RETRY_AFTER)?.to_str().ok()?.trim();
    match said.parse() {
        Ok(seconds) => Some(Duration::from_secs(seconds)),
        Err(_) => {
            let date = httpdate::parse_http_date(said).ok()?;
            Some(date.duration_since(SystemTime::now()).unwrap_or_default())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn a_collector_may_take_some_and_not_others() {
        let mut response = Vec::new();
        let mut message = Message::new(&mut response);
        message.message(PARTIAL_SUCCESS, |partial| {
            partial.bytes(2, b"too old");
            partial.varint(REJECTED_SPANS, 300);
        });
        assert_eq!(rejected(&response), 300);
        for nothing in [&b""[..], b"\x0a\x00", b"{}", b"\x08\x07", b"\x0a\x02\x0a\x00"] {
            assert_eq!(rejected(nothing), 0, "{nothing:?}");
        }
    }

    #[test]
    fn a_time_to_try_again_is_seconds_or_a_date() {
        let after = |said: &str| retry_after(&sample::fields(&format!("retry-after: {said}")));
        assert_eq!(after("7"), Some(Duration::from_secs(7)));
        assert_eq!(after("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(after("Fri, 31 Dec 9999 23:59:59 GMT").is_some_and(|it| it.as_secs() > 1 << 32));
        assert_eq!(after("soon"), None);
        assert_eq!(after("-1"), None);
    }
}
