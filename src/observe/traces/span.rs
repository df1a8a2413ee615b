//! What is known of a traced request from its beginning.

use std::cell::RefCell;

use http::header::{HOST, USER_AGENT};
use http::{HeaderName, HeaderValue, Version};

use super::context::{SAMPLED, SpanId, TRACEPARENT, TRACESTATE, TraceId, TraceParent};
use super::sampling::Sampling;
use crate::fields::Fields;
use crate::forward::headers::may_be_secret;
use crate::head::RequestHead;
use crate::headers::{is_option, keep_from_hop};
use crate::server::client::Peer;

/// How a request comes whose span begins.
pub(crate) struct Coming<'a> {
    /// Who sends it.
    pub(crate) peer: &'a Peer,
    /// Whether that is a trusted proxy.
    pub(crate) trusted: bool,
    /// Which fields may carry a credential.
    pub(crate) credentials: &'a [HeaderName],
}

/// The spans of one request, while it lasts: that of the server, and that of the request upstream
/// below it.
pub(crate) struct Span {
    /// The trace that both are part of.
    pub(crate) trace: TraceId,
    /// What the sender says, if it does.
    pub(super) parent: Option<TraceParent>,
    /// The server's.
    pub(super) server: SpanId,
    /// The client's, which is the parent of what the upstream does.
    pub(super) client: SpanId,
    /// How the request came.
    pub(super) version: Version,
    pub(super) scheme: &'static str,
    pub(super) host: Option<HeaderValue>,
    pub(super) user_agent: Option<HeaderValue>,
    /// The upstream's address that was asked last.
    pub(super) asked: RefCell<Option<HeaderValue>>,
    trusted: bool,
    sampling: Sampling,
    /// What decides where the id of the trace must not.
    chance: u64,
}

impl Span {
    /// Begins, and says so in the head that goes on. The plugins have the last word: what they
    /// remove or set is not touched again.
    pub(super) fn begin(
        head: &mut RequestHead,
        coming: &Coming<'_>,
        sampling: Sampling,
        random: &mut fastrand::Rng,
    ) -> Self {
        let is_secret = |name: &HeaderName| may_be_secret(name, coming.credentials);
        // What may be a credential is nobody's trace.
        let speaks = ![TRACEPARENT, TRACESTATE].iter().any(is_secret);
        let parent = TraceParent::of(&head.headers).filter(|_| speaks);
        let shown = |name| head.headers.get(&name).filter(|_| !is_secret(&name)).cloned();
        let span = Self {
            trace: parent.map_or_else(|| TraceId::new(random.u128(1..)), |parent| parent.trace),
            parent,
            server: SpanId::new(random.u64(1..)),
            client: SpanId::new(random.u64(1..)),
            version: head.version,
            scheme: coming.peer.scheme,
            host: shown(HOST),
            user_agent: shown(USER_AGENT),
            asked: RefCell::default(),
            trusted: coming.trusted,
            sampling,
            chance: random.u64(..),
        };
        if speaks {
            keep_from_hop(&mut head.headers, |option| is_option(option, TRACEPARENT.as_str()));
            head.headers.insert(TRACEPARENT, span.said(true));
            if parent.is_none() {
                // It belongs to a trace that could not be read (section 4.3).
                head.headers.retain(|name, _| *name != TRACESTATE);
            }
        }
        span
    }

    /// What is said to the upstream, for a sender that is believed or not.
    fn said(&self, is_believed: bool) -> HeaderValue {
        let flags = self.parent.map_or(0, |parent| parent.flags) & !SAMPLED;
        let sampled = if self.is_recorded_for(is_believed) { SAMPLED } else { 0 };
        TraceParent { trace: self.trace, span: self.client, flags: flags | sampled }.value()
    }

    /// Corrects what [`Span::begin`] has said, where that must not hold without a key.
    pub(crate) fn correct(&self, has_key: bool, headers: &mut Fields) {
        if self.is_recorded(has_key) != self.is_recorded_for(true) {
            let (said, correct) = (self.said(true), self.said(false));
            headers.retain(|name, value| {
                if *name == TRACEPARENT && *value == said {
                    *value = correct.clone();
                }
                true
            });
        }
    }

    /// Whether the spans are recorded.
    pub(super) fn is_recorded(&self, has_key: bool) -> bool {
        self.is_recorded_for(self.trusted || has_key)
    }

    /// A stranger decides nothing: whoever says that a trace is recorded makes somebody pay for it.
    /// So of a sender without a valid key, who is no trusted proxy, the trace goes on, but neither
    /// its flag nor its id, which may be chosen as well, says whether it is recorded (W3C Trace
    /// Context, section 7.2).
    fn is_recorded_for(&self, is_believed: bool) -> bool {
        match self.parent {
            Some(parent) if is_believed => {
                self.sampling.takes(Some(parent.flags & SAMPLED != 0), self.trace.chance())
            }
            Some(_) => self.sampling.takes(None, self.chance),
            None => self.sampling.takes(None, self.trace.chance()),
        }
    }

