//! The plugin `key-auth`: lets a request go on only with a valid key.

mod build;
mod failures;
mod hide;
#[cfg(test)]
mod hiding;
mod keys;
#[cfg(test)]
mod refusals;
mod settings;
mod source;
mod stored;
mod subprotocol;
#[cfg(test)]
mod tests;
mod used;
mod why;

use std::borrow::Cow;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderName, HeaderValue};
use zeroize::Zeroize;

use crate::config::load::Section;
use crate::fields::Fields;
use crate::head::{RequestHead, ResponseHead};
use crate::keys::census::Census;
use crate::keys::digest::Digest;
use crate::keys::format::{self, Form};
use crate::plugin::{Authenticated, Cx, Grant, GrantSite, Kind, Names, Plugin, Settings, Site};
use crate::reply::{Cause, Reply};
use crate::screen;
use failures::Failures;
use keys::{Key, Keys};
use source::{Found, Source};
use stored::Stored;
use used::Used;

pub use settings::{ErrorFormat, Errors, KeyAuthSettings, nowhere};

/// What the table of plugins says of it.
pub const KIND: Kind = Kind {
    name: "key-auth",
    read,
    shown: &[
        "header",
        "scheme",
        "query",
        "sources",
        "keys_file",
        "keys_command_timeout",
        "keys_command_interval",
        "hide_credentials",
        "delay",
        "max_failures",
        "allow_preflight",
        "cut_streams",
        "realm",
        "errors",
        "errors.format",
        "errors.missing",
        "errors.invalid",
    ],
    bare: &["allow_preflight", "cut_streams", "hide_credentials"],
    named: &[],
};

/// Reads the settings of one `key-auth` plugin.
fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    let settings = section.read::<KeyAuthSettings>()?;
    section.keys_at(settings.plain_keys());
    Some(Box::new(settings))
}

/// The plugin, ready to serve.
#[derive(Clone, Debug)]
struct KeyAuth {
    /// Where the key may stand; the first place that is present decides.
    sources: Vec<Source>,
    /// The decoded names of the sources that are in the query.
    parameters: Vec<Vec<u8>>,
    keys: Keys,
    /// Where some of them are kept.
    stored: Vec<Stored>,
    /// Whether the credential is removed before forwarding.
    hide: bool,
    /// How long the answer to an invalid key waits.
    delay: Option<Duration>,
    failures: Option<Arc<Failures>>,
    allow_preflight: bool,
    challenge: HeaderValue,
    /// Whether what was let through with a key ends with it.
    cut_streams: bool,
    used: Arc<Used>,
}

impl Plugin for KeyAuth {
    fn request(&self, head: &mut RequestHead, cx: &mut Cx) -> ControlFlow<Reply> {
        if self.allow_preflight && head.is_preflight() {
            cx.keyless = true;
        } else {
            match self.check(head, cx) {
                Verdict::Valid(key) => self.admit(key, head, cx)?,
                Verdict::Missing => {
                    return ControlFlow::Break(self.unauthorized(Cause::MissingKey));
                }
                Verdict::Invalid => return ControlFlow::Break(self.failure(cx)),
            }
        }
        if self.sources.contains(&Source::WebSocket) {
            cx.offers_bearer |= subprotocol::offers_bearer(head);
        }
        if self.hide {
            return pass(hide::hide(&self.sources, &self.parameters, head));
        }
        self.mark(head);
        ControlFlow::Continue(())
    }

    fn response(&self, head: &mut ResponseHead, _: &Fields, cx: &Cx) {
        if cx.offers_bearer {
            subprotocol::choose_bearer(head);
        }
    }

    fn census(&self, now: SystemTime) -> Option<Census> {
        Some(self.keys.census(now))
    }

