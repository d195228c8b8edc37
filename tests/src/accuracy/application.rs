//! The applications of `tests/apps/accuracy`, and what they are told.

use super::Case;
use crate::servers::loopback;
use crate::{Server, Stage, environment};
use anyhow::Result;
use std::path::PathBuf;
use std::process::Command;

/// Requests that a server of several threads works on at once: more than there are connections.
const THREADS: &str = "32";

/// What an application runs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runtime {
    /// Python's `http.server`, a thread for each connection.
    Threads,
    /// gunicorn, a pool of threads.
    Gunicorn,
    /// uvicorn, one event loop.
    Asyncio,
    /// node, one event loop.
    Node,
}

/// All of them.
pub const RUNTIMES: [Runtime; 4] = [Runtime::Threads, Runtime::Gunicorn, Runtime::Asyncio, Runtime::Node];

/// How it makes the calls of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// One after the other, where the request is served.
    InTurn,
    /// All at once: by threads of a pool, or by tasks of the loop.
    Parallel,
    /// One after the other, by another thread or after a timer.
    Hop,
}

/// All of them.
pub const HOWS: [How; 3] = [How::InTurn, How::Parallel, How::Hop];

/// What the path of a call shows of the request that caused it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ids {
    /// The same id.
    Plain,
    /// The id read backwards: no word in common.
    Opaque,
}

/// Both.
pub const IDS: [Ids; 2] = [Ids::Plain, Ids::Opaque];

impl Runtime {
    /// Name for people and files.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Threads => "threads",
            Self::Gunicorn => "gunicorn",
            Self::Asyncio => "asyncio",
            Self::Node => "node",
        }
    }

    fn command(self, port: u16) -> Result<Command> {
        let port = port.to_string();
        let mut command = Command::new(match self {
            Self::Threads => environment::venv("python")?,
            Self::Gunicorn => environment::venv("gunicorn")?,
            Self::Asyncio => environment::venv("uvicorn")?,
            Self::Node => environment::program("node")?,
        });
        match self {
            Self::Threads => command.arg(file("threads.py")).arg(port),
            Self::Node => command.arg(file("node.js")).arg(port),
            Self::Gunicorn => command
                .args(["--bind", &format!("127.0.0.1:{port}"), "--threads", THREADS, "--keep-alive", "60"])
                .args(["--log-level", "warning", "--no-control-socket", "--chdir"])
                .arg(file("."))
                .arg("wsgi:application"),
            Self::Asyncio => command
                .args(["--port", &port, "--loop", "asyncio", "--http", "h11", "--timeout-keep-alive", "60"])
                .args(["--log-level", "warning", "--app-dir"])
                .arg(file("."))
                .arg("asgi:application"),
        };
        Ok(command)
    }
}

impl How {
    /// Name for files and for the application.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::InTurn => "turn",
            Self::Parallel => "parallel",
            Self::Hop => "hop",
        }
    }
}

impl Ids {
    /// Name for people, for files and for the application.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Opaque => "opaque",
        }
    }

    /// The targets of the calls that a request makes; `plan.py` says the same.
    pub(super) fn calls(self, request: &str) -> Result<Vec<String>> {
        let shown: String = match self {
            Self::Plain => request.to_owned(),
            Self::Opaque => request.chars().rev().collect(),
        };
        let count = 1 + u32::from_str_radix(request, 16)? % 3;
        Ok((0..count).map(|n| format!("/call/{shown}/{n}")).collect())
    }
}

/// Starts an application.
pub(super) fn start(stage: &Stage, case: Case, leaf: &Server) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = case.runtime.command(port)?;
    command.env("HOW", case.how.name()).env("IDS", case.ids.name());
    command.env("LEAF", leaf.port().to_string()).env("PYTHONDONTWRITEBYTECODE", "1");
    Server::start(stage, case.runtime.name(), command, address)
}

/// Starts what the applications call.
pub(super) fn leaf(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(environment::venv("python")?);
    command.arg(file("leaf.py")).arg(port.to_string());
    Server::start(stage, "leaf", command, address)
}

fn file(name: &str) -> PathBuf {
    environment::app("accuracy").join(name)
}
