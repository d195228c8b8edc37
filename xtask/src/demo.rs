//! A small real stack to see tracer at work: a client asks nginx, nginx asks Werkzeug. Everything it starts it
//! stops, however it ends.

use crate::process::{Background, interrupt_flag, is_root, pause, privileged, say, wait_for};
use crate::project::{Profile, Project};
use crate::stack::{Directory, free_port, get};
use crate::{build, packages, test, venv};
use anyhow::{Result, bail};
use rustix::process::Signal;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

const NGINX: &str = include_str!("demo/nginx.conf");
const PROGRAMS: [(&str, &str); 2] = [("nginx", "nginx-light"), ("python3", "python3")];

/// What is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Scene {
    /// A shop, whose handler asks another handler and launches a shell
    Shop,
    /// A page that runs what it is asked to
    Webshell,
}

impl Scene {
    /// The application.
    const fn app(self) -> &'static str {
        match self {
            Self::Shop => include_str!("demo/app.py"),
            Self::Webshell => include_str!("demo/shell.py"),
        }
    }

    /// Requests of the client.
    const fn requests(self) -> &'static [&'static str] {
        match self {
            Self::Shop => &["/order?item=7", "/stock?item=7", "/cart", "/order?item=8"],
            Self::Webshell => &["/", "/ping?host=shop.example", "/ping?host=shop.example;id;uname%20-a"],
        }
    }
}

/// Time between requests: long enough to read what is shown of one.
const BETWEEN: Duration = Duration::from_secs(2);
/// How long tracing runs: all requests, time to load before them and to see the last one end.
const TRACING: Duration = Duration::from_secs(12);

/// Sets up, builds, starts the stack and shows what tracer sees of it.
pub fn demo(project: &Project, scene: Scene) -> Result<()> {
    test::can_trace()?;
    packages::install_programs(&PROGRAMS)?;
    let venv = venv::install(project)?;
    let tracer = build::build(project, Profile::Release)?;

    let interrupted = interrupt_flag()?;
    let directory = Directory::new()?;
    let port = free_port()?;
    let _servers = start_servers(&directory, &venv, port, scene)?;
    show(&tracer, port, scene, &interrupted)
}

fn start_servers(directory: &Directory, venv: &Path, port: u16, scene: Scene) -> Result<[Background; 2]> {
    let behind = free_port()?;
    let app = directory.write("app.py", scene.app())?;
    let python = directory.start_server(
        "Werkzeug",
        Command::new(venv.join("bin/python")).arg(app).arg(behind.to_string()),
        behind,
    )?;
    let configuration = NGINX.replace("@FRONT@", &port.to_string()).replace("@APP@", &behind.to_string());
    let nginx = directory.start_server("nginx", &mut directory.nginx(&configuration)?, port)?;
    say(&format!("started nginx on port {port}, and Werkzeug behind it on port {behind}"));
    Ok([nginx, python])
}

fn show(tracer: &Path, port: u16, scene: Scene, interrupted: &AtomicBool) -> Result<()> {
    let (port_text, time) = (port.to_string(), format!("{}s", TRACING.as_secs()));
    let arguments = ["watch", "--port", &port_text, "--for", &time];
    let sudo = if is_root() { "" } else { "sudo " };
    say(&format!("running `{sudo}tracer {}`; Ctrl-C ends it earlier", arguments.join(" ")));
    let mut tracer = Background::start("tracer", privileged(tracer).args(arguments))?;
    for target in scene.requests() {
        if !pause(BETWEEN, interrupted) || tracer.status()?.is_some() {
            break;
        }
        get(port, target)?;
    }
    // It ends by itself: when its time is up, or by the Ctrl-C that it hears as well. A signal from here
    // comes last: an ordinary user may not send one to what sudo started, and a second one cuts it short.
    let patience = if interrupted.load(Ordering::Relaxed) { Duration::from_secs(2) } else { TRACING };
    let _ = wait_for("the end of tracer", patience, || Ok(tracer.status()?.is_some()));
    let status = tracer.stop(Signal::INT, Duration::from_secs(5))?;
    if !status.success() {
        bail!("tracer ended with {status}");
    }
    Ok(())
}
