//! Keys files that are right, and all that can be wrong with one.

use std::time::{Duration, SystemTime};

use http::Method;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use subtle::ConstantTimeEq;
use toml::Spanned;

use super::*;
use crate::keys::digest::Digest;
use crate::keys::record::{Limits, Previous};
use crate::limit::rate::Rate;

const HASH: &str = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

/// `HASH` and `OTHER` in a text stand for digests.
fn with_hashes(text: &str) -> String {
    let other = Digest::of(b"other").written();
    text.replace("HASH", &format!("\"{HASH}\"")).replace("OTHER", &format!("\"{other}\""))
}

fn read(text: &str) -> (Vec<Record>, Vec<Fault>) {
    let mut records = Vec::new();
    let faults = parse(text, |record| records.push(record));
    (records, faults)
}

#[track_caller]
fn right(text: &str) -> Vec<Record> {
    let (records, faults) = read(&with_hashes(text));
    assert!(faults.is_empty(), "{text}\n{faults:?}");
    records
}

/// The text between `«` and `»` is the place of the only fault, which says these words.
#[track_caller]
fn wrong(text: &str, words: &str) {
    let text = with_hashes(text);
    let start = text.find('«').expect("the place begins");
    let end = text.find('»').expect("the place ends") - '«'.len_utf8();
    let text = text.replace(['«', '»'], "");
    for before in ["", "[[key]]\nid = 'z'\nhash = 'sha256:ZZ'\n\n", "# a comment\n\n\n"] {
        let before = before.replace("sha256:ZZ", &Digest::of(b"before").written());
        let (_, faults) = read(&(before.clone() + &text));
        let [fault] = &faults[..] else { panic!("{text}\n{faults:?}") };
        assert_eq!(fault.span, Some(before.len() + start..before.len() + end), "{text}\n{fault:?}");
        let said = format!("{}\n{}", fault.message, fault.help.as_deref().unwrap_or_default());
        assert!(words.split('|').all(|words| said.contains(words)), "{words}\n{said}");
        let is_hash = |part: &[u8]| HASH.as_bytes().windows(8).skip(7).any(|known| known == part);
        assert!(!said.as_bytes().windows(8).any(is_hash), "{said}");
    }
}

/// A fault in a record that has all it needs.
#[track_caller]
fn wrong_field(field: &str, words: &str) {
    wrong(&format!("[[key]]\nid = \"alice\"\nhash = HASH\n{field}\n"), words);
}

#[test]
fn a_record_has_what_is_written() {
    let records = right(
        "[[key]]\nid = \"alice-laptop\"\nconsumer = \"alice\"\nhash = HASH\n\
         created = 2026-11-21T08:00:00Z\nnot_before = 2026-11-22 01:00:00+01:00\n\
         expires = 2027-02-21T00:00Z\n\
         previous = { hash = OTHER, until = 2026-12-01T00:00:00.5-00:30 }\ndisabled = true\n\
         locations = [\"a\"]\nmethods = [\"GET\", \"PURGE\"]\nallow_ips = [\"10.0.0.0/8\", \"::1\"]\n\
         limits = { rate = \"60/1m\", concurrency = 4, requests = [\"10/1h\", \"100/1d\"] }\n",
    );
    let [record] = &records[..] else { panic!("{records:?}") };
    assert_eq!(
        (&**record.id.get_ref(), record.consumer.as_deref()),
        ("alice-laptop", Some("alice"))
    );
    assert!(bool::from(record.hash.get_ref().ct_eq(&Digest::of(b"abc"))));
    let date = |moment: Option<SystemTime>| moment.map(written_moment).unwrap_or_default();
    assert_eq!(date(record.created), "2026-11-21T08:00:00Z");
    assert_eq!(date(record.not_before), "2026-11-22T00:00:00Z");
    assert_eq!(date(record.expires), "2027-02-21T00:00:00Z");
    let previous = record.previous.as_ref().unwrap();
    assert!(bool::from(previous.hash.get_ref().ct_eq(&Digest::of(b"other"))));
    assert_eq!(date(Some(previous.until)), "2026-12-01T00:30:00.500000000Z");
    assert!(record.disabled);
    assert_eq!(record.locations.as_ref().unwrap()[0].get_ref(), "a");
    assert_eq!(record.methods.as_ref().unwrap()[1].as_str(), "PURGE");
    assert_eq!(record.allow_ips.as_ref().unwrap()[1], "::1/128".parse().unwrap());
    let windows = |windows: &[Rate]| windows.iter().map(|rate| rate.count).collect::<Vec<_>>();
    assert_eq!(windows(&record.limits.rate), [60]);
    assert_eq!(windows(&record.limits.requests), [10, 100]);
    assert_eq!(record.limits.concurrency, Some(4));
}

