//! `rate-limit`: how many requests reach the origin, counted there, and what the others are told.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use keygate::config::{self, Environment};
use keygate::head::RequestHead;
use keygate::keys::digest::Digest;
use keygate::plan;
use keygate::plugin::Cx;

use crate::reload::LISTEN;
use crate::support::reference::{K1, K2, keyed, plugged};
use crate::support::{Gate, Origin, Response, pause, wait_until};

/// A request from whom a trusted proxy says.
fn from(client: &str) -> String {
    format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {client}\r\n\r\n")
}

const TRUSTING: &str =
    "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\ntrusted_proxies = [\"127.0.0.0/8\"]\n";

/// A gate with one plugin `rate-limit` on an open location, with this `[server]` table.
#[track_caller]
fn limited(origin: &Origin, settings: &str, server: &str) -> Gate {
    let table = format!("[plugins.rate-limit]\n{settings}\n");
    let config = plugged(origin, &["rate-limit"], &table);
    Gate::with(&[("keygate.toml", &config), ("server.toml", server)])
}

/// Fifty clients on all cores send 1,000 requests a second for five seconds, and each second the
/// origin gets 100 of them. It gets them together at the beginning of a second, so where seconds
/// begin in between, an origin or a machine that is slow by a third of one changes no count; 2 % is
/// what may be lost where a client is late.
#[test]
fn a_rate_is_kept_in_every_second_under_ten_times_the_load() {
    const SECONDS: u32 = 5;
    let arrived = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&arrived);
    let origin = Origin::scripted(move |exchange| {
        noted.lock().unwrap().push(Instant::now());
        exchange.reply(200, b"");
    });
    let server = "[server]\nlisten = \"127.0.0.1:0\"\n";
    let gate = limited(&origin, "rate = \"100/1s\"\nby = \"location\"", server);
    let (stop, sent, passed) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..50 {
            scope.spawn(|| {
                let mut client = gate.client();
                while !stop.load(Ordering::SeqCst) {
                    let response = client.send(from("192.0.2.1")).response();
                    assert!([200, 429].contains(&response.status), "{}", response.status);
                    passed.fetch_add(usize::from(response.status == 200), Ordering::SeqCst);
                    sent.fetch_add(1, Ordering::SeqCst);
                    pause(Duration::from_millis(48));
                }
            });
        }
        pause(Duration::from_secs(SECONDS.into()));
        stop.store(true, Ordering::SeqCst);
    });
    let arrived = arrived.lock().unwrap();
    assert_eq!(passed.load(Ordering::SeqCst), arrived.len());
    assert!(sent.load(Ordering::SeqCst) > 2 * arrived.len(), "{sent:?}: the load was too small");
    let first = arrived.iter().min().unwrap();
    let counts = (0..SECONDS - 1).map(|second| {
        let begin = Duration::from_secs(second.into());
        let [begin, end] = [0, 1000].map(|millis| begin + Duration::from_millis(millis));
        // A third of a second before the requests of this second come.
        let since = |at: &&Instant| **at + Duration::from_millis(333) - *first;
        arrived.iter().filter(|at| (begin..end).contains(&since(at))).count()
    });
    let counts: Vec<_> = counts.collect();
    assert!(counts.iter().all(|count| (98..=102).contains(count)), "{counts:?}");
}

#[track_caller]
fn check(response: &Response, status: u16, remaining: &str) {
    let limit = response.value("RateLimit").split(";t=").next().unwrap_or_default();
    assert_eq!((response.status, limit), (status, remaining));
}

