//! Other people's clients: OpenSSL, curl and Python.

use std::process::{Command, Stdio};

use super::{secured, site};
use crate::support::reference::K1;
use crate::support::{Gate, Origin};

/// Runs a client and gives its exit code and what it printed.
fn run(program: &str, arguments: &[&str], gate: &Gate) -> (i32, String) {
    let mut command = Command::new(program);
    command.args(arguments).current_dir(gate.folder()).stdin(Stdio::null());
    let output = command.output().unwrap_or_else(|error| panic!("{program}: {error}"));
    let printed =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code().unwrap_or(-1), printed.concat())
}

#[test]
fn tls_1_2_and_1_3_are_spoken_and_nothing_older() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[("ca.pem", &authority.pem())]);
    let address = gate.address.to_string();
    for (version, expected) in [
        ("-tls1_3", Some("TLSv1.3")),
        ("-tls1_2", Some("TLSv1.2")),
        ("-tls1_1", None),
        ("-tls1", None),
    ] {
        let arguments = [
            "s_client",
            "-connect",
            &address,
            "-CAfile",
            "config/ca.pem",
            "-verify_return_error",
            "-verify_hostname",
            "localhost",
            "-brief",
            "-cipher",
            "ALL:@SECLEVEL=0",
            version,
        ];
        let (code, printed) = run("openssl", &arguments, &gate);
        match expected {
            Some(version) => {
                let line = format!("Protocol version: {version}");
                assert!(code == 0 && printed.contains(&line), "{printed}");
                assert!(printed.contains("Verification: OK"), "{printed}");
            }
            None => {
                // The gate itself says so, and not only this machine's OpenSSL.
                assert!(code != 0 && printed.contains("SSL alert number"), "{printed}");
            }
        }
    }
}

#[test]
fn curl_and_python_are_served() {
    let (origin, (authority, site)) = (Origin::echo(), site());
    let gate = secured(&origin, &site, "", &[("ca.pem", &authority.pem())]);
    let url = format!("https://localhost:{}/x", gate.address.port());
    let key = format!("X-API-Key: {K1}");
    let resolve = format!("localhost:{}:127.0.0.1", gate.address.port());
    let curl = ["-sS", "--resolve", &resolve, "--cacert", "config/ca.pem", "-H", &key, &url, &url];
    for (version, said) in [("--http1.1", "/x 1.1,/x 1.1,"), ("--http2", "/x 2,/x 2,")] {
        let written = ["-w", " %{http_version},", version];
        assert_eq!(run("curl", &[&curl[..], &written].concat(), &gate), (0, said.to_owned()));
    }
    let python = format!(
        "import ssl, urllib.request\n\
         context = ssl.create_default_context(cafile='config/ca.pem')\n\
         request = urllib.request.Request('https://127.0.0.1:{}/x')\n\
         request.add_header('X-API-Key', '{K1}')\n\
         print(urllib.request.urlopen(request, context=context).read().decode())",
        gate.address.port()
    );
    assert_eq!(run("python3", &["-c", &python], &gate), (0, "/x\n".to_owned()));
    let stranger = super::Authority::new();
    gate.write("ca.pem", &stranger.pem());
    let (code, _) = run("curl", &curl, &gate);
    // It cannot connect (35), or says that the certificate is none to believe (60).
    assert!([35, 60].contains(&code), "curl believes a certificate that it should not");
}
