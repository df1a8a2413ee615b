//! Where the router lets a path go, every server that reads it in its own way goes too: whatever
//! sequence of naive steps is taken, the result has the same guard as the chosen location.
#![no_main]

use http::Method;
use keygate::route::{Choice, PathPattern, Route, Router};
use libfuzzer_sys::fuzz_target;

const PATHS: [(usize, &str); 5] = [(1, "/api/v1"), (2, "/a/"), (0, "/b/"), (3, "=/e"), (0, "/")];

fn guard(path: &str) -> usize {
    let below = |folder: &str| path == folder || path.starts_with(&format!("{folder}/"));
    [(3, path == "/e"), (1, below("/api/v1")), (2, below("/a"))]
        .iter()
        .find(|(_, fits)| *fits)
        .map_or(0, |(guard, _)| *guard)
}

fn unquote(path: &str, kept: &str) -> String {
    let mut parts = path.split('%');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let hex = part.get(..2).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let byte = hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()).map(char::from);
        match byte.filter(|&byte| !kept.contains(byte)) {
            Some(byte) => text.extend([&String::from(byte), &part[2..]]),
            None => text.extend(["%", part]),
        }
    }
    text
}

fn resolve(path: &str) -> String {
    let mut kept = Vec::new();
    for segment in path.split('/').skip(1) {
        match segment {
            "." => {}
            ".." => drop(kept.pop()),
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

fn step(path: &str, server: u8) -> String {
    let segments = |change: fn(&str) -> &str| path.split('/').map(change).collect::<Vec<_>>();
    match server % 12 {
        0 => unquote(path, ""),
        1 => unquote(path, "/"),
        2 => unquote(path, "/\\"),
        3 => unquote(path, "/\\;?#\0"),
        4 => path.replace("%2f", "/").replace("%2F", "/"),
        5 => path.replace('\\', "/"),
        6 => path.replace("//", "/"),
        7 => resolve(path),
        8 => segments(|segment| segment.split(';').next().unwrap_or_default()).join("/"),
        9 => segments(str::trim_ascii_end).join("/"),
        10 => path.split(['?', '#', '\0']).next().unwrap_or_default().to_owned(),
        _ => path.to_ascii_lowercase(),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((servers, text)) = data.split_first_chunk::<6>() else { return };
    let text = text.iter().map(|byte| char::from(byte % 128));
    let path: String = text.filter(|c| c.is_ascii_graphic() && !"?#".contains(*c)).collect();
    let path = format!("/{path}");
    let routes = PATHS.map(|(guard, path)| {
        let path = PathPattern::parse(path).expect("a path");
        Route { path, hosts: vec![], methods: vec![], guard }
    });
    if let Choice::Location { index, .. } =
        Router::new(routes.to_vec()).choose(&Method::GET, Some("a.test"), &path)
    {
        let read = servers.iter().fold(path.clone(), |path, &server| step(&path, server));
        assert_eq!(guard(&path), PATHS[index].0, "{path:?} as it came");
        assert_eq!(guard(&read), PATHS[index].0, "{path:?} read as {read:?} by {servers:?}");
    }
});