#[test]
fn clients_are_told_how_they_stand() {
    let origin = Origin::echo();
    let gate = limited(&origin, "rate = \"2/30s\"", LISTEN);
    let first = gate.send(from("192.0.2.1"));
    check(&first, 200, "\"client\";r=1");
    assert_eq!(first.value("RateLimit-Policy"), "\"client\";q=2;w=30");
    check(&gate.send(from("192.0.2.1")), 200, "\"client\";r=0");
    let refused = gate.send(from("192.0.2.1"));
    check(&refused, 429, "\"client\";r=0");
    assert_eq!(refused.value("RateLimit-Policy"), "\"client\";q=2;w=30");
    assert_eq!(refused.text(), "Too many requests");
    let wait: u64 = refused.value("Retry-After").parse().expect("it is a number");
    assert!((20..=30).contains(&wait), "{wait}");
    assert!(!refused.head.has("x-should-retry"));
    let grpc = "POST /x HTTP/1.1\r\nHost: a.test\r\nContent-Type: application/grpc\r\n\
                Content-Length: 0\r\n\r\n";
    assert_eq!(gate.send(grpc).value("grpc-status"), "8");
    assert_eq!(origin.count(), 2);
}

#[test]
fn where_waiting_does_not_help_soon_clients_are_told_not_to_try_again() {
    let origin = Origin::echo();
    let gate = limited(&origin, "rate = \"1/1h\"", LISTEN);
    assert_eq!(gate.send(from("192.0.2.1")).status, 200);
    let refused = gate.send(from("192.0.2.1"));
    assert_eq!((refused.status, refused.value("x-should-retry")), (429, "false"));
}

#[test]
fn who_says_to_be_another_client_is_counted_as_the_one_that_connects() {
    let origin = Origin::echo();
    let gate = limited(&origin, "rate = \"2/1h\"", LISTEN);
    for (client, expected) in [("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.3", 429)] {
        assert_eq!(gate.send(from(client)).status, expected, "{client}");
    }
}

#[test]
fn each_client_of_a_trusted_proxy_has_a_limit_of_its_own() {
    let origin = Origin::echo();
    let gate = limited(&origin, "rate = \"1/1h\"", TRUSTING);
    for (client, expected) in [
        ("192.0.2.1", 200),
        ("192.0.2.1", 429),
        ("192.0.2.2", 200),
        ("::ffff:192.0.2.2", 429),
        ("2001:db8::1", 200),
        ("2001:db8::ffff:1", 429),
        ("2001:db8:0:1::1", 200),
        // What a client wrote itself stands before what the proxy wrote.
        ("198.51.100.1, 192.0.2.1", 429),
    ] {
        assert_eq!(gate.send(from(client)).status, expected, "{client}");
    }
}

/// Two keys, in a header or in the query.
const KEY_AUTH: &str = "[plugins.key-auth]\nsources = [\"header:X-API-Key\", \"query:api_key\"]\n\
                        keys = [\"K1\", \"K2\"]\nhide_credentials = true\n";

#[test]
fn a_key_is_one_count_wherever_it_stands_and_whatever_is_removed() {
    let origin = Origin::echo();
    for by in ["key", "consumer"] {
        let tables = format!("{KEY_AUTH}[plugins.rate-limit]\nrate = \"2/1h\"\nby = \"{by}\"\n");
        let gate = Gate::on(&plugged(&origin, &["key-auth", "rate-limit"], &tables));
        let header =
            |key: &str| format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n");
        let query = |key: &str| format!("GET /x?api_key={key} HTTP/1.1\r\nHost: a.test\r\n\r\n");
        for (request, expected) in [
            (header(K1), 200),
            (header("wrong"), 401),
            (query(K1), 200),
            (header(K1), 429),
            (query(K1), 429),
            (header(K2), 200),
            (query("wrong"), 401),
            (query(K2), 200),
            (query(K2), 429),
        ] {
            assert_eq!(gate.send(&request).status, expected, "{by}: {request}");
        }
    }
}