#[test]
fn a_record_needs_an_id_and_a_hash_and_nothing_else() {
    let [record] = &right("[[key]]\nid = 'a'\nhash = HASH")[..] else { panic!("one record") };
    assert!(record.consumer.is_none() && record.created.is_none() && record.expires.is_none());
    assert!(record.locations.is_none() && record.methods.is_none() && record.allow_ips.is_none());
    assert!(!record.disabled && record.limits == Limits::default());
    let lists = "locations = []\nmethods = []\nallow_ips = []\nlimits = {}";
    let [record] = &right(&format!("[[key]]\nid = 'a'\nhash = HASH\n{lists}"))[..] else {
        panic!("one record")
    };
    assert!(record.locations.as_ref().is_some_and(Vec::is_empty), "none is not any");
    assert!(record.methods.as_ref().is_some_and(Vec::is_empty), "none is not any");
    assert!(record.allow_ips.as_ref().is_some_and(Vec::is_empty), "none is not any");
}

#[test]
fn records_may_be_written_in_other_ways() {
    for text in [
        "key = [{ id = 'a', hash = HASH }, { id = 'b', hash = OTHER }]",
        "  [[ key ]]\nid = 'a'\nhash = HASH\n\t[[\"key\"]] # b\nid = 'b'\nhash = OTHER\n",
        "# [[key]]\n[[key]] # a\r\nhash = HASH\r\nid = 'a'\r\n  [[key]]\r\nid = 'b'\r\nhash = OTHER",
        "[[key]]\nid = '''a'''\nhash = HASH\n[[key]]\nid = \"\"\"\nb\"\"\"\nhash = OTHER",
        "[[key]]\nid = 'a'\nhash = HASH\n[key.limits]\nrate = '1/1s'\n[[key]]\nid = 'b'\nhash = OTHER\n\
         [key.previous]\nhash = \"sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b856\"\n\
         until = 2030-01-01T00:00:00Z",
    ] {
        let records = right(text);
        let ids: Vec<_> = records.iter().map(|record| record.id.get_ref().as_str()).collect();
        assert_eq!(ids, ["a", "b"], "{text}");
        let text = with_hashes(text);
        for record in &records {
            let id = text[record.id.span()].trim_matches(['"', '\'', '\n']);
            assert_eq!(id, record.id.get_ref());
        }
    }
    for text in ["", "\n# nothing\n", "key = []"] {
        assert!(right(text).is_empty());
    }
}

