//! Two nodes' networks on one machine: namespaces joined by a cable, and a service's address that is
//! translated on the way, as a cluster does it.

use crate::{Address, Connection, environment};
use anyhow::{Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::thread;

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
const SERVER: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// What clients speak to.
pub const SERVICE: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 7);
const SERVICE_PORT: u16 = 80;
const SERVER_PORT: u16 = 8080;

/// The two namespaces. They end with it, also when the test fails.
#[derive(Debug)]
pub struct Network {
    client: String,
    server: String,
}

impl Network {
    /// Sets it up; the service is translated where the client is.
    pub fn new() -> Result<Self> {
        let name = |end| format!("tracer-tests-{}-{end}", std::process::id());
        let network = Self { client: name("client"), server: name("server") };
        let Self { client, server } = &network;
        for name in [client, server] {
            run("ip", &["netns", "add", name])?;
        }
        run("ip", &["-n", client, "link", "add", "cable", "type", "veth", "peer", "cable", "netns", server])?;
        for (name, address) in [(client, CLIENT), (server, SERVER)] {
            run("ip", &["-n", name, "address", "add", &format!("{address}/24"), "dev", "cable"])?;
            run("ip", &["-n", name, "link", "set", "cable", "up"])?;
        }
        run("ip", &["-n", client, "route", "add", &SERVICE.to_string(), "via", &SERVER.to_string()])?;
        network.nft("add table ip tests")?;
        network.nft("add chain ip tests translate { type nat hook output priority -100; }")?;
        let service = format!("ip daddr {SERVICE} tcp dport {SERVICE_PORT}");
        network.nft(&format!("add rule ip tests translate {service} dnat to {SERVER}:{SERVER_PORT}"))?;
        Ok(network)
    }

    /// A server's listener.
    pub fn listen(&self) -> Result<TcpListener> {
        within(&self.server, || Ok(TcpListener::bind(SocketAddr::from((SERVER, SERVER_PORT)))?))
    }

    /// Both ends of a new connection to the service, the client's first.
    pub fn connect(&self, listener: &TcpListener) -> Result<[Connection; 2]> {
        let service = Address::Tcp(SocketAddr::from((SERVICE, SERVICE_PORT)));
        let client = within(&self.client, || Connection::open(&service))?;
        Ok([client, Connection::accept(listener)?])
    }

    /// While `act` runs, no TCP segment leaves the client's namespace.
    pub fn cut<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        self.nft("add chain ip tests cut { type filter hook output priority 0; }")?;
        self.nft("add rule ip tests cut ip protocol tcp drop")?;
        let result = act();
        self.nft("flush chain ip tests cut")?;
        result
    }

    /// Changes the rules of the client's namespace.
    fn nft(&self, change: &str) -> Result<()> {
        let nft = environment::program("nft")?;
        run("ip", &["netns", "exec", &self.client, &nft.to_string_lossy(), change])
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for name in [&self.client, &self.server] {
            // One that was not made is nothing to take away.
            let _ = run("ip", &["netns", "delete", name]);
        }
    }
}

/// Runs `act` in a thread that is in the namespace. Sockets stay where they were made.
fn within<T: Send>(namespace: &str, act: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let file = File::open(format!("/run/netns/{namespace}"))?;
    let enter = || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        act()
    };
    thread::scope(|scope| scope.spawn(enter).join().expect("it does not panic"))
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(environment::program(program)?);
    let output = command.args(arguments).stdin(Stdio::null()).output()?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {stderr}");
    Ok(())
}
