//! Small real stacks to see tracer at work: nginx in front of an application under Werkzeug, and a client.
//! Everything that a scene starts it stops, however it ends.

mod ordinary;
mod smuggling;

use crate::process::{Background, interrupt_flag, is_root, privileged, say, wait_for};
use crate::project::{Profile, Project};
use crate::stack::{Directory, free_port};
use crate::{build, packages, test};
use anyhow::{Context, Result};
use clap::ValueEnum;
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

const NGINX: &str = include_str!("demo/nginx.conf");
const PROGRAMS: [(&str, &str); 2] = [("nginx", "nginx-light"), ("python3", "python3")];

/// Time between requests: long enough to read what is shown of one.
const BETWEEN: Duration = Duration::from_secs(2);
/// How long tracing runs: all requests, and time to see the last one end.
const TRACING: Duration = Duration::from_secs(12);
/// How long tracer may take until it traces; sudo may ask for a password first.
const LOADING: Duration = Duration::from_secs(60);

/// How `tracer watch --fail-on` ends when there was a finding.
const FOUND: i32 = 4;

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Scene {
    /// A shop, whose handler asks another handler and launches a shell
    Shop,
    /// A page that runs what it is asked to
    Webshell,
    /// An attack that gets past nginx, and how it is found
    Smuggling,
}

/// Sets up, builds, starts the stack and shows what tracer sees of it.
pub fn demo(project: &Project, scene: Scene) -> Result<()> {
    test::can_trace()?;
    packages::install_programs(&PROGRAMS)?;
    let tracer = build::build(project, Profile::Release)?;
    let interrupted = interrupt_flag()?;
    match scene {
        Scene::Shop => ordinary::show(project, tracer, interrupted, &ordinary::SHOP),
        Scene::Webshell => ordinary::show(project, tracer, interrupted, &ordinary::WEBSHELL),
        Scene::Smuggling => smuggling::show(project, tracer, interrupted),
    }
}

/// nginx, and an application behind it.
#[derive(Debug)]
struct Stack {
    /// Where nginx listens.
    port: u16,
    _nginx: Background,
    app: Background,
    _directory: Directory,
}

impl Stack {
    /// Starts `app`, the text of a program that takes its port as an argument, in a Python environment.
    fn start(venv: &Path, app: &str) -> Result<Self> {
        let directory = Directory::new()?;
        let (port, behind) = (free_port()?, free_port()?);
        let mut python = Command::new(venv.join("bin/python"));
        python.arg(directory.write("app.py", app)?).arg(behind.to_string());
        let app = directory.start_server("Werkzeug", &mut python, behind)?;
        let configuration = NGINX.replace("@FRONT@", &port.to_string()).replace("@APP@", &behind.to_string());
        let nginx = directory.start_server("nginx", &mut directory.nginx(&configuration)?, port)?;
        say(&format!("started nginx on port {port}, and Werkzeug behind it on port {behind}"));
        Ok(Self { port, _nginx: nginx, app, _directory: directory })
    }
}

/// A tracer that watches.
struct Watch {
    tracer: Background,
    interrupted: Arc<AtomicBool>,
}

impl Watch {
    /// Starts it with these arguments, and waits until it traces.
    fn start(tracer: PathBuf, arguments: &[&str], interrupted: Arc<AtomicBool>) -> Result<Self> {
        let time = format!("{}s", TRACING.as_secs());
        let arguments = [&["watch", "--no-baseline", "--for", &time], arguments].concat();
        let sudo = if is_root() { "" } else { "sudo " };
        say(&format!("running `{sudo}tracer {}`; Ctrl-C ends it earlier", arguments.join(" ")));
        let mut tracer =
            Background::start("tracer", privileged(tracer).args(arguments).stderr(Stdio::piped()))?;
        let said = tracer.child().stderr.take().context("tracer has no stderr")?;
        let (ready, is_ready) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(said).lines().map_while(Result::ok) {
                eprintln!("{line}");
                // Its first word is that it is ready. Nobody listens to later ones.
                let _ = ready.send(());
            }
        });
        wait_for("tracer", LOADING, || {
            tracer.must_run()?;
            Ok(is_ready.try_recv().is_ok() || interrupted.load(Ordering::Relaxed))
        })?;
        Ok(Self { tracer, interrupted })
    }

    /// Gives time to read; false when it is over.
    fn pause(&mut self) -> Result<bool> {
        Ok(crate::process::pause(BETWEEN, &self.interrupted) && self.tracer.status()?.is_none())
    }

    /// Waits for its end.
    fn end(mut self) -> Result<ExitStatus> {
        // It ends by itself: when its time is up, or by the Ctrl-C that it hears as well. A signal from here
        // comes last: an ordinary user may not send one to what sudo started, and a second one cuts it short.
        let over = self.interrupted.load(Ordering::Relaxed);
        let patience = if over { Duration::from_secs(2) } else { TRACING };
        let _ = wait_for("the end of tracer", patience, || Ok(self.tracer.status()?.is_some()));
        self.tracer.stop(Signal::INT, Duration::from_secs(5))
    }
}
