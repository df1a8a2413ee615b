//! Host, path and method to a location, by every reading of the path; pure.

#[cfg(test)]
mod oracle;
mod pattern;
mod readings;
#[cfg(test)]
mod refusals;
#[cfg(test)]
mod tests;
mod why;

use std::iter;

use http::Method;

use pattern::Look;
pub use pattern::{CaseRegex, HostPattern, Literal, PathPattern};
use readings::Shape;
pub use why::{Miss, Reading};

/// What leads to one location.
#[derive(Clone, Debug)]
pub struct Route {
    /// The path.
    pub path: PathPattern,
    /// The hosts; empty: any.
    pub hosts: Vec<HostPattern>,
    /// The methods; empty: any. `HEAD` is not `GET`.
    pub methods: Vec<Method>,
    /// Equal for locations that are guarded by the same plugins.
    pub guard: usize,
}

/// What a request leads to; locations are indices into the routes that the router was made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To no location.
    Nowhere,
    /// To one location.
    Location {
        /// The location that serves the request: where the path leads as it came.
        index: usize,
        /// Other locations that some reading of the path leads to. They have the same guard; what
        /// is decided by a location's name (as a key's `locations`) must hold for all of them.
        /// Empty, and not allocated, for a path that has one reading.
        also: Vec<usize>,
    },
    /// To differently guarded locations, depending on who reads the path.
    Ambiguous,
}

/// All routes, ready to be asked.
#[derive(Clone, Debug)]
pub struct Router {
    routes: Vec<Route>,
    /// For each host that is named in full, in order of the names.
    hosts: Vec<(String, Table)>,
    /// For each `*.host`, the longest first.
    below: Vec<(String, Table)>,
    /// For every host.
    any: Table,
    /// Whether a lower-case path may lead elsewhere when case does not count.
    has_case: bool,
    /// Whether another method may lead elsewhere.
    has_methods: bool,
    /// Whether a path without a slash at its end may lead elsewhere when that slash does not count.
    has_slash: bool,
}

/// Indices of routes, in the order in which they are tried.
type Table = Vec<usize>;

impl Router {
    /// A router over routes in the order of the files.
    pub fn new(routes: Vec<Route>) -> Self {
        let has_case = routes.iter().any(|route| route.path.has_case());
        let has_slash = routes.iter().any(|route| route.path.has_slash());
        let has_methods = routes.iter().any(|route| !route.methods.is_empty());
        let (hosts, below, any) = (vec![], vec![], vec![]);
        let mut router = Self { routes, hosts, below, any, has_case, has_methods, has_slash };
        for index in 0..router.routes.len() {
            let hosts = router.routes[index].hosts.clone();
            if hosts.is_empty() {
                router.any.push(index);
            }
            for host in hosts {
                let (tables, host) = match host {
                    HostPattern::Exact(host) => (&mut router.hosts, host),
                    HostPattern::Below(host) => (&mut router.below, host),
                };
                match tables.iter_mut().find(|(known, _)| *known == host) {
                    Some((_, table)) => table.push(index),
                    None => tables.push((host, vec![index])),
                }
            }
        }
        router.hosts.sort();
        router.below.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
        let named = router.hosts.iter_mut().chain(&mut router.below).map(|(_, table)| table);
        for table in named.chain([&mut router.any]) {
            // The sort is stable: what ranks equal stays in the order of the files.
            table.sort_by_key(|&index| router.routes[index].path.rank());
        }
        router
    }

    /// Chooses a location. `host` is without port; `path` is as it came, without the query.
    ///
    /// Where a host is named in full, its locations come first, then those of `*.host`, the longest
    /// first, then those without a host. Within each, exact paths come before prefixes, the longest
    /// first, and these before regexes, in the order of the files.
    pub fn choose(&self, method: &Method, host: Option<&str>, path: &str) -> Choice {
        let path = path.as_bytes();
        if path.first() != Some(&b'/') {
            return Choice::Nowhere;
        }
        let asked = self.asked(method, host);
        let shape = Shape::of(path);
        if shape.plain {
            return asked.choose(path, shape.upper || self.has_case);
        }
        asked.choose_by_all_readings(readings::upper_case_escapes(path))
    }

