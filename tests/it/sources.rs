//! Several places for a key: their order, schemes, cookies, and every combination of them.

use crate::support::reference::{K1, keyed, one_location, upstream};
use crate::support::{Failures, Gate, INVALID, MISSING, Origin, Row, Then};

const PASSES: Then = Then::Forwarded("/x");

/// A gate whose only location asks for `K1` at these places.
fn asking(origin: &Origin, source: &str) -> Gate {
    Gate::on(&(upstream(origin) + &one_location(source, "")))
}

const BEARER: &[Row] = &[
    ("the key", b"Authorization: Bearer K1\r\n", PASSES),
    ("the scheme in lower case", b"authorization: bearer K1\r\n", PASSES),
    ("the scheme in upper case", b"Authorization: BEARER K1\r\n", PASSES),
    ("the scheme in mixed case", b"Authorization: bEaReR K1\r\n", PASSES),
    ("several blanks", b"Authorization: Bearer   K1  \r\n", PASSES),
    ("nothing", b"", MISSING),
    ("an empty field", b"Authorization:\r\n", MISSING),
    ("the scheme alone", b"Authorization: Bearer\r\n", MISSING),
    ("the scheme and a blank", b"Authorization: Bearer \r\n", MISSING),
    ("no blank", b"Authorization: BearerK1\r\n", MISSING),
    ("a colon after the scheme", b"Authorization: Bearer: K1\r\n", MISSING),
    ("another scheme", b"Authorization: Basic K1\r\n", MISSING),
    ("a longer scheme", b"Authorization: Bearers K1\r\n", MISSING),
    ("no scheme", b"Authorization: K1\r\n", MISSING),
    ("a wrong key", b"Authorization: Bearer wrong\r\n", INVALID),
    ("the scheme twice", b"Authorization: Bearer Bearer K1\r\n", INVALID),
    ("a list", b"Authorization: Bearer K1, Bearer K1\r\n", INVALID),
    ("two lines", b"Authorization: Bearer K1\r\nAuthorization: Bearer K1\r\n", INVALID),
    ("two lines, one wrong", b"Authorization: Bearer x\r\nAuthorization: Bearer K1\r\n", INVALID),
    (
        "two lines, two schemes",
        b"Authorization: Basic x\r\nAuthorization: Bearer K1\r\n",
        Then::Refused(&[401]),
    ),
    ("the proxy's field", b"Proxy-Authorization: Bearer K1\r\n", MISSING),
];

#[test]
fn a_bearer_token() {
    let origin = Origin::echo();
    let gate = asking(&origin, "sources = [\"bearer\"]\n");
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, BEARER, "\r\n")).report();
}

const SCHEME: &[Row] = &[
    ("the key", b"X-Token: Key K1\r\n", PASSES),
    ("the scheme in another case", b"X-Token: KEY K1\r\n", PASSES),
    ("no scheme", b"X-Token: K1\r\n", MISSING),
    ("another scheme", b"X-Token: Bearer K1\r\n", MISSING),
    ("shorter than the scheme", b"X-Token: K\r\n", MISSING),
    ("the scheme alone", b"X-Token: Key\r\n", MISSING),
    ("a wrong key", b"X-Token: Key wrong\r\n", INVALID),
    ("twice", b"X-Token: Key K1\r\nX-Token: Key K1\r\n", INVALID),
];

#[test]
fn a_scheme_of_ones_own() {
    let origin = Origin::echo();
    let gate = asking(&origin, "header = \"X-Token\"\nscheme = \"Key\"\n");
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, SCHEME, "\r\n")).report();
}

const COOKIE: &[Row] = &[
    ("alone", b"Cookie: key=K1\r\n", PASSES),
    ("first", b"Cookie: key=K1; a=b\r\n", PASSES),
    ("in the middle", b"Cookie: a=b; key=K1; c=d\r\n", PASSES),
    ("last", b"Cookie: a=b; key=K1\r\n", PASSES),
    ("without a blank", b"Cookie: a=b;key=K1\r\n", PASSES),
    ("in a second line", b"Cookie: a=b\r\nCookie: key=K1\r\n", PASSES),
    ("none", b"Cookie: a=b\r\n", MISSING),
    ("no field", b"", MISSING),
    ("an empty value", b"Cookie: key=\r\n", MISSING),
    ("the name in another case", b"Cookie: KEY=K1\r\n", MISSING),
    ("a longer name", b"Cookie: xkey=K1\r\n", MISSING),
    ("a name with a tail", b"Cookie: keyx=K1\r\n", MISSING),
    ("a wrong key", b"Cookie: key=wrong\r\n", INVALID),
    ("twice in a line", b"Cookie: key=K1; key=K1\r\n", INVALID),
    ("twice in two lines", b"Cookie: key=K1\r\nCookie: key=K1\r\n", INVALID),
    ("twice, one wrong", b"Cookie: key=bad; key=K1\r\n", INVALID),
    ("in another's value", b"Cookie: a=key=K1\r\n", MISSING),
];

