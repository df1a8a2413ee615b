//! Which settings of key-auth are refused, as data.

use super::tests::build;
use super::*;
use crate::config::types::Secret;
use crate::plugin::Site;

/// Each settings text is refused with a fault that holds the words, at the marked value: the text
/// between `«` and `»`.
#[track_caller]
fn check(marked: &str, expected: &str) {
    let settings = marked.replace(['«', '»'], "");
    let faults = build(&settings).err().unwrap_or_else(|| panic!("{settings} is accepted"));
    let fault = faults.iter().find(|fault| fault.message.contains(expected));
    let fault = fault.unwrap_or_else(|| panic!("{settings}: {faults:?}"));
    let start = marked.find('«');
    let place = start.map(|start| {
        let end = marked.find('»').expect("the end of the mark") - '«'.len_utf8();
        start..end
    });
    assert_eq!(fault.span, place, "{settings}: {fault:?}");
}

/// What is odd about settings that are accepted, a line each.
fn warnings(settings: &str) -> String {
    let warnings = build(settings).unwrap().warnings.into_iter();
    warnings.map(|fault| fault.message).collect::<Vec<_>>().join("\n")
}

const KEYS: &str = "keys = ['a-key-that-is-long-enough']";
const SHA: &str = "sha256:6cd45ced5c19a7ac8f44eeb01e5bbbf6f6ec9ad30a0bf4f5a3e2bb8e9a4e2a07";

#[test]
fn the_place_of_the_key_is_said_once_and_can_carry_one() {
    for (place, expected) in [
        ("", "nothing says"),
        ("header = 'a'\nquery = 'b'", "only one of"),
        ("header = 'a'\nsources = ['bearer']", "only one of"),
        ("query = 'a'\nsources = ['bearer']", "only one of"),
        ("query = 'a'\nscheme = «'Bearer'»", "without header"),
        ("header = 'a'\nscheme = ''", "no scheme"),
        ("header = «'hello\\world'»", "no header name"),
        ("header = «''»", "no header name"),
        ("header = «'X Key'»", "no header name"),
        ("header = «':path'»", "no header name"),
        ("header = «'Host'»", "frames"),
        ("header = «'content-length'»", "frames"),
        ("header = «'Transfer_Encoding'»", "frames"),
        ("header = «'Cookie'»", "cookie:NAME"),
        ("header = «'X-Forwarded-For'»", "deleted"),
        ("header = «'x-forwarded-anything'»", "deleted"),
        ("header = «'X_Consumer_Username'»", "deleted"),
        ("query = «''»", "no name"),
        ("query = «'a b'»", "no name"),
        ("query = «'a%62'»", "no name"),
        ("query = «'a=b'»", "no name"),
        ("query = «'é'»", "no name"),
        ("sources = «[]»", "1 to 16"),
        ("sources = ['bearer', «'bearer'»]", "named twice"),
        ("sources = ['bearer', «'header:Authorization'»]", "named twice"),
        ("sources = ['header:X-Key', «'header:x_key'»]", "named twice"),
        ("sources = ['query:a', «'query:a'»]", "named twice"),
        ("sources = ['websocket', «'websocket'»]", "named twice"),
        ("sources = ['websocket', «'header:Sec_WebSocket-Protocol'»]", "named twice"),
        ("sources = ['header:Sec-WebSocket-Protocol', «'websocket'»]", "named twice"),
        ("sources = [«'websocket:key'»]", "no source"),
        ("sources = [«'Bearer'»]", "no source"),
        ("sources = [«'body:key'»]", "no source"),
        ("sources = [«'cookie:a b'»]", "no name of a cookie"),
        ("sources = [«'header:'»]", "no header name"),
    ] {
        let place = if place.ends_with("scheme = ''") {
            place.replace("'a'", "«'a'»")
        } else {
            place.into()
        };
        check(&format!("{place}\n{KEYS}"), expected);
    }
}

