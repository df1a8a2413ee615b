//! What the environment says about traces.

use std::time::Duration;

use super::collector::Collector;
use super::endpoint;
use super::message::{RESOURCE_ATTRIBUTES, attribute};
use super::sampling::Sampling;
use super::tracer::SPANS_PER_REQUEST;
use super::variables::Variables;
use super::wire::Message;
use crate::config::Environment;

/// The defaults that the specification gives, in milliseconds and in spans.
const TIMEOUT_MS: u32 = 10_000;
const DELAY_MS: u32 = 5_000;
const MAX_QUEUE: usize = 2048;
const MAX_BATCH: usize = 512;

/// How traces are recorded and sent.
pub struct Settings {
    pub(super) collector: Collector,
    pub(super) sampling: Sampling,
    /// How long an attempt to send spans may take.
    pub(super) timeout: Duration,
    /// How long spans wait for others.
    pub(super) delay: Duration,
    /// How many spans may wait.
    pub(super) max_queue: usize,
    /// How many are sent together.
    pub(super) max_batch: usize,
}

/// Reads the variables; without settings, nothing is traced. The other half is what the operator
/// should know.
pub fn read(environment: &Environment) -> (Option<Settings>, Vec<String>) {
    let mut variables = Variables::new(environment);
    let settings = if endpoint::is_named(&variables) { settings(&mut variables) } else { None };
    (settings, variables.warnings)
}

fn settings(variables: &mut Variables<'_>) -> Option<Settings> {
    if variables.is_true("OTEL_SDK_DISABLED") || !is_wanted(variables) || !is_spoken(variables) {
        return None;
    }
    let resource = resource(variables);
    let collector = endpoint::collector(variables, resource)?;
    let max_queue = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", SPANS_PER_REQUEST, MAX_QUEUE);
    let batch = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
    let max_batch = variables.number(batch, SPANS_PER_REQUEST, MAX_BATCH.min(max_queue));
    if max_batch > max_queue {
        variables.warn(batch, format!("is more than the queue holds; {max_queue} is taken"));
    }
    Some(Settings {
        collector,
        sampling: sampling(variables),
        timeout: variables.period(
            &["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"],
            TIMEOUT_MS,
        ),
        delay: variables.period(&["OTEL_BSP_SCHEDULE_DELAY"], DELAY_MS),
        max_queue,
        max_batch: max_batch.min(max_queue),
    })
}

/// Whether one of the exporters that are asked for is this one.
fn is_wanted(variables: &mut Variables<'_>) -> bool {
    let name = "OTEL_TRACES_EXPORTER";
    let Some(value) = variables.value(name) else { return true };
    let named = |exporter| value.split(',').any(|one| one.trim() == exporter);
    if !named("otlp") && !named("none") {
        variables.warn(name, "names no exporter that keygate has; otlp is taken");
        return true;
    }
    named("otlp")
}

/// Whether the protocol is the one that keygate speaks. Another needs another port, so to speak
/// this one all the same would only look like an outage.
fn is_spoken(variables: &mut Variables<'_>) -> bool {
    let named = ["OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"];
    match variables.first(named) {
        Some((name, value)) if value != "http/protobuf" => {
            let what = "asks for a protocol that keygate does not speak, which is http/protobuf \
                        alone (port 4318, mostly); nothing is exported";
            variables.warn(name, what);
            false
        }
        _ => true,
    }
}

fn sampling(variables: &mut Variables<'_>) -> Sampling {
    let name = "OTEL_TRACES_SAMPLER";
    let Some(value) = variables.value(name) else { return Sampling::default() };
    let named = Sampling::named(value, || variables.ratio("OTEL_TRACES_SAMPLER_ARG"));
    named.unwrap_or_else(|| {
        variables.warn(name, "names no sampler that keygate has; parentbased_always_on is taken");
        Sampling::default()
    })
}

