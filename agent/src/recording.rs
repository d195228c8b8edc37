//! Recordings: every input of the engine, with its time, in a file.
//!
//! # Format
//!
//! All numbers are little-endian. First, not compressed:
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 8 | magic: `89` `tracer` `0a` |
//! | 2 | [`FORMAT_VERSION`] |
//! | 2 | [`tracer_common::WIRE_VERSION`] of the records |
//! | 4 | length of the header, at most [`MAX_HEADER`] |
//! | n | header: the engine's [`Config`](tracer_engine::Config) as JSON |
//!
//! Then one zstd stream of frames:
//!
//! | bytes | meaning |
//! | --- | --- |
//! | 4 | length of the payload, at most [`MAX_FRAME`] |
//! | 1 | kind: 1 record, 2 lost, 3 process, 4 tick, 5 end, 6 baseline (since version 2) |
//! | 8 | `now`, nanoseconds since boot |
//! | n | payload: a record as the kernel wrote it; 8 bytes for each cause of loss; process facts, or what is usual for a service, as JSON |
//!
//! The last frame is an end frame. A recording without one was cut short; what it holds is still good, since
//! the writer ends a zstd block at least every [`FLUSH_EVERY_MS`].
//!
//! # Compatibility
//!
//! A tracer reads its own format version and all earlier ones, and refuses later ones. Any change of frames
//! raises the version; fields added to the JSON parts do not, as readers skip what they do not know.
//! Records are kept as they are: a recording is read by tracers of its own wire version.

mod reader;
mod writer;

/// In place of a file's name: standard output or standard input.
pub const STDIO: &str = "-";

pub use reader::{ReadError, Reader};
pub use writer::{Recorder, WriteError};

/// What every recording begins with. The first byte is no ASCII and the last a line feed, so that a file
/// that went through a text conversion is not taken for one.
const MAGIC: [u8; 8] = *b"\x89tracer\n";
/// Version of the format described above.
const FORMAT_VERSION: u16 = 2;
/// Longest header: a config has some hundred bytes.
const MAX_HEADER: u32 = 64 << 10;
/// Longest payload: process facts have at most some 100 KiB, six times that if every byte is escaped; what is usual
/// for a service 256 KiB, twice that.
const MAX_FRAME: u32 = 1 << 20;
/// A killed recorder loses at most what came in this time.
const FLUSH_EVERY_MS: u64 = 500;
/// Length of a frame without its payload.
const FRAME_HEAD: usize = 13;

/// Kinds of frame.
mod frame {
    pub const RECORD: u8 = 1;
    pub const LOST: u8 = 2;
    pub const PROCESS: u8 = 3;
    pub const TICK: u8 = 4;
    pub const END: u8 = 5;
    pub const BASELINE: u8 = 6;
}

#[cfg(test)]
mod tests;
