//! What a plugin is, what the steps of one request tell one another, and the table of all plugins.

pub mod concurrency;
pub mod cors;
pub mod ip_restriction;
pub mod key_auth;
pub mod rate_limit;
pub mod request_headers;
pub mod response_headers;

use std::any::Any;
use std::fmt;
use std::net::IpAddr;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use http::{HeaderName, Method};

use crate::config::load::Section;
use crate::config::problem::{Fault, Problem};
use crate::fields::Fields;
use crate::head::{RequestHead, ResponseHead};
use crate::keys::census::Census;
use crate::keys::digest::Digest;
use crate::limit::places::Place;
use crate::limit::report::Report;
use crate::limit::subject::By;
use crate::limit::usage::Standing;
use crate::reply::{Cause, ErrorStyle, Reply};

/// One step between a location and its upstream.
pub trait Plugin: Any + Send + Sync {
    /// Decides from what is in memory; it never waits. A pause is part of the reply, and the
    /// pipeline holds it.
    fn request(&self, head: &mut RequestHead, cx: &mut Cx) -> ControlFlow<Reply>;

    /// Sees the head of the upstream's response to every request that it let go on, and the fields
    /// of the request.
    fn response(&self, _head: &mut ResponseHead, _asked: &Fields, _cx: &Cx) {}

    /// Sees the head of every response that keygate writes itself on a location which uses it,
    /// whoever answered the request.
    fn reply(&self, _head: &mut ResponseHead, _cause: Cause, _asked: &Fields) {}

    /// Until when a grant holds that this plugin gave, or one of its name before; none: for ever.
    ///
    /// # Errors
    ///
    /// It does not; what the request would be answered now.
    fn renew(
        &self,
        _grant: &Grant,
        _site: GrantSite<'_>,
        _now: SystemTime,
    ) -> Result<Option<SystemTime>, Reply> {
        Err(Cause::InvalidKey.into())
    }

    /// The files beside the configuration that it reads.
    fn files(&self) -> Vec<PathBuf> {
        Vec::new()
    }

    /// Has what is in no file be asked for at once.
    fn expire(&self) {}

    /// Asks for what is due and in no file; this may take long. The next reload takes the answer.
    fn ask(&self) {}

    /// When it wants to ask again for what is in no file.
    fn due(&self) -> Option<Instant> {
        None
    }

    /// Whether what is in no file is older than it should be, because asking for it has failed.
    fn is_stale(&self) -> bool {
        false
    }

    /// The same plugin with what those files hold now; none if that is what it has, or is wrong.
    fn renewed(&self, _site: &mut Site<'_>) -> Option<Arc<dyn Plugin>> {
        None
    }

    /// Why the key of a request that this plugin has refused is not let in: what an operator is
    /// told, and no client. None if it has nothing to say of it.
    fn why_refused(&self, _head: &RequestHead, _cx: &Cx) -> Option<String> {
        None
    }

    /// Writes down when keys were used.
    fn note_used(&self) {}

    /// How many keys it knows in which state; none if it is about no keys.
    fn census(&self, _now: SystemTime) -> Option<Census> {
        None
    }

    /// The names of a key that this plugin found to be valid, by its position; none if it has none.
    fn names(&self, _position: usize) -> Option<Names<'_>> {
        None
    }
}

/// What the steps of one request tell one another.
#[derive(Debug)]
pub struct Cx {
    /// The client's address: the peer's, or what a trusted proxy says; none on a unix socket.
    pub client: Option<IpAddr>,
    /// When the request's head was complete.
    pub now: Instant,
    /// The same by the calendar.
    pub wall: SystemTime,
    /// Index of the location.
    pub location: usize,
    /// Other locations, with the same plugins, that some reading of the path leads to: what is
    /// decided by a location must hold for them too.
    pub also: Vec<usize>,
    /// Which of the location's plugins decides now.
    pub step: usize,
    /// The key that was found to be valid.
    pub key: Option<Authenticated>,
    /// What the request ends with, if it must not go on without.
    pub grants: Vec<Grant>,
    /// Whether a plugin that authenticates let the request go on without a key, as a preflight.
    pub keyless: bool,
    /// The strictest limit that the request was charged to: the response tells it.
    pub limit: Option<Report>,
    /// Whether the client offers a WebSocket subprotocol that says no more than where its key is,
    /// so that it is keygate's to choose.
    pub offers_bearer: bool,
    /// The places that the request holds until its response has ended.
    pub places: Vec<Place>,
}

impl Cx {
    /// Of a request to the first location that was complete at this time.
    pub fn new(client: Option<IpAddr>, now: Instant, wall: SystemTime) -> Self {
        Self {
            client,
            now,
            wall,
            location: 0,
            also: Vec::new(),
            step: 0,
            key: None,
            grants: Vec::new(),
            keyless: false,
            limit: None,
            offers_bearer: false,
            places: Vec::new(),
        }
    }

    /// Notes that the request was charged to a limit.
    pub fn charged(&mut self, by: By, standing: Standing) {
        let report = Report { by, standing };
        self.limit = Some(self.limit.map_or(report, |known| known.stricter(report)));
    }
}

