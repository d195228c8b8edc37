//! What holds of all spans of a run, whatever was told to the engine.

use std::collections::HashMap;
use tracer_engine::{Span, SpanId};

/// Fails when a span breaks a promise of its type or of the trace it is in.
pub fn check(spans: &[&Span]) {
    let by_id: HashMap<SpanId, &&Span> = spans.iter().map(|span| (span.span_id, span)).collect();
    assert_eq!(by_id.len(), spans.len(), "each span has an id of its own");
    for span in spans {
        assert_ne!(span.trace_id.0, [0; 16], "{span:?}");
        assert_ne!(span.span_id.0, [0; 8], "{span:?}");
        assert!(span.end_unix_nano >= span.start_unix_nano, "{span:?}");
        let keys: Vec<_> = span.attributes.iter().map(|(key, _)| *key).collect();
        assert!(keys.windows(2).all(|pair| pair[0] < pair[1]), "sorted, each once: {keys:?}");
        let Some(parent) = span.parent_span_id else { continue };
        let linked = |method| keys.contains(&"tracer.link.method") && method_of(span) == method;
        match by_id.get(&parent) {
            Some(parent) => assert_eq!(span.trace_id, parent.trace_id, "{span:?}\n{parent:?}"),
            None => assert!(linked("header"), "a parent that was never told: {span:?}"),
        }
        assert!(!goes_round(span, &by_id), "a cycle above {span:?}");
    }
}

fn method_of(span: &Span) -> String {
    super::text(span, "tracer.link.method").unwrap_or_default()
}

fn goes_round(span: &Span, by_id: &HashMap<SpanId, &&Span>) -> bool {
    let mut above = span.parent_span_id;
    for _ in 0..=by_id.len() {
        match above.and_then(|id| by_id.get(&id)) {
            Some(span) => above = span.parent_span_id,
            None => return false,
        }
    }
    true
}
