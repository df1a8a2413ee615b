//! A real Prometheus that scrapes a gate; the dashboard and the alerts, asked of it.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use regex::Regex;
use serde_json::Value;

use crate::examples::Port;
use crate::metrics::{get, keys_file, with_keys_file_and};
use crate::support::admin::ADMIN;
use crate::support::{Client, Gate, Origin, Program, holds_within};
use crate::tidy::{read, root};
use crate::traces::collector::Collector;

/// How long a Prometheus may take to start and to scrape twice.
const PATIENCE: Duration = Duration::from_secs(60);

fn alerts() -> PathBuf {
    root().join("deploy/prometheus/alerts.yaml")
}

fn dashboard() -> Value {
    let text = read(&root().join("deploy/grafana/keygate.json"));
    serde_json::from_str(&text).expect("the dashboard is JSON")
}

/// Every expression of the dashboard, as Grafana would send it.
fn shown() -> Vec<String> {
    let dashboard = dashboard();
    let panels = dashboard["panels"].as_array().expect("there are panels");
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let expressions = targets.map(|target| {
        let expression = target["expr"].as_str().expect("a target has an expression");
        let expression = expression.replace("$__rate_interval", "1m").replace("$__range", "1m");
        expression.replace("$instance", ".*")
    });
    expressions.collect()
}

/// What a program of Prometheus says, which must end well.
#[track_caller]
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut command = Command::new("promtool");
    command.args(arguments).current_dir(root().join("deploy/prometheus"));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("scripts/test-deps.sh installs promtool");
    let mut stdin = child.stdin.take().expect("it is a pipe");
    stdin.write_all(input.as_bytes()).expect("promtool reads");
    drop(stdin);
    let output = child.wait_with_output().expect("promtool ends");
    let said = [&output.stdout[..], &output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "promtool {arguments:?}: {said}");
    said
}

/// A gate that has answered requests of every kind that the dashboard shows, and is traced.
fn busy(origin: &Origin, collector: &Collector) -> Gate {
    let keys = keys_file(2).replace("consumer", "expires = 2099-01-01T00:00:00Z\nconsumer");
    let traced = [("OTEL_EXPORTER_OTLP_ENDPOINT", &*collector.url())];
    let gate = with_keys_file_and(origin, &keys, ADMIN, &traced);
    for (key, status) in [("X-API-Key: K1\r\n", 200), ("X-API-Key: no\r\n", 401), ("", 401)] {
        assert_eq!(gate.send(get("/x", key)).status, status);
    }
    gate
}

#[test]
fn the_format_is_without_fault() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = busy(&origin, &collector);
    assert_eq!(promtool(&["check", "metrics"], &gate.metrics().0), "");
}

#[test]
fn the_alerts_are_rules_and_do_what_their_tests_say() {
    promtool(&["check", "rules", "alerts.yaml"], "");
    promtool(&["test", "rules", "alerts.test.yaml"], "");
}

/// A running Prometheus that scrapes a gate every second.
struct Prometheus {
    _program: Program,
    port: Port,
}

impl Prometheus {
    #[track_caller]
    fn scraping(gate: &Gate) -> Self {
        let port = Port::claim();
        let config = format!(
            "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
             rule_files: [{:?}]\n\
             scrape_configs: [{{ job_name: keygate, static_configs: [{{ targets: [{:?}] }}] }}]\n",
            alerts(),
            gate.admin_address().to_string(),
        );
        fs::write(gate.folder().join("prometheus.yml"), config).expect("the folder can be written");
        let mut command = Command::new("prometheus");
        command.current_dir(gate.folder()).stdin(Stdio::null());
        command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
        command.arg(format!("--web.listen-address={}", port.address));
        let prometheus = Self { _program: Program::start(&mut command), port };
        let scraped = holds_within(PATIENCE, || {
            let twice = prometheus.ask("count_over_time(up{job=\"keygate\"}[1m]) >= 3");
            twice.is_some_and(|twice| !results(&twice).is_empty())
        });
        assert!(scraped, "{}", prometheus._program.wrote());
        prometheus
    }

    /// What it answers to an expression; none while it has not started.
    fn ask(&self, expression: &str) -> Option<Value> {
        let stream = std::net::TcpStream::connect(self.port.address).ok()?;
        let escaped: String = expression.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let request = format!(
            "GET /api/v1/query?query={escaped} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        );
        let response = Client::over(stream).send(request).answer()?;
        serde_json::from_slice(&response.body).ok()
    }
}

/// The series in an answer.
fn results(answer: &Value) -> &[Value] {
    answer["data"]["result"].as_array().map_or(&[], Vec::as_slice)
}

/// The metrics that an expression names, without what is behind the name of a histogram.
fn named(expression: &str) -> BTreeSet<String> {
    let names = Regex::new("(?:keygate|http_server|process)_[a-z_]+").expect("it compiles");
    let names = names.find_iter(expression).map(|found| {
        let name = found.as_str();
        let ends = ["_bucket", "_count", "_sum"].iter();
        ends.fold(name, |name, end| name.strip_suffix(end).unwrap_or(name)).to_owned()
    });
    names.collect()
}

#[test]
fn every_expression_of_the_dashboard_and_the_alerts_finds_what_it_names() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = busy(&origin, &collector);
    let prometheus = Prometheus::scraping(&gate);
    let up = prometheus.ask("up{job=\"keygate\"} == 1").expect("it has started");
    assert_eq!(results(&up).len(), 1, "{up}");
    let scrape = gate.metrics();
    let there: BTreeSet<_> = scrape
        .0
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next())
        .map(str::to_owned)
        .collect();
    let shown = shown();
    assert!(shown.len() > 20, "only {} expressions were found", shown.len());
    for expression in &shown {
        assert!(named(expression).is_subset(&there), "{expression} names what is not there");
        let answer = prometheus.ask(expression).expect("it runs");
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        assert!(!results(&answer).is_empty(), "{expression} shows nothing");
    }
    let used: BTreeSet<_> = shown.iter().flat_map(|expression| named(expression)).collect();
    let unseen: Vec<_> = there.difference(&used).map(String::as_str).collect();
    // What no panel shows is there for who asks.
    assert_eq!(unseen, ["process_threads", "process_virtual_memory_bytes"]);
    let rules = read(&alerts());
    assert!(named(&rules).is_subset(&there), "an alert names what is not there");
    let firing = prometheus.ask("ALERTS").expect("it runs");
    assert_eq!(results(&firing), [Value::Null; 0], "all is well");
}
