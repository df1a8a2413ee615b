//! What is counted, and how it is told.

use std::collections::BTreeSet;
use std::process::Command;

use crate::support::admin::ADMIN;
use crate::support::reference::{K1, K2, keyed, one_location, reference, upstream};
use crate::support::tls::Authority;
use crate::support::{Gate, Origin, Signal, wait_until};

/// The reference configuration, which tells about itself.
#[track_caller]
fn told(origin: &Origin) -> Gate {
    Gate::on(&(reference(origin) + ADMIN))
}

/// A request with these fields, where `K1` and `K2` stand for keys.
pub(crate) fn get(path: &str, key: &str) -> String {
    keyed(&format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{key}\r\n"))
}

/// The series of decisions.
fn decided(location: &str, result: &str) -> String {
    format!("keygate_decisions_total{{location=\"{location}\",result=\"{result}\"}}")
}

/// The series of how many requests were answered so.
fn answered(method: &str, status: &str, location: &str) -> String {
    format!(
        "http_server_request_duration_seconds_count{{http_request_method=\"{method}\",\
         http_response_status_code=\"{status}\",http_route=\"{location}\"}}"
    )
}

#[test]
fn every_request_is_counted_by_what_came_of_it() {
    let origin = Origin::echo();
    let gate = told(&origin);
    for (request, series) in [
        (get("/api/v1/x", "X-API-Key: K1\r\n"), ("hdr", "allowed", "GET", "200")),
        (get("/api/v1/x", ""), ("hdr", "missing_api_key", "GET", "401")),
        (get("/api/v1/x", "X-API-Key: wrong\r\n"), ("hdr", "invalid_api_key", "GET", "401")),
        (get("/public/x", ""), ("open", "allowed", "GET", "200")),
        (get("/nowhere", ""), ("", "not_found", "GET", "404")),
        (get("/public/x", "").replace("GET", "BREW"), ("open", "allowed", "_OTHER", "200")),
        ("GET /x HTTP/1.1\r\n\r\n".to_owned(), ("", "bad_request", "GET", "400")),
        ("\u{1}\r\n\r\n".to_owned(), ("", "bad_request", "_OTHER", "400")),
    ] {
        let (location, result, method, status) = series;
        let before = gate.metrics();
        let before = |series: &str| before.value(series).unwrap_or(0.0);
        let response = gate.send(&request);
        assert_eq!(response.status.to_string(), status, "{request}");
        for series in [decided(location, result), answered(method, status, location)] {
            gate.wait_for_metric(&series, before(&series) + 1.0);
        }
    }
    let scrape = gate.metrics();
    let sum = |name: &str| -> f64 {
        scrape.series().filter(|(series, _)| series.starts_with(name)).map(|(_, n)| n).sum()
    };
    assert_eq!(sum("keygate_decisions_total"), 8.0);
    assert_eq!(sum("http_server_request_duration_seconds_count"), 8.0);
    let first_bytes = "keygate_upstream_time_to_first_byte_seconds_count{upstream=\"rec\"}";
    assert_eq!(scrape.value(first_bytes), Some(3.0));
}

#[test]
fn requests_over_http2_are_counted_as_others_are() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let ask = |path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--http2-prior-knowledge", "--output", "/dev/null"]);
        let status = curl.arg(format!("http://{}{path}", gate.address)).status();
        assert!(status.is_ok_and(|status| status.success()), "curl fails");
    };
    ask("/public/x");
    ask("/api/v1/x");
    gate.wait_for_metric(&decided("open", "allowed"), 1.0);
    gate.wait_for_metric(&answered("GET", "200", "open"), 1.0);
    gate.wait_for_metric(&decided("hdr", "missing_api_key"), 1.0);
    gate.wait_for_metric("http_server_active_requests{http_route=\"open\"}", 0.0);
}

