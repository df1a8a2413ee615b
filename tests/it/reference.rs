//! `docs/reference.md` against the code: what keygate accepts is on the page, and nothing else is.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant, SystemTime};

use clap::CommandFactory;
use keygate::cli::Arguments;
use keygate::config::{self, Environment};
use keygate::fields::Fields;
use keygate::head::RequestHead;
use keygate::plan::{self, Plan};
use keygate::plugin::{Cx, KINDS};
use keygate::reply::{Asked, Cause, ErrorStyle, Format, Reply};

use crate::support::{Gate, Origin, run};
use crate::tidy::{files_below, read, with_extension};

const PAGE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference.md"));

/// A name that is close to no field, so that keygate lists all there are.
const UNKNOWN: &str = "qqqqqqqqqqqqqqqq";

/// The rows of the first table below a heading, each with its cells.
#[track_caller]
fn rows(heading: &str) -> Vec<Vec<String>> {
    let below = PAGE.split_once(&format!("\n{heading}\n"));
    let (_, below) = below.unwrap_or_else(|| panic!("there is no heading {heading:?}"));
    let rows = below.lines().take_while(|line| !line.starts_with('#'));
    let rows = rows.skip_while(|line| !line.starts_with('|'));
    let rows = rows.take_while(|line| line.starts_with('|')).skip(2);
    let cells =
        |row: &str| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect();
    let rows: Vec<Vec<String>> = rows.map(cells).collect();
    assert!(!rows.is_empty(), "there is no table below {heading:?}");
    rows
}

/// A cell without the marks of code.
fn plain(cell: &str) -> String {
    cell.replace('`', "")
}

/// The first cells of a table.
#[track_caller]
fn named(heading: &str) -> BTreeSet<String> {
    let rows = rows(heading);
    let names: BTreeSet<_> = rows.iter().map(|row| plain(&row[0])).collect();
    assert_eq!(names.len(), rows.len(), "{heading:?} names something twice");
    names
}

/// What keygate says to a configuration with an unknown name in it: the names that it knows.
#[track_caller]
fn known(config: &str) -> BTreeSet<String> {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    fs::write(folder.path().join("keygate.toml"), config).expect("the folder can be written");
    let output = run(&["check", "--config", "keygate.toml"], folder.path(), &[]);
    assert_eq!(output.code, Some(1), "{output:?}");
    let at_unknown = output.stderr.split("error: ").find(|error| error.contains(UNKNOWN));
    let listed = at_unknown.and_then(|error| error.split_once("= help: expected one of "));
    let (_, listed) = listed.unwrap_or_else(|| panic!("{config}: {}", output.stderr));
    let names = listed.lines().next().unwrap_or_default().split(", ");
    names.map(|name| name.trim_matches('`').to_owned()).collect()
}

#[track_caller]
fn check_fields(heading: &str, config: &str) {
    assert_eq!(named(heading), known(config), "below {heading:?} (left), in the code (right)");
}

#[test]
fn every_field_of_every_table_is_on_the_page() {
    check_fields("### `[server]`", &format!("[server]\n{UNKNOWN} = 1"));
    check_fields("### `[admin]`", &format!("[admin]\n{UNKNOWN} = 1"));
    check_fields("### `[log]`", &format!("[log]\n{UNKNOWN} = 1"));
    check_fields("### `[upstreams.NAME]`", &format!("[upstreams.a]\n{UNKNOWN} = 1"));
    check_fields("### `[locations.NAME]`", &format!("[locations.a]\n{UNKNOWN} = 1"));
    for kind in KINDS {
        let heading = format!("### Plugin `{}`", kind.name);
        check_fields(&heading, &format!("[plugins.{}]\n{UNKNOWN} = 1", kind.name));
    }
    let health = format!("[upstreams.a]\nhealth = {{ {UNKNOWN} = 1 }}");
    check_fields("#### The table `health`", &health);
    let errors = format!("[plugins.key-auth]\nerrors = {{ {UNKNOWN} = 1 }}");
    check_fields("#### The table `errors`", &errors);
    let tls = format!("[server]\ntls = {{ {UNKNOWN} = 1 }}");
    check_fields("#### The table `tls` of `[server]`", &tls);
    let tls = format!("[upstreams.a]\ntls = {{ {UNKNOWN} = 1 }}");
    check_fields("#### The table `tls` of `[upstreams.NAME]`", &tls);
}

