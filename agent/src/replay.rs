//! Replaying a recording: the same conclusions from the same inputs.

use crate::{
    cli::Outlets,
    export::{Exporter, WhenFull},
    filter::Filter,
    pipeline::{self, Pipeline},
    recording::{ReadError, Reader},
    trace::{exit_code, say},
    view,
};
use anyhow::Result;
use std::{path::Path, process::ExitCode};
use tracer_engine::{Engine, Time};

/// How often the view is given its turn, in the recording's time: as often as live when little happens.
const SETTLE_MS: u64 = 50;

/// Replays a recording. One that ends early gives what it holds, a word on stderr, and exit code 1.
///
/// # Errors
/// When it cannot be opened, or an output fails.
pub fn run(file: &Path, outlets: Outlets) -> Result<ExitCode> {
    let mut reader = Reader::open(file)?;
    let exporter = outlets.otlp.then(|| Exporter::start(WhenFull::Wait)).transpose()?;
    let mut pipeline = Pipeline::new(Engine::new(reader.config().clone()))
        .with_filter(Filter::new(outlets.conditions))
        .with_view(outlets.view.map(view::on_stdout))
        .with_exporter(exporter);
    let early_end = feed(&mut reader, &mut pipeline)?;
    let summary = pipeline.finish(reader.last_time())?;
    match early_end {
        Some(error) => {
            say(&format!("tracer: {error}"));
            Ok(ExitCode::FAILURE)
        }
        None => Ok(exit_code(&summary)),
    }
}

/// Feeds all that can be read. Gives why that was not all.
fn feed(reader: &mut Reader, pipeline: &mut Pipeline) -> Result<Option<ReadError>, pipeline::Error> {
    let mut settle_due = Time(0);
    loop {
        let (input, now) = match reader.next_input() {
            Ok(Some(next)) => next,
            Ok(None) => return Ok(None),
            Err(error) => return Ok(Some(error)),
        };
        pipeline.feed(input, now)?;
        // Nobody to mute.
        drop(pipeline.take_mutes());
        if now >= settle_due {
            pipeline.settle(now)?;
            settle_due = now.plus_ms(SETTLE_MS);
        }
    }
}
