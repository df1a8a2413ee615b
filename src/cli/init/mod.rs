//! `keygate init`: a commented starter folder with a fresh key.

mod folder;

use std::path::{Path, PathBuf};

use super::keys::{PREFIX, closed, generate, now};
use super::{Console, Failure};
use crate::config::types::Text;
use crate::config::{self, Environment};
use crate::keys::digest::Digest;
use crate::keys::file::written_moment;
use crate::plan::{self, UpstreamAddr};
use folder::Folder;

/// Arguments of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder: a new one, or one that is empty
    #[arg(value_name = "DIR")]
    folder: PathBuf,
    /// Where the API is: http://HOST:PORT, HOST:PORT or unix:PATH
    #[arg(long, value_name = "URL", default_value = UPSTREAM)]
    upstream: String,
}

/// The configuration that comes with keygate is the one to start from.
const CONFIG: &str = include_str!("../../../config/keygate.toml");
const PLUGIN: &str = include_str!("../../../config/plugins.key-auth.toml");
const README: &str = include_str!("README.md");

/// Where it forwards to.
const UPSTREAM: &str = "127.0.0.1:8000";

/// The id of the first key.
const ID: &str = "first";

/// Writes the folder, and prints the key, which stands nowhere else. What it cannot finish it takes
/// back.
pub fn run(args: &Args, console: &mut Console<'_>) -> Result<(), Failure> {
    let wrong = |message| Failure::usage(format!("error: --upstream: {message}"));
    UpstreamAddr::parse(&args.upstream).map_err(wrong)?;
    let (key, digest) = generate(PREFIX)?;
    let mut folder = Folder::make(&args.folder)?;
    for (name, text) in [
        ("keygate.toml", config(&args.upstream)),
        ("plugins.key-auth.toml", plugin()),
        ("keys.toml", keys(&digest)),
        ("README.md", README.to_owned()),
    ] {
        folder.write(name, &text)?;
    }
    check(&args.folder)?;
    writeln!(console.out, "{}", *key).and_then(|()| console.out.flush()).map_err(closed)?;
    folder.keep();
    let path = quoted(&args.folder);
    // The key is out, which is what matters.
    let _ = writeln!(
        console.notes,
        "made {path}; the key is shown this once. Next:\n  keygate check --config {path}\n  \
         keygate serve --config {path}"
    );
    Ok(())
}

/// What it is for, in place of what the file says of itself.
fn config(upstream: &str) -> String {
    let (_, tables) = CONFIG.split_once("\n\n").unwrap_or(("", CONFIG));
    // What looks like a variable is none here.
    let upstream = toml::Value::from(upstream.replace("${", "$${")).to_string();
    let tables = tables.replace(&format!("\"{UPSTREAM}\""), &upstream);
    format!(
        "# Everything under / needs a key, /health is open, and both go to one API. `keygate check`\n\
         # says who guards what; README.md says how to go on.\n\n{tables}"
    )
}

/// The same plugin, with a keys file instead of a key from the environment.
fn plugin() -> String {
    let line = |line: &str| match line.starts_with("keys = ") {
        true => "keys_file = \"keys.toml\"              # `keygate keys` changes it\n".to_owned(),
        false => format!("{line}\n"),
    };
    PLUGIN.lines().map(line).collect()
}

fn keys(digest: &Digest) -> String {
    format!(
        "# The keys. `keygate keys add`, `list`, `rotate` and `revoke` change this file, and so may \
         you: a\n# running gate takes a change at once.\n\n\
         [[key]]\nid = \"{ID}\"\nhash = \"{}\"\ncreated = {}\n",
        digest.written(),
        written_moment(now())
    )
}

/// What a gate would say to the folder: an upstream may be wrong in more ways than its form.
fn check(folder: &Path) -> Result<(), Failure> {
    let loaded = config::load(folder, &Environment::default());
    let compiled = loaded.and_then(|config| plan::compile(&config, None));
    compiled.map(|_| ()).map_err(|problems| Failure::usage(problems.to_string()))
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_alphanumeric() || "/._-+".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_says_of_itself_what_is_true() {
        let text = config("a.test:80");
        assert!(text.contains("\naddrs = [\"a.test:80\"]"), "{text}");
        assert!(!text.contains(UPSTREAM) && !text.contains("without options"), "{text}");
        assert!(!plugin().contains("API_KEY") && plugin().contains("\nkeys_file = "));
        assert_eq!(CONFIG.matches(UPSTREAM).count(), 1);
    }

    #[test]
    fn a_path_is_quoted_where_a_shell_would_read_it_otherwise() {
        for (path, expected) in
            [("api", "api"), ("../a-b/c.d", "../a-b/c.d"), ("a b", "'a b'"), ("a'b", "'a'\\''b'")]
        {
            assert_eq!(quoted(Path::new(path)), expected);
        }
    }
}
