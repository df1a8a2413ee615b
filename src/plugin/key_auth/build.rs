//! From the settings to the plugin: everything that can be wrong is found here.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use http::header::{COOKIE, SEC_WEBSOCKET_PROTOCOL};
use toml::Spanned;

use super::failures::{Failures, Limit};
use super::keys::Keys;
use super::settings::{ErrorFormat, Errors, KeyAuthSettings};
use super::source::Source;
use super::stored::{Origin, Stored};
use super::{KeyAuth, stored};
use crate::config::problem::Fault;
use crate::config::types::Period;
use crate::keys::digest::Digest;
use crate::keys::doubt::doubt;
use crate::keys::given;
use crate::keys::keyring::Keyring;
use crate::keystore::command::Command;
use crate::plugin::{Built, CredentialPlaces, Plugin, Settings, Site};
use crate::reply::{ErrorStyle, Format};

/// What is named as the realm of the challenge when nothing is said.
const REALM: &str = "keygate";

/// The longest delay; a client that waits longer has long hung up.
const DELAY_LIMIT: Duration = Duration::from_secs(60);

/// The most places for a key; each is looked at in every request.
const SOURCES_LIMIT: usize = 16;

/// How long a command that prints keys may take: it holds up the next reload.
const COMMAND_TIMEOUT: Duration = Duration::from_secs(10);

/// How often it is asked again: services for secrets ask for money each time.
const COMMAND_INTERVAL: Duration = Duration::from_secs(300);

/// The shortest time between two questions: each starts a program, and nothing is promised sooner.
const SHORTEST_INTERVAL: Duration = Duration::from_secs(1);

/// Either a value or what is wrong.
type Checked<T> = Result<T, Vec<Fault>>;

impl Settings for KeyAuthSettings {
    fn keys_file(&self) -> Option<&str> {
        self.keys_file.as_ref().map(|file| file.get_ref().as_str())
    }

    fn build(&self, site: &mut Site<'_>) -> Result<Built, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut warnings = Vec::new();
        let sources = sources(self).unwrap_or_else(|wrong| note(&mut faults, wrong));
        let listed = keyring(self, &mut warnings).map_err(|wrong| faults.extend(wrong));
        let delay = delay(self).unwrap_or_else(|wrong| note(&mut faults, wrong));
        let limit = limit(self).unwrap_or_else(|wrong| note(&mut faults, wrong));
        let errors = errors(self.errors.as_ref()).unwrap_or_else(|wrong| note(&mut faults, wrong));
        let challenge = challenge(self, &sources).map_err(|wrong| faults.extend(wrong));
        let previous = known(site.previous);
        let stored = listed.and_then(|listed| {
            let stored = stored(self, &listed, previous, site);
            stored.map(|stored| (listed, stored)).map_err(|wrong| faults.extend(wrong))
        });
        let (Ok((listed, stored)), Ok(challenge), []) = (stored, challenge, &faults[..]) else {
            return Err(faults);
        };
        warnings.extend(self.header.as_ref().and_then(underscore));
        if !self.hide_credentials {
            let warning = Fault::new("the key is forwarded to the upstream with every request");
            warnings.push(warning.help("hide_credentials = true removes it"));
        }
        let credentials = places(&sources);
        let failures = limit.map(|limit| failures(limit, previous));
        let plugin = KeyAuth {
            sources,
            parameters: credentials.parameters.clone(),
            keys: Keys::new(Arc::new(listed), stored.iter().map(|stored| stored.set.clone())),
            stored,
            hide: self.hide_credentials,
            delay,
            failures,
            allow_preflight: self.allow_preflight,
            challenge,
            cut_streams: self.cut_streams,
            used: previous.map_or_else(Arc::default, |plugin| Arc::clone(&plugin.used)),
        };
        let built = Built::new(Arc::new(plugin));
        Ok(Built { authenticates: true, errors, credentials, warnings, ..built })
    }
}

/// Goes on with nothing, so that all faults are found at once.
fn note<T: Default>(faults: &mut Vec<Fault>, wrong: Vec<Fault>) -> T {
    faults.extend(wrong);
    T::default()
}

/// A fault at a value; one that stands in no file has the empty span.
fn at<T>(value: &Spanned<T>, message: impl Into<String>) -> Fault {
    match value.span() {
        span if span.is_empty() => Fault::new(message),
        span => Fault::at(span, message),
    }
}

