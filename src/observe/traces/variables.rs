//! The values of environment variables, as OpenTelemetry says that they are read ("Environment
//! variable specification"): nothing that stands there stops a program, a value that is empty is as
//! none, and of a wrong one it is warned. No warning holds a value, which may be a secret.

use std::fmt::Display;
use std::time::Duration;

use crate::config::Environment;
use crate::query::decode;

/// The variables, and what was found to be wrong with them.
pub(super) struct Variables<'e> {
    environment: &'e Environment,
    pub(super) warnings: Vec<String>,
}

impl<'e> Variables<'e> {
    /// Those of an environment.
    pub(super) fn new(environment: &'e Environment) -> Self {
        Self { environment, warnings: Vec::new() }
    }

    /// What a variable says.
    pub(super) fn value(&self, name: &str) -> Option<&'e str> {
        self.environment.value(name).map(str::trim).filter(|value| !value.is_empty())
    }

    /// What the first of these says that says anything, and which it is.
    pub(super) fn first(&self, names: [&'static str; 2]) -> Option<(&'static str, &'e str)> {
        names.into_iter().find_map(|name| Some((name, self.value(name)?)))
    }

    /// Says what is wrong with a variable, and what is done about it.
    pub(super) fn warn(&mut self, name: &str, what: impl Display) {
        self.warnings.push(format!("{name} {what}"));
    }

    /// Whether it says `true`, in any case.
    pub(super) fn is_true(&mut self, name: &str) -> bool {
        match self.value(name) {
            Some(value) if value.eq_ignore_ascii_case("true") => true,
            Some(value) if !value.eq_ignore_ascii_case("false") => {
                self.warn(name, "is neither true nor false; false is taken");
                false
            }
            _ => false,
        }
    }

    /// A whole number of at least so much.
    pub(super) fn number(&mut self, name: &str, least: usize, default: usize) -> usize {
        let Some(value) = self.value(name) else { return default };
        match value.parse() {
            Ok(number) if number >= least => number,
            _ => {
                let what = format!("is no whole number from {least}; {default} is taken");
                self.warn(name, what);
                default
            }
        }
    }

    /// A time in milliseconds, by the first of these that says one.
    pub(super) fn period(&mut self, names: &[&str], default_ms: u32) -> Duration {
        let named = names.iter().find(|name| self.value(name).is_some());
        let Some(name) = named else { return Duration::from_millis(default_ms.into()) };
        let ms = match self.value(name).map(str::parse::<u32>) {
            Some(Ok(ms)) if ms > 0 => ms,
            _ => {
                let what = format!("is no number of milliseconds; {default_ms} is taken");
                self.warn(name, what);
                default_ms
            }
        };
        Duration::from_millis(ms.into())
    }

    /// A share, from 0 to 1.
    pub(super) fn ratio(&mut self, name: &str) -> f64 {
        let value = self.value(name).map(str::parse);
        match value {
            Some(Ok(ratio)) if (0.0..=1.0).contains(&ratio) => ratio,
            None => 1.0,
            _ => {
                self.warn(name, "is no number from 0 to 1; 1 is taken");
                1.0
            }
        }
    }

    /// Names and values, as `a=b,c=d` with escapes as in a URL (W3C Baggage); those that are none
    /// are left out.
    pub(super) fn pairs(&mut self, name: &str) -> Vec<(&'e str, String)> {
        let mut pairs = Vec::new();
        let written = self.value(name).into_iter().flat_map(|list| list.split(','));
        for (index, pair) in written.enumerate().filter(|(_, pair)| !pair.trim().is_empty()) {
            let read = pair.split_once('=').and_then(|(key, value)| {
                let value = decode(value.trim().as_bytes()).into_owned();
                let key = Some(key.trim()).filter(|key| !key.is_empty())?;
                Some((key, String::from_utf8(value).ok()?))
            });
            match read {
                Some(pair) => pairs.push(pair),
                None => {
                    let what =
                        format!("has a pair that is none: number {}; it is left out", index + 1);
                    self.warn(name, what);
                }
            }
        }
        pairs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the variable `X` that says this, and what it is warned of.
    fn read<T>(value: &str, read: impl FnOnce(&mut Variables<'_>) -> T) -> (T, Vec<String>) {
        let environment = Environment::from_iter([("X", value), ("EMPTY", " ")]);
        let mut variables = Variables::new(&environment);
        let read = read(&mut variables);
        (read, variables.warnings)
    }

    #[track_caller]
    fn check<T: PartialEq + std::fmt::Debug>(
        value: &str,
        how: impl FnOnce(&mut Variables<'_>) -> T,
        expected: T,
        is_right: bool,
    ) {
        let (read, warnings) = read(value, how);
        assert_eq!((read, warnings.is_empty()), (expected, is_right), "{value}");
        let shown = warnings.concat();
        assert!(value.len() < 4 || !shown.contains(value), "{shown}");
    }

    #[test]
    fn a_wrong_value_is_the_default_with_a_warning() {
        let truth =
            |value, expected, is_right| check(value, |it| it.is_true("X"), expected, is_right);
        truth("true", true, true);
        truth(" TRUE ", true, true);
        truth("False", false, true);
        truth("", false, true);
        truth("yes!", false, false);
        let number = |value, expected, is_right| {
            check(value, |it| it.number("X", 2, 7), expected, is_right);
        };
        number("", 7, true);
        number("2", 2, true);
        number("1", 7, false);
        number("-1", 7, false);
        number("many", 7, false);
        let period = |value, expected_ms, is_right| {
            let expected = Duration::from_millis(expected_ms);
            check(value, |it| it.period(&["EMPTY", "X", "Y"], 7), expected, is_right);
        };
        period("", 7, true);
        period("100", 100, true);
        period("0", 7, false);
        period("100ms", 7, false);
        let ratio =
            |value, expected, is_right| check(value, |it| it.ratio("X"), expected, is_right);
        ratio("", 1.0, true);
        ratio("0", 0.0, true);
        ratio("0.25", 0.25, true);
        ratio("1.5", 1.0, false);
        ratio("NaN", 1.0, false);
        ratio("half", 1.0, false);
    }

    #[test]
    fn pairs_are_read_as_in_a_baggage() {
        let pairs = |value, expected: &[(&'static str, &str)], is_right| {
            let expected: Vec<_> =
                expected.iter().map(|(key, value)| (*key, (*value).to_owned())).collect();
            let (read, warnings) = read(value, |it| {
                let pairs = it.pairs("X").into_iter();
                pairs.map(|(key, value)| (key.to_owned(), value)).collect::<Vec<_>>()
            });
            let read: Vec<_> = read.iter().map(|(key, value)| (&**key, value.clone())).collect();
            assert_eq!((read, warnings.is_empty()), (expected, is_right), "{value}");
        };
        pairs("", &[], true);
        pairs("a=b", &[("a", "b")], true);
        pairs(" a = b , c=d=e, ", &[("a", "b"), ("c", "d=e")], true);
        pairs("a=b%20c%2c,d=", &[("a", "b c,"), ("d", "")], true);
        pairs("a,b=c,=d,e=%ff", &[("b", "c")], false);
    }
}