#[test]
fn an_upstream_that_fails_is_counted_as_that() {
    let origin = Origin::scripted(|exchange| exchange.close());
    let gate = told(&origin);
    assert_eq!(gate.send(get("/public/x", "")).status, 502);
    gate.wait_for_metric(&decided("open", "bad_gateway"), 1.0);
    assert_eq!(gate.metrics().value(&decided("open", "allowed")), Some(0.0));
}

#[test]
fn an_address_that_is_passed_over_is_told() {
    let origin = Origin::echo();
    // Nobody listens there: what is bound and does not listen refuses connections.
    let dead = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    dead.bind(&any.into()).expect("there is a free port");
    let dead = dead.local_addr().ok().and_then(|address| address.as_socket()).expect("it is bound");
    let upstream = format!("[upstreams.rec]\naddrs = [\"{}\", \"{dead}\"]\n", origin.address);
    let gate = Gate::on(&(upstream + &one_location("header = \"X-API-Key\"\n", ADMIN)));
    let up = |address: std::net::SocketAddr| {
        format!("keygate_upstream_address_up{{upstream=\"rec\",address=\"{address}\"}}")
    };
    let ejected = |address: std::net::SocketAddr| {
        format!("keygate_upstream_ejections_total{{upstream=\"rec\",address=\"{address}\"}}")
    };
    let scrape = gate.metrics();
    let values = [up(origin.address), up(dead), ejected(dead)].map(|series| scrape.value(&series));
    assert_eq!(values, [Some(1.0), Some(1.0), Some(0.0)], "{}", scrape.0);
    wait_until("it is passed over", || {
        assert_eq!(gate.send(get("/x", "X-API-Key: K1\r\n")).status, 200);
        gate.metrics().value(&up(dead)) == Some(0.0)
    });
    let scrape = gate.metrics();
    assert_eq!(scrape.value(&up(origin.address)), Some(1.0));
    assert!(scrape.value(&ejected(dead)) >= Some(1.0));
    assert_eq!(scrape.value(&ejected(origin.address)), Some(0.0));
}

#[test]
fn who_leaves_before_the_answer_to_a_wrong_key_is_counted_as_refused() {
    let origin = Origin::echo();
    let gate = Gate::on(
        &(upstream(&origin) + &one_location("header = \"X-API-Key\"\ndelay = \"20s\"\n", ADMIN)),
    );
    let mut client = gate.client();
    client.send(get("/x", "X-API-Key: wrong\r\n"));
    gate.wait_for_metric("http_server_active_requests{http_route=\"all\"}", 1.0);
    drop(client);
    gate.wait_for_metric(&decided("all", "invalid_api_key"), 1.0);
    gate.wait_for_metric(&answered("GET", "499", "all"), 1.0);
    gate.wait_for_metric("http_server_active_requests{http_route=\"all\"}", 0.0);
}

#[test]
fn a_request_is_active_until_its_answer_has_ended() {
    let more = Signal::new();
    let wait = more.clone();
    let origin = Origin::scripted(move |exchange| {
        exchange.write("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n1234");
        wait.wait();
        exchange.write("5678");
    });
    let gate = told(&origin);
    let mut client = gate.client();
    client.send(get("/public/x", ""));
    client.until(b"1234");
    let active = "http_server_active_requests{http_route=\"open\"}";
    gate.wait_for_metric(active, 1.0);
    let first_bytes = "keygate_upstream_time_to_first_byte_seconds_count{upstream=\"rec\"}";
    gate.wait_for_metric(first_bytes, 1.0);
    assert_eq!(gate.metrics().value(&answered("GET", "200", "open")), None);
    more.give();
    gate.wait_for_metric(active, 0.0);
    gate.wait_for_metric(&answered("GET", "200", "open"), 1.0);
}

