use super::*;
use crate::{
    export::Delivery,
    testing::{resource, server_span, span},
};
use std::time::Duration;
use tracer_engine::{SpanId, SpanKind, Stats, Value};

fn view(color: bool) -> PrettyView<Vec<u8>> {
    PrettyView::new(Vec::new(), color, TimeZone::UTC)
}

fn text(view: &PrettyView<Vec<u8>>) -> String {
    String::from_utf8(view.out.clone()).unwrap()
}

fn client_span(id: u8, parent: u8) -> Span {
    Span {
        attributes: vec![
            ("http.request.method", Value::Str("POST".into())),
            ("http.response.status_code", Value::Int(200)),
            ("network.peer.address", Value::Str("::1".into())),
            ("network.peer.port", Value::Int(8000)),
            ("url.full", Value::Str("http://api.local/pay?card=REDACTED".into())),
        ],
        ..span(id, Some(parent), SpanKind::Client, 1_000, 9_100)
    }
}

fn api_span(id: u8, parent: u8) -> Span {
    Span {
        resource: resource("api", 900),
        attributes: vec![
            ("http.request.method", Value::Str("POST".into())),
            ("http.response.status_code", Value::Int(200)),
            ("url.path", Value::Str("/pay".into())),
            ("url.query", Value::Str("card=REDACTED".into())),
        ],
        ..span(id, Some(parent), SpanKind::Server, 1_200, 8_800)
    }
}

fn launch_span(id: u8, parent: u8) -> Span {
    Span {
        attributes: vec![
            ("process.command_args", Value::Strings(["sh", "-c", "id \u{1b}"].map(String::from).to_vec())),
            ("process.exit.code", Value::Int(3)),
            ("process.pid", Value::Int(931)),
        ],
        ..span(id, Some(parent), SpanKind::Internal, 2_000, 950)
    }
}

fn feed(view: &mut PrettyView<Vec<u8>>, span: Span, ms: u64) {
    view.span(&Arc::new(span), true, Time(0).plus_ms(ms)).unwrap();
}

#[test]
fn a_request_is_a_tree_with_what_it_caused() {
    let mut view = view(false);
    // In the order in which they end; the last child of the root is another launch.
    feed(&mut view, launch_span(4, 3), 3);
    feed(&mut view, api_span(3, 2), 10);
    feed(&mut view, client_span(2, 1), 11);
    feed(
        &mut view,
        Span { start_unix_nano: server_span().start_unix_nano + 11_000_000, ..launch_span(5, 1) },
        12,
    );
    feed(&mut view, server_span(), 13);
    view.settle(Time(0).plus_ms(312)).unwrap();
    assert_eq!(text(&view), "", "it is not yet quiet");
    view.settle(Time(0).plus_ms(400)).unwrap();
    assert_eq!(
        text(&view),
        "\
05:06:07.089  GET /orders  503  12.4 ms  shop[812]  from 10.0.0.9:51234
              ├─ POST /pay?card=REDACTED  200  9.10 ms  shop[812] → [::1]:8000
              │  └─ POST /pay?card=REDACTED  200  8.80 ms  api[900]
              │     └─ $ sh -c 'id \\u{1b}'  exit 3  950 µs  pid 931
              └─ $ sh -c 'id \\u{1b}'  exit 3  0 µs  pid 931
"
    );
    assert_eq!(view.waiting.held(), 0);
}

#[test]
fn a_link_that_is_not_certain_says_so() {
    let shown = |confidence: f64, candidates: i64, color: bool| {
        let mut view = view(color);
        feed(&mut view, server_span(), 0);
        let mut child = launch_span(2, 1);
        child.attributes.push(("tracer.link.confidence", Value::Float(confidence)));
        if candidates > 1 {
            child.attributes.push(("tracer.link.candidates", Value::Int(candidates)));
        }
        feed(&mut view, child, 0);
        view.settle(Time(0).plus_ms(QUIET_MS)).unwrap();
        text(&view).lines().nth(1).unwrap().split("pid 931").nth(1).unwrap().to_owned()
    };
    assert_eq!(shown(1.0, 1, false), "");
    assert_eq!(shown(0.95, 1, false), "");
    assert_eq!(shown(0.9, 1, false), "  ~0.90");
    assert_eq!(shown(0.85, 8, false), "  ~0.85 of 8");
    assert_eq!(shown(0.29, 3, false), "  ~0.29 of 3");
    assert_eq!(shown(0.999, 2, false), "  ~0.99 of 2", "sure, but it had a rival");
    assert_eq!(shown(0.85, 8, true), "\u{1b}[2m  ~0.85 of 8\u{1b}[0m");
}

