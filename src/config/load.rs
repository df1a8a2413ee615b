//! From files to a [`Config`](super::Config): reading, merging, and what stands in the wrong place.

use std::collections::HashMap;
use std::io::Read;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use zeroize::Zeroizing;

use super::environment::Environment;
use super::interpolate::Strings;
use super::mask::{self, Unit};
use super::problem::{Fault, Problems};
pub use super::section::Section;
use super::source::{Origin, Sources};
use super::suggest;
use super::{Config, Plugin, Table};
use crate::plugin::{KINDS, Kind};

/// Reads a file, or the `*.toml` of a folder, into a configuration.
///
/// # Errors
///
/// When a file cannot be read or is no TOML. What is wrong inside the tables of a readable
/// configuration is kept for [`compile`](crate::plan::compile), which finds the rest.
pub fn load(path: &Path, environment: &Environment) -> Result<Config, Problems> {
    let mut loader = Loader {
        config: Config::empty(Sources::new(path.display().to_string())),
        environment,
        places: HashMap::new(),
        broken: false,
    };
    match files(path) {
        Ok(files) => files.iter().for_each(|file| loader.file(file)),
        Err(fault) => loader.unreadable(0, fault),
    }
    let mut config = loader.config;
    config.locations.sort_by_key(|table| (table.origin.source, table.origin.span.start));
    if loader.broken { Err(config.findings.into_problems(&config.sources)) } else { Ok(config) }
}

/// The longest file that is read. A million keys are about 80 MB as digests in a keys file, which
/// is not read here; a configuration this long is something else by mistake.
const MAX_FILE_SIZE: u64 = 64 << 20;

/// The files of a configuration, sorted by name. Those of folders below it are left alone:
/// Kubernetes keeps copies in `..data`.
fn files(path: &Path) -> Result<Vec<PathBuf>, Fault> {
    let metadata = std::fs::metadata(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Fault::new("there is no such file or folder")
            .help("--config PATH (or KEYGATE_CONFIG) names the configuration"),
        _ => Fault::new(format!("cannot read the configuration: {error}")),
    })?;
    if !metadata.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let unreadable = |error: std::io::Error| Fault::new(format!("cannot read the folder: {error}"));
    let mut files = Vec::new();
    for entry in std::fs::read_dir(path).map_err(unreadable)? {
        let entry = entry.map_err(unreadable)?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.ends_with(".toml") && !name.starts_with('.') {
            files.push(entry.path());
        }
    }
    if files.is_empty() {
        return Err(Fault::new("there is no *.toml file in this folder"));
    }
    files.sort();
    Ok(files)
}

pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, Fault> {
    let unreadable = |error: std::io::Error| Fault::new(format!("cannot read the file: {error}"));
    let metadata = std::fs::metadata(path).map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(Fault::new("this is a folder, not a file")
            .help("only the files of the configuration's own folder are read"));
    }
    // A buffer of the right size from the start leaves no unwiped copy behind.
    let size = metadata.len().min(MAX_FILE_SIZE) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0)));
    let file = std::fs::File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_SIZE + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() as u64 > MAX_FILE_SIZE {
        return Err(Fault::new(format!("the file is longer than {} MiB", MAX_FILE_SIZE >> 20)));
    }
    Ok(bytes)
}

/// NAME of a file `plugins.NAME.toml`.
fn plugin_name(path: &Path) -> Option<&str> {
    let name = path.file_name()?.to_str()?;
    name.strip_prefix("plugins.")?.strip_suffix(".toml").filter(|name| !name.is_empty())
}

/// A configuration in the making.
struct Loader<'e> {
    config: Config,
    environment: &'e Environment,
    /// Where each table was first met.
    places: HashMap<(Unit, String), Origin>,
    /// Whether a file could not be read to its end, so that names may be missing.
    broken: bool,
}

/// One file while it is read.
struct File {
    source: usize,
    /// Where its syntax is wrong.
    errors: Vec<Range<usize>>,
    /// Strings with a fault of their own.
    bad: Vec<Range<usize>>,
    length: usize,
}