/// A keys file with this many keys, of which `K1` and `K2` are the first two.
pub(crate) fn keys_file(count: usize) -> String {
    let strangers = (2..count).map(|n| format!("stranger-{n}"));
    let keys = [K1.to_owned(), K2.to_owned()].into_iter().chain(strangers);
    let record = |(n, key): (usize, String)| {
        let digest = keygate::keys::digest::Digest::of(key.as_bytes()).written();
        format!("[[key]]\nid = \"key-{n}\"\nconsumer = \"team-{}\"\nhash = \"{digest}\"\n", n % 2)
    };
    keys.enumerate().map(record).collect()
}

/// A gate that asks for keys of a file.
#[track_caller]
pub(crate) fn with_keys_file(origin: &Origin, keys: &str, admin: &str) -> Gate {
    with_keys_file_and(origin, keys, admin, &[])
}

/// The same with these variables.
#[track_caller]
pub(crate) fn with_keys_file_and(
    origin: &Origin,
    keys: &str,
    admin: &str,
    env: &[(&str, &str)],
) -> Gate {
    let plugin = "max_connections = 100\n[plugins.key-auth]\nheader = \"X-API-Key\"\nkeys_file = \"keys.toml\"\n\
                  hide_credentials = true\n[locations.all]\npath = \"/\"\nupstream = \"rec\"\n\
                  plugins = [\"key-auth\"]\n";
    // In the clear, with a certificate for whom that is not enough.
    let server = "[server]\nlisten = \"http://127.0.0.1:0\"\nworkers = 2\n[server.tls]\n\
                  certificates = [{ cert = \"site.pem\", key = \"site.key\" }]\n";
    let site = Authority::new().issue(&["localhost"]);
    let files = [
        ("keygate.toml", &*(upstream(origin) + plugin + admin)),
        ("keys.toml", keys),
        ("server.toml", server),
        ("site.pem", &site.cert),
        ("site.key", &site.key),
    ];
    Gate::launch(&files, &["--config", "config"], env)
}

fn of_key(id: &str, consumer: &str) -> String {
    format!("keygate_key_requests_total{{key_id=\"{id}\",consumer=\"{consumer}\"}}")
}

#[test]
fn requests_are_counted_by_key_for_so_many_keys() {
    let origin = Origin::echo();
    let gate = with_keys_file(&origin, &keys_file(5), &format!("{ADMIN}counted_keys = 2\n"));
    let ask = |key: &str| gate.send(get("/x", &format!("X-API-Key: {key}\r\n"))).status;
    // Each comes to every worker in turn.
    for _ in 0..4 {
        assert_eq!((ask(K1), ask("stranger-3"), ask(K2), ask("stranger-4")), (200, 200, 200, 200));
    }
    gate.wait_for_metric(&of_key("key-0", "team-0"), 4.0);
    gate.wait_for_metric(&of_key("key-3", "team-1"), 4.0);
    gate.wait_for_metric(&of_key("(others)", "(others)"), 8.0);
    let scrape = gate.metrics();
    assert_eq!(scrape.0.matches("\nkeygate_key_requests_total{").count(), 3, "{}", scrape.0);
}

#[test]
fn no_key_is_named_where_none_is_to_be() {
    let origin = Origin::echo();
    let gate = with_keys_file(&origin, &keys_file(3), &format!("{ADMIN}counted_keys = 0\n"));
    assert_eq!(gate.send(get("/x", "X-API-Key: K1\r\n")).status, 200);
    gate.wait_for_metric(&decided("all", "allowed"), 1.0);
    assert!(!gate.metrics().0.contains("key-0"));
}

