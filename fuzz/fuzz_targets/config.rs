//! Whatever stands in the files of a folder, nothing that is said about them holds a part of a key,
//! and what compiles is guarded, or public as it was written.
#![no_main]

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::{Instant, SystemTime};

use keygate::config::{self, Environment};
use keygate::head::RequestHead;
use keygate::plan::{self, Plan};
use keygate::plugin::Cx;
use libfuzzer_sys::fuzz_target;

/// What the bytes 1 to 3 stand for, so that the fuzzer can put whole keys anywhere.
const PIECES: [&str; 3] = [
    "kg_7Hq2ZpXv9LmT4sRb8WcYd6NfJ3gKe5VuAoQ1iPxSzBt",
    "keys = [\"correct horse battery staple\"]",
    "${SECRET}",
];
const SECRETS: [&str; 3] =
    [PIECES[0], "correct horse battery staple", "env_51f0c9Lw8ZkQm3XvTy7RbNd2HsJp"];

/// The names of the files, in the order of the parts of the input between zero bytes.
const FILES: [&str; 3] = ["keygate.toml", "plugins.key-auth.toml", "z.toml"];

static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
    let base = Some(PathBuf::from("/dev/shm")).filter(|memory| memory.is_dir());
    let folder = base.unwrap_or_else(std::env::temp_dir);
    let folder = folder.join(format!("keygate-fuzz-{}", std::process::id()));
    fs::create_dir_all(&folder).expect("a folder can be made");
    folder
});

fn expand(part: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    for &byte in part {
        match byte {
            1..=3 => text.extend_from_slice(PIECES[usize::from(byte) - 1].as_bytes()),
            byte => text.push(byte),
        }
    }
    text
}

/// The first part of a key that helps a guesser, if there is one.
fn part_of_key(text: &[u8]) -> Option<&'static str> {
    let mut parts =
        SECRETS.iter().flat_map(|secret| (8..=secret.len()).map(|end| &secret[end - 8..end]));
    parts.find(|part| text.windows(8).any(|window| window == part.as_bytes()))
}

#[track_caller]
fn holds_no_key(said: &str) {
    assert_eq!(part_of_key(said.as_bytes()), None, "a part of a key is in:\n{said}");
}

/// The locations as they were written, and whether each says that it is public.
fn written(texts: &[Vec<u8>]) -> BTreeMap<String, bool> {
    let mut locations = BTreeMap::new();
    for text in [&texts[0], &texts[2]] {
        let text = str::from_utf8(text).expect("it was read").trim_start_matches('\u{feff}');
        let table: toml::Table = text.parse().expect("it was read");
        for (name, location) in
            table.get("locations").and_then(|all| all.as_table()).into_iter().flatten()
        {
            let public = location.get("public").and_then(toml::Value::as_bool);
            locations.insert(name.clone(), public == Some(true));
        }
    }
    locations
}

/// Whether a location lets a request without a key go on.
fn is_open(location: &plan::Location) -> bool {
    let mut head = RequestHead::default();
    let mut cx = Cx::new(None, Instant::now(), SystemTime::now());
    let mut verdicts = location.plugins.iter().map(|plugin| plugin.request(&mut head, &mut cx));
    verdicts.all(|verdict| verdict.is_continue())
}

fn check(plan: &Plan, texts: &[Vec<u8>]) {
    let written = written(texts);
    assert_eq!(plan.locations.len(), written.len());
    for location in &plan.locations {
        let public = written[&*location.name];
        assert_eq!(public, location.plugins.is_empty(), "{}", location.name);
        assert_eq!(public, is_open(location), "{}", location.name);
    }
    plan.warnings.iter().for_each(|warning| holds_no_key(&warning.to_string()));
}

fuzz_target!(|data: &[u8]| {
    // A part that the fuzzer has learned stands for no key.
    if part_of_key(data).is_some() {
        return;
    }
    let mut parts = data.splitn(3, |&byte| byte == 0).map(expand);
    let texts: [Vec<u8>; 3] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    for (name, text) in FILES.iter().zip(&texts) {
        let path = FOLDER.join(name);
        // An empty file of a plugin is one without a key.
        if text.is_empty() && *name != FILES[0] {
            let _ = fs::remove_file(path);
        } else {
            fs::write(path, text).expect("the folder can be written");
        }
    }
    let environment = Environment::from_iter([("SECRET", SECRETS[2])]);
    let compiled =
        config::load(&FOLDER, &environment).and_then(|config| plan::compile(&config, None));
    match compiled {
        Ok(plan) => check(&plan, &texts),
        Err(problems) => problems.0.iter().for_each(|problem| holds_no_key(&problem.to_string())),
    }
});
