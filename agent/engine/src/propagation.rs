//! Trace contexts that requests carry: W3C `traceparent`, then B3, then Jaeger's `uber-trace-id`.

use crate::{SpanId, TraceId};

/// A context of a caller who traces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteContext {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// `tracestate`, unparsed, at most [`MAX_TRACE_STATE`] bytes.
    pub trace_state: Option<String>,
}

/// Longest `tracestate` that is kept; W3C Trace Context 3.3.1.5 asks for at least 512.
pub const MAX_TRACE_STATE: usize = 512;

/// What the fields of a head say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carried {
    /// No field of a known kind.
    Nothing,
    /// Only fields that do not hold a valid context.
    Broken,
    /// A valid one.
    Context(RemoteContext),
}

/// Finds the context in a head. `field` gives the first two values of a field by its lower-case name.
pub fn extract<'a>(field: impl Fn(&str) -> [Option<&'a [u8]>; 2]) -> Carried {
    let readable = |value: &'a [u8]| std::str::from_utf8(value).ok().map(str::trim);
    let first = |name: &str| field(name)[0].and_then(readable);
    let text = |name: &str| match field(name) {
        // Of two contexts nobody knows which one is meant: that is none, and broken.
        [_, Some(_)] => Some("?"),
        [value, None] => value.and_then(readable),
    };
    let mut broken = false;
    let mut check = |found: Option<Option<(TraceId, SpanId)>>| match found {
        Some(None) => {
            broken = true;
            None
        }
        Some(Some(ids)) => Some(ids),
        None => None,
    };
    let w3c = check(text("traceparent").map(traceparent));
    let ids = w3c
        .or_else(|| check(text("b3").filter(|v| !matches!(*v, "0" | "1" | "d")).map(b3_single)))
        .or_else(|| {
            let trace = text("x-b3-traceid")?;
            check(Some(b3(trace, text("x-b3-spanid").unwrap_or_default())))
        })
        .or_else(|| check(text("uber-trace-id").map(uber)));
    match ids {
        Some((trace_id, span_id)) => {
            // W3C Trace Context 3.3: "If the vendor failed to parse traceparent, it MUST NOT attempt to
            // parse tracestate." It belongs to that field, not to another kind of context.
            let trace_state = first("tracestate")
                .filter(|s| w3c.is_some() && !s.is_empty() && s.len() <= MAX_TRACE_STATE)
                .map(str::to_owned);
            Carried::Context(RemoteContext { trace_id, span_id, trace_state })
        }
        None if broken => Carried::Broken,
        None => Carried::Nothing,
    }
}

