//! A reader of addresses as proxies write them (RFC 7239, section 6; RFC 4291, section 2.2).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Reads an address with or without a port; one of IPv4 within IPv6 is one of IPv4.
pub fn address(text: &str) -> Option<IpAddr> {
    if let Some(rest) = text.strip_prefix('[') {
        let (inside, port) = rest.split_once(']')?;
        return match port.strip_prefix(':') {
            Some(port) => ipv6(without_zone(inside)?).filter(|_| is_port(port)),
            None => ipv6(inside).or_else(|| ipv4(inside)).filter(|_| port.is_empty()),
        };
    }
    match text.split_once(':') {
        Some((host, port)) if host.contains('.') => ipv4(host).filter(|_| is_port(port)),
        Some(_) => ipv6(text),
        None => ipv4(text),
    }
}

fn without_zone(text: &str) -> Option<&str> {
    match text.split_once('%') {
        Some((address, zone)) => is_number(zone, 10, u64::from(u32::MAX)).then_some(address),
        None => Some(text),
    }
}

fn is_number(digits: &str, radix: u32, most: u64) -> bool {
    let only_digits = digits.chars().all(|digit| digit.is_digit(radix));
    only_digits && u64::from_str_radix(digits, radix).is_ok_and(|number| number <= most)
}

/// Whether this is a port in digits.
pub fn is_port(text: &str) -> bool {
    is_number(text, 10, 65_535)
}

fn ipv4(text: &str) -> Option<IpAddr> {
    let plain = |part: &&str| is_number(part, 10, 255) && (*part == "0" || !part.starts_with('0'));
    let parts: Vec<_> =
        text.split('.').filter(plain).filter_map(|part| part.parse().ok()).collect();
    let octets: [u8; 4] = parts.try_into().ok()?;
    (text.matches('.').count() == 3).then(|| Ipv4Addr::from(octets).into())
}

fn ipv6(text: &str) -> Option<IpAddr> {
    Some(match read_ipv6(text)? {
        bits if bits >> 32 == 0xffff => Ipv4Addr::from(bits as u32).into(),
        bits => Ipv6Addr::from(bits).into(),
    })
}

/// Whether this is an address of IPv6.
pub fn is_ipv6(text: &str) -> bool {
    read_ipv6(text).is_some()
}

fn read_ipv6(text: &str) -> Option<u128> {
    let all = match text.split_once("::") {
        None => groups(text, true)?,
        Some((before, after)) => {
            let (before, after) = (groups(before, false)?, groups(after, true)?);
            let noughts =
                8_usize.checked_sub(before.len() + after.len()).filter(|&count| count > 0)?;
            [before, vec![0; noughts], after].concat()
        }
    };
    (all.len() == 8).then(|| all.into_iter().fold(0, |bits, group| bits << 16 | u128::from(group)))
}

/// The groups of 16 bits; the last two may be written as an address of IPv4.
fn groups(text: &str, at_the_end: bool) -> Option<Vec<u16>> {
    let mut groups = Vec::new();
    let parts: Vec<_> = text.split(':').filter(|_| !text.is_empty()).collect();
    for (index, part) in parts.iter().enumerate() {
        if at_the_end && index + 1 == parts.len() && part.contains('.') {
            let IpAddr::V4(address) = ipv4(part)? else { return None };
            groups.extend([(address.to_bits() >> 16) as u16, address.to_bits() as u16]);
        } else if part.len() <= 4 && is_number(part, 16, 0xffff) {
            groups.push(u16::from_str_radix(part, 16).ok()?);
        } else {
            return None;
        }
    }
    Some(groups)
}
