//! No key is shown, whatever is wrong.
//!
//! Each file is wrong in another way and holds `KEY` where a key may have got to. The errors must
//! be there, and no eight bytes of the key with them.

use std::fs;
use std::path::Path;

use keygate::config::{self, Environment};
use keygate::plan;

use super::{check, folder};

/// Keys of different looks: random, with every sort of character, a passphrase, a UUID, one of
/// keygate's own, which could be the name of a variable.
const KEYS: [&str; 5] = [
    "sk-live-9fK2mQ7xV4cL8hT3sB6yW1zR5nP0eD",
    "p+Sw0rd/Fish=Hunter2|%Zq~!&(x)*y;z:w,v^u",
    "correct horse battery staple",
    "f47ac10b-58cc-4372-a567-0e02b2c3d479",
    "kg_7Hq2ZpXv9LmT4sRb8WcYd6NfJ3gKe5VuAoQ1iPxSzBt0aB3cD4",
];

/// How much of a key would help a guesser.
const WINDOW: usize = 8;

#[track_caller]
fn assert_hidden(key: &str, output: &str, about: &str) {
    let windows = key.as_bytes().windows(WINDOW);
    for window in windows.map(String::from_utf8_lossy) {
        assert!(!output.contains(&*window), "{window:?} is shown:\n{output}\nfor:\n{about}");
    }
}

#[track_caller]
fn hides_in(file: &str, template: &str) {
    hides(&KEYS, file, template);
}

#[track_caller]
fn hides(keys: &[&str], file: &str, template: &str) {
    for key in keys {
        let text = template.replace("KEY", key);
        let output = check(&[("base.toml", BASE), (file, &text)], &[("SECRET", key)]);
        assert_eq!(output.code, Some(1), "{text}\n{output:?}");
        assert_hidden(key, &(output.stdout + &output.stderr), &text);
    }
}

/// What a wrong file stands beside; it uses the plugin `key-auth` of that file.
const BASE: &str = r#"
[upstreams.app]
addrs = ["127.0.0.1:8000"]

[locations.app]
path = "/"
upstream = "app"
plugins = ["key-auth"]
"#;

#[test]
fn in_a_plugin_with_wrong_fields() {
    for template in [
        "header = \"X-Key\"\nkyes = [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys = \"KEY\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\", 5]\n",
        "header = \"X-Key\"\nkeys = [5, \"KEY\"]\n",
        "header = \"X-Key\"\nkeys = [[\"KEY\"]]\n",
        "header = \"X-Key\"\nkeys = { \"KEY\" = \"alice\" }\n",
        "header = \"X-Key\"\nkeys = { alice = \"KEY\" }\n",
        "header = \"X-Key\"\nkeys = { \"KEY\" = { x = \"KEY\" } }\n",
        "header = \"X-Key\"\n[keys]\n\"KEY\" = \"alice\"\n",
        "header = \"X-Key\"\n[keys]\nalice = \"KEY\"\n",
        "header = \"X-Key\"\n[[keys]]\nalice = \"KEY\"\n",
        "header = \"X-Key\"\n[keys.\"KEY\"]\nalice = 1\n",
        "header = \"X-Key\"\n[keys.\"KEY\".a]\n[keys.\"KEY\".b]\nalice = 1\n",
        "header = \"X-Key\"\n\"KEY\" = true\nkeys = [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"\"\"KEY\"\"\", 1]\n",
        "header = \"X-Key\"\nkeys = ['''KEY''', 1]\n",
        "header = \"X-Key\"\nkyes = [\n  \"KEY\",\n]\n",
        "header = \"X-Key\"\nkeys = [\n  5, # was KEY\n  \"KEY\",\n]\n",
        "header = \"X-Key\"\nkeys = [ # KEY\n  \"\", \"KEY\" # KEY\n]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nhide_credentials = \"KEY\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nhide_credentials = \"yes\" # KEY\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nunknown = \"\"\"\nKEY\nKEY\"\"\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\ndelay = 5 ; keys = [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nerrors = { format = \"x\", mising = \"KEY\" }\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nerrors = { \"KEY\" = \"KEY\" }\n",
        "header = \"X-Key\"\nkeys = [\"KEY\", \"${UNSET_VARIABLE}\"]\n",
        "header = \"X-Key\"\nkeys = [\"${SECRET}\", 5]\n",
        "header = \"X-Key\"\nkeys = [\"KEY${\"]\n",
        "header = \"X-Key\"\nkeys = [\"${KEY}\", \"${KEY\"]\nx = 1\n",
        "header = \"X-Key\"\nkeys = \"${SECRET}\"\n",
        "header = \"X-Key\"\nsecret = \"KEY\"\ntoken = \"KEY\"\npassword = \"KEY\"\n",
        "header = { name = \"X-Key\", value = \"KEY\" }\nkeys = [\"KEY\"]\n",
        "headers = [\"X-Key: KEY\"]\nkeys = [\"KEY\"]\n",
        "category = \"key-auht\"\nkeys = [\"KEY\"]\n",
        "category = \"${SECRET}\"\nkeys = [\"KEY\"]\n",
        "[plugins.key-auth]\nheader = \"X-Key\"\nkeys = [\"KEY\"]\n",
    ] {
        hides_in("plugins.key-auth.toml", template);
    }
}

