//! When a silent connection is asked whether anybody is there, and when it is given up; pure.
//!
//! A load balancer that has forgotten a connection says nothing, and neither does a host that is
//! gone: requests on it would wait for as long as a response may take. A PING that nobody answers
//! tells (RFC 9113, section 6.7).

use std::time::{Duration, Instant};

/// How long it may be silent while requests wait, before it is asked.
const SILENCE: Duration = Duration::from_secs(20);

/// How long the answer may take: as long as gRPC waits for one.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long it is not asked again, unless it has sent something of a response meanwhile: servers of
/// gRPC close a connection that asks more than twice in five minutes ("`too_many_pings`").
const PAUSE: Duration = Duration::from_secs(5 * 60 + 10);

/// What has happened since the last look.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct News {
    /// Anything has come.
    pub(super) heard: bool,
    /// Something of a response has come.
    pub(super) responded: bool,
    /// The question was answered.
    pub(super) answered: bool,
    /// A request is under way.
    pub(super) waits: bool,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Wait,
    /// Ask whether anybody is there.
    Ask,
    /// Nobody is.
    GiveUp,
}

/// What is known of a connection's silence.
#[derive(Debug)]
pub(super) struct Quiet {
    since: Instant,
    /// When it was asked, while the answer is not there.
    asked: Option<Instant>,
    /// When it may be asked next.
    next: Instant,
}

impl Quiet {
    /// A connection was made.
    pub(super) fn begin(now: Instant) -> Self {
        Self { since: now, asked: None, next: now }
    }

    /// Takes notice of what has happened.
    pub(super) fn look(&mut self, now: Instant, news: News) -> Then {
        if news.heard {
            self.since = now;
        }
        if news.responded {
            self.next = now;
        }
        if news.answered {
            self.asked = None;
        }
        let silent = now.duration_since(self.since);
        match self.asked {
            // Whoever says something is there, even if it is no answer.
            Some(asked) if now.duration_since(asked.max(self.since)) >= PATIENCE => Then::GiveUp,
            None if news.waits && silent >= SILENCE && now >= self.next => {
                self.asked = Some(now);
                self.next = now + PAUSE;
                Then::Ask
            }
            _ => Then::Wait,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: News = News { heard: false, responded: false, answered: false, waits: true };
    const HEARD: News = News { heard: true, ..NOTHING };
    const RESPONDED: News = News { responded: true, ..HEARD };
    const ANSWERED: News = News { answered: true, ..HEARD };
    const IDLE: News = News { waits: false, ..NOTHING };

    /// What is done at these seconds, where these news come then; nothing else happens.
    #[track_caller]
    fn check(steps: &[(u64, News, Then)]) {
        let begin = Instant::now();
        let mut quiet = Quiet::begin(begin);
        for &(second, news, then) in steps {
            let now = begin + Duration::from_secs(second);
            assert_eq!(quiet.look(now, news), then, "after {second} s");
        }
    }

    #[test]
    fn who_says_nothing_is_asked_and_who_does_not_answer_is_given_up() {
        check(&[
            (19, NOTHING, Then::Wait),
            (20, NOTHING, Then::Ask),
            (21, NOTHING, Then::Wait),
            (39, NOTHING, Then::Wait),
            (40, NOTHING, Then::GiveUp),
        ]);
    }

    #[test]
    fn who_says_anything_is_there() {
        check(&[
            (15, HEARD, Then::Wait),
            (34, NOTHING, Then::Wait),
            (35, NOTHING, Then::Ask),
            (50, HEARD, Then::Wait),
            (60, NOTHING, Then::Wait),
            (70, NOTHING, Then::GiveUp),
        ]);
        check(&[
            (20, NOTHING, Then::Ask),
            (30, ANSWERED, Then::Wait),
            (60, NOTHING, Then::Wait),
            (300, NOTHING, Then::Wait),
            (330, NOTHING, Then::Ask),
        ]);
    }

    #[test]
    fn it_is_asked_seldom_unless_it_responds() {
        let mut steps = vec![(20, NOTHING, Then::Ask), (21, ANSWERED, Then::Wait)];
        // What a server says about an upload is no response.
        steps.extend(
            (22..330).map(|second| (second, [NOTHING, HEARD][second as usize % 2], Then::Wait)),
        );
        check(&steps);
        check(&[
            (20, NOTHING, Then::Ask),
            (21, ANSWERED, Then::Wait),
            (30, RESPONDED, Then::Wait),
            (50, NOTHING, Then::Ask),
        ]);
    }

    #[test]
    fn nobody_is_asked_for_nothing() {
        check(&[
            (100, IDLE, Then::Wait),
            // The first request on a connection that was silent for long has it asked at once.
            (101, NOTHING, Then::Ask),
        ]);
    }
}
