//! From files to a [`Config`]: reading, merging, and what stands in the wrong place.

use std::collections::HashMap;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::environment::Environment;
use super::files::Contents;
use super::interpolate::Strings;
use super::mask::{self, Unit};
use super::problem::{Fault, Problems};
pub use super::section::Section;
use super::source::{Origin, Sources};
use super::{Config, Table, files, kind, suggest, syntax};

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
    match files::list(path) {
        Ok(files) => files.iter().for_each(|file| loader.file(file)),
        Err(fault) => loader.unreadable(0, fault),
    }
    let mut config = loader.config;
    config.warn_of(environment);
    config.locations.sort_by_key(|table| (table.origin.source, table.origin.span.start));
    if loader.broken { Err(config.findings.into_problems(&config.sources)) } else { Ok(config) }
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
struct File<'t> {
    text: &'t str,
    source: usize,
    /// Where its syntax is wrong.
    errors: Vec<Range<usize>>,
    /// The strings that held variables, and whether all of them were replaced.
    variables: &'t [(Range<usize>, bool)],
    /// Whether others may read it.
    exposed: bool,
}

impl Loader<'_> {
    fn unreadable(&mut self, source: usize, fault: Fault) {
        self.broken = true;
        self.config.findings.fault(source, fault);
    }

    fn file(&mut self, path: &Path) {
        let name = path.display().to_string();
        let Contents { bytes, exposed, .. } = match files::read(path) {
            Ok(contents) => contents,
            Err(fault) => {
                let source = self.config.sources.add(name);
                return self.unreadable(source, fault);
            }
        };
        let (text, invalid) = files::text(bytes);
        let plugin = files::plugin_name(path);
        let text = Arc::new(text);
        let source = self.config.sources.add_file(name, Arc::clone(&text), plugin.is_some());
        if invalid {
            let end = text.len();
            let fault = Fault::at(end..end, "the file is not UTF-8 from here on");
            return self.unreadable(source, fault);
        }
        self.text(source, &text, exposed, plugin);
    }

    fn text(&mut self, source: usize, text: &str, exposed: bool, plugin: Option<&str>) {
        let (root, errors) = DeTable::parse_recoverable(text);
        self.broken |= !errors.is_empty();
        for fault in syntax::faults(&errors, text) {
            self.config.findings.fault(source, fault);
        }
        let strings = Strings::of(root.get_ref(), text, self.environment);
        let file = File {
            source,
            errors: errors.iter().filter_map(toml::de::Error::span).collect(),
            variables: &strings.places,
            exposed,
            text,
        };
        // In a broken file a string may reach much further than its author meant.
        if errors.is_empty() {
            for fault in &strings.faults {
                self.config.findings.fault(source, fault.clone());
            }
        }
        self.config.sources.remember(strings.replaced.iter().cloned());
        let mut table = root.into_inner();
        strings.put(&mut table);
        match plugin {
            Some(name) => self.plugin_file(&file, name, table),
            None => self.tables(&file, table),
        }
    }

    fn plugin_file(&mut self, file: &File<'_>, name: &str, table: DeTable<'_>) {
        let repeats =
            table.len() == 1 && table.get("plugins").is_some_and(|v| v.get_ref().is_table());
        if let (true, Some((key, _))) = (repeats, table.get_key_value("plugins")) {
            let message = format!("this file is the plugin `{name}` already");
            let fault = Fault::at(key.span(), message).help(format!(
                "leave out `[plugins.{name}]`: the fields stand at the top of the file"
            ));
            self.config.findings.fault(file.source, fault);
            // The plugin is there, if not in the right form.
            let origin = Origin { source: file.source, span: 0..0 };
            let (name, bad_fields) = (name.to_owned(), Vec::new());
            return self.config.plugins.push(Table { name, origin, written: None, bad_fields });
        }
        let origin = Origin { source: file.source, span: 0..0 };
        self.unit(file, Unit::Plugin, name, origin, table);
    }

    fn tables(&mut self, file: &File<'_>, root: DeTable<'_>) {
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
        file: &File<'_>,
        unit: Unit,
        key: &Spanned<impl AsRef<str>>,
        table: DeTable<'_>,
    ) {
        let origin = Origin { source: file.source, span: key.span() };
        self.unit(file, unit, key.get_ref().as_ref(), origin, table);
    }

    fn named(&mut self, file: &File<'_>, unit: Unit, tables: DeTable<'_>) {
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

    fn unit(
        &mut self,
        file: &File<'_>,
        unit: Unit,
        name: &str,
        origin: Origin,
        table: DeTable<'_>,
    ) {
        if name.is_empty() {
            let fault = Fault::new(format!("the name of {} is empty", word(unit)));
            return self.config.findings.fault_in(&origin, fault);
        }
        self.config.sources.remember_name(name);
        if let Some(first) = self.places.get(&(unit, name.to_owned())) {
            let first = self.config.sources.place(first);
            let fault = Fault::new(format!("{} is there twice", title(unit, name)))
                .help(format!("the first is at {first}; keep one of them"));
            return self.config.findings.fault_in(&origin, fault);
        }
        self.places.insert((unit, name.to_owned()), origin.clone());
        let extent = syntax::extent(&origin.span, &table, file.text);
        let readable =
            !file.errors.iter().any(|at| extent.start <= at.start && at.start <= extent.end);
        if readable {
            let section =
                Section::new(unit, table, origin.span.clone(), file.variables, file.exposed);
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
            Unit::Admin => {
                self.config.admin = Some(section.read_what_is_right().unwrap_or_default());
                self.config.admin_origin = origin.clone();
            }
            Unit::Key => section.fault(Fault::new("a record of a key stands in a keys file")),
            Unit::Upstream => self.config.upstreams.push(table(name, &origin, &mut section)),
            Unit::Location => self.config.locations.push(table(name, &origin, &mut section)),
            Unit::Plugin => {
                let plugin = kind::plugin(name, &mut section);
                let (name, origin) = (name.to_owned(), origin.clone());
                let bad_fields = std::mem::take(&mut section.bad_fields);
                self.config.plugins.push(Table { name, origin, written: plugin, bad_fields });
            }
        }
        for fault in section.faults {
            self.config.findings.fault_in(&origin, fault);
        }
        for warning in section.warnings {
            self.config.findings.warn_in(&origin, warning);
        }
    }
}

fn table<T: DeserializeOwned>(name: &str, origin: &Origin, section: &mut Section<'_>) -> Table<T> {
    let written = section.read_what_is_right();
    let bad_fields = std::mem::take(&mut section.bad_fields);
    Table { name: name.to_owned(), origin: origin.clone(), written, bad_fields }
}

fn title(unit: Unit, name: &str) -> String {
    match unit {
        Unit::Server | Unit::Log | Unit::Admin | Unit::Key => format!("`[{name}]`"),
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
        Unit::Key => "key",
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
                _ if table == "key" => fault.help(
                    "records of keys stand in a file of their own, `keys.toml` or NAME.keys.toml, \
                     that a plugin names: keys_file = \"keys.toml\"",
                ),
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
