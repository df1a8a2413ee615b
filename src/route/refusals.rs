//! What a location may say as its path and host, as data.

use super::*;

#[test]
fn patterns_that_say_the_same_are_equal() {
    let patterns = ["/a", "/a/", "/b", "=/a", "=/a/", "~a", "~b"];
    let parse = |text: &str| PathPattern::parse(text).expect("a path");
    for (one, text) in patterns.iter().enumerate() {
        for (other, another) in patterns.iter().enumerate() {
            let same = one == other || (one < 2 && other < 2);
            assert_eq!(parse(text) == parse(another), same, "{text} and {another}");
        }
    }
}

#[test]
fn most_patterns_need_no_second_look_at_a_path() {
    for (pattern, case, slash) in [
        ("/a/", false, false),
        ("/A", true, false),
        ("=/", false, false),
        ("=/a", false, false),
        ("=/a/", false, true),
        ("~a", true, false),
    ] {
        let path = PathPattern::parse(pattern).expect("a path");
        assert_eq!((path.has_case(), path.has_slash()), (case, slash), "{pattern}");
    }
}

#[test]
fn a_prefix_takes_what_a_regex_fits_only_where_both_begin_alike() {
    for (prefix, regex, all) in [
        ("/", "~x", true),
        ("/a", "~^/a/b+", true),
        ("/a", "~^/a/", true),
        ("/a", "~^/ab", false),
        ("/a", "~^/a", false),
        ("/a", "~^/a/?", false),
        ("/a", "~^/a/*b", false),
        ("/a", "~^/a/{2}", false),
        ("/a", "~^/a/b|/c", false),
        ("/a", "~/a/b", false),
        ("/a", "/a/b", false),
        ("=/a", "~^/a/b", false),
    ] {
        let parse = |text: &str| PathPattern::parse(text).expect("a path");
        assert_eq!(parse(prefix).precedes_all_of(&parse(regex)), all, "{prefix} and {regex}");
    }
}

#[test]
fn a_regex_that_begins_anywhere_is_known() {
    for (pattern, unanchored) in [
        ("~/a", true),
        ("~a^", true),
        ("~(?i)/a", true),
        ("~(?:^/a)", true),
        ("~(?:/a)^", true),
        ("~^/a", false),
        ("~\\A/a", false),
        ("~(?i-u)^/a", false),
        ("/a", false),
        ("=/a", false),
    ] {
        let path = PathPattern::parse(pattern).expect("a path");
        assert_eq!(path.is_unanchored(), unanchored, "{pattern}");
    }
}

#[track_caller]
fn check_path(text: &str, expected: &str) {
    let found = PathPattern::parse(text).map_or_else(|error| error, |path| path.to_string());
    assert!(found.contains(expected), "{text:?} gave {found:?}");
}

#[test]
fn a_path_says_what_it_is_or_what_is_wrong() {
    check_path("/", "/");
    check_path("/api/v1/", "/api/v1/");
    check_path("/api/v1", "/api/v1/");
    check_path("/API/x:y", "/API/x:y/");
    check_path("=/health", "=/health");
    check_path("=/docs/", "=/docs/");
    check_path("=/", "=/");
    check_path("/a%20b/caf%c3%a9", "/a%20b/caf%C3%A9/");
    check_path("/voil%C3%A0", "/voil%C3%A0/");
    check_path("~^/v[0-9]+/", "~^/v[0-9]+/");
    for (text, error) in [
        ("", "empty"),
        ("api", "begins with"),
        ("=", "begins with"),
        ("=api", "begins with"),
        ("~", "empty"),
        ("~[", "does not compile"),
        ("~(a{1000}){100}", "does not compile"),
        ("/a?b", "before \"?\""),
        ("/a#b", "before \"#\""),
        ("/a b", "%20"),
        ("/a\\b", "not with"),
        ("/a\u{7}", "control"),
        ("/é", "ASCII"),
        ("/%zz", "hexadecimal"),
        ("/%4", "hexadecimal"),
        ("/%+4", "hexadecimal"),
        ("//", "servers differ"),
        ("/a//b", "servers differ"),
        ("=/a//", "servers differ"),
        ("/./a", "servers differ"),
        ("/a/..", "servers differ"),
        ("/a;b", "servers differ"),
        ("/a.", "servers differ"),
        ("/a%20/b", "servers differ"),
        ("/%61", "as it is"),
        ("/a%2Fb", "as it is"),
        ("/a%5Cb", "servers differ"),
        ("/a%00", "servers differ"),
        ("/%2561", "servers differ"),
        ("/%u0061", "hexadecimal"),
        ("/%EF%BC%8F", "servers differ"),
    ] {
        check_path(text, error);
        assert!(PathPattern::parse(text).is_err(), "{text:?}");
    }
}

#[track_caller]
fn check_host(text: &str, expected: Result<&str, &str>) {
    match (HostPattern::parse(text), expected) {
        (Ok(host), Ok(expected)) => assert_eq!(host.to_string(), expected),
        (Err(error), Err(expected)) => assert!(error.contains(expected), "{text:?}: {error}"),
        (found, _) => panic!("{text:?} gave {found:?}"),
    }
}

#[test]
fn a_host_says_what_it_is_or_what_is_wrong() {
    check_host("API.example.com", Ok("api.example.com"));
    check_host("api.example.com.", Ok("api.example.com"));
    check_host("*.Example.com", Ok("*.example.com"));
    check_host("10.0.0.1", Ok("10.0.0.1"));
    check_host("[::0:1]", Ok("[::1]"));
    check_host("my_service", Ok("my_service"));
    check_host("", Err("not a host"));
    check_host(".", Err("not a host"));
    check_host("a..b", Err("not a host"));
    check_host("a b", Err("not a host"));
    check_host("http://a", Err("scheme"));
    check_host("a:80", Err("port"));
    check_host("a/b", Err("path"));
    check_host("é.test", Err("xn--"));
    check_host("*", Err("\"*\""));
    check_host("*a.test", Err("\"*\""));
    check_host("a.*.test", Err("\"*\""));
    check_host("[::1]:80", Err("IPv6"));
    check_host("[::1", Err("IPv6"));
    check_host(&"a".repeat(64), Err("not a host"));
    let longest = "a.".repeat(126) + "a";
    check_host(&longest, Ok(&longest));
    check_host(&(longest + "a"), Err("not a host"));
    assert!(HostPattern::parse_list("a.test, *.b.test").is_ok_and(|hosts| hosts.len() == 2));
    assert!(HostPattern::parse_list("a.test,").is_err());
}
