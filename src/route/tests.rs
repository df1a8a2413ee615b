//! Where requests lead, as data.

use super::*;

/// A router over lines of `GUARD PATH [HOSTS [METHODS]]`; the name of a location is its path.
pub(super) fn router(lines: &str) -> Router {
    Router::new(lines.trim().lines().map(route).collect())
}

fn route(line: &str) -> Route {
    let mut words = line.split_whitespace();
    let guard = words.next().expect("a guard").parse().expect("a number");
    let path = PathPattern::parse(words.next().expect("a path")).expect("a path");
    let hosts = words.next().filter(|&hosts| hosts != "any");
    let hosts = hosts.map_or(vec![], |hosts| HostPattern::parse_list(hosts).expect("hosts"));
    let methods = words.map(|method| method.parse().expect("a method")).collect();
    Route { path, hosts, methods, guard }
}

/// The reference configuration of the path rows: an open root beside what is guarded.
pub(super) const OPEN_ROOT: &str = "
    1 /api/v1
    2 /admin/
    0 /public/
    3 =/exact
    0 /";

#[track_caller]
fn check(routes: &str, request: &str, expected: &str) {
    let mut words = request.split(' ');
    let method = words.next().expect("a method").parse().expect("a method");
    let path = words.next().expect("a path");
    let router = router(routes);
    let found = match router.choose(&method, words.next(), path) {
        Choice::Nowhere => "nowhere".to_owned(),
        Choice::Ambiguous => "ambiguous".to_owned(),
        Choice::Location { index, also } => {
            let name = |index: &usize| format!("{}", router.routes[*index].path);
            [&index].into_iter().chain(&also).map(name).collect::<Vec<_>>().join(" ")
        }
    };
    assert_eq!(found, expected, "{request:.80}");
}

#[test]
fn a_plain_path_leads_to_the_longest_prefix_on_a_segment_boundary() {
    for (path, expected) in [
        ("/", "/"),
        ("/x", "/"),
        ("/api/v1", "/api/v1/"),
        ("/api/v1/", "/api/v1/"),
        ("/api/v1/x", "/api/v1/"),
        ("/api/v1x", "/"),
        ("/api", "/"),
        ("/admin", "/admin/"),
        ("/administrator", "/"),
        ("/public/a.b/~c/%20d/(e)", "/public/"),
        ("/public/a%2Fb", "/public/"),
        ("/public/a/../b", "/public/"),
        ("/public/a;v=1/b", "/public/"),
        ("/exact", "=/exact"),
        ("/exactly", "/"),
    ] {
        check(OPEN_ROOT, &format!("GET {path}"), expected);
    }
}

/// The guarded location or a refusal, never the open one.
#[test]
fn what_some_server_takes_for_a_guarded_path_is_refused() {
    for path in [
        "//admin/x",
        "///admin/x",
        "//a.test/admin/x",
        "/./admin/x",
        "/public/../admin/x",
        "/%2e/admin/x",
        "/%2E/admin/x",
        "/public/%2e%2e/admin/x",
        "/public/.%2e/admin/x",
        "/%61dmin/x",
        "/adm%69n/x",
        "/%61%64%6D%69%6e",
        "/admin%2fx",
        "/admin%2Fx",
        "/public/%2e%2e%2fadmin/x",
        "/admin%5cx",
        "/public/..%5cadmin/x",
        "/public\\..\\admin\\x",
        "/\\admin/x",
        "/\\a.test/admin",
        "/admin;a=b/x",
        "/;/admin/x",
        "/;x=y/admin/x",
        "/public/..;/admin/x",
        "/public/..;a=b/admin/x",
        "/ADMIN/x",
        "/Admin",
        "/admin%00",
        "/admin%00.html",
        "/%00/../admin/x",
        "/admin%20/x",
        "/admin%09",
        "/admin%0a",
        "/admin%1f",
        "/admin%a0",
        "/admin%85/x",
        "/admin%c2%a0",
        "/admin./x",
        "/admin%20.%20/x",
        "/public/..%20/admin",
    ] {
        check(OPEN_ROOT, &format!("GET {path}"), "ambiguous");
    }
    for path in ["/admin/%2e%2e/public/x", "/admin/../public/x", "/admin/../x"] {
        check(OPEN_ROOT, &format!("GET {path}"), "ambiguous");
    }
    for path in ["/admin/x/%2e", "/admin/x/y/..", "/admin//x", "/admin/a%2fb", "/admin/%5c"] {
        check(OPEN_ROOT, &format!("GET {path}"), "/admin/");
    }
}

