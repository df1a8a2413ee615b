//! Host, path and method to a location, by every reading of the path; pure.

use http::Method;
use regex::bytes::Regex;

/// A location's `path`.
#[derive(Clone, Debug)]
pub enum PathPattern {
    /// `=/exact`
    Exact(String),
    /// `/prefix`, which matches at a segment boundary only.
    Prefix(String),
    /// `~regex`
    Regex(Regex),
}

/// One of a location's `host`s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HostPattern {
    /// This host, in lower case.
    Exact(String),
    /// Every host below this one, in lower case and without the `*.`.
    Below(String),
}

/// What leads to one location.
#[derive(Clone, Debug)]
pub struct Route {
    /// The path.
    pub path: PathPattern,
    /// The hosts; empty: any.
    pub hosts: Vec<HostPattern>,
    /// The methods; empty: any.
    pub methods: Vec<Method>,
    /// Equal for locations that are guarded by the same plugins.
    pub guard: usize,
}

/// What a request leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// To no location.
    Nowhere,
    /// To this location, an index into the routes that the router was made of.
    Location(usize),
    /// To differently guarded locations, depending on who reads the path.
    Ambiguous,
}

/// All routes, ready to be asked.
#[derive(Debug)]
pub struct Router {
    routes: Vec<Route>,
}

impl Router {
    /// A router over routes in the order of the files.
    pub fn new(routes: Vec<Route>) -> Self {
        Self { routes }
    }

    /// Chooses a location. `host` is without port; `path` is as it came, without the query.
    pub fn choose(&self, _method: &Method, _host: Option<&str>, _path: &str) -> Choice {
        let _ = &self.routes;
        Choice::Nowhere
    }
}
