//! Addresses in the configuration: where to listen, whom to trust, where to forward.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;

use http::HeaderValue;
use http::uri::Authority;
use ipnet::IpNet;
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use toml::Spanned;

use super::suggest;
use super::types::{Text, deserialize_text};
use crate::plan::{HostPolicy, ListenAddr, Target, UpstreamAddr};

deserialize_text!(ListenAddr, ListenAt, Trusted, Network, UpstreamAddr, HostHeader);

/// `listen`: one address or a list; never empty.
#[derive(Clone, Debug)]
pub struct Listen<T = ListenAddr>(pub Vec<Spanned<T>>);

/// An address that is known to be one.
pub(super) fn literal<T: Text>(address: &str) -> Listen<T> {
    let address = T::parse(address).expect("a default is an address");
    Listen(vec![Spanned::new(0..0, address)])
}

/// An address to listen on, and what the operator wrote in front of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAt {
    /// The address.
    pub address: ListenAddr,
    /// What is spoken there; absent: what `[server.tls]` says.
    pub scheme: Option<Scheme>,
}

/// What is spoken at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// HTTP in the clear.
    Http,
    /// HTTP over TLS.
    Https,
}

impl AsRef<ListenAddr> for ListenAt {
    fn as_ref(&self) -> &ListenAddr {
        &self.address
    }
}

impl Text for ListenAt {
    const EXPECTED: &'static str = ListenAddr::EXPECTED;

    fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = match text.split_once("://") {
            Some(("http", rest)) => (Some(Scheme::Http), rest),
            Some(("https", rest)) => (Some(Scheme::Https), rest),
            _ => (None, text),
        };
        match ListenAddr::parse(rest)? {
            ListenAddr::Unix(_) if scheme.is_some() => {
                Err("a unix socket has no scheme: what is spoken there is never TLS".to_owned())
            }
            address => Ok(Self { address, scheme }),
        }
    }
}

/// `addrs`: a list; never empty.
#[derive(Clone, Debug)]
pub struct Addresses(pub Vec<Spanned<UpstreamAddr>>);

impl<'de, T: Text + Deserialize<'de>> Deserialize<'de> for Listen<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData)).map(Self)
    }
}

impl<'de> Deserialize<'de> for Addresses {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrMany(PhantomData)).map(Self)
    }
}

/// Reads one string or a list of strings.
struct OneOrMany<T>(PhantomData<T>);

impl<'de, T: Text + Deserialize<'de>> Visitor<'de> for OneOrMany<T> {
    type Value = Vec<Spanned<T>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, or a list of them", T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::parse(text).map(|value| vec![Spanned::new(0..0, value)]).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Self::Value, A::Error> {
        let list = Vec::deserialize(SeqAccessDeserializer::new(items))?;
        if list.is_empty() {
            return Err(de::Error::custom(format!("the list is empty; expected {}", T::EXPECTED)));
        }
        Ok(list)
    }
}

/// The longest path of a unix socket (`sun_path` less its final zero).
const MAX_SOCKET_PATH: usize = 107;

fn socket_path(path: &str) -> Result<PathBuf, String> {
    match path.len() {
        0 => Err("after `unix:` the path of a socket is needed".to_owned()),
        1..=MAX_SOCKET_PATH if !path.contains('\0') => Ok(PathBuf::from(path)),
        _ => Err(format!("the path of a unix socket has {MAX_SOCKET_PATH} bytes at most")),
    }
}

/// The longest name of a socket (systemd.socket(5), `FileDescriptorName=`).
const MAX_SOCKET_NAME: usize = 255;

/// The name of sockets that are passed at start.
fn passed(name: &str) -> Result<ListenAddr, String> {
    let is_valid = |byte: u8| byte.is_ascii_graphic() && byte != b':';
    match name.len() {
        0 => {
            Err("after `systemd:` the name of a socket is needed (FileDescriptorName=)".to_owned())
        }
        1..=MAX_SOCKET_NAME if name.bytes().all(is_valid) => {
            Ok(ListenAddr::Systemd(Some(name.to_owned())))
        }
        _ => Err("the name of a socket holds no blanks and no colons".to_owned()),
    }
}

