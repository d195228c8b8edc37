//! A live run: watch, run and record are the same with other outlets.

use crate::{
    FAILED, FINDINGS, Unavailable,
    baseline::{FileError, Keeper},
    cli::{BaselineFile, Trace, View},
    clock,
    command::{Command, Ending},
    describe::describe,
    describer::Describer,
    doctor,
    export::{Exporter, WhenFull},
    filter::Filter,
    live::{self, Until},
    pipeline::{self, Pipeline},
    recording::{Recorder, STDIO},
    source::{self, Hooks},
    summary::Summary,
    view,
};
use anyhow::{Context, Result};
use signal_hook::{
    consts::{SIGINT, SIGTERM},
    flag,
};
use std::{
    fs,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};
use tracer_engine::{Config, Engine, Input, Severity, Time, Usual};

/// Traces until something ends it. The exit code is that of findings that it was to fail on; else that of a
/// command that was traced and ended by itself, as with other programs that run one; else 1 when nothing of what was
/// to be exported could be.
///
/// # Errors
/// When it cannot start ([`Unavailable`] when that is the kernel's word), or an output fails.
pub fn run(trace: Trace) -> Result<ExitCode> {
    doctor::require_privilege()?;
    let stop = stop_flag()?;
    let config = config();
    let record = trace.record.as_ref();
    let recorder = record.map(|to| Recorder::create(&to.path, to.replace, &config)).transpose()?;
    let exporter = trace.outlets.otlp.then(|| Exporter::start(WhenFull::Drop)).transpose()?;
    let keeper = keeper(&trace.baseline)?;
    let usual: Vec<Usual> = keeper.iter().flat_map(Keeper::kept).collect();
    let mut pipeline = Pipeline::new(Engine::new(config))
        .with_describer(Describer::start(describe)?)
        .with_recorder(recorder)
        .with_filter(Filter::new(trace.outlets.conditions))
        .with_view(trace.outlets.view.map(view::on_stdout))
        .with_exporter(exporter)
        // Who only records draws no conclusions that are worth keeping.
        .with_keeper(keeper.filter(|_| record.is_none()));
    for usual in usual {
        pipeline.feed(Input::Baseline(usual), clock::now())?;
    }

    let (mut source, hooks) = source::open(trace.source).map_err(Unavailable)?;
    let command = if trace.command.is_empty() { None } else { Some(Command::start(&trace.command)?) };
    if let Some(command) = &command {
        pipeline.only_tree_of(command.pid());
    }
    pipeline.ready(&hooks.missing)?;
    if trace.outlets.view != Some(View::Json) {
        say(&ready_text(record.map(|to| to.path.as_path()), &hooks));
    }
    let until = Until::new(stop, trace.duration.map(after), command);
    let ending = pipeline::unless_closed(live::run(source.as_mut(), &mut pipeline, until))?;
    let summary = pipeline.finish(clock::now())?;
    if trace.outlets.view.is_none() {
        say(&format!("tracer: {}", view::pretty::totals(&summary)));
    }
    if let Some(complaint) = ending.and_then(Ending::complaint) {
        say(&format!("tracer: {complaint}"));
    }
    Ok(exit_code(&summary, trace.outlets.fail_on, ending.map_or(0, Ending::code)).into())
}

/// What keeps the baseline. Where there is no place for it and nobody asked for one, the tracer learns for itself.
fn keeper(file: &BaselineFile) -> Result<Option<Keeper>> {
    let BaselineFile { path, chosen } = file;
    let Some(path) = path else { return Ok(None) };
    match Keeper::open(path) {
        Err(error @ FileError::Failed { .. }) if !chosen => {
            say(&format!("tracer: {error}. What is learned is not kept"));
            Ok(None)
        }
        opened => Ok(Some(opened?)),
    }
}

/// Exit code of a run that went through, where `own` says how well apart from what it found.
pub fn exit_code(summary: &Summary, fail_on: Option<Severity>, own: u8) -> u8 {
    if fail_on.is_some_and(|least| summary.told.worst >= Some(least)) {
        FINDINGS
    } else if own == 0 && summary.nothing_delivered() {
        FAILED
    } else {
        own
    }
}

