//! tracer: an eBPF HTTP tracer.
//!
//! The agent: command line, kernel programs, recordings, views and export around the pure engine. The way of
//! a fact is in [`pipeline`].

mod attributes;
mod baseline;
mod cli;
mod clock;
mod command;
mod describe;
mod describer;
mod doctor;
mod export;
mod filter;
mod kernel;
mod live;
mod pipeline;
mod reason;
mod recording;
mod replay;
mod source;
mod summary;
#[cfg(test)]
mod testing;
mod trace;
mod view;

use clap::Parser;
use cli::{Action, Cli};
use std::{
    io::{self, Write},
    process::ExitCode,
};

/// The command line or a variable asks for what cannot be: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Usage(anyhow::Error);

/// A privilege or a feature of the kernel is missing: exit code 3.
#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct Unavailable(anyhow::Error);

const FAILED: u8 = 1;
const USAGE: u8 = 2;
const UNAVAILABLE: u8 = 3;
const FINDINGS: u8 = 4;

fn main() -> ExitCode {
    match dispatch(Cli::parse().into_action()) {
        Ok(code) => code,
        Err(error) if is_closed_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // Without standard error there is nobody to tell.
            let _ = writeln!(io::stderr(), "tracer: {error:#}");
            ExitCode::from(code(&error))
        }
    }
}

/// What the error is: who starts the agent again when it fails must know whether that can help.
fn code(error: &anyhow::Error) -> u8 {
    if error.is::<Unavailable>() {
        UNAVAILABLE
    } else if is_usage(error) {
        USAGE
    } else {
        FAILED
    }
}

fn is_usage(error: &anyhow::Error) -> bool {
    error.is::<Usage>()
        || error.downcast_ref::<baseline::FileError>().is_some_and(baseline::FileError::is_usage)
        || error.downcast_ref::<recording::WriteError>().is_some_and(recording::WriteError::is_usage)
        || error.downcast_ref::<recording::ReadError>().is_some_and(recording::ReadError::is_usage)
}

fn dispatch(action: Action) -> anyhow::Result<ExitCode> {
    match action {
        Action::Trace(trace) => trace::run(trace),
        Action::Replay { file, outlets } => replay::run(&file, outlets),
        Action::Baseline { path, command } => baseline::run(&path, command),
        Action::Doctor { json } => doctor::run(json),
        Action::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::definition(), "tracer", &mut script);
            print(&script)
        }
        Action::Man => {
            let mut page = Vec::new();
            clap_mangen::Man::new(Cli::definition()).render(&mut page)?;
            print(&page)
        }
    }
}

/// Writes to standard output; who does not want to read it any more has what he wanted.
fn print(bytes: &[u8]) -> anyhow::Result<ExitCode> {
    match io::stdout().write_all(bytes) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(anyhow::Error::new(error).context("cannot write to standard output"))
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// The reader of standard output went away: it has what it wanted.
fn is_closed_pipe(error: &anyhow::Error) -> bool {
    let broken = |e: &io::Error| e.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
        || error.downcast_ref::<pipeline::Error>().is_some_and(pipeline::Error::is_closed_pipe)
}
