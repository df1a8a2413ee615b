//! Certificates that change while the gate runs.

use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use super::{ask, hide, secured, site};
use crate::support::reference::K1;
use crate::support::tls::{Authority, Certificate, Shaking};
use crate::support::{Client, Gate, Origin, h2, wait_until};

/// How often certificates change under load.
const RELOADS: usize = 20;

fn shown(gate: &Gate, authority: &Authority) -> Vec<u8> {
    let shaken = Shaking::with(authority.roots()).shake(gate.address);
    shaken.expect("hands are shaken").1.certificate
}

#[track_caller]
fn wait_for(gate: &Gate, authority: &Authority, expected: &Certificate) {
    let expected = expected.der();
    wait_until("the new certificate is shown", || shown(gate, authority) == expected);
}

#[test]
pub(crate) fn a_new_pair_is_taken_over_and_connections_go_on() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let mut gate = secured(&origin, &site, "", &[]);
    let mut client = Shaking::with(authority.roots()).client(&gate);
    assert_eq!(client.send(ask()).response().status, 200);
    let renewed = authority.issue(&["localhost"]);
    hide(&mut gate, &renewed);
    gate.write("site.key", &renewed.key);
    gate.write("site.pem", &renewed.cert);
    wait_for(&gate, &authority, &renewed);
    assert_eq!(client.send(ask()).response().status, 200);
}

#[test]
pub(crate) fn a_broken_pair_leaves_the_old_one() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let other = authority.issue(&["localhost"]);
    let said = |text: &str| {
        let wanted = |line: &str| line.contains(text);
        gate.stderr.wait_for(text, wanted);
        assert_eq!(shown(&gate, &authority), site.der(), "{text}");
    };
    gate.write("site.pem", &other.cert);
    said("this certificate and the private key do not belong together");
    gate.write("site.pem", "garbage");
    gate.signal("HUP");
    said("there is no certificate in this file");
    gate.write("site.pem", &site.cert);
    gate.write("site.key", &other.cert);
    said("there is no private key in this file");
    fs::remove_file(gate.folder().join("config/site.key")).expect("it is there");
    said("cannot read the file");
    gate.write("site.key", &other.key);
    gate.write("site.pem", &other.cert);
    wait_for(&gate, &authority, &other);
}

/// Kubernetes turns a link to a folder, certbot the links to the files one after the other.
#[test]
pub(crate) fn links_that_are_turned_bring_a_new_pair() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let outside = folder.path();
    let put = |name: &str, site: &Certificate| {
        fs::create_dir(outside.join(name)).expect("it is new");
        fs::write(outside.join(name).join("site.pem"), &site.cert).expect("it can be written");
        fs::write(outside.join(name).join("site.key"), &site.key).expect("it can be written");
    };
    let turn = |to: &str, link: &str| {
        symlink(to, outside.join("new")).expect("it is new");
        fs::rename(outside.join("new"), outside.join(link)).expect("it can be turned");
    };
    put("..1", &site);
    turn("..1", "..data");
    turn("..data/site.pem", "site.pem");
    turn("..data/site.key", "site.key");
    let path = |name: &str| outside.join(name).display().to_string();
    let server = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n[server.tls]\n\
         certificates = [{{ cert = \"{}\", key = \"{}\" }}]\n",
        path("site.pem"),
        path("site.key")
    );
    let config = crate::support::reference::reference(&origin);
    let gate = Gate::with(&[("keygate.toml", &config), ("server.toml", &server)]);
    assert_eq!(shown(&gate, &authority), site.der());
    let kubernetes = authority.issue(&["localhost"]);
    put("..2", &kubernetes);
    turn("..2", "..data");
    wait_for(&gate, &authority, &kubernetes);
    let certbot = authority.issue(&["localhost"]);
    put("archive", &certbot);
    turn("archive/site.pem", "site.pem");
    turn("archive/site.key", "site.key");
    wait_for(&gate, &authority, &certbot);
}

const H1: &[u8] = b"http/1.1";
const H2: &[u8] = b"h2";

/// Somebody who asks over either.
enum Asker {
    Http1(Client),
    Http2(h2::H2),
}

impl Asker {
    fn over(client: Client, protocol: &[u8]) -> Self {
        if protocol == H2 { Self::Http2(h2::H2::over(client)) } else { Self::Http1(client) }
    }

    fn ask(&mut self) -> String {
        match self {
            Self::Http1(client) => client.send(ask()).response().text(),
            Self::Http2(h2) => h2.ask(&h2::request("GET", "/x", &[("x-api-key", K1)])).text(),
        }
    }
}

/// Says that it is done when it is dropped.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn certificates_that_change_under_load_fail_no_request() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[]);
    let (done, asked) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        // Whoever asks ends as well when this test fails.
        let done = Done(&done);
        for (kept, protocol) in [(true, H1), (false, H1), (true, H2), (false, H2)] {
            let (gate, asked, authority) = (&gate, &asked, &authority);
            let done = done.0;
            scope.spawn(move || {
                let shaking = Shaking::with(authority.roots()).alpn(&[protocol]);
                let mut asker = Asker::over(shaking.client(gate), protocol);
                while !done.load(Ordering::SeqCst) {
                    if !kept {
                        asker = Asker::over(shaking.client(gate), protocol);
                    }
                    assert_eq!(asker.ask(), "/x");
                    asked.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..RELOADS {
            let renewed = authority.issue(&["localhost"]);
            gate.write("site.key", &renewed.key);
            gate.write("site.pem", &renewed.cert);
            wait_for(&gate, &authority, &renewed);
        }
    });
    assert!(asked.load(Ordering::SeqCst) > RELOADS);
}
