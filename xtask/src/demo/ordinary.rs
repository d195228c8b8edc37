//! An application of the current release, and what some requests to it cause.

use super::{Stack, Watch};
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
}

/// Its handler asks another handler and launches a shell.
pub const SHOP: Site = Site {
    app: include_str!("shop.py"),
    requests: &["/order?item=7", "/stock?item=7", "/cart", "/order?item=8"],
};

/// It runs what it is asked to.
pub const WEBSHELL: Site = Site {
    app: include_str!("shell.py"),
    requests: &["/", "/ping?host=shop.example", "/ping?host=shop.example;id;uname%20-a"],
};

/// Shows the traces of the requests.
pub fn show(project: &Project, tracer: PathBuf, interrupted: Arc<AtomicBool>, site: &Site) -> Result<()> {
    let stack = Stack::start(&venv::install(project, Venv::Tests)?, site.app)?;
    // A finding is about the application, whose port is not the one that is asked.
    let mut watch = Watch::start(tracer, &["-p", &stack.app.pid().to_string()], interrupted)?;
    for target in site.requests {
        get(stack.port, target)?;
        if !watch.pause()? {
            break;
        }
    }
    let status = watch.end()?;
    if !status.success() {
        bail!("tracer ended with {status}");
    }
    Ok(())
}
