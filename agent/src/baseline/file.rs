//! The file: JSON for people to review, with a version.
//!
//! ```json
//! {
//!   "tracer_baseline": 1,
//!   "services": [
//!     {
//!       "service": "shop",
//!       "observed_s": 86400,
//!       "requests": 120000,
//!       "learned": true,
//!       "habits": ["endpoint GET /users/{n}", "edge 10.0.0.7:5432"],
//!       "accepted": ["launch GET /terminal | /bin/bash | bash -l"]
//!     }
//!   ]
//! }
//! ```
//!
//! `habits` were learned, `accepted` were given by people: rules that never learn heed only these.
//!
//! A tracer reads its own version and all earlier ones, and refuses later ones. Fields may be added without a new
//! version: readers skip what they do not know.

use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};
use tracer_engine::Usual;

/// Version of the layout described above.
const VERSION: u32 = 1;
/// Longest file that is read, in bytes: several times what an engine keeps, as text.
const MAX_FILE: u64 = 64 << 20;

/// A baseline's file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read or written.
    #[error("cannot {act} the baseline {path}: {reason}")]
    Failed {
        /// What was tried.
        act: &'static str,
        /// The file.
        path: String,
        /// Why not.
        reason: io::Error,
    },
    /// Of a later version.
    #[error(
        "the baseline {path} has version {version}, this tracer reads up to {VERSION}: use the tracer that wrote it, \
         or name another file with --baseline"
    )]
    Newer {
        /// The file.
        path: String,
        /// Its version.
        version: u32,
    },
    /// It makes no sense.
    #[error("the baseline {path} is damaged: {reason}. Repair it, or move it away to learn anew")]
    Damaged {
        /// The file.
        path: String,
        /// What is wrong.
        reason: String,
    },
}

impl FileError {
    /// Whether trying again cannot help: a person must repair the file or name another one.
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::Newer { .. } | Self::Damaged { .. })
    }
}

/// A file's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// By `service.name`.
    pub services: BTreeMap<String, Usual>,
}

/// What tells one state of a file from another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

/// As it is written.
#[derive(Serialize, Deserialize)]
struct Written {
    tracer_baseline: u32,
    services: Vec<Usual>,
}

/// The version alone, since the rest of a later one may be anything.
#[derive(Deserialize)]
struct Head {
    tracer_baseline: u32,
}

impl Document {
    /// A baseline of these services.
    pub fn of(services: impl IntoIterator<Item = Usual>) -> Self {
        Self { services: services.into_iter().map(|usual| (usual.service.clone(), usual)).collect() }
    }

    /// Takes over all that another one knows.
    pub fn merge(&mut self, other: Self) {
        for (name, more) in other.services {
            let known = self.services.entry(name.clone()).or_default();
            known.service = name;
            known.observed_s = known.observed_s.max(more.observed_s);
            known.requests = known.requests.max(more.requests);
            known.learned |= more.learned;
            known.accepted.extend(more.accepted);
            known.accepted.sort();
            known.accepted.dedup();
            known.habits.extend(more.habits);
            known.habits.sort();
            known.habits.dedup();
            known.habits.retain(|habit| known.accepted.binary_search(habit).is_err());
        }
    }

    /// As text.
    ///
    /// # Errors
    /// None that is known of.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let services = self.services.values().cloned().collect();
        let mut text = serde_json::to_string_pretty(&Written { tracer_baseline: VERSION, services })?;
        text.push('\n');
        Ok(text)
    }

    /// Reads a text; `path` is for the error.
    ///
    /// # Errors
    /// When it is none, or of a later version.
    pub fn from_text(text: &str, path: &str) -> Result<Self, FileError> {
        let damaged = |error: serde_json::Error| FileError::Damaged {
            path: path.to_owned(),
            reason: error.to_string(),
        };
        let Head { tracer_baseline: version } = serde_json::from_str(text).map_err(damaged)?;
        if version > VERSION {
            return Err(FileError::Newer { path: path.to_owned(), version });
        }
        let written: Written = serde_json::from_str(text).map_err(damaged)?;
        Ok(Self::of(written.services))
    }
}

/// The file of a baseline, locked against others until it is dropped.
#[derive(Debug)]
pub struct Locked {
    path: PathBuf,
    _folder: File,
}

