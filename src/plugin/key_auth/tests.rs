//! What key-auth decides, as data.

use std::net::IpAddr;
use std::time::{Instant, SystemTime};

use super::hiding::check_hidden;
use super::*;
use crate::config::problem::Fault;
use crate::plugin::{Built, Site};
use crate::sample;

const KEY: &str = "k1_9f86d081884c7d659a2feaa0c55ad015";

pub(super) fn build(settings: &str) -> Result<Built, Vec<Fault>> {
    toml::from_str::<KeyAuthSettings>(settings)
        .expect("the settings are well formed")
        .build(&mut Site::default())
}

/// A plugin with the one key.
pub(super) fn plugin(settings: &str) -> Arc<dyn Plugin> {
    let built = build(&format!("{settings}\nkeys = [\"{KEY}\"]"));
    built
        .map_err(|faults| format!("{settings}: {faults:?}"))
        .expect("the settings are right")
        .plugin
}

pub(super) fn cx() -> Cx {
    let client = Some(IpAddr::from([192, 0, 2, 1]));
    Cx::new(client, Instant::now(), SystemTime::now())
}

/// A request from its lines; `K1` stands for the key.
#[track_caller]
pub(super) fn head(request: &str) -> RequestHead {
    sample::head(&request.replace("K1", KEY))
}

/// How a head looks as lines.
pub(super) fn lines(head: &RequestHead) -> String {
    let text = format!("{} {}\n{}", head.method, head.uri, sample::lines(&head.headers));
    text.trim_end().replace(KEY, "K1")
}

#[track_caller]
pub(super) fn check(settings: &str, request: &str, expected: &str) {
    let mut head = head(request);
    let verdict = match plugin(settings).request(&mut head, &mut cx()) {
        ControlFlow::Continue(()) => "valid",
        ControlFlow::Break(Reply { cause: Cause::MissingKey, .. }) => "missing",
        ControlFlow::Break(Reply { cause: Cause::InvalidKey, .. }) => "invalid",
        ControlFlow::Break(reply) => panic!("{request}: {reply:?}"),
    };
    assert_eq!(verdict, expected, "{settings}: {request}");
}

const HEADER: &str = "header = \"X-API-Key\"";
const QUERY: &str = "query = \"api_key\"";
const BEARER: &str = "sources = [\"bearer\"]";
const COOKIE: &str = "sources = [\"cookie:key\"]";
pub(super) const ALL: &str =
    "sources = [\"header:X-API-Key\", \"bearer\", \"query:api_key\", \"cookie:key\"]
    hide_credentials = true";

#[test]
fn a_header_carries_one_key_and_nothing_else() {
    for (lines, expected) in [
        ("", "missing"),
        ("X-API-Key:", "missing"),
        ("X-API-Key: \t ", "missing"),
        ("X-API-Key: K1", "valid"),
        ("x-api-KEY: \t K1 \t ", "valid"),
        ("X-API-Key: wrong", "invalid"),
        ("X-API-Key: K1 x", "invalid"),
        ("X-API-Key: K1K1", "invalid"),
        ("X-API-Key: K1, K1", "invalid"),
        ("X-API-Key: K1,", "invalid"),
        ("X-API-Key: \"K1\"", "invalid"),
        ("X-API-Key: <K1>", "invalid"),
        ("X-API-Key: k1_9f86d081884c7d659a2feaa0c55ad01", "invalid"),
        ("X-API-Key: k1_9f86d081884c7d659a2feaa0c55ad014", "invalid"),
        ("X-API-Key: k1_9F86D081884C7D659A2FEAA0C55AD015", "invalid"),
        ("X-API-Key: \u{ff11}", "invalid"),
        ("X-API-Key: K1\u{a0}", "invalid"),
        ("X-API-Key: K1\nX-API-Key: K1", "invalid"),
        ("X-API-Key: K1\nx-api-key: wrong", "invalid"),
        ("X-API-Key: wrong\nX-API-Key: K1", "invalid"),
        ("X-API-Key:\nX-API-Key:", "invalid"),
        ("X_API_Key: K1", "missing"),
        ("X-API.Key: K1", "missing"),
        ("X_API_Key: wrong\nX-API-Key: K1", "valid"),
        ("Authorization: Bearer K1", "missing"),
        ("Cookie: X-API-Key=K1", "missing"),
    ] {
        check(HEADER, format!("GET /api\n{lines}").trim_end_matches('\n'), expected);
    }
    check(HEADER, "GET /api?X-API-Key=K1&api_key=K1", "missing");
    check(
        HEADER,
        "OPTIONS /api\nOrigin: https://a.test\nAccess-Control-Request-Method: GET",
        "missing",
    );
}