#[test]
fn colour_marks_the_status() {
    let mut view = view(true);
    feed(&mut view, server_span(), 0);
    view.settle(Time(0).plus_ms(QUIET_MS)).unwrap();
    assert!(text(&view).contains("\u{1b}[31m503\u{1b}[0m"), "{:?}", text(&view));
}

#[test]
fn a_trace_whose_caller_is_elsewhere_waits_longer_and_says_so() {
    let mut view = view(false);
    feed(&mut view, api_span(3, 2), 0);
    view.settle(Time(0).plus_ms(QUIET_MS)).unwrap();
    assert_eq!(text(&view), "");
    view.settle(Time(0).plus_ms(ROOTLESS_MS)).unwrap();
    assert_eq!(
        text(&view),
        "05:06:07.090  POST /pay?card=REDACTED  200  8.80 ms  api[900]  (caller not traced)\n"
    );
}

#[test]
fn a_trace_is_shown_whole_when_one_span_was_asked_for_and_else_not_at_all() {
    let mut view = view(false);
    view.span(&Arc::new(client_span(2, 1)), false, Time(0)).unwrap();
    view.settle(Time(0).plus_ms(ROOTLESS_MS)).unwrap();
    assert_eq!(text(&view), "");
    view.span(&Arc::new(client_span(2, 1)), false, Time(0)).unwrap();
    view.span(&Arc::new(server_span()), true, Time(0)).unwrap();
    view.settle(Time(0).plus_ms(2 * ROOTLESS_MS)).unwrap();
    assert_eq!(text(&view).lines().count(), 2);
}

#[test]
fn too_many_spans_leave_flat_and_are_counted() {
    let mut view = view(false);
    let spans = (MAX_WAITING / server_span().footprint()) as u64 + 1;
    for n in 0..spans {
        let mut span = server_span();
        span.trace_id = TraceId((u128::from(n) + 1).to_be_bytes());
        view.span(&Arc::new(span), true, Time(n)).unwrap();
    }
    assert!(view.waiting.held() <= MAX_WAITING);
    let waiting: usize = view.traces.values().map(|trace| trace.spans.len()).sum();
    assert_eq!(waiting as u64 + view.flat, spans);
    assert!(view.flat > 0);
    assert!(text(&view).lines().all(|line| line.ends_with("  (tree not shown)")));
}

#[test]
fn one_trace_of_long_spans_leaves_flat_too() {
    let mut view = view(false);
    let mut span = server_span();
    span.attributes.push(("url.query", Value::Str("a".repeat(8192))));
    let span = Arc::new(span);
    (0..3_000).for_each(|_| view.span(&span, true, Time(0)).unwrap());
    assert!(view.waiting.held() <= MAX_WAITING);
    assert!(view.flat > 1_000, "{}", view.flat);
}

#[test]
fn spans_that_are_each_others_parents_are_shown_all_the_same() {
    let mut view = view(false);
    feed(&mut view, client_span(2, 3), 0);
    feed(&mut view, api_span(3, 2), 0);
    feed(&mut view, Span { span_id: SpanId([1; 8]), ..client_span(1, 1) }, 0);
    view.settle(Time(0).plus_ms(ROOTLESS_MS)).unwrap();
    assert_eq!(text(&view).lines().count(), 3);
}

#[test]
fn a_very_deep_trace_does_not_fill_the_terminal() {
    let spans: Vec<_> = (1..=200).map(|id| Arc::new(client_span(id, id - 1))).collect();
    let lines = tree::tree(&spans);
    assert_eq!(lines.len(), 200);
    assert!(lines.iter().all(|line| line.branch.chars().count() <= 3 * 17));
}

#[test]
fn the_last_line_is_the_summary() {
    let summary = Summary {
        engine: Stats { records: 9, lost: 3, lost_by_cause: [1, 0, 2, 0, 0], spans: 4, ..Stats::default() },
        shown: 2,
        undescribed: 6,
        export: Some(Delivery { exported: 1, failed: 0, dropped: 1 }),
        cpu: Duration::from_millis(1500),
        rss_bytes: 23_400_000,
    };
    assert_eq!(
        totals(&summary),
        "9 records, 4 spans (2 match the filters), 3 lost (1 data, 2 process), 6 processes undescribed; \
         exported 1, failed 0, dropped 1; 1.50 s of CPU, 23 MB"
    );
    assert_eq!(totals(&Summary::default()), "0 records, 0 spans, 0 lost; 0.00 s of CPU, 0 MB");
}