/// A valid key, as what comes after authentication sees it. It is a place rather than names: names
/// would be counted references, and all workers would count the same ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authenticated {
    /// Which of the location's plugins knows the key.
    pub step: usize,
    /// Which of its keys it is, for [`Plugin::names`].
    pub position: usize,
    /// The same number for all requests with this key, also after a reload: what is counted by key
    /// counts by it.
    pub key: u64,
    /// The same for its consumer.
    pub consumer: u64,
}

/// What a request was let through with, where it ends with that.
#[derive(Clone, Debug)]
pub struct Grant {
    /// Which of the location's plugins let it through.
    pub step: usize,
    /// The key.
    pub digest: Digest,
    /// When it ends, as far as is known now.
    pub until: Option<SystemTime>,
    /// The request's method.
    pub method: Method,
    /// Those that its fields ask for instead; none for one that cannot be read.
    pub others: Box<[Option<Method>]>,
}

/// Where a request stands that a grant was given to.
#[derive(Clone, Copy, Debug)]
pub struct GrantSite<'a> {
    /// The names of its location, and of others that some reading of its path leads to: their
    /// numbers differ after a reload.
    pub locations: &'a [&'a str],
    /// The client's address.
    pub client: Option<IpAddr>,
}

/// The public names of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Names<'a> {
    /// The key's own.
    pub id: &'a str,
    /// Whom it belongs to.
    pub consumer: &'a str,
}

/// A plugin's settings as they were read from the configuration.
pub trait Settings: fmt::Debug + Send + Sync {
    /// Turns the settings into the plugin, or says everything that is wrong with them.
    fn build(&self, site: &mut Site<'_>) -> Result<Built, Vec<Fault>>;

    /// The keys file that they name, looked for from where they stand.
    fn keys_file(&self) -> Option<&str> {
        None
    }
}

/// What a plugin is built among.
#[derive(Default)]
pub struct Site<'a> {
    /// The plugin of the same name in the plan that is being replaced: state that outlives a reload
    /// is taken over from it where the settings that govern it are equal.
    pub previous: Option<&'a dyn Plugin>,
    /// The folder of the file in which the settings stand: files that they name are looked for from
    /// there.
    pub folder: PathBuf,
    /// The names of all locations, in the order of their indices.
    pub locations: &'a [&'a str],
    /// What is wrong or doubtful in files that the plugin reads beside the configuration. An error
    /// among them refuses the plan.
    pub problems: Vec<Problem>,
    /// Whether something was read anew by [`Plugin::renewed`].
    pub has_news: bool,
}

/// A plugin that is ready to serve, and what the plan must know about it.
pub struct Built {
    /// The step itself.
    pub plugin: Arc<dyn Plugin>,
    /// Whether a request that it lets go on has been authenticated.
    pub authenticates: bool,
    /// How the locations that use it answer errors, if it has a say.
    pub errors: Option<ErrorStyle>,
    /// Where credentials may stand in a request, so that they can be kept out of logs and trailers.
    pub credentials: CredentialPlaces,
    /// What it needs of its place among other plugins.
    pub order: Order,
    /// Whether it answers preflights, with a status that says that all is well.
    pub answers_preflights: bool,
    /// What `check` should say although it is no error.
    pub warnings: Vec<Fault>,
}

impl Built {
    /// One that does not authenticate, and of which there is nothing to know.
    pub fn new(plugin: Arc<dyn Plugin>) -> Self {
        Self {
            plugin,
            authenticates: false,
            errors: None,
            credentials: CredentialPlaces::default(),
            order: Order::default(),
            answers_preflights: false,
            warnings: Vec::new(),
        }
    }
}

/// Where credentials may stand in a request.
#[derive(Clone, Debug, Default)]
pub struct CredentialPlaces {
    /// Header fields.
    pub headers: Vec<HeaderName>,
    /// Query parameters, by their decoded names.
    pub parameters: Vec<Vec<u8>>,
}

/// What a plugin needs of its place among those of a location.
#[derive(Clone, Debug, Default)]
pub struct Order {
    /// Whether it can decide nothing about a request that was not authenticated before.
    pub needs_key: bool,
    /// Whether it gives requests what is the operator's: none before it is known whose they are.
    pub gives: bool,
    /// The header fields of a request that it changes: none in which a plugin behind it looks for a
    /// credential.
    pub changes: Vec<HeaderName>,
    /// Those that it looks at again when there is a response: no other plugin changes them.
    pub keeps: Vec<HeaderName>,
}

/// A kind of plugin.
pub struct Kind {
    /// The name as written in `category` and in the references, with `-`.
    pub name: &'static str,
    /// Reads the settings out of the table of one plugin (without `category`).
    pub read: fn(&mut Section<'_>) -> Option<Box<dyn Settings>>,
    /// The fields whose values are no secrets, and those inside of them as `errors.format`. In
    /// messages about the configuration all others are masked.
    pub shown: &'static [&'static str],
    /// Those of them that take no string: one that is there by mistake may be a key.
    pub bare: &'static [&'static str],
    /// The fields that hold names which are no secrets, with values that may be.
    pub named: &'static [&'static str],
}

/// Every kind of plugin there is; a new one is its file and its line here.
pub const KINDS: &[Kind] = &[
    key_auth::KIND,
    ip_restriction::KIND,
    rate_limit::KIND,
    concurrency::KIND,
    request_headers::KIND,
    response_headers::KIND,
    cors::KIND,
];
