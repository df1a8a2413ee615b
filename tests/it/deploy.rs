//! What is in `deploy/`: the configurations in it are right, and the units as tight as they say.
//! `scripts/check-deploy.sh` tries the rest, with a tool for each kind of file.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::reference::K1;
use crate::support::run;
use crate::tidy::{files_below, read, root};

/// A configuration must be right, with a keys file of one key for the one that it names.
#[track_caller]
fn check(name: &str, config: &str) {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let (before, rest) = config.split_once("keys_file = \"").expect("it has a keys file");
    let (_, after) = rest.split_once('"').expect("the string ends");
    let config = format!("{before}keys_file = \"keys.toml\"{after}");
    fs::write(folder.path().join("keygate.toml"), config).expect("the folder can be written");
    let keys = run(&["keys", "add", "first", "--file", "keys.toml"], folder.path(), &[]);
    assert_eq!(keys.code, Some(0), "{keys:?}");
    let output = run(&["check", "--config", "keygate.toml"], folder.path(), &[]);
    assert_eq!(output.code, Some(0), "{name}: {}", output.stderr);
    assert!(output.stdout.contains("key-auth"), "{name}: nothing is guarded: {}", output.stdout);
}

/// The text of `keygate.toml` in a ConfigMap.
fn in_config_map(manifest: &str) -> String {
    let (_, below) = manifest.split_once("  keygate.toml: |\n").expect("there is a ConfigMap");
    let lines = below.lines().take_while(|line| line.is_empty() || line.starts_with("    "));
    lines.map(|line| format!("{}\n", line.trim_start())).collect()
}

#[test]
fn every_configuration_is_right() {
    let deploy = root().join("deploy");
    for place in ["docker/keygate.toml", "debian/keygate.toml"] {
        check(place, &read(&deploy.join(place)));
    }
    let manifests = files_below("deploy/kubernetes");
    assert_eq!(manifests.len(), 2);
    for manifest in manifests {
        check(&manifest.display().to_string(), &in_config_map(&read(&manifest)));
    }
}

/// The probes of a manifest, a compose file or an image go to the ports of its configuration.
#[test]
fn ports_are_the_same_on_both_sides() {
    let deploy = root().join("deploy");
    for place in ["kubernetes/sidecar.yaml", "kubernetes/gateway.yaml"] {
        let manifest = read(&deploy.join(place));
        for port in ["8080", "9090"] {
            assert!(manifest.contains(&format!("listen = \"0.0.0.0:{port}\"")), "{place}: {port}");
            assert!(manifest.contains(&format!("containerPort: {port} ")), "{place}: {port}");
        }
    }
    let (image, config) =
        (read(&deploy.join("docker/Dockerfile")), read(&deploy.join("docker/keygate.toml")));
    assert!(image.contains("KEYGATE_ADMIN=127.0.0.1:9090") && image.contains("EXPOSE 8080"));
    assert!(config.contains("\"127.0.0.1:9090\"") && config.contains("\"0.0.0.0:8080\""));
}

/// A tool of systemd with these arguments, and everything that it says.
fn systemd_analyze(arguments: &[&str]) -> String {
    let output = Command::new("systemd-analyze").args(arguments).output();
    let output = output.expect("scripts/test-deps.sh installs systemd");
    let texts =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    texts.join("\n")
}

#[test]
fn the_service_may_do_little() {
    let unit = root().join("deploy/systemd/keygate.service");
    let told = systemd_analyze(&["security", "--offline=true", &unit.display().to_string()]);
    let level = told.split("exposure level for keygate.service: ").nth(1);
    let level = level.and_then(|rest| rest.split(' ').next()?.parse::<f64>().ok());
    assert!(level.is_some_and(|level| level < 2.0), "{told}");
}

#[test]
fn systemd_understands_its_units() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    for name in ["keygate.service", "keygate.socket"] {
        let unit = read(&root().join("deploy/systemd").join(name));
        let unit = unit.replace("/usr/bin/keygate", env!("CARGO_BIN_EXE_keygate"));
        fs::write(folder.path().join(name), unit).expect("the folder can be written");
    }
    let path = |name: &str| folder.path().join(name).display().to_string();
    let told = systemd_analyze(&[
        "verify",
        "--man=no",
        "--recursive-errors=no",
        &path("keygate.service"),
        &path("keygate.socket"),
    ]);
    // systemd 252 and before do not know this type; docs/deploy.md says what to do there.
    let faults =
        told.lines().filter(|line| !line.is_empty() && !line.contains("ignoring: notify-reload"));
    assert_eq!(faults.collect::<Vec<_>>(), Vec::<&str>::new());
}

/// What `keygate man` and `keygate completions` write.
#[test]
fn every_command_has_a_page_and_is_completed() {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let output = run(&["man", "."], folder.path(), &[]);
    assert_eq!((output.code, &*output.stdout), (Some(0), ""), "{output:?}");
    let page = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap_or_default();
    for command in ["", "-serve", "-check", "-keys-add", "-healthcheck", "-man"] {
        let text = page(&format!("keygate{command}.1"));
        assert!(text.starts_with(".ie") && text.contains(".SH NAME"), "keygate{command}.1: {text}");
    }
    assert!(page("keygate-serve.1").contains("\\-\\-upstream"), "{}", page("keygate-serve.1"));
    assert_eq!(run(&["man"], folder.path(), &[]).stdout, page("keygate.1"));
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = run(&["completions", shell], folder.path(), &[]);
        assert_eq!(output.code, Some(0), "{output:?}");
        assert!(output.stdout.contains("upstream") && output.stdout.contains("revoke"), "{shell}");
    }
    let nowhere = run(&["man", "nowhere"], folder.path(), &[]);
    assert_eq!(nowhere.code, Some(3), "{nowhere:?}");
}

/// A key in the environment stands in no page: the values of variables are hidden there.
#[test]
fn a_page_holds_no_value_of_a_variable() {
    let variables = [("API_KEY", K1), ("KEYGATE_UPSTREAM", "http://secret.test")];
    let output = run(&["man"], Path::new("."), &variables);
    assert!(output.code == Some(0) && !output.stdout.contains("secret.test"), "{output:?}");
}