impl Loader<'_> {
    fn unreadable(&mut self, source: usize, fault: Fault) {
        self.broken = true;
        self.config.findings.fault(source, fault);
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let bytes = match read(path) {
            Ok(bytes) => bytes,
            Err(fault) => {
                let source = self.config.sources.add(name);
                return self.unreadable(source, fault);
            }
        };
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&bytes);
        let (valid, invalid) = match std::str::from_utf8(bytes) {
            Ok(text) => (text, false),
            Err(error) => (std::str::from_utf8(&bytes[..error.valid_up_to()]).unwrap_or(""), true),
        };
        let plugin = plugin_name(path);
        let text = Zeroizing::new(valid.to_owned());
        let source = self.config.sources.add_file(name, text.clone(), plugin.is_some());
        if invalid {
            let end = text.len();
            return self
                .unreadable(source, Fault::at(end..end, "the file is not UTF-8 from here on"));
        }
        self.text(source, &text, plugin);
    }

    fn text(&mut self, source: usize, text: &str, plugin: Option<&str>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        self.broken |= !errors.is_empty();
        for fault in syntax_faults(&errors, text) {
            self.config.findings.fault(source, fault);
        }
        let strings = Strings::of(root.get_ref(), text, self.environment);
        let mut file = File {
            source,
            errors: errors.iter().filter_map(toml::de::Error::span).collect(),
            bad: strings.bad.clone(),
            length: text.len(),
        };
        // In a broken file a string may reach much further than its author meant.
        if errors.is_empty() {
            for fault in &strings.faults {
                self.config.findings.fault(source, fault.clone());
            }
        } else {
            file.bad.clear();
        }
        let mut table = root.into_inner();
        strings.put(&mut table);
        match plugin {
            Some(name) => self.plugin_file(&file, name, table),
            None => self.tables(&file, table),
        }
    }

    fn plugin_file(&mut self, file: &File, name: &str, table: DeTable<'_>) {
        let repeats =
            table.len() == 1 && table.get("plugins").is_some_and(|v| v.get_ref().is_table());
        if let (true, Some((key, _))) = (repeats, table.get_key_value("plugins")) {
            let message = format!("this file is the plugin `{name}` already");
            let fault = Fault::at(key.span(), message).help(format!(
                "leave out `[plugins.{name}]`: the fields stand at the top of the file"
            ));
            return self.config.findings.fault(file.source, fault);
        }
        let origin = Origin { source: file.source, span: 0..0 };
        self.unit(file, Unit::Plugin, name, origin, table);
    }

    fn tables(&mut self, file: &File, root: DeTable<'_>) {
        for (key, value) in root {
            let span = value.span();
            match (key.get_ref().as_ref(), value.into_inner()) {
                ("server", DeValue::Table(t)) => self.single(file, Unit::Server, &key, t),
                ("log", DeValue::Table(t)) => self.single(file, Unit::Log, &key, t),
                ("admin", DeValue::Table(t)) => self.single(file, Unit::Admin, &key, t),
                ("upstreams", DeValue::Table(t)) => self.named(file, Unit::Upstream, t),
                ("plugins", DeValue::Table(t)) => self.named(file, Unit::Plugin, t),
                ("locations", DeValue::Table(t)) => self.named(file, Unit::Location, t),
                (table, value) => {
                    let fault = wrong_table(table, &value, key.span(), span);
                    self.config.findings.fault(file.source, fault);
                }
            }
        }
    }

    fn single(
        &mut self,
        file: &File,
        unit: Unit,
        key: &Spanned<impl AsRef<str>>,
        table: DeTable<'_>,
    ) {
        let origin = Origin { source: file.source, span: key.span() };
        self.unit(file, unit, key.get_ref().as_ref(), origin, table);
    }

    fn named(&mut self, file: &File, unit: Unit, tables: DeTable<'_>) {
        for (name, value) in tables {
            let origin = Origin { source: file.source, span: name.span() };
            let name = name.into_inner();
            match value.into_inner() {
                DeValue::Table(table) => self.unit(file, unit, &name, origin, table),
                _ => {
                    let kind = word(unit);
                    let fault = Fault::new(format!("expected the table of {kind} with a name"))
                        .help(format!("write `[{kind}s.NAME]` and the fields below it"));
                    self.config.findings.fault_in(&origin, fault);
                }
            }
        }
    }

    fn unit(&mut self, file: &File, unit: Unit, name: &str, origin: Origin, table: DeTable<'_>) {
        if name.is_empty() {
            let fault = Fault::new(format!("the name of {} is empty", word(unit)));
            return self.config.findings.fault_in(&origin, fault);
        }
        if let Some(first) = self.places.get(&(unit, name.to_owned())) {
            let first = self.config.sources.place(first);
            let fault = Fault::new(format!("{} is there twice", title(unit, name)))
                .help(format!("the first is at {first}; keep one of them"));
            return self.config.findings.fault_in(&origin, fault);
        }
        self.places.insert((unit, name.to_owned()), origin.clone());
        let extent = extent(&origin.span, &table, file.length);
        let readable =
            !file.errors.iter().any(|at| extent.start <= at.start && at.start <= extent.end);
        if readable {
            let section = Section::new(unit, table, origin.span.clone(), file.bad.clone());
            self.section(unit, name, origin, section);
        }
    }

    fn section(&mut self, unit: Unit, name: &str, origin: Origin, mut section: Section<'_>) {
        match unit {
            Unit::Server => {
                self.config.server = section.read_what_is_right().unwrap_or_default();
                self.config.server_origin = origin.clone();
            }
            Unit::Log => self.config.log = section.read_what_is_right().unwrap_or_default(),
            Unit::Admin => section.fault(
                Fault::new("`[admin]` is not built yet").help("leave the table out for now"),
            ),
            Unit::Upstream => self.config.upstreams.push(table(name, &origin, &mut section)),
            Unit::Location => self.config.locations.push(table(name, &origin, &mut section)),
            Unit::Plugin => {
                let plugin = plugin(name, &mut section);
                let (name, origin) = (name.to_owned(), origin.clone());
                let bad_fields = std::mem::take(&mut section.bad_fields);
                self.config.plugins.push(Table { name, origin, written: plugin, bad_fields });
            }
        }
        for fault in section.faults {
            self.config.findings.fault_in(&origin, fault);
        }
    }
}

