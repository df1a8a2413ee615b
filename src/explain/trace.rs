//! What is noted of a request while it is decided.

use std::net::IpAddr;
use std::ops::ControlFlow;

use http::HeaderName;

use super::Step;
use crate::decide::Witness;
use crate::fields::Fields;
use crate::head::RequestHead;
use crate::plan::Plan;
use crate::plugin::{Authenticated, Cx};
use crate::reply::Reply;
use crate::route::Choice;
use crate::screen::Host;

/// What has become of a request so far.
pub(super) struct Trace<'p> {
    plan: &'p Plan,
    pub(super) peer: Option<IpAddr>,
    pub(super) client: Option<IpAddr>,
    pub(super) host: Option<String>,
    pub(super) choice: Option<Choice>,
    pub(super) location: Option<usize>,
    pub(super) key: Option<Authenticated>,
    pub(super) steps: Vec<Step>,
    /// Why the key was refused.
    pub(super) refusal: Option<String>,
    /// The fields as the client sent them.
    pub(super) sent: Fields,
    /// The fields and the target as the last plugin left them.
    left: (Fields, String),
}

impl<'p> Trace<'p> {
    pub(super) fn of(plan: &'p Plan, head: &RequestHead, peer: Option<IpAddr>) -> Self {
        Self {
            plan,
            peer,
            client: peer,
            host: None,
            choice: None,
            location: None,
            key: None,
            steps: Vec::new(),
            refusal: None,
            sent: head.headers.clone(),
            left: (head.headers.clone(), target(head)),
        }
    }

    /// What a plugin did to the request, as parts of a sentence.
    fn deeds(&self, head: &RequestHead) -> Vec<String> {
        let (before, target_before) = &self.left;
        let mut deeds = Vec::new();
        let mut list = |verb: &str, names: Vec<&HeaderName>| {
            let names: Vec<_> = names.into_iter().map(HeaderName::as_str).collect();
            if !names.is_empty() {
                deeds.push(format!("{verb} {}", names.join(", ")));
            }
        };
        let values = |fields: &'_ Fields, name: &HeaderName| -> Vec<_> {
            fields.get_all(name).cloned().collect()
        };
        list("removes", distinct(before, |name| !head.headers.contains(name)));
        list(
            "sets",
            distinct(&head.headers, |name| values(before, name) != values(&head.headers, name)),
        );
        if *target_before != target(head) {
            deeds.push("changes the query".to_owned());
        }
        deeds
    }
}

/// The names of fields that are chosen, each once.
fn distinct(fields: &Fields, choose: impl Fn(&HeaderName) -> bool) -> Vec<&HeaderName> {
    let mut names: Vec<&HeaderName> = Vec::new();
    for (name, _) in fields {
        if choose(name) && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn target(head: &RequestHead) -> String {
    head.uri.path_and_query().map(ToString::to_string).unwrap_or_default()
}

impl Witness for Trace<'_> {
    fn comes_from(&mut self, client: Option<IpAddr>) {
        self.client = client;
    }

    fn routed(&mut self, host: &Host, choice: &Choice) {
        self.host = host.name().map(str::to_owned);
        self.choice = Some(choice.clone());
    }

    fn located(&mut self, location: usize) {
        self.location = Some(location);
    }

    fn asked(&mut self, head: &RequestHead, cx: &Cx, verdict: &ControlFlow<Reply>) {
        if self.steps.is_empty() {
            // What keygate disowns is no plugin's deed.
            let kept = |name: &HeaderName| !crate::screen::is_reserved(name);
            self.left.0.retain(|name, _| kept(name) || head.headers.contains(name));
        }
        let found = cx.key.is_some_and(|key| key.step == cx.step);
        let (goes_on, mut why) = match verdict {
            ControlFlow::Continue(()) if found => (true, vec!["the key is valid".to_owned()]),
            ControlFlow::Continue(()) => (true, Vec::new()),
            ControlFlow::Break(reply) => (false, vec![reply.cause.sentence().to_owned()]),
        };
        if goes_on {
            why.extend(self.deeds(head));
        } else {
            let plugin = &self.plan.locations[cx.location].plugins[cx.step];
            self.refusal = plugin.why_refused(head, cx);
        }
        self.left = (head.headers.clone(), target(head));
        let name = self.plan.plugin_name(cx.location, cx.step).unwrap_or_default();
        self.steps.push(Step { plugin: name.to_owned(), goes_on, why: why.join("; ") });
    }

    fn decided(&mut self, cx: &mut Cx) {
        self.key = cx.key;
    }
}
