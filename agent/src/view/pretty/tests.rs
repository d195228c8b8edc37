use super::*;
use crate::{
    export::Delivery,
    summary::Told,
    testing::{finding, found_span, resource, server_span, span},
};
use std::time::Duration;
use tracer_engine::{Resource, SpanId, SpanKind, Stats, Value};

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
    view.span(&Arc::new(span), Asked::Yes, Time(0).plus_ms(ms)).unwrap();
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
    view.span(&Arc::new(client_span(2, 1)), Asked::No, Time(0)).unwrap();
    view.settle(Time(0).plus_ms(FINDING_MS)).unwrap();
    assert_eq!(text(&view), "");
    view.span(&Arc::new(client_span(2, 1)), Asked::No, Time(0)).unwrap();
    view.span(&Arc::new(server_span()), Asked::Yes, Time(0)).unwrap();
    view.settle(Time(0).plus_ms(2 * FINDING_MS)).unwrap();
    assert_eq!(text(&view).lines().count(), 2);
}

#[test]
fn too_many_spans_leave_flat_and_are_counted() {
    let mut view = view(false);
    let spans = (MAX_WAITING / server_span().footprint()) as u64 + 1;
    for n in 0..spans {
        let mut span = server_span();
        span.trace_id = TraceId((u128::from(n) + 1).to_be_bytes());
        view.span(&Arc::new(span), Asked::Yes, Time(n)).unwrap();
    }
    assert!(view.waiting.held() <= MAX_WAITING);
    let waiting: usize = view.traces.values().map(|trace| trace.spans.len()).sum();
    assert_eq!(waiting as u64 + view.flat, spans);
    assert!(view.flat > 0);
    assert!(text(&view).lines().all(|line| line.ends_with("  (tree not shown)")));
}

#[test]
fn what_waits_for_a_finding_alone_makes_room_first() {
    let mut view = view(false);
    let spans = 2 * (MAX_WAITING / server_span().footprint()) as u64;
    for n in 0..spans {
        let mut span = server_span();
        span.trace_id = TraceId((u128::from(n) + 1).to_be_bytes());
        // All in a second: less than a finding may take, more than a trace does.
        let (now, every) =
            (Time(0).plus_ms(n * 1000 / spans), if n % 100 == 0 { Asked::Yes } else { Asked::No });
        view.span(&Arc::new(span), every, now).unwrap();
        view.settle(now).unwrap();
    }
    assert!(view.waiting.held() <= MAX_WAITING);
    view.settle(Time(0).plus_ms(2000)).unwrap();
    assert_eq!((view.flat, text(&view).lines().count() as u64), (0, spans.div_ceil(100)));
}

#[test]
fn one_trace_of_long_spans_leaves_flat_too() {
    let mut view = view(false);
    let mut span = server_span();
    span.attributes.push(("url.query", Value::Str("a".repeat(8192))));
    let span = Arc::new(span);
    (0..3_000).for_each(|_| view.span(&span, Asked::Yes, Time(0)).unwrap());
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
        engine: Stats {
            records: 9,
            lost: 3,
            lost_by_cause: [1, 0, 2, 0, 0],
            spans: 4,
            findings: 3,
            dropped_findings: 5,
            ..Stats::default()
        },
        told: Told { spans: 2, findings: 1, worst: None },
        undescribed: 6,
        export: Some(Deliveries {
            spans: Delivery { exported: 1, failed: 0, dropped: 1 },
            findings: Delivery { exported: 0, failed: 1, dropped: 0 },
        }),
        cpu: Duration::from_millis(1500),
        rss_bytes: 23_400_000,
    };
    assert_eq!(
        totals(&summary),
        "9 records, 4 spans (2 match the filters), 3 findings (1 match the filters), 3 lost (1 data, 2 process), \
         5 dropped findings, 6 processes undescribed; exported 1, failed 0, dropped 1; findings exported 0, \
         failed 1, dropped 0; 1.50 s of CPU, 23 MB"
    );
    assert_eq!(totals(&Summary::default()), "0 records, 0 spans, 0 findings, 0 lost; 0.00 s of CPU, 0 MB");
}

#[test]
fn a_finding_is_a_block_with_its_trace_below() {
    let mut view = view(false);
    feed(&mut view, found_span(), 0);
    view.settle(Time(0).plus_ms(ROOTLESS_MS)).unwrap();
    assert_eq!(text(&view), "", "the span says that a finding is to come");
    view.finding(&Arc::new(finding()), Time(0).plus_ms(ROOTLESS_MS)).unwrap();
    assert_eq!(
        text(&view),
        "\
05:06:07.089   CRITICAL  one request, two answers
              │ http.request_smuggling  confirmed
              │ shop[812]  GET /orders  from 10.0.0.9:51234
              │ trace 01010101010101010101010101010101  span 0101010101010101
              │      +0 µs GET /orders with Content-Length 44
              │   +3.10 ms a second answer: 404
05:06:07.089  GET /orders  503  12.4 ms  shop[812]  from 10.0.0.9:51234  ! http.request_smuggling
"
    );
    assert_eq!(view.waiting.held(), 0);
}