#[test]
fn every_table_and_kind_of_plugin_has_a_heading() {
    let headings: BTreeSet<_> = PAGE.lines().filter(|line| line.starts_with("### `[")).collect();
    let tables = known(&format!("[{UNKNOWN}]\na = 1")).into_iter().map(|table| match &*table {
        "server" | "log" | "admin" => format!("### `[{table}]`"),
        _ => format!("### `[{table}.NAME]`"),
    });
    let tables: BTreeSet<_> = tables.collect();
    assert_eq!(headings, tables.iter().map(String::as_str).collect());
    let plugins = PAGE.lines().filter(|line| line.starts_with("### Plugin `"));
    let kinds = KINDS.iter().map(|kind| format!("### Plugin `{}`", kind.name));
    assert_eq!(plugins.collect::<Vec<_>>(), kinds.collect::<Vec<_>>());
    let listed = known(&format!("[plugins.a]\ncategory = \"{UNKNOWN}\""));
    assert_eq!(listed, KINDS.iter().map(|kind| kind.name.to_owned()).collect());
}

/// Compiles a configuration in a file of its own.
#[track_caller]
fn compile(config: &str) -> Plan {
    let folder = tempfile::tempdir().expect("there is room for a temporary folder");
    let path = folder.path().join("keygate.toml");
    fs::write(&path, config).expect("the folder can be written");
    let config = config::load(&path, &Environment::default());
    let plan = config.and_then(|config| plan::compile(&config, None));
    plan.unwrap_or_else(|problems| panic!("{problems}"))
}

/// The fields of a table that have a default, each as a line of TOML.
fn defaults(heading: &str) -> String {
    let rows = rows(heading).into_iter();
    let lines = rows.filter(|row| row[2].starts_with('`')).map(|row| {
        let [field, _, default, ..] = &row[..] else { panic!("{row:?}") };
        format!("{} = {}\n", plain(field), plain(default))
    });
    lines.collect()
}

#[test]
fn writing_a_default_changes_nothing() {
    let location = "path = \"/\"\nupstream = \"a\"\nplugins = [\"key-auth\"]\n";
    let plugin = "header = \"X-API-Key\"\nkeys = [\"0123456789abcdef0123456789abcdef\"]\n";
    let [server, admin, log, upstream, key_auth, errors] = [
        "### `[server]`",
        "### `[admin]`",
        "### `[log]`",
        "### `[upstreams.NAME]`",
        "### Plugin `key-auth`",
        "#### The table `errors`",
    ]
    .map(defaults);
    for (table, text, fields) in [("server", &server, 11), ("admin", &admin, 2), ("log", &log, 2)] {
        assert_eq!(text.lines().count(), fields, "{table}: every field has a default\n{text}");
    }
    let config = |server: &str, log: &str, upstream: &str, key_auth: &str| {
        let admin = if server.is_empty() { "" } else { &*admin };
        format!(
            "[server]\n{server}[admin]\n{admin}[log]\n{log}[upstreams.a]\naddrs = [\"127.0.0.1:1\"]\n{upstream}\
             [locations.a]\n{location}[plugins.key-auth]\n{plugin}{key_auth}"
        )
    };
    // As a table, `errors` has defaults of its own.
    let key_auth = key_auth.replace("errors = \"text\"\n", "");
    let key_auth = format!("{key_auth}[plugins.key-auth.errors]\n{errors}");
    let written = compile(&config(&server, &log, &upstream, &key_auth));
    let silent = compile(&config("", "", "", ""));
    assert_eq!(written.listen, silent.listen);
    assert_eq!(written.workers, silent.workers);
    assert_eq!(format!("{:?}", written.server), format!("{:?}", silent.server));
    assert_eq!(format!("{:?}", written.trusted), format!("{:?}", silent.trusted));
    assert_eq!(written.admin, silent.admin);
    assert_eq!(written.log, silent.log);
    assert_eq!(written.upstreams, silent.upstreams);
    assert_eq!(written.locations[0].max_body, silent.locations[0].max_body);
    for key in ["", "wrong", "0123456789abcdef0123456789abcdef"] {
        assert_eq!(verdict(&written, key), verdict(&silent, key));
    }
    for cause in [Cause::MissingKey, Cause::InvalidKey] {
        let [written, silent] =
            [&written, &silent].map(|plan| said(cause, &plan.locations[0].errors));
        assert_eq!(written, silent);
    }
}

/// What `key-auth` makes of a request, and what is left of the request then.
fn verdict(plan: &Plan, key: &str) -> String {
    let mut head = RequestHead::default();
    let value = http::HeaderValue::from_str(key).expect("it is valid");
    head.headers.append(http::HeaderName::from_static("x-api-key"), value);
    let mut cx = Cx::new(None, Instant::now(), SystemTime::now());
    let plugin = plan.plugin("key-auth").expect("the plan has the plugin");
    let verdict = plugin.request(&mut head, &mut cx);
    format!("{verdict:?} {:?}", head.headers.iter().collect::<Vec<_>>())
}

