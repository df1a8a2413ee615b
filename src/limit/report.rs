//! What a client is told of its limit (draft-ietf-httpapi-ratelimit-headers-11).

use http::{HeaderName, HeaderValue};

use super::subject::By;
use super::usage::Standing;
use crate::fields::Fields;

const RATELIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATELIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// How what was counted stands. It is named by what it was counted by, never by whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What was counted for itself.
    pub by: By,
    /// How it stands.
    pub standing: Standing,
}

impl Report {
    /// The one of two that is met first.
    #[must_use]
    pub fn stricter(self, other: Self) -> Self {
        if self.standing.stricter(other.standing) == self.standing { self } else { other }
    }

    /// Says it in a response, beside what an upstream says of its own limits: both are lists.
    pub fn write(&self, headers: &mut Fields) {
        let Standing { count, window_s, remaining, reset_s } = self.standing;
        let [policy, limit] = match self.by {
            By::Client => ["\"client\";q=", "\"client\";r="],
            By::Consumer => ["\"consumer\";q=", "\"consumer\";r="],
            By::Key => ["\"key\";q=", "\"key\";r="],
            By::Location => ["\"location\";q=", "\"location\";r="],
        };
        headers.append(RATELIMIT_POLICY, item((policy, count), (";w=", window_s)));
        headers.append(RATELIMIT, item((limit, remaining), (";t=", reset_s)));
    }
}

/// How long what is told may be: a word, and two parameters of ten digits.
const LENGTH: usize = 48;

/// A string with parameters, as structured fields write them (RFC 9651, section 3.3). It is put
/// together where it takes no memory, since it is in every response of a location with a limit.
fn item(first: (&str, u32), second: (&str, u32)) -> HeaderValue {
    let (mut text, mut length) = ([0; LENGTH], 0);
    for (name, number) in [first, second] {
        for part in [name, itoa::Buffer::new().format(number)] {
            text[length..length + part.len()].copy_from_slice(part.as_bytes());
            length += part.len();
        }
    }
    // Words and numbers can always stand in a field.
    HeaderValue::from_bytes(&text[..length]).unwrap_or_else(|_| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::limit::usage::Refusal;
    use crate::reply::{Asked, ErrorStyle, Reply};
    use crate::sample::{fields, lines};

    #[test]
    fn a_limit_is_told_in_two_fields_beside_those_of_the_upstream() {
        let standing = Standing { count: 100, window_s: 60, remaining: 7, reset_s: 12 };
        let mut headers = fields("ratelimit: \"own\";r=1;t=1\nvia: a");
        Report { by: By::Consumer, standing }.write(&mut headers);
        let told = "ratelimit-policy: \"consumer\";q=100;w=60\nratelimit: \"consumer\";r=7;t=12";
        assert_eq!(lines(&headers), format!("ratelimit: \"own\";r=1;t=1\nvia: a\n{told}"));
    }

    #[test]
    fn a_limit_is_named_by_what_is_counted() {
        for by in [By::Client, By::Consumer, By::Key, By::Location] {
            let standing = Standing { count: 1, window_s: 1, remaining: 0, reset_s: 1 };
            let mut headers = Fields::new();
            Report { by, standing }.write(&mut headers);
            let written = format!("{by:?}").to_lowercase();
            let told = format!("\"{written}\";q=1;w=1|\"{written}\";r=0;t=1");
            let values = headers.iter().map(|(_, value)| value.to_str().unwrap());
            assert_eq!(values.collect::<Vec<_>>().join("|"), told);
        }
    }

    #[test]
    fn the_longest_report_has_room() {
        let most = u32::MAX;
        let standing = Standing { count: most, window_s: most, remaining: most, reset_s: most };
        let mut headers = Fields::new();
        Report { by: By::Consumer, standing }.write(&mut headers);
        assert!(lines(&headers).contains("\"consumer\";r=4294967295;t=4294967295"));
    }

    #[test]
    fn the_stricter_of_two_limits_is_told() {
        let report = |by, remaining, reset_s| {
            let standing = Standing { count: 100, window_s: 60, remaining, reset_s };
            Report { by, standing }
        };
        let few = report(By::Key, 1, 5);
        for other in [report(By::Client, 2, 5), report(By::Client, 2, 60), report(By::Client, 1, 4)]
        {
            assert_eq!(few.stricter(other), few);
            assert_eq!(other.stricter(few), few);
        }
    }

    /// The answer to a request that met a limit, without the fields that every answer has.
    #[track_caller]
    fn check_answer(wait: Duration, is_quota: bool, expected: &str) {
        let standing = Standing { count: 5, window_s: 60, remaining: 0, reset_s: 8 };
        let refusal = Refusal { standing: Some(standing), wait, is_quota };
        let id = HeaderValue::from_static("1");
        let (style, none) = (ErrorStyle::default(), Fields::new());
        let asked = Asked { style: &style, headers: &none, request_id: id };
        let (head, body) = Reply::limited(By::Key, &refusal).response(asked, Fields::new());
        assert_eq!(head.status, 429);
        let told = lines(&head.headers);
        let told = told.split_once("x-request-id: 1\n").unwrap().1.replace('\n', " ");
        let limit = "ratelimit-policy: \"key\";q=5;w=60 ratelimit: \"key\";r=0;t=8";
        assert_eq!(
            format!("{} {told}", String::from_utf8_lossy(&body)),
            format!("{expected} {limit}")
        );
    }

    #[test]
    fn whether_waiting_helps_is_told() {
        let seconds = Duration::from_secs;
        check_answer(Duration::from_millis(7001), false, "Too many requests retry-after: 8");
        check_answer(seconds(60), false, "Too many requests retry-after: 60");
        let never = "x-should-retry: false";
        check_answer(seconds(61), false, &format!("Too many requests retry-after: 61 {never}"));
        check_answer(seconds(1), true, &format!("Quota exceeded retry-after: 1 {never}"));
    }
}