#[test]
fn a_finding_shows_a_trace_that_nobody_asked_for() {
    let at = |ms| Time(0).plus_ms(ms);
    let mut view = view(false);
    view.span(&Arc::new(server_span()), Asked::No, at(0)).unwrap();
    view.settle(at(ROOTLESS_MS)).unwrap();
    // Its trace is still to be complete.
    view.span(&Arc::new(api_span(3, 1)), Asked::No, at(2000)).unwrap();
    view.finding(&Arc::new(finding()), at(2000)).unwrap();
    assert_eq!(text(&view).matches("[812]").count(), 1, "the finding alone: {}", text(&view));
    view.settle(at(2000 + QUIET_MS)).unwrap();
    assert_eq!(text(&view).matches("/pay").count(), 1, "{}", text(&view));
    // The other way round: a span that comes after its finding.
    view.span(&Arc::new(found_span()), Asked::Trace, at(9000)).unwrap();
    view.settle(at(9000 + FINDING_MS)).unwrap();
    assert!(text(&view).ends_with("! http.request_smuggling\n"));
    // And without any finding nothing is shown.
    let before = text(&view);
    view.span(&Arc::new(server_span()), Asked::No, at(20_000)).unwrap();
    view.settle(at(20_000 + FINDING_MS)).unwrap();
    assert_eq!((text(&view), view.waiting.held()), (before, 0));
}

#[test]
fn a_finding_of_no_span_and_no_exchange_says_what_it_knows() {
    let mut view = view(false);
    let mut shop = Resource::clone(&resource("shop", 812));
    shop.attributes.push(("container.id".into(), Value::Str("0123456789abcdef".repeat(4))));
    shop.attributes.push(("k8s.pod.uid".into(), Value::Str("0b7e1f3a-1111-2222-3333-444455556666".into())));
    let launch = Finding {
        span: None,
        resource: shop.into(),
        attributes: vec![
            ("process.command_args", Value::Strings(vec!["sh".into(), "-c".into(), "id".into()])),
            ("process.pid", Value::Int(931)),
            ("process.user.id", Value::Int(33)),
            ("threat.technique.id", Value::Strings(vec!["T1059".into(), "T1190".into()])),
        ],
        evidence: Vec::new(),
        ..finding()
    };
    view.finding(&Arc::new(launch), Time(0)).unwrap();
    let text = text(&view);
    let lines: Vec<_> = text.lines().skip(1).map(|line| line.trim_start_matches([' ', '│'])).collect();
    assert_eq!(
        lines,
        [
            "http.request_smuggling  confirmed  ATT&CK T1059 T1190",
            "shop[812]  pod 0b7e1f3a-1111-2222-3333-444455556666  container 0123456789ab  $ sh -c id  pid 931  user 33"
        ]
    );
}

#[test]
fn rules_that_agree_are_named_too() {
    let rules =
        ["http.ambiguous_framing", "http.request_smuggling", "http.third"].map(str::to_owned).to_vec();
    let rules = ("tracer.finding.rules", Value::Strings(rules));
    let mut view = view(true);
    let mut ours = finding();
    ours.attributes.push(rules.clone());
    view.finding(&Arc::new(ours), Time(0)).unwrap();
    assert!(text(&view).contains("confirmed\u{1b}[2m  also http.ambiguous_framing, http.third\u{1b}[0m\n"));
    let mut span = found_span();
    span.attributes.retain(|(key, _)| *key != rules.0);
    span.attributes.push(rules);
    feed(&mut view, span, 0);
    view.settle(Time(0).plus_ms(FINDING_MS)).unwrap();
    let color = "\u{1b}[1m\u{1b}[37m\u{1b}[41m! http.";
    assert_eq!(text(&view).matches(color).count(), 3, "in the colour of the finding that they make together");
}

#[test]
fn strangers_cannot_draw_by_findings() {
    let mut view = view(false);
    let mut drawn = finding();
    drawn.title = "\u{1b}[2Jtitle\n".into();
    drawn.evidence[0].text = format!("{}\u{1b}]0;x\u{7}", "a".repeat(10));
    drawn.attributes[3].1 = Value::Str("/\r\u{202e}orders".into());
    view.finding(&Arc::new(drawn), Time(0)).unwrap();
    let text = text(&view);
    assert_eq!(text.lines().count(), 6, "{text}");
    assert!(text.chars().all(|c| c == '\n' || !c.is_control()) && !text.contains('\u{202e}'), "{text:?}");
    assert!(text.contains("\\u{1b}[2Jtitle\\n") && text.contains("GET /\\r\\u{202e}orders"), "{text}");
}

#[test]
fn colour_marks_how_bad_it_is() {
    let block = |severity| {
        let mut view = view(true);
        view.finding(&Arc::new(Finding { severity, ..finding() }), Time(0)).unwrap();
        text(&view).split(" one request").next().unwrap().to_owned()
    };
    let blocks: std::collections::BTreeSet<_> = tracer_engine::Severity::ALL
        .map(|severity| {
            let (block, name) = (block(severity), format!(" {} ", severity.name().to_uppercase()));
            let (before, after) = block.split_once(&name).unwrap();
            assert!(after.starts_with("\u{1b}[0m"), "{block:?}");
            before.to_owned()
        })
        .into();
    assert_eq!(blocks.len(), 5, "each has a colour of its own");
    let mut view = view(true);
    feed(&mut view, found_span(), 0);
    view.settle(Time(0).plus_ms(FINDING_MS)).unwrap();
    let mark = "\u{1b}[1m\u{1b}[37m\u{1b}[41m! http.request_smuggling\u{1b}[0m";
    assert!(text(&view).contains(mark), "{:?}", text(&view));
}