/// A line for people; without standard error there is nobody to tell.
pub fn say(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}

fn ready_text(record: Option<&Path>, hooks: &Hooks) -> String {
    let Hooks { all, missing } = hooks;
    let some = format!("{} of {all} hooks", all - missing.len());
    let place = |path: &Path| match path == Path::new(STDIO) {
        true => "standard output".into(),
        false => path.display().to_string(),
    };
    match (record, missing.is_empty()) {
        (Some(path), true) => format!("tracer: recording to {}, Ctrl-C ends it", place(path)),
        (Some(path), false) => format!("tracer: recording to {}, {some}, Ctrl-C ends it", place(path)),
        (None, true) => "tracer: every hook is attached, Ctrl-C ends it".into(),
        (None, false) => format!("tracer: ready, {some}, Ctrl-C ends it"),
    }
}

/// A flag that SIGINT and SIGTERM set; a second one of them ends the process at once.
fn stop_flag() -> Result<Arc<AtomicBool>> {
    let stop = Arc::<AtomicBool>::default();
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_default(signal, stop.clone())
            .and_then(|_| flag::register(signal, stop.clone()))
            .context("cannot handle signals")?;
    }
    Ok(stop)
}

fn after(duration: Duration) -> Time {
    Time(clock::now().0.saturating_add(duration.as_nanos().try_into().unwrap_or(u64::MAX)))
}

fn config() -> Config {
    let host_name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let host_id =
        fs::read_to_string("/etc/machine-id").ok().map(|id| id.trim().to_owned()).filter(|id| !id.is_empty());
    Config { boot_to_unix_ns: clock::boot_to_unix_ns(), host_name, host_id }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        export::{Deliveries, Delivery},
        summary::Told,
    };

    #[test]
    fn findings_decide_the_exit_code_before_all_else() {
        let undelivered = Delivery { failed: 1, ..Delivery::default() };
        let summary = |worst, spans| Summary {
            told: Told { worst, ..Told::default() },
            export: Some(Deliveries { spans, findings: Delivery::default() }),
            ..Summary::default()
        };
        let found = summary(Some(Severity::Medium), undelivered);
        assert_eq!(exit_code(&found, Some(Severity::Medium), 7), 4);
        assert_eq!(exit_code(&found, Some(Severity::Info), 0), 4);
        assert_eq!(exit_code(&found, Some(Severity::High), 7), 7);
        assert_eq!(exit_code(&found, Some(Severity::High), 0), 1);
        assert_eq!(exit_code(&found, None, 0), 1);
        assert_eq!(exit_code(&summary(None, Delivery::default()), Some(Severity::Info), 0), 0);
    }

    #[test]
    fn a_receiver_of_one_signal_is_no_failure() {
        let [arrived, failed, none] =
            [(1, 0), (0, 1), (0, 0)].map(|(exported, failed)| Delivery { exported, failed, dropped: 0 });
        let code = |spans, findings| {
            let export = Some(Deliveries { spans, findings });
            exit_code(&Summary { export, ..Summary::default() }, None, 0)
        };
        assert_eq!((code(arrived, failed), code(failed, arrived), code(none, none)), (0, 0, 0));
        assert_eq!((code(none, failed), code(failed, none), code(failed, failed)), (1, 1, 1));
    }

    #[test]
    fn ready_says_when_hooks_are_missing() {
        let whole = Hooks { all: 6, missing: vec![] };
        let part = Hooks { all: 6, missing: vec!["sched_process_exec"] };
        let file = Some(Path::new("f.trc"));
        assert_eq!(ready_text(None, &whole), "tracer: every hook is attached, Ctrl-C ends it");
        assert_eq!(ready_text(None, &part), "tracer: ready, 5 of 6 hooks, Ctrl-C ends it");
        assert_eq!(ready_text(file, &whole), "tracer: recording to f.trc, Ctrl-C ends it");
        let stdout = Some(Path::new(STDIO));
        assert_eq!(ready_text(stdout, &whole), "tracer: recording to standard output, Ctrl-C ends it");
        assert_eq!(ready_text(file, &part), "tracer: recording to f.trc, 5 of 6 hooks, Ctrl-C ends it");
    }
}
