//! Side channels: what time, order and form of an answer tell about a key.

use std::time::{Duration, Instant};

use super::stand::GET;
use super::{Case, Stand, case, elsewhere, left_out};
use crate::support::reference::{K1, keyed, one_location};
use crate::support::{Client, MISSING, Response, Then};

/// The delay of the gates below.
const DELAY: Duration = Duration::from_millis(400);

pub(super) const CASES: &[Case] = &[
    elsewhere(
        "SC-01",
        "time does not tell how much of a key is right",
        "benches/timing/run.sh near_miss",
    ),
    elsewhere(
        "SC-02",
        "time does not tell how long a stored key is",
        "benches/timing/run.sh length_of_the_stored_key",
    ),
    elsewhere(
        "SC-03",
        "time does not tell where in the list a key is",
        "benches/timing/run.sh position",
    ),
    elsewhere(
        "SC-04",
        "how much of the number of keys the time tells is known",
        "benches/timing/run.sh known_1_or; judges/many_keys.py",
    ),
    elsewhere(
        "SC-05",
        "nothing of that is seen over a connection, 200,000 pairs",
        "judges/timing.py",
    ),
    left_out(
        "SC-06",
        "two streams in one packet: which is answered first",
        "the decision is that of HTTP/1.1, whose times SC-01 to SC-05 compare",
    ),
    case("SC-07", "every refusal of a sort looks the same", refusals),
    case("SC-08", "what exists below a guarded path does not show", |stand| {
        stand.script(|exchange| {
            let found = exchange.request.second_word() == "/api/v1/there";
            exchange.reply(if found { 200 } else { 404 }, b"");
        });
        stand.probe("");
        let ask = |target: &str| {
            stand.ask(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: wrong\r\n\r\n"))
        };
        let [there, nowhere] = [ask("/api/v1/there"), ask("/api/v1/nowhere")];
        same(stand, "there", &there, "nowhere", &nowhere);
        stand.holds(there.status == 401, || format!("{there:?}"));
        stand.target("/api/v1/there", MISSING).target("/unknown", Then::Refused(&[404]));
    }),
    case("SC-09", "a wrong key waits its delay, and nobody else waits", |stand| {
        delayed(stand, "");
        stand.allow_any("/api/v1/x", 5);
        // The quickest of five counts: the machine may be slow, but not each time.
        let quickest = |lines, status| (0..5).map(|_| took(stand, lines, status)).min();
        let wrong = quickest("X-API-Key: wrong\r\n", 401).unwrap_or_default();
        stand.holds(wrong >= DELAY, || format!("a wrong key: {wrong:?}"));
        stand.holds(wrong < 3 * DELAY, || format!("a wrong key: {wrong:?}"));
        for (lines, status) in [("", 401), ("X-API-Key: \r\n", 401), ("X-API-Key: K1\r\n", 200)] {
            let other = quickest(lines, status).unwrap_or_default();
            stand.holds(other < DELAY, || format!("{lines:?}: {other:?}"));
        }
    }),
    case("SC-10", "guessing at many connections at once is no faster", |stand| {
        delayed(stand, "max_failures = \"5/1h\"\n");
        let begun = Instant::now();
        let mut clients: Vec<Client> = (0..40).map(|_| stand.connect()).collect();
        for (number, client) in clients.iter_mut().enumerate() {
            client.send(format!("{GET}X-API-Key: wrong-{number}\r\n\r\n"));
        }
        let mut statuses: Vec<_> =
            clients.iter_mut().map(|client| client.response().status).collect();
        statuses.sort_unstable();
        let wanted = [[401; 5].as_slice(), &[429; 35]].concat();
        stand.holds(statuses == wanted, || format!("{statuses:?}"));
        stand.holds(begun.elapsed() >= DELAY, || format!("{:?}", begun.elapsed()));
        stand.get("X-API-Key: K1\r\n", Then::Forwarded("/api/v1/x"));
    }),
    case("SC-11", "a connection stays open after a refusal of any sort", |stand| {
        let mut client = stand.connect();
        for lines in [
            "",
            "X-API-Key: wrong\r\n",
            "X-API-Key: \r\n",
            "X-API-Key: K1\r\nX-API-Key: K1\r\n",
            "X-API-Key: K2\r\n",
        ] {
            let answer = client.send(keyed(&format!("{GET}{lines}\r\n"))).response();
            let open = answer.status == 401 && !answer.head.has("connection");
            stand.holds(open, || format!("{lines:?}: {answer:?}"));
        }
        let valid = keyed(&format!("{GET}X-API-Key: K1\r\n\r\n"));
        stand.allow("/api/v1/x", &valid);
        let answer = client.send(valid).response();
        stand.holds(answer.status == 200, || format!("{answer:?}"));
    }),
    elsewhere(
        "SC-12",
        "no branch and no address depends on a key while it is digested and compared",
        "benches/ctgrind/run.sh",
    ),
];

/// Missing and empty look the same; and so do all wrong keys, whatever is wrong with them.
fn refusals(stand: &mut Stand) {
    let near = format!("X-API-Key: {}6\r\n", &K1[..K1.len() - 1]);
    let long = format!("X-API-Key: {}\r\n", "x".repeat(8000));
    let missing = ["", "X-API-Key: \r\n", "X-API-Key:\r\n", "Authorization: Bearer K1\r\n"];
    let wrong = [
        "X-API-Key: x\r\n",
        &near,
        &long,
        "X-API-Key: K2\r\n",
        "X-API-Key: K1K1\r\n",
        "X-API-Key: K1,K1\r\n",
        "X-API-Key: K1\r\nX-API-Key: K1\r\n",
        "X-API-Key: K1\r\nX-API-Key: K2\r\n",
        "X-API-Key: x\u{ff}\r\n",
    ];
    for (sort, says) in [(&missing[..], "Key missing"), (&wrong, "Key auth fail")] {
        let answers: Vec<_> =
            sort.iter().map(|lines| stand.ask(format!("{GET}{lines}\r\n"))).collect();
        let right = answers[0].status == 401 && answers[0].text() == says;
        stand.holds(right, || format!("{:?}", answers[0]));
        for (lines, answer) in sort.iter().zip(&answers) {
            same(stand, sort[0], &answers[0], lines, answer);
        }
    }
}

/// Notes where two answers differ in more than the date and the request's id.
fn same(stand: &Stand, of: &str, one: &Response, about: &str, other: &Response) {
    let form = |answer: &Response| {
        let start = answer.head.start.clone();
        let fields = answer.head.fields.iter().map(|(name, value)| {
            let varies = ["date", "x-request-id"].iter().any(|v| name.eq_ignore_ascii_case(v));
            (name.clone(), if varies { String::new() } else { value.clone() })
        });
        (start, fields.collect::<Vec<_>>(), answer.body.clone())
    };
    stand.holds(form(one) == form(other), || format!("{of:?}: {one:?}\n{about:?}: {other:?}"));
}

/// Takes a gate whose one location delays wrong keys; `more` goes into the plugin's table.
fn delayed(stand: &mut Stand, more: &str) {
    let source = format!("header = \"X-API-Key\"\ndelay = \"{}ms\"\n{more}", DELAY.as_millis());
    stand.config(&one_location(&source, ""));
}

/// How long the answer to these lines takes.
#[track_caller]
fn took(stand: &Stand, lines: &str, status: u16) -> Duration {
    let begun = Instant::now();
    let answer = stand.ask(format!("{GET}{lines}\r\n"));
    stand.holds(answer.status == status, || format!("{lines:?}: {answer:?}"));
    begun.elapsed()
}
