//! What the servers themselves wrote down: one JSON object a line.

use anyhow::{Context, Result};
use serde_json::Value;
use std::path::Path;

/// A request as its server saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Served {
    /// The process that served it.
    pub pid: u32,
    /// Method, as parsed by the server.
    pub method: String,
    /// Request target, as parsed by the server.
    pub target: String,
    /// Status code that the server sent.
    pub status: u16,
    /// Nanoseconds since the epoch: when the server (or its handler) began with it.
    pub begin: u64,
    /// Nanoseconds since the epoch: when the server (or its handler) was done with it.
    pub end: u64,
    /// Milliseconds that the server waited for its own upstream.
    pub upstream_ms: Option<f64>,
}

/// Reads a log of one of `tests/apps`, or of an nginx of [`crate::servers`].
pub fn read(log: &Path) -> Result<Vec<Served>> {
    let text = std::fs::read_to_string(log).with_context(|| format!("read {}", log.display()))?;
    text.lines().map(|line| parse(line).with_context(|| format!("log line {line}"))).collect()
}

fn parse(line: &str) -> Result<Served> {
    let json: Value = serde_json::from_str(line)?;
    let text = |key: &str| json[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
    let number = |key: &str| json[key].as_u64().with_context(|| format!("no {key}"));
    let (begin, end) = if let Some(written) = json["msec"].as_f64() {
        // nginx has $msec, the time of writing, and $request_time, both in seconds with three decimals.
        let length = json["request_time"].as_f64().context("no request_time")?;
        (nanos(written - length), nanos(written))
    } else {
        (number("begin")?, number("end")?)
    };
    Ok(Served {
        pid: number("pid")?.try_into()?,
        method: text("method")?,
        target: text("target")?,
        status: number("status")?.try_into()?,
        begin,
        end,
        upstream_ms: json["upstream"].as_str().and_then(|s| s.parse::<f64>().ok()).map(|s| s * 1e3),
    })
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a time of this century")]
fn nanos(seconds: f64) -> u64 {
    (seconds * 1e3).round() as u64 * 1_000_000
}
