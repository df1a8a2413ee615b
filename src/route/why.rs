//! Why a request leads where it leads, for people: the looks that [`Router::choose`] takes, told.

use http::Method;

use super::pattern::Look;
use super::readings::{self, Shape};
use super::{HostPattern, Route, Router, is_below};

/// One way to read a path, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// What the path is taken for.
    pub path: String,
    /// Whether case does not count.
    pub folded: bool,
    /// Whether slashes at the end do not count.
    pub trimmed: bool,
    /// The location.
    pub location: Option<usize>,
}

/// What keeps a location from a request whose path fits it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// It is for other hosts.
    Host,
    /// It takes other methods.
    Method,
}

impl Router {
    /// What leads to a location.
    pub fn route(&self, location: usize) -> &Route {
        &self.routes[location]
    }

    /// Every way in which [`Router::choose`] reads a path; none if there are too many.
    pub fn readings(
        &self,
        method: &Method,
        host: Option<&str>,
        path: &str,
    ) -> Option<Vec<Reading>> {
        let asked = self.asked(method, host);
        let shape = Shape::of(path.as_bytes());
        let (paths, fold) = match shape.plain {
            true => (vec![path.as_bytes().to_vec()], shape.upper || self.has_case),
            false => (readings::readings(readings::upper_case_escapes(path.as_bytes()))?, true),
        };
        let told = |path: &Vec<u8>, Look { fold, slash }| Reading {
            path: String::from_utf8_lossy(path).into_owned(),
            folded: fold,
            trimmed: slash,
            location: asked.find(path, Look { fold, slash }),
        };
        let all = paths.iter().flat_map(|path| asked.looks(path, fold).map(move |l| (path, l)));
        Some(all.map(|(path, look)| told(path, look)).collect())
    }

    /// The locations that the path fits as it came, but not the rest of the request.
    pub fn misses(&self, method: &Method, host: Option<&str>, path: &str) -> Vec<(usize, Miss)> {
        let asked = self.asked(method, host);
        let fits = |route: &Route| route.path.fits(path.as_bytes(), Look::STRICT);
        let fitting = self.routes.iter().enumerate().filter(|(_, route)| fits(route));
        let miss = |route: &Route| match is_for(route, asked.host) {
            true => Miss::Method,
            false => Miss::Host,
        };
        fitting.map(|(index, route)| (index, miss(route))).collect()
    }
}

fn is_for(route: &Route, host: Option<&str>) -> bool {
    let fits = |pattern: &HostPattern| match (pattern, host) {
        (HostPattern::Exact(known), Some(host)) => known.eq_ignore_ascii_case(host),
        (HostPattern::Below(domain), Some(host)) => is_below(host, domain),
        (_, None) => false,
    };
    route.hosts.is_empty() || route.hosts.iter().any(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::Choice;
    use crate::route::tests::{OPEN_ROOT, router};

    /// What is chosen, out of what is told.
    fn chosen(router: &Router, path: &str) -> Choice {
        let strict = router.readings(&Method::GET, None, path).map(|all| all[0].clone());
        let first = match &strict {
            Some(first) => first.location,
            // Too many to read: where it leads as it came decides between 404 and 400.
            None => return Choice::Ambiguous,
        };
        let Some(index) = first else { return Choice::Nowhere };
        let guard = router.route(index).guard;
        let mut also = Vec::new();
        for reading in router.readings(&Method::GET, None, path).unwrap_or_default() {
            match reading.location {
                Some(other) if router.route(other).guard == guard => {
                    if other != index && !also.contains(&other) {
                        also.push(other);
                    }
                }
                _ => return Choice::Ambiguous,
            }
        }
        Choice::Location { index, also }
    }

    #[test]
    fn what_is_told_is_what_is_chosen() {
        let segments = ["/", "//", "%2f", "..", ".", "admin", "ADMIN", "api/v1", "public", ";x"];
        let routers = [OPEN_ROOT, "1 /api/v1", "1 /a/\n1 =/admin/\n2 ~^/adm", "0 /Admin\n0 /admin"];
        let mut rng = fastrand::Rng::with_seed(5);
        for _ in 0..4000 {
            let router = router(routers[rng.usize(..routers.len())]);
            let pieces = (0..rng.usize(..6)).map(|_| segments[rng.usize(..segments.len())]);
            let path = format!("/{}", pieces.collect::<String>());
            let choice = router.choose(&Method::GET, None, &path);
            assert_eq!(chosen(&router, &path), choice, "{path}");
        }
    }

    #[test]
    fn a_reading_says_how_it_reads() {
        let router = router("1 =/a/\n1 /B");
        let all = router.readings(&Method::GET, None, "/a").expect("few");
        let told = |reading: &Reading| (reading.folded, reading.trimmed, reading.location);
        let all: Vec<_> = all.iter().map(told).collect();
        let (none, some) = (None, Some(0));
        let expected =
            [(false, false, none), (false, true, some), (true, false, none), (true, true, some)];
        assert_eq!(all, expected);
        let often_encoded = format!("/%{}61", "25".repeat(40));
        assert!(router.readings(&Method::GET, None, &often_encoded).is_none());
    }

    #[test]
    fn a_miss_is_of_the_host_or_of_the_method() {
        let router = router("1 /a a.test\n1 /a any POST\n1 /b\n1 /a/x *.b.test");
        let misses = |host, path| router.misses(&Method::GET, host, path);
        assert_eq!(misses(Some("b.test"), "/a"), [(0, Miss::Host), (1, Miss::Method)]);
        assert_eq!(misses(None, "/a"), [(0, Miss::Host), (1, Miss::Method)]);
        assert_eq!(misses(Some("b.test"), "/c"), []);
        let of_x = [(0, Miss::Host), (1, Miss::Method), (3, Miss::Method)];
        assert_eq!(misses(Some("x.B.test."), "/a/x"), of_x);
    }
}
