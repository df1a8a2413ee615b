//! Holds the router against servers that read a path in their own way, written without its code.

use http::Method;
use proptest::prelude::*;

use super::tests::{OPEN_ROOT, router};
use super::*;

/// What one server does to a path. A path is a string whose characters are its bytes, so that the
/// standard library's string functions can do the work.
const SERVERS: &[fn(&str) -> String] = &[
    // Java's and Python's `unquote`, Envoy's unreserved characters, an escaped slash only (Envoy's
    // UNESCAPE_AND_FORWARD), all but the slash (Tomcat's passthrough), all but both slashes.
    |path| unquote(path, |_| true),
    |path| unquote(path, |c| c.is_ascii_alphanumeric() || "-._~".contains(c)),
    |path| path.replace("%2f", "/").replace("%2F", "/"),
    |path| unquote(path, |c| c != '/'),
    |path| unquote(path, |c| !"/\\".contains(c)),
    |path| path.replace('\\', "/"),
    |path| {
        let mut path = path.to_owned();
        while path.contains("//") {
            path = path.replace("//", "/");
        }
        path
    },
    resolve,
    |path| each_segment(path, |segment| segment.split(';').next().unwrap_or("").to_owned()),
    |path| each_segment(path, |segment| segment.trim_end_matches(' ').to_owned()),
    |path| {
        each_segment(path, |segment| match segment {
            "." | ".." => segment.to_owned(),
            _ => segment.trim_end_matches([' ', '.']).to_owned(),
        })
    },
    |path| path.split('\0').next().unwrap_or("").to_owned(),
    |path| path.split('?').next().unwrap_or("").to_owned(),
    |path| path.split('#').next().unwrap_or("").to_owned(),
    |path| path.replace("\u{c0}\u{ae}", ".").replace("\u{c0}\u{af}", "/"),
    |path| path.replace("%u002e", ".").replace("%u002f", "/"),
    |path| match path.strip_prefix("//").map(|rest| rest.split_once('/')) {
        Some(Some((_, path))) => format!("/{path}"),
        Some(None) => "/".to_owned(),
        None => path.to_owned(),
    },
    |path| path.to_ascii_lowercase(),
    |path| match path.strip_suffix('/') {
        Some("") | None => path.to_owned(),
        Some(path) => path.to_owned(),
    },
];

fn unquote(path: &str, decoded: impl Fn(char) -> bool) -> String {
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap_or("").to_owned();
    for part in parts {
        let byte = part.get(..2).filter(|hex| !hex.starts_with('+'));
        let byte = byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(char::from);
        match byte.filter(|&byte| decoded(byte)) {
            Some(byte) => text.extend([&String::from(byte), &part[2..]]),
            None => text.extend(["%", part]),
        }
    }
    text
}

/// The way a file system does it: walk down, and up again.
fn resolve(path: &str) -> String {
    let mut depths = vec![String::new()];
    let mut last = "";
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." if depths.len() > 1 => drop(depths.pop()),
            ".." => {}
            _ => depths.push(format!("{}/{segment}", depths[depths.len() - 1])),
        }
        last = segment;
    }
    let path = depths.pop().unwrap_or_default();
    if path.is_empty() || matches!(last, "." | "..") { path + "/" } else { path }
}

fn each_segment(path: &str, change: impl Fn(&str) -> String) -> String {
    path.split('/').map(change).collect::<Vec<_>>().join("/")
}

/// The guard of a path at the open root of the other tests, as its author would say it.
fn guard(path: &str) -> usize {
    let below = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    match path {
        _ if path == "/exact" => 3,
        _ if below("/api/v1") => 1,
        _ if below("/admin") => 2,
        _ => 0,
    }
}

/// Paths that are likely to be read in many ways.
fn path() -> impl Strategy<Value = String> {
    const TOKENS: &[&str] = &[
        "/",
        "/",
        "/",
        "/",
        "admin",
        "admin",
        "public",
        "api",
        "v1",
        "exact",
        "x",
        ".",
        "..",
        "..",
        "%2e",
        "%2E%2e",
        "%2f",
        "%2F",
        "%5c",
        "\\",
        "%61",
        "Admin",
        ";",
        ";a=b",
        "%3b",
        "%25",
        "%00",
        "%20",
        "%23",
        "%3f",
        "//",
        "%c0%ae",
        "%c0%af",
        "%u002e",
        "%u002f",
        "%",
        "/../",
        "/admin/",
        "/public/../",
        "a.test",
    ];
    prop::collection::vec(prop::sample::select(TOKENS), 0..12)
        .prop_map(|tokens| format!("/{}", tokens.concat()))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_server_takes_a_path_to_another_guard(
        path in path(),
        orders in prop::collection::vec(prop::collection::vec(0..SERVERS.len(), 1..7), 32),
    ) {
        let routes = router(OPEN_ROOT);
        if let Choice::Location { index, also } = routes.choose(&Method::GET, None, &path) {
            let chosen = routes.routes[index].guard;
            prop_assert!(also.iter().all(|&index| routes.routes[index].guard == chosen));
            prop_assert_eq!(guard(&path), chosen, "as it came");
            for order in orders {
                let read = order.iter().fold(path.clone(), |path, &server| SERVERS[server](&path));
                prop_assert_eq!(guard(&read), chosen, "{:?} read as {:?}", order, read);
            }
        }
    }

    #[test]
    fn a_path_of_plain_segments_has_one_reading(
        path in "(/[a-z0-9_~!$&'()*+,=:@-][a-z0-9._~:@-]{0,6}[a-z0-9-]){1,5}/?"
    ) {
        prop_assert_eq!(Shape::of(path.as_bytes()), Shape { plain: true, upper: false });
        let readings = readings::readings(path.clone().into_bytes());
        prop_assert_eq!(readings, Some(vec![path.into_bytes()]));
    }

    #[test]
    fn the_quick_look_misses_no_path_with_several_readings(path in path()) {
        let shape = Shape::of(path.as_bytes());
        let readings = readings::readings(path.into_bytes());
        prop_assert!(!shape.plain || readings.is_some_and(|readings| readings.len() == 1));
    }
}

#[test]
fn an_escaped_slash_may_be_kept_while_the_rest_is_decoded() {
    let readings = readings::readings(b"/a%2Fb%3Fx".to_vec()).expect("there are few");
    assert!(readings.contains(&b"/a%2Fb".to_vec()), "cut where the escaped ? was");
}
