//! Recordings of applications with many requests open: each must give the very links beside it. See
//! `golden/README.md`.

use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

/// Set to `write`, what is found replaces what was expected: `cargo xtask golden` does.
const WRITE: &str = "TRACER_GOLDEN";

fn recordings() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let mut recordings: Vec<_> =
        files.filter(|file| file.extension().is_some_and(|it| it == "trc")).collect();
    recordings.sort();
    recordings
}

fn replay(recording: &Path) -> Vec<Value> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracer"));
    let output = command.args(["replay", "--output", "json"]).arg(recording).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).unwrap();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["type"] == "span").collect()
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

/// Counts, then each call with what it was hung on, and how.
fn links(spans: &[Value]) -> String {
    let by_id: BTreeMap<_, _> = spans.iter().map(|span| (span["span_id"].as_str(), span)).collect();
    let calls = spans.iter().filter(|span| span["kind"] == "CLIENT" && path(span).starts_with("/call/"));
    let (mut lines, mut wrong, mut none) = (Vec::new(), 0, 0);
    for call in calls {
        let parent = call["parent_span_id"].as_str();
        let Some(id) = parent else {
            none += 1;
            lines.push(format!("{} < -", path(call)));
            continue;
        };
        let parent = by_id.get(&Some(id)).map_or("?", |parent| path(parent));
        let method = call["attributes"]["tracer.link.method"].as_str().unwrap_or("?");
        let right = caused(parent, path(call));
        wrong += usize::from(!right);
        lines.push(format!("{} < {parent} by {method}{}", path(call), if right { "" } else { ", WRONG" }));
    }
    lines.sort();
    let right = lines.len() - wrong - none;
    let (all, roots) = (spans.len(), spans.iter().filter(|span| span["parent_span_id"].is_null()).count());
    format!(
        "{all} spans, {roots} of them roots; calls: {right} right, {wrong} wrong, {none} none\n{}\n",
        lines.join("\n")
    )
}

#[test]
fn every_recording_gives_its_links() {
    let write = env::var_os(WRITE).is_some_and(|value| value == "write");
    let recordings = recordings();
    assert!(!recordings.is_empty());
    let mut differ = Vec::new();
    for recording in recordings {
        let found = links(&replay(&recording));
        let file = recording.with_extension("links");
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