#[test]
fn in_a_plugin_whose_settings_contradict() {
    for template in [
        "header = \"X-Key\"\nkeys = [\"KEY\", \"KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\", \"\"]\n",
        "header = \"X-Key\"\nkeys = [\" KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY \"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\\n\"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\\u0007\"]\n",
        "header = \"X-Key\"\nkeys = [\"sha256:KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"${SECRET}\", \"${SECRET}\"]\n",
        "header = \"X-Key\"\nkeys = [\" ${SECRET}\"]\n",
        "header = \"X-Key\"\nquery = \"k\"\nkeys = [\"KEY\"]\n",
        "keys = [\"KEY\"]\n",
        "header = \"Host\"\nkeys = [\"KEY\"]\n",
        "header = \"KEY!:\"\nkeys = [\"KEY\"]\n",
        "header = \"${SECRET}!:\"\nkeys = [\"KEY\"]\n",
        "query = \"KEY&\"\nkeys = [\"KEY\"]\n",
        "query = \"${SECRET}&\"\nkeys = [\"KEY\"]\n",
        "sources = [\"KEY\"]\nkeys = [\"KEY\"]\n",
        "sources = [\"cookie:KEY;\"]\nkeys = [\"KEY\"]\n",
        "sources = [\"header:${SECRET}:\"]\nkeys = [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nscheme = \"${SECRET}: :\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nmax_failures = \"KEY\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\ndelay = \"KEY\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nrealm = \"KEY\\u0007\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nerrors = \"KEY\"\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nerrors = { format = \"KEY\" }\n",
        "header = \"X-Key\"\nkeys_file = \"KEY\"\n",
    ] {
        hides_in("plugins.key-auth.toml", template);
    }
}

