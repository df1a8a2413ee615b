//! Values of the configuration that parse themselves, so that no later code has to check them
//! again.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use http::Method;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use zeroize::Zeroizing;

use super::suggest;
use crate::route::{HostPattern, PathPattern};

/// A key as it was written. It has no `Display` and no `==`; its memory is wiped when it is
/// dropped.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a key.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The key itself, for digesting.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A value that is written as a string. What is wrong with it is said without repeating it, since
/// it may be a key in the wrong field; the line that is shown beside the message is masked.
pub(crate) trait Text: Sized {
    /// What the string should be, as in "expected …".
    const EXPECTED: &'static str;

    /// Reads it; the error is a sentence.
    fn parse(text: &str) -> Result<Self, String>;
}

struct TextVisitor<T>(PhantomData<T>);

impl<T: Text> Visitor<'_> for TextVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTED)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::parse(text).map_err(E::custom)
    }
}

/// Reads a [`Text`].
pub(crate) fn text<'de, T: Text, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(TextVisitor(PhantomData))
}

/// Implements `Deserialize` for types that are a [`Text`].
macro_rules! deserialize_text {
    ($($type:ty),+) => {$(
        impl<'de> serde::Deserialize<'de> for $type {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                $crate::config::types::text(deserializer)
            }
        }
    )+};
}
pub(crate) use deserialize_text;

deserialize_text!(Period, Size, HeadSize, HealthPath, Hosts, MethodName, Path);

/// A duration with a unit, as in `"500ms"` or `"10s"`; longer than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Period(pub Duration);

/// Longer than any timeout that is meant: a slip such as `"10d"` for `"10s"` is found.
const MAX_PERIOD: Duration = Duration::from_secs(7 * 24 * 3600);

impl Text for Period {
    const EXPECTED: &'static str = "a duration with a unit, such as \"500ms\", \"10s\" or \"5m\"";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {}", Self::EXPECTED);
        let duration = humantime::parse_duration(text).map_err(|_| wrong())?;
        if duration.is_zero() {
            return Err(match text.trim() {
                "0" => wrong(),
                _ => "a duration must be longer than 0".to_owned(),
            });
        }
        if duration > MAX_PERIOD {
            return Err("a duration is 7 days at most".to_owned());
        }
        Ok(Self(duration))
    }
}

/// A size with a unit, as in `"10MiB"`; more than nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl Text for Size {
    const EXPECTED: &'static str = "a size with a unit, such as \"512KiB\" or \"10MiB\"";

    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || format!("expected {}", Self::EXPECTED);
        let text = text.trim();
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| wrong())?;
        let unit = match unit.trim_start().to_ascii_lowercase().as_str() {
            "b" => 1,
            "kb" => 1000,
            "mb" => 1000 * 1000,
            "gb" => 1000 * 1000 * 1000,
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            _ => return Err(wrong()),
        };
        match number.checked_mul(unit) {
            Some(0) => Err("a size must be more than 0".to_owned()),
            Some(bytes) if bytes <= i64::MAX as u64 => Ok(Self(bytes)),
            _ => Err("the size is too large".to_owned()),
        }
    }
}

/// The longest request head, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadSize(pub usize);

impl Text for HeadSize {
    const EXPECTED: &'static str = Size::EXPECTED;

    fn parse(text: &str) -> Result<Self, String> {
        let Size(bytes) = Size::parse(text)?;
        // Below, browsers' own fields do not fit; above, every idle connection may cost that much.
        match usize::try_from(bytes) {
            Ok(bytes) if ((8 << 10)..=(1 << 20)).contains(&bytes) => Ok(Self(bytes)),
            _ => Err("the size of a request head is between 8KiB and 1MiB".to_owned()),
        }
    }
}

/// A whole number within bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Count<const MIN: u32, const MAX: u32>(u32);

impl<const MIN: u32, const MAX: u32> Count<MIN, MAX> {
    pub(crate) const fn new(number: u32) -> Self {
        assert!(MIN <= number && number <= MAX, "a default is within its bounds");
        Self(number)
    }

    /// The number.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl<'de, const MIN: u32, const MAX: u32> Deserialize<'de> for Count<MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Number<const MIN: u32, const MAX: u32>;

        impl<const MIN: u32, const MAX: u32> Visitor<'_> for Number<MIN, MAX> {
            type Value = Count<MIN, MAX>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "a whole number from {MIN} to {MAX}")
            }

            fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
                match u32::try_from(number) {
                    Ok(number) if (MIN..=MAX).contains(&number) => Ok(Count(number)),
                    _ => Err(E::custom(format!("expected a whole number from {MIN} to {MAX}"))),
                }
            }
        }

        deserializer.deserialize_any(Number)
    }
}