#[test]
fn keys_are_counted_by_their_state_as_the_file_is_now() {
    let origin = Origin::echo();
    let state = |state: &str| format!("keygate_keys{{plugin=\"key-auth\",state=\"{state}\"}}");
    let gate = with_keys_file(&origin, &keys_file(4), ADMIN);
    let scrape = gate.metrics();
    assert_eq!(scrape.value(&state("valid")), Some(4.0));
    assert!(!scrape.0.contains("\nkeygate_key_expiry"), "{}", scrape.0);
    let states = ["expires = 2099-01-01T00:00:00Z", "expires = 2001-01-01T00:00:00Z"];
    let more = ["disabled = true", "not_before = 2099-01-01T00:00:00Z"];
    let states = [states, more].concat();
    let mut lines = states.iter().cycle();
    let keys = keys_file(4).replace("consumer", "STATE\nconsumer");
    let keys: String = keys
        .split("STATE")
        .enumerate()
        .map(|(n, part)| match n {
            0 => part.to_owned(),
            _ => format!("{}{part}", lines.next().expect("it goes on")),
        })
        .collect();
    gate.write("keys.toml", &keys);
    for name in ["valid", "expired", "disabled", "not_yet"] {
        gate.wait_for_metric(&state(name), 1.0);
    }
    let expiry = "keygate_key_expiry_timestamp_seconds{plugin=\"key-auth\",key_id=\"key-0\",\
                  consumer=\"team-0\"}";
    assert_eq!(gate.metrics().value(expiry), Some(4_070_908_800.0));
}

#[test]
fn counts_go_on_over_reloads_and_a_location_takes_its_own_along() {
    let origin = Origin::echo();
    let files = |name: &str| {
        let other =
            format!("[locations.{name}]\npath = \"/q/\"\nupstream = \"rec\"\npublic = true\n");
        upstream(&origin) + &one_location("header = \"X-API-Key\"\n", "") + &other + ADMIN
    };
    let gate = Gate::on(&files("old"));
    let ask = |path: &str| gate.send(get(path, "X-API-Key: K1\r\n")).status;
    assert_eq!((ask("/x"), ask("/q/x")), (200, 200));
    gate.wait_for_metric(&decided("all", "allowed"), 1.0);
    gate.wait_for_metric(&decided("old", "allowed"), 1.0);
    gate.write("keygate.toml", &files("new"));
    gate.wait_for_metric(&decided("new", "allowed"), 0.0);
    let scrape = gate.metrics();
    assert_eq!(scrape.value(&decided("all", "allowed")), Some(1.0));
    assert_eq!(scrape.value(&decided("old", "allowed")), None, "{}", scrape.0);
    // A worker takes over a new plan when it next looks around.
    wait_until("the new location counts", || {
        assert_eq!((ask("/x"), ask("/q/x")), (200, 200));
        gate.metrics().value(&decided("new", "allowed")) > Some(0.0)
    });
    assert!(gate.metrics().value(&decided("all", "allowed")) > Some(1.0));
}

#[test]
fn a_reload_that_is_refused_is_told_until_one_succeeds() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let (success, time) = (
        "keygate_config_last_reload_successful",
        "keygate_config_last_reload_success_timestamp_seconds",
    );
    let good = reference(&origin) + ADMIN;
    let started = gate.metrics().value(time);
    assert_eq!(gate.metrics().value(success), Some(1.0));
    gate.write("keygate.toml", &format!("{good}nonsense = 1\n"));
    gate.wait_for_metric(success, 0.0);
    assert_eq!(gate.metrics().value(time), started);
    gate.write("keygate.toml", &good);
    gate.wait_for_metric(success, 1.0);
    assert!(gate.metrics().value(time) > started);
}

#[test]
fn keys_that_cannot_be_read_are_a_reload_that_was_refused() {
    let origin = Origin::echo();
    let gate = with_keys_file(&origin, &keys_file(2), ADMIN);
    gate.write("keys.toml", "[[key]]\nid = 1\n");
    gate.wait_for_metric("keygate_config_last_reload_successful", 0.0);
    gate.write("keys.toml", &keys_file(2));
    gate.wait_for_metric("keygate_config_last_reload_successful", 1.0);
}

