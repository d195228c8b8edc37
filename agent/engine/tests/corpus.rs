//! Replays the corpora of the fuzz targets in the usual test run, with the targets' own checks.

use std::path::Path;

#[path = "../../../tests/fuzz/checks/fastcgi.rs"]
mod fastcgi;
#[path = "../../../tests/fuzz/checks/http1.rs"]
mod http1;
#[path = "../../../tests/fuzz/checks/reassembly.rs"]
mod reassembly;
#[path = "../../../tests/fuzz/checks/uwsgi.rs"]
mod uwsgi;

/// Runs `check` on every input that is checked in for `target`.
fn replay(target: &str, check: fn(&[u8])) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
    let entries = std::fs::read_dir(&corpus).unwrap_or_else(|e| panic!("{}: {e}", corpus.display()));
    let mut inputs = 0;
    for entry in entries {
        let path = entry.expect("a directory that can be read").path();
        println!("{}", path.display());
        check(&std::fs::read(&path).expect("an input that can be read"));
        inputs += 1;
    }
    assert!(inputs > 0, "{} is empty", corpus.display());
}

#[test]
fn fastcgi_corpus() {
    replay("fastcgi", fastcgi::check);
}

#[test]
fn http1_corpus() {
    replay("http1", http1::check);
}

#[test]
fn reassembly_corpus() {
    replay("reassembly", reassembly::check);
}

#[test]
fn uwsgi_corpus() {
    replay("uwsgi", uwsgi::check);
}
