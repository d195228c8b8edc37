//! The baseline outside the engine: the file that keeps it across restarts, and `tracer baseline`.
//!
//! The engine learns and forgets; [`Keeper`] writes what it learned to the file, and brings in what people
//! changed there, while the tracer runs. Both replace the file as a whole, under a lock, so that it is
//! never seen half written and neither takes back what the other did.

mod command;
mod file;
mod keeper;

pub use command::{Command, run};
pub use file::FileError;
pub use keeper::Keeper;

/// Where the baseline is unless told otherwise.
pub const DEFAULT_PATH: &str = "/var/lib/tracer/baseline.json";
