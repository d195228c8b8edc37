//! What the live tests share: the stage they play on, the servers, the client, the tracer, the truth.
//!
//! A live test starts real servers, starts the real tracer, sends bytes over real sockets, and compares
//! the spans with what the servers themselves wrote down. A test takes the [`Stage`] first: one tracer
//! sees the whole machine, so only one test plays at a time.

pub mod accuracy;
pub mod environment;
pub mod finding;
pub mod gateways;
pub mod http2;
pub mod network;
pub mod process;
pub mod recording;
pub mod servers;
pub mod sink;
pub mod smuggling;
pub mod span;
pub mod stage;
pub mod tracer;
pub mod truth;
pub mod wire;

pub use finding::Finding;
pub use process::Daemon;
pub use servers::Server;
pub use sink::Sink;
pub use span::Span;
pub use stage::Stage;
pub use tracer::{Report, Tracer};
pub use wire::{Address, Connection};
