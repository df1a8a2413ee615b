//! What is known about one request, written to the access log when its response ends, however it
//! ends.

use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use http::{Method, StatusCode, Uri};

use super::access_log::Line;
use super::metrics::Ended;
use super::request_id::RequestId;
use super::traces::context::{TRACEPARENT, TraceId, TraceParent};
use super::traces::message::{Asked, Over};
use super::traces::span::{Coming, Span};
use crate::decide::Witness;
use crate::head::RequestHead;
use crate::limit::places::Place;
use crate::pipeline::Processing;
use crate::plan::Destination;
use crate::plugin::{Authenticated, Cx, Names};
use crate::reply::Code;
use crate::server::client::Peer;
use crate::server::worker::{Served, Worker};

/// The status of a request whose client left before it was answered, as nginx writes it.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// One request on its way to the access log.
pub(crate) struct Record {
    worker: Rc<Worker>,
    served: Rc<Served>,
    /// What was asked; none where that cannot be read, and while it is decided: it is the head's
    /// then, of which a copy would take 200 instructions.
    pub(crate) asked: Option<(Method, Uri)>,
    request_id: RequestId,
    begun: Instant,
    /// The client's address; none on a unix socket.
    pub(crate) client: Option<Rc<str>>,
    /// Index of the location.
    pub(crate) location: Option<usize>,
    /// The key that was found to be valid.
    pub(crate) key: Option<Authenticated>,
    /// When the request went upstream.
    pub(crate) sent: Option<Instant>,
    /// When the upstream's response ended; until then the record's own end.
    pub(crate) answered: Option<Instant>,
    /// The status that was answered; none while there is no answer.
    pub(crate) status: Option<StatusCode>,
    /// What came of it so far.
    pub(crate) result: Code,
    /// The request's place among those of its location.
    pub(crate) processing: Option<Processing>,
    /// The places that it holds beside that one.
    pub(crate) places: Vec<Place>,
    /// The trace that it is part of, where that is told.
    trace: Option<TraceId>,
    /// Its spans, where requests are traced.
    span: Option<Box<Span>>,
    bytes: u64,
}

impl Record {
    /// Begins at this moment.
    pub(crate) fn begin(
        worker: Rc<Worker>,
        served: Rc<Served>,
        request_id: RequestId,
        client: Option<Rc<str>>,
    ) -> Self {
        Self {
            worker,
            served,
            asked: None,
            request_id,
            begun: Instant::now(),
            client,
            location: None,
            key: None,
            sent: None,
            answered: None,
            status: None,
            result: Code::Allowed,
            processing: None,
            places: Vec::new(),
            trace: None,
            span: None,
            bytes: 0,
        }
    }

    /// Begins the span of the request, where requests are traced; elsewhere notes which trace it is
    /// part of. What may be a credential is none of the log's.
    pub(crate) fn traced(&mut self, head: &mut RequestHead, peer: &Peer, trusted: bool) {
        let credentials = &self.served.plan.credential_headers;
        if let Some(tracer) = &self.worker.tracer {
            let span = tracer.begin(head, &Coming { peer, trusted, credentials });
            self.trace = Some(span.trace);
            self.span = Some(span);
        } else if self.worker.access_log.tells_traces() && !credentials.contains(&TRACEPARENT) {
            self.trace = TraceParent::of(&head.headers).map(|said| said.trace);
        }
    }

    /// Its spans, where requests are traced.
    pub(crate) fn span(&self) -> Option<&Span> {
        self.span.as_deref()
    }

    /// When the request's head was complete.
    pub(crate) fn begun(&self) -> Instant {
        self.begun
    }

    /// The request's id.
    pub(crate) fn request_id(&self) -> &RequestId {
        &self.request_id
    }

    /// The names of the key that was found to be valid.
    pub(crate) fn names(&self) -> Option<Names<'_>> {
        self.served.plan.names(self.location?, self.key?)
    }

    /// An upstream has begun to answer.
    pub(crate) fn answered_by(&self, destination: &Destination) {
        if let Some(tally) = &self.served.tally
            && let (Destination::Upstream(upstream), Some(sent)) = (destination, self.sent)
        {
            tally.answered(*upstream, sent.elapsed());
        }
    }

    /// Counts bytes of the response's body.
    pub(crate) fn add_bytes(&mut self, count: u64) {
        self.bytes += count;
    }
}

impl Witness for Record {
    fn comes_from(&mut self, client: Option<IpAddr>) {
        self.client = client.map(|address| address.to_string().into());
    }

    fn located(&mut self, location: usize) {
        self.location = Some(location);
        if let Some(tally) = &self.served.tally {
            tally.located(location);
        }
    }

    fn decided(&mut self, cx: &mut Cx) {
        self.key = cx.key;
        self.places = std::mem::take(&mut cx.places);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let ended = Instant::now();
        let upstream = self.sent.map(|sent| self.answered.unwrap_or(ended).duration_since(sent));
        let whole = ended.duration_since(self.begun);
        let names = self.names();
        let gone = StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or_default();
        let status = self.status.unwrap_or(gone);
        if let Some(tally) = &self.served.tally {
            tally.ended(&Ended {
                location: self.location,
                method: self.asked.as_ref().map(|(method, _)| method),
                status,
                result: self.result,
                time: whole,
                key: self.key.zip(names),
            });
        }
        let line = Line {
            client: self.client.as_deref(),
            request: self.asked.as_ref(),
            masked: &self.served.plan.credential_names,
            status,
            bytes: self.bytes,
            keygate: whole.saturating_sub(upstream.unwrap_or_default()),
            upstream,
            location: self.location.map(|index| &*self.served.plan.locations[index].name),
            consumer: names.map(|names| names.consumer),
            key_id: names.map(|names| names.id),
            request_id: self.request_id.as_bytes(),
            trace_id: self.trace.as_ref().map(TraceId::as_str),
        };
        self.worker.access_log.write(self.worker.clock.wall_at(ended), &line);
        self.traces_end(&line, ended);
    }
}

impl Record {
    /// Records the spans, where requests are traced.
    fn traces_end(&self, line: &Line<'_>, now: Instant) {
        let (Some(tracer), Some(span)) = (&self.worker.tracer, &self.span) else { return };
        let ended = self.worker.clock.wall_at(now);
        // The clock knows only what was of late, and a request may have lasted for hours.
        let wall_at = |instant: Instant| ended - now.saturating_duration_since(instant);
        let plan = &self.served.plan;
        let leads_to = self.location.map(|index| &plan.locations[index].leads_to);
        let upstream = match (leads_to, self.sent) {
            (Some(Destination::Upstream(index)), Some(sent)) => Some(Asked {
                name: &plan.upstreams[*index].name,
                time: (wall_at(sent), self.answered.map_or(ended, wall_at)),
            }),
            _ => None,
        };
        let over = Over {
            line,
            result: self.result,
            is_answered: self.status.is_some(),
            time: (wall_at(self.begun), ended),
            upstream,
        };
        tracer.ended(span, &over, self.key.is_some(), now);
    }
}
