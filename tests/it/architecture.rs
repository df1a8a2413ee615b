//! The invariants of ARCHITECTURE.md that can be read off the source.

use std::fs;
use std::path::Path;

use crate::tidy::{files_below, read, root, with_extension};

/// The code of every file of `src` without comments and unit tests, with its path from `src`.
fn code() -> Vec<(String, String)> {
    let folder = root().join("src");
    let files = with_extension(files_below("src"), "rs").into_iter();
    let files = files.map(|path| (name_of(&path, &folder), shipped(&read(&path))));
    let files: Vec<_> = files.filter(|(name, _)| !is_test_only(name, &folder)).collect();
    assert!(files.len() > 40, "only {} files were found", files.len());
    files
}

fn name_of(path: &Path, folder: &Path) -> String {
    path.strip_prefix(folder).unwrap_or(path).to_string_lossy().into_owned()
}

/// Whether the module that declares a file compiles it for tests only.
fn is_test_only(name: &str, folder: &Path) -> bool {
    let path = folder.join(name);
    let module = path.file_stem().unwrap_or_default().to_string_lossy();
    let parent = path.with_file_name("mod.rs");
    let declared = fs::read_to_string(parent).unwrap_or_default();
    declared.contains(&format!("#[cfg(test)]\nmod {module};"))
}

