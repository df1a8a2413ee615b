//! The task that gathers what workers hand over and sends it to the collector. It runs on the
//! thread that reloads and stops, and whatever becomes of the collector is no concern of a worker.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::sync::watch;
use tokio::task::{JoinHandle, spawn_local};
use tokio::time::{Instant, sleep, timeout, timeout_at};

use super::collector::{Collector, Refusal};
use super::tracer::{Batch, Counts};
use crate::upstream::errand::Errands;
use crate::upstream::resolve::jittered;

/// How often spans are sent before they are given up: with the pauses below that is a quarter of a
/// minute, about as long as the queue lasts.
const ATTEMPTS: u32 = 5;

/// How long the first pause is before another attempt. Each is twice as long as the one before.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest that a collector can ask for.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What there is beside the queue's own settings.
pub(super) struct Exporting {
    pub(super) collector: Collector,
    /// How long an attempt may take.
    pub(super) timeout: Duration,
    /// How long spans wait for others.
    pub(super) delay: Duration,
    pub(super) max_batch: usize,
    pub(super) batches: UnboundedReceiver<Batch>,
    pub(super) waiting: Arc<AtomicUsize>,
    pub(super) counts: Arc<Counts>,
}

/// The running task.
pub(crate) struct Exporter {
    ending: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Exporter {
    /// Starts it; must be called within a local runtime.
    pub(super) fn start(exporting: Exporting) -> Self {
        let (ending, is_ending) = watch::channel(false);
        let run = Run { exporting, is_ending, kept: None, next: None, is_broken: false };
        Self { ending, task: spawn_local(run.run()) }
    }

    /// Sends what is left, when no worker has any more; until then at the latest. What the
    /// collector does not take now is lost.
    pub(crate) async fn finish(self, by: Instant) {
        self.ending.send_replace(true);
        if timeout_at(by, self.task).await.is_err() {
            tracing::warn!("the collector of traces takes too long; the last spans are lost");
        }
    }
}

struct Run {
    exporting: Exporting,
    /// Whether nobody waits for another attempt any more.
    is_ending: watch::Receiver<bool>,
    /// A connection that may carry the next spans.
    kept: Option<Errands>,
    /// What did not fit into the last batch.
    next: Option<Batch>,
    /// Whether the collector took nothing the last time.
    is_broken: bool,
}

impl Run {
    /// Until every worker has let go of its end, and all is sent.
    async fn run(mut self) {
        while let Some(batch) = self.gather().await {
            let taken = self.deliver(&batch).await;
            let Exporting { waiting, counts, .. } = &self.exporting;
            let taken = taken.min(batch.count as u64);
            add(&counts.exported, taken);
            add(&counts.failed, batch.count as u64 - taken);
            waiting.fetch_sub(batch.count, Ordering::Relaxed);
        }
    }

    /// The next batch: as large as may be, or what has come until the first has waited long enough.
    async fn gather(&mut self) -> Option<Batch> {
        let Exporting { batches, delay, max_batch, .. } = &mut self.exporting;
        let mut batch = match self.next.take() {
            Some(batch) => batch,
            None => batches.recv().await?,
        };
        let due = Instant::now() + *delay;
        while let Ok(Some(more)) = timeout_at(due, batches.recv()).await {
            if batch.count + more.count > *max_batch {
                self.next = Some(more);
                break;
            }
            batch.count += more.count;
            batch.spans.extend_from_slice(&more.spans);
        }
        Some(batch)
    }

    /// Sends a batch, more than once if need be; says how many of it were taken.
    async fn deliver(&mut self, batch: &Batch) -> u64 {
        for attempt in 0..ATTEMPTS {
            let Exporting { collector, timeout: within, .. } = &self.exporting;
            let sending = collector.send(&batch.spans, &mut self.kept, *within);
            let sent = timeout(*within, sending).await;
            let (why, pause) = match sent {
                Ok(Ok(rejected)) => return self.taken(batch, rejected),
                Ok(Err(Refusal::Later(why, pause))) => (why, pause),
                Ok(Err(Refusal::Never(why))) => {
                    self.broken(&why);
                    return 0;
                }
                Err(_) => ("it does not answer in time".to_owned(), None),
            };
            self.broken(&why);
            let pause = pause.unwrap_or_else(|| jittered(FIRST_PAUSE * 2_u32.pow(attempt)));
            if attempt + 1 == ATTEMPTS || !self.wait(pause.min(MAX_PAUSE)).await {
                break;
            }
        }
        0
    }

    /// Waits for another attempt; false if there will be none.
    async fn wait(&mut self, pause: Duration) -> bool {
        tokio::select! {
            biased;
            // A sender that is gone can never say go on.
            _ = self.is_ending.wait_for(|ending| *ending) => false,
            () = sleep(pause) => true,
        }
    }

    fn taken(&mut self, batch: &Batch, rejected: u64) -> u64 {
        if std::mem::take(&mut self.is_broken) {
            tracing::info!("the collector of traces takes spans again");
        }
        if rejected > 0 {
            tracing::warn!(rejected, "the collector of traces has not taken all spans");
        }
        (batch.count as u64).saturating_sub(rejected)
    }

    /// Says so, the first time.
    fn broken(&mut self, why: &str) {
        if !std::mem::replace(&mut self.is_broken, true) {
            let Collector { host, port, .. } = &self.exporting.collector;
            tracing::warn!(host, port, why, "the collector of traces does not take spans");
        }
    }
}

fn add(count: &AtomicU64, more: u64) {
    count.fetch_add(more, Ordering::Relaxed);
}