impl Text for ListenAddr {
    const EXPECTED: &'static str = "an address and a port, such as \"127.0.0.1:8080\", \"[::]:8080\", \"unix:/run/keygate.sock\" or \"systemd\"";

    fn parse(text: &str) -> Result<Self, String> {
        if let Some(path) = text.strip_prefix("unix:") {
            return socket_path(path).map(Self::Unix);
        }
        if text == "systemd" {
            return Ok(Self::Systemd(None));
        }
        if let Some(name) = text.strip_prefix("systemd:") {
            return passed(name);
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(Self::Tcp(address));
        }
        let port = |port: &str| port.parse::<u16>().is_ok();
        Err(match text.rsplit_once(':') {
            Some(("" | "*", number)) if port(number) => format!(
                "the address is missing: \"0.0.0.0:{number}\" is every interface, \
                 \"127.0.0.1:{number}\" this machine alone"
            ),
            Some(("localhost", number)) if port(number) => {
                format!("a name is no address here; did you mean \"127.0.0.1:{number}\"?")
            }
            None if text.parse::<IpAddr>().is_ok() => {
                "the port is missing, as in \"127.0.0.1:8080\"".to_owned()
            }
            None if port(text) => format!("the address is missing, as in \"127.0.0.1:{text}\""),
            _ => format!("expected {}", Self::EXPECTED),
        })
    }
}

/// One of `trusted_proxies`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trusted {
    /// A network, or a single address as a network of one.
    Network(IpNet),
    /// Every peer on a unix socket.
    Unix,
}

impl Text for Trusted {
    const EXPECTED: &'static str =
        "a network such as \"10.0.0.0/8\", an address such as \"127.0.0.1\", or \"unix\"";

    fn parse(text: &str) -> Result<Self, String> {
        if text == "unix" {
            return Ok(Self::Unix);
        }
        network(text)
            .unwrap_or_else(|| Err(format!("expected {}", Self::EXPECTED)))
            .map(Self::Network)
    }
}

/// A network, or a single address as a network of one.
fn network(text: &str) -> Option<Result<IpNet, String>> {
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Ok(address.into()));
    }
    let network = text.parse::<IpNet>().ok()?;
    Some(match network.trunc() {
        whole if whole == network => Ok(network),
        whole => Err(format!("a network ends in zero bits; did you mean \"{whole}\"?")),
    })
}

impl Text for IpNet {
    const EXPECTED: &'static str =
        "a network such as \"10.0.0.0/8\", or an address such as \"127.0.0.1\"";

    fn parse(text: &str) -> Result<Self, String> {
        network(text).unwrap_or_else(|| Err(format!("expected {}", Self::EXPECTED)))
    }
}

/// One of a list of networks.
#[derive(Clone, Copy, Debug)]
pub struct Network(pub IpNet);

impl Text for Network {
    const EXPECTED: &'static str = IpNet::EXPECTED;

    fn parse(text: &str) -> Result<Self, String> {
        match <IpNet as Text>::parse(text)? {
            // No client's address is of this form when it is compared.
            IpNet::V6(network) if network.addr().to_ipv4_mapped().is_some() => {
                Err("a network of IPv4 is written as one, such as \"10.0.0.0/8\"".to_owned())
            }
            network => Ok(Self(network)),
        }
    }
}

/// The largest weight of an address: shares finer than a percent of a percent are not meant.
const MAX_WEIGHT: u32 = 10_000;

impl Text for UpstreamAddr {
    const EXPECTED: &'static str = "a host and a port, such as \"127.0.0.1:8000\" or \"https://HOST\", or \"unix:/run/app.sock\"";