/// A location's `path`.
#[derive(Clone, Debug)]
pub struct Path {
    /// As it was written.
    pub text: String,
    /// What it matches.
    pub pattern: PathPattern,
}

impl Text for Path {
    const EXPECTED: &'static str = "a path: \"/prefix\", \"=/exact\" or \"~regex\"";

    fn parse(text: &str) -> Result<Self, String> {
        // A regex error is a drawing of several lines; the last one says what is wrong.
        let last_line = |error: String| match error.split_once('\n') {
            Some((first, rest)) => {
                let last = rest.lines().last().unwrap_or_default();
                let first = first.split(": ").next().unwrap_or_default();
                format!("{first}: {}", last.trim_start_matches("error: "))
            }
            None => error,
        };
        let pattern = PathPattern::parse(text).map_err(last_line)?;
        Ok(Self { text: text.to_owned(), pattern })
    }
}

/// A location's `host`.
#[derive(Clone, Debug)]
pub struct Hosts {
    /// As it was written.
    pub text: String,
    /// What it matches; never empty.
    pub patterns: Vec<HostPattern>,
}

impl Text for Hosts {
    const EXPECTED: &'static str = "a host, or several with commas between them";

    fn parse(text: &str) -> Result<Self, String> {
        if text.split(',').any(|host| host.trim().is_empty()) {
            return Err("the host is empty; without `host` a location takes every host".to_owned());
        }
        let several = text.contains(',');
        let parse = |(index, host): (usize, &str)| {
            HostPattern::parse(host.trim()).map_err(|error| match several {
                true => format!("host {}: {error}", index + 1),
                false => error,
            })
        };
        let patterns = text.split(',').enumerate().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), patterns })
    }
}

/// One of a location's `methods`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MethodName(pub Method);

/// The methods that RFC 9110 and RFC 5789 define and that keygate forwards.
const METHODS: &[&str] = &["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl Text for MethodName {
    const EXPECTED: &'static str = "a method, such as \"GET\"";

    fn parse(text: &str) -> Result<Self, String> {
        let meant = suggest::closest(text, METHODS.iter().copied());
        match (Method::from_bytes(text.as_bytes()), meant) {
            (Ok(method), _) if METHODS.contains(&method.as_str()) => Ok(Self(method)),
            (Ok(Method::CONNECT | Method::TRACE), _) => {
                Err("CONNECT and TRACE are never forwarded".to_owned())
            }
            (_, Some(meant)) => Err(format!("this is no method; did you mean \"{meant}\"?")),
            // An extension, such as PROPFIND or PURGE.
            (Ok(method), None) if text.bytes().all(|b| b.is_ascii_uppercase() || b == b'-') => {
                Ok(Self(method))
            }
            _ => Err(format!("expected {}, in capital letters", Self::EXPECTED)),
        }
    }
}

/// An upstream's `health`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Health {
    /// The target that is asked for.
    pub path: HealthPath,
    /// How long it is from one check to the next.
    #[serde(default = "Health::interval")]
    pub interval: Period,
    /// How long a check may take.
    #[serde(default = "Health::timeout")]
    pub timeout: Period,
    /// How many checks must fail until an address is unhealthy.
    #[serde(default = "Health::unhealthy")]
    pub unhealthy: Count<1, 100>,
    /// How many must succeed until it is healthy again.
    #[serde(default = "Health::healthy")]
    pub healthy: Count<1, 100>,
}

impl Health {
    /// Often enough that a dead address is known in the time of a few requests, and seldom enough
    /// that nobody sees it in a profile: nginx's.
    fn interval() -> Period {
        Period(Duration::from_secs(5))
    }

    /// Who takes longer to say that all is well is not.
    fn timeout() -> Period {
        Period(Duration::from_secs(2))
    }

    /// One check may be lost by chance.
    fn unhealthy() -> Count<1, 100> {
        Count::new(2)
    }

    /// What answers can serve.
    fn healthy() -> Count<1, 100> {
        Count::new(1)
    }
}

/// A target that is asked for as it is written.
#[derive(Clone, Debug)]
pub struct HealthPath(pub Box<str>);

/// The longest target of a health check; none that is meant comes near it.
const MAX_HEALTH_PATH: usize = 1024;

impl Text for HealthPath {
    const EXPECTED: &'static str = "a path such as \"/health\"";

    fn parse(text: &str) -> Result<Self, String> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
        match text.starts_with('/') && visible && text.len() <= MAX_HEALTH_PATH {
            true => Ok(Self(text.into())),
            false => Err(format!("expected {}", Self::EXPECTED)),
        }
    }
}