/// `version "-" trace-id "-" parent-id "-" trace-flags` (W3C Trace Context 3.2), lower-case hex.
/// Version ff is invalid; a higher version may have more after the flags (3.2.4).
fn traceparent(value: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = value.split('-');
    let (version, trace, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let lower = |s: &str| s.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let more = parts.next().is_some();
    if version.len() != 2 || version == "ff" || flags.len() != 2 || (version == "00" && more) {
        return None;
    }
    if ![version, trace, span, flags].into_iter().all(lower) || trace.len() != 32 || span.len() != 16 {
        return None;
    }
    trace_and_span(trace, span)
}

/// `{TraceId}-{SpanId}-{SamplingState}-{ParentSpanId}`; the last two are optional, a lone sampling
/// state names no trace.
fn b3_single(value: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = value.split('-');
    b3(parts.next()?, parts.next()?)
}

/// B3: "The TraceId is 64 or 128-bit in length", the span's 64-bit, both in full as hex digits.
fn b3(trace: &str, span: &str) -> Option<(TraceId, SpanId)> {
    let full = matches!(trace.len(), 16 | 32) && span.len() == 16;
    if full { trace_and_span(trace, span) } else { None }
}

/// `{trace-id}:{span-id}:{parent-span-id}:{flags}`; leading zeros may be missing.
fn uber(value: &str) -> Option<(TraceId, SpanId)> {
    let mut parts = value.split(':');
    let ids = trace_and_span(parts.next()?, parts.next()?);
    (parts.count() == 2).then_some(ids)?
}

/// Hex ids of up to 32 and 16 digits; shorter ones are filled with zeros from the left.
fn trace_and_span(trace: &str, span: &str) -> Option<(TraceId, SpanId)> {
    let hex = |s: &str, max: usize| {
        let valid = !s.is_empty() && s.len() <= max && s.bytes().all(|b| b.is_ascii_hexdigit());
        if valid { u128::from_str_radix(s, 16).ok().filter(|n| *n != 0) } else { None }
    };
    let span = u64::try_from(hex(span, 16)?).ok()?;
    Some((TraceId(hex(trace, 32)?.to_be_bytes()), SpanId(span.to_be_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn of(fields: &[(&str, &str)]) -> Carried {
        extract(|name| {
            let mut values = fields.iter().filter(|(n, _)| *n == name).map(|(_, v)| v.as_bytes());
            [values.next(), values.next()]
        })
    }

    fn ids(carried: &Carried) -> Option<(String, String)> {
        match carried {
            Carried::Context(c) => Some((c.trace_id.to_string(), c.span_id.to_string())),
            _ => None,
        }
    }

    #[test]
    fn valid_contexts() {
        let full = Some((TRACE.to_owned(), SPAN.to_owned()));
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let future = format!("cc-{TRACE}-{SPAN}-01-what-ever");
        let single = format!("{TRACE}-{SPAN}-1-05e3ac9a4f6e3b90");
        let jaeger = format!("{TRACE}:{SPAN}:0:1");
        for fields in [
            &[("traceparent", w3c.as_str())][..],
            &[("traceparent", future.as_str())],
            &[("b3", single.as_str())],
            &[("x-b3-traceid", TRACE), ("x-b3-spanid", SPAN)],
            &[("uber-trace-id", jaeger.as_str())],
            &[("uber-trace-id", "1:2:0:1"), ("traceparent", w3c.as_str())],
            &[("traceparent", "nonsense"), ("b3", single.as_str())],
        ] {
            assert_eq!(ids(&of(fields)), full, "{fields:?}");
        }
        let zeros = ids(&of(&[("uber-trace-id", "1:2:0:1")])).expect("leading zeros may be left out");
        assert_eq!(zeros, (format!("{:0>32}", 1), format!("{:0>16}", 2)));
        let short = of(&[("b3", "80f198ee56343ba8-e457b5a2e4d86bd1-1")]);
        assert_eq!(ids(&short).expect("a 64-bit trace id").0, "000000000000000080f198ee56343ba8");
    }

    #[test]
    fn broken_contexts() {
        for value in [
            "",
            "00",
            &format!("00-{TRACE}-{SPAN}"),
            &format!("00-{TRACE}-{SPAN}-01-more"),
            &format!("ff-{TRACE}-{SPAN}-01"),
            &format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            &format!("00-{}-{SPAN}-01", "0".repeat(32)),
            &format!("00-{TRACE}-{}-01", "0".repeat(16)),
            &format!("00-{TRACE}-{SPAN}-0x"),
        ] {
            assert_eq!(of(&[("traceparent", value)]), Carried::Broken, "{value:?}");
        }
        assert_eq!(of(&[("b3", "0")]), Carried::Nothing, "a lone sampling state");
        for (trace, span) in [("1", SPAN), (&TRACE[1..], SPAN), (TRACE, "2"), (&TRACE[..17], SPAN)] {
            assert_eq!(of(&[("b3", &format!("{trace}-{span}-1"))]), Carried::Broken, "{trace}-{span}");
            assert_eq!(of(&[("x-b3-traceid", trace), ("x-b3-spanid", span)]), Carried::Broken);
        }
        assert_eq!(of(&[("uber-trace-id", "1:2:3")]), Carried::Broken);
        assert_eq!(of(&[]), Carried::Nothing);
    }

    #[test]
    fn of_two_contexts_neither_counts() {
        let (one, two) = (format!("00-{TRACE}-{SPAN}-01"), format!("00-{TRACE}-{SPAN}-00"));
        assert_eq!(of(&[("traceparent", &one), ("traceparent", &two)]), Carried::Broken);
    }

    #[test]
    fn trace_state_comes_along() {
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let Carried::Context(c) = of(&[("traceparent", &w3c), ("tracestate", "a=1,b=2")]) else {
            panic!("no context")
        };
        assert_eq!(c.trace_state.as_deref(), Some("a=1,b=2"));
        let single = format!("{TRACE}-{SPAN}-1");
        for traceparent in [&[][..], &[("traceparent", "nonsense")]] {
            let fields = [traceparent, &[("b3", single.as_str()), ("tracestate", "a=1")]].concat();
            let Carried::Context(c) = of(&fields) else { panic!("no context") };
            assert_eq!(c.trace_state, None, "it belongs to traceparent");
        }
    }
}