    fn asked<'a>(&'a self, method: &'a Method, host: Option<&'a str>) -> Asked<'a> {
        let host = host.map(|host| host.strip_suffix('.').unwrap_or(host));
        Asked { router: self, method, host, named: self.named(host) }
    }

    /// Whether another method may lead to another location.
    pub fn has_methods(&self) -> bool {
        self.has_methods
    }

    /// Whether the location that a request was led to is guarded like those that another method
    /// leads to; not, if that leads to none or is no method. They are added to `also`.
    pub fn guards_alike(&self, index: usize, also: &mut Vec<usize>, other: Option<Choice>) -> bool {
        let Some(Choice::Location { index: found, also: more }) = other else { return false };
        for led in iter::once(found).chain(more) {
            if led != index && !also.contains(&led) {
                also.push(led);
            }
        }
        self.routes[found].guard == self.routes[index].guard
    }

    /// The routes of a host that is named in full.
    fn named(&self, host: Option<&str>) -> Option<&Table> {
        let host = host?;
        let found = self.hosts.binary_search_by(|(known, _)| {
            known.bytes().cmp(host.bytes().map(|byte| byte.to_ascii_lowercase()))
        });
        found.ok().map(|at| &self.hosts[at].1)
    }
}

/// One request's question.
struct Asked<'a> {
    router: &'a Router,
    method: &'a Method,
    host: Option<&'a str>,
    named: Option<&'a Table>,
}

impl Asked<'_> {
    /// For a path with one reading.
    fn choose(&self, path: &[u8], fold: bool) -> Choice {
        let Some(index) = self.find(path, Look::STRICT) else { return Choice::Nowhere };
        let mut also = Vec::new();
        let others = self.looks(path, fold).filter(|look| *look != Look::STRICT);
        if self.agrees(index, path, others, &mut also) {
            Choice::Location { index, also }
        } else {
            Choice::Ambiguous
        }
    }

    fn choose_by_all_readings(&self, path: Vec<u8>) -> Choice {
        let Some(index) = self.find(&path, Look::STRICT) else { return Choice::Nowhere };
        let Some(readings) = readings::readings(path) else { return Choice::Ambiguous };
        let mut also = Vec::new();
        let agrees =
            |reading: &Vec<u8>| self.agrees(index, reading, self.looks(reading, true), &mut also);
        if readings.iter().all(agrees) {
            Choice::Location { index, also }
        } else {
            Choice::Ambiguous
        }
    }

    /// Whether a reading leads to locations with the same guard, looked at in all these ways.
    fn agrees(
        &self,
        index: usize,
        reading: &[u8],
        mut looks: impl Iterator<Item = Look>,
        also: &mut Vec<usize>,
    ) -> bool {
        let guard = self.router.routes[index].guard;
        looks.all(|look| match self.find(reading, look) {
            Some(found) if self.router.routes[found].guard == guard => {
                if found != index && !also.contains(&found) {
                    also.push(found);
                }
                true
            }
            _ => false,
        })
    }

    /// Every way of looking at a reading that can make a difference to it.
    fn looks(&self, reading: &[u8], fold: bool) -> impl Iterator<Item = Look> + use<> {
        let slash = self.router.has_slash || (reading.len() > 1 && reading.ends_with(b"/"));
        [(false, false), (false, true), (true, false), (true, true)]
            .into_iter()
            .filter(move |&(by_fold, by_slash)| fold >= by_fold && slash >= by_slash)
            .map(|(fold, slash)| Look { fold, slash })
    }

    fn find(&self, path: &[u8], look: Look) -> Option<usize> {
        let first = |table: &Table| {
            table.iter().copied().find(|&index| self.fits(&self.router.routes[index], path, look))
        };
        let is_below = |domain: &str| self.host.is_some_and(|host| is_below(host, domain));
        let mut below = self.router.below.iter().filter(|(domain, _)| is_below(domain));
        self.named
            .and_then(first)
            .or_else(|| below.find_map(|(_, table)| first(table)))
            .or_else(|| first(&self.router.any))
    }

    fn fits(&self, route: &Route, path: &[u8], look: Look) -> bool {
        route.path.fits(path, look)
            && (route.methods.is_empty() || route.methods.contains(self.method))
    }
}

fn is_below(host: &str, domain: &str) -> bool {
    host.len().checked_sub(domain.len()).and_then(|at| host.split_at_checked(at)).is_some_and(
        |(below, end)| below.len() > 1 && below.ends_with('.') && end.eq_ignore_ascii_case(domain),
    )
}
