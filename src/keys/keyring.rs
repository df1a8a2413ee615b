//! Which of many keys one is, found with the same work for any wrong key and any number of keys.

use std::collections::HashMap;
use std::fmt;

use subtle::ConstantTimeEq;

use super::digest::{Digest, LENGTH};

/// How many bytes of a digest a table is asked with.
const PART: usize = 8;

/// The digests of all keys, and a table of where each one is.
///
/// The table is keyed with a part of the digest and a secret of the process, so that what its
/// look-up takes tells nothing about the digests; the whole digest is compared in constant time.
pub struct Keyring {
    /// In the order of their bytes, and put into the table in this order: who comes late is found
    /// later, and where a key stands in the list must not show.
    digests: Vec<Digest>,
    table: HashMap<u64, Place>,
    /// Where the part begins.
    offset: usize,
}

/// Where a key is. Smaller numbers make a smaller table; nobody has more keys than they can count.
#[derive(Clone, Copy)]
struct Place {
    /// The index of its digest.
    index: u32,
    /// Its position in the list.
    position: u32,
}

/// Two keys that are the same, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Twice {
    /// The first of them.
    pub first: usize,
    /// The one that is the same.
    pub second: usize,
}

impl Keyring {
    /// A keyring of these keys.
    ///
    /// # Errors
    ///
    /// When two of them are the same.
    pub fn new(list: Vec<Digest>) -> Result<Self, Twice> {
        let mut order: Vec<usize> = (0..list.len()).collect();
        order.sort_by_key(|&position| list[position].bytes());
        let digests: Vec<_> = order.iter().map(|&position| list[position]).collect();
        let mut offset = 0;
        loop {
            match table(&digests, &order, offset) {
                Ok(table) => return Ok(Self { digests, table, offset }),
                Err(twice) => {
                    let same = list[twice.first].ct_eq(&list[twice.second]);
                    // Different keys that agree in one part are told apart by another one.
                    offset += PART;
                    if bool::from(same) || offset == LENGTH {
                        return Err(twice);
                    }
                }
            }
        }
    }

    /// The position of a key; none if it is unknown.
    pub fn find(&self, candidate: &Digest) -> Option<usize> {
        let place = self.table.get(&part(candidate, self.offset)).copied();
        // A key that the table does not know is compared too, with anybody's. Who that is depends
        // on another part, by which the digests are not in order: it is nobody similar.
        let other = part(candidate, (self.offset + PART) % LENGTH);
        let anybody = share(other, self.digests.len());
        let known = self.digests.get(place.map_or(anybody, |place| place.index as usize))?;
        let same = known.ct_eq(candidate);
        place.filter(|_| bool::from(same)).map(|place| place.position as usize)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.digests.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} secrets]", self.digests.len())
    }
}

/// Fills a table; `order` are the positions in the list.
fn table(digests: &[Digest], order: &[usize], offset: usize) -> Result<HashMap<u64, Place>, Twice> {
    let mut table = HashMap::with_capacity(digests.len());
    for (index, (digest, &second)) in digests.iter().zip(order).enumerate() {
        let place = Place { index: index as u32, position: second as u32 };
        if let Some(first) = table.insert(part(digest, offset), place) {
            return Err(Twice { first: first.position as usize, second });
        }
    }
    Ok(table)
}

/// The share of `count` that a number is of all numbers: less than `count`, unless that is 0.
fn share(number: u64, count: usize) -> usize {
    ((u128::from(number) * count as u128) >> 64) as usize
}

fn part(digest: &Digest, offset: usize) -> u64 {
    digest.bytes()[offset..offset + PART].iter().fold(0, |part, &byte| part << 8 | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digests(count: usize) -> Vec<Digest> {
        (0..count).map(|n| Digest::of(format!("key {n}").as_bytes())).collect()
    }

    /// A digest whose bytes are all `byte` but for the last one.
    fn digest(byte: u8, last: u8) -> Digest {
        Digest::parse(&format!("sha256:{}{last:02x}", format!("{byte:02x}").repeat(LENGTH - 1)))
            .unwrap()
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        for count in [0, 1, 2, 1000] {
            let keyring = Keyring::new(digests(count)).unwrap();
            assert_eq!((keyring.len(), keyring.is_empty()), (count, count == 0));
            for n in 0..count {
                assert_eq!(keyring.find(&Digest::of(format!("key {n}").as_bytes())), Some(n));
            }
            for wrong in ["", "key", "key ", "key -1", "KEY 0", "key 0 ", "key 1000"] {
                assert_eq!(keyring.find(&Digest::of(wrong.as_bytes())), None, "{wrong}");
            }
        }
    }

    #[test]
    fn a_digest_that_agrees_in_part_only_is_another() {
        let keyring = Keyring::new(vec![digest(1, 1)]).unwrap();
        assert_eq!(keyring.find(&digest(1, 1)), Some(0));
        assert_eq!(keyring.find(&digest(1, 2)), None);
    }

    #[test]
    fn keys_that_agree_in_three_parts_are_told_apart_by_the_fourth() {
        let keyring = Keyring::new(vec![digest(1, 1), digest(1, 2), digest(2, 1)]).unwrap();
        for (position, known) in [digest(1, 1), digest(1, 2), digest(2, 1)].iter().enumerate() {
            assert_eq!(keyring.find(known), Some(position));
        }
        assert_eq!(keyring.find(&digest(1, 3)), None);
    }

    #[test]
    fn the_same_key_twice_is_refused_by_its_positions() {
        let mut twice = digests(5);
        twice.push(Digest::of(b"key 3"));
        assert_eq!(Keyring::new(twice).err(), Some(Twice { first: 3, second: 5 }));
    }

    #[test]
    fn an_unknown_key_is_compared_with_anybodys() {
        assert_eq!([0, 1 << 63, u64::MAX].map(|part| share(part, 10)), [0, 5, 9]);
        assert_eq!([0, 1 << 63, u64::MAX].map(|part| share(part, 0)), [0, 0, 0]);
    }

    #[test]
    fn a_keyring_says_nothing_of_its_keys() {
        assert_eq!(format!("{:?}", Keyring::new(digests(2)).unwrap()), "[2 secrets]");
    }
}
