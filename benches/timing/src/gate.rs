//! A key check to measure, and keys for it.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dudect_bencher::rand::RngExt;
use dudect_bencher::rand::seq::SliceRandom;
use dudect_bencher::{BenchRng, Class, CtRunner};
use http::header::HOST;
use http::{HeaderName, HeaderValue, Uri};
use keygate::config::types::Secret;
use keygate::head::RequestHead;
use keygate::keys::digest::Digest;
use keygate::plugin::key_auth::KeyAuthSettings;
use keygate::plugin::{Cx, Plugin, Settings};

/// How long keys are: a prefix and what `openssl rand -hex 16` gives.
pub const LENGTH: usize = 35;

/// The key check of a configuration: everything from the request's head to the verdict.
pub struct Gate(Arc<dyn Plugin>);

impl Gate {
    /// A gate that accepts these keys, or the keys of these digests.
    pub fn new<K: AsRef<str>>(keys: impl IntoIterator<Item = K>) -> Self {
        let keys = keys.into_iter().map(|key| Secret::new(key.as_ref().to_owned()));
        let mut settings = KeyAuthSettings::new(["header:X-API-Key"], keys);
        settings.hide_credentials = true;
        let built = settings.build(None).unwrap_or_else(|faults| panic!("{faults:?}"));
        Self(built.plugin)
    }

    /// Decides each of these once in a random order: what making the gate left in the caches is
    /// the end of its list rather than the beginning.
    pub fn warm(&self, candidates: &[String], rng: &mut BenchRng) {
        let mut order: Vec<_> = candidates.iter().collect();
        order.shuffle(rng);
        for candidate in order {
            let _ = self.0.request(&mut head(candidate), &mut cx());
        }
    }

    /// Measures one decision.
    pub fn time(&self, runner: &mut CtRunner, class: Class, candidate: &str) -> Duration {
        let head = RefCell::new(head(candidate));
        let cx = RefCell::new(cx());
        let start = Instant::now();
        runner.run_one(class, || self.0.request(&mut head.borrow_mut(), &mut cx.borrow_mut()));
        start.elapsed()
    }
}

fn head(candidate: &str) -> RequestHead {
    let mut head = RequestHead { uri: Uri::from_static("/api/v1/x"), ..RequestHead::default() };
    head.headers.append(HOST, HeaderValue::from_static("a.test"));
    let value = HeaderValue::from_str(candidate).expect("a key is a field's value");
    head.headers.append(HeaderName::from_static("x-api-key"), value);
    head
}

fn cx() -> Cx {
    Cx { client: None, now: Instant::now(), consumer: None, key_id: None }
}

/// Letters and digits.
const CHARACTERS: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

fn character(rng: &mut BenchRng) -> char {
    char::from(CHARACTERS[rng.random_range(..CHARACTERS.len())])
}

/// A random key.
pub fn key(length: usize, rng: &mut BenchRng) -> String {
    (0..length).map(|_| character(rng)).collect()
}

/// The same but for its last character.
pub fn almost(key: &str, rng: &mut BenchRng) -> String {
    let (start, last) = key.split_at(key.len() - 1);
    let mut others = std::iter::repeat_with(|| character(rng));
    start.chars().chain(others.find(|&other| !last.starts_with(other))).collect()
}

/// The digest of a key, as it is written, with one bit of it changed.
pub fn almost_digest(key: &str, rng: &mut BenchRng) -> String {
    let written = Digest::of(key.as_bytes()).written();
    let at = rng.random_range("sha256:".len()..written.len());
    let digit = u8::from_str_radix(&written[at..=at], 16).expect("it is a digit");
    format!("{}{:x}{}", &written[..at], digit ^ (1 << rng.random_range(0..4)), &written[at + 1..])
}

/// One of a list.
pub fn any<'a>(list: &'a [String], rng: &mut BenchRng) -> &'a str {
    &list[rng.random_range(..list.len())]
}
