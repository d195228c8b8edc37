//! An application of the current release, and what some requests to it cause.

use super::{FOUND, Stack, Watch};
use crate::project::Project;
use crate::stack::get;
use crate::venv::{self, Venv};
use anyhow::{Result, bail};
use std::path::PathBuf;
use std::sync::{Arc, atomic::AtomicBool};

/// An application, and what the client asks it.
pub struct Site {
    app: &'static str,
    requests: &'static [&'static str],
    /// Whether one of these is an attack.
    attacked: bool,
}

/// Its handler asks another handler and launches a shell.
pub const SHOP: Site = Site {
    app: include_str!("shop.py"),
    requests: &["/order?item=7", "/stock?item=7", "/cart", "/order?item=8"],
    attacked: false,
};

/// It runs what it is asked to.
pub const WEBSHELL: Site = Site {
    app: include_str!("shell.py"),
    requests: &["/", "/ping?host=shop.example", "/ping?host=shop.example;id;uname%20-a"],
    attacked: true,
};

/// Shows the traces of the requests; an error if one is an attack and tracer does not find it.
pub fn show(project: &Project, tracer: PathBuf, interrupted: Arc<AtomicBool>, site: &Site) -> Result<()> {
    let stack = Stack::start(&venv::install(project, Venv::Tests)?, site.app)?;
    // A finding is about the application, whose port is not the one that is asked.
    let (app, mut arguments) = (stack.app.pid().to_string(), Vec::new());
    arguments.extend(["-p", &app]);
    if site.attacked {
        arguments.extend(["--fail-on", "critical"]);
    }
    let mut watch = Watch::start(tracer, &arguments, interrupted)?;
    let mut whole = true;
    for target in site.requests {
        get(stack.port, target)?;
        whole = watch.pause()?;
        if !whole {
            break;
        }
    }
    let status = watch.end()?;
    match status.code() {
        Some(FOUND) if site.attacked => Ok(()),
        Some(0) if !(site.attacked && whole) => Ok(()),
        Some(0) => bail!("tracer found nothing"),
        _ => bail!("tracer ended with {status}"),
    }
}