#[test]
fn connections_are_counted() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let clients: Vec<_> = (0..3).map(|_| gate.client()).collect();
    gate.wait_for_metric("keygate_connections", 3.0);
    gate.wait_for_metric("keygate_connections_accepted_total", 3.0);
    drop(clients);
    gate.wait_for_metric("keygate_connections", 0.0);
    gate.wait_for_metric("keygate_connections_accepted_total", 3.0);
}

#[test]
fn connections_that_make_room_are_counted() {
    let origin = Origin::echo();
    let server = "[server]\nlisten = \"127.0.0.1:0\"\nmax_connections = 2\n";
    let gate =
        Gate::with(&[("keygate.toml", &(reference(&origin) + ADMIN)), ("server.toml", server)]);
    let mut clients: Vec<_> = (0..5).map(|_| gate.client()).collect();
    let last = clients.last_mut().expect("there are some");
    assert_eq!(last.send(get("/public/x", "")).response().status, 200);
    gate.wait_for_metric("keygate_connections_evicted_total", 3.0);
    gate.wait_for_metric("keygate_connections_accepted_total", 5.0);
}

#[test]
fn lines_that_are_lost_are_counted() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let held = gate.stdout.hold();
    let long = get(&format!("/public/{}", "x".repeat(16_000)), "");
    let lost = "keygate_log_lines_dropped_total{log=\"access\"}";
    let mut client = gate.client();
    // What the reader, the pipe and the writer's queue take is bounded: 8 MiB and a little.
    let mut count = 0;
    while gate.metrics().value(lost) == Some(0.0) {
        for _ in 0..200 {
            assert_eq!(client.send(&long).response().status, 200);
        }
        count += 200;
        assert!(count < 20_000, "no line was lost");
    }
    drop(held);
}

#[test]
fn nothing_that_a_client_sends_becomes_a_label() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let mut client = gate.client();
    let name = |line: &str| line.rsplit_once(' ').map(|(series, _)| series.to_owned());
    let series = || -> BTreeSet<String> { gate.metrics().0.lines().filter_map(name).collect() };
    // One request of every kind makes all series that there will be.
    let kind = |n: usize| match n % 5 {
        0 => get(&format!("/public/canary-{n}?canary-{n}"), ""),
        1 => get(&format!("/canary-{n}"), ""),
        2 => get(&format!("/api/v1/canary-{n}"), &format!("X-API-Key: canary-{n}\r\n")),
        3 => get("/public/x", "").replace("GET", &format!("CANARY{n}")),
        _ => get("/public/x", &format!("Host: canary-{n}.test\r\nX-Request-Id: canary-{n}\r\n"))
            .replacen("Host: a.test\r\n", "", 1),
    };
    let mut ask = |n| assert_ne!(client.send(kind(n)).response().status, 0);
    (0..5).for_each(&mut ask);
    gate.wait_for_metric(&answered("GET", "404", ""), 1.0);
    gate.wait_for_metric(&answered("GET", "200", "open"), 2.0);
    let first = series();
    (5..1_000).for_each(&mut ask);
    gate.wait_for_metric(&answered("GET", "404", ""), 200.0);
    let last = series();
    assert_eq!(last.difference(&first).collect::<Vec<_>>(), [""; 0]);
    let text = gate.metrics().0.to_lowercase();
    assert!(!text.contains("canary") && !text.contains("a.test"), "{text}");
}

#[test]
fn a_status_that_only_an_upstream_knows_has_no_series_of_its_own() {
    let origin = Origin::scripted(|exchange| {
        let target = exchange.request.second_word().to_owned();
        let status = target.trim_start_matches("/public/").parse().expect("a status");
        exchange.reply(status, b"");
    });
    let gate = told(&origin);
    for status in [210, 299, 555, 999, 204] {
        assert_eq!(gate.send(get(&format!("/public/{status}"), "")).status, status);
    }
    gate.wait_for_metric(&answered("GET", "_OTHER", "open"), 4.0);
    gate.wait_for_metric(&answered("GET", "204", "open"), 1.0);
}