/// Who exports, as a `Resource`: what the operator says comes before what keygate knows.
fn resource(variables: &mut Variables<'_>) -> Vec<u8> {
    let mut attributes = variables.pairs("OTEL_RESOURCE_ATTRIBUTES");
    if let Some(name) = variables.value("OTEL_SERVICE_NAME") {
        attributes.insert(0, ("service.name", name.to_owned()));
    }
    for (key, value) in [
        ("service.name", env!("CARGO_PKG_NAME")),
        ("service.version", env!("CARGO_PKG_VERSION")),
        ("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
        ("telemetry.sdk.language", "rust"),
        ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
    ] {
        attributes.push((key, value.to_owned()));
    }
    let mut resource = Vec::new();
    let mut message = Message::new(&mut resource);
    for (index, (key, value)) in attributes.iter().enumerate() {
        // A key stands in a resource once.
        if attributes[..index].iter().all(|(known, _)| known != key) {
            attribute(&mut message, RESOURCE_ATTRIBUTES, key, value);
        }
    }
    resource
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDPOINT: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");

    fn read_with(more: &[(&str, &str)]) -> (Option<Settings>, Vec<String>) {
        let variables = [ENDPOINT].iter().chain(more).copied();
        read(&Environment::from_iter(variables))
    }

    /// Whether anything is exported, and how many warnings there are.
    #[track_caller]
    fn check(more: &[(&str, &str)], exports: bool, warnings: usize) {
        let (settings, warned) = read_with(more);
        assert_eq!((settings.is_some(), warned.len()), (exports, warnings), "{more:?} {warned:?}");
    }

    #[test]
    fn nothing_is_traced_unless_a_collector_is_named() {
        let (settings, warnings) = read(&Environment::from_iter([
            ("OTEL_TRACES_EXPORTER", "otlp"),
            ("OTEL_TRACES_SAMPLER", "nonsense"),
            ("OTEL_EXPORTER_OTLP_ENDPOINT", ""),
        ]));
        assert!(settings.is_none() && warnings.is_empty(), "{warnings:?}");
        check(&[], true, 0);
        check(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "nonsense")], false, 1);
        check(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1/x")], true, 0);
    }

    #[test]
    fn what_is_switched_off_is_off() {
        check(&[("OTEL_SDK_DISABLED", "true")], false, 0);
        check(&[("OTEL_SDK_DISABLED", "maybe")], true, 1);
        check(&[("OTEL_TRACES_EXPORTER", "none")], false, 0);
        check(&[("OTEL_TRACES_EXPORTER", "otlp")], true, 0);
        check(&[("OTEL_TRACES_EXPORTER", "console, otlp")], true, 0);
        check(&[("OTEL_TRACES_EXPORTER", "zipkin")], true, 1);
    }

    #[test]
    fn another_protocol_is_no_outage() {
        check(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")], true, 0);
        check(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")], false, 1);
        check(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")], false, 1);
        let traces = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/protobuf");
        check(&[("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"), traces], true, 0);
    }

    #[test]
    fn what_cannot_be_trusted_is_not_sent_to() {
        let https = ("OTEL_EXPORTER_OTLP_ENDPOINT", "https://127.0.0.1:4318");
        check(&[https, ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/nowhere.pem")], false, 1);
        let authorities = "/etc/ssl/certs/ca-certificates.crt";
        let certificate = ("OTEL_EXPORTER_OTLP_CERTIFICATE", authorities);
        check(&[https, certificate, ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/nowhere")], false, 1);
    }

    #[test]
    fn a_batch_is_no_larger_than_the_queue() {
        let sizes = |queue, batch| {
            let (settings, warnings) = read_with(&[
                ("OTEL_BSP_MAX_QUEUE_SIZE", queue),
                ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", batch),
            ]);
            let Settings { max_queue, max_batch, .. } = settings.expect("it exports");
            (max_queue, max_batch, warnings.len())
        };
        assert_eq!(sizes("", ""), (2048, 512, 0));
        assert_eq!(sizes("100", ""), (100, 100, 0));
        assert_eq!(sizes("100", "200"), (100, 100, 1));
        assert_eq!(sizes("0", "1"), (2048, 512, 2));
    }

    #[test]
    fn wrong_values_are_defaults() {
        let (settings, warnings) = read_with(&[
            ("OTEL_TRACES_SAMPLER", "jaeger_remote"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s"),
            ("OTEL_BSP_SCHEDULE_DELAY", "-1"),
        ]);
        let Settings { sampling, timeout, delay, .. } = settings.expect("it exports");
        assert_eq!(sampling, Sampling::default());
        assert_eq!((timeout.as_secs(), delay.as_secs(), warnings.len()), (10, 5, 3));
    }

    #[test]
    fn a_resource_is_what_the_operator_says() {
        let resource = |more: &[(&str, &str)]| {
            let environment = Environment::from_iter(more.iter().copied());
            String::from_utf8_lossy(&resource(&mut Variables::new(&environment))).into_owned()
        };
        let plain = resource(&[]);
        assert!(plain.contains("service.name") && plain.contains("keygate"), "{plain}");
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "service.name=edge,deployment=a%20b");
        let named = resource(&[attributes]);
        assert!(named.contains("edge") && named.contains("a b"), "{named}");
        assert_eq!(named.matches("service.name").count(), 1, "{named}");
        let renamed = resource(&[attributes, ("OTEL_SERVICE_NAME", "front")]);
        assert!(renamed.contains("front") && !renamed.contains("edge"), "{renamed}");
    }
}