    /// The request goes to this address of its upstream.
    pub(crate) fn asks(&self, address: &HeaderValue) {
        *self.asked.borrow_mut() = Some(address.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    /// A trace that a share of one half leaves out.
    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    /// One that it takes.
    const LOW: &str = "4bf92f3577b34da603ce929d0e0e4736";

    /// Begins the span of a request with these fields.
    fn begin(fields: &str, sampler: &str, trusted: bool) -> (Span, RequestHead) {
        let mut head = sample::head(&format!("GET /\nHost: a\n{fields}"));
        let sampling = Sampling::named(sampler, || 0.5).expect(sampler);
        let peer = Peer { address: None, text: None, scheme: "http" };
        let credentials = [HeaderName::from_static("x-api-key"), HeaderName::from_static("x-ua")];
        let coming = Coming { peer: &peer, trusted, credentials: &credentials };
        let span = Span::begin(&mut head, &coming, sampling, &mut fastrand::Rng::with_seed(7));
        (span, head)
    }

    fn said(headers: &Fields) -> &str {
        let value = headers.get(&TRACEPARENT).expect("it is said");
        value.to_str().expect("it is text")
    }

    #[test]
    fn a_trace_goes_on_with_a_span_of_its_own() {
        let parent = format!("00-{TRACE}-00f067aa0ba902b7-03");
        let fields = format!("tracestate: a=1\ntraceparent: {parent}");
        let (span, head) = begin(&fields, "parentbased_always_on", false);
        let said = said(&head.headers);
        assert!(said.starts_with(&format!("00-{TRACE}-")) && said.ends_with("-03"), "{said}");
        assert_eq!(TraceParent::of(&head.headers).map(|said| said.span), Some(span.client));
        assert!(span.client != span.server && head.headers.contains(&TRACESTATE));
    }

    #[test]
    fn what_cannot_be_read_begins_a_new_trace() {
        for fields in ["tracestate: a=1", "traceparent: x\ntracestate: a=1\ntracestate: b=2"] {
            let (span, head) = begin(fields, "parentbased_always_on", false);
            assert_eq!(TraceParent::of(&head.headers).map(|said| said.trace), Some(span.trace));
            assert!(said(&head.headers).ends_with("-01"), "{fields}");
            assert!(!head.headers.contains(&TRACESTATE), "{fields}");
        }
    }

    #[test]
    fn what_may_be_a_credential_is_neither_read_nor_written() {
        let fields = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01\nuser-agent: me");
        for secret in [TRACEPARENT, TRACESTATE, USER_AGENT] {
            let mut head = sample::head(&format!("GET /\nHost: a\n{fields}"));
            let peer = Peer { address: None, text: None, scheme: "http" };
            let credentials = [secret.clone()];
            let coming = Coming { peer: &peer, trusted: true, credentials: &credentials };
            let random = &mut fastrand::Rng::with_seed(7);
            let before = sample::lines(&head.headers);
            let span = Span::begin(&mut head, &coming, Sampling::default(), random);
            let is_agent = secret == USER_AGENT;
            assert_eq!(span.user_agent.is_none(), is_agent);
            assert_eq!(span.parent.is_some(), is_agent);
            assert_eq!(sample::lines(&head.headers) != before, is_agent);
        }
    }

    /// Whether a request is recorded without a key, with one, and from a trusted proxy.
    #[track_caller]
    fn check(trace: &str, flags: &str, sampler: &str, expected: [bool; 3]) {
        let fields = format!("traceparent: 00-{trace}-00f067aa0ba902b7-{flags}");
        let (span, mut head) = begin(&fields, sampler, false);
        let (from_proxy, _) = begin(&fields, sampler, true);
        let recorded =
            [span.is_recorded(false), span.is_recorded(true), from_proxy.is_recorded(false)];
        assert_eq!(recorded, expected, "{trace} {flags} {sampler}");
        for has_key in [true, false] {
            span.correct(has_key, &mut head.headers);
            let flag = TraceParent::of(&head.headers).expect("it is said").flags & SAMPLED;
            assert_eq!(flag != 0, span.is_recorded(has_key), "{trace} {flags} {sampler}");
        }
    }

    #[test]
    fn a_stranger_does_not_decide_what_is_recorded() {
        // Chance leaves strangers out here, whichever id they choose.
        check(TRACE, "01", "parentbased_traceidratio", [false, true, true]);
        check(TRACE, "01", "traceidratio", [false, false, false]);
        check(LOW, "01", "parentbased_traceidratio", [false, true, true]);
        check(LOW, "01", "traceidratio", [false, true, true]);
        check(TRACE, "00", "parentbased_traceidratio", [false, false, false]);
        check(TRACE, "01", "parentbased_always_off", [false, true, true]);
        check(TRACE, "00", "parentbased_always_on", [true, false, false]);
        check(TRACE, "01", "always_off", [false, false, false]);
        check(TRACE, "00", "always_on", [true, true, true]);
    }

    #[test]
    fn what_a_plugin_has_said_or_removed_is_not_corrected() {
        let fields = format!("traceparent: 00-{TRACE}-00f067aa0ba902b7-01");
        let (span, mut head) = begin(&fields, "parentbased_always_off", false);
        head.headers.insert(TRACEPARENT, HeaderValue::from_static("theirs"));
        span.correct(false, &mut head.headers);
        assert_eq!(said(&head.headers), "theirs");
        head.headers.clear();
        span.correct(false, &mut head.headers);
        assert!(head.headers.is_empty());
    }
}
