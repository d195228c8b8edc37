//! The links of a report, held against the truth.

use super::Ids;
use crate::{Report, Span};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// A link of this confidence is one that may be relied on.
const SURE: f64 = 0.9;

/// Calls by what they were hung on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The request that caused them.
    pub right: u32,
    /// Anything else, also what was never reported.
    pub wrong: u32,
    /// Nothing.
    pub none: u32,
    /// Those hung on something with a confidence of 0.9 and better.
    pub sure: u32,
    /// Of these, the right ones.
    pub sure_right: u32,
}

impl Tally {
    /// All of them.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.right + self.wrong + self.none
    }

    /// These and those.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            right: self.right + other.right,
            wrong: self.wrong + other.wrong,
            none: self.none + other.none,
            sure: self.sure + other.sure,
            sure_right: self.sure_right + other.sure_right,
        }
    }

    /// Right, wrong and none in percent.
    #[must_use]
    pub fn percent(&self) -> [f64; 3] {
        let all = f64::from(self.calls().max(1));
        [self.right, self.wrong, self.none].map(|part| f64::from(part) * 100.0 / all)
    }
}

/// Judges the calls of an application's processes; an error when one of them was not reported.
pub fn judge(report: &Report, app: &BTreeSet<u32>, ids: Ids, requests: &[String]) -> Result<Tally> {
    let mut calls: BTreeMap<String, Vec<&Span>> = BTreeMap::new();
    for span in report.of(app).into_iter().filter(|span| span.kind == "CLIENT") {
        calls.entry(span.target()).or_default().push(span);
    }
    let spans: BTreeMap<_, _> = report.spans.iter().map(|span| (&span.span_id, span)).collect();
    let mut tally = Tally::default();
    for request in requests {
        for target in ids.calls(request)? {
            let found = calls.get(&target).with_context(|| format!("{target} was not reported"))?;
            ensure!(found.len() == 1, "{target} was reported {} times", found.len());
            let is_cause = |parent: &&Span| {
                parent.kind == "SERVER" && app.contains(&parent.pid()) && parent.target()[1..] == *request
            };
            let Some(parent) = &found[0].parent else {
                tally.none += 1;
                continue;
            };
            let right = u32::from(spans.get(parent).is_some_and(is_cause));
            let sure =
                u32::from(found[0].json["attributes"]["tracer.link.confidence"].as_f64() >= Some(SURE));
            tally.right += right;
            tally.wrong += 1 - right;
            tally.sure += sure;
            tally.sure_right += sure * right;
        }
    }
    Ok(tally)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn span(id: u8, parent: Option<u8>, kind: &str, pid: u32, path: &str) -> String {
        let hex = |id: u8| format!("{id:016x}");
        json!({
            "type": "span", "trace_id": "1".repeat(32), "span_id": hex(id), "parent_span_id": parent.map(hex),
            "kind": kind, "name": "GET", "start_unix_nano": "1", "end_unix_nano": "2", "links": [],
            "attributes": { "url.path": path, "tracer.link.confidence": if id == 4 { 0.95 } else { 0.86 } },
            "resource": { "service.name": "app", "process.pid": pid },
        })
        .to_string()
    }

    fn judged(lines: &[String], ids: Ids) -> Result<Tally> {
        let text = format!("{}\n{{\"type\":\"stats\"}}", lines.join("\n"));
        let requests = ["00000000".to_owned(), "00000003".to_owned()];
        judge(&Report::parse(&text, String::new())?, &BTreeSet::from([7]), ids, &requests)
    }

    /// Two requests, and the call of each.
    fn lines(parents: [Option<u8>; 2], calls: [&str; 2]) -> Vec<String> {
        vec![
            span(1, None, "SERVER", 7, "/00000000"),
            span(2, None, "SERVER", 7, "/00000003"),
            // The client's own: not the application's.
            span(3, None, "CLIENT", 8, "/00000003"),
            span(4, parents[0], "CLIENT", 7, calls[0]),
            span(5, parents[1], "CLIENT", 7, calls[1]),
        ]
    }

    #[test]
    fn what_was_reported_is_held_against_the_ids() {
        let plain = ["/call/00000000/0", "/call/00000003/0"];
        let tally = |parents| judged(&lines(parents, plain), Ids::Plain).unwrap();
        let expected = |right, wrong, none, sure, sure_right| Tally { right, wrong, none, sure, sure_right };
        assert_eq!(tally([Some(1), Some(2)]), expected(2, 0, 0, 1, 1));
        assert_eq!(tally([Some(2), None]), expected(0, 1, 1, 1, 0));
        assert_eq!(tally([Some(9), Some(3)]), expected(0, 2, 0, 1, 0));
        assert_eq!(tally([None, Some(2)]).and(tally([Some(1), None])), expected(2, 0, 2, 1, 1));
        let opaque = lines([Some(1), Some(2)], ["/call/00000000/0", "/call/30000000/0"]);
        assert_eq!(judged(&opaque, Ids::Opaque).unwrap().right, 2);
    }

    #[test]
    fn a_call_that_is_missing_or_there_twice_is_an_error() {
        let plain = ["/call/00000000/0", "/call/00000003/0"];
        let all = lines([Some(1), Some(2)], plain);
        assert!(judged(&all[..4], Ids::Plain).unwrap_err().to_string().contains("not reported"));
        let twice = [all, vec![span(6, None, "CLIENT", 7, plain[0])]].concat();
        assert!(judged(&twice, Ids::Plain).unwrap_err().to_string().contains("2 times"));
    }
}
