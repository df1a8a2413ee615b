//! What a reload changes and what it does not (LC-06 to LC-12).

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::{KEYLESS, VALID};
use crate::catalogue::Stand;
use crate::support::reference::{K1, K2, keyed, one_location, reference, upstream};
use crate::support::{Gate, Origin, pause, wait_until};

/// A key that is neither `K1` nor `K2`.
const K3: &str = "k3_486ea46224d1bb4fb680f34f7c9ad96a";

fn with(key: &str) -> String {
    VALID.replace("K1", key)
}

fn status(gate: &Gate, request: &str) -> u16 {
    gate.send(keyed(request)).status
}

/// One location that accepts these keys, without its upstream.
fn accepting(keys: &str) -> String {
    one_location("header = \"X-API-Key\"\n", "").replace(&format!("[\"{K1}\"]"), keys)
}

/// How often something was said at the level `ERROR`.
fn errors(gate: &Gate) -> usize {
    gate.stderr.lines().iter().filter(|line| line.contains(" ERROR ")).count()
}

fn reloads(gate: &Gate) -> usize {
    gate.stderr.lines().iter().filter(|line| line.contains("reloaded the conf")).count()
}

/// Files that must not be taken over: what is wrong, the file, what the error must say.
fn wrong_files(origin: &Origin) -> Vec<(&'static str, &'static str, Vec<u8>, &'static str)> {
    let good = reference(origin);
    let text = |from: &str, to: &str| good.replacen(from, to, 1).into_bytes();
    let kh = "plugins = [\"kh\"]\n";
    let row = |what, file, bytes, says| (what, file, bytes, says);
    vec![
        row("no TOML", "keygate.toml", text("[plugins.kh]", "[plugins.kh"), "keygate.toml:"),
        row("cut", "keygate.toml", good.as_bytes()[..good.len() / 2].to_vec(), "keygate.toml"),
        row("unknown field", "keygate.toml", text("hide_cre", "hid_cre"), "hid_credentials"),
        row("unknown plugin", "keygate.toml", text(kh, "plugins = [\"hk\"]\n"), "`hk`"),
        row("no plugin", "keygate.toml", text(kh, ""), "keygate.toml:"),
        row("no keys", "keygate.toml", text(&format!("[\"{K1}\"]"), "[]"), "keys"),
        row("an empty key", "keygate.toml", text(&format!("\"{K1}\""), "\"\""), "key"),
        row("another type", "keygate.toml", text(&format!("[\"{K1}\"]"), "true"), "keys"),
        row("unset variable", "keygate.toml", text(K1, "${NOT_SET_ANYWHERE}"), "NOT_SET_ANYWHERE"),
        row("not UTF-8", "keygate.toml", [good.as_bytes(), b"\xff"].concat(), "UTF-8"),
        row("empty", "keygate.toml", Vec::new(), "location"),
        row("twice", "more.toml", b"[locations.hdr]\npath = \"/x\"\n".to_vec(), "more.toml:"),
        row(
            "opens all",
            "more.toml",
            b"[locations.more]\npath = \"/more\"\n".to_vec(),
            "more.toml:",
        ),
    ]
}

pub(super) fn wrong(stand: &mut Stand) {
    let good = reference(stand.origin());
    let gate = stand.gate();
    let config = gate.folder().join("config");
    let mut let_through = 0;
    for (what, file, bytes, says) in wrong_files(stand.origin()) {
        let (before, said) = (errors(gate), gate.stderr.lines().len());
        fs::write(config.join(file), bytes).expect("the folder can be written");
        gate.signal("HUP");
        wait_until("the error is logged", || errors(gate) > before);
        wait_until(&format!("the error says {says}"), || {
            gate.stderr.lines()[said..].iter().any(|line| line.contains(says))
        });
        let statuses = [VALID, KEYLESS, &with(K2), "GET /more HTTP/1.1\r\nHost: a\r\n\r\n"]
            .map(|request| status(gate, request));
        assert_eq!(statuses, [200, 401, 401, 404], "{what}");
        let_through += 1;
        if file != "keygate.toml" {
            fs::remove_file(config.join(file)).expect("it is there");
        }
        // Once for the hangup, and once for the change.
        assert!(errors(gate) <= before + 2, "{what} is told again and again");
        let reloaded = reloads(gate);
        gate.write("keygate.toml", &good);
        wait_until("the good one is back", || reloads(gate) > reloaded);
    }
    stand.allow_any("/api/v1/x", let_through);
}