    fn parse(text: &str) -> Result<Self, String> {
        let mut words = text.split_whitespace();
        let (Some(address), weight, None) = (words.next(), words.next(), words.next()) else {
            return Err(format!("expected {} and perhaps a weight", Self::EXPECTED));
        };
        let weight = match weight.map(str::parse::<u32>) {
            None => 1,
            Some(Ok(weight)) if (1..=MAX_WEIGHT).contains(&weight) => weight,
            Some(_) => return Err(format!("a weight is a number from 1 to {MAX_WEIGHT}")),
        };
        let (tls, target) = target(address)?;
        Ok(Self { target, weight, tls })
    }
}

/// Whether an address speaks TLS, and what is connected to.
fn target(address: &str) -> Result<(bool, Target), String> {
    if let Some(path) = address.strip_prefix("unix:") {
        return socket_path(path).map(|path| (false, Target::Unix(path)));
    }
    let (tls, default_port, address) = match address.split_once("://") {
        Some(("http", rest)) => (false, Some(80), rest.strip_suffix('/').unwrap_or(rest)),
        Some(("https", rest)) => (true, Some(443), rest.strip_suffix('/').unwrap_or(rest)),
        Some(_) => return Err("the scheme of an address is http://, https:// or none".to_owned()),
        None => (false, None, address),
    };
    if address.contains('@') {
        return Err("an address holds no user and no password".to_owned());
    }
    if address.contains(['/', '?', '#']) {
        return Err(
            "an address holds no path: requests are forwarded with the path they came with"
                .to_owned(),
        );
    }
    let authority: Authority =
        address.parse().map_err(|_| format!("expected {}", UpstreamAddr::EXPECTED))?;
    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
    // http takes what follows the last colon for a port, even when it is none.
    let port = match authority.as_str().len() == authority.host().len() {
        true => default_port,
        false => authority.port_u16(),
    };
    let is_ipv6 = authority.host().starts_with('[');
    let valid = match is_ipv6 {
        true => host.parse::<std::net::Ipv6Addr>().is_ok(),
        false => is_host_name(host),
    };
    match port {
        Some(port) if valid && port > 0 => Ok((tls, Target::Tcp { host: host.into(), port })),
        None if valid => Err("the port is missing, as in \"127.0.0.1:8000\"".to_owned()),
        _ => Err(format!("expected {}", UpstreamAddr::EXPECTED)),
    }
}

/// Whether this is a name as DNS and container networks use it, or an IPv4 address.
fn is_host_name(host: &str) -> bool {
    // What consists of digits and dots but is no address would be asked of DNS as a name.
    let numeric = host.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
    };
    match numeric {
        true => host.parse::<std::net::Ipv4Addr>().is_ok(),
        false => host.len() <= 253 && host.trim_end_matches('.').split('.').all(label),
    }
}

/// An upstream's `host`.
#[derive(Clone, Debug)]
pub struct HostHeader(pub HostPolicy);

impl Default for HostHeader {
    /// The client's: the upstream then writes links that lead back here.
    fn default() -> Self {
        Self(HostPolicy::Client)
    }
}

impl Text for HostHeader {
    const EXPECTED: &'static str = "\"client\", \"upstream\" or a host";

    fn parse(text: &str) -> Result<Self, String> {
        let literal = || {
            let authority: Authority = text.parse().ok()?;
            let valid = is_host_name(authority.host()) || authority.host().starts_with('[');
            let value = HeaderValue::from_str(text).ok()?;
            (valid && !text.contains('@')).then_some(HostPolicy::Literal(value))
        };
        match text {
            "client" => Ok(Self(HostPolicy::Client)),
            "upstream" => Ok(Self(HostPolicy::Upstream)),
            _ => match suggest::closest(text, ["client", "upstream"]) {
                Some(meant) => Err(format!("did you mean \"{meant}\"?")),
                None => literal().map(Self).ok_or_else(|| format!("expected {}", Self::EXPECTED)),
            },
        }
    }
}
