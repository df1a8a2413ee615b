//! Upstreams behind TLS: whose certificates are believed, what is shown, and how responses end.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use crate::examples::Port;
use crate::support::reference::{K1, one_location};
use crate::support::tls::{Authority, Certificate, Ending, before, before_late, shows};
use crate::support::{Gate, Origin, Program, Response, wait_until};

/// A gate with one upstream; `fields` are of its table.
#[track_caller]
fn gate(addrs: &[String], fields: &str, files: &[(&str, &str)]) -> Gate {
    launch(addrs, fields, files, &[])
}

#[track_caller]
fn launch(addrs: &[String], fields: &str, files: &[(&str, &str)], env: &[(&str, &str)]) -> Gate {
    let location = one_location("header = \"X-API-Key\"\n", "");
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n[upstreams.rec]\naddrs = {addrs:?}\n{fields}\n{location}"
    );
    let files = [&[("keygate.toml", &*config)], files].concat();
    Gate::launch(&files, &["--config", "config"], env)
}

fn ask(gate: &Gate) -> Response {
    gate.send(super::ask())
}

/// An `https://` address by the name that most certificates here are for.
fn https(address: SocketAddr) -> [String; 1] {
    [format!("https://localhost:{}", address.port())]
}

/// What `tls = { … }` says of the one authority.
const CA: &str = "tls = { ca = \"ca.pem\" }";

#[test]
pub(crate) fn only_an_upstream_whose_certificate_is_believed_gets_a_request() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let ca = [("ca.pem", &*authority.pem())];
    let good = authority.issue(&["localhost"]);
    for (wrong, certificate) in [
        ("", good.clone()),
        ("invalid peer certificate", stranger.issue(&["localhost"])),
        ("not valid for name \"localhost\"", authority.issue(&["other.example.com"])),
        ("certificate expired", authority.issue_between(&["localhost"], 2001, 2002)),
        ("not valid yet", authority.issue_between(&["localhost"], 2090, 2091)),
    ] {
        let origin = Origin::echo();
        let address = before(&origin, shows(&certificate), Ending::Proper);
        let gate = gate(&https(address), CA, &ca);
        let response = ask(&gate);
        if wrong.is_empty() {
            assert_eq!((response.status, &*response.text()), (200, "/x"));
            assert_eq!(ask(&gate).status, 200);
            assert_eq!(origin.connections(), 1, "the connection is used again");
        } else {
            assert_eq!((response.status, &*response.text()), (502, "Bad gateway"), "{wrong}");
            gate.stderr.wait_for(wrong, |line| line.contains(wrong));
            assert_eq!(origin.connections(), 0, "{wrong}");
        }
    }
}

#[test]
fn any_certificate_is_believed_where_that_is_written() {
    let origin = Origin::echo();
    let address = before(&origin, shows(&Authority::new().issue(&["nobody"])), Ending::Proper);
    let fields = "tls = { insecure_skip_verify = true }";
    let insecure = gate(&https(address), fields, &[]);
    assert_eq!(ask(&insecure).status, 200);
    let warning = "the upstream's certificate is not verified";
    insecure.stderr.wait_for(warning, |line| line.contains(warning));
    let verifying = gate(&https(address), "tls = { insecure_skip_verify = false }", &[]);
    assert_eq!(ask(&verifying).status, 502);
}

/// Nothing but a file changes.
#[test]
fn new_authorities_are_taken_over() {
    let (first, second) = (Authority::new(), Authority::new());
    let origin = Origin::echo();
    let address = before(&origin, shows(&second.issue(&["localhost"])), Ending::Proper);
    let gate = gate(&https(address), CA, &[("ca.pem", &first.pem())]);
    assert_eq!(ask(&gate).status, 502);
    gate.write("ca.pem", &(first.pem() + &second.pem()));
    wait_until("the upstream is believed", || ask(&gate).status == 200);
}

