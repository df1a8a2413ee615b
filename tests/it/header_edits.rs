//! `request-headers` and `response-headers`: what the upstream and the client get to see, and that
//! a provider's key comes out nowhere else.

use crate::config::check;
use crate::support::reference::{keyed, plugged};
use crate::support::{Failures, Gate, Origin, Place, Recorded};

/// The key that the upstream wants; no client has it.
const PROVIDER_KEY: &str = "pk_4d3c2b1a09f8e7d6c5b4a39281706f5e";

/// Swaps the caller's key for the provider's.
const SWAP: &str = "[plugins.key-auth]\nsources = [\"bearer\", \"header:X-API-Key\"]\n\
                    keys = [\"K1\"]\nhide_credentials = true\n\
                    [plugins.request-headers]\nremove = [\"X-Team\"]\n\
                    set = { Authorization = \"Bearer ${PROVIDER_KEY}\", X-Provider-Key = \"${PROVIDER_KEY}\" }\n\
                    add = { X-Tag = \"by-keygate\" }\n";

fn swapping(origin: &Origin, more: &str) -> Gate {
    let config = plugged(origin, &["key-auth", "request-headers"], &(SWAP.to_owned() + more));
    let files =
        [("keygate.toml", &*config), ("server.toml", "[server]\nlisten = \"127.0.0.1:0\"\n")];
    let env = [("PROVIDER_KEY", PROVIDER_KEY)];
    let mut gate = Gate::launch(&files, &["--config", "config"], &env);
    gate.secret(PROVIDER_KEY);
    gate.shows(&[Place::Process]);
    gate
}