#[test]
fn a_cookie() {
    let origin = Origin::echo();
    let gate = asking(&origin, "sources = [\"cookie:key\"]\n");
    let start = "GET /x HTTP/1.1\r\nHost: a.test\r\n";
    Failures::new().play(&gate, &origin, (start, COOKIE, "\r\n")).report();
}

/// `Cookie` lines at a location that hides the cookie `key`, and what must be left of them.
const COOKIES: [(&str, &[&str]); 9] = [
    ("Cookie: key=K1\r\n", &[]),
    ("Cookie: key=K1; a=b\r\n", &["a=b"]),
    ("Cookie: a=b; key=K1\r\n", &["a=b"]),
    ("Cookie: a=b; key=K1; c=d\r\n", &["a=b; c=d"]),
    ("Cookie: a=b; key=K1; c=d; e=f\r\n", &["a=b; c=d; e=f"]),
    ("Cookie: a=\"x y\"; key=K1; c==\r\n", &["a=\"x y\"; c=="]),
    ("Cookie: keys=1; key=K1; xkey=2\r\n", &["keys=1; xkey=2"]),
    ("Cookie: KEY=1; key=K1\r\n", &["KEY=1"]),
    ("Cookie: key=K1\r\nX-Other: 1\r\n", &[]),
];

#[test]
fn the_cookie_is_removed_and_the_others_stay() {
    let origin = Origin::echo();
    let gate = asking(&origin, "sources = [\"cookie:key\"]\n");
    let mut failures = Failures::new();
    for (lines, left) in COOKIES {
        let request = keyed(&format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n"));
        let status = gate.send(request).status;
        let head = origin.last().head;
        let right = status == 200 && head.values("cookie") == left;
        failures.row(right, || format!("{lines:?}: {status} {:?}", head.values("cookie")));
    }
    failures.report();
}

/// What a source of the precedence table carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Carries {
    Nothing,
    TheKey,
    AWrongKey,
    TheKeyTwice,
}

const CARRIES: [Carries; 4] =
    [Carries::Nothing, Carries::TheKey, Carries::AWrongKey, Carries::TheKeyTwice];

/// The sources, as they are configured.
const SOURCES: [&str; 4] = ["header:X-Api-Key", "bearer", "query:api_key", "cookie:key"];

/// Orders in which every source is once at each place.
const ORDERS: [[usize; 4]; 6] =
    [[0, 1, 2, 3], [1, 2, 3, 0], [2, 3, 0, 1], [3, 0, 1, 2], [3, 2, 1, 0], [2, 0, 3, 1]];

/// One location for each order, below a path that tells it.
fn every_order() -> String {
    let mut config = String::new();
    for (number, order) in ORDERS.iter().enumerate() {
        let sources: Vec<_> = order.iter().map(|&source| SOURCES[source]).collect();
        config += &keyed(&format!(
            "[plugins.key-auth-{number}]\nsources = {sources:?}\nkeys = [\"K1\"]\n\
             hide_credentials = true\n[locations.order-{number}]\npath = \"/{number}/\"\n\
             upstream = \"rec\"\nplugins = [\"key-auth-{number}\"]\n"
        ));
    }
    config
}

/// A request whose sources carry what is said, in the order of [`SOURCES`].
fn request(path: &str, carried: [Carries; 4]) -> String {
    let values = |source: usize| match carried[source] {
        Carries::Nothing => vec![],
        Carries::TheKey => vec![K1],
        Carries::AWrongKey => vec!["wrong"],
        Carries::TheKeyTwice => vec![K1, K1],
    };
    let mut target = path.to_owned();
    for (number, key) in values(2).into_iter().enumerate() {
        target += &format!("{}api_key={key}", if number == 0 { '?' } else { '&' });
    }
    let mut request = format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n");
    for key in values(0) {
        request += &format!("X-Api-Key: {key}\r\n");
    }
    for key in values(1) {
        request += &format!("Authorization: Bearer {key}\r\n");
    }
    for key in values(3) {
        request += &format!("Cookie: key={key}\r\n");
    }
    request + "\r\n"
}

#[test]
fn the_first_source_that_is_present_decides_in_every_combination() {
    let origin = Origin::echo();
    let gate = Gate::on(&(upstream(&origin) + &every_order()));
    let mut failures = Failures::new();
    let mut client = gate.client();
    for (number, order) in ORDERS.iter().enumerate() {
        for combination in 0..CARRIES.len().pow(4) {
            let carried = [0, 2, 4, 6].map(|shift| CARRIES[combination >> shift & 3]);
            let first = order.iter().map(|&source| carried[source]);
            let decides = first.clone().find(|carries| *carries != Carries::Nothing);
            let expected = match decides {
                None => (401, "Key missing".to_owned()),
                Some(Carries::TheKey) => (200, format!("/{number}/x")),
                Some(_) => (401, "Key auth fail".to_owned()),
            };
            let response = client.send(request(&format!("/{number}/x"), carried)).response();
            let got = (response.status, response.text());
            failures.row(got == expected, || format!("{order:?} {carried:?}: {got:?}"));
        }
    }
    failures.report();
}
