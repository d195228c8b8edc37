//! Writing recordings.

use super::{FLUSH_EVERY_MS, FORMAT_VERSION, FRAME_HEAD, MAGIC, frame};
use rustix::fs::OFlags;
use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use tracer_common::WIRE_VERSION;
use tracer_engine::{Config, Input, Time};
use zstd::stream::write::Encoder;

/// Level 1 costs least: heads of HTTP repeat so much that they shrink to a tenth all the same.
const LEVEL: i32 = 1;

/// A recording cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {path}: {reason}")]
pub struct WriteError {
    path: String,
    reason: String,
}

/// A recording in the making.
pub struct Recorder {
    path: PathBuf,
    stream: Encoder<'static, BufWriter<File>>,
    flush_due: Option<Time>,
}

impl Recorder {
    /// Begins a recording, in place of a file that was there. Only its owner can read it, since it holds
    /// what the applications said.
    ///
    /// # Errors
    /// When the file cannot be created or written.
    pub fn create(path: &Path, config: &Config) -> Result<Self, WriteError> {
        let begin = || {
            let mut file = BufWriter::new(open(path)?);
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
            Input::Process(facts) => serde_json::to_vec(facts)
                .map_err(io::Error::from)
                .and_then(|json| self.frame(frame::PROCESS, now, &json)),
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
fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).mode(0o600).custom_flags(OFlags::NOFOLLOW.bits().cast_signed());
    match fs::symlink_metadata(path).map(|there| there.file_type()) {
        Ok(kind) if kind.is_symlink() => Err(io::Error::other("it is a symbolic link: name the file itself")),
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
    let reason = if error.kind() == io::ErrorKind::StorageFull {
        "no space left on the device; what was written before can be replayed. Free some space, or record to \
         another place"
            .into()
    } else {
        error.to_string()
    };
    WriteError { path: path.display().to_string(), reason }
}
