//! Which requests are recorded, and that strangers cannot have that cost what they like.

use super::collector::Collector;
use super::{TRACE, get, traceparent};
use crate::support::Origin;
use crate::support::admin::ADMIN;
use crate::support::reference::reference;

/// The flags of the trace that the origin was told about.
fn flags(origin: &Origin) -> String {
    let head = origin.last().head;
    let said = head.value("traceparent").expect("it is said");
    said.rsplit('-').next().unwrap_or_default().to_owned()
}

#[test]
fn what_is_not_recorded_is_not_sent_and_the_origin_is_told() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector
        .gate_with(&reference(&origin), &[("OTEL_TRACES_SAMPLER", "parentbased_always_off")]);
    assert_eq!(gate.send(get("/api/v1/unasked", "X-API-Key: K1\r\n")).status, 200);
    assert_eq!(flags(&origin), "00");
    let not_recorded = "X-API-Key: K1\r\n".to_owned() + &traceparent("00");
    assert_eq!(gate.send(get("/api/v1/off", &not_recorded)).status, 200);
    assert_eq!(flags(&origin), "00");
    let recorded = "X-API-Key: K1\r\n".to_owned() + &traceparent("01");
    assert_eq!(gate.send(get("/api/v1/on", &recorded)).status, 200);
    assert_eq!(flags(&origin), "01");
    let spans = collector.spans(2);
    assert_eq!(spans.len(), 2, "{spans:?}");
    assert!(spans.iter().all(|span| span.field("trace") == TRACE));
    assert_eq!(spans[0].text("url.path"), "/api/v1/on");
}

#[test]
fn a_stranger_has_nothing_recorded_and_keeps_nothing_from_it() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let off =
        [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0")];
    let gate = collector.gate_with(&reference(&origin), &off);
    for fields in ["", "X-API-Key: wrong\r\n"] {
        let fields = fields.to_owned() + &traceparent("01");
        assert_eq!(gate.send(get("/public/stranger", &fields)).status, 200);
        assert_eq!(flags(&origin), "00");
        assert_eq!(gate.send(get("/api/v1/stranger", &fields)).status, 401);
    }
    let friend = "X-API-Key: K1\r\n".to_owned() + &traceparent("01");
    assert_eq!(gate.send(get("/api/v1/friend", &friend)).status, 200);
    assert_eq!(flags(&origin), "01");
    let spans = collector.spans(2);
    assert_eq!((spans.len(), spans[0].text("url.path")), (2, "/api/v1/friend"));
    let gate = collector.gate(&reference(&origin));
    assert_eq!(gate.send(get("/public/hides", &traceparent("00"))).status, 200);
    assert_eq!((collector.of("/public/hides").0.field("trace"), &*flags(&origin)), (TRACE, "01"));
}

#[test]
fn a_trusted_proxy_decides() {
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let server = "[server]\nlisten = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let off = [("OTEL_TRACES_SAMPLER", "parentbased_always_off")];
    let gate = collector.gate_with(&(reference(&origin) + server), &off);
    let fields = "X-Forwarded-For: 192.0.2.7\r\n".to_owned() + &traceparent("01");
    assert_eq!(gate.send(get("/public/x", &fields)).status, 200);
    assert_eq!(flags(&origin), "01");
    assert_eq!(collector.of("/public/x").0.text("client.address"), "192.0.2.7");
}

#[test]
fn a_flood_of_strangers_is_recorded_in_part() {
    const FLOOD: usize = 600;
    let (origin, collector) = (Origin::echo(), Collector::taking());
    let gate = collector.gate(&(reference(&origin) + ADMIN));
    let mut client = gate.client();
    for _ in 0..FLOOD {
        assert_eq!(client.send(get("/api/v1/flood", "")).response().status, 401);
    }
    assert_eq!(gate.send(get("/api/v1/friend", "X-API-Key: K1\r\n")).status, 200);
    let _friend = collector.of("/api/v1/friend");
    let count = |result: &str| {
        let series = format!("keygate_trace_spans_total{{result=\"{result}\"}}");
        gate.metrics().value(&series).expect("it is there") as usize
    };
    crate::support::wait_until("all are counted", || {
        count("exported") + count("limited") == FLOOD + 2
    });
    // A hundred, and ten for each second that it took.
    assert!((FLOOD / 4..FLOOD - 90).contains(&count("limited")), "{}", count("limited"));
    let recorded = collector.spans(2).len();
    assert_eq!(recorded, count("exported"));
    assert_eq!((count("dropped"), count("failed")), (0, 0));
}