#[test]
fn in_a_file_that_is_no_toml() {
    for template in [
        "header = \"X-Key\"\nkeys = [\"KEY]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"\n",
        "header = \"X-Key\"\nkeys = [KEY]\n",
        "header = \"X-Key\"\nkeys = [\nKEY\n]\n",
        "header = \"X-Key\"\nkeys = [\n\"KEY\n\"KEY\"]\n",
        "header = \"X-Key\"\nkeys = \"KEY\n",
        "header = \"X-Key\"\nkeys = 'KEY\n",
        "header = \"X-Key\"\nkeys = \"\"\"\nKEY\nKEY\n",
        "header = \"X-Key\"\nkeys = \"\"\"\nlisten = KEY\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]]\n",
        "header = \"X-Key\"\nkeys = [\"\\qKEY\"]\n",
        "header = \"X-Key\"\nkeys [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys: [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys == [\"KEY\"]\n",
        "header = \"X-Key\"\nKEY\n",
        "header = \"X-Key\"\n[KEY\n",
        "header = \"X-Key\"\n[\"KEY\"\n",
        "header = \"KEY\nkeys = [\"KEY\"]\n",
        "header = KEY\nkeys = [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"] KEY\n",
        "header = \"X-Key\" keys = [\"KEY\"]\n",
        "header = \"X-Key\"\nkeys = [\"KEY\"]\nkeys = [\"KEY\"]\n",
        "header = \"X-Key\"\nhash = sha256:KEY\n",
        "{ \"header\": \"X-Key\", \"keys\": [\"KEY\"] }\n",
        "header: X-Key\nkeys:\n  - KEY\n",
        "export API_KEY=KEY\n",
        "API_KEY=KEY\n",
    ] {
        hides_in("plugins.key-auth.toml", template);
    }
}

/// Only a key that looks like one: any other is as good a name as the names in use.
#[test]
fn in_the_name_of_a_table() {
    for template in [
        "[plugins.key-auth]\nkeys = []\n[locations.\"KEY\"]\n",
        "[plugins.key-auth]\nkeys = []\n[locations.\"KEY\"]\npath = \"/x\"\nupstream = \"app\"\n",
        "[plugins.key-auth]\nkeys = []\n[locations.\"KEY\"]\npath = \"/\"\nupstream = \"ap\"\n",
        "[plugins.key-auth]\nkeys = []\n[upstreams.\"KEY\"]\n",
        "[plugins.\"KEY\"]\nheader = \"X-Key\"\n",
        "[locations.b]\npath = \"/b\"\nupstream = \"x\"\n[plugins.\"KEY\"]\ncategory = \"key-auth\"\n",
        "[locations.b]\npath = \"/b\"\nupstream = \"x\"\n[upstreams.\"KEY\"]\naddrs = \"a:1\"\n",
    ] {
        hides(&[KEYS[0], KEYS[3], KEYS[4]], "more.toml", template);
    }
}