fn table<T: DeserializeOwned>(name: &str, origin: &Origin, section: &mut Section<'_>) -> Table<T> {
    let written = section.read_what_is_right();
    let bad_fields = std::mem::take(&mut section.bad_fields);
    Table { name: name.to_owned(), origin: origin.clone(), written, bad_fields }
}

fn plugin(name: &str, section: &mut Section<'_>) -> Option<Plugin> {
    let kind = match section.take("category") {
        Some(category) => {
            let span = category.span();
            category
                .get_ref()
                .as_str()
                .and_then(kind)
                .ok_or_else(|| wrong_category(&category, span))
        }
        None => kind_of_name(name).ok_or_else(|| no_kind(name)),
    };
    match kind {
        Ok(kind) => (kind.read)(section).map(|settings| Plugin { kind: kind.name, settings }),
        Err(fault) => {
            section.fault(fault);
            None
        }
    }
}

fn kind(name: &str) -> Option<&'static Kind> {
    let name = name.replace('_', "-");
    KINDS.iter().find(|kind| kind.name == name)
}

/// The longest kind that the name equals, or begins with up to a separator: `key-authority` is no
/// `key-auth`.
fn kind_of_name(name: &str) -> Option<&'static Kind> {
    let name = name.replace(['_', '.'], "-");
    let begins = |kind: &&Kind| {
        name.strip_prefix(kind.name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    };
    KINDS.iter().filter(begins).max_by_key(|kind| kind.name.len())
}

fn kind_names() -> Vec<&'static str> {
    KINDS.iter().map(|kind| kind.name).collect()
}

fn wrong_category(category: &Spanned<DeValue<'_>>, span: Range<usize>) -> Fault {
    let Some(written) = category.get_ref().as_str() else {
        return Fault::at(span, "expected the kind of the plugin, a string");
    };
    let shown = if mask::looks_like_key(written) { mask::MASK } else { written };
    Fault::at(span, format!("unknown kind of plugin `{shown}`")).help(suggest::help(
        written,
        &kind_names(),
        "",
    ))
}

