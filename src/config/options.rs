//! A configuration without files: from the options of `serve` and the environment.

use std::path::Path;

use super::address::{Addresses, Listen, ListenAt};
use super::environment::Environment;
use super::problem::{Fault, Problems};
use super::source::{Findings, Origin, Sources};
use super::types::{Period, Secret, Text};
use super::{Admin, Config, Location, Plugin, Table, Upstream, files, suggest, types};
use crate::keys::given;
use crate::plan::{ListenAddr, UpstreamAddr};
use crate::plugin::key_auth::{ErrorFormat, Errors, KeyAuthSettings, nowhere};

/// What `serve` was told on its command line.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where to forward: `http://HOST:PORT` or `HOST:PORT`.
    pub upstream: String,
    /// Where to listen; absent: as in a file without `listen`.
    pub listen: Option<String>,
    /// Where to tell health and metrics; absent: nowhere.
    pub admin: Option<String>,
    /// The one header that carries the key.
    pub header: Option<String>,
    /// The one query parameter that carries the key.
    pub query: Option<String>,
    /// The paths that are open to everybody; empty: `/health`.
    pub open: Vec<String>,
}

/// Where keys are sent when nothing is said: what most clients have a field for.
const SOURCES: [&str; 2] = ["header:X-API-Key", "bearer"];

/// What is open when nothing is said: a probe has no key.
const OPEN: &str = "/health";

/// Slows down a guesser, and hardly anybody with a typing error.
const DELAY: std::time::Duration = std::time::Duration::from_millis(500);

/// The shortest key that draws no warning in production: 128 bits in hexadecimal digits.
const SHORTEST_KEY: usize = 32;

/// What is wrong when production has no key.
const NO_KEY: &str = "API_KEY must be set in production (put it in .env, or set \
                      ENVIRONMENT=development for local use)";

impl Config {
    /// The configuration of a start without files.
    ///
    /// # Errors
    ///
    /// When an option or a variable is wrong, or production has no key.
    pub fn from_environment(
        options: &Options,
        environment: &Environment,
    ) -> Result<Self, Problems> {
        let mut start = Start {
            sources: Sources::new("the command line and the environment"),
            findings: Findings::default(),
        };
        let production = start.is_production(environment);
        let keys = start.keys(environment, production);
        let plugin = if keys.is_empty() { None } else { start.plugin(options, keys) };
        let locations = start.locations(options, plugin.is_some());
        let listen = start.parse::<ListenAt>("--listen", options.listen.as_deref());
        let admin = start.parse::<ListenAddr>("--admin", options.admin.as_deref());
        let upstream = start.upstream(&options.upstream);
        let Start { sources, findings } = start;
        if findings.has_errors() {
            return Err(findings.into_problems(&sources));
        }
        let mut config = Self::empty(sources);
        config.findings = findings;
        config.warn_of(environment);
        config.locations = locations;
        config.plugins.extend(plugin);
        config.upstreams.extend(upstream);
        if let Some(listen) = listen {
            config.server.listen = Listen(vec![nowhere(listen)]);
        }
        config.admin =
            admin.map(|it| Admin { listen: Listen(vec![nowhere(it)]), ..Admin::default() });
        Ok(config)
    }
}

/// The name of the plugin and of the location that it guards.
const PLUGIN: &str = "key-auth";

/// The name of the upstream.
const UPSTREAM: &str = "upstream";

struct Start {
    sources: Sources,
    findings: Findings,
}

impl Start {
    fn origin(&mut self, name: &str) -> Origin {
        Origin { source: self.sources.add(name), span: 0..0 }
    }

    fn fault(&mut self, name: &str, fault: Fault) {
        let origin = self.origin(name);
        self.findings.fault(origin.source, fault);
    }

    fn warn(&mut self, name: &str, fault: Fault) {
        let origin = self.origin(name);
        self.findings.warn(origin.source, fault);
    }

    fn parse<T: Text>(&mut self, option: &str, text: Option<&str>) -> Option<T> {
        T::parse(text?).map_err(|message| self.fault(option, Fault::new(message))).ok()
    }

    fn is_production(&mut self, environment: &Environment) -> bool {
        match environment.value("ENVIRONMENT") {
            None | Some("" | "production") => true,
            Some("development") => false,
            Some(other) => {
                let known = ["production", "development"];
                let fault = Fault::new("ENVIRONMENT is neither `production` nor `development`")
                    .help(suggest::help(other, &known, ""));
                self.fault("ENVIRONMENT", fault);
                true
            }
        }
    }

