//! The client is the nearest hop that no trusted proxy stands for, and what the others claim in
//! `X-Forwarded-For`, `Forwarded` or `X-Real-IP` changes nothing.
#![no_main]

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::HeaderValue;
use keygate::head::RequestHead;
use keygate::plan::TrustedProxies;
use keygate_fuzz::rules::{self, Peer};
use keygate_fuzz::strict::Head;
use libfuzzer_sys::fuzz_target;

const NAMES: [&str; 8] = [
    "x-forwarded-for",
    "x-forwarded-for",
    "x-forwarded-for",
    "x-forwarded-for",
    "forwarded",
    "x-real-ip",
    "x_forwarded_for",
    "x-forwarded-host",
];

/// 10.0.0.0/9, 2001:db8::/33 and unix sockets.
fn trusts(address: Option<IpAddr>) -> bool {
    match address {
        None => true,
        Some(IpAddr::V4(address)) => address.to_bits() >> 23 == 10 << 1,
        Some(IpAddr::V6(address)) => address.to_bits() >> 95 == 0x2001_0db8 << 1,
    }
}

fn peer(choice: u8) -> Option<IpAddr> {
    match choice % 4 {
        0 => Some(Ipv4Addr::new(10, 0, 0, 1).into()),
        1 => Some(Ipv4Addr::new(10, 128, 0, 1).into()),
        2 => Some(Ipv6Addr::new(0x2001, 0xdb8, 0x7fff, 0, 0, 0, 0, 1).into()),
        _ => None,
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, text)) = data.split_first() else { return };
    let mut fields = vec![("host".to_owned(), b"a.test".to_vec())];
    for line in text.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        // Values come to the gate without blanks at their ends.
        let (name, value) = (NAMES[usize::from(line[0] % 8)], line[1..].trim_ascii());
        if HeaderValue::from_bytes(value).is_ok() {
            fields.push((name.to_owned(), value.to_vec()));
        }
    }
    let [first, second, third] = ["GET", "/", "HTTP/1.1"].map(str::to_owned);
    let head = Head { first, second, third, fields };
    let field = |(name, value): &(String, Vec<u8>)| {
        (name.parse().expect("a name"), HeaderValue::from_bytes(value).expect("a value"))
    };
    let headers = head.fields.iter().map(field).collect();
    let request = RequestHead { headers, ..RequestHead::default() };
    let networks =
        ["10.0.0.0/9", "2001:db8::/33"].map(|network| network.parse().expect("a network"));
    let trusted = TrustedProxies { networks: networks.to_vec(), unix: true };
    let peer = peer(choice);
    let passed = keygate::fuzzing::pass(request, peer, &trusted).expect("nothing is wrong with it");
    let expected = rules::pass(&head, false, Peer { address: peer, trusts }).expect("the same");
    assert_eq!(passed.client, expected.client, "{peer:?} {head:?}");
    if !trusts(peer) {
        assert_eq!(passed.client, peer, "{head:?}");
    }
    for name in ["x-forwarded-for", "x-real-ip"] {
        let sent = passed.fields.iter().find(|(known, _)| *known == name);
        let sent = sent.map(|(_, value)| value.as_bytes());
        let owed = expected.fields.iter().find(|(known, _)| known == name);
        assert_eq!(sent, owed.map(|(_, value)| value.as_slice()), "{name}: {peer:?} {head:?}");
    }
});