/// Leaves out comments, and the tests at the end of a file.
fn shipped(text: &str) -> String {
    let end = text.find("\n#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The files that hold a text.
fn holders(files: &[(String, String)], text: &str) -> Vec<String> {
    let holds = files.iter().filter(|(_, code)| code.contains(text));
    holds.map(|(name, _)| name.clone()).collect()
}

#[test]
fn only_compile_makes_a_plan() {
    let code = code();
    // The type itself, and the one place that makes a value of it.
    let makers = holders(&code, " Plan {\n");
    assert_eq!(makers, ["plan/compile.rs", "plan/mod.rs", "plan/renew.rs"]);
    for (file, count, what) in [("mod", 2, "its definition and methods"), ("renew", 1, "methods")] {
        let file = format!("plan/{file}.rs");
        let code = &code.iter().find(|(name, _)| *name == file).expect("it is there").1;
        assert_eq!(code.matches(" Plan {\n").count(), count, "{file}: {what}");
    }
}

#[test]
fn there_is_no_global_state() {
    for (name, code) in code() {
        let statics = code.lines().map(str::trim_start).filter(|line| {
            let item = line.trim_start_matches("pub ").trim_start_matches("pub(crate) ");
            item.starts_with("static ") || item.starts_with("thread_local!")
        });
        assert_eq!(statics.collect::<Vec<_>>(), [""; 0], "{name}");
    }
}

#[test]
fn there_is_one_way_in() {
    let code = code();
    assert_eq!(
        holders(&code, "pipeline::handle("),
        ["server/h1/exchange.rs", "server/h2/stream.rs"]
    );
    // The other servers are the demonstration's origin, and what tells of the gate itself.
    assert_eq!(holders(&code, "serve_connection("), ["admin/mod.rs", "cli/demo.rs"]);
    for deed in ["pipeline::", "decide::", "forward::", "upstream::"] {
        let admin = holders(&code, deed).into_iter().filter(|name| name.starts_with("admin/"));
        assert_eq!(admin.collect::<Vec<_>>(), [""; 0], "{deed}");
    }
    assert_eq!(holders(&code, "forward::send("), ["pipeline.rs"]);
}

#[test]
fn only_reply_chooses_a_status() {
    // What is asked of the gate itself is no request to the API, and the fuzzer answers nobody.
    let others = ["admin/", "fuzzing/"];
    let answers = |name: &str| !others.iter().any(|folder| name.starts_with(folder));
    let code: Vec<_> = code().into_iter().filter(|(name, _)| answers(name)).collect();
    for maker in ["status_mut(", ".status(StatusCode", "Response::builder("] {
        let makers = holders(&code, maker);
        // The other one copies what was chosen into the type that is sent.
        let may = |name: &str| name.starts_with("reply/") || name == "server/h2/response.rs";
        assert!(makers.iter().all(|name| may(name)), "{maker}: {makers:?}");
    }
    let named = holders(&code, "StatusCode::");
    // They ask whether a status is 101 or 103 or has no body, and log what was answered.
    let ask = ["forward/headers.rs", "forward/mod.rs", "pipeline.rs", "upstream/connection.rs"];
    let reads = ["http1/first_line.rs"];
    let more = ["observe/record.rs", "reply/cause.rs", "reply/mod.rs", "upstream/head.rs"];
    let plugins = ["plugin/key_auth/subprotocol.rs"];
    let counts = ["observe/metrics/labels.rs"];
    let shared = ["upstream/h2/head.rs", "upstream/h2/stream.rs"];
    let old = ["server/h1/exchange.rs", "server/h1/response/mod.rs"];
    let new = ["server/h2/response.rs", "server/h2/wire.rs"];
    let writers = [&old[..], &new].concat();
    let ask = [&ask[..], &more, &shared, &plugins, &counts, &reads, &writers].concat();
    assert!(named.iter().all(|name| ask.contains(&&**name)), "{named:?}");
}

#[test]
fn what_decides_does_nothing_else() {
    let decides = |name: &str| {
        ["explain/", "route/", "keys/", "limit/", "plugin/"]
            .iter()
            .any(|folder| name.starts_with(folder))
            || ["decide.rs", "query.rs", "upstream/balance.rs"].contains(&name)
    };
    let deeds =
        [".await", "async ", "tokio::", "std::fs", "std::net::Tcp", "std::thread", "std::io"];
    for (name, code) in code().into_iter().filter(|(name, _)| decides(name)) {
        for deed in deeds {
            assert!(!code.contains(deed), "{name} holds `{deed}`");
        }
    }
}

#[test]
fn secrets_cannot_be_shown_or_compared() {
    let code = code();
    for secret in ["Secret", "Digest", "Keyring", "Environment"] {
        for way in ["Display for", "PartialEq for", "PartialEq<", "LowerHex for", "Serialize for"] {
            let shown = holders(&code, &format!("{way} {secret} "));
            assert!(shown.is_empty(), "{way} {secret}: {shown:?}");
        }
        let definition = format!("struct {secret}");
        let file = code.iter().find(|(_, code)| defines(code, &definition));
        let (name, code) = file.unwrap_or_else(|| panic!("there is no {definition}"));
        let before = code.split(&definition).next().unwrap_or_default();
        let derived = before.rsplit("#[derive(").next().unwrap_or_default();
        let derived = derived.split_once(')').map_or("", |(derived, _)| derived);
        assert!(!derived.contains("PartialEq") && !derived.contains("Debug"), "{name}: {derived}");
    }
}

fn defines(code: &str, definition: &str) -> bool {
    let after = code.split(definition).nth(1).and_then(|rest| rest.chars().next());
    after.is_some_and(|next| !next.is_alphanumeric())
}

#[test]
fn the_tests_that_the_architecture_names_exist() {
    let page = read(&root().join("ARCHITECTURE.md"));
    let (_, table) = page.split_once("| checked by |").expect("there is a table");
    let sources = with_extension(files_below("src"), "rs");
    let units: String = sources.iter().map(|path| read(path)).collect();
    let tests = table.split('`').skip(1).step_by(2).filter_map(|word| word.rsplit_once("::"));
    let tests: Vec<_> = tests.collect();
    assert!(tests.len() > 12, "only {} tests were found in the table", tests.len());
    for (topic, test) in tests {
        let topic_path = topic.replace("::", "/");
        let file = root().join(format!("tests/it/{topic_path}.rs"));
        let folder = root().join(format!("tests/it/{topic_path}/mod.rs"));
        let file = if file.exists() { file } else { folder };
        let code = if topic.ends_with("::tests") { units.clone() } else { read(&file) };
        assert!(code.contains(&format!("fn {test}()")), "there is no test {topic}::{test}");
    }
}
