//! The pure core of tracer: kernel records in, spans out.
//!
//! [`Engine::handle`] takes one [`Input`] and the time, [`Engine::poll_output`] hands out what follows
//! from it, [`Engine::poll_timeout`] says when a [`Input::Tick`] is due although nothing else came. No
//! I/O, no clock and no randomness: the same inputs give the same outputs, byte for byte, which is what
//! makes a recording a proof.
//!
//! The way of a fact: [`Input`] -> [`reassembly`] -> [`http1`], [`fastcgi`],
//! [`uwsgi`] -> exchange -> link -> [`Span`].

mod budget;
mod cases;
mod cause;
mod cgi;
mod conn;
mod conversation;
mod detect;
mod engine;
mod exchange;
pub mod fastcgi;
mod finding;
mod graph;
mod hops;
pub mod http1;
mod ids;
mod input;
mod launch;
mod output;
mod propagation;
mod protocol;
pub mod reassembly;
mod record;
mod resource;
mod span;
mod stats;
mod tasks;
mod unread;
pub mod uwsgi;
mod wire;
mod world;

pub use budget::Budget;
pub use detect::{Habit, NoHabit, Usual};
pub use engine::Engine;
pub use finding::{Confidence, Evidence, Finding, Severity};
pub use input::{Config, Given, Input, ProcessFacts, Time};
pub use output::{Output, Resource, Span, SpanEvent, SpanId, SpanKind, SpanLink, Status, TraceId, Value};
pub use stats::Stats;
