//! Names of upstreams that come to mean something else, several addresses, or nothing at all: in a
//! mount namespace of its own, keygate has a hosts file that the test writes, and no DNS.

use std::fs;
use std::net::Ipv4Addr;
use std::process::Command;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::support::dns::{Dns, Says};
use crate::support::{DEADLINE, Gate, Origin, Signal, holds_within, pause, wait_until};
use crate::upstreams::{GET, counts, is};

/// What is resolved again is so within five seconds and a half; a busy machine takes longer.
const RESOLVED: Duration = Duration::from_secs(20);

/// What a gate's resolver reads; keep it for as long as that runs.
struct Hosts(TempDir);

impl Hosts {
    /// A hosts file with these lines, and no DNS.
    fn new(lines: &str) -> Self {
        Self::beside(lines, Ipv4Addr::LOCALHOST)
    }

    /// A hosts file with these lines, and a DNS server at this address.
    fn beside(lines: &str, dns: Ipv4Addr) -> Self {
        let hosts = Self(tempfile::tempdir().expect("there is room for a temporary folder"));
        let resolver = format!("nameserver {dns}\noptions timeout:30 attempts:1\n");
        fs::write(hosts.0.path().join("resolv.conf"), resolver).expect("the folder is new");
        hosts.write(lines);
        hosts
    }

    /// Writes the file anew; it stays the same one, since that is what is mounted.
    fn write(&self, lines: &str) {
        fs::write(self.0.path().join("hosts"), lines).expect("the file can be written");
    }

    /// Starts keygate where this is /etc/hosts, with these tables; none where no process may have
    /// files of its own.
    fn gate(&self, tables: &str) -> Option<Gate> {
        let folder = self.0.path().display();
        let script = format!(
            "mount --bind {folder}/hosts /etc/hosts && \
             mount --bind {folder}/resolv.conf /etc/resolv.conf && exec \"$0\" \"$@\""
        );
        let may = Command::new("unshare").args(["-rm", "mount", "--bind", "/etc", "/etc"]).output();
        if !may.is_ok_and(|ran| ran.status.success()) {
            return None;
        }
        let starter = ["unshare", "-rm", "sh", "-c", &script];
        let server = "[server]\nlisten = \"127.0.0.1:0\"\nworkers = 1\n";
        let files = [("keygate.toml", tables), ("server.toml", server)];
        Some(Gate::launch_under(&starter, &files, &["--config", "config"], &[]))
    }
}

/// An open location whose upstream is `app.test` at this port.
fn tables(port: u16, more: &str) -> String {
    format!(
        "[upstreams.rec]\naddrs = [\"app.test:{port}\"]\n{more}\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = true\n"
    )
}

