//! Host, path and method to a location, by every reading of the path; pure.

mod pattern;

use http::Method;

pub use pattern::{HostPattern, PathPattern};

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