/// RFC 9110, sections 7.6.1 and 10.1.1, and what hop-by-hop fields there were before.
#[test]
fn no_field_that_frames_or_that_keygate_sets_can_carry_a_key() {
    let framing = "Connection Content-Length Expect HTTP2-Settings Host Keep-Alive \
                   Proxy-Authenticate Proxy-Authorization Proxy-Connection TE Trailer \
                   Transfer-Encoding Upgrade";
    let own = "Forwarded X-Consumer-Username X-Credential-Identifier X-Forwarded-For \
               X-Forwarded-Host X-Forwarded-Proto X-Real-IP X-Request-Id";
    for (names, expected) in [(framing, "frames"), (own, "deleted")] {
        for name in names.split_whitespace() {
            check(&format!("header = «'{name}'»\n{KEYS}"), expected);
        }
    }
}

#[test]
fn a_key_that_no_request_could_carry_or_that_anybody_has_is_refused() {
    for (keys, expected) in [
        ("", "there is no key"),
        ("keys = «[]»", "no key in the list"),
        ("keys = [«''»]", "key 1 is empty"),
        ("keys = ['good-key', «' \\t'»]", "key 2 is blank"),
        ("keys = [«' secret'»]", "key 1 has blanks"),
        ("keys = [«'secret '»]", "key 1 has blanks"),
        ("keys = [«'sec\tret'»]", "control"),
        ("keys = [«\"sec\\u0000ret\"»]", "control"),
        ("keys = [«'sécret'»]", "beyond ASCII"),
        ("keys = [«'sha256:abc'»]", "is no digest"),
        ("keys = [«'SHA256:abc'»]", "is no digest"),
        ("keys = ['secret', 'other', «'secret'»]", "key 3 is the same as key 1"),
        (
            "keys = [«'sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'»]",
            "digest of an empty key",
        ),
        (
            "keys = [«'sha256:01ba4719c80b6fe911b091a7c05124b64eeece964e09c058ef8f9805daca546b'»]",
            "digest of an empty key",
        ),
    ] {
        check(&format!("header = 'a'\n{}", keys.replace("\\t", "\t")), expected);
    }
    let long = "x".repeat(4097);
    check(&format!("header = 'a'\nkeys = [«'{long}'»]"), "longer than");
    assert!(build(&format!("header = 'a'\nkeys = ['{}']", &long[1..])).is_ok());
}

#[test]
fn a_key_and_its_digest_are_the_same_key() {
    let digest = Digest::of(b"secret").written();
    for digest in [digest.replace("sha256:", "").to_uppercase(), digest.replace("sha256:", "")] {
        let settings = format!("header = 'a'\nkeys = ['secret', «'sha256:{digest}'»]");
        check(&settings, "key 2 is the same as key 1");
    }
}

#[test]
fn the_other_settings_are_checked_and_all_faults_are_told_at_once() {
    for (setting, expected) in [
        ("delay = «'61s'»", "at most 60s"),
        ("max_failures = «'0/1m'»", "max_failures"),
        ("max_failures = «'ten'»", "max_failures"),
        ("realm = «\"a\\nb\"»", "realm"),
        ("realm = «'é'»", "realm"),
        ("errors = { missing = ' ' }", "blank"),
    ] {
        check(&format!("header = 'a'\n{KEYS}\n{setting}"), expected);
    }
    assert!(build(&format!("header = 'a'\n{KEYS}\ndelay = '60s'")).is_ok());
    let faults = build("keys = ['', ' ']\ndelay = '61s'\nrealm = 'é'\nmax_failures = ''").err();
    assert_eq!(faults.map(|faults| faults.len()), Some(6));
}

#[test]
fn no_fault_and_no_debug_text_holds_a_key() {
    let settings =
        "header = 'a'\nkeys = ['very-secret', ' very-secret', 'very-secret\t', 'very-secret']";
    let settings: KeyAuthSettings = toml::from_str(settings).unwrap();
    let faults = settings.build(&mut Site::default()).err().unwrap();
    assert_eq!(faults.len(), 2);
    assert!(!format!("{faults:?} {settings:?}").contains("very-secret"));
    let built = build("header = 'a'\nkeys = ['secret']").unwrap();
    assert!(!format!("{:?}", built.warnings).contains("secret"));
}

#[test]
fn a_header_that_not_every_proxy_passes_on_draws_a_warning() {
    let hidden = format!("hide_credentials = true\n{KEYS}");
    assert_eq!(warnings(&format!("header = 'X-Key'\n{hidden}")), "");
    assert!(warnings(&format!("header = 'X_Key'\n{hidden}")).contains("drop a header"));
}