#[test]
fn decoding_twice_or_in_part_or_beyond_ascii_is_thought_of() {
    for path in [
        "/%2561dmin/x",
        "/%252e%252e/admin/x",
        "/public/%252e%252e/admin/x",
        "/%c0%ae%c0%ae/admin",
        "/public/%c0%ae%c0%ae/admin",
        "/..%c0%afadmin",
        "/public/..%c1%9cadmin",
        "/public/%e0%80%ae./admin",
        "/public/%f0%80%80%ae./admin",
        "/%u0061dmin",
        "/%u002e%u002e/admin",
        "/public/..%uff0fadmin",
        "/%c1%a1dmin",
        "/%e0%81%a1dmin",
        "/%f0%80%81%a1dmin",
        "/public/%ef%bc%8e./admin",
        "/admin%ef%bc%8fx",
        "/%ef%bd%81dmin",
        "/public/%e2%80%a4./admin",
        "/admin%e2%81%84x",
        "/admin%e2%88%95x",
        "/admin%e2%88%96x",
        "/exact%3f",
        "/exact%23/x",
        "/exact%3bx/y",
        "/exact;x/y",
        "/exact/",
        "/EXACT",
        "/public/%2e%2e/admin/x%2f..%2f..%2fpublic",
        "/public/..%5cadmin/x%2f..%2f..%2f..%2fpublic",
        "/public/..%2fadmin/x%5c..%5c..%5cpublic",
        "/public/%2e%2e/admin/%3b/..%2f..%2fpublic",
        "/%2%35/..%2fadmin",
        "/public//../../admin",
    ] {
        check(OPEN_ROOT, &format!("GET {path}"), "ambiguous");
    }
}

/// The Kelvin sign and the long s, which are a `k` and an `s` where case does not count.
#[test]
fn letters_beyond_ascii_that_fold_into_it_are_thought_of() {
    for path in ["/%e2%84%aaeys", "/key%c5%bf", "/%E2%84%AAEY%C5%BF/x"] {
        check("1 /keys\n0 /", &format!("GET {path}"), "ambiguous");
    }
}

#[test]
fn a_reading_that_leads_nowhere_is_refused_and_a_path_that_leads_nowhere_stays_so() {
    check("1 /admin/", "GET /admin/../x", "ambiguous");
    check("1 /admin/", "GET /x/../admin/", "nowhere");
    check("1 /admin/", "GET /ADMIN/", "nowhere");
    check("1 /", "OPTIONS *", "nowhere");
    check("1 /", "GET x", "nowhere");
}

#[test]
fn other_locations_with_the_same_guard_are_named() {
    let routes = "1 /a/\n1 /b/\n1 /A/c\n0 /open/";
    check(routes, "GET /a/x", "/a/");
    check(routes, "GET /a/../b/x", "/a/ /b/");
    check(routes, "GET /a/c", "/a/ /A/c/");
    check(routes, "GET /a/..%2fb/x", "/a/ /b/");
    check(routes, "GET /a/..%2fopen/x", "ambiguous");
}

#[test]
fn exact_comes_before_prefix_and_prefix_before_regex() {
    let routes = "0 ~^/a\n0 ~/b\n0 /a/long/prefix\n0 /a/long/\n0 =/a/long/prefix";
    check(routes, "GET /a/long/prefix", "=/a/long/prefix");
    check(routes, "GET /a/long/prefix/x", "/a/long/prefix/");
    check(routes, "GET /a/long/x", "/a/long/");
    check(routes, "GET /a/b", "~^/a");
    check(routes, "GET /c/b", "~/b");
}

#[test]
fn a_regex_is_read_without_case_and_slash_too() {
    let routes = "1 ~^/admin$\n0 /";
    // Literals come first, so the open root takes everything.
    check(routes, "GET /admin", "/");
    let routes = "1 ~^/admin$\n0 ~^/";
    check(routes, "GET /admin", "~^/admin$");
    check(routes, "GET /Admin", "ambiguous");
    check(routes, "GET /admin/", "ambiguous");
    check(routes, "GET /other/", "~^/");
    check(routes, "GET /%61dmin", "ambiguous");
    check("1 ~^[^/]*$\n0 ~^/", "GET /", "~^/");
    check("1 ~^/[@-Z]dmin\n0 ~^/", "GET /admin", "ambiguous");
    check("0 ~^/public/.*$\n1 ~^/", "GET /public/%0a/../admin/x", "ambiguous");
}

