//! Servers for the demonstration and the benchmarks: in a temporary directory, on free ports of loopback.

use crate::packages::program;
use crate::process::{Background, wait_for};
use anyhow::{Context, Result, bail};
use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

const PATIENCE: Duration = Duration::from_secs(10);

/// A port of loopback that nobody listens on.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
    Ok(listener.local_addr()?.port())
}

/// Asks a server on loopback by GET, on a connection of its own; returns the whole response.
pub fn get(port: u16, target: &str) -> Result<String> {
    ask(port, &format!("GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n"))
}

/// Sends a server on loopback these bytes, after which it is to close the connection; returns what it sent.
pub fn ask(port: u16, request: &str) -> Result<String> {
    let mut response = String::new();
    TcpStream::connect((Ipv4Addr::LOCALHOST, port))
        .and_then(|mut connection| {
            connection.set_read_timeout(Some(PATIENCE))?;
            connection.write_all(request.as_bytes())?;
            connection.read_to_string(&mut response)
        })
        .with_context(|| {
            format!("no response to {} from port {port}", request.lines().next().unwrap_or_default())
        })?;
    Ok(response)
}

/// Where servers have configuration and logs; removed when dropped.
#[derive(Debug)]
pub struct Directory(TempDir);

impl Directory {
    /// A new one. The servers' workers may be other users, so these may enter.
    pub fn new() -> Result<Self> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("tracer-").permissions(Permissions::from_mode(0o755));
        Ok(Self(builder.tempdir().context("cannot make a temporary directory")?))
    }

    /// Writes a file; returns its path.
    pub fn write(&self, name: &str, text: &str) -> Result<PathBuf> {
        let path = self.0.path().join(name);
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(path)
    }

    /// Starts a server with its output in a log, and waits until it listens on `port`.
    pub fn start_server(&self, name: &str, command: &mut Command, port: u16) -> Result<Background> {
        let log = self.write(&format!("{name}.log"), "")?;
        let output = fs::File::options().append(true).open(&log)?;
        command.current_dir(self.0.path()).stdout(output.try_clone()?).stderr(output);
        let mut server = Background::start(name, command)?;
        let listens = wait_for(&format!("{name} on port {port}"), PATIENCE, || {
            server.must_run()?;
            Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_ok())
        });
        if let Err(error) = listens {
            bail!("{error:#}\n{}", fs::read_to_string(&log).unwrap_or_default());
        }
        Ok(server)
    }

    /// A command that runs nginx with this configuration.
    pub fn nginx(&self, configuration: &str) -> Result<Command> {
        let configuration = self.write("nginx.conf", configuration)?;
        let mut nginx = Command::new(program("nginx").context("nginx is not installed")?);
        nginx.arg("-p").arg(self.0.path()).arg("-c").arg(configuration).args(["-e", "stderr"]);
        Ok(nginx)
    }
}
