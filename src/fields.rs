//! Header fields in the order in which they came.

use std::fmt;

use http::{HeaderName, HeaderValue};

/// The header fields of a message.
///
/// A list: a message has about ten of them, and to look at all their names costs less than to hash
/// one. It keeps the order of the lines, whatever is removed, as `http::HeaderMap` does not.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Fields(Vec<(HeaderName, HeaderValue)>);

impl Fields {
    /// None.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no line.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// For how many lines there is memory.
    pub fn capacity(&self) -> usize {
        self.0.capacity()
    }

    /// All lines.
    pub fn iter(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.into_iter()
    }

    /// The values of all lines with this name.
    pub fn get_all(&self, name: &HeaderName) -> impl Iterator<Item = &HeaderValue> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value)
    }

    /// The first of them.
    pub fn get(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.get_all(name).next()
    }

    /// Whether there is a line with this name.
    pub fn contains(&self, name: &HeaderName) -> bool {
        self.get(name).is_some()
    }

    /// Makes room for so many more lines.
    pub fn reserve(&mut self, count: usize) {
        self.0.reserve(count);
    }

    /// Adds a line at the end.
    pub fn append(&mut self, name: HeaderName, value: HeaderValue) {
        self.0.push((name, value));
    }

    /// Makes this the only line with its name, at the place of the first of them.
    pub fn insert(&mut self, name: HeaderName, value: HeaderValue) {
        let Some(first) = self.0.iter().position(|(known, _)| *known == name) else {
            return self.append(name, value);
        };
        let mut at = 0..;
        self.0.retain(|(known, _)| *known != name || at.by_ref().next() == Some(0));
        self.0[first].1 = value;
    }

    /// Removes all lines but those that `keep` says yes to; it may change their values.
    pub fn retain(&mut self, mut keep: impl FnMut(&HeaderName, &mut HeaderValue) -> bool) {
        self.0.retain_mut(|(name, value)| keep(name, value));
    }

    /// Removes all lines.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

impl<'a> IntoIterator for &'a Fields {
    type Item = (&'a HeaderName, &'a HeaderValue);
    type IntoIter = std::iter::Map<
        std::slice::Iter<'a, (HeaderName, HeaderValue)>,
        fn(&'a (HeaderName, HeaderValue)) -> Self::Item,
    >;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter().map(|(name, value)| (name, value))
    }
}

impl FromIterator<(HeaderName, HeaderValue)> for Fields {
    fn from_iter<T: IntoIterator<Item = (HeaderName, HeaderValue)>>(lines: T) -> Self {
        Self(lines.into_iter().collect())
    }
}

/// Says which fields there are, and nothing of what stands in them.
impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, HOST, VIA};

    use super::*;
    use crate::sample::{fields, lines};

    const LINES: &str = "host: a\nvia: 1\naccept: x\nvia: 2\nvia: 3";

    #[test]
    fn the_order_of_lines_stays() {
        let mut all = fields(LINES);
        assert_eq!((lines(&all), all.len(), all.is_empty()), (LINES.to_owned(), 5, false));
        let copied: Fields =
            all.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
        assert_eq!(copied, all);
        all.append(HOST, HeaderValue::from_static("b"));
        assert_eq!(lines(&all), format!("{LINES}\nhost: b"));
        all.clear();
        assert!(all.is_empty() && all.capacity() > 0);
    }

    #[test]
    fn lines_are_found_by_their_name() {
        let all = fields(LINES);
        assert!(all.contains(&VIA) && !all.contains(&http::header::COOKIE));
        assert_eq!(all.get(&VIA).unwrap(), "1");
        assert!(all.get_all(&VIA).eq(["1", "2", "3"]));
        assert_eq!(all.get_all(&http::header::COOKIE).count(), 0);
    }

    #[test]
    fn what_is_inserted_takes_the_place_of_all_lines_with_its_name() {
        for (name, expected) in [
            (HOST, "host: new\nvia: 1\naccept: x\nvia: 2\nvia: 3"),
            (VIA, "host: a\nvia: new\naccept: x"),
            (ACCEPT, "host: a\nvia: 1\naccept: new\nvia: 2\nvia: 3"),
            (http::header::TE, "host: a\nvia: 1\naccept: x\nvia: 2\nvia: 3\nte: new"),
        ] {
            let mut all = fields(LINES);
            all.insert(name, HeaderValue::from_static("new"));
            assert_eq!(lines(&all), expected);
        }
    }

    #[test]
    fn what_is_kept_may_be_changed() {
        let mut all = fields(LINES);
        all.retain(|name, value| {
            if *value == "2" {
                *value = HeaderValue::from_static("two");
            }
            *name == VIA
        });
        assert_eq!(lines(&all), "via: 1\nvia: two\nvia: 3");
    }

    #[test]
    fn no_value_is_shown() {
        assert_eq!(format!("{:?}", fields("host: secret\nx-a: secret")), r#"["host", "x-a"]"#);
    }
}
