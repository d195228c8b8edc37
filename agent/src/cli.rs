//! The command line: raw arguments become one validated configuration.
//!
//! clap parses and checks each value; what follows from several of them is settled here, so that the rest
//! of the agent sees only values that make sense together.

mod baseline_args;
mod help;

use crate::{
    baseline,
    filter::{Conditions, StatusFilter},
    source::SourceOptions,
};
use baseline_args::{BaselineArgs, KeepArgs};
use clap::{
    Args, CommandFactory, Parser, Subcommand, ValueEnum, ValueHint,
    builder::{PossibleValuesParser, TypedValueParser},
};
use help::{COMMAND_HELP, EXIT_CODES, FILTER_HELP, OTLP_HELP};
use std::{ffi::OsString, path::PathBuf, time::Duration};
use tracer_common::MAX_SNAP;
use tracer_engine::Severity;

/// Bytes copied of one operation unless told otherwise: the largest head that servers take by default.
const DEFAULT_SNAP: u32 = 8192;
/// Ring buffer unless told otherwise: 40 ms of the heaviest load measured (470,000 records of 400 bytes a
/// second), eight times the pause between two readings. Its pages count twice in the agent's RSS.
const DEFAULT_RING: &str = "8M";
const MIN_RING: u32 = 64 << 10;
const MAX_RING: u32 = 1 << 30;

/// eBPF HTTP tracer: requests, what they caused, and the processes that they launched, with no change to any
/// application. A launch that no request caused is not shown.
#[derive(Debug, Parser)]
#[command(name = "tracer", version, after_help = EXIT_CODES, max_term_width = 100)]
pub struct Cli {
    #[command(subcommand)]
    command: RawCommand,
}

#[derive(Debug, Subcommand)]
enum RawCommand {
    /// Show requests as they happen on this node
    #[command(after_help = format!("{FILTER_HELP}\n\n{COMMAND_HELP}\n\n{OTLP_HELP}\n\n{EXIT_CODES}"))]
    Watch(WatchArgs),
    /// Run as a service: no view, spans and findings go out by OTLP, ends on SIGTERM or SIGINT
    #[command(after_help = format!("{OTLP_HELP}\n\n{EXIT_CODES}"))]
    Run(RunArgs),
    /// Tell what this node allows, hook by hook
    Doctor(DoctorArgs),
    /// Write what the kernel reports to a file, for `replay`
    Record(RecordArgs),
    /// Draw the same conclusions from a recording as live; needs no privileges
    #[command(after_help = format!("{FILTER_HELP}\n\n{OTLP_HELP}\n\n{EXIT_CODES}"))]
    Replay(ReplayArgs),
    /// Show what is usual for each service, and say what is
    Baseline(BaselineArgs),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the manual page (roff)
    Man,
}

#[derive(Debug, Args)]
struct WatchArgs {
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = positive_duration, allow_hyphen_values = true)]
    duration: Option<Duration>,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    source: SourceArgs,
    /// Trace just the requests of this command and its descendants, and what these cause; tracing ends with it
    #[arg(last = true, value_name = "COMMAND", value_hint = ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

#[derive(Debug, Args)]
struct RunArgs {
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
struct DoctorArgs {
    /// Print one JSON object instead of text
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct RecordArgs {
    /// The file, - for standard output; it holds application data, so only its owner can read it
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    output: PathBuf,
    /// Replace the file if it is there already
    #[arg(long)]
    force: bool,
    /// End after this time
    #[arg(long = "for", value_name = "TIME", value_parser = positive_duration, allow_hyphen_values = true)]
    duration: Option<Duration>,
    #[command(flatten)]
    keep: KeepArgs,
    #[command(flatten)]
    source: SourceArgs,
}

#[derive(Debug, Args)]
struct ReplayArgs {
    /// A file that `tracer record` wrote, - for standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    filter: FilterArgs,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Filters")]
struct FilterArgs {
    /// Only what is of this process; may be repeated
    #[arg(short, long = "pid", value_name = "PID", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(1..))]
    pids: Vec<u32>,
    /// Only spans whose server, own or peer port this is
    #[arg(long, value_name = "N", allow_negative_numbers = true,
        value_parser = clap::value_parser!(u16).range(1..))]
    port: Option<u16>,
    /// Only what is of the service with this name
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only spans answered with this status: 404, or a class like 5xx
    #[arg(long, value_name = "STATUS", allow_negative_numbers = true)]
    status: Option<StatusFilter>,
    /// Only spans that took at least this long, like 200ms
    #[arg(long, value_name = "TIME", value_parser = positive_duration, allow_hyphen_values = true)]
    slow: Option<Duration>,
    /// Only findings; the pretty view shows the traces that they belong to
    #[arg(long)]
    findings: bool,
}

#[derive(Debug, Args)]
struct OutputArgs {
    /// How spans and findings are shown
    #[arg(long, value_enum, default_value_t = View::Pretty)]
    output: View,
    /// Export them by OTLP as well
    #[arg(long)]
    otlp: bool,
    /// End with exit code 4 if a finding of at least this severity was told
    #[arg(long, value_name = "SEVERITY", value_parser = severity_parser())]
    fail_on: Option<Severity>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Capture")]
struct SourceArgs {
    /// Bytes to copy of one socket operation
    #[arg(long, value_name = "BYTES", default_value_t = DEFAULT_SNAP, allow_negative_numbers = true,
        value_parser = clap::value_parser!(u32).range(256..=MAX_SNAP as i64))]
    snap_len: u32,
    /// Bytes of the ring buffer: a power of two; K, M and G are understood
    #[arg(long, value_name = "BYTES", default_value = DEFAULT_RING, value_parser = ring_size,
        allow_hyphen_values = true)]
    ring_size: u32,
}

