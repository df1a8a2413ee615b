//! Traces: spans of requests, as OpenTelemetry has them, for a collector that the environment
//! names.
//!
//! A request's `span` begins with its head and says in `traceparent` who the parent of all that
//! follows is (`context`); when the request is over, its worker writes it as a `message`
//! (`tracer`), and one task sends what all workers have (`exporter`) to the `collector`.
//!
//! The official crates for this were looked at: they bring 21 crates, two of them in a second
//! version, a thread of their own and a list of attributes on the heap for each span. What is
//! needed of them is a message of twenty fields and a `POST`.

mod collector;
pub(crate) mod context;
mod endpoint;
mod exporter;
pub(crate) mod message;
mod sampling;
mod settings;
pub(crate) mod span;
pub(crate) mod tracer;
mod variables;
mod wire;

use std::sync::Arc;

use tokio::sync::mpsc::{self, UnboundedReceiver};

pub(crate) use self::exporter::Exporter;
pub use self::settings::{Settings, read};

use self::exporter::Exporting;
use self::tracer::{Batch, Counts, Queue, Tracer};

/// Tracing that is on, for as many workers as there are.
#[derive(Clone)]
pub(crate) struct Traces(Arc<Queue>);

/// What is exported once the workers have begun.
pub(crate) struct Unsent {
    settings: Settings,
    batches: UnboundedReceiver<Batch>,
    queue: Traces,
}

impl Traces {
    /// Traces, and what will be exported of them.
    pub(crate) fn new(settings: Settings) -> (Self, Unsent) {
        let (sender, batches) = mpsc::unbounded_channel();
        let traces = Self(Arc::new(Queue {
            batches: sender,
            waiting: Arc::default(),
            max_waiting: settings.max_queue,
            max_batch: settings.max_batch,
            sampling: settings.sampling,
            counts: Arc::default(),
        }));
        (traces.clone(), Unsent { settings, batches, queue: traces })
    }

    /// One worker's end.
    pub(crate) fn tracer(&self) -> Tracer {
        Tracer::new(Arc::clone(&self.0))
    }

    /// What has become of spans.
    pub(crate) fn counts(&self) -> Arc<Counts> {
        Arc::clone(&self.0.counts)
    }
}

impl Unsent {
    /// Begins to export; must be called within a local runtime.
    pub(crate) fn export(self) -> Exporter {
        let Self { settings, batches, queue } = self;
        let Settings { collector, timeout, delay, max_batch, .. } = settings;
        tracing::info!("sending traces to {}:{}", collector.host, collector.port);
        Exporter::start(Exporting {
            collector,
            timeout,
            delay,
            max_batch,
            batches,
            waiting: Arc::clone(&queue.0.waiting),
            counts: queue.counts(),
        })
    }
}
