//! The real servers, each with a log of its own.

use crate::stage::free_port;
use crate::{Address, Connection, Daemon, Stage, environment, truth};
use anyhow::{Result, ensure};
use std::collections::BTreeSet;
use std::fs;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::Command;

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// What it is, for messages.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    daemon: Daemon,
    log: PathBuf,
}

/// How gunicorn works.
#[derive(Clone, Copy, Debug)]
pub enum Workers {
    /// That many processes, one request at a time each, no keep-alive.
    Sync(u8),
    /// One process with that many threads, with keep-alive.
    Threads(u8),
}

impl Server {
    /// Its processes, as they are now.
    #[must_use]
    pub fn pids(&self) -> BTreeSet<u32> {
        self.daemon.tree()
    }

    /// A host and port, as in a URL.
    #[must_use]
    pub fn host(&self) -> String {
        self.address.to_string()
    }

    /// Its TCP port; 0 where it listens on a unix socket.
    #[must_use]
    pub fn port(&self) -> u16 {
        match &self.address {
            Address::Tcp(address) => address.port(),
            Address::Unix(_) => 0,
        }
    }

    /// What it wrote down, once that is so many requests: some servers write after they have answered.
    pub fn served_all(&mut self, count: usize) -> Result<Vec<truth::Served>> {
        let log = self.log.clone();
        let lines = |_: &Daemon| fs::read_to_string(&log).is_ok_and(|text| text.lines().count() >= count);
        self.daemon.wait_until(&format!("{count} lines in its log"), lines)?;
        self.served()
    }

    /// What it wrote down so far.
    pub fn served(&self) -> Result<Vec<truth::Served>> {
        truth::read(&self.log)
    }

    /// How many requests it wrote down so far whose targets begin like this.
    pub fn times_served(&self, target: &str) -> Result<usize> {
        let needle = format!("\"{target}");
        Ok(fs::read_to_string(&self.log)?.lines().filter(|line| line.contains(&needle)).count())
    }

    /// Waits until it wrote down one whose target begins like this.
    pub fn wait_served(&mut self, target: &str) -> Result<()> {
        let (log, needle) = (self.log.clone(), format!("\"{target}"));
        self.daemon.wait_until(&format!("{target} in its log"), |_| {
            fs::read_to_string(&log).is_ok_and(|text| text.contains(&needle))
        })
    }

    /// Starts it and waits until it listens.
    pub(crate) fn start(stage: &Stage, name: &str, mut command: Command, address: Address) -> Result<Self> {
        let log = stage.path(&format!("{name}.log"));
        fs::write(&log, "")?;
        command.env("TRUTH_LOG", &log).current_dir(stage.folder());
        let mut daemon = Daemon::start(stage, name, command)?;
        daemon.wait_until("listener", |_| Connection::open(&address).is_ok())?;
        Ok(Self { name: name.to_owned(), address, daemon, log })
    }
}

/// Werkzeug's development server, a thread for each connection.
pub fn werkzeug(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(environment::venv("python")?);
    command.arg(environment::app("app.py")).arg(port.to_string());
    Server::start(stage, "werkzeug", command, address)
}

/// gunicorn on TCP.
pub fn gunicorn(stage: &Stage, workers: Workers) -> Result<Server> {
    let (address, port) = loopback()?;
    gunicorn_at(stage, workers, address, &format!("127.0.0.1:{port}"))
}

/// gunicorn on a unix socket.
pub fn gunicorn_unix(stage: &Stage, workers: Workers) -> Result<Server> {
    let path = stage.path("gunicorn.sock");
    let bind = format!("unix:{}", path.display());
    gunicorn_at(stage, workers, Address::Unix(path), &bind)
}

fn gunicorn_at(stage: &Stage, workers: Workers, address: Address, bind: &str) -> Result<Server> {
    let (class, processes, threads) = match workers {
        Workers::Sync(processes) => ("sync", processes, 1),
        Workers::Threads(threads) => ("gthread", 1, threads),
    };
    let mut command = Command::new(environment::venv("gunicorn")?);
    command.args(["--bind", bind, "--worker-class", class, "--log-level", "warning", "--no-control-socket"]);
    command.args(["--workers", &processes.to_string(), "--threads", &threads.to_string()]);
    // Shorter than this and it would close idle connections in the middle of a test.
    command.args(["--keep-alive", "60", "--permit-unconventional-http-method"]);
    command.arg("--worker-tmp-dir").arg(stage.folder());
    command.arg("--chdir").arg(environment::app(".")).arg("app:application");
    Server::start(stage, "gunicorn", command, address)
}

/// A server of node's own `http` module.
pub fn node(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(environment::program("node")?);
    command.arg(environment::app("app.js")).arg(port.to_string());
    Server::start(stage, "node", command, address)
}

/// A server that launches in each way there is; see `forks.c`.
pub fn forks(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(compiled(stage, "forks")?);
    command.arg(port.to_string());
    Server::start(stage, "forks", command, address)
}

/// A program of `tests/apps` in C, made for this test.
pub fn compiled(stage: &Stage, name: &str) -> Result<PathBuf> {
    let program = stage.path(name);
    let mut command = Command::new(environment::program("cc")?);
    let output =
        command.args(["-O1", "-o"]).arg(&program).arg(environment::app(&format!("{name}.c"))).output()?;
    ensure!(output.status.success(), "cc: {}", String::from_utf8_lossy(&output.stderr));
    Ok(program)
}

