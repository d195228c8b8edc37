//! `cargo xtask links`: measures how rightly calls are linked, and prints a Markdown table; fails where links that
//! say they are sure are not.

use anyhow::{Result, bail, ensure};
use std::fmt::Write;
use tracer_tests::accuracy::{Case, HOWS, How, IDS, Load, RUNTIMES, Runtime, Tally, measure};

const LOAD: Load = Load { connections: 16, each: 25 };

/// What a confidence of 0.9 and better promises, in percent.
const CALIBRATED: f64 = 99.5;

fn main() -> Result<()> {
    let nginx = match std::env::args().skip(1).collect::<Vec<_>>().as_slice() {
        [] => false,
        [one] if one == "--nginx" => true,
        other => bail!("unknown arguments: {other:?}"),
    };
    let mut table = heading();
    let mut all = Tally::default();
    for runtime in RUNTIMES {
        for how in HOWS {
            let mut figures = String::new();
            for ids in IDS {
                let case = Case { runtime, how, ids };
                let tally = measure(case, LOAD, nginx)?;
                eprintln!("{} {} {}: {tally:?}", runtime.name(), how.name(), ids.name());
                all = all.and(tally);
                figures += &cells(&tally);
            }
            writeln!(table, "| {} | {} |{figures}", runtime_in_words(runtime), how_in_words(how))?;
        }
    }
    print!("{table}");
    let right = f64::from(all.sure_right) * 100.0 / f64::from(all.sure.max(1));
    println!("\nOf {} links given as 0.9 and better, {right:.2} % are right.", all.sure);
    ensure!(right >= CALIBRATED, "links of a confidence of 0.9 must be right in {CALIBRATED} % of the cases");
    Ok(())
}

fn heading() -> String {
    let of = |ids: &str| ["right", "wrong", "none"].map(|what| format!(" {ids}: {what} |")).concat();
    format!("| application | its calls |{}{}\n|{}\n", of("plain"), of("opaque"), " --- |".repeat(8))
}

fn cells(tally: &Tally) -> String {
    tally.percent().map(|part| format!(" {part:.1} % |")).concat()
}

fn runtime_in_words(runtime: Runtime) -> &'static str {
    match runtime {
        Runtime::Threads => "Python, a thread for each connection",
        Runtime::Gunicorn => "gunicorn, a pool of threads",
        Runtime::Asyncio => "uvicorn and httpx, an event loop",
        Runtime::Node => "node, an event loop",
    }
}

fn how_in_words(how: How) -> &'static str {
    match how {
        How::InTurn => "in turn",
        How::Parallel => "parallel",
        How::Hop => "after a hop",
    }
}
