//! Which span stands under which.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};
use tracer_engine::{Span, SpanId};

/// Deeper than this, spans stand at this depth: a terminal is not endlessly wide.
const MAX_DEPTH: usize = 16;

/// A span and where it stands.
#[derive(Clone, Debug)]
pub struct Line {
    /// The span.
    pub span: Arc<Span>,
    /// Box characters before it; empty for a root.
    pub branch: String,
    /// What kind of line it is.
    pub place: Place,
}

/// How a span came to its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// It has no parent.
    Root,
    /// Its parent is not in sight.
    Stray,
    /// It stands under its parent.
    Child,
    /// It fell out of a full buffer, its tree with it.
    Flat,
}

/// The spans of one trace as trees: roots by time, under each what it caused by time.
pub fn tree(spans: &[Arc<Span>]) -> Vec<Line> {
    let known: HashSet<SpanId> = spans.iter().map(|span| span.span_id).collect();
    let mut children: HashMap<Option<SpanId>, Vec<&Arc<Span>>> = HashMap::new();
    for span in spans {
        // Its own parent it cannot be.
        let parent = span.parent_span_id.filter(|id| known.contains(id) && *id != span.span_id);
        children.entry(parent).or_default().push(span);
    }
    children.values_mut().for_each(|list| list.sort_by_key(|span| (span.start_unix_nano, span.span_id)));
    let mut lines = Vec::with_capacity(spans.len());
    let mut stack: Vec<_> =
        children.remove(&None).unwrap_or_default().into_iter().rev().map(|root| (root, None)).collect();
    while let Some((span, position)) = stack.pop() {
        let (line, below) = place(span, position);
        // Each list is taken once, so what is a child of two spans with one id stands once.
        let list = children.remove(&Some(span.span_id)).unwrap_or_default();
        let last = list.len().saturating_sub(1);
        for (n, child) in list.into_iter().enumerate().rev() {
            stack.push((child, Some(Position { prefix: below.clone(), last: n == last })));
        }
        lines.push(line);
    }
    // Spans that are each other's ancestors: no engine makes them, but nothing is to be hidden.
    lines.extend(children.into_values().flatten().map(|span| single(span, Place::Stray)));
    lines
}

/// The spans one by one, by time.
pub fn flat(spans: &[Arc<Span>]) -> Vec<Line> {
    let mut lines: Vec<_> = spans.iter().map(|span| single(span, Place::Flat)).collect();
    lines.sort_by_key(|line| line.span.start_unix_nano);
    lines
}

/// Where a child stands: what is before its branch, and whether no sibling follows.
struct Position {
    prefix: String,
    last: bool,
}

/// The line of a span, and what stands before the branches of its children.
fn place(span: &Arc<Span>, position: Option<Position>) -> (Line, String) {
    let Some(Position { prefix, last }) = position else {
        let place = if span.parent_span_id.is_none() { Place::Root } else { Place::Stray };
        return (single(span, place), String::new());
    };
    let (branch, below) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
    let deep = prefix.chars().count() >= 3 * MAX_DEPTH;
    let line = Line { span: span.clone(), branch: format!("{prefix}{branch}"), place: Place::Child };
    (line, if deep { prefix } else { prefix + below })
}

fn single(span: &Arc<Span>, place: Place) -> Line {
    Line { span: span.clone(), branch: String::new(), place }
}