fn sources(settings: &KeyAuthSettings) -> Checked<Vec<Source>> {
    let KeyAuthSettings { header, scheme, query, sources, .. } = settings;
    if let (Some(scheme), None) = (scheme, header) {
        let fault = at(scheme, "scheme is set without header");
        return Err(vec![fault.help("the source \"bearer\" has its own scheme")]);
    }
    match (header, query, sources) {
        (Some(header), None, None) => {
            let scheme = scheme.as_ref().map(|scheme| scheme.get_ref().as_str());
            one_source(header, Source::header(header.get_ref(), scheme))
        }
        (None, Some(query), None) => one_source(query, Source::query(query.get_ref())),
        (None, None, Some(sources)) => source_list(sources),
        (None, None, None) => {
            let fault = Fault::new("nothing says where the key is");
            Err(vec![fault.help("set one of header, query and sources")])
        }
        _ => {
            let fault = Fault::new("only one of header, query and sources can be set");
            Err(vec![
                fault.help("sources = [\"header:NAME\", \"query:NAME\"] names several places"),
            ])
        }
    }
}

fn one_source(place: &Spanned<String>, source: Result<Source, String>) -> Checked<Vec<Source>> {
    source.map(|source| vec![source]).map_err(|message| vec![at(place, message)])
}

fn source_list(list: &Spanned<Vec<Spanned<String>>>) -> Checked<Vec<Source>> {
    if !(1..=SOURCES_LIMIT).contains(&list.get_ref().len()) {
        return Err(vec![at(list, format!("there are 1 to {SOURCES_LIMIT} sources"))]);
    }
    let mut sources: Vec<Source> = Vec::new();
    let mut faults = Vec::new();
    for text in list.get_ref() {
        match Source::parse(text.get_ref()) {
            Err(message) => faults.push(at(text, message)),
            Ok(source) if sources.iter().any(|known| known.overlaps(&source)) => {
                faults.push(at(text, "this place is named twice"));
            }
            Ok(source) => sources.push(source),
        }
    }
    if faults.is_empty() { Ok(sources) } else { Err(faults) }
}

/// A name that not every proxy passes on.
fn underscore(header: &Spanned<String>) -> Option<Fault> {
    let doubtful = header.get_ref().contains('_');
    let warning = at(header, "nginx and others drop a header with `_` in its name");
    doubtful.then(|| warning.help("write it with `-`; the two are different names"))
}

/// Digests every key. Keys are named by their position, never by what they are.
fn keyring(settings: &KeyAuthSettings, warnings: &mut Vec<Fault>) -> Checked<Keyring> {
    let empty = Vec::new();
    let elsewhere = settings.keys_file.is_some() || settings.keys_command.is_some();
    let keys = match (&settings.keys, elsewhere) {
        (Some(list), false) if list.get_ref().is_empty() => {
            return Err(vec![at(list, "there is no key in the list")]);
        }
        (Some(list), _) => list.get_ref(),
        (None, true) => &empty,
        (None, false) => {
            let fault = Fault::new("there is no key");
            return Err(vec![
                fault.help("keys = [\"…\"] lists them; keys_file = \"keys.toml\" names a file"),
            ]);
        }
    };
    let mut digests = Vec::with_capacity(keys.len());
    let mut faults = Vec::new();
    for (position, key) in (1..).zip(keys) {
        let text = key.get_ref().expose();
        match given::digest(text) {
            Ok(digest) => digests.push(digest),
            Err(message) => {
                faults.push(at(key, format!("key {position} {message}")));
                continue;
            }
        }
        let doubt = if Digest::is_meant(text) { None } else { doubt(text) };
        warnings.extend(doubt.map(|doubt| at(key, format!("key {position} {doubt}"))));
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    Keyring::new(&digests).map_err(|twice| {
        let message = format!("key {} is the same as key {}", twice.second + 1, twice.first + 1);
        vec![at(&keys[twice.second], message)]
    })
}

/// The keys that stand elsewhere.
fn stored(
    settings: &KeyAuthSettings,
    listed: &Keyring,
    previous: Option<&KeyAuth>,
    site: &mut Site<'_>,
) -> Checked<Vec<Stored>> {
    let origins = file(settings, site)?.into_iter().chain(command(settings)?);
    let known = previous.map_or(&[][..], |plugin| &plugin.stored);
    let load = |origin: Origin| {
        let known = known.iter().find(|known| *known.origin() == origin);
        stored::load(&origin, known, listed, site)
    };
    // What is wrong with them, the site's problems say.
    let stored: Vec<_> = origins.collect::<Vec<_>>().into_iter().map(load).collect();
    stored.into_iter().collect::<Option<_>>().ok_or_else(Vec::new)
}

fn file(settings: &KeyAuthSettings, site: &Site<'_>) -> Checked<Option<Origin>> {
    let Some(file) = &settings.keys_file else { return Ok(None) };
    let path = site.folder.join(file.get_ref());
    if !stored::is_there(&path) {
        // Where it is looked for is not said: it may be a key that got into the wrong field.
        let fault = at(file, "there is no such file");
        return Err(vec![fault.help("a path is looked for from the folder of this file")]);
    }
    Ok(Some(Origin::File(path)))
}

fn command(settings: &KeyAuthSettings) -> Checked<Option<Origin>> {
    let KeyAuthSettings { keys_command, keys_command_timeout, keys_command_interval, .. } =
        settings;
    let Some(command) = keys_command else { return Ok(None) };
    let [program, arguments @ ..] = &command.get_ref()[..] else {
        let fault = at(command, "the command is empty");
        return Err(vec![fault.help("keys_command = [\"PROGRAM\", \"ARGUMENT\"]")]);
    };
    let or = |period: &Option<Spanned<Period>>, usual: Duration| {
        period.as_ref().map_or(usual, |period| period.get_ref().0)
    };
    let timeout = or(keys_command_timeout, COMMAND_TIMEOUT);
    let interval = or(keys_command_interval, COMMAND_INTERVAL);
    if let Some(short) = keys_command_interval.as_ref().filter(|_| interval < SHORTEST_INTERVAL) {
        let fault = at(short, "a command is asked once a second at most");
        return Err(vec![fault.help("a SIGHUP asks it at once")]);
    }
    let command = Command::new(program.clone(), arguments.to_vec(), timeout);
    Ok(Some(Origin::Command(command, interval)))
}

fn delay(settings: &KeyAuthSettings) -> Checked<Option<Duration>> {
    let Some(delay) = &settings.delay else { return Ok(None) };
    match delay.get_ref().0 {
        Duration::ZERO => Err(vec![at(delay, "a delay of nothing").help("leave delay out")]),
        wait if wait > DELAY_LIMIT => Err(vec![at(delay, "a delay is at most 60s")]),
        wait => Ok(Some(wait)),
    }
}

fn limit(settings: &KeyAuthSettings) -> Checked<Option<Limit>> {
    let Some(text) = &settings.max_failures else { return Ok(None) };
    let limit = Limit::parse(text.get_ref());
    limit.map(Some).map_err(|message| vec![at(text, format!("max_failures: {message}"))])
}

/// The plugin of the same name before, if it was of the same kind.
fn known<'p>(previous: Option<&'p dyn Plugin>) -> Option<&'p KeyAuth> {
    let previous: Option<&'p dyn Any> = previous.map(|plugin| plugin as &dyn Any);
    previous.and_then(|plugin| plugin.downcast_ref())
}

