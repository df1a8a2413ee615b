//! Every probe there is.

use super::probe::Expected::{Passed, Refused};
use super::probe::{Place, Probe, flipped};
use super::spellings;

/// All probes of a guarded path; those that need the key only where there is one.
pub(super) fn all(places: &[Place], path: &str, key: Option<&str>) -> Vec<Probe> {
    let mut probes = without_credential(path);
    probes.extend(of_methods(path));
    probes.extend(of_messages(path));
    for place in places {
        probes.extend(with_wrong_keys(place, path));
        if let Some(key) = key {
            probes.extend(with_nearly_right_keys(place, path, key));
        }
    }
    if key.is_some() {
        probes.extend(with_keys_elsewhere(places, path));
    }
    let spelled = spellings::of(path);
    let spelled = spelled.iter().map(|(name, path)| Probe::new(name, path).expect(Refused));
    probes.extend(spelled);
    if key.is_some() {
        let passing = |place| Probe::new("the key", path).with(place, "<key>").expect(Passed);
        probes.extend(places.iter().map(passing));
    }
    probes
}

/// Nothing but who asks is odd about these.
fn without_credential(path: &str) -> Vec<Probe> {
    let probe = |name| Probe::new(name, path);
    let query = format!("{path}?");
    vec![
        probe("no key"),
        Probe::new("an empty query", &query),
        probe("from this machine")
            .field("X-Forwarded-For: 127.0.0.1")
            .field("X-Real-IP: 127.0.0.1"),
        probe("another path for the API").field("X-Original-URL: /").field("X-Rewrite-URL: /"),
        probe("a consumer's name").field("X-Consumer-Username: admin"),
        probe("a health check").field("User-Agent: kube-probe/1.30"),
        probe("an upgrade").field("Connection: Upgrade").field("Upgrade: anything"),
        probe("a WebSocket")
            .field("Connection: Upgrade")
            .field("Upgrade: websocket")
            .field("Sec-WebSocket-Version: 13")
            .field("Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
    ]
}

fn of_methods(path: &str) -> Vec<Probe> {
    let probe = |(name, method)| Probe::new(name, path).method(method).expect(Refused);
    let methods = [
        ("HEAD", "HEAD"),
        ("OPTIONS", "OPTIONS"),
        ("POST", "POST"),
        ("PUT", "PUT"),
        ("DELETE", "DELETE"),
        ("TRACE", "TRACE"),
        ("a method in lower case", "get"),
        ("a method of nobody", "FOOBAR"),
    ];
    let overridden = Probe::new("another method in a field", path);
    let overridden = overridden.field("X-HTTP-Method-Override: OPTIONS").expect(Refused);
    methods.into_iter().map(probe).chain([overridden]).collect()
}

/// Messages of odd form.
fn of_messages(path: &str) -> Vec<Probe> {
    let probe = |name| Probe::new(name, path).expect(Refused);
    vec![
        probe("HTTP/1.0").old(),
        probe("an absolute target").absolute("<host>"),
        probe("an absolute target of another host").absolute("other.invalid"),
        probe("another host").field("Host: other.invalid"),
        probe("two hosts").field("Host: localhost").field("Host: other.invalid"),
        probe("a body that waits")
            .method("POST")
            .field("Content-Length: 1")
            .field("Expect: 100-continue"),
        probe("two lengths")
            .method("POST")
            .field("Content-Length: 6")
            .field("Transfer-Encoding: chunked")
            .body("0\r\n\r\nX"),
    ]
}

/// What nobody has to know the key for.
fn with_wrong_keys(place: &Place, path: &str) -> Vec<Probe> {
    let probe = |name| Probe::new(name, path);
    let mut probes = vec![
        probe("an empty key").with(place, ""),
        probe("a wrong key").with(place, "<wrong>"),
        probe("a wrong key twice").with(place, "<wrong>").with(place, "<wrong>"),
        probe("two wrong keys in one").with(place, "<wrong>,<wrong>"),
    ];
    if let Place::Header(name) = place {
        let connection = format!("Connection: close, {name}");
        probes.push(probe("a key named by Connection").field(&connection).with(place, "<wrong>"));
    }
    probes
}

/// What is not the key, but looks like it to who is careless.
fn with_nearly_right_keys(place: &Place, path: &str, key: &str) -> Vec<Probe> {
    let probe = |name| Probe::new(name, path);
    let mut probes = vec![
        probe("the key and one byte").with(place, "<longer>"),
        probe("the key less one byte").with(place, "<shorter>"),
        probe("the key with a blank in it").with(place, "<split>"),
        probe("the key twice").with(place, "<key>").with(place, "<key>"),
        probe("the key before a wrong one").with(place, "<key>").with(place, "<wrong>"),
        probe("the key behind a wrong one").with(place, "<wrong>").with(place, "<key>"),
        probe("the key twice in one").with(place, "<key>,<key>"),
    ];
    // Without a letter it is the same key.
    if flipped(key) != key {
        probes.push(probe("the key in the other case").with(place, "<flipped>"));
    }
    if let Place::Header(name) = place
        && name.contains('-')
    {
        let alias = Place::Header(name.replace('-', "_"));
        probes.push(probe("the key under a name with _").with(&alias, "<key>").expect(Refused));
    }
    probes
}

/// The key where the gate takes none.
fn with_keys_elsewhere(places: &[Place], path: &str) -> Vec<Probe> {
    let probe = |name| Probe::new(name, path);
    let is_place = |place: &Place| {
        places.iter().any(|known| match (known, place) {
            (Place::Header(known), Place::Header(other)) => known.eq_ignore_ascii_case(other),
            _ => known == place,
        })
    };
    let authorization = is_place(&Place::Header("Authorization".to_owned()));
    let mut probes = vec![probe("the key in a cookie").field("Cookie: api_key=<key>; key=<key>")];
    let mut others = vec![
        ("the key in a header", Place::Header("X-API-Key".to_owned())),
        ("the key as a bearer token", Place::Bearer),
    ];
    // A query is logged: only under the name of its own place does a gate keep the key out of that.
    others.extend(places.iter().map(|place| match place {
        Place::Header(name) => ("the key in the query", Place::Query(name.clone())),
        Place::Bearer => ("the key in the query", Place::Query("authorization".to_owned())),
        Place::Query(name) => ("the key in a header of its name", Place::Header(name.clone())),
    }));
    let others = others.into_iter().filter(|(_, place)| !is_place(place));
    let others = others.filter(|(_, place)| *place != Place::Bearer || !authorization);
    probes.extend(others.map(|(name, place)| probe(name).with(&place, "<key>")));
    if !authorization {
        probes.push(probe("the key under another scheme").field("Authorization: Basic <key>"));
        probes.push(probe("the key without a scheme").field("Authorization: <key>"));
    }
    probes
}
