//! HPACK (RFC 7541).

use super::{Case, Want, get, whole};
use crate::support::h2::{COMPRESSION_ERROR, H2};

const WRONG: Want = Want::ConnectionError(&[COMPRESSION_ERROR]);

pub(super) const CASES: &[Case] = &[
    ("hpack/2.3.3/1", |h2| behind(h2, b"\xc6"), WRONG),
    ("hpack/2.3.3/2", |h2| behind(h2, b"\x7f\x07\x00"), WRONG),
    ("hpack/4.2/1", |h2| behind(h2, b"\x21"), WRONG),
    ("hpack/5.2/1", |h2| behind(h2, b"\x00\x85\xf2\xb2\x4a\x84\xff\x84\x49\x50\x9f\xff"), WRONG),
    ("hpack/5.2/2", |h2| behind(h2, b"\x00\x85\xf2\xb2\x4a\x84\xff\x83\x49\x50\x90"), WRONG),
    (
        "hpack/5.2/3",
        |h2| behind(h2, b"\x00\x85\xf2\xb2\x4a\x84\xff\x87\x49\x51\xff\xff\xff\xfa\x7f"),
        WRONG,
    ),
    ("hpack/6.1/1", |h2| behind(h2, b"\x80"), WRONG),
    // 4097 where 4096 is what may be.
    ("hpack/6.3/1", |h2| whole(h2, 1, &[b"\x3f\xe2\x1f", &get()[..]].concat()), WRONG),
];

/// A request with these bytes at the end of its header block.
pub(super) fn behind(h2: &mut H2, bytes: &[u8]) {
    whole(h2, 1, &[&get()[..], bytes].concat());
}
