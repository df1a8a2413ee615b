//! The tables of a configuration, and which of their fields hold no secret.

use super::mask::looks_like_key;
use crate::plugin::KINDS;

/// The sort of a table, which decides what its fields hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Unit {
    Server,
    Admin,
    Log,
    Upstream,
    Plugin,
    Location,
    Key,
}

/// What stands at the top level of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// The tables of a configuration.
    Tables,
    /// The fields of a plugin.
    Plugin,
    /// Records of keys.
    Keys,
}

/// The fields of `[server]`, and of an upstream.
const SERVER: &[&str] = &[
    "listen",
    "workers",
    "trusted_proxies",
    "max_connections",
    "client_header_timeout",
    "client_body_timeout",
    "client_min_rate",
    "http2_max_concurrent_streams",
    "keepalive_timeout",
    "max_header_size",
    "shutdown_timeout",
    "tls",
    "tls.certificates",
    "tls.certificates.cert",
    "tls.certificates.key",
    "tls.client_ca",
    "tls.client_certificates",
    "tls.handshake_timeout",
];
const UPSTREAM: &[&str] = &[
    "addrs",
    "balance",
    "protocol",
    "host",
    "connect_timeout",
    "response_timeout",
    "read_timeout",
    "max_idle",
    "max_connections",
    "max_queue",
    "queue_timeout",
    "max_fails",
    "fail_timeout",
    "health",
    "health.path",
    "health.interval",
    "health.timeout",
    "health.unhealthy",
    "health.healthy",
    "tls",
    "tls.ca",
    "tls.server_name",
    "tls.cert",
    "tls.key",
    "tls.insecure_skip_verify",
];

impl Unit {
    /// Whether the values of a field are no secrets. What is not listed is masked; fields inside of
    /// fields are listed with a dot between them.
    pub(super) fn shows(self, field: &str) -> bool {
        let kinds = KINDS.iter().filter(|_| self == Self::Plugin);
        self.shown_fields().contains(&field) || kinds.into_iter().any(|k| k.shown.contains(&field))
    }

    /// Whether the names inside of a field are no secrets, though their values may be.
    pub(super) fn shows_names(self, field: &str) -> bool {
        self == Self::Plugin && KINDS.iter().any(|kind| kind.named.contains(&field))
    }

    /// The fields of a table that is no plugin's.
    fn shown_fields(self) -> &'static [&'static str] {
        match self {
            Self::Server => SERVER,
            Self::Admin => &["listen", "counted_keys"],
            Self::Log => &["format", "access"],
            Self::Upstream => UPSTREAM,
            // Each kind says its own.
            Self::Plugin => &["category"],
            Self::Location => &[
                "path",
                "host",
                "methods",
                "upstream",
                "forward_auth",
                "plugins",
                "client_max_body_size",
                "max_processing",
                "max_queue",
                "public",
            ],
            Self::Key => &[
                "id",
                "consumer",
                "created",
                "not_before",
                "expires",
                "previous",
                "previous.until",
                "disabled",
                "locations",
                "methods",
                "allow_ips",
                "limits",
                "limits.rate",
                "limits.requests",
                "limits.concurrency",
            ],
        }
    }

    /// The sort of the tables with a name below this one, or of this one itself.
    pub(super) fn of(table: &str) -> Option<(Self, bool)> {
        Some(match table {
            "server" => (Self::Server, false),
            "admin" => (Self::Admin, false),
            "log" => (Self::Log, false),
            "upstreams" => (Self::Upstream, true),
            "plugins" => (Self::Plugin, true),
            "locations" => (Self::Location, true),
            _ => return None,
        })
    }
}

/// Whether the value at this way into a table can hold no key.
pub(super) fn is_shown(unit: Unit, way: &[&str]) -> bool {
    match way {
        [field] => unit.shows(field),
        [] => false,
        way => unit.shows(&way.join(".")),
    }
}

/// The fields of tables that are no plugin's which take no string: one that is there by mistake may
/// be a key.
const BARE_FIELDS: &[&str] = &[
    "access",
    "counted_keys",
    "created",
    "disabled",
    "expires",
    "max_connections",
    "max_fails",
    "max_idle",
    "max_processing",
    "not_before",
    "public",
    "workers",
];

fn is_bare(field: &str) -> bool {
    BARE_FIELDS.contains(&field) || KINDS.iter().any(|kind| kind.bare.contains(&field))
}

/// Whether a string may be shown: where no key belongs, and nothing that looks like one.
pub(super) fn may_show(unit: Unit, way: &[&str], text: &str) -> bool {
    let bare = way.first().is_some_and(|field| is_bare(field));
    // A path may be a regex; all else is written with few characters, and in a plugin's table,
    // where a key is only a line away, with fewer.
    let others = match (unit, way) {
        (Unit::Location, ["path"]) => return is_shown(unit, way) && !looks_like_key(text),
        (Unit::Plugin | Unit::Key, _) => "_./:-${}",
        _ => "_./:-${} []*,",
    };
    is_shown(unit, way)
        && !bare
        && !looks_like_key(text)
        && text.chars().all(|c| c.is_ascii_alphanumeric() || others.contains(c))
}
