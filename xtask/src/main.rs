//! `cargo xtask`: from a fresh clone to a running, tested and measured tracer.

mod build;
mod packages;
mod process;
mod project;
mod toolchain;

use anyhow::Result;
use clap::{Parser, Subcommand};
use process::privileged;
use project::{Profile, Project};
use std::os::unix::process::CommandExt;

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
    /// Build, then run `sudo tracer watch`
    Watch {
        /// Arguments for `tracer watch`
        #[arg(last = true)]
        arguments: Vec<String>,
    },
}

fn main() -> Result<()> {
    let project = Project::locate()?;
    match Arguments::parse().command {
        Task::Build { debug } => {
            let profile = if debug { Profile::Debug } else { Profile::Release };
            println!("{}", build::build(&project, profile)?.display());
            Ok(())
        }
        Task::Watch { arguments } => {
            let tracer = build::build(&project, Profile::Release)?;
            // In place of this process: Ctrl-C, the terminal and the exit code are the tracer's own.
            Err(privileged(tracer).arg("watch").args(arguments).exec().into())
        }
    }
}
