//! The configuration that most tests share: a header key, a query key, another key, an open path.

use super::{Gate, Origin};

/// The key of `/api/v1` (a header) and `/q/` (a parameter).
pub(crate) const K1: &str = "k1_9f86d081884c7d659a2feaa0c55ad015";
/// The key of `/admin/` (a header).
pub(crate) const K2: &str = "k2_2c26b46b68ffc68ff99b453c1d304134";

/// Keys of other configurations.
pub(crate) const K3: &str = "k3_2e7d2c03a9507ae265ecf5b5356885a5";
pub(crate) const K4: &str = "k4_18ac3e7343f016890c510e93f9352611";

/// Every key that a gate may show nowhere.
pub(crate) const KEYS: [&str; 4] = [K1, K2, K3, K4];

/// The locations of the reference configuration and their plugins, without an upstream.
pub(crate) const LOCATIONS: &str = r#"
[plugins.kh]
category = "key-auth"
header = "X-API-Key"
keys = ["K1"]
hide_credentials = true
[plugins.kq]
category = "key-auth"
query = "api_key"
keys = ["K1"]
hide_credentials = true
[plugins.k2]
category = "key-auth"
header = "X-API-Key"
keys = ["K2"]
hide_credentials = true

[locations.hdr]
path = "/api/v1"
upstream = "rec"
plugins = ["kh"]
[locations.qry]
path = "/q/"
upstream = "rec"
plugins = ["kq"]
[locations.admin]
path = "/admin/"
upstream = "rec"
plugins = ["k2"]
[locations.open]
path = "/public/"
upstream = "rec"
public = true
"#;

/// What makes the reference configuration dangerous: everything else is open.
pub(crate) const ROOT: &str = "
[locations.root]
path = \"/\"
upstream = \"rec\"
public = true
";

/// Puts the keys where `K1` and `K2` stand for them.
pub(crate) fn with_keys(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        rest = match rest.get(..2) {
            Some(b"K1") => extend(&mut out, K1, rest),
            Some(b"K2") => extend(&mut out, K2, rest),
            _ => {
                out.push(*first);
                tail
            }
        };
    }
    out
}

fn extend<'a>(out: &mut Vec<u8>, key: &str, rest: &'a [u8]) -> &'a [u8] {
    out.extend_from_slice(key.as_bytes());
    &rest[2..]
}

/// The table of an upstream `rec` that is this origin.
pub(crate) fn upstream(origin: &Origin) -> String {
    format!("[upstreams.rec]\naddrs = [\"{}\"]\n", origin.address)
}

/// The same as text.
pub(crate) fn keyed(text: &str) -> String {
    String::from_utf8(with_keys(text.as_bytes())).expect("keys are ASCII")
}

/// The reference configuration in front of an origin.
pub(crate) fn reference(origin: &Origin) -> String {
    upstream(origin) + &keyed(LOCATIONS)
}

/// A gate with the reference configuration.
#[track_caller]
pub(crate) fn guarded(origin: &Origin) -> Gate {
    Gate::on(&reference(origin))
}

/// A gate with the reference configuration, behind which everything else is open.
#[track_caller]
pub(crate) fn half_open(origin: &Origin) -> Gate {
    Gate::on(&(reference(origin) + ROOT))
}

/// A gate with one location `/` that asks for `K1` in `X-API-Key`; `more` is appended to the
/// location's table, and may go on with other tables.
#[track_caller]
pub(crate) fn simple(origin: &Origin, more: &str) -> Gate {
    Gate::on(&(upstream(origin) + &one_location("header = \"X-API-Key\"\n", more)))
}

/// A location `/` with one key-auth plugin that accepts `K1`; `source` begins the plugin's table.
pub(crate) fn one_location(source: &str, more: &str) -> String {
    keyed(&format!(
        "[plugins.key-auth]\n{source}keys = [\"K1\"]\nhide_credentials = true\n\
         [locations.all]\npath = \"/\"\nupstream = \"rec\"\nplugins = [\"key-auth\"]\n{more}"
    ))
}

/// A location `/` with these plugins, and their tables; it is public unless one of them is a
/// key-auth.
pub(crate) fn plugged(origin: &Origin, plugins: &[&str], tables: &str) -> String {
    let public = !plugins.iter().any(|plugin| plugin.starts_with("key-auth"));
    let location = format!(
        "[locations.all]\npath = \"/\"\nupstream = \"rec\"\npublic = {public}\n\
         plugins = {plugins:?}\n"
    );
    upstream(origin) + &location + &keyed(tables)
}
