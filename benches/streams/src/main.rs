//! Puts many event streams through a proxy at once, and says how late their events come.
//!
//! Origin and client are one thread, so one clock stamps an event where it is written and reads the
//! stamp where it arrives. Prints `measuring` when the time begins, and one line of figures.

mod client;
mod origin;

use std::error::Error;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::sleep;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What the command line says, in this order.
struct Load {
    /// Where the origin listens.
    origin: u16,
    /// Where the client connects: a proxy, or the origin itself.
    gate: u16,
    key: String,
    streams: u32,
    events_a_second: u32,
    seconds: u64,
}

impl Load {
    fn read() -> Result<Self> {
        let mut words = std::env::args().skip(1);
        let mut next =
            || words.next().ok_or("usage: ORIGIN GATE KEY STREAMS EVENTS-A-SECOND SECONDS");
        Ok(Self {
            origin: next()?.parse()?,
            gate: next()?.parse()?,
            key: next()?,
            streams: next()?.parse()?,
            events_a_second: next()?.parse()?,
            seconds: next()?.parse()?,
        })
    }

    /// The time from one event of a stream to the next.
    fn interval(&self) -> Duration {
        Duration::from_secs(1) / self.events_a_second
    }

    /// How many events the time holds.
    fn expected(&self) -> usize {
        self.streams as usize * self.events_a_second as usize * self.seconds as usize
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let load = Load::read()?;
    let begin = Instant::now();
    let listener = TcpListener::bind(("127.0.0.1", load.origin)).await?;
    tokio::spawn(origin::serve(listener, begin, load.interval()));

    let (arrived, mut events) = mpsc::unbounded_channel();
    let mut streams = tokio::task::JoinSet::new();
    for number in 0..load.streams {
        // Their events are spread evenly over the interval.
        sleep(load.interval() / load.streams.max(1)).await;
        let stream = client::Stream::open(load.gate, &load.key).await?;
        streams.spawn(stream.receive(number, begin, arrived.clone()));
    }
    sleep(Duration::from_secs(2)).await;
    while events.try_recv().is_ok() {}

    println!("measuring");
    let mut late = Vec::with_capacity(load.expected() * 2);
    let end = sleep(Duration::from_secs(load.seconds));
    tokio::pin!(end);
    loop {
        tokio::select! {
            () = &mut end => break,
            Some(event) = events.recv() => late.push(event),
            Some(broken) = streams.join_next() => return Err(format!("a stream ended: {broken:?}").into()),
        }
    }
    report(late)
}

/// Prints the figures. Events that are missing are seen in their number.
fn report(mut late: Vec<Duration>) -> Result<()> {
    if late.is_empty() {
        return Err("no event came".into());
    }
    late.sort_unstable();
    let share = |per_mille: usize| late[(late.len() - 1) * per_mille / 1000].as_micros();
    let (p50, p99, most) = (share(500), share(990), share(1000));
    println!(
        r#"{{"events": {}, "p50_us": {p50}, "p99_us": {p99}, "most_us": {most}}}"#,
        late.len()
    );
    Ok(())
}