#[test]
fn a_scheme_is_read_in_any_case_and_another_scheme_is_no_key() {
    for (line, expected) in [
        ("Bearer K1", "valid"),
        ("bearer K1", "valid"),
        ("BEARER \t  K1  ", "valid"),
        ("Bearer\tK1", "valid"),
        ("Bearer", "missing"),
        ("Bearer   ", "missing"),
        ("BearerK1", "missing"),
        ("Bearer: K1", "missing"),
        ("Basic K1", "missing"),
        ("K1", "missing"),
        ("Bearer K1, Bearer K1", "invalid"),
        ("Bearer wrong", "invalid"),
        ("Bearer Bearer K1", "invalid"),
        ("Bearer K1\nAuthorization: Bearer K1", "invalid"),
        ("Bearer K1\nAuthorization: Basic x", "invalid"),
        ("Basic x\nAuthorization: Bearer K1", "invalid"),
        ("Basic x\nAuthorization: Basic y", "missing"),
    ] {
        check(BEARER, &format!("GET /\nAuthorization: {line}"), expected);
    }
    let token = "header = \"X-Auth\"\nscheme = \"Token\"";
    check(token, "GET /\nX-Auth: token K1", "valid");
    check(token, "GET /\nX-Auth: K1", "missing");
}

/// Decoding itself is tested where it is written.
#[test]
fn a_parameter_carries_one_key_after_decoding_once() {
    for (target, expected) in [
        ("/q/x?api_key=K1", "valid"),
        ("/q/x?api%5Fkey=K1", "valid"),
        ("/q/x?api_key=k1%5F9f86d081884c7d659a2feaa0c55ad015", "valid"),
        ("/q/x?api_key=k1%255F9f86d081884c7d659a2feaa0c55ad015", "invalid"),
        ("/q/x?&&api_key=K1&&", "valid"),
        ("/q/x?a=b?c&api_key=K1", "valid"),
        ("http://a.test/q/x?api_key=K1", "valid"),
        ("/q/x", "missing"),
        ("/q/x?", "missing"),
        ("/q/x?api_key", "missing"),
        ("/q/x?api_key=", "missing"),
        ("/q/x?=K1", "missing"),
        ("/q/x?API_KEY=K1", "missing"),
        ("/q/x?api_key[]=K1", "missing"),
        ("/q/x?a=1;api_key=K1", "missing"),
        ("/q/x?a=b?api_key=K1", "missing"),
        ("/q/x;api_key=K1", "missing"),
        ("/q/x%3Fapi_key=K1", "missing"),
        ("/q/x?api_key=K1;a=1", "invalid"),
        ("/q/x?api_key=K1&api_key=K1", "invalid"),
        ("/q/x?api_key=bad&api_key=K1", "invalid"),
        ("/q/x?api_key=K1&api%5Fkey=bad", "invalid"),
        ("/q/x?api_key=K1&api_key", "invalid"),
        ("/q/x?api_key=K1%", "invalid"),
        ("/q/x?api_key=K1%00", "invalid"),
        ("/q/x?api_key=K1%0d%0a", "invalid"),
        ("/q/x?api_key=%C0%AF", "invalid"),
        ("/q/x?api_key=%20K1", "invalid"),
        ("/q/x?api_key=+K1", "invalid"),
    ] {
        check(QUERY, &format!("GET {target}"), expected);
    }
    check(QUERY, "GET /q/x\nX-API-Key: K1\napi_key: K1", "missing");
}

#[test]
fn a_plus_in_a_key_is_itself_raw_and_encoded() {
    let settings = format!("{QUERY}\nkeys = [\"a+b/c=\"]");
    let plugin = build(&settings).unwrap().plugin;
    for query in ["a%2Bb%2Fc%3D", "a+b/c="] {
        let mut head = head(&format!("GET /?api_key={query}"));
        assert!(plugin.request(&mut head, &mut cx()).is_continue(), "{query}");
    }
    let mut head = head("GET /?api_key=a%20b/c=");
    assert!(plugin.request(&mut head, &mut cx()).is_break());
}

#[test]
fn a_cookie_carries_one_key() {
    for (line, expected) in [
        ("key=K1", "valid"),
        ("a=1; key=K1; b=2", "valid"),
        ("a=1;key=K1", "valid"),
        ("a=1; key = K1 ", "valid"),
        ("a=1\nCookie: key=K1", "valid"),
        ("a=1", "missing"),
        ("key", "missing"),
        ("key=", "missing"),
        ("Key=K1", "missing"),
        ("a=1, key=K1", "missing"),
        ("key=\"K1\"", "invalid"),
        ("key=K1; key=K1", "invalid"),
        ("key=K1\nCookie: key=K1", "invalid"),
        ("key=%6b1", "invalid"),
    ] {
        check(COOKIE, &format!("GET /\nCookie: {line}"), expected);
    }
}

/// Every source right, wrong, empty or absent: the first that is present decides.
#[test]
fn the_first_source_that_is_present_decides() {
    let states = ["", "valid", "invalid", "missing"];
    let value = |state| match state {
        "valid" => KEY,
        "invalid" => "wrong",
        _ => "",
    };
    for first in states {
        for second in states {
            for third in states {
                let mut request = "GET /".to_owned();
                if !third.is_empty() {
                    request += &format!("?api_key={}", value(third));
                }
                if !first.is_empty() {
                    request += &format!("\nX-API-Key: {}", value(first));
                }
                if !second.is_empty() {
                    request += &format!("\nAuthorization: Bearer {}", value(second));
                }
                let deciding = [first, second, third].into_iter().find(|state| !state.is_empty());
                check(ALL, &request, deciding.unwrap_or("missing"));
            }
        }
    }
}

