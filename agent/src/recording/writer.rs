//! Writing recordings.

use super::{FLUSH_EVERY_MS, FORMAT_VERSION, FRAME_HEAD, MAGIC, STDIO, frame};
use rustix::fs::OFlags;
use serde::Serialize;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, IsTerminal, Write},
    os::{fd::AsFd, unix::fs::OpenOptionsExt},
    path::{Path, PathBuf},
};
use tracer_common::WIRE_VERSION;
use tracer_engine::{Config, Input, Time};
use zstd::stream::write::Encoder;

/// Level 1 costs least: heads of HTTP repeat so much that they shrink to a tenth all the same.
const LEVEL: i32 = 1;

/// A recording cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file of that name is there.
    #[error("{path} is there already: name another file, or use --force to replace it")]
    Exists {
        /// The file.
        path: String,
    },
    /// Nobody can read it there.
    #[error("standard output is a terminal and a recording is no text: redirect it, or name a file")]
    Terminal,
    /// Whoever read it from standard output went away.
    #[error("nobody reads the recording from standard output any more")]
    ClosedPipe,
    /// It cannot be written.
    #[error("cannot write {path}: {reason}")]
    Failed {
        /// The file.
        path: String,
        /// Why.
        reason: String,
    },
}

impl WriteError {
    /// Whether another command line would help.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Exists { .. } | Self::Terminal)
    }

    /// Whether the reader of standard output just went away, which is its right.
    pub fn is_closed_pipe(&self) -> bool {
        matches!(self, Self::ClosedPipe)
    }
}

/// A recording in the making.
pub struct Recorder {
    path: PathBuf,
    stream: Encoder<'static, BufWriter<File>>,
    flush_due: Option<Time>,
}

impl Recorder {
    /// Begins a recording: in a file that only its owner can read, since it holds what the applications said,
    /// or on standard output for [`STDIO`]. A file that is there is replaced only with `replace`.
    ///
    /// # Errors
    /// When the file is there, cannot be created or written; when standard output is a terminal.
    pub fn create(path: &Path, replace: bool, config: &Config) -> Result<Self, WriteError> {
        if path == Path::new(STDIO) && io::stdout().is_terminal() {
            return Err(WriteError::Terminal);
        }
        let begin = || {
            let mut file = BufWriter::new(open(path, replace)?);
            file.write_all(&head(config)?)?;
            file.flush()?;
            Encoder::new(file, LEVEL)
        };
        let stream = begin().map_err(|error| failed(path, error))?;
        Ok(Self { path: path.to_owned(), stream, flush_due: None })
    }

    /// Appends an input.
    ///
    /// # Errors
    /// When the file cannot be written; the recording is then readable up to the last flush.
    pub fn write(&mut self, input: &Input<'_>, now: Time) -> Result<(), WriteError> {
        let result = match input {
            Input::Record(record) => self.frame(frame::RECORD, now, record),
            Input::Lost(lost) => {
                let bytes: Vec<u8> = lost.iter().flat_map(|n| n.to_le_bytes()).collect();
                self.frame(frame::LOST, now, &bytes)
            }
            Input::Process(facts) => self.json(frame::PROCESS, now, facts),
            Input::Baseline(usual) => self.json(frame::BASELINE, now, usual),
            Input::Tick => self.frame(frame::TICK, now, &[]),
        };
        result.map_err(|error| failed(&self.path, error))
    }

    /// Writes out what is buffered, if that was not done for a while.
    ///
    /// # Errors
    /// Like [`Self::write`].
    pub fn flush_if_due(&mut self, now: Time) -> Result<(), WriteError> {
        if self.flush_due.is_some_and(|due| now >= due) {
            self.flush_due = None;
            self.stream.flush().map_err(|error| failed(&self.path, error))?;
        }
        Ok(())
    }

    /// Ends the recording.
    ///
    /// # Errors
    /// Like [`Self::write`].
    pub fn finish(mut self, now: Time) -> Result<(), WriteError> {
        let Self { path, .. } = &self;
        let path = path.clone();
        self.frame(frame::END, now, &[])
            .and_then(|()| self.stream.finish())
            .and_then(|mut file| file.flush())
            .map_err(|error| failed(&path, error))
    }

    fn json(&mut self, kind: u8, now: Time, content: &impl Serialize) -> io::Result<()> {
        self.frame(kind, now, &serde_json::to_vec(content)?)
    }

    fn frame(&mut self, kind: u8, now: Time, payload: &[u8]) -> io::Result<()> {
        self.flush_due.get_or_insert(now.plus_ms(FLUSH_EVERY_MS));
        let mut head = [0; FRAME_HEAD];
        head[..4].copy_from_slice(&(payload.len() as u32).to_le_bytes());
        head[4] = kind;
        head[5..].copy_from_slice(&now.0.to_le_bytes());
        self.stream.write_all(&head)?;
        self.stream.write_all(payload)
    }
}

/// A new file in place of an old one, whose mode, owner and readers stay its own. Anything but a file is
/// opened as it is, like `/dev/null`; a link is refused, as whoever made it would say what is overwritten.
fn open(path: &Path, replace: bool) -> io::Result<File> {
    if path == Path::new(STDIO) {
        return Ok(io::stdout().as_fd().try_clone_to_owned()?.into());
    }
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    match fs::symlink_metadata(path).map(|there| there.file_type()) {
        Ok(kind) if kind.is_symlink() => {
            Err(io::Error::other("it is a symbolic link: name the file itself, or - for standard output"))
        }
        Ok(kind) if kind.is_file() && !replace => Err(io::ErrorKind::AlreadyExists.into()),
        Ok(kind) if kind.is_file() => {
            fs::remove_file(path)?;
            options.create_new(true).open(path)
        }
        Ok(_) => options.open(path),
        Err(error) if error.kind() == io::ErrorKind::NotFound => options.create_new(true).open(path),
        Err(error) => Err(error),
    }
}

fn head(config: &Config) -> io::Result<Vec<u8>> {
    let json = serde_json::to_vec(config)?;
    let mut head = MAGIC.to_vec();
    head.extend(FORMAT_VERSION.to_le_bytes());
    head.extend(WIRE_VERSION.to_le_bytes());
    head.extend((json.len() as u32).to_le_bytes());
    head.extend(json);
    Ok(head)
}

fn failed(path: &Path, error: io::Error) -> WriteError {
    let to_stdout = path == Path::new(STDIO);
    let path = if to_stdout { "standard output".into() } else { path.display().to_string() };
    match error.kind() {
        io::ErrorKind::AlreadyExists => WriteError::Exists { path },
        io::ErrorKind::BrokenPipe if to_stdout => WriteError::ClosedPipe,
        io::ErrorKind::StorageFull => WriteError::Failed {
            path,
            reason:
                "no space left on the device; what was written before can be replayed. Free some space, or \
                     record to another place"
                    .into(),
        },
        _ => WriteError::Failed { path, reason: error.to_string() },
    }
}
