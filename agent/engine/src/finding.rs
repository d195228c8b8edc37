//! Findings, as they leave: what someone should look at, with what was seen that says so.

use crate::{Resource, SpanId, TraceId, Value};
use std::sync::Arc;

/// How bad it is, if it is what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Good to know.
    Info,
    /// Rarely of interest by itself.
    Low,
    /// Worth a look in working hours.
    Medium,
    /// Worth a look now.
    High,
    /// Someone is inside.
    Critical,
}

impl Severity {
    /// All, the least first.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// In small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// How sure it is that it is what it looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// It may as well be something else.
    Suspicious,
    /// Other explanations are rare.
    Probable,
    /// What was seen has no other explanation.
    Confirmed,
}

impl Confidence {
    /// In small letters.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspicious => "suspicious",
            Self::Probable => "probable",
            Self::Confirmed => "confirmed",
        }
    }
}

/// One observed fact.
#[derive(Clone, Debug, PartialEq)]
pub struct Evidence {
    /// When, nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// What, in words.
    pub text: String,
}

/// A finding as it leaves. One that grew worse leaves again, with the same trace and span, and maybe led by another
/// rule of its family.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Stable dotted name of the rule.
    pub rule: &'static str,
    /// How bad.
    pub severity: Severity,
    /// How sure.
    pub confidence: Confidence,
    /// One line.
    pub title: String,
    /// When the first fact was seen, nanoseconds since the Unix epoch.
    pub time_unix_nano: u64,
    /// Trace and span that it belongs to, if there is one.
    pub span: Option<(TraceId, SpanId)>,
    /// The process it is about.
    pub resource: Arc<Resource>,
    /// Attributes, sorted by key, each key once.
    pub attributes: Vec<(&'static str, Value)>,
    /// What was seen, in order of time; at most 24 facts.
    pub evidence: Vec<Evidence>,
}
