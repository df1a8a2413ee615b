//! Which of many keys one is, found with the same work for any wrong key and any number of keys.

use std::fmt;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::iter;

use subtle::ConstantTimeEq;

use super::digest::Digest;

/// The digests of all keys, each at a place that a secret of the process gives it.
///
/// Neither what a look-up takes nor where it looks tells anything about the digests, and whole ones
/// are compared in constant time.
pub struct Keyring {
    secret: RandomState,
    table: Table,
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
    pub fn new(list: &[Digest]) -> Result<Self, Twice> {
        let secret = RandomState::new();
        let table = Table::new(list, |digest| tag(&secret, digest))?;
        Ok(Self { secret, table })
    }

    /// The position of a key; none if it is unknown.
    pub fn find(&self, candidate: &Digest) -> Option<usize> {
        self.table.find(tag(&self.secret, candidate), candidate)
    }

    /// All keys, some of them several times.
    pub fn digests(&self) -> impl Iterator<Item = &Digest> {
        self.table.slots.iter().map(|slot| &slot.digest)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.table.count
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} secrets]", self.len())
    }
}

/// SipHash of the whole digest: one that differs in a single bit has any other tag.
fn tag(secret: &RandomState, digest: &Digest) -> u32 {
    let mut hasher = secret.build_hasher();
    hasher.write(digest.bytes());
    (hasher.finish() >> 32) as u32
}

/// The keys in the order of their tags, with gaps, so that each stands where its tag says or a few
/// slots further on.
///
/// Among a million keys a look-up is waiting for memory and little else. So it goes to one place
/// of it: 0.4 µs, where a map of indices into a list of digests, two places, took 0.8 µs.
struct Table {
    count: usize,
    /// A gap holds the key after it, and the last slot anybody's with the greatest tag: whatever
    /// its tag, a candidate is compared with somebody.
    slots: Box<[Slot]>,
}

#[derive(Clone, Copy)]
struct Slot {
    tag: u32,
    /// The key's position in the list; nobody has more keys than this can count.
    position: u32,
    digest: Digest,
}

impl Table {
    fn new(list: &[Digest], tag: impl Fn(&Digest) -> u32) -> Result<Self, Twice> {
        let tags = list.iter().map(tag);
        let mut order: Vec<(u32, u32)> = tags.zip(0..).collect();
        order.sort_unstable();
        if let Some(twice) = twice(list, &order) {
            return Err(twice);
        }
        let homes = homes(list.len());
        let mut slots = Vec::with_capacity(homes + 1);
        for (tag, position) in order {
            let slot = Slot { tag, position, digest: list[position as usize] };
            slots.resize(home(tag, homes).max(slots.len()) + 1, slot);
        }
        if let Some(&last) = slots.last() {
            slots.resize(homes.max(slots.len()) + 1, Slot { tag: u32::MAX, ..last });
        }
        Ok(Self { count: list.len(), slots: slots.into() })
    }

    fn find(&self, tag: u32, candidate: &Digest) -> Option<usize> {
        let near = self.slots.get(home(tag, homes(self.count))..)?;
        let mut slots = near.iter().skip_while(|slot| slot.tag < tag);
        let next = slots.next()?;
        // Different digests with the same tag: one pair among 100,000 keys, a hundred in a million.
        let others = slots.take_while(|slot| slot.tag == tag);
        let mut known = iter::once(next).chain(others);
        let same = known.find(|slot| bool::from(slot.digest.ct_eq(candidate)))?;
        Some(same.position as usize)
    }
}

/// The first key in the list that stood there before; the same keys have the same tag.
fn twice(list: &[Digest], order: &[(u32, u32)]) -> Option<Twice> {
    let same_tag = order.chunk_by(|(one, _), (other, _)| one == other);
    let twices = same_tag.filter_map(|keys| {
        let positions: Vec<_> = keys.iter().map(|&(_, position)| position as usize).collect();
        (1..positions.len()).find_map(|at| {
            let second = positions[at];
            let known = |first: &&usize| list[**first].ct_eq(&list[second]).into();
            positions[..at].iter().find(known).map(|&first| Twice { first, second })
        })
    });
    twices.min_by_key(|twice| twice.second)
}

/// How many places tags have: one in five stays a gap. More gaps save nothing, since a key is only
/// two slots from its home on average; with these a key takes 50 bytes.
fn homes(count: usize) -> usize {
    count + count / 4
}

