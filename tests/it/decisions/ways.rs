//! The ways in which one and the same request can be asked, and what comes of it in each.

use std::net::SocketAddr;

use crate::support::h2::{END_HEADERS, END_STREAM, H2, HEADERS, raw_block};
use crate::support::reference::with_keys;
use crate::support::tls::{Authority, Shaking};
use crate::support::{Client, Gate, Origin};
use crate::websocket::{HANDSHAKE, SWITCHING};

/// A target, and fields besides.
pub(super) type Request = (Vec<u8>, Vec<(&'static str, Vec<u8>)>);

/// What came of a request: the status, 400 for any refusal as malformed, and the target upstream.
pub(super) type Outcome = (u16, Option<String>);

/// How a request is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    Http1,
    Http1OverTls,
    /// By prior knowledge.
    Http2,
    /// By ALPN.
    Http2OverTls,
    /// As the upgrade to one, which the origin agrees to.
    WebSocket,
    WebSocketOverTls,
}

impl Way {
    pub(super) const ALL: [Self; 6] = [
        Self::Http1,
        Self::Http1OverTls,
        Self::Http2,
        Self::Http2OverTls,
        Self::WebSocket,
        Self::WebSocketOverTls,
    ];

    fn is_http2(self) -> bool {
        matches!(self, Self::Http2 | Self::Http2OverTls)
    }

    fn is_secure(self) -> bool {
        matches!(self, Self::Http1OverTls | Self::Http2OverTls | Self::WebSocketOverTls)
    }

    fn is_upgrade(self) -> bool {
        matches!(self, Self::WebSocket | Self::WebSocketOverTls)
    }
}

/// A gate that can be asked in every way.
pub(super) struct Stand {
    origin: Origin,
    gate: Gate,
    secure: SocketAddr,
    authority: Authority,
}

/// What its `[server]` says.
const SERVER: &str = "[server]\nlisten = [\"http://127.0.0.1:0\", \"https://127.0.0.2:0\"]\n\
    [server.tls]\ncertificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n";

impl Stand {
    /// Starts one with this configuration for this origin.
    #[track_caller]
    pub(super) fn new(configuration: impl Fn(&Origin) -> String) -> Self {
        // It tells no target: a key may stand in one that is no parameter of a location.
        let origin = Origin::scripted(|exchange| {
            if exchange.request.value("Upgrade").is_some() {
                exchange.write(SWITCHING);
                exchange.close();
            } else {
                exchange.read_body();
                exchange.reply(200, b"");
            }
        });
        let authority = Authority::new();
        let site = authority.issue(&["localhost"]);
        let gate = Gate::with(&[
            ("keygate.toml", &*configuration(&origin)),
            ("server.toml", SERVER),
            ("site.pem", &site.cert),
            ("site.key", &site.key),
        ]);
        let said = gate.stderr.wait_for("it listens", |line| line.contains(" 127.0.0.2:"));
        let (_, address) = said.split_once("listening on ").expect("it was looked for");
        let address = address.split(' ').next().and_then(|address| address.parse().ok());
        Self { origin, gate, secure: address.expect("it is one"), authority }
    }

    /// Somebody who asks in this way.
    pub(super) fn asker(&self, way: Way) -> Asker<'_> {
        let protocol: &[u8] = if way.is_http2() { b"h2" } else { b"http/1.1" };
        let shaking = Shaking::with(self.authority.roots()).alpn(&[protocol]);
        Asker { stand: self, way, shaking, open: None }
    }
}

/// Somebody who asks in one way, on one connection for as long as it lasts.
pub(super) struct Asker<'a> {
    stand: &'a Stand,
    way: Way,
    shaking: Shaking,
    open: Option<Open>,
}

/// A connection.
enum Open {
    Http1(Client),
    Http2(H2),
}

impl Asker<'_> {
    /// How it asks.
    pub(super) fn way(&self) -> Way {
        self.way
    }

    /// Asks, and says what has come of it.
    pub(super) fn ask(&mut self, (target, fields): &Request) -> Outcome {
        let before = self.stand.origin.count();
        let open = self.open.take();
        let (status, open) = match open.unwrap_or_else(|| self.connect()) {
            Open::Http1(client) => ask_1(client, self.way, target, fields),
            Open::Http2(h2) => ask_2(h2, self.way, target, fields),
        };
        self.open = open;
        let arrived = self.stand.origin.requests().split_off(before);
        (status, arrived.first().map(|one| one.target().to_owned()))
    }

    fn connect(&self) -> Open {
        let client = if self.way.is_secure() {
            let shaken = self.shaking.shake(self.stand.secure);
            let (client, shaken) = shaken.expect("hands are shaken");
            let wanted: &[u8] = if self.way.is_http2() { b"h2" } else { b"http/1.1" };
            assert_eq!(shaken.alpn.as_deref(), Some(wanted));
            client
        } else {
            self.stand.gate.client()
        };
        if self.way.is_http2() { Open::Http2(H2::over(client)) } else { Open::Http1(client) }
    }
}

/// The status, and the connection if more can be asked on it.
type Told = (u16, Option<Open>);

fn ask_1(mut client: Client, way: Way, target: &[u8], fields: &[(&str, Vec<u8>)]) -> Told {
    let mut bytes = [b"GET ", target, b" HTTP/1.1\r\nHost: a.test\r\n"].concat();
    for (name, value) in fields {
        bytes.extend([name.as_bytes(), b": ", value, b"\r\n"].concat());
    }
    if way.is_upgrade() {
        bytes.extend(HANDSHAKE.as_bytes());
    }
    bytes.extend(b"\r\n");
    let response = client.send(with_keys(&bytes)).response();
    let is_upgraded = response.status == 101;
    assert!(!is_upgraded || way.is_upgrade(), "nobody has asked for an upgrade");
    // Let in with the one as with the other.
    let status = if is_upgraded { 200 } else { response.status };
    let is_last = is_upgraded || status == 400 || response.value("Connection") == "close";
    (status, (!is_last).then_some(Open::Http1(client)))
}

fn ask_2(mut h2: H2, way: Way, target: &[u8], fields: &[(&str, Vec<u8>)]) -> Told {
    let scheme: &[u8] = if way.is_secure() { b"https" } else { b"http" };
    let pseudo: [(&[u8], &[u8]); 4] = [
        (b":method", b"GET"),
        (b":scheme", scheme),
        (b":path", target),
        (b":authority", b"a.test"),
    ];
    let lower: Vec<_> =
        fields.iter().map(|(name, value)| (name.to_ascii_lowercase(), value)).collect();
    let more = lower.iter().map(|(name, value)| (name.as_bytes(), &value[..]));
    let all: Vec<_> = pseudo
        .into_iter()
        .chain(more)
        .map(|(name, value)| (with_keys(name), with_keys(value)))
        .collect();
    let block = raw_block(all.iter().map(|(name, value)| (&name[..], &value[..])));
    let stream = h2.following();
    h2.frame(HEADERS, END_STREAM | END_HEADERS, stream, &block);
    let answer = h2.answer(stream);
    let is_malformed = !answer.complete && answer.error.is_some();
    let status = if is_malformed { 400 } else { answer.status };
    (status, (status != 400).then_some(Open::Http2(h2)))
}