/// Of some of these bodies the last bytes find the socket full, and are held back after they were
/// encrypted.
#[test]
fn uploads_reach_a_slow_upstream_to_their_ends() {
    const STEP: usize = 16 * 1024;
    const BODIES: usize = 16;
    let authority = Authority::new();
    let origin = Origin::scripted(|exchange| {
        let body = exchange.read_body();
        exchange.reply(200, body.len().to_string().as_bytes());
    });
    let site = shows(&authority.issue(&["localhost"]));
    // Long enough for all buffers on the way to be full.
    let address = before_late(&origin, site, Duration::from_secs(1));
    let gate = gate(&https(address), CA, &[("ca.pem", &authority.pem())]);
    let clients: Vec<_> = (1..=BODIES)
        .map(|number| {
            let size = number * STEP;
            let head = format!(
                "POST /x HTTP/1.1\r\nHost: localhost\r\nX-API-Key: {K1}\r\n\
                 Content-Length: {size}\r\n\r\n"
            );
            let mut client = gate.client();
            let sending = client.send(head).send_beside(vec![b'x'; size]);
            (client, size, sending)
        })
        .collect();
    for (mut client, size, sending) in clients {
        assert_eq!(client.response().text(), size.to_string());
        sending.join().expect("it is sent");
    }
}

#[test]
fn a_certificate_may_be_for_another_name_where_that_is_written() {
    let (origin, authority) = (Origin::echo(), Authority::new());
    let address = before(&origin, shows(&authority.issue(&["api.internal"])), Ending::Proper);
    let fields = "tls = { ca = \"ca.pem\", server_name = \"api.internal\" }\nhost = \"upstream\"";
    let gate = gate(&https(address), fields, &[("ca.pem", &authority.pem())]);
    assert_eq!(ask(&gate).status, 200);
    let host = format!("localhost:{}", address.port());
    assert_eq!(origin.last().head.values("Host"), [host]);
}

#[test]
fn the_systems_authorities_are_believed_where_none_is_named() {
    let (origin, authority) = (Origin::echo(), Authority::new());
    let address = before(&origin, shows(&authority.issue(&["localhost"])), Ending::Proper);
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let file = folder.path().join("system.pem");
    fs::write(&file, authority.pem()).expect("the folder can be written");
    let env = [("SSL_CERT_FILE", file.to_str().expect("it is text"))];
    assert_eq!(ask(&launch(&https(address), "", &[], &env)).status, 200);
    assert_eq!(ask(&gate(&https(address), "", &[])).status, 502);
}

#[test]
fn addresses_with_and_without_tls_stand_side_by_side() {
    let (clear, secret, authority) = (Origin::echo(), Origin::echo(), Authority::new());
    let address = before(&secret, shows(&authority.issue(&["localhost"])), Ending::Proper);
    let [https] = https(address);
    let addrs = [https, clear.address.to_string()];
    let gate = gate(&addrs, CA, &[("ca.pem", &authority.pem())]);
    let counts = || [clear.count(), secret.count()];
    // While the first handshake takes its time, the other address is asked beside it.
    wait_until("both were asked", || ask(&gate).status == 200 && !counts().contains(&0));
    let asked = counts();
    assert!((0..4).all(|_| ask(&gate).status == 200));
    assert_eq!(counts(), asked.map(|count| count + 2));
}

/// A response whose end is that of the connection, and one whose length is said.
const UNTIL_THE_END: &str = "HTTP/1.1 200 OK\r\n\r\nwhole";
const SHORTER: &str = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nwhole";

