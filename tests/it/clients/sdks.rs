//! OpenAI's SDKs for Python and JavaScript, and Anthropic's for Python.

use super::guarding;
use super::program::Program;
use super::provider::{WORDS, provider};
use crate::support::reference::{K1, KEYS};
use crate::support::{Canaries, Gate, Signal};

const SDKS: [&str; 3] = ["openai_python.py", "openai_node.mjs", "anthropic_python.py"];

#[test]
fn an_answer_arrives_and_the_key_goes_no_further_than_the_gate() {
    let provider = provider(Signal::new());
    let gate = guarding(&provider);
    for sdk in SDKS {
        assert_eq!(Program::start(sdk, "ask", &gate, K1).prints(), "one two three", "{sdk}");
        let leak = Canaries::of(&KEYS).found_in(&provider.last().bytes());
        assert_eq!(leak, None, "{sdk}");
    }
}

#[test]
fn every_word_is_seen_before_the_next_is_said() {
    let next = Signal::new();
    let provider = provider(next.clone());
    let gate = guarding(&provider);
    for sdk in SDKS {
        let program = Program::start(sdk, "stream", &gate, K1);
        for (number, word) in (1..).zip(WORDS) {
            next.give();
            assert_eq!(program.line(number), word, "{sdk}");
        }
        assert_eq!(program.prints(), WORDS.join("\n"), "{sdk}");
    }
}

/// What an SDK makes of a refusal: its exception, status and code, and the sentence. The id of the
/// request is in the access log.
#[track_caller]
fn check_refused(sdk: &str, (gate, key): (&Gate, &str), expected: (&str, &str)) {
    let printed = Program::start(sdk, "ask", gate, key).prints();
    let (exception, sentence) = printed.split_once('\n').expect("two lines");
    let (exception, id) = exception.rsplit_once(' ').expect("several words");
    assert_eq!((exception, sentence), expected, "{sdk}");
    let logged = format!("id={id}");
    gate.stdout.wait_for(&logged, |line| line.ends_with(&logged));
}

#[test]
fn a_wrong_key_is_an_authentication_error_that_is_not_tried_again() {
    let provider = provider(Signal::new());
    let gate = guarding(&provider);
    let expected = ("AuthenticationError 401 invalid_api_key", "Key auth fail");
    for (count, sdk) in (1..).zip(SDKS) {
        check_refused(sdk, (&gate, "wrong"), expected);
        assert_eq!(gate.stdout.text().matches(" 401 ").count(), count, "{sdk}");
    }
    assert_eq!(provider.connections(), 0);
}