    fn keys(&mut self, environment: &Environment, production: bool) -> Vec<Secret> {
        let variable = environment.value("API_KEY").filter(|keys| !keys.trim().is_empty());
        let file = environment.value("API_KEY_FILE").filter(|path| !path.is_empty());
        let (name, keys) = match (variable, file) {
            (Some(_), Some(_)) => {
                let message = "API_KEY and API_KEY_FILE are both set; unset one of them";
                self.fault("API_KEY", Fault::new(message));
                return Vec::new();
            }
            (Some(keys), None) => ("API_KEY", self.split(keys)),
            (None, Some(path)) => ("API_KEY_FILE", self.read(Path::new(path))),
            (None, None) => ("API_KEY", Some(Vec::new())),
        };
        let Some(keys) = keys else { return Vec::new() };
        if keys.is_empty() && production {
            self.fault(name, Fault::new(NO_KEY));
        }
        if keys.is_empty() && !production {
            let message = "there is no key: everything is let through";
            self.warn(name, Fault::new(message).help("set API_KEY; production refuses to start"));
        }
        let short = |key: &Secret| key.expose().chars().count() < SHORTEST_KEY;
        if production && keys.iter().any(short) {
            let message = format!("a key is shorter than {SHORTEST_KEY} characters");
            self.warn(name, Fault::new(message).help("`keygate keygen` makes a good one"));
        }
        keys
    }

    fn split(&mut self, keys: &str) -> Option<Vec<Secret>> {
        let keys: Vec<_> = keys.split(',').map(|key| Secret::new(key.to_owned())).collect();
        if keys.iter().any(|key| key.expose().trim().is_empty()) {
            let fault = Fault::new("one of the keys is empty").help("is there a comma too many?");
            self.fault("API_KEY", fault);
            return None;
        }
        Some(keys)
    }

    fn read(&mut self, path: &Path) -> Option<Vec<Secret>> {
        let contents = files::read(path).map_err(|fault| self.fault("API_KEY_FILE", fault)).ok()?;
        if contents.exposed {
            self.warn("API_KEY_FILE", files::exposed_keys());
        }
        let (text, invalid) = files::text(contents.bytes);
        if invalid {
            self.fault("API_KEY_FILE", Fault::new("the file is not UTF-8"));
            return None;
        }
        let lines = text.lines().filter(|line| given::is_meant(line));
        Some(lines.map(|key| Secret::new(key.to_owned())).collect())
    }

    fn plugin(&mut self, options: &Options, keys: Vec<Secret>) -> Option<Table<Plugin>> {
        let own = match (&options.header, &options.query) {
            (Some(_), Some(_)) => {
                let fault = Fault::new("--header and --query exclude each other");
                self.fault("--header", fault);
                return None;
            }
            (Some(header), None) => Some(("--header", format!("header:{header}"))),
            (None, Some(query)) => Some(("--query", format!("query:{query}"))),
            (None, None) => None,
        };
        let sources = match &own {
            Some((_, source)) => vec![source.as_str()],
            None => SOURCES.to_vec(),
        };
        let settings = KeyAuthSettings {
            hide_credentials: true,
            delay: Some(nowhere(Period(DELAY))),
            errors: Some(Errors { format: ErrorFormat::Json, ..Errors::default() }),
            ..KeyAuthSettings::new(sources, keys)
        };
        let origin = self.origin(own.as_ref().map_or("API_KEY", |(option, _)| option));
        let plugin = Plugin { kind: PLUGIN, settings: Box::new(settings) };
        Some(Table::new(PLUGIN, origin, plugin))
    }

    fn locations(&mut self, options: &Options, guarded: bool) -> Vec<Table<Location>> {
        let mut everything = open_location("/");
        if guarded {
            everything.plugins = vec![nowhere(PLUGIN.to_owned())];
            everything.public = None;
        }
        let mut locations = vec![Table::new("everything", Origin::default(), everything)];
        let default = [OPEN.to_owned()];
        let open = if options.open.is_empty() { &default[..] } else { &options.open };
        for (index, path) in open.iter().enumerate() {
            let origin = self.origin("--open");
            // A path that was named alone means itself; nothing below it is opened by accident.
            let exact = path.starts_with('/') && !path.ends_with('/');
            let text = if exact { format!("={path}") } else { path.clone() };
            match types::Path::parse(&text) {
                Ok(_) => {
                    let name = format!("open-{}", index + 1);
                    locations.push(Table::new(&name, origin, open_location(&text)));
                }
                Err(message) => self.findings.fault(origin.source, Fault::new(message)),
            }
        }
        locations
    }

    fn upstream(&mut self, url: &str) -> Option<Table<Upstream>> {
        let address = self.parse::<UpstreamAddr>("--upstream", Some(url))?;
        if url.trim().contains(char::is_whitespace) {
            self.fault("--upstream", Fault::new("expected one address, such as http://HOST:PORT"));
        }
        let addrs = Addresses(vec![nowhere(address)]);
        let upstream = Upstream { addrs: Some(addrs), ..Upstream::default() };
        let origin = self.origin("--upstream");
        Some(Table::new(UPSTREAM, origin, upstream))
    }
}

fn open_location(path: &str) -> Location {
    Location {
        path: types::Path::parse(path).ok().map(nowhere),
        upstream: Some(nowhere(UPSTREAM.to_owned())),
        public: Some(nowhere(true)),
        ..Location::default()
    }
}
