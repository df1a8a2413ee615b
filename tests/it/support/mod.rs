//! What every test stands on: a [`Gate`] between a [`Client`] and an [`Origin`], all on real
//! sockets.

pub(crate) mod admin;
mod canary;
mod client;
pub(crate) mod dns;
pub(crate) mod fault;
mod frame_origin;
pub(crate) mod frames;
mod gate;
pub(crate) mod h2;
mod http2_origin;
mod log;
mod message;
mod origin;
mod process;
mod program;
pub(crate) mod reference;
mod run;
mod signal;
mod system;
mod table;
pub(crate) mod tls;

use std::time::{Duration, Instant};

pub(crate) use canary::{Canaries, Place};
pub(crate) use client::Client;
pub(crate) use frame_origin::{FrameOrigin, Link};
pub(crate) use gate::{Gate, PASSING};
pub(crate) use http2_origin::Http2Origin;
pub(crate) use log::Log;
pub(crate) use message::{Framing, Head, Response, head_end, visible};
pub(crate) use origin::{Exchange, Origin, Recorded};
pub(crate) use program::Program;
pub(crate) use run::{Output, command_under, run, run_fed, run_under};
pub(crate) use signal::Signal;
pub(crate) use system::{failing, false_clock};
pub(crate) use table::{BAD, Failures, INVALID, MISSING, Row, Then};

/// How long anything may take before a test gives up on it; generous, because the machine that
/// runs the tests may be busy, and only a failing test waits so long.
pub(crate) const DEADLINE: Duration = Duration::from_secs(10);

/// How often a condition is looked at.
const PACE: Duration = Duration::from_millis(4);

/// Waits until the condition holds, and says whether it did before the deadline.
#[must_use]
pub(crate) fn holds_within(deadline: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + deadline;
    while !condition() {
        if Instant::now() >= end {
            return false;
        }
        pause(PACE);
    }
    true
}

/// Waits until the condition holds; fails the test if it does not before the deadline.
#[track_caller]
pub(crate) fn wait_until(what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(DEADLINE, condition), "waited {DEADLINE:?} in vain until {what}");
}

/// Lets time pass: between two looks at a condition, or as the very thing that a test is about.
pub(crate) fn pause(span: Duration) {
    let end = Instant::now() + span;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}