#[test]
fn a_preflight_goes_on_without_a_key_but_never_with_one() {
    let settings = format!("{ALL}\nallow_preflight = true");
    let preflight = "Origin: https://a.test\nAccess-Control-Request-Method: GET";
    check(&settings, &format!("OPTIONS /\n{preflight}"), "valid");
    check(&settings, &format!("OPTIONS /\n{preflight}\nContent-Length: 0"), "valid");
    check(&settings, &format!("OPTIONS /\n{preflight}\nContent-Length: 5"), "missing");
    check(&settings, &format!("OPTIONS /\n{preflight}\nTransfer-Encoding: chunked"), "missing");
    check(&settings, &format!("OPTIONS /\n{preflight}\nX-HTTP-Method-Override: PUT"), "missing");
    check_hidden(
        &settings,
        &format!("OPTIONS /?api_key=K1\n{preflight}\nX-API-Key: wrong"),
        "OPTIONS /\norigin: https://a.test\naccess-control-request-method: GET",
    );
    check(&settings, "OPTIONS /", "missing");
    check(&settings, "OPTIONS /\nOrigin: https://a.test", "missing");
    check(&settings, "OPTIONS /\nAccess-Control-Request-Method: GET", "missing");
    check(&settings, &format!("GET /\n{preflight}"), "missing");
    check(ALL, &format!("OPTIONS /\n{preflight}"), "missing");
}

fn reply(plugin: &Arc<dyn Plugin>, request: &str, cx: &mut Cx) -> Reply {
    plugin.request(&mut head(request), cx).break_value().expect("a reply")
}

#[test]
fn only_an_invalid_key_waits_and_both_answers_carry_the_challenge() {
    let plugin = plugin(&format!("{HEADER}\ndelay = \"500ms\"\nrealm = 'a \"b\" \\'"));
    let missing = reply(&plugin, "GET /", &mut cx());
    assert_eq!((missing.cause, missing.pause), (Cause::MissingKey, None));
    let invalid = reply(&plugin, "GET /\nX-API-Key: wrong", &mut cx());
    assert_eq!(invalid.pause, Some(Duration::from_millis(500)));
    for reply in [missing, invalid] {
        assert_eq!(reply.challenge.unwrap(), r#"ApiKey realm="a \"b\" \\""#);
    }
    let bearer = reply(&self::plugin(ALL), "GET /", &mut cx());
    assert_eq!(bearer.challenge.unwrap(), r#"Bearer realm="keygate""#);
}

#[test]
fn over_the_limit_an_invalid_key_is_answered_at_once_and_a_valid_one_passes() {
    let plugin = plugin(&format!("{HEADER}\ndelay = \"1s\"\nmax_failures = \"2/20s\""));
    let (wrong, mut cx) = ("GET /\nX-API-Key: wrong", cx());
    for _ in 0..5 {
        assert_eq!(reply(&plugin, "GET /", &mut cx).cause, Cause::MissingKey);
        let request = &mut head("GET /\nX-API-Key: K1");
        assert!(plugin.request(request, &mut cx).is_continue());
    }
    for _ in 0..2 {
        assert_eq!(reply(&plugin, wrong, &mut cx).cause, Cause::InvalidKey);
    }
    let limited = reply(&plugin, wrong, &mut cx);
    assert_eq!(limited.cause, Cause::RateLimited(Duration::from_secs(10)));
    assert_eq!(limited.pause, None);
    let twice = "GET /\nX-API-Key: K1\nX-API-Key: K1";
    assert!(matches!(reply(&plugin, twice, &mut cx).cause, Cause::RateLimited(_)));
    assert!(plugin.request(&mut head("GET /\nX-API-Key: K1"), &mut cx).is_continue());
    cx.client = Some(IpAddr::from([192, 0, 2, 2]));
    assert_eq!(reply(&plugin, wrong, &mut cx).cause, Cause::InvalidKey);
}

#[test]
fn failures_outlive_a_reload_where_the_limit_is_the_same() {
    let settings = |limit: &str| -> KeyAuthSettings {
        toml::from_str(&format!("{HEADER}\nkeys = ['{KEY}']\nmax_failures = '{limit}'")).unwrap()
    };
    let old = settings("1/10s").build(&mut Site::default()).unwrap().plugin;
    let (wrong, mut cx) = ("GET /\nX-API-Key: wrong", cx());
    assert_eq!(reply(&old, wrong, &mut cx).cause, Cause::InvalidKey);
    let same = settings("1/10s")
        .build(&mut Site { previous: Some(&*old), ..Site::default() })
        .unwrap()
        .plugin;
    assert!(matches!(reply(&same, wrong, &mut cx).cause, Cause::RateLimited(_)));
    let other = settings("1/11s")
        .build(&mut Site { previous: Some(&*old), ..Site::default() })
        .unwrap()
        .plugin;
    assert_eq!(reply(&other, wrong, &mut cx).cause, Cause::InvalidKey);
}