#[test]
pub(crate) fn a_response_that_somebody_on_the_way_cut_off_is_none() {
    let authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    for (response, ending, whole) in [
        (UNTIL_THE_END, Ending::Proper, true),
        (UNTIL_THE_END, Ending::Truncated, false),
        (SHORTER, Ending::Proper, false),
        (SHORTER, Ending::Truncated, false),
    ] {
        let origin = Origin::scripted(move |exchange| {
            exchange.write(response);
            exchange.close();
        });
        let address = before(&origin, shows(&certificate), ending);
        let gate = gate(&https(address), CA, &[("ca.pem", &authority.pem())]);
        let mut client = gate.client();
        let answer = client.send(super::ask()).response();
        assert_eq!(answer.complete, whole, "{response:?} {ending:?}");
    }
}

#[test]
pub(crate) fn an_upstream_that_speaks_only_http_2_gets_no_request() {
    let authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    let mut h2 = shows(&certificate);
    h2.alpn_protocols = vec![b"h2".to_vec()];
    let origin = Origin::echo();
    let address = before(&origin, h2, Ending::Proper);
    let gate = gate(&https(address), CA, &[("ca.pem", &authority.pem())]);
    assert_eq!(ask(&gate).status, 502);
    gate.stderr.wait_for("the reason", |line| line.contains("NoApplicationProtocol"));
    assert_eq!(origin.connections(), 0);
}

#[test]
pub(crate) fn http_1_1_is_asked_for_and_whoever_says_nothing_speaks_it() {
    let authority = Authority::new();
    let certificate = authority.issue(&["localhost"]);
    for protocols in [&[][..], &["http/1.1"], &["h2", "http/1.1"]] {
        let origin = Origin::echo();
        let mut config = shows(&certificate);
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let address = before(&origin, config, Ending::Proper);
        let gate = gate(&https(address), CA, &[("ca.pem", &authority.pem())]);
        assert_eq!(ask(&gate).status, 200);
    }
}

#[test]
fn a_gate_that_leads_back_to_itself_over_tls_says_so() {
    let (authority, site) = super::site();
    let claimed = Port::claim();
    let port = claimed.address.port();
    let location = one_location("header = \"X-API-Key\"\n", "");
    // The same address in another form, so that `check` does not see it.
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:{port}\"\n[server.tls]\n\
         certificates = [{{ cert = \"site.pem\", key = \"site.key\" }}]\n\
         [upstreams.rec]\naddrs = [\"https://[::ffff:127.0.0.1]:{port}\"]\n\
         {CA}\n{location}"
    );
    let files = [
        ("keygate.toml", &*config),
        ("site.pem", &site.cert),
        ("site.key", &site.key),
        ("ca.pem", &authority.pem()),
    ];
    let gate = Gate::with(&files);
    let shaking = crate::support::tls::Shaking::with(authority.roots());
    assert_eq!(shaking.client(&gate).send(super::ask()).response().status, 502);
    let said = "the upstream is this gate itself";
    gate.stderr.wait_for(said, |line| line.contains(said));
}

/// nginx with TLS; `more` stands in its server.
struct Nginx {
    _program: Program,
    folder: tempfile::TempDir,
    port: Port,
}

impl Nginx {
    #[track_caller]
    fn start(site: &Certificate, more: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("there is room for a temporary folder");
        let port = Port::claim();
        let config = format!(
            "daemon off; error_log stderr info; pid nginx.pid; events {{}}\nhttp {{\n\
             access_log access.log; client_body_temp_path body; proxy_temp_path proxy;\n\
             fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;\n\
             server {{ listen {} ssl; server_name localhost;\n\
             ssl_certificate site.pem; ssl_certificate_key site.key;\n{more}\n\
             location / {{ return 200 \"$ssl_protocol $http_x_api_key\"; }} }} }}\n",
            port.address
        );
        let own = [("nginx.conf", &*config), ("site.pem", &site.cert), ("site.key", &site.key)];
        for (name, text) in own.iter().chain(files) {
            fs::write(folder.path().join(name), text).expect("the folder can be written");
        }
        fs::write(folder.path().join("access.log"), "").expect("the folder can be written");
        let mut command = Command::new("nginx");
        let path = folder.path().display().to_string();
        command.args(["-p", &path, "-c", "nginx.conf", "-e", "stderr"]);
        command.env("PATH", format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default()));
        let program = Program::start(&mut command);
        wait_until("nginx listens", || std::net::TcpStream::connect(port.address).is_ok());
        Self { _program: program, folder, port }
    }

    fn addrs(&self) -> [String; 1] {
        [format!("https://localhost:{}", self.port.address.port())]
    }

    /// Whether any request has come.
    fn was_asked(&self) -> bool {
        let log = fs::read_to_string(self.folder.path().join("access.log"));
        log.expect("there is one").contains("GET /x")
    }
}