/// Origins at the same port of several loopback addresses, each of which answers with its own.
fn origins<const N: usize>(addresses: [&'static str; N]) -> [Origin; N] {
    let mut port = 0;
    addresses.map(|address| {
        let origin = Origin::on(&format!("{address}:{port}"), move |exchange| {
            exchange.reply(200, address.as_bytes());
        });
        port = origin.address.port();
        origin
    })
}

fn lines(addresses: &[&str]) -> String {
    addresses.iter().map(|address| format!("{address} app.test\n")).collect()
}

#[test]
fn a_name_is_balanced_over_all_its_addresses() {
    let origins = origins(["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let hosts = Hosts::new(&lines(&["127.0.0.2", "127.0.0.3", "127.0.0.4"]));
    let Some(gate) = hosts.gate(&tables(origins[0].address.port(), "")) else { return };
    let mut client = gate.client();
    for _ in 0..12 {
        assert_eq!(client.send(GET).response().status, 200);
    }
    assert_eq!(counts(&origins), [4, 4, 4]);
}

#[test]
fn a_name_that_means_another_address_is_followed_and_requests_there_end_as_they_began() {
    let go = Signal::new();
    let led = go.clone();
    let old = Origin::on("127.0.0.2:0", move |exchange| {
        if exchange.request.second_word() == "/slow" {
            led.wait();
        }
        exchange.reply(200, b"old");
    });
    let new = Origin::on(&format!("127.0.0.3:{}", old.address.port()), |exchange| {
        exchange.reply(200, b"new");
    });
    let hosts = Hosts::new(&lines(&["127.0.0.2"]));
    let Some(gate) = hosts.gate(&tables(old.address.port(), "")) else { return };
    is(&gate.send(GET), 200, "old");
    let mut slow = gate.client();
    slow.send(GET.replace("/x", "/slow"));
    wait_until("it is on its way", || old.requests().iter().any(|one| one.target() == "/slow"));
    hosts.write(&lines(&["127.0.0.3"]));
    assert!(holds_within(RESOLVED, || gate.send(GET).text() == "new"), "it is not followed");
    let before = old.count();
    for _ in 0..10 {
        is(&gate.send(GET), 200, "new");
    }
    assert_eq!(old.count(), before);
    assert_eq!(old.open_connections(), 1, "idle connections to where nobody is any more stay");
    go.give();
    is(&slow.response(), 200, "old");
    wait_until("the last connection is closed", || old.open_connections() == 0);
    assert!(new.count() > 10);
}

#[test]
fn the_first_request_after_a_rest_goes_where_the_name_leads_now() {
    let origins = origins(["127.0.0.2", "127.0.0.3"]);
    let hosts = Hosts::new(&lines(&["127.0.0.2"]));
    let tables = tables(origins[0].address.port(), "max_idle = 0");
    let Some(gate) = hosts.gate(&tables) else { return };
    is(&gate.send(GET), 200, "127.0.0.2");
    hosts.write(&lines(&["127.0.0.3"]));
    gate.stderr
        .wait_for("the change", |line| line.contains("resolved") && line.contains("(127.0.0.3)"));
    is(&gate.send(GET), 200, "127.0.0.3");
}

#[test]
fn while_a_name_cannot_be_resolved_its_last_addresses_serve() {
    let [origin] = origins(["127.0.0.2"]);
    let hosts = Hosts::new(&lines(&["127.0.0.2"]));
    // A new connection for each request must not need the name.
    let tables = tables(origin.address.port(), "max_idle = 0");
    let Some(gate) = hosts.gate(&tables) else { return };
    is(&gate.send(GET), 200, "127.0.0.2");
    hosts.write("");
    let lost = |line: &&String| line.contains("cannot resolve");
    assert!(holds_within(RESOLVED, || gate.stderr.lines().iter().any(|line| lost(&line))));
    for _ in 0..10 {
        is(&gate.send(GET), 200, "127.0.0.2");
    }
    // Long enough to be told again.
    pause(Duration::from_millis(6500));
    is(&gate.send(GET), 200, "127.0.0.2");
    assert_eq!(gate.stderr.lines().iter().filter(lost).count(), 1, "it is said once");
}

#[test]
fn a_name_that_means_nothing_at_the_start_is_tried_again_and_again() {
    let [origin] = origins(["127.0.0.2"]);
    let hosts = Hosts::new("");
    let Some(gate) = hosts.gate(&tables(origin.address.port(), "")) else { return };
    assert!(matches!(gate.send(GET).status, 502 | 504));
    hosts.write(&lines(&["127.0.0.2"]));
    assert!(holds_within(RESOLVED, || gate.send(GET).status == 200), "it is not tried again");
}

#[test]
fn a_dead_address_of_a_name_costs_no_request_and_is_no_news() {
    let [origin] = origins(["127.0.0.2"]);
    let hosts = Hosts::new(&lines(&["127.0.0.9", "127.0.0.2"]));
    let tables = tables(origin.address.port(), "max_idle = 0\nfail_timeout = \"1s\"");
    let Some(gate) = hosts.gate(&tables) else { return };
    let end = Instant::now() + Duration::from_secs(3);
    while Instant::now() < end {
        is(&gate.send(GET), 200, "127.0.0.2");
    }
    let is_warning = |line: &String| line.contains("WARN") && line.contains("cannot connect");
    let warned = gate.stderr.lines().into_iter().find(is_warning);
    assert!(warned.is_none(), "{warned:?}");
    let told = |line: &str| line.contains("cannot connect") && line.contains("(127.0.0.9)");
    gate.stderr.wait_for("it was tried", told);
}

#[test]
fn a_resolver_that_hangs_holds_nobody_up_but_those_who_wait_for_it() {
    let origins = origins(["127.0.0.2", "127.0.0.3"]);
    let port = origins[0].address.port();
    let Some(dns) = Dns::saying(Says::Nothing) else { return };
    let hosts = Hosts::beside("", dns.address);
    let other = format!(
        "connect_timeout = \"2s\"\nmax_idle = 0\n[upstreams.good]\naddrs = [\"127.0.0.3:{port}\"]\n\
         [locations.good]\npath = \"/good\"\nupstream = \"good\"\npublic = true\n"
    );
    let Some(gate) = hosts.gate(&tables(port, &other)) else { return };
    let mut waits = gate.client();
    waits.send(GET);
    for _ in 0..10 {
        is(&gate.send(GET.replace("/x", "/good")), 200, "127.0.0.3");
    }
    is(&waits.response(), 504, "Upstream timed out");
    dns.say(Says::Addresses(vec![Ipv4Addr::new(127, 0, 0, 2)]));
    assert!(holds_within(DEADLINE, || gate.send(GET).status == 200), "the answer is not taken");
    dns.say(Says::Nothing);
    let asked = dns.asked();
    let goes_on = || {
        is(&gate.send(GET), 200, "127.0.0.2");
        dns.asked() > asked
    };
    assert!(holds_within(RESOLVED, goes_on), "it is not asked again");
    // It is asked, and does not answer; nobody waits, and neither does a stop.
    (0..20).for_each(|_| is(&gate.send(GET), 200, "127.0.0.2"));
    gate.signal("TERM");
    let code = gate.ends_within(DEADLINE).and_then(|status| status.code());
    assert_eq!(code, Some(0), "a stop waits for the resolver");
}

#[test]
fn a_name_is_not_resolved_for_each_connection_and_failures_are_survived() {
    let origins = origins(["127.0.0.2", "127.0.0.3"]);
    let [first, second] = [2, 3].map(|last| Says::Addresses(vec![Ipv4Addr::new(127, 0, 0, last)]));
    let Some(dns) = Dns::saying(first) else { return };
    let hosts = Hosts::beside("", dns.address);
    let tables = tables(origins[0].address.port(), "max_idle = 0");
    let Some(gate) = hosts.gate(&tables) else { return };
    let start = Instant::now();
    (0..100).for_each(|_| is(&gate.send(GET), 200, "127.0.0.2"));
    // Two questions at a time, one for each version of IP.
    let most = 2 + 2 * start.elapsed().as_secs() as usize / 4;
    assert!(dns.asked() <= most, "asked {} times in {:?}", dns.asked(), start.elapsed());
    dns.say(Says::Failure);
    gate.stderr.wait_for("the failure", |line| line.contains("cannot resolve"));
    (0..10).for_each(|_| is(&gate.send(GET), 200, "127.0.0.2"));
    dns.say(second);
    assert!(holds_within(RESOLVED, || gate.send(GET).text() == "127.0.0.3"), "it is not followed");
}

#[test]
fn of_a_name_with_many_addresses_all_are_used() {
    // As many as fit into an answer over UDP.
    const MANY: usize = 25;
    let hosts: [Ipv4Addr; MANY] = std::array::from_fn(|last| Ipv4Addr::new(127, 0, 1, last as u8));
    let mut port = 0;
    let origins = hosts.map(|host| {
        let origin = Origin::on(&format!("{host}:{port}"), |exchange| exchange.reply(200, b""));
        port = origin.address.port();
        origin
    });
    let Some(dns) = Dns::saying(Says::Addresses(hosts.to_vec())) else { return };
    let names = Hosts::beside("", dns.address);
    let Some(gate) = names.gate(&tables(port, "")) else { return };
    let mut client = gate.client();
    for _ in 0..2 * MANY {
        assert_eq!(client.send(GET).response().status, 200);
    }
    assert_eq!(counts(&origins), [2; MANY]);
}