/// How spans and findings are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum View {
    /// Traces as trees, for people
    Pretty,
    /// One JSON object a line, for programs
    Json,
}

/// What is to be done.
#[derive(Debug)]
pub enum Action {
    /// Trace live, until something ends it.
    Trace(Trace),
    /// Read a recording.
    Replay {
        /// The recording.
        file: PathBuf,
        /// Where its spans and findings go.
        outlets: Outlets,
    },
    /// Show or change the baseline.
    Baseline {
        /// Its file.
        path: PathBuf,
        /// What is to be done.
        command: baseline::Command,
    },
    /// Tell what this node allows.
    Doctor {
        /// As JSON.
        json: bool,
    },
    /// Print completions.
    Completions(clap_complete::Shell),
    /// Print the manual page.
    Man,
}

/// A live run, whatever it was started for.
#[derive(Debug)]
pub struct Trace {
    /// What the kernel side has to know.
    pub source: SourceOptions,
    /// Where what is usual is kept.
    pub baseline: BaselineFile,
    /// Where spans and findings go.
    pub outlets: Outlets,
    /// Where to record to.
    pub record: Option<Record>,
    /// End after this time.
    pub duration: Option<Duration>,
    /// Program and arguments to run and to trace alone; empty for the whole node.
    pub command: Vec<OsString>,
}

/// Where the baseline is kept.
#[derive(Debug, PartialEq, Eq)]
pub struct BaselineFile {
    /// The file; nothing for nowhere.
    pub path: Option<PathBuf>,
    /// Whether someone named it.
    pub chosen: bool,
}

/// Where a recording goes.
#[derive(Debug, PartialEq, Eq)]
pub struct Record {
    /// The file, or [`STDIO`](crate::recording::STDIO).
    pub path: PathBuf,
    /// Whether a file that is there may be replaced.
    pub replace: bool,
}

/// Where spans and findings go, and which.
#[derive(Debug, Default)]
pub struct Outlets {
    /// Which.
    pub conditions: Conditions,
    /// On stdout.
    pub view: Option<View>,
    /// By OTLP.
    pub otlp: bool,
    /// A finding from this severity on makes the run end with [`crate::FINDINGS`].
    pub fail_on: Option<Severity>,
}

impl Cli {
    /// The validated configuration.
    pub fn into_action(self) -> Action {
        match self.command {
            RawCommand::Watch(args) => Action::Trace(Trace {
                source: args.source.into(),
                baseline: args.keep.into(),
                outlets: outlets(args.filter, &args.output),
                record: None,
                duration: args.duration,
                command: args.command,
            }),
            RawCommand::Run(args) => Action::Trace(Trace {
                source: args.source.into(),
                baseline: args.keep.into(),
                outlets: Outlets { otlp: true, ..Outlets::default() },
                record: None,
                duration: None,
                command: Vec::new(),
            }),
            RawCommand::Record(args) => Action::Trace(Trace {
                source: args.source.into(),
                baseline: args.keep.into(),
                outlets: Outlets::default(),
                record: Some(Record { path: args.output, replace: args.force }),
                duration: args.duration,
                command: Vec::new(),
            }),
            RawCommand::Replay(args) => {
                Action::Replay { file: args.file, outlets: outlets(args.filter, &args.output) }
            }
            RawCommand::Baseline(args) => args.into_action(),
            RawCommand::Doctor(args) => Action::Doctor { json: args.json },
            RawCommand::Completions { shell } => Action::Completions(shell),
            RawCommand::Man => Action::Man,
        }
    }

    /// The parser itself, for completions and the manual page.
    pub fn definition() -> clap::Command {
        Self::command()
    }
}

impl From<SourceArgs> for SourceOptions {
    fn from(args: SourceArgs) -> Self {
        Self { snap: args.snap_len, ring_bytes: args.ring_size }
    }
}

fn outlets(filter: FilterArgs, output: &OutputArgs) -> Outlets {
    let FilterArgs { pids, port, service, status, slow, findings } = filter;
    let conditions = Conditions { pids, port, service, status, slow, findings };
    Outlets { conditions, view: Some(output.output), otlp: output.otlp, fail_on: output.fail_on }
}

fn severity_parser() -> impl TypedValueParser<Value = Severity> {
    PossibleValuesParser::new(Severity::ALL.map(Severity::name)).try_map(|name| {
        Severity::ALL.into_iter().find(|severity| severity.name() == name).ok_or("is no severity")
    })
}

fn positive_duration(text: &str) -> Result<Duration, String> {
    let duration = humantime::parse_duration(text);
    duration
        .ok()
        .filter(|d| !d.is_zero())
        .ok_or_else(|| "must be a time above 0, like 500ms, 30s or 5m".into())
}

/// A power of two within the bounds, written plainly or with K, M or G.
fn ring_size(text: &str) -> Result<u32, String> {
    let (digits, shift) = match text.char_indices().last() {
        Some((at, 'k' | 'K')) => (&text[..at], 10),
        Some((at, 'm' | 'M')) => (&text[..at], 20),
        Some((at, 'g' | 'G')) => (&text[..at], 30),
        _ => (text, 0),
    };
    digits
        .parse::<u32>()
        .ok()
        .and_then(|n| n.checked_mul(1 << shift))
        .filter(|n| n.is_power_of_two() && (MIN_RING..=MAX_RING).contains(n))
        .ok_or_else(|| "must be a power of two from 64K to 1G".into())
}

#[cfg(test)]
mod tests;
