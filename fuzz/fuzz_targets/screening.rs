//! Whatever a head holds, the gate refuses what the rules refuse, and of everything else exactly
//! those fields go upstream that the rules let pass.
#![no_main]

use std::net::{IpAddr, Ipv4Addr};

use http::HeaderValue;
use keygate::head::RequestHead;
use keygate::plan::TrustedProxies;
use keygate_fuzz::rules::{self, Peer};
use keygate_fuzz::strict::{Head, Read, request_head};
use libfuzzer_sys::fuzz_target;

fn request(head: &Head) -> Option<RequestHead> {
    let old = head.third == "HTTP/1.0";
    let field = |(name, value): &(String, Vec<u8>)| {
        Some((name.parse().ok()?, HeaderValue::from_bytes(value).ok()?))
    };
    Some(RequestHead {
        method: head.first.parse().ok()?,
        uri: head.second.parse().ok()?,
        version: if old { http::Version::HTTP_10 } else { http::Version::HTTP_11 },
        headers: head.fields.iter().map(field).collect::<Option<_>>()?,
        came: None,
    })
}

fuzz_target!(|data: &[u8]| {
    let Some((&choice, text)) = data.split_first() else { return };
    let mut bytes = text.split(|&byte| byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    bytes.extend_from_slice(b"\r\n\r\n");
    let Read::Whole(head, _) = request_head(&bytes) else { return };
    let Some(request) = request(&head) else { return };
    let peer = [None, Some(IpAddr::from(Ipv4Addr::new(10, 0, 0, 1)))][usize::from(choice & 1)];
    let networks = ["10.0.0.0/8".parse().expect("a network")];
    let trusted = match choice & 2 {
        0 => TrustedProxies::default(),
        _ => TrustedProxies { networks: networks.to_vec(), unix: true },
    };
    let trusts: fn(Option<IpAddr>) -> bool = match choice & 2 {
        0 => |_| false,
        _ => |address| {
            !matches!(address, Some(IpAddr::V4(v4)) if v4.octets()[0] != 10)
                && !matches!(address, Some(IpAddr::V6(_)))
        },
    };
    let expected = rules::pass(&head, false, Peer { address: peer, trusts });
    let passed = keygate::fuzzing::pass(request, peer, &trusted);
    let (passed, expected) = match (passed, expected) {
        (Some(passed), Some(expected)) => (passed, expected),
        (None, None) => return,
        (passed, expected) => panic!("{head:?} became {passed:?} instead of {expected:?}"),
    };
    let field = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.as_str().to_owned(), value.as_bytes().to_vec())
    };
    let mut fields: Vec<_> = passed.fields.iter().map(field).collect();
    fields.retain(|(name, _)| name != "x-request-id");
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(fields, expected.fields, "{head:?}");
    assert_eq!((passed.client, passed.host), (expected.client, expected.host), "{head:?}");
});
