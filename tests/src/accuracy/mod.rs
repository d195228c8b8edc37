//! How rightly calls are hung on the request that caused them: applications that make calls while many
//! requests are open, and the truth from the ids in their paths.

mod application;
mod judge;
mod load;

pub use application::{HOWS, How, IDS, Ids, RUNTIMES, Runtime};
pub use judge::Tally;

use crate::{Server, Stage, Tracer, servers};
use anyhow::{Context, Result};
use std::collections::BTreeSet;

/// An application, and what it does.
#[derive(Clone, Copy, Debug)]
pub struct Case {
    /// What it runs in.
    pub runtime: Runtime,
    /// How it makes its calls.
    pub how: How,
    /// What these show of the request.
    pub ids: Ids,
}

/// What it is asked.
#[derive(Clone, Copy, Debug)]
pub struct Load {
    /// Keep-alive connections, each with a request open at a time.
    pub connections: u32,
    /// Requests of each of them.
    pub each: u32,
}

/// A case whose servers run and have connections to each other.
#[derive(Debug)]
pub struct Scene {
    case: Case,
    leaf: Server,
    app: Server,
    front: Option<Server>,
    clients: load::Clients,
}

impl Scene {
    /// Starts it, on request behind nginx, and has it answer some requests, before any tracer sees it.
    pub fn start(stage: &Stage, case: Case, connections: u32, nginx: bool) -> Result<Self> {
        let leaf = application::leaf(stage)?;
        let app = application::start(stage, case, &leaf)?;
        let front = nginx.then(|| servers::nginx_before(stage, &app)).transpose()?;
        let mut clients = load::Clients::connect(&front.as_ref().unwrap_or(&app).address, connections)?;
        clients.ask(load::WARM_UP)?;
        Ok(Self { case, leaf, app, front, clients })
    }

    /// Asks; gives the ids of all requests.
    pub fn ask(&mut self, each: u32) -> Result<Vec<String>> {
        self.clients.ask(each)
    }

    /// The processes that take part, this one too: it is the client.
    #[must_use]
    pub fn pids(&self) -> BTreeSet<u32> {
        let servers = [Some(&self.leaf), Some(&self.app), self.front.as_ref()];
        servers.into_iter().flatten().flat_map(Server::pids).chain([std::process::id()]).collect()
    }
}

/// Runs one case under a tracer, and judges its links.
pub fn measure(case: Case, load: Load, nginx: bool) -> Result<Tally> {
    let run = || {
        let stage = Stage::new()?;
        let mut scene = Scene::start(&stage, case, load.connections, nginx)?;
        let tracer = Tracer::watch(&stage, &[])?;
        let requests = scene.ask(load.each)?;
        let report = tracer.stop()?;
        report.ensure_nothing_lost()?;
        judge::judge(&report, &scene.app.pids(), scene.case.ids, &requests)
    };
    run().with_context(|| format!("{case:?}"))
}