#[test]
fn two_keys_of_one_consumer_share_what_counts_by_consumer() {
    let origin = Origin::echo();
    let record = |id: &str, key: &str| {
        let hash = Digest::of(key.as_bytes()).written();
        format!("[[key]]\nid = \"{id}\"\nconsumer = \"anna\"\nhash = \"{hash}\"\n")
    };
    let records = record("a", K1) + &record("b", K2);
    for (by, second) in [("consumer", 429), ("key", 200)] {
        let tables = format!(
            "[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys_file = \"keys.toml\"\n\
             hide_credentials = true\n[plugins.rate-limit]\nrate = \"1/1h\"\nby = \"{by}\"\n"
        );
        let config = plugged(&origin, &["key-auth", "rate-limit"], &tables);
        let files = [("keygate.toml", &*config), ("server.toml", LISTEN), ("keys.toml", &records)];
        let gate = Gate::with(&files);
        let status = |key: &str| {
            gate.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: {key}\r\n\r\n")).status
        };
        assert_eq!((status(K1), status(K1), status(K2)), (200, 429, second), "{by}");
    }
}

#[test]
fn preflights_without_a_key_count_by_their_client() {
    let origin = Origin::echo();
    for by in ["key", "consumer"] {
        let tables = format!(
            "{KEY_AUTH}allow_preflight = true\n\
             [plugins.rate-limit]\nrate = \"2/1h\"\nby = \"{by}\"\n"
        );
        let config = plugged(&origin, &["key-auth", "rate-limit"], &tables);
        let gate = Gate::with(&[("keygate.toml", &config), ("server.toml", TRUSTING)]);
        let preflight = |client: &str, origin: &str| {
            gate.send(format!(
                "OPTIONS /x HTTP/1.1\r\nHost: a.test\r\nX-Forwarded-For: {client}\r\n\
                 Origin: {origin}\r\nAccess-Control-Request-Method: GET\r\n\r\n"
            ))
        };
        check(&preflight("192.0.2.1", "https://a.test"), 200, "\"client\";r=1");
        check(&preflight("192.0.2.1", "https://b.test"), 200, "\"client\";r=0");
        check(&preflight("192.0.2.1", "https://c.test"), 429, "\"client\";r=0");
        // Who has used up what one gets keeps out nobody else, and no key.
        check(&preflight("192.0.2.2", "https://a.test"), 200, "\"client\";r=1");
        let with_key = keyed("GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n");
        assert_eq!(gate.send(with_key).status, 200);
    }
}

#[test]
fn of_several_limits_the_strictest_is_told() {
    let origin = Origin::echo();
    let tables = "[plugins.rate-limit-a]\nrate = \"9/1m\"\n\
                  [plugins.rate-limit-b]\nrate = \"3/1h\"\nby = \"location\"\n\
                  [plugins.rate-limit-c]\nrate = \"7/1m\"\n";
    let plugins = ["rate-limit-a", "rate-limit-b", "rate-limit-c"];
    let gate = Gate::on(&plugged(&origin, &plugins, tables));
    let response = gate.send(from("192.0.2.1"));
    check(&response, 200, "\"location\";r=2");
    assert_eq!(response.head.values("RateLimit").len(), 1);
}

#[test]
fn a_limit_goes_on_over_a_reload_that_leaves_it_as_it_is() {
    let origin = Origin::echo();
    let config = |rate: &str, path: &str| {
        let table = format!("[plugins.rate-limit]\nrate = \"{rate}\"\nby = \"location\"\n");
        let more = format!(
            "[locations.a-new-one]\npath = \"{path}\"\nupstream = \"rec\"\npublic = true\n"
        );
        // The new location stands first, so that the other one has another number.
        more + &plugged(&origin, &["rate-limit"], &table)
    };
    let gate = Gate::with(&[("keygate.toml", &config("2/1h", "/one/")), ("server.toml", LISTEN)]);
    let status =
        |path: &str| gate.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).status;
    assert_eq!((status("/"), status("/two/"), status("/")), (200, 200, 429));
    gate.write("keygate.toml", &config("2/1h", "/two/"));
    gate.signal("HUP");
    wait_until("the new location is there", || status("/two/") == 200);
    assert_eq!(status("/"), 429, "what was used is not forgotten");
    gate.write("keygate.toml", &config("3/1h", "/two/"));
    gate.signal("HUP");
    wait_until("the new limit counts anew", || status("/") == 200);
}

