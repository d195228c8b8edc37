use super::*;
use crate::{
    filter::Conditions,
    recording::Reader,
    testing::{exchange, finding},
};
use tracer_engine::{Config, Severity};

/// A view whose reader is gone.
struct Closed;

impl View for Closed {
    fn ready(&mut self, _: &[&str]) -> io::Result<()> {
        Ok(())
    }

    fn span(&mut self, _: &Arc<Span>, _: Asked, _: Time) -> io::Result<()> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn finding(&mut self, _: &Arc<Finding>, _: Time) -> io::Result<()> {
        Ok(())
    }

    fn settle(&mut self, _: Time) -> io::Result<()> {
        Ok(())
    }

    fn finish(self: Box<Self>, _: &Summary) -> io::Result<()> {
        unreachable!("its reader is gone")
    }
}

#[test]
fn a_closed_output_ends_the_run_and_nothing_else() {
    let path = std::env::temp_dir().join(format!("tracer-test-{}-closed", std::process::id()));
    let recorder = Recorder::create(&path, true, &Config::default()).unwrap();
    let mut pipeline = Pipeline::new(Engine::new(Config::default()))
        .with_recorder(Some(recorder))
        .with_view(Some(Box::new(Closed)));
    let end = Time(1_000_000_000).plus_ms(9);
    // The batch goes through to its end, for the recording and the exporter.
    exchange().iter().for_each(|record| pipeline.feed(Input::Record(record), end).unwrap());
    let late = end.plus_ms(5000);
    pipeline.feed(Input::Tick, late).unwrap();
    let error = pipeline.settle(late).unwrap_err();
    assert!(error.is_closed_pipe());
    assert!(unless_closed(Err::<(), _>(error)).is_ok());
    assert_eq!(pipeline.finish(late).unwrap().told.spans, 1, "what was seen counts");
    let mut reader = Reader::open(&path).unwrap();
    while reader.next_input().expect("the recording was ended").is_some() {}
    std::fs::remove_file(&path).unwrap();
}

#[test]
fn only_findings_that_were_asked_for_are_told() {
    let conditions = |pid| Conditions { pids: vec![pid], findings: true, ..Conditions::default() };
    for (pid, told) in [(812, 2), (1, 0)] {
        let filter = Filter::new(conditions(pid));
        let mut pipeline = Pipeline::new(Engine::new(Config::default())).with_filter(filter);
        for severity in [Severity::High, Severity::Low] {
            let finding = Finding { severity, ..finding() };
            pipeline.route(Output::Finding(Box::new(finding)), Time(0)).unwrap();
        }
        let got = pipeline.finish(Time(0)).unwrap().told;
        assert_eq!((got.findings, got.worst), (told, (told > 0).then_some(Severity::High)));
    }
}