#[test]
fn a_lower_case_path_is_compared_with_patterns_of_any_case() {
    check("1 /Admin/\n0 /", "GET /admin/x", "ambiguous");
    check("1 /Admin/\n0 /", "GET /Admin/x", "/Admin/");
    check("1 =/admin/\n0 /", "GET /admin", "ambiguous");
    check("1 =/admin/\n0 /", "GET /admin/", "=/admin/");
    check("1 =/admin/\n0 /", "GET /other", "/");
}

#[test]
fn escapes_in_a_pattern_match_in_either_case_and_decoded() {
    let routes = "1 /caf%c3%a9/\n0 /";
    check(routes, "GET /caf%C3%A9/x", "/caf%C3%A9/");
    check(routes, "GET /caf%c3%a9/x", "/caf%C3%A9/");
    check(routes, "GET /caf%25c3%25a9/x", "ambiguous");
}

#[test]
fn a_host_in_full_comes_before_a_pattern_and_a_pattern_before_none() {
    let routes = "
        0 /x
        1 /x a.test
        2 /x *.test
        3 /x *.b.test
        4 /y b.test,c.test";
    check(routes, "GET /x", "/x/");
    for (host, expected) in [
        ("a.test", 1),
        ("A.TEST", 1),
        ("a.test.", 1),
        ("d.test", 2),
        ("b.test", 2),
        ("a.b.test", 3),
        ("c.A.b.test", 3),
        ("test", 0),
        (".test", 0),
        ("xtest", 0),
        ("é.test", 2),
        ("é", 0),
        ("", 0),
    ] {
        let choice = router(routes).choose(&Method::GET, Some(host), "/x");
        assert_eq!(choice, Choice::Location { index: expected, also: vec![] }, "{host}");
    }
    check(routes, "GET /y b.test", "/y/");
    check(routes, "GET /y c.test", "/y/");
    check(routes, "GET /y d.test", "nowhere");
}

#[test]
fn every_one_of_a_thousand_hosts_is_found_in_any_case() {
    let lines: String = (0..1000).map(|n| format!("{n} / host-{n}.test\n")).collect();
    let router = router(&lines);
    for n in 0..1000 {
        for host in [format!("host-{n}.test"), format!("HOST-{n}.Test.")] {
            let choice = router.choose(&Method::GET, Some(&host), "/x");
            assert_eq!(choice, Choice::Location { index: n, also: vec![] }, "{host}");
        }
    }
}

#[test]
fn a_method_that_is_not_listed_does_not_match() {
    let routes = "1 /a any GET POST\n2 /a any PUT\n0 /b any GET";
    check(routes, "POST /a", "/a/");
    check(routes, "HEAD /a", "nowhere");
    check(routes, "HEAD /b", "nowhere");
    check(routes, "get /b", "nowhere");
    assert!(router(routes).has_methods() && !router("1 /a").has_methods());
}

#[test]
fn what_takes_too_long_to_read_is_refused() {
    check("0 /", &format!("GET /{}", "%25".repeat(200)), "/");
    check("0 /", &format!("GET /%{}41", "25".repeat(200)), "ambiguous");
    check("0 /", &format!("GET /{}x", "../".repeat(1000)), "/");
    check("0 /", &format!("GET /{}x", "a/".repeat(16_000)), "/");
    check("0 /", &format!("GET /{}x", "%2f".repeat(20_000)), "ambiguous");
    check("0 /", &format!("GET /%20/{}", "x".repeat(10_000)), "/");
    check("0 /", &format!("GET /%20/{}", "x".repeat(60_000)), "ambiguous");
}

#[test]
fn a_short_path_may_have_many_readings() {
    let path = format!("/{}/a;b//c%2fd", "x".repeat(200));
    let readings = readings::readings(path.clone().into_bytes()).expect("they are few enough");
    let bytes: usize = readings.iter().map(Vec::len).sum();
    assert!(readings.len() > 6 && bytes > 6 * path.len() && bytes > 1500, "{}", readings.len());
}

#[test]
fn the_readings_of_a_path_fit_the_limit_to_the_byte() {
    // The path, and the same without the two digits.
    for (length, fits) in [(32_769, true), (32_770, false)] {
        let path = format!("/{}%7E", "x".repeat(length - 4)).into_bytes();
        assert_eq!(readings::readings(path).is_some(), fits, "{length}");
    }
}
