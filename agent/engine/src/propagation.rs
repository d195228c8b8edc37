//! Trace contexts that requests carry: W3C `traceparent`, then B3, then Jaeger's `uber-trace-id`.

use crate::{SpanId, TraceId};

/// A context of a caller who traces itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RemoteContext {
    /// Its trace.
    pub trace_id: TraceId,
    /// Its span.
    pub span_id: SpanId,
    /// `tracestate`, its entries as they came, at most [`MAX_TRACE_STATE`] bytes.
    pub trace_state: Option<String>,
}

/// Longest `tracestate` that is kept; W3C Trace Context 3.3.1.5 asks for at least 512.
pub const MAX_TRACE_STATE: usize = 512;
/// W3C Trace Context 3.3.1.5: of a longer one, "entries larger than 128 characters long SHOULD be removed first".
const MAX_ENTRY: usize = 128;

/// Fields that are looked at, in lower case.
const FIELDS: [&str; 6] = ["traceparent", "tracestate", "b3", "x-b3-traceid", "x-b3-spanid", "uber-trace-id"];

/// What the fields of a head say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    /// The first valid context.
    pub context: Option<RemoteContext>,
    /// Whether a field that goes before it does not hold one.
    pub broken: bool,
}

/// In place of text that is none, or of which there is more than one; valid in none of the fields.
const UNREADABLE: &str = "?";

type Ids = (TraceId, SpanId);

/// Finds the context in a head's field lines.
pub fn extract<'a>(lines: impl Iterator<Item = (&'a [u8], &'a [u8])>) -> Carried {
    let known = |name: &[u8]| FIELDS.into_iter().find(|known| name.eq_ignore_ascii_case(known.as_bytes()));
    let lines: Vec<_> = lines.filter_map(|(name, value)| Some((known(name)?, readable(value)))).collect();
    if lines.is_empty() {
        return Carried::default();
    }
    let all = |wanted| lines.iter().filter(move |(name, _)| *name == wanted).map(|(_, value)| *value);
    // Of two contexts nobody knows which one is meant: that is none, and broken. The same twice is one.
    let text = |name| all(name).reduce(|one, other| if one == other { one } else { UNREADABLE });
    let (mut broken, mut w3c) = (false, false);
    let ids = text("traceparent")
        .and_then(|value| checked(traceparent(value), &mut broken))
        .inspect(|_| w3c = true)
        .or_else(|| checked(b3_single(text("b3").filter(|v| !matches!(*v, "0" | "1" | "d"))?), &mut broken))
        .or_else(|| {
            let trace = text("x-b3-traceid")?;
            checked(b3(trace, text("x-b3-spanid").unwrap_or_default()), &mut broken)
        })
        .or_else(|| checked(uber(text("uber-trace-id")?), &mut broken));
    // W3C Trace Context 3.3: "If the vendor failed to parse traceparent, it MUST NOT attempt to parse
    // tracestate." It belongs to that field, not to another kind of context.
    let states = all("tracestate").filter(|state| *state != UNREADABLE);
    let trace_state = if w3c { trace_state(states) } else { None };
    let context = ids.map(|(trace_id, span_id)| RemoteContext { trace_id, span_id, trace_state });
    Carried { context, broken }
}

/// A field's text; what is none is no valid context either.
fn readable(value: &[u8]) -> &str {
    std::str::from_utf8(value).map_or(UNREADABLE, str::trim)
}

fn checked(ids: Option<Ids>, broken: &mut bool) -> Option<Ids> {
    *broken |= ids.is_none();
    ids
}

/// Several field lines are one list (RFC 9110, 5.3). Of one that is too long, large entries go first, "then entries
/// SHOULD be removed starting from the end of tracestate" (W3C Trace Context 3.3.1.5).
fn trace_state<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Option<String> {
    let entries = || lines.clone().flat_map(|line| line.split(',')).map(str::trim).filter(|e| !e.is_empty());
    let all: usize = entries().map(|entry| entry.len() + 1).sum();
    let long = all > MAX_TRACE_STATE + 1;
    let mut list = String::new();
    for entry in entries().filter(|entry| !long || entry.len() <= MAX_ENTRY) {
        if list.len() + usize::from(!list.is_empty()) + entry.len() > MAX_TRACE_STATE {
            break;
        }
        if !list.is_empty() {
            list.push(',');
        }
        list.push_str(entry);
    }
    (!list.is_empty()).then_some(list)
}