#[test]
fn in_other_tables() {
    for template in [
        "[plugins.key-auth]\nheader = \"X-Key\"\nkyes = [\"KEY\"]\n",
        "[plugins.key-auth]\nheader = \"X-Key\"\nkeys = [\"KEY\n",
        "plugins.key-auth.header = \"X-Key\"\nplugins.key-auth.keys = [\"KEY\"\n",
        "plugins.key-auth.header = \"X-Key\"\nplugins.key-auth.keyz = [\"KEY\"]\n",
        "plugins = { key-auth = { header = \"X-Key\", keys = [\"KEY\", 5] } }\n",
        "plugins = { key-auth = { header = \"X-Key\", keys = [\"KEY\" } }\n",
        "[plugin.key-auth]\nheader = \"X-Key\"\nkeys = [\"KEY\"]\n",
        "[plugins]\nkey-auth = \"KEY\"\n",
        "[[plugins]]\nkeys = [\"KEY\"]\n",
        "plugins = [\"KEY\"]\n",
        "keys = [\"KEY\"]\n",
        "api_key = \"KEY\"\n",
        "\"KEY\" = 1\n",
        "[\"KEY\"]\na = 1\n",
        "[server]\nkeys = [\"KEY\"]\n",
        "[server]\nkeys = [\"KEY\n",
        "[server]\napi_key = KEY\n",
        "[server]\nlisten = [\"127.0.0.1:1\"] KEY\n",
        "[locations.x]\npath = \"/x\"\nupstream = \"app\"\nkey = \"KEY\"\n",
        "[locations.x]\npath = \"/x\"\nupstream = \"${SECRET}\"\npublic = true\n",
        "[locations.x]\npath = \"/x\"\nupstream = \"app\"\nplugins = [\"${SECRET}\"]\n",
        "[locations.x]\npath = \"/x\"\nhost = \"${SECRET}!\"\nupstream = \"app\"\npublic = true\n",
        "[locations.x]\npath = \"${SECRET}\"\nupstream = \"app\"\npublic = true\n",
        "[locations.x]\npath = \"~(${SECRET}\"\nupstream = \"app\"\npublic = true\n",
        "[locations.x]\npath = \"/x\"\nmethods = [\"${SECRET}\"]\nupstream = \"app\"\npublic = true\n",
        "[server]\nlisten = \"${SECRET}\"\n",
        "[server]\nlisten = \"127.0.0.1:${SECRET}\"\n",
        "[server]\nkeepalive_timeout = \"${SECRET}\"\n",
        "[server]\ntrusted_proxies = [\"${SECRET}\"]\n",
        "[log]\nformat = \"${SECRET}\"\n",
        "[upstreams.b]\naddrs = [\"http://user:KEY@127.0.0.1:8000\"]\n",
        "[upstreams.b]\naddrs = [\"http://user:${SECRET}@127.0.0.1:8000\"]\n",
        "[upstreams.b]\naddrs = [\"${SECRET}\"]\nhost = \"${SECRET}!\"\n",
    ] {
        let plugin =
            "\n[plugins.key-auth]\nheader = \"X-Key\"\nkeys = [\"a-key-of-no-interest\"]\n";
        let own = template.contains("plugins");
        let base = if own { BASE.to_owned() } else { format!("{BASE}{plugin}") };
        for key in KEYS {
            let text = template.replace("KEY", key);
            let output = check(&[("base.toml", &base), ("x.toml", &text)], &[("SECRET", key)]);
            assert_eq!(output.code, Some(1), "{text}\n{output:?}");
            assert_hidden(key, &(output.stdout + &output.stderr), &text);
        }
    }
}

#[test]
fn in_a_dotenv_that_is_no_dotenv() {
    for template in
        ["KEY\n", "A=1\nAPI KEY=KEY\n", "API_KEY='KEY\n", "API_KEY=\"KEY\n", "export KEY"]
    {
        for key in KEYS {
            let text = template.replace("KEY", key);
            let files: [(&str, &[u8]); 2] =
                [(".env", text.as_bytes()), ("config/base.toml", BASE.as_bytes())];
            let output = super::check_in(folder(&files).path(), &[]);
            assert_eq!(output.code, Some(1), "{text}\n{output:?}");
            assert_hidden(key, &(output.stdout + &output.stderr), &text);
        }
    }
}

/// What loading and compiling a file says, and its `Debug`.
fn says(path: &Path, text: &str) -> String {
    fs::write(path, text).expect("a file can be written");
    let config = match config::load(path, &Environment::default()) {
        Ok(config) => config,
        Err(problems) => return format!("{problems}{problems:?}"),
    };
    let debug = format!("{config:?}");
    match plan::compile(&config, None) {
        Ok(plan) => format!("{debug}{:?}", plan.warnings),
        Err(problems) => format!("{debug}{problems}{problems:?}"),
    }
}

#[test]
fn whatever_single_character_is_wrong() {
    let folder = folder(&[]);
    let path = folder.path().join("x.toml");
    let key = KEYS[1];
    let plugin = format!("\n[plugins.key-auth]\nheader = \"X-Key\"\nkeys = [\"{key}\"] # {key}\n");
    for at in 0..plugin.len() {
        let (before, after) = plugin.split_at(at);
        let insertions = "\"'[]=#\n\\".chars().map(|c| format!("{BASE}{before}{c}{after}"));
        let deletion = format!("{BASE}{before}{}", &after[1..]);
        for wrong in insertions.chain([deletion]) {
            assert_hidden(key, &says(&path, &wrong), &wrong);
        }
    }
}