#[test]
fn every_mistake_in_a_field_has_its_place() {
    wrong("«[[key]]»\nhash = HASH", "`id` is missing");
    wrong("«[[key]]»\nid = 'a'", "`hash` is missing");
    wrong("[[key]]\nid = «5»\nhash = HASH", "expected a string, found an integer");
    wrong("[[key]]\nid = «''»\nhash = HASH", "an id is 1 to 64 letters");
    wrong("[[key]]\nid = «'a b'»\nhash = HASH", "an id is 1 to 64 letters");
    wrong("[[key]]\nid = «'sk-9fK2mQ7xV4cL8hT3'»\nhash = HASH", "looks like a key");
    wrong("[[key]]\nid = «'abc'»\nhash = HASH", "this is the key itself");
    wrong_field("consumer = «'abc'»", "this is the key itself");
    wrong_field("consumer = «'a b'»", "a consumer is 1 to 128 letters");
    wrong_field("consumer = «true»", "expected a string, found a boolean");
    wrong_field(
        "«expire» = 2027-02-21T00:00:00Z",
        "unknown field `expire`|did you mean `expires`?",
    );
    wrong_field("«Sk4f9a8b7c6d5e» = 1", "unknown field `***`");
    wrong("[[key]]\nid = 'a'\nhash = «'a-plain-key'»", "expected a digest|sha256sum");
    wrong("[[key]]\nid = 'a'\nhash = «'sha256:12'»", "64 hexadecimal digits");
    let nothing = Digest::of(b"").written();
    wrong(&format!("[[key]]\nid = 'a'\nhash = «'{nothing}'»"), "the digest of an empty key");
    wrong_field("created = «2027-02-21»", "a date needs a time and an offset");
    wrong_field("created = «08:00:00»", "a date needs a time and an offset");
    wrong_field("expires = «2027-02-21T00:00:00»", "without an offset|`Z`");
    wrong_field("expires = «'2027-02-21T00:00:00Z'»", "found a string|without quotation marks");
    wrong_field("expires = «1»", "expected a date and time, found an integer");
    wrong_field("expires = «1969-12-31T23:59:59Z»", "between the years 1970 and 9999");
    wrong_field("expires = «1970-01-01T00:59:59+01:00»", "between the years 1970 and 9999");
    wrong_field("expires = «9999-12-31T23:59:59-00:01»", "between the years 1970 and 9999");
    for dates in [
        "2026-01-01T00:00:00Z\nexpires = «2026-01-01T00:00:00Z»",
        "2026-01-01T00:00:00Z\nexpires = «2026-01-01T00:30:00+01:00»",
    ] {
        wrong_field(&format!("not_before = {dates}"), "ends before it begins");
    }
    wrong_field("disabled = «'false'»", "expected true or false, found a string");
    wrong_field("locations = «'a'»", "expected a list, found a string");
    wrong_field("locations = ['a', «5»]", "expected a string, found an integer");
    wrong_field("methods = [«'get'»]", "did you mean \"GET\"?");
    wrong_field("methods = [«'CONNECT'»]", "never forwarded");
    wrong_field("allow_ips = [«'10.0.0.1/8'»]", "did you mean \"10.0.0.0/8\"?");
    wrong_field("allow_ips = [«'unix'»]", "expected a network such as");
}

#[test]
fn every_mistake_inside_a_field_has_its_place() {
    wrong_field("previous = «OTHER»", "expected a table, found a string");
    wrong_field("previous = «{ hash = OTHER }»", "`until` is missing");
    wrong_field("previous = «{ until = 2027-02-21T00:00:00Z }»", "`hash` is missing");
    wrong_field(
        "previous = { hash = «HASH», until = 2027-02-21T00:00:00Z }",
        "the same key as `hash`",
    );
    wrong_field(
        "previous = { hash = OTHER, «untill» = 2027-02-21T00:00:00Z, until = 2027-02-21T00:00:00Z }",
        "did you mean `until`?",
    );
    wrong_field("limits = «5»", "expected a table, found an integer");
    wrong_field("limits = { rate = «'60'» }", "a number and a duration");
    wrong_field("limits = { rate = ['60/1m', «'60'»] }", "a number and a duration");
    wrong_field("limits = { rate = «[]» }", "there are 1 to 8 windows");
    wrong_field("limits = { requests = «5» }", "expected a string, found an integer");
    wrong_field("limits = { concurrency = «0» }", "a whole number from 1 to");
    wrong_field("limits = { concurrency = «-1» }", "a whole number from 1 to");
    wrong_field("limits = { concurrency = «1.5» }", "expected a whole number, found a number");
    wrong_field("limits = { «burst» = 1 }", "unknown field `burst`|expected one of `rate`");
}

