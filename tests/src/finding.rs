//! A finding as the tracer printed it.

use crate::span::is_id;
use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One line of `{"type":"finding"}`, checked for form.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Stable dotted name.
    pub rule: String,
    /// `info`, `low`, `medium`, `high` or `critical`.
    pub severity: String,
    /// `suspicious`, `probable` or `confirmed`.
    pub confidence: String,
    /// Trace and span, where it belongs to one.
    pub span: Option<(String, String)>,
    /// The whole line.
    pub json: Value,
}

impl Finding {
    /// Reads a line; whatever breaks the contract is an error.
    pub fn parse(json: Value) -> Result<Self> {
        let text = |key: &str| {
            json[key].as_str().map(str::to_owned).with_context(|| format!("{key} is no string in {json}"))
        };
        let is_time = |value: &Value| value.as_str().is_some_and(|time| time.parse::<u64>().is_ok());
        let span = match (&json["trace_id"], &json["span_id"]) {
            (Value::Null, Value::Null) => None,
            _ => Some((text("trace_id")?, text("span_id")?)),
        };
        let finding = Self {
            rule: text("rule")?,
            severity: text("severity")?,
            confidence: text("confidence")?,
            span,
            json: json.clone(),
        };
        let ids = finding.span.as_ref();
        ensure!(ids.is_none_or(|(trace, span)| is_id(trace, 32) && is_id(span, 16)), "no ids: {json}");
        let severities = ["info", "low", "medium", "high", "critical"];
        ensure!(severities.contains(&finding.severity.as_str()), "unknown severity: {json}");
        let confidences = ["suspicious", "probable", "confirmed"];
        ensure!(confidences.contains(&finding.confidence.as_str()), "unknown confidence: {json}");
        ensure!(finding.rule.contains('.') && !text("title")?.is_empty(), "no rule, no title: {json}");
        ensure!(is_time(&json["time_unix_nano"]), "no time: {json}");
        ensure!(json["resource"].is_object() && json["attributes"].is_object(), "missing parts: {json}");
        let facts = json["evidence"].as_array().with_context(|| format!("no evidence: {json}"))?;
        ensure!(!facts.is_empty(), "a finding without evidence: {json}");
        for fact in facts {
            ensure!(is_time(&fact["time_unix_nano"]) && fact["text"].is_string(), "no fact: {fact}");
        }
        Ok(finding)
    }
}
