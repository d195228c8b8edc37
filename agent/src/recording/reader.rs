//! Reading recordings, whoever wrote them.

use super::{FORMAT_VERSION, FRAME_HEAD, MAGIC, MAX_FRAME, MAX_HEADER, STDIO, frame};
use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Read},
    ops::Range,
    os::fd::AsFd,
    path::Path,
};
use tracer_common::WIRE_VERSION;
use tracer_engine::{Config, Input, Time};
use zstd::stream::read::Decoder;

/// Largest window of the zstd stream, as a power of two: 8 MiB, where the writer's needs 512 KiB.
const WINDOW_LOG: u32 = 23;
/// Bytes that are decompressed at a time: a block of zstd, at most.
const CHUNK: usize = 128 << 10;

/// Why a recording cannot be read, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be read.
    #[error("cannot read {path}: {reason}")]
    Unreadable {
        /// The file.
        path: String,
        /// Why.
        reason: io::Error,
    },
    /// Nobody wrote it there.
    #[error("standard input is a terminal and a recording is no text: redirect it, or name a file")]
    Terminal,
    /// Something else.
    #[error("{path} is not a tracer recording")]
    Foreign {
        /// The file.
        path: String,
    },
    /// Of a later version.
    #[error(
        "{path} has recording format {version}, this tracer reads up to {FORMAT_VERSION}: use the tracer that \
         wrote it, or a later one"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        version: u16,
    },
    /// With records of another layout.
    #[error(
        "{path} holds records of version {version}, this tracer reads version {WIRE_VERSION}: use the tracer \
         that wrote it"
    )]
    OtherWire {
        /// The file.
        path: String,
        /// Their version.
        version: u16,
    },
    /// Its header makes no sense.
    #[error("{path} is damaged: its header cannot be read ({reason})")]
    BadHeader {
        /// The file.
        path: String,
        /// Why not.
        reason: String,
    },
    /// It ends early.
    #[error(
        "{path} ends early, after {inputs} inputs: the recorder was killed or the file was cut. What is shown \
         follows from those"
    )]
    Truncated {
        /// The file.
        path: String,
        /// Inputs read.
        inputs: u64,
    },
    /// Its frames make no sense.
    #[error("{path} is damaged after {inputs} inputs: {reason}. What is shown follows from those")]
    Corrupt {
        /// The file.
        path: String,
        /// Inputs read.
        inputs: u64,
        /// What is wrong.
        reason: String,
    },
}

/// An open recording.
pub struct Reader {
    path: String,
    config: Config,
    stream: Decoder<'static, BufReader<File>>,
    /// What was decompressed last: frames are handed out where they lie.
    buffer: Vec<u8>,
    /// Where in it the next frame begins, and where what was decompressed ends.
    at: usize,
    end: usize,
    inputs: u64,
    last_time: Time,
}

impl ReadError {
    /// Whether another command line would help.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Terminal)
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Reader")
            .field("path", &self.path)
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

impl Reader {
    /// Opens a recording, on standard input for [`STDIO`], and reads its header.
    ///
    /// # Errors
    /// When it cannot be read, is none, or one of another version.
    pub fn open(path: &Path) -> Result<Self, ReadError> {
        let from_stdin = path == Path::new(STDIO);
        let name = if from_stdin { "standard input".into() } else { path.display().to_string() };
        let unreadable = |reason| ReadError::Unreadable { path: name.clone(), reason };
        if from_stdin && io::stdin().is_terminal() {
            return Err(ReadError::Terminal);
        }
        // The descriptor, not the handle with a buffer of its own.
        let file = if from_stdin {
            io::stdin().as_fd().try_clone_to_owned().map(File::from)
        } else {
            File::open(path)
        };
        let mut file = BufReader::new(file.map_err(unreadable)?);
        let config = read_head(&mut file, &name)?;
        let mut stream = Decoder::with_buffer(file).map_err(unreadable)?;
        stream.window_log_max(WINDOW_LOG).map_err(unreadable)?;
        Ok(Self {
            path: name,
            config,
            stream,
            buffer: Vec::new(),
            at: 0,
            end: 0,
            inputs: 0,
            last_time: Time(0),
        })
    }

    /// The engine's configuration when it was recorded.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The time of the last frame read.
    pub fn last_time(&self) -> Time {
        self.last_time
    }