/// The status, and the body of a reply.
fn said(cause: Cause, style: &ErrorStyle) -> (u16, String) {
    let request_id = http::HeaderValue::from_static("1");
    let asked = Asked { style, headers: &Fields::new(), request_id };
    let (head, body) = Reply::from(cause).response(asked, Fields::new());
    (head.status.as_u16(), String::from_utf8_lossy(&body).into_owned())
}

#[test]
fn every_option_of_every_command_is_on_the_page() {
    let program = Arguments::command();
    let commands = commands(&program);
    for (name, command) in &commands {
        let heading = format!("### `keygate {name}`");
        let options = command.get_arguments().filter(|option| !option.is_hide_set());
        let options = options.map(|option| {
            let names = option.get_value_names().filter(|_| option.get_action().takes_values());
            let value = names.map(|names| names[0].to_string());
            let name = match (option.get_long(), option.get_short()) {
                (Some(long), _) => format!("--{long}"),
                (None, Some(short)) => format!("-{short}"),
                // An argument is named by what it stands for.
                (None, None) => String::new(),
            };
            let variable = option.get_env().map(|name| name.to_string_lossy().into_owned());
            let default = option.get_default_values().first().map(|value| value.to_string_lossy());
            let shown = default.map(String::from).or_else(|| said_default(option));
            let option = format!("{name} {}", value.unwrap_or_default()).trim().to_owned();
            [option, variable.unwrap_or_default()]
                .into_iter()
                .chain([shown.unwrap_or_default()])
                .collect::<Vec<_>>()
        });
        let told = rows(&heading).into_iter();
        let told = told.map(|row| row[..3].iter().map(|cell| plain(cell)).collect::<Vec<_>>());
        assert_eq!(told.collect::<BTreeSet<_>>(), options.collect(), "{heading}");
    }
    let headings = PAGE.lines().filter(|line| line.starts_with("### `keygate "));
    assert_eq!(headings.count(), commands.len(), "the page has other commands");
    let usage = PAGE.lines().filter(|line| line.starts_with("keygate ")).count();
    assert_eq!(usage, commands.len(), "the overview has other commands");
}

/// The commands that do something, each with its whole name.
fn commands(program: &clap::Command) -> Vec<(String, &clap::Command)> {
    let commands = program.get_subcommands().flat_map(|command| {
        let name = command.get_name();
        let below = command.get_subcommands();
        let below: Vec<_> =
            below.map(|below| (format!("{name} {}", below.get_name()), below)).collect();
        if below.is_empty() { vec![(name.to_owned(), command)] } else { below }
    });
    commands.collect()
}

/// What is said of a record with an unknown name in it: the names that are known.
#[track_caller]
fn known_in_record(record: &str) -> BTreeSet<String> {
    let faults = keygate::keys::file::parse(&format!("[[key]]\n{record}"), |_| ());
    let mut listed = faults.iter().filter_map(|fault| fault.help.as_deref());
    let listed = listed.find_map(|help| help.strip_prefix("expected one of "));
    let names = listed.unwrap_or_else(|| panic!("{record}: {faults:?}")).split(", ");
    names.map(|name| name.trim_matches('`').to_owned()).collect()
}

#[test]
fn every_field_of_a_keys_file_is_on_the_page() {
    let unknown = format!("{UNKNOWN} = 1");
    assert_eq!(named("## Keys file"), known_in_record(&unknown));
    for table in ["limits", "previous"] {
        let heading = format!("### The table `{table}`");
        assert_eq!(named(&heading), known_in_record(&format!("{table} = {{ {unknown} }}")));
    }
}

/// A default that stands in the text of the help: `[default: X]`, unless it is a sentence.
fn said_default(option: &clap::Arg) -> Option<String> {
    let help = option.get_help()?.to_string();
    let (_, default) = help.split_once("[default: ")?;
    let default = default.trim_end_matches(']');
    (!default.contains(' ')).then(|| default.to_owned())
}

#[test]
fn every_variable_about_traces_is_on_the_page() {
    let files = with_extension(files_below("src/observe/traces"), "rs");
    let shipped = files.iter().map(|path| read(path));
    let shipped: String = shipped
        .map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned())
        .collect();
    let known = shipped.split('"').filter(|text| text.starts_with("OTEL_"));
    let known: BTreeSet<_> = known.map(str::to_owned).collect();
    let told = rows("## Traces").into_iter();
    let told =
        told.flat_map(|row| plain(&row[0]).split(", ").map(str::to_owned).collect::<Vec<_>>());
    assert_eq!(told.collect::<BTreeSet<_>>(), known, "on the page (left), in the code (right)");
}