/// What of a request reaches the origin; `fields` are lines of it.
#[track_caller]
fn sent(gate: &Gate, origin: &Origin, fields: &str) -> Recorded {
    let request = keyed(&format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n"));
    assert_eq!(gate.send(request).status, 200, "{fields}");
    origin.last()
}

#[test]
fn the_providers_key_takes_the_place_of_the_callers_whatever_the_caller_sends() {
    let origin = Origin::echo();
    let gate = swapping(&origin, "");
    let mut failures = Failures::new();
    for fields in [
        "Authorization: Bearer K1",
        "authorization: bearer K1",
        "X-API-Key: K1",
        "X-API-Key: K1\r\nAuthorization: Basic dTpw",
        "X-API-Key: K1\r\nAuthorization: Basic dTpw\r\nAuthorization: Digest x",
        "X-API-Key: K1\r\nX-Provider-Key: mine",
        "X-API-Key: K1\r\nX_Provider_Key: mine\r\nx.provider.key: mine\r\nX-Provider_Key: mine",
        "X-API-Key: K1\r\nConnection: authorization, X-Provider-Key, X-Tag",
        "X-API-Key: K1\r\nConnection: close, Authorization\r\nConnection: x-provider-key",
        "X-API-Key: K1\r\nConnection: ,,AUTHORIZATION,",
    ] {
        let arrived = sent(&gate, &origin, fields);
        let head = &arrived.head;
        let own = format!("Bearer {PROVIDER_KEY}");
        let right = head.values("authorization") == [own.as_str()]
            && head.values("x-provider-key") == [PROVIDER_KEY]
            && head.values("x-tag") == ["by-keygate"]
            && ["x_provider_key", "x.provider.key", "x-provider_key"].iter().all(|n| !head.has(n));
        let bytes = String::from_utf8_lossy(&arrived.bytes()).into_owned();
        failures.row(right && !bytes.contains("mine"), || format!("{fields}: {bytes}"));
    }
    failures.report();
}

#[test]
fn a_field_comes_beside_the_clients_or_goes() {
    let origin = Origin::echo();
    let gate = swapping(&origin, "");
    let arrived = sent(&gate, &origin, "X-API-Key: K1\r\nX-Tag: own\r\nX-Team: a\r\nX_Team: b");
    assert_eq!(arrived.head.values("x-tag"), ["own", "by-keygate"]);
    assert!(!arrived.head.has("x-team") && !arrived.head.has("x_team"));
}

#[test]
fn without_a_valid_key_nothing_reaches_the_provider() {
    let origin = Origin::echo();
    let gate = swapping(&origin, "");
    for fields in ["X-API-Key: wrong", "X-Provider-Key: mine", "Authorization: Bearer wrong"] {
        let request = format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{fields}\r\n\r\n");
        assert_eq!(gate.send(request).status, 401, "{fields}");
    }
    assert_eq!(origin.count(), 0);
}

#[test]
fn a_preflight_that_needed_no_key_gets_none_of_the_operators() {
    let origin = Origin::echo();
    let tables = SWAP.replace("[plugins.request", "allow_preflight = true\n[plugins.request");
    let config = plugged(&origin, &["key-auth", "request-headers"], &tables);
    let files =
        [("keygate.toml", &*config), ("server.toml", "[server]\nlisten = \"127.0.0.1:0\"\n")];
    let env = [("PROVIDER_KEY", PROVIDER_KEY)];
    let gate = Gate::launch(&files, &["--config", "config"], &env);
    let preflight = "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nOrigin: https://a.test\r\n\
                     Access-Control-Request-Method: GET\r\nX-Provider-Key: mine\r\n\r\n";
    assert_eq!(gate.send(preflight).status, 200);
    let arrived = String::from_utf8_lossy(&origin.last().bytes()).into_owned();
    assert!(!arrived.contains(PROVIDER_KEY) && !arrived.contains("mine"), "{arrived}");
}

#[test]
fn no_trailer_comes_beside_what_is_set() {
    let origin = Origin::scripted(|exchange| {
        exchange.read_body();
        exchange.reply(200, b"");
    });
    let gate = swapping(&origin, "");
    let request = "POST /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\nTE: trailers\r\n\
                   Connection: te\r\nTransfer-Encoding: chunked\r\n\
                   Trailer: x-provider-key, x-sum\r\n\r\n1\r\na\r\n0\r\nX-Provider-Key: mine\r\nx_provider_key: mine\r\nx-sum: 1\r\n\r\n";
    assert_eq!(gate.send(keyed(request)).status, 200);
    let arrived = String::from_utf8_lossy(&origin.last().bytes()).into_owned();
    assert!(arrived.contains("x-sum: 1") && !arrived.contains("mine"), "{arrived}");
}

#[test]
fn responses_are_changed_and_keygates_own_are_not() {
    let origin = Origin::answering(
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nServer: app/1.2\r\nX-Powered-By: x\r\n\
         Cache-Control: public\r\nVia: a\r\n\r\nok",
    );
    let tables = "[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\nhide_credentials = true\n\
                  [plugins.response-headers]\nremove = [\"Server\", \"X-Powered-By\"]\n\
                  set = { Cache-Control = \"no-store\" }\nadd = { Via = \"b\" }\n";
    let gate = Gate::on(&plugged(&origin, &["key-auth", "response-headers"], tables));
    let response = gate.send(keyed("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n"));
    assert_eq!((response.status, response.text().as_str()), (200, "ok"));
    let head = &response.head;
    assert!(!head.has("server") && !head.has("x-powered-by"));
    assert_eq!(head.values("cache-control"), ["no-store"]);
    assert_eq!(head.values("via"), ["a", "b"]);
    let refused = gate.send("GET /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!((refused.status, refused.head.has("via")), (401, false));
}

/// What `check` says of a plugin with this fault.
#[track_caller]
fn complaint(tables: &str, plugins: &str, env: &[(&str, &str)]) -> String {
    let config = format!(
        "[upstreams.rec]\naddrs = [\"127.0.0.1:1\"]\n[locations.all]\npath = \"/\"\n\
         upstream = \"rec\"\nplugins = [{plugins}]\n[plugins.key-auth]\nheader = \"X-API-Key\"\n\
         keys = [\"K1\"]\nhide_credentials = true\n{tables}"
    );
    let output = check(&[("keygate.toml", &keyed(&config))], env);
    let said = output.stdout + &output.stderr;
    assert!(!said.contains(PROVIDER_KEY) && !said.contains("pk_4d3c"), "{said}");
    assert_eq!(output.code, Some(1), "{said}");
    said
}

#[test]
fn no_complaint_shows_a_value() {
    let written = format!("Bearer {PROVIDER_KEY}");
    for (values, said) in [
        ("set = { Authorization = \"SECRET\", Host = \"a\" }", "`host` frames messages"),
        ("set = { Authorization = \"SECRET\", authorization = \"SECRET\" }", "there twice"),
        ("set = { Authorization = \"SECRET\\n\" }", "blanks at its ends"),
        ("set = { Authorization = \"a\\nSECRET\" }", "holds what no field can hold"),
        ("set = { Authorization = \"SECRET\" }\nadd = { Authorization = 1 }", "found an integer"),
        ("set = { \"Author ization\" = \"SECRET\" }", "no name of a header"),
        ("set = \"SECRET\"", "expected a table"),
        ("set = { \"SECRET\" = \"a\" }", "no name of a header"),
        ("set = [\"SECRET\"]", "expected a table"),
        ("sett = { Authorization = \"SECRET\" }", "unknown field"),
        ("set = { X-Consumer-Username = \"SECRET\" }", "only keygate sets"),
    ] {
        let plugins = "\"key-auth\", \"request-headers\"";
        for (value, env) in [(&*written, ""), ("Bearer ${PROVIDER_KEY}", PROVIDER_KEY)] {
            let env = if env.is_empty() { vec![] } else { vec![("PROVIDER_KEY", env)] };
            let table = format!("[plugins.request-headers]\n{}", values.replace("SECRET", value));
            let complaint = complaint(&table, plugins, &env);
            assert!(complaint.contains(said), "{values}: {complaint}");
        }
    }
}

#[test]
fn a_field_of_a_key_is_not_changed_before_it_was_read() {
    for changes in [
        "set = { X-Api-Key = \"a\" }",
        "add = { x-api-key = \"a\" }",
        "remove = [\"X_API_KEY\"]",
        "remove = [\"X-API-Key\"]",
    ] {
        let table = format!("[plugins.request-headers]\n{changes}\n");
        let said = complaint(&table, "\"request-headers\", \"key-auth\"", &[]);
        assert!(said.contains("changes a field in which `key-auth` looks"), "{changes}: {said}");
        assert!(said.contains("keygate.toml:6:12"), "{changes}: {said}");
        let config = format!(
            "[upstreams.rec]\naddrs = [\"127.0.0.1:1\"]\n[locations.all]\npath = \"/\"\n\
             upstream = \"rec\"\nplugins = [\"key-auth\", \"request-headers\"]\n\
             [plugins.key-auth]\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\nhide_credentials = true\n{table}"
        );
        let output = check(&[("keygate.toml", &keyed(&config))], &[]);
        assert_eq!(output.code, Some(0), "{changes}: {output:?}");
    }
}