#[test]
fn a_key_that_could_be_guessed_or_is_forwarded_draws_a_warning() {
    let warnings = |settings: &str| warnings(&format!("header = 'a'\n{settings}"));
    let hidden = format!("hide_credentials = true\n{KEYS}");
    assert_eq!(warnings(&hidden), "");
    assert_eq!(warnings(&format!("hide_credentials = true\nkeys = ['{SHA}']")), "");
    assert!(warnings(KEYS).contains("forwarded"));
    assert!(warnings("keys = ['fifteen-letters']").contains("key 1 is shorter"));
    assert!(!warnings("keys = ['sixteen--letters']").contains("key 1"));
    let key = crate::keys::format::generate("kg").unwrap();
    assert!(!warnings(&format!("keys = ['{}']", *key)).contains("key 1"));
    let typo = key.replace('_', "_x");
    assert!(!warnings(&format!("keys = ['{typo}']")).contains("key 1"));
}

#[test]
fn a_key_with_a_typo_is_refused_here_and_at_the_gate() {
    let key = crate::keys::format::generate("kg").unwrap();
    let last = if key.ends_with('0') { "1" } else { "0" };
    let typo = format!("{}{last}", &key[..key.len() - 1]);
    check(&format!("header = 'a'\nkeys = [«'{typo}'»]"), "there is a typo in it");
    // Nobody can tell what a digest is of; a key of that form is refused all the same.
    let digest = Digest::of(typo.as_bytes()).written();
    let built = build(&format!("header = 'a'\nkeys = ['{digest}']")).unwrap();
    let mut head = crate::sample::head(&format!("GET /\na: {typo}"));
    let ControlFlow::Break(reply) = built.plugin.request(&mut head, &mut super::tests::cx()) else {
        panic!("it is let through");
    };
    assert_eq!(reply.cause, Cause::InvalidKey);
}

#[test]
fn where_credentials_may_stand_is_told() {
    let sources = "['bearer', 'header:X-Key', 'query:k', 'cookie:a', 'cookie:b', 'websocket']";
    let built = build(&format!("sources = {sources}\n{KEYS}")).unwrap();
    assert!(built.authenticates);
    let expected = ["authorization", "x-key", "cookie", "sec-websocket-protocol"];
    assert_eq!(built.credentials.headers, expected);
    assert_eq!(built.credentials.parameters, [b"k"]);
}

#[test]
fn errors_are_a_word_or_a_table() {
    use crate::reply::{ErrorStyle, Format};
    let style = |errors: &str| build(&format!("header = 'a'\n{KEYS}\n{errors}")).unwrap().errors;
    assert_eq!(style(""), None);
    assert_eq!(style("errors = 'text'"), Some(ErrorStyle::default()));
    let json = ErrorStyle { format: Format::Json, ..ErrorStyle::default() };
    assert_eq!(style("errors = 'json'"), Some(json.clone()));
    let own = ErrorStyle { missing: Some("No key".into()), ..json };
    assert_eq!(style("errors = { format = 'json', missing = 'No key' }"), Some(own));
    for (wrong, says) in [
        ("errors = 'xml'", "expected `text` or `json`"),
        ("errors = 1", "expected \"text\", \"json\" or a table"),
        ("errors = { formt = 'json' }", "unknown field `formt`"),
        ("hide = true", "unknown field `hide`"),
    ] {
        let settings = format!("header = 'a'\n{KEYS}\n{wrong}");
        let error = toml::from_str::<KeyAuthSettings>(&settings).unwrap_err().to_string();
        assert!(error.contains(says), "{wrong}: {error}");
    }
}

#[test]
fn settings_without_a_file_have_faults_without_a_place() {
    let keys = [Secret::new("secret".to_owned()), Secret::new("secret".to_owned())];
    let faults = KeyAuthSettings::new(["header:X-API-Key", "nothing"], keys)
        .build(&mut Site::default())
        .err();
    let faults = faults.unwrap();
    assert_eq!(faults.len(), 2);
    assert!(faults.iter().all(|fault| fault.span.is_none()));
    let key = Secret::new("a-key-that-is-long-enough".to_owned());
    assert!(
        KeyAuthSettings::new(["header:X-API-Key", "bearer"], [key])
            .build(&mut Site::default())
            .is_ok()
    );
}