    fn names(&self, position: usize) -> Option<Names<'_>> {
        self.keys.names(position)
    }

    fn files(&self) -> Vec<PathBuf> {
        self.stored.iter().filter_map(|stored| stored.path().map(Path::to_owned)).collect()
    }

    fn expire(&self) {
        self.stored.iter().for_each(Stored::expire);
    }

    fn ask(&self) {
        self.stored.iter().for_each(Stored::ask);
    }

    fn due(&self) -> Option<Instant> {
        self.stored.iter().filter_map(Stored::due).min()
    }

    fn is_stale(&self) -> bool {
        self.stored.iter().any(Stored::is_stale)
    }

    fn renewed(&self, site: &mut Site<'_>) -> Option<Arc<dyn Plugin>> {
        let listed = self.keys.listed();
        let mut again = |known: &Stored| {
            known.has_changed().then(|| stored::load(known.origin(), Some(known), listed, site))?
        };
        let again: Vec<_> = self.stored.iter().map(&mut again).collect();
        if again.iter().all(Option::is_none) {
            return None;
        }
        site.has_news |= again.iter().flatten().any(|stored| !stored.is_stale());
        // Where one is wrong, keys of another may have been revoked all the same.
        let old = self.stored.iter().cloned();
        let stored: Vec<_> =
            again.into_iter().zip(old).map(|(new, old)| new.unwrap_or(old)).collect();
        let sets = stored.iter().map(|stored| stored.set.clone());
        let keys = Keys::new(Arc::clone(listed), sets);
        Some(Arc::new(Self { keys, stored, ..self.clone() }))
    }

    fn why_refused(&self, head: &RequestHead, cx: &Cx) -> Option<String> {
        self.why(head, cx)
    }

    fn note_used(&self) {
        self.stored.iter().for_each(Stored::note_used);
    }

    fn renew(
        &self,
        grant: &Grant,
        site: GrantSite<'_>,
        now: SystemTime,
    ) -> Result<Option<SystemTime>, Reply> {
        if !self.cut_streams {
            return Ok(None);
        }
        let key = self.keys.find(&grant.digest, now);
        let key = key.ok_or_else(|| self.unauthorized(Cause::InvalidKey))?;
        match self.keys.rules(key.position) {
            Some((set, rules)) if !set.still_allow(rules, grant, site) => {
                Err(self.unauthorized(Cause::KeyNotAllowed))
            }
            _ => Ok(key.until),
        }
    }
}

/// What the credential could not be removed from is not forwarded.
fn pass(hidden: Result<(), hide::Stuck>) -> ControlFlow<Reply> {
    match hidden {
        Ok(()) => ControlFlow::Continue(()),
        Err(hide::Stuck) => ControlFlow::Break(Cause::BadRequest.into()),
    }
}

/// What a request's key is worth.
enum Verdict {
    Valid(Key),
    Missing,
    Invalid,
}

impl KeyAuth {
    fn check(&self, head: &RequestHead, cx: &mut Cx) -> Verdict {
        let found = self.sources.iter().map(|source| source.find(head));
        match found.into_iter().find(|found| *found != Found::Absent) {
            None | Some(Found::Absent | Found::Empty) => Verdict::Missing,
            Some(Found::Several) => Verdict::Invalid,
            Some(Found::One(candidate)) => {
                let found = self.find(&candidate, head, cx);
                if let Cow::Owned(mut decoded) = candidate {
                    decoded.zeroize();
                }
                found.map_or(Verdict::Invalid, Verdict::Valid)
            }
        }
    }

    fn find(&self, candidate: &[u8], head: &RequestHead, cx: &mut Cx) -> Option<Key> {
        match format::form(candidate) {
            Form::Mistyped => None,
            Form::Generated | Form::Foreign => {
                let digest = Digest::of(candidate);
                let key = self.keys.find(&digest, cx.wall)?;
                if self.cut_streams {
                    cx.grants.push(Grant {
                        step: cx.step,
                        digest,
                        until: key.until,
                        method: head.method.clone(),
                        others: screen::other_methods(&head.headers).collect(),
                    });
                }
                Some(key)
            }
        }
    }

    /// Lets a valid key go on where it may be used.
    fn admit(&self, key: Key, head: &RequestHead, cx: &mut Cx) -> ControlFlow<Reply> {
        let Key { position, tag, consumer, .. } = key;
        self.keys.touch(position, cx.wall);
        cx.key = Some(Authenticated { step: cx.step, position, key: tag, consumer });
        match self.keys.rules(position) {
            None => ControlFlow::Continue(()),
            Some((set, rules)) if set.allow(rules, head, cx) => {
                self.used.charge((self.keys.part(position), tag), rules, cx)
            }
            Some(_) => ControlFlow::Break(self.unauthorized(Cause::KeyNotAllowed)),
        }
    }

    /// Only failures are counted, and a valid key never gets here: nobody can lock it out.
    fn failure(&self, cx: &Cx) -> Reply {
        let counted = self.failures.as_ref().map(|failures| failures.count(cx.client, cx.now));
        match counted {
            Some(Err(wait)) => Cause::RateLimited(wait).into(),
            Some(Ok(())) | None => {
                Reply { pause: self.delay, ..self.unauthorized(Cause::InvalidKey) }
            }
        }
    }

    fn unauthorized(&self, cause: Cause) -> Reply {
        Reply { challenge: Some(self.challenge.clone()), ..cause.into() }
    }

    /// Marks a credential that is forwarded, so that it is not logged with the header map, and not
    /// indexed by HPACK (RFC 7541, section 7.1.3).
    fn mark(&self, head: &mut RequestHead) {
        let is_source = |field: &HeaderName| self.sources.iter().any(|source| source.is_in(field));
        head.headers.retain(|name, value| {
            value.set_sensitive(is_source(name));
            true
        });
    }
}
