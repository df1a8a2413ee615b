//! OpenAI's SDKs for Python and JavaScript, and Anthropic's for Python.

use super::program::{run, start};
use super::provider::{WORDS, provider};
use super::{PROVIDERS, guarding};
use crate::support::reference::{K1, K2, K3, K4, KEYS};
use crate::support::{Canaries, Gate, Signal, wait_until};

const SDKS: [&str; 3] = ["openai_python.py", "openai_node.mjs", "anthropic_python.py"];

/// What each of them asks for, and gets as a whole.
const WHOLE: &str = "one two three";

#[test]
fn an_answer_arrives_and_the_providers_key_goes_on_instead_of_the_callers() {
    let provider = provider(Signal::new());
    let gate = guarding(provider.address);
    for sdk in SDKS {
        assert_eq!(run(sdk, &["ask"], &gate, K1), WHOLE, "{sdk}");
        let arrived = provider.last();
        assert_eq!(Canaries::of(&KEYS).found_in(&arrived.bytes()), None, "{sdk}");
        let bearer = format!("Bearer {PROVIDERS}");
        assert_eq!(arrived.head.values("authorization"), [bearer], "{sdk}");
        assert_eq!(arrived.head.values("x-api-key"), [PROVIDERS], "{sdk}");
    }
}

#[test]
fn every_word_is_seen_before_the_next_is_said() {
    let next = Signal::new();
    let provider = provider(next.clone());
    let gate = guarding(provider.address);
    for sdk in SDKS {
        let program = start(sdk, &["stream"], &gate, K1);
        for (number, word) in (1..).zip(WORDS) {
            next.give();
            assert_eq!(program.line(number), word, "{sdk}");
        }
        assert_eq!(program.prints(), WORDS.join("\n"), "{sdk}");
    }
}

/// The statuses that the gate has answered with, in order.
fn statuses(gate: &Gate) -> Vec<String> {
    let lines = gate.stdout.lines().into_iter();
    lines.filter_map(|line| line.split(' ').nth(4).map(str::to_owned)).collect()
}

/// What every SDK makes of a refusal: an exception with status and code, and the sentence. The id
/// of the request is in the access log. It is sent once.
#[track_caller]
fn check_refused(gate: &Gate, key: &str, exception: &str, sentence: &str) {
    for sdk in SDKS {
        let before = statuses(gate).len();
        let printed = run(sdk, &["ask"], gate, key);
        let (first, second) = printed.split_once('\n').unwrap_or_else(|| panic!("{printed}"));
        let (first, id) = first.rsplit_once(' ').expect("several words");
        assert_eq!((first, second), (exception, sentence), "{sdk}");
        let logged = format!("id={id}");
        gate.stdout.wait_for(&logged, |line| line.ends_with(&logged));
        assert_eq!(statuses(gate).len(), before + 1, "{sdk}: {}", gate.stdout.text());
    }
}

#[test]
fn a_wrong_key_is_an_authentication_error() {
    let provider = provider(Signal::new());
    let gate = guarding(provider.address);
    check_refused(&gate, "wrong", "AuthenticationError 401 invalid_api_key", "Key auth fail");
    assert_eq!(provider.connections(), 0);
}

#[test]
fn what_a_key_may_not_do_is_an_error_of_permission() {
    let provider = provider(Signal::new());
    let gate = guarding(provider.address);
    check_refused(&gate, K2, "PermissionDeniedError 403 key_not_allowed", "Key not allowed");
    assert_eq!(provider.connections(), 0);
}

#[test]
fn a_quota_that_is_used_up_is_an_error_of_its_own_and_is_not_tried_again() {
    let provider = provider(Signal::new());
    let gate = guarding(provider.address);
    assert_eq!(run(SDKS[0], &["ask"], &gate, K3), WHOLE);
    check_refused(&gate, K3, "RateLimitError 429 quota_exceeded", "Quota exceeded");
    assert_eq!(provider.count(), 1);
}

#[test]
fn what_comes_too_soon_is_sent_again_when_it_may() {
    let provider = provider(Signal::new());
    let gate = guarding(provider.address);
    for sdk in SDKS {
        let before = statuses(&gate).len();
        let printed = run(sdk, &["ask", "ask"], &gate, K4);
        assert_eq!(printed, [WHOLE, WHOLE].join("\n"), "{sdk}");
        let all = || statuses(&gate).split_off(before);
        let count = |status: &str| all().iter().filter(|found| *found == status).count();
        wait_until("both answers are logged", || count("200") == 2);
        let refused = count("429");
        assert!(refused > 0 && refused + 2 == all().len(), "{sdk}: {:?}", all());
    }
}
