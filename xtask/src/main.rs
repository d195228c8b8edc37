//! `cargo xtask`: from a fresh clone to a running, tested and measured tracer.

mod bench;
mod build;
mod demo;
mod golden;
mod links;
mod live;
mod packages;
mod process;
mod project;
mod stack;
mod test;
mod toolchain;
mod venv;

use anyhow::Result;
use clap::{Parser, Subcommand};
use process::{privileged, say};
use project::{Profile, Project};
use std::os::unix::process::CommandExt;
use std::process::ExitCode;

/// Builds, tries out, tests and measures tracer. Installs what is missing: packages of the distribution,
/// everything else below the target directory.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
struct Arguments {
    #[command(subcommand)]
    command: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Build the kernel programs and the agent: one binary, target/release/tracer
    Build {
        /// Compile the agent quickly instead of well (target/debug/tracer)
        #[arg(long)]
        debug: bool,
    },
    /// Build, then run `tracer watch`, by sudo unless as root
    Watch {
        /// Arguments for `tracer watch`
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build, then show tracer at work over a small stack: nginx, Werkzeug, a client
    Demo {
        /// What to show
        #[arg(value_enum, default_value_t = demo::Scene::Shop)]
        scene: demo::Scene,
    },
    /// Set up what the tests need and run all of them
    Test {
        /// Of the live tests only a few
        #[arg(long)]
        quick: bool,
    },
    /// Measure what tracing costs nginx, and what the agent takes itself
    Bench {
        /// How often each load is run both ways
        #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
        rounds: u32,
        /// How long each load runs
        #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
        seconds: u32,
    },
    /// Measure how rightly calls are hung on the request that caused them; two minutes, as root or by sudo
    Links {
        /// With nginx in front of the applications
        #[arg(long)]
        nginx: bool,
    },
    /// Write down anew what the recordings of agent/tests/golden replay to
    Golden {
        /// Make the recordings anew before, as a new wire version demands; as root or by sudo
        #[arg(long)]
        record: bool,
    },
}

fn main() -> ExitCode {
    let task = Arguments::parse().command;
    match Project::locate().and_then(|project| perform(&project, task)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn perform(project: &Project, task: Task) -> Result<()> {
    match task {
        Task::Build { debug } => {
            let profile = if debug { Profile::Debug } else { Profile::Release };
            println!("{}", build::build(project, profile)?.display());
            Ok(())
        }
        Task::Watch { arguments } => {
            test::can_trace()?;
            let tracer = build::build(project, Profile::Release)?;
            // In place of this process: Ctrl-C, the terminal and the exit code are the tracer's own.
            Err(privileged(tracer).arg("watch").args(arguments).exec().into())
        }
        Task::Demo { scene } => demo::demo(project, scene),
        Task::Test { quick } => test::test(project, quick),
        Task::Bench { rounds, seconds } => bench::bench(project, rounds, seconds),
        Task::Links { nginx } => links::links(project, nginx),
        Task::Golden { record } => golden::golden(project, record),
    }
}