#[test]
fn every_mistake_around_the_records_has_its_place() {
    wrong("[[«keys»]]\nid = 'a'", "unknown field `keys`|a keys file holds");
    wrong("[«other»]\nid = 'a'", "unknown field `other`|a keys file holds");
    wrong("[[key]]\nid = «alice»\nhash = HASH", "not TOML");
    wrong(
        "[[key]]\nid = 'a'\nhash = HASH\n«id» = 'b'",
        "not TOML: duplicate key|the first is on line",
    );
    let (_, faults) = read("[key]\nid = 'a'");
    assert_eq!(faults[0].message, "expected a list of tables");
    let (_, faults) = read("id = 'a'\nkey = [5]");
    let said: Vec<_> = faults.iter().map(|fault| fault.message.as_str()).collect();
    assert_eq!(said, ["unknown field `id`", "expected a table, found an integer"]);
}

#[test]
fn a_fault_says_on_which_line_the_first_is() {
    for (before, line) in [("", 6), ("# a\n\n", 8)] {
        let text = "[[key]]\nid = 'a'\nhash = HASH\n[[key]]\nid = 'b'\nhash = OTHER\n\nhash = 1";
        let (_, faults) = read(&(before.to_owned() + &with_hashes(text)));
        let help = faults[0].help.as_deref().unwrap_or_default();
        assert_eq!(help, format!("the first is on line {line}; keep one of them"), "{faults:?}");
    }
}

#[test]
fn a_slip_in_one_record_hides_no_other() {
    let mut text = String::new();
    for n in 0..40 {
        let hash = Digest::of(format!("{n}").as_bytes()).written();
        let id = if n % 10 == 7 { "id = broken".to_owned() } else { format!("id = 'k{n}'") };
        let more = if n % 10 == 8 { "\nnonsense = 1" } else { "" };
        text.push_str(&format!("[[key]]\n{id}\nhash = '{hash}'{more}\n"));
    }
    let (records, faults) = read(&text);
    assert_eq!((records.len(), faults.len()), (32, 8), "{faults:?}");
    let places: Vec<_> = faults.iter().map(|fault| fault.span.clone().unwrap()).collect();
    assert!(places.is_sorted_by_key(|place| place.start));
    assert_eq!(&text[places[0].clone()], "broken");
    assert_eq!(&text[places[1].clone()], "nonsense");
}

#[test]
fn no_more_faults_are_looked_for_than_anybody_reads() {
    let text = "[[key]]\n".repeat(10_000);
    assert_eq!(read(&text).1.len(), FAULTS_LIMIT);
    let text = "[[key]]\nid = broken\n".repeat(10_000);
    assert_eq!(read(&text).1.len(), FAULTS_LIMIT);
}

fn any_moment() -> impl Strategy<Value = SystemTime> {
    (0..253_402_300_800_u64, prop_oneof![Just(0), 0..1_000_000_000_u32])
        .prop_map(|(seconds, nanos)| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanos))
}

fn any_digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 8]>().prop_map(|bytes| Digest::of(&bytes))
}

fn any_rates() -> impl Strategy<Value = Vec<Rate>> {
    let window = prop_oneof![1..100_000_u64, (1..366_u64).prop_map(|days| days * 86_400)];
    let window = (window, prop_oneof![Just(0), 0..1000_u64])
        .prop_map(|(s, ms)| Duration::from_secs(s) + Duration::from_millis(ms));
    vec((1..1_000_000_000_u32, window).prop_map(|(count, window)| Rate { count, window }), 0..4)
}

fn any_limits() -> impl Strategy<Value = Limits> {
    (any_rates(), any_rates(), option::of(1..1_000_000_u32))
        .prop_map(|(rate, requests, concurrency)| Limits { rate, requests, concurrency })
}

fn somewhere<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

