//! Recordings of real servers: each must give the very links and findings beside it. See `golden/README.md`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Set to `write`, what is found replaces what was expected: `cargo xtask golden` does.
const WRITE: &str = "TRACER_GOLDEN";
/// The servers' address; the port behind it is another one in each recording.
const LOOPBACK: &str = "127.0.0.1:";

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut recordings: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|it| it == "trc")).collect();
    recordings.sort();
    recordings
}

/// What a recording is replayed to.
struct Replay {
    spans: Vec<Value>,
    findings: Vec<Value>,
}

impl Replay {
    fn of(recording: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
        let output = command.args(["replay", "--output", "json"]).arg(recording).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let lines = String::from_utf8(output.stdout).unwrap();
        let lines: Vec<_> = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()).collect();
        let of = |kind: &str| lines.iter().filter(|line| line["type"] == kind).cloned().collect();
        Self { spans: of("span"), findings: of("finding") }
    }

    /// Counts, the links of calls or the trees of spans, the findings.
    fn text(&self) -> String {
        let (all, findings) = (self.spans.len(), self.findings.len());
        let roots = self.below(None).len();
        let mut text = format!("{all} spans, {roots} of them roots, {findings} findings\n");
        match self.calls().as_slice() {
            [] => self.below(None).into_iter().for_each(|root| self.tree(root, 0, &mut text)),
            calls => self.links(calls, &mut text),
        }
        self.findings.iter().for_each(|found| finding(found, &mut text));
        text
    }

    /// In the order of their begin.
    fn below(&self, parent: Option<&str>) -> Vec<&Value> {
        let mut below: Vec<_> =
            self.spans.iter().filter(|span| span["parent_span_id"].as_str() == parent).collect();
        below.sort_by_key(|span| (span["start_unix_nano"].as_str(), path(span)));
        below
    }

    fn tree(&self, span: &Value, depth: usize, text: &mut String) {
        let attributes = &span["attributes"];
        let status = &attributes["http.response.status_code"];
        let smuggled = if attributes["tracer.smuggled"] == true { ", smuggled" } else { "" };
        let rules = attributes["tracer.finding.rules"].as_array().into_iter().flatten();
        let rules: String = rules.filter_map(Value::as_str).map(|rule| format!(" ! {rule}")).collect();
        let what = match attributes["process.command_args"].as_array().filter(|_| span["kind"] == "INTERNAL")
        {
            Some(args) => format!("{} exit {}", strings(args), attributes["process.exit.code"]),
            None => format!("{} {status}", path(span)),
        };
        let name = format!("{} {} {what}", word(&span["kind"]), word(&span["name"]));
        writeln!(text, "{}{name}{smuggled}{rules}", "  ".repeat(depth)).unwrap();
        for child in self.below(span["span_id"].as_str()) {
            self.tree(child, depth + 1, text);
        }
    }

    /// The calls of those applications that say in the path what each is for.
    fn calls(&self) -> Vec<&Value> {
        let calls = self.spans.iter().filter(|span| span["kind"] == "CLIENT");
        calls.filter(|span| path(span).starts_with("/call/")).collect()
    }

    /// Each call with what it was hung on, and how.
    fn links(&self, calls: &[&Value], text: &mut String) {
        let by_id: BTreeMap<_, _> = self.spans.iter().map(|span| (span["span_id"].as_str(), span)).collect();
        let (mut lines, mut wrong, mut none) = (Vec::new(), 0, 0);
        for call in calls {
            let parent = call["parent_span_id"].as_str();
            let Some(id) = parent else {
                none += 1;
                lines.push(format!("{} < -", path(call)));
                continue;
            };
            let parent = by_id.get(&Some(id)).map_or("?", |parent| path(parent));
            let method = word(&call["attributes"]["tracer.link.method"]);
            let right = caused(parent, path(call));
            wrong += usize::from(!right);
            lines.push(format!(
                "{} < {parent} by {method}{}",
                path(call),
                if right { "" } else { ", WRONG" }
            ));
        }
        lines.sort();
        let right = lines.len() - wrong - none;
        writeln!(text, "calls: {right} right, {wrong} wrong, {none} none\n{}", lines.join("\n")).unwrap();
    }
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn path(span: &Value) -> &str {
    let text = |key| span["attributes"][key].as_str();
    let full = text("url.full").and_then(|url| url.splitn(4, '/').nth(3).map(|path| (url, path.len() + 1)));
    full.map_or_else(|| text("url.path").unwrap_or("?"), |(url, length)| &url[url.len() - length..])
}

/// The id that a path shows: `/ID`, and `/call/ID/N` or, in an opaque recording, the same backwards.
fn caused(request: &str, call: &str) -> bool {
    let shown = call.split('/').nth(2).unwrap_or_default();
    let backwards: String = shown.chars().rev().collect();
    [shown, &backwards].contains(&request.trim_start_matches('/'))
}

fn strings(values: &[Value]) -> String {
    values.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// What says nothing but which process, user and port a recording was made with.
const OF_ITS_OWN: &[&str] = &[
    "process.pid",
    "process.parent_pid",
    "network.peer.port",
    "network.local.port",
    "client.port",
    "server.port",
];

/// A finding with its evidence; times and ports are of one recording alone.
fn finding(finding: &Value, text: &mut String) {
    let part = |key: &str| word(&finding[key]);
    let (rule, confidence, title) = (part("rule"), part("confidence"), part("title"));
    writeln!(text, "{rule}, {}, {confidence}: {}", part("severity"), without_ports(title)).unwrap();
    for (key, value) in finding["attributes"].as_object().into_iter().flatten() {
        if !OF_ITS_OWN.contains(&key.as_str()) {
            let value = value.as_array().map_or_else(|| value.to_string(), |all| strings(all));
            writeln!(text, "  {key} {}", without_ports(value.trim_matches('"'))).unwrap();
        }
    }
    for fact in finding["evidence"].as_array().into_iter().flatten() {
        writeln!(text, "- {}", without_ports(word(&fact["text"]))).unwrap();
    }
}

fn without_ports(text: &str) -> String {
    let mut pieces = text.split(LOOPBACK);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |text, piece| {
        format!("{text}{LOOPBACK}*{}", piece.trim_start_matches(|c: char| c.is_ascii_digit()))
    })
}

#[test]
fn every_recording_gives_its_conclusions() {
    let write = env::var_os(WRITE).is_some_and(|value| value == "write");
    let recordings = recordings();
    assert!(!recordings.is_empty());
    let mut differ = Vec::new();
    for recording in recordings {
        let found = Replay::of(&recording).text();
        let file = recording.with_extension("txt");
        if write {
            fs::write(&file, &found).unwrap();
        }
        let expected = fs::read_to_string(&file).unwrap_or_default();
        let lines = |text: &str, sign: char, other: &str| {
            let only = text.lines().filter(|line| !other.lines().any(|it| it == *line));
            only.map(|line| format!("{sign} {line}\n")).collect::<String>()
        };
        if found != expected {
            let (gone, new) = (lines(&expected, '-', &found), lines(&found, '+', &expected));
            differ.push(format!("{}\n{gone}{new}", file.display()));
        }
    }
    let differ = differ.join("\n");
    assert!(
        differ.is_empty(),
        "{differ}\nIf this is meant: `cargo xtask golden`, and look at the difference"
    );
}