    /// The next input; nothing at the end.
    ///
    /// # Errors
    /// When the file ends before its end, or makes no sense from here on. Do not go on after an error.
    pub fn next_input(&mut self) -> Result<Option<(Input<'_>, Time)>, ReadError> {
        let mut head = [0; FRAME_HEAD];
        let place = self.bytes(FRAME_HEAD)?;
        head.copy_from_slice(&self.buffer[place]);
        let [l0, l1, l2, l3, kind, time @ ..] = head;
        let length = u32::from_le_bytes([l0, l1, l2, l3]);
        if length > MAX_FRAME {
            return Err(self.corrupt(format!("a frame of {length} bytes, at most {MAX_FRAME} are allowed")));
        }
        let payload = self.bytes(length as usize)?;
        self.last_time = Time(u64::from_le_bytes(time));
        if kind == frame::END {
            return self.at_end();
        }
        let now = self.last_time;
        self.inputs += 1;
        match input(kind, &self.buffer[payload]) {
            Ok(input) => Ok(Some((input, now))),
            Err(reason) => Err(corrupt(&self.path, self.inputs - 1, reason)),
        }
    }

    /// Where the next `count` bytes lie. The buffer grows with what is there, not with what is claimed.
    fn bytes(&mut self, count: usize) -> Result<Range<usize>, ReadError> {
        while self.end - self.at < count {
            self.buffer.copy_within(self.at..self.end, 0);
            (self.at, self.end) = (0, self.end - self.at);
            let room = (self.end + CHUNK).max(self.buffer.len());
            self.buffer.resize(room, 0);
            match self.stream.read(&mut self.buffer[self.end..]).map_err(|e| self.failed(e))? {
                0 => return Err(self.truncated()),
                read => self.end += read,
            }
        }
        let place = self.at..self.at + count;
        self.at = place.end;
        Ok(place)
    }

    #[cfg(test)]
    pub(super) fn buffer_capacity(&self) -> usize {
        self.buffer.capacity()
    }

    /// After the end frame nothing may follow.
    fn at_end(&mut self) -> Result<Option<(Input<'_>, Time)>, ReadError> {
        match self.bytes(1) {
            Ok(_) => Err(self.corrupt("something follows its end".into())),
            // A missing end mark of zstd takes nothing away from what was read.
            Err(_) => Ok(None),
        }
    }

    fn failed(&self, error: io::Error) -> ReadError {
        if error.kind() == io::ErrorKind::UnexpectedEof {
            self.truncated()
        } else {
            self.corrupt(error.to_string())
        }
    }

    fn truncated(&self) -> ReadError {
        ReadError::Truncated { path: self.path.clone(), inputs: self.inputs }
    }

    fn corrupt(&self, reason: String) -> ReadError {
        corrupt(&self.path, self.inputs, reason)
    }
}

fn corrupt(path: &str, inputs: u64, reason: String) -> ReadError {
    ReadError::Corrupt { path: path.to_owned(), inputs, reason }
}

fn read_head(file: &mut impl Read, path: &str) -> Result<Config, ReadError> {
    let path = || path.to_owned();
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic).map_err(|reason| match reason.kind() {
        io::ErrorKind::UnexpectedEof => ReadError::Foreign { path: path() },
        _ => ReadError::Unreadable { path: path(), reason },
    })?;
    if magic != MAGIC {
        return Err(ReadError::Foreign { path: path() });
    }
    let bad = |reason: String| ReadError::BadHeader { path: path(), reason };
    let mut rest = [0; 8];
    file.read_exact(&mut rest).map_err(|e| bad(e.to_string()))?;
    let [f0, f1, w0, w1, length @ ..] = rest;
    let (version, wire, length) =
        (u16::from_le_bytes([f0, f1]), u16::from_le_bytes([w0, w1]), u32::from_le_bytes(length));
    if version > FORMAT_VERSION {
        return Err(ReadError::Newer { path: path(), version });
    }
    if wire != WIRE_VERSION {
        return Err(ReadError::OtherWire { path: path(), version: wire });
    }
    if length > MAX_HEADER {
        return Err(bad(format!("it claims {length} bytes")));
    }
    let mut json = Vec::new();
    file.take(length.into()).read_to_end(&mut json).map_err(|e| bad(e.to_string()))?;
    serde_json::from_slice(&json).map_err(|e| bad(e.to_string()))
}

fn input(kind: u8, payload: &[u8]) -> Result<Input<'_>, String> {
    match kind {
        frame::RECORD => Ok(Input::Record(payload)),
        frame::LOST => {
            let (numbers, rest) = payload.as_chunks();
            let numbers: Vec<u64> = numbers.iter().map(|bytes| u64::from_le_bytes(*bytes)).collect();
            let lost = numbers.try_into().ok().filter(|_| rest.is_empty());
            lost.map(Input::Lost).ok_or_else(|| "a frame of losses with other causes".into())
        }
        frame::PROCESS => serde_json::from_slice(payload)
            .map(Input::Process)
            .map_err(|e| format!("facts of a process: {e}")),
        frame::BASELINE => serde_json::from_slice(payload)
            .map(Input::Baseline)
            .map_err(|e| format!("what is usual for a service: {e}")),
        frame::TICK => Ok(Input::Tick),
        other => Err(format!("a frame of unknown kind {other}")),
    }
}