fn no_kind(name: &str) -> Fault {
    let help = match suggest::closest(name, kind_names()) {
        Some(meant) => format!("did you mean `{meant}`? Else say it: category = \"{meant}\""),
        None => format!("say it: category = \"KIND\", one of {}", kind_names().join(", ")),
    };
    Fault::new(format!("the name `{name}` does not say what kind of plugin this is")).help(help)
}

fn title(unit: Unit, name: &str) -> String {
    match unit {
        Unit::Server | Unit::Log | Unit::Admin => format!("`[{name}]`"),
        Unit::Upstream | Unit::Plugin | Unit::Location => format!("`[{}s.{name}]`", word(unit)),
    }
}

fn word(unit: Unit) -> &'static str {
    match unit {
        Unit::Server => "server",
        Unit::Admin => "admin",
        Unit::Log => "log",
        Unit::Upstream => "upstream",
        Unit::Plugin => "plugin",
        Unit::Location => "location",
    }
}

/// The tables of a configuration, as they are written.
const TABLES: &[&str] = &["server", "admin", "log", "upstreams", "plugins", "locations"];

fn wrong_table(table: &str, value: &DeValue<'_>, key: Range<usize>, span: Range<usize>) -> Fault {
    match table {
        "server" | "log" | "admin" => {
            Fault::at(span, "expected a table").help(format!("write `[{table}]`"))
        }
        "upstreams" | "plugins" | "locations" => {
            let message = format!("expected the tables of {table}, each with a name");
            Fault::at(span, message).help(format!("write `[{table}.NAME]`"))
        }
        _ => {
            let shown = if mask::is_plain_name(table) { table } else { mask::MASK };
            let what = if value.is_table() { "table" } else { "field" };
            let fault = Fault::at(key, format!("unknown {what} `{shown}`"));
            match field_owner(table) {
                Some(owner) if !value.is_table() => {
                    fault.help(format!("`{table}` belongs below a `{owner}` line"))
                }
                _ => fault.help(suggest::help(table, TABLES, "")),
            }
        }
    }
}

/// The table whose field stands at the top of a file by mistake.
fn field_owner(field: &str) -> Option<&'static str> {
    let owners = [
        (Unit::Server, "[server]"),
        (Unit::Location, "[locations.NAME]"),
        (Unit::Upstream, "[upstreams.NAME]"),
        (Unit::Plugin, "[plugins.NAME]"),
    ];
    let owns = |(unit, _): &&(Unit, &str)| mask::is_shown(*unit, &[field]);
    owners.iter().find(owns).map(|(_, owner)| *owner)
}

/// From the name of a table to the end of its last value.
fn extent(name: &Range<usize>, table: &DeTable<'_>, length: usize) -> Range<usize> {
    if name.is_empty() {
        // The whole file is the table.
        return 0..length;
    }
    fn end(table: &DeTable<'_>) -> usize {
        let values = table.values().map(|value| match value.get_ref() {
            DeValue::Table(table) => end(table).max(value.span().end),
            _ => value.span().end,
        });
        values.max().unwrap_or(0)
    }
    name.start..end(table).max(name.end)
}

/// What is wrong with the syntax: the first error of each line, since the others follow from it.
fn syntax_faults(errors: &[toml::de::Error], text: &str) -> Vec<Fault> {
    let mut errors: Vec<_> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            (mask::line_around(text, span.start).start, span, error.message())
        })
        .collect();
    errors.sort_by_key(|(line, span, _)| (*line, span.start));
    errors.dedup_by_key(|(line, ..)| *line);
    errors.truncate(MAX_SYNTAX_ERRORS);
    errors.into_iter().map(|(_, span, message)| syntax_fault(span, message)).collect()
}

/// How many syntax errors of one file are listed: one unclosed bracket can make hundreds.
const MAX_SYNTAX_ERRORS: usize = 10;

fn syntax_fault(span: Range<usize>, message: &str) -> Fault {
    let (message, expected) = message.split_once(", expected ").unwrap_or((message, ""));
    let fault = Fault::at(span, format!("not TOML: {message}"));
    if expected.is_empty() { fault } else { fault.help(format!("expected {expected}")) }
}