impl Locked {
    /// Waits for the lock. It is on the folder, since the file itself is replaced; a folder that is not there is
    /// made, but none above it: a mistyped path is no wish for folders.
    ///
    /// # Errors
    /// When the folder cannot be used.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        let folder = match path.parent() {
            Some(folder) if folder != Path::new("") => folder,
            _ => Path::new("."),
        };
        let open = || {
            match fs::create_dir(folder) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                _ => {}
            }
            let file = File::open(folder)?;
            flock(&file, FlockOperation::LockExclusive)?;
            Ok(file)
        };
        let folder = open().map_err(|reason| failed("open the folder of", path, reason))?;
        Ok(Self { path: path.to_owned(), _folder: folder })
    }

    /// The file's content, nothing when it is not there, and its stamp.
    ///
    /// # Errors
    /// When it cannot be read, or makes no sense.
    pub fn read(&self) -> Result<(Document, Option<Stamp>), FileError> {
        let Some(stamp) = stamp(&self.path) else { return Ok((Document::default(), None)) };
        let read = || {
            let mut text = String::new();
            File::open(&self.path)?.take(MAX_FILE + 1).read_to_string(&mut text)?;
            if text.len() as u64 > MAX_FILE {
                return Err(io::Error::other(format!("it is larger than {} MiB", MAX_FILE >> 20)));
            }
            Ok(text)
        };
        let text = read().map_err(|reason| failed("read", &self.path, reason))?;
        let document = Document::from_text(&text, &self.path.display().to_string())?;
        Ok((document, Some(stamp)))
    }

    /// Puts a new file in the place of the old one. Only its owner can read it: it says how applications work.
    ///
    /// # Errors
    /// When that cannot be done; the old file is then as it was.
    pub fn write(&self, document: &Document) -> Result<Option<Stamp>, FileError> {
        let folder = self.path.parent().filter(|folder| *folder != Path::new("")).unwrap_or(Path::new("."));
        let write = || {
            let mut file = tempfile::NamedTempFile::new_in(folder)?;
            file.write_all(document.to_text()?.as_bytes())?;
            file.as_file().sync_all()?;
            file.persist(&self.path)?;
            Ok(stamp(&self.path))
        };
        write().map_err(|reason| failed("write", &self.path, reason))
    }
}

/// The stamp of a file; nothing when it is not there.
pub fn stamp(path: &Path) -> Option<Stamp> {
    let there = fs::metadata(path).ok()?;
    Some(Stamp { inode: there.ino(), modified: (there.mtime(), there.mtime_nsec()), size: there.len() })
}

fn failed(act: &'static str, path: &Path, reason: io::Error) -> FileError {
    FileError::Failed { act, path: path.display().to_string(), reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn usual(service: &str, habits: &[&str]) -> Usual {
        let habits = habits.iter().map(|habit| habit.parse().unwrap()).collect();
        Usual {
            service: service.into(),
            observed_s: 5,
            requests: 7,
            learned: false,
            habits,
            accepted: Vec::new(),
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("deep/baseline.json");
        let locked = Locked::open(&path).unwrap();
        assert_eq!(locked.read().unwrap(), (Document::default(), None));
        let document = Document::of([usual("till", &["edge a:1"]), usual("shop", &["endpoint GET /"])]);
        let stamp = locked.write(&document).unwrap();
        assert_eq!(locked.read().unwrap(), (document, stamp));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing is left over");
    }

    #[test]
    fn what_cannot_be_used_is_refused_with_a_reason() {
        let read = |text: &str| Document::from_text(text, "f").unwrap_err().to_string();
        assert!(
            read(r#"{"tracer_baseline": 2, "services": "?"}"#)
                .contains("version 2, this tracer reads up to 1")
        );
        assert!(read("").starts_with("the baseline f is damaged: EOF"));
        assert!(read(r#"{"services": []}"#).contains("missing field `tracer_baseline`"));
        let odd = r#"{"tracer_baseline": 1, "services": [{"service": "a", "observed_s": 0, "requests": 0,
            "learned": true, "habits": ["sings"]}]}"#;
        assert!(read(odd).contains("\"sings\" is no habit"), "{}", read(odd));
    }

    #[test]
    fn a_merge_loses_nothing() {
        let mut document = Document::of([usual("shop", &["edge a:1", "edge b:1"])]);
        let accepted = vec!["edge b:1".parse().unwrap(), "edge d:1".parse().unwrap()];
        let more = Usual { requests: 9, learned: true, accepted, ..usual("shop", &["edge b:1", "edge c:1"]) };
        document.merge(Document::of([more, usual("till", &[])]));
        let shop = &document.services["shop"];
        assert_eq!((shop.habits.len(), shop.accepted.len()), (2, 2), "once each");
        assert_eq!((shop.requests, shop.learned), (9, true));
        assert_eq!(document.services["till"], usual("till", &[]));
    }
}
