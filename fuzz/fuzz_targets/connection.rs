//! Whatever a client sends, each of its requests that the rules let pass arrives once and as they
//! say, everything else is refused, and each answer belongs to its request.
#![no_main]

use std::sync::LazyLock;

use keygate_fuzz::rules::{self, Passed, Peer};
use keygate_fuzz::stand::{PEER, Stand};
use keygate_fuzz::strict::{self, Body, End, Framing, Head, Request};
use libfuzzer_sys::fuzz_target;

const KEY: &str = "k1_9f86d081884c7d659a2feaa0c55ad015";

/// Everything but `/api` is open, so that whatever gets around the guard gets somewhere.
static STAND: LazyLock<Stand> = LazyLock::new(|| {
    Stand::start(&format!(
        "[plugins.key-auth]\nsources = [\"header:X-API-Key\", \"query:api_key\"]\n\
         keys = [\"{KEY}\"]\nhide_credentials = true\n\
         [locations.api]\npath = \"/api\"\nupstream = \"origin\"\nplugins = [\"key-auth\"]\n\
         [locations.open]\npath = \"/\"\nupstream = \"origin\"\npublic = true\n"
    ))
});

/// What must become of a request.
enum Due {
    Passes(Passed),
    /// It may be refused as well: its path has several readings, or it says more than one may.
    MayPass(Passed),
    Refused,
}

fn is_guarded(target: &str) -> bool {
    let path = target.split('?').next().unwrap_or_default();
    path == "/api" || path.starts_with("/api/")
}

fn due(request: &Request) -> Due {
    let Request { head, framing, is_framed_twice, .. } = request;
    let peer = Peer { address: Some(PEER), trusts: |_| false };
    let has_body = !matches!(framing, Framing::None | Framing::Length(0));
    let Some(mut passed) = rules::pass(head, has_body, peer) else { return Due::Refused };
    let (path, query) = passed.target.split_once('?').unwrap_or((&passed.target, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "/-_".contains(c);
    // RFC 3986, section 3.4.
    let in_query = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/?%".contains(c);
    let has_one_reading = path.chars().all(plain) && !path.contains("//");
    let is_usual = has_one_reading && query.chars().all(in_query) && head.fields.len() <= 90;
    if is_guarded(&passed.target) {
        if rules::key(head, &passed.target, "x-api-key", "api_key") != Some(KEY.into()) {
            return Due::Refused;
        }
        passed.hide("x-api-key", "api_key");
    }
    if is_usual && !is_framed_twice { Due::Passes(passed) } else { Due::MayPass(passed) }
}

/// Whether nothing that follows a request need be read.
fn is_last(request: &Request, due: &Due) -> bool {
    let Request { head, framing, is_framed_twice, .. } = request;
    // What a refused request has for a body may be left unread.
    let unread = !matches!(due, Due::Passes(_)) && *framing != Framing::None;
    let closes = head.third == "HTTP/1.0" || head.options("connection").contains(&"close".into());
    *is_framed_twice || unread || closes
}

/// Compares what the origin received with what must arrive.
fn compare(request: &Request, passed: &Passed, (head, body): &(Head, Body)) {
    let start = (&*request.head.first, &*passed.target, "HTTP/1.1");
    assert_eq!((&*head.first, &*head.second, &*head.third), start);
    let mut fields = head.fields.clone();
    let framing = ["content-length", "expect", "trailer", "transfer-encoding", "x-request-id"];
    // To a request without a host the gate gives the origin's own.
    let is_own = |name: &str| framing.contains(&name) || name == "host" && passed.host.is_none();
    fields.retain(|(name, _)| !is_own(name));
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    assert_eq!(fields, passed.fields);
    let sent = request.body.as_ref().expect("only a whole request is answered");
    assert_eq!(body.data, sent.data);
    for (name, value) in &body.trailers {
        let never = ["content-length", "host", "transfer-encoding", "x-api-key", "x-forwarded-for"];
        assert!(sent.trailers.contains(&(name.clone(), value.clone())), "{name} in a trailer");
        assert!(!never.contains(&&**name), "{name} in a trailer");
    }
}

/// Judges an answer; says which of the origin's requests it answers.
fn judge(asked: Option<(&Request, &Due)>, response: &Head) -> Option<usize> {
    let mut number = response.values("x-origin");
    let number = number.next().map(|n| String::from_utf8_lossy(n).parse().expect("a number"));
    let is_whole = asked.is_some_and(|(request, _)| request.body.is_some());
    match (number, asked) {
        (Some(number), Some((request, Due::Passes(passed) | Due::MayPass(passed)))) => {
            compare(request, passed, &STAND.seen().requests[&number]);
        }
        (Some(_), _) => panic!("let through: {:?}", asked.map(|(request, _)| request)),
        (None, Some((request, Due::Passes(_)))) if is_whole => {
            panic!("{response:?} to {request:?}")
        }
        _ => {
            // A body that breaks off is found when its head is upstream already.
            let is_broken = response.second == "502" && !is_whole;
            assert!(response.second.starts_with('4') || is_broken, "{response:?}");
        }
    }
    number
}

/// Sends the bytes, judges every answer, and says which of the origin's requests were answered.
fn converse(data: &[u8]) -> Vec<usize> {
    let (all, end) = strict::requests(data);
    let all: Vec<_> = all.iter().map(|request| (request, due(request))).collect();
    let mut client = STAND.send(data);
    let mut answered = Vec::new();
    let mut may_end = false;
    for (request, due) in &all {
        let is_whole = request.body.is_some();
        if end == End::Within && !is_whole && !matches!(due, Due::Refused) {
            break;
        }
        let Some(response) = client.response(request.head.first == "HEAD") else {
            let is_owed = is_whole && matches!(due, Due::Passes(_));
            assert!(may_end || !is_owed, "no answer to {request:?}");
            return answered;
        };
        answered.extend(judge(Some((request, due)), &response));
        if response.options("connection").contains(&"close".into()) {
            client.ends();
            return answered;
        }
        may_end |= is_last(request, due);
    }
    // Whoever waits for more is told that there is none; what is wrong gets an answer or an end.
    if !matches!(end, End::Wrong(_)) {
        client.finish();
    }
    let last = all.last().filter(|(request, _)| request.body.is_none());
    // What cannot be read may have been a `HEAD`.
    if let Some(response) = client.response(true) {
        assert!(end != End::Between, "an answer to nothing: {response:?}");
        answered.extend(judge(last.map(|(request, due)| (*request, due)), &response));
    }
    client.ends();
    answered
}

fuzz_target!(|data: &[u8]| {
    STAND.seen().requests.clear();
    let answered = converse(data);
    let seen = STAND.seen();
    assert_eq!(seen.wrong, None);
    let arrived: Vec<_> = seen.requests.keys().copied().collect();
    assert_eq!(answered, arrived, "what reached the origin was not answered, or twice");
    // However the bytes are read: without the key in them, or an escape, the guard lets nobody by.
    let may_hold_key = data.windows(KEY.len()).any(|part| part == KEY.as_bytes());
    let may_hold_key = may_hold_key || data.contains(&b'%');
    assert!(may_hold_key || !seen.requests.values().any(|(head, _)| is_guarded(&head.second)));
});
