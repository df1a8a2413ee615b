//! So many in so long a time, as it is written.

use std::time::Duration;

use crate::config::types::{Text, deserialize_text};

deserialize_text!(Rate);

/// The most in a window.
const COUNT_LIMIT: u32 = 1_000_000_000;

/// The longest window: a year.
const WINDOW_LIMIT: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// At most `count` in any time as long as `window`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rate {
    /// How many; at least 1.
    pub count: u32,
    /// In how long; at least a second.
    pub window: Duration,
}

impl Rate {
    /// Reads `N/duration`, as `100/1s`.
    ///
    /// # Errors
    ///
    /// When it is anything else, as a sentence that repeats nothing of it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some((count, window)) = text.split_once('/') else {
            return Err("it is a number and a duration, as in \"10/1m\"".to_owned());
        };
        let count = count.parse().ok().filter(|count| (1..=COUNT_LIMIT).contains(count));
        let Some(count) = count else {
            return Err(format!("before \"/\" stands a number from 1 to {COUNT_LIMIT}"));
        };
        let window = humantime::parse_duration(window).ok();
        match window.filter(|window| (Duration::from_secs(1)..=WINDOW_LIMIT).contains(window)) {
            Some(window) => Ok(Self { count, window }),
            None => Err("after \"/\" stands a duration from 1s to 366d".to_owned()),
        }
    }
}

impl Text for Rate {
    const EXPECTED: &'static str = "a number and a duration, such as \"100/1s\"";

    fn parse(text: &str) -> Result<Self, String> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_and_a_duration() {
        for (text, count, seconds) in
            [("1/1s", 1, 1), ("60/1m", 60, 60), ("10000/1d", 10_000, 86_400)]
        {
            let window = Duration::from_secs(seconds);
            assert_eq!(Rate::parse(text), Ok(Rate { count, window }), "{text}");
        }
        for text in
            ["", "10", "/", "10/", "/1m", "0/1m", "-1/1m", "1.5/1m", "10/1", "10/0s", "10/2y"]
        {
            assert!(Rate::parse(text).is_err(), "{text}");
        }
    }
}
