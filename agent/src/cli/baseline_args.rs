//! Arguments about the baseline.

use super::{Action, BaselineFile};
use crate::baseline::{Command, DEFAULT_PATH};
use clap::{Args, Subcommand, ValueHint};
use std::path::PathBuf;
use tracer_engine::Habit;

/// Where a tracer keeps it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Baseline")]
pub(super) struct KeepArgs {
    /// Keep what is usual for each service in this file
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = DEFAULT_PATH)]
    baseline: PathBuf,
    /// Neither read nor write one: learn for this run alone
    #[arg(long, conflicts_with = "baseline")]
    no_baseline: bool,
}

#[derive(Debug, Args)]
#[command(after_help = HELP)]
pub(super) struct BaselineArgs {
    /// The file
    #[arg(long, global = true, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = DEFAULT_PATH)]
    baseline: PathBuf,
    #[command(subcommand)]
    command: Raw,
}

const HELP: &str = "\
A HABIT is written as `list` prints it:
  endpoint ROUTE                         it serves this route
  edge PEER                              it calls this peer
  egress PEER N MB                       it sends so much to this peer, for one request or in a minute
  relay ROUTE | PEER                     it relays what this route brings in to this peer
  launch ROUTE | EXECUTABLE | ARGUMENTS  it launches this for this route (for no request: no route)

A tracer that runs takes changes over within seconds. What gave a finding of high severity is never
learned by itself: accept the finding if it is normal.";

#[derive(Debug, Subcommand)]
enum Raw {
    /// Print what is usual for each service
    List {
        /// Only this service's
        #[arg(long, value_name = "NAME")]
        service: Option<String>,
    },
    /// Forget a service, or some of its habits
    Forget {
        /// The service
        #[arg(value_name = "SERVICE", required_unless_present = "all")]
        service: Option<String>,
        /// The habits; none for all of them
        #[arg(value_name = "HABIT")]
        habits: Vec<Habit>,
        /// Forget every service
        #[arg(long, conflicts_with_all = ["service", "habits"])]
        all: bool,
    },
    /// Take findings as normal: lines of `watch --output json`
    Accept {
        /// The file, - for standard input
        #[arg(value_name = "FINDINGS", value_hint = ValueHint::FilePath)]
        findings: PathBuf,
    },
    /// Take habits of a service as normal
    Allow {
        /// The service
        #[arg(value_name = "SERVICE")]
        service: String,
        /// The habits
        #[arg(value_name = "HABIT", required = true)]
        habits: Vec<Habit>,
    },
    /// Write it to a file that can be reviewed and shipped
    Export {
        /// The file, - for standard output
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        to: PathBuf,
        /// Replace the file if it is there already
        #[arg(long)]
        force: bool,
    },
    /// Take over what such a file says, beside what is known
    Import {
        /// The file, - for standard input
        #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
        from: PathBuf,
    },
}

impl From<KeepArgs> for BaselineFile {
    fn from(args: KeepArgs) -> Self {
        let chosen = args.baseline.as_os_str() != DEFAULT_PATH;
        Self { path: (!args.no_baseline).then_some(args.baseline), chosen }
    }
}

impl BaselineArgs {
    pub(super) fn into_action(self) -> Action {
        let command = match self.command {
            Raw::List { service } => Command::List { service },
            Raw::Forget { service: Some(service), habits, .. } => Command::Forget { service, habits },
            Raw::Forget { service: None, .. } => Command::ForgetAll,
            Raw::Accept { findings } => Command::Accept { findings },
            Raw::Allow { service, habits } => Command::Allow { service, habits },
            Raw::Export { to, force } => Command::Export { to, replace: force },
            Raw::Import { from } => Command::Import { from },
        };
        Action::Baseline { path: self.baseline, command }
    }
}
