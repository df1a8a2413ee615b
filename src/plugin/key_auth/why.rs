//! Why a key is refused, for `keygate explain`: what a client is told says nothing of it.

use super::KeyAuth;
use super::keys::allow_methods;
use super::source::Found;
use crate::head::RequestHead;
use crate::keys::digest::Digest;
use crate::keys::refusal::Refusal;
use crate::plugin::Cx;

impl KeyAuth {
    /// Why the key of a request that was refused is not let in.
    pub(super) fn why(&self, head: &RequestHead, cx: &Cx) -> Option<String> {
        let mut found = self.sources.iter().map(|source| source.find(head));
        let candidate = match found.find(|found| *found != Found::Absent)? {
            Found::One(candidate) => candidate,
            Found::Several => {
                return Some("there are several keys, or one of them twice".to_owned());
            }
            Found::Absent | Found::Empty => return None,
        };
        let digest = Digest::of(&candidate);
        let (position, reason) = match self.keys.refusal(&digest, cx.wall) {
            Some((position, refusal)) => (position, refusal.to_string()),
            None => match self.keys.find(&digest, cx.wall) {
                None => return Some(Refusal::of_stranger(&candidate).to_string()),
                Some(key) => (key.position, self.forbidden(key.position, head, cx)?),
            },
        };
        let id = self.keys.names(position).map_or("", |names| names.id);
        Some(format!("{reason} (its id is {id})"))
    }

    /// What of a key's record is against this request.
    fn forbidden(&self, position: usize, head: &RequestHead, cx: &Cx) -> Option<String> {
        let (set, rules) = self.keys.rules(position)?;
        let against = [
            ("locations", set.allow_location(rules, cx)),
            ("methods", allow_methods(rules, head)),
            ("allow_ips", rules.allow_address(cx.client)),
        ];
        let against = against.iter().filter(|(_, allows)| !allows).map(|(name, _)| *name);
        let against = against.collect::<Vec<_>>().join("`, `");
        Some(format!("the key is valid, but not for this: `{against}` of its record say so"))
            .filter(|_| !against.is_empty())
    }
}
