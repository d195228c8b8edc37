//! The stage: one test at a time, in a folder of its own.

use crate::environment;
use anyhow::{Context, Result};
use std::fs::{self, File, Permissions};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};

/// A temporary folder and the right to trace, for as long as it lives.
///
/// The right is a lock on a file, because the tests of several files are several processes.
#[derive(Debug)]
pub struct Stage {
    folder: PathBuf,
    _turn: File,
}

impl Stage {
    /// Waits for its turn.
    pub fn new() -> Result<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        environment::require_root()?;
        let turn = File::create(std::env::temp_dir().join("tracer-tests.lock"))?;
        turn.lock()?;
        let name = format!("tracer-tests-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        fs::create_dir_all(&folder).with_context(|| format!("create {}", folder.display()))?;
        // Workers that dropped root reach their sockets and logs here.
        fs::set_permissions(&folder, Permissions::from_mode(0o777))?;
        Ok(Self { folder, _turn: turn })
    }

    /// A file of this test.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        // `TRACER_TEST_KEEP` leaves the logs of a failed test to be read.
        if std::env::var_os("TRACER_TEST_KEEP").is_none() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

/// A loopback port that nobody listens on, below those that the kernel gives to outgoing connections, so that
/// none of these can take it before its server does.
pub fn free_port() -> Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u16 = 20_000;
    const PORTS: u16 = 12_000;
    // Processes begin at different places.
    let own = u16::try_from(std::process::id() % u32::from(PORTS))?;
    (0..PORTS)
        .map(|_| FIRST + own.wrapping_add(NEXT.fetch_add(7, Ordering::Relaxed)) % PORTS)
        .find(|port| {
            TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok()
                && TcpListener::bind((Ipv6Addr::LOCALHOST, *port)).is_ok()
        })
        .context("no port is free")
}
