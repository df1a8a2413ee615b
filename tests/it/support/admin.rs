//! Asking a gate about itself: the admin listener, and the numbers that it tells.

use std::net::SocketAddr;

use super::{Client, DEADLINE, Gate, Response, holds_within};

/// The table of an admin listener on a free port.
pub(crate) const ADMIN: &str = "[admin]\nlisten = \"127.0.0.1:0\"\n";

impl Gate {
    /// Where it tells health and metrics.
    #[track_caller]
    pub(crate) fn admin_address(&self) -> SocketAddr {
        let marker = "telling health and metrics at 127.0.0.1:";
        let line = self.stderr.wait_for("the admin listener", |line| line.contains(marker));
        let (_, port) = line.split_once(marker).expect("it was looked for");
        let port = port.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default();
        SocketAddr::from(([127, 0, 0, 1], port.parse().expect("a port is a number")))
    }

    /// A new connection to its admin listener.
    #[track_caller]
    pub(crate) fn admin_client(&self) -> Client {
        self.connect(self.admin_address())
    }

    /// Asks it something about itself.
    #[track_caller]
    pub(crate) fn ask_admin(&self, path: &str) -> Response {
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        self.admin_client().send(request).response()
    }

    /// Its metrics as they are now.
    #[track_caller]
    pub(crate) fn metrics(&self) -> Scrape {
        let response = self.ask_admin("/metrics");
        assert_eq!(response.status, 200);
        Scrape(String::from_utf8(response.body).expect("metrics are text"))
    }

    /// Waits until a series has a value: a request is counted when its answer has been written,
    /// which is after the client has read it.
    #[track_caller]
    pub(crate) fn wait_for_metric(&self, series: &str, value: f64) {
        let mut seen = None;
        let holds = holds_within(DEADLINE, || {
            seen = self.metrics().value(series);
            seen == Some(value)
        });
        assert!(holds, "{series} is {seen:?}, not {value}, in\n{}", self.metrics().0);
    }
}

/// What a scraper reads.
pub(crate) struct Scrape(pub(crate) String);

impl Scrape {
    /// Its series, each with its value.
    pub(crate) fn series(&self) -> impl Iterator<Item = (&str, f64)> {
        let samples = self.0.lines().filter(|line| !line.starts_with('#'));
        samples.map(|line| {
            let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
            (series, value.parse().unwrap_or_else(|_| panic!("{line:?} has no number")))
        })
    }

    /// The value of a series, written as it is there: `name{label="value"}`.
    pub(crate) fn value(&self, series: &str) -> Option<f64> {
        self.series().find(|(name, _)| *name == series).map(|(_, value)| value)
    }
}
