//! Replaying a recording: the same conclusions from the same inputs.

use crate::{
    FAILED,
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
    let early_end = pipeline::unless_closed(feed(&mut reader, &mut pipeline))?;
    let summary = pipeline.finish(reader.last_time())?;
    if let Some(error) = &early_end {
        say(&format!("tracer: {error}"));
    }
    let own = if early_end.is_some() { FAILED } else { 0 };
    Ok(exit_code(&summary, outlets.fail_on, own).into())
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
        // Nobody to grant them.
        drop(pipeline.take_wishes());
        if now >= settle_due {
            pipeline.settle(now)?;
            settle_due = now.plus_ms(SETTLE_MS);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        describer::Describer, filter::Asked, recording::Recorder, summary::Summary, testing::smuggling,
        view::View,
    };
    use std::{cell::RefCell, io, rc::Rc, sync::Arc};
    use tracer_engine::{Config, Finding, Input, ProcessFacts, Span};

    /// Keeps what it is shown.
    #[derive(Clone, Default)]
    struct Kept(Rc<RefCell<Vec<Span>>>, Rc<RefCell<Vec<Finding>>>);

    impl View for Kept {
        fn ready(&mut self, _: &[&str]) -> io::Result<()> {
            Ok(())
        }

        fn span(&mut self, span: &Arc<Span>, _: Asked, _: Time) -> io::Result<()> {
            self.0.borrow_mut().push(Span::clone(span));
            Ok(())
        }

        fn finding(&mut self, finding: &Arc<Finding>, _: Time) -> io::Result<()> {
            self.1.borrow_mut().push(Finding::clone(finding));
            Ok(())
        }

        fn settle(&mut self, _: Time) -> io::Result<()> {
            Ok(())
        }

        fn finish(self: Box<Self>, _: &Summary) -> io::Result<()> {
            Ok(())
        }
    }

    fn facts(pid: u32) -> ProcessFacts {
        ProcessFacts { pid, exe: "/usr/sbin/shop".into(), comm: "shop".into(), ..ProcessFacts::default() }
    }

    #[test]
    fn a_replay_concludes_what_the_live_run_did() {
        let path = std::env::temp_dir().join(format!("tracer-test-{}-replay", std::process::id()));
        let config = Config { boot_to_unix_ns: 5, host_name: "h".into(), host_id: None };
        let live = Kept::default();
        let mut pipeline = Pipeline::new(Engine::new(config.clone()))
            .with_describer(Describer::start(facts).unwrap())
            .with_recorder(Some(Recorder::create(&path, true, &config).unwrap()))
            .with_view(Some(Box::new(live.clone())));
        let end = Time(1_000_000_000).plus_ms(9);
        smuggling().iter().for_each(|record| pipeline.feed(Input::Record(record), end).unwrap());
        while pipeline.take_answers(end).unwrap() {
            std::thread::yield_now();
        }
        let live_summary = pipeline.finish(end).unwrap();

        let replayed = Kept::default();
        let mut reader = Reader::open(&path).unwrap();
        let mut pipeline =
            Pipeline::new(Engine::new(reader.config().clone())).with_view(Some(Box::new(replayed.clone())));
        assert!(feed(&mut reader, &mut pipeline).unwrap().is_none());
        let summary = pipeline.finish(reader.last_time()).unwrap();
        std::fs::remove_file(&path).unwrap();

        let live_findings = live.1.borrow().clone();
        let live = live.0.borrow();
        assert!(live_findings.iter().any(|finding| finding.rule == "http.request_smuggling"));
        assert_eq!(live[0].resource.facts, facts(812), "the question was answered");
        assert_eq!(*live, *replayed.0.borrow());
        assert_eq!(live_findings, *replayed.1.borrow());
        assert_eq!(live_summary.engine, summary.engine);
    }
}