pub(super) fn keys_change(stand: &mut Stand) {
    stand.config(&accepting("[\"K1\", \"K2\"]")).secret(K3);
    let gate = stand.gate();
    let own = upstream(stand.origin());
    let write = |keys: &str| gate.write("keygate.toml", &(own.clone() + &keyed(&accepting(keys))));
    let stop = AtomicBool::new(false);
    // Somebody without a key asks all the time, and somebody with the key that is always there.
    let (open, shut, asked) = thread::scope(|scope| {
        let prober = scope.spawn(|| {
            let (mut open, mut shut, mut asked) = (0, 0, 0);
            while !stop.load(Ordering::SeqCst) {
                open += usize::from(status(gate, KEYLESS) != 401);
                shut += usize::from(status(gate, &with(K2)) != 200);
                asked += 1;
            }
            (open, shut, asked)
        });
        for _ in 0..5 {
            write(&format!("[\"K2\", \"{K3}\"]"));
            gate.signal("HUP");
            wait_until("the new key is accepted", || status(gate, &with(K3)) == 200);
            // Each worker takes it over when it comes to it.
            wait_until("the old key is refused", || status(gate, VALID) == 401);
            write("[\"K1\", \"K2\"]");
            gate.signal("HUP");
            wait_until("the old key is back", || status(gate, VALID) == 200);
            wait_until("the new key is refused", || status(gate, &with(K3)) == 401);
        }
        stop.store(true, Ordering::SeqCst);
        prober.join().expect("no panic")
    });
    assert_eq!((open, shut), (0, 0), "of {asked}");
    let arrived = stand.arrived();
    assert!(arrived.iter().all(|one| one.target() == "/api/v1/x"));
    stand.allow_any("/api/v1/x", arrived.len());
}

pub(super) fn location_gone(stand: &mut Stand) {
    let other = Origin::echo();
    let more = format!(
        "[upstreams.other]\naddrs = [\"{}\"]\n[locations.more]\npath = \"/more/\"\n\
         upstream = \"other\"\npublic = true\n",
        other.address
    );
    stand.file("more.toml", &more);
    let gate = stand.gate();
    let mut kept = stand.connect();
    let request = "GET /more/x HTTP/1.1\r\nHost: a.test\r\n\r\n";
    assert_eq!(kept.send(request).response().status, 200);
    assert_eq!(other.open_connections(), 1);
    fs::remove_file(gate.folder().join("config/more.toml")).expect("it is there");
    gate.signal("HUP");
    wait_until("the location is gone", || status(gate, request) == 404);
    wait_until("it is for everybody", || kept.send(request).response().status == 404);
    wait_until("its upstream's connections are closed", || other.open_connections() == 0);
}

pub(super) fn delayed(stand: &mut Stand) {
    const COUNT: usize = 200;
    let delayed = accepting("[\"K1\"]\ndelay = \"2s\"");
    stand.config(&delayed);
    let gate = stand.gate();
    let mut waiting: Vec<_> = (0..COUNT).map(|_| gate.client()).collect();
    for client in &mut waiting {
        client.send(with("wrong"));
    }
    let own = upstream(stand.origin());
    gate.write("keygate.toml", &(own + &keyed(&delayed.replace("K1", "K1\", \"K2"))));
    gate.signal("HUP");
    wait_until("the new key is accepted", || status(gate, &with(K2)) == 200);
    for client in &mut waiting {
        let response = client.response();
        assert_eq!((response.status, response.text().as_str()), (401, "Key auth fail"));
    }
    stand.allow_any("/api/v1/x", stand.arrived().len());
}

pub(super) fn unstable_files(stand: &mut Stand) {
    let good = reference(stand.origin());
    let gate = stand.gate();
    let file = gate.folder().join("config/keygate.toml");
    let mut let_through = 0;
    let mut serves_on = || {
        assert_eq!([status(gate, VALID), status(gate, KEYLESS)], [200, 401]);
        let_through += 1;
    };
    // Cut at every place where a line ends, as a copy that is under way would be.
    let ends: Vec<_> = good.match_indices('\n').map(|(at, _)| at).step_by(4).collect();
    for end in ends {
        fs::write(&file, &good[..end]).expect("it can be written");
        gate.signal("HUP");
        serves_on();
    }
    fs::remove_file(&file).expect("it is there");
    gate.signal("HUP");
    serves_on();
    for _ in 0..5 {
        gate.write("keygate.toml", &good);
        gate.signal("HUP");
        serves_on();
    }
    let before = reloads(gate);
    gate.write("keygate.toml", &good);
    wait_until("a good one is taken over", || reloads(gate) > before);
    serves_on();
    stand.allow_any("/api/v1/x", let_through);
}

pub(super) fn at_once(stand: &mut Stand) {
    stand.config(&accepting("[\"K1\"]"));
    let gate = stand.gate();
    let own = upstream(stand.origin());
    let write = |key: &str| {
        gate.write("keygate.toml", &(own.clone() + &accepting(&format!("[\"{key}\"]"))));
        gate.signal("HUP");
    };
    for number in 0..20 {
        write(&format!("a-key-number-{number}-of-many"));
    }
    write(K1);
    let request = with("a-key-number-19-of-many");
    wait_until("the last one has won", || {
        status(gate, VALID) == 200 && status(gate, &request) == 401
    });
    // Nothing that came before it comes after it.
    pause(Duration::from_millis(400));
    assert_eq!([status(gate, VALID), status(gate, &request)], [200, 401]);
    assert!(reloads(gate) <= 22, "{} reloads", reloads(gate));
    stand.allow_any("/api/v1/x", stand.arrived().len());
}
