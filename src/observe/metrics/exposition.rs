//! The text that a scraper reads: Prometheus's format 0.0.4, or OpenMetrics 1.0.
//!
//! The two differ in what a counter is called at its head, and in the last line. The crate that
//! Prometheus's own project keeps for Rust writes the second alone, which those who only know the
//! first (`promtool` among them) take for counters without a type; and it brings nine crates along
//! for cells that would not be written by one thread each.

use std::fmt::{Display, Write};

use super::cell::{BOUNDS_MS, Durations};

/// The form of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// What everybody reads.
    Prometheus,
    /// What newer scrapers ask for.
    OpenMetrics,
}

impl Format {
    /// What a scraper accepts, by its `Accept`.
    pub(crate) fn accepted(accept: &str) -> Self {
        let is_open = |range: &str| {
            let mut parts = range.split(';').map(str::trim);
            let names_it = parts.next() == Some("application/openmetrics-text");
            names_it && !parts.any(|part| matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        };
        match accept.split(',').any(is_open) {
            true => Self::OpenMetrics,
            false => Self::Prometheus,
        }
    }

    /// Its media type.
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }
}

/// The names and values of labels.
pub(super) type Labels<'a> = &'a [(&'a str, &'a str)];

/// A page in the making.
pub(super) struct Page {
    format: Format,
    text: String,
}

/// The samples of one metric.
pub(super) struct Samples<'p> {
    page: &'p mut Page,
    name: &'static str,
    /// What stands behind the name in each sample.
    suffix: &'static str,
}

impl Page {
    /// An empty one.
    pub(super) fn new(format: Format) -> Self {
        Self { format, text: String::new() }
    }

    /// A metric that only grows; its samples have `_total` behind the name.
    pub(super) fn counter(&mut self, name: &'static str, help: &str) -> Samples<'_> {
        let suffix = match self.format {
            Format::Prometheus => "_total",
            Format::OpenMetrics => "",
        };
        self.head(name, suffix, "counter", help);
        Samples { page: self, name, suffix: "_total" }
    }

    /// A metric that goes up and down.
    pub(super) fn gauge(&mut self, name: &'static str, help: &str) -> Samples<'_> {
        self.head(name, "", "gauge", help);
        Samples { page: self, name, suffix: "" }
    }

    /// A metric of how long something took.
    pub(super) fn histogram(&mut self, name: &'static str, help: &str) -> Samples<'_> {
        self.head(name, "", "histogram", help);
        Samples { page: self, name, suffix: "" }
    }

    fn head(&mut self, name: &str, suffix: &str, kind: &str, help: &str) {
        self.write(format_args!("# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}\n"));
    }

    fn write(&mut self, text: impl Display) {
        // Writing to a string cannot fail.
        let _ = write!(self.text, "{text}");
    }

    /// The whole text.
    pub(super) fn finish(mut self) -> String {
        if self.format == Format::OpenMetrics {
            self.text.push_str("# EOF\n");
        }
        self.text
    }
}

impl Samples<'_> {
    /// One value.
    pub(super) fn sample(&mut self, labels: Labels<'_>, value: impl Display) -> &mut Self {
        self.line(self.suffix, labels, value);
        self
    }

    /// One histogram: how many took at most so long, for each bound.
    pub(super) fn durations(&mut self, labels: Labels<'_>, durations: &Durations) {
        let bounds = BOUNDS_MS.iter().map(|&bound| (bound as f64 / 1000.0).to_string());
        let mut count = 0;
        for (bound, bucket) in bounds.chain(["+Inf".to_owned()]).zip(durations.buckets) {
            count += bucket;
            let labels = [labels, &[("le", &bound)]].concat();
            self.line("_bucket", &labels, count);
        }
        self.line("_sum", labels, durations.sum.as_secs_f64());
        self.line("_count", labels, count);
    }

    fn line(&mut self, suffix: &str, labels: Labels<'_>, value: impl Display) {
        let Self { page, name, .. } = self;
        page.write(format_args!("{name}{suffix}"));
        for (index, (name, value)) in labels.iter().enumerate() {
            page.text.push(if index == 0 { '{' } else { ',' });
            page.write(format_args!("{name}=\""));
            value.chars().for_each(|c| escape(c, &mut page.text));
            page.text.push('"');
        }
        page.text.push_str(if labels.is_empty() { " " } else { "} " });
        page.write(format_args!("{value}\n"));
    }
}

/// Both formats escape these three in the value of a label, and nothing else.
fn escape(c: char, out: &mut String) {
    match c {
        '\\' => out.push_str("\\\\"),
        '"' => out.push_str("\\\""),
        '\n' => out.push_str("\\n"),
        c => out.push(c),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let mut page = Page::new(format);
        let name = "quotes \" and \\ and\nlines";
        page.counter("a_b", "Help.").sample(&[("x", "1"), ("y", name)], 5).sample(&[], 2);
        page.gauge("g_seconds", "Help.").sample(&[], 0.5);
        page.finish()
    }

    #[test]
    fn both_formats_are_as_they_are_described() {
        let samples = "a_b_total{x=\"1\",y=\"quotes \\\" and \\\\ and\\nlines\"} 5\na_b_total 2\n";
        let gauge = "# HELP g_seconds Help.\n# TYPE g_seconds gauge\ng_seconds 0.5\n";
        let head = "# HELP a_b_total Help.\n# TYPE a_b_total counter\n";
        assert_eq!(page(Format::Prometheus), [head, samples, gauge].concat());
        let head = "# HELP a_b Help.\n# TYPE a_b counter\n";
        assert_eq!(page(Format::OpenMetrics), [head, samples, gauge, "# EOF\n"].concat());
    }

    #[test]
    fn the_buckets_of_a_histogram_hold_those_below_them() {
        let mut durations = Durations::default();
        (durations.buckets[0], durations.buckets[1], durations.buckets[19]) = (3, 4, 5);
        let mut page = Page::new(Format::Prometheus);
        page.histogram("h", "Help.").durations(&[("a", "b")], &durations);
        let text = page.finish();
        for line in [
            "h_bucket{a=\"b\",le=\"0.005\"} 3",
            "h_bucket{a=\"b\",le=\"0.01\"} 7",
            "h_bucket{a=\"b\",le=\"600\"} 7",
            "h_bucket{a=\"b\",le=\"+Inf\"} 12",
            "h_sum{a=\"b\"} 0",
            "h_count{a=\"b\"} 12",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
        }
    }

    #[track_caller]
    fn check_accepted(accept: &str, expected: Format) {
        assert_eq!(Format::accepted(accept), expected, "{accept}");
    }

    #[test]
    fn the_format_is_what_the_scraper_accepts() {
        check_accepted("", Format::Prometheus);
        check_accepted("*/*", Format::Prometheus);
        check_accepted("text/plain;version=0.0.4", Format::Prometheus);
        check_accepted("application/openmetrics-text; q=0, text/plain", Format::Prometheus);
        check_accepted(
            "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;version=0.0.4;q=0.3",
            Format::OpenMetrics,
        );
    }
}
