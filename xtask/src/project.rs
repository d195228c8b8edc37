//! Where things are: the repository, and what is made in its target directory.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The repository and the target directory that this run writes to.
#[derive(Debug)]
pub struct Project {
    /// Root of the repository.
    pub root: PathBuf,
    /// `CARGO_TARGET_DIR` made absolute, or `target` in the repository.
    pub target: PathBuf,
}

impl Project {
    /// Finds the repository this xtask belongs to.
    pub fn locate() -> Result<Self> {
        // What cargo says now comes before what it said then: the repository may have been moved since.
        let package =
            std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
        let root = Path::new(&package)
            .parent()
            .context("the xtask package has no parent directory: it must stand in the repository's root")?
            .to_owned();
        let target = match std::env::var_os("CARGO_TARGET_DIR") {
            Some(dir) => std::path::absolute(&dir)
                .with_context(|| format!("CARGO_TARGET_DIR={} is no usable path", dir.display()))?,
            None => root.join("target"),
        };
        Ok(Self { root, target })
    }

    /// The linked kernel programs, which the agent's build script embeds.
    pub fn kernel_programs(&self) -> PathBuf {
        self.target.join("bpf/tracer-ebpf")
    }

    /// The agent's binary.
    pub fn tracer(&self, profile: Profile) -> PathBuf {
        self.target.join(profile.directory()).join("tracer")
    }

    /// Tools and Python packages of the project itself; nothing is installed outside the target
    /// directory but packages of the distribution.
    pub fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }
}

/// How the agent is compiled; the kernel programs are always optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Profile {
    /// Unoptimised, quick to build.
    Debug,
    /// What is shipped and measured.
    Release,
}

impl Profile {
    fn directory(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Release => "release",
        }
    }
}
