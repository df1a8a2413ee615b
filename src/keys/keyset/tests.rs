//! When keys are valid, what they may do, and what is there twice.

use toml::Spanned;

use super::*;
use crate::config::problem::Fault;
use crate::keys::record::{Previous, Record};

fn at(second: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(second)
}

/// A record whose key is its id; the place of the id is the position, that of the hash behind.
fn record(position: usize, id: &str) -> Record {
    let place = 2 * position..2 * position + 1;
    let hash = Spanned::new(place.start + 1..place.end + 1, Digest::of(id.as_bytes()));
    Record::new(Spanned::new(place, id.to_owned()), hash)
}

fn keyset(records: impl IntoIterator<Item = Record>) -> Result<Keyset, Fault> {
    let mut builder = Builder::default();
    records.into_iter().try_for_each(|record| builder.add(record))?;
    builder.finish()
}

#[track_caller]
fn check_valid(keyset: &Keyset, key: &str, time: SystemTime, expected: Option<&str>) {
    let found = keyset.find(&Digest::of(key.as_bytes()), time);
    let id = match found {
        Standing::Valid(found) => Some(keyset.names(found.position).unwrap().id),
        Standing::Unknown | Standing::Invalid => None,
    };
    assert_eq!(id, expected, "{key} at {time:?}");
}

#[test]
fn a_key_is_valid_between_its_dates_and_not_while_it_is_disabled() {
    let half = Duration::from_millis(500);
    let keyset = keyset([
        Record { not_before: Some(at(10)), expires: Some(at(20)), ..record(0, "a") },
        Record { not_before: Some(at(9) + half), expires: Some(at(20) + half), ..record(1, "b") },
        Record { disabled: true, ..record(2, "c") },
        record(3, "d"),
        Record { expires: Some(SystemTime::UNIX_EPOCH - half), ..record(4, "e") },
    ]);
    let keyset = keyset.unwrap();
    for key in ["a", "b"] {
        check_valid(&keyset, key, at(10) - Duration::from_nanos(1), None);
        check_valid(&keyset, key, at(10), Some(key));
        check_valid(&keyset, key, at(20) - Duration::from_nanos(1), Some(key));
        check_valid(&keyset, key, at(20), None);
    }
    check_valid(&keyset, "c", at(10), None);
    check_valid(&keyset, "d", at(0), Some("d"));
    check_valid(&keyset, "e", at(0), None);
    check_valid(&keyset, "x", at(10), None);
}

#[test]
fn a_key_that_was_replaced_is_valid_for_a_while_and_never_longer_than_the_new_one() {
    let previous = |until| {
        let hash = Spanned::new(90..91, Digest::of(b"old"));
        Some(Previous { hash, until: at(until) })
    };
    let set = keyset([record(0, "x"), Record { previous: previous(10), ..record(1, "a") }]);
    let set = set.unwrap();
    check_valid(&set, "old", at(9), Some("a"));
    check_valid(&set, "old", at(10), None);
    check_valid(&set, "a", at(9), Some("a"));
    let ended = Record { previous: previous(10), expires: Some(at(5)), ..record(1, "a") };
    check_valid(&keyset([ended]).unwrap(), "old", at(5), None);
    let disabled = Record { previous: previous(10), disabled: true, ..record(1, "a") };
    check_valid(&keyset([disabled]).unwrap(), "old", at(5), None);
}

#[test]
fn an_id_or_a_key_that_is_there_twice_is_refused_at_its_place() {
    let again = Record { id: Spanned::new(8..9, "b".to_owned()), ..record(3, "d") };
    let fault = keyset([record(0, "a"), record(1, "b"), again, record(4, "b")]).unwrap_err();
    assert_eq!((fault.span, &*fault.message), (Some(8..9), "the id `b` is there twice"));
    let same = Record { hash: record(0, "a").hash, ..record(1, "b") };
    assert_eq!(keyset([record(0, "a"), same]).unwrap_err().span, Some(1..2));
    let previous = Some(Previous { hash: Spanned::new(7..8, Digest::of(b"a")), until: at(1) });
    let fault = keyset([record(0, "a"), Record { previous, ..record(1, "b") }]).unwrap_err();
    assert_eq!((fault.span, &*fault.message), (Some(7..8), "this key is there twice"));
}

