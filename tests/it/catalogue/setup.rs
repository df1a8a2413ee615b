//! How a stand's gate and origin are set up, and how they start.

use std::cell::RefCell;
use std::sync::Arc;

use super::oracle;
use super::stand::{GET, Notes};
use crate::config::check;
use crate::support::reference::{KEYS, ROOT, keyed, reference, upstream};
use crate::support::{Canaries, Exchange, Gate, Origin, Place, Recorded};

/// Tells the oracle's own request from those of the case; the script of the origin never sees it.
pub(super) const PROBE: &str = "X-Probe";

type Script = dyn Fn(&mut Exchange) + Send + Sync;

/// How the next gate is set up, and what it is held to.
pub(super) struct Setup {
    /// None: the reference configuration.
    pub(super) config: Option<String>,
    pub(super) half_open: bool,
    pub(super) more: String,
    pub(super) server: String,
    pub(super) starter: Vec<String>,
    pub(super) arguments: Vec<String>,
    pub(super) env: Vec<(String, String)>,
    pub(super) files: Vec<(String, String)>,
    pub(super) script: Arc<Script>,
    pub(super) probe: String,
    pub(super) secrets: Vec<Vec<u8>>,
    pub(super) shown: Vec<Place>,
    pub(super) credentials: Vec<String>,
    pub(super) repeats: bool,
    pub(super) ends: bool,
}

/// What runs.
pub(super) struct Running {
    pub(super) origin: Origin,
    pub(super) gate: Gate,
    /// How many files it had open before any request.
    pub(super) files: usize,
    pub(super) notes: RefCell<Notes>,
}

impl Setup {
    /// The reference configuration in front of an origin that echoes the target.
    pub(super) fn new() -> Self {
        Self {
            config: None,
            half_open: false,
            more: String::new(),
            server: String::new(),
            starter: Vec::new(),
            arguments: vec!["--config".to_owned(), "config".to_owned()],
            env: Vec::new(),
            files: Vec::new(),
            script: Arc::new(|exchange| {
                exchange.read_body();
                let target = exchange.request.second_word().to_owned();
                exchange.reply(200, target.as_bytes());
            }),
            probe: keyed(&format!("{GET}X-API-Key: K1\r\n\r\n")),
            secrets: Vec::new(),
            shown: Vec::new(),
            credentials: vec!["x-api-key".to_owned()],
            repeats: false,
            ends: false,
        }
    }

    /// The key that came out upstream.
    pub(super) fn leak_upstream(&self, arrived: &[Recorded]) -> Option<String> {
        if self.shown.contains(&Place::Origin) {
            return None;
        }
        let keys = KEYS.iter().map(|key| key.as_bytes());
        let keys: Vec<_> = keys.chain(self.secrets.iter().map(Vec::as_slice)).collect();
        let canaries = Canaries::of(&keys);
        let found = arrived.iter().find_map(|one| canaries.found_in(&one.bytes()));
        found.map(|found| format!("a key reached the origin: {found}"))
    }

    /// Starts an origin, and a gate in front of it.
    #[track_caller]
    pub(super) fn start(&self) -> Running {
        let script = Arc::clone(&self.script);
        let origin = Origin::scripted(move |exchange| match exchange.request.has(PROBE) {
            true => exchange.reply(200, b"probed"),
            false => script(exchange),
        });
        let config = match &self.config {
            None if self.half_open => reference(&origin) + ROOT,
            None => reference(&origin),
            Some(text) if text.contains("[upstreams.") => text.clone(),
            Some(text) => upstream(&origin) + text,
        };
        let address = origin.address.to_string();
        let config = format!("{config}\n{}", self.more).replace("{origin}", &address);
        let server = format!("[server]\nlisten = \"127.0.0.1:0\"\n{}", self.server);
        let own = [("keygate.toml", config.as_str()), ("server.toml", server.as_str())];
        let more = self.files.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        let files: Vec<_> = own.into_iter().chain(more).collect();
        let arguments: Vec<_> =
            self.arguments.iter().map(|text| text.replace("{origin}", &address)).collect();
        let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
        let env: Vec<_> =
            self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let starter: Vec<_> = self.starter.iter().map(String::as_str).collect();
        let mut gate = Gate::launch_under(&starter, &files, &arguments, &env);
        gate.shows(&self.shown);
        for secret in &self.secrets {
            gate.secret(secret);
        }
        let files = oracle::open_files(&gate, &origin);
        Running { origin, gate, files, notes: RefCell::default() }
    }
}

/// Why a configuration does not load, as `keygate check` says it. It is written as for
/// [`Stand::config`].
#[track_caller]
pub(crate) fn refusal(config: &str) -> String {
    let config = keyed(&format!("[upstreams.rec]\naddrs = [\"127.0.0.1:1\"]\n{config}"));
    let output = check(&[("keygate.toml", &config)], &[]);
    assert_eq!(output.code, Some(1), "it loads: {config}\n{output:?}");
    output.stderr
}

/// Sends the oracle's own request, and says whether it is answered with 200.
pub(super) fn probed(gate: &Gate, request: &str) -> bool {
    let request = request.replacen("\r\n", &format!("\r\n{PROBE}: 1\r\n"), 1);
    request.is_empty()
        || gate.client().send(request).answer().is_some_and(|answer| answer.status == 200)
}
