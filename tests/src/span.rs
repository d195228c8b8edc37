//! A span as the tracer printed it.

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// One line of `{"type":"span"}`, checked for form.
#[derive(Clone, Debug, PartialEq)]
pub struct Span {
    /// 32 hexadecimal digits.
    pub trace_id: String,
    /// 16 hexadecimal digits.
    pub span_id: String,
    /// 16 hexadecimal digits, none for a root.
    pub parent: Option<String>,
    /// `SERVER`, `CLIENT` or `INTERNAL`.
    pub kind: String,
    /// The name.
    pub name: String,
    /// Nanoseconds since the epoch.
    pub start: u64,
    /// Nanoseconds since the epoch.
    pub end: u64,
    /// The whole line.
    pub json: Value,
}

impl Span {
    /// Reads a line; whatever breaks the contract is an error.
    pub fn parse(json: Value) -> Result<Self> {
        let text = |key: &str| {
            json[key].as_str().map(str::to_owned).with_context(|| format!("{key} is no string in {json}"))
        };
        let time = |key: &str| Ok::<_, anyhow::Error>(text(key)?.parse::<u64>()?);
        let parent = json["parent_span_id"].as_str().filter(|id| !id.is_empty()).map(str::to_owned);
        let span = Self {
            trace_id: text("trace_id")?,
            span_id: text("span_id")?,
            parent,
            kind: text("kind")?,
            name: text("name")?,
            start: time("start_unix_nano")?,
            end: time("end_unix_nano")?,
            json: json.clone(),
        };
        ensure!(is_id(&span.trace_id, 32) && is_id(&span.span_id, 16), "an id that is none: {json}");
        ensure!(span.parent.as_ref().is_none_or(|id| is_id(id, 16)), "a parent that is none: {json}");
        ensure!(["SERVER", "CLIENT", "INTERNAL"].contains(&span.kind.as_str()), "unknown kind: {json}");
        ensure!(span.start <= span.end, "ends before it begins: {json}");
        ensure!(json["links"].is_array() && json["attributes"].is_object(), "missing parts: {json}");
        ensure!(json["resource"]["service.name"].is_string(), "no service.name: {json}");
        ensure!(json["resource"]["process.pid"].is_u64(), "no process.pid in the resource: {json}");
        Ok(span)
    }

    /// An attribute that is a string.
    #[must_use]
    pub fn text(&self, key: &str) -> Option<&str> {
        self.json["attributes"][key].as_str()
    }

    /// An attribute that is a whole number.
    #[must_use]
    pub fn number(&self, key: &str) -> Option<i64> {
        self.json["attributes"][key].as_i64()
    }

    /// An attribute that is a list of strings; empty when it is not there.
    #[must_use]
    pub fn list(&self, key: &str) -> Vec<&str> {
        self.json["attributes"][key].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
    }

    /// Whose span this is.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.json["resource"]["process.pid"].as_u64().and_then(|pid| pid.try_into().ok()).unwrap_or(0)
    }

    /// The request's method as it stood in the bytes.
    #[must_use]
    pub fn method(&self) -> &str {
        self.text("http.request.method_original").or_else(|| self.text("http.request.method")).unwrap_or("")
    }

    /// The request's target in origin form: from `url.path` and `url.query`, or from `url.full`.
    #[must_use]
    pub fn target(&self) -> String {
        if let Some(path) = self.text("url.path") {
            return self.text("url.query").map_or_else(|| path.to_owned(), |query| format!("{path}?{query}"));
        }
        let full = self.text("url.full").unwrap_or("");
        let rest = full.split_once("://").map_or(full, |(_, rest)| rest);
        rest.find('/').map_or_else(|| rest.to_owned(), |slash| rest[slash..].to_owned())
    }

    /// The response's status code; 0 when none was seen.
    #[must_use]
    pub fn status(&self) -> u16 {
        self.number("http.response.status_code").and_then(|code| code.try_into().ok()).unwrap_or(0)
    }

    /// Nanoseconds.
    #[must_use]
    pub fn duration(&self) -> u64 {
        self.end - self.start
    }

    /// A line that a person reads in a failure.
    #[must_use]
    pub fn brief(&self) -> String {
        let what = if self.kind == "INTERNAL" {
            format!("{:?} exit {:?}", self.list("process.command_args"), self.number("process.exit.code"))
        } else {
            format!("{} {} {}", self.method(), self.target(), self.status())
        };
        let parent = self.parent.as_deref().unwrap_or("-");
        let link = self.text("tracer.link.method").unwrap_or("-");
        let (trace, id) = (&self.trace_id[..8], &self.span_id);
        format!("{:8} pid {} {what} [trace {trace} id {id} parent {parent} by {link}]", self.kind, self.pid())
    }
}

/// The spans, a line each.
#[must_use]
pub fn brief<'a>(spans: impl IntoIterator<Item = &'a Span>) -> String {
    spans.into_iter().map(|span| format!("  {}\n", span.brief())).collect()
}

/// Whether this is an id of so many hexadecimal digits.
#[must_use]
pub fn is_id(text: &str, length: usize) -> bool {
    text.len() == length
        && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        && text.bytes().any(|b| b != b'0')
}