/// Goes on counting where the plugin before had the same limit.
fn failures(limit: Limit, previous: Option<&KeyAuth>) -> Arc<Failures> {
    previous
        .and_then(|plugin| plugin.failures.as_ref())
        .filter(|failures| failures.limit == limit)
        .map_or_else(|| Arc::new(Failures::new(limit)), Arc::clone)
}

fn errors(errors: Option<&Errors>) -> Checked<Option<ErrorStyle>> {
    let Some(Errors { format, missing, invalid }) = errors else { return Ok(None) };
    for message in [missing, invalid].into_iter().flatten() {
        if message.trim().is_empty() || message.chars().any(char::is_control) {
            let fault = Fault::new("a message of errors is blank or holds a control character");
            return Err(vec![fault.help("leave it out to keep the usual words")]);
        }
    }
    let own = |message: &Option<String>| message.as_deref().map(Arc::from);
    let format = match format {
        ErrorFormat::Text => Format::Text,
        ErrorFormat::Json => Format::Json,
    };
    Ok(Some(ErrorStyle {
        format,
        missing: own(missing),
        invalid: own(invalid),
        ..ErrorStyle::default()
    }))
}

/// RFC 9110, section 11.6.1; the realm is a quoted string (section 5.6.4).
fn challenge(settings: &KeyAuthSettings, sources: &[Source]) -> Checked<HeaderValue> {
    let scheme = if sources.iter().any(Source::is_bearer) { "Bearer" } else { "ApiKey" };
    let realm = settings.realm.as_ref();
    let text = realm.map_or(REALM, |realm| realm.get_ref());
    if text.chars().any(|c| c != ' ' && !c.is_ascii_graphic()) {
        let fault = Fault::new("a realm holds ASCII without control characters");
        return Err(vec![realm.map_or(fault.clone(), |realm| at(realm, fault.message))]);
    }
    let quoted = text.replace('\\', "\\\\").replace('"', "\\\"");
    HeaderValue::from_str(&format!("{scheme} realm=\"{quoted}\""))
        .map_err(|error| vec![Fault::new(format!("the realm: {error}"))])
}

fn places(sources: &[Source]) -> CredentialPlaces {
    let mut places = CredentialPlaces::default();
    for source in sources {
        match source {
            Source::Header { name, .. } => places.headers.push(name.clone()),
            Source::Query(name) => places.parameters.push(name.clone()),
            Source::Cookie(_) if places.headers.contains(&COOKIE) => {}
            Source::Cookie(_) => places.headers.push(COOKIE),
            Source::WebSocket => places.headers.push(SEC_WEBSOCKET_PROTOCOL),
        }
    }
    places
}
