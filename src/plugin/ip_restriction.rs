//! The plugin `ip-restriction`: lets a request go on only from some networks, or not from others.

use std::net::IpAddr;
use std::ops::ControlFlow;
use std::sync::Arc;

use ipnet::IpNet;
use serde::Deserialize;
use toml::Spanned;

use crate::config::address::Network;
use crate::config::load::Section;
use crate::config::problem::Fault;
use crate::head::RequestHead;
use crate::plugin::{Built, Cx, Kind, Plugin, Settings, Site};
use crate::reply::{Cause, Reply};

/// What the table of plugins says of it.
pub const KIND: Kind =
    Kind { name: "ip-restriction", read, shown: &["allow", "deny"], bare: &[], named: &[] };

fn read(section: &mut Section<'_>) -> Option<Box<dyn Settings>> {
    Some(Box::new(section.read::<IpRestrictionSettings>()?))
}

/// The settings, as they are written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct IpRestrictionSettings {
    /// Who may come; absent: everybody who is not denied.
    allow: Option<Spanned<Vec<Network>>>,
    /// Who may not, even if allowed.
    deny: Option<Spanned<Vec<Network>>>,
}

/// The plugin, ready to serve.
struct IpRestriction {
    allow: Option<Vec<IpNet>>,
    deny: Vec<IpNet>,
}

impl Settings for IpRestrictionSettings {
    fn build(&self, _: &mut Site<'_>) -> Result<Built, Vec<Fault>> {
        let lists: Vec<_> = [&self.allow, &self.deny].into_iter().flatten().collect();
        if lists.is_empty() {
            let fault = Fault::new("nothing is restricted");
            return Err(vec![fault.help("allow = [\"10.0.0.0/8\"] says who may come")]);
        }
        let empty = lists.into_iter().filter(|list| list.get_ref().is_empty());
        let empty = empty.map(|list| Fault::at(list.span(), "there is no network in the list"));
        let faults: Vec<_> = empty.collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let networks = |list: &Spanned<Vec<Network>>| list.get_ref().iter().map(|n| n.0).collect();
        Ok(Built::new(Arc::new(IpRestriction {
            allow: self.allow.as_ref().map(networks),
            deny: self.deny.as_ref().map(networks).unwrap_or_default(),
        })))
    }
}

impl Plugin for IpRestriction {
    fn request(&self, _: &mut RequestHead, cx: &mut Cx) -> ControlFlow<Reply> {
        if self.lets_in(cx.client) {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(Cause::AddressNotAllowed.into())
        }
    }
}

impl IpRestriction {
    /// Whoever has no address is not let in: it could be any.
    fn lets_in(&self, client: Option<IpAddr>) -> bool {
        let Some(client) = client.map(|client| client.to_canonical()) else { return false };
        let holds = |networks: &[IpNet]| networks.iter().any(|network| network.contains(&client));
        !holds(&self.deny) && self.allow.as_deref().is_none_or(holds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(settings: &str, client: &str, expected: bool) {
        let settings: IpRestrictionSettings = toml::from_str(settings).unwrap();
        let built = settings.build(&mut Site::default()).map_err(|faults| format!("{faults:?}"));
        let built = built.unwrap();
        assert!(!built.authenticates);
        let client = (client != "none").then(|| client.parse().unwrap());
        let now = std::time::Instant::now();
        let mut cx = Cx::new(client, now, std::time::SystemTime::now());
        let verdict = built.plugin.request(&mut RequestHead::default(), &mut cx);
        assert_eq!(verdict.is_continue(), expected, "{client:?}");
    }

    #[test]
    fn who_is_denied_does_not_come_and_who_is_not_allowed_neither() {
        let both = "allow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\ndeny = [\"10.1.0.0/16\"]";
        for (client, expected) in [
            ("10.0.0.1", true),
            ("10.255.255.255", true),
            ("11.0.0.0", false),
            ("9.255.255.255", false),
            ("10.1.0.0", false),
            ("10.1.255.255", false),
            ("10.2.0.0", true),
            ("::ffff:10.0.0.1", true),
            ("::ffff:10.1.0.1", false),
            ("2001:db8::1", true),
            ("2001:db9::1", false),
            ("::a00:1", false),
            ("none", false),
        ] {
            check(both, client, expected);
        }
    }

    #[test]
    fn one_list_alone_is_enough() {
        check("allow = [\"192.0.2.1\"]", "192.0.2.1", true);
        check("allow = [\"192.0.2.1\"]", "192.0.2.2", false);
        check("allow = [\"0.0.0.0/0\", \"::/0\"]", "none", false);
        check("deny = [\"192.0.2.1\"]", "192.0.2.1", false);
        check("deny = [\"192.0.2.1\"]", "192.0.2.2", true);
        check("deny = [\"192.0.2.1\"]", "2001:db8::1", true);
        check("deny = [\"192.0.2.1\"]", "none", false);
        // A network wins over an address in it, whichever list is longer.
        check("allow = [\"192.0.2.1\"]\ndeny = [\"192.0.2.0/24\"]", "192.0.2.1", false);
    }
}