/// `version "-" trace-id "-" parent-id "-" trace-flags` (W3C Trace Context 3.2), lower-case hex.
/// Version ff is invalid; a higher version may have more after the flags (3.2.4).
fn traceparent(value: &str) -> Option<Ids> {
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
fn b3_single(value: &str) -> Option<Ids> {
    let mut parts = value.split('-');
    let ids = b3(parts.next()?, parts.next()?);
    let sampling = parts.next().is_none_or(|state| matches!(state, "0" | "1" | "d"));
    let parent = parts.next().is_none_or(|parent| parent.len() == 16 && hex(parent, 16).is_some());
    ids.filter(|_| sampling && parent && parts.next().is_none())
}

/// B3: "The TraceId is 64 or 128-bit in length", the span's 64-bit, both in full as hex digits.
fn b3(trace: &str, span: &str) -> Option<Ids> {
    let full = matches!(trace.len(), 16 | 32) && span.len() == 16;
    if full { trace_and_span(trace, span) } else { None }
}

/// `{trace-id}:{span-id}:{parent-span-id}:{flags}`; leading zeros may be missing. Jaeger's clients send it
/// percent-encoded, which makes a difference for the colons only.
fn uber(value: &str) -> Option<Ids> {
    let value = value.replace("%3A", ":").replace("%3a", ":");
    let mut parts = value.split(':');
    let ids = trace_and_span(parts.next()?, parts.next()?);
    (parts.count() == 2).then_some(ids)?
}

/// Hex ids of up to 32 and 16 digits; shorter ones are filled with zeros from the left.
fn trace_and_span(trace: &str, span: &str) -> Option<Ids> {
    let span = u64::try_from(hex(span, 16)?).ok()?;
    Some((TraceId(hex(trace, 32)?.to_be_bytes()), SpanId(span.to_be_bytes())))
}

/// A number that is not zero, of at most so many hex digits.
fn hex(digits: &str, max: usize) -> Option<u128> {
    let valid = !digits.is_empty() && digits.len() <= max && digits.bytes().all(|b| b.is_ascii_hexdigit());
    if valid { u128::from_str_radix(digits, 16).ok().filter(|n| *n != 0) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
    const SPAN: &str = "b7ad6b7169203331";

    fn of(fields: &[(&str, &str)]) -> Carried {
        extract(fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())))
    }

    fn ids(carried: &Carried) -> Option<(String, String)> {
        carried.context.as_ref().map(|c| (c.trace_id.to_string(), c.span_id.to_string()))
    }

    fn broken() -> Carried {
        Carried { context: None, broken: true }
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
    fn the_same_twice_is_one_and_a_state_that_is_no_text_is_none() {
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let twice = of(&[("traceparent", &w3c), ("traceparent", &w3c)]);
        assert!(twice.context.is_some() && !twice.broken);
        let fields = [("traceparent", w3c.as_bytes()), ("tracestate", b"a=\xff"), ("tracestate", b"b=1")];
        let carried = extract(fields.iter().map(|(name, value)| (name.as_bytes(), *value)));
        assert_eq!(carried.context.and_then(|context| context.trace_state).as_deref(), Some("b=1"));
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
            assert_eq!(of(&[("traceparent", value)]), broken(), "{value:?}");
        }
        assert_eq!(of(&[("b3", "0")]), Carried::default(), "a lone sampling state");
        for (trace, span) in [("1", SPAN), (&TRACE[1..], SPAN), (TRACE, "2"), (&TRACE[..17], SPAN)] {
            assert_eq!(of(&[("b3", &format!("{trace}-{span}-1"))]), broken(), "{trace}-{span}");
            assert_eq!(of(&[("x-b3-traceid", trace), ("x-b3-spanid", span)]), broken());
        }
        assert_eq!(of(&[("uber-trace-id", "1:2:3")]), broken());
        assert_eq!(of(&[]), Carried::default());
    }

    #[test]
    fn of_two_contexts_neither_counts() {
        let (one, two) = (format!("00-{TRACE}-{SPAN}-01"), format!("00-{TRACE}-{SPAN}-00"));
        assert_eq!(of(&[("traceparent", &one), ("traceparent", &two)]), broken());
    }

    #[test]
    fn names_are_written_in_any_case_and_fields_stand_in_any_order() {
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let full = Some((TRACE.to_owned(), SPAN.to_owned()));
        for fields in [
            &[("TraceParent", w3c.as_str())][..],
            &[("TRACEPARENT", &w3c)],
            &[("X-B3-SpanId", SPAN), ("accept", "*/*"), ("X-B3-TraceId", TRACE)],
            &[("X-B3-TRACEID", TRACE), ("X-B3-Sampled", "1"), ("x-b3-spanid", SPAN)],
        ] {
            assert_eq!(ids(&of(fields)), full, "{fields:?}");
        }
        assert_eq!(of(&[("X-B3-Sampled", "0"), ("traceparents", &w3c)]), Carried::default());
        assert_eq!(of(&[("X-B3-TraceId", TRACE)]), broken(), "one half of it");
    }

    #[test]
    fn jaegers_may_be_percent_encoded() {
        for value in [format!("{TRACE}%3A{SPAN}%3A0%3A1"), format!("{TRACE}%3a{SPAN}%3a0:1")] {
            let found = ids(&of(&[("Uber-Trace-Id", &value)]));
            assert_eq!(found, Some((TRACE.to_owned(), SPAN.to_owned())), "{value}");
        }
        assert_eq!(of(&[("uber-trace-id", &format!("{TRACE}%2A{SPAN}%2A0%2A1"))]), broken());
    }

    #[test]
    fn a_broken_context_before_a_valid_one_is_told_too() {
        let single = format!("{TRACE}-{SPAN}-d");
        let found = of(&[("traceparent", "nonsense"), ("b3", &single)]);
        assert!(found.context.is_some() && found.broken);
        for value in [format!("{TRACE}-{SPAN}-2"), format!("{single}-1"), format!("{single}-{SPAN}-0")] {
            assert_eq!(of(&[("b3", &value)]), broken(), "{value}");
        }
        assert_eq!(extract([(&b"b3"[..], &b"\xff"[..])].into_iter()), broken());
    }

    fn state_of(lines: &[&str]) -> Option<String> {
        let w3c = format!("00-{TRACE}-{SPAN}-01");
        let mut fields = vec![("traceparent", w3c.as_str())];
        fields.extend(lines.iter().map(|line| ("tracestate", *line)));
        of(&fields).context.expect("a context").trace_state
    }

    #[test]
    fn trace_state_comes_along() {
        assert_eq!(state_of(&["a=1,b=2"]).as_deref(), Some("a=1,b=2"));
        assert_eq!(
            state_of(&["a=1, b=2", "", " ,c=3\t"]).as_deref(),
            Some("a=1,b=2,c=3"),
            "lines are one list"
        );
        assert_eq!(state_of(&["", ","]), None);
        let single = format!("{TRACE}-{SPAN}-1");
        for traceparent in [&[][..], &[("traceparent", "nonsense")]] {
            let fields = [traceparent, &[("b3", single.as_str()), ("tracestate", "a=1")]].concat();
            let context = of(&fields).context.expect("a context");
            assert_eq!(context.trace_state, None, "it belongs to traceparent");
        }
    }

    #[test]
    fn a_long_trace_state_loses_whole_entries() {
        let (large, entry) = (format!("l={}", "x".repeat(MAX_ENTRY)), format!("e={}", "x".repeat(100)));
        let whole = [entry.as_str(); 4].join(",");
        assert_eq!(state_of(&[&large, &whole]), Some(whole.clone()), "large ones first");
        assert_eq!(state_of(&[&whole, &entry, "z=1"]), Some(whole.clone()), "then from the end");
        assert_eq!(state_of(&[&large, "a=1"]), Some(format!("{large},a=1")), "only where that is needed");
        assert_eq!(state_of(&["x".repeat(MAX_TRACE_STATE).as_str()]).map(|s| s.len()), Some(MAX_TRACE_STATE));
    }
}
