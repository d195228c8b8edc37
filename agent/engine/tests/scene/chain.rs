//! A front end and a back end behind it, both on this node.

use super::{Client, Conn, Scene, Server, Thread};

/// The front end.
pub const F: Thread = Thread(10, 10);
/// The back end.
pub const S: Thread = Thread(20, 20);

/// A front end and a back end, and what they do for one request that comes in.
pub struct Chain {
    pub s: Scene,
    pub inbound: Conn,
    pub upstream: Conn,
}

impl Chain {
    /// The client's bytes reach the front end.
    pub fn new(request: &str) -> Self {
        let mut s = Scene::new();
        let inbound = s.accept(80);
        s.recv(F, inbound, Server, request);
        let upstream = s.connect(F, 81);
        Self { s, inbound, upstream }
    }

    /// The front end sends this upstream in one send, and the back end reads it.
    pub fn asks(&mut self, bytes: &str) {
        self.s.pass((F, Client), S, self.upstream, bytes);
    }

    /// The back end writes this in one send, and the front end reads it.
    pub fn answers(&mut self, bytes: &str) {
        self.s.pass((S, Server), F, self.upstream, bytes);
    }

    /// The front end answers its client.
    pub fn delivers(&mut self, bytes: &str) {
        self.s.send(F, self.inbound, Server, bytes);
    }

    /// What was found when all is over.
    pub fn findings(mut self) -> Vec<String> {
        self.s.wait(5_000);
        self.s.finish();
        self.s.findings()
    }
}
