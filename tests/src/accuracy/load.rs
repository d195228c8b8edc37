//! The clients: connections that are kept, each asking as soon as it was answered.

use crate::{Address, Connection};
use anyhow::{Result, ensure};
use std::thread;

/// Requests of each connection before tracing begins: the application's own connections are then open.
pub const WARM_UP: u32 = 3;

/// Odd, so that no two numbers below 2³² give the same id; from the golden ratio, so that ids differ early.
const SPREAD: u32 = 0x9e37_79b1;

/// See the module.
#[derive(Debug)]
pub struct Clients {
    connections: Vec<Connection>,
    asked: u32,
}

impl Clients {
    /// Connects.
    pub fn connect(address: &Address, connections: u32) -> Result<Self> {
        let connections = (0..connections).map(|_| Connection::open(address)).collect::<Result<_>>()?;
        Ok(Self { connections, asked: 0 })
    }

    /// Asks so many times on each connection; gives the ids of all requests.
    pub fn ask(&mut self, each: u32) -> Result<Vec<String>> {
        let mut ids: Vec<Vec<String>> = Vec::new();
        for _ in &self.connections {
            ids.push((self.asked..self.asked + each).map(id).collect());
            self.asked += each;
        }
        thread::scope(|scope| {
            let clients: Vec<_> = self
                .connections
                .iter_mut()
                .zip(&ids)
                .map(|(connection, ids)| scope.spawn(move || ask_all(connection, ids)))
                .collect();
            clients.into_iter().try_for_each(|client| client.join().expect("the client did not panic"))
        })?;
        Ok(ids.concat())
    }
}

fn id(number: u32) -> String {
    format!("{:08x}", (number + 1).wrapping_mul(SPREAD))
}

fn ask_all(connection: &mut Connection, ids: &[String]) -> Result<()> {
    ids.iter().try_for_each(|id| {
        let response = connection.get(&format!("/{id}"))?;
        ensure!(response.status == 200, "{id}: {}", response.head);
        Ok(())
    })
}