/// Every cause; a new one does not compile until it stands here.
fn causes() -> Vec<Cause> {
    let after = |cause| match cause {
        Cause::BadRequest => Some(Cause::NotEncrypted),
        Cause::NotEncrypted => Some(Cause::MethodNotAllowed),
        Cause::MethodNotAllowed => Some(Cause::NotFound),
        Cause::NotFound => Some(Cause::MissingKey),
        Cause::MissingKey => Some(Cause::InvalidKey),
        Cause::InvalidKey => Some(Cause::KeyNotAllowed),
        Cause::KeyNotAllowed => Some(Cause::AddressNotAllowed),
        Cause::AddressNotAllowed => Some(Cause::RateLimited(Duration::ZERO)),
        Cause::RateLimited(_) => Some(Cause::QuotaExceeded(Duration::ZERO)),
        Cause::QuotaExceeded(_) => Some(Cause::TooManyAtOnce),
        Cause::TooManyAtOnce => Some(Cause::PayloadTooLarge),
        Cause::PayloadTooLarge => Some(Cause::HeadTooLarge),
        Cause::HeadTooLarge => Some(Cause::TargetTooLong),
        Cause::TargetTooLong => Some(Cause::RequestTimeout),
        Cause::RequestTimeout => Some(Cause::Overloaded),
        Cause::Overloaded => Some(Cause::BadGateway),
        Cause::BadGateway => Some(Cause::UpstreamTimeout),
        Cause::UpstreamTimeout => Some(Cause::NoHealthyUpstream(Duration::ZERO)),
        // The answer to a preflight is no error, and neither is leave.
        Cause::NoHealthyUpstream(_) | Cause::Preflight | Cause::Leave(_) => None,
    };
    std::iter::successors(Some(Cause::BadRequest), |cause| after(*cause)).collect()
}

#[test]
fn every_error_is_on_the_page_with_its_status_code_and_sentence() {
    let json = ErrorStyle { format: Format::Json, ..ErrorStyle::default() };
    let written = causes().into_iter().map(|cause| {
        let (status, body) = said(cause, &json);
        let body: serde_json::Value = serde_json::from_str(&body).expect("it is JSON");
        let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_owned();
        vec![status.to_string(), text(&body["error"]["code"]), text(&body["detail"])]
    });
    let told = rows("## Errors").into_iter();
    let told = told.map(|row| row[..3].iter().map(|cell| plain(cell)).collect::<Vec<_>>());
    assert_eq!(told.collect::<BTreeSet<_>>(), written.collect::<BTreeSet<_>>());
}

#[test]
fn the_example_of_an_error_has_the_fields_of_a_real_one() {
    let (_, below) = PAGE.split_once("```json\n").expect("there is an example");
    let (example, _) = below.split_once("\n```").expect("the example ends");
    let json = ErrorStyle { format: Format::Json, ..ErrorStyle::default() };
    let (_, real) = said(Cause::InvalidKey, &json);
    let example = example.replace(": ", ":").replace(", ", ",").replace('…', "1");
    assert_eq!(example, real);
}

/// One line of the access log in a format.
fn line(format: &str) -> String {
    let origin = Origin::echo();
    let gate = Gate::with(&[(
        "keygate.toml",
        &format!(
            "[server]\nlisten = \"127.0.0.1:0\"\n[log]\nformat = \"{format}\"\n\
             [upstreams.a]\naddrs = [\"{}\"]\n\
             [locations.a]\npath = \"/\"\nupstream = \"a\"\npublic = true\n",
            origin.address
        ),
    )]);
    assert_eq!(gate.send("GET /logged HTTP/1.1\r\nHost: a.test\r\n\r\n").status, 200);
    gate.stdout.wait_for("the request", |line| line.contains("/logged"))
}

#[test]
fn every_field_of_the_access_log_is_on_the_page_in_both_forms() {
    let rows = rows("## Logs");
    let object: serde_json::Value = serde_json::from_str(&line("json")).expect("it is JSON");
    let fields = object.as_object().expect("a line is an object").keys().cloned();
    assert_eq!(named("## Logs"), fields.collect());
    let text = line("text");
    let named = text.split(' ').filter_map(|word| Some(format!("{}=", word.split_once('=')?.0)));
    let told = rows.iter().map(|row| plain(&row[1])).filter(|cell| cell.ends_with('='));
    assert_eq!(told.collect::<Vec<_>>(), named.collect::<Vec<_>>(), "{text}");
    let places = ["first", "second", "third", "fourth", "fifth"];
    let unnamed: Vec<_> = text.split(' ').take_while(|word| !word.contains('=')).collect();
    assert_eq!(unnamed.len(), places.len(), "{text}");
    assert_eq!(unnamed[1..], ["127.0.0.1", "GET", "/logged", "200"], "{text}");
    let told: Vec<_> = rows.iter().map(|row| plain(&row[1])).take(places.len()).collect();
    assert_eq!(told, places);
}
