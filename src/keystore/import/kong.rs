//! The keys of a declarative file of Kong, in YAML or JSON.

use std::time::{Duration, SystemTime};

use super::yaml::Node;
use super::{Foreign, Read};
use crate::keys::file::is_writable;

/// Reads the `keyauth_credentials` of all consumers, whether they stand below them or for
/// themselves. `ttl` counts from `created_at`, or from now.
///
/// # Errors
///
/// When the text is no YAML, or a credential has no key that is written out.
pub fn read(text: &str, now: SystemTime) -> Read {
    let root = Node::read(text).map_err(|message| vec![message])?;
    let (mut read, mut wrong) = (Vec::new(), Vec::new());
    let mut add = |owner: Option<&str>, what: String, credential: &Node| match foreign(
        owner, credential, now,
    ) {
        Ok(key) => read.push(key),
        Err(message) => wrong.push(format!("{what}: {message}")),
    };
    let consumers = root.list("consumers");
    for (number, consumer) in (1..).zip(consumers) {
        let credentials = consumer.list("keyauth_credentials");
        for (position, credential) in (1..).zip(credentials) {
            add(name(consumer), format!("consumer {number}, credential {position}"), credential);
        }
    }
    for (number, credential) in (1..).zip(root.list("keyauth_credentials")) {
        let owner = owner(credential, consumers);
        add(owner, format!("keyauth_credentials, entry {number}"), credential);
    }
    if wrong.is_empty() { Ok(read) } else { Err(wrong) }
}

fn name(consumer: &Node) -> Option<&str> {
    consumer.text("username").or_else(|| consumer.text("custom_id"))
}

/// Whose credential this is: a consumer by its name or its id.
fn owner<'n>(credential: &'n Node, consumers: &'n [Node]) -> Option<&'n str> {
    let written = credential.get("consumer")?;
    let written = match written {
        Node::Text(text) => text,
        _ => written.text("username").or_else(|| written.text("id"))?,
    };
    let by_id = consumers.iter().find(|consumer| consumer.text("id") == Some(written));
    by_id.and_then(name).or(Some(written))
}

fn foreign(owner: Option<&str>, credential: &Node, now: SystemTime) -> Result<Foreign, String> {
    let key = match credential.get("key") {
        Some(Node::Text(key)) if key.starts_with("{vault://") => return Err(REFERENCE.to_owned()),
        Some(Node::Text(key)) => key,
        Some(_) => return Err(REFERENCE.to_owned()),
        None => return Err("it has no `key`".to_owned()),
    };
    let seconds = |name: &str| match credential.text(name) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("`{name}` is no number")),
    };
    let expires = match (seconds("ttl")?, seconds("created_at")?) {
        (None | Some(0), _) => None,
        (Some(ttl), created) => {
            let created = created.map(Duration::from_secs);
            let begin = created.map_or(Some(now), |at| SystemTime::UNIX_EPOCH.checked_add(at));
            let end = begin.and_then(|begin| begin.checked_add(Duration::from_secs(ttl)));
            let end = end.filter(|end| is_writable(*end));
            Some(end.ok_or_else(|| "`ttl` is too long".to_owned())?)
        }
    };
    let key = Foreign::new(owner, key).map_err(|what| format!("the key {what}"))?;
    Ok(Foreign { consumer: owner.map(str::to_owned), expires, ..key })
}

const REFERENCE: &str = "the key is a reference to a vault; import it from there";