/// A server whose connections are not served by the descriptor that accepted them; see `passing.py`.
pub fn passing(stage: &Stage, mode: &str) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(environment::venv("python")?);
    command.arg(environment::app("passing.py")).args([mode, &port.to_string()]);
    Server::start(stage, &format!("passing-{mode}"), command, address)
}

/// A server that leaves content unread, and takes it for the next request; see `unread.py`.
pub fn unread(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(environment::venv("python")?);
    command.arg(environment::app("unread.py")).arg(port.to_string());
    Server::start(stage, "unread", command, address)
}

/// A site under Werkzeug 3.0.1, which leaves content unread when it cannot encode its answer; see `greeting.py`.
pub fn greeting(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(environment::vulnerable("python")?);
    command.arg(environment::app("greeting.py")).arg(port.to_string());
    Server::start(stage, "greeting", command, address)
}

/// A server that turns to others while it serves; see `outbound.py`.
pub fn outbound(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let mut command = Command::new(environment::venv("python")?);
    command.arg(environment::app("outbound.py")).arg(port.to_string());
    Server::start(stage, "outbound", command, address)
}

/// nginx that answers by itself.
pub fn nginx(stage: &Stage) -> Result<Server> {
    let (address, port) = loopback()?;
    let directives = fs::read_to_string(environment::app("nginx-static.conf"))?;
    nginx_with(stage, address, &port.to_string(), &directives)
}

/// nginx in front of `upstream`, with connections to it kept open.
pub fn nginx_before(stage: &Stage, upstream: &Server) -> Result<Server> {
    let (address, port) = loopback()?;
    nginx_with(stage, address, &format!("127.0.0.1:{port}"), &proxy_to(upstream)?)
}

/// The same, listening on a unix socket.
pub fn nginx_unix_before(stage: &Stage, upstream: &Server) -> Result<Server> {
    let path = stage.path("nginx.sock");
    let listen = format!("unix:{}", path.display());
    nginx_with(stage, Address::Unix(path), &listen, &proxy_to(upstream)?)
}

fn proxy_to(upstream: &Server) -> Result<String> {
    let directives = fs::read_to_string(environment::app("nginx-proxy.conf"))?;
    Ok(directives.replace("@UPSTREAM@", &upstream.address.to_string()))
}

/// nginx with four workers in front of `upstream`.
pub fn nginx_workers_before(stage: &Stage, upstream: &Server) -> Result<Server> {
    let (address, port) = loopback()?;
    nginx_of(stage, address, &format!("127.0.0.1:{port}"), &proxy_to(upstream)?, 4)
}

/// nginx that asks `upstream` more than its clients do: copies of requests, whether they may be served, and again.
pub fn nginx_asking_besides(stage: &Stage, upstream: &Server) -> Result<Server> {
    let (address, port) = loopback()?;
    let directives = fs::read_to_string(environment::app("nginx-besides.conf"))?;
    let directives = directives.replace("@UPSTREAM@", &upstream.address.to_string());
    nginx_with(stage, address, &format!("127.0.0.1:{port}"), &directives)
}

/// HAProxy in front of `upstream`, with several threads, and a check on it all the time.
pub fn haproxy_before(stage: &Stage, upstream: &Server) -> Result<Server> {
    let (address, file) = front(stage, upstream, "haproxy.cfg")?;
    let mut command = Command::new(environment::program("haproxy")?);
    command.arg("-db").arg("-f").arg(file);
    Server::start(stage, "haproxy", command, address)
}

/// Apache in front of `upstream`, with the event MPM.
pub fn apache_before(stage: &Stage, upstream: &Server) -> Result<Server> {
    let (address, file) = front(stage, upstream, "apache.conf")?;
    let mut command = Command::new(environment::program("apache2")?);
    command.arg("-DFOREGROUND").arg("-f").arg(file);
    Server::start(stage, "apache", command, address)
}

/// A proxy's address, and its configuration.
fn front(stage: &Stage, upstream: &Server, name: &str) -> Result<(Address, PathBuf)> {
    let (address, port) = loopback()?;
    let text = fs::read_to_string(environment::app(name))?
        .replace("@LISTEN@", &format!("127.0.0.1:{port}"))
        .replace("@UPSTREAM@", &upstream.address.to_string())
        // Where Debian has them.
        .replace("@MODULES@", "/usr/lib/apache2")
        .replace("@FOLDER@", &stage.folder().display().to_string());
    let file = stage.path(name);
    fs::write(&file, text)?;
    Ok((address, file))
}

/// nginx with these directives.
pub(crate) fn nginx_with(stage: &Stage, address: Address, listen: &str, directives: &str) -> Result<Server> {
    nginx_of(stage, address, listen, directives, 1)
}

fn nginx_of(stage: &Stage, address: Address, listen: &str, directives: &str, workers: u8) -> Result<Server> {
    let folder = stage.folder().display().to_string();
    let text = fs::read_to_string(environment::app("nginx.conf"))?
        .replace("@DIRECTIVES@", directives)
        .replace("@LISTEN@", listen)
        .replace("@FOLDER@", &folder)
        .replace("@WORKERS@", &workers.to_string());
    let file = stage.path("nginx.conf");
    fs::write(&file, text)?;
    let mut command = Command::new(environment::program("nginx")?);
    command.args(["-p", &folder, "-e", "nginx.err", "-c"]).arg(file);
    Server::start(stage, "nginx", command, address)
}

/// A free port of loopback.
pub(crate) fn loopback() -> Result<(Address, u16)> {
    let port = free_port()?;
    Ok((Address::Tcp(SocketAddr::from((Ipv4Addr::LOCALHOST, port))), port))
}