#[test]
pub(crate) fn nginx_is_asked_only_if_its_certificate_is_right() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let good = authority.issue(&["localhost"]);
    let late = authority.issue_between(&["localhost"], 2001, 2002);
    let other = authority.issue(&["other.example.com"]);
    for (site, ca, status) in [
        (&good, &authority, 200),
        (&good, &stranger, 502),
        (&late, &authority, 502),
        (&other, &authority, 502),
    ] {
        let nginx = Nginx::start(site, "ssl_protocols TLSv1.2 TLSv1.3;", &[]);
        let gate = gate(&nginx.addrs(), CA, &[("ca.pem", &ca.pem())]);
        let response = ask(&gate);
        assert_eq!(response.status, status);
        if status != 200 {
            assert!(!nginx.was_asked());
        } else {
            // It writes that down when the answer has gone out.
            wait_until("nginx has written down that it was asked", || nginx.was_asked());
            assert_eq!(response.text(), "TLSv1.3 ");
        }
    }
    let nginx =
        Nginx::start(&good, "ssl_protocols TLSv1 TLSv1.1; ssl_ciphers ALL:@SECLEVEL=0;", &[]);
    let gate = gate(&nginx.addrs(), CA, &[("ca.pem", &authority.pem())]);
    assert_eq!(ask(&gate).status, 502);
}

#[test]
pub(crate) fn nginx_is_shown_the_certificate_that_it_wants() {
    let (authority, clients) = (Authority::new(), Authority::new());
    let site = authority.issue(&["localhost"]);
    let own = clients.issue(&["keygate"]);
    let foreign = authority.issue(&["keygate"]);
    let wants = "ssl_client_certificate clients.pem; ssl_verify_client on;";
    for protocols in ["ssl_protocols TLSv1.2;", "ssl_protocols TLSv1.3;"] {
        let files = [("clients.pem", &*clients.pem())];
        let nginx = Nginx::start(&site, &format!("{wants} {protocols}"), &files);
        for (shown, status) in [(Some(&own), 200), (Some(&foreign), 400), (None, 400)] {
            let kept = shown.unwrap_or(&own);
            let files =
                [("ca.pem", &*authority.pem()), ("own.pem", &kept.cert), ("own.key", &kept.key)];
            let fields = match shown {
                Some(_) => "tls = { ca = \"ca.pem\", cert = \"own.pem\", key = \"own.key\" }",
                None => CA,
            };
            let mut gate = gate(&nginx.addrs(), fields, &files);
            super::hide(&mut gate, kept);
            assert_eq!(ask(&gate).status, status, "{protocols} {fields}");
        }
    }
}

#[test]
fn an_upstream_of_http_2_that_agrees_to_nothing_gets_no_request() {
    let authority = Authority::new();
    let origin = Origin::echo();
    let address = before(&origin, shows(&authority.issue(&["localhost"])), Ending::Proper);
    let fields = format!("{CA}\nprotocol = \"h2\"");
    let gate = gate(&https(address), &fields, &[("ca.pem", &authority.pem())]);
    assert_eq!(ask(&gate).status, 502);
    gate.stderr.wait_for("the reason", |line| line.contains("the upstream speaks no HTTP/2"));
    assert_eq!(origin.count(), 0);
}