/// The first slot in which a key of this tag can be.
fn home(tag: u32, homes: usize) -> usize {
    ((u64::from(tag) * homes as u64) >> 32) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digests(count: usize) -> Vec<Digest> {
        (0..count).map(|n| Digest::of(format!("key {n}").as_bytes())).collect()
    }

    #[test]
    fn every_key_is_found_and_no_other() {
        for count in [0, 1, 2, 1000] {
            let keyring = Keyring::new(&digests(count)).unwrap();
            assert_eq!((keyring.len(), keyring.is_empty()), (count, count == 0));
            for n in 0..count {
                assert_eq!(keyring.find(&Digest::of(format!("key {n}").as_bytes())), Some(n));
            }
            for wrong in ["", "key", "key ", "key -1", "KEY 0", "key 0 ", "key 1000"] {
                assert_eq!(keyring.find(&Digest::of(wrong.as_bytes())), None, "{wrong}");
            }
        }
    }

    /// A tag: any, or one of the first and last few, which crowd the ends of the table.
    fn any_tag() -> impl Strategy<Value = u32> {
        prop_oneof![any::<u32>(), 0..3_u32, u32::MAX - 2..=u32::MAX]
    }

    proptest! {
        #[test]
        fn a_table_of_any_tags_is_a_list(
            tags in proptest::array::uniform16(any_tag()),
            list in proptest::collection::vec(0..16_usize, 0..24),
            stranger in any_tag(),
        ) {
            let all = digests(tags.len());
            let tag = |digest: &Digest| {
                tags[all.iter().position(|known| known.ct_eq(digest).into()).unwrap()]
            };
            let first = |n: &usize| list.iter().position(|known| known == n);
            let again = list.iter().enumerate().find(|&(second, n)| first(n) != Some(second));
            let digests: Vec<_> = list.iter().map(|&n| all[n]).collect();
            match (Table::new(&digests, tag), again) {
                (Ok(table), None) => {
                    for (n, (digest, &tag)) in all.iter().zip(&tags).enumerate() {
                        prop_assert_eq!(table.find(tag, digest), first(&n));
                    }
                    // Whoever an unknown key is compared with would be found in its place.
                    let compared = all.iter().any(|known| table.find(stranger, known).is_some());
                    prop_assert_eq!(compared, !list.is_empty());
                }
                (table, again) => {
                    let twice = again.map(|(second, n)| Twice { first: first(n).unwrap(), second });
                    prop_assert_eq!(table.err(), twice);
                }
            }
        }
    }

    #[test]
    fn a_tag_comes_from_every_bit_and_a_secret() {
        let digest = |byte: usize, value: u8| {
            let mut hex = ["00"; 32].map(str::to_owned);
            hex[byte] = format!("{value:02x}");
            Digest::parse(&format!("sha256:{}", hex.concat())).unwrap()
        };
        let secret = RandomState::new();
        for byte in 0..32 {
            let mut tags: Vec<_> = (0..=255).map(|n| tag(&secret, &digest(byte, n)) >> 8).collect();
            tags.sort_unstable();
            tags.dedup();
            assert!(tags.len() > 250, "byte {byte}: {} tags of 256 digests", tags.len());
        }
        let tags = |secret| digests(8).iter().map(|it| tag(secret, it)).collect::<Vec<_>>();
        assert_ne!(tags(&secret), tags(&RandomState::new()));
    }

    #[test]
    fn a_key_takes_50_bytes() {
        assert_eq!(size_of::<Slot>(), 40);
        let table = Keyring::new(&digests(10_000)).unwrap().table;
        assert!((12_500..12_600).contains(&table.slots.len()), "{} slots", table.slots.len());
        assert_eq!(Keyring::new(&digests(1)).unwrap().table.slots.len(), 2);
    }

    #[test]
    fn the_same_key_twice_is_refused_by_its_positions() {
        let mut twice = digests(5);
        twice.extend([3, 1].map(|n| Digest::of(format!("key {n}").as_bytes())));
        assert_eq!(Keyring::new(&twice).err(), Some(Twice { first: 3, second: 5 }));
    }

    #[test]
    fn a_keyring_says_nothing_of_its_keys() {
        assert_eq!(format!("{:?}", Keyring::new(&digests(2)).unwrap()), "[2 secrets]");
    }
}
