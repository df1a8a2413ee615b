//! A key in a header: what is one, what is none, and what only looks like one.

use super::stand::GET;
use super::{Case, case};
use crate::support::reference::keyed;
use crate::support::{BAD, INVALID, MISSING, Then};

const PASSES: Then = Then::Forwarded("/api/v1/x");

pub(super) const CASES: &[Case] = &[
    case("KX-01", "no key", |stand| {
        stand.get("", MISSING);
    }),
    case("KX-03", "an empty value", |stand| {
        for value in [" ", "", "  ", "\t"] {
            stand.get(format!("X-API-Key:{value}\r\n"), MISSING);
        }
    }),
    case("KX-04", "white space around the key is not part of it", |stand| {
        stand.get("X-API-Key: \t K1 \t \r\n", PASSES);
    }),
    case("KX-19", "a NUL in the value", |stand| {
        stand.get("X-API-Key: K1\x00\r\n", BAD).get("X-API-Key: K1\x00x\r\n", BAD);
    }),
    case("KX-35", "keys belong to a location", |stand| {
        stand.get("X-API-Key: K2\r\n", INVALID);
        let admin = "GET /admin/x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n";
        stand.send(admin, INVALID);
    }),
    case("KX-39", "no connection remembers a key", |stand| {
        let with = keyed(&format!("{GET}X-API-Key: K1\r\n\r\n"));
        let without = format!("{GET}\r\n");
        let mut client = stand.connect();
        stand.allow("/api/v1/x", &with);
        client.send([&*with, &without].concat());
        assert_eq!([client.response().status, client.response().status], [200, 401]);
        let mut client = stand.connect();
        stand.allow("/api/v1/x", &with);
        client.send([&*without, &with].concat());
        assert_eq!([client.response().status, client.response().status], [401, 200]);
    }),
];