#[test]
fn a_path_that_may_be_for_two_locations_is_not_counted_for_one_of_them() {
    let origin = Origin::echo();
    let table = "[plugins.rate-limit]\nrate = \"9/1h\"\nby = \"location\"\n\
                 [locations.inner]\npath = \"/inner/\"\nupstream = \"rec\"\npublic = true\n\
                 plugins = [\"rate-limit\"]\n";
    let gate = Gate::on(&plugged(&origin, &["rate-limit"], table));
    let status =
        |path: &str| gate.send(format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n")).status;
    assert_eq!((status("/inner/x"), status("/x")), (200, 200));
    assert_eq!(status("/x/../inner/x"), 400);
    assert_eq!(status("/%69nner/x"), 400);
}

#[test]
fn many_networks_take_little_memory_each() {
    const NETWORKS: u32 = 6000;
    const AT_ONCE: u32 = 500;
    let origin = Origin::echo();
    let tables = "[plugins.rate-limit]\nrate = \"1/1h\"\n\
                  [plugins.ip-restriction]\nallow = [\"192.0.2.1\"]\n";
    let config = plugged(&origin, &["rate-limit", "ip-restriction"], tables);
    let gate = Gate::with(&[("keygate.toml", &config), ("server.toml", TRUSTING)]);
    assert_eq!(gate.send(from("192.0.2.1")).status, 200);
    let before = gate.memory_kib();
    let mut client = gate.client();
    for first in (0..NETWORKS).step_by(AT_ONCE as usize) {
        let networks = first..first + AT_ONCE;
        let requests = networks.map(|network| from(&format!("2001:db8:0:{network:x}::1")));
        client.send(requests.collect::<String>());
        assert!((0..AT_ONCE).all(|_| client.response().status == 403));
    }
    let grown = gate.memory_kib().saturating_sub(before);
    assert!(grown < u64::from(NETWORKS), "{grown} KiB for {NETWORKS} networks");
    assert_eq!(gate.send(from("192.0.2.1")).status, 429);
}

/// As many networks as a provider's has, and more than are remembered, through the plugin of a
/// plan.
#[test]
fn who_comes_from_more_networks_than_are_remembered_keeps_nobody_else_out() {
    const NETWORKS: u32 = 131_072;
    const PROVIDER: u32 = 0x2001_0db8;
    let folder = tempfile::tempdir().expect("there is room");
    let path = folder.path().join("keygate.toml");
    let config = "[upstreams.a]\naddrs = [\"127.0.0.1:1\"]\n[plugins.rate-limit]\n\
                  rate = \"1/1h\"\n[locations.a]\npath = \"/\"\nupstream = \"a\"\n\
                  public = true\nplugins = [\"rate-limit\"]\n";
    std::fs::write(&path, config).expect("it can be written");
    let config = config::load(&path, &Environment::default()).expect("it is right");
    let plan = plan::compile(&config, None).expect("it is right");
    let plugin = plan.plugin("rate-limit").expect("it is there");
    let start = Instant::now();
    let passes = |client: IpAddr, at: Instant| {
        let mut cx = Cx::new(Some(client), at, SystemTime::now());
        plugin.request(&mut RequestHead::default(), &mut cx).is_continue()
    };
    let v6 = |provider: u32, network: u32| {
        let address = (u128::from(provider) << 96) | (u128::from(network) << 64);
        IpAddr::V6(address.into())
    };
    let passed = (0..NETWORKS).filter(|network| passes(v6(PROVIDER, *network), start)).count();
    // For the rest of them there are two networks of 48 bits.
    assert_eq!(passed, 32_768 + 2);
    for other in 1..=5000 {
        assert!(passes(v6(PROVIDER + other, 0), start), "another provider's");
        assert!(passes(IpAddr::V4((other << 8).into()), start), "one of IPv4");
    }
    let later = start + Duration::from_secs(3599);
    assert!(!(0..NETWORKS).any(|network| passes(v6(PROVIDER, network), later)));
    let free = start + Duration::from_secs(3601);
    assert!((NETWORKS..NETWORKS + 1000).all(|network| passes(v6(PROVIDER, network), free)));
}