#[test]
fn names_and_rules_are_those_of_the_record() {
    let locations = |names: &[&str]| {
        Some(names.iter().map(|name| Spanned::new(5..6, (*name).to_owned())).collect())
    };
    let set = keyset([
        Record { locations: locations(&["p", "q"]), ..record(0, "a") },
        Record { consumer: Some("who".to_owned()), locations: locations(&["q"]), ..record(1, "b") },
        Record { locations: locations(&[]), ..record(2, "c") },
        Record { consumer: Some("who".to_owned()), ..record(3, "d") },
    ]);
    let set = set.unwrap();
    assert_eq!(set.names(0), Some(Names { id: "a", consumer: "a" }));
    assert_eq!(set.names(1), Some(Names { id: "b", consumer: "who" }));
    assert_eq!(set.names(4), None);
    assert_eq!(set.tags(1).1, set.tags(3).1);
    assert_ne!(set.tags(1).0, set.tags(3).0);
    let names: Vec<_> = set.locations().iter().map(|location| &*location.name).collect();
    assert_eq!(names, ["p", "q"]);
    let allowed = |position| set.rules(position).locations.clone().map(Vec::from);
    assert_eq!(allowed(0), Some(vec![0, 1]));
    assert_eq!(allowed(1), Some(vec![1]));
    assert_eq!((allowed(2), allowed(3)), (Some(vec![]), None));
}

#[test]
fn what_rules_do_not_name_they_do_not_allow() {
    let networks = Box::from(["10.0.0.0/8".parse().unwrap()]);
    let rules = Rules {
        methods: Some(Box::from([Method::GET])),
        allow_ips: Some(networks),
        ..Rules::default()
    };
    for (method, others, allowed) in [
        (Method::GET, vec![], true),
        (Method::HEAD, vec![], false),
        (Method::GET, vec![Some(Method::GET)], true),
        (Method::GET, vec![Some(Method::GET), Some(Method::HEAD)], false),
        (Method::GET, vec![None], false),
    ] {
        assert_eq!(rules.allow_methods(&method, others.into_iter()), allowed, "{method}");
    }
    for (client, allowed) in
        [("10.1.2.3", true), ("::ffff:10.1.2.3", true), ("11.0.0.1", false), ("::1", false)]
    {
        assert_eq!(rules.allow_address(Some(client.parse().unwrap())), allowed, "{client}");
    }
    assert!(!rules.allow_address(None));
    assert!(Rules::default().allow_address(None));
    assert!(Rules::default().allow_methods(&Method::GET, [None].into_iter()));
    let nobody = Rules {
        methods: Some(Box::default()),
        allow_ips: Some(Box::default()),
        ..Rules::default()
    };
    assert!(!nobody.allow_methods(&Method::GET, [].into_iter()));
    assert!(!nobody.allow_address(Some(IpAddr::from([10, 1, 2, 3]))));
}

#[test]
fn a_record_takes_48_bytes() {
    assert_eq!(size_of::<Entry>(), 48);
}

#[test]
fn keys_are_counted_by_their_state_and_the_next_to_end_are_named() {
    let keyset = keyset([
        record(0, "for ever"),
        Record { expires: Some(at(30)), ..record(1, "later") },
        Record { expires: Some(at(20)), ..record(2, "soon") },
        Record { expires: Some(at(10)), ..record(3, "over") },
        Record { not_before: Some(at(11)), ..record(4, "not yet") },
        Record { disabled: true, expires: Some(at(20)), ..record(5, "disabled") },
    ]);
    let census = keyset.unwrap().census(at(10));
    let counts = (census.valid, census.expired, census.not_yet, census.disabled);
    assert_eq!(counts, (3, 1, 1, 1));
    let ending: Vec<_> = census.ending.iter().map(|it| (&*it.id, &*it.consumer, it.at)).collect();
    assert_eq!(ending, [("soon", "soon", at(20)), ("later", "later", at(30))]);
}