prop_compose! {
    fn any_record()(
        id in "[a-z._@:/+=-]{1,64}",
        consumer in option::of("[A-Za-z0-9._@:/+=-]{1,128}"),
        hash in any_digest(),
        dates in (option::of(any_moment()), option::of(any_moment()), option::of(any_moment())),
        previous in option::of((any_digest(), any_moment())),
        disabled in any::<bool>(),
        locations in option::of(vec(any::<String>(), 0..3)),
        methods in option::of(vec(prop_oneof![Just(Method::GET), Just(Method::POST)], 0..3)),
        networks in option::of(vec(any::<(u32, bool)>(), 0..3)),
        limits in any_limits(),
    ) -> Record {
        let (created, one, other) = dates;
        let network = |(bits, long): (u32, bool)| match long {
            true => ipnet::IpNet::new((u128::from(bits) << 96).to_be_bytes().into(), 32).unwrap(),
            false => ipnet::IpNet::new(bits.to_be_bytes().into(), 32).unwrap(),
        };
        Record {
            id: somewhere(id),
            consumer,
            hash: somewhere(hash),
            created,
            not_before: one.min(other),
            expires: one.max(other).filter(|_| one != other),
            previous: previous.map(|(hash, until)| Previous { hash: somewhere(hash), until }),
            disabled,
            locations: locations.map(|names| names.into_iter().map(somewhere).collect()),
            methods,
            allow_ips: networks.map(|networks| networks.into_iter().map(network).collect()),
            limits,
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(records in vec(any_record(), 0..40)) {
        let texts: Vec<_> = records.iter().map(write).collect();
        let (read, faults) = read(&texts.join("\n"));
        prop_assert!(faults.is_empty(), "{:?}", faults);
        prop_assert_eq!(read.iter().map(write).collect::<Vec<_>>(), texts);
        for (read, record) in read.iter().zip(&records) {
            prop_assert!(bool::from(read.hash.get_ref().ct_eq(record.hash.get_ref())));
            prop_assert_eq!(&read.limits, &record.limits);
            prop_assert_eq!(read.expires, record.expires);
        }
    }

    /// However a text is cut, it says the same as the whole.
    #[test]
    fn cutting_changes_nothing(
        pieces in vec(prop_oneof![
            Just("[[key]]\n"), Just("  [[key]]"), Just("[[key]] # x\n"), Just("\n"), Just("\r\n"),
            Just("id = 'a'\n"), Just("id = 'b'\n"), Just("[key.limits]\n"), Just("# [[key]]\n"),
            Just("key = [\n"), Just("]\n"), Just("disabled = true\n"), Just("[other]\n"),
            Just("locations = [\n"), Just("{ id = 'c' },\n"), Just("\"[[key]]\",\n"), Just("é"),
            Just("methods = ['GET',\n[[key]]\n]\n"),
        ], 0..24)
    ) {
        let text = pieces.concat();
        let parts: Vec<_> = cut::batches(&text, 1).map(|part| &text[part]).collect();
        prop_assert_eq!(parts.concat(), text.clone());
        let whole = DeTable::parse(&text);
        let apart = parts.iter().map(|part| DeTable::parse(part)).collect::<Result<Vec<_>, _>>();
        let items = |table: &DeTable<'_>| table.get("key").and_then(|key| key.get_ref().as_array().map(|list| list.iter().len()));
        if let Ok(whole) = &whole {
            let apart = apart.as_ref().expect("the parts of a text that is right are right");
            let sum: usize = apart.iter().filter_map(|part| items(part.get_ref())).sum();
            prop_assert_eq!(sum, items(whole.get_ref()).unwrap_or(0));
        } else {
            prop_assert!(!parse(&text, |_| ()).is_empty(), "it is no TOML, and yet a file of keys");
        }
        for (at, _) in text.char_indices() {
            let around = around(&text, at);
            let part = records(&text).find(|part| part.contains(&at));
            let start = records(&text).next().map_or(text.len(), |first| first.start);
            prop_assert_eq!(around, part.unwrap_or(0..start), "{} {:?}", at, text);
        }
    }
}
