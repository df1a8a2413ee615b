//! Which location a request belongs to: every reading of its path, host and method.

use fastrand::Rng;

use super::{Case, Stand, case, left_out};
use crate::support::h2::{H2, request};
use crate::support::{BAD, MISSING, Then};

/// The readings of the path lead to differently guarded locations.
const AMBIGUOUS: Then = Then::Refused(&[400]);
const NOT_ALLOWED: Then = Then::Refused(&[405]);
const NOT_FOUND: Then = Then::Says(404, "Not found");
const PASSES: Then = Then::Forwarded("/x");

pub(super) const CASES: &[Case] = &[
    case("PM-01", "two slashes", |stand| {
        ambiguous(stand, &["//admin/x", "/public//../admin/x"]);
    }),
    case("PM-02", "a path that looks like a host", |stand| {
        ambiguous(stand, &["///admin/x", "//a.test/admin/x", "//a.test/../admin/x"]);
    }),
    case("PM-03", "a dot segment", |stand| ambiguous(stand, &["/./admin/x"])),
    case("PM-04", "two dots", |stand| {
        let targets = ["/public/../admin/x", "/../../admin/x", "/public/a/../../././../admin/x"];
        ambiguous(stand, &targets);
    }),
    case("PM-05", "an encoded dot", |stand| ambiguous(stand, &["/%2e/admin/x", "/%2E/admin/x"])),
    case("PM-06", "two dots, encoded or half encoded", |stand| {
        let dots = ["%2e%2e", ".%2e", "%2e."];
        ambiguous(stand, &dots.map(|dots| format!("/public/{dots}/admin/x")));
    }),
    case("PM-07", "dots that end a segment resolve to nothing, and no prefix is cut", |stand| {
        stand.half_open();
        stand.target("/public../admin/x", Then::Forwarded("/public../admin/x"));
        stand.target("/public%2e%2e/admin/x", Then::Forwarded("/public%2e%2e/admin/x"));
    }),
    case("PM-08", "encoded letters", |stand| {
        ambiguous(stand, &["/%61dmin/x", "/adm%69n/x", "/%61%64%6d%69%6e/x"]);
    }),
    case("PM-09", "an encoded slash", |stand| {
        ambiguous(stand, &["/admin%2fx", "/admin%2Fx", "/%2fadmin/x", "/public/%2e%2e%2fadmin/x"]);
    }),
    case("PM-10", "an encoded backslash", |stand| {
        ambiguous(stand, &["/admin%5cx", "/public/..%5cadmin/x"]);
    }),
    case("PM-11", "a backslash", |stand| {
        ambiguous(stand, &[r"/public\..\admin\x", r"/\admin/x", r"/admin\x"]);
    }),
    case("PM-12", "path parameters", |stand| {
        let targets = ["/admin;a=b/x", "/admin;/x", "/;/admin/x", "/;x=y/admin/x", "/admin%3ba/x"];
        ambiguous(stand, &targets);
    }),
    case("PM-13", "dots with parameters", |stand| {
        let dots = ["..;", "..;a=b", "%2e%2e;a=b"];
        let mut targets = dots.map(|dots| format!("/public/{dots}/admin/x")).to_vec();
        targets.push(r"/PUBLIC;v=1//%2e%2e;w\%41DMIN%2fx".to_owned());
        ambiguous(stand, &targets);
    }),
    case("PM-14", "another case is another path only where that opens nothing", |stand| {
        ambiguous(stand, &["/ADMIN/x", "/Admin/x", "/%41dmin/x", "/public/../ADMIN/x"]);
        stand.target("/public/ADMIN", Then::Forwarded("/public/ADMIN"));
    }),
    case("PM-15", "a guarded folder without its slash", |stand| {
        stand.half_open().target("/admin", MISSING).target("/admin?x", MISSING);
    }),
    case("PM-16", "a prefix, its folder, and it with a query", |stand| {
        stand.half_open();
        stand.target("/api/v1", MISSING).target("/api/v1/", MISSING).target("/api/v1?x", MISSING);
    }),
    case("PM-17", "a prefix ends where a segment ends", |stand| {
        stand.half_open();
        stand.target("/api/v1x", Then::Forwarded("/api/v1x"));
        stand.target("/administrator", Then::Forwarded("/administrator"));
    }),
    case("PM-18", "an encoded NUL", |stand| {
        ambiguous(stand, &["/admin%00", "/admin%00/x", "/%00/../admin/x"]);
    }),
    case("PM-19", "blanks and dots at the end of a segment", |stand| {
        ambiguous(stand, &["/admin%20/x", "/admin%09", "/admin./x"]);
        stand.target("/admin/.", MISSING).target("/admin/x/", MISSING);
    }),
    case("PM-20", "an escape within an escape", |stand| {
        ambiguous(stand, &["/%2561dmin/x", "/%252e%252e/admin/x"]);
        stand.target("/public/%2561", Then::Forwarded("/public/%2561"));
    }),
    case("PM-21", "more bytes of UTF-8 than needed", |stand| {
        ambiguous(stand, &["/%c0%ae%c0%ae/admin", "/..%c0%afadmin"]);
        stand.target(b"/\xC0\xAF", BAD).target(b"/\xC0\xAE\xC0\xAE/admin/x", BAD);
    }),
    case("PM-22", "escapes that are none", |stand| {
        ambiguous(stand, &["/%u0061dmin"]);
        stand.target("/%zz", Then::Forwarded("/%zz")).target("/%", Then::Forwarded("/%"));
        stand.target("/admin/%zz", MISSING);
    }),
    case("PM-23", "bytes beyond ASCII", |stand| {
        stand.half_open();
        stand.target("/caf\u{e9}", BAD).target(b"/caf\xE9", BAD).target("/x?caf\u{e9}", BAD);
    }),
    case("PM-24", "a fragment, and an encoded hash", |stand| {
        ambiguous(stand, &["/public%23/../admin/x"]);
        stand.target("/public/#/../admin/x", BAD).target("/admin/x#/public/", BAD);
        stand.target("/x?a#b", BAD);
    }),
    case("PM-25", "only the path is matched", |stand| {
        stand.half_open();
        stand.target("/admin/x?/public/", MISSING);
        stand.target("/x?a=/admin/", Then::Forwarded("/x?a=/admin/"));
        stand.target("/x?a=/../admin/x", Then::Forwarded("/x?a=/../admin/x"));
    }),
    case("PM-26", "an encoded question mark", |stand| {
        ambiguous(stand, &["/public%3f/../admin/x"]);
    }),
    case("PM-27", "an absolute target is its path", |stand| {
        stand.half_open();
        for target in ["http://a.test/admin/x", "HTTP://a.test/admin/x"] {
            stand.target(target, MISSING);
            stand.send(with_k2("GET", target), Then::Forwarded("/admin/x"));
        }
        stand.target("http://A.TEST/admin/x", MISSING);
        stand.target("http://a.test/public/../admin/x", AMBIGUOUS);
        stand.target("http://a.test/x", PASSES);
    }),
    case("PM-28", "an absolute target and a Host that differ", |stand| {
        stand.half_open();
        for target in ["http://open.test/admin/x", "http://b.test/x", "http://a.test:81/x"] {
            stand.target(target, BAD);
        }
    }),
    case("PM-29", "an absolute target without a path", |stand| {
        stand.half_open();
        stand.target("http://a.test", Then::Forwarded("/"));
        stand.target("http://a.test?x", Then::Forwarded("/?x"));
    }),
    case("PM-30", "userinfo in the target", |stand| {
        stand.half_open();
        for target in ["http://u:p@a.test/admin/x", "http://u:p@a.test/x", "http://a.test@b.test/x"]
        {
            stand.target(target, BAD);
        }
    }),
    case("PM-31", "another scheme, or no host", |stand| {
        stand.half_open();
        for target in ["ftp://a.test/admin/x", "ftp://a.test/x", "javascript:x", "http:///admin"] {
            stand.target(target, BAD);
        }
    }),
    case("PM-32", "a target without its first slash", |stand| {
        stand.half_open();
        stand.target("admin/x", BAD).target("a.test:80", BAD).target("a.test/admin", BAD);
    }),
    case("PM-33", "GET *", |stand| {
        stand.half_open().target("*", BAD);
    }),
    case("PM-34", "OPTIONS * is no one's", |stand| {
        stand.half_open();
        stand.send("OPTIONS * HTTP/1.1\r\nHost: a.test\r\n\r\n", NOT_FOUND);
        stand.send("OPTIONS */test HTTP/1.1\r\nHost: a.test\r\n\r\n", BAD);
    }),
    case("PM-35", "CONNECT opens no tunnel", |stand| {
        stand.half_open();
        for target in ["a.test:443", "/", "/admin/x", "http://a.test:80"] {
            stand.send(format!("CONNECT {target} HTTP/1.1\r\nHost: a.test\r\n\r\n"), NOT_ALLOWED);
        }
        assert_eq!(stand.origin().connections(), 0);
    }),
    case("PM-36", "TRACE is not answered with what was sent", |stand| {
        stand.half_open().send(with_k2("TRACE", "/admin/x"), NOT_ALLOWED);
        assert_eq!(stand.origin().connections(), 0);
    }),
    case("PM-37", "methods that are unknown, in lower case, or none", |stand| {
        stand.half_open();
        for (method, then) in [("FOOBAR", MISSING), ("get", MISSING), (r#"G=":<>(e),[T];?""#, BAD)]
        {
            stand.send(format!("{method} /admin/x HTTP/1.1\r\nHost: a.test\r\n\r\n"), then);
        }
    }),
    case("PM-38", "no Host", |stand| hosts(stand, &[b""])),
    case("PM-39", "two Hosts", |stand| {
        let lines: [&[u8]; 3] = [
            b"Host: a.test\r\nHost: a.test\r\n",
            b"Host: a.test\r\nHost: b.test\r\n",
            b"Host: a.test\r\nhost: a.test\r\n",
        ];
        hosts(stand, &lines);
    }),
    case("PM-40", "an empty Host", |stand| hosts(stand, &[b"Host:\r\n", b"Host:  \r\n"])),
    case("PM-41", "a Host that is none", |stand| {
        for host in [
            "u@a.test",
            "u:p@a.test",
            "http://a.test",
            "a.test/path",
            "a.test?x",
            "a.test#x",
            "a.test, b.test",
            "a.test:99999",
            "a.test:http",
            "a.test:80:80",
            "[::1",
            "a b",
            r"a.test\b",
            "b\u{fc}cher.test",
        ] {
            hosts(stand, &[format!("Host: {host}\r\n").as_bytes()]);
        }
    }),
    case("PM-42", "a host in any case, among any number of hosts", |stand| {
        for count in [1, 10, 101, 1000] {
            let many: String = (1..count).map(|number| host(number, "plugins = [\"k\"]")).collect();
            stand.anew().config(&format!("{KEY}{}{many}", HOSTS[0])).probe(HOSTED);
            for name in ["a.test", "A.TEST", "A.test:80"] {
                stand.send(format!("GET /x HTTP/1.1\r\nHOST: {name}\r\n\r\n"), MISSING);
                let with = format!("GET /x HTTP/1.1\r\nHOST: {name}\r\nX-API-Key: K1\r\n\r\n");
                stand.send(with, PASSES);
            }
        }
    }),
    case("PM-43", "other forms of a host", |stand| {
        two_hosts(stand);
        for (host, then) in [
            ("a.test.", MISSING),
            ("a.test:8080", MISSING),
            ("xn--nxasmq6b.test", NOT_FOUND),
            ("b\u{fc}cher.test", BAD),
            ("open.test.", PASSES),
        ] {
            stand.send(format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"), then);
        }
    }),
    case("PM-44", "an unknown host", |stand| {
        two_hosts(stand);
        for host in ["unknown.test", "xa.test", "x.a.test", "test", "127.0.0.1", "[::1]:80"] {
            stand.send(format!("GET /x HTTP/1.1\r\nHost: {host}\r\n\r\n"), NOT_FOUND);
        }
    }),
    case("PM-45", "another host in another field", |stand| {
        two_hosts(stand);
        for line in
            ["X-Forwarded-Host: open.test", "X-Host: open.test", "Forwarded: host=open.test"]
        {
            stand.send(format!("GET /x HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n"), MISSING);
        }
    }),
    case("PM-46", ":authority and host that differ", |stand| {
        two_hosts(stand);
        for (authority, host) in [("a.test", "open.test"), ("open.test", "a.test")] {
            let mut fields = request("GET", "/x", &[("host", host)]);
            fields[3].1 = authority;
            let answer = H2::over(stand.connect()).ask(&fields);
            stand.holds(answer.status == 400, || format!("{answer:?}"));
        }
    }),
    case("PM-47", "a way out of the guarded location", |stand| {
        let targets = ["/admin/%2e%2e/public/x", "/admin/../public/x", r"/admin\..\public\x"];
        ambiguous(stand, &targets);
        stand.target("/api/v1/../../admin/x", AMBIGUOUS);
    }),
    case("PM-48", "white space in the target", |stand| {
        stand.half_open();
        for target in ["/admin/x HTTP/1.1", "/x HTTP/1.1", "/x y", "/x\ty", " /x", "/x "] {
            stand.target(target, BAD);
        }
    }),
    case("PM-49", "a regex that is open", |stand| {
        stand.config(REGEX).probe("");
        for target in ["/public/%0a/../admin/x", "/public/x/../../admin", "/public/../admin/x"] {
            stand.target(target, AMBIGUOUS);
        }
        stand.target("/public/x", Then::Forwarded("/public/x"));
    }),
    case("PM-50", "very long targets cost next to nothing", |stand| {
        stand.half_open();
        let long = Then::Ends(&[400, 414, 431]);
        for (target, then) in [
            (format!("/{}", "p".repeat(65_534)), long),
            (format!("/admin{}", "/a".repeat(8_000)), MISSING),
            (format!("/public/{}admin/x", "../".repeat(1_000)), AMBIGUOUS),
            (format!("/public/{}admin/x", "%2e%2e/".repeat(1_000)), AMBIGUOUS),
        ] {
            let before = stand.gate().processor_time();
            stand.target(&target, then);
            let took = stand.gate().processor_time() - before;
            stand.holds(took < LITTLE, || format!("{took} for {target:.30}"));
        }
    }),
    case("PM-51", "what was matched is what is sent, byte for byte", random_targets),
    case("PM-52", "the longest prefix counts, whatever the order of the files", |stand| {
        for reversed in [false, true] {
            let mut locations = [location("/p/", "public = true"), location("/p/l/", GUARD)];
            if reversed {
                locations.reverse();
            }
            stand.anew().config(&format!("{KEY}{}", locations.concat())).probe("");
            stand.target("/p/l/x", MISSING).target("/p/x", Then::Forwarded("/p/x"));
            stand.target("/p/lx", Then::Forwarded("/p/lx"));
        }
    }),
    left_out("PM-53", "a rewritten path", "keygate rewrites no path"),
    case("PM-54", "a method is chosen by nothing but the method", |stand| {
        stand.config(&format!("{KEY}{METHODS}")).probe("");
        stand.send("POST /x HTTP/1.1\r\nHost: a.test\r\n\r\n", MISSING);
        // Some origins obey these, so the two readings must not disagree about who guards.
        for name in ["X-HTTP-Method-Override", "X-Method-Override", "X_HTTP_Method"] {
            let line = format!("{name}: GET");
            stand.send(format!("POST /x HTTP/1.1\r\nHost: a.test\r\n{line}\r\n\r\n"), BAD);
        }
        stand.send("POST /x?_method=GET HTTP/1.1\r\nHost: a.test\r\n\r\n", MISSING);
        for method in ["PUT", "HEAD", "get"] {
            // No body: a response to HEAD has none.
            let then = Then::Refused(&[404]);
            let request =
                format!("{method} /x HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
            match method {
                "HEAD" => assert_eq!(stand.connect().send(request).response_to_head().status, 404),
                _ => drop(stand.send(request, then)),
            }
        }
        stand.target("/x", PASSES);
    }),
    case("PM-55", "one target, every form of request, one decision", |stand| {
        stand.half_open();
        for (path, then) in [
            ("/admin/x", MISSING),
            ("//admin/x", AMBIGUOUS),
            ("/public/../admin/x", AMBIGUOUS),
            ("/public/x", Then::Forwarded("/public/x")),
            ("/ADMIN/x", AMBIGUOUS),
        ] {
            for request in [
                format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
                format!("GET {path} HTTP/1.0\r\nHost: a.test\r\n\r\n"),
                format!("GET {path} HTTP/1.0\r\n\r\n"),
                format!("GET http://a.test{path} HTTP/1.1\r\nHost: a.test\r\n\r\n"),
                format!("GET {path} HTTP/1.1\r\nHost: a.test\r\n{WEBSOCKET}\r\n"),
            ] {
                stand.send(request, then);
            }
        }
    }),
];

/// The processor time that the longest target may take of a debug build that logs everything, in
/// hundredths of a second.
const LITTLE: u64 = 50;

const WEBSOCKET: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
     Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Without the key or with it, the path itself is what cannot be decided.
fn ambiguous(stand: &mut Stand, targets: &[impl AsRef<str>]) {
    stand.half_open();
    for target in targets {
        stand.target(target.as_ref(), AMBIGUOUS);
        stand.send(with_k2("GET", target.as_ref()), AMBIGUOUS);
    }
}

fn with_k2(method: &str, target: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K2\r\n\r\n")
}

/// Requests to an open and to a guarded path with these lines instead of one `Host`.
fn hosts(stand: &mut Stand, lines: &[&[u8]]) {
    for lines in lines {
        for start in ["GET /public/x HTTP/1.1\r\n", "GET /api/v1/x HTTP/1.1\r\nX-API-Key: K1\r\n"] {
            stand.send([start.as_bytes(), lines, b"\r\n"].concat(), BAD);
        }
    }
}

const KEY: &str = "[plugins.k]\ncategory = \"key-auth\"\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\n\
     hide_credentials = true\n";
const GUARD: &str = "plugins = [\"k\"]";

fn location(path: &str, guard: &str) -> String {
    let name = path.replace('/', "-");
    format!("[locations.at{name}]\npath = \"{path}\"\nupstream = \"rec\"\n{guard}\n")
}

/// The location of a host.
fn host(number: usize, guard: &str) -> String {
    format!(
        "[locations.host-{number}]\npath = \"/\"\nhost = \"h{number}.test\"\nupstream = \"rec\"\n\
         {guard}\n"
    )
}

/// A guarded host and an open one.
const HOSTS: [&str; 2] = [
    "[locations.a]\npath = \"/\"\nhost = \"a.test\"\nupstream = \"rec\"\nplugins = [\"k\"]\n",
    "[locations.open]\npath = \"/\"\nhost = \"open.test\"\nupstream = \"rec\"\npublic = true\n",
];

/// Shows that the gate of such a configuration serves.
const HOSTED: &str = "GET /x HTTP/1.1\r\nHost: a.test\r\nX-API-Key: K1\r\n\r\n";

fn two_hosts(stand: &mut Stand) {
    stand.config(&format!("{KEY}{}", HOSTS.concat())).probe(HOSTED);
}

/// What is open is a regex, and the rest is guarded.
const REGEX: &str = "[plugins.k]\ncategory = \"key-auth\"\nheader = \"X-API-Key\"\nkeys = [\"K1\"]\n\
     hide_credentials = true\n[locations.open]\npath = \"~^/public/.*$\"\nupstream = \"rec\"\n\
     public = true\n[locations.admin]\npath = \"/admin/\"\nupstream = \"rec\"\nplugins = [\"k\"]\n";

/// One location to read and one to write.
const METHODS: &str = "[locations.read]\npath = \"/\"\nmethods = [\"GET\"]\nupstream = \"rec\"\n\
     public = true\n[locations.write]\npath = \"/\"\nmethods = [\"POST\"]\nupstream = \"rec\"\n\
     plugins = [\"k\"]\n";

/// What random targets are made of, besides single characters.
const PIECES: [&str; 16] = [
    "/", "//", "..", "%2e", "%2F", "%5c", "%25", "%", "?", "&", "=", ";", "admin", "public",
    "ADMIN", "%61dmin",
];
const ROUNDS: usize = 1_500;

/// The origin answers with the target that it saw; the oracle compares the rest.
fn random_targets(stand: &mut Stand) {
    stand.half_open();
    let mut rng = Rng::with_seed(51);
    let mut client = stand.connect();
    let mut open = 0;
    for _ in 0..ROUNDS {
        let target = random_target(&mut rng);
        let response =
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a.test\r\n\r\n")).response();
        match response.status {
            200 => {
                assert_eq!(response.text(), target);
                stand.allow_any(&target, 1);
                open += 1;
            }
            status => assert!(matches!(status, 400 | 401), "{status} for {target}"),
        }
        if response.value("connection").eq_ignore_ascii_case("close") {
            client = stand.connect();
        }
    }
    assert!((ROUNDS / 10..ROUNDS * 9 / 10).contains(&open), "{open} of {ROUNDS} are open");
}

fn random_target(rng: &mut Rng) -> String {
    let mut target = "/".to_owned();
    for _ in 0..rng.usize(0..12) {
        match rng.u8(0..3) {
            0 => target.push_str(PIECES[rng.usize(0..PIECES.len())]),
            // Any character of a target but `#`, which begins no part of it.
            _ => target.push(char::from(rng.u8(b'$'..=b'~'))),
        }
    }
    target
}
