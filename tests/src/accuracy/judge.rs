//! The links of a report, held against the truth.

use super::Ids;
use crate::{Report, Span};
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, BTreeSet};

/// Calls by what they were hung on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// The request that caused them.
    pub right: u32,
    /// Anything else, also what was never reported.
    pub wrong: u32,
    /// Nothing.
    pub none: u32,
}

impl Tally {
    /// All of them.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.right + self.wrong + self.none
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
            match &found[0].parent {
                None => tally.none += 1,
                Some(parent) if spans.get(parent).is_some_and(is_cause) => tally.right += 1,
                Some(_) => tally.wrong += 1,
            }
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
            "attributes": { "url.path": path },
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
        assert_eq!(tally([Some(1), Some(2)]), Tally { right: 2, wrong: 0, none: 0 });
        assert_eq!(tally([Some(2), None]), Tally { right: 0, wrong: 1, none: 1 });
        assert_eq!(tally([Some(9), Some(3)]), Tally { right: 0, wrong: 2, none: 0 });
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
