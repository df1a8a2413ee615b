//! The configuration: what is accepted, what is refused and how, and that no key is shown.

mod files;
mod masking;
pub(crate) mod mistakes;
mod valid;
mod without_files;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::support::{Output, run};

/// What a configuration needs besides what a test is about.
pub(super) const BASE: &str = r#"
[upstreams.app]
addrs = ["127.0.0.1:8000"]

[plugins.key-auth]
header = "X-API-Key"
keys = ["pz7Qm2Vx9Lk4Rt6Wn8Yb3Hd5Jf1Gs0Ac"]
hide_credentials = true

[locations.app]
path = "/"
upstream = "app"
plugins = ["key-auth"]
"#;

/// Writes files into a new folder.
pub(super) fn folder(files: &[(&str, &[u8])]) -> TempDir {
    let folder = TempDir::new().expect("a folder can be made");
    for (name, bytes) in files {
        let path = folder.path().join(name);
        fs::create_dir_all(path.parent().expect("a file is in a folder")).expect("it can be made");
        fs::write(&path, bytes).expect("a file can be written");
        set_mode(&path, 0o600);
    }
    folder
}

/// Says who may read a file.
pub(super) fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, Permissions::from_mode(mode)).expect("the file is ours");
}

/// What `keygate check` says of the folder `config` in this folder.
#[track_caller]
pub(super) fn check_in(folder: &Path, env: &[(&str, &str)]) -> Output {
    let output = run(&["check", "--config", "config"], folder, env);
    assert!(!output.stderr.contains("panicked"), "{output:?}");
    output
}

/// What `keygate check` says of these files.
#[track_caller]
pub(crate) fn check(files: &[(&str, &str)], env: &[(&str, &str)]) -> Output {
    let names: Vec<_> = files.iter().map(|(name, _)| format!("config/{name}")).collect();
    let texts = files.iter().map(|(_, text)| text.as_bytes());
    let files: Vec<_> = names.iter().map(String::as_str).zip(texts).collect();
    check_in(folder(&files).path(), env)
}
