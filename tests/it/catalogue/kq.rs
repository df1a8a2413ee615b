//! A key in the query: how it is found, how it is read, and what is none.

use std::fs;

use super::stand::refusal;
use super::{Case, Stand, case};
use crate::support::reference::{K1, keyed, one_location};
use crate::support::{BAD, INVALID, MISSING, Place, Then};

const PASSES: Then = Then::Forwarded("/q/x");
/// The digits of `K1` behind its underscore.
const DIGITS: &str = "9f86d081884c7d659a2feaa0c55ad015";
/// A key whose bytes mean something in a query.
const PLUS: &str = "a+b/c=0123456789abcdef";

/// Sends `GET` of `/q/x` with each of these queries.
fn queries(stand: &Stand, then: Then, queries: &[&str]) {
    for query in queries {
        stand.target(format!("/q/x?{query}"), then);
    }
}

/// A stand whose only location asks for this key in the parameter `api_key`.
fn asking(stand: &mut Stand, key: &str) {
    stand.config(&one_location("query = \"api_key\"\n", "").replace(K1, key)).secret(key);
    let encoded: String = key.bytes().map(|byte| format!("%{byte:02x}")).collect();
    stand.probe(&format!("GET /?api_key={encoded} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
}

pub(super) const CASES: &[Case] = &[
    case("KQ-01", "the key", |stand| {
        queries(stand, PASSES, &["api_key=K1"]);
        queries(stand, INVALID, &["api_key=wrong"]);
        stand.target("/q/x", MISSING).target("/q/x?", MISSING);
    }),
    case("KQ-02", "a name with escapes is accepted and stripped", |stand| {
        let names =
            ["api%5Fkey", "api%5fkey", "%61pi_key", "%61%70%69_key", "%61%70%69%5f%6b%65%79"];
        for name in names {
            queries(stand, PASSES, &[&format!("{name}=K1")]);
        }
        // Each of them is a copy, whichever is the credential.
        for name in names {
            let copies = [format!("api_key=K1&{name}=K1"), format!("{name}=K1&api_key=K1")];
            queries(stand, INVALID, &copies.each_ref().map(String::as_str));
        }
    }),
    case("KQ-03", "a value with escapes is decoded", |stand| {
        let encoded: String = K1.bytes().map(|byte| format!("%{byte:02X}")).collect();
        for value in [&*format!("k1%5F{DIGITS}"), &format!("k1%5f{DIGITS}"), &encoded] {
            queries(stand, PASSES, &[&format!("api_key={value}")]);
        }
    }),
    case("KQ-04", "and decoded once only", |stand| {
        queries(stand, INVALID, &[&format!("api_key=k1%255F{DIGITS}")]);
        queries(stand, INVALID, &[&format!("api_key=k1%25255F{DIGITS}")]);
        // Not even by the mask of the log: this parameter has another name.
        stand.anew().shows(&[Place::Logs]);
        queries(stand, MISSING, &["api%255Fkey=K1"]);
    }),
    case("KQ-05", "a plus is itself, a slash and an equals sign are themselves", |stand| {
        asking(stand, PLUS);
        for value in [PLUS, "a%2Bb%2Fc%3D0123456789abcdef", "a%2bb/c=0123456789abcdef"] {
            stand.target(format!("/?api_key={value}"), Then::Forwarded("/"));
        }
        for value in ["a%20b/c=0123456789abcdef", "a%252Bb/c=0123456789abcdef", "a b/c="] {
            let value = value.replace(' ', "%20");
            stand.target(format!("/?api_key={value}"), INVALID);
        }
    }),
    case("KQ-06", "blanks at the ends of a key do not load; one inside is no plus", |stand| {
        let config = one_location("query = \"api_key\"\n", "");
        for key in [" 0123456789abcdef", "0123456789abcdef ", "0123456789abcdef\\t"] {
            let error = refusal(&config.replace(K1, key));
            assert!(error.contains("key 1 has blanks at its ends"), "{error}");
        }
        asking(stand, "two words-9c1185a5c5e9fc54");
        stand.target("/?api_key=two%20words-9c1185a5c5e9fc54", Then::Forwarded("/"));
        stand.target("/?api_key=two+words-9c1185a5c5e9fc54", INVALID);
    }),
    case("KQ-07", "what is no escape stays what it is", |stand| {
        let values = ["api_key=K1%", "api_key=K1%2", "api_key=K1%zz", "api_key=%", "api_key=%K1"];
        queries(stand, INVALID, &values);
    }),
    case("KQ-08", "escapes of control characters", |stand| {
        let values = ["api_key=K1%00", "api_key=%00K1", "api_key=K1%0d%0a", "api_key=%0aK1"];
        queries(stand, INVALID, &values);
        stand
            .gate()
            .stdout
            .wait_for("the last", |line| line.contains("%0d%0a") || line.contains("***"));
        let lines = stand.gate().stdout.lines();
        let injected = lines.iter().find(|line| !line.contains("127.0.0.1 GET /q/x?api_key=***"));
        stand.holds(injected.is_none(), || format!("{injected:?}"));
    }),
    case("KQ-09", "escapes that are no UTF-8", |stand| {
        queries(stand, INVALID, &["api_key=%C0%AFK1", "api_key=%ff", "api_key=K1%80"]);
    }),
    case("KQ-10", "a name without a value, a value without a name", |stand| {
        queries(stand, MISSING, &["api_key", "api_key=", "&", "="]);
        // Nothing says that this is a key; the log has it like any other parameter.
        stand.anew().shows(&[Place::Logs]);
        queries(stand, MISSING, &["=K1", "K1"]);
    }),
    case("KQ-11", "the key twice", |stand| {
        queries(stand, INVALID, &["api_key=K1&api_key=K1", "api_key=K1&a=b&api_key=K1"]);
    }),
    case("KQ-12", "twice, and one is wrong", |stand| {
        let values = ["api_key=bad&api_key=K1", "api_key=K1&api_key=bad"];
        queries(stand, INVALID, &values);
        queries(
            stand,
            INVALID,
            &["api_key=K1&api_key=", "api_key=K1&api_key", "api_key&api_key=K1"],
        );
    }),
    case("KQ-13", "twice, and one has escapes in its name", |stand| {
        let values =
            ["api_key=K1&api%5Fkey=bad", "api%5Fkey=bad&api_key=K1", "api_key=bad&api%5Fkey=K1"];
        queries(stand, INVALID, &values);
    }),
    case("KQ-14", "arrays and members", |stand| {
        let values = ["api_key[]=K1", "api_key[0]=K1", "api_key.x=K1", "api_key%5B%5D=K1"];
        queries(stand, MISSING, &values);
    }),
    case("KQ-15", "a semicolon is data", |stand| {
        queries(stand, MISSING, &["a=1;api_key=K1"]);
        queries(stand, INVALID, &["api_key=K1;a=1", "api_key=;K1"]);
    }),
    case("KQ-16", "another name", |stand| {
        let alike = ["API_KEY=K1", "api_key%20=K1", "%20api_key=K1", "api_key+=K1", "api-key=K1"];
        queries(stand, MISSING, &alike);
        // These are names of something else, also to the log.
        stand.anew().shows(&[Place::Logs]);
        queries(stand, MISSING, &["xapi_key=K1", "api_keyx=K1"]);
    }),
    case("KQ-17", "empty parameters around it", |stand| {
        stand.target("/q/x?&&api_key=K1&&", Then::Forwarded("/q/x?&&&"));
    }),
    case("KQ-18", "a fragment", |stand| {
        for target in ["/q/x#?api_key=K1", "/q/x?a=1#api_key=K1", "/q/x?api_key=K1#"] {
            stand.target(target, BAD);
        }
    }),
    case("KQ-19", "the path is not the query", |stand| {
        // What a path holds is the API's own, and is logged.
        stand.shows(&[Place::Logs]);
        for target in ["/q/x;api_key=K1", "/q/x%3Fapi_key=K1", "/q/api_key=K1", "/q/K1"] {
            stand.target(target, MISSING);
        }
    }),
    case("KQ-20", "a second question mark is data", |stand| {
        queries(stand, MISSING, &["a=b?api_key=K1", "?api_key=K1"]);
    }),
    case("KQ-21", "an ampersand that HTML or an escape made something else", |stand| {
        queries(stand, MISSING, &["a=b&amp;api_key=K1", "a=b%26api_key=K1"]);
    }),
    case("KQ-22", "ten thousand parameters, sixty kilobytes, and more", |stand| {
        stand.server("max_header_size = \"128KiB\"\n");
        queries(stand, PASSES, &["api_key=K1"]);
        let before = cpu_ticks(stand);
        let (many, half) = ("p=1&".repeat(10_000), "a".repeat(30_000));
        for (query, left) in [
            (format!("{many}api_key=K1"), format!("/q/x?{}", many.trim_end_matches('&'))),
            (format!("{half}&api_key=K1&{half}"), format!("/q/x?{half}&{half}")),
        ] {
            let request = keyed(&format!("GET /q/x?{query} HTTP/1.1\r\nHost: a.test\r\n\r\n"));
            stand.allow(&left, &request);
            let status = stand.ask(request).status;
            stand.holds(status == 200, || format!("{status}"));
        }
        let ticks = cpu_ticks(stand) - before;
        stand.holds(ticks <= 50, || format!("{ticks} ticks of the processor"));
        let too_long = format!("/q/x?{}&api_key=K1", "a".repeat(70_000));
        stand.target(too_long, Then::Ends(&[414, 431]));
    }),
    case("KQ-23", "an absolute target", |stand| {
        stand.target("http://a.test/q/x?api_key=K1", PASSES);
        stand.target("http://a.test/q/x?a=1&api_key=K1", Then::Forwarded("/q/x?a=1"));
        stand.target("http://a.test/q/x", MISSING);
        stand.target("http://a.test?api_key=K1", Then::Refused(&[404]));
    }),
    case("KQ-24", "a form beside the query is only a body", |stand| {
        for (query, body, then) in [
            ("?api_key=K1", "api_key=bad&a=1", PASSES),
            ("?api_key=bad", "api_key=K1&a=12", INVALID),
            ("", "api_key=K1&a=123", MISSING),
        ] {
            let body = keyed(body);
            let head = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length";
            stand.send(
                format!(
                    "POST /q/x{query} HTTP/1.1\r\nHost: a.test\r\n{head}: {}\r\n\r\n{body}",
                    body.len()
                ),
                then,
            );
        }
    }),
];

/// The processor time that the gate has taken, in hundredths of a second.
fn cpu_ticks(stand: &Stand) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{}/stat", stand.gate().pid())).expect("it runs");
    let (_, after_name) = stat.rsplit_once(')').expect("a name in parentheses");
    let times = after_name.split_whitespace().skip(11).take(2);
    times.map(|ticks| ticks.parse::<u64>().expect("a number")).sum()
}
