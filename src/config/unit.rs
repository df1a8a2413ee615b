//! The tables of a configuration, and which of their fields hold no secret.

use super::mask::looks_like_key;

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

impl Unit {
    /// The fields whose values are no secrets. What is not listed is masked.
    pub(super) fn shown_fields(self) -> &'static [&'static str] {
        match self {
            Self::Server => &[
                "listen",
                "workers",
                "trusted_proxies",
                "max_connections",
                "client_header_timeout",
                "client_body_timeout",
                "client_min_rate",
                "keepalive_timeout",
                "max_header_size",
                "shutdown_timeout",
            ],
            Self::Admin => &["listen"],
            Self::Log => &["format", "access"],
            Self::Upstream => &[
                "addrs",
                "balance",
                "protocol",
                "host",
                "connect_timeout",
                "response_timeout",
                "read_timeout",
                "max_idle",
                "health",
            ],
            Self::Plugin => &[
                "category",
                "header",
                "scheme",
                "query",
                "sources",
                "keys_file",
                "hide_credentials",
                "delay",
                "max_failures",
                "allow_preflight",
                "cut_streams",
                "realm",
                "errors",
                "allow",
                "deny",
                "rate",
                "burst",
                "by",
            ],
            Self::Location => &[
                "path",
                "host",
                "methods",
                "upstream",
                "plugins",
                "client_max_body_size",
                "max_processing",
                "public",
            ],
            Self::Key => &[
                "id",
                "consumer",
                "created",
                "not_before",
                "expires",
                "previous",
                "disabled",
                "locations",
                "methods",
                "allow_ips",
                "limits",
            ],
        }
    }

    /// The fields inside those whose values are no secrets either.
    fn shown_inner_fields(self) -> &'static [&'static str] {
        match self {
            Self::Key => &["until", "rate", "requests", "concurrency"],
            _ => SHOWN_INNER_FIELDS,
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

/// The fields inside those of a configuration.
const SHOWN_INNER_FIELDS: &[&str] =
    &["format", "missing", "invalid", "path", "interval", "timeout", "unhealthy", "healthy"];

/// Whether the value at this way into a table can hold no key.
pub(super) fn is_shown(unit: Unit, way: &[&str]) -> bool {
    let shown = |field: &&str| unit.shown_fields().contains(field);
    match way {
        [field] => shown(field),
        [field, inner] => shown(field) && unit.shown_inner_fields().contains(inner),
        _ => false,
    }
}

/// The fields that take no string: one that is there by mistake may be a key.
const BARE_FIELDS: &[&str] = &[
    "access",
    "allow_preflight",
    "burst",
    "created",
    "cut_streams",
    "disabled",
    "expires",
    "hide_credentials",
    "max_connections",
    "max_idle",
    "max_processing",
    "not_before",
    "public",
    "workers",
];

/// Whether a string may be shown: where no key belongs, and nothing that looks like one.
pub(super) fn may_show(unit: Unit, way: &[&str], text: &str) -> bool {
    let bare = way.first().is_some_and(|field| BARE_FIELDS.contains(field));
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