#[test]
fn a_scraper_gets_the_format_that_it_asks_for() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let ask = |accept: &str| {
        let request = format!("GET /metrics HTTP/1.1\r\nHost: a\r\nAccept: {accept}\r\n\r\n");
        gate.admin_client().send(request).response()
    };
    let (plain, open) = (ask("text/plain"), ask("application/openmetrics-text;version=1.0.0"));
    let kind = |response: &crate::support::Response| {
        response.head.value("content-type").unwrap_or_default().to_owned()
    };
    assert_eq!(kind(&plain), "text/plain; version=0.0.4; charset=utf-8");
    assert!(!plain.body.ends_with(b"# EOF\n"));
    let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(kind(&open), expected);
    assert!(open.body.ends_with(b"# EOF\n"));
}

#[test]
fn what_the_process_uses_is_what_the_kernel_says() {
    let origin = Origin::echo();
    let gate = told(&origin);
    let scrape = gate.metrics();
    let value = |name: &str| scrape.value(name).unwrap_or_else(|| panic!("there is no {name}"));
    let memory = gate.memory_kib() as f64 * 1024.0;
    let told = value("process_resident_memory_bytes");
    assert!((0.5..2.0).contains(&(told / memory)), "{told} of {memory}");
    // The connection that asks, and the files that are read for the answer, come and go.
    let open = value("process_open_fds");
    assert!((open - gate.open_files() as f64).abs() <= 3.0, "{open} of {}", gate.open_files());
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let age = now.expect("it is after 1970").as_secs_f64() - value("process_start_time_seconds");
    assert!((-2.0..600.0).contains(&age), "{age} s old");
    assert!(value("process_cpu_seconds_total") < 60.0);
    assert!(value("process_threads") >= 3.0);
}

/// The page that lists all metrics.
const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/metrics.md"));

/// A metric as the page describes it, or a gate: its name, its type and its labels.
type Metric = (String, String, BTreeSet<String>);

/// The rows of the page's table.
fn described() -> BTreeSet<Metric> {
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")));
    let metrics = cells.map(|mut cells| {
        let (name, kind) = (cells.nth(1).unwrap_or_default(), cells.next().unwrap_or_default());
        let labels = cells.next().unwrap_or_default();
        let labels = labels.split(", ").filter(|label| !label.is_empty()).map(str::to_owned);
        (name, kind, labels.collect())
    });
    metrics.collect()
}

/// What a gate tells.
fn told_by(scrape: &str) -> BTreeSet<Metric> {
    let types = scrape.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let metrics = types.map(|line| {
        let (name, kind) = line.split_once(' ').expect("a type has a name");
        let ends = ["", "_bucket", "_sum", "_count"].map(|end| format!("{name}{end}"));
        let samples = scrape.lines().filter(|line| !line.starts_with('#'));
        let own = samples.filter(|line| {
            let end = line.find(['{', ' ']).expect("a sample has a value");
            ends.iter().any(|name| *name == line[..end])
        });
        let labels = own.flat_map(|line| {
            let labels = line.split_once('{').map_or("", |(_, rest)| rest);
            let names = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0));
            names.filter(|name| *name != "le").map(str::to_owned).collect::<Vec<_>>()
        });
        (name.to_owned(), kind.to_owned(), labels.collect())
    });
    metrics.collect()
}

#[test]
fn the_page_lists_every_metric_with_its_labels() {
    let origin = Origin::echo();
    let keys = keys_file(1).replace("consumer", "expires = 2099-01-01T00:00:00Z\nconsumer");
    let more = [("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")];
    let gate = with_keys_file_and(&origin, &keys, ADMIN, &more);
    assert_eq!(gate.send(get("/x", "X-API-Key: K1\r\n")).status, 200);
    gate.wait_for_metric(&decided("all", "allowed"), 1.0);
    assert_eq!(described(), told_by(&gate.metrics().0), "on the page (left), told (right)");
}
