use super::*;
use crate::{
    summary::Told,
    testing::{finding, found_span, server_span},
};
use std::time::Duration;
use tracer_engine::{SpanLink, Stats, TraceId};

fn text(act: impl FnOnce(&mut JsonView<&mut Vec<u8>>) -> io::Result<()>) -> String {
    let mut out = Vec::new();
    act(&mut JsonView::new(&mut out)).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_span_is_one_line_of_the_contract() {
    let mut span = server_span();
    span.links.push(SpanLink { trace_id: TraceId([0xab; 16]), span_id: span.span_id, attributes: vec![] });
    let line = text(|view| view.span(&Arc::new(span), Asked::Yes, Time(0)));
    assert!(line.starts_with("{\"type\":\"span\",\"trace_id\":") && line.ends_with("}\n"));
    assert_eq!(line.lines().count(), 1);
    let expected = json!({
        "type": "span",
        "trace_id": "01010101010101010101010101010101",
        "span_id": "0101010101010101",
        "parent_span_id": null,
        "links": [{"trace_id": "ab".repeat(16), "span_id": "0101010101010101", "attributes": {}}],
        "name": "GET",
        "kind": "SERVER",
        "start_unix_nano": "1772600767089000000",
        "end_unix_nano": "1772600767101400000",
        "status": {"code": "ERROR"},
        "resource": {"process.pid": 812, "service.name": "shop"},
        "attributes": {
            "client.address": "10.0.0.9", "client.port": 51234, "http.request.method": "GET",
            "http.response.status_code": 503, "server.address": "10.0.0.1", "server.port": 8080,
            "url.path": "/orders",
        },
    });
    assert_eq!(serde_json::from_str::<Json>(&line).unwrap(), expected);
}

#[test]
fn a_finding_is_one_line_of_the_contract() {
    let mut ours = finding();
    ours.title += "\u{1b}[2J\n";
    let line = text(|view| view.finding(&Arc::new(ours), Time(0)));
    assert!(
        line.starts_with("{\"type\":\"finding\",\"rule\":\"http.request_smuggling\",")
            && line.ends_with("}\n")
    );
    assert!(line.lines().count() == 1 && !line.contains('\u{1b}'));
    let expected = json!({
        "type": "finding",
        "rule": "http.request_smuggling",
        "severity": "critical",
        "confidence": "confirmed",
        "time_unix_nano": "1772600767089000000",
        "title": "one request, two answers\u{1b}[2J\n",
        "trace_id": "01010101010101010101010101010101",
        "span_id": "0101010101010101",
        "resource": {"process.pid": 812, "service.name": "shop"},
        "attributes": {
            "client.address": "10.0.0.9", "client.port": 51234, "http.request.method": "GET",
            "url.path": "/orders",
        },
        "evidence": [
            {"time_unix_nano": "1772600767089000000", "text": "GET /orders with Content-Length 44"},
            {"time_unix_nano": "1772600767092100000", "text": "a second answer: 404"},
        ],
    });
    assert_eq!(serde_json::from_str::<Json>(&line).unwrap(), expected);
}

#[test]
fn a_finding_of_no_span_says_so() {
    let line = text(|view| view.finding(&Arc::new(Finding { span: None, ..finding() }), Time(0)));
    let line: Json = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["trace_id"], &line["span_id"]), (&Json::Null, &Json::Null));
}

#[test]
fn a_span_has_its_events() {
    let line = text(|view| view.span(&Arc::new(found_span()), Asked::Yes, Time(0)));
    let line: Json = serde_json::from_str(&line).unwrap();
    let event = json!({
        "name": "finding",
        "time_unix_nano": "1772600767089000000",
        "attributes": {"security_rule.name": "http.request_smuggling", "tracer.finding.severity": "critical"},
    });
    assert_eq!(line["events"], json!([event]));
    assert_eq!(line["attributes"]["tracer.finding.rules"], json!(["http.request_smuggling"]));
}

#[test]
fn what_was_not_asked_for_is_left_out() {
    for asked in [Asked::No, Asked::Trace] {
        assert_eq!(text(|view| view.span(&Arc::new(server_span()), asked, Time(0))), "");
    }
}

#[test]
fn ready_and_stats_frame_a_run() {
    assert_eq!(text(|view| view.ready(&[])), "{\"type\":\"ready\",\"hooks_missing\":[]}\n");
    assert_eq!(
        text(|view| view.ready(&["sched_process_exec"])),
        "{\"type\":\"ready\",\"hooks_missing\":[\"sched_process_exec\"]}\n"
    );
    let summary = Summary {
        engine: Stats {
            records: 9,
            lost: 3,
            lost_by_cause: [1, 0, 2, 0, 0],
            spans: 4,
            findings: 2,
            dropped_findings: 8,
            boundaries_lost: 5,
            ..Stats::default()
        },
        told: Told { spans: 2, findings: 1, worst: None },
        undescribed: 6,
        export: Some(Deliveries {
            spans: Delivery { exported: 1, failed: 0, dropped: 1 },
            findings: Delivery { exported: 0, failed: 1, dropped: 0 },
        }),
        cpu: Duration::from_millis(1500),
        rss_bytes: 4096,
    };
    let mut line = serde_json::to_value(StatsLine::new(&summary)).unwrap();
    let unused = line.as_object_mut().and_then(|line| line.remove("unused")).unwrap();
    assert_eq!(unused["boundaries_lost"], 5);
    assert_eq!(unused["dropped_findings"], 8);
    assert_eq!(unused["causes_gone"], 0, "what did not happen is said too");
    assert_eq!(
        line,
        json!({
            "type": "stats", "records": 9, "lost": 3, "spans": 4, "spans_shown": 2, "findings": 2,
            "findings_shown": 1, "export_findings": {"exported": 0, "failed": 1, "dropped": 0},
            "undescribed": 6,
            "lost_by_cause": {"data": 1, "connection": 0, "process": 2, "wake": 0, "unreadable": 0},
            "cpu_seconds": 1.5, "rss_bytes": 4096, "export": {"exported": 1, "failed": 0, "dropped": 1},
        })
    );
}
