//! What is said of certificates and keys that cannot be used, before anything is served.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::{ONE_SITE, site};
use crate::support::tls::{Authority, Certificate};
use crate::support::{Canaries, Output, run};

/// Everything else that a configuration needs.
const REST: &str = "[upstreams.a]\naddrs = [\"127.0.0.1:1\"]\n\
                    [locations.a]\npath = \"/\"\nupstream = \"a\"\npublic = true\n";

/// Runs `check` on a folder with these files, and sees that nothing of a key comes out.
#[track_caller]
fn check(site: &Certificate, more: &str) -> Output {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    write(folder.path(), site, more);
    let output = run(&["check", "--config", "."], folder.path(), &[]);
    let lines: Vec<_> = site.key.lines().filter(|line| !line.starts_with("-----")).collect();
    let canaries = Canaries::of(&lines);
    for text in [&output.stdout, &output.stderr] {
        assert!(canaries.found_in(text.as_bytes()).is_none(), "a private key came out: {text}");
    }
    output
}

fn write(folder: &Path, site: &Certificate, more: &str) {
    let config = format!("{ONE_SITE}{more}{REST}");
    for (name, text) in
        [("keygate.toml", &config), ("site.pem", &site.cert), ("site.key", &site.key)]
    {
        fs::write(folder.join(name), text).expect("the folder can be written");
    }
    let private = fs::Permissions::from_mode(0o600);
    fs::set_permissions(folder.join("site.key"), private).expect("it is ours");
}

/// What is said of a pair, and where: under `cert` or under `key`.
#[track_caller]
fn says(site: &Certificate, column: usize, message: &str) {
    let output = check(site, "");
    let place = format!("--> ./keygate.toml:4:{column}\n");
    let said = output.stderr.contains(message) && output.stderr.contains(&place);
    assert!(output.code == Some(1) && said, "{message}: {output:?}");
}

/// Where the two values stand in the line of [`ONE_SITE`].
const CERT: usize = 26;
const KEY: usize = 44;

/// A key that openssl makes.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().expect("there is an openssl");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("PEM is text")
}

#[test]
pub(crate) fn a_pair_that_cannot_be_used_is_an_error_with_its_place() {
    let (authority, site) = site();
    let with_key = |key: String| Certificate { key, ..site.clone() };
    let with_cert = |cert: String| Certificate { cert, ..site.clone() };
    says(&with_key(String::new()), KEY, "there is no private key in this file");
    says(&with_key(site.cert.clone()), KEY, "there is no private key in this file");
    says(&with_cert(String::new()), CERT, "there is no certificate in this file");
    says(&with_cert(site.key.clone()), CERT, "there is no certificate in this file");
    let cut = site.cert.replace("-----END", "--END");
    says(&with_cert(cut), CERT, "no certificate");
    let hollow = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    says(&with_cert(hollow.to_owned()), CERT, "no certificate");
    let other = authority.issue(&["localhost"]);
    says(&with_key(other.key), CERT, "this certificate and the private key do not belong together");
    let order = with_cert(authority.pem() + &site.cert);
    says(&order, CERT, "the certificates in this file are in the wrong order");
    let weak = openssl(&["genrsa", "1024"]);
    says(&with_key(weak), KEY, "this private key cannot be used for TLS");
    let locked = ["genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-aes256"];
    let locked = openssl(&[&locked[..], &["-pass", "pass:hunter22"]].concat());
    says(&with_key(locked), KEY, "this private key is encrypted");
    let locked =
        openssl(&["genrsa", "-traditional", "-aes256", "-passout", "pass:hunter22", "2048"]);
    says(&with_key(locked), KEY, "this private key is encrypted");
}

#[test]
pub(crate) fn files_that_are_not_there_are_all_named_at_once() {
    let (_, site) = site();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    write(folder.path(), &site, "client_ca = \"none.pem\"\n");
    for name in ["site.pem", "site.key"] {
        fs::remove_file(folder.path().join(name)).expect("it is there");
    }
    let output = run(&["check", "--config", "."], folder.path(), &[]);
    assert_eq!(output.stderr.matches("error: cannot read the file").count(), 3, "{output:?}");
}

#[test]
fn a_certificate_out_of_its_time_draws_a_warning() {
    let authority = Authority::new();
    for (from, until, said) in [
        (2001, 2002, "this certificate is valid no more since Tue, 01 Jan 2002 00:00:00 GMT"),
        (2090, 2091, "this certificate is not valid before Sun, 01 Jan 2090 00:00:00 GMT"),
        (2020, 2100, ""),
    ] {
        let output = check(&authority.issue_between(&["localhost"], from, until), "");
        assert_eq!(output.code, Some(0), "{output:?}");
        let warned = output.stdout.contains("this certificate is");
        let right = output.stdout.contains(said) && warned != said.is_empty();
        assert!(right, "{said}: {output:?}");
    }
}

#[test]
fn a_private_key_that_others_can_read_draws_a_warning() {
    let (_, site) = site();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    write(folder.path(), &site, "");
    let key = folder.path().join("site.key");
    fs::set_permissions(key, fs::Permissions::from_mode(0o644)).expect("it is ours");
    let output = run(&["check", "--config", "."], folder.path(), &[]);
    let said = "warning: other users of this machine can read this private key";
    assert!(output.code == Some(0) && output.stdout.contains(said), "{output:?}");
}

#[test]
fn client_certificates_need_an_authority() {
    let (authority, site) = site();
    let output = check(&site, "client_certificates = \"optional\"\n");
    let said = "it is not said whose certificates clients may show";
    assert!(output.code == Some(1) && output.stderr.contains(said), "{output:?}");
    let output = check(&site, "client_ca = \"site.key\"\n");
    assert!(output.stderr.contains("there is no certificate in this file"), "{output:?}");
    let own = Certificate { cert: site.cert.clone() + &authority.pem(), ..site };
    assert_eq!(check(&own, "client_ca = \"site.pem\"\n").code, Some(0));
}

#[test]
fn a_private_key_in_the_configuration_itself_is_not_repeated() {
    let (_, site) = site();
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let key = site.key.replace('\n', "\\n");
    let config = format!(
        "[server.tls]\ncertificates = [{{ cert = \"site.pem\", key = \"{key}\" }}]\n{REST}"
    );
    fs::write(folder.path().join("keygate.toml"), config).expect("the folder can be written");
    let output = run(&["check", "--config", "."], folder.path(), &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let lines: Vec<_> = site.key.lines().filter(|line| !line.starts_with("-----")).collect();
    assert!(Canaries::of(&lines).found_in(output.stderr.as_bytes()).is_none(), "{output:?}");
}
